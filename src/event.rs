//! Waiting without blocking.
//!
//! [`executor`] polls futures on nginx's own thread; [`mod@offload`] runs work on another thread and is awaited on
//! nginx's. [`timer`] turns an nginx timer into a future, [`patience`] has one timer for all who wait, [`peer`] turns
//! an nginx connection into a stream, and [`runtime`] makes of these a home for clients of servers. Nothing is
//! started before it is needed: the process may be a cache helper, or the configuration may never wait.

mod executor;
mod offload;
mod patience;
mod peer;
mod runtime;
mod timer;

pub use executor::{Task, settle, spawn};
pub use offload::{background, hand_over, offload, offload_async};
pub use patience::Patience;
pub use runtime::Loop;
pub use timer::{new_event, next_turn};

/// Ends the thread, closes connections and drops what still waits, or nginx would report an open socket at exit.
pub fn shutdown() {
    offload::shutdown();
    peer::close_all();
    executor::drain();
}
