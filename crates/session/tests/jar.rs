//! Which of an upstream's cookies a jar keeps, and which requests they go with.
#![allow(clippy::unwrap_used)]

mod common;

use common::{NOW, UNBOUND, id, policy, reopen};
use serde_json::{Value, json};
use session::jar::{Limits, Reason, Stored, is_reserved};
use session::{Hidden, JAR_KEY, Jar, JarError, Origin, Place, Refusal, Session, hide_cookies};

/// What a URL is for a jar.
fn origin(url: &str) -> Origin<'_> {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    Origin {
        host,
        path,
        secure: scheme == "https",
    }
}

fn store(jar: &mut Jar, url: &str, line: &str) -> Stored {
    jar.store(line.as_bytes(), &origin(url), NOW)
}

/// The cookies that go with a request, an empty text for none.
fn sent(jar: &Jar, url: &str) -> String {
    jar.header(&origin(url), NOW).unwrap_or_default()
}

fn jar_of(url: &str, lines: &[&str]) -> Jar {
    let mut jar = Jar::default();
    for line in lines {
        assert_eq!(store(&mut jar, url, line), Stored::Kept, "{line}");
    }
    jar
}

/// The jar as the next request reads it.
fn reread(jar: &Jar) -> Jar {
    Jar::from_json(&jar.to_json()).unwrap()
}

fn limited(max: usize, size: usize) -> Jar {
    Jar::default().with_limits(Limits { max, size })
}

#[test]
fn it_stands_in_for_the_session_cookie() {
    // J5
    let jar = jar_of("http://app.test/", &["b=2"]);
    let Hidden::Line(own) = hide_cookies(b"a=1; proxy-session=T; c=3", |n| n == b"proxy-session")
    else {
        panic!("the session's cookie was there and not alone");
    };
    let own = String::from_utf8(own).unwrap();
    let line = [own, sent(&jar, "http://app.test/")].join("; ");
    assert_eq!(line, "a=1; c=3; b=2");
}

#[test]
fn a_path_holds_itself_and_what_is_below() {
    // J7
    let jar = jar_of("http://app.test/", &["sc=A=a; path=/some/path"]);
    for (path, expected) in [
        ("/some/path", "sc=A=a"),
        ("/some/path?query", "sc=A=a"),
        ("/some/path/", "sc=A=a"),
        ("/some/path/foo", "sc=A=a"),
        ("/some", ""),
        ("/some/", ""),
        ("/some/paths", ""),
        ("/", ""),
        ("", ""),
    ] {
        assert_eq!(
            sent(&jar, &format!("http://app.test{path}")),
            expected,
            "{path}"
        );
    }
}

#[test]
fn without_a_path_it_is_the_folder() {
    // J8
    for (url, expected) in [
        ("http://app.test/some/path/index.html", "/some/path"),
        ("http://app.test/some/path/?to=/x/y", "/some/path"),
        ("http://app.test/abc", "/"),
        ("http://app.test/", "/"),
        ("http://app.test", "/"),
    ] {
        for line in ["a=b", "a=b; Path", "a=b; Path=", "a=b; Path=relative/x"] {
            assert_eq!(
                jar_of(url, &[line]).to_json()[0][3],
                json!(expected),
                "{url} {line}"
            );
        }
    }
}

#[test]
fn longer_paths_come_first_then_older_cookies() {
    // J9
    let mut jar = Jar::default();
    let paths = ["/", "/a", "/a/b", "/a/b/c"];
    let first = paths.iter().zip(["p1", "p2", "p3", "p4"]);
    let second = paths.iter().zip(["q1", "q2", "q3", "q4"]);
    for (second_of, (path, name)) in (0..).zip(first.chain(second)) {
        let line = format!("{name}=1; Path={path}");
        let stored = jar.store(
            line.as_bytes(),
            &origin("http://app.test/"),
            NOW + second_of,
        );
        assert_eq!(stored, Stored::Kept);
    }
    let order = "p4=1; q4=1; p3=1; q3=1; p2=1; q2=1; p1=1; q1=1";
    assert_eq!(sent(&jar, "http://app.test/a/b/c"), order);
    assert_eq!(sent(&reread(&jar), "http://app.test/a/b/c/d"), order);
    assert_eq!(sent(&jar, "http://app.test/a"), "p2=1; q2=1; p1=1; q1=1");

    let line = b"p4=2; Path=/a/b/c";
    jar.store(line, &origin("http://app.test/"), NOW + 100);
    assert_eq!(
        sent(&jar, "http://app.test/a/b/c"),
        order.replace("p4=1", "p4=2"),
        "an update keeps the age"
    );
}

