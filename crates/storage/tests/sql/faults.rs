//! Servers and networks that fail.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use storage::config::Secret;
use storage::{Error, Storage, Tls};

use super::proxy::{Fault, Proxy};
use super::server::{Database, Dialect, PASSWORD, Settings, is_root};
use crate::common::certificates::{Authority, Identity};
use crate::records::{get, get_by, key, recovers, set, soon, within, write};

fn is_unavailable<T: std::fmt::Debug>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Unavailable(_)))
}

pub async fn a_server_that_is_down(dialect: Dialect) {
    let mut database = Database::start(dialect);
    database.kill();
    let storage = database.storage();
    let began = Instant::now();
    for _ in 0..50 {
        let result = get(&*storage, &key('a')).await;
        assert!(is_unavailable(&result), "{result:?}");
    }
    assert!(
        began.elapsed() < Duration::from_millis(500),
        "it fails fast"
    );
    database.boot();
    assert!(
        recovers(&*storage).await,
        "it works once the server is there"
    );
    set(&*storage, &key('a'), "x").await.expect("it is written");

    database.kill();
    let result = get(&*storage, &key('a')).await;
    assert!(is_unavailable(&result), "{result:?}");
    database.boot();
    assert!(recovers(&*storage).await);
    assert_eq!(
        get(&*storage, &key('a')).await,
        Ok(Some("x".into())),
        "nothing is lost"
    );
}

pub async fn a_restart_that_nobody_noticed(dialect: Dialect) {
    let mut database = Database::start(dialect);
    let storage = database.storage();
    let keys: Vec<_> = ('a'..='f').map(key).collect();
    let saved = join_all(keys.iter().map(|key| set(&*storage, key, "x"))).await;
    assert!(saved.iter().all(Result::is_ok), "{saved:?}");
    // A connection that is just being made when the server goes is no idle one.
    tokio::time::sleep(Duration::from_millis(500)).await;
    database.kill();
    database.boot();
    assert_eq!(
        get(&*storage, &key('a')).await,
        Ok(Some("x".into())),
        "not even the first fails"
    );
    assert_eq!(get(&*storage, &key('b')).await, Ok(Some("x".into())));
}

pub async fn a_frozen_server(dialect: Dialect) {
    let database = Database::start(dialect);
    let storage = database.storage_with(|settings| settings.common.pool_size = 2);
    set(&*storage, &key('a'), "x").await.expect("it is written");
    database.freeze();
    let began = Instant::now();
    let (storage_, key_) = (&*storage, key('a'));
    let many = join_all((0..20).map(|_| get_by(storage_, &key_, within(300)))).await;
    let took = began.elapsed();
    database.thaw();
    assert!(
        many.iter().all(|result| *result == Err(Error::Timeout)),
        "{many:?}"
    );
    assert!((250..500).contains(&took.as_millis()), "{took:?}");
    assert!(recovers(&*storage).await);
    assert_eq!(get(&*storage, &key('a')).await, Ok(Some("x".into())));
}

pub async fn a_frozen_server_at_the_first_operation(dialect: Dialect) {
    let database = Database::start(dialect);
    let storage = database
        .storage_with(|settings| settings.common.connect_timeout = Duration::from_millis(300));
    database.freeze();
    let first = get_by(&*storage, &key('a'), within(200)).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    let began = Instant::now();
    let next = get_by(&*storage, &key('a'), within(200)).await;
    let took = began.elapsed();
    database.thaw();
    assert_eq!(first, Err(Error::Timeout));
    assert_eq!(next, Err(Error::Timeout));
    assert!(
        took < Duration::from_millis(50),
        "while it is away nobody waits: {took:?}"
    );
    assert!(recovers(&*storage).await);
}

