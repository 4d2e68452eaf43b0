//! What happens to a session from its first save to its end.
#![allow(clippy::unwrap_used)]

mod common;

use common::{NOW, UNBOUND, id, line, open_token, policy, record, reopen, seal_remember, verify};
use serde_json::{Value, json};
use session::{
    Flags, Kind, Logout, MAX_AGE_LIMIT, MetaEntry, Place, Policy, Record, Refresh, Refusal,
    Remaining, Renew, SaveError, Sealed, Session, State,
};

const PLACES: [Place; 2] = [Place::Cookie, Place::Server];

/// Opens for an audience what was sealed.
fn open_as(p: &Policy, sealed: &Sealed, audience: &str) -> Session {
    let token = verify(p, sealed.kind(), &line(sealed), NOW).unwrap();
    open_token(token, p, record(sealed).as_ref(), audience).unwrap()
}

/// A session of audiences a (subject ann) and b (subject bob), each with data `x` and info `k`.
fn of_two(p: &Policy) -> Sealed {
    let mut session = Session::new("a", Some("ann"));
    session.set("x", json!("a"));
    let mut number = 1;
    let mut save = |session: &mut Session| {
        number += 1;
        let sealed = session.seal(p, id(number), &UNBOUND, NOW).unwrap();
        session.committed(&sealed);
        sealed
    };
    save(&mut session);
    session.info_set("k", json!("a"));
    let first = save(&mut session);
    let mut session = open_as(p, &first, "b");
    session.set_subject(Some("bob"));
    session.set("x", json!("b"));
    save(&mut session);
    session.info_set("k", json!("b"));
    save(&mut session)
}

#[test]
fn a_new_session_is_clean_and_has_no_token() {
    let p = policy(Place::Server);
    let mut session = Session::new("default", None);
    assert_eq!(session.state(), State::New);
    assert!(session.has_audience() && !session.is_dirty() && !session.is_info_dirty());
    assert_eq!((session.id(), session.record_key(&p)), (None, None));
    assert_eq!(session.refresh(&p, NOW), Refresh::Nothing);
    assert!(matches!(
        session.touch(&p, &UNBOUND, NOW),
        Err(SaveError::NotOpen)
    ));
    assert!(
        !session.info_set("k", json!(1)),
        "a session that is not stored has no info"
    );
    assert_eq!(session.remaining(&p, NOW), Remaining::default());
    assert!(session.info_record(&p, NOW).is_none());
}

#[test]
fn only_a_change_makes_it_dirty() {
    let mut session = Session::new("default", Some("ann"));
    assert!(!session.set_subject(Some("ann")) && !session.set_audience("default"));
    assert!(!session.unset("x") && !session.clear() && !session.set_forget(false));
    assert!(!session.is_dirty());
    assert!(session.set("x.y", json!(1)) && session.is_dirty());
    assert_eq!(session.get("x"), Some(&json!({"y": 1})));
    session.committed(
        &session
            .seal(&policy(Place::Cookie), id(1), &UNBOUND, NOW)
            .unwrap(),
    );
    assert!(!session.is_dirty());
    assert!(!session.set("x.y", json!(1)) && !session.is_dirty());
    assert!(session.set_forget(true) && session.is_dirty());
}

#[test]
fn a_seal_changes_nothing_until_it_is_committed() {
    let p = policy(Place::Server);
    let mut session = Session::new("default", None);
    session.set("x", json!(1));
    let sealed = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
    assert_eq!(
        (session.state(), session.is_dirty(), session.id()),
        (State::New, true, None)
    );
    session.committed(&sealed);
    assert_eq!(
        (session.state(), session.is_dirty(), session.id()),
        (State::Open, false, Some(&id(1)))
    );
    assert_eq!(
        session.record_key(&p).unwrap(),
        sealed.record().unwrap().key
    );
}

#[test]
fn a_save_keeps_creation_and_replaces_the_record() {
    let p = policy(Place::Server);
    let mut session = Session::new("default", None);
    let first = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
    assert_eq!(first.record().unwrap().old_key, None);
    session.committed(&first);
    let second = session.seal(&p, id(2), &UNBOUND, NOW + 3000).unwrap();
    let write = second.record().unwrap();
    assert_eq!(
        (second.header().created, second.header().rolling_offset),
        (NOW, 3000)
    );
    assert_eq!(write.old_key.as_ref(), Some(&first.record().unwrap().key));
    assert_eq!(
        (write.stale_ttl, write.ttl, write.name_cookie.as_str()),
        (10, 3600, "sid")
    );
    let late = session.seal(&p, id(3), &UNBOUND, NOW + 86_000).unwrap();
    assert_eq!(
        late.record().unwrap().ttl,
        400,
        "the record ends with the absolute timeout"
    );
}

