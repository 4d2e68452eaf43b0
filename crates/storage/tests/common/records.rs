//! Short ways to ask a storage.

// Each test file uses some of it.
#![allow(dead_code)]

use std::time::Duration;

use storage::{Deadline, Error, ListId, MetaEntry, RecordId, RecordWrite, Storage};

use crate::common::now;

/// A key: one letter again and again.
pub fn key(letter: char) -> String {
    std::iter::repeat_n(letter, 42).chain(['A']).collect()
}

pub fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(5))
}

/// In so many milliseconds.
pub fn within(milliseconds: u64) -> Deadline {
    Deadline::after(Duration::from_millis(milliseconds))
}

/// A write of a record that lives 100 seconds.
pub fn write(key: &str, value: &str) -> RecordWrite {
    RecordWrite {
        name_cookie: "sid".into(),
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

pub async fn set(storage: &dyn Storage, key: &str, value: &str) -> Result<(), Error> {
    storage.set(&write(key, value), soon()).await
}

pub async fn get(storage: &dyn Storage, key: &str) -> Result<Option<String>, Error> {
    get_by(storage, key, soon()).await
}

pub async fn get_by(
    storage: &dyn Storage,
    key: &str,
    deadline: Deadline,
) -> Result<Option<String>, Error> {
    let record = RecordId { cookie: "sid", key };
    let value = storage.get(record, now(), deadline).await?;
    Ok(value.map(|value| String::from_utf8(value).expect("it is text")))
}

pub async fn list(storage: &dyn Storage, entry: &MetaEntry) -> Result<Vec<String>, Error> {
    let list = ListId {
        cookie: "sid",
        entry,
    };
    let sessions = storage.list(list, now(), soon()).await?;
    Ok(sessions.into_keys().collect())
}

/// Waits until the storage answers again, at most a few seconds.
pub async fn recovers(storage: &dyn Storage) -> bool {
    for _ in 0..60 {
        if get(storage, &key('r')).await.is_ok() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    false
}
