//! Finding a token in a request, verifying it, and opening it.
//!
//! Verifying is cheap and comes first: nothing is loaded from a storage and nothing decrypted for a token that is not ours.

use std::fmt;
use std::sync::Arc;

use crate::base64url;
use crate::binding::Binding;
use crate::chunks::{Split, is_chunk_name};
use crate::cookie::request::cookie_pairs;
use crate::header::{AAD_SIZE, Flags, HEADER_TEXT_SIZE, Header};
use crate::id::SessionId;
use crate::keys::{CipherKey, Stretch};
use crate::known::{Opened, Seen, Signed, Spot};
use crate::payload::{self, Plain};
use crate::policy::{Place, Policy};
use crate::record::{Record, RecordError};
use crate::refusal::{ContentError, FormatError, Refusal};
use crate::session::{Session, StoredToken};
use crate::ttl::{elapsed, is_over};
use crate::wiped::Wiped;

pub use crate::policy::Kind;

/// Cookies of one name that are tried; a browser sends more than one only when paths or domains overlap.
pub const MAX_CANDIDATES: usize = 8;
/// Decryptions that are tried when chunks are there more than once.
pub const MAX_DECRYPTIONS: usize = 32;

/// A verified token, not yet decrypted.
pub struct Token {
    kind: Kind,
    signed: Arc<Signed>,
    payload: Payload,
    opened_at: u64,
    spot: Spot,
    known: Option<Arc<Opened>>,
}

/// Where a token's payload is.
enum Payload {
    /// In a storage's record.
    Record,
    /// It is the known one.
    Known(Arc<Opened>),
    /// Here, whole.
    Whole(String),
    /// Here, in pieces, some of which are there more than once.
    Pieces(Vec<Vec<String>>),
}

impl Payload {
    /// That of this text, which may be the known one.
    fn of(text: String, known: Option<Arc<Opened>>) -> Self {
        match known {
            Some(known) if *known.payload == *text => Self::Known(known),
            _ => Self::Whole(text),
        }
    }

    /// That of this text if it has the length.
    fn of_piece(
        text: &[u8],
        length: usize,
        known: Option<Arc<Opened>>,
    ) -> Result<Self, FormatError> {
        match known {
            Some(known) if known.payload.as_bytes() == text => Ok(Self::Known(known)),
            _ => Ok(Self::Whole(piece(text, length)?.to_owned())),
        }
    }
}

impl Policy {
    /// Finds the token of a kind among the request's cookies and verifies it. `cookies` are the values of all Cookie header
    /// lines, `now` is in Unix seconds.
    ///
    /// # Errors
    /// [`Refusal::Missing`] when there is none (an empty value is none); otherwise why the first one was refused.
    pub fn verify(
        &self,
        kind: Kind,
        cookies: &[&[u8]],
        binding: &Binding<'_>,
        now: u64,
    ) -> Result<Token, Refusal> {
        let mut refusal = None;
        let name = self.name_of(kind).as_str().as_bytes();
        for text in values(cookies, |own| own == name).take(MAX_CANDIDATES) {
            let token = self
                .verify_header(kind, text, binding, now)
                .and_then(|mut token| {
                    token.payload =
                        self.collect_payload(&mut token, &text[HEADER_TEXT_SIZE..], cookies)?;
                    Ok(token)
                });
            match token {
                Ok(token) => return Ok(token),
                Err(reason) => refusal = refusal.or(Some(reason)),
            }
        }
        Err(refusal.unwrap_or(Refusal::Missing))
    }

    /// Verifies a token that is one piece of text, as a header or an argument carries it. `now` is in Unix seconds.
    ///
    /// # Errors
    /// [`Refusal::Missing`] for an empty text; otherwise why it was refused.
    pub fn verify_text(
        &self,
        kind: Kind,
        text: &[u8],
        binding: &Binding<'_>,
        now: u64,
    ) -> Result<Token, Refusal> {
        if text.is_empty() {
            return Err(Refusal::Missing);
        }
        let mut token = self.verify_header(kind, text, binding, now)?;
        let payload = &text[HEADER_TEXT_SIZE..];
        token.payload = match self.place {
            Place::Server => no_payload(payload)?,
            Place::Cookie => {
                let length = token.header().data_size as usize;
                Payload::of_piece(payload, length, token.known.take())?
            }
        };
        Ok(token)
    }

