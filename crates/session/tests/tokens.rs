//! Which tokens are taken, and which are refused as what.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use common::{NOW, UNBOUND, id, line, open_token, policy, reopen, ring, seal_remember, verify};
use serde_json::json;
use session::{
    Bind, Binding, CookieName, FormatError, Ikm, KeyRing, Kind, Place, Policy, Record, RecordError,
    Refusal, Safety, Sealed, Session, State,
};

fn sealed_with(p: &Policy, binding: &Binding<'_>) -> Sealed {
    let mut session = Session::new("default", Some("ann"));
    session.set("user", json!("ann"));
    session.seal(p, id(1), binding, NOW).unwrap()
}

fn sealed(p: &Policy) -> Sealed {
    sealed_with(p, &UNBOUND)
}

/// A token of several cookies: nothing in it can be compressed.
fn chunked(p: &Policy, byte: u8) -> Sealed {
    let mut session = Session::new("default", None);
    session.set("text", json!(char::from(byte).to_string().repeat(8000)));
    session.seal(p, id(byte), &UNBOUND, NOW).unwrap()
}

fn refusal(p: &Policy, line: &str) -> Refusal {
    verify(p, Kind::Session, line, NOW).unwrap_err()
}

#[test]
fn an_empty_cookie_is_none() {
    for p in [policy(Place::Cookie), policy(Place::Server)] {
        for line in ["", "sid=", "sid", "sid=; sid", "other=1", "sid2=x", "SID=x"] {
            assert_eq!(refusal(&p, line), Refusal::Missing, "{line}");
        }
        assert_eq!(
            p.verify(Kind::Session, &[], &UNBOUND, NOW).unwrap_err(),
            Refusal::Missing
        );
        assert_eq!(
            p.verify_text(Kind::Session, b"", &UNBOUND, NOW)
                .unwrap_err(),
            Refusal::Missing
        );
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let p = policy(Place::Cookie);
    let bad = |line: &str| match refusal(&p, line) {
        Refusal::BadFormat(reason) => reason,
        other => panic!("{line}: {other:?}"),
    };
    assert_eq!(bad("sid=test-session-id"), FormatError::HeaderSize);
    assert_eq!(
        bad(&format!("sid={}", "%".repeat(110))),
        FormatError::HeaderBase64
    );
    assert_eq!(
        bad(&format!("sid={}", "é".repeat(300))),
        FormatError::HeaderBase64
    );
    assert_eq!(bad(&format!("sid={}", "A".repeat(110))), FormatError::Type);
    assert_eq!(
        bad(&format!("sid=\"{}\"", sealed(&p).token_text())),
        FormatError::HeaderBase64
    );
}

#[test]
fn nothing_may_precede_follow_or_miss() {
    for place in [Place::Cookie, Place::Server] {
        let p = policy(place);
        let text = sealed(&p).token_text();
        let (header, payload) = text.split_at(110);
        let mut others = vec![
            format!("{text}A"),
            format!("{header}A{payload}"),
            format!("A{text}"),
        ];
        if place == Place::Cookie {
            others.extend([header.to_owned(), text[..text.len() - 1].to_owned()]);
        }
        for other in others {
            let reason = refusal(&p, &format!("sid={other}"));
            assert!(matches!(reason, Refusal::BadFormat(_)), "{reason:?}");
            let reason = p
                .verify_text(Kind::Session, other.as_bytes(), &UNBOUND, NOW)
                .unwrap_err();
            assert!(matches!(reason, Refusal::BadFormat(_)), "{reason:?}");
        }
    }
}

#[test]
fn a_text_is_one_piece_however_long() {
    let p = Policy {
        compression_threshold: 0,
        ..policy(Place::Cookie)
    };
    let sealed = chunked(&p, b'x');
    assert_eq!(sealed.cookies().len(), 3);
    let token = p
        .verify_text(Kind::Session, sealed.token_text().as_bytes(), &UNBOUND, NOW)
        .unwrap();
    let session = open_token(token, &p, None, "default").unwrap();
    assert_eq!(session.get("text").unwrap().as_str().unwrap().len(), 8000);
    assert_eq!(session.token_text(&p).unwrap(), sealed.token_text());
}

#[test]
fn a_token_belongs_to_one_kind_of_storage() {
    let (cookie, server) = (policy(Place::Cookie), policy(Place::Server));
    assert_eq!(
        refusal(&server, &line(&sealed(&cookie))),
        FormatError::Storage.into()
    );
    assert_eq!(
        refusal(&cookie, &line(&sealed(&server))),
        FormatError::Storage.into()
    );
}

#[test]
fn another_secret_is_another_signature() {
    let p = policy(Place::Server);
    let other = Policy {
        keys: ring("other"),
        ..p.clone()
    };
    assert_eq!(refusal(&other, &line(&sealed(&p))), Refusal::BadSignature);
}

#[test]
fn fallbacks_open_and_the_next_save_is_under_the_current_key() {
    let old = policy(Place::Cookie);
    let secret = |text: &str| Ikm::from_secret(text.as_bytes());
    let keys = KeyRing::new(secret("new"), vec![secret("older"), secret("secret")]);
    let rotated = Policy {
        keys: Arc::new(keys),
        ..old.clone()
    };
    let new = Policy {
        keys: ring("new"),
        ..old.clone()
    };

    let mut session = reopen(&rotated, &sealed(&old), &UNBOUND, NOW).unwrap();
    assert_eq!(session.get("user").unwrap(), "ann");
    let touched = session.touch(&rotated, &UNBOUND, NOW + 5).unwrap();
    let touched = format!("sid={}", touched.value);
    assert!(
        verify(&old, Kind::Session, &touched, NOW).is_ok(),
        "a touch keeps the key"
    );
    let saved = session.seal(&rotated, id(2), &UNBOUND, NOW).unwrap();
    assert_eq!(
        reopen(&new, &saved, &UNBOUND, NOW)
            .unwrap()
            .get("user")
            .unwrap(),
        "ann"
    );
    assert_eq!(refusal(&old, &line(&saved)), Refusal::BadSignature);
}

#[test]
fn limits_refuse_one_second_after_they_pass() {
    let mut p = policy(Place::Server);
    p.times.idling = 10;
    p.times.rolling = 20;
    p.times.absolute = 30;
    let mut session = Session::new("default", None);
    let first = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
    session.committed(&first);
    let status = |line: &str, now: u64| {
        verify(&p, Kind::Session, line, now).map_or_else(|r| r.status(), |_| "open")
    };

    assert_eq!(status(&line(&first), NOW + 10), "open");
    assert_eq!(status(&line(&first), NOW + 11), "expired-idling");
    let touched = session.touch(&p, &UNBOUND, NOW + 10).unwrap();
    let touched = format!("sid={}", touched.value);
    assert_eq!(status(&touched, NOW + 20), "open");
    assert_eq!(status(&touched, NOW + 21), "expired-rolling");
    let renewed = session.seal(&p, id(2), &UNBOUND, NOW + 20).unwrap();
    assert_eq!(status(&line(&renewed), NOW + 30), "open");
    assert_eq!(status(&line(&renewed), NOW + 31), "expired-absolute");
    assert_eq!(status(&line(&first), NOW - 100), "open");

    p.times.idling = 0;
    p.times.rolling = 0;
    p.times.absolute = 0;
    assert!(verify(&p, Kind::Session, &line(&first), NOW + 1_000_000_000).is_ok());
    assert_eq!(
        verify(&p, Kind::Session, &line(&first), NOW + (1 << 32)).unwrap_err(),
        Refusal::ExpiredAbsolute
    );
}

#[test]
fn a_remember_token_has_its_own_limits_and_is_never_touched() {
    let mut p = policy(Place::Cookie);
    p.times.idling = 1;
    p.times.remember_rolling = 20;
    p.times.remember_absolute = 30;
    let sealed = seal_remember(&Session::new("default", None), &p, id(1), NOW);
    assert!(line(&sealed).starts_with("remember="));
    assert!(verify(&p, Kind::Remember, &line(&sealed), NOW + 20).is_ok());
    assert_eq!(
        verify(&p, Kind::Remember, &line(&sealed), NOW + 21).unwrap_err(),
        Refusal::ExpiredRolling
    );
    assert_eq!(
        verify(&p, Kind::Remember, &line(&sealed), NOW + 31).unwrap_err(),
        Refusal::ExpiredAbsolute
    );

    // A touched session token does not pass for a remember token.
    let mut session = Session::new("default", None);
    session.committed(&session.seal(&p, id(2), &UNBOUND, NOW).unwrap());
    let touched = session.touch(&p, &UNBOUND, NOW + 1).unwrap();
    let touched = format!("remember={}", touched.value);
    assert_eq!(
        verify(&p, Kind::Remember, &touched, NOW + 1).unwrap_err(),
        FormatError::Idling.into()
    );
}

#[test]
fn the_first_cookie_that_verifies_wins_in_any_order_and_over_any_line() {
    let p = policy(Place::Server);
    let good = line(&sealed(&p));
    for lines in [
        vec![format!("sid=junk; a=1; {good}")],
        vec![format!("{good}; sid=junk")],
        vec!["sid=junk; sid=".to_owned(), format!("a=1;{good}")],
    ] {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        assert!(p.verify(Kind::Session, &lines, &UNBOUND, NOW).is_ok());
    }
    // The refusal is that of the first one.
    let other = Policy {
        keys: ring("other"),
        ..p.clone()
    };
    assert_eq!(
        refusal(&other, &format!("sid=junk; {good}")),
        FormatError::HeaderSize.into()
    );
    assert_eq!(
        refusal(&other, &format!("{good}; sid=junk")),
        Refusal::BadSignature
    );
    // Work is bounded.
    assert!(
        verify(
            &p,
            Kind::Session,
            &format!("{}{good}", "sid=x; ".repeat(7)),
            NOW
        )
        .is_ok()
    );
    assert!(
        verify(
            &p,
            Kind::Session,
            &format!("{}{good}", "sid=x; ".repeat(8)),
            NOW
        )
        .is_err()
    );
}

#[test]
fn chunks_may_come_in_any_order_with_strangers_between() {
    let p = Policy {
        compression_threshold: 0,
        ..policy(Place::Cookie)
    };
    let sealed = chunked(&p, b'x');
    let [first, second, third] = sealed.cookies() else {
        panic!("three cookies")
    };
    let cookie = |c: &session::Cookie| format!("{}={}", c.name, c.value);
    // sid4 is left over from a longer session, the short sid2 from a shorter one.
    let line = format!(
        "sid4=AAAA; {}; sid2=AAAA; {}; a=1; {}",
        cookie(third),
        cookie(first),
        cookie(second)
    );
    let token = verify(&p, Kind::Session, &line, NOW).unwrap();
    assert!(open_token(token, &p, None, "default").is_ok());

    let without = format!("{}; {}", cookie(first), cookie(third));
    assert_eq!(refusal(&p, &without), FormatError::Chunk(2).into());
    let mixed = format!(
        "{}; sid2={}A; {}",
        cookie(first),
        second.value,
        cookie(third)
    );
    assert_eq!(refusal(&p, &mixed), FormatError::Chunk(2).into());
}

#[test]
fn chunks_that_are_there_twice_are_tried() {
    let p = Policy {
        compression_threshold: 0,
        ..policy(Place::Cookie)
    };
    let (mine, other) = (line(&chunked(&p, b'x')), line(&chunked(&p, b'y')));
    for lines in [format!("{mine}; {other}"), format!("{other}; {mine}")] {
        let token = verify(&p, Kind::Session, &lines, NOW).unwrap();
        let expected = if lines.starts_with(&mine) { "x" } else { "y" };
        let session = open_token(token, &p, None, "default").unwrap();
        assert!(
            session
                .get("text")
                .unwrap()
                .as_str()
                .unwrap()
                .starts_with(expected)
        );
    }
    // One of them is authentic, the chunk is not.
    let torn = mine
        .replacen("sid3=", "sid3=A", 1)
        .replacen("sid2=", "sid5=", 1);
    assert!(verify(&p, Kind::Session, &format!("{torn}; {other}"), NOW).is_ok());
    let token = verify(
        &p,
        Kind::Session,
        &format!("{mine}; {other}").replace("sid3=", "x="),
        NOW,
    );
    assert_eq!(token.unwrap_err(), FormatError::Chunk(3).into());
}

#[test]
fn a_bound_token_needs_the_same_values() {
    let here = Binding {
        address: b"192.0.2.1",
        scheme: b"https",
        user_agent: b"ua",
        extra: &[b"DE", b""],
    };
    let others = [
        Binding {
            address: b"192.0.2.2",
            ..here
        },
        Binding {
            scheme: b"http",
            ..here
        },
        Binding {
            user_agent: b"",
            ..here
        },
        Binding {
            extra: &[b"", b"DE"],
            ..here
        },
        Binding {
            extra: &[b"DE"],
            ..here
        },
    ];
    let binds = [
        Bind {
            ip: true,
            ..Bind::default()
        },
        Bind {
            scheme: true,
            ..Bind::default()
        },
        Bind {
            user_agent: true,
            ..Bind::default()
        },
        Bind {
            extra: true,
            ..Bind::default()
        },
    ];
    for (at, bind) in binds.into_iter().enumerate() {
        let p = Policy {
            bind,
            ..policy(Place::Server)
        };
        let sealed = sealed_with(&p, &here);
        for (other_at, other) in others.iter().enumerate() {
            let is_same = other_at.min(3) != at;
            let verified = p.verify(Kind::Session, &[line(&sealed).as_bytes()], other, NOW);
            assert_eq!(
                verified.map(|_| ()).map_err(|r| r.status()),
                if is_same {
                    Ok(())
                } else {
                    Err("bad-signature")
                }
            );
        }
    }
}

#[test]
fn a_bound_place_refuses_tokens_bound_to_less() {
    let here = Binding {
        address: b"192.0.2.1",
        scheme: b"https",
        user_agent: b"ua",
        extra: &[b"DE"],
    };
    let of = |ip, user_agent, extra| Policy {
        bind: Bind {
            ip,
            user_agent,
            extra,
            scheme: false,
        },
        ..policy(Place::Server)
    };
    let taken = |by: &Policy, from: &Policy| {
        by.verify(
            Kind::Session,
            &[line(&sealed_with(from, &here)).as_bytes()],
            &here,
            NOW,
        )
        .is_ok()
    };
    let (none, ip, both, extra) = (
        of(false, false, false),
        of(true, false, false),
        of(true, true, false),
        of(false, false, true),
    );
    assert!(!taken(&ip, &none) && !taken(&both, &ip) && !taken(&extra, &none));
    assert!(
        taken(&none, &ip) && taken(&ip, &both),
        "the token's own flags say what takes part"
    );
    assert!(
        !taken(&none, &extra),
        "what it is bound to is not known here"
    );
}

#[test]
fn empty_values_take_no_part_in_a_binding() {
    let p = Policy {
        bind: Bind {
            user_agent: true,
            ..Bind::default()
        },
        ..policy(Place::Server)
    };
    let sealed = sealed_with(&p, &UNBOUND);
    assert!(reopen(&p, &sealed, &UNBOUND, NOW).is_ok());
    let other = Binding {
        user_agent: b"ua",
        ..UNBOUND
    };
    assert_eq!(
        reopen(&p, &sealed, &other, NOW).unwrap_err(),
        Refusal::BadSignature
    );
}

#[test]
fn a_record_must_be_there_and_be_the_token_s() {
    let p = policy(Place::Server);
    let sealed = sealed(&p);
    let open = |record: Option<&Record>| {
        open_token(
            verify(&p, Kind::Session, &line(&sealed), NOW).unwrap(),
            &p,
            record,
            "default",
        )
        .map(|_| ())
    };
    let good = common::record(&sealed).unwrap();
    assert_eq!(open(Some(&good)), Ok(()));
    assert_eq!(open(None), Err(Refusal::NoRecord));
    let changed = |edit: &dyn Fn(&mut String)| {
        let mut record = good.clone();
        edit(&mut record.payload);
        open(Some(&record)).unwrap_err()
    };
    assert_eq!(
        changed(&|text| text.push('A')),
        RecordError::PayloadSize.into()
    );
    assert_eq!(
        changed(&|text| text.replace_range(..1, "!")),
        RecordError::PayloadBase64.into()
    );
    let other = if good.payload.starts_with('A') {
        "B"
    } else {
        "A"
    };
    assert_eq!(
        changed(&|text| text.replace_range(..1, other)),
        RecordError::Cipher.into()
    );
}

#[test]
fn remember_keys_of_another_safety_do_not_open() {
    for (from, to) in [(Safety::None, Safety::Low), (Safety::Low, Safety::None)] {
        let p = Policy {
            safety: from,
            ..policy(Place::Cookie)
        };
        let mut session = Session::new("default", None);
        session.set("user", json!("ann"));
        let sealed = seal_remember(&session, &p, id(3), NOW);
        let opened = reopen(&p, &sealed, &UNBOUND, NOW).unwrap();
        assert_eq!(
            (opened.state(), opened.get("user")),
            (State::Remembered, Some(&json!("ann")))
        );
        let other = Policy { safety: to, ..p };
        assert_eq!(
            reopen(&other, &sealed, &UNBOUND, NOW).unwrap_err(),
            Refusal::BadSignature
        );
    }
}

#[test]
fn a_token_of_one_name_can_stand_under_another() {
    // Names are no part of the MAC: what keeps profiles apart is their keys.
    let p = policy(Place::Server);
    let other = Policy {
        cookie_name: CookieName::parse("admin").unwrap(),
        ..p.clone()
    };
    let text = sealed(&p).token_text();
    assert!(verify(&other, Kind::Session, &format!("admin={text}"), NOW).is_ok());
    let apart = Policy {
        keys: Arc::new(KeyRing::new(
            Ikm::from_secret(b"secret").for_name("admin"),
            vec![],
        )),
        ..other
    };
    assert_eq!(
        refusal(&apart, &format!("admin={text}")),
        Refusal::BadSignature
    );
}

#[test]
fn the_signature_is_the_same_however_the_key_was_given() {
    let secret = policy(Place::Server);
    let digest = [
        0x2b, 0xb8, 0x0d, 0x53, 0x7b, 0x1d, 0xa3, 0xe3, 0x8b, 0xd3, 0x03, 0x61, 0xaa, 0x85, 0x56,
        0x86, 0xbd, 0xe0, 0xea, 0xcd, 0x71, 0x62, 0xfe, 0xf6, 0xa2, 0x5f, 0xe9, 0x7b, 0xf5, 0x27,
        0xa2, 0x5b,
    ];
    let bytes = Policy {
        keys: Arc::new(KeyRing::new(Ikm::from_bytes(&digest).unwrap(), vec![])),
        ..secret.clone()
    };
    assert_eq!(sealed(&secret).token_text(), sealed(&bytes).token_text());
}

#[test]
fn a_touch_is_under_the_keys_of_the_configuration_at_hand() {
    let p = policy(Place::Server);
    let other = Policy {
        keys: ring("other"),
        ..p.clone()
    };
    let mut session = reopen(&p, &sealed(&p), &UNBOUND, NOW).unwrap();
    for (by, not_by) in [(&other, &p), (&p, &other), (&p, &other)] {
        let touched = session.touch(by, &UNBOUND, NOW + 5).unwrap();
        let line = format!("sid={}", touched.value);
        assert!(verify(by, Kind::Session, &line, NOW + 5).is_ok());
        assert_eq!(refusal(not_by, &line), Refusal::BadSignature);
    }
}
