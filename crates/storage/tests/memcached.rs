//! The memcached storage against memcached.

#[path = "common/clock.rs"]
mod clock;
mod common;
#[path = "common/parrot.rs"]
mod parrot;
#[path = "common/records.rs"]
mod records;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use clock::Ticking;
use common::certificates::{Authority, Identity};
use common::proxy::{Fault, Proxy};
use common::{Process, Scratch, free_port, now, wait_until};
use parrot::Parrot;
use records::{get, get_by, key, list, recovers, set, soon, within, write};
use storage::config::Secret;
use storage::memcached::{Memcached, MemcachedConfig};
use storage::{Common, Error, MetaEntry, RecordId, RecordWrite, Server, Storage, Tls, conformance};

/// memcached on a port of its own.
struct Running {
    process: Process,
    port: u16,
}

fn start(options: &[&str]) -> Running {
    start_on(free_port(), options)
}

fn start_on(port: u16, options: &[&str]) -> Running {
    let mut command = Command::new("memcached");
    command.args(["-u", "root", "-l", "127.0.0.1", "-t", "1"]);
    command.args(["-p", &port.to_string()]).args(options);
    let process = Process::start(&mut command, "memcached");
    wait_until("memcached listens", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    Running { process, port }
}

fn storage_at(port: u16, common: Common) -> Memcached {
    let server = Server::Tcp {
        host: "127.0.0.1".into(),
        port,
    };
    Memcached::new(MemcachedConfig { common, server }).expect("the lines are right")
}

fn plain(port: u16) -> Memcached {
    storage_at(port, Common::default())
}

/// Says something to the server itself; what it answers up to a line `end`.
fn say(port: u16, question: &str, end: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("memcached is there");
    stream.write_all(question.as_bytes()).expect("it listens");
    let mut answer = String::new();
    let mut byte = [0];
    while !answer.ends_with(&format!("{end}\r\n")) {
        assert_eq!(stream.read(&mut byte).ok(), Some(1), "only {answer:?}");
        answer.push(char::from(byte[0]));
    }
    answer
}

#[tokio::test]
async fn it_keeps_the_rules() {
    let server = start(&[]);
    let result = conformance::run(&plain(server.port), &Ticking).await;
    assert_eq!(result, Ok(()));
}

#[tokio::test]
async fn the_reference_client_finds_the_records_and_the_other_way_round() {
    let server = start(&[]);
    let storage = storage_at(
        server.port,
        Common {
            prefix: Some("p".into()),
            suffix: Some("s".into()),
            ..Common::default()
        },
    );
    let (a, b) = (key('a'), key('b'));
    let ann = MetaEntry::new("aud", "ann", false);
    let listed = RecordWrite {
        metadata: vec![ann.clone()],
        ..write(&a, r#"["A"]"#)
    };
    storage.set(&listed, soon()).await.expect("it is stored");
    let name = format!("p%3Asid%3A{a}%3As");
    let answer = say(server.port, &format!("get {name}\r\n"), "END");
    assert_eq!(answer, format!("VALUE {name} 0 5\r\n[\"A\"]\r\nEND\r\n"));

    let question = format!("set p%3Asid%3A{b}%3As 0 100 5\r\n[\"B\"]\r\n");
    say(server.port, &question, "STORED");
    assert_eq!(get(&storage, &b).await, Ok(Some(r#"["B"]"#.into())));

    let entries = format!("{b}:{};", "_____wA");
    let question = format!(
        "append p%3Asid%3AYXVk%3AYW5u%3As 0 0 {}\r\n{entries}\r\n",
        entries.len()
    );
    say(server.port, &question, "STORED");
    assert_eq!(list(&storage, &ann).await, Ok(vec![a, b]));
}

#[tokio::test]
async fn a_life_of_more_than_thirty_days_is_one() {
    let server = start(&[]);
    let storage = plain(server.port);
    let ttl = 60 * 24 * 3600;
    let long = RecordWrite {
        ttl,
        ..write(&key('a'), "long")
    };
    storage.set(&long, soon()).await.expect("it is stored");
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("long".into())));
    let answer = say(server.port, &format!("mg sid%3A{} t\r\n", key('a')), "");
    let left: u32 = answer
        .trim()
        .trim_start_matches("HD t")
        .parse()
        .expect(&answer);
    assert!((ttl - 5..=ttl).contains(&left), "{answer}");
}

#[tokio::test]
async fn a_stale_ttl_of_nothing_ends_the_old_record_at_once() {
    let server = start(&[]);
    let storage = plain(server.port);
    set(&storage, &key('a'), "old").await.expect("it is stored");
    let replacing = RecordWrite {
        old_key: Some(key('a')),
        stale_ttl: 0,
        ..write(&key('b'), "new")
    };
    storage.set(&replacing, soon()).await.expect("it is stored");
    assert_eq!(get(&storage, &key('a')).await, Ok(None));
    assert_eq!(get(&storage, &key('b')).await, Ok(Some("new".into())));
}

#[tokio::test]
async fn a_record_too_large_is_said_to_be() {
    let server = start(&["-I", "512k"]);
    let storage = plain(server.port);
    let value = "x".repeat(600_000);
    let error = Error::TooLarge {
        size: value.len(),
        limit: 512 * 1024,
    };
    assert_eq!(set(&storage, &key('a'), &value).await, Err(error));
    assert_eq!(set(&storage, &key('a'), "small").await, Ok(()));
}

#[tokio::test]
async fn a_full_server_says_so_and_keeps_what_it_has() {
    let server = start(&["-M", "-m", "2"]);
    let storage = plain(server.port);
    set(&storage, &key('a'), "first")
        .await
        .expect("there is room");
    let value = "x".repeat(400_000);
    let mut results = Vec::new();
    for letter in 'b'..'z' {
        results.push(set(&storage, &key(letter), &value).await);
    }
    assert!(results.contains(&Err(Error::Full)), "{results:?}");
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("first".into())));
}

#[tokio::test]
async fn two_prefixes_on_one_server_are_two_storages() {
    let server = start(&[]);
    let [one, two] = ["one", "two"].map(|prefix| {
        let prefix = Some(prefix.to_owned());
        storage_at(
            server.port,
            Common {
                prefix,
                ..Common::default()
            },
        )
    });
    set(&one, &key('a'), "one's").await.expect("it is stored");
    assert_eq!(get(&two, &key('a')).await, Ok(None));
    set(&two, &key('a'), "two's").await.expect("it is stored");
    assert_eq!(get(&one, &key('a')).await, Ok(Some("one's".into())));
}

#[tokio::test]
async fn a_list_that_many_change_loses_nobody() {
    let server = start(&[]);
    let storage = Arc::new(plain(server.port));
    let ann = MetaEntry::new("aud", "ann", false);
    let keys: Vec<String> = ('a'..='h').map(key).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for key in keys.clone() {
        let (storage, metadata) = (storage.clone(), vec![ann.clone()]);
        tasks.spawn(async move {
            let listed = RecordWrite {
                metadata,
                ..write(&key, "x")
            };
            storage.set(&listed, soon()).await
        });
    }
    assert!(
        tasks
            .join_all()
            .await
            .into_iter()
            .all(|result| result == Ok(()))
    );
    assert_eq!(list(&*storage, &ann).await, Ok(keys));
}

#[tokio::test]
async fn a_subject_too_long_for_a_name_costs_its_list_and_not_the_session() {
    let server = start(&[]);
    let storage = plain(server.port);
    let long = MetaEntry::new("aud", &"s".repeat(300), false);
    let listed = RecordWrite {
        metadata: vec![long.clone()],
        ..write(&key('a'), "x")
    };
    assert_eq!(storage.set(&listed, soon()).await, Ok(()));
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("x".into())));
    assert!(matches!(
        list(&storage, &long).await,
        Err(Error::Refused(_))
    ));
}

