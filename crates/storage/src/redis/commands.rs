//! The commands of each operation, and what their replies mean. Any connection will do.

use std::collections::BTreeMap;
use std::slice;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use ::redis::{Cmd, ServerErrorKind, Value, cmd};
use session::metadata::collection_name;
use session::record_name;

use super::fault;
use crate::{Error, MetaEntry, RecordId, RecordWrite};

/// Bytes of the largest value a server takes unless its configuration says otherwise.
const LARGEST_VALUE: usize = 512 << 20;
/// Digits of a lifetime.
const MOST_DIGITS: usize = 10;

/// Commands that are sent at once.
pub(super) type Batch<'a> = [&'a Cmd];

/// Every command has a reply that it can have, which may be the server's error.
///
/// # Errors
/// If commands and replies are out of step on a connection: then the next reply is somebody else's record.
pub(super) fn check(batch: &Batch<'_>, replies: &[Value]) -> Result<(), Error> {
    let mut pairs = batch.iter().zip(replies);
    match replies.len() == batch.len() && pairs.all(|(command, reply)| fits(command, reply)) {
        true => Ok(()),
        false => Err(Error::BadReply(
            "it is not Redis, or was cut off".to_owned(),
        )),
    }
}

fn fits(command: &Cmd, reply: &Value) -> bool {
    match (argument(command, 0), reply) {
        (_, Value::ServerError(_)) => true,
        (b"PING", Value::SimpleString(text)) => text == "PONG",
        (_, Value::SimpleString(text)) => text == "QUEUED",
        (b"GET", reply) => matches!(reply, Value::Nil | Value::BulkString(_)),
        (b"EXEC" | b"ZRANGE" | b"ROLE" | b"CLUSTER", reply) => matches!(reply, Value::Array(_)),
        (b"SENTINEL", reply) => matches!(reply, Value::Nil | Value::Array(_)),
        (b"SET" | b"MULTI" | b"ASKING" | b"AUTH" | b"SELECT", reply) => *reply == Value::Okay,
        (_, reply) => matches!(reply, Value::Int(_)),
    }
}

/// The name of the record or list that a command is about.
pub(super) fn name_of(command: &Cmd) -> &[u8] {
    argument(command, 1)
}

fn argument(command: &Cmd, index: usize) -> &[u8] {
    match command.args_iter().nth(index) {
        Some(::redis::Arg::Simple(argument)) => argument,
        _ => b"",
    }
}

/// Names records and lists.
pub(super) struct Names {
    pub(super) prefix: Option<String>,
    pub(super) suffix: Option<String>,
}

impl Names {
    pub(super) fn record(&self, cookie: &str, key: &str) -> String {
        record_name(self.prefix.as_deref(), cookie, key, self.suffix.as_deref())
    }

    pub(super) fn list(&self, cookie: &str, entry: &MetaEntry) -> String {
        collection_name(
            self.prefix.as_deref(),
            cookie,
            entry,
            self.suffix.as_deref(),
        )
    }
}

/// Reads a record.
pub(super) fn get(name: &str) -> Cmd {
    let mut get = Cmd::with_capacity(2, "GET".len() + name.len());
    get.arg("GET").arg(name);
    get
}

/// Reads a list.
pub(super) fn list(name: &str, now: u64) -> Cmd {
    let mut zrange = cmd("ZRANGE");
    zrange.arg(name).arg(format!("({now}")).arg("+inf");
    zrange.arg("BYSCORE").arg("WITHSCORES");
    zrange
}

/// Removes a record, and its key from lists.
pub(super) fn delete(
    names: &Names,
    name: &str,
    record: RecordId<'_>,
    metadata: &[MetaEntry],
    now: u64,
) -> Vec<Cmd> {
    let mut unlink = cmd("UNLINK");
    unlink.arg(name);
    let mut commands = vec![unlink];
    for entry in metadata {
        let list = names.list(record.cookie, entry);
        commands.push(zrem(&list, record.key));
        commands.push(zrem_expired(&list, now));
    }
    commands
}