    /// The header at the start of `text`. What follows it is not looked at.
    fn verify_header(
        &self,
        kind: Kind,
        text: &[u8],
        binding: &Binding<'_>,
        now: u64,
    ) -> Result<Token, Refusal> {
        let text = text
            .first_chunk::<HEADER_TEXT_SIZE>()
            .ok_or(FormatError::HeaderSize)?;
        let spot = Spot::of(text);
        let seen = spot.find(&self.keys, text);
        let signed = match seen.as_ref().filter(|seen| seen.is_whole) {
            Some(seen) => {
                self.check_known(kind, seen, binding, now)?;
                spot.use_at(now);
                Arc::clone(&seen.signed)
            }
            None => {
                let signed = Arc::new(self.verify_new(kind, text, seen.as_ref(), binding, now)?);
                let opened = seen.as_ref().and_then(|seen| seen.opened.clone());
                spot.keep(text, &signed, opened, now);
                signed
            }
        };
        // A remember token has another key: what is a good session token need not be one.
        let known = seen.filter(|_| kind == Kind::Session);
        Ok(Token {
            kind,
            signed,
            payload: Payload::Record,
            opened_at: now,
            spot,
            known: known.and_then(|known| known.opened),
        })
    }

    /// A header that verified before may be of another kind, bound to another client, or over by now.
    fn check_known(
        &self,
        kind: Kind,
        seen: &Seen,
        binding: &Binding<'_>,
        now: u64,
    ) -> Result<(), Refusal> {
        let (header, key) = (&seen.signed.header, &seen.signed.mac_key);
        self.check_form(kind, header)?;
        if header.flags.intersects(Flags::BIND) && !binding.signs(key, header) {
            return Err(Refusal::BadSignature);
        }
        self.check_limits(kind, header, now)
    }

    /// Verifies a header that is new; if it was touched, its keys may be known.
    fn verify_new(
        &self,
        kind: Kind,
        text: &[u8],
        seen: Option<&Seen>,
        binding: &Binding<'_>,
        now: u64,
    ) -> Result<Signed, Refusal> {
        let header = Header::parse_text(text)?;
        self.check_form(kind, &header)?;
        let signed = binding.verify(&self.keys, header, seen.map(|seen| &*seen.signed));
        let signed = signed.ok_or(Refusal::BadSignature)?;
        self.check_limits(kind, &signed.header, now)?;
        Ok(signed)
    }

    /// Whether such a token can be one of this policy's at all.
    fn check_form(&self, kind: Kind, header: &Header) -> Result<(), Refusal> {
        if header.flags.contains(Flags::STORAGE) != (self.place == Place::Server) {
            return Err(FormatError::Storage.into());
        }
        if kind == Kind::Remember && header.idling_offset != 0 {
            return Err(FormatError::Idling.into());
        }
        if !self.bind.admits(header.flags) {
            return Err(Refusal::BadSignature);
        }
        Ok(())
    }

    fn check_limits(&self, kind: Kind, header: &Header, now: u64) -> Result<(), Refusal> {
        let times = &self.times;
        // A rolling offset has 32 bits: an older session could not be saved any more.
        let too_old = elapsed(header.created, now) > i64::from(u32::MAX);
        if too_old || is_over(times.absolute_of(kind), header.created, now) {
            return Err(Refusal::ExpiredAbsolute);
        }
        if is_over(times.rolling_of(kind), header.saved(), now) {
            return Err(Refusal::ExpiredRolling);
        }
        if kind == Kind::Session && is_over(times.idling, header.used(), now) {
            return Err(Refusal::ExpiredIdling);
        }
        Ok(())
    }

