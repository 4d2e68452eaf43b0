//! Why a storage did not do what it was asked.

use thiserror::Error;

/// Trouble with a storage. None of these means that a session does not exist. The texts never hold a key or a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// No connection.
    #[error(
        "the session storage cannot be reached: {0}; check its server line and that it is running"
    )]
    Unavailable(String),
    /// The deadline passed.
    #[error(
        "the session storage did not answer in time; see its timeout and connect_timeout lines"
    )]
    Timeout,
    /// The storage does not let us in: password, certificate, database, rights.
    #[error(
        "the session storage refused us: {0}; check its username, password, database and ssl lines"
    )]
    Refused(String),
    /// The storage cannot take a value of this size.
    #[error(
        "the session storage takes at most {limit} bytes a record, this one has {size}; see session_max_data"
    )]
    TooLarge {
        /// Bytes of the value.
        size: usize,
        /// The storage's limit in bytes.
        limit: usize,
    },
    /// No room, and nothing may be evicted.
    #[error("the session storage is full; give it a larger size or allow it to evict")]
    Full,
    /// The storage answered what it never should.
    #[error("the session storage gave an answer that is not understood: {0}")]
    BadReply(String),
    /// The operation was given up: the worker exits.
    #[error("the work on the session storage was cancelled")]
    Cancelled,
}

impl Error {
    /// A short word for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Timeout => "timeout",
            Self::Refused(_) => "refused",
            Self::TooLarge { .. } => "too-large",
            Self::Full => "full",
            Self::BadReply(_) => "bad-reply",
            Self::Cancelled => "cancelled",
        }
    }
}
