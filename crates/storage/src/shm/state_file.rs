//! The file that keeps the memory over a restart.
//!
//! In little endian: `NGXSESS` and the version (8 bytes), the file's size (8), Unix seconds of its making (8), the number of
//! records (4), the records, and SHA-256 of all that (32). A record: name (16), expiry (4), last use (4), flags (1: was
//! replaced), number of lists (1), size of the value (4), with lists the key (32) and their names (16 each), the value.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{Entry, Name};

const MAGIC: &[u8; 7] = b"NGXSESS";
const VERSION: u8 = 1;
const DIGEST_SIZE: usize = 32;
const STALE: u8 = 1;
/// A save that is this old was cut off.
const ABANDONED: Duration = Duration::from_secs(60);

/// Why a file cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// Some other file.
    #[error("it is not a state file of sessions")]
    Foreign,
    /// Of another version of the module.
    #[error("it has format {0}, and {VERSION} is understood")]
    Version(u8),
    /// Cut off or grown.
    #[error("it has {got} bytes and says {said}")]
    Size {
        /// Bytes it has.
        got: u64,
        /// Bytes it should have.
        said: u64,
    },
    /// Changed.
    #[error("its checksum is wrong")]
    Checksum,
    /// What is inside does not fit together.
    #[error("its records do not fit together")]
    Records,
    /// The system would not let us.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl StateError {
    /// The content is wrong, so that reading it again is no use.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Unix seconds of its making.
    pub made: u64,
    /// The records.
    pub entries: Vec<Entry>,
}

/// Makes a file's bytes, record by record, so that they need not be there twice.
pub struct Writer {
    file: Vec<u8>,
    records: u32,
}

/// Where the size and the number of records are.
const SIZE_AT: usize = 8;
const RECORDS_AT: usize = 24;

impl Writer {
    /// Begins a file.
    #[must_use]
    pub fn new(made: u64) -> Self {
        let mut file = Vec::new();
        file.extend_from_slice(MAGIC);
        file.push(VERSION);
        file.extend_from_slice(&[0; 8]);
        file.extend_from_slice(&made.to_le_bytes());
        file.extend_from_slice(&[0; 4]);
        Self { file, records: 0 }
    }

    /// Adds a record.
    pub fn add(&mut self, entry: &Entry) {
        encode_entry(entry, &mut self.file);
        self.records += 1;
    }

    /// How many records it has.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.records
    }

    /// The whole file.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut file = self.file;
        let size = (file.len() + DIGEST_SIZE) as u64;
        file[SIZE_AT..SIZE_AT + 8].copy_from_slice(&size.to_le_bytes());
        file[RECORDS_AT..RECORDS_AT + 4].copy_from_slice(&self.records.to_le_bytes());
        let digest = Sha256::digest(&file);
        file.extend_from_slice(&digest);
        file
    }
}

fn encode_entry(entry: &Entry, file: &mut Vec<u8>) {
    // More lists than that a record never has; the rest would be left out.
    let listed = entry.listed.as_ref();
    let lists = listed.map_or(&[][..], |(_, lists)| &lists[..lists.len().min(255)]);
    file.extend_from_slice(&entry.name.0);
    file.extend_from_slice(&entry.expires.to_le_bytes());
    file.extend_from_slice(&entry.used.to_le_bytes());
    file.push(if entry.stale { STALE } else { 0 });
    file.push(lists.len() as u8);
    file.extend_from_slice(&count(entry.value.len()).to_le_bytes());
    if let Some((key, _)) = listed.filter(|_| !lists.is_empty()) {
        file.extend_from_slice(key);
    }
    for list in lists {
        file.extend_from_slice(&list.0);
    }
    file.extend_from_slice(&entry.value);
}

