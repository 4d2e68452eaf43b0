//! A Set-Cookie header's value, taken apart (RFC 6265bis, 5.6).

use crate::jar::{Reason, date};
use crate::ttl::MAX_AGE_LIMIT;

/// Bytes that name and value may have together.
const MAX_PAIR: usize = 4096;
/// Bytes of an attribute's value above which the attribute does not count.
const MAX_ATTRIBUTE: usize = 1024;

/// What the line says. Of an attribute given twice, the last one counts.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    pub name: &'a str,
    pub value: &'a str,
    /// As it was written, without white space around it.
    pub domain: Option<&'a str>,
    /// Of Path, also when it is none a cookie can have.
    pub path: Option<&'a str>,
    pub secure: bool,
    pub is_for_all_sites: bool,
    expires: Option<u64>,
    max_age: Option<u64>,
}

impl<'a> Line<'a> {
    /// `now` in Unix seconds: Max-Age counts from there, and no date is more than 400 days later (5.5).
    pub fn parse(line: &'a [u8], now: u64) -> Result<Self, Reason> {
        if line.iter().any(|&b| is_control(b)) {
            return Err(Reason::ControlCharacter);
        }
        let line = std::str::from_utf8(line).map_err(|_| Reason::NotUtf8)?;
        let mut pieces = line.split(';');
        let pair = pieces.next().unwrap_or_default();
        let (name, value) = pair.split_once('=').ok_or(Reason::NoName)?;
        let (name, value) = (trim(name), trim(value));
        if name.is_empty() {
            return Err(Reason::NoName);
        }
        if name.len() + value.len() > MAX_PAIR {
            return Err(Reason::TooLarge);
        }
        let mut parsed = Self {
            name,
            value,
            ..Self::default()
        };
        for piece in pieces {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            parsed.attribute(trim(name), trim(value), now);
        }
        Ok(parsed)
    }

    /// When the cookie ends: Max-Age counts before Expires (5.7). None for one that lives as long as the session.
    pub fn expires(&self) -> Option<u64> {
        self.max_age.or(self.expires)
    }

    fn attribute(&mut self, name: &str, value: &'a str, now: u64) {
        if value.len() > MAX_ATTRIBUTE {
            return;
        }
        let latest = now.saturating_add(MAX_AGE_LIMIT.into());
        match name.to_ascii_lowercase().as_str() {
            "expires" => {
                let date = date::parse(value.as_bytes()).map(|date| date.min(latest));
                self.expires = date.or(self.expires);
            }
            "max-age" => self.max_age = end_of(value, now).or(self.max_age),
            "domain" => self.domain = Some(value),
            "path" => self.path = Some(value),
            "secure" => self.secure = true,
            "samesite" => self.is_for_all_sites = value.eq_ignore_ascii_case("none"),
            _ => {}
        }
    }
}

/// What no part of a cookie may have: all control characters but the tab.
pub(super) fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// When a Max-Age of `text` ends, 0 for at once; none for what is no number (5.6.2).
fn end_of(text: &str, now: u64) -> Option<u64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let limit = u64::from(MAX_AGE_LIMIT);
    // Of digits only, too large is all that a number can be.
    let seconds = digits.parse().unwrap_or(limit).min(limit);
    let is_over = seconds == 0 || text.starts_with('-');
    Some(if is_over {
        0
    } else {
        now.saturating_add(seconds)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn parse(line: &str) -> Line<'_> {
        Line::parse(line.as_bytes(), NOW).unwrap()
    }

    fn refusal(line: &[u8]) -> Reason {
        Line::parse(line, NOW).unwrap_err()
    }

    #[test]
    fn name_and_value_are_what_stands_around_the_first_sign() {
        for (line, name, value) in [
            ("a=b", "a", "b"),
            (" a = b ; Path=/", "a", "b"),
            ("a=", "a", ""),
            ("a=b=c", "a", "b=c"),
            ("a=\"b c\"", "a", "\"b c\""),
            ("a b\t=\tc\td\t", "a b", "c\td"),
            ("ä=ö", "ä", "ö"),
            ("a=b;c=d", "a", "b"),
        ] {
            let parsed = parse(line);
            assert_eq!((parsed.name, parsed.value), (name, value), "{line}");
        }
    }

    #[test]
    fn what_is_no_cookie_is_refused() {
        for line in ["", "a", "=b", " =b", ";a=b", "a; Path=/", "=", "a;b=c"] {
            assert_eq!(refusal(line.as_bytes()), Reason::NoName, "{line}");
        }
        for byte in (0..=0x1F).chain([0x7F]).filter(|&b| b != b'\t') {
            for line in [[b'a', byte, b'=', b'b'], [b'a', b'=', byte, b'b']] {
                assert_eq!(refusal(&line), Reason::ControlCharacter, "{byte}");
            }
            let line = [b"a=b; Path=/".as_slice(), &[byte]].concat();
            assert_eq!(refusal(&line), Reason::ControlCharacter, "{byte}");
        }
        assert_eq!(refusal(b"a=\xff"), Reason::NotUtf8);
    }

    #[test]
    fn sizes_are_limited() {
        let of = |size: usize| format!("ab={}", "x".repeat(size - 2));
        assert_eq!(parse(&of(4096)).value.len(), 4094);
        assert_eq!(refusal(of(4097).as_bytes()), Reason::TooLarge);
        let path = |size: usize| format!("a=b; Path=/x; Path=/{}", "y".repeat(size - 1));
        assert_eq!(parse(&path(1024)).path.unwrap().len(), 1024);
        assert_eq!(parse(&path(1025)).path, Some("/x"));
    }

    #[test]
    fn the_last_attribute_counts() {
        let line = parse(
            "a=b; domain=x; PATH = /y ; sEcure=no; HttpOnly; Domain=z; samesite=NONE; Partitioned",
        );
        assert_eq!((line.domain, line.path), (Some("z"), Some("/y")));
        assert!(line.secure && line.is_for_all_sites && line.expires().is_none());
        let line = parse("a=b; SameSite=None; SameSite=Lax; Domain=x; Domain");
        assert_eq!((line.is_for_all_sites, line.domain), (false, Some("")));
    }

    #[test]
    fn max_age_counts_before_expires() {
        const PAST: &str = "Expires=Sun, 06 Nov 1994 08:49:37 GMT";
        let latest = NOW + u64::from(MAX_AGE_LIMIT);
        for (attributes, expected) in [
            ("", None),
            ("Max-Age=5", Some(NOW + 5)),
            ("Max-Age=0", Some(0)),
            ("Max-Age=-1", Some(0)),
            ("Max-Age=-0", Some(0)),
            ("Max-Age=99999999999999999999999", Some(latest)),
            ("Max-Age=-99999999999999999999999", Some(0)),
            ("Max-Age=x", None),
            ("Max-Age=5x", None),
            ("Max-Age=+5", None),
            ("Max-Age=-", None),
            ("Max-Age=", None),
            ("Max-Age=5; Max-Age=x", Some(NOW + 5)),
            ("Max-Age=5; Max-Age=7", Some(NOW + 7)),
            (PAST, Some(784_111_777)),
            (&format!("Max-Age=5; {PAST}"), Some(NOW + 5)),
            (&format!("{PAST}; Max-Age=x"), Some(784_111_777)),
            ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", Some(latest)),
            ("Expires=never", None),
            (&format!("{PAST}; Expires=never"), Some(784_111_777)),
        ] {
            assert_eq!(
                parse(&format!("a=b; {attributes}")).expires(),
                expected,
                "{attributes}"
            );
        }
    }
}
