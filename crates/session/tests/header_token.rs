//! A token as one piece of text, for clients that keep it elsewhere than in cookies.
#![allow(clippy::unwrap_used)]

mod common;

use common::{NOW, UNBOUND, id, open_token, policy, record};
use serde_json::{Value, json};
use session::{
    FormatError, HEADER_TEXT_SIZE, Kind, Place, Policy, Refusal, SaveError, Sealed, Session,
};

/// More than nine cookies hold, whatever deflating makes of it.
const HUGE: usize = 300_000;

fn huge(place: Place) -> (Policy, Session, Sealed) {
    let p = Policy {
        compression_threshold: 0,
        ..policy(place)
    };
    let mut session = Session::new("default", Some("ann"));
    session.set("x", json!("y".repeat(HUGE)));
    let sealed = session.seal_text(&p, id(1), &UNBOUND, NOW).unwrap();
    session.committed(&sealed);
    (p, session, sealed)
}

fn open(p: &Policy, text: &str, sealed: &Sealed, now: u64) -> Result<Session, Refusal> {
    let token = p.verify_text(Kind::Session, text.as_bytes(), &UNBOUND, now)?;
    open_token(token, p, record(sealed).as_ref(), "default")
}

#[test]
fn it_may_be_longer_than_cookies() {
    for place in [Place::Cookie, Place::Server] {
        let (p, session, sealed) = huge(place);
        let text = sealed.token_text();
        assert_eq!(text.len() > HUGE, place == Place::Cookie);
        assert!(sealed.cookies().is_empty() && sealed.stale_cookies().is_empty());
        assert_eq!(session.token_text(&p).as_ref(), Some(&text));

        let opened = open(&p, &text, &sealed, NOW).unwrap();
        assert_eq!(opened.subject(), Some("ann"));
        let size = opened.get("x").and_then(Value::as_str).map(str::len);
        assert_eq!(size, Some(HUGE));
    }
}

#[test]
fn it_is_no_longer_than_the_data_may_be() {
    let (p, session, _) = huge(Place::Cookie);
    let p = Policy {
        max_data: HUGE,
        ..p
    };
    let error = session.seal_text(&p, id(2), &UNBOUND, NOW).unwrap_err();
    assert!(matches!(error, SaveError::TooLarge { limit: HUGE, .. }));
}

#[test]
fn it_is_the_same_token_as_in_cookies() {
    for place in [Place::Cookie, Place::Server] {
        let p = policy(place);
        let mut session = Session::new("default", None);
        session.set("x", json!(1));
        let text = session.seal_text(&p, id(1), &UNBOUND, NOW).unwrap();
        let cookies = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
        assert_eq!(text.token_text(), cookies.token_text());
        assert_eq!(text.record(), cookies.record());
        assert_eq!(cookies.cookies()[0].value, text.token_text());
    }
}

#[test]
fn a_touch_gives_all_of_it() {
    for place in [Place::Cookie, Place::Server] {
        let (p, mut session, sealed) = huge(place);
        let touched = session.touch_text(&p, &UNBOUND, NOW + 100).unwrap();
        assert_eq!(session.token_text(&p).as_ref(), Some(&touched));
        assert_eq!(
            touched[HEADER_TEXT_SIZE..],
            sealed.token_text()[HEADER_TEXT_SIZE..]
        );

        let late = NOW + 950;
        let token = p.verify_text(Kind::Session, touched.as_bytes(), &UNBOUND, late);
        assert_eq!(token.unwrap().header().idling_offset, 100);
        assert!(open(&p, &touched, &sealed, late).is_ok());
        let untouched = open(&p, &sealed.token_text(), &sealed, late).unwrap_err();
        assert_eq!(untouched, Refusal::ExpiredIdling);
    }
    let mut new = Session::new("default", None);
    let error = new.touch_text(&policy(Place::Server), &UNBOUND, NOW);
    assert!(matches!(error, Err(SaveError::NotOpen)));
}

#[test]
fn what_is_cut_or_goes_on_is_refused() {
    for place in [Place::Cookie, Place::Server] {
        let (p, _, sealed) = huge(place);
        let text = sealed.token_text();
        let wrong_size = Refusal::BadFormat(FormatError::PayloadSize);
        assert_eq!(
            open(&p, &format!("{text}A"), &sealed, NOW).unwrap_err(),
            wrong_size
        );
        let cut = match place {
            Place::Cookie => wrong_size,
            Place::Server => Refusal::BadFormat(FormatError::HeaderSize),
        };
        assert_eq!(
            open(&p, &text[..text.len() - 1], &sealed, NOW).unwrap_err(),
            cut
        );
    }
}

#[test]
fn a_renewal_replaces_it() {
    let (p, mut session, first) = huge(Place::Server);
    session.set("x", json!(1));
    let second = session.seal_text(&p, id(2), &UNBOUND, NOW + 5).unwrap();
    let old_key = second.record().unwrap().old_key.clone();
    assert_eq!(old_key, Some(first.id().storage_key(false)));
    assert_eq!(second.header().created, NOW);
}
