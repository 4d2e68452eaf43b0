//! Reading and editing what nginx holds of a request and its response.
//!
//! The differences between nginx versions live here and nowhere else.

pub mod arguments;
pub mod headers_in;
pub mod headers_out;
mod list;
mod request;
mod upstream;
mod value;

pub use request::{Location, Request, now};
pub use upstream::Upstream;
pub use value::Value;
