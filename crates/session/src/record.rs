//! What a storage keeps: the record's value and its name.
//!
//! The value is JSON `["<payload>"]`, `["<payload>","<info>"]` or `["<payload>","<info>","<successor>"]`, info being the base64 of
//! `{"<audience>": {…}}`. The third element is ours; readers that do not know it ignore it.

use std::borrow::Cow;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{base64url, scan};

/// A record's value.
#[derive(Clone, PartialEq)]
pub struct Record {
    /// The encrypted payload as text.
    pub payload: String,
    /// The info store: an object for each audience.
    pub info: Option<Map<String, Value>>,
    /// What a record that was replaced says about the one that replaced it.
    pub successor: Option<String>,
}

impl fmt::Debug for Record {
    /// Prints no content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({} characters)", self.payload.len())
    }
}

/// Why a record is not the token's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RecordError {
    /// Above the limit.
    #[error("it is larger than session_max_data allows")]
    TooLarge,
    /// Not JSON of the expected shape.
    #[error("it is not a JSON list of texts")]
    Json,
    /// The info store is not base64 of a JSON object.
    #[error("its info store is not the base64 of a JSON object")]
    Info,
    /// Not as long as the header says.
    #[error("its payload has not the length the session cookie names")]
    PayloadSize,
    /// The payload is not base64.
    #[error("its payload is not base64 in the URL alphabet")]
    PayloadBase64,
    /// The payload does not belong to the token.
    #[error("its payload does not belong to the session cookie, or was changed")]
    Cipher,
    /// What was encrypted is not what a session is.
    #[error("its content cannot be used: {0}")]
    Content(#[from] crate::refusal::ContentError),
}

impl Record {
    /// Reads a value of at most `limit` bytes.
    ///
    /// # Errors
    /// When it is larger or not a record.
    pub fn parse(value: &[u8], limit: usize) -> Result<Self, RecordError> {
        if value.len() > limit {
            return Err(RecordError::TooLarge);
        }
        if let Some(payload) = only_part(value) {
            return Ok(Self {
                payload: payload.to_owned(),
                info: None,
                successor: None,
            });
        }
        let parts: Vec<Option<Cow<'_, str>>> =
            serde_json::from_slice(value).map_err(|_| RecordError::Json)?;
        let mut parts = parts.into_iter();
        let payload = parts
            .next()
            .flatten()
            .ok_or(RecordError::Json)?
            .into_owned();
        let info = match parts.next().flatten() {
            Some(text) if !text.is_empty() => parse_info(&text)?,
            _ => None,
        };
        let successor = parts.next().flatten().map(Cow::into_owned);
        Ok(Self {
            payload,
            info,
            successor,
        })
    }

    /// Writes the value.
    #[must_use]
    pub fn encode(&self) -> String {
        encode(&self.payload, self.info.as_ref(), self.successor.as_deref())
    }
}

/// The payload of a record that has nothing else, as most are written.
fn only_part(value: &[u8]) -> Option<&str> {
    let starts = value.starts_with(b"[") && scan::is_plain(value);
    let (payload, end) = scan::string(value, 1).filter(|_| starts)?;
    (&value[end..] == b"]").then_some(payload)
}

/// The value of a record of these parts.
pub(crate) fn encode(
    payload: &str,
    info: Option<&Map<String, Value>>,
    successor: Option<&str>,
) -> String {
    if info.is_none() && successor.is_none() && base64url::is_text(payload) {
        return ["[\"", payload, "\"]"].concat();
    }
    let info = match (info, successor) {
        (None, None) => None,
        (None, Some(_)) => Some("{}".to_owned()),
        (Some(map), _) => Some(json(map)),
    };
    let info = info.map(base64url::encode);
    let parts = [Some(payload), info.as_deref(), successor];
    json(&parts.into_iter().flatten().collect::<Vec<_>>())
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("texts and maps of JSON values are always JSON")
}

/// Bytes that the record of a session with at most `max_data` bytes of JSON can have: the payload and as much info again, both
/// as base64, and the rest.
#[must_use]
pub fn size_limit(max_data: usize) -> usize {
    max_data.saturating_mul(4).saturating_add(4096)
}

