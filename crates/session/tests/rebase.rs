//! Two requests of one client at the same time: the second to save goes on from what the first one saved.
#![allow(clippy::unwrap_used)]

mod common;

use common::{NOW, UNBOUND, id, line, open_token, policy, record, seal_remember, verify};
use serde_json::{Value, json};
use session::{Jar, Kind, Logout, Origin, Place, Policy, Rebased, Sealed, Session, State};

const PLACES: [Place; 2] = [Place::Cookie, Place::Server];
const ORIGIN: Origin<'static> = Origin {
    host: "app.test",
    path: "/",
    secure: true,
};

/// A stored session, as requests find it.
struct Stored {
    p: Policy,
    sealed: Sealed,
}

impl Stored {
    /// Of audiences a (subject ann, x and y are 1, info k is 1) and b (subject bob, x is 2).
    fn of_two(place: Place) -> Self {
        let p = policy(place);
        let mut session = Session::new("a", Some("ann"));
        session.set("x", json!(1));
        session.set("y", json!(1));
        session.info_set("k", json!(1));
        session.enter_audience("b");
        session.set_subject(Some("bob"));
        session.set("x", json!(2));
        let sealed = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
        Self { p, sealed }
    }

    fn open(&self, audience: &str) -> Session {
        let token = verify(&self.p, Kind::Session, &line(&self.sealed), NOW).unwrap();
        open_token(token, &self.p, record(&self.sealed).as_ref(), audience).unwrap()
    }

    fn save(&self, session: &mut Session, number: u8) -> Self {
        let sealed = session.seal(&self.p, id(number), &UNBOUND, NOW).unwrap();
        session.committed(&sealed);
        Self {
            p: self.p.clone(),
            sealed,
        }
    }

    /// What another request makes of it.
    fn changed(&self, audience: &str, change: impl FnOnce(&mut Session)) -> Self {
        let mut session = self.open(audience);
        change(&mut session);
        self.save(&mut session, 2)
    }
}

/// Data of an audience of a stored session.
fn data(stored: &Stored, audience: &str) -> Value {
    stored.open(audience).data().clone().into()
}

#[test]
fn what_both_have_done_is_there() {
    for place in PLACES {
        let old = Stored::of_two(place);
        let mut own = old.open("a");
        own.set("own", json!([1]));
        own.unset("x");
        own.info_set("own", json!(2));
        let theirs = old.changed("a", |theirs| {
            theirs.set("theirs", json!(3));
            theirs.set("x", json!("not seen here"));
            theirs.info_set("theirs", json!(4));
            theirs.info_set("k", json!(5));
        });

        let rebased = own.rebase(theirs.open("a"), None, NOW);
        assert_eq!(rebased, Rebased::Merged);
        assert_eq!(own.state(), State::Open);
        assert_eq!(own.id(), Some(theirs.sealed.id()));
        assert!(own.is_dirty() && own.is_info_dirty());
        let last = old.save(&mut own, 3);
        assert_eq!(
            data(&last, "a"),
            json!({"y": 1, "theirs": 3, "own": [1]}),
            "{place:?}"
        );
        assert_eq!(
            Value::from(last.open("a").info_map().unwrap().clone()),
            json!({"k": 5, "theirs": 4, "own": 2})
        );
        assert_eq!(data(&last, "b"), json!({"x": 2}));
        if place == Place::Server {
            let old_key = last.sealed.record().unwrap().old_key.clone();
            assert_eq!(old_key, Some(theirs.sealed.id().storage_key(false)));
        }
    }
}

#[test]
fn a_value_is_taken_whole() {
    let old = Stored::of_two(Place::Server);
    let theirs = old.changed("a", |s| {
        s.set("user", json!({"id": 5, "role": "admin"}));
    });
    let mut own = old.open("a");
    own.set("user", json!({"id": 7}));
    own.rebase(theirs.open("a"), None, NOW);
    assert_eq!(own.get("user"), Some(&json!({"id": 7})));
}

