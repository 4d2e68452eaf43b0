//! Saving: a session becomes a new token, and its record. Done in two steps, since a storage may refuse the record: `seal` makes
//! everything without changing the session, `committed` makes the session be what was sealed.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};
use thiserror::Error;

use super::{Session, State, StoredToken};
use crate::base64url;
use crate::binding::Binding;
use crate::chunks::{Split, chunk_name};
use crate::cookie::Cookie;
use crate::entry::Entry;
use crate::header::{AAD_SIZE, Flags, Header, MAX_CREATED, MAX_DATA_SIZE};
use crate::id::SessionId;
use crate::keys::{CipherKey, KeyIndex};
use crate::known::Signed;
use crate::metadata::MetaEntry;
use crate::payload;
use crate::policy::{Kind, Place, Policy};
use crate::record::{self, Record};
use crate::ttl;

/// Why a session cannot be saved. What is stored stays valid.
#[derive(Debug, Error)]
pub enum SaveError {
    /// More data than `session_max_data`.
    #[error("the session holds {size} bytes, session_max_data allows {limit}")]
    TooLarge {
        /// Bytes of JSON, or characters of payload where the header cannot count them.
        size: usize,
        /// The limit in the same unit.
        limit: usize,
    },
    /// More data than nine cookies hold.
    #[error(
        "the session takes {size} characters, cookies hold fewer than {limit}; keep less in it, or compress it (session_compression_threshold)"
    )]
    CookieTooLarge {
        /// Characters of the payload.
        size: usize,
        /// Characters that cookies have in all, names included.
        limit: usize,
    },
    /// Values nested so deeply that they could not be read again.
    #[error(
        "the session's data is nested deeper than {} levels",
        payload::MAX_DEPTH
    )]
    TooDeep,
    /// The data cannot be written as JSON.
    #[error("the session's data cannot be written as JSON")]
    Encode(#[from] serde_json::Error),
    /// Deflating failed. Not answered any more: the data is kept as it is then.
    #[error("the session's data cannot be deflated")]
    Deflate(#[source] std::io::Error),
    /// The clock is at a time, or so far from the session's creation, that a token cannot express.
    #[error("the clock is wrong, or the session is older than a token can express")]
    ClockRange,
    /// The session has ended, or is not open yet.
    #[error("the session is not open")]
    NotOpen,
}

/// A token that is made but not sent, with all that belongs to it.
#[derive(Clone)]
pub struct Sealed {
    kind: Kind,
    place: Place,
    token: StoredToken,
    cookies: Vec<Cookie>,
    stale_cookies: Vec<String>,
    record: Option<RecordWrite>,
    remember_lifetime: u32,
    listed: Vec<MetaEntry>,
    same_subject: bool,
}

/// What a storage is to do for a save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordWrite {
    /// The cookie's name, a part of the record's.
    pub name_cookie: String,
    /// The record's key.
    pub key: String,
    /// The record's value.
    pub value: String,
    /// Seconds the record lives.
    pub ttl: u32,
    /// The replaced record's key.
    pub old_key: Option<String>,
    /// Seconds the replaced record may live on; a shorter life is not lengthened.
    pub stale_ttl: u32,
    /// The collections that list the record from now on, and not the old one any more.
    pub metadata: Vec<MetaEntry>,
    /// The collections that list the old record and are not among `metadata`: it is withdrawn from them.
    pub withdrawn: Vec<MetaEntry>,
    /// Unix seconds of the save.
    pub now: u64,
}

impl Session {
    /// Makes the session's next token under the fresh `id`. `now` is in Unix seconds.
    ///
    /// # Errors
    /// When the session is ended, too large, or the clock is out of range.
    pub fn seal(
        &self,
        p: &Policy,
        id: SessionId,
        binding: &Binding<'_>,
        now: u64,
    ) -> Result<Sealed, SaveError> {
        let old = self.token.as_ref();
        self.seal_text(p, id, binding, now)?.into_cookies(p, old)
    }

