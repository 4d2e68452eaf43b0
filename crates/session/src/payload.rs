//! From entries to the bytes that are encrypted, and back: JSON, deflated when that pays.

use std::cell::RefCell;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use serde_json::Value;

use crate::chunks::{MAX_CHUNKS, MAX_COOKIE_SIZE};
use crate::entry::{self, Entry, Stored};
use crate::known::Opened;
use crate::policy::{Place, Policy};
use crate::refusal::ContentError;
use crate::session::SaveError;
use crate::wiped::Wiped;

/// Levels of objects and lists that an audience's data may have. A reader stops at 128 in all.
pub const MAX_DEPTH: usize = 100;

/// JSON that fits into eight of nine cookies as it is.
const FEW_COOKIES: usize = MAX_COOKIE_SIZE * (MAX_CHUNKS - 1) / 4 * 3;
/// Room that is made for every inflated payload: what needs more pays for another try.
const USUAL_SIZE: usize = 4096;
/// Bytes that inflating looks back.
const WINDOW: usize = 1 << 15;

thread_local! {
    // Their windows and tables have a hundred times the size of a session: to make them anew costs more than to use them.
    static DEFLATE: RefCell<Compress> = RefCell::new(new_deflate());
    static INFLATE: RefCell<Decompress> = RefCell::new(Decompress::new(false));
}

/// A plaintext, and whether it is deflated.
pub(crate) struct Plain {
    pub bytes: Wiped,
    pub deflated: bool,
}

/// The plaintext of `entries`.
pub(crate) fn write(entries: Vec<&Entry>, p: &Policy) -> Result<Plain, SaveError> {
    if entries
        .iter()
        .flat_map(|entry| entry.changed_values())
        .any(|v| is_deeper(v, MAX_DEPTH - 1))
    {
        return Err(SaveError::TooDeep);
    }
    let place = p.place;
    let json = Stored { entries, place }.to_json()?;
    if json.len() > p.max_data {
        return Err(SaveError::TooLarge {
            size: json.len(),
            limit: p.max_data,
        });
    }
    if p.compression_threshold != 0 && json.len() > p.compression_threshold {
        if let Some(smaller) = deflate(&json) {
            return Ok(Plain {
                bytes: smaller,
                deflated: true,
            });
        }
    }
    Ok(Plain {
        bytes: json,
        deflated: false,
    })
}

/// What a payload holds, whose plaintext is there.
pub(crate) fn read(
    plain: Plain,
    payload: String,
    place: Place,
    limit: usize,
) -> Result<Opened, ContentError> {
    let json = if plain.deflated {
        inflate(&plain.bytes, limit)?
    } else {
        plain.bytes
    };
    if json.len() > limit {
        return Err(ContentError::TooLarge);
    }
    let (size, room) = (json.len(), json.len() + json.room());
    let entries = entry::parse(json, place).map_err(|_| ContentError::Json)?;
    Ok(Opened::new(payload, entries, size, room))
}

/// Whether it has more than so many levels of objects and lists.
pub(crate) fn is_deeper(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(list) => levels == 0 || list.iter().any(|v| is_deeper(v, levels - 1)),
        Value::Object(map) => levels == 0 || map.values().any(|v| is_deeper(v, levels - 1)),
        _ => false,
    }
}

/// The deflated form, if it is worth what every later request pays for inflating it. None as well if deflating fails, which
/// then costs nothing but size.
fn deflate(json: &[u8]) -> Option<Wiped> {
    // Towards the end of what cookies hold, any gain may be the one that lets the session be saved.
    let gain = if json.len() < FEW_COOKIES {
        json.len() / 8
    } else {
        1
    };
    let limit = json.len().checked_sub(gain.max(1))?;
    // Room for what cannot be deflated at all: a state that is left in the middle of a stream does not forget all of it when it is
    // reset, and after a few dozen of those zlib-rs panics.
    let mut smaller = Wiped::with_capacity(json.len() + json.len() / 8 + 64);
    let is_whole = DEFLATE.with_borrow_mut(|state| {
        state.reset();
        let status = state.compress_vec(json, smaller.unfilled(), FlushCompress::Finish);
        let is_whole = matches!(status, Ok(Status::StreamEnd));
        if !is_whole {
            *state = new_deflate();
        }
        is_whole
    });
    (is_whole && smaller.len() <= limit).then_some(smaller)
}

fn new_deflate() -> Compress {
    Compress::new(Compression::default(), false)
}

/// Stops just above `limit`, so that a few bytes cannot become gigabytes.
fn inflate(bytes: &[u8], limit: usize) -> Result<Wiped, ContentError> {
    INFLATE.with_borrow_mut(|state| {
        state.reset(false);
        let json = inflate_by(state, bytes, limit.saturating_add(1));
        wipe_window(state);
        json
    })
}

