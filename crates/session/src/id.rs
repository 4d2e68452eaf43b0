//! The session id: 32 random bytes, meaningless to the client.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::base64url;

/// Bytes of an id.
pub const ID_SIZE: usize = 32;

/// The id of one token. A save makes a new one, a touch keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; ID_SIZE]);

impl SessionId {
    /// An id from bytes of the system's cryptographic random generator.
    #[must_use]
    pub fn from_random(bytes: [u8; ID_SIZE]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; ID_SIZE] {
        &self.0
    }

    /// The text a user may see, 43 characters.
    #[must_use]
    pub fn text(&self) -> String {
        base64url::encode(self.0)
    }

    /// The key of the record in a storage, 43 characters: the id itself, or its SHA-256 so that a reader of the storage does
    /// not learn ids (`session_hash_storage_key`).
    #[must_use]
    pub fn storage_key(&self, hashed: bool) -> String {
        if hashed {
            base64url::encode(Sha256::digest(self.0))
        } else {
            self.text()
        }
    }
}

impl fmt::Debug for SessionId {
    /// Prints no byte: whoever has the id may have the record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_prints_no_byte() {
        assert_eq!(
            format!("{:?}", SessionId::from_random([7; 32])),
            "SessionId(..)"
        );
    }

    #[test]
    fn storage_key_is_the_text_or_its_hash() {
        let id = SessionId::from_random([0; 32]);
        assert_eq!(id.storage_key(false), "A".repeat(43));
        // SHA-256 of 32 zero bytes.
        assert_eq!(
            id.storage_key(true),
            "Zmh6rfhivXdsj8GLjp-OIAiXFIVu4jOzkCpZHQ1fKSU"
        );
    }
}
