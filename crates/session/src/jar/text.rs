//! Reading the cookies of a jar out of the text of a session's data, without making values of all that.

use std::borrow::Cow;
use std::str::FromStr;

use memchr::{memchr2, memmem};

use crate::jar::cookie::{Cookie, Fields};
use crate::scan;

/// How the key's first character is written: JSON has one way for it.
const MARK: &[u8] = br"\u0001";
/// The jar among the fields of an object, up to its value.
const JAR: &[u8] = br#""\u0001jar":"#;

/// The cookies of the jar in the text of an object, in the order that they are written in. None when that is not as programs
/// write what [`Jar::to_json`](super::Jar::to_json) gives, and when more than the jar has such a key.
///
/// The text must be known to be JSON.
pub(super) fn cookies_in(object: &[u8]) -> Option<Vec<Cookie<'_>>> {
    let mut marks = memmem::find_iter(object, MARK);
    if marks.next().is_none() {
        return Some(Vec::new());
    }
    if marks.next().is_some() {
        return None;
    }
    let text = std::str::from_utf8(object).ok()?;
    let at = value_of_jar(object)?;
    Reader { text, at }.cookies()
}

/// Where the jar's value starts, if it is among the object's own fields.
fn value_of_jar(object: &[u8]) -> Option<usize> {
    let follows = |at: usize, byte: u8| (object.get(at) == Some(&byte)).then_some(at + 1);
    let mut at = follows(0, b'{')?;
    while !object[at..].starts_with(JAR) {
        let (_, name) = scan::string(object, at)?;
        let (_, value) = scan::value(object, follows(name, b':')?)?;
        at = follows(value, b',')?;
    }
    Some(at + JAR.len())
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn cookies(&mut self) -> Option<Vec<Cookie<'a>>> {
        let mut cookies = Vec::with_capacity(8);
        self.expect(b'[')?;
        if self.expect(b']').is_some() {
            return Some(cookies);
        }
        loop {
            cookies.push(self.cookie()?);
            if self.expect(b',').is_none() {
                self.expect(b']')?;
                return Some(cookies);
            }
        }
    }

    fn cookie(&mut self) -> Option<Cookie<'a>> {
        self.expect(b'[')?;
        let fields = Fields(
            self.string(b',')?,
            self.string(b',')?,
            self.string(b',')?,
            self.string(b',')?,
            self.number(b',')?,
            self.number(b',')?,
            self.number(b']')?,
        );
        Cookie::from_fields(fields).ok()
    }

    /// A string, and what follows it.
    fn string(&mut self, end: u8) -> Option<Cow<'a, str>> {
        self.expect(b'"')?;
        let rest = &self.text[self.at..];
        let length = memchr2(b'"', b'\\', rest.as_bytes())?;
        let text = match rest.as_bytes()[length] {
            b'"' => {
                self.at += length + 1;
                Cow::Borrowed(&rest[..length])
            }
            _ => self.escaped()?,
        };
        self.expect(end)?;
        Some(text)
    }

    fn escaped(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at - 1;
        let mut values = serde_json::Deserializer::from_str(&self.text[start..]).into_iter();
        let text: String = values.next()?.ok()?;
        self.at = start + values.byte_offset();
        Some(Cow::Owned(text))
    }

    /// A whole number, and what follows it.
    fn number<T: FromStr>(&mut self, end: u8) -> Option<T> {
        let rest = &self.text[self.at..];
        let length = rest.bytes().position(|byte| byte == end)?;
        self.at += length + 1;
        rest[..length].parse().ok()
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        let is_it = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(is_it);
        is_it.then_some(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::jar::{JAR_KEY, Jar};

    const COOKIE: &str = r#"["a\u0041","\u00e9/","app.test","/",5,-1,3]"#;

    /// The same by way of values.
    fn by_values(object: &str) -> Option<Value> {
        let object: Value = serde_json::from_str(object).ok()?;
        let jar = object
            .get(JAR_KEY)
            .map_or_else(|| Ok(Jar::default()), Jar::from_json);
        jar.ok().map(|jar| jar.to_json())
    }

    #[test]
    fn it_is_found_as_by_a_parser_of_everything() {
        for (object, cookies) in [
            ("{}".to_owned(), 0),
            (r#"{"a":{"b":[1]},"jar":[1]}"#.to_owned(), 0),
            (format!(r#"{{"\u0001jar":[{COOKIE}]}}"#), 1),
            (format!(r#"{{"\u0001jar":[{COOKIE},{COOKIE}]}}"#), 2),
            (
                format!(r#"{{"x":1,"y":{{"z":["]"]}},"\u0001jar":[{COOKIE}],"z":{{}}}}"#),
                1,
            ),
            (r#"{"\u0001jar":[]}"#.to_owned(), 0),
        ] {
            let read = cookies_in(object.as_bytes());
            assert_eq!(read.as_ref().map(Vec::len), Some(cookies), "{object}");
            let read = read.map(|cookies| Jar::of(cookies).to_json());
            assert_eq!(read, by_values(&object), "{object}");
        }
    }

    #[test]
    fn what_is_written_otherwise_is_left_to_others() {
        for object in [
            format!(r#"{{"x":1,"\u0001\u006aar":[{COOKIE}],"y":{{}}}}"#),
            format!(r#"{{"x":{{"\u0001jar":[{COOKIE}]}}}}"#),
            format!(r#"{{"x":"\u0001jar","\u0001jars":[{COOKIE}]}}"#),
            format!(r#"{{"\u0001jar":[{COOKIE}],"\u0001jar":[]}}"#),
            format!(r#"{{"\u0001jar":[{COOKIE}],"\u0001\u006aar":[]}}"#),
            format!(r#"{{"\u0001jar":[{COOKIE}],"x":"\\u0001"}}"#),
            format!(r#"{{ "\u0001jar": [{COOKIE}]}}"#),
            format!(r#"{{"\u0001jar":[{COOKIE} ]}}"#),
        ] {
            assert!(by_values(&object).is_some(), "{object}");
            assert!(cookies_in(object.as_bytes()).is_none(), "{object}");
        }
    }

    #[test]
    fn what_is_none_is_left_to_others() {
        for jar in [
            "null",
            "{}",
            "1",
            r#""x""#,
            "[null]",
            "[[]]",
            r#"[{"0":"a"}]"#,
            r#"[["a","b","app.test","/",5,-1]]"#,
            r#"[["a","b","app.test","/",5,-1,3,4]]"#,
            r#"[["a","b","app.test","/",5.0,-1,3]]"#,
            r#"[["a","b","app.test","/",-5,-1,3]]"#,
            r#"[["a","b","app.test","/",5,null,3]]"#,
            r#"[["a","b","app.test","/",5,9223372036854775808,3]]"#,
            r#"[["","b","app.test","/",5,-1,3]]"#,
            r#"[["a","b;c","app.test","/",5,-1,3]]"#,
            r#"[["a","b\n","app.test","/",5,-1,3]]"#,
            r#"[["a",1,"app.test","/",5,-1,3]]"#,
        ] {
            let object = format!(r#"{{"\u0001jar":{jar}}}"#);
            assert!(cookies_in(object.as_bytes()).is_none(), "{jar}");
        }
    }
}
