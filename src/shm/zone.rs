//! A zone of nginx with sessions in it.
//!
//! nginx itself keeps a zone of the same name and size over a reload. One whose size has changed is a new zone; its sessions are
//! copied from the old one. The mutex is that of nginx's slab pool, because the master releases it when a worker dies that
//! holds it.

use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::slice;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use ngx::core::{Pool, Status};
use ngx::ffi::{
    ngx_conf_t, ngx_cycle, ngx_int_t, ngx_log_t, ngx_pagesize, ngx_pnalloc, ngx_shared_memory_add,
    ngx_shm_zone_t, ngx_shmtx_lock, ngx_shmtx_unlock, ngx_slab_alloc, ngx_slab_pool_t, ngx_str_t,
    ngx_test_config,
};
use storage::shm::{Entry, Geometry, Limits, Names, Region, Store, Usage, seconds};
use storage::{Error, ListId, MetaEntry, RecordId, RecordWrite};
use thiserror::Error;

use super::state;
use crate::guard::guard_rc;
use crate::log;

/// What nginx asks for in a zone: less leaves no room beside its own tables.
const MIN_PAGES: usize = 8;
/// Records, and where to go on.
pub(super) type Portion = (Vec<Entry>, Option<u32>);

/// Cells that are copied before others get their turn: far less than a millisecond.
const CELLS_AT_ONCE: u32 = 1024;

/// A `session_backend NAME shm { … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShmConfig {
    /// The backend's name, also the zone's.
    pub name: String,
    /// Bytes of the zone.
    pub size: usize,
    /// Sessions at most.
    pub max_sessions: Option<u64>,
    /// A full zone drops the session that was not used for the longest time; else it refuses new ones.
    pub evict: bool,
    /// The file that keeps the sessions over a restart.
    pub state: Option<PathBuf>,
    /// In front of every name.
    pub prefix: Option<String>,
    /// Behind it.
    pub suffix: Option<String>,
}

/// Why a zone cannot be declared. The text continues a sentence that begins with the backend's name.
#[derive(Debug, Error)]
pub enum ShmError {
    #[error("has a size of {size} bytes: at least {least} are needed")]
    TooSmall { size: usize, least: usize },
    #[error("is declared twice")]
    Duplicate,
    #[error("allows no sessions: \"max_sessions\" must be at least 1")]
    NoSessions,
    /// nginx has logged the cause itself: a zone of that name is another's, or memory is short.
    #[error("cannot be used")]
    Logged,
}

/// What a configuration says of a zone. It lives as long as the configuration.
pub(super) struct Declared {
    names: Names,
    limits: Limits,
    pub(super) name: String,
    pub(super) state: Option<PathBuf>,
    zone: *mut ngx_shm_zone_t,
}

/// A zone, as a configuration declares it: valid as long as that configuration.
#[derive(Clone, Copy)]
pub struct Zone(NonNull<Declared>);

/// Declares a zone.
///
/// # Safety
///
/// `cf` is the context of the configuration that is being read.
pub unsafe fn declare(cf: *mut ngx_conf_t, config: ShmConfig) -> Result<Zone, ShmError> {
    check(&config)?;
    // SAFETY: by contract; the name is copied to the configuration's pool, and the tag is the same after a reload.
    let zone = unsafe {
        let mut name = copy(cf, &config.name).ok_or(ShmError::Logged)?;
        let tag = ptr::from_ref(crate::module()).cast_mut().cast::<c_void>();
        ngx_shared_memory_add(cf, &mut name, config.size, tag)
    };
    // SAFETY: nginx returns null or a zone of the configuration.
    let entry = unsafe { zone.as_mut() }.ok_or(ShmError::Logged)?;
    if !entry.data.is_null() {
        return Err(ShmError::Duplicate);
    }
    let declared = Declared {
        names: Names {
            prefix: config.prefix,
            suffix: config.suffix,
        },
        limits: Limits {
            max_sessions: config.max_sessions,
            evict: config.evict,
        },
        name: config.name,
        state: config.state,
        zone,
    };
    // SAFETY: by contract; the pool drops it with the configuration.
    let declared = unsafe { Pool::from_ngx_pool((*cf).pool) }.allocate(declared);
    let handle = NonNull::new(declared).ok_or(ShmError::Logged)?;
    entry.data = declared.cast();
    entry.init = Some(init);
    Ok(Zone(handle))
}

fn check(config: &ShmConfig) -> Result<(), ShmError> {
    // SAFETY: nginx sets it when it starts.
    let least = MIN_PAGES * unsafe { ngx_pagesize };
    if config.size < least {
        let size = config.size;
        return Err(ShmError::TooSmall { size, least });
    }
    match config.max_sessions {
        Some(0) => Err(ShmError::NoSessions),
        _ => Ok(()),
    }
}

