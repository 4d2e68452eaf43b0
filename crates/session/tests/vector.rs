//! A cookie that the reference library made.
#![allow(clippy::unwrap_used)]

mod common;

use common::{UNBOUND, open_token, policy, ring};
use session::{Flags, Kind, Place, Policy, Refusal, Renew, State, Timeouts};

const CREATED: u64 = 1_676_036_102;
const COOKIE: &str = "session=AQAAS3ZGU0k8tUKsWSci9Fb6PM5xbm469FlR5g_B5HWZ6KYGSOZjAAAAAABcAABTCuHjqpE7B6Ux7m4GCylZAAAAzcWnTvzG51who\
oR_4QQwDgGdMOOa5W7tG4JWiDFU3zuYLFzakWEi-y-ogrwTpnt24zQXP_uJK7r5lMPNzRSMJM9H1a_MIegzEMm-QSgVRaoZVJq3Oo";

fn policy_of_the_vector() -> Policy {
    let off = Timeouts {
        idling: 0,
        rolling: 0,
        absolute: 0,
        remember_rolling: 0,
        remember_absolute: 0,
        stale_ttl: 10,
        touch_threshold: 60,
        renew: Renew::Off,
    };
    Policy {
        cookie_name: session::CookieName::parse("session").unwrap(),
        keys: ring("RaJKp8UQW1"),
        times: off,
        ..policy(Place::Cookie)
    }
}

#[test]
fn it_opens() {
    let p = policy_of_the_vector();
    let token = p
        .verify(
            Kind::Session,
            &[COOKIE.as_bytes()],
            &UNBOUND,
            CREATED + 1000,
        )
        .unwrap();
    let header = token.header();
    assert_eq!(
        (header.created, header.flags, header.rolling_offset),
        (CREATED, Flags::empty(), 0)
    );
    assert_eq!((header.idling_offset, header.data_size), (0, 92));

    let session = open_token(token, &p, None, "my_application").unwrap();
    assert_eq!(session.state(), State::Open);
    assert_eq!(session.subject(), Some("Lua Fan"));
    assert_eq!(session.get("quote").unwrap(), "Lorem ipsum dolor sit amet");
    assert_eq!(session.data().len(), 1);
    assert!(!session.is_dirty() && !session.forget());
}

#[test]
fn a_save_under_the_same_id_and_time_gives_the_same_cookie() {
    let p = policy_of_the_vector();
    let token = p
        .verify(Kind::Session, &[COOKIE.as_bytes()], &UNBOUND, CREATED)
        .unwrap();
    let id = *token.id();
    let session = open_token(token, &p, None, "my_application").unwrap();
    let sealed = session.seal(&p, id, &UNBOUND, CREATED).unwrap();
    assert_eq!(common::line(&sealed), COOKIE);
    assert_eq!(
        format!("session={}", session.token_text(&p).unwrap()),
        COOKIE
    );
}

#[test]
fn default_timeouts_refuse_it() {
    let p = Policy {
        times: Timeouts::default(),
        ..policy_of_the_vector()
    };
    let refused = p.verify(
        Kind::Session,
        &[COOKIE.as_bytes()],
        &UNBOUND,
        CREATED + 100_000,
    );
    assert_eq!(refused.unwrap_err(), Refusal::ExpiredAbsolute);
}