#[tokio::test]
async fn many_at_once_over_few_connections_get_each_their_own() {
    let server = start(&[]);
    let few = Common {
        pool_size: 3,
        ..Common::default()
    };
    let storage = Arc::new(storage_at(server.port, few));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..200u32 {
        let storage = storage.clone();
        tasks.spawn(async move {
            let key = format!("{number:0>43}");
            let value = "v".repeat(1 + 100 * number as usize % 5000) + &number.to_string();
            set(&*storage, &key, &value).await?;
            // Some are given up half-way.
            if number % 7 == 0 {
                let record = RecordId {
                    cookie: "sid",
                    key: &key,
                };
                let mut given_up = storage.get(record, now(), soon());
                assert!(
                    given_up
                        .as_mut()
                        .poll(&mut Context::from_waker(Waker::noop()))
                        .is_pending()
                );
            }
            Ok::<_, Error>(get(&*storage, &key).await? == Some(value))
        });
    }
    let results = tasks.join_all().await;
    assert!(
        results.iter().all(|result| *result == Ok(true)),
        "{results:?}"
    );
    let stats = say(server.port, "stats\r\n", "END");
    let connections = stats
        .lines()
        .find(|line| line.starts_with("STAT curr_connections"));
    let connections: u32 = connections
        .and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .expect(&stats);
    // The server counts its listening sockets and the one that asks as well.
    assert!(connections <= 3 + 3, "{connections} connections");
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_at_once_and_found_again() {
    let port = free_port();
    let storage = plain(port);
    let began = Instant::now();
    for _ in 0..100 {
        let result = get(&storage, &key('a')).await;
        assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    }
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "{:?}",
        began.elapsed()
    );
    let server = start_on(port, &[]);
    assert!(recovers(&storage).await);
    assert_eq!(set(&storage, &key('a'), "x").await, Ok(()));

    drop(server);
    let result = get(&storage, &key('a')).await;
    assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    let _server = start_on(port, &[]);
    assert!(recovers(&storage).await);
}