#[test]
fn a_domain_is_the_host_or_above_it() {
    // J10
    let url = "http://www.example.com/";
    for (domain, expected) in [
        ("example.com", Ok("example.com")),
        (".example.com", Ok("example.com")),
        ("EXAMPLE.com", Ok("example.com")),
        ("www.example.com", Ok("www.example.com")),
        (".www.example.com", Ok("www.example.com")),
        ("foreign.com", Err(Reason::ForeignDomain)),
        ("xample.com", Err(Reason::ForeignDomain)),
        ("example.com.", Err(Reason::ForeignDomain)),
        (".", Err(Reason::ForeignDomain)),
        ("..", Err(Reason::ForeignDomain)),
        ("..example.com", Err(Reason::ForeignDomain)),
        ("http://example.com", Err(Reason::ForeignDomain)),
        ("example.com:80", Err(Reason::ForeignDomain)),
        ("child.www.example.com", Err(Reason::ForeignDomain)),
        ("exämple.com", Err(Reason::ForeignDomain)),
        ("com", Err(Reason::PublicSuffix)),
        (".com", Err(Reason::PublicSuffix)),
    ] {
        let mut jar = Jar::default();
        let stored = store(&mut jar, url, &format!("a=b; Domain={domain}"));
        match expected {
            Ok(domain) => {
                assert_eq!(stored, Stored::Kept, "{domain}");
                assert_eq!(jar.to_json()[0][2], json!(domain));
                assert_eq!(jar.to_json()[0][6], json!(0), "not for the host only");
            }
            Err(reason) => {
                assert_eq!(stored, Stored::Ignored(reason), "{domain}");
                assert!(jar.is_empty() && !jar.changed());
            }
        }
    }
    assert_eq!(jar_of(url, &["a=b; Domain="]).to_json()[0][6], json!(2));
    let stored = store(
        &mut Jar::default(),
        "http://www.exämple.com/",
        "a=b; Domain=exämple.com",
    );
    assert_eq!(
        stored,
        Stored::Ignored(Reason::ForeignDomain),
        "names are ASCII"
    );
}

#[test]
fn a_public_suffix_shares_nothing() {
    // J11
    for (host, suffix) in [
        ("some.co.uk", "co.uk"),
        ("me.github.io", "github.io"),
        ("app.localhost", "localhost"),
    ] {
        let line = format!("a=b; Domain={suffix}");
        let mut jar = Jar::default();
        let (below, itself) = (format!("http://{host}/"), format!("http://{suffix}/"));
        assert_eq!(
            store(&mut jar, &below, &line),
            Stored::Ignored(Reason::PublicSuffix)
        );
        let jar = jar_of(&itself, &[&line]);
        assert_eq!(
            (sent(&jar, &itself), sent(&jar, &below)),
            ("a=b".into(), "".into())
        );
    }
}

#[test]
fn an_address_has_nothing_below() {
    // J12
    for (host, domains) in [
        ("1.2.3.4", [".1.2.3.4", "3.4", "2.3.4", "4"]),
        (
            "[2001:db8::1]",
            [".2001:db8::1", "1", ":1", "[2001:db8::1]"],
        ),
    ] {
        let url = format!("http://{host}:8080/");
        for domain in domains {
            let stored = store(&mut Jar::default(), &url, &format!("a=b; Domain={domain}"));
            assert_eq!(stored, Stored::Ignored(Reason::ForeignDomain), "{domain}");
        }
        let plain = host.trim_matches(['[', ']']);
        for line in ["a=b".to_owned(), format!("a=b; Domain={plain}")] {
            let jar = jar_of(&url, &[&line]);
            assert_eq!(jar.to_json()[0][6], json!(2), "{line}: for the host only");
            assert_eq!(sent(&jar, &url), "a=b");
            assert_eq!(sent(&jar, "http://9.1.2.3.4/"), "");
        }
    }
}

