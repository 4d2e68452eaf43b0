//! A connection to one server.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{AsyncConnectionConfig, Cmd, Pipeline, RedisConnectionInfo, RedisResult, Value, cmd};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsConnector;

use super::{commands, fault};
use crate::config::Secret;
use crate::{Common, ConfigError, Deadline, Error, Server, Tls};

/// Who we are to a server, and the database we use there.
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: i64,
}

/// How connections are made.
pub(super) struct Settings {
    pub(super) connect_timeout: Duration,
    /// A connection on which nobody is answered for so long is given up.
    pub(super) patience: Duration,
    pub(super) login: Login,
    tls: Option<(TlsConnector, Tls)>,
}

impl Settings {
    pub(super) fn new(common: &Common, login: Login) -> Result<Self, ConfigError> {
        let tls = match &common.tls {
            None => None,
            Some(tls) => Some((Arc::new(tls.client_config()?).into(), tls.clone())),
        };
        Ok(Self {
            connect_timeout: common.connect_timeout,
            patience: (common.timeout / 2).min(Duration::from_millis(100)),
            login,
            tls,
        })
    }
}

/// Commands that may wait to be written.
const QUEUE: usize = 1024;

/// A connection on which the commands of many tasks are under way. It ends when the last one drops it.
pub(super) struct Connection {
    client: MultiplexedConnection,
    driver: JoinHandle<()>,
    /// Batches that were answered.
    answered: AtomicUsize,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Why commands on a connection have no reply.
pub(super) enum Failure {
    /// The connection is of no use any more. What became of the commands is unknown.
    Lost(Error),
    /// The time is over.
    Late,
}

impl Connection {
    /// Connects and logs in, by the deadline.
    pub(super) async fn open(
        settings: &Settings,
        login: &Login,
        server: &Server,
        deadline: Deadline,
    ) -> Result<Self, Error> {
        let opening = async {
            let connection = match server {
                Server::Unix(path) => Self::over(unix(path).await?).await,
                Server::Tcp { host, port } => {
                    let stream = tcp(host, *port, deadline).await?;
                    match &settings.tls {
                        None => Self::over(stream).await,
                        Some((connector, tls)) => {
                            Self::over(encrypt(connector, tls, host, stream).await?).await
                        }
                    }
                }
            };
            let connection = connection.map_err(|error| fault::lost(&error))?;
            log_in(&mut connection.client.clone(), login).await?;
            Ok(connection)
        };
        match timeout_at(deadline.instant().into(), opening).await {
            Ok(result) => result.map_err(|error| fault::from(server, error)),
            Err(_) => Err(Error::Timeout),
        }
    }

    async fn over<S>(stream: S) -> RedisResult<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // We log in by ourselves, for the sake of the errors, and each operation has its own deadline.
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE);
        let (client, driver) =
            MultiplexedConnection::new_with_config(&info, stream, config).await?;
        Ok(Self {
            client,
            driver: tokio::spawn(driver),
            answered: AtomicUsize::new(0),
        })
    }

    /// The server has closed it.
    pub(super) fn is_closed(&self) -> bool {
        self.driver.is_finished()
    }

    /// Sends commands and waits for their replies.
    pub(super) async fn run(
        &self,
        batch: &Pipeline,
        deadline: Deadline,
    ) -> Result<Vec<Value>, Failure> {
        let mut client = self.client.clone();
        let replies = commands::run(&mut client, batch);
        match timeout_at(deadline.instant().into(), replies).await {
            Ok(Ok(replies)) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                Ok(replies)
            }
            Ok(Err(error)) => Err(Failure::Lost(fault::lost(&error))),
            Err(_) => Err(Failure::Late),
        }
    }

    /// How many batches were answered on it so far.
    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }
}

async fn unix(path: &Path) -> Result<UnixStream, Error> {
    let stream = UnixStream::connect(path).await;
    stream.map_err(|error| fault::broken(&error))
}

/// Connects to the first address of the name that answers. Each gets its share of the time.
async fn tcp(host: &str, port: u16, deadline: Deadline) -> Result<TcpStream, Error> {
    let unresolved =
        |error| Error::Unavailable(format!("the name \"{host}\" has no address: {error}"));
    let addresses: Vec<SocketAddr> = lookup_host((host, port))
        .await
        .map_err(unresolved)?
        .collect();
    let mut result = Err(Error::Unavailable(format!(
        "the name \"{host}\" has no address"
    )));
    for (nth, address) in addresses.iter().enumerate() {
        let others = u32::try_from(addresses.len() - nth).unwrap_or(u32::MAX);
        let share = deadline.left() / others;
        result = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return prepare(stream),
            Ok(Err(error)) => Err(fault::broken(&error)),
            Err(_) => Err(Error::Timeout),
        };
    }
    result
}

/// Many firewalls forget a connection that is silent for minutes; the first request after it would wait in vain.
fn prepare(stream: TcpStream) -> Result<TcpStream, Error> {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    let set = stream
        .set_nodelay(true)
        .and_then(|()| SockRef::from(&stream).set_tcp_keepalive(&keepalive));
    set.map_err(|error| fault::broken(&error))?;
    Ok(stream)
}

async fn encrypt(
    connector: &TlsConnector,
    tls: &Tls,
    host: &str,
    stream: TcpStream,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, Error> {
    let name = tls.server_name(host);
    let name = name.map_err(|error| Error::Refused(error.to_string()))?;
    let stream = connector.connect(name, stream).await;
    stream.map_err(|error| fault::broken(&error))
}

/// Says who we are and which database we use, and hears that the server answers at all.
async fn log_in(connection: &mut impl ConnectionLike, login: &Login) -> Result<(), Error> {
    let batch = commands::batch(login.commands());
    let replies = commands::run(connection, &batch).await;
    for reply in replies.map_err(|error| fault::lost(&error))? {
        match reply {
            // A user who may not PING is known to the server.
            Value::ServerError(error) if error.code() != "NOPERM" => {
                return Err(fault::refused_at_login(&error));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Login {
    fn commands(&self) -> Vec<Cmd> {
        let mut commands = Vec::new();
        if self.username.is_some() || self.password.is_some() {
            let mut auth = cmd("AUTH");
            auth.arg(&self.username)
                .arg(self.password.as_ref().map_or("", Secret::expose));
            commands.push(auth);
        }
        if self.database != 0 {
            let mut select = cmd("SELECT");
            select.arg(self.database);
            commands.push(select);
        }
        commands.push(cmd("PING"));
        commands
    }
}