#[test]
fn it_can_be_done_again_and_counts_from_the_last_save() {
    let old = Stored::of_two(Place::Server);
    let mut own = old.open("a");
    own.set("own", json!(1));
    let first = old.changed("a", |s| {
        s.set("first", json!(1));
    });
    let second = first.changed("a", |s| {
        s.set("second", json!(1));
        s.unset("y");
    });
    own.rebase(first.open("a"), None, NOW);
    own.rebase(second.open("a"), None, NOW);
    let saved = second.save(&mut own, 4);
    assert_eq!(
        data(&saved, "a"),
        json!({"x": 1, "first": 1, "second": 1, "own": 1})
    );

    let third = saved.changed("a", |s| {
        s.unset("own");
    });
    own.set("x", json!(9));
    assert_eq!(own.rebase(third.open("a"), None, NOW), Rebased::Merged);
    assert_eq!(
        Value::from(own.data().clone()),
        json!({"x": 9, "first": 1, "second": 1})
    );
}

#[test]
fn info_is_merged_into_a_record_that_was_written_again() {
    let old = Stored::of_two(Place::Server);
    let mut theirs = old.open("a");
    theirs.info_set("theirs", json!(1));
    let write = theirs.info_record(&old.p, NOW).unwrap();
    let again = session::Record::parse(write.value.as_bytes(), usize::MAX).unwrap();
    let fresh = || {
        let token = verify(&old.p, Kind::Session, &line(&old.sealed), NOW).unwrap();
        open_token(token, &old.p, Some(&again), "a").unwrap()
    };

    let mut own = old.open("a");
    own.info_set("own", json!(2));
    assert_eq!(own.rebase(fresh(), None, NOW), Rebased::Merged);
    assert!(own.is_info_dirty() && !own.is_dirty());
    assert_eq!(
        Value::from(own.info_map().unwrap().clone()),
        json!({"k": 1, "theirs": 1, "own": 2})
    );
    own.info_committed();
    own.info_unset("own");
    own.rebase(fresh(), None, NOW);
    assert_eq!(own.info("own"), None);
}

#[test]
fn changes_of_two_audiences_go_to_each() {
    for place in PLACES {
        let old = Stored::of_two(place);
        let theirs = old.changed("a", |theirs| {
            theirs.set("theirs", json!(1));
            theirs.enter_audience("c");
            theirs.set("theirs", json!(2));
        });
        let mut own = old.open("a");
        own.set("own", json!(3));
        own.enter_audience("b");
        own.set("own", json!(4));
        // Opened for an audience that has nothing, it is all there as well.
        assert_eq!(own.rebase(theirs.open("none"), None, NOW), Rebased::Merged);
        assert_eq!((own.audience(), own.subject()), ("b", Some("bob")));
        assert!(own.has_audience());
        let last = old.save(&mut own, 3);
        assert_eq!(
            data(&last, "a"),
            json!({"x": 1, "y": 1, "theirs": 1, "own": 3})
        );
        assert_eq!(data(&last, "b"), json!({"x": 2, "own": 4}));
        assert_eq!(data(&last, "c"), json!({"theirs": 2}));
        assert!(!last.open("none").has_audience());
    }
}

#[test]
fn an_audience_that_both_begin_is_one() {
    let old = Stored::of_two(Place::Cookie);
    let theirs = old.changed("c", |theirs| {
        theirs.set("theirs", json!(1));
        theirs.set("both", json!(1));
    });
    let mut own = old.open("c");
    own.set("own", json!(2));
    own.set("both", json!(2));
    assert_eq!(own.rebase(theirs.open("c"), None, NOW), Rebased::Merged);
    assert_eq!(own.state(), State::Open);
    let last = old.save(&mut own, 3);
    assert_eq!(data(&last, "c"), json!({"theirs": 1, "both": 2, "own": 2}));

    let mut alone = old.open("d");
    alone.set("own", json!(1));
    assert_eq!(alone.rebase(theirs.open("d"), None, NOW), Rebased::Merged);
    assert_eq!(alone.state(), State::New);
    assert_eq!(data(&old.save(&mut alone, 3), "d"), json!({"own": 1}));
}

