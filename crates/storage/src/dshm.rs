//! Records in a distributed shared memory (ngx-distributed-shm), over its text protocol.
//!
//! The protocol tells nobody how long a record will live, and a touch may lengthen a life. So two things of ours are in the
//! store, neither of which disturbs other readers:
//!
//! * behind the JSON of a record there are 40 blanks and tabs that spell the time of its end, see [`Ending`];
//! * beside a record that was cut to its stale time there is a mark until its end, that it is cut already.
//!
//! A record of the reference library has no such ending; its life is cut as the reference does it, by a touch.
//!
//! A list of sessions is read, changed and written back. The protocol has nothing that keeps two nodes from doing that at the
//! same time; within a worker one follows the other.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use session::metadata::{collection_name, latest};
use session::record_name;
use tokio::sync::{Mutex, MutexGuard};

use crate::lists::{self, Change};
use crate::names::escaped_between_colons;
use crate::wire::{Connection, Exchange, Wire, nonsense};
use crate::{
    Answer, Common, ConfigError, Deadline, Error, ListId, MetaEntry, RecordId, RecordWrite, Server,
    Storage,
};

/// Port of a server whose line names none.
pub const DEFAULT_PORT: u16 = 4321;

/// Lists whose names fall together wait for each other.
const LIST_LOCKS: usize = 64;

/// A `session_backend` of type dshm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DshmConfig {
    /// What all servers have. The protocol knows no password.
    pub common: Common,
    /// The server, one of the nodes that share the memory.
    pub server: Server,
}

/// A node of a distributed shared memory.
pub struct Dshm {
    prefix: Option<String>,
    suffix: Option<String>,
    wire: Wire,
    list_locks: [Mutex<()>; LIST_LOCKS],
    hasher: RandomState,
}

impl Dshm {
    /// Prepares the connections; none is made yet.
    ///
    /// # Errors
    /// When there is a username or a password, or TLS cannot be set up.
    pub fn new(config: DshmConfig) -> Result<Self, ConfigError> {
        let DshmConfig { common, server } = config;
        if common.username.is_some() || common.password.is_some() {
            return Err(ConfigError::Wrong(
                "has a username or a password, but dshm knows neither; use ssl with certificates"
                    .into(),
            ));
        }
        Ok(Self {
            wire: Wire::new(&common, &server)?,
            prefix: common.prefix,
            suffix: common.suffix,
            list_locks: [const { Mutex::const_new(()) }; LIST_LOCKS],
            hasher: RandomState::new(),
        })
    }

    fn record(&self, cookie: &str, key: &str) -> String {
        let (prefix, suffix) = (self.prefix.as_deref(), self.suffix.as_deref());
        escaped_between_colons(&record_name(prefix, cookie, key, suffix))
    }

    fn list_name(&self, cookie: &str, entry: &MetaEntry) -> String {
        let (prefix, suffix) = (self.prefix.as_deref(), self.suffix.as_deref());
        escaped_between_colons(&collection_name(prefix, cookie, entry, suffix))
    }

    async fn write(&self, write: &RecordWrite, deadline: Deadline) -> Result<(), Error> {
        let cookie = &write.name_cookie;
        let old = write.old_key.as_deref().filter(|old| *old != write.key);
        let old = old.map(|old| Old::named(self.record(cookie, old)));
        let put = Put {
            name: &self.record(cookie, &write.key),
            value: Ending(write.now + u64::from(write.ttl)).behind(&write.value),
            ttl: write.ttl,
            old: old.as_ref(),
        };
        let old_life = self.wire.run(&put, deadline).await?;
        // The session is safe by now. What follows may fail.
        let deadline = lists::patience(deadline);
        if let Some(old) = old.filter(|_| old_life.is_after(write.now + u64::from(write.stale_ttl)))
        {
            let cut = Cut {
                old: &old,
                ttl: write.stale_ttl,
            };
            let _ = self.wire.run(&cut, deadline).await;
        }
        self.change(cookie, &lists::of_write(write), write.now, deadline)
            .await;
        Ok(())
    }

    async fn remove(
        &self,
        record: RecordId<'_>,
        metadata: &[MetaEntry],
        now: u64,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let name = self.record(record.cookie, record.key);
        self.wire.run(&Delete(&name), deadline).await?;
        let changes = lists::of_removal(metadata, record.key);
        let deadline = lists::patience(deadline);
        self.change(record.cookie, &changes, now, deadline).await;
        Ok(())
    }

