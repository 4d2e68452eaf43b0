//! The work on files, which blocks.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, FileTimes, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use session::metadata::latest;

use super::name::{Location, Names, unfinished};
use crate::lists::{self, Change};
use crate::{Deadline, Error};

/// Largest file that is read.
const SIZE_LIMIT: u64 = 64 << 20;
/// The file whose lock lets one process at a time change lists.
const LOCK: &str = ".session-lists.lock";
/// Pause between two attempts to get that lock.
const LOCK_PAUSE: Duration = Duration::from_millis(2);
/// Longest wait for it when what is to be changed may as well stay.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);

/// The storage's folder.
pub(super) struct Disk {
    path: PathBuf,
    names: Names,
    written: AtomicU64,
}

impl Disk {
    pub(super) fn new(path: PathBuf, names: Names) -> Self {
        Self {
            path,
            names,
            written: AtomicU64::new(0),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// What a file holds, unless it has expired.
    pub(super) fn read(&self, place: &Location, now: u64) -> Result<Option<Vec<u8>>, Error> {
        let path = place.below(&self.path);
        let Some(metadata) = self.look(&path)? else {
            return Ok(None);
        };
        if expiry(&metadata) <= now {
            return Ok(None);
        }
        if metadata.len() > SIZE_LIMIT {
            return Err(Error::BadReply("a record of more than 64 MiB".into()));
        }
        match fs::read(&path) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(trouble(&error)),
        }
    }

    /// Replaces a file, or makes it.
    pub(super) fn write(&self, place: &Location, value: &[u8], expires: u64) -> Result<(), Error> {
        let folder = self.path.join(&place.folder);
        let (temporary, file) = match self.create(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_folders(&folder).map_err(|error| trouble(&error))?;
                self.create(&folder)
            }
            created => created,
        }
        .map_err(|error| trouble(&error))?;
        let finished = fill(file, value, expires)
            .and_then(|()| fs::rename(&temporary, folder.join(&place.name)));
        finished.map_err(|error| {
            // Nothing better can be done about a file that does not go: the sweeper tries again.
            let _ = fs::remove_file(&temporary);
            trouble(&error)
        })
    }

    fn create(&self, folder: &Path) -> io::Result<(PathBuf, fs::File)> {
        loop {
            let number = self.written.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(unfinished(number));
            let mut options = OpenOptions::new();
            match options.write(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => return Ok((path, file)),
                // Left by an earlier process of this number, or of another machine that shares the folder.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Lets a file expire at a time, unless it does so earlier.
    pub(super) fn cut(&self, place: &Location, expires: u64) -> Result<(), Error> {
        let path = place.below(&self.path);
        match self.look(&path)? {
            Some(metadata) if expiry(&metadata) > expires => fs::File::open(&path)
                .and_then(|file| file.set_times(FileTimes::new().set_modified(time(expires))))
                .map_err(|error| trouble(&error)),
            _ => Ok(()),
        }
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, place: &Location) -> Result<(), Error> {
        match fs::remove_file(place.below(&self.path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(trouble(&error)),
            _ => self.is_there(),
        }
    }

    /// The sessions in a list.
    pub(super) fn sessions(
        &self,
        place: &Location,
        now: u64,
    ) -> Result<BTreeMap<String, u64>, Error> {
        let list = self.read(place, now)?.unwrap_or_default();
        latest(&list, now).map_err(|error| Error::BadReply(error.to_string()))
    }

    /// Changes lists as far as that goes.
    pub(super) fn change_lists(
        &self,
        cookie: &str,
        changes: &[Change<'_>],
        now: u64,
        deadline: Deadline,
    ) {
        if changes.is_empty() {
            return;
        }
        let Some(_locked) = self.lock_lists(lists::patience(deadline)) else {
            return;
        };
        for change in changes {
            let _ = self.change_list(cookie, change, now);
        }
    }

    fn change_list(&self, cookie: &str, change: &Change<'_>, now: u64) -> Result<(), Error> {
        let place = self.names.list(cookie, change.entry)?;
        let before = self.read(&place, now)?;
        match change.applied(before.as_deref().unwrap_or_default(), now) {
            Some(list) => self.write(&place, list.text.as_bytes(), list.expires),
            None if before.is_none() => Ok(()),
            None => self.remove(&place),
        }
    }

    /// Removes a file that has expired.
    pub(super) fn remove_expired(
        &self,
        path: &Path,
        now: u64,
        is_list: bool,
    ) -> Result<bool, Error> {
        let patience = Deadline::after(LOCK_PATIENCE);
        // A list that expired may be written anew at this moment; a record never is, its key was used up.
        let locked = is_list.then(|| self.lock_lists(patience));
        if let Some(None) = locked {
            return Ok(false);
        }
        match self.look(path) {
            Ok(Some(metadata)) if expiry(&metadata) <= now => match fs::remove_file(path) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(trouble(&error)),
            },
            _ => Ok(false),
        }
    }

    /// Waits until no other process changes lists. The lock ends with the file that is answered.
    fn lock_lists(&self, deadline: Deadline) -> Option<fs::File> {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let path = self.path.join(LOCK);
        let file = match options.open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make_folders(&self.path).ok()?;
                options.open(&path).ok()?
            }
            opened => opened.ok()?,
        };
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Some(file),
                Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
                Err(_) => return None,
            }
            if deadline.is_over() {
                return None;
            }
            std::thread::sleep(LOCK_PAUSE);
        }
    }

    /// What is known about a file, none when there is none.
    fn look(&self, path: &Path) -> Result<Option<Metadata>, Error> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_file() => Ok(Some(metadata)),
            Ok(_) => Err(Error::BadReply(
                "what has a record's name is not a file".into(),
            )),
            Err(error) if error.kind() == ErrorKind::NotFound => self.is_there().map(|()| None),
            Err(error) => Err(trouble(&error)),
        }
    }

    /// A file that is missing is absent only where the next one could be made.
    fn is_there(&self) -> Result<(), Error> {
        match fs::metadata(&self.path) {
            Ok(found) if found.is_dir() => Ok(()),
            _ => make_folders(&self.path).map_err(|error| trouble(&error)),
        }
    }
}

fn fill(mut file: fs::File, value: &[u8], expires: u64) -> io::Result<()> {
    file.write_all(value)?;
    file.set_times(FileTimes::new().set_modified(time(expires)))
}

fn make_folders(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn time(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

/// Unix seconds of the time of modification.
fn expiry(metadata: &Metadata) -> u64 {
    u64::try_from(metadata.mtime()).unwrap_or(0)
}

/// What an error of the file system means. Its text has no path in it.
pub(super) fn trouble(error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Error::Full,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Error::Refused(format!(
            "{error}: the worker may not use the folder of its path line"
        )),
        _ => Error::Unavailable(format!("its folder: {error}")),
    }
}
