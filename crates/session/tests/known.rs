//! What is known of a token changes nothing but the time that it takes: whatever comes after the token was opened is answered as
//! by a thread that has never seen it.
#![allow(clippy::unwrap_used)]

mod common;

use common::{NOW, UNBOUND, id, line, open_token, policy, record, ring};
use serde_json::json;
use session::{Bind, Binding, Kind, Place, Policy, Record, Safety, Sealed, Session, known};

const PLACES: [Place; 2] = [Place::Cookie, Place::Server];

/// What a client and its storage come with.
#[derive(Clone)]
struct Request<'a> {
    p: &'a Policy,
    line: String,
    record: Option<Record>,
    binding: Binding<'a>,
    audience: &'a str,
    now: u64,
}

impl<'a> Request<'a> {
    fn of(p: &'a Policy, sealed: &Sealed) -> Self {
        Self {
            p,
            line: line(sealed),
            record: record(sealed),
            binding: UNBOUND,
            audience: "default",
            now: NOW,
        }
    }

    /// All that can be told of what comes of it.
    fn answer(&self) -> String {
        let cookies = [self.line.as_bytes()];
        let session = self
            .p
            .verify(Kind::Session, &cookies, &self.binding, self.now)
            .and_then(|token| open_token(token, self.p, self.record.as_ref(), self.audience));
        match session {
            Err(refusal) => format!("{refusal:?}"),
            Ok(session) => format!(
                "{:?} {:?} {:?} {:?} {:?} {:?} {}",
                session.state(),
                session.has_audience(),
                session.subject(),
                session.info_map(),
                session.remaining(self.p, self.now),
                session.token_text(self.p),
                session.data_json(),
            ),
        }
    }

    /// The same where the token is not known.
    fn first_answer(&self) -> String {
        std::thread::scope(|scope| scope.spawn(|| self.answer()).join().unwrap())
    }

    /// The answer, which must not depend on what is known.
    fn same_answer(&self) -> String {
        let answer = self.answer();
        assert_eq!(answer, self.first_answer());
        answer
    }
}

fn session() -> Session {
    let mut session = Session::new("default", Some("ann"));
    session.set("user", json!({"name": "ann", "roles": ["editor"]}));
    session.info_set("seen", json!(1));
    session
}

fn sealed(p: &Policy) -> Sealed {
    session().seal(p, id(1), &UNBOUND, NOW).unwrap()
}

#[test]
fn no_changed_character_passes() {
    for place in PLACES {
        let p = policy(place);
        let good = Request::of(&p, &sealed(&p));
        assert!(good.same_answer().contains("ann"));
        let start = good.line.find('=').unwrap() + 1;
        for at in start..good.line.len() {
            let mut bad = good.clone();
            let other = if &bad.line[at..=at] == "A" { "B" } else { "A" };
            bad.line.replace_range(at..=at, other);
            assert!(bad.same_answer().starts_with("Bad"), "{at}");
            assert!(good.answer().contains("ann"), "{at}");
        }
    }
}

#[test]
fn no_changed_record_passes() {
    let p = policy(Place::Server);
    let good = Request::of(&p, &sealed(&p));
    assert!(good.same_answer().contains("ann"));
    for at in 0..good.record.as_ref().unwrap().payload.len() {
        let mut bad = good.clone();
        let payload = &mut bad.record.as_mut().unwrap().payload;
        let other = if &payload[at..=at] == "A" { "B" } else { "A" };
        payload.replace_range(at..=at, other);
        assert!(bad.same_answer().starts_with("BadRecord"), "{at}");
    }
    let gone = Request {
        record: None,
        ..good.clone()
    };
    assert_eq!(gone.same_answer(), "NoRecord");
    let mut informed = good;
    let info = json!({"default": {"seen": 2}});
    informed.record.as_mut().unwrap().info = info.as_object().cloned();
    assert!(informed.same_answer().contains("2"));
}

#[test]
fn what_may_be_another_each_time_is_looked_at_each_time() {
    for place in PLACES {
        let p = policy(place);
        let good = Request::of(&p, &sealed(&p));
        assert!(good.same_answer().contains("ann"));
        for seconds in [1, 900, 901, 3600, 3601, 86_400, 86_401, u64::MAX / 2] {
            let now = NOW.saturating_add(seconds);
            Request {
                now,
                ..good.clone()
            }
            .same_answer();
        }
        let audience = "other";
        Request {
            audience,
            ..good.clone()
        }
        .same_answer();
        for max_data in [0, 10, 1 << 20] {
            let p = Policy {
                max_data,
                ..policy_like(&p)
            };
            let p = &p;
            Request { p, ..good.clone() }.same_answer();
        }
        let p = Policy {
            keys: ring("another"),
            ..policy_like(&p)
        };
        let p = &p;
        assert_eq!(Request { p, ..good.clone() }.same_answer(), "BadSignature");
        assert!(good.same_answer().contains("ann"));
    }
}

fn policy_like(p: &Policy) -> Policy {
    Policy {
        keys: p.keys.clone(),
        ..policy(p.place)
    }
}