fn parse_info(text: &str) -> Result<Option<Map<String, Value>>, RecordError> {
    let json = base64url::decode(text).map_err(|_| RecordError::Info)?;
    match serde_json::from_slice(&json).map_err(|_| RecordError::Info)? {
        Value::Object(map) if map.is_empty() => Ok(None),
        Value::Object(map) => Ok(Some(map)),
        // An empty table of Lua may be written as an empty list.
        Value::Array(list) if list.is_empty() => Ok(None),
        _ => Err(RecordError::Info),
    }
}

/// The name of a record in redis, memcached, dshm and shm: `prefix:cookie:key:suffix`, absent parts left out.
#[must_use]
pub fn record_name(prefix: Option<&str>, cookie: &str, key: &str, suffix: Option<&str>) -> String {
    let parts: Vec<&str> = prefix
        .into_iter()
        .chain([cookie, key])
        .chain(suffix)
        .collect();
    parts.join(":")
}

/// The name of a record's file: `prefix_cookie_key.suffix`, absent parts left out.
#[must_use]
pub fn file_record_name(
    prefix: Option<&str>,
    cookie: &str,
    key: &str,
    suffix: Option<&str>,
) -> String {
    let parts: Vec<&str> = prefix.into_iter().chain([cookie, key]).collect();
    let mut name = parts.join("_");
    if let Some(suffix) = suffix {
        name.push('.');
        name.push_str(suffix);
    }
    name
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms() {
        let bare = Record {
            payload: "AbC-_".into(),
            info: None,
            successor: None,
        };
        assert_eq!(bare.encode(), r#"["AbC-_"]"#);
        let info = Record {
            info: serde_json::from_str(r#"{"a":{"k":1}}"#).unwrap(),
            ..bare.clone()
        };
        assert_eq!(info.encode(), r#"["AbC-_","eyJhIjp7ImsiOjF9fQ"]"#);
        let replaced = Record {
            successor: Some("next".into()),
            ..bare.clone()
        };
        // The second element must be an object's base64, or readers of the two-element form fail.
        assert_eq!(replaced.encode(), r#"["AbC-_","e30","next"]"#);
        for record in [bare, info, replaced] {
            assert_eq!(Record::parse(record.encode().as_bytes(), 1000), Ok(record));
        }
    }

    #[test]
    fn a_payload_is_found_however_the_list_is_written() {
        for value in [
            r#"["AbC-_"]"#,
            r#"[ "AbC-_" ]"#,
            "[\n\"AbC-_\"]",
            r#"["AbC-_"] "#,
            r#"["Ab\u0043-_"]"#,
            r#"["AbC-_",null]"#,
        ] {
            let record = Record::parse(value.as_bytes(), 100).unwrap();
            assert_eq!(record.payload, "AbC-_", "{value}");
        }
        for value in [
            r#"["a"]]"#,
            r#"["a"] x"#,
            r#"["a"#,
            r#"["a\"]"#,
            "[\"a\n\"]",
            r#""a"]"#,
        ] {
            assert_eq!(
                Record::parse(value.as_bytes(), 100),
                Err(RecordError::Json),
                "{value}"
            );
        }
    }

    #[test]
    fn garbage_is_refused() {
        for (value, error) in [
            ("", RecordError::Json),
            ("[]", RecordError::Json),
            ("[null]", RecordError::Json),
            ("[1]", RecordError::Json),
            (r#"{"a":1}"#, RecordError::Json),
            (r#"["a","!"]"#, RecordError::Info),
            (r#"["a","WzFd"]"#, RecordError::Info),
        ] {
            assert_eq!(Record::parse(value.as_bytes(), 1000), Err(error), "{value}");
        }
        assert_eq!(
            Record::parse(br#"["aaaaaaaaaa"]"#, 10),
            Err(RecordError::TooLarge)
        );
    }

    #[test]
    fn absent_parts_of_a_name_are_left_out() {
        assert_eq!(record_name(Some("p"), "sid", "k", Some("s")), "p:sid:k:s");
        assert_eq!(record_name(Some("p"), "sid", "k", None), "p:sid:k");
        assert_eq!(record_name(None, "sid", "k", Some("s")), "sid:k:s");
        assert_eq!(record_name(None, "sid", "k", None), "sid:k");
        assert_eq!(
            file_record_name(Some("p"), "sid", "k", Some("s")),
            "p_sid_k.s"
        );
        assert_eq!(file_record_name(None, "sid", "k", Some("s")), "sid_k.s");
        assert_eq!(file_record_name(None, "sid", "k", None), "sid_k");
    }
}
