//! Suspending a request until something is done elsewhere, and resuming it.

use core::future::Future;
use core::pin::Pin;
use core::task::{Poll, ready};

use ngx::ffi::{
    ngx_http_block_reading, ngx_http_post_request, ngx_http_request_t,
    ngx_http_run_posted_requests, ngx_http_test_reading,
};
use session::Session;
use smallvec::SmallVec;

use super::context::{Context, SessionStatus, Slot};
use super::hold;
use crate::conf::Settings;
use crate::event::{Patience, Task, spawn};
use crate::guard::guard;
use crate::http::Request;

/// What a request waits for, and which of its requests are suspended.
#[derive(Default)]
pub struct Waiting {
    /// Dropping one cancels its work. Those that are done are still here while others are not.
    tasks: SmallVec<[Task<()>; 1]>,
    /// How many are not done.
    unfinished: usize,
    suspended: SmallVec<[*mut ngx_http_request_t; 1]>,
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

    /// One session of it. The lifetime must not cross an `await`.
    pub fn slot<'r>(self, settings: &Settings) -> &'r mut Slot {
        self.context().slot_mut(settings.profile)
    }

    /// That session's content, if it has any. The lifetime must not cross an `await`.
    pub fn session<'r>(self, settings: &Settings) -> Option<&'r mut Session> {
        self.slot(settings).session.as_deref_mut()
    }

    /// Its context. The lifetime must not cross an `await`.
    pub fn context<'r>(self) -> &'r mut Context {
        Context::of(self.request()).expect("work is part of its request's context")
    }
}

/// Does `work` for a request. Where it has to wait it is left under way, in `context.waiting`; suspended requests go on
/// when all such work is done.
pub fn run<W: Future<Output = ()> + 'static>(request: Request<'_>, work: impl FnOnce(Waiter) -> W) {
    let waiter = Waiter(request.main().as_ptr());
    let task = spawn(Job {
        work: Some(work(waiter)),
        waiter,
        patience: Patience::default(),
    });
    if !task.is_finished() {
        let waiting = waiter.context().waiting.get_or_insert_default();
        waiting.tasks.push(task);
        waiting.unfinished += 1;
    }
}

/// Work for a request, and the end of it. A future of its own: an `async` block would have room for the work once more.
struct Job<W> {
    /// None once it is done.
    work: Option<W>,
    waiter: Waiter,
    patience: Patience,
}

impl<W: Future<Output = ()>> Future for Job<W> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut core::task::Context<'_>) -> Poll<()> {
        // SAFETY: the work is pinned as the job is: it is dropped where it is, and never moved.
        let job = unsafe { self.get_unchecked_mut() };
        let has_waited = job.patience.has_begun();
        if let Some(work) = &mut job.work {
            // SAFETY: as above.
            let work = unsafe { Pin::new_unchecked(work) };
            // A panic ends the work, and must not leave its request waiting for ever.
            if guard(Poll::Ready(()), || work.poll(context)).is_pending() {
                ready!(job.patience.poll_elapsed(context));
                give_up(job.waiter.context());
            }
        }
        job.work = None;
        // What has not waited is done before anybody waits for it.
        if has_waited {
            finished(job.waiter.request());
        }
        Poll::Ready(())
    }
}

/// Nothing is known of sessions whose storage never answered.
fn give_up(context: &mut Context) {
    for slot in &mut context.slots {
        slot.found = SessionStatus::Error;
    }
}

/// One piece of work is done; the last one lets the request go on.
fn finished(request: Request<'_>) {
    let waiting = Context::of(request).and_then(|context| context.waiting.as_mut());
    let Some(waiting) = waiting else {
        return;
    };
    waiting.unfinished = waiting.unfinished.saturating_sub(1);
    if waiting.unfinished == 0 {
        resume(request);
    }
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
        for task in waiting.tasks {
            task.detach();
        }
        if let Some(context) = Context::of(request) {
            hold::release(request, context);
        }
        ngx_http_run_posted_requests(connection);
    }
}
