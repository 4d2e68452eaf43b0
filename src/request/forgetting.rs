//! Letting go of what the ground floor knows of tokens, some seconds after they were used.

use core::cell::Cell;
use core::ptr;

use ngx::ffi::{ngx_add_timer, ngx_event_t, ngx_msec_t};
use session::known;

use crate::event::new_event;
use crate::guard::guard_unit;
use crate::http::now;

/// How often a worker that knows something looks for what it has not used, in milliseconds.
const EVERY: ngx_msec_t = known::KEPT as ngx_msec_t * 1000 / 2;

thread_local! {
    /// Made once, and then there until the process ends: nginx's tree of timers has it.
    static TIMER: Cell<*mut ngx_event_t> = const { Cell::new(ptr::null_mut()) };
}

/// Sees to it that what is known now will be forgotten. A worker that knows nothing has no timer set.
pub fn forget_later() {
    if TIMER.get().is_null() {
        TIMER.set(Box::leak(Box::new(new_event(on_timer))));
    }
    let timer = TIMER.get();
    // SAFETY: it is never freed, and only this thread uses it.
    unsafe {
        if (*timer).timer_set() == 0 {
            arm(timer);
        }
    }
}

/// # Safety
///
/// The timer is live, and not set.
unsafe fn arm(timer: *mut ngx_event_t) {
    // SAFETY: by contract.
    unsafe {
        // A reload of a single process has another log.
        (*timer).log = ngx::log::ngx_cycle_log().as_ptr();
        // A worker that quits does not wait for it.
        (*timer).set_cancelable(1);
        ngx_add_timer(timer, EVERY);
    }
}

unsafe extern "C" fn on_timer(timer: *mut ngx_event_t) {
    guard_unit(|| {
        if known::forget_unused(now()) {
            // SAFETY: nginx has just taken it out of its timers.
            unsafe { arm(timer) };
        }
    });
}
