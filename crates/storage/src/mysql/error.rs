//! What an error of the server or the client means.

use std::io;

use mysql_async::{DriverError, Error as ClientError, IoError, ServerError};

use crate::Error;
use crate::pool::Trouble;

/// While a connection was made.
pub(super) fn refusal(error: ClientError) -> Error {
    match trouble(error) {
        Trouble::Failed(error) | Trouble::Again(error) | Trouble::Lost(error) => error,
    }
}

/// While a connection was in use.
pub(super) fn trouble(error: ClientError) -> Trouble {
    let error = match error {
        ClientError::Server(error) => return of_server(&error),
        ClientError::Io(IoError::Io(error)) => of_stream(&error),
        ClientError::Io(IoError::Tls(error)) => Error::Refused(format!("TLS: {error}")),
        ClientError::Driver(error) => of_client(&error),
        ClientError::Other(_) | ClientError::Url(_) => Error::BadReply("unexpected message".into()),
    };
    Trouble::Lost(error)
}

fn of_stream(error: &io::Error) -> Error {
    if let Some(tls) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        return Error::Refused(format!("TLS: {tls}"));
    }
    match error.kind() {
        // What the client says of a packet it cannot read.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::Other => {
            Error::BadReply("a packet cannot be read".into())
        }
        _ => Error::Unavailable(error.to_string()),
    }
}

fn of_client(error: &DriverError) -> Error {
    match error {
        DriverError::ConnectionClosed => Error::Unavailable("it closed the connection".into()),
        DriverError::NoClientSslFlagFromServer
        | DriverError::UnknownAuthPlugin { .. }
        | DriverError::MysqlOldPasswordDisabled
        | DriverError::CleartextPluginDisabled => Error::Refused(error.to_string()),
        // Their texts may hold what was read.
        _ => Error::BadReply("unexpected packet".into()),
    }
}

/// Only the texts about log-in, rights, missing tables and columns that are too short are passed on: they name users, databases,
/// tables and columns. Others may quote what was written.
fn of_server(error: &ServerError) -> Trouble {
    let coded = || format!("error {}", error.code);
    let told = || format!("{} (error {})", error.message, error.code);
    match error.code {
        // Deadlock.
        1213 => Trouble::Again(Error::Unavailable(coded())),
        // Lock wait timeout; statement timeout of MariaDB, and of MySQL; interrupted.
        1205 | 1969 | 3024 | 1317 => Trouble::Failed(Error::Timeout),
        // Table or disk full.
        1114 | 1021 => Trouble::Failed(Error::Full),
        // After a fail-over this server is the one that follows; the name may lead to the other one by now.
        1290 | 1792 | 1836 => Trouble::Lost(Error::Unavailable("it is read-only now".into())),
        // Access denied, unknown database or table or column, no rights, no TLS where it is required, column too short.
        1044 | 1045 | 1049 | 1054 | 1130 | 1142 | 1143 | 1146 | 1227 | 1231 | 1406 | 1698
        | 3159 | 4151 => Trouble::Failed(Error::Refused(told())),
        // Too many connections, of this user too; host blocked; out of memory; shutting down; killed.
        1040 | 1203 | 1226 | 1129 | 1037 | 1041 | 1053 | 1077 | 1079 | 1927 | 4031 => {
            Trouble::Lost(Error::Unavailable(coded()))
        }
        // A prepared statement that is no longer there.
        1243 | 1615 => Trouble::Lost(Error::BadReply(coded())),
        _ => Trouble::Failed(Error::BadReply(coded())),
    }
}
