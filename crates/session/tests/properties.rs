//! What holds for every session and every input.
#![allow(clippy::unwrap_used)]

mod common;

use common::{NOW, UNBOUND, derive, id, line, open_token, policy, record, verify};
use proptest::prelude::*;
use serde_json::{Map, Value};
use session::{
    Bind, Binding, Hidden, KeyIndex, Kind, Place, Policy, Record, Safety, Sealed, Session,
    cookie_pairs, hide_cookies, metadata, set_cookie_name,
};

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no infinity", |f| f.is_finite())
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn map() -> impl Strategy<Value = Map<String, Value>> {
    let key = prop_oneof![any::<String>(), "[$@]{0,3}[a-c]{0,2}", "[a-c.]{1,5}"];
    prop::collection::vec((key, value()), 0..6).prop_map(|entries| entries.into_iter().collect())
}

#[derive(Debug, Clone)]
struct Case {
    policy: Policy,
    kind: Kind,
    audience: String,
    subject: Option<String>,
    data: Map<String, Value>,
    info: Map<String, Value>,
    filler: usize,
    binding: [Vec<u8>; 4],
}

impl Case {
    fn binding(&self) -> OwnedBinding<'_> {
        let [address, scheme, user_agent, extra] = &self.binding;
        OwnedBinding {
            address,
            scheme,
            user_agent,
            extra: [extra],
        }
    }

    /// The session as it was before it was sealed, and what was sealed.
    fn sealed(&self) -> (Session, Sealed) {
        let p = &self.policy;
        let mut session = Session::new(&self.audience, self.subject.as_deref());
        for (key, value) in &self.data {
            session.set(key, value.clone());
        }
        session.set("filler", Value::from("x".repeat(self.filler)));
        let binding = self.binding();
        let binding = binding.view();
        session.committed(&session.seal(p, id(1), &binding, NOW).unwrap());
        for (key, value) in &self.info {
            session.info_set(key, value.clone());
        }
        let sealed = match self.kind {
            Kind::Session => session.seal(p, id(2), &binding, NOW),
            Kind::Remember => {
                let key = derive(p.keys.remember_key(KeyIndex::CURRENT, &id(2), p.safety));
                session.seal_remember(p, id(2), &key, &binding, NOW)
            }
        };
        (session, sealed.unwrap())
    }
}

struct OwnedBinding<'a> {
    address: &'a [u8],
    scheme: &'a [u8],
    user_agent: &'a [u8],
    extra: [&'a [u8]; 1],
}

impl OwnedBinding<'_> {
    fn view(&self) -> Binding<'_> {
        let Self {
            address,
            scheme,
            user_agent,
            extra,
        } = self;
        Binding {
            address,
            scheme,
            user_agent,
            extra,
        }
    }
}