unsafe fn copy(cf: *mut ngx_conf_t, text: &str) -> Option<ngx_str_t> {
    // SAFETY: the pool is live; it gives null or as many bytes as asked for.
    unsafe {
        let data = ngx_pnalloc((*cf).pool, text.len()).cast::<u8>();
        if data.is_null() {
            return None;
        }
        ptr::copy_nonoverlapping(text.as_ptr(), data, text.len());
        let len = text.len();
        Some(ngx_str_t { len, data })
    }
}

/// nginx calls this in the master when the zone's memory is there; `old` is what the last configuration had as data, if the
/// memory is that one's.
unsafe extern "C" fn init(zone: *mut ngx_shm_zone_t, _old: *mut c_void) -> ngx_int_t {
    // SAFETY: nginx hands over the zone that was declared, whose data `declare` has set.
    guard_rc(|| unsafe {
        let handle = Zone(NonNull::new_unchecked((*zone).data.cast()));
        let shared = handle.shared();
        if !(*shared.pool.as_ptr()).data.is_null() {
            return Status::NGX_OK;
        }
        let log = (*zone).shm.log;
        if !shared.make() {
            let name = &handle.declared().name;
            log::write(
                log::ALERT,
                log,
                format_args!("no memory in the zone \"{name}\""),
            );
            return Status::NGX_ERROR;
        }
        fill(handle, log);
        Status::NGX_OK
    })
}

/// Fills a fresh zone: from one of the same name and another size, or from the state file.
///
/// # Safety
///
/// `log` is live; called while a configuration is being loaded.
unsafe fn fill(to: Zone, log: *mut ngx_log_t) {
    let name = &to.declared().name;
    // SAFETY: until the new configuration is in place, `ngx_cycle` is the one before.
    let before = unsafe { zones() };
    if let Some(from) = before
        .into_iter()
        .find(|zone| &zone.declared().name == name)
    {
        let mut entries = Vec::new();
        from.shared()
            .export(|copy| Some(copy()), |more| entries.extend(more));
        let kept = to.locked(|store| store.import(entries, now()));
        log::write(
            log::INFO,
            log,
            format_args!("the zone \"{name}\" has a new size: {kept} sessions were copied"),
        );
        return;
    }
    // SAFETY: nginx sets it when it starts.
    let testing = unsafe { ngx_test_config } != 0;
    if let (Some(path), false) = (&to.declared().state, testing) {
        // SAFETY: by contract.
        unsafe { state::load(to, path, log) };
    }
}

/// The zones with sessions of the configuration in force.
///
/// # Safety
///
/// Called from nginx's thread.
pub(super) unsafe fn zones() -> Vec<Zone> {
    let mut found = Vec::new();
    // SAFETY: the list is complete once a configuration is in force; each part has `nelts` zones, each of which has data if
    // its callback is ours.
    unsafe {
        let mut part = ptr::from_ref(&(*ngx_cycle).shared_memory.part);
        while let Some(zones) = part.as_ref() {
            let first = zones.elts.cast::<ngx_shm_zone_t>();
            for at in 0..zones.nelts {
                let zone = &*first.add(at);
                let ours = zone
                    .init
                    .is_some_and(|found| found as usize == init as *const () as usize);
                found.extend(NonNull::new(zone.data.cast()).filter(|_| ours).map(Zone));
            }
            part = zones.next;
        }
    }
    found
}

impl Zone {
    /// The record's value; none when there is no such record, or it has expired.
    #[must_use]
    pub fn get(&self, record: RecordId<'_>, now: u64) -> Option<Vec<u8>> {
        let name = self.declared().names.record(record);
        self.locked(|store| store.get(&name, seconds(now)))
    }

    /// Writes a record by the rules of [`storage::Storage::set`].
    pub fn set(&self, write: &RecordWrite) -> Result<(), Error> {
        let write = self.declared().names.write(write);
        self.locked(|store| store.set(&write))
    }

    /// Removes a record, and its key from all lists, those of `metadata` among them.
    pub fn delete(&self, record: RecordId<'_>, _metadata: &[MetaEntry], _now: u64) {
        let name = self.declared().names.record(record);
        self.locked(|store| store.delete(&name));
    }

    /// The sessions of a list: key, and Unix seconds of the expiry.
    #[must_use]
    #[allow(
        dead_code,
        reason = "what an operator's view of sessions will be made of"
    )]
    pub fn list(&self, list: ListId<'_>, now: u64) -> BTreeMap<String, u64> {
        let name = self.declared().names.list(list.cookie, list.entry);
        self.locked(|store| store.list(&name, seconds(now)))
    }

    /// What the zone holds.
    #[must_use]
    #[allow(
        dead_code,
        reason = "what an operator's view of sessions will be made of"
    )]
    pub fn usage(&self) -> Usage {
        self.locked(|store| store.usage())
    }

    /// Removes at most `budget` expired records; answers how many it were.
    pub fn sweep(&self, now: u64, budget: usize) -> usize {
        self.locked(|store| store.sweep(seconds(now), budget))
    }

    pub(super) fn declared(&self) -> &Declared {
        // SAFETY: a handle is used only while its configuration is live, and what is declared never changes.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn shared(&self) -> Shared {
        let declared = self.declared();
        // SAFETY: the zone is an entry of the same configuration; its memory is there once it was set up.
        let pool = unsafe { NonNull::new_unchecked((*declared.zone).shm.addr.cast()) };
        let limits = declared.limits;
        Shared { pool, limits }
    }

    pub(super) fn locked<T>(&self, work: impl FnOnce(&mut Store<'_>) -> T) -> T {
        self.shared().locked(work)
    }
}

