//! Sessions in a fixed piece of memory that several processes share: the storage without nginx.
//!
//! The memory is divided into [`cell`]s that name each other by index, so that it may lie anywhere and nothing in it can lead
//! outside. A record is a cell and a chain of cells with its value; records and lists are found by a hash table, records are
//! also in the order of their last use and in that of their expiry (a heap). A list's members belong to their records and go
//! with them.
//!
//! Whoever makes a [`Store`] of a [`Region`] holds the lock that goes with it. What a dead process left half done is found by a
//! mark, and repaired from the records that are whole.

use std::collections::BTreeMap;

use session::base64url;
use sha2::{Digest, Sha256};

use crate::{Error, MetaEntry, RecordId, RecordWrite, names};

mod cell;
mod links;
mod region;
pub mod state_file;
#[cfg(test)]
mod tests;

pub use cell::Cell;
use cell::{Kind, NONE, VALUE_SIZE, named, record};
pub use region::{Geometry, Header, Region};

/// Evictions a write makes at most to come down to a lower limit of sessions.
const EVICTIONS_A_WRITE: usize = 16;

/// The name of a record or list: a hash, as only its equality matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(pub [u8; 16]);

impl Name {
    fn of(name: &names::Name<'_>) -> Self {
        let mut hash = Sha256::new();
        for piece in name.pieces() {
            hash.update(piece);
        }
        let mut name = [0; 16];
        name.copy_from_slice(&hash.finalize()[..16]);
        Self(name)
    }
}

/// A record's key as it was before base64.
pub type Key = [u8; 32];

/// What stands around every name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// In front.
    pub prefix: Option<String>,
    /// Behind.
    pub suffix: Option<String>,
}

impl Names {
    /// A record's name.
    #[must_use]
    pub fn record(&self, id: RecordId<'_>) -> Name {
        let (prefix, suffix) = (self.prefix.as_deref(), self.suffix.as_deref());
        Name::of(&names::Name::record(prefix, id.cookie, id.key, suffix))
    }

    /// A list's name.
    #[must_use]
    pub fn list(&self, cookie: &str, entry: &MetaEntry) -> Name {
        let (prefix, suffix) = (self.prefix.as_deref(), self.suffix.as_deref());
        Name::of(&names::Name::list(prefix, cookie, entry, suffix))
    }

    /// The names of several lists.
    #[must_use]
    pub fn lists(&self, cookie: &str, entries: &[MetaEntry]) -> Vec<Name> {
        entries
            .iter()
            .map(|entry| self.list(cookie, entry))
            .collect()
    }

    /// A write with all its names, to be made before the lock is taken.
    #[must_use]
    pub fn write<'a>(&self, write: &'a RecordWrite) -> Write<'a> {
        let cookie = write.name_cookie.as_str();
        let name = |key| self.record(RecordId { cookie, key });
        let until = |ttl: u32| seconds(write.now.saturating_add(u64::from(ttl)));
        Write {
            name: name(&write.key),
            key: key(&write.key),
            value: write.value.as_bytes(),
            expires: until(write.ttl),
            old: write
                .old_key
                .as_deref()
                .map(|old| (name(old), until(write.stale_ttl))),
            lists: self.lists(cookie, &write.metadata),
            withdrawn: self.lists(cookie, &write.withdrawn),
            now: seconds(write.now),
        }
    }
}

fn key(text: &str) -> Option<Key> {
    base64url::decode(text).ok()?.try_into().ok()
}

/// Unix seconds as they are kept: enough until 2106.
#[must_use]
pub fn seconds(time: u64) -> u32 {
    u32::try_from(time).unwrap_or(u32::MAX)
}

/// A record to write; the rules are those of [`crate::Storage::set`].
#[derive(Debug, Clone)]
pub struct Write<'a> {
    name: Name,
    key: Option<Key>,
    value: &'a [u8],
    expires: u32,
    old: Option<(Name, u32)>,
    lists: Vec<Name>,
    withdrawn: Vec<Name>,
    now: u32,
}

