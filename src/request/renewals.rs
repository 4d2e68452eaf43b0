//! Which sessions this worker has renewed a moment ago.
//!
//! A browser that sends ten requests at once when a renewal is due would otherwise get ten new sessions.

use core::cell::RefCell;

use session::SessionId;

use super::recent::Recent;

thread_local! {
    /// Until when (Unix seconds) a session's renewal holds.
    static RENEWED: RefCell<Recent<SessionId, u64>> = RefCell::new(Recent::default());
}

/// Whether the session may be renewed now; if so, it may not again for `hold` seconds.
pub fn begin(id: &SessionId, now: u64, hold: u32) -> bool {
    RENEWED.with_borrow_mut(|renewed| {
        if renewed.get(id).is_some_and(|until| *until > now) {
            return false;
        }
        renewed.insert(*id, now + u64::from(hold).max(1));
        true
    })
}

/// The renewal came to nothing: the next request may try.
pub fn failed(id: &SessionId) {
    RENEWED.with_borrow_mut(|renewed| renewed.remove(id));
}
