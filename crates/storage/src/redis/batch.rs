//! Commands as a server takes them.

use session::MetaEntry;
use smallvec::SmallVec;

use crate::names::Name;

/// Commands that are sent at once, as the bytes that are sent.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    commands: SmallVec<[Command; 4]>,
}

#[derive(Clone, Copy)]
struct Command {
    verb: Verb,
    end: usize,
}

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Asking,
    Auth,
    Cluster,
    Exec,
    Expire,
    Get,
    Multi,
    Ping,
    Role,
    Select,
    Sentinel,
    Set,
    Ttl,
    Unlink,
    Zadd,
    Zrange,
    Zrem,
    Zremrangebyscore,
}

/// A word of a command.
#[derive(Clone, Copy)]
pub(super) enum Word<'a> {
    Text(&'a str),
    Number(u64),
    Name(Name<'a>),
}

/// Names records and lists.
pub(super) struct Names {
    pub(super) prefix: Option<String>,
    pub(super) suffix: Option<String>,
}

/// Bytes that a command takes besides its words, roughly.
const FRAME: usize = 48;

impl Batch {
    /// Has room for commands whose longer words have so many bytes.
    pub(super) fn with_room(commands: usize, words: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(commands * FRAME + words),
            commands: SmallVec::with_capacity(commands),
        }
    }

    /// A command alone.
    pub(super) fn of(verb: Verb, words: &[Word<'_>]) -> Self {
        let length: usize = words.iter().map(Word::len).sum();
        let mut batch = Self::with_room(1, length + 8 * words.len());
        batch.push(verb, words);
        batch
    }

    pub(super) fn push(&mut self, verb: Verb, words: &[Word<'_>]) {
        let bytes = &mut self.bytes;
        push_head(bytes, b'*', 1 + words.len());
        push_head(bytes, b'$', verb.text().len());
        bytes.extend_from_slice(verb.text().as_bytes());
        bytes.extend_from_slice(b"\r\n");
        for word in words {
            push_head(bytes, b'$', word.len());
            word.push_to(bytes);
            bytes.extend_from_slice(b"\r\n");
        }
        self.end_command(verb);
    }

    /// Adds one of the commands of another batch.
    pub(super) fn push_of(&mut self, other: &Self, index: usize) {
        self.bytes.extend_from_slice(other.command(index));
        self.end_command(other.commands[index].verb);
    }

    fn end_command(&mut self, verb: Verb) {
        let end = self.bytes.len();
        self.commands.push(Command { verb, end });
    }

    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn verbs(&self) -> impl Iterator<Item = Verb> {
        self.commands.iter().map(|command| command.verb)
    }

    fn command(&self, index: usize) -> &[u8] {
        let start = match index {
            0 => 0,
            index => self.commands[index - 1].end,
        };
        &self.bytes[start..self.commands[index].end]
    }

    /// The name of the record or list that a command is about.
    pub(super) fn name(&self, index: usize) -> &[u8] {
        words(self.command(index)).nth(1).unwrap_or_default()
    }
}

/// The words of a command.
fn words(command: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = line(command).map_or(&b""[..], |(_, rest)| rest);
    std::iter::from_fn(move || {
        let (head, after) = line(rest)?;
        let size: usize = std::str::from_utf8(head.get(1..)?).ok()?.parse().ok()?;
        rest = after.get(size + 2..)?;
        after.get(..size)
    })
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

fn push_head(bytes: &mut Vec<u8>, kind: u8, number: usize) {
    bytes.push(kind);
    push_number(bytes, number as u64);
    bytes.extend_from_slice(b"\r\n");
}

fn push_number(bytes: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    bytes.extend_from_slice(&digits[start..]);
}

fn digits_of(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

impl Verb {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Asking => "ASKING",
            Self::Auth => "AUTH",
            Self::Cluster => "CLUSTER",
            Self::Exec => "EXEC",
            Self::Expire => "EXPIRE",
            Self::Get => "GET",
            Self::Multi => "MULTI",
            Self::Ping => "PING",
            Self::Role => "ROLE",
            Self::Select => "SELECT",
            Self::Sentinel => "SENTINEL",
            Self::Set => "SET",
            Self::Ttl => "TTL",
            Self::Unlink => "UNLINK",
            Self::Zadd => "ZADD",
            Self::Zrange => "ZRANGE",
            Self::Zrem => "ZREM",
            Self::Zremrangebyscore => "ZREMRANGEBYSCORE",
        }
    }
}

impl Word<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(number) => digits_of(*number),
            Self::Name(name) => name.len(),
        }
    }

    fn push_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Text(text) => bytes.extend_from_slice(text.as_bytes()),
            Self::Number(number) => push_number(bytes, *number),
            Self::Name(name) => {
                for piece in name.pieces() {
                    bytes.extend_from_slice(piece.as_bytes());
                }
            }
        }
    }
}

impl Names {
    pub(super) fn record<'a>(&'a self, cookie: &'a str, key: &'a str) -> Name<'a> {
        Name::record(self.prefix.as_deref(), cookie, key, self.suffix.as_deref())
    }

    pub(super) fn list<'a>(&'a self, cookie: &'a str, entry: &'a MetaEntry) -> Name<'a> {
        Name::list(
            self.prefix.as_deref(),
            cookie,
            entry,
            self.suffix.as_deref(),
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The commands with their words, as one would type them.
    pub(in crate::redis) fn text(batch: &Batch) -> Vec<String> {
        let line = |index| {
            let words = words(batch.command(index)).map(String::from_utf8_lossy);
            words.collect::<Vec<_>>().join(" ")
        };
        (0..batch.len()).map(line).collect()
    }

    #[test]
    fn commands_as_bytes() {
        let mut batch = Batch::of(Verb::Get, &[Word::Text("a b")]);
        batch.push(
            Verb::Set,
            &[Word::Text(""), Word::Number(0), Word::Number(u64::MAX)],
        );
        assert_eq!(
            String::from_utf8_lossy(batch.bytes()),
            "*2\r\n$3\r\nGET\r\n$3\r\na b\r\n\
             *4\r\n$3\r\nSET\r\n$0\r\n\r\n$1\r\n0\r\n$20\r\n18446744073709551615\r\n"
        );
        assert_eq!(text(&batch), ["GET a b", "SET  0 18446744073709551615"]);
        assert_eq!((batch.name(0), batch.name(1)), (&b"a b"[..], &b""[..]));
        let mut other = Batch::of(Verb::Ping, &[]);
        other.push_of(&batch, 1);
        other.push_of(&batch, 0);
        assert_eq!(
            text(&other),
            ["PING", "SET  0 18446744073709551615", "GET a b"]
        );
        let verbs: Vec<_> = other.verbs().collect();
        assert_eq!(verbs, [Verb::Ping, Verb::Set, Verb::Get]);
        assert_eq!(other.name(0), b"");
    }

    #[test]
    fn numbers_have_the_length_that_is_announced() {
        for number in [0, 1, 9, 10, 99, 100, 1 << 32, u64::MAX] {
            let mut bytes = Vec::new();
            push_number(&mut bytes, number);
            assert_eq!(bytes, number.to_string().as_bytes());
            assert_eq!(digits_of(number), bytes.len(), "{number}");
        }
    }
}
