//! How cells hang together: chains, buckets, the order of use, the order of expiry, members.
//!
//! Nothing here decides anything, and every change keeps all of these in step.

use super::cell::{self, Cell, Kind, NONE, VALUE_SIZE, member, named, record};
use super::{Key, Name, Store, cells_for};

impl Store<'_> {
    pub(super) fn cell(&self, index: u32) -> &Cell {
        &self.region.cells[index as usize]
    }

    pub(super) fn cell_mut(&mut self, index: u32) -> &mut Cell {
        &mut self.region.cells[index as usize]
    }

    /// The number of cells.
    pub(super) fn cells(&self) -> u32 {
        u32::try_from(self.region.cells.len()).unwrap_or(NONE)
    }

    /// Cells from `first` on, each the one that `next` names. Ends even where a dead process left a circle.
    fn follow<'b>(
        &'b self,
        first: u32,
        next: impl Fn(&Cell) -> u32 + 'b,
    ) -> impl Iterator<Item = (u32, &'b Cell)> + 'b {
        let cells = self.region.cells.len();
        let step = move |index: u32| Some((index, self.region.cells.get(index as usize)?));
        let first = step(first);
        std::iter::successors(first, move |(_, cell)| step(next(cell))).take(cells)
    }

    // Free cells.

    /// Takes a free cell; the caller has seen that there is one.
    fn take(&mut self, kind: Kind) -> u32 {
        let header = &mut self.region.header;
        header.free -= 1;
        let index = match header.free_list {
            NONE => {
                header.fresh += 1;
                header.fresh - 1
            }
            index => {
                header.free_list = self.region.cells[index as usize].next();
                index
            }
        };
        *self.cell_mut(index) = Cell::new(kind);
        index
    }

    fn give_back(&mut self, index: u32) {
        let mut cell = Cell::new(Kind::Free);
        cell.set_next(self.region.header.free_list);
        *self.cell_mut(index) = cell;
        self.region.header.free_list = index;
        self.region.header.free += 1;
    }

    // Values.

    /// Writes a value; answers its first cell.
    pub(super) fn add_value(&mut self, value: &[u8]) -> u32 {
        let mut chain = NONE;
        for at in (0..cells_for(value.len())).rev() {
            let part = &value[at * VALUE_SIZE..value.len().min((at + 1) * VALUE_SIZE)];
            let index = self.take(Kind::Value);
            let cell = self.cell_mut(index);
            cell.set_bytes(1, part);
            cell.set_next(chain);
            chain = index;
        }
        chain
    }

    /// Gives back the cells of a record's value.
    pub(super) fn drop_value(&mut self, index: u32) {
        let mut chain = self.cell(index).next();
        self.cell_mut(index).set_next(NONE);
        while chain != NONE {
            let next = self.cell(chain).next();
            self.give_back(chain);
            chain = next;
        }
    }

    /// Cells of a record's value.
    pub(super) fn value_cells(&self, index: u32) -> usize {
        cells_for(self.cell(index).word(record::SIZE) as usize)
    }

    /// A copy of a record's value; a shorter one where a dead process left a broken chain.
    pub(super) fn value(&self, index: u32) -> Vec<u8> {
        let head = self.cell(index);
        let size = head.word(record::SIZE) as usize;
        if size > self.region.cells.len() * VALUE_SIZE {
            return Vec::new();
        }
        let mut value = Vec::with_capacity(size);
        for (_, cell) in self.follow(head.next(), Cell::next).take(cells_for(size)) {
            let left = size - value.len();
            value.extend_from_slice(cell.bytes(1, left.min(VALUE_SIZE)));
        }
        value
    }

    // Names.

    fn bucket(&self, name: &Name) -> usize {
        let hash = u32::from_ne_bytes([name.0[0], name.0[1], name.0[2], name.0[3]]);
        ((u64::from(hash) * self.region.buckets.len() as u64) >> 32) as usize
    }

    /// The record or list of a name.
    pub(super) fn find(&self, kind: Kind, name: &Name) -> Option<u32> {
        let first = self.region.buckets[self.bucket(name)];
        self.follow(first, |cell| cell.word(named::BUCKET))
            .find(|(_, cell)| cell.is(kind) && cell.bytes(named::NAME, 16) == name.0)
            .map(|(index, _)| index)
    }

    fn add_named(&mut self, kind: Kind, name: &Name) -> u32 {
        let (index, bucket) = (self.take(kind), self.bucket(name));
        let first = std::mem::replace(&mut self.region.buckets[bucket], index);
        let cell = self.cell_mut(index);
        cell.set_bytes(named::NAME, &name.0);
        cell.set_word(named::BUCKET, first);
        cell.set_word(named::MEMBERS, NONE);
        index
    }

    fn remove_named(&mut self, index: u32) {
        let bucket = self.bucket(&self.name(index));
        let behind = self.cell(index).word(named::BUCKET);
        let first = self.region.buckets[bucket];
        let before = self
            .follow(first, |cell| cell.word(named::BUCKET))
            .find(|(_, cell)| cell.word(named::BUCKET) == index)
            .map(|(before, _)| before);
        match before {
            _ if first == index => self.region.buckets[bucket] = behind,
            Some(before) => self.cell_mut(before).set_word(named::BUCKET, behind),
            None => {}
        }
        self.give_back(index);
    }

    // Records.

    /// Makes a record without a value, the one used last.
    pub(super) fn add_record(&mut self, name: &Name, expires: u32) -> u32 {
        let index = self.add_named(Kind::Record, name);
        self.region.header.records += 1;
        self.link_newest(index);
        self.push_slot(index, expires);
        index
    }

    /// Removes a record and all that belongs to it.
    pub(super) fn remove(&mut self, index: u32) {
        loop {
            let first = self.cell(index).word(named::MEMBERS);
            if first == NONE {
                break;
            }
            self.remove_member(index, first);
        }
        self.unmark_stale(index);
        self.drop_value(index);
        self.remove_slot(self.cell(index).word(record::SLOT) as usize);
        self.unlink_use(index);
        self.remove_named(index);
        self.region.header.records -= 1;
    }

    pub(super) fn mark_stale(&mut self, index: u32) {
        if self.cell(index).word(record::STALE) == 0 {
            self.cell_mut(index).set_word(record::STALE, 1);
            self.region.header.stale += 1;
        }
    }

    pub(super) fn unmark_stale(&mut self, index: u32) {
        if self.cell(index).word(record::STALE) != 0 {
            self.cell_mut(index).set_word(record::STALE, 0);
            self.region.header.stale -= 1;
        }
    }

    // The order of use.

    /// Makes a record the one used last.
    pub(super) fn touch(&mut self, index: u32, now: u32) {
        self.cell_mut(index).set_word(record::USED, now);
        if self.region.header.newest != index {
            self.unlink_use(index);
            self.link_newest(index);
        }
    }

    fn link_newest(&mut self, index: u32) {
        let older = std::mem::replace(&mut self.region.header.newest, index);
        let cell = self.cell_mut(index);
        cell.set_word(record::NEWER, NONE);
        cell.set_word(record::OLDER, older);
        match older {
            NONE => self.region.header.oldest = index,
            older => self.cell_mut(older).set_word(record::NEWER, index),
        }
    }

    fn unlink_use(&mut self, index: u32) {
        let cell = self.cell(index);
        let (newer, older) = (cell.word(record::NEWER), cell.word(record::OLDER));
        match newer {
            NONE => self.region.header.newest = older,
            newer => self.cell_mut(newer).set_word(record::OLDER, older),
        }
        match older {
            NONE => self.region.header.oldest = newer,
            older => self.cell_mut(older).set_word(record::NEWER, newer),
        }
    }

    // The order of expiry: a binary heap of as many slots as there are records.

    /// The record that expires first, if its time is over.
    pub(super) fn first_expired(&self, now: u32) -> Option<u32> {
        let first = (self.region.header.records > 0).then(|| self.region.slots[0])?;
        (expiry(first) <= now).then(|| owner(first))
    }

    /// Changes when a record expires.
    pub(super) fn set_expires(&mut self, index: u32, expires: u32) {
        let at = self.cell(index).word(record::SLOT) as usize;
        self.place(at, slot(index, expires));
        self.settle(at, self.region.header.records as usize);
    }

    /// Adds the record that was counted last.
    fn push_slot(&mut self, index: u32, expires: u32) {
        let count = self.region.header.records as usize;
        self.place(count - 1, slot(index, expires));
        self.settle(count - 1, count);
    }

    /// Removes a slot; its record is still counted.
    fn remove_slot(&mut self, at: usize) {
        let last = self.region.header.records as usize - 1;
        if at != last {
            self.place(at, self.region.slots[last]);
            self.settle(at, last);
        }
    }

    fn place(&mut self, at: usize, slot: u64) {
        self.region.slots[at] = slot;
        let cell = self.cell_mut(owner(slot));
        cell.set_word(record::SLOT, at as u32);
        cell.set_word(record::EXPIRES, expiry(slot));
    }

    /// Moves what is at `at` to where it belongs among `count` slots.
    fn settle(&mut self, mut at: usize, count: usize) {
        let moving = self.region.slots[at];
        while at > 0 && moving < self.region.slots[(at - 1) / 2] {
            self.place(at, self.region.slots[(at - 1) / 2]);
            at = (at - 1) / 2;
        }
        loop {
            let children = 2 * at + 1..count.min(2 * at + 3);
            let Some(least) = children.min_by_key(|child| self.region.slots[*child]) else {
                break;
            };
            if moving <= self.region.slots[least] {
                break;
            }
            self.place(at, self.region.slots[least]);
            at = least;
        }
        self.place(at, moving);
    }

    // Members.

    /// Puts a record on a list, unless it is there; two cells are free.
    pub(super) fn add_member(&mut self, index: u32, name: &Name, key: &Key) {
        let list = match self.find(Kind::List, name) {
            Some(list) => list,
            None => {
                self.region.header.lists += 1;
                self.add_named(Kind::List, name)
            }
        };
        let mut there = self.members(index);
        if there.any(|(_, cell)| cell.word(member::LIST) == list) {
            return;
        }
        drop(there);
        let sum = cell::checksum(&[&self.name(index).0, &name.0, key]);
        let new = self.take(Kind::Member);
        let behind = self.cell(list).word(named::MEMBERS);
        let next = self.cell(index).word(named::MEMBERS);
        let cell = self.cell_mut(new);
        cell.set_next(next);
        cell.set_bytes(member::KEY, key);
        cell.set_word(member::RECORD, index);
        cell.set_word(member::LIST, list);
        cell.set_word(member::BEFORE, NONE);
        cell.set_word(member::BEHIND, behind);
        cell.set_word(member::CHECKSUM, sum);
        if behind != NONE {
            self.cell_mut(behind).set_word(member::BEFORE, new);
        }
        self.cell_mut(list).set_word(named::MEMBERS, new);
        self.cell_mut(index).set_word(named::MEMBERS, new);
    }

    /// Takes a record off a list, if it is there.
    pub(super) fn remove_member_of(&mut self, index: u32, name: &Name) {
        let Some(list) = self.find(Kind::List, name) else {
            return;
        };
        let found = self
            .members(index)
            .find(|(_, cell)| cell.word(member::LIST) == list)
            .map(|(found, _)| found);
        if let Some(found) = found {
            self.remove_member(index, found);
        }
    }

    /// Removes a member of the record `index`, and the list with its last one.
    fn remove_member(&mut self, index: u32, gone: u32) {
        let cell = self.cell(gone);
        let (next, list) = (cell.next(), cell.word(member::LIST));
        let (before, behind) = (cell.word(member::BEFORE), cell.word(member::BEHIND));
        let previous = self
            .members(index)
            .find(|(_, cell)| cell.next() == gone)
            .map(|(previous, _)| previous);
        match previous {
            Some(previous) => self.cell_mut(previous).set_next(next),
            None => self.cell_mut(index).set_word(named::MEMBERS, next),
        }
        match before {
            NONE => self.cell_mut(list).set_word(named::MEMBERS, behind),
            before => self.cell_mut(before).set_word(member::BEHIND, behind),
        }
        if behind != NONE {
            self.cell_mut(behind).set_word(member::BEFORE, before);
        }
        self.give_back(gone);
        if self.cell(list).word(named::MEMBERS) == NONE {
            self.region.header.lists -= 1;
            self.remove_named(list);
        }
    }

    /// The places of a record in lists.
    fn members(&self, index: u32) -> impl Iterator<Item = (u32, &Cell)> {
        self.follow(self.cell(index).word(named::MEMBERS), Cell::next)
    }

    /// The records on a list: key and index.
    pub(super) fn members_of_list(&self, list: u32) -> impl Iterator<Item = (Key, u32)> + '_ {
        let first = self.cell(list).word(named::MEMBERS);
        self.follow(first, |cell| cell.word(member::BEHIND))
            .map(|(_, cell)| (key(cell), cell.word(member::RECORD)))
    }

    /// The record's key and the lists it is on, as far as they are whole.
    pub(super) fn lists_of_record(&self, index: u32) -> Option<(Key, Vec<Name>)> {
        let name = self.name(index);
        let mut found: Option<(Key, Vec<Name>)> = None;
        for (_, cell) in self.members(index) {
            let list = cell.word(member::LIST);
            if list >= self.cells() || !self.cell(list).is(Kind::List) {
                continue;
            }
            let (key, list) = (key(cell), self.name(list));
            if cell::checksum(&[&name.0, &list.0, &key]) == cell.word(member::CHECKSUM) {
                found.get_or_insert((key, Vec::new())).1.push(list);
            }
        }
        found
    }
}

fn key(cell: &Cell) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(cell.bytes(member::KEY, 32));
    key
}

/// A slot sorts by expiry first.
fn slot(index: u32, expires: u32) -> u64 {
    u64::from(expires) << 32 | u64::from(index)
}

fn owner(slot: u64) -> u32 {
    slot as u32
}

fn expiry(slot: u64) -> u32 {
    (slot >> 32) as u32
}
