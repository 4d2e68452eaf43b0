//! Tokens that were here a moment ago: what verifying and opening them found.
//!
//! Who loads a page sends dozens of requests with one token. Most of what they cost would be the same work again: deriving the keys,
//! the MAC, the cipher, inflating, reading JSON. All of that follows from the ring of keys and the bytes of the token, and a hit is
//! the same ring and the same bytes, so it can be found only by who has the token. What else a request depends on (the time, what the
//! token is bound to, its record, the location's limits) is looked at each time.
//!
//! Only good tokens get a place: they verified, and are within their limits. A place is left some seconds after it was last of
//! use: see [`forget_unused`].

use std::cell::RefCell;
use std::mem::size_of;
use std::sync::Arc;

use subtle::ConstantTimeEq;

use crate::entry::Entry;
use crate::header::{HEADER_TEXT_SIZE, Header, SEALED_TEXT_SIZE};
use crate::keys::{KeyIndex, KeyRing, MacKey};

/// Seconds for which a token is known at least, after it was last of use: long enough for a page and what it loads, and for what an
/// application asks for every few seconds.
pub const KEPT: u64 = 10;
/// Bytes that all that is known may take in a thread.
const LIMIT: usize = 4 << 20;
/// Bytes above which what a token holds is not kept.
const LARGE: usize = 1 << 16;
/// Tokens that can be known; a new one takes the place that its id says.
const PLACES: usize = 1 << PLACE_BITS;
const PLACE_BITS: u32 = 12;

thread_local! {
    static KNOWN: RefCell<Places> = const { RefCell::new(Places::new()) };
}

/// A header whose MAC was made with a key of the ring.
#[derive(Clone)]
pub(crate) struct Signed {
    pub header: Header,
    pub key: KeyIndex,
    pub mac_key: MacKey,
}

/// What a payload holds.
pub(crate) struct Opened {
    /// All of it, as text.
    pub payload: Arc<str>,
    pub entries: Vec<Entry>,
    /// Bytes of the JSON it was read from.
    pub size: usize,
    /// Bytes that all of this takes, roughly. None when that cannot be told.
    bytes: Option<usize>,
}

impl Opened {
    /// `room` are the bytes of memory that the JSON has.
    pub fn new(payload: String, entries: Vec<Entry>, size: usize, room: usize) -> Self {
        let shared = entries.iter().map(Entry::shared_bytes);
        let shared: Option<usize> = shared.sum();
        Self {
            bytes: shared.map(|shared| payload.len() + room + shared),
            payload: payload.into(),
            entries,
            size,
        }
    }

    /// Whether it has a size to be kept.
    fn is_small(&self) -> bool {
        self.bytes.is_some_and(|bytes| bytes <= LARGE)
    }
}

/// What is known of a token.
pub(crate) struct Seen {
    pub signed: Arc<Signed>,
    /// The whole header is the known one. Otherwise only keys and content are: a touch makes another MAC.
    pub is_whole: bool,
    pub opened: Option<Arc<Opened>>,
}

/// Where a token is kept if it is known.
#[derive(Clone, Copy)]
pub(crate) struct Spot(usize);

impl Spot {
    /// Ids are random: any of their characters spread them evenly.
    pub fn of(text: &[u8; HEADER_TEXT_SIZE]) -> Self {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let some = text[8..].first_chunk().copied().unwrap_or_default();
        let mixed = u64::from_le_bytes(some).wrapping_mul(ODD);
        Self((mixed >> (u64::BITS - PLACE_BITS)) as usize)
    }

    /// What `ring` knows of the token with the header `text`.
    pub fn find(self, ring: &KeyRing, text: &[u8; HEADER_TEXT_SIZE]) -> Option<Seen> {
        KNOWN.with_borrow(|places| {
            let known = places.all.get(self.0)?.as_ref()?;
            let (sealed, rest) = text.split_at(SEALED_TEXT_SIZE);
            let (known_sealed, known_rest) = known.text.split_at(SEALED_TEXT_SIZE);
            if sealed != known_sealed || !ring.made(&known.signed.mac_key) {
                return None;
            }
            Some(Seen {
                signed: Arc::clone(&known.signed),
                // The MAC is among it: who tries out MACs must not learn how much of one is right.
                is_whole: numbers(rest)[..].ct_eq(&numbers(known_rest)[..]).into(),
                opened: known.opened.clone(),
            })
        })
    }

