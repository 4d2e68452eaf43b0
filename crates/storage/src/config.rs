//! What a `session_backend` block says that is common to all servers.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroizing;

/// What is wrong with a backend's lines. The text continues a sentence that begins with the line's name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Not `host:port`, nor `unix:path`.
    #[error(
        "has invalid value \"{0}\": allowed are \"host:port\", \"host\", \"[address]:port\" and \"unix:path\""
    )]
    Server(String),
    /// A certificate or key that rustls does not take.
    #[error("cannot be used: {0}")]
    Tls(String),
    /// Anything else.
    #[error("{0}")]
    Wrong(String),
}

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// Over TCP; the name is resolved at each connection, so that it may move.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Server {
    /// Reads `host:port`, `host`, `[address]:port` or `unix:path`.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, ConfigError> {
        let wrong = || ConfigError::Server(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.is_empty() {
                true => Err(wrong()),
                false => Ok(Self::Unix(path.into())),
            };
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
                (host, port)
            }
            None => match text.find(':') {
                Some(colon) => text.split_at(colon),
                None => (text, ""),
            },
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(wrong)?,
            None if port.is_empty() => default_port,
            None => return Err(wrong()),
        };
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c == '/') {
            return Err(wrong());
        }
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A password. It is not shown, and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a password.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The password, for the client that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// TLS to a server. Files are read when the configuration is, by a process that may read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Check the server's certificate and name.
    pub verify: bool,
    /// PEM certificates to trust; none: those of the system.
    pub trusted: Option<Vec<u8>>,
    /// The name the certificate must have; none: the server's host.
    pub name: Option<String>,
    /// PEM chain and key to show the server.
    pub identity: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

/// The lines that every type of server has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Common {
    /// In front of every name that is stored.
    pub prefix: Option<String>,
    /// Behind it.
    pub suffix: Option<String>,
    /// Limit of making a connection.
    pub connect_timeout: Duration,
    /// Limit of one whole operation.
    pub timeout: Duration,
    /// Connections a worker has at most.
    pub pool_size: usize,
    /// TLS, unless the connection is plain.
    pub tls: Option<Tls>,
    /// Who we are to the server.
    pub username: Option<String>,
    /// How we prove it.
    pub password: Option<Secret>,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            prefix: None,
            suffix: None,
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            pool_size: 8,
            tls: None,
            username: None,
            password: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Result<Server, ConfigError> {
        Ok(Server::Tcp {
            host: host.into(),
            port,
        })
    }

    #[test]
    fn servers() {
        assert_eq!(
            Server::parse("redis.test:7000", 6379),
            tcp("redis.test", 7000)
        );
        assert_eq!(Server::parse("127.0.0.1", 6379), tcp("127.0.0.1", 6379));
        assert_eq!(Server::parse("[::1]:1", 6379), tcp("::1", 1));
        assert_eq!(Server::parse("[::1]", 6379), tcp("::1", 6379));
        assert_eq!(
            Server::parse("unix:/run/x", 1),
            Ok(Server::Unix("/run/x".into()))
        );
        for wrong in [
            "",
            ":1",
            "a:",
            "a:0",
            "a:70000",
            "a b:1",
            "[::1",
            "[::1]x",
            "unix:",
            "redis://a",
        ] {
            assert!(Server::parse(wrong, 6379).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "Secret(..)");
    }
}
