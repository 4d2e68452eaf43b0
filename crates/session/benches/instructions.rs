//! The same work each time, to be counted rather than timed: opening, touching and saving sessions.
//!
//! `scripts/instructions` runs this under callgrind and compares the counts with those of `instructions.txt`;
//! `cargo bench -p session --bench instructions [-- PART-OF-A-NAME]` shows times instead.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;
use session::{
    Bind, Binding, CookieName, Ikm, Jar, KeyRing, Kind, Origin, Place, Policy, Record, Safety,
    Sealed, Session, SessionId, Timeouts,
};

const NOW: u64 = 1_700_000_000;
const MAX_DATA: usize = 1 << 20;
const BINDING: Binding<'static> = Binding {
    address: b"",
    scheme: b"",
    user_agent: b"",
    extra: &[],
};

fn main() {
    let counts = std::env::args().any(|argument| argument == "--counted");
    let measure: Measure = if counts { counted } else { timed };
    for place in [Place::Cookie, Place::Server] {
        for content in [SMALL, TEXT, DEFLATED_TEXT, DEFLATED_TOKENS] {
            sessions(measure, place, &content);
        }
    }
    jar(measure);
}

/// Measures the work, which has this name.
type Measure = fn(&str, &mut dyn FnMut());

/// What one request leaves for the next (a window to inflate into, a table, freed memory of the right size) is there before the
/// counted time, whatever was done in the case before.
fn counted(name: &str, work: &mut dyn FnMut()) {
    for _ in 0..20 {
        work();
    }
    then_dumped(work);
    println!("{name}");
}

/// The counts of one case are written when this ends, see `scripts/instructions`.
#[inline(never)]
fn then_dumped(work: &mut dyn FnMut()) {
    while_counted(work);
    black_box(());
}

/// The counter runs while this does.
#[inline(never)]
fn while_counted(work: &mut dyn FnMut()) {
    work();
    black_box(());
}

/// The best of many: what disturbs only ever adds.
fn timed(name: &str, work: &mut dyn FnMut()) {
    const TIMES: u32 = 200;
    let mut wanted = std::env::args().skip(1).filter(|word| word != "--bench");
    if wanted.next().is_some_and(|part| !name.contains(&part)) {
        return;
    }
    let mut best = Duration::MAX;
    let end = Instant::now() + Duration::from_millis(300);
    while Instant::now() < end {
        let start = Instant::now();
        for _ in 0..TIMES {
            work();
        }
        best = best.min(start.elapsed() / TIMES);
    }
    println!("{:>7} ns  {name}", best.as_nanos());
}

/// What a session holds.
struct Content {
    name: &'static str,
    compression_threshold: usize,
    /// Bytes of text, in values of 50 characters.
    text: usize,
    /// Characters that cannot be compressed much, as in what identity providers hand out.
    tokens: &'static [usize],
}

const SMALL: Content = Content {
    name: "100 B",
    compression_threshold: 0,
    text: 66,
    tokens: &[],
};
const TEXT: Content = Content {
    name: "3 kB",
    text: 3000,
    ..SMALL
};
const DEFLATED_TEXT: Content = Content {
    name: "3 kB deflated",
    compression_threshold: 1024,
    ..TEXT
};
const DEFLATED_TOKENS: Content = Content {
    name: "3 kB of tokens deflated",
    text: 66,
    tokens: &[1200, 1200, 500],
    ..DEFLATED_TEXT
};

/// The key that is there in every content.
const KEY: &str = "key-000000";

fn session(content: &Content) -> Session {
    let mut session = Session::new("default", Some("ann@example.org"));
    for (number, size) in content.tokens.iter().enumerate() {
        session.set(&format!("token-{number}"), json!(token(*size, number)));
    }
    for number in (0..content.text / 66).rev() {
        session.set(
            &format!("key-{number:06}"),
            json!("abcdefghijklmnopqrstuvwxyz0123456789-_.ABCDEFGHIJKL"),
        );
    }
    session
}

/// Characters without a pattern, the same for the same `seed`.
fn token(size: usize, seed: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = seed as u64 + 1;
    let mut letter = || {
        // Knuth's MMIX generator; its high bits are the good ones.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(LETTERS[(state >> 58) as usize])
    };
    (0..size).map(|_| letter()).collect()
}

