//! The lists of sessions an audience and subject have (`session_store_metadata`).
//!
//! A collection is named by audience and subject. Where the storage has no better structure it is a text that is only ever
//! appended to: `key:eeeeeee;` for a session and the time its record ends, `key;` for one that is withdrawn; the last word about
//! a key counts.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::base64url;

/// A collection: audience and subject in the form in which they are part of names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetaEntry {
    /// Base64 of the audience.
    pub audience: String,
    /// Base64 of the subject, or of the first half of its SHA-256.
    pub subject: String,
}

impl MetaEntry {
    /// The collection of an audience and a subject, as they are.
    #[must_use]
    pub fn new(audience: &str, subject: &str, hash_subject: bool) -> Self {
        let subject = if hash_subject {
            base64url::encode(&Sha256::digest(subject)[..16])
        } else {
            base64url::encode(subject)
        };
        Self {
            audience: base64url::encode(audience),
            subject,
        }
    }
}

/// The name of a collection in redis, memcached, dshm and shm: `prefix:cookie:audience:subject:suffix`.
#[must_use]
pub fn collection_name(
    prefix: Option<&str>,
    cookie: &str,
    entry: &MetaEntry,
    suffix: Option<&str>,
) -> String {
    crate::record::record_name(
        prefix,
        cookie,
        &format!("{}:{}", entry.audience, entry.subject),
        suffix,
    )
}

/// The name of a collection's file: `prefix_cookie_audience:subject.suffix`.
#[must_use]
pub fn file_collection_name(
    prefix: Option<&str>,
    cookie: &str,
    entry: &MetaEntry,
    suffix: Option<&str>,
) -> String {
    crate::record::file_record_name(
        prefix,
        cookie,
        &format!("{}:{}", entry.audience, entry.subject),
        suffix,
    )
}

/// `key:eeeeeee;`: the record of `key` ends at `expires` (Unix seconds, 40 bits of it).
#[must_use]
pub fn live_entry(key: &str, expires: u64) -> String {
    format!("{key}:{};", base64url::encode(&expires.to_le_bytes()[..5]))
}

/// `key;`: the session is no more.
#[must_use]
pub fn withdrawn_entry(key: &str) -> String {
    format!("{key};")
}

/// A list that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the list of sessions is broken at byte {at}")]
pub struct MetadataError {
    /// Where the first broken entry starts.
    pub at: usize,
}

/// The sessions of a list that are neither withdrawn nor over at `now`: key and Unix seconds of its end.
///
/// # Errors
/// When an entry is neither of the two forms.
pub fn latest(list: &[u8], now: u64) -> Result<BTreeMap<String, u64>, MetadataError> {
    let mut sessions = BTreeMap::new();
    let mut at = 0;
    for entry in list.split_inclusive(|&b| b == b';') {
        let (key, expires) = parse_entry(entry).ok_or(MetadataError { at })?;
        match expires {
            Some(expires) if expires > now => sessions.insert(key.to_owned(), expires),
            _ => sessions.remove(key),
        };
        at += entry.len();
    }
    Ok(sessions)
}

/// Characters of a storage key.
const KEY_SIZE: usize = 43;

fn parse_entry(entry: &[u8]) -> Option<(&str, Option<u64>)> {
    let entry = std::str::from_utf8(entry.strip_suffix(b";")?).ok()?;
    let (key, expires) = match entry.split_once(':') {
        Some((key, expires)) => (key, Some(parse_expires(expires)?)),
        None => (entry, None),
    };
    (key.len() == KEY_SIZE).then_some((key, expires))
}

fn parse_expires(text: &str) -> Option<u64> {
    let bytes: [u8; 5] = base64url::decode(text).ok()?.try_into().ok()?;
    let mut wide = [0; 8];
    wide[..5].copy_from_slice(&bytes);
    Some(u64::from_le_bytes(wide))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const B: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";

    #[test]
    fn the_last_word_about_a_key_counts() {
        let list = [
            live_entry(A, 100),
            live_entry(B, 200),
            withdrawn_entry(A),
            live_entry(B, 300),
        ]
        .concat();
        assert_eq!(
            latest(list.as_bytes(), 50).unwrap(),
            BTreeMap::from([(B.to_owned(), 300)])
        );
        assert_eq!(latest(list.as_bytes(), 300).unwrap(), BTreeMap::new());
        assert_eq!(
            latest((list + &live_entry(A, 400)).as_bytes(), 300).unwrap(),
            BTreeMap::from([(A.to_owned(), 400)])
        );
        assert_eq!(latest(b"", 0).unwrap(), BTreeMap::new());
    }

    #[test]
    fn an_entry_is_43_characters_and_7() {
        assert_eq!(live_entry(A, 1_700_000_000).len(), 43 + 1 + 7 + 1);
        for broken in [
            A.to_owned(),
            format!("{A}:;"),
            format!("{A}:AAAA;"),
            "x;".to_owned(),
            format!("{A}:AAAAAAA"),
        ] {
            assert_eq!(
                latest(broken.as_bytes(), 0),
                Err(MetadataError { at: 0 }),
                "{broken}"
            );
        }
        assert_eq!(
            latest(format!("{A};;").as_bytes(), 0),
            Err(MetadataError { at: 44 })
        );
    }

    #[test]
    fn names_never_hold_a_raw_subject() {
        let plain = MetaEntry::new("aud", "../o'brien", false);
        assert_eq!(
            (plain.audience.as_str(), plain.subject.as_str()),
            ("YXVk", "Li4vbydicmllbg")
        );
        let hashed = MetaEntry::new("aud", "../o'brien", true);
        assert_eq!(hashed.subject.len(), 22);
        assert_eq!(
            collection_name(Some("p"), "sid", &plain, Some("s")),
            "p:sid:YXVk:Li4vbydicmllbg:s"
        );
        assert_eq!(
            file_collection_name(None, "sid", &plain, None),
            "sid_YXVk:Li4vbydicmllbg"
        );
    }
}