pub async fn many_share_few_connections(dialect: Dialect) {
    let database = Database::start(dialect);
    let storage = database.storage_with(|settings| settings.common.pool_size = 2);
    let keys: Vec<_> = (0..100).map(|n| format!("{n:043}")).collect();
    let saved = join_all(keys.iter().map(|key| set(&*storage, key, key))).await;
    assert!(saved.iter().all(Result::is_ok), "{saved:?}");
    let read = join_all(keys.iter().map(|key| get(&*storage, key))).await;
    for (key, value) in keys.iter().zip(read) {
        assert_eq!(value.as_ref().map(Option::as_ref), Ok(Some(key)));
    }
    assert!(
        database.connections() <= 2,
        "{} connections",
        database.connections()
    );
}

pub async fn the_queue_is_bounded(dialect: Dialect) {
    let database = Database::start(dialect);
    let storage = database.storage_with(|settings| settings.common.pool_size = 2);
    set(&*storage, &key('a'), "x").await.expect("it is written");
    database.freeze();
    let (storage_, key_) = (&*storage, key('a'));
    let many = join_all((0..1100).map(|_| get_by(storage_, &key_, within(300)))).await;
    database.thaw();
    let refused = many.iter().filter(|result| is_unavailable(result)).count();
    assert!(
        (50..=76).contains(&refused),
        "{refused} of 1100 had no place in the queue"
    );
    let text = many.iter().find_map(|result| {
        result
            .as_ref()
            .err()
            .filter(|error| **error != Error::Timeout)
    });
    assert!(
        text.is_some_and(|error| error.to_string().contains("connections are busy")),
        "{text:?}"
    );
}

/// A client that goes away in the middle leaves nothing behind that the next would read.
pub async fn requests_that_go_away(dialect: Dialect) {
    let database = Database::start(dialect);
    let storage = database.storage_with(|settings| settings.common.pool_size = 2);
    let keys: Vec<_> = ('a'..='h').map(key).collect();
    for key in &keys {
        set(&*storage, key, key).await.expect("it is written");
    }
    for round in 0..200 {
        let asked = &keys[round % keys.len()];
        let mut given_up = pin!(get(&*storage, asked));
        for _ in 0..round % 4 {
            let _ = given_up
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            tokio::task::yield_now().await;
        }
        let next = &keys[(round + 1) % keys.len()];
        assert_eq!(get(&*storage, next).await, Ok(Some(next.clone())));
    }
    assert!(
        database.connections() <= 2,
        "{} connections",
        database.connections()
    );
}

pub async fn a_network_with_faults(dialect: Dialect) {
    let database = Database::start(dialect);
    let mut proxy = Proxy::to(database.port).await;
    let server = storage::Server::parse("127.0.0.1", proxy.port()).expect("it is one");
    let storage = database.storage_with(|settings| settings.server = server);
    set(&*storage, &key('a'), &"x".repeat(200))
        .await
        .expect("it is written");
    let is_there = |result: Result<Option<String>, Error>| result == Ok(Some("x".repeat(200)));

    proxy.set(Fault::Cut(30));
    let result = get(&*storage, &key('a')).await;
    assert!(
        matches!(result, Err(Error::Unavailable(_) | Error::BadReply(_))),
        "cut: {result:?}"
    );
    proxy.set(Fault::None);
    assert!(recovers(&*storage).await && is_there(get(&*storage, &key('a')).await));

    proxy.set(Fault::Drip(1, Duration::from_millis(20)));
    let (began, result) = (
        Instant::now(),
        get_by(&*storage, &key('a'), within(200)).await,
    );
    assert_eq!(result, Err(Error::Timeout), "drip");
    assert!(began.elapsed() < Duration::from_millis(400));
    proxy.set(Fault::None);
    assert!(recovers(&*storage).await && is_there(get(&*storage, &key('a')).await));

    proxy.set(Fault::Hang);
    assert_eq!(
        get_by(&*storage, &key('a'), within(100)).await,
        Err(Error::Timeout),
        "hang"
    );
    proxy.set(Fault::None);
    assert!(recovers(&*storage).await && is_there(get(&*storage, &key('a')).await));

    proxy.refuse().await;
    let result = get(&*storage, &key('a')).await;
    assert!(is_unavailable(&result), "refuse: {result:?}");
    proxy.listen().await;
    assert!(recovers(&*storage).await && is_there(get(&*storage, &key('a')).await));
}

