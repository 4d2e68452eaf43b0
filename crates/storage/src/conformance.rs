//! What every storage must do, as a suite that a backend's tests run against a live one.
//!
//! The storage may hold other records; the suite uses cookie names of its own and about ten seconds of [`Time`].

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use thiserror::Error;

use crate::{Deadline, Error, ListId, MetaEntry, RecordId, RecordWrite, Storage};

/// The time the storage under test goes by: the system's, or one that a test moves.
pub trait Time {
    /// Unix seconds.
    fn now(&self) -> u64;

    /// Waits.
    fn pass(&self, seconds: u64) -> Pin<Box<dyn Future<Output = ()> + '_>>;
}

/// A rule that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Failure {
    /// The storage answered otherwise than the rule says.
    #[error("{rule}: expected {expected}, got {got}")]
    Broken {
        /// The rule.
        rule: &'static str,
        /// What the rule says.
        expected: String,
        /// What the storage answered.
        got: String,
    },
    /// The storage failed.
    #[error("the storage failed: {0}")]
    Storage(#[from] Error),
}

/// Runs the suite.
///
/// # Errors
/// With the first rule that is broken.
pub async fn run(storage: &dyn Storage, time: &dyn Time) -> Result<(), Failure> {
    let suite = Suite { storage, time };
    suite.reads_what_was_written().await?;
    suite.records_expire().await?;
    suite.a_replaced_record_goes_stale().await?;
    suite.a_stale_ttl_never_lengthens_a_life().await?;
    suite.lists_follow_the_records().await?;
    suite.a_passed_deadline_is_a_timeout().await
}

struct Suite<'a> {
    storage: &'a dyn Storage,
    time: &'a dyn Time,
}

const COOKIE: &str = "conformance";

/// A storage key: 43 characters.
fn key(letter: char) -> String {
    std::iter::repeat_n(letter, 42).chain(['A']).collect()
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(5))
}

fn check<T: PartialEq + fmt::Debug>(
    rule: &'static str,
    got: T,
    expected: T,
) -> Result<(), Failure> {
    if got == expected {
        return Ok(());
    }
    Err(Failure::Broken {
        rule,
        expected: format!("{expected:?}"),
        got: format!("{got:?}"),
    })
}

