//! A JSON object that stays text until somebody reads it, and is written as that text until somebody changes it.

use std::borrow::Cow;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::wiped::Wiped;

/// What a map is made of the object that a text is.
pub(crate) type Reading = fn(Map<String, Value>) -> Map<String, Value>;

/// The map. Reading it parses the text. The first change keeps what there was before: that costs nothing where it is text.
#[derive(Default)]
pub(crate) struct LazyMap {
    /// What it came as.
    text: Option<(Text, Reading)>,
    // Not the cell without a lock: a session can be shared between threads.
    map: OnceLock<Map<String, Value>>,
    is_changed: bool,
    /// What was there before a change, if it did not come as text.
    before: Option<Map<String, Value>>,
}

impl LazyMap {
    pub fn new(text: Text, reading: Reading) -> Self {
        Self {
            text: Some((text, reading)),
            ..Self::default()
        }
    }

    /// The text it came as; none when it did not, or may have been changed.
    pub fn text(&self) -> Option<&Text> {
        self.text
            .as_ref()
            .filter(|_| !self.is_changed)
            .map(|(text, _)| text)
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
        match (&self.text, &self.before) {
            _ if !self.is_changed => Cow::Borrowed(self),
            (Some((text, reading)), _) => Cow::Owned(reading(text.parse())),
            (None, Some(before)) => Cow::Borrowed(before),
            (None, None) => Cow::Owned(Map::new()),
        }
    }

    /// What it is now is what a later change starts from.
    pub fn keep(&mut self) {
        if std::mem::take(&mut self.is_changed) {
            self.text = None;
            self.before = None;
        }
    }
}

impl From<Map<String, Value>> for LazyMap {
    fn from(map: Map<String, Value>) -> Self {
        Self {
            map: map.into(),
            ..Self::default()
        }
    }
}

impl Deref for LazyMap {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        self.map.get_or_init(|| match &self.text {
            Some((text, reading)) => reading(text.parse()),
            None => Map::new(),
        })
    }
}

impl DerefMut for LazyMap {
    fn deref_mut(&mut self) -> &mut Self::Target {
        let _ = &**self;
        let map = self.map.get_mut().expect("it was read a line before");
        if !std::mem::replace(&mut self.is_changed, true) && self.text.is_none() && !map.is_empty()
        {
            self.before = Some(map.clone());
        }
        map
    }
}

/// The text of a JSON value that a [`Scan`] has been through.
pub(crate) struct Text(Wiped);

impl Text {
    /// `json` must be one value that a [`Scan`] has been through.
    pub fn new(json: &[u8]) -> Self {
        Self(Wiped::from(json.to_vec()))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn parse(&self) -> Map<String, Value> {
        serde_json::from_slice(&self.0).expect("the scan was done by the same parser")
    }
}

/// What is found in a JSON value without keeping it. It goes the way by which a `Value` is made, so that the same texts are refused:
/// an `IgnoredAny` would take any depth, halves of surrogate
/// pairs, and numbers that are out of range.
#[derive(Default)]
pub(crate) struct Scan {
    /// Levels of objects and lists.
    pub levels: usize,
    /// It is a list or an object without elements, or no such thing.
    pub is_empty: bool,
    /// It is an object with a key in which the first character but `$` is `@`.
    pub has_marked: bool,
}

impl Scan {
    fn scalar() -> Self {
        Self {
            is_empty: true,
            ..Self::default()
        }
    }

    fn enclose(&mut self, inner: &Self) {
        self.levels = self.levels.max(inner.levels + 1);
        self.is_empty = false;
    }

    fn empty() -> Self {
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

    #[test]
    fn sessions_can_be_shared_between_threads() {
        fn shared<T: Send + Sync + std::panic::RefUnwindSafe>() {}
        shared::<crate::Session>();
        shared::<crate::Token>();
    }

    #[test]
    fn what_was_there_before_is_known_until_it_is_kept() {
        let read = LazyMap::new(Text::new(br#"{"a":1}"#), |map| map);
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
        let mut map = LazyMap::new(Text::new(br#"{"a":1,"a":2}"#), |map| map);
        assert_eq!(map["a"], 2);
        assert!(map.text().is_some());
        map.insert("b".into(), Value::Null);
        assert!(map.text().is_none());
        assert_eq!(map.len(), 2);
    }
}