/// A memory has less than 2^28 cells.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Reads a file's bytes.
///
/// # Errors
/// When they are not exactly what a [`Writer`] makes.
pub fn decode(file: &[u8]) -> Result<State, StateError> {
    let mut left = Bytes(file);
    if left.take::<7>() != Some(*MAGIC) {
        return Err(StateError::Foreign);
    }
    match left.take::<1>().map(u8::from_le_bytes) {
        Some(VERSION) => {}
        Some(other) => return Err(StateError::Version(other)),
        None => return Err(StateError::Foreign),
    }
    let said = left.take().map_or(0, u64::from_le_bytes);
    let got = file.len() as u64;
    if said != got || file.len() < DIGEST_SIZE {
        return Err(StateError::Size { got, said });
    }
    let (content, digest) = file.split_at(file.len() - DIGEST_SIZE);
    if Sha256::digest(content).as_slice() != digest {
        return Err(StateError::Checksum);
    }
    left.0 = &left.0[..left.0.len().saturating_sub(DIGEST_SIZE)];
    decode_state(left).ok_or(StateError::Records)
}

fn decode_state(mut left: Bytes<'_>) -> Option<State> {
    let made = u64::from_le_bytes(left.take()?);
    let entries = u32::from_le_bytes(left.take()?);
    let entries = (0..entries)
        .map(|_| decode_entry(&mut left))
        .collect::<Option<_>>()?;
    left.0.is_empty().then_some(State { made, entries })
}

fn decode_entry(left: &mut Bytes<'_>) -> Option<Entry> {
    let name = Name(left.take()?);
    let expires = u32::from_le_bytes(left.take()?);
    let used = u32::from_le_bytes(left.take()?);
    let [flags, lists] = left.take()?;
    let size = u32::from_le_bytes(left.take()?) as usize;
    let listed = match lists {
        0 => None,
        lists => {
            let key = left.take()?;
            let names = (0..lists)
                .map(|_| left.take().map(Name))
                .collect::<Option<_>>()?;
            Some((key, names))
        }
    };
    Some(Entry {
        name,
        expires,
        used,
        stale: flags & STALE != 0,
        value: left.slice(size)?.to_vec(),
        listed,
    })
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn slice(&mut self, size: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(head)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.slice(N)?.try_into().ok()
    }
}

/// Reads the file; none when there is none.
///
/// # Errors
/// [`StateError`].
pub fn load(path: &Path) -> Result<Option<State>, StateError> {
    match fs::metadata(path) {
        // Opening a pipe would wait for its writer.
        Ok(found) if !found.is_file() => {
            let what = "it is not a regular file";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, what).into());
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    decode(&fs::read(path)?).map(Some)
}

/// Puts a damaged file out of the way; answers where it is now.
///
/// # Errors
/// When it cannot be renamed.
pub fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let aside = with_suffix(path, ".damaged");
    fs::rename(path, &aside)?;
    Ok(aside)
}

/// Replaces the file, or leaves it as it was. Only its owner can read it.
///
/// # Errors
/// When the folder cannot be written, or is full.
pub fn save(path: &Path, content: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = with_suffix(path, &format!(".{}.{count}.tmp", std::process::id()));
    let saved = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if saved.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    saved?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let _ = fs::remove_file(path);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Removes what saves have left that were cut off.
pub fn remove_leftovers(path: &Path) {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return;
    };
    for found in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Some(process) = saved_by(&found.file_name(), name) else {
            continue;
        };
        if is_gone(process) || found.metadata().is_ok_and(|data| is_old(&data)) {
            let _ = fs::remove_file(found.path());
        }
    }
}

/// The process that made a temporary file of that name for the state file `name`.
fn saved_by(found: &OsStr, name: &OsStr) -> Option<u32> {
    let rest = found.to_str()?.strip_prefix(name.to_str()?)?;
    let (process, count) = rest
        .strip_prefix('.')?
        .strip_suffix(".tmp")?
        .split_once('.')?;
    count.parse::<u64>().ok()?;
    process.parse().ok()
}

fn is_gone(process: u32) -> bool {
    Path::new("/proc/self").exists() && !Path::new(&format!("/proc/{process}")).exists()
}

fn is_old(data: &fs::Metadata) -> bool {
    let age = data
        .modified()
        .ok()
        .and_then(|then| SystemTime::now().duration_since(then).ok());
    age.is_some_and(|age| age > ABANDONED)
}

/// The path with something behind its last name.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}
