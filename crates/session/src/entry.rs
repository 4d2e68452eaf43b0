//! The plaintext of a token: one entry for each audience, as JSON `[[data, audience, subject], …]`.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::lazy::{LazyMap, Scan, Text, is_marked};
use crate::payload::MAX_DEPTH;
use crate::policy::Place;
use crate::scan;
use crate::wiped::Wiped;

mod changes;

use changes::Names;

/// Levels of objects and lists that data may have when it is read: the parser stops at the 128th, and the data is within two.
const MAX_DEPTH_READ: usize = 125;

/// What one audience keeps in a session.
#[derive(Default)]
pub(crate) struct Entry {
    pub data: LazyMap,
    pub info: LazyMap,
    pub audience: Option<Arc<str>>,
    pub subject: Option<Arc<str>>,
    /// Data that is no object, as a foreign program may have left it for its own audience; kept as it is.
    pub foreign: Option<Text>,
    origin: Origin,
    before: Names,
}

/// What the text of an entry's data holds.
#[derive(Default, Clone, Copy, PartialEq)]
enum Origin {
    /// There is no text.
    #[default]
    None,
    /// The data, as it is.
    Data(Place),
    /// Info among the data, or keys of data that are escaped.
    DataAndInfo,
}

impl Entry {
    pub fn new(audience: &str, subject: Option<&str>) -> Self {
        Self {
            audience: Some(audience.into()),
            subject: subject.map(Arc::from),
            ..Self::default()
        }
    }

    /// An entry that was read, for another session that came as the same text.
    pub fn again(&self) -> Self {
        Self {
            data: self.data.again(),
            info: self.info.again(),
            audience: self.audience.clone(),
            subject: self.subject.clone(),
            foreign: self.foreign.clone(),
            origin: self.origin,
            before: Names::stored(),
        }
    }

    /// Bytes beside its text that it takes as it was read, roughly. None when its data is no text any more.
    pub fn shared_bytes(&self) -> Option<usize> {
        let names = [&self.audience, &self.subject].into_iter().flatten();
        let names = names.map(|name| name.len()).sum::<usize>();
        let data = match self.origin {
            Origin::None if self.data.is_empty() && self.info.is_empty() => 0,
            _ => self.data.shared_bytes()?,
        };
        Some(size_of::<Self>() + names + 2 * data)
    }

    pub fn is_of(&self, audience: &str) -> bool {
        self.audience.as_deref() == Some(audience)
    }

    /// The values that may have been changed since the entry was read.
    pub fn changed_values(&self) -> impl Iterator<Item = &Value> {
        [&self.data, &self.info]
            .into_iter()
            .flat_map(LazyMap::changed_values)
    }

    /// The first element of an entry.
    fn set_data(&mut self, text: Text, scan: &Scan, place: Place) -> Result<(), serde_json::Error> {
        match text.as_bytes().first() {
            Some(b'{') if scan.levels > MAX_DEPTH => {
                let (data, info) = split_info(serde_json::from_slice(text.as_bytes())?, place);
                (self.data, self.info) = (data.into(), info.into());
            }
            Some(b'{') if place == Place::Cookie && scan.has_marked => {
                self.origin = Origin::DataAndInfo;
                self.data =
                    LazyMap::reading(text.clone(), scan, |map| split_info(map, Place::Cookie).0);
                self.info = LazyMap::reading(text, scan, |map| split_info(map, Place::Cookie).1);
            }
            Some(b'{') => {
                self.origin = Origin::Data(place);
                self.data = LazyMap::new(text, scan);
            }
            // An empty table of Lua may be written as an empty list.
            Some(b'[') if scan.is_empty => {}
            _ => self.foreign = Some(text),
        }
        Ok(())
    }

    /// Writes data that was put into the text it came as, if that is what `place` is to store; false when it is not.
    fn write_edited(&self, json: &mut Wiped, place: Place) -> Result<bool, serde_json::Error> {
        let is_its =
            self.origin == Origin::Data(place) && (place == Place::Server || self.info.is_empty());
        Ok(is_its
            && self
                .data
                .write_edited(json, |key| stored_name(key, place))?)
    }