    /// The same for a client that keeps its token elsewhere than in cookies: [`Sealed::token_text`] is all it gets. The token may
    /// be longer than cookies could be.
    ///
    /// # Errors
    /// As [`Session::seal`].
    pub fn seal_text(
        &self,
        p: &Policy,
        id: SessionId,
        binding: &Binding<'_>,
        now: u64,
    ) -> Result<Sealed, SaveError> {
        let key = p.keys.session_key(KeyIndex::CURRENT, &id);
        self.seal_as(
            Kind::Session,
            self.token.as_ref(),
            p,
            id,
            &key,
            binding,
            now,
        )
    }

    /// Makes the next remember token under the fresh `id`, whose `key` is
    /// [`remember_key`](crate::KeyRing::remember_key) of the current key. `now` is in Unix seconds.
    ///
    /// # Errors
    /// As [`Session::seal`].
    pub fn seal_remember(
        &self,
        p: &Policy,
        id: SessionId,
        key: &CipherKey,
        binding: &Binding<'_>,
        now: u64,
    ) -> Result<Sealed, SaveError> {
        let old = self.remember_token.as_ref();
        self.seal_as(Kind::Remember, old, p, id, key, binding, now)?
            .into_cookies(p, old)
    }

    #[allow(clippy::too_many_arguments)]
    fn seal_as(
        &self,
        kind: Kind,
        old: Option<&StoredToken>,
        p: &Policy,
        id: SessionId,
        key: &CipherKey,
        binding: &Binding<'_>,
        now: u64,
    ) -> Result<Sealed, SaveError> {
        if self.state == State::Ended {
            return Err(SaveError::NotOpen);
        }
        let token = self.encrypt(p, empty_header(id, old, now)?, key, binding)?;
        let (record, listed) = match p.place {
            Place::Cookie => (None, Vec::new()),
            Place::Server => {
                let listed = self.metadata(p);
                (
                    Some(self.record_write(p, kind, &token, old, &listed, now)),
                    listed,
                )
            }
        };
        Ok(Sealed {
            kind,
            place: p.place,
            cookies: Vec::new(),
            stale_cookies: Vec::new(),
            record,
            remember_lifetime: ttl::remember_lifetime(&p.times, &token.signed.header, now),
            listed,
            same_subject: p.enforce_same_subject,
            token,
        })
    }

    /// Fills in the header and makes the payload.
    fn encrypt(
        &self,
        p: &Policy,
        mut header: Header,
        key: &CipherKey,
        binding: &Binding<'_>,
    ) -> Result<StoredToken, SaveError> {
        let mut plain = payload::write(self.kept(p.enforce_same_subject).collect(), p)?;
        let size = base64url::encoded_len(plain.bytes.len());
        if size > MAX_DATA_SIZE {
            return Err(SaveError::TooLarge {
                size,
                limit: MAX_DATA_SIZE,
            });
        }
        header.data_size = size as u32;
        header.flags = p.bind.flags();
        header.flags.set(Flags::STORAGE, p.place == Place::Server);
        header.flags.set(Flags::FORGET, self.forget);
        header.flags.set(Flags::DEFLATE, plain.deflated);
        header.tag = key.encrypt(&header.build()[..AAD_SIZE], &mut plain.bytes);
        let mac_key = p.keys.mac_key(KeyIndex::CURRENT, &header.id);
        header.mac = binding.mac(&mac_key, &header);
        Ok(StoredToken {
            signed: Arc::new(Signed {
                header,
                key: KeyIndex::CURRENT,
                mac_key,
            }),
            payload: base64url::encode(plain.bytes.as_slice()).into(),
        })
    }

    fn record_write(
        &self,
        p: &Policy,
        kind: Kind,
        token: &StoredToken,
        old: Option<&StoredToken>,
        listed: &[MetaEntry],
        now: u64,
    ) -> RecordWrite {
        let listed_before = if kind == Kind::Session {
            self.listed.as_slice()
        } else {
            &[]
        };
        RecordWrite {
            name_cookie: p.name_of(kind).as_str().to_owned(),
            key: token.signed.header.id.storage_key(p.hash_storage_key),
            value: record::encode(&token.payload, self.info_store(p).as_ref(), None),
            ttl: ttl::record_ttl(&p.times, kind, &token.signed.header, now),
            old_key: old.map(|old| old.signed.header.id.storage_key(p.hash_storage_key)),
            stale_ttl: p.times.stale_ttl,
            metadata: listed.to_vec(),
            withdrawn: listed_before
                .iter()
                .filter(|entry| !listed.contains(entry))
                .cloned()
                .collect(),
            now,
        }
    }