#[test]
fn names_and_wishes_are_those_that_were_changed() {
    let old = Stored::of_two(Place::Server);
    let theirs = old.changed("a", |theirs| {
        theirs.set_forget(true);
        theirs.set("theirs", json!(1));
    });
    let mut own = old.open("a");
    own.set("own", json!(1));
    own.rebase(theirs.open("a"), None, NOW);
    assert!(own.forget());

    let mut own = old.open("a");
    own.set_subject(Some("eve"));
    own.set_audience("renamed");
    assert_eq!(own.rebase(theirs.open("a"), None, NOW), Rebased::Merged);
    let last = old.save(&mut own, 3);
    assert_eq!(last.open("renamed").subject(), Some("eve"));
    assert_eq!(data(&last, "renamed"), json!({"x": 1, "y": 1, "theirs": 1}));
    assert!(!last.open("a").has_audience());

    let forgotten = theirs.changed("b", |s| {
        s.set_forget(false);
    });
    let mut own = theirs.open("a");
    own.mark_dirty();
    own.rebase(forgotten.open("a"), None, NOW);
    assert!(!own.forget());
}

#[test]
fn a_rename_takes_the_place_of_what_has_the_name() {
    let old = Stored::of_two(Place::Server);
    let theirs = old.changed("c", |theirs| {
        theirs.set("theirs", json!(1));
    });
    let mut own = old.open("a");
    own.set_audience("b");
    assert_eq!(own.rebase(theirs.open("a"), None, NOW), Rebased::Merged);
    let last = old.save(&mut own, 3);
    assert_eq!(last.open("b").subject(), Some("ann"));
    assert_eq!(data(&last, "b"), json!({"x": 1, "y": 1}));
    assert_eq!(data(&last, "c"), json!({"theirs": 1}));

    let mut own = old.open("a");
    own.set_audience("c");
    assert_eq!(own.rebase(theirs.open("a"), None, NOW), Rebased::Merged);
    assert_eq!(data(&old.save(&mut own, 3), "c"), json!({"x": 1, "y": 1}));

    let both = old.changed("a", |theirs| {
        theirs.set_audience("c");
        theirs.set("theirs", json!(1));
    });
    let mut own = old.open("a");
    own.set_audience("c");
    own.set("own", json!(1));
    // The subject is the same, but under a name that it did not have: it is known from here.
    assert_eq!(own.rebase(both.open("c"), None, NOW), Rebased::Merged);
    assert_eq!(
        data(&old.save(&mut own, 3), "c"),
        json!({"x": 1, "y": 1, "theirs": 1, "own": 1})
    );
}

#[test]
fn nobody_gets_into_a_login_by_an_older_request() {
    for place in PLACES {
        let p = policy(place);
        let mut session = Session::new("a", None);
        session.mark_dirty();
        let sealed = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
        let old = Stored { p, sealed };
        let login = |audience: &str, subject: &str| {
            old.changed(audience, |theirs| {
                theirs.set_subject(Some(subject));
            })
        };
        for theirs in [login("a", "ann"), login("b", "ann")] {
            let mut own = old.open("a");
            own.set("own", json!(1));
            let rebased = own.rebase(theirs.open("a"), None, NOW);
            assert_eq!(rebased, Rebased::OtherSubject);
            assert_eq!((own.subject(), own.id()), (None, Some(old.sealed.id())));
            assert!(own.is_dirty());
            assert_eq!(own.get("own"), Some(&json!(1)));
        }

        let mut own = old.open("a");
        own.set_subject(Some("ann"));
        let rebased = own.rebase(login("a", "ann").open("a"), None, NOW);
        assert_eq!(rebased, Rebased::Merged);
        let mut own = old.open("a");
        own.set_subject(Some("bob"));
        let rebased = own.rebase(login("a", "ann").open("a"), None, NOW);
        assert_eq!(rebased, Rebased::OtherSubject);
    }
}