    /// Keeps the header of a good token, and what is known of its content. `now` is in Unix seconds.
    pub fn keep(
        self,
        text: &[u8; HEADER_TEXT_SIZE],
        signed: &Arc<Signed>,
        opened: Option<Arc<Opened>>,
        now: u64,
    ) {
        let known = Known {
            text: *text,
            signed: Arc::clone(signed),
            opened,
            used: now,
        };
        KNOWN.with_borrow_mut(|places| places.put(self.0, Box::new(known)));
    }

    /// The token that was found is a good one. `now` is in Unix seconds.
    pub fn use_at(self, now: u64) {
        KNOWN.with_borrow_mut(|places| {
            if let Some(Some(known)) = places.all.get_mut(self.0) {
                known.used = now;
            }
        });
    }

    /// Keeps what the payload of the token holds, if the token still is known and the content has a size to be kept.
    pub fn keep_opened(self, signed: &Arc<Signed>, opened: &Arc<Opened>) {
        if !opened.is_small() {
            return;
        }
        KNOWN.with_borrow_mut(|places| {
            if let Some(mut known) = places.take(self.0) {
                if Arc::ptr_eq(&known.signed, signed) {
                    known.opened = Some(Arc::clone(opened));
                }
                places.put(self.0, known);
            }
        });
    }
}

/// Forgets, and overwrites, what was not used for [`KEPT`] seconds. True when something is left. `now` is in Unix seconds.
pub fn forget_unused(now: u64) -> bool {
    KNOWN.with_borrow_mut(|places| {
        for at in 0..places.all.len() {
            let is_unused = |known: &Known| known.used.abs_diff(now) >= KEPT;
            if places.all[at].as_deref().is_some_and(is_unused) {
                places.take(at);
            }
        }
        places.bytes > 0
    })
}

/// A text of up to 32 characters as four numbers, which are compared in fewer steps than its bytes.
fn numbers(text: &[u8]) -> [u64; 4] {
    let mut numbers = [0; 4];
    for (number, part) in numbers.iter_mut().zip(text.chunks(size_of::<u64>())) {
        let mut bytes = [0; size_of::<u64>()];
        bytes[..part.len()].copy_from_slice(part);
        *number = u64::from_le_bytes(bytes);
    }
    numbers
}

struct Known {
    text: [u8; HEADER_TEXT_SIZE],
    signed: Arc<Signed>,
    opened: Option<Arc<Opened>>,
    /// Unix seconds.
    used: u64,
}

struct Places {
    all: Vec<Option<Box<Known>>>,
    /// That all of them take, roughly.
    bytes: usize,
    /// The next one to be left when they take too much.
    next: usize,
}

impl Places {
    const fn new() -> Self {
        Self {
            all: Vec::new(),
            bytes: 0,
            next: 0,
        }
    }

    fn put(&mut self, at: usize, known: Box<Known>) {
        if self.all.is_empty() {
            self.all.resize_with(PLACES, || None);
        }
        self.take(at);
        self.bytes += known.bytes();
        self.all[at] = Some(known);
        for _ in 0..PLACES {
            if self.bytes <= LIMIT {
                break;
            }
            self.next = (self.next + 1) % PLACES;
            if self.next != at {
                self.take(self.next);
            }
        }
    }

    fn take(&mut self, at: usize) -> Option<Box<Known>> {
        let known = self.all.get_mut(at)?.take()?;
        self.bytes -= known.bytes();
        Some(known)
    }
}

