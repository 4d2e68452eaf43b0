//! Connections to a server with a protocol of questions and answers in lines: TCP, Unix sockets and TLS, kept in a pool.
//!
//! A connection is out of the pool while it is used and comes back only after a whole, successful exchange. One whose exchange
//! failed, or was given up half-way, is closed: what is still to come on it belongs to nobody.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::io::{BufReader, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::gate::{Gate, Place};
use crate::runtime::Stream;
use crate::{Common, ConfigError, Deadline, Error, Server};

/// Longest line that is read; no reply of a line-based protocol is longer.
const LINE: u64 = 4096;
/// Longest value that is read.
const VALUE: usize = 64 << 20;
/// A connection that was idle for longer may have been forgotten by what is in between, without a word.
const IDLE: Duration = Duration::from_secs(60);
/// Pause between two attempts to connect: as long as the failed one took, within these limits.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// A question and its answer. It may be asked twice, when a kept connection turns out to be closed.
pub(crate) trait Exchange: Sync {
    /// The answer.
    type Reply: Send;

    /// Asks. After `Ok` all that the server says to it has been read.
    fn on(
        &self,
        connection: &mut Connection,
    ) -> impl Future<Output = Result<Self::Reply, Error>> + Send;
}

/// The connections to one server.
pub(crate) struct Wire {
    server: Server,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_timeout: Duration,
    gate: Gate,
    idle: Mutex<Vec<(Connection, Instant)>>,
    outage: Mutex<Option<Outage>>,
}

/// The server could not be reached.
struct Outage {
    why: Error,
    /// Until then nobody tries again.
    until: Instant,
}

impl Wire {
    pub(crate) fn new(common: &Common, server: &Server) -> Result<Self, ConfigError> {
        let tls = match &common.tls {
            None => None,
            Some(tls) => {
                let config: ClientConfig = tls.client_config()?;
                let host = match server {
                    Server::Tcp { host, .. } => host,
                    Server::Unix(_) => "localhost",
                };
                Some((Arc::new(config).into(), tls.server_name(host)?))
            }
        };
        Ok(Self {
            server: server.clone(),
            tls,
            connect_timeout: common.connect_timeout,
            gate: Gate::new(common.pool_size),
            idle: Mutex::default(),
            outage: Mutex::default(),
        })
    }

    /// Has an exchange with the server.
    ///
    /// # Errors
    /// When there is no connection, the deadline passes, or the exchange fails.
    pub(crate) async fn run<E: Exchange>(
        &self,
        exchange: &E,
        deadline: Deadline,
    ) -> Result<E::Reply, Error> {
        if deadline.is_over() {
            return Err(Error::Timeout);
        }
        let place = self.gate.enter(deadline).await?;
        if let Some(kept) = self.take_idle() {
            match self.have(exchange, kept, &place, deadline).await {
                // The server closed it while nobody looked, as after a restart. The others will be closed too.
                Err(Error::Unavailable(_)) => self.close_idle(),
                result => return result,
            }
        }
        let fresh = self.connect(deadline).await?;
        self.have(exchange, fresh, &place, deadline).await
    }

