//! A JSON object that stays text until somebody reads it, and is written as that text until somebody changes it.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::{Arc, OnceLock};

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::scan::{self, Name};
use crate::wiped::Wiped;

/// What a map is made of the object that a text is.
pub(crate) type Reading = fn(Map<String, Value>) -> Map<String, Value>;

/// Edits of one map: more make looking through them more work than a map.
const MAX_EDITS: usize = 16;

/// The map. Reading it parses the text. The first change keeps what there was before: that costs nothing where it is text.
#[derive(Default)]
pub(crate) struct LazyMap {
    /// What it came as. Many sessions may have come as the same.
    source: Option<Arc<Source>>,
    values: Values,
    /// What was put into it since, in this order.
    edits: Vec<Edit>,
    /// How many of those were there when it was last kept.
    kept: usize,
    /// All of it, once that was asked for: then this is what counts.
    // In a box: sessions are moved around, and most of these are never filled.
    map: OnceLock<Box<Map<String, Value>>>,
    is_changed: bool,
    /// What was there before a change, if it did not come as text.
    before: Option<Box<Map<String, Value>>>,
}

struct Edit {
    key: String,
    value: Value,
}

struct Source {
    text: Text,
    /// None when the map is what the object is.
    reading: Option<Reading>,
    /// How many fields the object has.
    size: usize,
    // Not the cells without a lock: a session can be shared between threads.
    fields: OnceLock<Option<Fields>>,
}

impl Source {
    fn new(text: Text, size: usize, reading: Option<Reading>) -> Self {
        Self {
            text,
            reading,
            size,
            fields: OnceLock::new(),
        }
    }

    fn parse(&self) -> Map<String, Value> {
        let object = self.text.parse();
        match self.reading {
            Some(reading) => reading(object),
            None => object,
        }
    }
}

impl LazyMap {
    /// The map that is written in `text`, which `scan` has been through.
    pub fn new(text: Text, scan: &Scan) -> Self {
        Self::from(Source::new(text, scan.fields, None))
    }

    /// The map that `reading` makes of what is written in `text`.
    pub fn reading(text: Text, scan: &Scan, reading: Reading) -> Self {
        Self::from(Source::new(text, scan.fields, Some(reading)))
    }

    /// The same, without what was done to it since it was read.
    pub fn again(&self) -> Self {
        match &self.source {
            Some(source) => Self {
                source: Some(Arc::clone(source)),
                ..Self::default()
            },
            None => Self {
                map: self.map.clone(),
                ..Self::default()
            },
        }
    }