    /// The text that the entry's data came as, if that is what `place` is to store.
    fn text(&self, place: Place) -> Option<&Text> {
        if self.foreign.is_some() {
            return self.foreign.as_ref();
        }
        let is_the_same = match (self.origin, place) {
            (Origin::Data(Place::Server), Place::Server) => true,
            (Origin::Data(Place::Cookie), Place::Cookie) => self.info.is_empty(),
            (Origin::DataAndInfo, Place::Cookie) => self.info.text().is_some(),
            _ => false,
        };
        self.data.text().filter(|_| is_the_same)
    }
}

/// A key of data as it is stored.
fn stored_name(key: &str, place: Place) -> Cow<'_, str> {
    if place == Place::Cookie && is_marked(key) {
        Cow::Owned(format!("${key}"))
    } else {
        Cow::Borrowed(key)
    }
}

/// Data and info of a stored object. With cookie storage info lives among the data: `@key` is info, and data keys that look
/// like that are escaped by `$`: `@k` is stored as `$@k`, and a key that was `$@k` already stays apart from it.
fn split_info(
    stored: Map<String, Value>,
    place: Place,
) -> (Map<String, Value>, Map<String, Value>) {
    if place == Place::Server || !stored.keys().any(|key| is_marked(key)) {
        return (stored, Map::new());
    }
    let (mut data, mut info) = (Map::new(), Map::new());
    for (key, value) in stored {
        match key.strip_prefix('@') {
            Some(key) => info.insert(key.to_owned(), value),
            None if is_marked(&key) => data.insert(key[1..].to_owned(), value),
            None => data.insert(key, value),
        };
    }
    (data, info)
}

/// Reads the entries of a payload. All of it is checked, but what the audiences keep is parsed when it is asked for.
pub(crate) fn parse(json: Wiped, place: Place) -> Result<Vec<Entry>, serde_json::Error> {
    let json = Arc::new(json);
    let mut reader = Reader {
        is_plain: scan::is_plain(&json),
        json: &json,
        at: 0,
    };
    let mut entries = Vec::with_capacity(1);
    reader.list(|reader| {
        entries.push(reader.entry(place)?);
        Ok(())
    })?;
    match reader.peek() {
        None => Ok(entries),
        Some(_) => Err(malformed()),
    }
}

/// Walks through a payload's outer lists; what is in them is scanned, or left to the JSON parser.
struct Reader<'a> {
    json: &'a Arc<Wiped>,
    is_plain: bool,
    at: usize,
}

impl<'a> Reader<'a> {
    fn entry(&mut self, place: Place) -> Result<Entry, serde_json::Error> {
        let mut entry = Entry::default();
        let mut elements = 0;
        self.list(|reader| {
            elements += 1;
            match elements {
                1 => {
                    let (scan, range) = reader.scan()?;
                    if scan.levels > MAX_DEPTH_READ {
                        return Err(malformed());
                    }
                    entry.set_data(Text::new(reader.json, range, reader.is_plain), &scan, place)?;
                }
                2 => entry.audience = reader.name()?,
                3 => entry.subject = reader.name()?,
                _ => drop(reader.value::<IgnoredAny>()?),
            }
            Ok(())
        })?;
        if elements == 0 {
            return Err(malformed());
        }
        entry.keep();
        Ok(entry)
    }

    /// What is in a value, and where it is.
    fn scan(&mut self) -> Result<(Scan, Range<usize>), serde_json::Error> {
        self.peek();
        let start = self.at;
        if let Some((scan, end)) = self.plain(scan::value) {
            self.at = end;
            return Ok((scan, start..end));
        }
        let scan = self.value()?;
        Ok((scan, start..self.at))
    }

    fn name(&mut self) -> Result<Option<Arc<str>>, serde_json::Error> {
        if let Some((name, end)) = self.plain(scan::string) {
            self.at = end;
            return Ok(Some(name.into()));
        }
        Ok(self.value::<Name>()?.0.map(Arc::from))
    }

