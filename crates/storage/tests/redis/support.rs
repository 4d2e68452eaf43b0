//! What the tests of this backend use.

use std::future::Future;
use std::time::{Duration, Instant};

use storage::config::Secret;
use storage::redis::{Redis, RedisConfig, Topology};
use storage::{Common, Deadline, Error, MetaEntry, RecordId, RecordWrite, Server, Storage};

use crate::common::now;

pub const COOKIE: &str = "sid";

/// One server on a port of 127.0.0.1.
pub fn single(port: u16) -> RedisConfig {
    RedisConfig {
        common: Common::default(),
        topology: Topology::Single(server(port)),
        database: 0,
    }
}

pub fn server(port: u16) -> Server {
    Server::Tcp {
        host: "127.0.0.1".into(),
        port,
    }
}

pub fn open(config: RedisConfig) -> Redis {
    Redis::new(config).unwrap()
}

pub fn password(config: &mut RedisConfig, username: Option<&str>, password: &str) {
    config.common.username = username.map(Into::into);
    config.common.password = Some(Secret::new(password.into()));
}

pub fn key(letter: char) -> String {
    std::iter::repeat_n(letter, 42).chain(['A']).collect()
}

pub fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(5))
}

pub fn within(milliseconds: u64) -> Deadline {
    Deadline::after(Duration::from_millis(milliseconds))
}

pub fn entry() -> MetaEntry {
    MetaEntry::new("audience", "subject", false)
}

pub fn write(key: &str, value: &str) -> RecordWrite {
    RecordWrite {
        name_cookie: COOKIE.into(),
        key: key.into(),
        value: value.into(),
        ttl: 100,
        old_key: None,
        stale_ttl: 10,
        metadata: Vec::new(),
        withdrawn: Vec::new(),
        now: now(),
    }
}

pub async fn get(storage: &Redis, key: &str, deadline: Deadline) -> Result<Option<String>, Error> {
    let record = RecordId {
        cookie: COOKIE,
        key,
    };
    let value = storage.get(record, now(), deadline).await?;
    Ok(value.map(|value| String::from_utf8(value).unwrap()))
}

pub async fn set(storage: &Redis, key: &str, value: &str) -> Result<(), Error> {
    storage.set(&write(key, value), soon()).await
}

pub fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(error) => error.kind(),
    }
}

/// Gets until it works again, for as long as a back-off may take.
pub async fn recovers(storage: &Redis, key: &str, value: Option<&str>) {
    let got = eventually(Duration::from_millis(1500), || get(storage, key, soon())).await;
    assert_eq!(got.as_deref(), value);
}

/// Tries until it works.
pub async fn eventually<T, W>(limit: Duration, mut work: impl FnMut() -> W) -> T
where
    W: Future<Output = Result<T, Error>>,
{
    let start = Instant::now();
    loop {
        match work().await {
            Ok(done) => return done,
            Err(error) => assert!(start.elapsed() < limit, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
