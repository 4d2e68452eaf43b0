//! What holds for every jar and every Set-Cookie line.
#![allow(clippy::unwrap_used)]

mod common;

use common::{NOW, UNBOUND, id, open_token, policy, record};
use proptest::prelude::*;
use serde_json::{Value, json};
use session::jar::{Limits, Stored};
use session::{Jar, Kind, Origin, Place, Session};

const HOSTS: [&str; 6] = [
    "app.test",
    "www.app.test:8080",
    "a.www.app.test",
    "co.uk",
    "1.2.3.4",
    "[::1]:80",
];
const PATHS: [&str; 6] = ["/", "/a", "/a/b", "/a/b/", "/ab?c=/d", ""];

const WORDS: &[&str] = &[
    "a",
    "b",
    "=",
    "=",
    ";",
    "; ",
    " ",
    "\t",
    "Path=/",
    "/a/b",
    "; Domain=",
    "app.test",
    ".",
    "co.uk",
    "1.2.3.4",
    "; Secure",
    "; Max-Age=",
    "-",
    "5",
    "0",
    "; Expires=",
    "Thu, 01 Jan 2026 ",
    "00:00:00 GMT",
    "06-Nov-94 ",
    "__Host-",
    "__Secure-",
    "; SameSite=None",
    "é",
    "\u{85}",
];

#[derive(Debug, Clone)]
struct Step {
    line: Vec<u8>,
    host: &'static str,
    path: &'static str,
    secure: bool,
    at: u64,
}

impl Step {
    fn origin(&self) -> Origin<'static> {
        Origin {
            host: self.host,
            path: self.path,
            secure: self.secure,
        }
    }
}