#[test]
fn refresh_renews_before_it_touches() {
    let mut p = policy(Place::Server);
    let mut session = Session::new("default", None);
    session.committed(&session.seal(&p, id(1), &UNBOUND, NOW).unwrap());
    let at = |session: &Session, p: &Policy, seconds: u64| session.refresh(p, NOW + seconds);
    assert_eq!(at(&session, &p, 60), Refresh::Nothing);
    assert_eq!(at(&session, &p, 61), Refresh::Touch);
    assert_eq!(at(&session, &p, 2700), Refresh::Touch);
    assert_eq!(at(&session, &p, 2701), Refresh::Renew);
    session.touch(&p, &UNBOUND, NOW + 100).unwrap();
    assert_eq!(at(&session, &p, 160), Refresh::Nothing);
    assert_eq!(at(&session, &p, 161), Refresh::Touch);

    p.times.rolling = 7; // three quarters of it: 5.25
    assert_eq!(
        (at(&session, &p, 5), at(&session, &p, 6)),
        (Refresh::Nothing, Refresh::Renew)
    );
    p.times.renew = Renew::Off;
    assert_eq!(at(&session, &p, 5000), Refresh::Touch);
    p.times.renew = Renew::After(1);
    assert_eq!(
        (at(&session, &p, 1), at(&session, &p, 2)),
        (Refresh::Nothing, Refresh::Renew)
    );
    p.times.rolling = 0;
    assert_eq!(at(&session, &p, 2), Refresh::Renew);
    p.times.renew = Renew::Share75;
    p.times.idling = 0;
    assert_eq!(at(&session, &p, 1 << 30), Refresh::Nothing);
    assert_eq!(
        session.refresh(&p, NOW - 100),
        Refresh::Nothing,
        "the clock went back"
    );
}

#[test]
fn a_touch_changes_the_first_cookie_only() {
    let p = Policy {
        compression_threshold: 0,
        ..policy(Place::Cookie)
    };
    let mut session = Session::new("default", None);
    session.set("x", json!("y".repeat(5000)));
    let sealed = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
    session.committed(&sealed);
    let touched = session.touch(&p, &UNBOUND, NOW + 100).unwrap();
    let [first, second] = sealed.cookies() else {
        panic!("two cookies")
    };
    assert_eq!(
        (&touched.name, touched.value.len()),
        (&first.name, first.value.len())
    );
    let cookies = format!(
        "{}={}; {}={}",
        touched.name, touched.value, second.name, second.value
    );
    let token = verify(&p, Kind::Session, &cookies, NOW + 1000).unwrap();
    assert_eq!(token.header().idling_offset, 100);
    assert_eq!(token.id(), sealed.id());
    assert!(open_token(token, &p, None, "default").is_ok());
    assert_eq!(session.remaining(&p, NOW + 150).idling, Some(850));
}

#[test]
fn a_touch_offset_stops_at_what_fits() {
    let mut p = policy(Place::Server);
    (p.times.idling, p.times.rolling, p.times.absolute) = (0, 0, 0);
    let mut session = Session::new("default", None);
    session.committed(&session.seal(&p, id(1), &UNBOUND, NOW).unwrap());
    for (now, offset) in [(NOW + (1 << 40), 0xff_ffff), (NOW + 5, 5), (NOW - 5, 0)] {
        let touched = session.touch(&p, &UNBOUND, now).unwrap();
        let token = verify(&p, Kind::Session, &format!("sid={}", touched.value), NOW).unwrap();
        assert_eq!(token.header().idling_offset, offset);
    }
}