    async fn change(&self, cookie: &str, changes: &[Change<'_>], now: u64, deadline: Deadline) {
        for change in changes {
            let name = self.list_name(cookie, change.entry);
            let Some(_alone) = self.alone(&name, deadline).await else {
                return;
            };
            let change = ChangeList {
                name: &name,
                change,
                now,
            };
            let _ = self.wire.run(&change, deadline).await;
        }
    }

    async fn alone(&self, list: &str, deadline: Deadline) -> Option<MutexGuard<'_, ()>> {
        let hash = self.hasher.hash_one(list) as usize;
        let lock = self.list_locks[hash % LIST_LOCKS].lock();
        let locked = tokio::time::timeout_at(deadline.instant().into(), lock);
        locked.await.ok()
    }

    async fn sessions(
        &self,
        list: ListId<'_>,
        now: u64,
        deadline: Deadline,
    ) -> Result<BTreeMap<String, u64>, Error> {
        let name = self.list_name(list.cookie, list.entry);
        let text = self.wire.run(&Get(&name), deadline).await?;
        latest(&text.unwrap_or_default(), now).map_err(|error| Error::BadReply(error.to_string()))
    }
}

impl Storage for Dshm {
    fn get<'a>(
        &'a self,
        record: RecordId<'a>,
        _now: u64,
        deadline: Deadline,
    ) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let name = self.record(record.cookie, record.key);
            let found = self.wire.run(&Get(&name), deadline).await?;
            Ok(found.map(|mut value| {
                Ending::take(&mut value);
                value
            }))
        })
    }

    fn set<'a>(&'a self, write: &'a RecordWrite, deadline: Deadline) -> Answer<'a, ()> {
        Box::pin(self.write(write, deadline))
    }

    fn delete<'a>(
        &'a self,
        record: RecordId<'a>,
        metadata: &'a [MetaEntry],
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, ()> {
        Box::pin(self.remove(record, metadata, now, deadline))
    }

    fn list<'a>(
        &'a self,
        list: ListId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, BTreeMap<String, u64>> {
        Box::pin(self.sessions(list, now, deadline))
    }
}

/// The end of a record in Unix seconds, 40 bits of it, as blanks (0) and tabs (1), the highest bit first. Readers of JSON skip
/// them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ending(u64);

impl Ending {
    const BITS: usize = 40;

    fn behind(self, value: &str) -> String {
        let bits = (0..Self::BITS).rev().map(|bit| self.0 >> bit & 1);
        let blanks = bits.map(|bit| if bit == 1 { '\t' } else { ' ' });
        value.chars().chain(blanks).collect()
    }

    /// Takes it off a value that has one.
    fn take(value: &mut Vec<u8>) -> Option<Self> {
        let start = value.len().checked_sub(Self::BITS)?;
        let mut time = 0;
        for blank in &value[start..] {
            time = time << 1
                | match blank {
                    b' ' => 0,
                    b'\t' => 1,
                    _ => return None,
                };
        }
        value.truncate(start);
        Some(Self(time))
    }
}

/// A record that is replaced.
struct Old {
    name: String,
    /// Name of the mark that it is cut already.
    mark: String,
}

impl Old {
    fn named(name: String) -> Self {
        let mark = format!("{name}:~stale");
        Self { name, mark }
    }
}

/// What is known about the end of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// There is no such record, or it is cut already.
    Settled,
    Until(u64),
    Unknown,
}

impl Life {
    fn of(old: Option<Vec<u8>>, mark: Option<Vec<u8>>) -> Self {
        match (old, mark) {
            (None, _) | (_, Some(_)) => Self::Settled,
            (Some(mut value), None) => match Ending::take(&mut value) {
                Some(Ending(time)) => Self::Until(time),
                None => Self::Unknown,
            },
        }
    }

    fn is_after(self, time: u64) -> bool {
        match self {
            Self::Settled => false,
            Self::Until(end) => end > time,
            Self::Unknown => true,
        }
    }
}

/// Reads a value.
struct Get<'a>(&'a str);

impl Exchange for Get<'_> {
    type Reply = Option<Vec<u8>>;

    async fn on(&self, connection: &mut Connection) -> Result<Option<Vec<u8>>, Error> {
        let question = format!("get {}\r\n", self.0);
        connection.send(question.as_bytes()).await?;
        read_value(connection).await
    }
}

/// Writes a record, and reads the one it replaces.
struct Put<'a> {
    name: &'a str,
    value: String,
    ttl: u32,
    old: Option<&'a Old>,
}

impl Exchange for Put<'_> {
    type Reply = Life;

    async fn on(&self, connection: &mut Connection) -> Result<Life, Error> {
        let mut question = set(self.name, self.ttl, &self.value);
        if let Some(Old { name, mark }) = self.old {
            question.push_str(&format!("get {name}\r\nget {mark}\r\n"));
        }
        connection.send(question.as_bytes()).await?;
        read_stored(connection, &self.value).await?;
        match self.old {
            None => Ok(Life::Settled),
            Some(_) => {
                let old = read_value(connection).await?;
                Ok(Life::of(old, read_value(connection).await?))
            }
        }
    }
}

