//! What is kept, and how: against one server that is well.

use std::collections::BTreeMap;

use storage::{ListId, RecordId, RecordWrite, Storage};

use crate::common::now;
use crate::common::redis::RedisServer;
use crate::support::{COOKIE, entry, get, key, kind, open, set, single, soon, write};

fn listed(key: &str, ttl: u32) -> RecordWrite {
    RecordWrite {
        ttl,
        metadata: vec![entry()],
        ..write(key, "value")
    }
}

#[tokio::test]
async fn names_and_lives_are_the_references() {
    let server = RedisServer::start(&[]);
    let storage = open(single(server.port));
    let (old, new) = (key('o'), key('n'));
    storage.set(&listed(&old, 500), soon()).await.unwrap();
    let replacing = RecordWrite {
        old_key: Some(old.clone()),
        ..listed(&new, 100)
    };
    storage.set(&replacing, soon()).await.unwrap();

    let ttl = |name: &str| server.command::<i64>(&format!("TTL {name}"));
    assert_eq!(server.command::<String>(&format!("GET sid:{new}")), "value");
    assert!((99..=100).contains(&ttl(&format!("sid:{new}"))));
    assert!((9..=10).contains(&ttl(&format!("sid:{old}"))));
    let list = "sid:YXVkaWVuY2U:c3ViamVjdA";
    let members: BTreeMap<String, u64> = server.command(&format!("ZRANGE {list} 0 -1 WITHSCORES"));
    assert_eq!(members, BTreeMap::from([(new, replacing.now + 100)]));
    assert!(
        (499..=500).contains(&ttl(list)),
        "a list lives as long as its longest session"
    );
}

#[tokio::test]
async fn reads_what_the_reference_library_wrote() {
    let server = RedisServer::start(&[]);
    let storage = open(single(server.port));
    let key = key('r');
    let expires = now() + 50;
    let list = "sid:YXVkaWVuY2U:c3ViamVjdA";
    let () = server.command(&format!("SET sid:{key} [\"x\"] EX 50"));
    let () = server.command(&format!("ZADD {list} {expires} {key}"));
    let got = get(&storage, &key, soon()).await.unwrap();
    assert_eq!(got.as_deref(), Some("[\"x\"]"));
    let id = ListId {
        cookie: COOKIE,
        entry: &entry(),
    };
    let sessions = storage.list(id, now(), soon()).await.unwrap();
    assert_eq!(sessions, BTreeMap::from([(key, expires)]));
}

#[tokio::test]
async fn two_prefixes_share_a_server() {
    let server = RedisServer::start(&[]);
    let [one, other] = ["one", "other"].map(|prefix| {
        let mut config = single(server.port);
        config.common.prefix = Some(prefix.into());
        open(config)
    });
    set(&one, &key('k'), "mine").await.unwrap();
    assert_eq!(get(&other, &key('k'), soon()).await, Ok(None));
    set(&other, &key('k'), "theirs").await.unwrap();
    let mine = get(&one, &key('k'), soon()).await.unwrap();
    assert_eq!(mine.as_deref(), Some("mine"));
}

/// The old session stays valid when the new one could not be saved.
#[tokio::test]
async fn a_refused_record_leaves_the_old_one_alone() {
    let server = RedisServer::start(&[]);
    let storage = open(single(server.port));
    let (old, new) = (key('o'), key('n'));
    storage.set(&listed(&old, 500), soon()).await.unwrap();
    let () = server.command("CONFIG SET maxmemory 1");
    let replacing = RecordWrite {
        old_key: Some(old.clone()),
        ..listed(&new, 100)
    };
    assert_eq!(kind(storage.set(&replacing, soon()).await), "full");
    assert!(server.command::<i64>(&format!("TTL sid:{old}")) > 400);
    assert_eq!(kind(set(&storage, &new, "x").await), "full");
    assert_eq!(get(&storage, &new, soon()).await, Ok(None));
    let () = server.command("CONFIG SET maxmemory 0");
    storage.set(&replacing, soon()).await.unwrap();
}

#[tokio::test]
async fn trouble_with_a_list_fails_no_save() {
    let server =
        RedisServer::with_user("app on nopass ~* +get +set +unlink +expire +ttl +multi +exec");
    let mut config = single(server.port);
    config.common.username = Some("app".into());
    let storage = open(config);
    let (old, new) = (key('o'), key('n'));
    set(&storage, &old, "old").await.unwrap();
    let replacing = RecordWrite {
        old_key: Some(old.clone()),
        ..listed(&new, 100)
    };
    storage.set(&replacing, soon()).await.unwrap();
    assert!(server.command::<i64>(&format!("TTL sid:{old}")) <= 10);
    let id = ListId {
        cookie: COOKIE,
        entry: &entry(),
    };
    assert_eq!(kind(storage.list(id, now(), soon()).await), "refused");
    let record = RecordId {
        cookie: COOKIE,
        key: &new,
    };
    let removed = storage.delete(record, &[entry()], now(), soon()).await;
    assert_eq!(kind(removed), "ok");
    assert_eq!(get(&storage, &new, soon()).await, Ok(None));
}

#[tokio::test]
async fn something_else_under_the_name_is_no_absence() {
    let server = RedisServer::start(&[]);
    let storage = open(single(server.port));
    let () = server.command(&format!("LPUSH sid:{} x", key('k')));
    assert_eq!(kind(get(&storage, &key('k'), soon()).await), "bad-reply");
}

#[tokio::test]
async fn many_at_once_use_one_connection() {
    let server = RedisServer::start(&[]);
    let storage = std::sync::Arc::new(open(single(server.port)));
    let mut tasks = tokio::task::JoinSet::new();
    for nth in 0..2000 {
        let storage = storage.clone();
        tasks.spawn(async move {
            let key = format!("{nth:043}");
            set(&storage, &key, &key).await.unwrap();
            assert_eq!(get(&storage, &key, soon()).await.unwrap(), Some(key));
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let info: String = server.command("INFO stats");
    // Ours, those of the helpers: at the start and this one.
    let made = info
        .lines()
        .find(|line| line.starts_with("total_connections_received:"));
    assert_eq!(made, Some("total_connections_received:3"));
}
