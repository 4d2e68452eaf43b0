//! An open session: its state, what its audience keeps in it, and how it is refreshed and ended.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::binding::Binding;
use crate::chunks::Split;
use crate::cookie::Cookie;
use crate::entry::Entry;
use crate::header::{Flags, MAX_IDLING_OFFSET};
use crate::id::SessionId;
use crate::known::{Opened, Signed};
use crate::metadata::MetaEntry;
use crate::policy::{Kind, Place, Policy, Renew};
use crate::refusal::ContentError;
use crate::token::Token;
use crate::ttl::{Remaining, elapsed};
use crate::{base64url, header};

mod audience;
mod data;
mod path;
mod rebase;
mod save;

pub use rebase::Rebased;
pub use save::{RecordWrite, SaveError, Sealed};

/// What a session is to its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing is stored yet for this audience.
    New,
    /// A stored session.
    Open,
    /// Opened from a remember token, not saved yet.
    Remembered,
    /// Over for this request: logged out or destroyed.
    Ended,
}

/// What a used session needs, see [`Session::refresh`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// Nothing.
    Nothing,
    /// A new idling offset.
    Touch,
    /// A save, with a new id.
    Renew,
}

/// What a logout leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logout {
    /// It was the only audience: destroy the session.
    Last,
    /// Others remain: save the session.
    Others,
}

/// A token as the client or the storage has it.
#[derive(Clone)]
pub(crate) struct StoredToken {
    pub signed: Arc<Signed>,
    /// All of the payload's text; empty for a remember token that was only verified.
    pub payload: Arc<str>,
}

/// A session. It knows what has changed since it was opened or committed.
pub struct Session {
    state: State,
    has_audience: bool,
    logged_out: bool,
    /// The current audience's entry, and its place among the others.
    entry: Entry,
    position: usize,
    others: Vec<Entry>,
    /// What was among them and will not be stored again.
    removed: Vec<Entry>,
    forget: bool,
    dirty: bool,
    info_dirty: bool,
    token: Option<StoredToken>,
    /// The id that the first token will have.
    reserved: Option<SessionId>,
    remember_token: Option<StoredToken>,
    /// The collections that list the stored token.
    listed: Vec<MetaEntry>,
}

impl Session {
    /// A session that is not stored yet.
    #[must_use]
    pub fn new(audience: &str, subject: Option<&str>) -> Self {
        Self::of(Entry::new(audience, subject))
    }

    fn of(entry: Entry) -> Self {
        Self {
            state: State::New,
            has_audience: true,
            logged_out: false,
            entry,
            position: 0,
            others: Vec::new(),
            removed: Vec::new(),
            forget: false,
            dirty: false,
            info_dirty: false,
            token: None,
            reserved: None,
            remember_token: None,
            listed: Vec::new(),
        }
    }

    /// The session of an opened token.
    pub(crate) fn opened(
        p: &Policy,
        kind: Kind,
        signed: Arc<Signed>,
        opened: &Opened,
        info: Option<&Map<String, Value>>,
        audience: &str,
    ) -> Result<Box<Self>, ContentError> {
        let mut session = Box::new(Self::of_entries(&opened.entries, info, audience)?);
        session.forget = signed.header.flags.contains(Flags::FORGET);
        let token = StoredToken {
            signed,
            payload: Arc::clone(&opened.payload),
        };
        match kind {
            Kind::Session => {
                session.token = Some(token);
                session.listed = session.metadata(p);
            }
            Kind::Remember => {
                session.remember_token = Some(token);
                if session.has_audience {
                    session.state = State::Remembered;
                    session.dirty = true;
                }
            }
        }
        Ok(session)
    }

