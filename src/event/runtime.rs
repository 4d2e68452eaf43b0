//! nginx's event loop, for clients of servers that are to live on it.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io;
use std::net::SocketAddr;
use std::thread::ThreadId;

use storage::Deadline;
use storage::runtime::{Address, Runtime, Stream, Work, resolve};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::executor;
use super::offload::offload_async;
use super::peer::{self, PeerStream};
use super::timer::Timer;

/// The loop.
pub struct Loop;

impl Runtime for Loop {
    fn connect(&self, to: Address) -> Work<io::Result<Box<dyn Stream>>> {
        Box::pin(OnLoop::new(async move {
            let stream = peer::connect(to).await?;
            Ok(Box::new(OnLoop::new(stream)) as Box<dyn Stream>)
        }))
    }

    /// Names are looked up on the other thread: that may take seconds.
    fn resolve(&self, host: String, port: u16) -> Work<io::Result<Vec<SocketAddr>>> {
        Box::pin(OnLoop::new(async move {
            let found = offload_async(resolve(host, port)).await;
            found.unwrap_or_else(|error| Err(io::Error::other(error)))
        }))
    }

    fn spawn(&self, work: Work<()>) {
        executor::schedule_later(work);
    }

    /// The timer is cancelable: a worker that quits stays for requests that wait, which have timers of their own.
    fn sleep(&self, until: Deadline) -> Work<()> {
        Box::pin(OnLoop::new(Timer::cancelable(until.left())))
    }
}

/// Something that lives on nginx's thread, in the hands of code that would let it go to another one.
struct OnLoop<T> {
    inner: T,
    home: ThreadId,
}

// SAFETY: the inner value is reached on the thread that made it and on no other, which is checked; and it is dropped
// there, since what a storage on the loop holds is held by tasks of the executor, which runs and drops on that thread.
unsafe impl<T> Send for OnLoop<T> {}

impl<T> OnLoop<T> {
    fn new(inner: T) -> OnLoop<T> {
        OnLoop {
            inner,
            home: std::thread::current().id(),
        }
    }

    fn inner(self: Pin<&mut Self>) -> Pin<&mut T> {
        assert!(
            std::thread::current().id() == self.home,
            "what lives on the event loop was used elsewhere"
        );
        // SAFETY: the inner value is pinned as the outer one is: it is never moved out.
        unsafe { self.map_unchecked_mut(|this| &mut this.inner) }
    }
}

impl<F: Future> Future for OnLoop<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.inner().poll(context)
    }
}

impl AsyncRead for OnLoop<PeerStream> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner().poll_read(context, buffer)
    }
}

impl AsyncWrite for OnLoop<PeerStream> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(context)
    }
}