/// Another service on the port, or a server that has gone mad: no answer is taken for a record that is not there.
pub async fn a_server_that_talks_nonsense(dialect: Dialect) {
    let database = Database::start(dialect);
    let proxy = Proxy::to(database.port).await;
    let nonsense: [&[u8]; 7] = [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"-ERR unknown command\r\n",
        &[0; 64],
        &[255; 64],
        b"\x01\0\0\0\0",
        b"\x01\0\0\x02\x02\x05\0\0\x03\xfe\0\0\x02\0",
        b"T\0\0\0\x06\0\0C\0\0\0\x0dSELECT 0\0Z\0\0\0\x05I",
    ];
    for garbage in nonsense {
        for is_connected in [true, false] {
            let server = storage::Server::parse("127.0.0.1", proxy.port()).expect("it is one");
            let storage = database.storage_with(|settings| settings.server = server);
            proxy.set(Fault::None);
            if is_connected {
                set(&*storage, &key('a'), "x").await.expect("it is written");
            }
            proxy.set(Fault::Garbage(garbage));
            let result = get_by(&*storage, &key('a'), within(300)).await;
            assert!(
                result.is_err(),
                "{garbage:?}, connected {is_connected}: {result:?}"
            );
            proxy.set(Fault::None);
            assert!(recovers(&*storage).await, "{garbage:?}");
            let value = get(&*storage, &key('a')).await;
            assert_eq!(value, Ok(Some("x".into())), "{garbage:?}");
        }
    }
}

pub async fn who_is_not_let_in(dialect: Dialect) {
    let database = Database::start(dialect);
    let refused = async |edit: fn(&mut Settings), word: &str| {
        let result = get(&*database.storage_with(edit), &key('a')).await;
        let Err(Error::Refused(text)) = &result else {
            panic!("{result:?}")
        };
        assert!(text.contains(word), "{text}");
        assert!(
            !text.contains("wrong-one") && !text.contains(PASSWORD) && !text.contains(&key('a')),
            "{text}"
        );
    };
    refused(
        |settings| settings.common.password = Some(Secret::new("wrong-one".into())),
        "nginx",
    )
    .await;
    refused(
        |settings| settings.common.username = Some("nobody".into()),
        "nobody",
    )
    .await;
    refused(|settings| settings.common.password = None, "").await;
    refused(|settings| settings.database = "nowhere".into(), "nowhere").await;
    refused(|settings| settings.table = "nothing".into(), "nothing").await;
    database.sql(match dialect {
        Dialect::Postgres => "REVOKE INSERT ON sessions FROM nginx",
        Dialect::Mysql => "REVOKE INSERT ON app.* FROM nginx@'%'",
    });
    let storage = database.storage();
    let result = set(&*storage, &key('a'), "x").await;
    assert!(matches!(result, Err(Error::Refused(_))), "{result:?}");
    assert_eq!(
        get(&*storage, &key('a')).await,
        Ok(None),
        "the connection is still good"
    );
}

pub async fn too_many_connections(dialect: Dialect) {
    let database = Database::start_with(dialect, |_| match dialect {
        Dialect::Postgres => vec![
            "-c".into(),
            "max_connections=6".into(),
            "-c".into(),
            "superuser_reserved_connections=3".into(),
        ],
        Dialect::Mysql => vec!["--max-connections=3".into()],
    });
    let storage = database.storage_with(|settings| settings.common.pool_size = 20);
    let many = join_all((0..60).map(|_| async { set(&*storage, &key('a'), "x").await })).await;
    let failed = many.iter().filter(|result| result.is_err()).count();
    assert_eq!(failed, 0, "those that are there are enough: {many:?}");
}

fn pem(authority: &Authority) -> Vec<u8> {
    authority.pem().as_bytes().to_vec()
}