#[test]
fn chunks_that_are_not_needed_any_more_are_named() {
    let p = Policy {
        compression_threshold: 0,
        ..policy(Place::Cookie)
    };
    let mut session = Session::new("default", None);
    session.set("x", json!("y".repeat(8000)));
    let long = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
    assert_eq!(
        long.cookies()
            .iter()
            .map(|c| c.name.as_str())
            .collect::<Vec<_>>(),
        ["sid", "sid2", "sid3"]
    );
    assert!(long.stale_cookies().is_empty());
    session.committed(&long);
    session.set("x", json!(1));
    let short = session.seal(&p, id(2), &UNBOUND, NOW).unwrap();
    assert_eq!(
        (short.cookies().len(), short.stale_cookies()),
        (1, &["sid2".to_owned(), "sid3".to_owned()][..])
    );
}

#[test]
fn what_is_too_large_is_refused_and_the_session_stays() {
    let p = Policy {
        compression_threshold: 0,
        max_data: 100_000,
        ..policy(Place::Cookie)
    };
    let mut session = Session::new("default", None);
    let sealed = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
    session.committed(&sealed);
    session.set("x", json!("y".repeat(40_000)));
    assert!(matches!(
        session.seal(&p, id(2), &UNBOUND, NOW),
        Err(SaveError::CookieTooLarge { .. })
    ));
    session.set("x", json!("y".repeat(100_000)));
    let error = session.seal(&p, id(2), &UNBOUND, NOW).unwrap_err();
    assert!(matches!(error, SaveError::TooLarge { limit: 100_000, .. }));
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    session.set("x", deep);
    assert!(matches!(
        session.seal(&p, id(2), &UNBOUND, NOW),
        Err(SaveError::TooDeep)
    ));
    let fits = (0..99).fold(json!(1), |inner, _| json!([inner]));
    session.set("x", fits.clone());
    let sealed = session.seal(&p, id(2), &UNBOUND, NOW).unwrap();
    assert_eq!(
        reopen(&p, &sealed, &UNBOUND, NOW).unwrap().get("x"),
        Some(&fits)
    );
}

#[test]
fn a_clock_out_of_range_is_refused() {
    let p = policy(Place::Server);
    let mut session = Session::new("default", None);
    assert!(matches!(
        session.seal(&p, id(1), &UNBOUND, 1 << 40),
        Err(SaveError::ClockRange)
    ));
    session.committed(&session.seal(&p, id(1), &UNBOUND, NOW).unwrap());
    assert!(matches!(
        session.seal(&p, id(2), &UNBOUND, NOW + (1 << 32)),
        Err(SaveError::ClockRange)
    ));
    assert_eq!(
        session
            .seal(&p, id(2), &UNBOUND, NOW - 50)
            .unwrap()
            .header()
            .rolling_offset,
        0
    );
}

#[test]
fn compression_pays_or_is_left_out() {
    let flags = |threshold, text: String| {
        let p = Policy {
            compression_threshold: threshold,
            ..policy(Place::Cookie)
        };
        let mut session = Session::new("default", None);
        session.set("x", json!(text));
        let sealed = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
        assert_eq!(
            reopen(&p, &sealed, &UNBOUND, NOW)
                .unwrap()
                .get("x")
                .unwrap(),
            &json!(text)
        );
        (sealed.header().flags, sealed.cookies().len())
    };
    assert_eq!(flags(1024, "a".repeat(20_000)), (Flags::DEFLATE, 1));
    assert_eq!(flags(0, "a".repeat(20_000)), (Flags::empty(), 7));
    assert_eq!(flags(1024, "a".repeat(900)), (Flags::empty(), 1));
    assert_eq!(
        flags(1, String::new()),
        (Flags::empty(), 1),
        "deflated it would be longer"
    );
}

#[test]
fn each_audience_has_its_own_data() {
    for place in PLACES {
        let p = policy(place);
        let sealed = of_two(&p);
        for (audience, subject) in [("a", "ann"), ("b", "bob")] {
            let session = open_as(&p, &sealed, audience);
            assert_eq!(
                (session.state(), session.subject()),
                (State::Open, Some(subject))
            );
            assert_eq!(session.get("x"), Some(&json!(audience)));
            assert_eq!(session.info("k"), Some(&json!(audience)));
            assert_eq!(session.data().len(), 1);
        }
    }
}