fn zrem(list: &str, key: &str) -> Cmd {
    let mut zrem = cmd("ZREM");
    zrem.arg(list).arg(key);
    zrem
}

fn zrem_expired(list: &str, now: u64) -> Cmd {
    let mut zremrangebyscore = cmd("ZREMRANGEBYSCORE");
    zremrangebyscore.arg(list).arg(0).arg(now.saturating_sub(1));
    zremrangebyscore
}

fn zadd(list: &str, key: &str, expires: u64) -> Cmd {
    let mut zadd = cmd("ZADD");
    zadd.arg(list).arg(expires).arg(key);
    zadd
}

fn expire(name: &str, seconds: u32, option: Option<&str>) -> Cmd {
    let mut expire = cmd("EXPIRE");
    expire.arg(name).arg(seconds).arg(option);
    expire
}

static MULTI: LazyLock<Cmd> = LazyLock::new(|| cmd("MULTI"));
static EXEC: LazyLock<Cmd> = LazyLock::new(|| cmd("EXEC"));

/// The writing of a record, and what follows from it.
pub(super) struct Save {
    record: Cmd,
    rest: Vec<Step>,
}

enum Step {
    Command(Cmd),
    Life {
        name: String,
        life: Life,
        /// For servers since Redis 7.
        commands: Vec<Cmd>,
    },
}

impl Step {
    fn life(name: String, life: Life) -> Self {
        let commands = life.commands(&name);
        Self::Life {
            name,
            life,
            commands,
        }
    }

    /// For servers since Redis 7.
    fn commands(&self) -> &[Cmd] {
        match self {
            Self::Command(command) => slice::from_ref(command),
            Self::Life { commands, .. } => commands,
        }
    }
}

/// A limit to the life of something that may be there already, in seconds.
#[derive(Clone, Copy)]
enum Life {
    AtMost(u32),
    AtLeast(u32),
}

impl Life {
    /// Servers since Redis 7 compare by themselves. What never expires counts as the longest life, so it takes `NX` besides
    /// `GT` to give a new list a life.
    fn commands(self, name: &str) -> Vec<Cmd> {
        match self {
            Self::AtMost(seconds) => vec![expire(name, seconds, Some("LT"))],
            Self::AtLeast(seconds) => vec![
                expire(name, seconds, Some("NX")),
                expire(name, seconds, Some("GT")),
            ],
        }
    }

    /// For older servers we do, with the answer to `TTL`: seconds, -1 for ever, -2 for what is not there.
    fn command(self, name: &str, ttl: i64) -> Option<Cmd> {
        let (seconds, needed) = match self {
            Self::AtMost(seconds) => (seconds, ttl == -1 || ttl > i64::from(seconds)),
            Self::AtLeast(seconds) => (seconds, ttl < i64::from(seconds)),
        };
        needed.then(|| expire(name, seconds, None))
    }
}

impl Save {
    pub(super) fn new(names: &Names, write: &RecordWrite) -> Result<Self, Error> {
        if write.value.len() > LARGEST_VALUE {
            return Err(Error::TooLarge {
                size: write.value.len(),
                limit: LARGEST_VALUE,
            });
        }
        let cookie = &write.name_cookie;
        let ttl = write.ttl.max(1);
        let name = names.record(cookie, &write.key);
        let size = "SETEX".len() + name.len() + write.value.len() + MOST_DIGITS;
        let mut set = Cmd::with_capacity(5, size);
        set.arg("SET")
            .arg(name)
            .arg(&write.value)
            .arg("EX")
            .arg(ttl);
        let mut rest = Vec::new();
        if let Some(old) = &write.old_key {
            let life = Life::AtMost(write.stale_ttl);
            rest.push(Step::life(names.record(cookie, old), life));
            let withdrawn = write.withdrawn.iter();
            rest.extend(
                withdrawn.map(|entry| Step::Command(zrem(&names.list(cookie, entry), old))),
            );
        }
        for entry in &write.metadata {
            enlist(&mut rest, names.list(cookie, entry), write, ttl);
        }
        Ok(Self { record: set, rest })
    }

