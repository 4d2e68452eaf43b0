//! Making connections: TCP or Unix socket, TLS, and what the server is told first.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{ChannelBinding, NoTls, TlsConnect, TlsStream};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row, Statement};
use tokio_rustls::TlsConnector;

use super::PostgresConfig;
use super::error::{refusal, trouble};
use super::statements::{Kind, Statements};
use crate::pool::{Connector, Trouble};
use crate::sql::statement_timeout;
use crate::{ConfigError, Error, Server};

/// Makes connections to one server.
pub(super) struct Dialer {
    server: Server,
    login: Config,
    tls: Option<Tls>,
    /// What every connection is set to.
    greeting: String,
    statements: Arc<Statements>,
}

impl Dialer {
    pub(super) fn new(
        config: &PostgresConfig,
        statements: Statements,
    ) -> Result<Self, ConfigError> {
        let common = &config.common;
        let mut login = Config::new();
        login
            .user(common.username.as_deref().unwrap_or("postgres"))
            .dbname(&config.database)
            .application_name(config.application.as_deref().unwrap_or("nginx-session"));
        if let Some(password) = &common.password {
            login.password(password.expose());
        }
        let tls = match (&common.tls, &config.server) {
            (None, _) => None,
            (Some(_), Server::Unix(_)) => {
                return Err(ConfigError::Wrong(
                    "a Unix socket has no TLS: turn ssl off, or name host and port".into(),
                ));
            }
            (Some(tls), Server::Tcp { host, .. }) => Some(Tls {
                connector: Arc::new(tls.client_config()?).into(),
                name: tls.server_name(host)?,
            }),
        };
        login.ssl_mode(match tls {
            Some(_) => SslMode::Require,
            None => SslMode::Disable,
        });
        Ok(Self {
            server: socket_file(config.server.clone()),
            login,
            tls,
            greeting: format!(
                "SET statement_timeout = {}",
                statement_timeout(common).as_millis()
            ),
            statements: Arc::new(statements),
        })
    }

    async fn log_in<S: Stream + 'static>(&self, stream: S) -> Result<Connection, Error> {
        let (client, task) = match self.tls.clone() {
            Some(tls) => {
                let (client, connection) =
                    self.login.connect_raw(stream, tls).await.map_err(refusal)?;
                (client, tokio::spawn(connection))
            }
            None => {
                let (client, connection) = self
                    .login
                    .connect_raw(stream, NoTls)
                    .await
                    .map_err(refusal)?;
                (client, tokio::spawn(connection))
            }
        };
        let connection = Connection {
            client,
            task,
            statements: self.statements.clone(),
            prepared: Default::default(),
            is_late: false,
        };
        connection
            .client
            .batch_execute(&self.greeting)
            .await
            .map_err(refusal)?;
        Ok(connection)
    }
}

/// A directory stands for the socket in it, as with other programs for PostgreSQL.
fn socket_file(server: Server) -> Server {
    let is_socket_file = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.contains(".s.PGSQL."))
    };
    match server {
        Server::Unix(path) if path.is_dir() && !is_socket_file(&path) => {
            Server::Unix(path.join(format!(".s.PGSQL.{}", PostgresConfig::PORT)))
        }
        server => server,
    }
}

impl Connector for Dialer {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection, Error> {
        match &self.server {
            Server::Unix(path) => self.log_in(unix(path).await?).await,
            Server::Tcp { host, port } => {
                // All addresses of the name are tried in turn.
                let stream = TcpStream::connect((host.as_str(), *port))
                    .await
                    .map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                self.log_in(stream).await
            }
        }
    }

    fn is_open(connection: &Connection) -> bool {
        !connection.is_late && !connection.client.is_closed()
    }
}

async fn unix(path: &PathBuf) -> Result<UnixStream, Error> {
    UnixStream::connect(path).await.map_err(unreachable)
}

fn unreachable(error: io::Error) -> Error {
    Error::Unavailable(error.to_string())
}

/// A connection and what was prepared on it.
pub(super) struct Connection {
    client: Client,
    task: JoinHandle<Result<(), tokio_postgres::Error>>,
    statements: Arc<Statements>,
    prepared: [Option<Statement>; Kind::COUNT],
    /// Answers are due that nobody waits for.
    is_late: bool,
}

impl Drop for Connection {
    /// A server that does not answer must not keep the socket open.
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Connection {
    /// Prepares what is not yet prepared on this connection.
    pub(super) async fn prepare(&mut self, kind: Kind) -> Result<Statement, Trouble> {
        if let Some(statement) = &self.prepared[kind as usize] {
            return Ok(statement.clone());
        }
        let statement = self
            .client
            .prepare(self.statements.text(kind))
            .await
            .map_err(trouble)?;
        self.prepared[kind as usize] = Some(statement.clone());
        Ok(statement)
    }

    /// Notes whether all answers came that were due.
    pub(super) fn settle(&mut self, in_time: bool) {
        self.is_late |= !in_time;
    }

    /// Rows of a statement.
    pub(super) async fn rows(
        &mut self,
        kind: Kind,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Trouble> {
        let statement = self.prepare(kind).await?;
        self.client.query(&statement, values).await.map_err(trouble)
    }

    /// Sends a prepared statement; several that are awaited together share a round trip, and are done in the order in which they
    /// are first polled.
    pub(super) async fn execute(
        &self,
        statement: &Statement,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, Trouble> {
        self.client
            .execute(statement, values)
            .await
            .map_err(trouble)
    }
}

/// A stream of bytes to the server.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// TLS as rustls does it, for the client.
#[derive(Clone)]
struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl<S: Stream + 'static> TlsConnect<S> for Tls {
    type Stream = Encrypted<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Encrypted<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let handshake = self.connector.connect(self.name, stream);
        Box::pin(async move { Ok(Encrypted(handshake.await?)) })
    }
}

struct Encrypted<S>(tokio_rustls::client::TlsStream<S>);

impl<S: Stream> TlsStream for Encrypted<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: Stream> AsyncRead for Encrypted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: Stream> AsyncWrite for Encrypted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
