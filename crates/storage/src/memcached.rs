//! Records in memcached, over its text protocol.
//!
//! One question of the newer "meta" commands is asked, for the life an old record has left; a server that does not know it
//! (before 1.6) is taken to say that the life is long enough to be cut.
//!
//! The names are written as the reference library's client writes them, see [`crate::names`]. A list of sessions is one value,
//! changed by compare-and-swap. A name longer than memcached takes is not shortened: such a list is not kept
//! (`session_hash_subject` makes names short).

use std::collections::BTreeMap;

use session::metadata::{collection_name, latest};
use session::record_name;
use zeroize::Zeroizing;

use crate::lists::{self, Change};
use crate::names::escaped;
use crate::wire::{Connection, Exchange, Wire, nonsense};
use crate::{
    Answer, Common, ConfigError, Deadline, Error, ListId, MetaEntry, RecordId, RecordWrite, Server,
    Storage,
};

/// Port of a server whose line names none.
pub const DEFAULT_PORT: u16 = 11211;

/// Longest name memcached takes.
const NAME_LIMIT: usize = 250;
/// What prefix and suffix may take of it, so that there is room for cookie name and key.
const AFFIXES_LIMIT: usize = 100;
/// A larger expiry is a Unix time to memcached.
const RELATIVE_LIMIT: u64 = 30 * 24 * 3600;
/// Times a list is tried to be changed before somebody else changes it.
const LIST_ATTEMPTS: usize = 16;

/// A `session_backend` of type memcached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemcachedConfig {
    /// What all servers have. With a username and a password the server must run with `--auth-file`.
    pub common: Common,
    /// The server.
    pub server: Server,
}

/// A memcached server.
pub struct Memcached {
    prefix: Option<String>,
    suffix: Option<String>,
    login: Option<Zeroizing<Vec<u8>>>,
    wire: Wire,
}

impl Memcached {
    /// Prepares the connections; none is made yet.
    ///
    /// # Errors
    /// When the lines contradict each other or TLS cannot be set up.
    pub fn new(config: MemcachedConfig) -> Result<Self, ConfigError> {
        let MemcachedConfig { common, server } = config;
        let affixes = [&common.prefix, &common.suffix];
        let size: usize = affixes
            .into_iter()
            .flatten()
            .map(|a| escaped(a).len())
            .sum();
        if size > AFFIXES_LIMIT {
            return Err(ConfigError::Wrong(format!(
                "has a prefix and a suffix of {size} characters, memcached has room for {AFFIXES_LIMIT}"
            )));
        }
        Ok(Self {
            login: login(&common)?,
            wire: Wire::new(&common, &server)?,
            prefix: common.prefix,
            suffix: common.suffix,
        })
    }

    fn record(&self, cookie: &str, key: &str) -> Result<String, Error> {
        let (prefix, suffix) = (self.prefix.as_deref(), self.suffix.as_deref());
        short(escaped(&record_name(prefix, cookie, key, suffix)))
    }

    fn list_name(&self, cookie: &str, entry: &MetaEntry) -> Result<String, Error> {
        let (prefix, suffix) = (self.prefix.as_deref(), self.suffix.as_deref());
        short(escaped(&collection_name(prefix, cookie, entry, suffix)))
    }

    async fn run<T: Task>(&self, task: T, deadline: Deadline) -> Result<T::Reply, Error> {
        let visit = Visit {
            login: self.login.as_ref(),
            task,
        };
        self.wire.run(&visit, deadline).await
    }

