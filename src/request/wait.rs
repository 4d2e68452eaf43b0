//! Suspending a request until something is done elsewhere, and resuming it.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Poll, Waker};
use std::time::Duration;

use ngx::ffi::{
    ngx_http_block_reading, ngx_http_post_request, ngx_http_request_t,
    ngx_http_run_posted_requests, ngx_http_test_reading,
};

use super::context::{Context, SessionStatus};
use super::hold;
use crate::event::{Task, spawn, within};
use crate::guard::guard;
use crate::http::Request;

/// No wait of the module is longer; the limit also keeps a worker that quits gracefully alive for the request.
const LIMIT: Duration = Duration::from_secs(60);

/// What a request waits for, and which of its requests are suspended.
pub struct Waiting {
    /// Dropping it cancels the work.
    task: Task<()>,
    suspended: Vec<*mut ngx_http_request_t>,
}

/// A request as the work that it waits for sees it.
///
/// The work is part of the request's context and dropped with it, so while the work runs the request is there.
#[derive(Clone, Copy)]
pub struct Waiter(*mut ngx_http_request_t);

impl Waiter {
    /// The client's request. The lifetime must not cross an `await`: other handlers run meanwhile.
    pub fn request<'r>(self) -> Request<'r> {
        // SAFETY: see the type.
        unsafe { Request::new(self.0) }
    }

    /// Its context. The lifetime must not cross an `await`.
    pub fn context<'r>(self) -> &'r mut Context {
        Context::of(self.request()).expect("work is part of its request's context")
    }
}

/// Does `work` for a request. Where it has to wait it is left under way, in `context.waiting`; suspended requests go on
/// when it is done.
pub fn run<W: Future<Output = ()> + 'static>(request: Request<'_>, work: impl FnOnce(Waiter) -> W) {
    let waiter = Waiter(request.main().as_ptr());
    let mut work = Box::pin(work(waiter));
    // Most work never waits, and needs neither a task nor a timer.
    let mut at_once = core::task::Context::from_waker(Waker::noop());
    if poll(&mut work, &mut at_once).is_ready() {
        return;
    }
    let task = spawn(async move {
        if within(LIMIT, poll_fn(move |context| poll(&mut work, context)))
            .await
            .is_err()
        {
            waiter.context().found = SessionStatus::Error;
        }
        resume(waiter.request());
    });
    if !task.is_finished() {
        waiter.context().waiting = Some(Waiting {
            task,
            suspended: Vec::new(),
        });
    }
}

/// A panic ends the work, and must not leave its request waiting for ever.
fn poll(
    work: &mut Pin<Box<impl Future<Output = ()>>>,
    context: &mut core::task::Context<'_>,
) -> Poll<()> {
    guard(Poll::Ready(()), || work.as_mut().poll(context))
}

/// Suspends a request (or subrequest) until the work that is under way is done.
pub fn suspend(request: Request<'_>, context: &mut Context) {
    let Some(waiting) = &mut context.waiting else {
        return;
    };
    if waiting.suspended.contains(&request.as_ptr()) {
        return;
    }
    waiting.suspended.push(request.as_ptr());
    if request.is_main() {
        // A client that leaves meanwhile is noticed.
        // SAFETY: the request is live.
        unsafe { (*request.as_ptr()).read_event_handler = Some(ngx_http_test_reading) };
    }
}

/// Lets the suspended requests go on where they stopped. Afterwards the request may be gone.
fn resume(request: Request<'_>) {
    let Some(waiting) = Context::of(request).and_then(|context| context.waiting.take()) else {
        return;
    };
    let connection = request.raw().connection;
    // SAFETY: a suspended request is live while its main request is; the connection outlives the loop that nginx runs
    // over posted requests, and nothing of the request is used after it.
    unsafe {
        for r in &waiting.suspended {
            if *r == request.as_ptr() {
                (**r).read_event_handler = Some(ngx_http_block_reading);
            }
            ngx_http_post_request(*r, core::ptr::null_mut());
        }
        // The task that runs this is part of `waiting`: it must outlive its own last step.
        waiting.task.detach();
        if let Some(context) = Context::of(request) {
            hold::release(request, context);
        }
        ngx_http_run_posted_requests(connection);
    }
}