    /// A value; as long as nobody asks for the whole map, only those that are asked for are parsed.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let Some((text, fields)) = self.fields() else {
            return Map::get(self, key);
        };
        if let Some(edit) = self.edits.iter().rfind(|edit| edit.key == key) {
            return Some(&edit.value);
        }
        let field = fields.position(key, text)?;
        Some(self.values.get_or_parse(field, || {
            serde_json::from_slice(&text[fields.0[field].1.clone()])
                .expect("the scan has been through it")
        }))
    }

    /// Puts a value in the place of the key's, or behind all others; what is there is not parsed for that.
    pub fn put(&mut self, key: &str, value: Value) {
        if self.fields().is_none() || self.edits.len() == MAX_EDITS {
            self.insert(key.to_owned(), value);
            return;
        }
        let key = key.to_owned();
        self.edits.push(Edit { key, value });
        self.is_changed = true;
    }

    /// Writes the object as its text with what was put into it. False when there is no such text; nothing is written then. New
    /// keys are written as `name` has them.
    pub fn write_edited(
        &self,
        json: &mut Wiped,
        name: impl Fn(&str) -> Cow<'_, str>,
    ) -> Result<bool, serde_json::Error> {
        let Some((text, fields)) = self.fields().filter(|_| !self.edits.is_empty()) else {
            return Ok(false);
        };
        let latest = |is_its: &dyn Fn(&str) -> bool| self.edits.iter().rfind(|e| is_its(&e.key));
        let mut separator: &[u8] = b"{";
        for (number, (own, value)) in fields.0.iter().enumerate() {
            let Some(edit) = latest(&|key| own.is(key, text)) else {
                json.extend_from_slice(std::mem::replace(&mut separator, b","));
                json.extend_from_slice(&text[own.start()..value.end]);
                continue;
            };
            // Of a name that is there twice, the place of the first is kept.
            if fields.0[..number]
                .iter()
                .any(|(other, _)| other.is(&edit.key, text))
            {
                continue;
            }
            json.extend_from_slice(std::mem::replace(&mut separator, b","));
            write_field(json, &name(&edit.key), &edit.value)?;
        }
        for (number, Edit { key, .. }) in self.edits.iter().enumerate() {
            let is_first = !self.edits[..number].iter().any(|other| other.key == *key);
            if is_first && fields.position(key, text).is_none() {
                let edit = latest(&|other| other == key).map_or(&Value::Null, |edit| &edit.value);
                json.extend_from_slice(std::mem::replace(&mut separator, b","));
                write_field(json, &name(key), edit)?;
            }
        }
        json.extend_from_slice(b"}");
        Ok(true)
    }

    /// The values that are not as they came, or may not be.
    pub fn changed_values(&self) -> impl Iterator<Item = &Value> {
        let is_text = self.text().is_some();
        let edits = self.fields().is_some().then_some(&self.edits);
        let map = (!is_text && edits.is_none()).then(|| &**self);
        let edits = edits.into_iter().flatten().map(|edit| &edit.value);
        edits.chain(map.into_iter().flat_map(Map::values))
    }

    fn fields(&self) -> Option<(&[u8], &Fields)> {
        let source = self.source.as_ref()?;
        if source.reading.is_some() || self.map.get().is_some() {
            return None;
        }
        let fields = source.fields.get_or_init(|| Fields::of(&source.text));
        Some((source.text.as_bytes(), fields.as_ref()?))
    }

    pub fn is_empty(&self) -> bool {
        match (self.map.get(), &self.source) {
            (None, None) => true,
            (None, Some(_)) if !self.edits.is_empty() => false,
            _ => Map::is_empty(self),
        }
    }

    /// Bytes beside its text that it may share with all that came as the same, roughly. None when it did not come as text.
    pub fn shared_bytes(&self) -> Option<usize> {
        let fields = self.source.as_ref()?.size;
        let room = match fields {
            0..=Fields::LIMIT => fields.next_power_of_two().max(scan::FEW_FIELDS),
            _ => 0,
        };
        Some(size_of::<Source>() + room * size_of::<(Name, Range<usize>)>())
    }

    /// Bytes of the text it came as, if it did.
    pub fn source_size(&self) -> usize {
        let source = self.source.as_ref();
        source.map_or(0, |source| source.text.as_bytes().len())
    }

    /// The text it came as; none when it did not, or may have been changed.
    pub fn text(&self) -> Option<&Text> {
        let is_it = !self.is_changed && self.edits.is_empty();
        let source = self.source.as_ref().filter(|_| is_it);
        source.map(|source| &source.text)
    }

    /// The text it came as, as long as nobody has had it parsed.
    pub fn unread_text(&self) -> Option<&Text> {
        self.text().filter(|_| self.map.get().is_none())
    }

    /// Whether it may be another than [`Self::before`].
    pub fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// What it was when it was read or last kept.
    pub fn before(&self) -> Cow<'_, Map<String, Value>> {
        match (&self.source, &self.before) {
            _ if !self.is_changed => Cow::Borrowed(self),
            (Some(source), _) => Cow::Owned(edited(source.parse(), &self.edits[..self.kept])),
            (None, Some(before)) => Cow::Borrowed(before),
            (None, None) => Cow::Owned(Map::new()),
        }
    }

    /// What it is now is what a later change starts from.
    pub fn keep(&mut self) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        if self.map.get().is_none() {
            self.kept = self.edits.len();
            return;
        }
        self.source = None;
        self.edits.clear();
        self.kept = 0;
        self.before = None;
    }
}

/// The map with what was put into it.
fn edited(mut map: Map<String, Value>, edits: &[Edit]) -> Map<String, Value> {
    for Edit { key, value } in edits {
        map.insert(key.clone(), value.clone());
    }
    map
}

fn write_field(json: &mut Wiped, name: &str, value: &Value) -> Result<(), serde_json::Error> {
    serde_json::to_writer(&mut *json, name)?;
    json.extend_from_slice(b":");
    serde_json::to_writer(json, value)
}

impl From<Source> for LazyMap {
    fn from(source: Source) -> Self {
        Self {
            source: Some(Arc::new(source)),
            ..Self::default()
        }
    }
}

impl From<Map<String, Value>> for LazyMap {
    fn from(map: Map<String, Value>) -> Self {
        Self {
            map: OnceLock::from(Box::new(map)),
            ..Self::default()
        }
    }
}

impl Deref for LazyMap {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        self.map.get_or_init(|| {
            let map = self.source.as_deref().map(Source::parse);
            Box::new(edited(map.unwrap_or_default(), &self.edits))
        })
    }
}

impl DerefMut for LazyMap {
    fn deref_mut(&mut self) -> &mut Self::Target {
        let _ = &**self;
        let map = self.map.get_mut().expect("it was read a line before");
        if !std::mem::replace(&mut self.is_changed, true)
            && self.source.is_none()
            && !map.is_empty()
        {
            self.before = Some(map.clone());
        }
        map
    }
}

