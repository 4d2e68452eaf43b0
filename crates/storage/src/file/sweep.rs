//! Removes what has expired, a few directory entries at a time.

use std::fs::{self, DirEntry, ReadDir};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::disk::{Disk, trouble};
use super::name::Known;
use crate::Error;

/// Seconds a file stays after its expiry, and an unfinished one after it was begun: as long as clocks may differ, or a save take.
const GRACE: u64 = 60;

/// What a step of the sweeper did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Directory entries that were looked at.
    pub seen: usize,
    /// Files that were removed.
    pub removed: usize,
    /// The end of the folder was reached; the next step begins anew.
    pub finished: bool,
}

/// Where the sweeper is: the folders that are open, outermost first.
#[derive(Default)]
pub(super) struct Sweeper(Mutex<Vec<ReadDir>>);

impl Sweeper {
    /// Looks at up to `budget` entries.
    ///
    /// # Errors
    /// When the folder cannot be read. The next step begins anew.
    pub(super) fn step(&self, disk: &Disk, now: u64, budget: usize) -> Result<Swept, Error> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut swept = Swept::default();
        let result = swept.walk(&mut open, disk, now, budget);
        if result.is_err() {
            open.clear();
        }
        result.map(|()| swept)
    }
}

impl Swept {
    fn walk(
        &mut self,
        open: &mut Vec<ReadDir>,
        disk: &Disk,
        now: u64,
        budget: usize,
    ) -> Result<(), Error> {
        if open.is_empty() {
            match fs::read_dir(disk.path()) {
                Ok(entries) => open.push(entries),
                Err(error) => return Err(trouble(&error)),
            }
        }
        while self.seen < budget {
            let depth = open.len() - 1;
            match open[depth].next() {
                Some(Ok(entry)) => {
                    self.seen += 1;
                    open.extend(self.visit(disk, &entry, depth, now)?);
                }
                Some(Err(error)) => return Err(trouble(&error)),
                None => {
                    open.pop();
                    if open.is_empty() {
                        self.finished = true;
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Deals with an entry; a folder of ours is opened.
    fn visit(
        &mut self,
        disk: &Disk,
        entry: &DirEntry,
        depth: usize,
        now: u64,
    ) -> Result<Option<ReadDir>, Error> {
        let name = entry.file_name();
        let (Some(name), Ok(kind)) = (name.to_str(), entry.file_type()) else {
            return Ok(None);
        };
        if kind.is_dir() && disk.names().is_folder(name, depth) {
            return open_folder(&entry.path());
        }
        if let (true, Some(known)) = (kind.is_file(), disk.names().recognise(name, depth)) {
            let before = now.saturating_sub(GRACE);
            let removed = disk.remove_expired(&entry.path(), before, known == Known::List)?;
            self.removed += usize::from(removed);
        }
        Ok(None)
    }
}

fn open_folder(path: &Path) -> Result<Option<ReadDir>, Error> {
    match fs::read_dir(path) {
        Ok(entries) => Ok(Some(entries)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(trouble(&error)),
    }
}