#[test]
fn ports_do_not_matter() {
    // J13
    let jar = jar_of("http://app.test:8001/", &["a=b"]);
    for host in ["app.test:8002", "app.test", "APP.test", "app.test."] {
        assert_eq!(sent(&jar, &format!("http://{host}/")), "a=b", "{host}");
    }
}

#[test]
fn an_end_in_the_past_deletes() {
    // J14
    const PAST: &str = "Expires=Sun, 06 Nov 1994 08:49:37 GMT";
    let url = "http://app.test/";
    for (attributes, expected) in [
        ("Max-Age=-1", Stored::Deleted),
        ("Max-Age=0", Stored::Deleted),
        (PAST, Stored::Deleted),
        (
            "Max-Age=0; Expires=Sun, 06 Nov 2094 08:49:37 GMT",
            Stored::Deleted,
        ),
        (&format!("Max-Age=5; {PAST}"), Stored::Kept),
        ("Max-Age=x", Stored::Kept),
    ] {
        let mut jar = reread(&jar_of(url, &["a=old", "b=1"]));
        assert_eq!(
            store(&mut jar, url, &format!("a=new; {attributes}")),
            expected
        );
        let left = if expected == Stored::Deleted {
            "b=1"
        } else {
            "a=new; b=1"
        };
        assert_eq!(sent(&jar, url), left, "{attributes}");
        assert!(jar.changed());
    }
    let jar = jar_of(url, &["a=1; Max-Age=x"]);
    assert_eq!(
        jar.header(&origin(url), u64::MAX).as_deref(),
        Some("a=1"),
        "it lives as long as the session"
    );
    let mut jar = Jar::default();
    assert_eq!(store(&mut jar, url, "a=; Max-Age=0"), Stored::Deleted);
    assert!(!jar.changed(), "there was none");
}

#[test]
fn a_cookie_leaves_on_the_second() {
    // J15
    let url = origin("http://app.test/");
    let start = 784_111_777 - 5;
    let mut jar = Jar::default();
    for line in [
        "a=1; Max-Age=3",
        "b=2; Max-Age=5",
        "c=3; Expires=Sun, 06 Nov 1994 08:49:37 GMT",
        "d=4",
    ] {
        assert_eq!(jar.store(line.as_bytes(), &url, start), Stored::Kept);
    }
    for (after, expected) in [
        (0, "a=1; b=2; c=3; d=4"),
        (2, "a=1; b=2; c=3; d=4"),
        (3, "b=2; c=3; d=4"),
        (4, "b=2; c=3; d=4"),
        (5, "d=4"),
    ] {
        let header = reread(&jar).header(&url, start + after);
        assert_eq!(header.as_deref(), Some(expected), "after {after} s");
    }
    assert_eq!(jar.len(), 4, "reading removes none");
    jar.store(b"e=5", &url, start + 5);
    assert_eq!(jar.len(), 2, "writing does");
}

#[test]
fn an_expired_cookie_has_no_age_to_give() {
    let url = origin("http://app.test/");
    let mut jar = Jar::default();
    for line in [&b"a=1; Max-Age=3"[..], b"b=2"] {
        jar.store(line, &url, NOW);
    }
    jar.store(b"a=3", &url, NOW + 10);
    assert_eq!(jar.header(&url, NOW + 10).as_deref(), Some("b=2; a=3"));
    assert_eq!(jar.len(), 2);
}