/// What is kept of a record elsewhere: in the state file, or while the memory is put in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The record's name.
    pub name: Name,
    /// Unix seconds of its end.
    pub expires: u32,
    /// Unix seconds of its last use.
    pub used: u32,
    /// Another has replaced it.
    pub stale: bool,
    /// Its value.
    pub value: Vec<u8>,
    /// Its key, where it is listed, and the lists.
    pub listed: Option<(Key, Vec<Name>)>,
}

/// What may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Sessions at most; records that were replaced do not count.
    pub max_sessions: Option<u64>,
    /// Whether a full memory drops what was not used for the longest time, or refuses.
    pub evict: bool,
}

/// What the memory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Records, among them those that were replaced and live on for a moment.
    pub records: u64,
    /// Sessions: records that were not replaced.
    pub sessions: u64,
    /// Lists of sessions.
    pub lists: u64,
    /// Live records that had to go, since the memory was made.
    pub evicted: u64,
    /// Records that were removed after their time was over.
    pub expired: u64,
    /// How often the work of a dead process was put in order.
    pub repaired: u64,
    /// Bytes for records and lists.
    pub bytes: u64,
    /// Of them, free ones.
    pub bytes_free: u64,
}

/// The storage.
pub struct Store<'a> {
    region: Region<'a>,
    limits: Limits,
}

impl<'a> Store<'a> {
    /// Works on memory that was formatted.
    #[must_use]
    pub fn new(region: Region<'a>, limits: Limits) -> Self {
        Self { region, limits }
    }

    /// The record's value. It becomes the one used last.
    #[must_use]
    pub fn get(&mut self, name: &Name, now: u32) -> Option<Vec<u8>> {
        let index = self.find(Kind::Record, name)?;
        let cell = self.cell(index);
        if cell.word(record::EXPIRES) <= now {
            return None;
        }
        // One that was replaced is on its way out: a late request does not make it recent.
        if cell.word(record::STALE) == 0 {
            self.change(|store| store.touch(index, now));
        }
        Some(self.value(index))
    }

    /// Writes a record.
    ///
    /// # Errors
    /// [`Error::TooLarge`], or [`Error::Full`] where nothing may be evicted. Nothing has changed then.
    pub fn set(&mut self, write: &Write<'_>) -> Result<(), Error> {
        let limit = self.region.cells.len() / 2 * VALUE_SIZE;
        if write.value.len() > limit {
            let size = write.value.len();
            return Err(Error::TooLarge { size, limit });
        }
        self.change(|store| {
            store.make_room(write)?;
            let index = store.put(write);
            store.list_record(index, write);
            store.retire(write);
            store.region.header.changes += 1;
            Ok(())
        })
    }

    /// Removes a record, and with it its places in lists.
    pub fn delete(&mut self, name: &Name) {
        if let Some(index) = self.find(Kind::Record, name) {
            self.change(|store| {
                store.remove(index);
                store.region.header.changes += 1;
            });
        }
    }

    /// The sessions of a list: key and expiry.
    #[must_use]
    pub fn list(&self, name: &Name, now: u32) -> BTreeMap<String, u64> {
        let Some(list) = self.find(Kind::List, name) else {
            return BTreeMap::new();
        };
        self.members_of_list(list)
            .map(|(key, owner)| (key, self.cell(owner).word(record::EXPIRES)))
            .filter(|(_, expires)| *expires > now)
            .map(|(key, expires)| (base64url::encode(key), u64::from(expires)))
            .collect()
    }

    /// Removes at most `budget` records whose time is over; answers how many it were.
    pub fn sweep(&mut self, now: u32, budget: usize) -> usize {
        if self.first_expired(now).is_none() {
            return 0;
        }
        self.change(|store| {
            store.region.header.changes += 1;
            (0..budget)
                .take_while(|_| store.remove_expired(now))
                .count()
        })
    }