    /// A session of what was stored; the first entry of the audience becomes the current one.
    fn of_entries(
        entries: &[Entry],
        info: Option<&Map<String, Value>>,
        audience: &str,
    ) -> Result<Self, ContentError> {
        let found = entries.iter().position(|entry| entry.is_of(audience));
        let mut session = match found {
            Some(at) if entries[at].foreign.is_some() => return Err(ContentError::NotAnObject),
            Some(at) => Self {
                state: State::Open,
                position: at,
                ..Self::of(entries[at].again())
            },
            None => Self {
                has_audience: false,
                position: entries.len(),
                ..Self::new(audience, None)
            },
        };
        let others = entries
            .iter()
            .enumerate()
            .filter(|(at, _)| Some(*at) != found);
        session.others = others.map(|(_, other)| other.again()).collect();
        if let Some(info) = info {
            session.distribute_info(info);
        }
        Ok(session)
    }

    /// Gives each audience of a record's info store to its entry; what belongs to no entry is left behind.
    fn distribute_info(&mut self, info: &Map<String, Value>) {
        for (audience, values) in info {
            let entries = std::iter::once(&mut self.entry).chain(&mut self.others);
            let entry = entries.into_iter().find(|entry| entry.is_of(audience));
            if let (Some(entry), Value::Object(values)) = (entry, values) {
                entry.info = values.clone().into();
            }
        }
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// False when the token was good but holds nothing for the audience. The session is new to it then, and a save keeps what
    /// the other audiences have.
    #[must_use]
    pub fn has_audience(&self) -> bool {
        self.has_audience
    }

    /// The id of the token it came from, or was last committed as.
    #[must_use]
    pub fn id(&self) -> Option<&SessionId> {
        self.token.as_ref().map(|token| &token.signed.header.id)
    }

    /// Settles the id that the first save will give this session, so that it can be told before. Nothing happens to one that has
    /// an id.
    pub fn reserve(&mut self, id: SessionId) {
        if self.token.is_none() {
            self.reserved.get_or_insert(id);
        }
    }

    /// The id that the first save has to use, if that is settled.
    #[must_use]
    pub fn reserved(&self) -> Option<&SessionId> {
        self.reserved.as_ref()
    }

    /// The audience.
    #[must_use]
    pub fn audience(&self) -> &str {
        self.entry.audience.as_deref().unwrap_or_default()
    }

    /// The subject.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.entry.subject.as_deref()
    }

    /// Sets or removes the subject; true when that changed something.
    pub fn set_subject(&mut self, subject: Option<&str>) -> bool {
        self.edit(|entry| entry.set_subject(subject))
    }

    /// Renames the current audience, its info included; true when that changed something. What was kept under the new name
    /// is replaced.
    pub fn set_audience(&mut self, audience: &str) -> bool {
        if !self.edit(|entry| entry.set_audience(Some(audience))) {
            return false;
        }
        while let Some(at) = self.others.iter().position(|other| other.is_of(audience)) {
            self.position -= usize::from(at < self.position);
            self.removed.push(self.others.remove(at));
        }
        true
    }

    /// The user does not want to be remembered. A token carries this, and saves hand it on.
    #[must_use]
    pub fn forget(&self) -> bool {
        self.forget
    }

    /// Sets or, when the user now asks for it, lifts the wish not to be remembered; true when that changed something.
    pub fn set_forget(&mut self, on: bool) -> bool {
        if self.forget == on || self.state == State::Ended {
            return false;
        }
        self.forget = on;
        self.dirty = true;
        true
    }

    /// Data, subject, audience or the wish to be forgotten has changed, or a save was asked for.
    #[must_use]
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// Info has changed.
    #[must_use]
    pub fn is_info_dirty(&self) -> bool {
        self.info_dirty
    }

    /// Asks for a save though nothing has changed.
    pub fn mark_dirty(&mut self) {
        self.dirty = true;
    }

