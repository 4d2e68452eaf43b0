//! A limit on a wait.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::time::Duration;

use ngx::ffi::{ngx_add_timer, ngx_del_timer, ngx_event_t, ngx_msec_t};
use thiserror::Error;

use crate::guard::guard_unit;

/// The wait took too long.
#[derive(Debug, Error)]
#[error("no result within {} ms", limit.as_millis())]
pub struct Elapsed {
    limit: Duration,
}

/// Awaits `future`, at most for `limit`.
///
/// The timer is not cancelable: while a request waits here, a worker that quits gracefully stays for it.
pub async fn within<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut timer = Timer::start(limit);
    let mut future = core::pin::pin!(future);
    core::future::poll_fn(move |context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Ok(output)),
        Poll::Pending => timer.poll_elapsed(context).map(|()| Err(Elapsed { limit })),
    })
    .await
}

/// Awaits the next turn of the event loop.
pub async fn next_turn() {
    let mut timer = Timer::start(Duration::ZERO);
    core::future::poll_fn(move |context| timer.poll_elapsed(context)).await;
}

/// State that nginx's timer handler reaches through the event's data; boxed so that it does not move.
#[repr(C)]
struct State {
    /// nginx's debug log reads a descriptor at this place in an event's data; all ones is "none".
    no_descriptor: [usize; 4],
    event: ngx_event_t,
    waker: Option<Waker>,
    fired: bool,
}

struct Timer(Pin<Box<State>>);

impl Timer {
    fn start(limit: Duration) -> Timer {
        let mut state = Box::new(State {
            no_descriptor: [usize::MAX; 4],
            // SAFETY: all-zero is a valid event.
            event: unsafe { core::mem::zeroed() },
            waker: None,
            fired: false,
        });
        state.event.handler = Some(on_timer);
        state.event.log = ngx::log::ngx_cycle_log().as_ptr();
        state.event.data = (&raw mut *state).cast();
        let limit = ngx_msec_t::try_from(limit.as_millis()).unwrap_or(ngx_msec_t::MAX);
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