#[test]
fn a_missing_audience_is_new_and_keeps_the_others() {
    for place in PLACES {
        let p = policy(place);
        let mut session = open_as(&p, &of_two(&p), "c");
        assert_eq!(
            (session.state(), session.has_audience()),
            (State::New, false)
        );
        assert!(!session.is_dirty() && session.data().is_empty() && session.id().is_some());
        session.set("x", json!("c"));
        let sealed = session.seal(&p, id(9), &UNBOUND, NOW + 10).unwrap();
        assert_eq!(sealed.header().created, NOW);
        session.committed(&sealed);
        assert_eq!(
            (session.state(), session.has_audience()),
            (State::Open, true)
        );
        for audience in ["a", "b", "c"] {
            assert_eq!(
                open_as(&p, &sealed, audience).get("x"),
                Some(&json!(audience))
            );
        }
    }
}

#[test]
fn renaming_an_audience_takes_its_info_along() {
    for place in PLACES {
        let p = policy(place);
        for from in ["a", "b"] {
            let mut session = open_as(&p, &of_two(&p), from);
            assert!(session.set_audience("c") && session.is_dirty());
            let sealed = session.seal(&p, id(9), &UNBOUND, NOW).unwrap();
            let renamed = open_as(&p, &sealed, "c");
            assert_eq!(
                (renamed.get("x"), renamed.info("k")),
                (Some(&json!(from)), Some(&json!(from)))
            );
            assert!(!open_as(&p, &sealed, from).has_audience());
            assert!(open_as(&p, &sealed, if from == "a" { "b" } else { "a" }).has_audience());
        }
    }
}

#[test]
fn renaming_onto_another_audience_replaces_it() {
    for place in PLACES {
        let p = policy(place);
        for (from, to) in [("a", "b"), ("b", "a")] {
            let mut session = open_as(&p, &of_two(&p), from);
            session.set_audience(to);
            assert_eq!(session.get("x"), Some(&json!(from)));
            let sealed = session.seal(&p, id(9), &UNBOUND, NOW).unwrap();
            let session = open_as(&p, &sealed, to);
            assert_eq!(
                (session.get("x"), session.info("k")),
                (Some(&json!(from)), Some(&json!(from)))
            );
            assert!(!open_as(&p, &sealed, from).has_audience());
            let mut session = session;
            assert_eq!(session.logout(), Logout::Last);
        }
    }
}

#[test]
fn logging_out_of_one_audience_leaves_the_other() {
    for place in PLACES {
        let p = policy(place);
        let mut session = open_as(&p, &of_two(&p), "b");
        assert_eq!(session.logout(), Logout::Others);
        assert!(session.is_dirty());
        let sealed = session.seal(&p, id(9), &UNBOUND, NOW).unwrap();
        session.committed(&sealed);
        assert_eq!(session.state(), State::Ended);
        assert!(!open_as(&p, &sealed, "b").has_audience());
        let mut rest = open_as(&p, &sealed, "a");
        assert_eq!(
            (rest.get("x"), rest.info("k")),
            (Some(&json!("a")), Some(&json!("a")))
        );
        assert_eq!(rest.logout(), Logout::Last);
    }
}

#[test]
fn an_ended_session_takes_nothing_more() {
    let mut session = open_as(&policy(Place::Server), &of_two(&policy(Place::Server)), "a");
    session.set("y", json!(1));
    session.end();
    assert!(!session.is_dirty() && session.state() == State::Ended);
    assert!(
        !session.set("z", json!(1))
            && !session.info_set("z", json!(1))
            && !session.set_forget(true)
    );
    assert!(!session.is_dirty());
    assert!(matches!(
        session.seal(&policy(Place::Server), id(9), &UNBOUND, NOW),
        Err(SaveError::NotOpen)
    ));
}

#[test]
fn enforcing_one_subject_drops_the_others() {
    for place in PLACES {
        let p = Policy {
            enforce_same_subject: true,
            ..policy(place)
        };
        let sealed = of_two(&policy(place));
        let mut session = open_as(&p, &sealed, "b");
        let sealed = session.seal(&p, id(9), &UNBOUND, NOW).unwrap();
        assert!(!open_as(&p, &sealed, "a").has_audience());
        assert_eq!(open_as(&p, &sealed, "b").get("x"), Some(&json!("b")));
        session.committed(&sealed);
        assert_eq!(session.logout(), Logout::Last);
    }
}

