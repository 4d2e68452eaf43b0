//! The 82 bytes at the start of every token, 110 characters as text. All numbers are little-endian.

use std::fmt;

use bitflags::bitflags;

use crate::base64url;
use crate::id::{ID_SIZE, SessionId};
use crate::refusal::FormatError;

/// Bytes of a header.
pub const HEADER_SIZE: usize = 82;
/// Characters of a header.
pub const HEADER_TEXT_SIZE: usize = base64url::encoded_len(HEADER_SIZE);
/// Characters of all up to the end of the cipher's tag, which a touch leaves as it is.
pub(crate) const SEALED_TEXT_SIZE: usize = base64url::encoded_len(AAD_SIZE + 16);
/// Bytes that the cipher authenticates: all up to the tag.
pub const AAD_SIZE: usize = 47;
/// Bytes that the MAC authenticates: all before it.
pub const MACED_SIZE: usize = 66;
/// The latest creation time that fits, in Unix seconds.
pub const MAX_CREATED: u64 = (1 << 40) - 1;
/// The largest payload that fits, in characters.
pub const MAX_DATA_SIZE: usize = (1 << 24) - 1;
/// The largest idling offset that fits, in seconds.
pub const MAX_IDLING_OFFSET: u32 = (1 << 24) - 1;

const TYPE: u8 = 1;

bitflags! {
    /// What a token says about itself. Bits without a name are kept as they came.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Flags: u16 {
        /// The payload is a record in a storage, the cookie is the header alone.
        const STORAGE = 0x0001;
        /// The user does not want to be remembered.
        const FORGET = 0x0002;
        /// The payload is deflated.
        const DEFLATE = 0x0010;
        /// Bound to the client's address.
        const BIND_IP = 0x0100;
        /// Bound to the scheme.
        const BIND_SCHEME = 0x0200;
        /// Bound to the user agent.
        const BIND_USER_AGENT = 0x0400;
        /// Bound to further values. Unknown to the reference, which would refuse such a token's MAC.
        const BIND_EXTRA = 0x0800;
        /// Bound to anything.
        const BIND = 0x0f00;
        const _ = !0;
    }
}

/// A header, with its numbers in range.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// Flags.
    pub flags: Flags,
    /// Session id.
    pub id: SessionId,
    /// Creation time in Unix seconds; a renewal keeps it. At most [`MAX_CREATED`].
    pub created: u64,
    /// Seconds from creation to the last save.
    pub rolling_offset: u32,
    /// Characters of the payload. At most [`MAX_DATA_SIZE`].
    pub data_size: u32,
    /// The cipher's tag.
    pub tag: [u8; 16],
    /// Seconds from the last save to the last touch. At most [`MAX_IDLING_OFFSET`].
    pub idling_offset: u32,
    /// The first half of the HMAC.
    pub mac: [u8; 16],
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// When the type is unknown.
    pub fn parse(bytes: &[u8; HEADER_SIZE]) -> Result<Self, FormatError> {
        let mut fields = Fields { rest: bytes };
        let kind = fields.number::<1>();
        if kind != u64::from(TYPE) {
            return Err(FormatError::Type);
        }
        Ok(Self {
            flags: Flags::from_bits_retain(fields.number::<2>() as u16),
            id: SessionId::from_random(fields.take::<ID_SIZE>()),
            created: fields.number::<5>(),
            rolling_offset: fields.number::<4>() as u32,
            data_size: fields.number::<3>() as u32,
            tag: fields.take(),
            idling_offset: fields.number::<3>() as u32,
            mac: fields.take(),
        })
    }

    /// Reads a header from its 110 characters.
    ///
    /// # Errors
    /// When it is shorter or longer, not base64, or of an unknown type.
    pub fn parse_text(text: &[u8]) -> Result<Self, FormatError> {
        if text.len() != HEADER_TEXT_SIZE {
            return Err(FormatError::HeaderSize);
        }
        let mut bytes = [0; HEADER_SIZE];
        base64url::decode_onto(text, &mut bytes).map_err(|_| FormatError::HeaderBase64)?;
        Self::parse(&bytes)
    }

    /// Writes the header.
    #[must_use]
    pub fn build(&self) -> [u8; HEADER_SIZE] {
        let mut bytes = [0; HEADER_SIZE];
        bytes[0] = TYPE;
        bytes[1..3].copy_from_slice(&self.flags.bits().to_le_bytes());
        bytes[3..35].copy_from_slice(self.id.as_bytes());
        bytes[35..40].copy_from_slice(&self.created.to_le_bytes()[..5]);
        bytes[40..44].copy_from_slice(&self.rolling_offset.to_le_bytes());
        bytes[44..47].copy_from_slice(&self.data_size.to_le_bytes()[..3]);
        bytes[47..63].copy_from_slice(&self.tag);
        bytes[63..66].copy_from_slice(&self.idling_offset.to_le_bytes()[..3]);
        bytes[66..82].copy_from_slice(&self.mac);
        bytes
    }

    /// Unix seconds of the last save.
    #[must_use]
    pub fn saved(&self) -> u64 {
        self.created + u64::from(self.rolling_offset)
    }

    /// Unix seconds of the last save or touch.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.saved() + u64::from(self.idling_offset)
    }
}