#[tokio::test]
async fn a_restart_between_two_operations_is_not_noticed() {
    let server = start(&[]);
    let port = server.port;
    let storage = plain(port);
    assert_eq!(set(&storage, &key('a'), "x").await, Ok(()));
    drop(server);
    let _server = start_on(port, &[]);
    assert_eq!(set(&storage, &key('a'), "y").await, Ok(()));
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("y".into())));
}

#[tokio::test]
async fn a_frozen_server_costs_the_deadline_and_no_more() {
    let frozen = start(&[]);
    let well = start(&[]);
    let (storage, other) = (plain(frozen.port), plain(well.port));
    assert_eq!(set(&storage, &key('a'), "x").await, Ok(()));
    frozen.process.freeze();
    for _ in 0..2 {
        let began = Instant::now();
        assert_eq!(
            get_by(&storage, &key('a'), within(200)).await,
            Err(Error::Timeout)
        );
        let took = began.elapsed();
        assert!(
            took >= Duration::from_millis(190) && took < Duration::from_millis(400),
            "{took:?}"
        );
    }
    assert_eq!(get(&other, &key('a')).await, Ok(None));
    frozen.process.thaw();
    assert!(recovers(&storage).await);
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("x".into())));
}

#[tokio::test]
async fn faults_of_the_network() {
    let server = start(&[]);
    let mut proxy = Proxy::start(server.port).await;
    let storage = plain(proxy.port());
    assert_eq!(set(&storage, &key('a'), "value").await, Ok(()));

    for at in [1, 10, 60, 70] {
        proxy.set(Fault::Cut(at));
        let result = get(&storage, &key('a')).await;
        assert!(
            matches!(result, Err(Error::Unavailable(_))),
            "cut at {at}: {result:?}"
        );
        proxy.set(Fault::None);
        assert_eq!(get(&storage, &key('a')).await, Ok(Some("value".into())));
    }

    proxy.set(Fault::Drip(20, Duration::from_millis(10)));
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("value".into())));
    proxy.set(Fault::Drip(1, Duration::from_millis(50)));
    let began = Instant::now();
    assert_eq!(
        get_by(&storage, &key('a'), within(200)).await,
        Err(Error::Timeout)
    );
    assert!(began.elapsed() < Duration::from_millis(400));

    proxy.refuse().await;
    proxy.set(Fault::None);
    let result = get(&storage, &key('a')).await;
    assert!(matches!(result, Err(Error::Unavailable(_))), "{result:?}");
    proxy.listen().await;
    assert!(recovers(&storage).await);
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("value".into())));
}

