//! From entries to the bytes that are encrypted, and back: JSON, deflated when that pays.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::bufread::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde_json::{Map, Value};

use crate::entry::{self, Entry, Stored};
use crate::policy::{Place, Policy};
use crate::refusal::ContentError;
use crate::session::SaveError;
use crate::wiped::Wiped;

/// Levels of objects and lists that an audience's data may have. A reader stops at 128 in all.
pub const MAX_DEPTH: usize = 100;

/// A plaintext, and whether it is deflated.
pub(crate) struct Plain {
    pub bytes: Wiped,
    pub deflated: bool,
}

/// The plaintext of `entries`.
pub(crate) fn write(entries: Vec<&Entry>, p: &Policy) -> Result<Plain, SaveError> {
    if entries
        .iter()
        .flat_map(|entry| entry.changed().flat_map(Map::values))
        .any(|v| is_deeper(v, MAX_DEPTH - 1))
    {
        return Err(SaveError::TooDeep);
    }
    let place = p.place;
    let json = Stored { entries, place }.to_json()?;
    if json.len() > p.max_data {
        return Err(SaveError::TooLarge {
            size: json.len(),
            limit: p.max_data,
        });
    }
    if p.compression_threshold != 0 && json.len() > p.compression_threshold {
        let smaller = deflate(&json)?;
        if smaller.len() < json.len() {
            return Ok(Plain {
                bytes: smaller,
                deflated: true,
            });
        }
    }
    Ok(Plain {
        bytes: json,
        deflated: false,
    })
}

/// The entries of a plaintext.
pub(crate) fn read(plain: &Plain, place: Place, limit: usize) -> Result<Vec<Entry>, ContentError> {
    let inflated;
    let json = if plain.deflated {
        inflated = inflate(&plain.bytes, limit)?;
        &inflated
    } else {
        &plain.bytes
    };
    if json.len() > limit {
        return Err(ContentError::TooLarge);
    }
    entry::parse(json, place).map_err(|_| ContentError::Json)
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(list) => levels == 0 || list.iter().any(|v| is_deeper(v, levels - 1)),
        Value::Object(map) => levels == 0 || map.values().any(|v| is_deeper(v, levels - 1)),
        _ => false,
    }
}

fn deflate(json: &[u8]) -> Result<Wiped, SaveError> {
    let mut encoder =
        DeflateEncoder::new(Vec::with_capacity(json.len() / 2), Compression::default());
    encoder
        .write_all(json)
        .and_then(|()| encoder.finish())
        .map(Wiped::from)
        .map_err(SaveError::Deflate)
}

/// Stops just above `limit`, so that a few bytes cannot become gigabytes.
fn inflate(bytes: &[u8], limit: usize) -> Result<Wiped, ContentError> {
    let mut json = Wiped::with_capacity((bytes.len() * 4).min(limit));
    let stop = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    DeflateDecoder::new(bytes)
        .take(stop)
        .read_to_end(json.unfilled())
        .map_err(|_| ContentError::Inflate)?;
    Ok(json)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn inflating_is_bounded() {
        let bomb = deflate(&vec![b'a'; 10_000_000]).unwrap();
        assert!(bomb.len() < 20_000);
        assert_eq!(inflate(&bomb, 1000).unwrap().len(), 1001);
        let plain = Plain {
            bytes: bomb,
            deflated: true,
        };
        assert_eq!(
            read(&plain, Place::Cookie, 1000).err(),
            Some(ContentError::TooLarge)
        );
    }

    #[test]
    fn deflated_data_has_no_zlib_header() {
        let text = deflate(b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
        assert_ne!(text[0], 0x78);
        assert_eq!(
            inflate(&text, 100).unwrap().as_slice(),
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        );
        assert_eq!(
            inflate(b"\xff\xff\xff", 100).err(),
            Some(ContentError::Inflate)
        );
    }

    #[test]
    fn depth_is_counted_in_levels() {
        let nested = |levels: usize| {
            serde_json::from_str::<Value>(&("[".repeat(levels) + &"]".repeat(levels))).unwrap()
        };
        assert!(!is_deeper(&nested(5), 5));
        assert!(is_deeper(&nested(6), 5));
        assert!(!is_deeper(&Value::from(1), 0));
    }
}