    async fn write(&self, write: &RecordWrite, deadline: Deadline) -> Result<(), Error> {
        let cookie = &write.name_cookie;
        let old = write.old_key.as_deref().filter(|old| *old != write.key);
        let old = old.map(|old| self.record(cookie, old)).transpose()?;
        let put = Put {
            name: &self.record(cookie, &write.key)?,
            value: &write.value,
            expires: exptime(write.ttl.into(), write.now),
            old: old.as_deref(),
        };
        let old_life = self.run(put, deadline).await?;
        // The session is safe by now. What follows may fail.
        let deadline = lists::patience(deadline);
        if let Some(name) = old.filter(|_| old_life.is_above(write.stale_ttl)) {
            let cut = match write.stale_ttl {
                0 => format!("delete {name}\r\n"),
                ttl => format!("touch {name} {}\r\n", exptime(ttl.into(), write.now)),
            };
            let _ = self.run(Say(&cut), deadline).await;
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
        let name = self.record(record.cookie, record.key)?;
        let reply = self
            .run(Say(&format!("delete {name}\r\n")), deadline)
            .await?;
        if !matches!(reply.as_str(), "DELETED" | "NOT_FOUND") {
            return Err(refusal(&reply));
        }
        let changes = lists::of_removal(metadata, record.key);
        let deadline = lists::patience(deadline);
        self.change(record.cookie, &changes, now, deadline).await;
        Ok(())
    }

    async fn change(&self, cookie: &str, changes: &[Change<'_>], now: u64, deadline: Deadline) {
        for change in changes {
            if let Ok(name) = self.list_name(cookie, change.entry) {
                let change = ChangeList {
                    name: &name,
                    change,
                    now,
                };
                let _ = self.run(change, deadline).await;
            }
        }
    }

    async fn sessions(
        &self,
        list: ListId<'_>,
        now: u64,
        deadline: Deadline,
    ) -> Result<BTreeMap<String, u64>, Error> {
        let name = self.list_name(list.cookie, list.entry)?;
        let text = self.run(Get(&name), deadline).await?.unwrap_or_default();
        latest(&text, now).map_err(|error| Error::BadReply(error.to_string()))
    }
}

impl Storage for Memcached {
    fn get<'a>(
        &'a self,
        record: RecordId<'a>,
        _now: u64,
        deadline: Deadline,
    ) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let name = self.record(record.cookie, record.key)?;
            self.run(Get(&name), deadline).await
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

/// How `--auth-file` wants to hear it. It is no item: a server without that option forgets it at once.
fn login(common: &Common) -> Result<Option<Zeroizing<Vec<u8>>>, ConfigError> {
    match (&common.username, &common.password) {
        (None, None) => Ok(None),
        (Some(username), Some(password)) => {
            let proof = Zeroizing::new(format!("{username} {}", password.expose()));
            let line = format!("set login 0 -1 {}\r\n", proof.len());
            let question = [line.as_bytes(), proof.as_bytes(), b"\r\n"].concat();
            Ok(Some(Zeroizing::new(question)))
        }
        _ => Err(ConfigError::Wrong(
            "needs both a username and a password, or neither".into(),
        )),
    }
}

fn short(name: String) -> Result<String, Error> {
    match name.len() <= NAME_LIMIT {
        true => Ok(name),
        false => Err(Error::Refused(format!(
            "memcached takes names of {NAME_LIMIT} characters, this one has {}; shorten prefix, suffix and cookie name, \
             or set session_hash_subject",
            name.len()
        ))),
    }
}

/// When something ends, as memcached wants it said. Never 0, which means never.
fn exptime(ttl: u64, now: u64) -> u64 {
    match ttl {
        0 => 1,
        ttl if ttl > RELATIVE_LIMIT => now + ttl,
        ttl => ttl,
    }
}

/// What is done on a connection.
trait Task: Sync {
    type Reply: Send;

    fn on(
        &self,
        connection: &mut Connection,
    ) -> impl Future<Output = Result<Self::Reply, Error>> + Send;
}

/// A task, after the login on a new connection.
struct Visit<'a, T> {
    login: Option<&'a Zeroizing<Vec<u8>>>,
    task: T,
}

impl<T: Task> Exchange for Visit<'_, T> {
    type Reply = T::Reply;

    async fn on(&self, connection: &mut Connection) -> Result<T::Reply, Error> {
        if let Some(login) = self.login.filter(|_| connection.is_fresh()) {
            connection.send(login).await?;
            if connection.line().await? != "STORED" {
                return Err(Error::Refused("wrong username or password".into()));
            }
        }
        self.task.on(connection).await
    }
}

/// A question whose answer is one line.
struct Say<'a>(&'a str);