#[test]
fn info_is_written_without_a_new_token() {
    let p = policy(Place::Server);
    let mut session = Session::new("default", None);
    let sealed = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
    session.committed(&sealed);
    assert!(session.info_set("last", json!(1)) && !session.info_set("last", json!(1)));
    assert!(session.is_info_dirty() && !session.is_dirty());
    let write = session.info_record(&p, NOW + 600).unwrap();
    assert_eq!(
        (&write.key, write.ttl, &write.old_key),
        (&sealed.record().unwrap().key, 3000, &None)
    );
    session.info_committed();
    assert!(!session.is_info_dirty());
    let written = Record::parse(write.value.as_bytes(), 10_000).unwrap();
    let token = verify(&p, Kind::Session, &line(&sealed), NOW + 600).unwrap();
    let reopened = open_token(token, &p, Some(&written), "default").unwrap();
    assert_eq!(reopened.info("last"), Some(&json!(1)));
    assert_eq!(reopened.info_map().map(|map| map.len()), Some(1));
    assert!(session.info_record(&policy(Place::Cookie), NOW).is_none());
}

#[test]
fn info_reaches_the_remember_record_too() {
    let p = policy(Place::Server);
    let mut session = Session::new("default", None);
    session.set("x", json!(1));
    let remember = seal_remember(&session, &p, id(2), NOW);
    session.committed(&session.seal(&p, id(1), &UNBOUND, NOW).unwrap());
    session.set_remember_token(&verify(&p, Kind::Remember, &line(&remember), NOW).unwrap());
    session.info_set("last", json!(1));
    let write = session
        .remember_info_record(&p, record(&remember).unwrap(), NOW + 1000)
        .unwrap();
    assert_eq!(
        (write.name_cookie.as_str(), write.ttl),
        ("remember", 604_800 - 1000)
    );
    assert_eq!(Some(write.key), session.remember_record_key(&p));
    let written = Record::parse(write.value.as_bytes(), 10_000).unwrap();
    let token = verify(&p, Kind::Remember, &line(&remember), NOW).unwrap();
    let opened = open_token(token, &p, Some(&written), "default").unwrap();
    assert_eq!(
        (opened.info("last"), opened.get("x")),
        (Some(&json!(1)), Some(&json!(1)))
    );
}

#[test]
fn a_remembered_session_starts_afresh_and_its_token_goes_on() {
    for place in PLACES {
        let mut p = policy(place);
        let mut session = Session::new("default", Some("ann"));
        session.set("x", json!(1));
        let first = seal_remember(&session, &p, id(1), NOW);
        assert_eq!(first.remember_lifetime(), 604_800);

        let later = NOW + 500_000;
        let mut session = reopen(&p, &first, &UNBOUND, later).unwrap();
        assert_eq!(
            (session.state(), session.is_dirty(), session.id()),
            (State::Remembered, true, None)
        );
        assert!(session.has_remember_token());
        let sealed = session.seal(&p, id(2), &UNBOUND, later).unwrap();
        assert_eq!(
            (sealed.header().created, sealed.header().rolling_offset),
            (later, 0)
        );
        let second = seal_remember(&session, &p, id(3), later);
        assert_eq!(
            (second.header().created, second.header().rolling_offset),
            (NOW, 500_000)
        );
        if place == Place::Server {
            assert_eq!(
                second.record().unwrap().old_key.as_ref(),
                Some(&first.record().unwrap().key)
            );
            assert_eq!(sealed.record().unwrap().old_key, None);
        }
        session.committed(&sealed);
        session.committed(&second);
        assert_eq!(
            (session.state(), session.is_dirty(), session.id()),
            (State::Open, false, Some(&id(2)))
        );
        p.times.remember_absolute = 600_000;
        assert_eq!(
            seal_remember(&session, &p, id(4), later).remember_lifetime(),
            100_000
        );
        (p.times.remember_absolute, p.times.remember_rolling) = (0, 0);
        assert_eq!(
            seal_remember(&session, &p, id(4), later).remember_lifetime(),
            MAX_AGE_LIMIT
        );
    }
}

#[test]
fn a_remember_token_without_the_audience_remembers_nothing() {
    let p = policy(Place::Cookie);
    let sealed = seal_remember(&Session::new("a", None), &p, id(1), NOW);
    let session = open_as(&p, &sealed, "b");
    assert_eq!(
        (session.state(), session.has_audience(), session.is_dirty()),
        (State::New, false, false)
    );
}