/// The zone's memory. Unlike the configuration it stays until the process ends, or all workers that use it are gone.
#[derive(Clone, Copy)]
pub(super) struct Shared {
    pool: NonNull<ngx_slab_pool_t>,
    limits: Limits,
}

// SAFETY: the memory is mapped for all threads alike, and is only used under its lock, which knows processes, not threads.
unsafe impl Send for Shared {}

impl Shared {
    /// Takes all memory of a fresh zone.
    fn make(self) -> bool {
        let pool = self.pool.as_ptr();
        // SAFETY: the pool is fresh, so that its free pages are one piece; it is not used for anything else, so that its
        // data is ours.
        let region = unsafe {
            (*pool).data = ngx_slab_alloc(pool, self.size());
            if (*pool).data.is_null() {
                return false;
            }
            self.region()
        };
        region.is_some_and(|mut region| {
            region.format();
            true
        })
    }

    /// Bytes of all pages of the pool.
    ///
    /// # Safety
    ///
    /// nginx has set up the pool.
    unsafe fn size(self) -> usize {
        // SAFETY: both point into the pool's table of pages, and stay as they are.
        unsafe {
            let pool = &*self.pool.as_ptr();
            pool.last.offset_from(pool.pages) as usize * ngx_pagesize
        }
    }

    /// The parts of the memory.
    ///
    /// # Safety
    ///
    /// The lock is held for as long as they are used, or nobody else has the memory yet.
    unsafe fn region<'a>(self) -> Option<Region<'a>> {
        // SAFETY: the data is what `make` took: whole pages up to the end of the pool, all bytes of which are valid for the
        // types of the parts; geometry depends on their number alone, and the parts do not overlap.
        unsafe {
            let start = (*self.pool.as_ptr()).data.cast::<u8>();
            let geometry = Geometry::of(self.size())?;
            Some(Region {
                header: &mut *start.cast(),
                cells: slice::from_raw_parts_mut(
                    start.add(geometry.cells_at()).cast(),
                    geometry.cells,
                ),
                slots: slice::from_raw_parts_mut(
                    start.add(geometry.slots_at()).cast(),
                    geometry.slots,
                ),
                buckets: slice::from_raw_parts_mut(
                    start.add(geometry.buckets_at()).cast(),
                    geometry.buckets,
                ),
            })
        }
    }

    /// Works on the zone's sessions, alone.
    pub(super) fn locked<T>(self, work: impl FnOnce(&mut Store<'_>) -> T) -> T {
        let _lock = Lock::take(self.pool);
        // SAFETY: the lock is held until the store is gone.
        let region = unsafe { self.region() }.expect("the zone was large enough when it was made");
        let torn = region.is_torn();
        let mut store = Store::new(region, self.limits);
        if torn {
            let kept = store.repair(now());
            cycle_log!(
                ALERT,
                "a process died while it changed the sessions in shared memory: {kept} sessions are whole and were kept"
            );
        }
        work(&mut store)
    }

    /// Hands all live sessions to `take`, as copies of a portion at each turn of `turn`, between which others have theirs;
    /// what changes meanwhile is copied as it was before or after the change. False if `turn` ended it by answering none.
    pub(super) fn export(
        self,
        turn: impl Fn(&dyn Fn() -> Portion) -> Option<Portion>,
        mut take: impl FnMut(Vec<Entry>),
    ) -> bool {
        let mut from = Some(0);
        while let Some(at) = from {
            let copy = || self.locked(|store| store.export(at, CELLS_AT_ONCE, now()));
            let Some((entries, next)) = turn(&copy) else {
                return false;
            };
            take(entries);
            from = next;
        }
        true
    }
}

/// The mutex of the zone; released when dropped, by a panic too.
struct Lock(NonNull<ngx_slab_pool_t>);

impl Lock {
    fn take(pool: NonNull<ngx_slab_pool_t>) -> Lock {
        // SAFETY: nginx has made the mutex together with the pool.
        unsafe { ngx_shmtx_lock(&raw mut (*pool.as_ptr()).mutex) };
        Lock(pool)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // SAFETY: as above; this process holds it.
        unsafe { ngx_shmtx_unlock(&raw mut (*self.0.as_ptr()).mutex) };
    }
}

/// Unix seconds by the system's clock: nginx's own stands still while a configuration is read.
pub(super) fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    seconds(since.map_or(0, |since| since.as_secs()))
}
