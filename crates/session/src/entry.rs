//! The plaintext of a token: one entry for each audience, as JSON `[[data, audience, subject], …]`.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Map, Value};

use crate::policy::Place;

/// What one audience keeps in a session.
#[derive(Clone, Default)]
pub(crate) struct Entry {
    pub data: Map<String, Value>,
    pub info: Map<String, Value>,
    pub audience: Option<String>,
    pub subject: Option<String>,
    /// Data that is no object, as a foreign program may have left it for its own audience; kept as it is.
    pub foreign: Option<Value>,
}

impl Entry {
    pub fn new(audience: &str, subject: Option<&str>) -> Self {
        Self {
            audience: Some(audience.to_owned()),
            subject: subject.map(str::to_owned),
            ..Self::default()
        }
    }

    pub fn is_of(&self, audience: &str) -> bool {
        self.audience.as_deref() == Some(audience)
    }

    /// With cookie storage info lives among the data: `@key` is info, and data keys that look like that are escaped by `$`.
    pub fn split_info(&mut self) {
        if !self.data.keys().any(|key| is_marked(key)) {
            return;
        }
        for (key, value) in std::mem::take(&mut self.data) {
            match key.strip_prefix('@') {
                Some(info) => self.info.insert(info.to_owned(), value),
                None if is_marked(&key) => self.data.insert(key[1..].to_owned(), value),
                None => self.data.insert(key, value),
            };
        }
    }
}

/// Any number of `$`, then `@`. Such a data key gains one `$` when stored and loses it when read; so `@k` is stored as `$@k`,
/// and a key that was `$@k` already stays apart from it.
fn is_marked(key: &str) -> bool {
    key.trim_start_matches('$').starts_with('@')
}

/// Reads the entries of a payload, with `split_info` done where it is due.
pub(crate) fn parse(json: &[u8], place: Place) -> Result<Vec<Entry>, serde_json::Error> {
    let Entries(mut entries) = serde_json::from_slice(json)?;
    if place == Place::Cookie {
        entries.iter_mut().for_each(Entry::split_info);
    }
    Ok(entries)
}

/// Entries in the order and form in which they are stored.
pub(crate) struct Stored<'a> {
    pub entries: Vec<&'a Entry>,
    pub place: Place,
}

impl Serialize for Stored<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.entries.len()))?;
        for entry in &self.entries {
            let data = StoredData {
                entry,
                place: self.place,
            };
            match &entry.subject {
                Some(subject) => list.serialize_element(&(data, &entry.audience, subject))?,
                None => list.serialize_element(&(data, &entry.audience))?,
            }
        }
        list.end()
    }
}

struct StoredData<'a> {
    entry: &'a Entry,
    place: Place,
}

impl Serialize for StoredData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Entry {
            data,
            info,
            foreign,
            ..
        } = self.entry;
        if let Some(foreign) = foreign {
            return foreign.serialize(serializer);
        }
        if self.place == Place::Server {
            return data.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(data.len() + info.len()))?;
        for (key, value) in data {
            if is_marked(key) {
                map.serialize_entry(&format!("${key}"), value)?;
            } else {
                map.serialize_entry(key, value)?;
            }
        }
        for (key, value) in info {
            map.serialize_entry(&format!("@{key}"), value)?;
        }
        map.end()
    }
}

struct Entries(Vec<Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of entries")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::with_capacity(1);
                while let Some(entry) = list.next_element()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_seq(Shape)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Shape;
        impl<'de> Visitor<'de> for Shape {
            type Value = Entry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[data, audience, subject]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Entry, A::Error> {
                let mut entry = Entry::default();
                match list
                    .next_element()?
                    .ok_or_else(|| de::Error::invalid_length(0, &self))?
                {
                    Value::Object(data) => entry.data = data,
                    // An empty table of Lua may be written as an empty list.
                    Value::Array(list) if list.is_empty() => {}
                    foreign => entry.foreign = Some(foreign),
                }
                entry.audience = list.next_element::<Text>()?.and_then(|text| text.0);
                entry.subject = list.next_element::<Text>()?.and_then(|text| text.0);
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(entry)
            }
        }
        deserializer.deserialize_seq(Shape)
    }
}

/// A name that a Lua program may have given as a number, or left out.
struct Text(Option<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(Some(text))),
            Value::Number(number) => Ok(Self(Some(number.to_string()))),
            Value::Null => Ok(Self(None)),
            _ => Err(de::Error::custom("an audience or subject is a text")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rewritten(json: &str, place: Place) -> String {
        let entries = parse(json.as_bytes(), place).unwrap();
        serde_json::to_string(&Stored {
            entries: entries.iter().collect(),
            place,
        })
        .unwrap()
    }

    #[test]
    fn entries_are_kept_as_they_were() {
        for json in [
            r#"[[{},"default"]]"#,
            r#"[[{"a":1,"b":{"c":[1,2.5,null,true]}},"x","s"],[{},"y"]]"#,
            r#"[[["a","list"],"x"],[{},null,"s"]]"#,
            r#"[[{"n":9223372036854775807,"m":18446744073709551615,"f":0.1},"x"]]"#,
            "[]",
        ] {
            assert_eq!(rewritten(json, Place::Cookie), json);
            assert_eq!(rewritten(json, Place::Server), json);
        }
    }

    #[test]
    fn what_lua_writes_otherwise_is_understood() {
        assert_eq!(
            rewritten(r#"[[[],"a",null]]"#, Place::Cookie),
            r#"[[{},"a"]]"#
        );
        assert_eq!(
            rewritten(r#"[[{},"a",42]]"#, Place::Cookie),
            r#"[[{},"a","42"]]"#
        );
    }

    #[test]
    fn info_and_data_keys_stay_apart_in_a_cookie() {
        let json = r#"[[{"k":0,"$@k":2,"$$@k":3,"$k":4,"@k":1},"a"]]"#;
        let entry = &parse(json.as_bytes(), Place::Cookie).unwrap()[0];
        assert_eq!(
            Value::from(entry.data.clone()),
            serde_json::json!({"k": 0, "@k": 2, "$@k": 3, "$k": 4})
        );
        assert_eq!(Value::from(entry.info.clone()), serde_json::json!({"k": 1}));
        assert_eq!(rewritten(json, Place::Cookie), json);
    }

    #[test]
    fn with_a_record_keys_are_what_they_are() {
        let json = r#"[[{"@k":1,"$@k":2},"a"]]"#;
        let entry = &parse(json.as_bytes(), Place::Server).unwrap()[0];
        assert_eq!(entry.data["@k"], 1);
        assert!(entry.info.is_empty());
        assert_eq!(rewritten(json, Place::Server), json);
    }

    #[test]
    fn other_shapes_are_refused() {
        for json in [
            "",
            "null",
            "{}",
            "[1]",
            "[[]]",
            r#"[[{},["a"]]]"#,
            r#"[[{},"a",{}]]"#,
            "[[{}]",
            "[[{}]]x",
        ] {
            assert!(parse(json.as_bytes(), Place::Cookie).is_err(), "{json}");
        }
        let deep = format!(
            "[[{{\"a\":{}{}}},\"a\"]]",
            "[".repeat(5000),
            "]".repeat(5000)
        );
        assert!(parse(deep.as_bytes(), Place::Cookie).is_err());
    }
}
