//! What holds for every merge patch and every session.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::{Map, Value};
use session::jar::is_reserved;
use session::{MergePatch, Session};

/// Few names, so that patches meet what is there.
fn object(depth: u32) -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        2 => Just(Value::Null),
        2 => (0..3).prop_map(Value::from),
        1 => "[ab.]{0,2}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(depth, 24, 3, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            3 => prop::collection::vec(("[a-d]", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    });
    prop::collection::vec(("[a-d]|a\\.b|\\.|", value), 0..5)
        .prop_map(|entries| entries.into_iter().collect())
}

/// A session that had these values set, of which dotted names may have gone into each other.
fn session(data: &Map<String, Value>) -> Session {
    let mut session = Session::new("default", None);
    for (key, value) in data.iter().rev() {
        session.set(key, value.clone());
    }
    session
}

/// RFC 7396, section 2, as it is written there.
fn model(target: Option<&Value>, patch: &Value) -> Value {
    let Value::Object(patch) = patch else {
        return patch.clone();
    };
    let mut result = target
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    for (name, value) in patch {
        if value.is_null() {
            result.shift_remove(name);
        } else {
            let merged = model(result.get(name), value);
            result.insert(name.clone(), merged);
        }
    }
    result.into()
}

proptest! {
    #[test]
    fn it_does_what_the_rfc_says(data in object(3), patch in object(3)) {
        let mut session = session(&data);
        let before = Value::Object(session.data().clone());
        let expected = model(Some(&before), &Value::Object(patch.clone()));
        let patch = MergePatch::parse(Value::Object(patch).to_string().as_bytes()).unwrap();

        prop_assert_eq!(session.patch(&patch), expected != before);
        prop_assert_eq!(&Value::Object(session.data().clone()), &expected);
        prop_assert_eq!(session.data_json(), expected.to_string());
        prop_assert!(!session.patch(&patch), "the second time it changes nothing");
    }

    #[test]
    fn only_what_it_names_is_touched(data in object(2), patch in object(2), jar in any::<bool>()) {
        let mut session = session(&data);
        let jar = jar.then(|| Value::from("jar"));
        session.set_stored_jar(jar.clone());
        let before = session.data().clone();
        session.patch(&MergePatch::parse(Value::Object(patch.clone()).to_string().as_bytes()).unwrap());
        let others = |map: &Map<String, Value>| -> Vec<(String, Value)> {
            map.iter().filter(|(key, _)| !patch.contains_key(*key)).map(|(key, value)| (key.clone(), value.clone())).collect()
        };
        prop_assert_eq!(others(&before), others(session.data()));
        prop_assert_eq!(session.stored_jar(), jar.as_ref());
    }

    #[test]
    fn any_text_is_a_patch_or_refused(text in any::<Vec<u8>>(), piece in "[{}\\[\\]\":,a1\\\\u0]{0,24}") {
        for text in [&text[..], piece.as_bytes()] {
            let is_object = std::str::from_utf8(text)
                .is_ok_and(|text| serde_json::from_str::<Map<String, Value>>(text).is_ok_and(|map| !map.keys().any(|key| is_reserved(key))));
            prop_assert_eq!(MergePatch::parse(text).is_ok(), is_object);
        }
    }
}
