//! Finding the ends of JSON values without making values of them.
//!
//! This is for plain text ([`is_plain`]) of the kind that programs write. It accepts nothing that the JSON parser refuses, but it
//! gives up where that would be laborious to tell (surrogates, long numbers and exponents, deep nesting): there, and on anything
//! wrong, the parser has the word.

use std::ops::Range;

use memchr::memchr2;

use crate::lazy::{Scan, is_marked};

/// Deeper values are left to the parser, which stops at 128.
const MAX_LEVELS: usize = 100;
/// A number of that many characters, and without an exponent, is finite.
const MAX_NUMBER: usize = 40;

/// Fields of an object that there is room for from the start.
pub(crate) const FEW_FIELDS: usize = 8;

/// UTF-8 without control characters, line ends included: in such a text a string goes on to the next quotation mark.
pub(crate) fn is_plain(json: &[u8]) -> bool {
    // Loops that always go to the end take sixteen bytes in a step.
    let least = json.iter().copied().fold(u8::MAX, u8::min);
    let most = json.iter().copied().fold(0, u8::max);
    least >= b' ' && (most < 0x80 || std::str::from_utf8(json).is_ok())
}

/// What is in the value at `start` of plain text, and where it ends.
pub(crate) fn value(plain: &[u8], start: usize) -> Option<(Scan, usize)> {
    let mut scanner = Scanner { plain, at: start };
    let (mut has_marked, mut fields) = (false, 0);
    let scan = match scanner.peek()? {
        b'{' => scanner.object(1, |name, _| {
            has_marked |= name.is_marked(plain);
            fields += 1;
            Some(())
        })?,
        _ => scanner.value(0)?,
    };
    // A word or a number may go on in a way that makes it another, or none.
    if !matches!(plain.get(scanner.at), None | Some(b' ' | b',' | b']')) {
        return None;
    }
    let scan = Scan {
        has_marked,
        fields,
        ..scan
    };
    Some((scan, scanner.at))
}

/// The string at `start` of plain text, and where it ends, if it is written without escapes.
pub(crate) fn string(plain: &[u8], start: usize) -> Option<(&str, usize)> {
    let mut scanner = Scanner { plain, at: start };
    scanner.peek()?;
    let name = scanner.string()?;
    let text = std::str::from_utf8(&plain[name.inner]).ok()?;
    (!name.is_escaped).then_some((text, scanner.at))
}

/// Where the names and values of an object in plain text are; none when there are more than `limit`.
pub(crate) fn fields(plain: &[u8], limit: usize) -> Option<Vec<(Name, Range<usize>)>> {
    let mut scanner = Scanner { plain, at: 0 };
    let mut fields = Vec::with_capacity(FEW_FIELDS);
    scanner.peek()?;
    scanner.object(1, |name, value| {
        fields.push((name, value));
        (fields.len() <= limit).then_some(())
    })?;
    Some(fields)
}

/// The name of a field, as it stands in the text.
pub(crate) struct Name {
    /// What is between the quotation marks.
    inner: Range<usize>,
    is_escaped: bool,
}

impl Name {
    pub fn is(&self, name: &str, plain: &[u8]) -> bool {
        if self.is_escaped {
            return self.unescaped(plain).is_some_and(|own| own == name);
        }
        &plain[self.inner.clone()] == name.as_bytes()
    }

    fn is_marked(&self, plain: &[u8]) -> bool {
        if self.is_escaped {
            return self.unescaped(plain).is_some_and(|own| is_marked(&own));
        }
        let own = &plain[self.inner.clone()];
        own.iter().find(|&&byte| byte != b'$') == Some(&b'@')
    }

    /// Where its opening quotation mark is.
    pub fn start(&self) -> usize {
        self.inner.start - 1
    }

    fn unescaped(&self, plain: &[u8]) -> Option<String> {
        serde_json::from_slice(&plain[self.inner.start - 1..=self.inner.end]).ok()
    }
}

/// Where the first quotation mark or backslash is. Most strings are short: to call the search that is fast in long ones takes
/// longer than they do.
fn quote_or_escape(text: &[u8]) -> Option<usize> {
    const SHORT: usize = 64;
    let mut at = 0;
    while at < SHORT {
        let Some(word) = text[at..].first_chunk() else {
            let rest = text[at..]
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\'));
            return rest.map(|more| at + more);
        };
        let word = u64::from_le_bytes(*word);
        let found = zero_bytes(word ^ each(b'"')) | zero_bytes(word ^ each(b'\\'));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += size_of::<u64>();
    }
    memchr2(b'"', b'\\', &text[at..]).map(|more| at + more)
}

