//! A connection to a server, as a stream that futures read and write.
//!
//! nginx says when the socket can be read or written, as it does for its own connections; the bytes go between the
//! socket and the future without it, since an error belongs to whoever awaits it and not into a log line of its own.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::mem::ManuallyDrop;
use core::pin::Pin;
use core::ptr;
use core::task::{Context, Poll, Waker};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::rc::Rc;

use ngx::ffi::{
    NGX_OK, NGX_USE_EPOLL_EVENT, ngx_close_connection, ngx_connection_t, ngx_event_flags,
    ngx_event_t, ngx_get_connection, ngx_handle_read_event, ngx_handle_write_event, ngx_int_t,
    ngx_uint_t, ngx_use_epoll_rdhup,
};
use socket2::{Domain, SockAddr, Socket, Type};
use storage::runtime::{Address, keep_alive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::guard::guard_unit;

thread_local! {
    /// All that are open, for the end of the worker; none, and never one again, after it.
    static OPEN: RefCell<Option<Vec<Rc<Peer>>>> = const { RefCell::new(Some(Vec::new())) };
}

/// The connection; open as long as its stream is, or until the worker ends.
struct Peer {
    /// Null once it is closed. It owns the descriptor.
    connection: Cell<*mut ngx_connection_t>,
    socket: ManuallyDrop<Socket>,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
}

/// What is read and written. It stays on nginx's thread.
pub struct PeerStream(Rc<Peer>);

/// Connects to a server.
pub async fn connect(to: Address) -> io::Result<PeerStream> {
    let (socket, address) = match to {
        Address::Unix(path) => (
            Socket::new(Domain::UNIX, Type::STREAM, None)?,
            SockAddr::unix(path)?,
        ),
        Address::Tcp(address) => {
            let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
            keep_alive(&socket)?;
            (socket, address.into())
        }
    };
    socket.set_nonblocking(true)?;
    let is_under_way = match socket.connect(&address) {
        Ok(()) => false,
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => true,
        Err(error) => return Err(error),
    };
    let stream = PeerStream(Peer::watch(socket)?);
    if is_under_way {
        poll_fn(|context| stream.0.poll_writable(context)).await?;
    }
    match stream.0.socket.take_error()? {
        None => Ok(stream),
        Some(error) => Err(error),
    }
}

/// Closes all connections; no other can be made. Who waits for one of them is told.
pub fn close_all() {
    for peer in OPEN.take().into_iter().flatten() {
        peer.close();
        wake(&peer.reader);
        wake(&peer.writer);
    }
}

impl Peer {
    /// Lets nginx watch the socket.
    fn watch(socket: Socket) -> io::Result<Rc<Peer>> {
        if OPEN.with_borrow(Option::is_none) {
            return Err(worker_exits());
        }
        let log = ngx::log::ngx_cycle_log().as_ptr();
        // SAFETY: the descriptor is open, and from here on the connection's to close.
        let connection = unsafe { ngx_get_connection(socket.as_raw_fd(), log) };
        if connection.is_null() {
            return Err(io::Error::other(
                "no free connection, raise \"worker_connections\"",
            ));
        }
        let peer = Rc::new(Peer {
            connection: Cell::new(connection),
            socket: ManuallyDrop::new(socket),
            reader: Cell::default(),
            writer: Cell::default(),
        });
        OPEN.with_borrow_mut(|open| open.get_or_insert_default().push(peer.clone()));
        // SAFETY: nginx has initialised the connection and its events; the peer lives until the connection is closed.
        let watched = unsafe {
            (*connection).data = Rc::as_ptr(&peer).cast_mut().cast();
            (*connection).log = log;
            let (read, write) = ((*connection).read, (*connection).write);
            (*read).log = log;
            (*write).log = log;
            (*read).handler = Some(on_readable);
            (*write).handler = Some(on_writable);
            ngx_handle_read_event(read, 0) == NGX_OK as ngx_int_t
                && ngx_handle_write_event(write, 0) == NGX_OK as ngx_int_t
        };
        if watched {
            Ok(peer)
        } else {
            drop(PeerStream(peer));
            Err(unwatched())
        }
    }

    /// The connection while it is of use.
    fn connection(&self) -> io::Result<*mut ngx_connection_t> {
        let connection = self.connection.get();
        // SAFETY: a connection that is not null is open. nginx marks those it wants to be gone, at the end of the time
        // that a worker has to leave.
        if connection.is_null() || unsafe { (*connection).close() } != 0 {
            return Err(worker_exits());
        }
        Ok(connection)
    }

    fn poll_readable(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let connection = self.connection()?;
        // SAFETY: the connection is open.
        if unsafe { (*(*connection).read).ready() } != 0 {
            return Poll::Ready(Ok(()));
        }
        wait(&self.reader, context)
    }

    fn poll_writable(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        let connection = self.connection()?;
        // SAFETY: the connection is open.
        if unsafe { (*(*connection).write).ready() } != 0 {
            return Poll::Ready(Ok(()));
        }
        wait(&self.writer, context)
    }

    /// There is nothing to read until nginx says so again.
    fn has_been_read(&self) -> io::Result<()> {
        let connection = self.connection()?;
        // SAFETY: the connection is open.
        unsafe {
            (*(*connection).read).set_ready(0);
            handled(ngx_handle_read_event((*connection).read, 0))
        }
    }

    /// Nothing can be written until nginx says so again.
    fn is_full(&self) -> io::Result<()> {
        let connection = self.connection()?;
        // SAFETY: the connection is open.
        unsafe {
            (*(*connection).write).set_ready(0);
            handled(ngx_handle_write_event((*connection).write, 0))
        }
    }

    /// What was read filled less than its buffer, so nothing is left and nginx will tell of what comes. That is so only
    /// where it tells of the end of the stream apart from its data.
    fn tells_of_more(&self) -> bool {
        let connection = self.connection.get();
        // SAFETY: set by nginx before the loop turns; the connection is open.
        unsafe {
            ngx_event_flags & NGX_USE_EPOLL_EVENT as ngx_uint_t != 0
                && ngx_use_epoll_rdhup != 0
                && (*(*connection).read).pending_eof() == 0
        }
    }

    fn close(&self) {
        let connection = self.connection.replace(ptr::null_mut());
        if !connection.is_null() {
            // SAFETY: the connection is open; closing it closes the descriptor, which nobody uses any more.
            unsafe { ngx_close_connection(connection) };
        }
    }
}

fn wait(place: &Cell<Option<Waker>>, context: &Context<'_>) -> Poll<io::Result<()>> {
    let waker = place.take();
    place.set(match waker {
        Some(waker) if waker.will_wake(context.waker()) => Some(waker),
        _ => Some(context.waker().clone()),
    });
    Poll::Pending
}

fn handled(rc: ngx_int_t) -> io::Result<()> {
    match rc == NGX_OK as ngx_int_t {
        true => Ok(()),
        false => Err(unwatched()),
    }
}

fn worker_exits() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "the worker exits")
}

