//! Suspending a request until something is done elsewhere, and resuming it.

use core::future::Future;
use std::time::Duration;

use ngx::ffi::{
    ngx_http_block_reading, ngx_http_post_request, ngx_http_request_t,
    ngx_http_run_posted_requests, ngx_http_test_reading,
};

use super::context::Context;
use super::hold;
use crate::event::{Task, spawn, within};
use crate::guard::guard_unit;
use crate::http::Request;

/// No wait of the module is longer; the limit also keeps a worker that quits gracefully alive for the request.
const LIMIT: Duration = Duration::from_secs(60);

/// What a request waits for, and which of its requests are suspended.
pub struct Waiting {
    /// Dropping it cancels the work.
    task: Task<()>,
    suspended: Vec<*mut ngx_http_request_t>,
}

/// Runs `work` on the loop. When it is done, `finish` takes its result and suspended requests go on.
///
/// `finish` gets `None` when the work took too long. Returns whether the work is still under way.
pub fn start<T: 'static>(
    request: Request<'_>,
    work: impl Future<Output = T> + 'static,
    finish: impl FnOnce(Request<'_>, &mut Context, Option<T>) + 'static,
) -> bool {
    let main = request.main().as_ptr();
    let task = spawn(async move {
        let result = within(LIMIT, work).await.ok();
        // SAFETY: the task is dropped with the context, which is dropped with the request: while it runs, both live.
        let request = unsafe { Request::new(main) };
        // A panic must not leave the request waiting for ever.
        guard_unit(|| {
            if let Some(context) = Context::of(request) {
                finish(request, context, result);
            }
        });
        resume(request);
    });
    let under_way = !task.is_finished();
    if let Some(context) = Context::of(request).filter(|_| under_way) {
        context.waiting = Some(Waiting {
            task,
            suspended: Vec::new(),
        });
    }
    under_way
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