#[tokio::test]
async fn an_answer_to_an_operation_that_was_given_up_reaches_nobody() {
    let server = start(&[]);
    let proxy = Proxy::start(server.port).await;
    let storage = storage_at(
        proxy.port(),
        Common {
            pool_size: 1,
            ..Common::default()
        },
    );
    set(&storage, &key('a'), "a's").await.expect("it is stored");
    set(&storage, &key('b'), "b's").await.expect("it is stored");
    proxy.set(Fault::Drip(1, Duration::from_millis(1)));
    {
        let a = key('a');
        let given_up = pin!(get(&storage, &a));
        let _ = tokio::time::timeout(Duration::from_millis(20), given_up).await;
    }
    proxy.set(Fault::None);
    assert_eq!(get(&storage, &key('b')).await, Ok(Some("b's".into())));
}

#[tokio::test]
async fn a_record_that_is_stored_is_a_success_whatever_follows() {
    let server = start(&[]);
    let proxy = Proxy::start(server.port).await;
    let storage = plain(proxy.port());
    // The answers to the record, and then nothing.
    let size = "STORED\r\nEN\r\n".len();
    proxy.set(Fault::Cut(size));
    let listed = RecordWrite {
        old_key: Some(key('o')),
        metadata: vec![MetaEntry::new("aud", "ann", false)],
        ..write(&key('a'), "x")
    };
    assert_eq!(storage.set(&listed, within(300)).await, Ok(()));
}

