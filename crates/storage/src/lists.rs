//! What a save or a removal changes in the lists of sessions, for storages that keep a list as one text.

use session::metadata::{latest, live_entry};

use crate::{Deadline, MetaEntry, RecordWrite};

/// What happens to one list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change<'a> {
    /// The list.
    pub(crate) entry: &'a MetaEntry,
    /// The session that is in it from now on, and the end of its record.
    pub(crate) listed: Option<(&'a str, u64)>,
    /// The one that is not any more.
    pub(crate) gone: Option<&'a str>,
}

/// A list after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Changed {
    /// What it says: the sessions that live, nothing else.
    pub(crate) text: String,
    /// When the last of them ends.
    pub(crate) expires: u64,
}

/// The changes that come with a write.
pub(crate) fn of_write(write: &RecordWrite) -> Vec<Change<'_>> {
    let gone = write.old_key.as_deref();
    let listed = Some((write.key.as_str(), write.now + u64::from(write.ttl)));
    let put = write.metadata.iter().map(|entry| Change {
        entry,
        listed,
        gone: gone.filter(|old| *old != write.key),
    });
    let withdrawn = write.withdrawn.iter().filter(|_| gone.is_some());
    let withdrawn = withdrawn.map(|entry| Change {
        entry,
        listed: None,
        gone,
    });
    put.chain(withdrawn).collect()
}

/// The changes that come with the end of a record.
pub(crate) fn of_removal<'a>(entries: &'a [MetaEntry], key: &'a str) -> Vec<Change<'a>> {
    let change = |entry| Change {
        entry,
        listed: None,
        gone: Some(key),
    };
    entries.iter().map(change).collect()
}

/// The time for what may fail after a record was written: some of it stays, so that the answer is in time.
pub(crate) fn patience(deadline: Deadline) -> Deadline {
    let left = deadline.left();
    Deadline::after(left - left / 4)
}

impl Change<'_> {
    /// The list as it is to be written; none when no session is left in it.
    pub(crate) fn applied(&self, list: &[u8], now: u64) -> Option<Changed> {
        // A list that cannot be read says nothing about any session, now or later: it starts afresh.
        let mut sessions = latest(list, now).unwrap_or_default();
        if let Some(gone) = self.gone {
            sessions.remove(gone);
        }
        if let Some((key, expires)) = self.listed.filter(|(_, expires)| *expires > now) {
            sessions.insert(key.to_owned(), expires);
        }
        let expires = *sessions.values().max()?;
        let text = sessions
            .iter()
            .map(|(key, expires)| live_entry(key, *expires));
        Some(Changed {
            text: text.collect(),
            expires,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    const B: &str = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";

    fn write(old_key: Option<&str>) -> RecordWrite {
        RecordWrite {
            name_cookie: "sid".into(),
            key: B.into(),
            value: "[]".into(),
            ttl: 50,
            old_key: old_key.map(Into::into),
            stale_ttl: 10,
            metadata: vec![MetaEntry::new("a", "ann", false)],
            withdrawn: vec![MetaEntry::new("a", "bob", false)],
            now: 100,
        }
    }

    #[test]
    fn a_write_lists_the_new_and_takes_out_the_old() {
        let write = write(Some(A));
        let changes = of_write(&write);
        let before = live_entry(A, 120);
        assert_eq!(
            changes[0].applied(before.as_bytes(), 100),
            Some(Changed {
                text: live_entry(B, 150),
                expires: 150
            })
        );
        assert_eq!(changes[1].applied(before.as_bytes(), 100), None);
        assert_eq!(changes.len(), 2);
    }

    #[test]
    fn without_an_old_record_nothing_is_taken_out() {
        let write = write(None);
        let changes = of_write(&write);
        let before = live_entry(A, 120);
        assert_eq!(changes.len(), 1);
        let after = changes[0].applied(before.as_bytes(), 100);
        assert_eq!(
            after.map(|list| list.text),
            Some(before + &live_entry(B, 150))
        );
    }

    #[test]
    fn a_record_written_again_stays_listed() {
        let write = write(Some(B));
        let after = of_write(&write)[0].applied(live_entry(B, 120).as_bytes(), 100);
        assert_eq!(after.map(|list| list.text), Some(live_entry(B, 150)));
    }

    #[test]
    fn the_expired_and_the_broken_go() {
        let entry = MetaEntry::new("a", "ann", false);
        let removal = of_removal(std::slice::from_ref(&entry), A)[0];
        assert_eq!(removal.applied(live_entry(B, 99).as_bytes(), 100), None);
        assert_eq!(removal.applied(b"nonsense", 100), None);
        let kept = removal.applied(live_entry(B, 101).as_bytes(), 100);
        assert_eq!(kept.map(|list| list.expires), Some(101));
    }
}
