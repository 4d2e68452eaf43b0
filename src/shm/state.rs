//! The sessions of a zone in a file.
//!
//! The master reads it when it makes the zone, and writes it when all workers have left. A worker also writes it from time to
//! time, on another thread, so that a crash of the machine or the master loses little. After an upgrade of the binary the old
//! master leaves what its workers have had meanwhile in a second file, `.handover`, which a worker of the new one takes in.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ngx::ffi::{ngx_core_conf_t, ngx_core_module, ngx_cycle, ngx_log_t, ngx_new_binary};
use storage::shm::state_file::{self, Writer};

use super::zone::{Shared, Zone, now, zones};
use crate::log;

const HANDOVER: &str = ".handover";

/// Held while another thread works on a zone; true once it must not any more. A process that ends while it holds a zone's lock
/// would have died over its work.
static LEAVING: Mutex<bool> = Mutex::new(false);

/// Stops a save on another thread, if there is one.
pub(super) fn stop_saving() {
    *LEAVING.lock().unwrap_or_else(PoisonError::into_inner) = true;
}

/// Fills a fresh zone from its file. A damaged file is put aside; trouble with the file is no reason not to start.
///
/// # Safety
///
/// `log` is live.
pub(super) unsafe fn load(zone: Zone, path: &Path, log: *mut ngx_log_t) {
    state_file::remove_leftovers(path);
    // One that is there before the zone is from an upgrade long ago.
    let _ = fs::remove_file(state_file::with_suffix(path, HANDOVER));
    let name = path.display();
    match state_file::load(path) {
        Ok(None) => {}
        Ok(Some(state)) => {
            let kept = zone.locked(|store| store.fill(state, now()));
            log::write(
                log::INFO,
                log,
                format_args!("{kept} sessions were read from \"{name}\""),
            );
        }
        Err(error) if error.is_damage() => {
            let aside = match state_file::set_aside(path) {
                Ok(aside) => format!("it is now \"{}\"", aside.display()),
                Err(error) => format!("and it cannot be renamed: {error}"),
            };
            log::write(
                log::ERR,
                log,
                format_args!("the sessions in \"{name}\" cannot be used: {error}; {aside}"),
            );
        }
        Err(error) => log::write(
            log::ERR,
            log,
            format_args!("the sessions in \"{name}\" cannot be read: {error}"),
        ),
    }
}

/// Writes the file, from any thread; not if the process is about to end.
pub(super) fn save_aside(shared: Shared, path: &Path) -> std::io::Result<()> {
    let mut writer = Writer::new(now().into());
    let complete = shared.export(
        |copy| {
            let leaving = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
            (!*leaving).then(copy)
        },
        |entries| entries.iter().for_each(|entry| writer.add(entry)),
    );
    match complete {
        true => state_file::save(path, &writer.finish()),
        false => Ok(()),
    }
}

/// Writes the files of all zones; the workers have left.
pub fn save_at_exit() {
    // SAFETY: the configuration is live until the process ends, which has one thread.
    let (zones, upgraded) = unsafe { (zones(), ngx_new_binary > 0) };
    for zone in zones {
        let Some(path) = &zone.declared().state else {
            continue;
        };
        state_file::remove_leftovers(path);
        let path = if upgraded {
            state_file::with_suffix(path, HANDOVER)
        } else {
            path.clone()
        };
        let mut writer = Writer::new(now().into());
        zone.shared().export(
            |copy| Some(copy()),
            |entries| entries.iter().for_each(|entry| writer.add(entry)),
        );
        let (name, count) = (path.display(), writer.records());
        let saved = state_file::save(&path, &writer.finish()).and_then(|()| match upgraded {
            true => give_to_workers(&path),
            false => Ok(()),
        });
        match saved {
            Ok(()) => cycle_log!(INFO, "{count} sessions were kept in \"{name}\""),
            Err(error) => cycle_log!(ERR, "the sessions cannot be kept in \"{name}\": {error}"),
        }
    }
}

/// The workers of the new binary may be another user than this master.
fn give_to_workers(path: &Path) -> std::io::Result<()> {
    // SAFETY: the configuration of nginx's core is there while the configuration is.
    let (user, group) = unsafe {
        let core = *(*ngx_cycle).conf_ctx.add(ngx_core_module.index);
        let core = &*core.cast::<ngx_core_conf_t>();
        (core.user, core.group)
    };
    // SAFETY: asks the system only.
    if unsafe { libc::geteuid() } == 0 && user != u32::MAX {
        chown(path, Some(user), Some(group))?;
    }
    Ok(())
}

/// Takes in what the master before an upgrade has left, if it has.
pub(super) fn take_over(zone: Zone, path: &Path) {
    let path = state_file::with_suffix(path, HANDOVER);
    let state = match state_file::load(&path) {
        Ok(None) => return,
        found => found,
    };
    // First of all, so that it is taken once.
    if let Err(error) = fs::remove_file(&path) {
        cycle_log!(
            ERR,
            "the sessions in \"{}\" are not taken over: {error}",
            path.display()
        );
        return;
    }
    match state {
        Ok(Some(state)) => {
            let taken = zone.locked(|store| store.merge(state, now()));
            cycle_log!(
                INFO,
                "{taken} sessions were taken over from the process before the upgrade"
            );
        }
        Ok(None) => {}
        Err(error) => cycle_log!(
            ERR,
            "the sessions in \"{}\" cannot be used: {error}",
            path.display()
        ),
    }
}