    /// The payload that starts with `start` in the token's own cookie and goes on in the chunks. Only pieces of exactly the
    /// implied lengths count, so that a chunk left over from another session is not taken for one of this.
    fn collect_payload(
        &self,
        token: &mut Token,
        start: &[u8],
        cookies: &[&[u8]],
    ) -> Result<Payload, FormatError> {
        if self.place == Place::Server {
            return no_payload(start);
        }
        let name = self.name_of(token.kind).as_str();
        let size = token.header().data_size as usize;
        let split = Split::new(name.len(), size).map_err(|_| FormatError::TooManyChunks)?;
        if split.count() == 1 {
            return Payload::of_piece(start, size, token.known.take());
        }
        let start = piece(start, split.first())?;
        let mut whole = String::with_capacity(size);
        whole.push_str(start);
        let mut is_the_only_one = true;
        for (number, length) in split.others() {
            let mut found = chunk_candidates(cookies, name, number, length);
            let first = found.next().ok_or(FormatError::Chunk(number))?;
            is_the_only_one &= found.all(|other| other == first);
            whole.push_str(first);
        }
        if is_the_only_one {
            return Ok(Payload::of(whole, token.known.take()));
        }
        let further = split.others().map(|(number, length)| {
            let mut pieces: Vec<String> = Vec::with_capacity(2);
            for piece in chunk_candidates(cookies, name, number, length) {
                if !pieces.iter().any(|other| other == piece) {
                    pieces.push(piece.to_owned());
                }
            }
            pieces
        });
        let start = vec![start.to_owned()];
        Ok(Payload::Pieces(
            std::iter::once(start).chain(further).collect(),
        ))
    }
}

/// The non-empty values of the cookies of one name, in the order of the request.
fn values<'a>(
    cookies: &'a [&'a [u8]],
    is_name: impl Fn(&[u8]) -> bool,
) -> impl Iterator<Item = &'a [u8]> {
    let pairs = cookies.iter().flat_map(|line| cookie_pairs(line));
    pairs
        .filter(move |(name, value)| is_name(name) && !value.is_empty())
        .map(|(_, value)| value)
}

/// What may be the chunk of that number, as often as it is there.
fn chunk_candidates<'a>(
    cookies: &'a [&'a [u8]],
    name: &'a str,
    number: usize,
    length: usize,
) -> impl Iterator<Item = &'a str> {
    values(cookies, move |own| is_chunk_name(own, name, number))
        .filter_map(move |value| piece(value, length).ok())
        .take(MAX_CANDIDATES)
}

fn piece(text: &[u8], length: usize) -> Result<&str, FormatError> {
    if text.len() != length {
        return Err(FormatError::PayloadSize);
    }
    std::str::from_utf8(text).map_err(|_| FormatError::PayloadBase64)
}

fn no_payload(rest: &[u8]) -> Result<Payload, FormatError> {
    if rest.is_empty() {
        Ok(Payload::Record)
    } else {
        Err(FormatError::PayloadSize)
    }
}

impl Token {
    /// Session or remember token.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.signed.header.id
    }

    /// The header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.signed.header
    }

    /// When it was verified, in Unix seconds.
    #[must_use]
    pub fn opened_at(&self) -> u64 {
        self.opened_at
    }

    /// The key of its record.
    #[must_use]
    pub fn storage_key(&self, p: &Policy) -> String {
        self.signed.header.id.storage_key(p.hash_storage_key)
    }

    /// Work that makes its key, if that is work for another thread: that of some remember tokens is.
    #[must_use]
    pub fn stretch(&self, p: &Policy) -> Option<Stretch> {
        stretch(p, self.kind, &self.signed)
    }

    /// The token as it came, without a payload it may have: enough to replace it, not to open it.
    pub(crate) fn stored(&self) -> StoredToken {
        StoredToken {
            signed: Arc::clone(&self.signed),
            payload: Arc::default(),
        }
    }

    /// Decrypts. `stretched` is what [`Token::stretch`] has made; without it that work is done here and now. `record` is what the storage has under [`Token::storage_key`];
    /// cookie storage needs none. A remember token becomes a session in [`State::Remembered`](crate::State), to be saved under a
    /// new id.
    ///
    /// # Errors
    /// When there is no record, or payload and token do not belong together.
    pub fn open(
        self,
        p: &Policy,
        stretched: Option<&CipherKey>,
        record: Option<Record>,
        audience: &str,
    ) -> Result<Box<Session>, Refusal> {
        let (kind, signed, spot) = (self.kind, self.signed, self.spot);
        let content = |error: ContentError| match p.place {
            Place::Server => Refusal::BadRecord(error.into()),
            Place::Cookie => Refusal::BadFormat(error.into()),
        };
        let (payload, info) = match (self.payload, record) {
            (Payload::Record, Some(record)) => {
                (Payload::of(record.payload, self.known), record.info)
            }
            (payload, _) => (payload, None),
        };
        let key = || match stretched {
            Some(key) => key.clone(),
            None => derive(p, kind, &signed),
        };
        let header = &signed.header;
        let (plain, text) = match payload {
            Payload::Record => return Err(Refusal::NoRecord),
            Payload::Known(opened) if opened.size > p.max_data => {
                return Err(content(ContentError::TooLarge));
            }
            Payload::Known(opened) => {
                return Session::opened(p, kind, signed, &opened, info.as_ref(), audience)
                    .map_err(content);
            }
            Payload::Pieces(pieces) => open_pieces(header, &key(), &pieces)?,
            Payload::Whole(text) if p.place == Place::Server => {
                (open_record(header, &key(), &text)?, text)
            }
            Payload::Whole(text) => (open_text(header, &key(), &text)?, text),
        };
        let opened = Arc::new(payload::read(plain, text, p.place, p.max_data).map_err(content)?);
        if kind == Kind::Session {
            spot.keep_opened(&signed, &opened);
        }
        Session::opened(p, kind, signed, &opened, info.as_ref(), audience).map_err(content)
    }
}

