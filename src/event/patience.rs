//! The limit of all waits, with one timer for all of them.
//!
//! Nearly every wait is over long before: a timer of its own would be set and taken back in vain. The one timer is set
//! while anybody waits, and not cancelable: a worker that quits gracefully stays for those who wait.

use core::cell::{Cell, RefCell};
use core::future::{Future, poll_fn};
use core::task::Poll;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use ngx::ffi::{
    ngx_add_timer, ngx_current_msec, ngx_del_timer, ngx_event_t, ngx_msec_int_t, ngx_msec_t,
};

use super::timer::new_event;
use crate::guard::guard_unit;

/// No wait of the module is longer.
const LIMIT: Duration = Duration::from_secs(60);

thread_local! {
    static WAITS: RefCell<Waits> = const { RefCell::new(Waits::new()) };
}

/// All waits under way.
struct Waits {
    /// In the order of their beginning, which is that of their end; some are over already.
    begun: VecDeque<Rc<Wait>>,
    unfinished: usize,
    timer: Option<Box<ngx_event_t>>,
}

struct Wait {
    /// nginx's milliseconds.
    until: ngx_msec_t,
    is_over: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// The limit was reached.
#[derive(Debug)]
pub struct Elapsed;

/// Awaits `future`, at most for the limit.
pub async fn patiently<F: Future>(future: F) -> Result<F::Output, Elapsed> {
    let begun = Begun::now();
    let mut future = core::pin::pin!(future);
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending if begun.0.is_over.get() => Poll::Ready(Err(Elapsed)),
        Poll::Pending => {
            begun.0.waker.set(Some(context.waker().clone()));
            Poll::Pending
        }
    })
    .await
}

/// A wait, until it is dropped.
struct Begun(Rc<Wait>);

impl Begun {
    fn now() -> Begun {
        // SAFETY: nginx's own clock, read on its own thread.
        let now = unsafe { ngx_current_msec };
        let wait = Rc::new(Wait {
            until: now.wrapping_add(LIMIT.as_millis() as ngx_msec_t),
            is_over: Cell::new(false),
            waker: Cell::default(),
        });
        WAITS.with_borrow_mut(|waits| waits.begin(wait.clone()));
        Begun(wait)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.is_over.set(true);
        // A request may be dropped when the thread's variables are gone; so is the timer then.
        let _ = WAITS.try_with(|waits| waits.borrow_mut().finish());
    }
}

impl Waits {
    const fn new() -> Waits {
        Waits {
            begun: VecDeque::new(),
            unfinished: 0,
            timer: None,
        }
    }

    fn begin(&mut self, wait: Rc<Wait>) {
        self.begun.push_back(wait);
        self.unfinished += 1;
        if self.unfinished == 1 {
            self.set_timer(LIMIT.as_millis() as ngx_msec_t);
        }
    }

    fn finish(&mut self) {
        self.unfinished -= 1;
        while self.begun.front().is_some_and(|wait| wait.is_over.get()) {
            self.begun.pop_front();
        }
        if self.unfinished > 0 {
            return;
        }
        if let Some(timer) = self.timer.as_mut().filter(|timer| timer.timer_set() != 0) {
            // SAFETY: the event is in the timer tree.
            unsafe { ngx_del_timer(&mut **timer) };
        }
    }

    fn set_timer(&mut self, time: ngx_msec_t) {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::new(new_event(on_timer)));
        // SAFETY: the event lives as long as the thread, and is in the timer tree only while it is set.
        unsafe { ngx_add_timer(&mut **timer, time) };
    }

    /// Those whose time is over; sets the timer for the next one.
    fn take_elapsed(&mut self) -> Vec<Rc<Wait>> {
        // SAFETY: as in `Begun::now`.
        let now = unsafe { ngx_current_msec };
        let left = |wait: &Wait| wait.until.wrapping_sub(now) as ngx_msec_int_t;
        let mut elapsed = Vec::new();
        while let Some(wait) = self.begun.pop_front() {
            if wait.is_over.get() {
                continue;
            }
            if left(&wait) > 0 {
                self.set_timer(left(&wait) as ngx_msec_t);
                self.begun.push_front(wait);
                break;
            }
            wait.is_over.set(true);
            elapsed.push(wait);
        }
        elapsed
    }
}

unsafe extern "C" fn on_timer(_: *mut ngx_event_t) {
    guard_unit(|| {
        for wait in WAITS.with_borrow_mut(Waits::take_elapsed) {
            if let Some(waker) = wait.waker.take() {
                waker.wake();
            }
        }
    });
}
