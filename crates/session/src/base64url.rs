//! Base64 in the URL alphabet without padding, the only text form on the wire and at rest.
//!
//! Strict: padding, foreign characters and non-zero unused bits in the last character are refused, so that a value has exactly
//! one text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
pub use base64::{DecodeError, DecodeSliceError};

/// Characters that `bytes` bytes take when encoded.
#[must_use]
pub const fn encoded_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// The text of `bytes`.
#[must_use]
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Appends the text of `bytes` to `text`.
pub fn encode_onto(bytes: &[u8], text: &mut String) {
    URL_SAFE_NO_PAD.encode_string(bytes, text);
}

/// The bytes of `text`.
///
/// # Errors
/// When `text` is not the one text of some bytes.
pub fn decode(text: impl AsRef<[u8]>) -> Result<Vec<u8>, DecodeError> {
    URL_SAFE_NO_PAD.decode(text)
}

/// Fills `bytes` from `text`; answers how many bytes were written.
///
/// # Errors
/// When `text` is not the one text of some bytes, or `bytes` is too short.
pub fn decode_onto(text: &[u8], bytes: &mut [u8]) -> Result<usize, DecodeSliceError> {
    URL_SAFE_NO_PAD.decode_slice(text, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_text() {
        assert_eq!(encode([0xff]), "_w");
        assert_eq!(decode("_w"), Ok(vec![0xff]));
        for other in ["_x", "_w==", "_w=", "/w", "_w\n", " _w"] {
            assert!(decode(other).is_err(), "{other:?} was accepted");
        }
    }

    #[test]
    fn length_is_that_of_the_text() {
        for n in 0..200 {
            assert_eq!(encode(vec![7; n]).len(), encoded_len(n));
        }
    }
}
