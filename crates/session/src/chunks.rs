//! How a token is spread over several cookies when it does not fit into one.
//!
//! The first cookie keeps the name and holds the header and the start of the payload, `name2` … `name9` hold the rest. The
//! number and all lengths follow from the payload's size and the name's length.

use thiserror::Error;

use crate::header::HEADER_TEXT_SIZE;

/// Most characters of one cookie: name, `=` and value.
pub const MAX_COOKIE_SIZE: usize = 4096;
/// Most cookies of one token.
pub const MAX_CHUNKS: usize = 9;

const MAX_COOKIES_SIZE: usize = MAX_CHUNKS * MAX_COOKIE_SIZE;

/// A payload that nine cookies cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a payload of {size} characters needs more than {MAX_CHUNKS} cookies")]
pub struct TooManyChunks {
    /// Characters of the payload.
    pub size: usize,
}

/// The lengths of a payload's pieces. The header in the first cookie is not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    size: usize,
    count: usize,
    first: usize,
    other: usize,
}

impl Split {
    /// The split of a payload of `size` characters under a cookie name of `name` characters.
    ///
    /// # Errors
    /// When nine cookies cannot hold it.
    pub fn new(name: usize, size: usize) -> Result<Self, TooManyChunks> {
        let count = count(name, size).ok_or(TooManyChunks { size })?;
        let capacity = MAX_COOKIE_SIZE.saturating_sub(HEADER_TEXT_SIZE + name + 1);
        let first = if count == 1 { size } else { capacity };
        Ok(Self {
            size,
            count,
            first,
            other: MAX_COOKIE_SIZE.saturating_sub(name + 2),
        })
    }

    /// Number of cookies, at least 1.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Characters of the payload in the first cookie.
    #[must_use]
    pub fn first(&self) -> usize {
        self.first
    }

    /// Number and length of each further cookie: 2, 3, ….
    pub fn others(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let Self {
            size,
            first,
            other,
            count,
        } = *self;
        (2..=count).map(move |number| {
            let before = first + (number - 2) * other;
            (number, size.saturating_sub(before).min(other))
        })
    }
}

fn count(name: usize, size: usize) -> Option<usize> {
    let mut needed = name + 1 + HEADER_TEXT_SIZE + size;
    for count in 1..=MAX_CHUNKS {
        if needed > MAX_COOKIES_SIZE {
            return None;
        }
        if needed <= MAX_COOKIE_SIZE * count {
            return Some(count);
        }
        needed += name + 2;
    }
    None
}

/// The names of the cookies that may follow one of this name: `name2` … `name9`.
pub fn chunk_names(name: &str) -> impl Iterator<Item = String> + use<'_> {
    (2..=MAX_CHUNKS).map(move |number| chunk_name(name, number))
}

/// The name of a token's cookie number `number`, from 2 on.
#[must_use]
pub fn chunk_name(name: &str, number: usize) -> String {
    format!("{name}{number}")
}

/// Whether `cookie` is [`chunk_name`]`(name, number)`, without making that.
pub(crate) fn is_chunk_name(cookie: &[u8], name: &str, number: usize) -> bool {
    match cookie.strip_prefix(name.as_bytes()) {
        Some([digit]) => usize::from(digit.wrapping_sub(b'0')) == number,
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_known_by_its_name_and_number() {
        for number in 2..=MAX_CHUNKS {
            for other in 2..=MAX_CHUNKS {
                let name = chunk_name("sid", other);
                assert_eq!(
                    is_chunk_name(name.as_bytes(), "sid", number),
                    number == other
                );
            }
            for name in ["", "sid", "si2", "xsid2", "sid22", "sid02", "sid:", "sid/"] {
                assert!(!is_chunk_name(name.as_bytes(), "sid", number), "{name}");
            }
        }
    }

    #[test]
    fn one_cookie_up_to_4096_characters() {
        let room = 4096 - 110 - "sid=".len();
        assert_eq!(Split::new(3, room).unwrap().count(), 1);
        let two = Split::new(3, room + 1).unwrap();
        assert_eq!((two.count(), two.first()), (2, room));
        assert_eq!(two.others().collect::<Vec<_>>(), [(2, 1)]);
    }

    #[test]
    fn the_pieces_add_up_and_fit() {
        for name in [1, 3, 7, 64, 255] {
            for size in (0..36_000).step_by(17) {
                let Ok(split) = Split::new(name, size) else {
                    continue;
                };
                let others: Vec<_> = split.others().collect();
                assert_eq!(
                    split.first() + others.iter().map(|(_, length)| length).sum::<usize>(),
                    size
                );
                assert!(name + 1 + HEADER_TEXT_SIZE + split.first() <= MAX_COOKIE_SIZE);
                for (_, length) in others {
                    assert!(
                        length > 0 && name + 2 + length <= MAX_COOKIE_SIZE,
                        "{name} {size}"
                    );
                }
            }
        }
    }

    #[test]
    fn nine_cookies_are_the_end() {
        let room = 9 * 4096 - 110 - 4 - 8 * 5;
        assert_eq!(Split::new(3, room).unwrap().count(), 9);
        assert_eq!(
            Split::new(3, room + 1),
            Err(TooManyChunks { size: room + 1 })
        );
    }
}
