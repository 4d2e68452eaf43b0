//! One more thread a worker, for what would stop the event loop.
//!
//! The thread runs a tokio runtime, since most clients of storages need one. Its tasks wake ours through a locked
//! queue and an eventfd that nginx watches as a connection.

use core::cell::{Cell, RefCell};
use core::ffi::c_void;
use core::future::Future;
use core::mem;
use core::pin::Pin;
use core::ptr;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_task::Runnable;
use ngx::ffi::ngx_int_t;
use ngx::ffi::{
    NGX_OK, ngx_close_connection, ngx_connection_t, ngx_event_t, ngx_get_connection,
    ngx_handle_read_event,
};
use thiserror::Error;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, oneshot};

use super::executor;

/// Why work could not be done on the other thread.
#[derive(Debug, Error)]
pub enum OffloadError {
    #[error("the worker thread cannot be started: {0}")]
    Start(#[from] io::Error),
    #[error("no free connection for the worker thread, raise \"worker_connections\"")]
    Connection,
    #[error("the work was abandoned")]
    Abandoned,
}

/// What other threads see of the loop.
struct Mailbox {
    woken: Mutex<Vec<Runnable>>,
    signalled: AtomicBool,
    eventfd: i32,
}

/// Computations under way at once. Files and names are looked up on threads of the same pool, and must not wait for them.
static COMPUTING: Semaphore = Semaphore::const_new(2);
const THREADS: usize = 16;

static MAILBOX: OnceLock<Arc<Mailbox>> = OnceLock::new();

struct Worker {
    handle: Handle,
    thread: JoinHandle<()>,
    stop: oneshot::Sender<()>,
    connection: *mut ngx_connection_t,
}

/// Work for the other thread.
type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    /// What this turn of the loop has for the other thread.
    static JOBS: RefCell<Vec<Job>> = const { RefCell::new(Vec::new()) };
    static WORKER: RefCell<Option<Worker>> = const { RefCell::new(None) };
    /// The process exits, and starts no thread any more.
    static ENDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, which computes and does not wait, on a thread of the other runtime; awaited on the loop.
pub async fn offload<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, OffloadError> {
    let (send, receive) = oneshot::channel();
    let handle = handle()?;
    let turn = COMPUTING
        .acquire()
        .await
        .map_err(|_| OffloadError::Abandoned)?;
    // tokio starts the thread from here, and it must not be the one that gets nginx's signals.
    with_signals_blocked(|| {
        handle.spawn_blocking(move || {
            // The client may have left while the work waited for its turn: then nobody wants the result.
            if !send.is_closed() {
                let _ = send.send(work());
            }
            drop(turn);
        })
    });
    receive.await.map_err(|_| OffloadError::Abandoned)
}

/// Runs a future on the other runtime, where clients of servers live; awaited on the loop. Dropping it gives it up.
pub async fn offload_async<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, OffloadError> {
    let (mut send, receive) = oneshot::channel();
    handle()?;
    let job = async move {
        tokio::select! {
            result = work => drop(send.send(result)),
            () = send.closed() => {}
        }
    };
    JOBS.with_borrow_mut(|jobs| jobs.push(Box::pin(job)));
    executor::at_end_of_turn(hand_over);
    receive.await.map_err(|_| OffloadError::Abandoned)
}

/// Gives the jobs of this turn of the loop to the other thread: waking it once is cheaper than once a job.
pub fn hand_over() {
    let jobs = JOBS.take();
    if jobs.is_empty() {
        return;
    }
    match handle() {
        Ok(handle) => {
            handle.spawn(async move {
                for job in jobs {
                    tokio::spawn(job);
                }
            });
        }
        // Dropping the jobs tells those who wait.
        Err(error) => cycle_log!(ERR, "{error}"),
    }
}

/// Starts a task on the other runtime that nobody awaits; it ends with the worker.
pub fn background(work: impl Future<Output = ()> + Send + 'static) -> Result<(), OffloadError> {
    handle()?.spawn(work);
    Ok(())
}

fn handle() -> Result<Handle, OffloadError> {
    if ENDED.get() {
        return Err(OffloadError::Abandoned);
    }
    WORKER.with_borrow_mut(|worker| {
        if worker.is_none() {
            *worker = Some(Worker::start()?);
        }
        worker
            .as_ref()
            .map(|worker| worker.handle.clone())
            .ok_or(OffloadError::Abandoned)
    })
}

impl Worker {
    fn start() -> Result<Worker, OffloadError> {
        let mailbox = open_mailbox()?;
        let connection = watch(mailbox.eventfd)?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(THREADS)
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = with_signals_blocked(|| {
            std::thread::Builder::new()
                .name("session".into())
                .spawn(move || {
                    let _ = runtime.block_on(stopped);
                    runtime.shutdown_timeout(Duration::from_millis(100));
                })
        })?;
        Ok(Worker {
            handle,
            thread,
            stop,
            connection,
        })
    }
}

fn open_mailbox() -> Result<Arc<Mailbox>, OffloadError> {
    if let Some(mailbox) = MAILBOX.get() {
        return Ok(mailbox.clone());
    }
    // SAFETY: no memory is involved.
    let eventfd = unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) };
    if eventfd < 0 {
        return Err(io::Error::last_os_error().into());
    }
    let mailbox = Mailbox {
        woken: Mutex::default(),
        signalled: AtomicBool::new(false),
        eventfd,
    };
    Ok(MAILBOX.get_or_init(|| Arc::new(mailbox)).clone())
}

