//! The limit of all waits, with one timer for all of them.
//!
//! Nearly every wait is over long before: a timer of its own would be set and taken back in vain. The one timer stays set
//! until it goes off, and is cancelable while nobody waits: a worker that quits gracefully stays for those who wait.

use core::cell::RefCell;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::task::Waker;
use std::time::Duration;

use ngx::ffi::{ngx_add_timer, ngx_current_msec, ngx_event_t, ngx_msec_int_t, ngx_msec_t};

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
    begun: VecDeque<Wait>,
    /// The number of the first of these.
    first: u64,
    unfinished: usize,
    timer: Option<Box<ngx_event_t>>,
}

struct Wait {
    /// nginx's milliseconds.
    until: ngx_msec_t,
    state: State,
}

enum State {
    Waiting(Waker),
    /// The limit was reached.
    Elapsed,
    /// Nobody waits any more.
    Over,
}

/// How long somebody waits, from the first time that he has to.
#[derive(Default)]
pub struct Patience(Option<Begun>);

impl Patience {
    /// There was something to wait for.
    pub fn has_begun(&self) -> bool {
        self.0.is_some()
    }

    /// Waits on, unless the limit is reached.
    pub fn poll_elapsed(&mut self, context: &Context<'_>) -> Poll<()> {
        match &self.0 {
            Some(begun) => begun.poll_elapsed(context),
            None => {
                self.0 = Some(Begun::now(context));
                Poll::Pending
            }
        }
    }
}

/// The number of a wait, until it is dropped.
struct Begun(u64);

impl Begun {
    fn now(context: &Context<'_>) -> Begun {
        WAITS.with_borrow_mut(|waits| Begun(waits.begin(context.waker())))
    }

    fn poll_elapsed(&self, context: &Context<'_>) -> Poll<()> {
        WAITS.with_borrow_mut(|waits| match &mut waits.wait(self.0).state {
            State::Waiting(waker) => {
                waker.clone_from(context.waker());
                Poll::Pending
            }
            State::Elapsed | State::Over => Poll::Ready(()),
        })
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        // A request may be dropped when the thread's variables are gone; so is the timer then.
        let _ = WAITS.try_with(|waits| waits.borrow_mut().finish(self.0));
    }
}

impl Waits {
    const fn new() -> Waits {
        Waits {
            begun: VecDeque::new(),
            first: 0,
            unfinished: 0,
            timer: None,
        }
    }

    fn wait(&mut self, number: u64) -> &mut Wait {
        &mut self.begun[(number - self.first) as usize]
    }

    fn begin(&mut self, waker: &Waker) -> u64 {
        self.begun.push_back(Wait {
            until: now().wrapping_add(LIMIT.as_millis() as ngx_msec_t),
            state: State::Waiting(waker.clone()),
        });
        self.unfinished += 1;
        if self.unfinished == 1 {
            self.mind(LIMIT.as_millis() as ngx_msec_t);
        }
        self.first + self.begun.len() as u64 - 1
    }

    fn finish(&mut self, number: u64) {
        self.wait(number).state = State::Over;
        self.unfinished -= 1;
        while let Some(Wait {
            state: State::Over, ..
        }) = self.begun.front()
        {
            self.begun.pop_front();
            self.first += 1;
        }
        if self.unfinished == 0 {
            self.timer().set_cancelable(1);
        }
    }

    fn timer(&mut self) -> &mut ngx_event_t {
        self.timer
            .get_or_insert_with(|| Box::new(new_event(on_timer)))
    }

    /// Has the timer go off in `time` at the latest; while somebody waits.
    fn mind(&mut self, time: ngx_msec_t) {
        let timer = self.timer();
        timer.set_cancelable(0);
        if timer.timer_set() == 0 {
            // SAFETY: the event lives as long as the thread, and is in the timer tree only while it is set.
            unsafe { ngx_add_timer(timer, time) };
        }
    }

    /// Those whose time is over; sets the timer for the next one.
    fn take_elapsed(&mut self) -> Vec<Waker> {
        let now = now();
        let mut elapsed = Vec::new();
        let mut next = None;
        for wait in &mut self.begun {
            let left = wait.until.wrapping_sub(now) as ngx_msec_int_t;
            match &wait.state {
                State::Waiting(_) if left > 0 => {
                    next = Some(left as ngx_msec_t);
                    break;
                }
                State::Waiting(waker) => {
                    elapsed.push(waker.clone());
                    wait.state = State::Elapsed;
                }
                State::Elapsed | State::Over => {}
            }
        }
        if let Some(left) = next {
            self.mind(left);
        }
        elapsed
    }
}

/// nginx's milliseconds.
fn now() -> ngx_msec_t {
    // SAFETY: nginx's own clock, read on its own thread.
    unsafe { ngx_current_msec }
}

unsafe extern "C" fn on_timer(_: *mut ngx_event_t) {
    guard_unit(|| {
        let elapsed = WAITS.with_borrow_mut(Waits::take_elapsed);
        elapsed.into_iter().for_each(Waker::wake);
    });
}