#[tokio::test]
async fn passwords() {
    let scratch = Scratch::new();
    let file = scratch.write("passwords", "ann:right\n");
    let server = start(&["-Y", &file.display().to_string()]);
    let with = |password: Option<&str>| {
        let common = Common {
            username: password.map(|_| "ann".to_owned()),
            password: password.map(|text| Secret::new(text.to_owned())),
            ..Common::default()
        };
        storage_at(server.port, common)
    };
    let right = with(Some("right"));
    assert_eq!(set(&right, &key('a'), "x").await, Ok(()));
    assert_eq!(get(&right, &key('a')).await, Ok(Some("x".into())));
    for wrong in [Some("wrong"), None] {
        let result = get(&with(wrong), &key('a')).await;
        let Err(Error::Refused(text)) = result else {
            panic!("{wrong:?}: {result:?}");
        };
        assert!(
            !text.contains("wrong ann") && !text.contains("ann wrong"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_password_for_a_server_without_is_not_kept_by_it() {
    let server = start(&[]);
    let common = Common {
        username: Some("ann".into()),
        password: Some(Secret::new("right".into())),
        ..Common::default()
    };
    let storage = storage_at(server.port, common);
    assert_eq!(get(&storage, &key('a')).await, Ok(None));
    assert_eq!(say(server.port, "get login\r\n", "END"), "END\r\n");
}

#[tokio::test]
async fn a_unix_socket() {
    let scratch = Scratch::new();
    let path = scratch.path().join("socket");
    let mut command = Command::new("memcached");
    command.args(["-u", "root", "-s"]).arg(&path);
    let _process = Process::start(&mut command, "memcached");
    let server = Server::Unix(path);
    let common = Common::default();
    let storage = Memcached::new(MemcachedConfig { common, server }).expect("the lines are right");
    assert!(recovers(&storage).await);
    assert_eq!(set(&storage, &key('a'), "x").await, Ok(()));
    assert_eq!(get(&storage, &key('a')).await, Ok(Some("x".into())));
}

fn start_tls(identity: &Identity, scratch: &Scratch, name: &str) -> Running {
    let (certificate, key) = identity.write(scratch, name);
    let certificate = format!("ssl_chain_cert={}", certificate.display());
    let key = format!("ssl_key={}", key.display());
    start(&["-Z", "-o", &certificate, "-o", &key])
}

fn tls(port: u16, trusted: &Authority, name: &str, verify: bool) -> Memcached {
    let tls = Tls {
        verify,
        trusted: Some(trusted.pem().into()),
        name: Some(name.to_owned()),
        identity: None,
    };
    storage_at(
        port,
        Common {
            tls: Some(tls),
            ..Common::default()
        },
    )
}

#[tokio::test]
async fn tls_trusts_the_right_certificate_only() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let scratch = Scratch::new();
    let server = start_tls(&ours.sign("memcached.test"), &scratch, "good");
    let good = tls(server.port, &ours, "memcached.test", true);
    assert_eq!(set(&good, &key('a'), "x").await, Ok(()));
    assert_eq!(get(&good, &key('a')).await, Ok(Some("x".into())));

    let unknown = get(
        &tls(server.port, &theirs, "memcached.test", true),
        &key('a'),
    )
    .await;
    assert!(matches!(unknown, Err(Error::Refused(_))), "{unknown:?}");
    let wrong = get(&tls(server.port, &ours, "other.test", true), &key('a')).await;
    assert!(matches!(wrong, Err(Error::Refused(_))), "{wrong:?}");
    let trusting = tls(server.port, &theirs, "other.test", false);
    assert_eq!(get(&trusting, &key('a')).await, Ok(Some("x".into())));

    let expired = start_tls(&ours.sign_expired("memcached.test"), &scratch, "expired");
    let result = get(&tls(expired.port, &ours, "memcached.test", true), &key('a')).await;
    assert!(matches!(result, Err(Error::Refused(_))), "{result:?}");
}

#[tokio::test]
async fn a_server_without_tls_is_not_spoken_to() {
    let server = start(&[]);
    let storage = tls(server.port, &Authority::new(), "memcached.test", true);
    let result = get_by(&storage, &key('a'), within(500)).await;
    assert!(result.is_err(), "{result:?}");
}

#[tokio::test]
async fn what_is_not_understood_is_no_absent_record() {
    let long_line: &str = "x".repeat(10_000).leak();
    for garbage in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "ERROR\r\n",
        "VALUE other 0 5\r\nvalue\r\nEND\r\n",
        "VALUE sid 0 99999999999999999999\r\n",
        "\r\n",
        "END\n\r\n",
        long_line,
    ] {
        let parrot = Parrot::saying(garbage).await;
        let result = get(&plain(parrot.port), &key('a')).await;
        assert!(
            matches!(result, Err(Error::BadReply(_))),
            "{garbage}: {result:?}"
        );
    }
}

#[tokio::test]
async fn what_follows_on_an_answer_that_is_none_is_nobodys() {
    let a = key('a');
    let answer = format!("nonsense\r\nVALUE sid%3A{a} 0 5\r\nwrong\r\nEND\r\n");
    let parrot = Parrot::saying(answer.leak()).await;
    let storage = plain(parrot.port);
    for _ in 0..2 {
        let result = get(&storage, &a).await;
        assert!(matches!(result, Err(Error::BadReply(_))), "{result:?}");
    }
}

#[tokio::test]
async fn while_a_server_does_not_let_us_in_only_one_in_a_while_tries() {
    let parrot = Parrot::saying("this is no TLS\r\n").await;
    let storage = tls(parrot.port, &Authority::new(), "memcached.test", true);
    for _ in 0..50 {
        assert!(get(&storage, &key('a')).await.is_err());
    }
    assert_eq!(parrot.visits(), 1);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(get(&storage, &key('a')).await.is_err());
    assert_eq!(parrot.visits(), 2);
}