impl Task for Say<'_> {
    type Reply = String;

    async fn on(&self, connection: &mut Connection) -> Result<String, Error> {
        connection.send(self.0.as_bytes()).await?;
        connection.line().await
    }
}

/// Reads a value.
struct Get<'a>(&'a str);

impl Task for Get<'_> {
    type Reply = Option<Vec<u8>>;

    async fn on(&self, connection: &mut Connection) -> Result<Option<Vec<u8>>, Error> {
        let found = read(connection, "get", self.0).await?;
        Ok(found.map(|(value, _)| value))
    }
}

/// Reads a value, and with `gets` its version.
async fn read(
    connection: &mut Connection,
    command: &str,
    name: &str,
) -> Result<Option<(Vec<u8>, u64)>, Error> {
    let question = format!("{command} {name}\r\n");
    connection.send(question.as_bytes()).await?;
    let line = connection.line().await?;
    let words: Vec<&str> = line.split(' ').collect();
    let (size, version) = match words[..] {
        ["END"] => return Ok(None),
        ["VALUE", of, _, size] if of == name => (size, "0"),
        ["VALUE", of, _, size, version] if of == name => (size, version),
        ["VALUE", ..] => return Err(nonsense("a value that was not asked for")),
        _ => return Err(refusal(&line)),
    };
    let (Ok(size), Ok(version)) = (size.parse(), version.parse()) else {
        return Err(nonsense("a value without a size"));
    };
    let value = connection.value(size).await?;
    match connection.line().await?.as_str() {
        "END" => Ok(Some((value, version))),
        _ => Err(nonsense("more values than asked for")),
    }
}

/// Writes a record, and asks for the life of the one it replaces.
struct Put<'a> {
    name: &'a str,
    value: &'a str,
    expires: u64,
    old: Option<&'a str>,
}

impl Task for Put<'_> {
    type Reply = Life;

    async fn on(&self, connection: &mut Connection) -> Result<Life, Error> {
        let (name, value, expires) = (self.name, self.value, self.expires);
        let mut question = format!("set {name} 0 {expires} {}\r\n{value}\r\n", value.len());
        if let Some(old) = self.old {
            question.push_str(&format!("mg {old} t\r\n"));
        }
        connection.send(question.as_bytes()).await?;
        let stored = connection.line().await?;
        let life = match self.old {
            Some(_) => Life::parse(&connection.line().await?),
            None => Life::Over,
        };
        match stored.as_str() {
            "STORED" => Ok(life),
            _ if stored.contains("too large") => Err(Error::TooLarge {
                size: value.len(),
                limit: item_limit(connection).await?,
            }),
            _ => Err(refusal(&stored)),
        }
    }
}

/// What the server says to be its largest item.
async fn item_limit(connection: &mut Connection) -> Result<usize, Error> {
    connection.send(b"stats settings\r\n").await?;
    let mut limit = 1 << 20;
    loop {
        let line = connection.line().await?;
        match line.strip_prefix("STAT ") {
            Some(stat) => {
                let size = stat.strip_prefix("item_size_max ");
                limit = size.and_then(|size| size.parse().ok()).unwrap_or(limit);
            }
            None => return Ok(limit),
        }
    }
}

/// The life a record has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    /// There is no such record.
    Over,
    Seconds(u32),
    /// There is no end, or the server cannot say.
    Long,
}

impl Life {
    fn parse(line: &str) -> Self {
        match line {
            "EN" => Self::Over,
            _ => match line.strip_prefix("HD t").map(str::parse) {
                Some(Ok(seconds)) => Self::Seconds(seconds),
                _ => Self::Long,
            },
        }
    }

    fn is_above(self, seconds: u32) -> bool {
        match self {
            Self::Over => false,
            Self::Seconds(left) => left > seconds,
            Self::Long => true,
        }
    }
}

/// Changes a list of sessions.
struct ChangeList<'a> {
    name: &'a str,
    change: &'a Change<'a>,
    now: u64,
}

