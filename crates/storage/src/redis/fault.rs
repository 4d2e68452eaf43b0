//! What the client's and the server's errors mean for a session.

use std::fmt::Display;
use std::io;

use super::reply::{Reply, ServerError};
use crate::Error;

/// A reply, unless it is the server's error.
pub(super) fn answer(reply: Reply) -> Result<Reply, Error> {
    match reply {
        Reply::Error(error) => Err(refused(&error)),
        reply => Ok(reply),
    }
}

/// The server's error. Its text is not handed on: it may quote what we sent.
pub(super) fn refused(error: &ServerError) -> Error {
    let unavailable = |text: &str| Error::Unavailable(text.to_owned());
    match error.code() {
        "NOAUTH" => Error::Refused("it asks for a password".into()),
        "WRONGPASS" => Error::Refused("the user name or password is wrong".into()),
        "NOPERM" => {
            Error::Refused("the user's ACL lacks a command or the pattern of the names".into())
        }
        "DENIED" => Error::Refused("it is in protected mode".into()),
        "OOM" => Error::Full,
        "LOADING" => unavailable("it is still loading its data"),
        "READONLY" => unavailable("it is a replica and takes no writes"),
        "MASTERDOWN" => unavailable("it is a replica that has lost its master"),
        "CLUSTERDOWN" => unavailable("the cluster is down"),
        "MOVED" | "ASK" => unavailable("it is a node of a cluster, which takes node lines"),
        "MISCONF" => unavailable("it cannot save its data to disk and takes no writes"),
        "NOREPLICAS" => unavailable("it has too few replicas to take writes"),
        "BUSY" => unavailable("it is busy with a script"),
        "TRYAGAIN" => unavailable("the cluster is moving the record"),
        "WRONGTYPE" => Error::BadReply("what has the name of a record or list is neither".into()),
        "ERR" if is_full(error) => unavailable("it has as many clients as it may have"),
        code => Error::BadReply(format!("error {}", word(code))),
    }
}

/// The server's error to a command of the beginning of a connection.
pub(super) fn refused_at_login(error: &ServerError) -> Error {
    match error.code() {
        "ERR" if !is_full(error) => {
            Error::Refused("it does not take the user name, password or database".into())
        }
        _ => refused(error),
    }
}

fn is_full(error: &ServerError) -> bool {
    error
        .details()
        .is_some_and(|details| details.starts_with("max number of clients"))
}

fn word(code: &str) -> &str {
    let is_one = code.len() <= 20 && code.chars().all(|c| c.is_ascii_uppercase());
    if is_one { code } else { "of an unknown kind" }
}

/// The same, with the one it comes from.
pub(super) fn from(whom: impl Display, error: Error) -> Error {
    match error {
        Error::Unavailable(text) => Error::Unavailable(format!("{whom}: {text}")),
        Error::Refused(text) => Error::Refused(format!("{whom}: {text}")),
        other => other,
    }
}

/// An error of the operating system or of TLS.
pub(super) fn broken(error: &io::Error) -> Error {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(tls) => Error::Refused(format!("TLS: {tls}")),
        None => Error::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn server_error(text: &str) -> ServerError {
        ServerError::new(text)
    }

    #[test]
    fn kinds_of_server_errors() {
        for (text, kind) in [
            ("NOAUTH Authentication required.", "refused"),
            ("WRONGPASS invalid username-password pair", "refused"),
            ("NOPERM this user has no permissions", "refused"),
            ("DENIED Redis is running in protected mode", "refused"),
            (
                "OOM command not allowed when used memory > 'maxmemory'.",
                "full",
            ),
            ("LOADING Redis is loading", "unavailable"),
            ("READONLY You can't write", "unavailable"),
            ("CLUSTERDOWN Hash slot not served", "unavailable"),
            ("MOVED 1 127.0.0.1:1", "unavailable"),
            ("ERR max number of clients reached", "unavailable"),
            ("ERR something", "bad-reply"),
            ("WRONGTYPE Operation", "bad-reply"),
        ] {
            assert_eq!(refused(&server_error(text)).kind(), kind, "{text}");
        }
        let database = server_error("ERR DB index is out of range");
        assert_eq!(refused_at_login(&database).kind(), "refused");
        let full = server_error("ERR max number of clients reached");
        assert_eq!(refused_at_login(&full).kind(), "unavailable");
    }

    #[test]
    fn what_the_server_quotes_is_not_handed_on() {
        for text in ["ERR unknown command 'secret'", "secret secret", "SECRET x"] {
            let shown = refused(&server_error(text)).to_string();
            assert!(!shown.contains("secret"), "{shown}");
        }
    }

    #[test]
    fn tls_is_seen_through_the_stream() {
        let tls = rustls::Error::NoCertificatesPresented;
        let error = io::Error::new(io::ErrorKind::InvalidData, tls);
        assert_eq!(broken(&error).kind(), "refused");
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(broken(&closed).kind(), "unavailable");
    }
}