    /// What the use of the session at `now` (Unix seconds) calls for. Only open sessions are refreshed.
    #[must_use]
    pub fn refresh(&self, p: &Policy, now: u64) -> Refresh {
        let (State::Open, Some(token)) = (self.state, &self.token) else {
            return Refresh::Nothing;
        };
        let times = &p.times;
        let renew_after = match times.renew {
            Renew::Off => None,
            // More than 75 %: where that is no whole second, the reference waits for one more, which may be the last.
            Renew::Share75 => (times.rolling != 0).then(|| u64::from(times.rolling) * 3 / 4),
            Renew::After(seconds) => Some(u64::from(seconds)),
        };
        let is_longer = |since, limit: u64| {
            u64::try_from(elapsed(since, now)).is_ok_and(|seconds| seconds > limit)
        };
        if renew_after.is_some_and(|limit| is_longer(token.signed.header.saved(), limit)) {
            Refresh::Renew
        } else if times.idling != 0
            && is_longer(token.signed.header.used(), times.touch_threshold.into())
        {
            Refresh::Touch
        } else {
            Refresh::Nothing
        }
    }

    /// Restarts the idling timeout: the same token with a new idling offset, to be set as the first cookie. No storage is
    /// involved, and further cookies stay as they are. `now` is in Unix seconds.
    ///
    /// # Errors
    /// [`SaveError::NotOpen`] unless the session is open.
    pub fn touch(
        &mut self,
        p: &Policy,
        binding: &Binding<'_>,
        now: u64,
    ) -> Result<Cookie, SaveError> {
        let token = self.touched(p, binding, now)?;
        let name = p.cookie_name.as_str();
        let first = match p.place {
            Place::Server => 0,
            Place::Cookie => Split::new(name.len(), token.payload.len())
                .map_or(token.payload.len(), |split| split.first()),
        };
        Ok(Cookie {
            name: name.to_owned(),
            value: token.start(first),
        })
    }

    /// The same for a client that keeps its token elsewhere than in cookies: all of the token.
    ///
    /// # Errors
    /// [`SaveError::NotOpen`] unless the session is open.
    pub fn touch_text(
        &mut self,
        p: &Policy,
        binding: &Binding<'_>,
        now: u64,
    ) -> Result<String, SaveError> {
        let token = self.touched(p, binding, now)?;
        Ok(token.text(p.place))
    }

    /// The token with a new idling offset.
    fn touched(
        &mut self,
        p: &Policy,
        binding: &Binding<'_>,
        now: u64,
    ) -> Result<&StoredToken, SaveError> {
        let (State::Open, Some(token)) = (self.state, &mut self.token) else {
            return Err(SaveError::NotOpen);
        };
        let Signed {
            header,
            key,
            mac_key,
        } = Arc::make_mut(&mut token.signed);
        let offset =
            u32::try_from(elapsed(header.saved(), now).max(0)).unwrap_or(MAX_IDLING_OFFSET);
        header.idling_offset = offset.min(MAX_IDLING_OFFSET);
        if !p.keys.made(mac_key) {
            *mac_key = p.keys.mac_key(*key, &header.id);
        }
        header.mac = binding.mac(mac_key, header);
        Ok(token)
    }

    /// The stored token as one piece of text, as a header carries it.
    #[must_use]
    pub fn token_text(&self, p: &Policy) -> Option<String> {
        self.token.as_ref().map(|token| token.text(p.place))
    }

    /// Takes the remember token that came with the request, so that a save replaces it: its creation time stays, its record
    /// is cut short.
    pub fn set_remember_token(&mut self, token: &Token) {
        self.remember_token = Some(token.stored());
    }

    /// Whether there is a remember token.
    #[must_use]
    pub fn has_remember_token(&self) -> bool {
        self.remember_token.is_some()
    }

    /// Removes the current audience.
    pub fn logout(&mut self) -> Logout {
        if self.others.is_empty() {
            return Logout::Last;
        }
        let empty = Entry::new(self.audience(), None);
        self.removed.push(std::mem::replace(&mut self.entry, empty));
        self.logged_out = true;
        self.dirty = true;
        Logout::Others
    }

    /// The session is over for this request.
    pub fn end(&mut self) {
        self.state = State::Ended;
        self.dirty = false;
        self.info_dirty = false;
    }

