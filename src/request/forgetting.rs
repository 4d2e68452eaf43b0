//! Letting go of what the ground floor knows of tokens, some seconds after they were used.

use core::cell::Cell;
use std::time::Duration;

use session::known;

use crate::event::{Timer, spawn};
use crate::http::now;

/// How often a worker that knows something looks for what it has not used.
const EVERY: Duration = Duration::from_secs(known::KEPT / 2);

thread_local! {
    static IS_DUE: Cell<bool> = const { Cell::new(false) };
}

/// Sees to it that what is known now will be forgotten. A worker that knows nothing has no timer.
pub fn forget_later() {
    if IS_DUE.replace(true) {
        return;
    }
    spawn(async {
        loop {
            Timer::cancelable(EVERY).await;
            if !known::forget_unused(now()) {
                break;
            }
        }
        IS_DUE.set(false);
    })
    .detach();
}