fn stretch(p: &Policy, kind: Kind, signed: &Signed) -> Option<Stretch> {
    match kind {
        Kind::Session => None,
        Kind::Remember => p.keys.stretch(signed.key, &signed.header.id, p.safety),
    }
}

/// The key that decrypts a token, however long that takes.
fn derive(p: &Policy, kind: Kind, signed: &Signed) -> CipherKey {
    match stretch(p, kind, signed) {
        Some(stretch) => stretch.run(),
        None => p.keys.session_key(signed.key, &signed.header.id),
    }
}

fn open_record(header: &Header, key: &CipherKey, payload: &str) -> Result<Plain, RecordError> {
    if payload.len() != header.data_size as usize {
        return Err(RecordError::PayloadSize);
    }
    let bytes = base64url::decode(payload).map_err(|_| RecordError::PayloadBase64)?;
    decrypt(header, key, bytes).ok_or(RecordError::Cipher)
}

fn open_text(header: &Header, key: &CipherKey, text: &str) -> Result<Plain, Refusal> {
    let bytes = base64url::decode(text).map_err(|_| FormatError::PayloadBase64)?;
    decrypt(header, key, bytes).ok_or(Refusal::BadSignature)
}

/// Tries the combinations of pieces, up to a bound, until one decrypts.
fn open_pieces(
    header: &Header,
    key: &CipherKey,
    pieces: &[Vec<String>],
) -> Result<(Plain, String), Refusal> {
    let mut refusal = Refusal::BadSignature;
    for number in 0..combinations(pieces).min(MAX_DECRYPTIONS) {
        let text = combination(pieces, number);
        match open_text(header, key, &text) {
            Ok(plain) => return Ok((plain, text)),
            Err(reason) => refusal = reason,
        }
    }
    Err(refusal)
}

fn decrypt(header: &Header, key: &CipherKey, bytes: Vec<u8>) -> Option<Plain> {
    let mut bytes = Wiped::from(bytes);
    let deflated = header.flags.contains(Flags::DEFLATE);
    let is_authentic = key.decrypt(&header.build()[..AAD_SIZE], &mut bytes, &header.tag);
    is_authentic.then_some(Plain { bytes, deflated })
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("kind", &self.kind)
            .field("header", self.header())
            .finish_non_exhaustive()
    }
}

fn combinations(pieces: &[Vec<String>]) -> usize {
    pieces.iter().fold(1, |product: usize, candidates| {
        product.saturating_mul(candidates.len())
    })
}

/// Combination number `number`, counted like digits: the first piece changes fastest.
fn combination(pieces: &[Vec<String>], mut number: usize) -> String {
    let size = pieces.iter().map(|candidates| candidates[0].len());
    let mut text = String::with_capacity(size.sum());
    for candidates in pieces {
        text.push_str(&candidates[number % candidates.len()]);
        number /= candidates.len();
    }
    text
}