impl Task for ChangeList<'_> {
    type Reply = ();

    async fn on(&self, connection: &mut Connection) -> Result<(), Error> {
        for _ in 0..LIST_ATTEMPTS {
            let before = read(connection, "gets", self.name).await?;
            let text = before.as_ref().map_or(&b""[..], |(text, _)| text);
            let question = match (self.change.applied(text, self.now), &before) {
                (None, None) => return Ok(()),
                (Some(list), None) => self.store("add", &list.text, self.until(list.expires), ""),
                (Some(list), Some((_, version))) => {
                    let version = format!(" {version}");
                    self.store("cas", &list.text, self.until(list.expires), &version)
                }
                // An expiry in the past: the list is gone, if nobody changed it meanwhile.
                (None, Some((_, version))) => self.store("cas", "", -1, &format!(" {version}")),
            };
            connection.send(question.as_bytes()).await?;
            match connection.line().await?.as_str() {
                "STORED" => return Ok(()),
                "EXISTS" | "NOT_FOUND" | "NOT_STORED" => {}
                other => return Err(refusal(other)),
            }
        }
        Ok(())
    }
}

impl ChangeList<'_> {
    fn until(&self, expires: u64) -> i64 {
        let ttl = expires.saturating_sub(self.now);
        i64::try_from(exptime(ttl, self.now)).unwrap_or(i64::MAX)
    }

    fn store(&self, command: &str, text: &str, expires: i64, version: &str) -> String {
        let (name, size) = (self.name, text.len());
        format!("{command} {name} 0 {expires} {size}{version}\r\n{text}\r\n")
    }
}

/// The error that a line of the server means, which is not the one hoped for. The line itself may hold a name.
fn refusal(line: &str) -> Error {
    if line.starts_with("SERVER_ERROR out of memory") {
        Error::Full
    } else if line.starts_with("SERVER_ERROR") {
        Error::Unavailable("memcached has an error of its own".into())
    } else if line.starts_with("ERROR Too many open connections") {
        Error::Unavailable("memcached has too many connections".into())
    } else if line.starts_with("CLIENT_ERROR unauthenticated") {
        Error::Refused("memcached wants a username and a password".into())
    } else {
        nonsense("not what memcached answers")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn config(common: Common) -> MemcachedConfig {
        let server = Server::parse("127.0.0.1", DEFAULT_PORT).unwrap();
        MemcachedConfig { common, server }
    }

    #[test]
    fn an_expiry_is_relative_up_to_thirty_days_and_never_never() {
        assert_eq!(exptime(0, 1_700_000_000), 1);
        assert_eq!(exptime(2_592_000, 1_700_000_000), 2_592_000);
        assert_eq!(exptime(2_592_001, 1_700_000_000), 1_702_592_001);
    }

    #[test]
    fn the_life_of_an_old_record() {
        for (line, life) in [
            ("EN", Life::Over),
            ("HD t5", Life::Seconds(5)),
            ("HD t-1", Life::Long),
            ("ERROR", Life::Long),
        ] {
            assert_eq!(Life::parse(line), life, "{line}");
        }
        assert!(Life::Seconds(11).is_above(10) && !Life::Seconds(10).is_above(10));
    }

    #[test]
    fn names_are_as_the_reference_client_writes_them() {
        let common = Common {
            prefix: Some("p".into()),
            ..Common::default()
        };
        let memcached = Memcached::new(config(common)).unwrap();
        assert_eq!(memcached.record("sid", "K-_").unwrap(), "p%3Asid%3AK-_");
        let long = "c".repeat(300);
        assert!(matches!(
            memcached.record(&long, "K"),
            Err(Error::Refused(_))
        ));
    }

    #[test]
    fn contradictions_are_named() {
        let half = Common {
            username: Some("u".into()),
            ..Common::default()
        };
        let long = Common {
            prefix: Some("p".repeat(101)),
            ..Common::default()
        };
        for common in [half, long] {
            assert!(Memcached::new(config(common)).is_err());
        }
        let both = Common {
            username: Some("u".into()),
            password: Some(Secret::new("pw".into())),
            ..Common::default()
        };
        let memcached = Memcached::new(config(both)).unwrap();
        assert_eq!(
            memcached.login.unwrap().as_slice(),
            b"set login 0 -1 4\r\nu pw\r\n"
        );
    }
}
