//! Why a token is not a session.

use thiserror::Error;

use crate::record::RecordError;

/// The reason a token was refused. The text is for the log: it never holds a part of the token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The request has no token.
    #[error("there is no session cookie")]
    Missing,
    /// It does not look like a token of this configuration.
    #[error("the session cookie is malformed: {0}")]
    BadFormat(#[from] FormatError),
    /// It is not ours, it was changed, or it is bound to another client.
    #[error(
        "the session cookie's signature is wrong: made under another secret, changed, or bound to another client"
    )]
    BadSignature,
    /// Too long since it was last used.
    #[error("the session's idling timeout has passed")]
    ExpiredIdling,
    /// Too long since it was last saved.
    #[error("the session's rolling timeout has passed")]
    ExpiredRolling,
    /// Too long since it was created.
    #[error("the session's absolute timeout has passed")]
    ExpiredAbsolute,
    /// The storage has no record of it.
    #[error("the storage has no record of the session: it was ended, or it has expired there")]
    NoRecord,
    /// The storage's record is not the token's.
    #[error("the session's record cannot be used: {0}")]
    BadRecord(#[from] RecordError),
}

impl Refusal {
    /// The value of `$session_status`.
    #[must_use]
    pub fn status(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::BadFormat(_) => "bad-format",
            Self::BadSignature => "bad-signature",
            Self::ExpiredIdling => "expired-idling",
            Self::ExpiredRolling => "expired-rolling",
            Self::ExpiredAbsolute => "expired-absolute",
            Self::NoRecord | Self::BadRecord(_) => "no-record",
        }
    }
}

/// What is wrong with a token's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FormatError {
    /// Not 110 characters of header.
    #[error("it is shorter than a header of 110 characters")]
    HeaderSize,
    /// The header is not base64.
    #[error("its header is not base64 in the URL alphabet")]
    HeaderBase64,
    /// A type that does not exist.
    #[error("its type is unknown")]
    Type,
    /// Made for the other kind of storage.
    #[error("it was made for another kind of storage (cookie or server), see session_storage")]
    Storage,
    /// A remember token that claims to have been touched.
    #[error("a remember cookie is never touched, this one claims to be")]
    Idling,
    /// Not as long as the header says.
    #[error("its payload has not the length the header names")]
    PayloadSize,
    /// A chunk is missing or has a wrong length.
    #[error("chunk {0} is missing or has not the length the header implies")]
    Chunk(usize),
    /// More than nine cookies' worth.
    #[error("it claims to need more than nine cookies")]
    TooManyChunks,
    /// The payload is not base64.
    #[error("its payload is not base64 in the URL alphabet")]
    PayloadBase64,
    /// What was encrypted is not what a session is.
    #[error("its content cannot be used: {0}")]
    Content(#[from] ContentError),
}

/// What is wrong with a decrypted payload. It was authentic, so another program or configuration made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ContentError {
    /// The deflated stream is broken.
    #[error("the deflated data is broken")]
    Inflate,
    /// Above `session_max_data`.
    #[error("it holds more than session_max_data allows")]
    TooLarge,
    /// Not JSON of the expected shape.
    #[error("it is not a list of [data, audience, subject] in JSON")]
    Json,
    /// This audience's data is not an object.
    #[error("the data of this audience is not a JSON object")]
    NotAnObject,
}
