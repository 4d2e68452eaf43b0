//! What happens to a server and the way to it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use storage::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::common::free_port;
use crate::common::proxy::{Fault, Proxy};
use crate::common::redis::RedisServer;
use crate::support::{get, key, kind, open, recovers, set, single, soon, within};

#[tokio::test]
async fn down_at_first_and_up_later() {
    let mut server = RedisServer::start(&[]);
    server.stop();
    let storage = open(single(server.port));
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(kind(get(&storage, &key('k'), soon()).await), "unavailable");
    }
    assert!(start.elapsed() < Duration::from_millis(500), "fails fast");
    server.start_again();
    recovers(&storage, &key('k'), None).await;
}

#[tokio::test]
async fn killed_under_load_and_back() {
    let mut server = RedisServer::start(&[]);
    let storage = Arc::new(open(single(server.port)));
    set(&storage, &key('k'), "v").await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let storage = storage.clone();
        tasks.spawn(async move {
            for _ in 0..50 {
                match get(&storage, &key('k'), within(500)).await {
                    Ok(got) => assert_eq!(got.as_deref(), Some("v")),
                    Err(error) => assert_eq!(error.kind(), "unavailable"),
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.stop();
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(kind(get(&storage, &key('k'), soon()).await), "unavailable");
    server.start_again();
    recovers(&storage, &key('k'), None).await;
}

/// A connection that was closed while nobody used it costs nobody an error.
#[tokio::test]
async fn a_restart_between_two_requests_is_not_noticed() {
    let mut server = RedisServer::start(&[]);
    let storage = open(single(server.port));
    set(&storage, &key('k'), "v").await.unwrap();
    server.stop();
    server.start_again();
    assert_eq!(get(&storage, &key('k'), soon()).await, Ok(None));
    let () = server.command("CLIENT KILL TYPE normal");
    set(&storage, &key('k'), "v").await.unwrap();
}

#[tokio::test]
async fn frozen_for_a_while() {
    let server = RedisServer::start(&[]);
    let other = RedisServer::start(&[]);
    let mut config = single(server.port);
    config.common.connect_timeout = Duration::from_millis(300);
    let storage = open(config);
    let healthy = open(single(other.port));
    set(&storage, &key('k'), "v").await.unwrap();
    set(&healthy, &key('k'), "v").await.unwrap();
    server.process().freeze();

    let start = Instant::now();
    let k = key('k');
    let (frozen, well) = tokio::join!(get(&storage, &k, within(200)), async {
        let got = get(&healthy, &k, soon()).await;
        (got, start.elapsed())
    });
    assert_eq!(frozen, Err(Error::Timeout));
    let waited = start.elapsed();
    assert!((200..300).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(well.0.unwrap().as_deref(), Some("v"));
    assert!(well.1 < Duration::from_millis(100), "others go on");

    // The first attempt to connect fails for its own timeout, then most fail at once.
    assert_eq!(get(&storage, &key('k'), soon()).await, Err(Error::Timeout));
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(get(&storage, &key('k'), soon()).await, Err(Error::Timeout));
    }
    assert!(start.elapsed() < Duration::from_millis(100), "fails fast");
    server.process().thaw();
    recovers(&storage, &key('k'), Some("v")).await;
}

#[tokio::test]
async fn a_request_that_goes_away_harms_no_other() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.port).await;
    let storage = open(single(proxy.port()));
    let (a, b) = (key('a'), key('b'));
    set(&storage, &a, "a").await.unwrap();
    set(&storage, &b, "b").await.unwrap();
    proxy.set(Fault::Delay(Duration::from_millis(20)));
    for _ in 0..5 {
        let _ = tokio::time::timeout(Duration::from_millis(5), get(&storage, &a, soon())).await;
        let got = get(&storage, &b, soon()).await.unwrap();
        assert_eq!(got.as_deref(), Some("b"));
    }
    let info: String = server.command("INFO clients");
    assert!(
        info.contains("connected_clients:2\r\n"),
        "the connection is kept: {info}"
    );
}

#[tokio::test]
async fn polled_once_and_dropped() {
    let server = RedisServer::start(&[]);
    let storage = open(single(server.port));
    for _ in 0..50 {
        let key = key('k');
        let mut operation = pin!(get(&storage, &key, soon()));
        let _ = operation
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
    }
    assert_eq!(get(&storage, &key('k'), soon()).await, Ok(None));
}

#[tokio::test]
async fn cut_in_the_middle_of_a_reply() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.port).await;
    let storage = open(single(proxy.port()));
    let value = "v".repeat(100);
    set(&storage, &key('k'), &value).await.unwrap();
    for fault in [Fault::Cut(30), Fault::Reset(30)] {
        proxy.set(fault);
        // A second try is cut as well.
        let kind = kind(get(&storage, &key('k'), within(1000)).await);
        assert!(matches!(kind, "unavailable" | "bad-reply"), "{kind}");
        proxy.set(Fault::None);
        recovers(&storage, &key('k'), Some(&value)).await;
    }
}