/// The byte eight times.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// The high bit of the lowest byte that is zero is set, and no lower one.
const fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(each(1)) & !word & each(0x80)
}

struct Scanner<'a> {
    plain: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    /// `levels` is how many objects and lists it is in.
    fn value(&mut self, levels: usize) -> Option<Scan> {
        match self.peek()? {
            b'"' => {
                self.string()?;
            }
            b'{' => return self.object(levels + 1, |_, _| Some(())),
            b'[' => return self.list(levels + 1),
            b't' => self.word(b"true")?,
            b'f' => self.word(b"false")?,
            b'n' => self.word(b"null")?,
            _ => self.number()?,
        }
        Some(Scan::scalar())
    }

    fn object(
        &mut self,
        levels: usize,
        mut field: impl FnMut(Name, Range<usize>) -> Option<()>,
    ) -> Option<Scan> {
        self.elements(levels, b'}', |scanner| {
            let name = scanner.string()?;
            scanner.expect(b':')?;
            scanner.peek()?;
            let start = scanner.at;
            let inner = scanner.value(levels)?;
            field(name, start..scanner.at)?;
            Some(inner)
        })
    }

    fn list(&mut self, levels: usize) -> Option<Scan> {
        self.elements(levels, b']', |scanner| scanner.value(levels))
    }

    /// What is between here and `end`, with commas between.
    fn elements(
        &mut self,
        levels: usize,
        end: u8,
        mut element: impl FnMut(&mut Self) -> Option<Scan>,
    ) -> Option<Scan> {
        if levels > MAX_LEVELS {
            return None;
        }
        self.at += 1;
        let mut scan = Scan::empty();
        if self.peek()? == end {
            self.at += 1;
            return Some(scan);
        }
        loop {
            self.peek()?;
            scan.enclose(&element(self)?);
            match self.peek()? {
                b',' => self.at += 1,
                byte if byte == end => {
                    self.at += 1;
                    return Some(scan);
                }
                _ => return None,
            }
        }
    }

    fn string(&mut self) -> Option<Name> {
        self.expect(b'"')?;
        let start = self.at;
        let mut is_escaped = false;
        loop {
            self.at += quote_or_escape(&self.plain[self.at..])?;
            if self.plain[self.at] == b'"' {
                let inner = start..self.at;
                self.at += 1;
                return Some(Name { inner, is_escaped });
            }
            is_escaped = true;
            self.escape()?;
        }
    }

    fn escape(&mut self) -> Option<()> {
        self.at += match self.plain.get(self.at + 1)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 2,
            b'u' => {
                let digits = self.plain.get(self.at + 2..self.at + 6)?;
                let is_surrogate = matches!(
                    digits,
                    [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F', ..]
                );
                if is_surrogate || !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                6
            }
            _ => return None,
        };
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        if self.plain.get(self.at) == Some(&b'-') {
            self.at += 1;
        }
        match self.plain.get(self.at)? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        if self.plain.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        let has_exponent = matches!(self.plain.get(self.at), Some(b'e' | b'E'));
        (!has_exponent && self.at - start <= MAX_NUMBER).then_some(())
    }

    fn digits(&mut self) -> Option<()> {
        let rest = &self.plain[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let is_it = self.plain[self.at..].starts_with(word);
        self.at += word.len();
        is_it.then_some(())
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let is_it = self.peek()? == byte;
        self.at += 1;
        is_it.then_some(())
    }

    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        while self.plain.get(self.at) == Some(&b' ') {
            self.at += 1;
        }
        self.plain.get(self.at).copied()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the parser says of it.
    fn by_parser(json: &[u8]) -> Option<(Scan, usize)> {
        let mut values = serde_json::Deserializer::from_slice(json).into_iter();
        let scan = values.next()?.ok()?;
        Some((scan, values.byte_offset()))
    }

    fn check(json: &[u8]) -> bool {
        if !is_plain(json) {
            return false;
        }
        let Some((scan, end)) = value(json, 0) else {
            return false;
        };
        let text = String::from_utf8_lossy(json);
        let (expected, expected_end) = by_parser(json).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(end, expected_end, "{text}");
        assert_eq!(scan, expected, "{text}");
        true
    }

    #[test]
    fn what_programs_write_is_understood() {
        for json in [
            r#"{}"#,
            r#"[]"#,
            r#"[ ] x"#,
            r#"{ }"#,
            r#"{"a":1}, "b"]"#,
            r#"{"a" : [ 1 , -2.5, 0, -0, 0.25, 18446744073709551616 ] }]"#,
            r#"{"a":{"b":[{"c":[]}]},"d":{}}"#,
            r#"{"a":"\"\\\/\b\f\n\r\t\u00e9\u0001","b\u0041":null}"#,
            r#"{"a":true,"b":false,"":"ü"}"#,
            r#"{"@a":1}"#,
            r#"{"$@a":1}"#,
            r#"{"\u0024@a":1}"#,
            r#"{"\u0001jar":[["a","b"]],"$a":{"@b":1}}"#,
            r#"[{"@a":1}]"#,
            r#""text" "#,
            "null,",
            "12]",
        ] {
            assert!(check(json.as_bytes()), "{json}");
        }
    }

    #[test]
    fn what_is_wrong_or_rare_is_left_to_the_parser() {
        for json in [
            "",
            " ",
            "{",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "\"",
            "\"\\",
            "\"\\\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u12",
            "\"\\ud800\"",
            "\"\\uDFFF\"",
            "\"\\ud83d\\ude00\"",
            "-",
            "1.",
            ".5",
            "+1",
            "1e5",
            "1E400",
            "tru",
            "nul",
            "[1}",
            "{\"a\":1]",
            "'a'",
        ] {
            assert!(!check(json.as_bytes()), "{json}");
        }
        assert!(check(&nested(100)) && !check(&nested(101)));
        assert!(check(&[b'1'; 40]) && !check(&[b'1'; 41]));
    }

    fn nested(levels: usize) -> Vec<u8> {
        ("[".repeat(levels) + &"]".repeat(levels)).into_bytes()
    }

    #[test]
    fn the_end_of_a_string_is_found_at_any_distance() {
        for end in *b"\"\\" {
            for distance in 0..200 {
                for filler in [b'a', b'!', b'#', b'[', b']', 0xa2, 0xdc, 0xff, 0x80] {
                    let mut text = vec![filler; distance];
                    assert_eq!(quote_or_escape(&text), None);
                    text.extend([end, b'"', b'\\', b'x', b'x', b'x', b'x', b'x']);
                    assert_eq!(quote_or_escape(&text), Some(distance));
                }
            }
        }
    }

    #[test]
    fn text_with_control_characters_or_broken_utf8_is_not_plain() {
        assert!(is_plain("{\"ü\": \"\x7f\"}".as_bytes()));
        for json in [
            &b"{\"a\":\n1}"[..],
            b"\"\t\"",
            b"\0",
            b"\"\xff\"",
            b"\"\xc3\"",
        ] {
            assert!(!is_plain(json));
        }
    }

    #[test]
    fn fields_are_found_by_their_names() {
        let json = br#"{"a":1, "\u0062" : "x" ,"a":{"c":[2]}}"#;
        let fields = fields(json, 3).unwrap();
        let value = |name: &str| {
            let field = fields.iter().rev().find(|(own, _)| own.is(name, json));
            field.map(|(_, value)| &json[value.clone()])
        };
        assert_eq!(value("a"), Some(&br#"{"c":[2]}"#[..]));
        assert_eq!(value("b"), Some(&br#""x""#[..]));
        assert_eq!(value("c"), None);
        assert_eq!(value(r"\u0062"), None);
        assert!(super::fields(json, 2).is_none());
    }

    #[test]
    fn a_string_is_taken_if_it_is_written_as_it_is() {
        assert_eq!(string(br#" "a b","#, 0), Some(("a b", 6)));
        assert_eq!(string(br#""","#, 0), Some(("", 2)));
        for other in ["1", "null", r#""a\n""#, r#""a"#, ""] {
            assert_eq!(string(other.as_bytes(), 0), None, "{other}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// Text out of the pieces that JSON is made of, most of it broken somewhere.
        #[test]
        fn nothing_is_accepted_that_the_parser_refuses(
            pieces in proptest::collection::vec(
                prop::sample::select(&[
                    "{", "}", "[", "]", ",", ":", "\"a\":", "\"@\":", "\"$\":", "\"\\u0040\":1", "\"", "\\", "1", "-", "0", ".", "e",
                    "true", "null", "\"x\"", " ", "\\u00e9", "\\ud800", "ü", "\u{7f}", "[]", "{}", "{\"a\":1}",
                ][..]),
                0..12,
            ),
        ) {
            check(pieces.concat().as_bytes());
        }

        #[test]
        fn what_the_parser_writes_is_understood(value in any_value()) {
            let json = serde_json::to_vec(&value).unwrap();
            // The one that writes uses exponents for large numbers only.
            prop_assert!(check(&json));
        }
    }

    fn any_value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            (-1e6..1e6f64).prop_map(|number| ((number * 100.0).round() / 100.0).into()),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                proptest::collection::vec(("[$@]{0,2}.{0,4}", inner), 0..5)
                    .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
            ]
        })
    }
}