    /// The key of the session's record; none with cookie storage, and before the first save.
    #[must_use]
    pub fn record_key(&self, p: &Policy) -> Option<String> {
        record_key(self.token.as_ref(), p)
    }

    /// The key of the remember token's record; none with cookie storage, and without such a token.
    #[must_use]
    pub fn remember_record_key(&self, p: &Policy) -> Option<String> {
        record_key(self.remember_token.as_ref(), p)
    }

    /// What is left of the time limits at `now` (Unix seconds). A session that is not stored has none.
    #[must_use]
    pub fn remaining(&self, p: &Policy, now: u64) -> Remaining {
        match (&self.token, &self.reserved) {
            (Some(token), _) => Remaining::of(&p.times, &token.signed.header, now),
            (None, Some(_)) => Remaining::at_first(&p.times),
            (None, None) => Remaining::default(),
        }
    }

    /// The entries in their order, without the current one after a logout.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let (before, after) = self.others.split_at(self.position.min(self.others.len()));
        let current = (!self.logged_out).then_some(&self.entry);
        before.iter().chain(current).chain(after)
    }

    fn edit(&mut self, edit: impl FnOnce(&mut Entry) -> bool) -> bool {
        let changed = self.state != State::Ended && edit(&mut self.entry);
        self.dirty |= changed;
        changed
    }
}

impl fmt::Debug for Session {
    /// Prints no content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("state", &self.state)
            .field("has_audience", &self.has_audience)
            .field("dirty", &self.dirty)
            .finish_non_exhaustive()
    }
}

impl StoredToken {
    fn text(&self, place: Place) -> String {
        self.start(match place {
            Place::Server => 0,
            Place::Cookie => self.payload.len(),
        })
    }

    /// The header and that much of the payload.
    fn start(&self, payload: usize) -> String {
        let mut text = String::with_capacity(header::HEADER_TEXT_SIZE + payload);
        base64url::encode_onto(&self.signed.header.build(), &mut text);
        text.push_str(&self.payload[..payload]);
        text
    }
}

fn record_key(token: Option<&StoredToken>, p: &Policy) -> Option<String> {
    let token = token.filter(|_| p.place == Place::Server)?;
    Some(token.signed.header.id.storage_key(p.hash_storage_key))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::entry;

    fn opened(json: &str, audience: &str) -> Result<Session, ContentError> {
        let entries = entry::parse(json.as_bytes().to_vec().into(), Place::Cookie).unwrap();
        Session::of_entries(&entries, None, audience)
    }

    fn stored(session: &Session) -> String {
        let entries = session.entries().collect();
        let place = Place::Cookie;
        let json = entry::Stored { entries, place }.to_json().unwrap();
        String::from_utf8(json.to_vec()).unwrap()
    }

    #[test]
    fn of_an_audience_that_is_there_twice_the_first_counts_and_the_rest_stays() {
        let json = r#"[[{},"b"],[{"x":1},"a"],[{"x":2},"a","s"],[{},null]]"#;
        let mut session = opened(json, "a").unwrap();
        assert_eq!(session.get("x"), Some(&Value::from(1)));
        assert_eq!(stored(&session), json);
        assert_eq!(session.logout(), Logout::Others);
        assert_eq!(
            stored(&session),
            r#"[[{},"b"],[{"x":2},"a","s"],[{},null]]"#
        );
    }

    #[test]
    fn renaming_leaves_one_entry_of_the_name() {
        let mut session = opened(r#"[[{},"b"],[{"x":1},"a"],[{},"b"],[{},"c"]]"#, "a").unwrap();
        assert!(session.set_audience("b"));
        assert_eq!(stored(&session), r#"[[{"x":1},"b"],[{},"c"]]"#);
    }

    #[test]
    fn data_of_another_audience_may_be_anything() {
        let json = r#"[[["a","list"],"b"],[{"x":1},"a"]]"#;
        assert_eq!(stored(&opened(json, "a").unwrap()), json);
        assert_eq!(opened(json, "b").unwrap_err(), ContentError::NotAnObject);
    }
}