#[tokio::test]
async fn slow_drip_and_silence() {
    let server = RedisServer::start(&[]);
    let proxy = Proxy::start(server.port).await;
    let mut config = single(proxy.port());
    config.common.connect_timeout = Duration::from_millis(200);
    let storage = open(config);
    let value = "v".repeat(1000);
    set(&storage, &key('k'), &value).await.unwrap();
    for fault in [Fault::Drip(1, Duration::from_millis(5)), Fault::Hang] {
        proxy.set(fault);
        let start = Instant::now();
        assert_eq!(
            get(&storage, &key('k'), within(200)).await,
            Err(Error::Timeout)
        );
        assert!(start.elapsed() < Duration::from_millis(300));
        proxy.set(Fault::None);
        recovers(&storage, &key('k'), Some(&value)).await;
    }
}

#[tokio::test]
async fn refused_and_let_in_again() {
    let server = RedisServer::start(&[]);
    let mut proxy = Proxy::start(server.port).await;
    let storage = open(single(proxy.port()));
    set(&storage, &key('k'), "v").await.unwrap();
    proxy.refuse().await;
    assert_eq!(kind(get(&storage, &key('k'), soon()).await), "unavailable");
    proxy.listen().await;
    recovers(&storage, &key('k'), Some("v")).await;
}

/// Says the same to everybody who says anything.
async fn babble(text: &'static str) -> u16 {
    let port = free_port();
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            while let Ok(1..) = client.read(&mut buffer).await {
                let _ = client.write_all(text.as_bytes()).await;
            }
        }
    });
    port
}

#[tokio::test]
async fn garbage_is_no_absence() {
    for (text, expected) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", "bad-reply"),
        ("+PONG\r\n", "bad-reply"),
        (":7\r\n", "bad-reply"),
        (
            "-LOADING Redis is loading the dataset in memory\r\n",
            "unavailable",
        ),
        ("-ERR max number of clients reached\r\n", "unavailable"),
        ("-DENIED Redis is running in protected mode\r\n", "refused"),
    ] {
        let storage = open(single(babble(text).await));
        assert_eq!(
            kind(get(&storage, &key('k'), soon()).await),
            expected,
            "{text}"
        );
        assert_ne!(kind(set(&storage, &key('k'), "v").await), "ok", "{text}");
    }
}

#[tokio::test]
async fn a_name_is_resolved_and_all_its_addresses_tried() {
    let server = RedisServer::start(&[]);
    let mut config = single(server.port);
    // Of its addresses, ::1 comes first, where nobody listens.
    config.topology = storage::redis::Topology::Single(storage::Server::Tcp {
        host: "localhost".into(),
        port: server.port,
    });
    set(&open(config.clone()), &key('k'), "v").await.unwrap();
    config.topology = storage::redis::Topology::Single(storage::Server::Tcp {
        host: "no-such-name.invalid".into(),
        port: server.port,
    });
    assert_eq!(
        kind(set(&open(config), &key('k'), "v").await),
        "unavailable"
    );
}