    /// What the memory holds.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let header = &*self.region.header;
        let bytes = |cells: u64| cells * cell::SIZE as u64;
        Usage {
            records: header.records.into(),
            sessions: header.records.saturating_sub(header.stale).into(),
            lists: header.lists.into(),
            evicted: header.evicted,
            expired: header.expired,
            repaired: header.repaired,
            bytes: bytes(self.region.cells.len() as u64),
            bytes_free: bytes(header.free.into()),
        }
    }

    /// Counts up with each change that a state file would show.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.region.header.changes
    }

    /// Copies the live records among `count` cells from `from` on; answers where to go on, if there is more.
    #[must_use]
    pub fn export(&self, from: u32, count: u32, now: u32) -> (Vec<Entry>, Option<u32>) {
        let end = self.region.header.fresh.min(self.cells());
        let until = from.saturating_add(count).min(end);
        let entries = (from..until)
            .filter_map(|index| self.entry(index, now))
            .collect();
        (entries, (until < end).then_some(until))
    }

    /// Takes records in, those used last taking precedence; answers how many there was room for. Records that are there
    /// already stay as they are.
    pub fn import(&mut self, mut entries: Vec<Entry>, now: u32) -> usize {
        entries.sort_by_key(|entry| entry.used);
        let live = entries.iter().filter(|entry| entry.expires > now);
        live.filter(|entry| {
            self.find(Kind::Record, &entry.name).is_none() && self.restore(entry, now)
        })
        .count()
    }

    /// Fills an empty memory from a state file; answers how many records there was room for.
    pub fn fill(&mut self, state: state_file::State, now: u32) -> usize {
        self.region.header.filled = seconds(state.made);
        self.import(state.entries, now)
    }

    /// Takes in what another memory, filled from the same file, has had since; answers how many records that is. What has been
    /// idle there is not taken: it was known here, and may have been ended here.
    pub fn merge(&mut self, mut state: state_file::State, now: u32) -> usize {
        let filled = self.region.header.filled;
        state.entries.retain(|entry| entry.used >= filled);
        self.import(state.entries, now)
    }

    fn restore(&mut self, entry: &Entry, now: u32) -> bool {
        let (key, lists) = entry.listed.clone().unzip();
        let write = Write {
            name: entry.name,
            key,
            value: &entry.value,
            expires: entry.expires,
            old: None,
            lists: lists.unwrap_or_default(),
            withdrawn: Vec::new(),
            now,
        };
        if self.set(&write).is_err() {
            return false;
        }
        if let Some(index) = self.find(Kind::Record, &entry.name) {
            self.change(|store| {
                store.cell_mut(index).set_word(record::USED, entry.used);
                if entry.stale {
                    store.mark_stale(index);
                }
            });
        }
        true
    }

    /// Puts memory in order that [`Region::is_torn`]: what is whole is kept. Answers how many records that is.
    pub fn repair(&mut self, now: u32) -> usize {
        let (entries, _) = self.export(0, NONE, now);
        self.region.begin();
        self.region.header.repaired += 1;
        self.region.format();
        self.import(entries, now)
    }

    fn change<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        self.region.begin();
        let result = work(self);
        self.region.end();
        result
    }

    /// Makes room for a write, or answers that there is none.
    fn make_room(&mut self, write: &Write<'_>) -> Result<(), Error> {
        self.remove_if_expired(&write.name, write.now);
        // The two sessions at hand are the last to be evicted.
        let old = write
            .old
            .and_then(|(name, _)| self.find(Kind::Record, &name));
        let existing = self.find(Kind::Record, &write.name);
        for index in old.into_iter().chain(existing) {
            self.touch(index, write.now);
        }
        self.make_room_for_a_session(write)?;
        loop {
            let existing = self.find(Kind::Record, &write.name);
            let reusable = existing.map_or(0, |index| 1 + self.value_cells(index));
            if self.region.header.free as usize + reusable > cells_for(write.value.len()) {
                return Ok(());
            }
            if !self.remove_expired(write.now) && !self.evict(existing) {
                return Err(Error::Full);
            }
        }
    }

    /// Keeps to the limit of sessions. A record that is about to be replaced counts no more.
    fn make_room_for_a_session(&mut self, write: &Write<'_>) -> Result<(), Error> {
        let Some(max) = self.limits.max_sessions else {
            return Ok(());
        };
        for _ in 0..EVICTIONS_A_WRITE {
            let counts = |name: &Name| {
                let found = self.find(Kind::Record, name);
                u64::from(found.is_some_and(|index| self.cell(index).word(record::STALE) == 0))
            };
            let old = write.old.filter(|(name, _)| *name != write.name);
            let leaving = old.map_or(0, |(name, _)| counts(&name));
            let staying = self.usage().sessions - leaving;
            let sessions = staying - counts(&write.name);
            if sessions < max {
                return Ok(());
            }
            let existing = self.find(Kind::Record, &write.name);
            if !self.remove_expired(write.now) && !self.evict(existing) {
                return Err(Error::Full);
            }
        }
        Ok(())
    }

    /// Writes the record itself; there is room.
    fn put(&mut self, write: &Write<'_>) -> u32 {
        let index = match self.find(Kind::Record, &write.name) {
            Some(index) => {
                if (self.region.header.free as usize) < cells_for(write.value.len()) {
                    self.drop_value(index);
                }
                index
            }
            None => self.add_record(&write.name, write.expires),
        };
        let chain = self.add_value(write.value);
        self.drop_value(index);
        let sum = cell::checksum(&[&write.name.0, write.value]);
        let head = self.cell_mut(index);
        head.set_next(chain);
        head.set_word(
            record::SIZE,
            u32::try_from(write.value.len()).unwrap_or(u32::MAX),
        );
        head.set_word(record::CHECKSUM, sum);
        self.unmark_stale(index);
        self.set_expires(index, write.expires);
        self.touch(index, write.now);
        index
    }

    /// Lists the record where the write says, as far as there is room: trouble with lists fails nothing.
    fn list_record(&mut self, index: u32, write: &Write<'_>) {
        let Some(key) = &write.key else { return };
        for name in &write.lists {
            while self.region.header.free < 2 {
                if !self.remove_expired(write.now) && !self.evict(Some(index)) {
                    return;
                }
            }
            self.add_member(index, name, key);
        }
    }

    /// Cuts the life of the record that the write replaces, and takes it off the lists.
    fn retire(&mut self, write: &Write<'_>) {
        let Some((name, latest)) = write.old.filter(|(name, _)| *name != write.name) else {
            return;
        };
        let Some(index) = self.find(Kind::Record, &name) else {
            return;
        };
        for list in write.lists.iter().chain(&write.withdrawn) {
            self.remove_member_of(index, list);
        }
        self.mark_stale(index);
        if latest < self.cell(index).word(record::EXPIRES) {
            self.set_expires(index, latest);
        }
    }

    /// What is over does not come back with its places in lists when its name is written anew.
    fn remove_if_expired(&mut self, name: &Name, now: u32) {
        if let Some(index) = self.find(Kind::Record, name) {
            if self.cell(index).word(record::EXPIRES) <= now {
                self.remove(index);
                self.region.header.expired += 1;
            }
        }
    }

    fn remove_expired(&mut self, now: u32) -> bool {
        let Some(index) = self.first_expired(now) else {
            return false;
        };
        self.remove(index);
        self.region.header.expired += 1;
        true
    }

    /// Drops the record that was not used for the longest time, but not `keep`.
    fn evict(&mut self, keep: Option<u32>) -> bool {
        let oldest = self.region.header.oldest;
        if !self.limits.evict || oldest == NONE || Some(oldest) == keep {
            return false;
        }
        self.remove(oldest);
        self.region.header.evicted += 1;
        true
    }

    /// A copy of the record, if the cell is one that is alive and whole.
    fn entry(&self, index: u32, now: u32) -> Option<Entry> {
        let head = self.cell(index);
        if !head.is(Kind::Record) || head.word(record::EXPIRES) <= now {
            return None;
        }
        let name = self.name(index);
        let value = self.value(index);
        let whole = cell::checksum(&[&name.0, &value]) == head.word(record::CHECKSUM)
            && value.len() == head.word(record::SIZE) as usize;
        whole.then(|| Entry {
            name,
            expires: head.word(record::EXPIRES),
            used: head.word(record::USED),
            stale: head.word(record::STALE) != 0,
            value,
            listed: self.lists_of_record(index),
        })
    }

    fn name(&self, index: u32) -> Name {
        let mut name = [0; 16];
        name.copy_from_slice(self.cell(index).bytes(named::NAME, 16));
        Name(name)
    }
}

/// Cells of a value. An empty one has a cell too: there is a place in the order of expiry for every second cell.
fn cells_for(size: usize) -> usize {
    size.div_ceil(VALUE_SIZE).max(1)
}