/// Cuts the life of a replaced record.
struct Cut<'a> {
    old: &'a Old,
    ttl: u32,
}

impl Exchange for Cut<'_> {
    type Reply = ();

    async fn on(&self, connection: &mut Connection) -> Result<(), Error> {
        const MARK: &str = "cut";
        let (Old { name, mark }, ttl) = (self.old, self.ttl);
        if ttl == 0 {
            return Delete(name).on(connection).await;
        }
        let question = format!("touch {name} {ttl}\r\n{}", set(mark, ttl, MARK));
        connection.send(question.as_bytes()).await?;
        read_done(connection).await?;
        read_stored(connection, MARK).await
    }
}

/// Removes a record, if it is there.
struct Delete<'a>(&'a str);

impl Exchange for Delete<'_> {
    type Reply = ();

    async fn on(&self, connection: &mut Connection) -> Result<(), Error> {
        let question = format!("delete {}\r\n", self.0);
        connection.send(question.as_bytes()).await?;
        read_done(connection).await
    }
}

/// Changes a list of sessions.
struct ChangeList<'a> {
    name: &'a str,
    change: &'a Change<'a>,
    now: u64,
}

impl Exchange for ChangeList<'_> {
    type Reply = ();

    async fn on(&self, connection: &mut Connection) -> Result<(), Error> {
        let before = Get(self.name).on(connection).await?;
        let text = before.as_deref().unwrap_or_default();
        match self.change.applied(text, self.now) {
            None if before.is_none() => Ok(()),
            None => Delete(self.name).on(connection).await,
            Some(list) => {
                let ttl = u32::try_from(list.expires - self.now).unwrap_or(u32::MAX);
                let question = set(self.name, ttl, &list.text);
                connection.send(question.as_bytes()).await?;
                read_stored(connection, &list.text).await
            }
        }
    }
}

/// The question that stores a value. A life of 0 would have no end, one above 31 bits is not understood.
fn set(name: &str, ttl: u32, value: &str) -> String {
    let ttl = ttl.clamp(1, i32::MAX.unsigned_abs());
    format!("set {name} {ttl} {}\r\n{value}", value.len())
}

async fn read_value(connection: &mut Connection) -> Result<Option<Vec<u8>>, Error> {
    let line = connection.line().await?;
    if line == "ERROR not_found" {
        return Ok(None);
    }
    let Some(size) = line.strip_prefix("LEN ").and_then(|size| size.parse().ok()) else {
        return Err(nonsense("not what dshm answers"));
    };
    let value = connection.value(size).await?;
    read_done(connection).await?;
    Ok(Some(value))
}

/// What was stored comes back as an echo.
async fn read_stored(connection: &mut Connection, value: &str) -> Result<(), Error> {
    match read_value(connection).await? {
        Some(echo) if echo == value.as_bytes() => Ok(()),
        _ => Err(nonsense("dshm says that it stored something else")),
    }
}

async fn read_done(connection: &mut Connection) -> Result<(), Error> {
    match connection.line().await?.as_str() {
        "DONE" => Ok(()),
        _ => Err(nonsense("not what dshm answers")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn an_ending_is_read_back_and_is_no_part_of_the_value() {
        let mut value = Ending(1_700_000_000).behind(r#"["p"]"#).into_bytes();
        assert_eq!(value.len(), 5 + 40);
        let json: Vec<String> = serde_json::from_slice(&value).unwrap();
        assert_eq!(json, ["p"]);
        assert_eq!(Ending::take(&mut value), Some(Ending(1_700_000_000)));
        assert_eq!(value, br#"["p"]"#);
        assert_eq!(Ending::take(&mut value), None);
        let mut long = vec![b'x'; 100];
        assert_eq!(Ending::take(&mut long), None);
        assert_eq!(long.len(), 100);
    }

    #[test]
    fn only_a_record_that_lives_on_is_cut() {
        let ours = || Some(Ending(500).behind("[]").into_bytes());
        let mark = || Some(b"cut".to_vec());
        assert_eq!(Life::of(None, None), Life::Settled);
        assert_eq!(Life::of(ours(), mark()), Life::Settled);
        assert_eq!(Life::of(ours(), None), Life::Until(500));
        assert_eq!(Life::of(Some(b"[]".to_vec()), None), Life::Unknown);
        assert!(Life::Until(500).is_after(499) && !Life::Until(500).is_after(500));
    }

    #[test]
    fn a_password_is_refused() {
        let config = |password| DshmConfig {
            common: Common {
                password,
                ..Common::default()
            },
            server: Server::parse("127.0.0.1", DEFAULT_PORT).unwrap(),
        };
        assert!(Dshm::new(config(Some(Secret::new("pw".into())))).is_err());
        let dshm = Dshm::new(config(None)).unwrap();
        assert_eq!(dshm.record("s+d", "K-_"), "s%2Bd:K-_");
    }
}
