//! What holds for any two requests that change one session at the same time.
#![allow(clippy::unwrap_used)]

mod common;

use common::{NOW, UNBOUND, id, policy, reopen};
use proptest::prelude::*;
use serde_json::{Map, Value};
use session::{MergePatch, Place, Policy, Rebased, Sealed, Session};

#[derive(Debug, Clone)]
enum Change {
    Set(String, Value),
    Unset(String),
    Patch(Map<String, Value>),
    Info(String, Value),
    InfoUnset(String),
    Clear,
}

impl Change {
    fn apply(&self, session: &mut Session) {
        match self {
            Self::Set(key, value) => session.set(key, value.clone()),
            Self::Unset(key) => session.unset(key),
            Self::Patch(patch) => {
                let text = Value::from(patch.clone()).to_string();
                session.patch(&MergePatch::parse(text.as_bytes()).unwrap())
            }
            Self::Info(key, value) => session.info_set(key, value.clone()),
            Self::InfoUnset(key) => session.info_unset(key),
            Self::Clear => session.clear(),
        };
    }
}

/// Changes of keys that begin with one of `letters`.
fn changes(letters: &'static str, clears: bool) -> impl Strategy<Value = Vec<Change>> {
    let text = |regex: String| prop::string::string_regex(&regex).unwrap();
    let key = || text(format!("[{letters}](\\.[xy])?"));
    let top = || text(format!("@?[{letters}]"));
    let value = || {
        prop_oneof![
            Just(Value::Null),
            (0..3).prop_map(Value::from),
            prop::collection::vec(("[xy]", 0..3i32), 0..3).prop_map(|entries| {
                let entries = entries.into_iter();
                Value::Object(entries.map(|(k, v): (String, i32)| (k, v.into())).collect())
            }),
        ]
    };
    let patch = prop::collection::vec((top(), value()), 0..3)
        .prop_map(|entries| Change::Patch(entries.into_iter().collect()));
    let change = prop_oneof![
        4 => (key(), value()).prop_map(|(key, value)| Change::Set(key, value)),
        2 => key().prop_map(Change::Unset),
        2 => patch,
        2 => (top(), value()).prop_map(|(key, value)| Change::Info(key, value)),
        1 => top().prop_map(Change::InfoUnset),
        1 => Just(if clears { Change::Clear } else { Change::Patch(Map::new()) }),
    ];
    prop::collection::vec(change, 0..6)
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![Just(Place::Cookie), Just(Place::Server)]
}

fn saved(p: &Policy, session: &mut Session, number: u8) -> Sealed {
    let sealed = session.seal(p, id(number), &UNBOUND, NOW).unwrap();
    session.committed(&sealed);
    sealed
}

fn open(p: &Policy, sealed: &Sealed) -> Session {
    reopen(p, sealed, &UNBOUND, NOW).unwrap()
}

fn stored(p: &Policy, changes: &[Change]) -> Sealed {
    let mut session = Session::new("default", None);
    session.mark_dirty();
    changes.iter().for_each(|change| change.apply(&mut session));
    saved(p, &mut session, 1)
}

fn changed(p: &Policy, old: &Sealed, changes: &[Change]) -> Session {
    let mut session = open(p, old);
    changes.iter().for_each(|change| change.apply(&mut session));
    session
}

/// The second of two requests saves after the first one.
fn one_after_the_other(p: &Policy, old: &Sealed, first: &[Change], second: &[Change]) -> Session {
    let theirs = saved(p, &mut changed(p, old, first), 2);
    let mut own = changed(p, old, second);
    assert_eq!(own.rebase(open(p, &theirs), None, NOW), Rebased::Merged);
    assert_eq!(own.id(), Some(theirs.id()));
    let sealed = saved(p, &mut own, 3);
    open(p, &sealed)
}

fn info(session: &Session) -> Map<String, Value> {
    session.info_map().cloned().unwrap_or_default()
}

/// What is to become of keys: as it is here where it was changed here, else as it is there.
fn merged(
    before: &Map<String, Value>,
    own: &Map<String, Value>,
    theirs: &Map<String, Value>,
) -> Map<String, Value> {
    own.keys()
        .chain(theirs.keys())
        .filter_map(|key| {
            let is_own = own.get(key) != before.get(key);
            let value = if is_own {
                own.get(key)
            } else {
                theirs.get(key)
            };
            Some((key.clone(), value?.clone()))
        })
        .collect()
}

proptest! {
    #[test]
    fn each_key_is_as_the_last_who_changed_it_left_it(
        place in place(), start in changes("a-d", false), first in changes("a-d", true), second in changes("a-d", true),
    ) {
        let p = policy(place);
        let old = stored(&p, &start);
        let (before, theirs, own) = (open(&p, &old), changed(&p, &old, &first), changed(&p, &old, &second));
        let both = one_after_the_other(&p, &old, &first, &second);
        prop_assert_eq!(both.data(), &merged(before.data(), own.data(), theirs.data()));
        prop_assert_eq!(info(&both), merged(&info(&before), &info(&own), &info(&theirs)));
    }

    #[test]
    fn with_different_keys_the_order_does_not_matter(
        place in place(), start in changes("a-d", false), first in changes("ab", false), second in changes("cd", false),
    ) {
        let p = policy(place);
        let old = stored(&p, &start);
        let one = one_after_the_other(&p, &old, &first, &second);
        let other = one_after_the_other(&p, &old, &second, &first);
        prop_assert_eq!(one.data(), other.data());
        prop_assert_eq!(info(&one), info(&other));
        let in_one = changed(&p, &old, &[first, second].concat());
        prop_assert_eq!(one.data(), in_one.data());
        prop_assert_eq!(info(&one), info(&in_one));
    }

    #[test]
    fn who_does_nothing_undoes_nothing(place in place(), start in changes("a-d", false), first in changes("a-d", true)) {
        let p = policy(place);
        let old = stored(&p, &start);
        let theirs = changed(&p, &old, &first);
        let both = one_after_the_other(&p, &old, &first, &[]);
        prop_assert_eq!(both.data(), theirs.data());
        prop_assert_eq!(info(&both), info(&theirs));
    }

    #[test]
    fn a_third_one_loses_nothing_either(
        place in place(), start in changes("a-f", false),
        first in changes("ab", false), second in changes("cd", false), third in changes("ef", false),
    ) {
        let p = policy(place);
        let old = stored(&p, &start);
        let theirs = saved(&p, &mut changed(&p, &old, &first), 2);
        let mut other = changed(&p, &old, &second);
        other.rebase(open(&p, &theirs), None, NOW);
        let others = saved(&p, &mut other, 3);
        let mut own = changed(&p, &old, &third);
        own.rebase(open(&p, &theirs), None, NOW);
        own.rebase(open(&p, &others), None, NOW);
        let in_one = changed(&p, &old, &[first, second, third].concat());
        prop_assert_eq!(own.data(), in_one.data());
        prop_assert_eq!(info(&own), info(&in_one));
    }
}