impl fmt::Debug for Header {
    /// Prints neither id, tag nor MAC: with them the text would be a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header")
            .field("flags", &self.flags)
            .field("created", &self.created)
            .field("rolling_offset", &self.rolling_offset)
            .field("data_size", &self.data_size)
            .field("idling_offset", &self.idling_offset)
            .finish_non_exhaustive()
    }
}

/// The header's fields from first to last.
struct Fields<'a> {
    rest: &'a [u8],
}

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self
            .rest
            .split_first_chunk()
            .expect("the fields add up to the header's size");
        self.rest = rest;
        *field
    }

    fn number<const N: usize>(&mut self) -> u64 {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(&self.take::<N>());
        u64::from_le_bytes(wide)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            flags: Flags::STORAGE | Flags::BIND_EXTRA | Flags::from_bits_retain(0x4000),
            id: SessionId::from_random([9; 32]),
            created: MAX_CREATED - 1,
            rolling_offset: u32::MAX - 2,
            data_size: MAX_DATA_SIZE as u32 - 3,
            tag: [4; 16],
            idling_offset: MAX_IDLING_OFFSET - 5,
            mac: [6; 16],
        }
    }

    #[test]
    fn what_is_built_is_read_again() {
        assert_eq!(Header::parse(&header().build()), Ok(header()));
    }

    #[test]
    fn text_is_strict() {
        let text = base64url::encode(header().build());
        assert_eq!(text.len(), HEADER_TEXT_SIZE);
        assert_eq!(Header::parse_text(text.as_bytes()), Ok(header()));
        assert_eq!(
            Header::parse_text(&text.as_bytes()[..109]),
            Err(FormatError::HeaderSize)
        );
        assert_eq!(
            Header::parse_text(format!("{text}A").as_bytes()),
            Err(FormatError::HeaderSize)
        );
        // 82 bytes leave four unused bits in the last character.
        let mut other = text.into_bytes();
        let last = other.last_mut().unwrap();
        assert_eq!(*last, b'g');
        *last = b'h';
        assert_eq!(Header::parse_text(&other), Err(FormatError::HeaderBase64));
    }

    #[test]
    fn only_type_one_exists() {
        for kind in [0, 2, 255] {
            let mut bytes = header().build();
            bytes[0] = kind;
            assert_eq!(Header::parse(&bytes), Err(FormatError::Type));
        }
    }

    #[test]
    fn debug_prints_no_part_of_the_token() {
        let text = format!("{:?}", header());
        assert!(
            !text.contains("tag") && !text.contains("mac") && !text.contains("id:"),
            "{text}"
        );
    }
}