#[test]
fn a_subject_is_one_of_an_audience() {
    let old = Stored::of_two(Place::Server);
    let theirs = old.changed("c", |theirs| {
        theirs.set_subject(Some("ann"));
    });
    let mut own = old.open("a");
    own.set("own", json!(1));
    let rebased = own.rebase(theirs.open("a"), None, NOW);
    assert_eq!(rebased, Rebased::OtherSubject);
}

#[test]
fn audiences_are_not_mixed_up_when_names_change() {
    let p = policy(Place::Cookie);
    let mut session = Session::new("a", None);
    session.set("x", json!(1));
    session.enter_audience("b");
    session.set("x", json!(2));
    let sealed = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();
    let old = Stored { p, sealed };

    let theirs = old.changed("a", |theirs| {
        theirs.set_audience("c");
    });
    let mut own = old.open("b");
    own.set_audience("c");
    assert_eq!(own.rebase(theirs.open("b"), None, NOW), Rebased::Merged);
    assert_eq!(own.get("x"), Some(&json!(2)));
    assert_eq!(own.logout(), Logout::Last, "there is nobody else");

    let theirs = old.changed("c", |theirs| {
        theirs.set("theirs", json!(1));
    });
    let mut own = old.open("c");
    own.set("own", json!(1));
    own.set_audience("d");
    assert_eq!(own.rebase(theirs.open("c"), None, NOW), Rebased::Merged);
    let last = old.save(&mut own, 3);
    assert_eq!(data(&last, "c"), json!({"theirs": 1}));
    assert_eq!(data(&last, "d"), json!({"own": 1}));
}

#[test]
fn a_remember_token_that_came_with_the_request_stays() {
    let old = Stored::of_two(Place::Server);
    let remember = seal_remember(&old.open("a"), &old.p, id(9), NOW);
    let token = verify(&old.p, Kind::Remember, &line(&remember), NOW).unwrap();
    let theirs = old.changed("a", |_| ());
    let mut own = old.open("a");
    own.set_remember_token(&token);
    assert_eq!(own.rebase(theirs.open("a"), None, NOW), Rebased::Merged);
    assert_eq!(
        own.remember_record_key(&old.p),
        Some(id(9).storage_key(false))
    );
}

#[test]
fn a_login_takes_along_what_was_saved_before_it() {
    let old = Stored::of_two(Place::Server);
    let theirs = old.changed("a", |theirs| {
        theirs.set("theirs", json!(1));
        theirs.set_subject(None);
    });
    let mut own = old.open("a");
    own.set_subject(Some("eve"));
    assert_eq!(own.rebase(theirs.open("a"), None, NOW), Rebased::Merged);
    assert_eq!(own.subject(), Some("eve"));
    assert_eq!(own.get("theirs"), Some(&json!(1)));

    let mut own = old.open("a");
    own.set("own", json!(1));
    assert_eq!(own.rebase(theirs.open("a"), None, NOW), Rebased::Merged);
    assert_eq!(own.subject(), None);
}

#[test]
fn what_was_logged_out_stays_so() {
    for place in PLACES {
        let old = Stored::of_two(place);
        let theirs = old.changed("a", |theirs| {
            assert_eq!(theirs.logout(), Logout::Others);
        });
        let mut own = old.open("a");
        own.set("own", json!(1));
        assert_eq!(own.rebase(theirs.open("a"), None, NOW), Rebased::Gone);
        assert_eq!(own.id(), Some(old.sealed.id()));
        assert_eq!(own.get("own"), Some(&json!(1)));

        // A change of another audience is kept, that of the one logged out is not.
        own.enter_audience("b");
        own.set("own", json!(2));
        assert_eq!(own.rebase(theirs.open("b"), None, NOW), Rebased::Merged);
        let last = old.save(&mut own, 3);
        assert!(!last.open("a").has_audience());
        assert_eq!(data(&last, "b"), json!({"x": 2, "own": 2}));

        // Who logs in begins anew.
        let mut own = old.open("a");
        own.set_subject(Some("eve"));
        own.set("own", json!(3));
        assert_eq!(own.rebase(theirs.open("a"), None, NOW), Rebased::Merged);
        let last = old.save(&mut own, 3);
        assert_eq!(last.open("a").subject(), Some("eve"));
        assert_eq!(data(&last, "a"), json!({"own": 3}));
    }
}

