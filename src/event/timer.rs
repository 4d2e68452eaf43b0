//! nginx's timers as futures.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::time::Duration;

use ngx::ffi::{ngx_add_timer, ngx_del_timer, ngx_event_t, ngx_msec_t};

use crate::guard::guard_unit;

/// nginx's debug log reads a descriptor at this place in an event's data; all ones is "none".
static NO_DESCRIPTOR: [usize; 4] = [usize::MAX; 4];

/// An event without a connection.
pub fn new_event(handler: unsafe extern "C" fn(*mut ngx_event_t)) -> ngx_event_t {
    // SAFETY: all-zero is a valid event.
    let mut event: ngx_event_t = unsafe { core::mem::zeroed() };
    event.handler = Some(handler);
    event.log = ngx::log::ngx_cycle_log().as_ptr();
    event.data = core::ptr::from_ref(&NO_DESCRIPTOR).cast_mut().cast();
    event
}

/// Awaits the next turn of the event loop.
pub async fn next_turn() {
    Timer::start(Duration::ZERO).await;
}

/// State that nginx's timer handler reaches through the event's data; boxed so that it does not move.
#[repr(C)]
struct State {
    no_descriptor: [usize; 4],
    event: ngx_event_t,
    waker: Option<Waker>,
    fired: bool,
}

/// A timer that runs, as a future.
pub struct Timer(Pin<Box<State>>);

impl Timer {
    fn start(limit: Duration) -> Timer {
        Timer::add(limit, false)
    }

    /// One that does not keep a worker that quits gracefully.
    pub fn cancelable(limit: Duration) -> Timer {
        Timer::add(limit, true)
    }

    fn add(limit: Duration, cancelable: bool) -> Timer {
        let mut state = Box::new(State {
            no_descriptor: NO_DESCRIPTOR,
            event: new_event(on_timer),
            waker: None,
            fired: false,
        });
        state.event.data = (&raw mut *state).cast();
        state.event.set_cancelable(cancelable.into());
        // Rather late than early: who waits for a deadline takes it for over.
        let limit = limit.as_micros().div_ceil(1000);
        let limit = ngx_msec_t::try_from(limit).unwrap_or(ngx_msec_t::MAX);
        // SAFETY: the event stays in its box until `drop` has taken the timer back.
        unsafe { ngx_add_timer(&mut state.event, limit) };
        Timer(Pin::from(state))
    }

    fn poll_elapsed(&mut self, context: &Context<'_>) -> Poll<()> {
        if self.0.fired {
            return Poll::Ready(());
        }
        self.0.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Future for Timer {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.poll_elapsed(context)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if self.0.event.timer_set() != 0 {
            // SAFETY: the event is in the timer tree.
            unsafe { ngx_del_timer(&mut self.0.event) };
        }
    }
}

unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    guard_unit(|| {
        // SAFETY: the data of this event is its own state, live until the timer is deleted.
        let state = unsafe { &mut *(*event).data.cast::<State>() };
        state.fired = true;
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    });
}
