//! How a piece of memory is divided, and the views of its parts.

use std::sync::atomic::{AtomicU32, Ordering, compiler_fence};

use super::cell::{Cell, NONE, SIZE};

/// Bytes kept for the header: whole cells.
const HEADER_SIZE: usize = 4 * SIZE;
/// A record takes two cells at least, one of them for its value, and a place in the order of expiry each.
const CELLS_A_SLOT: usize = 2;
/// Of the cells, about a third are records.
const CELLS_A_BUCKET: usize = 4;

/// How many of each part fit, and where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Cells.
    pub cells: usize,
    /// Places in the order of expiry.
    pub slots: usize,
    /// Buckets of the hash table.
    pub buckets: usize,
}

impl Geometry {
    /// Divides `bytes` bytes; none when there is no room for a dozen sessions.
    #[must_use]
    pub fn of(bytes: usize) -> Option<Self> {
        const SLOT: usize = size_of::<u64>();
        const BUCKET: usize = size_of::<u32>();
        let cells = bytes.checked_sub(HEADER_SIZE + SLOT + BUCKET)? * 4
            / (4 * SIZE + 4 * SLOT / CELLS_A_SLOT + 4 * BUCKET / CELLS_A_BUCKET);
        let cells = cells.min(NONE as usize);
        (cells >= 64).then_some(Self {
            cells,
            slots: cells / CELLS_A_SLOT,
            buckets: cells / CELLS_A_BUCKET,
        })
    }

    /// Where the cells start.
    #[must_use]
    pub fn cells_at(&self) -> usize {
        HEADER_SIZE
    }

    /// Where the order of expiry starts.
    #[must_use]
    pub fn slots_at(&self) -> usize {
        self.cells_at() + self.cells * SIZE
    }

    /// Where the buckets start.
    #[must_use]
    pub fn buckets_at(&self) -> usize {
        self.slots_at() + self.slots * size_of::<u64>()
    }

    /// Bytes in all.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buckets_at() + self.buckets * size_of::<u32>()
    }
}

/// What is known of the whole. All zero until [`Region::format`].
#[derive(Debug, Default)]
#[repr(C)]
pub struct Header {
    torn: AtomicU32,
    /// The first of the cells that were used and freed.
    pub free_list: u32,
    /// The first cell that was never used; all behind it are not either.
    pub fresh: u32,
    /// Free cells.
    pub free: u32,
    /// The record used last.
    pub newest: u32,
    /// The record whose last use is the longest ago.
    pub oldest: u32,
    /// Records, all of which are in the order of expiry.
    pub records: u32,
    /// Of them, those that were replaced.
    pub stale: u32,
    /// Lists.
    pub lists: u32,
    /// Unix seconds up to which a state file has filled the memory.
    pub filled: u32,
    /// Live records that had to go.
    pub evicted: u64,
    /// Records whose time was over.
    pub expired: u64,
    /// Counts what a state file would show.
    pub changes: u64,
    /// How often a writer died over its work.
    pub repaired: u64,
}

/// The memory, while its lock is held. Any bytes in it are safe to read.
pub struct Region<'a> {
    /// What is known of the whole.
    pub header: &'a mut Header,
    /// The cells.
    pub cells: &'a mut [Cell],
    /// A heap of expiry and record, the earliest first.
    pub slots: &'a mut [u64],
    /// The first record or list of each bucket.
    pub buckets: &'a mut [u32],
}

const _: () = assert!(size_of::<Header>() <= HEADER_SIZE);

impl Region<'_> {
    /// Makes the memory empty; what was counted stays. Only the buckets are touched, so that a large zone takes memory
    /// only as it fills.
    pub fn format(&mut self) {
        let header = &mut *self.header;
        *header = Header {
            free_list: NONE,
            free: u32::try_from(self.cells.len()).unwrap_or(NONE),
            newest: NONE,
            oldest: NONE,
            filled: header.filled,
            evicted: header.evicted,
            expired: header.expired,
            changes: header.changes,
            repaired: header.repaired,
            ..Header::default()
        };
        self.buckets.fill(NONE);
    }

    /// A change was begun and not ended: whoever made it is dead, or panicked.
    #[must_use]
    pub fn is_torn(&self) -> bool {
        self.header.torn.load(Ordering::Relaxed) != 0
    }

    /// Begins a change. The mark is set before anything else is written.
    pub(super) fn begin(&self) {
        self.header.torn.store(1, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }

    /// Ends a change, after all else was written.
    pub(super) fn end(&self) {
        compiler_fence(Ordering::SeqCst);
        self.header.torn.store(0, Ordering::Relaxed);
    }
}