fn policy(place: Place, compression_threshold: usize) -> Policy {
    Policy {
        cookie_name: CookieName::parse("session").unwrap(),
        remember_cookie_name: CookieName::parse("remember").unwrap(),
        keys: Arc::new(KeyRing::new(Ikm::from_secret(b"secret"), Vec::new())),
        bind: Bind::default(),
        place,
        times: Timeouts::default(),
        safety: Safety::default(),
        compression_threshold,
        max_data: MAX_DATA,
        enforce_same_subject: false,
        hash_storage_key: false,
        hash_subject: false,
        store_metadata: false,
    }
}

fn sessions(measure: Measure, place: Place, content: &Content) {
    let p = policy(place, content.compression_threshold);
    let id = SessionId::from_random([7; 32]);
    let mut changed = session(content);
    let sealed = changed.seal(&p, id, &BINDING, NOW).unwrap();
    let request = Request::of(&p, &sealed);
    let place = match place {
        Place::Cookie => "cookie",
        Place::Server => "server",
    };
    let measure = |work: &str, run: &mut dyn FnMut()| {
        measure(&format!("{work}, {place}, {}", content.name), run);
    };
    measure("verify", &mut || drop(black_box(request.verify())));
    measure("open", &mut || drop(black_box(request.open())));
    // Both have one place, which each takes from the other.
    let mut other_id = [7; 32];
    other_id[31] = 0;
    let other_id = SessionId::from_random(other_id);
    let other = changed.seal(&p, other_id, &BINDING, NOW).unwrap();
    let other = Request::of(&p, &other);
    let mut requests = [&request, &other].into_iter().cycle();
    measure("open the first time", &mut || {
        drop(black_box(requests.next().unwrap().open()));
    });
    measure("open the first time and read one value", &mut || {
        let session = requests.next().unwrap().open();
        assert!(black_box(session.get(KEY)).is_some());
    });
    measure("open and read one value", &mut || {
        let session = request.open();
        assert!(black_box(session.get(KEY)).is_some());
    });
    measure("save", &mut || {
        drop(black_box(changed.seal(&p, id, &BINDING, NOW).unwrap()));
    });
    let unread = request.open();
    measure("save what was not read", &mut || {
        drop(black_box(unread.seal(&p, id, &BINDING, NOW).unwrap()));
    });
    changed.committed(&sealed);
    measure("touch", &mut || {
        drop(black_box(changed.touch(&p, &BINDING, NOW + 100).unwrap()));
    });
}

/// A request that brings a session.
struct Request<'a> {
    p: &'a Policy,
    cookies: String,
    record: Option<&'a str>,
}

impl<'a> Request<'a> {
    fn of(p: &'a Policy, sealed: &'a Sealed) -> Self {
        let mut cookies = "theme=dark; lang=en".to_owned();
        for cookie in sealed.cookies() {
            cookies += &format!("; {}={}", cookie.name, cookie.value);
        }
        Self {
            p,
            cookies,
            record: sealed.record().map(|write| write.value.as_str()),
        }
    }

    fn verify(&self) -> session::Token {
        let cookies = [black_box(self.cookies.as_bytes())];
        self.p
            .verify(Kind::Session, &cookies, &BINDING, NOW)
            .unwrap()
    }

    fn open(&self) -> Box<Session> {
        let token = self.verify();
        let record = self
            .record
            .map(|value| Record::parse(black_box(value.as_bytes()), MAX_DATA).unwrap());
        token.open(self.p, None, record, "default").unwrap()
    }
}

/// What a location with a jar of five cookies pays when the upstream sets none.
fn jar(measure: Measure) {
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
    let p = policy(Place::Cookie, 0);
    let mut session = session(&SMALL);
    session.set_stored_jar(Some(jar.to_json()));
    let sealed = session
        .seal(&p, SessionId::from_random([7; 32]), &BINDING, NOW)
        .unwrap();
    let request = Request::of(&p, &sealed);
    measure("open and send a jar of 5", &mut || {
        let session = request.open();
        let cookies = session.jar_header(&origin, NOW).unwrap();
        drop(black_box(cookies));
    });
}