/// Where the fields of an object are in its text.
struct Fields(Vec<(Name, Range<usize>)>);

impl Fields {
    /// To look through more, one by one, would be more work than to parse them all once.
    const LIMIT: usize = 128;

    fn of(text: &Text) -> Option<Self> {
        scan::fields(text.plain()?, Self::LIMIT).map(Self)
    }

    /// Of a name that is there twice, the last one counts.
    fn position(&self, name: &str, text: &[u8]) -> Option<usize> {
        self.0.iter().rposition(|(own, _)| own.is(name, text))
    }
}

/// The values that were asked for, one behind another: what was lent out stays where it is.
#[derive(Default)]
struct Values(OnceLock<Box<ReadValue>>);

struct ReadValue {
    /// Its field's number.
    field: usize,
    value: Value,
    next: Values,
}

impl Values {
    fn get_or_parse(&self, field: usize, parse: impl Fn() -> Value) -> &Value {
        let mut values = self;
        loop {
            let read = values.0.get_or_init(|| {
                Box::new(ReadValue {
                    field,
                    value: parse(),
                    next: Self::default(),
                })
            });
            if read.field == field {
                return &read.value;
            }
            values = &read.next;
        }
    }
}

/// The text of a JSON value that a [`Scan`] has been through: a part of what was decrypted.
#[derive(Clone)]
pub(crate) struct Text {
    whole: Arc<Wiped>,
    range: Range<usize>,
    is_plain: bool,
}

impl Text {
    /// The part of `whole` must be one value that a [`Scan`] has been through. `is_plain` is what [`scan::is_plain`] says of it.
    pub fn new(whole: &Arc<Wiped>, range: Range<usize>, is_plain: bool) -> Self {
        Self {
            whole: Arc::clone(whole),
            range,
            is_plain,
        }
    }

    fn plain(&self) -> Option<&[u8]> {
        self.is_plain.then(|| self.as_bytes())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.whole[self.range.clone()]
    }

    fn parse(&self) -> Map<String, Value> {
        serde_json::from_slice(self.as_bytes()).expect("the scan was done by the same parser")
    }
}

/// What is found in a JSON value without keeping it. By the parser, it goes the way by which a `Value` is made, so that the same
/// texts are refused: an `IgnoredAny` would take any depth, halves of surrogate pairs, and numbers that are out of range.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scan {
    /// Levels of objects and lists.
    pub levels: usize,
    /// It is a list or an object without elements, or no such thing.
    pub is_empty: bool,
    /// It is an object with a key in which the first character but `$` is `@`.
    pub has_marked: bool,
    /// The number of its own fields, if it is an object.
    pub fields: usize,
}

impl Scan {
    pub fn scalar() -> Self {
        Self {
            is_empty: true,
            ..Self::default()
        }
    }

    pub fn enclose(&mut self, inner: &Self) {
        self.levels = self.levels.max(inner.levels + 1);
        self.is_empty = false;
    }

    pub fn empty() -> Self {
        Self {
            levels: 1,
            ..Self::scalar()
        }
    }
}

impl<'de> Deserialize<'de> for Scan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Scan;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any JSON value")
            }

            fn visit_unit<E: Error>(self) -> Result<Scan, E> {
                Ok(Scan::scalar())
            }

            fn visit_bool<E: Error>(self, _: bool) -> Result<Scan, E> {
                Ok(Scan::scalar())
            }

            fn visit_i64<E: Error>(self, _: i64) -> Result<Scan, E> {
                Ok(Scan::scalar())
            }

            fn visit_u64<E: Error>(self, _: u64) -> Result<Scan, E> {
                Ok(Scan::scalar())
            }

            fn visit_f64<E: Error>(self, _: f64) -> Result<Scan, E> {
                Ok(Scan::scalar())
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Scan, E> {
                Ok(Scan::scalar())
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scan, A::Error> {
                let mut scan = Scan::empty();
                while let Some(inner) = list.next_element()? {
                    scan.enclose(&inner);
                }
                Ok(scan)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scan, A::Error> {
                let mut scan = Scan::empty();
                while let Some((Key { is_marked }, inner)) = map.next_entry()? {
                    scan.has_marked |= is_marked;
                    scan.fields += 1;
                    scan.enclose(&inner);
                }
                Ok(scan)
            }
        }
        deserializer.deserialize_any(Any)
    }
}

/// Any number of `$`, then `@`.
pub(crate) fn is_marked(key: &str) -> bool {
    key.trim_start_matches('$').starts_with('@')
}

