//! The Cookie header of a request: reading it, and taking cookies out of it with all else left as it is.

use memchr::memchr;

use crate::chunks::MAX_CHUNKS;
use crate::policy::Policy;

/// The cookies of one Cookie header line, in order: name and value without surrounding white space, quotes kept. A piece without
/// `=` is a name with an empty value. Empty pieces are left out.
pub fn cookie_pairs(line: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    pieces(line)
        .map(pair)
        .filter(|(name, value)| !(name.is_empty() && value.is_empty()))
}

/// What stands between the semicolons; one piece more than there are semicolons.
fn pieces(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let piece = rest?;
        // A token has thousands of characters without one: a search by words pays.
        let end = memchr(b';', piece);
        rest = end.map(|end| &piece[end + 1..]);
        Some(&piece[..end.unwrap_or(piece.len())])
    })
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
    let mut kept = Vec::new();
    let mut is_first = true;
    let mut is_changed = false;
    for piece in pieces(line) {
        if hide(pair(piece).0) {
            is_changed = true;
            continue;
        }
        if is_first {
            kept.reserve(line.len());
        } else {
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
    /// Whether a cookie of this name is the session's: its own, the remember cookie, or a chunk of one. With server storage there
    /// are no chunks, but a browser may still have those from before the sessions moved there.
    #[must_use]
    pub fn owns_cookie(&self, name: &[u8]) -> bool {
        [&self.cookie_name, &self.remember_cookie_name]
            .into_iter()
            .any(|own| match name.strip_prefix(own.as_str().as_bytes()) {
                Some([]) => true,
                Some([digit]) => (2..=MAX_CHUNKS).contains(&usize::from(digit.wrapping_sub(b'0'))),
                _ => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(line: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        cookie_pairs(line.as_bytes())
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }

    fn hidden(line: &str) -> Hidden {
        hide_cookies(line.as_bytes(), |name| name == b"sid" || name == b"sid2")
    }

    fn line(line: &str) -> Hidden {
        Hidden::Line(line.into())
    }

    #[test]
    fn pairs_are_read_with_odd_white_space() {
        let expected = [
            ("a", "1"),
            ("b", "\"q;"),
            ("c", ""),
            ("d", "x=y"),
            ("", "e"),
        ];
        let expected: Vec<_> = expected
            .map(|(n, v)| (n.to_owned(), v.trim_end_matches(';').to_owned()))
            .to_vec();
        assert_eq!(pairs(" a = 1 ;b=\"q;\tc;; ;d=x=y;=e;"), expected);
        assert_eq!(pairs(""), []);
    }

    #[test]
    fn hiding_leaves_all_else_byte_for_byte() {
        for (from, to) in [
            ("a=1; sid=T; b=2", "a=1; b=2"),
            ("sid=T; Path=/; HttpOnly", "Path=/; HttpOnly"),
            ("a=1; sid=T", "a=1"),
            ("a=1;sid=T;  b = 2 ;c", "a=1;  b = 2 ;c"),
            ("sid=T;a=1;sid2=U; sid=V; ;b=\"2\"", "a=1; ;b=\"2\""),
            ("  sid = T ;  a=1", "a=1"),
            ("sid; a=1", "a=1"),
        ] {
            assert_eq!(hidden(from), line(to), "{from}");
        }
    }

    #[test]
    fn nothing_left_and_nothing_found() {
        for only in ["sid=T", "sid=T;", " sid=T ; sid2=U; ", "sid="] {
            assert_eq!(hidden(only), Hidden::Empty, "{only}");
        }
        for other in ["", "a=1; b=2", "sid3=x", "a=sid; xsid=1;", ";;", "SID=T"] {
            assert_eq!(hidden(other), Hidden::Unchanged, "{other}");
        }
    }
}
