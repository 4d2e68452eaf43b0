//! TLS and who we are.

use std::time::Duration;

use storage::redis::{Redis, RedisConfig, Topology};
use storage::{Server, Tls};
use zeroize::Zeroizing;

use crate::common::certificates::{Authority, Identity};
use crate::common::free_port;
use crate::common::redis::RedisServer;
use crate::support::{get, key, kind, open, password, single, soon};

pub struct Encrypted {
    _server: RedisServer,
    authority: Authority,
    port: u16,
}

/// A server that speaks TLS and asks for a certificate.
pub fn start(identity: impl FnOnce(&Authority) -> Identity) -> Encrypted {
    let authority = Authority::new();
    let port = free_port();
    let server = RedisServer::start_with(|scratch| {
        let (certificate, key) = identity(&authority).write(scratch, "server");
        let trusted = scratch.write("ca.pem", authority.pem());
        let user = "app on >hunter2 ~p:* +@all -@dangerous".split(' ');
        let options = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", certificate.display().to_string()),
            ("--tls-key-file", key.display().to_string()),
            ("--tls-ca-cert-file", trusted.display().to_string()),
        ];
        let options = options
            .into_iter()
            .flat_map(|(name, value)| [name.to_owned(), value]);
        let user = ["--user"].into_iter().chain(user).map(str::to_owned);
        options.chain(user).collect()
    });
    Encrypted {
        _server: server,
        authority,
        port,
    }
}

impl Encrypted {
    /// How we are let in.
    pub fn config(&self) -> RedisConfig {
        let client = self.authority.sign("client");
        let mut config = single(self.port);
        config.common.prefix = Some("p".into());
        config.common.tls = Some(Tls {
            verify: true,
            trusted: Some(self.authority.pem().into()),
            name: None,
            identity: Some((client.certificate.into(), Zeroizing::new(client.key.into()))),
        });
        password(&mut config, Some("app"), "hunter2");
        config
    }
}

async fn outcome(config: RedisConfig) -> &'static str {
    kind(get(&open(config), &key('k'), soon()).await)
}

#[tokio::test]
async fn a_certificate_must_be_known_and_have_the_name() {
    let server = start(|authority| authority.sign("redis.test"));
    let with = |change: fn(&mut Tls)| {
        let mut config = server.config();
        change(config.common.tls.as_mut().unwrap());
        config
    };
    assert_eq!(outcome(with(|_| ())).await, "refused");
    assert_eq!(
        outcome(with(|tls| tls.name = Some("redis.test".into()))).await,
        "ok"
    );
    let unknown = with(|tls| {
        tls.name = Some("redis.test".into());
        tls.trusted = Some(Authority::new().pem().into());
    });
    assert_eq!(outcome(unknown).await, "refused");
    assert_eq!(outcome(with(|tls| tls.verify = false)).await, "ok");
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let server = start(|authority| authority.sign_expired("127.0.0.1"));
    assert_eq!(outcome(server.config()).await, "refused");
}

#[tokio::test]
async fn without_our_certificate_we_are_not_let_in() {
    let server = start(|authority| authority.sign("127.0.0.1"));
    let mut config = server.config();
    config.common.tls.as_mut().unwrap().identity = None;
    // The server's alert may be overtaken by its closing the connection.
    assert!(matches!(outcome(config).await, "refused" | "unavailable"));
}

#[tokio::test]
async fn plain_and_tls_do_not_meet() {
    let server = start(|authority| authority.sign("127.0.0.1"));
    let mut plain = server.config();
    plain.common.tls = None;
    assert_ne!(outcome(plain).await, "ok");
    let other = RedisServer::start(&[]);
    let mut encrypted = server.config();
    // A plain server waits for the rest of what it takes for a command.
    encrypted.common.connect_timeout = Duration::from_millis(200);
    encrypted.topology = single(other.port).topology;
    assert_ne!(outcome(encrypted).await, "ok");
}

#[tokio::test]
async fn who_we_are_is_checked() {
    let server = RedisServer::start(&["--requirepass", "hunter2"]);
    let config = single(server.port);
    let with = |user: Option<&str>, word: &str| {
        let mut config = config.clone();
        password(&mut config, user, word);
        config
    };
    assert_eq!(outcome(config.clone()).await, "refused");
    assert_eq!(outcome(with(None, "wrong")).await, "refused");
    assert_eq!(outcome(with(Some("nobody"), "hunter2")).await, "refused");
    assert_eq!(outcome(with(None, "hunter2")).await, "ok");
    assert_eq!(outcome(with(Some("default"), "hunter2")).await, "ok");
    let mut database = with(None, "hunter2");
    database.database = 1_000;
    assert_eq!(outcome(database).await, "refused");
}

#[tokio::test]
async fn a_password_that_nobody_asked_for_is_refused() {
    let server = RedisServer::start(&[]);
    let mut config = single(server.port);
    password(&mut config, None, "hunter2");
    assert_eq!(outcome(config).await, "refused");
}

#[tokio::test]
async fn contradictions_are_found_without_a_server() {
    let tls = Tls {
        verify: true,
        trusted: Some(Authority::new().pem().into()),
        name: None,
        identity: None,
    };
    let mut socket = single(1);
    socket.topology = Topology::Single(Server::Unix("/nowhere".into()));
    socket.common.tls = Some(tls.clone());
    let mut nobody = single(1);
    nobody.topology = Topology::Cluster { nodes: vec![] };
    let mut numbered = single(1);
    numbered.topology = Topology::Cluster {
        nodes: vec![Server::parse("a", 1).unwrap()],
    };
    numbered.database = 1;
    let mut garbage = single(1);
    garbage.common.tls = Some(Tls {
        trusted: Some(b"no certificate".to_vec()),
        ..tls
    });
    for config in [socket, nobody, numbered, garbage] {
        assert!(Redis::new(config).is_err());
    }
    assert!(Redis::new(single(1)).is_ok());
}
