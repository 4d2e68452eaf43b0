//! Records as files: one a record, its time of modification is when it expires.
//!
//! A record is replaced by renaming a finished file over it, so that a reader finds the old one or the new one, whole. Files have
//! mode 0600, folders that are made 0700. Nothing is forced to the disk (fsync): a worker or nginx that dies loses nothing, a
//! machine that loses its power may lose the saves of the last seconds.
//!
//! The work is done on tokio's blocking threads. An operation that is given up may still be carried out.

mod disk;
mod name;
mod sweep;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::gate::Gate;
use crate::{
    Answer, ConfigError, Deadline, Error, ListId, MetaEntry, RecordId, RecordWrite, Storage, lists,
};

use disk::Disk;
use name::Names;
pub use sweep::Swept;

/// Operations that work on the disk at once. A disk that hangs holds no more threads than that.
const AT_ONCE: usize = 32;

/// A `session_backend` of type file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileConfig {
    /// The folder, used for nothing else. It is made when missing.
    pub path: PathBuf,
    /// Folders in folders, as in nginx's `levels=`: how many characters from the end of the key name the folder of each level.
    /// Up to three, each 1 or 2. None: all files are in one folder, as those of the reference library.
    pub levels: Vec<u8>,
    /// In front of every name.
    pub prefix: Option<String>,
    /// Behind it.
    pub suffix: Option<String>,
}

/// A folder of records.
pub struct File {
    disk: Arc<Disk>,
    gate: Gate,
    sweeper: Arc<sweep::Sweeper>,
}

impl File {
    /// Checks the lines; the folder is not looked at.
    ///
    /// # Errors
    /// When prefix, suffix or levels cannot be used.
    pub fn new(config: FileConfig) -> Result<Self, ConfigError> {
        let FileConfig {
            path,
            levels,
            prefix,
            suffix,
        } = config;
        let disk = Disk::new(path, Names::new(levels, prefix, suffix)?);
        Ok(Self {
            disk: Arc::new(disk),
            gate: Gate::new(AT_ONCE),
            sweeper: Arc::default(),
        })
    }

    /// Removes what has expired, looking at up to `budget` directory entries and going on at the next call where this one
    /// stopped. Only files with names of ours are touched: records, lists, and what a save that was interrupted left behind.
    ///
    /// One sweep of a worker after the other; several workers may sweep the same folder.
    pub fn sweep(&self, now: u64, budget: usize, deadline: Deadline) -> Answer<'_, Swept> {
        let sweeper = self.sweeper.clone();
        self.work(deadline, move |disk| sweeper.step(disk, now, budget))
    }

    fn work<'a, T: Send + 'static>(
        &'a self,
        deadline: Deadline,
        work: impl FnOnce(&Disk) -> Result<T, Error> + Send + 'static,
    ) -> Answer<'a, T> {
        Box::pin(async move {
            if deadline.is_over() {
                return Err(Error::Timeout);
            }
            let place = self.gate.enter(deadline).await?;
            let disk = self.disk.clone();
            let done = tokio::task::spawn_blocking(move || {
                let result = work(&disk);
                drop(place);
                result
            });
            match tokio::time::timeout_at(deadline.instant().into(), done).await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(Error::Cancelled),
                Err(_) => Err(Error::Timeout),
            }
        })
    }
}

impl Storage for File {
    fn get<'a>(
        &'a self,
        record: RecordId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, Option<Vec<u8>>> {
        match self.disk.names().record(record.cookie, record.key) {
            Ok(place) => self.work(deadline, move |disk| disk.read(&place, now)),
            Err(error) => failed(error),
        }
    }

    fn set<'a>(&'a self, write: &'a RecordWrite, deadline: Deadline) -> Answer<'a, ()> {
        let names = self.disk.names();
        let old = write.old_key.as_deref().filter(|old| *old != write.key);
        let old = old.map(|old| names.record(&write.name_cookie, old));
        match (
            names.record(&write.name_cookie, &write.key),
            old.transpose(),
        ) {
            (Ok(place), Ok(old)) => {
                let write = write.clone();
                self.work(deadline, move |disk| {
                    disk.write(
                        &place,
                        write.value.as_bytes(),
                        write.now + u64::from(write.ttl),
                    )?;
                    // The session is safe by now. What follows may fail.
                    if let Some(old) = old {
                        let _ = disk.cut(&old, write.now + u64::from(write.stale_ttl));
                    }
                    disk.change_lists(
                        &write.name_cookie,
                        &lists::of_write(&write),
                        write.now,
                        deadline,
                    );
                    Ok(())
                })
            }
            (Err(error), _) | (_, Err(error)) => failed(error),
        }
    }

    fn delete<'a>(
        &'a self,
        record: RecordId<'a>,
        metadata: &'a [MetaEntry],
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, ()> {
        match self.disk.names().record(record.cookie, record.key) {
            Ok(place) => {
                let (cookie, key) = (record.cookie.to_owned(), record.key.to_owned());
                let metadata = metadata.to_vec();
                self.work(deadline, move |disk| {
                    disk.remove(&place)?;
                    disk.change_lists(&cookie, &lists::of_removal(&metadata, &key), now, deadline);
                    Ok(())
                })
            }
            Err(error) => failed(error),
        }
    }

    fn list<'a>(
        &'a self,
        list: ListId<'a>,
        now: u64,
        deadline: Deadline,
    ) -> Answer<'a, BTreeMap<String, u64>> {
        match self.disk.names().list(list.cookie, list.entry) {
            Ok(place) => self.work(deadline, move |disk| disk.sessions(&place, now)),
            Err(error) => failed(error),
        }
    }
}

fn failed<'a, T: Send + 'a>(error: Error) -> Answer<'a, T> {
    Box::pin(std::future::ready(Err(error)))
}