/// A key of an object.
struct Key {
    is_marked: bool,
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyKey;
        impl Visitor<'_> for AnyKey {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_str<E: Error>(self, key: &str) -> Result<Key, E> {
                Ok(Key {
                    is_marked: is_marked(key),
                })
            }
        }
        deserializer.deserialize_str(AnyKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &[u8]) -> LazyMap {
        let whole = Arc::new(Wiped::from(json.to_vec()));
        let scan = serde_json::from_slice(json).expect("it is JSON");
        LazyMap::new(
            Text::new(&whole, 0..json.len(), scan::is_plain(json)),
            &scan,
        )
    }

    #[test]
    fn what_is_put_takes_the_place_of_what_was_there() {
        let json = r#"{"a":1,"b":{"c":[2]},"\u0064":3,"a":4,"e":"\n"}"#;
        for key in ["a", "b", "d", "e", "new", "\u{1}jar"] {
            let (mut put, mut inserted) = (read(json.as_bytes()), read(json.as_bytes()));
            put.put(key, Value::from(5));
            inserted.insert(key.to_owned(), Value::from(5));
            assert!(put.is_changed());
            for map in [&put, &inserted] {
                let text = serde_json::to_string(&**map).expect("maps are JSON");
                assert_eq!(
                    text,
                    serde_json::to_string(&*inserted).expect("maps are JSON")
                );
            }
            assert_eq!(put.before(), inserted.before());
        }
    }

    #[test]
    fn sessions_can_be_shared_between_threads() {
        fn shared<T: Send + Sync + std::panic::RefUnwindSafe>() {}
        shared::<crate::Session>();
        shared::<crate::Token>();
    }

    #[test]
    fn what_was_there_before_is_known_until_it_is_kept() {
        let read = read(br#"{"a":1}"#);
        let made = LazyMap::from(Map::from_iter([("a".to_owned(), Value::from(1))]));
        for mut map in [read, made] {
            assert!(!map.is_changed());
            assert_eq!(map.before().as_ref(), &*map);
            map.insert("a".into(), 2.into());
            map.insert("b".into(), 3.into());
            assert!(map.is_changed());
            assert_eq!(
                (map.before()["a"].clone(), map.before().len()),
                (1.into(), 1)
            );
            map.keep();
            assert!(!map.is_changed() && map.text().is_none());
            assert_eq!(map.before().as_ref(), &*map);
            map.remove("b");
            assert_eq!(map.before()["b"], 3);
        }
        let mut empty = LazyMap::default();
        empty.insert("a".into(), 1.into());
        assert!(empty.before().is_empty());
    }

    #[test]
    fn a_change_forgets_the_text_and_reading_does_not() {
        let mut map = read(br#"{"a":1,"a":2}"#);
        assert_eq!(map["a"], 2);
        assert!(map.text().is_some());
        map.insert("b".into(), Value::Null);
        assert!(map.text().is_none());
        assert_eq!(map.len(), 2);
    }

    #[test]
    fn a_value_is_the_same_whether_all_is_parsed_or_only_this_one() {
        for json in [
            r#"{"a":1,"b":{"c":[1.50]},"a":"x","\u0064":null}"#,
            "{\n\"a\": 1}",
            r#"{"a":1e3}"#,
            "{}",
        ] {
            let (one, all) = (read(json.as_bytes()), read(json.as_bytes()));
            let _ = all.len();
            for key in ["a", "b", "c", "d", ""] {
                assert_eq!(one.get(key), all.get(key), "{key} of {json}");
                assert_eq!(one.get(key), all.get(key), "{key} of {json}");
            }
            let plain = json.starts_with("{\"") && !json.contains("e3");
            assert_eq!(one.map.get().is_none(), plain || json == "{}", "{json}");
        }
    }

    #[test]
    fn values_that_were_asked_for_do_not_outlive_a_change() {
        let mut map = read(br#"{"a":1}"#);
        assert_eq!(map.get("a"), Some(&1.into()));
        map.insert("a".into(), 2.into());
        assert_eq!(map.get("a"), Some(&2.into()));
        map.keep();
        assert_eq!(map.get("a"), Some(&2.into()));
    }

    #[test]
    fn a_map_of_many_fields_is_parsed_at_once() {
        for (count, by_one) in [(Fields::LIMIT, true), (Fields::LIMIT + 1, false)] {
            let fields: Vec<String> = (0..count)
                .map(|number| format!("\"{number}\":{number}"))
                .collect();
            let map = read(format!("{{{}}}", fields.join(",")).as_bytes());
            assert_eq!(map.get("7"), Some(&7.into()));
            assert_eq!(map.map.get().is_none(), by_one);
        }
    }
}