    /// Nothing follows from it.
    pub(super) fn is_all(&self) -> bool {
        self.rest.is_empty()
    }

    /// The record alone.
    pub(super) fn record(&self) -> &Cmd {
        &self.record
    }

    /// All at once, or nothing. For servers since Redis 7.
    pub(super) fn transaction(&self) -> Vec<&Cmd> {
        let mut commands = vec![&*MULTI, &self.record];
        commands.extend(self.commands());
        commands.push(&EXEC);
        commands
    }

    /// All but the record. For servers since Redis 7.
    pub(super) fn rest(&self) -> Vec<&Cmd> {
        self.commands().collect()
    }

    fn commands(&self) -> impl Iterator<Item = &Cmd> {
        self.rest.iter().flat_map(Step::commands)
    }

    /// By the replies to [`rest`](Self::rest), the server is older than Redis 7.
    pub(super) fn rest_lacks_expire_options(
        &self,
        replies: impl IntoIterator<Item = Result<Value, Error>>,
    ) -> bool {
        let mut both = self.commands().zip(replies);
        both.any(|(command, reply)| {
            argument(command, 0) == b"EXPIRE"
                && matches!(reply, Ok(Value::ServerError(error)) if error.kind() == Some(ServerErrorKind::ResponseError))
        })
    }

    /// Asks for the lives of what has a limit to its life.
    pub(super) fn lives(&self) -> Vec<Cmd> {
        let ttl = |step: &Step| match step {
            Step::Command(_) => None,
            Step::Life { name, .. } => {
                let mut ttl = cmd("TTL");
                ttl.arg(name);
                Some(ttl)
            }
        };
        self.rest.iter().filter_map(ttl).collect()
    }

    /// All but the record, given the replies to [`lives`](Self::lives). What has an unknown life keeps it.
    pub(super) fn rest_for_lives(&self, lives: &[Result<Value, Error>]) -> Vec<Cmd> {
        let mut lives = lives.iter();
        let command = |step: &Step| match step {
            Step::Command(command) => Some(command.clone()),
            Step::Life { name, life, .. } => match lives.next() {
                Some(Ok(Value::Int(ttl))) => life.command(name, *ttl),
                _ => None,
            },
        };
        self.rest.iter().filter_map(command).collect()
    }
}

/// Adds first: a list that is empty in between is gone, with its expiry.
fn enlist(steps: &mut Vec<Step>, list: String, write: &RecordWrite, ttl: u32) {
    let expires = write.now.saturating_add(u64::from(ttl));
    steps.push(Step::Command(zadd(&list, &write.key, expires)));
    if let Some(old) = &write.old_key {
        steps.push(Step::Command(zrem(&list, old)));
    }
    steps.push(Step::Command(zrem_expired(&list, write.now)));
    steps.push(Step::life(list, Life::AtLeast(ttl)));
}

/// How a transaction went.
pub(super) enum Transaction {
    /// The replies of its commands.
    Executed(Vec<Value>),
    /// The server refused to begin it and did its commands one by one; their replies.
    Apart(Vec<Value>),
    /// Nothing was done, for a reason that lies in other commands than the first.
    Aborted,
}

impl Transaction {
    /// Reads the replies from `MULTI` to `EXEC`.
    ///
    /// # Errors
    /// When nothing was done, for a reason that lies in the first command.
    pub(super) fn read(mut replies: Vec<Value>) -> Result<Self, Error> {
        let exec = replies.pop().unwrap_or(Value::Nil);
        let mut replies = replies.into_iter();
        if replies.next() != Some(Value::Okay) {
            return Ok(Self::Apart(replies.collect()));
        }
        match exec {
            Value::Array(executed) if executed.len() == replies.len() => {
                Ok(Self::Executed(executed))
            }
            Value::ServerError(_) => match replies.next() {
                Some(Value::ServerError(error)) => Err(fault::refused(&error)),
                _ => Ok(Self::Aborted),
            },
            _ => Err(unexpected("EXEC")),
        }
    }