#[test]
fn the_wish_to_be_forgotten_is_handed_on() {
    let p = policy(Place::Cookie);
    let mut session = Session::new("default", None);
    session.set_forget(true);
    let sealed = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
    assert_eq!(sealed.header().flags, Flags::FORGET);
    let mut session = reopen(&p, &sealed, &UNBOUND, NOW).unwrap();
    assert!(session.forget());
    session.set("x", json!(1));
    let sealed = session.seal(&p, id(2), &UNBOUND, NOW).unwrap();
    assert!(sealed.header().flags.contains(Flags::FORGET));
    assert!(
        session.set_forget(false) && !session.forget(),
        "the user may change the mind"
    );
}

#[test]
fn metadata_names_every_audience_and_never_a_raw_subject() {
    let p = Policy {
        store_metadata: true,
        hash_subject: true,
        ..policy(Place::Server)
    };
    let listed = |audience, subject| MetaEntry::new(audience, subject, true);
    let sealed = of_two(&p);
    assert_eq!(
        sealed.record().unwrap().metadata,
        [listed("a", "ann"), listed("b", "bob")]
    );
    assert_eq!(
        open_as(&p, &sealed, "a").metadata(&p),
        [listed("a", "ann"), listed("b", "bob")]
    );

    // A subject that changes, and an audience that leaves, are withdrawn from the lists they were in.
    let mut session = open_as(&p, &sealed, "b");
    session.set_subject(Some("eve"));
    let sealed = session.seal(&p, id(9), &UNBOUND, NOW).unwrap();
    let write = sealed.record().unwrap();
    assert_eq!(write.metadata, [listed("a", "ann"), listed("b", "eve")]);
    assert_eq!(write.withdrawn, [listed("b", "bob")]);
    session.committed(&sealed);
    session.logout();
    let write = session.seal(&p, id(10), &UNBOUND, NOW).unwrap();
    assert_eq!(write.record().unwrap().metadata, [listed("a", "ann")]);
    assert_eq!(write.record().unwrap().withdrawn, [listed("b", "eve")]);

    let off = Policy {
        store_metadata: false,
        ..p
    };
    assert!(of_two(&off).record().unwrap().metadata.is_empty());
}

#[test]
fn a_session_without_a_subject_is_in_no_list() {
    let p = Policy {
        store_metadata: true,
        ..policy(Place::Server)
    };
    for subject in [None, Some("")] {
        let sealed = Session::new("a", subject)
            .seal(&p, id(1), &UNBOUND, NOW)
            .unwrap();
        assert!(sealed.record().unwrap().metadata.is_empty());
    }
}

#[test]
fn hashed_storage_keys_do_not_show_the_id() {
    let p = Policy {
        hash_storage_key: true,
        ..policy(Place::Server)
    };
    let sealed = Session::new("default", None)
        .seal(&p, id(1), &UNBOUND, NOW)
        .unwrap();
    assert_ne!(sealed.record().unwrap().key, sealed.id().text());
    let token = verify(&p, Kind::Session, &line(&sealed), NOW).unwrap();
    assert_eq!(token.storage_key(&p), sealed.record().unwrap().key);
}

#[test]
fn keys_that_look_like_info_stay_data() {
    for place in PLACES {
        let p = policy(place);
        let mut session = open_as(&p, &of_two(&p), "a");
        session.set("@x", json!("at"));
        session.set("$@x", json!("dollar"));
        let session = open_as(&p, &session.seal(&p, id(9), &UNBOUND, NOW).unwrap(), "a");
        assert_eq!(session.get("@x"), Some(&json!("at")));
        assert_eq!(session.get("$@x"), Some(&json!("dollar")));
        let info = session.info_map().map(|map| Value::from(map.clone()));
        assert_eq!(info, Some(json!({"k": "a"})));
    }
}

#[test]
fn data_above_the_limit_is_not_opened() {
    let p = Policy {
        compression_threshold: 1,
        ..policy(Place::Cookie)
    };
    let mut session = Session::new("default", None);
    session.set("x", json!("a".repeat(50_000)));
    let sealed = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
    let small = Policy {
        max_data: 10_000,
        ..p
    };
    let refused = reopen(&small, &sealed, &UNBOUND, NOW).unwrap_err();
    assert!(matches!(refused, Refusal::BadFormat(_)), "{refused:?}");
}