/// Lets nginx watch the eventfd as it watches a connection.
fn watch(eventfd: i32) -> Result<*mut ngx_connection_t, OffloadError> {
    let log = ngx::log::ngx_cycle_log().as_ptr();
    // SAFETY: the descriptor is open and nobody else's; nginx initialises both events of the connection.
    unsafe {
        let connection = ngx_get_connection(eventfd, log);
        if connection.is_null() {
            return Err(OffloadError::Connection);
        }
        // Not a client: an idle worker with `worker_shutdown_timeout` must not close it as one.
        (*connection).log = log;
        (*(*connection).read).handler = Some(on_signal);
        (*(*connection).read).log = log;
        (*(*connection).write).log = log;
        if ngx_handle_read_event((*connection).read, 0) != NGX_OK as ngx_int_t {
            ngx_close_connection(connection);
            return Err(OffloadError::Connection);
        }
        Ok(connection)
    }
}

/// nginx handles signals on its own thread only.
fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    // SAFETY: the sets are initialised by the calls that fill them; a new thread inherits the blocked set.
    unsafe {
        let mut all: libc::sigset_t = mem::zeroed();
        let mut old: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, &mut old);
        let result = start();
        libc::pthread_sigmask(libc::SIG_SETMASK, &old, ptr::null_mut());
        result
    }
}

/// Hands a task that was woken elsewhere to nginx's thread.
pub fn wake_loop(runnable: Runnable) {
    let Some(mailbox) = MAILBOX.get() else {
        // No thread was ever started, so nobody but the loop could wake a task. Leaking is the safe way out: the task
        // must not be dropped on a foreign thread.
        mem::forget(runnable);
        return;
    };
    mailbox
        .woken
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(runnable);
    if !mailbox.signalled.swap(true, Ordering::SeqCst) {
        let one = 1u64;
        // SAFETY: writes eight bytes of a local to an open descriptor.
        unsafe {
            libc::write(
                mailbox.eventfd,
                ptr::from_ref(&one).cast::<c_void>(),
                size_of::<u64>(),
            )
        };
    }
}

unsafe extern "C" fn on_signal(_event: *mut ngx_event_t) {
    let Some(mailbox) = MAILBOX.get() else { return };
    let mut count = 0u64;
    // SAFETY: reads eight bytes into a local.
    unsafe {
        libc::read(
            mailbox.eventfd,
            ptr::from_mut(&mut count).cast::<c_void>(),
            size_of::<u64>(),
        )
    };
    mailbox.signalled.store(false, Ordering::SeqCst);
    for runnable in take_woken(mailbox) {
        executor::run(runnable);
    }
}

fn take_woken(mailbox: &Mailbox) -> Vec<Runnable> {
    mem::take(&mut *mailbox.woken.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Ends the thread, drops what it has woken, closes the connection.
pub fn shutdown() {
    ENDED.set(true);
    drop(JOBS.take());
    let Some(worker) = WORKER.take() else { return };
    let _ = worker.stop.send(());
    let _ = worker.thread.join();
    if let Some(mailbox) = MAILBOX.get() {
        drop(take_woken(mailbox));
    }
    // SAFETY: the connection was made by `watch` and is open; closing it closes the eventfd.
    unsafe { ngx_close_connection(worker.connection) };
}
