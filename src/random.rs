//! Bytes from the system's random source: a generator of the process would be copied to all workers if the master had used it,
//! and they would hand out the same ids.

use core::cell::RefCell;

use ngx::ffi::{ngx_pid, ngx_pid_t};
use rand::TryRngCore;
use rand::rngs::OsRng;
use session::SessionId;

const SIZE: usize = 32;
/// Ids that are drawn at once: asking the system costs more than the bytes.
const DRAWN: usize = 16;

thread_local! {
    static DRAW: RefCell<Draw> = const { RefCell::new(Draw::none()) };
}

/// Bytes from the system's random source that nothing has been made of yet.
struct Draw {
    bytes: [[u8; SIZE]; DRAWN],
    left: usize,
    /// The process that has drawn them. A copy that another has of them is not used.
    owner: ngx_pid_t,
}

impl Draw {
    const fn none() -> Draw {
        Draw {
            bytes: [[0; SIZE]; DRAWN],
            left: 0,
            owner: 0,
        }
    }

    fn next(&mut self, process: ngx_pid_t) -> [u8; SIZE] {
        if self.left == 0 || self.owner != process {
            fill(self.bytes.as_flattened_mut());
            (self.left, self.owner) = (DRAWN, process);
        }
        self.left -= 1;
        // What was given out is not kept.
        core::mem::take(&mut self.bytes[self.left])
    }
}

/// A secret.
pub fn secret() -> [u8; SIZE] {
    let mut bytes = [0; SIZE];
    fill(&mut bytes);
    bytes
}

/// The id of a session. For workers: the master draws none, so that they get none of it.
pub fn session_id() -> SessionId {
    // SAFETY: nginx sets it at the start of each process, which has one thread then.
    let process = unsafe { ngx_pid };
    SessionId::from_random(DRAW.with_borrow_mut(|draw| draw.next(process)))
}

fn fill(bytes: &mut [u8]) {
    OsRng
        .try_fill_bytes(bytes)
        .expect("the system gives random bytes");
}