#[test]
fn an_own_logout_holds() {
    for place in PLACES {
        let old = Stored::of_two(place);
        let theirs = old.changed("a", |theirs| {
            theirs.set("theirs", json!(1));
        });
        let mut own = old.open("a");
        own.logout();
        assert_eq!(own.rebase(theirs.open("a"), None, NOW), Rebased::Merged);
        let last = old.save(&mut own, 3);
        assert_eq!(own.state(), State::Ended);
        assert!(!last.open("a").has_audience());
        assert_eq!(data(&last, "b"), json!({"x": 2}));

        let without_b = old.changed("b", |theirs| {
            theirs.logout();
        });
        let mut own = old.open("a");
        own.logout();
        assert_eq!(own.rebase(without_b.open("a"), None, NOW), Rebased::Last);
        assert_eq!(own.id(), Some(without_b.sealed.id()));

        own.end();
        assert_eq!(own.rebase(theirs.open("a"), None, NOW), Rebased::Gone);
    }
}

fn set_cookies(session: &mut Session, lines: &[&str]) -> Jar {
    let stored = session.stored_jar();
    let mut jar = stored.map_or_else(Jar::default, |json| Jar::from_json(json).unwrap());
    for line in lines {
        jar.store(line.as_bytes(), &ORIGIN, NOW);
    }
    session.set_stored_jar(Some(jar.to_json()));
    jar
}

#[test]
fn the_jar_has_the_cookies_of_both() {
    for place in PLACES {
        let old = Stored::of_two(place).changed("a", |s| {
            set_cookies(s, &["a=1", "b=1", "c=1"]);
        });
        let theirs = old.changed("a", |theirs| {
            set_cookies(theirs, &["theirs=2", "b=2", "c=; Max-Age=0"]);
        });
        let mut own = old.open("a");
        let mut jar = set_cookies(&mut own, &["own=3", "b=3", "a=; Max-Age=0"]);
        let rebased = own.rebase(theirs.open("a"), Some(&mut jar), NOW);
        assert_eq!(rebased, Rebased::Merged);
        assert!(own.is_dirty());
        let last = old.save(&mut own, 3);
        let stored = Jar::from_json(last.open("a").stored_jar().unwrap()).unwrap();
        let header = Some("b=3; theirs=2; own=3".to_owned());
        assert_eq!(stored.header(&ORIGIN, NOW), header);
        assert_eq!(jar.header(&ORIGIN, NOW), header);
        assert_eq!(data(&last, "b"), json!({"x": 2}));

        // Without changes of its own, the jar is theirs.
        let mut own = old.open("a");
        let mut jar = Jar::from_json(own.stored_jar().unwrap()).unwrap();
        own.set("own", json!(1));
        own.rebase(theirs.open("a"), Some(&mut jar), NOW);
        assert_eq!(own.stored_jar(), theirs.open("a").stored_jar());
        let mut own = old.open("a");
        own.set("own", json!(1));
        own.rebase(theirs.open("a"), None, NOW);
        assert_eq!(own.stored_jar(), theirs.open("a").stored_jar());
    }
}

#[test]
fn an_emptied_jar_is_not_kept() {
    let old = Stored::of_two(Place::Server).changed("a", |s| {
        set_cookies(s, &["a=1"]);
    });
    let theirs = old.changed("a", |s| {
        s.set("theirs", json!(1));
    });
    let mut own = old.open("a");
    let mut jar = set_cookies(&mut own, &["a=; Max-Age=0"]);
    own.rebase(theirs.open("a"), Some(&mut jar), NOW);
    assert_eq!(own.stored_jar(), None);
    assert!(jar.is_empty());
}