#[test]
fn another_client_is_not_let_in() {
    for place in PLACES {
        let mut p = policy(place);
        p.bind = Bind {
            user_agent: true,
            ..Bind::default()
        };
        let of = |user_agent: &'static [u8]| Binding {
            user_agent,
            ..UNBOUND
        };
        let sealed = session().seal(&p, id(1), &of(b"hers"), NOW).unwrap();
        let hers = Request {
            binding: of(b"hers"),
            ..Request::of(&p, &sealed)
        };
        assert!(hers.same_answer().contains("ann"));
        for other in [&b"his"[..], b""] {
            let his = Request {
                binding: of(other),
                ..hers.clone()
            };
            assert_eq!(his.same_answer(), "BadSignature");
        }
        assert!(hers.same_answer().contains("ann"));
    }
}

#[test]
fn a_session_token_is_no_remember_token() {
    for place in PLACES {
        let mut p = policy(place);
        p.safety = Safety::Low;
        let good = Request::of(&p, &sealed(&p));
        assert!(good.same_answer().contains("ann"));
        let remember = || {
            let text = good.line.split_once('=').unwrap().1.as_bytes();
            let token = p.verify_text(Kind::Remember, text, &UNBOUND, NOW).unwrap();
            open_token(token, &p, good.record.as_ref(), "default").unwrap_err()
        };
        let unknown = std::thread::scope(|scope| scope.spawn(remember).join().unwrap());
        assert_eq!(remember(), unknown);
    }
}

#[test]
fn a_touched_token_is_the_same_session() {
    for place in PLACES {
        let p = policy(place);
        let sealed = sealed(&p);
        let mut request = Request::of(&p, &sealed);
        let first = request.same_answer();
        let cookies = [request.line.as_bytes()];
        let token = p.verify(Kind::Session, &cookies, &UNBOUND, NOW).unwrap();
        let mut session = open_token(token, &p, request.record.as_ref(), "default").unwrap();
        let touched = session.touch(&p, &UNBOUND, NOW + 100).unwrap();
        let untouched = std::mem::replace(
            &mut request.line,
            format!("{}={}", touched.name, touched.value),
        );
        assert_ne!(request.same_answer(), first);
        request.line = untouched;
        assert_eq!(request.same_answer(), first);
    }
}

#[test]
fn what_one_request_does_is_not_known_to_the_next() {
    for place in PLACES {
        let p = policy(place);
        let request = Request::of(&p, &sealed(&p));
        let first = request.same_answer();
        let cookies = [request.line.as_bytes()];
        let token = p.verify(Kind::Session, &cookies, &UNBOUND, NOW).unwrap();
        let mut session = open_token(token, &p, request.record.as_ref(), "default").unwrap();
        session.set("user.name", json!("eve"));
        session.set("more", json!(true));
        session.info_set("seen", json!(3));
        session.set_subject(Some("eve"));
        session.set_audience("another");
        assert_eq!(request.same_answer(), first);
    }
}

#[test]
fn without_the_stretched_key_it_is_stretched() {
    let mut p = policy(Place::Cookie);
    p.safety = Safety::Low;
    let session = Request::of(&p, &sealed(&p));
    let remember = Request::of(&p, &common::seal_remember(&self::session(), &p, id(2), NOW));
    let open = |request: &Request<'_>| {
        let text = request.line.split_once('=').unwrap().1.as_bytes();
        let token = p.verify_text(Kind::Remember, text, &UNBOUND, NOW).unwrap();
        token.open(&p, None, None, "default")
    };
    assert!(open(&session).is_err());
    assert!(open(&remember).is_ok());
}

#[test]
fn what_is_of_no_more_use_is_forgotten() {
    let p = policy(Place::Cookie);
    let good = Request::of(&p, &sealed(&p));
    let answer = |request: &Request<'_>, now: u64| {
        let request = Request {
            now,
            ..request.clone()
        };
        request.answer()
    };
    assert!(!known::forget_unused(NOW));
    answer(&good, NOW);
    assert!(known::forget_unused(NOW + known::KEPT - 1));
    answer(&good, NOW + 5);
    assert!(known::forget_unused(NOW + 5 + known::KEPT - 1));
    assert!(!known::forget_unused(NOW + 5 + known::KEPT));

    answer(&good, NOW);
    assert!(!known::forget_unused(0), "a clock that went back");

    answer(&good, NOW);
    let mut forged = good.clone();
    let mac = forged.line.find('=').unwrap() + 100;
    let other = if &forged.line[mac..=mac] == "A" {
        "B"
    } else {
        "A"
    };
    forged.line.replace_range(mac..=mac, other);
    for seconds in 1..=known::KEPT {
        assert_eq!(answer(&forged, NOW + seconds), "BadSignature");
    }
    assert!(!known::forget_unused(NOW + known::KEPT));

    let late = NOW + 1_000_000;
    assert!(answer(&good, late).starts_with("Expired"));
    assert!(!known::forget_unused(late));
}