    /// The session now is what was sealed. A remember token leaves the session itself as it is.
    pub fn committed(&mut self, sealed: &Sealed) {
        let token = Some(sealed.token.clone());
        if sealed.kind == Kind::Remember {
            self.remember_token = token;
            return;
        }
        self.token = token;
        self.reserved = None;
        self.listed.clone_from(&sealed.listed);
        self.dirty = false;
        self.info_dirty = false;
        self.keep();
        if self.logged_out {
            self.state = State::Ended;
            return;
        }
        if sealed.same_subject {
            self.drop_other_subjects();
        }
        self.state = State::Open;
        self.has_audience = true;
    }

    /// What the entries hold now is what is stored.
    fn keep(&mut self) {
        self.removed.clear();
        self.others.iter_mut().for_each(Entry::keep);
        self.entry.keep();
    }

    /// The write that brings changed info into the session's record, which keeps its id, payload and end. None with cookie
    /// storage, where info is part of the token, and unless the session is open. `now` is in Unix seconds.
    #[must_use]
    pub fn info_record(&self, p: &Policy, now: u64) -> Option<RecordWrite> {
        let token = self.token.as_ref().filter(|_| self.state == State::Open)?;
        self.info_write(p, Kind::Session, token, &token.payload, now)
    }

    /// The same for the record of the remember token; `record` is what the storage has under
    /// [`remember_record_key`](Session::remember_record_key).
    #[must_use]
    pub fn remember_info_record(
        &self,
        p: &Policy,
        record: Record,
        now: u64,
    ) -> Option<RecordWrite> {
        let token = self
            .remember_token
            .as_ref()
            .filter(|_| self.state == State::Open)?;
        self.info_write(p, Kind::Remember, token, &record.payload, now)
    }

    /// The info write is done.
    pub fn info_committed(&mut self) {
        self.info_dirty = false;
        self.entry.info.keep();
        self.others.iter_mut().for_each(|other| other.info.keep());
    }

    fn info_write(
        &self,
        p: &Policy,
        kind: Kind,
        token: &StoredToken,
        payload: &str,
        now: u64,
    ) -> Option<RecordWrite> {
        (p.place == Place::Server).then(|| RecordWrite {
            name_cookie: p.name_of(kind).as_str().to_owned(),
            key: token.signed.header.id.storage_key(p.hash_storage_key),
            value: record::encode(payload, self.info_store(p).as_ref(), None),
            ttl: ttl::record_ttl(&p.times, kind, &token.signed.header, now),
            old_key: None,
            stale_ttl: p.times.stale_ttl,
            metadata: Vec::new(),
            withdrawn: Vec::new(),
            now,
        })
    }

    /// The collections that list the session; none without `session_store_metadata`. A delete withdraws it from them.
    #[must_use]
    pub fn metadata(&self, p: &Policy) -> Vec<MetaEntry> {
        let mut listed = Vec::new();
        if !p.store_metadata || p.place == Place::Cookie {
            return listed;
        }
        for entry in self.kept(p.enforce_same_subject) {
            let (Some(audience), Some(subject)) = (&entry.audience, &entry.subject) else {
                continue;
            };
            let named = MetaEntry::new(audience, subject, p.hash_subject);
            if !subject.is_empty() && !listed.contains(&named) {
                listed.push(named);
            }
        }
        listed
    }

    /// The entries that a save keeps.
    fn kept(&self, same_subject: bool) -> impl Iterator<Item = &Entry> {
        let all = !same_subject || self.logged_out;
        self.entries()
            .filter(move |entry| all || entry.subject == self.entry.subject)
    }

    fn drop_other_subjects(&mut self) {
        let subject = &self.entry.subject;
        let dropped = self.others[..self.position]
            .iter()
            .filter(|other| other.subject != *subject)
            .count();
        self.position -= dropped;
        self.others.retain(|other| other.subject == *subject);
    }

    fn info_store(&self, p: &Policy) -> Option<Map<String, Value>> {
        let mut store = Map::new();
        for entry in self
            .kept(p.enforce_same_subject)
            .filter(|entry| !entry.info.is_empty())
        {
            if let Some(audience) = &entry.audience {
                store.insert(audience.to_string(), Value::Object(entry.info.clone()));
            }
        }
        Some(store).filter(|store| !store.is_empty())
    }
}

