//! Making connections.

use mysql_async::prelude::Queryable;
use mysql_async::{ClientIdentity, Conn, Opts, OptsBuilder, SslOpts};
use rustls::RootCertStore;

use super::MysqlConfig;
use super::error::refusal;
use crate::config::Tls;
use crate::pool::{Connector, Trouble};
use crate::sql::{is_identifier, statement_timeout};
use crate::{ConfigError, Error, Server};

/// Makes connections to one server.
pub(super) struct Dialer(Opts);

impl Dialer {
    pub(super) fn new(config: &MysqlConfig) -> Result<Self, ConfigError> {
        let common = &config.common;
        let password = common.password.as_ref().map(|password| password.expose());
        let options = OptsBuilder::default()
            .user(common.username.as_deref())
            .pass(password)
            .db_name(Some(&config.database))
            .prefer_socket(false)
            .setup(setup(config)?);
        let options = match &config.server {
            Server::Unix(_) if common.tls.is_some() => {
                return Err(ConfigError::Wrong(
                    "a Unix socket has no TLS: turn ssl off, or name host and port".into(),
                ));
            }
            Server::Unix(path) => options.socket(Some(path.display().to_string())),
            Server::Tcp { host, port } => {
                let tls = common.tls.as_ref().map(|tls| ssl_options(tls, host));
                options
                    .ip_or_hostname(host)
                    .tcp_port(*port)
                    .ssl_opts(tls.transpose()?)
            }
        };
        Ok(Self(options.into()))
    }
}

/// What every connection is set to. The limit of a statement is said to MariaDB and to MySQL in their own ways; each takes that of
/// the other for a comment.
fn setup(config: &MysqlConfig) -> Result<Vec<String>, ConfigError> {
    let limit = statement_timeout(&config.common);
    let settings = format!(
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES', SESSION innodb_lock_wait_timeout = {} \
         /*M!100101 , SESSION max_statement_time = {:.3} */ /*!50708 , SESSION max_execution_time = {} */",
        limit.as_secs() + 1,
        limit.as_secs_f64(),
        limit.as_millis()
    );
    match &config.charset {
        None => Ok(vec![settings]),
        Some(charset) if is_identifier(charset) => {
            Ok(vec![settings, format!("SET NAMES {charset}")])
        }
        Some(charset) => Err(ConfigError::Wrong(format!(
            "\"{charset}\" is no name of a character set"
        ))),
    }
}

/// The client makes its own rustls configuration of this; ours is made once to see that all can be used.
fn ssl_options(tls: &Tls, host: &str) -> Result<SslOpts, ConfigError> {
    tls.client_config()?;
    tls.server_name(host)?;
    let options =
        SslOpts::default()
            .with_danger_tls_hostname_override(tls.name.clone())
            .with_client_identity(tls.identity.as_ref().map(|(chain, key)| {
                ClientIdentity::new(chain.clone().into(), key.to_vec().into())
            }));
    if !tls.verify {
        return Ok(options.with_danger_accept_invalid_certs(true));
    }
    Ok(options
        .with_disable_built_in_roots(true)
        .with_root_certs(match &tls.trusted {
            Some(pem) => vec![pem.clone().into()],
            None => system_certificates().map(Into::into).collect(),
        }))
}

/// Those of them that can be used: the client takes all or nothing.
fn system_certificates() -> impl Iterator<Item = Vec<u8>> {
    let certificates = rustls_native_certs::load_native_certs().certs.into_iter();
    certificates
        .filter(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok())
        .map(|certificate| certificate.to_vec())
}

impl Connector for Dialer {
    type Connection = Connection;

    async fn connect(&self) -> Result<Connection, Error> {
        let mut client = Conn::new(self.0.clone()).await.map_err(refusal)?;
        let packet: Option<usize> = client
            .query_first("SELECT @@max_allowed_packet")
            .await
            .map_err(refusal)?;
        let limit = packet.map_or(MEDIUM_TEXT, |packet| packet.saturating_sub(OVERHEAD));
        Ok(Connection {
            client,
            limit: limit.min(MEDIUM_TEXT),
        })
    }

    fn is_open(connection: &Connection) -> bool {
        !connection.client.is_disconnected()
    }
}

/// Bytes that the column of the schema can hold.
const MEDIUM_TEXT: usize = (1 << 24) - 1;
/// Bytes of a write besides its value.
const OVERHEAD: usize = 1024;

/// A connection.
pub(super) struct Connection {
    pub(super) client: Conn,
    /// Bytes of a value that it takes.
    limit: usize,
}

impl Connection {
    pub(super) fn check_size(&self, size: usize) -> Result<(), Trouble> {
        match size <= self.limit {
            true => Ok(()),
            false => Err(Trouble::Failed(Error::TooLarge {
                size,
                limit: self.limit,
            })),
        }
    }
}
