//! The loop that a client's connections live on: tokio's, or that of the program we are part of.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};

use crate::Deadline;

/// What a loop has to do.
pub type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a connection is made of.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// A loop. What it makes is used on it alone.
pub trait Runtime: Send + Sync {
    /// Starts to connect.
    fn connect(&self, to: Address) -> Work<io::Result<Box<dyn Stream>>>;

    /// Finds the addresses of a name.
    fn resolve(&self, host: String, port: u16) -> Work<io::Result<Vec<SocketAddr>>>;

    /// Does work that nobody awaits, but not before this returns.
    fn spawn(&self, work: Work<()>);

    /// Waits until then.
    fn sleep(&self, until: Deadline) -> Work<()>;
}

/// The tokio runtime that work is done on.
pub(crate) struct Tokio;

impl Runtime for Tokio {
    fn connect(&self, to: Address) -> Work<io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            Ok(match to {
                Address::Unix(path) => Box::new(UnixStream::connect(path).await?) as _,
                Address::Tcp(address) => {
                    let stream = TcpStream::connect(address).await?;
                    keep_alive(&socket2::SockRef::from(&stream))?;
                    Box::new(stream) as _
                }
            })
        })
    }

    fn resolve(&self, host: String, port: u16) -> Work<io::Result<Vec<SocketAddr>>> {
        Box::pin(resolve(host, port))
    }

    fn spawn(&self, work: Work<()>) {
        tokio::spawn(work);
    }

    fn sleep(&self, until: Deadline) -> Work<()> {
        Box::pin(tokio::time::sleep_until(until.instant().into()))
    }
}

/// Finds the addresses of a name, on a thread of tokio's.
///
/// # Errors
/// When there is none, or nobody who could say.
pub async fn resolve(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(lookup_host((host, port)).await?.collect())
}

/// Many firewalls forget a connection that is silent for minutes; the first request after it would wait in vain.
///
/// # Errors
/// Those of the operating system.
pub fn keep_alive(socket: &socket2::Socket) -> io::Result<()> {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(std::time::Duration::from_secs(60))
        .with_interval(std::time::Duration::from_secs(10))
        .with_retries(3);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keepalive)
}

/// The deadline passed.
pub(crate) struct Late;

/// Awaits work until a deadline.
pub(crate) async fn within<T>(
    runtime: &dyn Runtime,
    deadline: Deadline,
    work: impl Future<Output = T>,
) -> Result<T, Late> {
    let mut work = pin!(work);
    let mut sleep = None;
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        // Most work is done at once and needs no timer.
        let sleep = sleep.get_or_insert_with(|| runtime.sleep(deadline));
        sleep.as_mut().poll(context).map(|()| Err(Late))
    })
    .await
}