    /// The replies of its commands; remembers whether the server knows transactions.
    pub(super) fn executed(self, multi_is_allowed: &AtomicBool) -> Option<Vec<Value>> {
        match self {
            Self::Executed(replies) => Some(replies),
            Self::Apart(replies) => {
                multi_is_allowed.store(false, Ordering::Relaxed);
                Some(replies)
            }
            Self::Aborted => None,
        }
    }
}

fn unexpected(command: &str) -> Error {
    Error::BadReply(format!("the reply to {command} is none that it can have"))
}

/// The reply to `SET`.
pub(super) fn done(reply: Value) -> Result<(), Error> {
    match fault::answer(reply)? {
        Value::Okay => Ok(()),
        _ => Err(unexpected("SET")),
    }
}

/// The reply to `UNLINK`.
pub(super) fn counted(reply: Value) -> Result<(), Error> {
    match fault::answer(reply)? {
        Value::Int(_) => Ok(()),
        _ => Err(unexpected("UNLINK")),
    }
}

/// The reply to `GET`.
pub(super) fn record(reply: Value) -> Result<Option<Vec<u8>>, Error> {
    match fault::answer(reply)? {
        Value::Nil => Ok(None),
        Value::BulkString(value) => Ok(Some(value)),
        _ => Err(unexpected("GET")),
    }
}

/// The reply to `ZRANGE … WITHSCORES`.
pub(super) fn listed(reply: Value) -> Result<BTreeMap<String, u64>, Error> {
    let Value::Array(items) = fault::answer(reply)? else {
        return Err(unexpected("ZRANGE"));
    };
    let pairs = items.chunks(2).map(|pair| match pair {
        [Value::BulkString(key), Value::BulkString(score)] => {
            let key = String::from_utf8(key.clone()).ok()?;
            Some((key, expiry(score)?))
        }
        _ => None,
    });
    let pairs: Option<BTreeMap<_, _>> = pairs.collect();
    pairs.ok_or_else(|| unexpected("ZRANGE"))
}

