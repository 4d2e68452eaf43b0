//! What an error of the server or the client means.

use std::error::Error as StdError;
use std::io;

use tokio_postgres::error::{DbError, SqlState};

use crate::Error;
use crate::pool::Trouble;

/// While a connection was made.
pub(super) fn refusal(error: tokio_postgres::Error) -> Error {
    match trouble(error) {
        Trouble::Failed(error) | Trouble::Again(error) | Trouble::Lost(error) => error,
    }
}

/// While a connection was in use.
pub(super) fn trouble(error: tokio_postgres::Error) -> Trouble {
    if let Some(error) = error.as_db_error() {
        return of_server(error);
    }
    if error.is_closed() {
        return Trouble::Lost(Error::Unavailable("it closed the connection".into()));
    }
    Trouble::Lost(match error.source() {
        Some(cause) => of_client(cause, &error),
        None => bad_reply(&error),
    })
}

/// A column that is not what the schema says.
pub(super) fn bad_row(error: tokio_postgres::Error) -> Trouble {
    Trouble::Failed(bad_reply(&error))
}

fn bad_reply(error: &tokio_postgres::Error) -> Error {
    Error::BadReply(error.to_string())
}

fn of_client(cause: &(dyn StdError + 'static), error: &tokio_postgres::Error) -> Error {
    let Some(io) = cause.downcast_ref::<io::Error>() else {
        // The server has no TLS, wants a password we have not, or one of a kind we do not know.
        return Error::Refused(format!("{error}: {cause}"));
    };
    if let Some(tls) = io
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        return Error::Refused(format!("TLS: {tls}"));
    }
    match io.kind() {
        // What the client says of a message it cannot read.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            bad_reply(error)
        }
        _ => Error::Unavailable(io.to_string()),
    }
}

/// Only the texts about log-in, rights and missing tables are passed on: they name users, databases and tables. Others may quote
/// what was written.
fn of_server(error: &DbError) -> Trouble {
    let code = error.code();
    let coded = || format!("SQLSTATE {}", code.code());
    let told = || format!("{} (SQLSTATE {})", error.message(), code.code());
    match code.code() {
        "40001" | "40P01" => Trouble::Again(Error::Unavailable(coded())),
        "57014" | "55P03" => Trouble::Failed(Error::Timeout),
        "53100" => Trouble::Failed(Error::Full),
        // After a fail-over this server is the one that follows; the name may lead to the other one by now.
        "25006" => Trouble::Lost(Error::Unavailable("it is read-only now".into())),
        // A table was changed, or a pooler in between has given us another connection of its own.
        _ if *code == SqlState::FEATURE_NOT_SUPPORTED
            || *code == SqlState::INVALID_SQL_STATEMENT_NAME
            || *code == SqlState::DUPLICATE_PSTATEMENT =>
        {
            Trouble::Lost(Error::BadReply(coded()))
        }
        other => match &other[..2] {
            "28" | "3D" | "3F" | "42" => Trouble::Failed(Error::Refused(told())),
            // Too many connections, out of memory; starting up, shutting down; broken.
            "08" | "53" | "57" | "58" | "XX" => Trouble::Lost(Error::Unavailable(coded())),
            _ => Trouble::Failed(Error::BadReply(coded())),
        },
    }
}