fn case() -> impl Strategy<Value = Case> {
    let settings = (
        prop_oneof![Just(Place::Cookie), Just(Place::Server)],
        prop_oneof![Just(Kind::Session), Just(Kind::Remember)],
        prop_oneof![Just(Safety::None), Just(Safety::Low)],
        prop_oneof![Just(0), Just(1), Just(1024)],
        any::<[bool; 4]>(),
        any::<bool>(),
    );
    let content = (
        any::<String>(),
        any::<Option<String>>(),
        map(),
        map(),
        prop_oneof![Just(0), Just(9), 3000..12_000usize],
    );
    let binding = any::<[Vec<u8>; 4]>();
    (settings, content, binding).prop_map(|(settings, content, binding)| {
        let (
            place,
            kind,
            safety,
            compression_threshold,
            [ip, scheme, user_agent, extra],
            hash_storage_key,
        ) = settings;
        let (audience, subject, data, info, filler) = content;
        let bind = Bind {
            ip,
            scheme,
            user_agent,
            extra,
        };
        let policy = Policy {
            safety,
            compression_threshold,
            bind,
            hash_storage_key,
            ..policy(place)
        };
        Case {
            policy,
            kind,
            audience,
            subject,
            data,
            info,
            filler,
            binding,
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn what_is_sealed_opens_as_it_was(case in case()) {
        let (before, sealed) = case.sealed();
        let binding = case.binding();
        let token = case.policy.verify(case.kind, &[line(&sealed).as_bytes()], &binding.view(), NOW).unwrap();
        prop_assert_eq!(token.storage_key(&case.policy), sealed.id().storage_key(case.policy.hash_storage_key));
        let after = open_token(token, &case.policy, record(&sealed).as_ref(), &case.audience).unwrap();
        prop_assert_eq!(after.data(), before.data());
        prop_assert_eq!(after.info_map(), before.info_map());
        prop_assert_eq!((after.audience(), after.subject()), (before.audience(), before.subject()));
        for cookie in sealed.cookies() {
            prop_assert!(cookie.name.len() + 1 + cookie.value.len() <= 4096);
        }
        let text = sealed.token_text();
        let token = case.policy.verify_text(case.kind, text.as_bytes(), &binding.view(), NOW).unwrap();
        prop_assert!(open_token(token, &case.policy, record(&sealed).as_ref(), &case.audience).is_ok());
    }

    #[test]
    fn a_changed_byte_is_refused(case in case(), at in any::<prop::sample::Index>(), other in any::<u8>()) {
        let (_, sealed) = case.sealed();
        let mut text = sealed.token_text().into_bytes();
        let at = at.index(text.len());
        prop_assume!(text[at] != other);
        text[at] = other;
        let binding = case.binding();
        let opened = case.policy.verify_text(case.kind, &text, &binding.view(), NOW)
            .and_then(|token| open_token(token, &case.policy, record(&sealed).as_ref(), &case.audience));
        prop_assert!(opened.is_err());
    }

    #[test]
    fn a_changed_record_is_refused(case in case(), at in any::<prop::sample::Index>(), other in "[A-Za-z0-9_-]") {
        let case = Case { policy: Policy { place: Place::Server, ..case.policy.clone() }, ..case };
        let (_, sealed) = case.sealed();
        let mut record = record(&sealed).unwrap();
        let at = at.index(record.payload.len());
        prop_assume!(!record.payload[at..].starts_with(&other));
        record.payload.replace_range(at..=at, &other);
        let binding = case.binding();
        let token = case.policy.verify(case.kind, &[line(&sealed).as_bytes()], &binding.view(), NOW).unwrap();
        prop_assert!(open_token(token, &case.policy, Some(&record), &case.audience).is_err());
    }

    #[test]
    fn setting_and_reading_agree(entries in prop::collection::vec(("[a-c.]{1,6}", value()), 0..12)) {
        let mut session = Session::new("default", None);
        for (key, value) in &entries {
            let had = session.get(key).cloned();
            prop_assert_eq!(session.set(key, value.clone()), had.as_ref() != Some(value));
            prop_assert_eq!(session.get(key), Some(value));
            prop_assert!(!session.set(key, value.clone()));
        }
    }
}

/// Bytes that look like cookies more often than chance would have it.
fn cookie_line() -> impl Strategy<Value = Vec<u8>> {
    let good = line(
        &Session::new("default", None)
            .seal(&policy(Place::Cookie), id(1), &UNBOUND, NOW)
            .unwrap(),
    )
    .into_bytes();
    let piece = prop_oneof![
        any::<Vec<u8>>(),
        Just(b"sid=".to_vec()),
        Just(b"; ".to_vec()),
        Just(b";".to_vec()),
        Just(b"a=1".to_vec()),
        Just(good.clone()),
        (0..good.len()).prop_map(move |at| good[..at].to_vec()),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn hostile_cookies_never_panic(lines in prop::collection::vec(cookie_line(), 0..3), text in any::<Vec<u8>>()) {
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        for place in [Place::Cookie, Place::Server] {
            let p = policy(place);
            for kind in [Kind::Session, Kind::Remember] {
                for token in [p.verify(kind, &lines, &UNBOUND, NOW), p.verify_text(kind, &text, &UNBOUND, NOW)] {
                    match token {
                        Ok(token) => drop(open_token(token, &p, None, "default")),
                        Err(refusal) => prop_assert!(!refusal.status().is_empty()),
                    }
                }
            }
        }
    }

    #[test]
    fn hiding_removes_every_one_and_keeps_the_others(line in cookie_line()) {
        let is_ours = |name: &[u8]| name == b"sid" || name == b"a";
        let others: Vec<_> = cookie_pairs(&line).filter(|(name, _)| !is_ours(name)).collect();
        match hide_cookies(&line, is_ours) {
            Hidden::Unchanged => prop_assert_eq!(others.len(), cookie_pairs(&line).count()),
            Hidden::Empty => prop_assert!(others.is_empty()),
            Hidden::Line(rest) => prop_assert_eq!(cookie_pairs(&rest).collect::<Vec<_>>(), others),
        }
    }

    #[test]
    fn hostile_records_and_lists_never_panic(bytes in any::<Vec<u8>>(), json in value()) {
        let _ = Record::parse(&bytes, 1000);
        let _ = Record::parse(json.to_string().as_bytes(), 1000);
        let _ = metadata::latest(&bytes, NOW);
        let _ = set_cookie_name(&bytes);
    }

    #[test]
    fn a_hostile_record_is_no_session(payload in any::<String>(), info in prop::option::of(map())) {
        let p = policy(Place::Server);
        let sealed = Session::new("default", None).seal(&p, id(1), &UNBOUND, NOW).unwrap();
        let record = Record { payload, info, successor: None };
        let token = verify(&p, Kind::Session, &line(&sealed), NOW).unwrap();
        prop_assert!(open_token(token, &p, Some(&record), "default").is_err());
    }

    #[test]
    fn info_of_any_shape_is_taken_or_ignored(info in prop::option::of(map())) {
        let p = policy(Place::Server);
        let sealed = Session::new("default", None).seal(&p, id(1), &UNBOUND, NOW).unwrap();
        let record = Record { info, ..record(&sealed).unwrap() };
        let token = verify(&p, Kind::Session, &line(&sealed), NOW).unwrap();
        let session = open_token(token, &p, Some(&record), "default").unwrap();
        let own = record.info.as_ref().and_then(|info| info.get("default")).and_then(Value::as_object);
        prop_assert_eq!(session.info_map(), own.filter(|map| !map.is_empty()));
    }
}
