//! The Cookie header of a request: reading it, and taking cookies out of it with all else left as it is.

use crate::chunks::{MAX_CHUNKS, chunk_names};
use crate::policy::{Place, Policy};

/// The cookies of one Cookie header line, in order: name and value without surrounding white space, quotes kept. A piece without
/// `=` is a name with an empty value. Empty pieces are left out.
pub fn cookie_pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    line.split(|&b| b == b';')
        .map(pair)
        .filter(|(name, value)| !(name.is_empty() && value.is_empty()))
}

fn pair(piece: &[u8]) -> (&[u8], &[u8]) {
    match piece.iter().position(|&b| b == b'=') {
        Some(at) => (trim(&piece[..at]), trim(&piece[at + 1..])),
        None => (trim(piece), &[]),
    }
}

fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

/// What hiding cookies does to a Cookie header line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hidden {
    /// None of them is in it.
    Unchanged,
    /// Nothing else is in it: the header goes.
    Empty,
    /// The line without them.
    Line(Vec<u8>),
}

/// Takes the cookies whose name `hide` names out of a Cookie header line. All others keep their bytes, white space included.
pub fn hide_cookies(line: &[u8], hide: impl Fn(&[u8]) -> bool) -> Hidden {
    let mut kept = Vec::with_capacity(line.len());
    let mut is_first = true;
    let mut is_changed = false;
    for piece in line.split(|&b| b == b';') {
        if hide(pair(piece).0) {
            is_changed = true;
            continue;
        }
        if !is_first {
            kept.push(b';');
        }
        // The blank that followed a hidden cookie's semicolon goes with it.
        let leads = is_first && is_changed;
        kept.extend_from_slice(if leads {
            piece.trim_ascii_start()
        } else {
            piece
        });
        is_first = false;
    }
    if !is_changed {
        Hidden::Unchanged
    } else if cookie_pairs(&kept).next().is_none() {
        Hidden::Empty
    } else {
        Hidden::Line(kept)
    }
}

impl Policy {
    /// Whether a cookie of this name is the session's: its own, the remember cookie, or, with cookie storage, a chunk of one.
    #[must_use]
    pub fn owns_cookie(&self, name: &[u8]) -> bool {
        [&self.cookie_name, &self.remember_cookie_name]
            .into_iter()
            .any(|own| match name.strip_prefix(own.as_str().as_bytes()) {
                Some([]) => true,
                Some([digit]) => {
                    self.place == Place::Cookie
                        && (2..=MAX_CHUNKS).contains(&usize::from(digit.wrapping_sub(b'0')))
                }
                _ => false,
            })
    }

    /// The names of all cookies that a token may be spread over, to expire them: those of both kinds.
    pub fn owned_names(&self) -> impl Iterator<Item = String> + use<'_> {
        let with_chunks = self.place == Place::Cookie;
        [&self.cookie_name, &self.remember_cookie_name]
            .into_iter()
            .flat_map(move |own| {
                let chunks = chunk_names(own.as_str()).filter(move |_| with_chunks);
                std::iter::once(own.as_str().to_owned()).chain(chunks)
            })
    }
}
