//! Waiting without blocking.
//!
//! [`executor`] polls futures on nginx's own thread; [`mod@offload`] runs work on another thread and is awaited on
//! nginx's; [`timer`] turns an nginx timer into a future. Nothing is started before it is needed: the process may be a
//! cache helper, or the configuration may never wait.

mod executor;
mod offload;
mod timer;

pub use executor::{Task, spawn};
pub use offload::{background, hand_over, offload, offload_async};
pub use timer::{next_turn, within};

/// Ends the thread and drops what still waits, or nginx would report an open socket at exit.
pub fn shutdown() {
    offload::shutdown();
    executor::drain();
}
