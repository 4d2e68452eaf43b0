//! The commands of each operation, and what their replies mean. Any connection will do.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::batch::{Batch, Names, Verb, Word};
use super::fault;
use super::pipe::Replies;
use super::reply::Reply;
use crate::names::Name;
use crate::{Error, MetaEntry, RecordId, RecordWrite};

/// Bytes of the largest value a server takes unless its configuration says otherwise.
const LARGEST_VALUE: usize = 512 << 20;

/// Every command has a reply that it can have, which may be the server's error.
///
/// # Errors
/// If commands and replies are out of step on a connection: then the next reply is somebody else's record.
pub(super) fn check(batch: &Batch, replies: &[Reply]) -> Result<(), Error> {
    let mut pairs = batch.verbs().zip(replies);
    match replies.len() == batch.len() && pairs.all(|(verb, reply)| fits(verb, reply)) {
        true => Ok(()),
        false => Err(Error::BadReply(
            "it is not Redis, or was cut off".to_owned(),
        )),
    }
}

fn fits(verb: Verb, reply: &Reply) -> bool {
    match (verb, reply) {
        (_, Reply::Error(_) | Reply::Queued) => true,
        (Verb::Ping, Reply::Status(text)) => text == "PONG",
        (Verb::Get, reply) => matches!(reply, Reply::Nil | Reply::Text(_)),
        (Verb::Exec | Verb::Zrange | Verb::Role | Verb::Cluster, reply) => {
            matches!(reply, Reply::List(_))
        }
        (Verb::Sentinel, reply) => matches!(reply, Reply::Nil | Reply::List(_)),
        (Verb::Set | Verb::Multi | Verb::Asking | Verb::Auth | Verb::Select, reply) => {
            *reply == Reply::Okay
        }
        (_, reply) => matches!(reply, Reply::Number(_)),
    }
}

/// Reads a record.
pub(super) fn get(name: Name<'_>) -> Batch {
    Batch::of(Verb::Get, &[Word::Name(name)])
}

/// Reads a list.
pub(super) fn list(name: Name<'_>, now: u64) -> Batch {
    let above = format!("({now}");
    let words = [&above, "+inf", "BYSCORE", "WITHSCORES"].map(Word::Text);
    let [above, most, by, with] = words;
    Batch::of(Verb::Zrange, &[Word::Name(name), above, most, by, with])
}

/// Removes a record, and its key from lists.
pub(super) fn delete(
    names: &Names,
    record: RecordId<'_>,
    metadata: &[MetaEntry],
    now: u64,
) -> Batch {
    let name = names.record(record.cookie, record.key);
    let mut batch = Batch::of(Verb::Unlink, &[Word::Name(name)]);
    for entry in metadata {
        let list = names.list(record.cookie, entry);
        zrem(&mut batch, list, record.key);
        zrem_expired(&mut batch, list, now);
    }
    batch
}

fn zrem(batch: &mut Batch, list: Name<'_>, key: &str) {
    batch.push(Verb::Zrem, &[Word::Name(list), Word::Text(key)]);
}

fn zrem_expired(batch: &mut Batch, list: Name<'_>, now: u64) {
    let until = now.saturating_sub(1);
    let words = [Word::Name(list), Word::Number(0), Word::Number(until)];
    batch.push(Verb::Zremrangebyscore, &words);
}

fn zadd(batch: &mut Batch, list: Name<'_>, key: &str, expires: u64) {
    let words = [Word::Name(list), Word::Number(expires), Word::Text(key)];
    batch.push(Verb::Zadd, &words);
}

fn expire(batch: &mut Batch, name: Name<'_>, seconds: u32, option: Option<&str>) {
    let (name, seconds) = (Word::Name(name), Word::Number(seconds.into()));
    match option {
        Some(option) => batch.push(Verb::Expire, &[name, seconds, Word::Text(option)]),
        None => batch.push(Verb::Expire, &[name, seconds]),
    }
}

/// The writing of a record, and what follows from it.
pub(super) struct Save<'a> {
    names: &'a Names,
    write: &'a RecordWrite,
    ttl: u32,
}

