//! Reading a jar out of the text of a session's data, without making values of all that.

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::jar::cookie::Cookie;
use crate::jar::{JAR_KEY, Jar};

/// The jar in the text of an object; none when that is not what [`Jar::to_json`] gives.
pub(super) fn jar_in(object: &[u8]) -> Option<Jar> {
    // JSON has one way to write the key's first character.
    if memmem::find(object, br"\u0001").is_none() {
        return Some(Jar::default());
    }
    let Found(list) = serde_json::from_slice(object).ok()?;
    let cookies: Result<_, _> = list.into_iter().map(Cookie::from_fields).collect();
    cookies.ok().map(Jar::of)
}

/// A cookie in the session: name, value, domain, path, creation, end or -1, flags.
#[derive(Deserialize)]
pub(super) struct Fields<'a>(
    #[serde(borrow)] pub Cow<'a, str>,
    #[serde(borrow)] pub Cow<'a, str>,
    #[serde(borrow)] pub Cow<'a, str>,
    #[serde(borrow)] pub Cow<'a, str>,
    pub u64,
    pub i64,
    pub u64,
);

/// What an object has under the jar's key.
struct Found<'a>(Vec<Fields<'a>>);

impl<'de> Deserialize<'de> for Found<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Found<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Key(key)) = map.next_key()? {
                    if key == JAR_KEY {
                        // Of a key that is there twice, the last one counts.
                        list = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Found(list))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

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
            (
                format!(r#"{{"x":1,"\u0001\u006aar":[ {COOKIE} ],"y":{{}}}}"#),
                1,
            ),
            (format!(r#"{{"x":{{"\u0001jar":[{COOKIE}]}}}}"#), 0),
            (format!(r#"{{"x":"\u0001jar","\u0001jars":[{COOKIE}]}}"#), 0),
            (format!(r#"{{"\u0001jar":[{COOKIE}],"\u0001jar":[]}}"#), 0),
            (r#"{"\u0001jar":[]}"#.to_owned(), 0),
        ] {
            let jar = jar_in(object.as_bytes());
            assert_eq!(jar.as_ref().map(Jar::len), Some(cookies), "{object}");
            assert_eq!(jar.map(|jar| jar.to_json()), by_values(&object), "{object}");
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
        ] {
            let object = format!(r#"{{"\u0001jar":{jar}}}"#);
            assert!(jar_in(object.as_bytes()).is_none(), "{jar}");
        }
    }
}