    async fn have<E: Exchange>(
        &self,
        exchange: &E,
        mut connection: Connection,
        _place: &Place,
        deadline: Deadline,
    ) -> Result<E::Reply, Error> {
        let reply = exchange.on(&mut connection);
        match tokio::time::timeout_at(deadline.instant().into(), reply).await {
            Ok(Ok(reply)) => {
                self.keep(connection);
                Ok(reply)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => {
                // The way to the server may be dead in a manner that only time shows: trust no connection.
                self.close_idle();
                Err(Error::Timeout)
            }
        }
    }

    fn keep(&self, mut connection: Connection) {
        connection.is_fresh = false;
        if connection.is_silent() {
            lock(&self.idle).push((connection, Instant::now()));
        }
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        while let Some((mut connection, since)) = idle.pop() {
            if since.elapsed() < IDLE && connection.is_silent() {
                return Some(connection);
            }
        }
        None
    }

    fn close_idle(&self) {
        lock(&self.idle).clear();
    }

    async fn connect(&self, deadline: Deadline) -> Result<Connection, Error> {
        let limit = self.connect_timeout.min(deadline.left());
        self.pause(limit)?;
        let began = Instant::now();
        let error = match tokio::time::timeout(limit, self.dial(limit)).await {
            Ok(Ok(stream)) => {
                *lock(&self.outage) = None;
                return Ok(Connection::new(stream));
            }
            Ok(Err(error)) => self.named(&error),
            Err(_) => Error::Unavailable(format!("{} does not take a connection", self.server)),
        };
        // A caller with hardly any time left learns nothing about the server.
        if limit >= self.connect_timeout.min(PAUSE.0) || !deadline.is_over() {
            *lock(&self.outage) = Some(Outage {
                why: error.clone(),
                until: Instant::now() + began.elapsed().clamp(PAUSE.0, PAUSE.1),
            });
        }
        match deadline.is_over() {
            true => Err(Error::Timeout),
            false => Err(error),
        }
    }

    /// Fails while the server is known to be away, except for one caller now and then, who tries.
    fn pause(&self, limit: Duration) -> Result<(), Error> {
        let mut outage = lock(&self.outage);
        let Some(outage) = outage.as_mut() else {
            return Ok(());
        };
        let now = Instant::now();
        if now < outage.until {
            return Err(outage.why.clone());
        }
        outage.until = now + limit;
        Ok(())
    }

    fn named(&self, error: &io::Error) -> Error {
        match failed(error) {
            Error::Unavailable(why) => Error::Unavailable(format!("{}: {why}", self.server)),
            other => other,
        }
    }

    async fn dial(&self, limit: Duration) -> io::Result<Box<dyn Stream>> {
        match &self.server {
            Server::Unix(path) => self.encrypt(UnixStream::connect(path).await?).await,
            Server::Tcp { host, port } => {
                let stream = dial_tcp(host, *port, limit).await?;
                stream.set_nodelay(true)?;
                self.encrypt(stream).await
            }
        }
    }

    async fn encrypt(&self, stream: impl Stream + 'static) -> io::Result<Box<dyn Stream>> {
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some((tls, name)) => Ok(Box::new(tls.connect(name.clone(), stream).await?)),
        }
    }
}

/// Tries each address of a name for its share of the time.
async fn dial_tcp(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let began = Instant::now();
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (index, address) in addresses.iter().enumerate() {
        let left = limit.saturating_sub(began.elapsed());
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        error = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
    }
    Err(error)
}

/// One connection.
pub(crate) struct Connection {
    stream: BufReader<Box<dyn Stream>>,
    is_fresh: bool,
}

impl Connection {
    fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream: BufReader::new(stream),
            is_fresh: true,
        }
    }

    /// No exchange was had on it yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Sends a question, or several.
    pub(crate) async fn send(&mut self, question: &[u8]) -> Result<(), Error> {
        let sent = async {
            self.stream.write_all(question).await?;
            self.stream.flush().await
        };
        sent.await.map_err(|error| failed(&error))
    }

    /// Reads a line, without its end.
    pub(crate) async fn line(&mut self) -> Result<String, Error> {
        let mut line = Vec::new();
        let read = (&mut self.stream)
            .take(LINE)
            .read_until(b'\n', &mut line)
            .await;
        read.map_err(|error| failed(&error))?;
        match line.strip_suffix(b"\r\n") {
            Some(text) => String::from_utf8(text.to_vec()).map_err(|_| nonsense("not text")),
            None if line.last() == Some(&b'\n') => Err(nonsense("a line that ends badly")),
            None if line.len() as u64 == LINE => Err(nonsense("a line without an end")),
            None => Err(cut_off()),
        }
    }

    /// Reads a value of so many bytes and the end of line behind it.
    pub(crate) async fn value(&mut self, size: usize) -> Result<Vec<u8>, Error> {
        if size > VALUE {
            return Err(nonsense("a value of more than 64 MiB"));
        }
        let mut value = Vec::new();
        let read = (&mut self.stream)
            .take(size as u64 + 2)
            .read_to_end(&mut value)
            .await;
        read.map_err(|error| failed(&error))?;
        if value.len() < size + 2 {
            return Err(cut_off());
        }
        match value.split_off(size) == b"\r\n" {
            true => Ok(value),
            false => Err(nonsense("a value longer than announced")),
        }
    }

    /// Neither has something more to say, nor was closed.
    fn is_silent(&mut self) -> bool {
        let mut byte = [0];
        let mut read = ReadBuf::new(&mut byte);
        let mut context = Context::from_waker(Waker::noop());
        let poll = Pin::new(&mut self.stream).poll_read(&mut context, &mut read);
        matches!(poll, Poll::Pending)
    }
}

/// An answer that is none. `what` is about its form: it never repeats the answer.
pub(crate) fn nonsense(what: &str) -> Error {
    Error::BadReply(what.to_owned())
}

fn cut_off() -> Error {
    Error::Unavailable("the connection was closed before the answer was complete".into())
}

/// Trouble with TLS is a refusal: no later attempt goes better until somebody changes a certificate.
fn failed(error: &io::Error) -> Error {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => Error::Refused(format!("TLS: {error}")),
        None => Error::Unavailable(error.to_string()),
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
