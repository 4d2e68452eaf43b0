//! What a request pays: opening, saving and touching a session of 100 bytes and of 3 kB.
//!
//! `cargo bench -p session`
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use serde_json::json;
use session::{
    Bind, Binding, CookieName, Ikm, Jar, KeyRing, KeySource, Kind, Origin, Place, Policy, Record,
    Safety, Sealed, Session, SessionId, Timeouts,
};

const NOW: u64 = 1_700_000_000;
const UNBOUND: Binding<'static> = Binding {
    address: b"",
    scheme: b"",
    user_agent: b"",
    extra: &[],
};

fn policy(place: Place) -> Policy {
    Policy {
        cookie_name: CookieName::parse("session").unwrap(),
        remember_cookie_name: CookieName::parse("remember").unwrap(),
        keys: Arc::new(KeyRing::new(Ikm::from_secret(b"secret"), Vec::new())),
        bind: Bind::default(),
        place,
        times: Timeouts::default(),
        safety: Safety::default(),
        compression_threshold: 0,
        max_data: 1 << 20,
        enforce_same_subject: false,
        hash_storage_key: false,
        hash_subject: false,
        store_metadata: false,
    }
}

/// A session with about `size` bytes in values of 50 characters.
fn session(size: usize) -> Session {
    let mut session = Session::new("default", Some("ann@example.org"));
    for number in 0..(size / 66).max(1) {
        session.set(
            &format!("key-{number:06}"),
            json!("abcdefghijklmnopqrstuvwxyz0123456789-_.ABCDEFGHIJKL"),
        );
    }
    session
}

fn open(p: &Policy, line: &[u8], record: Option<&str>) -> Session {
    let token = p.verify(Kind::Session, &[line], &UNBOUND, NOW).unwrap();
    let record = record.map(|value| Record::parse(value.as_bytes(), 1 << 20).unwrap());
    let KeySource::Ready(key) = token.cipher_key(p) else {
        unreachable!("session keys are never stretched")
    };
    token.open(p, &key, record.as_ref(), "default").unwrap()
}

fn line(sealed: &Sealed) -> String {
    let cookies = sealed
        .cookies()
        .iter()
        .map(|c| format!("{}={}", c.name, c.value));
    std::iter::once("theme=dark; lang=en".to_owned())
        .chain(cookies)
        .collect::<Vec<_>>()
        .join("; ")
}

fn sessions(c: &mut Criterion) {
    let id = SessionId::from_random([7; 32]);
    for (place, place_name) in [(Place::Cookie, "cookie"), (Place::Server, "server")] {
        let p = policy(place);
        for (size, size_name) in [(100, "100B"), (3000, "3kB")] {
            let mut session = session(size);
            let sealed = session.seal(&p, id, &UNBOUND, NOW).unwrap();
            let line = line(&sealed);
            let record = sealed.record().map(|write| write.value.as_str());
            let name = |work: &str| format!("{work}/{place_name}/{size_name}");
            c.bench_function(&name("verify"), |b| {
                b.iter(|| {
                    p.verify(Kind::Session, &[black_box(line.as_bytes())], &UNBOUND, NOW)
                        .unwrap()
                });
            });
            c.bench_function(&name("open"), |b| {
                b.iter(|| open(&p, black_box(line.as_bytes()), record))
            });
            c.bench_function(&name("save"), |b| {
                b.iter(|| black_box(&session).seal(&p, id, &UNBOUND, NOW).unwrap())
            });
            session.committed(&sealed);
            c.bench_function(&name("touch"), |b| {
                b.iter(|| session.touch(&p, &UNBOUND, NOW + 100).unwrap())
            });
        }
    }
    let p = Policy {
        compression_threshold: 1024,
        ..policy(Place::Cookie)
    };
    let large = session(3000);
    c.bench_function("save/deflated/3kB", |b| {
        b.iter_batched(
            || &large,
            |s| s.seal(&p, id, &UNBOUND, NOW).unwrap(),
            BatchSize::SmallInput,
        );
    });
    let sealed = large.seal(&p, id, &UNBOUND, NOW).unwrap();
    let line = line(&sealed);
    c.bench_function("open/deflated/3kB", |b| {
        b.iter(|| open(&p, black_box(line.as_bytes()), None))
    });
}

/// What a location with a jar of five cookies pays when the upstream sets none, and when it sets one that is there.
fn jars(c: &mut Criterion) {
    let origin = Origin {
        host: "www.app.test",
        path: "/accounts/profile/?next=1",
        secure: true,
    };
    let mut jar = Jar::default();
    for line in [
        "sessionid=abcdefghijklmnopqrstuvwxyz012345; Path=/; Secure; HttpOnly; Max-Age=1209600",
        "csrftoken=abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVW; Path=/; SameSite=Lax",
        "lang=de; Domain=app.test; Path=/",
        "seen=1,2,3; Path=/accounts",
        "theme=dark",
    ] {
        jar.store(line.as_bytes(), &origin, NOW);
    }
    let mut session = Session::new("default", None);
    let stored = &jar.to_json();
    session.set_stored_jar(Some(stored.clone()));
    c.bench_function("jar/read", |b| {
        b.iter(|| Jar::from_json(black_box(stored)).unwrap())
    });
    c.bench_function("jar/send", |b| {
        b.iter(|| black_box(&jar).cookies_for(&origin, NOW).header())
    });
    let p = policy(Place::Cookie);
    for number in 0..5 {
        session.set(
            &format!("key-{number}"),
            json!("abcdefghijklmnopqrstuvwxyz"),
        );
    }
    let id = SessionId::from_random([7; 32]);
    let line = line(&session.seal(&p, id, &UNBOUND, NOW).unwrap());
    c.bench_function("jar/open the session only", |b| {
        b.iter(|| open(&p, black_box(line.as_bytes()), None))
    });
    c.bench_function("jar/open the session, read, send", |b| {
        b.iter(|| {
            let session = open(&p, black_box(line.as_bytes()), None);
            session.jar_header(&origin, NOW).unwrap()
        })
    });
    let store = |line: &'static [u8]| {
        move || {
            let mut jar = Jar::from_json(black_box(stored)).unwrap();
            jar.store(line, &origin, NOW);
            assert!(!jar.changed());
        }
    };
    c.bench_function("jar/read, store the same", |b| {
        b.iter(store(b"lang=de; Domain=app.test; Path=/"))
    });
    c.bench_function("jar/read, store the same for the host", |b| {
        b.iter(store(b"theme=dark"))
    });
}

criterion_group!(benches, sessions, jars);
criterion_main!(benches);
