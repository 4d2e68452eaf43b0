//! The unit of memory: a cell of 64 bytes, named by its index.
//!
//! A cell's first word is its kind (four bits) and the cell behind it in a chain. The rest depends on the kind: a value has 60
//! bytes of a record there, the others fields of one word each, listed below.

/// Bytes of a cell.
pub const SIZE: usize = 64;
/// Bytes of a record's value that a cell holds.
pub const VALUE_SIZE: usize = SIZE - WORD;
/// No cell. Also one more than the largest number of cells.
pub const NONE: u32 = 0x0fff_ffff;

const WORD: usize = 4;
const KIND_SHIFT: u32 = 28;

/// What a cell is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Nothing.
    Free = 0,
    /// A part of a record's value.
    Value = 1,
    /// A record, in front of its value.
    Record = 2,
    /// A list of sessions.
    List = 3,
    /// A record's place in a list.
    Member = 4,
}

/// Fields of records and of lists.
pub mod named {
    /// Four words: the name.
    pub const NAME: usize = 1;
    /// The next cell of the bucket.
    pub const BUCKET: usize = 5;
    /// The first member: a record's in any list, a list's of any record.
    pub const MEMBERS: usize = 6;
}

/// Fields of records. The first word's chain is the value's.
pub mod record {
    /// The record that was used next after this one.
    pub const NEWER: usize = 7;
    /// The record that was used last before this one.
    pub const OLDER: usize = 8;
    /// The place in the order of expiry.
    pub const SLOT: usize = 9;
    /// Unix seconds of the end.
    pub const EXPIRES: usize = 10;
    /// Bytes of the value.
    pub const SIZE: usize = 11;
    /// Of name and value: a record that was being written when its writer died is known by it.
    pub const CHECKSUM: usize = 12;
    /// Unix seconds of the last use.
    pub const USED: usize = 13;
    /// Another record has replaced this one: 1, else 0.
    pub const STALE: usize = 14;
}

/// Fields of members. The first word's chain is the record's other members.
pub mod member {
    /// Eight words: the record's key.
    pub const KEY: usize = 1;
    /// The record.
    pub const RECORD: usize = 9;
    /// The list.
    pub const LIST: usize = 10;
    /// The member before this one in the list.
    pub const BEFORE: usize = 11;
    /// The member behind it.
    pub const BEHIND: usize = 12;
    /// Of the names of record and list and of the key.
    pub const CHECKSUM: usize = 13;
}

/// A cell. Any bytes are one, though not always one that makes sense.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Cell([u8; SIZE]);

impl Default for Cell {
    fn default() -> Self {
        Self::new(Kind::Free)
    }
}

impl Cell {
    /// A cell of a kind, with nothing behind it.
    pub fn new(kind: Kind) -> Self {
        let mut cell = Self([0; SIZE]);
        cell.set_first(kind, NONE);
        cell
    }

    /// Reads a word.
    pub fn word(&self, at: usize) -> u32 {
        let mut word = [0; WORD];
        word.copy_from_slice(self.bytes(at, WORD));
        u32::from_ne_bytes(word)
    }

    /// Writes a word.
    pub fn set_word(&mut self, at: usize, word: u32) {
        self.set_bytes(at, &word.to_ne_bytes());
    }

    /// Reads bytes from the word `at` on.
    pub fn bytes(&self, at: usize, count: usize) -> &[u8] {
        &self.0[at * WORD..at * WORD + count]
    }

    /// Writes bytes from the word `at` on.
    pub fn set_bytes(&mut self, at: usize, bytes: &[u8]) {
        self.0[at * WORD..at * WORD + bytes.len()].copy_from_slice(bytes);
    }

    /// Whether the cell is of the kind.
    pub fn is(&self, kind: Kind) -> bool {
        self.word(0) >> KIND_SHIFT == kind as u32
    }

    /// The next cell of the chain.
    pub fn next(&self) -> u32 {
        self.word(0) & NONE
    }

    /// Changes the next cell of the chain.
    pub fn set_next(&mut self, next: u32) {
        self.set_word(0, self.word(0) & !NONE | next & NONE);
    }

    fn set_first(&mut self, kind: Kind, next: u32) {
        self.set_word(0, (kind as u32) << KIND_SHIFT | next & NONE);
    }
}

/// Notices what was written by halves; not made against intent.
pub fn checksum(parts: &[&[u8]]) -> u32 {
    let mut sum = 0xcbf2_9ce4_8422_2325u64;
    let mut add = |word: u64| {
        sum = (sum ^ word)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
    };
    for part in parts {
        let mut words = part.chunks_exact(8);
        for word in &mut words {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            add(u64::from_le_bytes(bytes));
        }
        words
            .remainder()
            .iter()
            .for_each(|byte| add(u64::from(*byte)));
        add(part.len() as u64);
    }
    (sum >> 32) as u32 ^ sum as u32
}
