//! A master that sentinels watch over.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use storage::RecordWrite;
use storage::Storage;
use storage::config::Secret;
use storage::redis::{RedisConfig, Role, Topology};

use crate::common::redis::RedisServer;
use crate::common::{free_port, wait_until};
use crate::support::{
    eventually, get, key, kind, open, recovers, server, set, single, soon, within, write,
};

/// A master, its replica and a sentinel.
pub struct Watched {
    master: RedisServer,
    replica: RedisServer,
    sentinel: RedisServer,
}

impl Watched {
    pub fn start(sentinel_lines: &str) -> Self {
        let master = RedisServer::start(&["--repl-diskless-sync-delay", "0"]);
        let port = master.port.to_string();
        let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port]);
        wait_until("the replica follows", || {
            let info: String = replica.command("INFO replication");
            info.contains("master_link_status:up")
        });
        let sentinel = RedisServer::sentinel("sessions", master.port, sentinel_lines);
        Self {
            master,
            replica,
            sentinel,
        }
    }

    pub fn sentinel_knows_the_replica(&self) {
        wait_until("the sentinel knows the replica", || {
            let replicas: Vec<HashMap<String, String>> =
                self.sentinel.command("SENTINEL replicas sessions");
            let is = |name: &str, value: &str| replicas.iter().any(|r| r[name] == value);
            is("flags", "slave") && is("master-link-status", "ok")
        });
    }

    fn replica_has(&self, key: &str) {
        wait_until("the replica has the record", || {
            self.replica.command(&format!("EXISTS sid:{key}"))
        });
    }

    /// Master and replica change places, by hand: sentinels would take ten seconds.
    fn swap(&self) {
        let port = self.replica.port;
        let () = self.replica.command("REPLICAOF NO ONE");
        let () = self.master.command(&format!("REPLICAOF 127.0.0.1 {port}"));
        let () = self.sentinel.command("SENTINEL REMOVE sessions");
        let () = self
            .sentinel
            .command(&format!("SENTINEL MONITOR sessions 127.0.0.1 {port} 1"));
    }

    /// The first sentinel is one that is not there.
    pub fn config(&self, role: Role) -> RedisConfig {
        RedisConfig {
            topology: Topology::Sentinel {
                sentinels: vec![server(free_port()), server(self.sentinel.port)],
                master: "sessions".into(),
                role,
                username: None,
                password: None,
            },
            ..single(0)
        }
    }
}

#[tokio::test]
async fn a_replica_is_read_and_the_master_asked_after_it() {
    let watched = Watched::start("");
    watched.sentinel_knows_the_replica();
    let storage = open(watched.config(Role::Slave));
    set(&storage, &key('k'), "v").await.unwrap();
    let got = get(&storage, &key('k'), soon()).await.unwrap();
    assert_eq!(
        got.as_deref(),
        Some("v"),
        "the master has what the replica has not yet"
    );

    watched.replica_has(&key('k'));
    let got = get(&storage, &key('k'), soon()).await.unwrap();
    assert_eq!(got.as_deref(), Some("v"));
    let stats: String = watched.replica.command("INFO commandstats");
    assert!(stats.contains("cmdstat_get:calls="), "the replica is asked");

    watched.replica.process().freeze();
    let got = get(&storage, &key('k'), within(1000)).await.unwrap();
    assert_eq!(
        got.as_deref(),
        Some("v"),
        "the master is asked when the replica is silent"
    );
    watched.replica.process().thaw();
}

#[tokio::test]
async fn a_failover_is_followed() {
    let mut watched = Watched::start("");
    watched.sentinel_knows_the_replica();
    let storage = open(watched.config(Role::Master));
    set(&storage, &key('k'), "v").await.unwrap();
    watched.replica_has(&key('k'));
    watched.master.stop();
    let start = Instant::now();
    loop {
        assert!(start.elapsed() < Duration::from_secs(10), "no failover");
        // Away, but never gone.
        match get(&storage, &key('k'), within(500)).await {
            Ok(got) => assert_eq!(got.as_deref(), Some("v")),
            Err(error) => assert!(matches!(error.kind(), "unavailable" | "timeout"), "{error}"),
        }
        if set(&storage, &key('n'), "new").await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let got: String = watched.replica.command(&format!("GET sid:{}", key('n')));
    assert_eq!(got, "new");
}

/// The master steps down with its connections open: what it refuses as a replica is done by the new master.
#[tokio::test]
async fn a_master_that_becomes_a_replica_is_left() {
    let watched = Watched::start("");
    watched.sentinel_knows_the_replica();
    let storage = open(watched.config(Role::Master));
    set(&storage, &key('k'), "v").await.unwrap();
    watched.swap();
    let replacing = RecordWrite {
        old_key: Some(key('k')),
        ..write(&key('n'), "new")
    };
    eventually(Duration::from_millis(1500), || {
        storage.set(&replacing, soon())
    })
    .await;
    let got: String = watched.replica.command(&format!("GET sid:{}", key('n')));
    assert_eq!(got, "new");
}

#[tokio::test]
async fn sentinels_have_their_own_users() {
    let watched = Watched::start(
        "user default on nopass +@all ~* &*\nuser watcher on >hunter3 +@all -@dangerous +sentinel",
    );
    let with = |user: &str, word: &str| {
        let mut config = watched.config(Role::Master);
        if let Topology::Sentinel {
            username, password, ..
        } = &mut config.topology
        {
            *username = Some(user.to_owned());
            *password = Some(Secret::new(word.to_owned()));
        }
        open(config)
    };
    assert_eq!(
        kind(set(&with("watcher", "hunter3"), &key('k'), "v").await),
        "ok"
    );
    assert_eq!(
        kind(set(&with("watcher", "hunter2"), &key('k'), "v").await),
        "refused"
    );
}

#[tokio::test]
async fn an_unknown_master_is_an_error() {
    let watched = Watched::start("");
    let mut config = watched.config(Role::Master);
    if let Topology::Sentinel { master, .. } = &mut config.topology {
        *master = "others".into();
    }
    let error = get(&open(config), &key('k'), soon()).await.unwrap_err();
    assert_eq!(error.kind(), "unavailable");
    assert!(error.to_string().contains("\"others\""), "{error}");
    recovers(&open(watched.config(Role::Master)), &key('k'), None).await;
}