/// Pieces that a line is made of, and any bytes between them.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        12 => prop::sample::select(WORDS).prop_map(|word| word.as_bytes().to_vec()),
        1 => any::<Vec<u8>>(),
        1 => Just(vec![b'x'; 1500]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

/// Lines that are mostly taken, so that cookies meet others of their name and place.
fn plain_line() -> impl Strategy<Value = Vec<u8>> {
    let attribute = prop::sample::select(
        &[
            "",
            "; Path=/",
            "; Path=/a",
            "; Domain=app.test",
            "; Secure",
            "; Max-Age=0",
            "; Max-Age=5",
            "; Max-Age=50",
        ][..],
    );
    (
        "[abc]",
        "[xyz]{0,3}",
        prop::collection::vec(attribute, 0..3),
    )
        .prop_map(|(name, value, list)| format!("{name}={value}{}", list.concat()).into_bytes())
}

fn step() -> impl Strategy<Value = Step> {
    let line = prop_oneof![line(), plain_line()];
    let host = prop::sample::select(&HOSTS[..]);
    let path = prop::sample::select(&PATHS[..]);
    (line, host, path, any::<bool>(), 0..20_u64).prop_map(|(line, host, path, secure, at)| Step {
        line,
        host,
        path,
        secure,
        at: NOW + at,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..20)
}

fn limits() -> impl Strategy<Value = Limits> {
    let narrow = (0..5_usize, 0..100_usize).prop_map(|(max, size)| Limits { max, size });
    prop_oneof![Just(Limits::default()), narrow]
}

fn run(jar: &mut Jar, steps: &[Step]) {
    for step in steps {
        jar.store(&step.line, &step.origin(), step.at);
    }
}

fn jar_of(steps: &[Step]) -> Jar {
    let mut jar = Jar::default();
    run(&mut jar, steps);
    jar
}

fn reread(jar: &Jar) -> Jar {
    Jar::from_json(&jar.to_json()).unwrap()
}

fn requests() -> impl Iterator<Item = Origin<'static>> {
    let paths = || PATHS.into_iter();
    HOSTS
        .into_iter()
        .flat_map(move |host| paths().map(move |path| (host, path)))
        .flat_map(|(host, path)| [false, true].map(|secure| Origin { host, path, secure }))
}

fn headers(jar: &Jar) -> Vec<Option<String>> {
    requests()
        .flat_map(|origin| [0, 10, 60].map(|after| jar.header(&origin, NOW + after)))
        .collect()
}

/// Name, domain, path and flag of each cookie: there must not be two of the same.
fn places(jar: &Jar) -> Vec<String> {
    let json = jar.to_json();
    let place = |c: &Value| json!([c[0], c[2], c[3], c[6].as_u64().unwrap() & 2]).to_string();
    json.as_array().unwrap().iter().map(place).collect()
}

/// Anything, and what is nearly a jar.
fn stored() -> impl Strategy<Value = Value> {
    let field = prop_oneof![
        any::<String>().prop_map(Value::from),
        "[a-c=;/\n]{0,3}".prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(Value::Null),
    ];
    let text = prop_oneof![any::<String>(), "[a-c=;/\n\u{7f}]{0,3}"];
    let near = (
        text.clone(),
        text.clone(),
        text.clone(),
        text,
        any::<u64>(),
        any::<i64>(),
        any::<u64>(),
    );
    let near = near.prop_map(|(n, v, d, p, c, e, f)| json!([n, v, d, p, c, e, f]));
    let cookie =
        prop_oneof![3 => near, 1 => prop::collection::vec(field, 0..9).prop_map(Value::from)];
    prop::collection::vec(cookie, 0..4).prop_map(Value::from)
}

fn is_clean(header: &str) -> bool {
    !header.is_empty() && header.bytes().all(|b| b == b'\t' || !b.is_ascii_control())
}

proptest! {
    #[test]
    fn hostile_lines_never_panic(line in any::<Vec<u8>>(), host in any::<String>(), path in any::<String>(), now in any::<u64>()) {
        let origin = Origin { host: &host, path: &path, secure: true };
        let mut jar = Jar::default();
        for line in [line.clone(), [b"a=b;Expires=", &line[..]].concat(), [b"a=b;Domain=", host.as_bytes()].concat()] {
            jar.store(&line, &origin, now);
        }
        if let Some(header) = jar.header(&origin, now) {
            prop_assert!(is_clean(&header));
        }
        prop_assert_eq!(reread(&jar).to_json(), jar.to_json());
    }

    #[test]
    fn a_jar_is_read_as_it_was_written(steps in steps()) {
        let jar = jar_of(&steps);
        let again = Jar::from_json(&serde_json::from_str(&jar.to_json().to_string()).unwrap()).unwrap();
        prop_assert_eq!(again.to_json(), jar.to_json());
        prop_assert_eq!(headers(&again), headers(&jar));
        prop_assert!(!again.changed());
    }

    #[test]
    fn a_session_has_the_jar_that_it_keeps(steps in steps(), json in prop::option::of(stored()), server in any::<bool>()) {
        let json = json.unwrap_or_else(|| jar_of(&steps).to_json());
        let p = policy(if server { Place::Server } else { Place::Cookie });
        let mut session = Session::new("default", None);
        session.set("other", json.clone());
        session.set_stored_jar(Some(json.clone()));
        let read = |jar: Result<Jar, _>| jar.map(|jar| (jar.to_json(), jar.changed()));
        let expected = read(Jar::from_json(&json));
        prop_assert_eq!(read(session.jar()), expected.clone());
        let sealed = session.seal_text(&p, id(1), &UNBOUND, NOW).unwrap();
        let token = p.verify_text(Kind::Session, sealed.token_text().as_bytes(), &UNBOUND, NOW).unwrap();
        let opened = open_token(token, &p, record(&sealed).as_ref(), "default").unwrap();
        prop_assert_eq!(read(opened.jar()), expected.clone());
        for request in requests() {
            let header = Jar::from_json(&json).map(|jar| jar.header(&request, NOW));
            prop_assert_eq!(opened.jar_header(&request, NOW), header.clone());
            prop_assert_eq!(session.jar_header(&request, NOW), header);
        }
        prop_assert!(opened.get("other").is_some());
        prop_assert_eq!(read(opened.jar()), expected);
    }

    #[test]
    fn headers_have_no_control_characters(steps in steps(), json in stored()) {
        let jars = [Some(jar_of(&steps)), Jar::from_json(&json).ok()];
        for header in jars.iter().flatten().flat_map(headers).flatten() {
            prop_assert!(is_clean(&header), "{header:?}");
        }
    }

    #[test]
    fn limits_hold_and_places_differ(steps in steps(), limits in limits()) {
        let mut jar = Jar::default().with_limits(limits);
        for step in &steps {
            let before = jar.to_json();
            let stored = jar.store(&step.line, &step.origin(), step.at);
            prop_assert!(!matches!(stored, Stored::Ignored(_)) || jar.to_json() == before);
            let json = jar.to_json();
            let text = |c: &Value| (0..4).map(|n| c[n].as_str().unwrap().len()).sum::<usize>();
            let size: usize = json.as_array().unwrap().iter().map(text).sum();
            prop_assert!(jar.len() <= limits.max && size <= limits.size);
            let mut places = places(&jar);
            places.sort();
            places.dedup();
            prop_assert_eq!(places.len(), jar.len());
        }
    }

    #[test]
    fn a_jar_that_has_not_changed_is_the_same(before in steps(), after in steps()) {
        let base = jar_of(&before);
        let mut jar = reread(&base);
        run(&mut jar, &after);
        prop_assert!(jar.changed() || jar.to_json() == base.to_json());
    }

    #[test]
    fn merging_into_what_was_read_is_doing_it_there(before in prop::collection::vec(step(), 0..8), after in prop::collection::vec(step(), 0..8)) {
        let now = NOW;
        let at_once = |steps: &[Step]| steps.iter().cloned().map(|step| Step { at: now, ..step }).collect::<Vec<_>>();
        let base = jar_of(&at_once(&before));
        let mut jar = reread(&base);
        run(&mut jar, &at_once(&after));
        let mut merged = reread(&base);
        merged.merge(&jar, now);
        let sorted = |jar: &Jar| {
            let mut cookies: Vec<String> = jar.to_json().as_array().unwrap().iter().map(Value::to_string).collect();
            cookies.sort();
            cookies
        };
        prop_assert_eq!(sorted(&merged), sorted(&jar));
        let again = sorted(&merged);
        merged.merge(&jar, now);
        prop_assert_eq!(sorted(&merged), again, "once more changes nothing");
    }
}
