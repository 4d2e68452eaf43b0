//! Takes replies out of the bytes of a connection: RESP2, as every server speaks it that is not asked for another.

use std::mem;

/// Bytes read at a time, and the longest line.
const BUFFER: usize = 16 << 10;
/// Bytes of the longest value.
const LONGEST: usize = 512 << 20;
/// Room that is made at once for what is only announced.
const TRUSTED: usize = 64 << 10;
/// Arrays within arrays.
const DEEPEST: usize = 8;

/// The bytes are no replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// What a server says to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// `OK`.
    Okay,
    /// `QUEUED`: it is a command of a transaction.
    Queued,
    /// Another word of that kind.
    Status(String),
    Number(i64),
    Text(Vec<u8>),
    List(Vec<Reply>),
    /// There is nothing.
    Nil,
    Error(ServerError),
}

/// A server's error: a word that says which, and what is to be said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerError(Box<str>);

impl ServerError {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }

    pub(super) fn code(&self) -> &str {
        self.parts().map_or(&self.0, |(code, _)| code)
    }

    pub(super) fn details(&self) -> Option<&str> {
        self.parts().map(|(_, details)| details)
    }

    fn parts(&self) -> Option<(&str, &str)> {
        self.0.split_once(' ')
    }
}

/// What has been read and is not a whole reply yet.
pub(super) struct Decoder {
    buffer: Box<[u8]>,
    /// The part of the buffer that was read, and not decoded.
    start: usize,
    end: usize,
    /// A value of which the head was decoded.
    value: Option<Unfinished<Vec<u8>>>,
    /// Arrays of which the heads were decoded, from the outermost to the innermost.
    arrays: Vec<Unfinished<Vec<Reply>>>,
}

struct Unfinished<T> {
    got: T,
    size: usize,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER].into(),
            start: 0,
            end: 0,
            value: None,
            arrays: Vec::new(),
        }
    }

    /// Where to read to; [`next`](Self::next) must have had all before.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        &mut self.buffer[self.end..]
    }

    /// So much was read.
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// The next whole reply, if there is one.
    pub(super) fn next(&mut self) -> Result<Option<Reply>, Malformed> {
        loop {
            let value = match self.value.is_some() {
                true => self.rest_of_value()?,
                false => self.head()?,
            };
            let Some(value) = value else {
                return Ok(None);
            };
            if let Some(whole) = value.and_then(|value| self.place(value)) {
                return Ok(Some(whole));
            }
        }
    }

    /// Decodes a line: `Some(None)` when it begins something longer.
    fn head(&mut self) -> Result<Option<Option<Reply>>, Malformed> {
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        let line = &self.buffer[line];
        let (kind, text) = line.split_first().ok_or(Malformed)?;
        let value = match kind {
            b'+' if text == b"OK" => Some(Reply::Okay),
            b'+' if text == b"QUEUED" => Some(Reply::Queued),
            b'+' => Some(Reply::Status(utf8(text)?.to_owned())),
            b':' => Some(Reply::Number(number(text)?)),
            b'-' => Some(Reply::Error(ServerError::new(utf8(text)?))),
            b'$' => match size(text, LONGEST)? {
                None => Some(Reply::Nil),
                Some(size) => {
                    let got = Vec::with_capacity(size.min(TRUSTED));
                    self.value = Some(Unfinished { got, size });
                    None
                }
            },
            b'*' => match size(text, usize::MAX)? {
                None => Some(Reply::Nil),
                Some(0) => Some(Reply::List(Vec::new())),
                Some(_) if self.arrays.len() == DEEPEST => return Err(Malformed),
                Some(size) => {
                    let got = Vec::with_capacity(size.min(TRUSTED / size_of::<Reply>()));
                    self.arrays.push(Unfinished { got, size });
                    None
                }
            },
            _ => return Err(Malformed),
        };
        Ok(Some(value))
    }

    /// Takes a line out of the buffer, if it is whole; without its end.
    fn line(&mut self) -> Result<Option<std::ops::Range<usize>>, Malformed> {
        let read = &self.buffer[self.start..self.end];
        let Some(length) = read.iter().position(|byte| *byte == b'\n') else {
            return match read.len() == BUFFER {
                true => Err(Malformed),
                false => Ok(None),
            };
        };
        let (line, next) = (self.start, self.start + length + 1);
        match read[..length].last() {
            Some(b'\r') => {
                self.start = next;
                Ok(Some(line..next - 2))
            }
            _ => Err(Malformed),
        }
    }

    fn rest_of_value(&mut self) -> Result<Option<Option<Reply>>, Malformed> {
        let Some(value) = &mut self.value else {
            return Ok(None);
        };
        let read = &self.buffer[self.start..self.end];
        let count = read.len().min(value.size - value.got.len());
        value.got.extend_from_slice(&read[..count]);
        self.start += count;
        match &read[count..] {
            [b'\r', b'\n', ..] => {
                let got = mem::take(&mut value.got);
                self.start += 2;
                self.value = None;
                Ok(Some(Some(Reply::Text(got))))
            }
            [] | [b'\r'] => Ok(None),
            _ => Err(Malformed),
        }
    }

    /// Puts a value into the array it is of. Returns what is whole by that.
    fn place(&mut self, mut value: Reply) -> Option<Reply> {
        while let Some(mut array) = self.arrays.pop() {
            array.got.push(value);
            if array.got.len() < array.size {
                self.arrays.push(array);
                return None;
            }
            value = Reply::List(array.got);
        }
        Some(value)
    }
}

