//! Base64 in the URL alphabet without padding, the only text form on the wire and at rest.
//!
//! Strict: padding, foreign characters and non-zero unused bits in the last character are refused, so that a value has exactly
//! one text.

use base64_simd::{Out, URL_SAFE_NO_PAD};
use thiserror::Error;

/// A text that is not the one of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is not base64 in the URL alphabet without padding")]
pub struct DecodeError;

/// Characters that `bytes` bytes take when encoded.
#[must_use]
pub const fn encoded_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// The text of `bytes`.
#[must_use]
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// Appends the text of `bytes` to `text`.
pub fn encode_onto(bytes: &[u8], text: &mut String) {
    URL_SAFE_NO_PAD.encode_append(bytes, text);
}

/// Whether `text` is the one text of some bytes.
#[must_use]
pub fn is_text(text: &str) -> bool {
    URL_SAFE_NO_PAD.check(text.as_bytes()).is_ok()
}

/// The bytes of `text`.
///
/// # Errors
/// When `text` is not the one text of some bytes.
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, DecodeError> {
    URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| DecodeError)
}

/// Fills `bytes` from `text`; answers how many bytes were written.
///
/// # Errors
/// When `text` is not the one text of some bytes, or `bytes` is too short.
pub fn decode_onto(text: &[u8], bytes: &mut [u8]) -> Result<usize, DecodeError> {
    if text.len() > encoded_len(bytes.len()) {
        return Err(DecodeError);
    }
    URL_SAFE_NO_PAD
        .decode(text, Out::from_slice(bytes))
        .map(|written| written.len())
        .map_err(|_| DecodeError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_text() {
        assert_eq!(encode([0xff]), "_w");
        assert_eq!(decode("_w"), Ok(vec![0xff]));
        assert!(
            is_text("_w") && is_text("") && !is_text("_x") && !is_text("\"\"") && !is_text("_w=")
        );
        for other in ["_x", "_w==", "_w=", "/w", "_w\n", " _w"] {
            assert!(decode(other).is_err(), "{other:?} was accepted");
        }
    }

    /// What a decoder by words sees in its first steps, in its last and where they meet.
    #[test]
    fn every_foreign_character_is_refused_wherever_it_stands() {
        for length in (4..200).filter(|length| length % 4 != 1) {
            for at in 0..length {
                for foreign in b"=+/ \n\0,.:;@[`{~\x7f\x80\xff" {
                    let mut text = vec![b'A'; length];
                    text[at] = *foreign;
                    assert!(decode(&text).is_err(), "{foreign:#x} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn bits_that_are_in_no_byte_are_refused_at_every_length() {
        for length in 2..200 {
            let mut text = vec![b'A'; length];
            let accepted = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
                .iter()
                .filter(|last| {
                    text[length - 1] = **last;
                    decode(&text).is_ok()
                })
                .count();
            assert_eq!(accepted, [64, 0, 4, 16][length % 4], "{length}");
        }
    }

    #[test]
    fn bytes_come_back_whatever_they_are() {
        let bytes: Vec<u8> = (0..=255).cycle().skip(91).take(700).collect();
        for length in 0..bytes.len() {
            let text = encode(&bytes[..length]);
            assert_eq!(decode(&text).as_deref(), Ok(&bytes[..length]));
            let mut room = vec![0; length];
            assert_eq!(decode_onto(text.as_bytes(), &mut room), Ok(length));
            assert_eq!(room, bytes[..length]);
            if length > 0 {
                assert!(decode_onto(text.as_bytes(), &mut room[1..]).is_err());
            }
        }
    }

    #[test]
    fn length_is_that_of_the_text() {
        for n in 0..200 {
            assert_eq!(encode(vec![7; n]).len(), encoded_len(n));
        }
    }
}
