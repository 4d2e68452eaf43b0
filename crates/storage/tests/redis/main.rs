//! The redis backend against real servers.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod conformance;
mod faults;
mod records;
mod sentinel;
mod support;
mod tls;