impl Known {
    fn bytes(&self) -> usize {
        let opened = self.opened.as_ref().and_then(|opened| opened.bytes);
        // The MAC's key is elsewhere, and as large as the rest.
        2 * size_of::<Self>() + 2 * size_of::<Signed>() + opened.unwrap_or(0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::entry;
    use crate::header::Flags;
    use crate::id::SessionId;
    use crate::keys::Ikm;
    use crate::policy::Place;

    const NOW: u64 = 1_700_000_000;

    fn ring() -> KeyRing {
        KeyRing::new(Ikm::from_secret(b"secret"), Vec::new())
    }

    /// A token of an id of its own.
    fn token(ring: &KeyRing, number: u32) -> ([u8; HEADER_TEXT_SIZE], Arc<Signed>) {
        let mut bytes = [0; 32];
        bytes[3..7].copy_from_slice(&number.to_le_bytes());
        let header = Header {
            flags: Flags::empty(),
            id: SessionId::from_random(bytes),
            created: NOW,
            rolling_offset: 0,
            data_size: 0,
            tag: [0; 16],
            idling_offset: 0,
            mac: [0; 16],
        };
        let mut text = String::new();
        crate::base64url::encode_onto(&header.build(), &mut text);
        let (key, mac_key) = (
            KeyIndex::CURRENT,
            ring.mac_key(KeyIndex::CURRENT, &header.id),
        );
        let signed = Arc::new(Signed {
            header,
            key,
            mac_key,
        });
        (text.into_bytes().try_into().unwrap(), signed)
    }

    fn opened(size: usize) -> Arc<Opened> {
        Arc::new(Opened::new("A".repeat(size), Vec::new(), 0, 0))
    }

    #[test]
    fn they_take_no_more_than_they_may() {
        let ring = ring();
        let (mut largest, mut known) = (0, 0);
        for number in 0..1000 {
            let (text, signed) = token(&ring, number);
            let spot = Spot::of(&text);
            spot.keep(&text, &signed, None, NOW);
            spot.keep_opened(&signed, &opened(LARGE - 1000));
            largest = KNOWN.with_borrow(|places| places.bytes).max(largest);
            let seen = spot.find(&ring, &text);
            known += usize::from(seen.is_some_and(|seen| seen.opened.is_some()));
        }
        assert!((LIMIT / 2..=LIMIT).contains(&largest), "{largest}");
        assert_eq!(known, 1000, "the latest is always known");
        assert!(!forget_unused(NOW + KEPT));
        assert_eq!(KNOWN.with_borrow(|places| places.bytes), 0);
    }

    #[test]
    fn what_is_shared_counts() {
        let bytes = |json: &str| {
            let entries = entry::parse(json.as_bytes().to_vec().into(), Place::Cookie).unwrap();
            Opened::new(String::new(), entries, json.len(), json.len()).bytes
        };
        let fields = |number: usize| {
            let fields: Vec<String> = (0..number).map(|n| format!("\"{n}\":0")).collect();
            format!("[[{{{}}},\"a\"]]", fields.join(","))
        };
        let [few, many] = [10, 100].map(|n| (fields(n).len(), bytes(&fields(n)).unwrap()));
        assert!(many.1 - few.1 > 90 * size_of::<[usize; 4]>() + many.0 - few.0);
        assert!(bytes("[[[],\"a\"],[[1],\"b\"]]").is_some());
        let deep = format!(
            "[[{{\"deep\":{}{}}},\"a\"]]",
            "[".repeat(110),
            "]".repeat(110)
        );
        assert_eq!(bytes(&deep), None, "it had to be parsed");
    }

    #[test]
    fn the_content_of_large_ones_is_not_kept() {
        let ring = ring();
        let (text, signed) = token(&ring, 0);
        let spot = Spot::of(&text);
        spot.keep(&text, &signed, None, NOW);
        spot.keep_opened(&signed, &opened(LARGE + 1));
        assert!(spot.find(&ring, &text).unwrap().opened.is_none());
    }

    #[test]
    fn content_is_not_given_to_a_token_that_took_the_place() {
        let ring = ring();
        let (text, signed) = token(&ring, 0);
        let spot = Spot::of(&text);
        spot.keep(&text, &signed, None, NOW);
        let (_, other) = token(&ring, 1);
        spot.keep_opened(&other, &opened(10));
        assert!(spot.find(&ring, &text).unwrap().opened.is_none());
        assert!(spot.find(&self::ring(), &text).is_none());
    }
}
