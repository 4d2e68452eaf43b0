//! The shared-memory storage: sessions in a zone that all workers of this nginx share.
//!
//! What is in the memory, and in which order things leave it, is [`storage::shm`]'s; this floor gives it a zone of nginx
//! ([`zone`]), reclaims what has expired ([`sweeper`]) and keeps it over a restart ([`state`]).

mod state;
mod sweeper;
mod zone;

pub use state::save_at_exit;
pub use sweeper::{start_sweeper, stop_sweeper};
pub use zone::{ShmConfig, Zone, declare};