    fn plain<T>(&self, scan: fn(&'a [u8], usize) -> Option<T>) -> Option<T> {
        self.is_plain.then(|| scan(self.json, self.at)).flatten()
    }

    /// A list, for each element of which `element` reads on.
    fn list(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), serde_json::Error>,
    ) -> Result<(), serde_json::Error> {
        self.expect(b'[')?;
        if self.peek() == Some(b']') {
            return self.expect(b']');
        }
        loop {
            element(self)?;
            if self.peek() != Some(b',') {
                return self.expect(b']');
            }
            self.expect(b',')?;
        }
    }

    /// A value, by the parser.
    fn value<T: Deserialize<'a>>(&mut self) -> Result<T, serde_json::Error> {
        self.peek();
        let rest = &self.json[self.at..];
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter();
        let value = values.next().ok_or_else(malformed)??;
        self.at += values.byte_offset();
        Ok(value)
    }

    fn expect(&mut self, byte: u8) -> Result<(), serde_json::Error> {
        if self.peek() != Some(byte) {
            return Err(malformed());
        }
        self.at += 1;
        Ok(())
    }

    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.json.get(self.at) {
            self.at += 1;
        }
        self.json.get(self.at).copied()
    }
}

fn malformed() -> serde_json::Error {
    de::Error::custom("it is not a list of [data, audience, subject]")
}

/// Entries in the order and form in which they are stored.
pub(crate) struct Stored<'a> {
    pub entries: Vec<&'a Entry>,
    pub place: Place,
}

impl Stored<'_> {
    /// The payload. What was not changed is written as it came.
    pub fn to_json(&self) -> Result<Wiped, serde_json::Error> {
        let sizes = self.entries.iter().map(|entry| entry.data.source_size());
        let mut json = Wiped::with_capacity(256 + sizes.sum::<usize>());
        json.extend_from_slice(b"[");
        for (number, entry) in self.entries.iter().enumerate() {
            json.extend_from_slice(if number == 0 { b"[" } else { b",[" });
            match entry.text(self.place) {
                Some(text) => json.extend_from_slice(text.as_bytes()),
                None if entry.write_edited(&mut json, self.place)? => {}
                None => serde_json::to_writer(&mut json, &StoredData::new(entry, self.place))?,
            }
            for name in std::iter::once(&entry.audience)
                .chain(entry.subject.is_some().then_some(&entry.subject))
            {
                json.extend_from_slice(b",");
                serde_json::to_writer(&mut json, &name.as_deref())?;
            }
            json.extend_from_slice(b"]");
        }
        json.extend_from_slice(b"]");
        Ok(json)
    }
}

/// Data, and in a cookie info, of an entry that is no text any more.
struct StoredData<'a> {
    data: &'a Map<String, Value>,
    info: &'a Map<String, Value>,
    place: Place,
}

impl<'a> StoredData<'a> {
    fn new(entry: &'a Entry, place: Place) -> Self {
        Self {
            data: &entry.data,
            info: &entry.info,
            place,
        }
    }
}

impl Serialize for StoredData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { data, info, place } = *self;
        if place == Place::Server {
            return data.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(data.len() + info.len()))?;
        for (key, value) in data {
            map.serialize_entry(&stored_name(key, place), value)?;
        }
        for (key, value) in info {
            map.serialize_entry(&format!("@{key}"), value)?;
        }
        map.end()
    }
}

/// A name that a Lua program may have given as a number, or left out.
struct Name(Option<String>);

impl<'de> Deserialize<'de> for Name {
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
    use proptest::prelude::*;

    use super::*;

    fn parse(json: &[u8], place: Place) -> Result<Vec<Entry>, serde_json::Error> {
        super::parse(Wiped::from(json.to_vec()), place)
    }

    fn rewritten(json: &str, place: Place) -> String {
        written(&parse(json.as_bytes(), place).unwrap(), place)
    }