/// At most `stop` bytes. As far as it goes is taken of a stream that breaks off: JSON that does is not understood anyway.
fn inflate_by(state: &mut Decompress, bytes: &[u8], stop: usize) -> Result<Wiped, ContentError> {
    let mut json = Wiped::with_capacity((bytes.len() * 2).max(USUAL_SIZE).min(stop));
    loop {
        let rest = &bytes[state.total_in() as usize..];
        let status = state
            .decompress_vec(rest, json.unfilled(), FlushDecompress::Finish)
            .map_err(|_| ContentError::Inflate)?;
        if status == Status::StreamEnd || json.room() > 0 || json.len() >= stop {
            return Ok(json);
        }
        json.grow_to((json.len() * 2).max(64).min(stop));
    }
}

/// Overwrites what an inflating left in its window. A window for deflating keeps its text until the next one: it is out of reach.
fn wipe_window(state: &mut Decompress) {
    const BLANK: [u8; 4096] = [0; 4096];
    let mut used = usize::try_from(state.total_out()).map_or(WINDOW, |used| used.min(WINDOW));
    state.reset(false);
    while used > 0 {
        let blank = &BLANK[..used.min(BLANK.len())];
        // The one error is a zlib header, which there is none of.
        let _ = state.set_dictionary(blank);
        used -= blank.len();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn inflating_is_bounded() {
        let bomb = deflate(&vec![b'a'; 10_000_000]).unwrap();
        assert!(bomb.len() < 20_000);
        assert_eq!(inflate(&bomb, 1000).unwrap().len(), 1001);
        let plain = Plain {
            bytes: bomb,
            deflated: true,
        };
        assert_eq!(
            read(plain, String::new(), Place::Cookie, 1000).err(),
            Some(ContentError::TooLarge)
        );
    }

    #[test]
    fn deflated_data_has_no_zlib_header() {
        let text = deflate(b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
        assert_ne!(text[0], 0x78);
        assert_eq!(
            inflate(&text, 100).unwrap().as_slice(),
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
        );
        assert_eq!(
            inflate(b"\xff\xff\xff", 100).err(),
            Some(ContentError::Inflate)
        );
    }

    /// Bytes that cannot be deflated, then a run of one byte.
    fn noise(random: usize, run: usize) -> Vec<u8> {
        let mut state = 88_172_645_463_325_252_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        };
        let mut bytes: Vec<u8> = (0..random).map(|_| next()).collect();
        bytes.resize(random + run, b'a');
        bytes
    }

    #[test]
    fn deflating_must_pay() {
        assert!(deflate(b"").is_none() && deflate(b"a").is_none());
        assert!(
            deflate(&noise(2000, 200)).is_none(),
            "a tenth is too little"
        );
        assert!(deflate(&noise(2000, 400)).is_some());
        let near_the_end = noise(26_000, 600);
        let deflated = deflate(&near_the_end).unwrap();
        assert_eq!(inflate(&deflated, 30_000).unwrap().as_slice(), near_the_end);
        assert!(deflate(&noise(26_000, 0)).is_none());
    }

    #[test]
    fn any_number_may_be_left_as_they_are() {
        let (hard, easy) = (noise(2000, 200), noise(200, 2000));
        for _ in 0..1000 {
            assert!(deflate(&hard).is_none());
        }
        let deflated = deflate(&easy).unwrap();
        assert_eq!(inflate(&deflated, 10_000).unwrap().as_slice(), easy);
    }

    #[test]
    fn one_state_does_for_all() {
        let texts = [
            noise(100, 5000),
            noise(3, 70_000),
            b"[[{}]]".repeat(500),
            noise(9, 90),
        ];
        let deflated: Vec<Wiped> = texts.iter().map(|text| deflate(text).unwrap()).collect();
        for (text, deflated) in texts.iter().zip(&deflated) {
            assert_eq!(inflate(deflated, 1 << 20).unwrap().as_slice(), text);
            assert_eq!(inflate(deflated, text.len()).unwrap().as_slice(), text);
            assert_eq!(inflate(deflated, 50).unwrap().as_slice(), &text[..51]);
            assert!(
                inflate(&deflated[..deflated.len() - 1], 1 << 20)
                    .unwrap()
                    .len()
                    <= text.len()
            );
            assert_eq!(
                inflate(b"\xff\xff\xff", 100).err(),
                Some(ContentError::Inflate)
            );
        }
        assert_eq!(inflate(b"", 100).unwrap().len(), 0);
    }

    #[test]
    fn a_stream_cannot_look_back_into_the_one_before() {
        let text = b"secret".repeat(50);
        inflate(&deflate(&text).unwrap(), 1000).unwrap();
        // A fixed block: a copy of three bytes from one byte before the start.
        let looking_back = [0b0000_0011, 0b0000_0010, 0];
        assert_eq!(
            inflate(&looking_back, 1000).err(),
            Some(ContentError::Inflate)
        );
    }

    #[test]
    fn depth_is_counted_in_levels() {
        let nested = |levels: usize| {
            serde_json::from_str::<Value>(&("[".repeat(levels) + &"]".repeat(levels))).unwrap()
        };
        assert!(!is_deeper(&nested(5), 5));
        assert!(is_deeper(&nested(6), 5));
        assert!(!is_deeper(&Value::from(1), 0));
    }
}