fn encrypted(database: &Database, trusted: Vec<u8>, name: &str, verify: bool) -> Box<dyn Storage> {
    database.storage_with(|settings| {
        settings.common.tls = Some(Tls {
            verify,
            trusted: Some(trusted),
            name: Some(name.into()),
            identity: None,
        });
    })
}

/// A server that only takes encrypted connections.
fn start_encrypted(dialect: Dialect, identity: &Identity) -> Database {
    Database::start_with(dialect, |folder| {
        let (certificate, key) = (folder.join("server.pem"), folder.join("server.key"));
        fs::write(&certificate, &identity.certificate).expect("it can be written");
        fs::write(&key, &identity.key).expect("it can be written");
        if is_root() {
            dialect.give(&key);
        }
        let show = |path: &Path| path.display().to_string();
        match dialect {
            Dialect::Postgres => {
                let hba = folder.join("hba.conf");
                fs::write(
                    &hba,
                    "hostssl all all 127.0.0.1/32 scram-sha-256\nlocal all all trust\n",
                )
                .expect("it can be written");
                let settings = [
                    "ssl=on".into(),
                    format!("ssl_cert_file={}", show(&certificate)),
                    format!("ssl_key_file={}", show(&key)),
                    format!("hba_file={}", show(&hba)),
                ];
                settings
                    .into_iter()
                    .flat_map(|setting| ["-c".into(), setting])
                    .collect()
            }
            Dialect::Mysql => vec![
                format!("--ssl-cert={}", show(&certificate)),
                format!("--ssl-key={}", show(&key)),
                "--require-secure-transport=ON".into(),
            ],
        }
    })
}

pub async fn certificates_are_checked(dialect: Dialect) {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let database = start_encrypted(dialect, &authority.sign("db.test"));
    let known = || pem(&authority);
    set(
        &*encrypted(&database, known(), "db.test", true),
        &key('a'),
        "x",
    )
    .await
    .expect("it is written");

    let unknown = get(
        &*encrypted(&database, pem(&stranger), "db.test", true),
        &key('a'),
    )
    .await;
    assert!(
        matches!(&unknown, Err(Error::Refused(text)) if text.contains("invalid peer certificate")),
        "{unknown:?}"
    );
    let misnamed = get(
        &*encrypted(&database, known(), "other.test", true),
        &key('a'),
    )
    .await;
    assert!(
        matches!(&misnamed, Err(Error::Refused(text)) if text.contains("not valid for name")),
        "{misnamed:?}"
    );
    let unchecked = get(
        &*encrypted(&database, pem(&stranger), "other.test", false),
        &key('a'),
    )
    .await;
    assert_eq!(unchecked, Ok(Some("x".into())));
    let plain = get(&*database.storage(), &key('a')).await;
    assert!(matches!(plain, Err(Error::Refused(_))), "{plain:?}");
}

pub async fn an_expired_certificate_is_refused(dialect: Dialect) {
    let authority = Authority::new();
    let database = start_encrypted(dialect, &authority.sign_expired("db.test"));
    let expired = get(
        &*encrypted(&database, pem(&authority), "db.test", true),
        &key('a'),
    )
    .await;
    assert!(
        matches!(&expired, Err(Error::Refused(text)) if text.contains("expired")),
        "{expired:?}"
    );
}

/// Whoever is in between must not be able to have us speak in the clear.
pub async fn a_server_without_tls_is_refused(dialect: Dialect) {
    let options = match dialect {
        Dialect::Postgres => vec![],
        Dialect::Mysql => vec!["--skip-ssl".into()],
    };
    let database = Database::start_with(dialect, |_| options);
    let storage = encrypted(&database, pem(&Authority::new()), "db.test", true);
    let result = storage.set(&write(&key('a'), "x"), soon()).await;
    assert!(matches!(result, Err(Error::Refused(_))), "{result:?}");
    let contradiction = database.try_storage(|settings| {
        settings.server = database.socket();
        settings.common.tls = Some(Tls {
            verify: false,
            trusted: None,
            name: None,
            identity: None,
        });
    });
    assert!(contradiction.is_err(), "a socket has no TLS");
}