    fn written(entries: &[Entry], place: Place) -> String {
        let stored = Stored {
            entries: entries.iter().collect(),
            place,
        };
        String::from_utf8(stored.to_json().unwrap().to_vec()).unwrap()
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
    fn what_nobody_changes_is_written_byte_for_byte() {
        let json =
            r#"[[{ "a":1.0e2,"b":"\/","a":[ ] },"x"],[[ 1,2.50 ],"y"],[{"@k":1.0e1,"$@k":0},"z"]]"#;
        let mut entries = parse(json.as_bytes(), Place::Cookie).unwrap();
        assert_eq!(entries[0].data["a"], serde_json::json!([]));
        assert_eq!(entries[2].info["k"], 10.0);
        assert_eq!(written(&entries, Place::Cookie), json);

        entries[0].data.insert("c".into(), 1.into());
        entries[2].info.remove("k");
        assert_eq!(
            written(&entries, Place::Cookie),
            r#"[[{"a":[],"b":"/","c":1},"x"],[[ 1,2.50 ],"y"],[{"$@k":0},"z"]]"#
        );
    }

    #[test]
    fn info_that_is_new_is_written_into_a_cookie() {
        let mut entries = parse(br#"[[{"a":1},"x"]]"#, Place::Cookie).unwrap();
        entries[0].info.insert("k".into(), 2.into());
        assert_eq!(
            written(&entries, Place::Cookie),
            r#"[[{"a":1,"@k":2},"x"]]"#
        );
        assert_eq!(written(&entries, Place::Server), r#"[[{"a":1},"x"]]"#);
    }

    #[test]
    fn text_of_one_place_is_translated_for_the_other() {
        let entries = parse(br#"[[{"@k":1,"$@k":2},"x"]]"#, Place::Cookie).unwrap();
        assert_eq!(written(&entries, Place::Server), r#"[[{"@k":2},"x"]]"#);
        let entries = parse(br#"[[{"@k":1,"$@k":2},"x"]]"#, Place::Server).unwrap();
        assert_eq!(
            written(&entries, Place::Cookie),
            r#"[[{"$@k":1,"$$@k":2},"x"]]"#
        );
    }

    #[test]
    fn an_escaped_key_is_seen_as_what_it_says() {
        let json = r#"[[{"\u0040k":1,"\u0024@k":2},"x"]]"#;
        let entry = &parse(json.as_bytes(), Place::Cookie).unwrap()[0];
        assert_eq!(
            (&entry.info["k"], &entry.data["@k"]),
            (&1.into(), &2.into())
        );
    }

    /// The same decision as that of a parser that makes a value of everything.
    #[test]
    fn what_is_not_read_is_checked_as_if_it_were() {
        let nested =
            |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
        let mut data: Vec<Vec<u8>> = (95..130)
            .map(|levels| nested(levels).into_bytes())
            .collect();
        for text in [
            r#""\ud800""#,
            r#""\udc00""#,
            r#""\ud83d\ude00""#,
            r#""\ud800x""#,
            r#""\x""#,
            r#""\u12g4""#,
            "\"\t\"",
            "1e308",
            "1e309",
            "-1e999",
            "0e999",
            "1e-999",
            "01",
            "-",
            "1.",
            ".5",
            "+1",
            "nul",
            "true",
            "[1,]",
            "[,]",
            "{\"b\":1,}",
            "{b:1}",
            "[1 2]",
            "\u{feff}1",
            "\u{a0}1",
            "",
        ] {
            for whole in [
                text.to_owned(),
                format!("{{\"a\":{text}}}"),
                format!("[{text}]"),
                format!(" {text}\n"),
            ] {
                data.push(whole.into_bytes());
            }
        }
        data.push([b"1".repeat(400), b".0".to_vec()].concat());
        data.extend([
            b"\"\xff\"".to_vec(),
            b"{\"\xff\":1}".to_vec(),
            b"{\"a\":\"\xc3\"}".to_vec(),
        ]);
        for data in data {
            for (before, after) in [
                (&b"[["[..], &b",\"x\"]]"[..]),
                (b"[[", b"]]"),
                (b"[[", b"]"),
                (b"[[{}],[", b",1]]"),
            ] {
                let json = [before, &data, after].concat();
                let whole = serde_json::from_slice::<Vec<(Value, Option<Value>)>>(&json);
                let whole = whole.is_ok()
                    || serde_json::from_slice::<Vec<Vec<Value>>>(&json)
                        .is_ok_and(|entries| entries.iter().all(|entry| !entry.is_empty()));
                let entries = parse(&json, Place::Cookie);
                assert_eq!(entries.is_ok(), whole, "{}", String::from_utf8_lossy(&json));
                for entry in entries.iter().flatten() {
                    let _ = (entry.data.len(), entry.info.len());
                }
            }
        }
    }

    #[test]
    fn text_too_deep_to_be_saved_counts_as_changed() {
        for (levels, changed) in [(MAX_DEPTH - 1, 0), (MAX_DEPTH, 1)] {
            let json = format!("[[{{\"a\":{}{}}}]]", "[".repeat(levels), "]".repeat(levels));
            let entry = &parse(json.as_bytes(), Place::Server).unwrap()[0];
            assert_eq!(entry.changed_values().count(), changed, "{levels}");
        }
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

    const KEYS: [&str; 8] = ["a", "b", "c", "d\n", "@m", "$@m", "new", "\u{1}jar"];

    #[derive(Debug, Clone)]
    enum Step {
        Put(usize, u8),
        Insert(usize, u8),
        Remove(usize),
        Keep,
        Read,
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = 0..KEYS.len();
        prop_oneof![
            4 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::Put(key, value)),
            1 => (key.clone(), any::<u8>()).prop_map(|(key, value)| Step::Insert(key, value)),
            1 => key.prop_map(Step::Remove),
            1 => Just(Step::Keep),
            1 => Just(Step::Read),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_done_to_data_is_stored(
            steps in prop::collection::vec(step(), 0..30),
            json in prop::sample::select(vec![
                r#"[[{ "a":1.0e0 , "b":{"x":[1]},"d\n":"\/","a":2,"c":null },"x"]]"#,
                r#"[[{},"x"]]"#,
                r#"[[{"a":1,"@m":2,"$@m":3},"x"]]"#,
                r#"[[[],"x"]]"#,
            ]),
            place in prop::sample::select(vec![Place::Cookie, Place::Server]),
        ) {
            let mut entries = parse(json.as_bytes(), place).unwrap();
            let data = &mut entries[0].data;
            let mut is = (*entries_data(json, place)).clone();
            let (mut was, mut is_changed) = (is.clone(), false);
            for step in steps {
                match step {
                    Step::Put(key, value) => {
                        data.put(KEYS[key], value.into());
                        is.insert(KEYS[key].to_owned(), value.into());
                        is_changed = true;
                    }
                    Step::Insert(key, value) => {
                        data.insert(KEYS[key].to_owned(), value.into());
                        is.insert(KEYS[key].to_owned(), value.into());
                        is_changed = true;
                    }
                    Step::Remove(key) => {
                        data.shift_remove(KEYS[key]);
                        is.shift_remove(KEYS[key]);
                        is_changed = true;
                    }
                    Step::Keep => {
                        data.keep();
                        (was, is_changed) = (is.clone(), false);
                    }
                    Step::Read => prop_assert_eq!(&**data, &is),
                }
                prop_assert_eq!(data.is_changed(), is_changed);
                prop_assert_eq!(data.is_empty(), is.is_empty());
                prop_assert_eq!(&*data.before(), if is_changed { &was } else { &is });
                for key in KEYS {
                    prop_assert_eq!(data.get(key), is.get(key));
                }
            }
            let text = written(&entries, place);
            prop_assert_eq!(&*entries_data(&text, place), &is);
            prop_assert_eq!(&*entries[0].data, &is);
        }
    }

    fn entries_data(json: &str, place: Place) -> LazyMap {
        parse(json.as_bytes(), place).unwrap().remove(0).data
    }
}