/// Something that follows from the writing of a record.
enum Step<'a> {
    Zadd(Name<'a>),
    /// Takes a key from a list.
    Zrem(Name<'a>, &'a str),
    /// Takes what has expired from a list.
    Sweep(Name<'a>),
    Life(Name<'a>, Life),
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
    fn push_to(self, batch: &mut Batch, name: Name<'_>) {
        match self {
            Self::AtMost(seconds) => expire(batch, name, seconds, Some("LT")),
            Self::AtLeast(seconds) => {
                expire(batch, name, seconds, Some("NX"));
                expire(batch, name, seconds, Some("GT"));
            }
        }
    }

    /// For older servers we do, with the answer to `TTL`: seconds, -1 for ever, -2 for what is not there.
    fn push_if_needed(self, batch: &mut Batch, name: Name<'_>, ttl: i64) {
        let (seconds, needed) = match self {
            Self::AtMost(seconds) => (seconds, ttl == -1 || ttl > i64::from(seconds)),
            Self::AtLeast(seconds) => (seconds, ttl < i64::from(seconds)),
        };
        if needed {
            expire(batch, name, seconds, None);
        }
    }
}

impl<'a> Save<'a> {
    pub(super) fn new(names: &'a Names, write: &'a RecordWrite) -> Result<Self, Error> {
        if write.value.len() > LARGEST_VALUE {
            return Err(Error::TooLarge {
                size: write.value.len(),
                limit: LARGEST_VALUE,
            });
        }
        Ok(Self {
            names,
            write,
            ttl: write.ttl.max(1),
        })
    }

    /// Nothing follows from it.
    pub(super) fn is_all(&self) -> bool {
        self.steps().next().is_none()
    }

    /// The record alone.
    pub(super) fn record(&self) -> Batch {
        let mut batch = Batch::with_room(2, self.size_of_record());
        self.push_record(&mut batch);
        batch
    }

    /// All at once, or nothing. For servers since Redis 7.
    pub(super) fn transaction(&self) -> Batch {
        let name = self.name_of(&self.write.key).len();
        let mut batch = Batch::with_room(4, self.size_of_record() + name);
        batch.push(Verb::Multi, &[]);
        self.push_record(&mut batch);
        self.push_rest(&mut batch);
        batch.push(Verb::Exec, &[]);
        batch
    }

    /// All but the record. For servers since Redis 7.
    pub(super) fn rest(&self) -> Batch {
        let mut batch = Batch::default();
        self.push_rest(&mut batch);
        batch
    }

    fn name_of(&self, key: &'a str) -> Name<'a> {
        self.names.record(&self.write.name_cookie, key)
    }

    fn size_of_record(&self) -> usize {
        self.name_of(&self.write.key).len() + self.write.value.len()
    }

    fn push_record(&self, batch: &mut Batch) {
        let words = [
            Word::Name(self.name_of(&self.write.key)),
            Word::Text(&self.write.value),
            Word::Text("EX"),
            Word::Number(self.ttl.into()),
        ];
        batch.push(Verb::Set, &words);
    }

    fn push_rest(&self, batch: &mut Batch) {
        for step in self.steps() {
            match step {
                Step::Life(name, life) => life.push_to(batch, name),
                step => self.push_step(batch, &step),
            }
        }
    }

    /// A step that all servers know; those that limit a life are not.
    fn push_step(&self, batch: &mut Batch, step: &Step<'_>) {
        let write = self.write;
        match step {
            Step::Zadd(list) => {
                let expires = write.now.saturating_add(self.ttl.into());
                zadd(batch, *list, &write.key, expires);
            }
            Step::Zrem(list, key) => zrem(batch, *list, key),
            Step::Sweep(list) => zrem_expired(batch, *list, write.now),
            Step::Life(..) => {}
        }
    }

    fn steps(&self) -> impl Iterator<Item = Step<'a>> + use<'a> {
        let (names, write, ttl) = (self.names, self.write, self.ttl);
        let list = |entry| names.list(&write.name_cookie, entry);
        let old = write.old_key.as_deref();
        let of_old = old.into_iter().flat_map(move |old| {
            let name = names.record(&write.name_cookie, old);
            let withdrawn = write.withdrawn.iter();
            std::iter::once(Step::Life(name, Life::AtMost(write.stale_ttl)))
                .chain(withdrawn.map(move |entry| Step::Zrem(list(entry), old)))
        });
        // Adds first: a list that is empty in between is gone, with its expiry.
        let of_lists = write.metadata.iter().flat_map(move |entry| {
            let list = list(entry);
            [
                Some(Step::Zadd(list)),
                old.map(|old| Step::Zrem(list, old)),
                Some(Step::Sweep(list)),
                Some(Step::Life(list, Life::AtLeast(ttl))),
            ]
        });
        of_old.chain(of_lists.flatten())
    }

    /// Asks for the lives of what has a limit to its life.
    pub(super) fn lives(&self) -> Batch {
        let mut batch = Batch::default();
        for step in self.steps() {
            if let Step::Life(name, _) = step {
                batch.push(Verb::Ttl, &[Word::Name(name)]);
            }
        }
        batch
    }

    /// All but the record, given the replies to [`lives`](Self::lives). What has an unknown life keeps it.
    pub(super) fn rest_for_lives(&self, lives: &[Result<Reply, Error>]) -> Batch {
        let mut lives = lives.iter();
        let mut batch = Batch::default();
        for step in self.steps() {
            match step {
                Step::Life(name, life) => {
                    if let Some(Ok(Reply::Number(ttl))) = lives.next() {
                        life.push_if_needed(&mut batch, name, *ttl);
                    }
                }
                step => self.push_step(&mut batch, &step),
            }
        }
        batch
    }
}

/// By the replies to what follows from a record's writing, the server is older than Redis 7.
pub(super) fn lacks_expire_options(
    verbs: impl Iterator<Item = Verb>,
    replies: impl IntoIterator<Item = Result<Reply, Error>>,
) -> bool {
    verbs.zip(replies).any(|(verb, reply)| {
        verb == Verb::Expire && matches!(reply, Ok(Reply::Error(error)) if error.code() == "ERR")
    })
}

/// How a transaction went.
pub(super) enum Transaction {
    /// The replies of its commands.
    Executed(Vec<Reply>),
    /// The server refused to begin it and did its commands one by one; their replies.
    Apart(Vec<Reply>),
    /// Nothing was done, for a reason that lies in other commands than the first.
    Aborted,
}

impl Transaction {
    /// Reads the replies from `MULTI` to `EXEC`.
    ///
    /// # Errors
    /// When nothing was done, for a reason that lies in the first command.
    pub(super) fn read(mut replies: Replies) -> Result<Self, Error> {
        let exec = replies.pop().unwrap_or(Reply::Nil);
        let mut replies = replies.into_iter();
        if replies.next() != Some(Reply::Okay) {
            return Ok(Self::Apart(replies.collect()));
        }
        match exec {
            Reply::List(executed) if executed.len() == replies.len() => {
                Ok(Self::Executed(executed))
            }
            Reply::Error(_) => match replies.next() {
                Some(Reply::Error(error)) => Err(fault::refused(&error)),
                _ => Ok(Self::Aborted),
            },
            _ => Err(unexpected("EXEC")),
        }
    }

    /// The replies of its commands; remembers whether the server knows transactions.
    pub(super) fn executed(self, multi_is_allowed: &AtomicBool) -> Option<Vec<Reply>> {
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
pub(super) fn done(reply: Reply) -> Result<(), Error> {
    match fault::answer(reply)? {
        Reply::Okay => Ok(()),
        _ => Err(unexpected("SET")),
    }
}

/// The reply to `UNLINK`.
pub(super) fn counted(reply: Reply) -> Result<(), Error> {
    match fault::answer(reply)? {
        Reply::Number(_) => Ok(()),
        _ => Err(unexpected("UNLINK")),
    }
}

/// The reply to `GET`.
pub(super) fn record(reply: Reply) -> Result<Option<Vec<u8>>, Error> {
    match fault::answer(reply)? {
        Reply::Nil => Ok(None),
        Reply::Text(value) => Ok(Some(value)),
        _ => Err(unexpected("GET")),
    }
}

/// The reply to `ZRANGE … WITHSCORES`.
pub(super) fn listed(reply: Reply) -> Result<BTreeMap<String, u64>, Error> {
    let Reply::List(items) = fault::answer(reply)? else {
        return Err(unexpected("ZRANGE"));
    };
    let pairs = items.chunks(2).map(|pair| match pair {
        [Reply::Text(key), Reply::Text(score)] => {
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
    use crate::redis::batch::tests::text;
    use crate::redis::reply::ServerError;

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

    fn names() -> Names {
        Names {
            prefix: Some("p".into()),
            suffix: None,
        }
    }

    #[test]
    fn a_save_since_redis_7() {
        let (names, write) = (names(), write());
        let save = Save::new(&names, &write).unwrap();
        let rest = [
            "EXPIRE p:sid:old 10 LT",
            "ZREM p:sid:Yg:cw old",
            "ZADD p:sid:YQ:cw 1100 new",
            "ZREM p:sid:YQ:cw old",
            "ZREMRANGEBYSCORE p:sid:YQ:cw 0 999",
            "EXPIRE p:sid:YQ:cw 100 NX",
            "EXPIRE p:sid:YQ:cw 100 GT",
        ];
        assert!(!save.is_all());
        assert_eq!(text(&save.record()), ["SET p:sid:new v EX 100"]);
        assert_eq!(text(&save.rest()), rest);
        assert_eq!(
            text(&save.transaction()),
            [&["MULTI", "SET p:sid:new v EX 100"], &rest[..], &["EXEC"]].concat()
        );
    }

    #[test]
    fn a_new_record_is_all_there_is_to_write() {
        let (names, mut write) = (names(), write());
        write.old_key = None;
        assert!(!Save::new(&names, &write).unwrap().is_all());
        write.metadata.clear();
        assert!(Save::new(&names, &write).unwrap().is_all());
    }

    #[test]
    fn a_save_before_redis_7_asks_for_lives() {
        let (names, write) = (names(), write());
        let save = Save::new(&names, &write).unwrap();
        assert_eq!(text(&save.lives()), ["TTL p:sid:old", "TTL p:sid:YQ:cw"]);
        let expires = |old: i64, list: i64| {
            let lives = [Ok(Reply::Number(old)), Ok(Reply::Number(list))];
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
    fn a_server_before_redis_7_is_known_by_its_errors() {
        let verbs = || [Verb::Zrem, Verb::Expire].into_iter();
        let lacks = |replies: [Reply; 2]| lacks_expire_options(verbs(), replies.map(Ok));
        let unknown = || error("ERR Unsupported option LT");
        assert!(lacks([Reply::Number(1), unknown()]));
        assert!(!lacks([unknown(), Reply::Number(1)]));
        assert!(!lacks([Reply::Number(1), error("NOPERM x")]));
    }

    #[test]
    fn a_list_is_asked_for_what_has_not_expired() {
        let names = names();
        let entry = MetaEntry::new("a", "s", false);
        assert_eq!(
            text(&list(names.list("sid", &entry), 7)),
            ["ZRANGE p:sid:YQ:cw (7 +inf BYSCORE WITHSCORES"]
        );
    }

    #[test]
    fn a_record_is_removed_with_its_key_in_lists() {
        let names = names();
        let record = RecordId {
            cookie: "sid",
            key: "old",
        };
        let entry = MetaEntry::new("a", "s", false);
        assert_eq!(
            text(&delete(&names, record, &[entry], 7)),
            [
                "UNLINK p:sid:old",
                "ZREM p:sid:YQ:cw old",
                "ZREMRANGEBYSCORE p:sid:YQ:cw 0 6"
            ]
        );
    }

    #[test]
    fn replies_out_of_step_are_noticed() {
        let text = |text: &str| Reply::Text(text.into());
        for (verb, good, wrong) in [
            (Verb::Get, text("x"), Reply::Okay),
            (Verb::Get, error("ERR x"), Reply::Status("PONG".into())),
            (Verb::Set, Reply::Okay, text("x")),
            (Verb::Expire, Reply::Number(1), Reply::Okay),
            (Verb::Zadd, Reply::Queued, Reply::Nil),
            (Verb::Zrange, Reply::List(vec![]), Reply::Number(1)),
            (Verb::Ping, Reply::Status("PONG".into()), Reply::Okay),
        ] {
            assert!(fits(verb, &good), "{verb:?}");
            assert!(!fits(verb, &wrong), "{verb:?}");
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

    fn error(text: &str) -> Reply {
        Reply::Error(ServerError::new(text))
    }

    #[test]
    fn a_transaction_is_all_or_nothing() {
        let queued = || Reply::Queued;
        let allowed = AtomicBool::new(true);
        let read =
            |replies: Vec<Reply>| Transaction::read(replies.into()).map(|t| t.executed(&allowed));
        let both = vec![Reply::Okay, Reply::Number(1)];
        assert_eq!(
            read(vec![
                Reply::Okay,
                queued(),
                queued(),
                Reply::List(both.clone())
            ]),
            Ok(Some(both.clone()))
        );
        let abort = || error("EXECABORT Transaction discarded because of previous errors.");
        assert_eq!(
            read(vec![Reply::Okay, error("OOM x"), queued(), abort()]),
            Err(Error::Full)
        );
        assert_eq!(
            read(vec![Reply::Okay, queued(), error("ERR arguments"), abort()]),
            Ok(None)
        );
        assert!(read(vec![Reply::Okay, queued(), queued(), Reply::List(vec![])]).is_err());
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