impl Suite<'_> {
    async fn reads_what_was_written(&self) -> Result<(), Failure> {
        let a = key('a');
        check(
            "a record that was never written is absent",
            self.get(COOKIE, &a).await?,
            None,
        )?;
        self.set(self.write(&a, "one", 100)).await?;
        check(
            "a record is read as it was written",
            self.get(COOKIE, &a).await?,
            text("one"),
        )?;
        self.set(self.write(&a, "two", 100)).await?;
        check(
            "a write replaces the record of its key",
            self.get(COOKIE, &a).await?,
            text("two"),
        )?;
        let large = "x".repeat(100_000);
        self.set(self.write(&a, &large, 100)).await?;
        check(
            "100 kB are kept",
            self.get(COOKIE, &a).await?.map(|value| value.len()),
            Some(large.len()),
        )?;
        check(
            "another cookie name is another record",
            self.get("conformance-b", &a).await?,
            None,
        )?;
        self.delete(&a, &[]).await?;
        check(
            "a deleted record is absent",
            self.get(COOKIE, &a).await?,
            None,
        )?;
        self.delete(&a, &[]).await
    }

    async fn records_expire(&self) -> Result<(), Failure> {
        let a = key('b');
        self.set(self.write(&a, "one", 1)).await?;
        self.time.pass(3).await;
        check("a record expires", self.get(COOKIE, &a).await?, None)?;
        self.set(self.write(&a, "one", 1)).await?;
        self.set(self.write(&a, "two", 100)).await?;
        self.time.pass(3).await;
        check(
            "a write sets a new expiry",
            self.get(COOKIE, &a).await?,
            text("two"),
        )?;
        self.delete(&a, &[]).await
    }

    async fn a_replaced_record_goes_stale(&self) -> Result<(), Failure> {
        let (old, new) = (key('c'), key('d'));
        self.set(self.write(&old, "old", 100)).await?;
        self.set(self.replacing(&new, &old, 2)).await?;
        check(
            "a replaced record is still there at first",
            self.get(COOKIE, &old).await?,
            text("old"),
        )?;
        self.time.pass(4).await;
        check(
            "a replaced record ends after the stale ttl",
            self.get(COOKIE, &old).await?,
            None,
        )?;
        check(
            "the new record stays",
            self.get(COOKIE, &new).await?,
            text("new"),
        )?;
        self.delete(&new, &[]).await
    }

    async fn a_stale_ttl_never_lengthens_a_life(&self) -> Result<(), Failure> {
        let (old, new, gone) = (key('e'), key('f'), key('g'));
        self.set(self.write(&old, "old", 1)).await?;
        self.set(self.replacing(&new, &old, 60)).await?;
        self.time.pass(3).await;
        check(
            "a stale ttl never lengthens a life",
            self.get(COOKIE, &old).await?,
            None,
        )?;
        self.set(self.replacing(&new, &gone, 60)).await?;
        check(
            "a stale ttl makes no record",
            self.get(COOKIE, &gone).await?,
            None,
        )?;
        self.delete(&new, &[]).await
    }

    async fn lists_follow_the_records(&self) -> Result<(), Failure> {
        let mine = MetaEntry::new("conformance", "ann", false);
        let other = MetaEntry::new("conformance", "bob", true);
        let (a, b, c, short) = (key('h'), key('i'), key('j'), key('k'));
        let listed = |key: &str, ttl: u32| RecordWrite {
            metadata: vec![mine.clone()],
            ..self.write(key, "x", ttl)
        };
        check("an empty list is empty", self.list(&mine).await?, vec![])?;
        self.set(listed(&a, 100)).await?;
        self.set(listed(&a, 100)).await?;
        self.set(listed(&b, 100)).await?;
        self.set(listed(&short, 1)).await?;
        self.time.pass(3).await;
        check(
            "each session is listed once, an expired one not",
            self.list(&mine).await?,
            vec![a.clone(), b.clone()],
        )?;
        check("lists are apart", self.list(&other).await?, vec![])?;

        let replaced = RecordWrite {
            old_key: Some(a.clone()),
            stale_ttl: 60,
            ..listed(&c, 100)
        };
        self.set(replaced).await?;
        check(
            "a replaced session is listed no more",
            self.list(&mine).await?,
            vec![b.clone(), c.clone()],
        )?;
        let moved = RecordWrite {
            metadata: vec![other.clone()],
            withdrawn: vec![mine.clone()],
            old_key: Some(b.clone()),
            ..self.write(&a, "x", 100)
        };
        self.set(moved).await?;
        check(
            "a session that moved is withdrawn",
            self.list(&mine).await?,
            vec![c.clone()],
        )?;
        check(
            "and listed where it moved",
            self.list(&other).await?,
            vec![a.clone()],
        )?;
        self.delete(&c, std::slice::from_ref(&mine)).await?;
        self.delete(&a, std::slice::from_ref(&other)).await?;
        self.delete(&b, &[]).await?;
        check(
            "a deleted session is listed no more",
            self.list(&mine).await?,
            vec![],
        )?;
        check("in whichever list it was", self.list(&other).await?, vec![])
    }

    async fn a_passed_deadline_is_a_timeout(&self) -> Result<(), Failure> {
        let over = Deadline::after(Duration::ZERO);
        let record = RecordId {
            cookie: COOKIE,
            key: &key('l'),
        };
        let got = self.storage.get(record, self.time.now(), over).await;
        check(
            "a passed deadline is a timeout, not an absent record",
            got,
            Err(Error::Timeout),
        )
    }

    fn write(&self, key: &str, value: &str, ttl: u32) -> RecordWrite {
        RecordWrite {
            name_cookie: COOKIE.to_owned(),
            key: key.to_owned(),
            value: value.to_owned(),
            ttl,
            old_key: None,
            stale_ttl: 10,
            metadata: Vec::new(),
            withdrawn: Vec::new(),
            now: self.time.now(),
        }
    }

    fn replacing(&self, key: &str, old: &str, stale_ttl: u32) -> RecordWrite {
        RecordWrite {
            old_key: Some(old.to_owned()),
            stale_ttl,
            ..self.write(key, "new", 100)
        }
    }

    async fn get(&self, cookie: &str, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self
            .storage
            .get(RecordId { cookie, key }, self.time.now(), soon())
            .await?)
    }

    async fn set(&self, write: RecordWrite) -> Result<(), Failure> {
        Ok(self.storage.set(&write, soon()).await?)
    }

    async fn delete(&self, key: &str, metadata: &[MetaEntry]) -> Result<(), Failure> {
        let record = RecordId {
            cookie: COOKIE,
            key,
        };
        Ok(self
            .storage
            .delete(record, metadata, self.time.now(), soon())
            .await?)
    }

    /// The keys of a list, in order; their expiry must be ahead.
    async fn list(&self, entry: &MetaEntry) -> Result<Vec<String>, Failure> {
        let now = self.time.now();
        let list = ListId {
            cookie: COOKIE,
            entry,
        };
        let sessions: BTreeMap<String, u64> = self.storage.list(list, now, soon()).await?;
        let over = sessions.values().filter(|expires| **expires <= now).count();
        check("what is listed has not expired", over, 0)?;
        Ok(sessions.into_keys().collect())
    }
}

fn text(value: &str) -> Option<Vec<u8>> {
    Some(value.as_bytes().to_vec())
}