/// A score is a decimal fraction; ours are whole.
fn expiry(score: &[u8]) -> Option<u64> {
    let score: f64 = std::str::from_utf8(score).ok()?.parse().ok()?;
    (score >= 0.0).then_some(score as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn write() -> RecordWrite {
        RecordWrite {
            name_cookie: "sid".into(),
            key: "new".into(),
            value: "v".into(),
            ttl: 100,
            old_key: Some("old".into()),
            stale_ttl: 10,
            metadata: vec![MetaEntry::new("a", "s", false)],
            withdrawn: vec![MetaEntry::new("b", "s", false)],
            now: 1000,
        }
    }

    fn save() -> Save {
        let names = Names {
            prefix: Some("p".into()),
            suffix: None,
        };
        Save::new(&names, &write()).unwrap()
    }

    fn text<'a>(commands: impl IntoIterator<Item = &'a Cmd>) -> Vec<String> {
        let line = |command: &Cmd| {
            let words = command.args_iter().map(|argument| match argument {
                ::redis::Arg::Simple(word) => String::from_utf8_lossy(word).into_owned(),
                _ => String::new(),
            });
            words.collect::<Vec<_>>().join(" ")
        };
        commands.into_iter().map(line).collect()
    }

    #[test]
    fn a_save_since_redis_7() {
        assert_eq!(
            text(save().transaction()),
            [
                "MULTI",
                "SET p:sid:new v EX 100",
                "EXPIRE p:sid:old 10 LT",
                "ZREM p:sid:Yg:cw old",
                "ZADD p:sid:YQ:cw 1100 new",
                "ZREM p:sid:YQ:cw old",
                "ZREMRANGEBYSCORE p:sid:YQ:cw 0 999",
                "EXPIRE p:sid:YQ:cw 100 NX",
                "EXPIRE p:sid:YQ:cw 100 GT",
                "EXEC",
            ]
        );
    }

    #[test]
    fn a_save_before_redis_7_asks_for_lives() {
        let save = save();
        assert_eq!(text(&save.lives()), ["TTL p:sid:old", "TTL p:sid:YQ:cw"]);
        let expires = |old: i64, list: i64| {
            let lives = [Ok(Value::Int(old)), Ok(Value::Int(list))];
            let commands = text(&save.rest_for_lives(&lives)).into_iter();
            commands
                .filter(|command| command.starts_with("EXPIRE"))
                .collect::<Vec<_>>()
        };
        let (old, list) = ("EXPIRE p:sid:old 10", "EXPIRE p:sid:YQ:cw 100");
        assert_eq!(expires(50, 50), [old, list]);
        assert_eq!(expires(-1, -1), [old, list]);
        assert_eq!(expires(-2, -2), [list]);
        assert_eq!(expires(5, 500), [] as [&str; 0]);
        assert_eq!(save.rest_for_lives(&[]).len(), 4);
    }

    #[test]
    fn replies_out_of_step_are_noticed() {
        let reply = |text: &str| ::redis::parse_redis_value(text.as_bytes()).unwrap();
        for (name, good, wrong) in [
            ("GET", "$1\r\nx\r\n", "+OK\r\n"),
            ("SET", "+OK\r\n", "$1\r\nx\r\n"),
            ("EXPIRE", ":1\r\n", "+OK\r\n"),
            ("ZADD", "+QUEUED\r\n", "$-1\r\n"),
            ("ZRANGE", "*0\r\n", ":1\r\n"),
            ("PING", "+PONG\r\n", "+OK\r\n"),
            ("GET", "-ERR x\r\n", "+PONG\r\n"),
        ] {
            assert!(fits(&cmd(name), &reply(good)), "{name}");
            assert!(!fits(&cmd(name), &reply(wrong)), "{name}");
        }
    }

    #[test]
    fn a_score_is_an_expiry() {
        assert_eq!(expiry(b"1700000000"), Some(1_700_000_000));
        assert_eq!(expiry(b"1.5"), Some(1));
        for wrong in [&b"-1"[..], b"x", b"nan", b""] {
            assert_eq!(expiry(wrong), None);
        }
    }

    fn error(text: &str) -> Value {
        ::redis::parse_redis_value(format!("-{text}\r\n").as_bytes()).unwrap()
    }

    #[test]
    fn a_transaction_is_all_or_nothing() {
        let queued = || Value::SimpleString("QUEUED".into());
        let allowed = AtomicBool::new(true);
        let read = |replies| Transaction::read(replies).map(|t| t.executed(&allowed));
        let both = vec![Value::Okay, Value::Int(1)];
        assert_eq!(
            read(vec![
                Value::Okay,
                queued(),
                queued(),
                Value::Array(both.clone())
            ]),
            Ok(Some(both.clone()))
        );
        let abort = || error("EXECABORT Transaction discarded because of previous errors.");
        assert_eq!(
            read(vec![Value::Okay, error("OOM x"), queued(), abort()]),
            Err(Error::Full)
        );
        assert_eq!(
            read(vec![Value::Okay, queued(), error("ERR arguments"), abort()]),
            Ok(None)
        );
        assert!(read(vec![Value::Okay, queued(), queued(), Value::Array(vec![])]).is_err());
        assert!(allowed.load(Ordering::Relaxed));
        let refused = [
            vec![error("NOPERM x")],
            both.clone(),
            vec![error("ERR EXEC without MULTI")],
        ];
        assert_eq!(read(refused.concat()), Ok(Some(both)));
        assert!(!allowed.load(Ordering::Relaxed));
    }
}