fn unwatched() -> io::Error {
    io::Error::other("the connection cannot be watched")
}

impl Drop for PeerStream {
    fn drop(&mut self) {
        self.0.close();
        // What outlives the thread's variables was closed before.
        let _ = OPEN.try_with(|open| {
            if let Some(open) = &mut *open.borrow_mut() {
                open.retain(|peer| !Rc::ptr_eq(peer, &self.0));
            }
        });
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let peer = &self.0;
        loop {
            core::task::ready!(peer.poll_readable(context))?;
            let room = buffer.remaining();
            match (&*peer.socket).read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    if count != 0 && count < room && peer.tells_of_more() {
                        peer.has_been_read()?;
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => peer.has_been_read()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let peer = &self.0;
        loop {
            core::task::ready!(peer.poll_writable(context))?;
            match (&*peer.socket).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => peer.is_full()?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.connection()?;
        Poll::Ready(self.0.socket.shutdown(Shutdown::Write))
    }
}

unsafe extern "C" fn on_readable(event: *mut ngx_event_t) {
    guard_unit(|| {
        // SAFETY: nginx calls this for an open connection, whose peer lives.
        let peer = unsafe { peer_of(event) };
        // SAFETY: as above. Where nginx would tell again and again it stops until the socket has been read.
        unsafe { ngx_handle_read_event(event, 0) };
        wake(&peer.reader);
    });
}

unsafe extern "C" fn on_writable(event: *mut ngx_event_t) {
    guard_unit(|| {
        // SAFETY: as in `on_readable`.
        let peer = unsafe { peer_of(event) };
        // SAFETY: as in `on_readable`.
        unsafe { ngx_handle_write_event(event, 0) };
        wake(&peer.writer);
    });
}

/// # Safety
///
/// The event is one of a peer's open connection.
unsafe fn peer_of<'a>(event: *mut ngx_event_t) -> &'a Peer {
    // SAFETY: by contract.
    unsafe { &*(*(*event).data.cast::<ngx_connection_t>()).data.cast() }
}

fn wake(place: &Cell<Option<Waker>>) {
    if let Some(waker) = place.take() {
        waker.wake();
    }
}