#[test]
fn cookies_are_set_updated_and_deleted() {
    // J17
    const HTTP: &str = "http://www.host.test/";
    const HTTPS: &str = "https://www.host.test/";
    use Stored::{Deleted, Ignored, Kept};
    let blocked = Ignored(Reason::SecureExists);
    let insecure = Ignored(Reason::InsecureOrigin);
    let mut jar = Jar::default();
    for (step, (url, line, stored, by_http, by_https)) in [
        (HTTPS, "a=1", Kept, "a=1", "a=1"),
        (HTTPS, "b=2; Secure", Kept, "a=1", "a=1; b=2"),
        (HTTPS, "c=3; HttpOnly", Kept, "a=1; c=3", "a=1; b=2; c=3"),
        (HTTP, "a=w", Kept, "a=w; c=3", "a=w; b=2; c=3"),
        (HTTP, "b=x", blocked, "a=w; c=3", "a=w; b=2; c=3"),
        (HTTP, "b=x; Secure", insecure, "a=w; c=3", "a=w; b=2; c=3"),
        (HTTPS, "b=xx", Kept, "a=w; b=xx; c=3", "a=w; b=xx; c=3"),
        (HTTP, "a=; Max-Age=-1", Deleted, "b=xx; c=3", "b=xx; c=3"),
        (
            HTTPS,
            "c=; Path=/x; Max-Age=0",
            Deleted,
            "b=xx; c=3",
            "b=xx; c=3",
        ),
        (
            HTTP,
            "c=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            Deleted,
            "b=xx",
            "b=xx",
        ),
        (
            HTTP,
            "a=new; Domain=host.test",
            Kept,
            "b=xx; a=new",
            "b=xx; a=new",
        ),
        (
            HTTP,
            "a=own",
            Kept,
            "b=xx; a=new; a=own",
            "b=xx; a=new; a=own",
        ),
        (
            HTTP,
            "a=; Max-Age=0; Domain=host.test",
            Deleted,
            "b=xx; a=own",
            "b=xx; a=own",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(store(&mut jar, url, line), stored, "step {step}");
        jar = reread(&jar);
        assert_eq!(sent(&jar, HTTP), by_http, "step {step}");
        assert_eq!(sent(&jar, HTTPS), by_https, "step {step}");
    }
}

#[test]
fn hosts_share_what_is_of_their_domain() {
    // J18
    const A: &str = "http://a.zone.test/";
    const B: &str = "http://b.zone.test/";
    let mut jar = jar_of(A, &["own=a", "shared=1; Domain=zone.test"]);
    assert_eq!(store(&mut jar, B, "own=b"), Stored::Kept);
    for (url, expected) in [
        (A, "own=a; shared=1"),
        (B, "shared=1; own=b"),
        ("http://zone.test/", "shared=1"),
        ("http://x.a.zone.test/", "shared=1"),
        ("http://otherzone.test/", ""),
    ] {
        assert_eq!(sent(&jar, url), expected, "{url}");
    }
    assert_eq!(store(&mut jar, B, "own=; Max-Age=0"), Stored::Deleted);
    assert_eq!(
        store(&mut jar, B, "own=; Max-Age=0; Domain=a.zone.test"),
        Stored::Ignored(Reason::ForeignDomain)
    );
    assert_eq!(sent(&jar, A), "own=a; shared=1");
    store(&mut jar, B, "shared=; Max-Age=0");
    assert_eq!(sent(&jar, A), "own=a; shared=1", "that was of the host");
    store(&mut jar, B, "shared=; Max-Age=0; Domain=zone.test");
    assert_eq!(sent(&jar, A), "own=a");
}

#[test]
fn secure_cookies_are_left_alone() {
    let base = jar_of(
        "https://www.zone.test/",
        &["s=1; Secure; Path=/login", "h=1; Secure; Domain=zone.test"],
    );
    for (url, line, expected) in [
        (
            "http://www.zone.test/",
            "s=2; Path=/login",
            Some(Reason::SecureExists),
        ),
        (
            "http://www.zone.test/",
            "s=2; Path=/login/en",
            Some(Reason::SecureExists),
        ),
        (
            "http://www.zone.test/",
            "s=; Max-Age=0; Path=/login",
            Some(Reason::SecureExists),
        ),
        ("http://www.zone.test/", "s=2; Path=/", None),
        ("http://www.zone.test/", "s=2; Path=/loginx", None),
        ("http://www.zone.test/", "S=2; Path=/login", None),
        (
            "http://zone.test/",
            "s=2; Path=/login; Domain=zone.test",
            Some(Reason::SecureExists),
        ),
        ("http://zone.test/", "h=2", Some(Reason::SecureExists)),
        ("http://x.zone.test/", "h=2", Some(Reason::SecureExists)),
        ("http://x.zone.test/", "s=2; Path=/login", None),
        ("https://www.zone.test/", "s=2; Path=/login", None),
    ] {
        let stored = store(&mut base.clone(), url, line);
        assert_eq!(
            stored,
            expected.map_or(Stored::Kept, Stored::Ignored),
            "{url} {line}"
        );
    }
    let mut jar = base;
    jar.store(
        b"t=1; Secure; Max-Age=5",
        &origin("https://www.zone.test/"),
        NOW,
    );
    let later = jar.store(b"t=2", &origin("http://www.zone.test/"), NOW + 5);
    assert_eq!(later, Stored::Kept, "the secure one has expired");
}

#[test]
fn prefixes_promise_where_a_cookie_is_from() {
    let (secure, host) = (Reason::SecurePrefix, Reason::HostPrefix);
    for (line, expected) in [
        ("__Secure-a=1; Secure", None),
        ("__Secure-a=1; Secure; Domain=zone.test", None),
        ("__Secure-a=1", Some(secure)),
        ("__sEcure-a=1", Some(secure)),
        ("__Host-a=1; Secure; Path=/", None),
        ("__Host-a=1; Secure; Path=/; Domain=", None),
        ("__Host-a=1; Path=/", Some(host)),
        ("__Host-a=1; Secure", Some(host)),
        ("__Host-a=1; Secure; Path=/x", Some(host)),
        (
            "__Host-a=1; Secure; Path=/; Domain=www.zone.test",
            Some(host),
        ),
        ("__HOST-a=1; Secure; Path=/; Domain=zone.test", Some(host)),
        ("__Hosta=1", None),
        ("é__Secure-=1", None),
        ("__Secureé=1", None),
        ("a=1; SameSite=None", Some(Reason::SameSite)),
        ("a=1; SameSite=None; Secure", None),
        ("a=1; SameSite=Strict", None),
    ] {
        let stored = store(&mut Jar::default(), "https://www.zone.test/", line);
        assert_eq!(
            stored,
            expected.map_or(Stored::Kept, Stored::Ignored),
            "{line}"
        );
    }
    let by_http = store(
        &mut Jar::default(),
        "http://www.zone.test/",
        "__Secure-a=1; Secure",
    );
    assert_eq!(by_http, Stored::Ignored(Reason::InsecureOrigin));
}

#[test]
fn the_oldest_make_room() {
    // J23
    let url = origin("http://app.test/");
    let mut jar = Jar::default();
    for n in 0..51_u64 {
        let line = format!("c{n}=1");
        assert_eq!(jar.store(line.as_bytes(), &url, NOW + n), Stored::Kept);
    }
    assert_eq!((jar.len(), jar.evicted()), (50, 1));
    let header = jar.header(&url, NOW + 60).unwrap();
    assert!(header.starts_with("c1=1; ") && header.ends_with("; c50=1"));

    let mut jar = reread(&jar);
    let large = format!("large={}", "x".repeat(20_000));
    let stored = jar.store(large.as_bytes(), &url, NOW + 60);
    assert_eq!(stored, Stored::Ignored(Reason::TooLarge));
    assert!(!jar.changed() && jar.len() == 50 && jar.evicted() == 0);
}

#[test]
fn the_expired_make_room_first() {
    let url = origin("http://app.test/");
    let mut jar = limited(3, 1000);
    for line in ["a=1", "b=2; Max-Age=5", "c=3"] {
        jar.store(line.as_bytes(), &url, NOW);
    }
    jar.store(b"d=4", &url, NOW + 5);
    assert_eq!(jar.header(&url, NOW + 5).unwrap(), "a=1; c=3; d=4");
    assert_eq!(jar.evicted(), 0);
}

#[test]
fn the_size_is_that_of_all_texts() {
    let url = "http://app.test/";
    // Each: 1 + 10 + 8 + 1 bytes.
    let mut jar = limited(50, 60);
    for name in ["a", "b", "c"] {
        assert_eq!(
            store(&mut jar, url, &format!("{name}=0123456789")),
            Stored::Kept
        );
    }
    assert_eq!((jar.len(), jar.evicted()), (3, 0));
    let mut jar = reread(&jar).with_limits(Limits { max: 50, size: 60 });
    store(&mut jar, url, "a=01234567890");
    assert_eq!(
        sent(&jar, url),
        "a=01234567890; c=0123456789",
        "what was just set goes last, however old"
    );
    let whole = format!("w={}", "x".repeat(51));
    assert_eq!(
        store(&mut jar, url, &whole),
        Stored::Ignored(Reason::TooLarge)
    );
    assert_eq!(store(&mut jar, url, &whole[..52]), Stored::Kept);
    assert_eq!((sent(&jar, url), jar.len()), (whole[..52].to_owned(), 1));
}

#[test]
fn malformed_lines_are_ignored() {
    // J30
    for (line, reason) in [
        (&b""[..], Reason::NoName),
        (b"novalue", Reason::NoName),
        (b"=value", Reason::NoName),
        (b"; Path=/", Reason::NoName),
        (b"a=b\0", Reason::ControlCharacter),
        (b"a=b\r\nX: y", Reason::ControlCharacter),
        (b"a=b; Path=/\x7f", Reason::ControlCharacter),
        (b"a=b\xff", Reason::NotUtf8),
    ] {
        let mut jar = Jar::default();
        let stored = jar.store(line, &origin("http://app.test/"), NOW);
        assert_eq!(stored, Stored::Ignored(reason), "{line:?}");
        assert!(jar.is_empty() && !jar.changed());
    }
}

#[test]
fn it_ends_with_the_session() {
    // J33
    for place in [Place::Cookie, Place::Server] {
        let mut p = policy(place);
        p.times.absolute = 2;
        let jar = jar_of(
            "http://app.test/",
            &["a=\"ä/\\\"; Path=/€", "b=1; Max-Age=9"],
        );
        let mut session = Session::new("default", None);
        assert!(session.set_stored_jar(Some(jar.to_json())));
        let sealed = session.seal(&p, id(1), &UNBOUND, NOW).unwrap();

        let mut opened = reopen(&p, &sealed, &UNBOUND, NOW + 2).unwrap();
        let again = Jar::from_json(opened.stored_jar().unwrap()).unwrap();
        assert_eq!(again.to_json(), jar.to_json());
        assert_eq!(sent(&again, "http://app.test/€"), "a=\"ä/\\\"; b=1");
        assert!(
            !opened.set_stored_jar(Some(again.to_json())),
            "it is the same value"
        );

        let refusal = reopen(&p, &sealed, &UNBOUND, NOW + 3).unwrap_err();
        assert_eq!(refusal, Refusal::ExpiredAbsolute);
        assert_eq!(Session::new("default", None).stored_jar(), None);
    }
}

#[test]
fn only_changes_count() {
    let url = "http://app.test/";
    let base = jar_of(url, &["a=1; Max-Age=100", "b=2"]);
    assert!(base.changed() && !reread(&base).changed());
    for (line, expected) in [
        ("a=1; Max-Age=100", false),
        ("a=1; HttpOnly; Max-Age=100", false),
        ("b=2; Path=/", false),
        ("x=; Max-Age=0", false),
        ("nonsense", false),
        ("a=2; Max-Age=100", true),
        ("a=1; Max-Age=101", true),
        ("a=1", true),
        ("b=2; Path=/x", true),
        ("b=2; Domain=app.test", true),
        ("b=; Max-Age=0", true),
    ] {
        let mut jar = reread(&base);
        store(&mut jar, url, line);
        assert_eq!(jar.changed(), expected, "{line}");
        assert_eq!(jar.to_json() != base.to_json(), expected, "{line}");
    }
}

#[test]
fn parallel_requests_lose_nothing() {
    let url = "http://app.test/";
    let read = jar_of(url, &["a=1", "b=1", "c=1", "d=1"]).to_json();
    let (mut first, mut second) = (
        Jar::from_json(&read).unwrap(),
        Jar::from_json(&read).unwrap(),
    );
    for line in ["a=first", "b=; Max-Age=0", "x=first", "d=first", "y=first"] {
        store(&mut first, url, line);
    }
    for line in [
        "c=second",
        "d=; Max-Age=0",
        "z=second",
        "y=; Max-Age=0",
        "a=1",
    ] {
        store(&mut second, url, line);
    }
    // The first has saved; the second finds that and merges.
    let mut saved = reread(&first);
    saved.merge(&second, NOW);
    assert!(saved.changed());
    assert_eq!(sent(&saved, url), "a=1; c=second; x=first; z=second");

    let mut saved = reread(&second);
    saved.merge(&first, NOW);
    assert_eq!(
        sent(&saved, url),
        "a=first; c=second; z=second; d=first; x=first; y=first"
    );

    let mut saved = reread(&first);
    saved.merge(&Jar::from_json(&read).unwrap(), NOW);
    assert!(!saved.changed(), "nothing was done to it");
    assert_eq!(saved.to_json(), first.to_json());
}

#[test]
fn a_cookie_that_was_ended_and_set_again_is_new() {
    let url = origin("http://app.test/");
    let read = jar_of("http://app.test/", &["a=1", "b=1"]);
    let mut jar = reread(&read);
    for line in [&b"a=; Max-Age=0"[..], b"a=2"] {
        jar.store(line, &url, NOW + 1);
    }
    let mut merged = reread(&read);
    merged.merge(&jar, NOW + 1);
    for jar in [jar, merged] {
        assert_eq!(jar.header(&url, NOW + 1).as_deref(), Some("b=1; a=2"));
    }
}

#[test]
fn a_merge_keeps_ages_and_limits() {
    let url = origin("http://app.test/");
    let limits = Limits { max: 3, size: 1000 };
    let mut one = limited(3, 1000);
    let mut other = one.clone();
    for (line, at) in [("a=1", 2), ("b=1", 4), ("e=1; Max-Age=5", 5)] {
        one.store(line.as_bytes(), &url, NOW + at);
    }
    for (line, at) in [("c=2", 1), ("a=2", 3)] {
        other.store(line.as_bytes(), &url, NOW + at);
    }
    let mut merged = reread(&one).with_limits(limits);
    merged.merge(&other, NOW + 10);
    assert_eq!(merged.header(&url, NOW).unwrap(), "c=2; a=2; b=1");
    assert_eq!(merged.evicted(), 0, "one had expired");

    let mut merged = reread(&one).with_limits(limits);
    merged.merge(&other, NOW + 9);
    assert_eq!(merged.header(&url, NOW).unwrap(), "c=2; a=2; e=1");
    assert_eq!(merged.evicted(), 1, "the oldest that was not merged");
}

#[test]
fn other_json_libraries_leave_it_as_it_is() {
    // What lua-cjson makes of a jar, and of an empty one.
    let by_lua = r#"[["sid","a\/b\"c\tä",".x","\/app\/€",1700000000,-1,3],["n","v","h","\/",1700000001,1734560001,2]]"#;
    let own = json!([
        ["sid", "a/b\"c\tä", ".x", "/app/€", 1_700_000_000, -1, 3],
        ["n", "v", "h", "/", 1_700_000_001, 1_734_560_001, 2]
    ]);
    let jar = Jar::from_json(&serde_json::from_str(by_lua).unwrap()).unwrap();
    assert_eq!(jar.to_json(), own);
    let upside_down = json!([
        ["b", "2", "app.test", "/", 2, -1, 2],
        ["a", "1", "app.test", "/", 1, -1, 2]
    ]);
    let jar = Jar::from_json(&upside_down).unwrap();
    assert_eq!(sent(&jar, "http://app.test/"), "a=1; b=2");
    for empty in [json!([]), json!({}), Value::Null] {
        assert!(Jar::from_json(&empty).unwrap().is_empty());
    }
    assert_eq!(Jar::default().to_json(), json!([]));
}

#[test]
fn what_is_no_jar_is_refused() {
    let cookie = json!(["a", "b", "app.test", "/", 1, -1, 2]);
    assert_eq!(Jar::from_json(&json!([cookie])).unwrap().len(), 1);
    for json in [json!("x"), json!(1), json!(true), json!({"a": "b"})] {
        assert_eq!(Jar::from_json(&json).unwrap_err(), JarError::List, "{json}");
    }
    for field in 0..7 {
        let mut wrong = cookie.clone();
        wrong[field] = json!([]);
        let error = Jar::from_json(&json!([cookie, wrong])).unwrap_err();
        assert_eq!(error, JarError::Cookie, "field {field}");
    }
    for json in [json!([1]), json!([[]]), json!([["a", "b"]]), json!([null])] {
        assert_eq!(
            Jar::from_json(&json).unwrap_err(),
            JarError::Cookie,
            "{json}"
        );
    }
    for (field, text) in [
        (0, ""),
        (0, "a=b"),
        (0, "a;b"),
        (0, "a\n"),
        (1, "b; c=d"),
        (1, "\u{7f}"),
    ] {
        let mut wrong = cookie.clone();
        wrong[field] = json!(text);
        let error = Jar::from_json(&json!([wrong])).unwrap_err();
        assert_eq!(error, JarError::Text, "{text:?}");
    }
}

#[test]
fn the_key_is_reserved() {
    assert!(is_reserved(JAR_KEY) && is_reserved("\u{1}") && is_reserved("\u{1}jar.0"));
    assert!(!is_reserved("jar") && !is_reserved("") && !is_reserved("a\u{1}jar"));
    // A control header can spell it.
    let patch: Value = serde_json::from_str(r#"{"\u0001jar": null}"#).unwrap();
    assert!(
        patch
            .as_object()
            .unwrap()
            .keys()
            .all(|key| is_reserved(key))
    );
}

#[test]
fn values_are_not_printed() {
    let jar = jar_of("http://app.test/", &["sid=secret", "b=secret"]);
    assert_eq!(format!("{jar:?}"), r#"Jar["sid", "b"]"#);
}

#[test]
fn what_goes_with_a_request_has_names() {
    let mut jar = jar_of(
        "https://www.app.test/a/",
        &["a=1", "a=2; Path=/", "b=3; Path=/b"],
    );
    store(
        &mut jar,
        "https://www.app.test/",
        "c=4; Domain=app.test; Secure",
    );
    let sent = jar.cookies_for(&origin("https://www.app.test/a/x"), NOW);
    assert_eq!(sent.names().collect::<Vec<_>>(), ["a", "a", "c"]);
    assert_eq!(sent.header().unwrap(), "a=1; a=2; c=4");
    assert!(sent.has_name(b"a") && sent.has_name(b"c"));
    for other in [&b"b"[..], b"", b"A", b"aa", b"a\xff"] {
        assert!(!sent.has_name(other));
    }
    assert!(!sent.is_empty() && !format!("{sent:?}").contains('1'));

    let none = jar.cookies_for(&origin("https://other.test/"), NOW);
    assert!(none.is_empty() && none.header().is_none());
    let none = Jar::default();
    assert!(
        none.cookies_for(&origin("https://app.test/"), NOW)
            .is_empty()
    );
}

#[test]
fn after_a_save_changes_count_from_there() {
    let url = "https://app.test/";
    let mut own = reread(&jar_of(url, &["a=1", "b=1"])).with_limits(Limits {
        max: 2,
        ..Limits::default()
    });
    store(&mut own, url, "c=2");
    store(&mut own, url, "b=; Max-Age=0");
    assert_eq!((own.changed(), own.evicted()), (true, 1));
    own.committed();
    assert_eq!((own.changed(), own.evicted()), (false, 0));

    let theirs = jar_of(url, &["b=3", "c=3"]).to_json();
    let merged = own.rebased(Some(&theirs), NOW);
    assert_eq!(
        (merged.to_json(), merged.changed()),
        (theirs.clone(), false)
    );
    store(&mut own, url, "c=4");
    let mut merged = own.rebased(Some(&theirs), NOW);
    assert_eq!(sent(&merged, url), "b=3; c=4");
    assert!(merged.changed());
    store(&mut merged, url, "d=5");
    assert_eq!(sent(&merged, url), "c=4; d=5", "the limits are the same");

    for no_jar in [None, Some(&json!("no jar"))] {
        assert_eq!(sent(&own.rebased(no_jar, NOW), url), "c=4");
    }
}
