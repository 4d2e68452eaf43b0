//! Going on from what another request has saved meanwhile, so that of two requests that run at the same time neither undoes what
//! the other did.

use super::{Session, State};
use crate::entry::Entry;
use crate::header::Flags;
use crate::jar::Jar;

/// What [`Session::rebase`] has made of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebased {
    /// What was saved meanwhile, with what was done here: save it.
    Merged,
    /// The same, but this logout leaves no audience: destroy it.
    Last,
    /// Somebody has logged out of the audience, or this session has ended: there is nothing to be saved. It is as it was.
    Gone,
    /// Somebody has logged in meanwhile, and not here. A client that knew the session before that must not get into it by a
    /// request it kept waiting, so nothing was merged. The session is as it was.
    OtherSubject,
}

impl Session {
    /// Makes this session be `fresh`, with all that was done to this one since it was opened or committed. `fresh` is what another
    /// request of the same client has made of the same token, opened and unchanged; its token is the one a save replaces then.
    ///
    /// Data and info are taken key by key, at the top: a key that was set or removed here is as it is here, the others are as they
    /// are there. The same goes for the subject, the audience's name, and the wish to be forgotten. The jar is merged cookie by
    /// cookie: `jar` is the one that was read from this session and changed, and becomes the merged one. `now` is in Unix seconds.
    pub fn rebase(&mut self, mut fresh: Self, jar: Option<&mut Jar>, now: u64) -> Rebased {
        if self.state == State::Ended {
            return Rebased::Gone;
        }
        if fresh.entries().any(|entry| !self.knows_subject_of(entry)) {
            return Rebased::OtherSubject;
        }
        let mut entries = fresh.take_stored();
        fresh.removed.extend(remove(&mut entries, &self.removed));
        for other in self.others.iter().filter(|other| other.is_changed()) {
            replay(&mut entries, other);
        }
        if self.logged_out {
            fresh.entry = Entry::new(self.audience(), None);
            fresh.position = entries.len();
        } else {
            let Some(at) = replay(&mut entries, &self.entry) else {
                return Rebased::Gone;
            };
            fresh.entry = entries.remove(at);
            fresh.position = at;
        }
        fresh.others = entries;
        fresh.take_state(self);
        if let Some(jar) = jar.filter(|_| !self.logged_out) {
            *jar = jar.rebased(fresh.stored_jar(), now);
            if jar.changed() {
                fresh.set_stored_jar(Some(jar.to_json()).filter(|_| !jar.is_empty()));
            }
        }
        let nobody_is_left = fresh.logged_out && fresh.others.is_empty();
        *self = fresh;
        if nobody_is_left {
            Rebased::Last
        } else {
            Rebased::Merged
        }
    }

    /// Whether the subject of an entry was in this session when it was opened, or has been set here.
    fn knows_subject_of(&self, entry: &Entry) -> bool {
        let (audience, subject) = (entry.audience.as_deref(), entry.subject.as_deref());
        let had = |own: &&Entry| {
            own.is_stored() && own.stored_audience() == audience && own.stored_subject() == subject
        };
        let has =
            |own: &&Entry| own.audience.as_deref() == audience && own.subject.as_deref() == subject;
        subject.is_none_or(str::is_empty)
            || self.entries().chain(&self.removed).any(|own| had(&own))
            || self.entries().any(|own| has(&own))
    }

    /// Takes the entries out, in their order, without one that only was made because there was none of the audience.
    fn take_stored(&mut self) -> Vec<Entry> {
        let mut entries = std::mem::take(&mut self.others);
        let current = std::mem::take(&mut self.entry);
        if current.is_stored() {
            entries.insert(self.position.min(entries.len()), current);
        }
        entries
    }

    /// Takes over what is no entry's, after the entry.
    fn take_state(&mut self, own: &mut Self) {
        let was_forgotten = own
            .token
            .as_ref()
            .is_some_and(|token| token.signed.header.flags.contains(Flags::FORGET));
        if own.forget != was_forgotten {
            self.forget = own.forget;
        }
        if own.remember_token.is_some() {
            self.remember_token = own.remember_token.take();
        }
        self.has_audience = self.entry.is_stored();
        self.state = if self.has_audience {
            State::Open
        } else {
            State::New
        };
        self.logged_out = own.logged_out;
        self.dirty = own.dirty;
        self.info_dirty = own.info_dirty;
    }
}

/// Removes what was removed elsewhere; returns it.
fn remove(entries: &mut Vec<Entry>, removed: &[Entry]) -> Vec<Entry> {
    let stored = removed.iter().filter(|gone| gone.is_stored());
    let at = |entries: &[Entry], gone: &Entry| position(entries, gone.stored_audience());
    stored
        .filter_map(|gone| at(entries, gone).map(|at| entries.remove(at)))
        .collect()
}

/// Does to the entry of the same audience what was done to `own`. None when somebody has logged out of it.
fn replay(entries: &mut Vec<Entry>, own: &Entry) -> Option<usize> {
    let audience = own.audience.as_deref();
    let stored = position(entries, own.stored_audience()).filter(|_| own.is_stored());
    let mut at = match stored.or_else(|| position(entries, audience)) {
        Some(at) if entries[at].foreign.is_some() => return None,
        Some(at) => at,
        None if own.is_stored() && !own.has_new_subject() => return None,
        None => {
            entries.push(Entry::new(audience.unwrap_or_default(), None));
            entries.len() - 1
        }
    };
    entries[at].replay(own);
    if entries[at].set_audience(audience) {
        // As with any renaming, it takes the place of what has the name.
        while let Some(other) = (0..entries.len())
            .find(|&other| other != at && entries[other].audience.as_deref() == audience)
        {
            entries.remove(other);
            at -= usize::from(other < at);
        }
    }
    Some(at)
}

fn position(entries: &[Entry], audience: Option<&str>) -> Option<usize> {
    entries
        .iter()
        .position(|entry| entry.audience.as_deref() == audience)
}
