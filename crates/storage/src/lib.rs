//! Where session records are kept.
//!
//! A backend implements [`Storage`]; what a backend must do beyond its signatures is pinned by [`conformance`], which every
//! backend's tests run. A record that is not there is an answer; a storage that cannot be reached is an [`Error`], and must never
//! look like the first.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

pub mod config;
pub mod conformance;
mod deadline;
pub mod dshm;
mod error;
pub mod file;
mod gate;
mod lists;
pub mod memcached;
pub mod memory;
pub mod mysql;
mod names;
mod pool;
pub mod postgres;
pub mod redis;
pub mod runtime;
pub mod shm;
mod sql;
mod tls;
mod wire;

pub use config::{Common, ConfigError, Server, Tls};
pub use deadline::Deadline;
pub use error::Error;
pub use session::{MetaEntry, RecordWrite};

/// A backend's answer, still to come. Dropping it gives the operation up.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// Which record is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordId<'a> {
    /// The cookie's name, a part of the record's name.
    pub cookie: &'a str,
    /// The record's key: 43 characters of base64 in the URL alphabet.
    pub key: &'a str,
}

/// Which list of sessions is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListId<'a> {
    /// The cookie's name, a part of the list's name.
    pub cookie: &'a str,
    /// Audience and subject.
    pub entry: &'a MetaEntry,
}

/// A storage of records. `now` is in Unix seconds everywhere; a backend whose server has a clock of its own may go by that.
///
/// Every operation ends by its deadline, with [`Error::Timeout`] if need be. What an operation did before that may or may not
/// have happened.
pub trait Storage: Send + Sync {
    /// The record's value; none when there is no such record, or it has expired.
    fn get<'a>(
        &'a self,
        record: RecordId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, Option<Vec<u8>>>;

    /// Writes the record, replacing one of the same key, to expire `ttl` seconds from now. Then
    ///
    /// * the old record, if the write names one, expires in at most `stale_ttl` seconds. One that would expire sooner still
    ///   does, one that is not there stays absent;
    /// * each list of `metadata` has the record with its expiry, and no longer the old one;
    /// * each list of `withdrawn` no longer has the old one.
    ///
    /// The answer comes when the record is there to be read. Trouble with the old record or the lists alone fails nothing: the
    /// session is safe by then, and both end by their own expiry.
    fn set<'a>(&'a self, write: &'a RecordWrite, deadline: Deadline) -> Answer<'a, ()>;

    /// Removes the record, and its key from the lists of `metadata`. A record that is not there is no error.
    fn delete<'a>(
        &'a self,
        record: RecordId<'a>,
        metadata: &'a [MetaEntry],
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, ()>;

    /// The sessions in a list that have neither expired nor been withdrawn: key, and Unix seconds of the expiry.
    fn list<'a>(
        &'a self,
        list: ListId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, BTreeMap<String, u64>>;
}