fn utf8(text: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(text).map_err(|_| Malformed)
}

fn number(text: &[u8]) -> Result<i64, Malformed> {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (-1, digits),
        digits => (1, digits),
    };
    if digits.is_empty() {
        return Err(Malformed);
    }
    let add = |number: i64, digit: &u8| match digit {
        b'0'..=b'9' => number
            .checked_mul(10)?
            .checked_add(sign * i64::from(digit - b'0')),
        _ => None,
    };
    digits.iter().try_fold(0, add).ok_or(Malformed)
}

/// None is what "-1" says: there is nothing.
fn size(text: &[u8], largest: usize) -> Result<Option<usize>, Malformed> {
    match number(text)? {
        -1 => Ok(None),
        size => match usize::try_from(size) {
            Ok(size) if size <= largest => Ok(Some(size)),
            _ => Err(Malformed),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Decodes bytes that come in pieces of a size.
    fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Reply>, Malformed> {
        let mut decoder = Decoder::new();
        let mut replies = Vec::new();
        for piece in bytes.chunks(piece) {
            decoder.room()[..piece.len()].copy_from_slice(piece);
            decoder.filled(piece.len());
            while let Some(reply) = decoder.next()? {
                replies.push(reply);
            }
        }
        Ok(replies)
    }

    fn bulk(text: &str) -> Reply {
        Reply::Text(text.into())
    }

    #[test]
    fn replies_in_pieces_of_any_size() {
        let text = b"+OK\r\n$-1\r\n$3\r\na\r\n\r\n:-7\r\n*2\r\n$1\r\nx\r\n*2\r\n:1\r\n*0\r\n+QUEUED\r\n*-1\r\n$0\r\n\r\n-ERR no\r\n";
        let nested = Reply::List(vec![Reply::Number(1), Reply::List(vec![])]);
        let expected = [
            Reply::Okay,
            Reply::Nil,
            bulk("a\r\n"),
            Reply::Number(-7),
            Reply::List(vec![bulk("x"), nested]),
            Reply::Queued,
            Reply::Nil,
            bulk(""),
        ];
        for piece in 1..=text.len() {
            let mut replies = decode(text, piece).unwrap();
            let error = replies.pop();
            assert_eq!(replies, expected, "{piece}");
            assert!(
                matches!(error, Some(Reply::Error(error)) if error.code() == "ERR"),
                "{piece}"
            );
        }
    }

    #[test]
    fn a_value_larger_than_the_buffer() {
        let value = "v".repeat(5 * BUFFER + 1);
        let text = format!("${}\r\n{value}\r\n:1\r\n", value.len());
        for piece in [1000, BUFFER - 7] {
            let replies = decode(text.as_bytes(), piece).unwrap();
            assert_eq!(replies, [bulk(&value), Reply::Number(1)]);
        }
    }

    #[test]
    fn what_is_no_reply() {
        let deep = "*1\r\n".repeat(DEEPEST + 1);
        let long = format!("+{}", "x".repeat(BUFFER));
        for wrong in [
            "HTTP/1.1 400 Bad Request\r\n",
            "\r\n",
            "+OK\n",
            ":x\r\n",
            ":\r\n",
            "$-2\r\n",
            "$99999999999\r\n",
            "$1\r\nxx\r\n",
            "$1\r\nx\rx",
            "*-2\r\n",
            "%1\r\n",
            "_\r\n",
            &deep,
            &long,
        ] {
            assert_eq!(decode(wrong.as_bytes(), BUFFER), Err(Malformed), "{wrong}");
            assert_eq!(decode(wrong.as_bytes(), 1), Err(Malformed), "{wrong}");
        }
    }

    #[test]
    fn a_reply_that_is_not_whole_is_waited_for() {
        for part in [
            "",
            "+O",
            "$3\r\nab",
            "$3\r\nabc\r",
            "*2\r\n:1\r\n",
            "*1000000000\r\n",
        ] {
            assert_eq!(decode(part.as_bytes(), BUFFER), Ok(vec![]), "{part}");
        }
    }
}
