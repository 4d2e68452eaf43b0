//! An executor on nginx's event loop.
//!
//! A task that is woken on the loop joins a queue, which a posted event drains. A task that is woken elsewhere goes
//! through a locked queue and an eventfd, see [`mod@super::offload`]. A woken task never runs inside the call that woke
//! it: the waker may hold what the task needs.

use core::cell::{Cell, RefCell};
use core::future::Future;
use std::collections::VecDeque;

use async_task::Runnable;
pub use async_task::Task;
use ngx::ffi::{ngx_delete_posted_event, ngx_event_t, ngx_post_event, ngx_posted_events};

use super::offload;
use super::timer::new_event;
use crate::guard::guard_unit;

thread_local! {
    /// Set on nginx's thread; tells a waker where it is.
    static ON_LOOP: Cell<bool> = const { Cell::new(false) };
    static QUEUE: RefCell<VecDeque<Runnable>> = const { RefCell::new(VecDeque::new()) };
    /// Called after the queue has been drained.
    static END_OF_TURN: Cell<Option<fn()>> = const { Cell::new(None) };
    static DRAIN: RefCell<Option<Box<ngx_event_t>>> = const { RefCell::new(None) };
}

/// Starts a task and runs it up to its first wait. Dropping the [`Task`] cancels it.
pub fn spawn<T: 'static>(future: impl Future<Output = T> + 'static) -> Task<T> {
    ON_LOOP.set(true);
    // SAFETY: the future need not be Send, because `schedule` hands its runnable to nginx's thread from wherever it
    // is woken, and only that thread runs or drops it.
    let (runnable, task) = unsafe { async_task::spawn_unchecked(future, schedule) };
    runnable.run();
    task
}

/// Starts a task that nobody awaits, once what runs now is done.
pub fn schedule_later(future: impl Future<Output = ()> + 'static) {
    ON_LOOP.set(true);
    // SAFETY: as in `spawn`.
    let (runnable, task) = unsafe { async_task::spawn_unchecked(future, schedule) };
    runnable.schedule();
    task.detach();
}

fn schedule(runnable: Runnable) {
    if !ON_LOOP.get() {
        offload::wake_loop(runnable);
        return;
    }
    QUEUE.with_borrow_mut(|queue| queue.push_back(runnable));
    post_drain();
}

/// Calls `f` once this turn of the event loop has handled its events.
pub fn at_end_of_turn(f: fn()) {
    END_OF_TURN.set(Some(f));
    post_drain();
}

fn post_drain() {
    DRAIN.with_borrow_mut(|event| {
        let event = event.get_or_insert_with(|| Box::new(new_event(on_posted)));
        // SAFETY: the event lives as long as the thread; posting it twice is harmless.
        unsafe { ngx_post_event(&mut **event, &raw mut ngx_posted_events) };
    });
}

unsafe extern "C" fn on_posted(_event: *mut ngx_event_t) {
    run_queue();
    if let Some(f) = END_OF_TURN.take() {
        guard_unit(f);
    }
}

/// Runs what is in the queue now; what is woken meanwhile waits for the next turn.
fn run_queue() {
    for runnable in QUEUE.take() {
        run(runnable);
    }
}

/// Runs a task; a panic in it ends that task only.
pub fn run(runnable: Runnable) {
    guard_unit(|| {
        runnable.run();
    });
}

/// Runs all that can run. For when the loop does not turn.
pub fn settle() {
    for _ in 0..100 {
        if QUEUE.with_borrow(VecDeque::is_empty) {
            break;
        }
        run_queue();
    }
}

/// Drops what is left at exit.
pub fn drain() {
    settle();
    DRAIN.with_borrow_mut(|event| {
        if let Some(event) = event {
            if event.posted() != 0 {
                // SAFETY: the event is in the queue of posted events.
                unsafe { ngx_delete_posted_event(&mut **event) };
            }
        }
    });
}