/// A header with the times filled in: creation stays that of the replaced token.
fn empty_header(id: SessionId, old: Option<&StoredToken>, now: u64) -> Result<Header, SaveError> {
    let created = old.map_or(now, |old| old.signed.header.created);
    if created > MAX_CREATED {
        return Err(SaveError::ClockRange);
    }
    // A clock that went back behind the creation counts as no time passed.
    let rolling_offset =
        u32::try_from(now.saturating_sub(created)).map_err(|_| SaveError::ClockRange)?;
    Ok(Header {
        flags: Flags::empty(),
        id,
        created,
        rolling_offset,
        data_size: 0,
        tag: [0; 16],
        idling_offset: 0,
        mac: [0; 16],
    })
}

fn cookies(p: &Policy, kind: Kind, token: &StoredToken) -> Result<Vec<Cookie>, SaveError> {
    let name = p.name_of(kind).as_str();
    if p.place == Place::Server {
        return Ok(vec![Cookie {
            name: name.to_owned(),
            value: token.start(0),
        }]);
    }
    let split =
        Split::new(name.len(), token.payload.len()).map_err(|error| SaveError::CookieTooLarge {
            size: error.size,
            limit: crate::chunks::MAX_CHUNKS * crate::chunks::MAX_COOKIE_SIZE,
        })?;
    let mut cookies = Vec::with_capacity(split.count());
    cookies.push(Cookie {
        name: name.to_owned(),
        value: token.start(split.first()),
    });
    let mut rest = &token.payload[split.first()..];
    for (number, length) in split.others() {
        let (piece, after) = rest.split_at(length);
        cookies.push(Cookie {
            name: chunk_name(name, number),
            value: piece.to_owned(),
        });
        rest = after;
    }
    Ok(cookies)
}

/// The chunks that the replaced token had and the new one has not.
fn stale_cookies(p: &Policy, kind: Kind, old: Option<&StoredToken>, count: usize) -> Vec<String> {
    let name = p.name_of(kind).as_str();
    let before = old
        .filter(|_| p.place == Place::Cookie)
        .and_then(|old| Split::new(name.len(), old.signed.header.data_size as usize).ok())
        .map_or(0, |split| split.count());
    (count + 1..=before)
        .map(|number| chunk_name(name, number))
        .collect()
}

impl Sealed {
    /// Cuts the token into cookies, in the place of those of `old`.
    fn into_cookies(mut self, p: &Policy, old: Option<&StoredToken>) -> Result<Self, SaveError> {
        self.cookies = cookies(p, self.kind, &self.token)?;
        self.stale_cookies = stale_cookies(p, self.kind, old, self.cookies.len());
        Ok(self)
    }

    /// The token's id.
    #[must_use]
    pub fn id(&self) -> &SessionId {
        &self.token.signed.header.id
    }

    /// Session or remember token.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The token's header.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.token.signed.header
    }

    /// The token as one piece of text, as a header carries it.
    #[must_use]
    pub fn token_text(&self) -> String {
        self.token.text(self.place)
    }

    /// The cookies to set: `name`, `name2`, …. None of a token that was made by [`Session::seal_text`].
    #[must_use]
    pub fn cookies(&self) -> &[Cookie] {
        &self.cookies
    }

    /// The names of the replaced token's chunks that are to be expired.
    #[must_use]
    pub fn stale_cookies(&self) -> &[String] {
        &self.stale_cookies
    }

    /// What the storage is to do; none with cookie storage.
    #[must_use]
    pub fn record(&self) -> Option<&RecordWrite> {
        self.record.as_ref()
    }

    /// Seconds for the remember cookie's `Max-Age` and `Expires`: what is left of its rolling and absolute timeout, at most
    /// 400 days.
    #[must_use]
    pub fn remember_lifetime(&self) -> u32 {
        self.remember_lifetime
    }
}

impl fmt::Debug for Sealed {
    /// Prints no part of the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed")
            .field("kind", &self.kind)
            .field("header", &self.token.signed.header)
            .finish_non_exhaustive()
    }
}
