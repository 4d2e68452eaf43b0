//! What is done to the zones without any request: expired sessions leave, state files are written.
//!
//! One worker does it, the first; should it die, nginx starts another first one.

use core::cell::RefCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ngx::ffi::{
    NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER, ngx_add_timer, ngx_del_timer, ngx_event_t, ngx_exiting,
    ngx_msec_t, ngx_process, ngx_uint_t, ngx_worker,
};

use storage::shm::state_file::remove_leftovers;

use super::state;
use super::zone::{Shared, Zone, zones};
use crate::event::{Task, new_event, offload, spawn};
use crate::guard::{guard, guard_unit};

/// Milliseconds between two looks at the zones.
const PAUSE: ngx_msec_t = 1000;
/// As long as there is more to remove.
const SHORT_PAUSE: ngx_msec_t = 10;
/// Records that are removed while the zone is locked, so that nobody waits for long.
const RECORDS_AT_ONCE: usize = 100;
/// How often that is done before requests have their turn.
const TURNS: usize = 10;
/// A state file is written this long after the one before at the earliest,
const SAVE_PAUSE: Duration = Duration::from_secs(2);
/// or this many times as long as writing it took.
const SAVE_PAUSE_FACTOR: u32 = 20;

thread_local! {
    static SWEEPER: RefCell<Option<Sweeper>> = const { RefCell::new(None) };
}

struct Sweeper {
    event: Box<ngx_event_t>,
    files: HashMap<PathBuf, Rc<RefCell<StateFile>>>,
}

/// What this worker knows of a state file.
#[derive(Default)]
struct StateFile {
    /// The change up to which it is written.
    saved: Option<u64>,
    /// When the next may be written.
    next: Option<Instant>,
    /// The last attempt failed, and that was logged.
    failed: bool,
    saving: Option<Task<()>>,
}

/// Starts looking after the zones, if there are any and this is the first worker. Called as a process begins its work.
pub fn start_sweeper() {
    // SAFETY: nginx has set both before it starts the modules in a process; the configuration is in force.
    let zones = unsafe {
        let serves = [NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER].contains(&(ngx_process as u32));
        if !serves || ngx_worker != 0 as ngx_uint_t {
            return;
        }
        zones()
    };
    if zones.is_empty() {
        return;
    }
    let files = zones
        .iter()
        .filter_map(|zone| zone.declared().state.as_deref());
    // The worker before this one may have died over a save.
    files.for_each(remove_leftovers);
    let mut event = Box::new(new_event(on_timer));
    // A worker that quits does not stay for this.
    event.set_cancelable(1);
    // SAFETY: the event stays in its box until `stop_sweeper` has taken the timer back.
    unsafe { ngx_add_timer(&mut *event, PAUSE) };
    let files = HashMap::new();
    SWEEPER.set(Some(Sweeper { event, files }));
}

/// Ends it; called before the other thread is ended.
pub fn stop_sweeper() {
    state::stop_saving();
    let Some(mut sweeper) = SWEEPER.take() else {
        return;
    };
    for file in sweeper.files.values() {
        // The task holds what holds it.
        let task = file.borrow_mut().saving.take();
        drop(task);
    }
    if sweeper.event.timer_set() != 0 {
        // SAFETY: the event is in the timer tree.
        unsafe { ngx_del_timer(&mut *sweeper.event) };
    }
}

unsafe extern "C" fn on_timer(event: *mut ngx_event_t) {
    // SAFETY: nginx's thread.
    let more = guard(false, || look_after(unsafe { zones() }));
    guard_unit(|| {
        // SAFETY: the event is the sweeper's, which is live while its timer runs.
        unsafe {
            if ngx_exiting == 0 {
                ngx_add_timer(event, if more { SHORT_PAUSE } else { PAUSE });
            }
        }
    });
}

/// Answers whether there is more to remove.
fn look_after(zones: Vec<Zone>) -> bool {
    let mut more = false;
    for zone in zones {
        let now = super::zone::now().into();
        more |= (0..TURNS).all(|_| zone.sweep(now, RECORDS_AT_ONCE) == RECORDS_AT_ONCE);
        if let Some(path) = &zone.declared().state {
            state::take_over(zone, path);
            save(zone, path.clone());
        }
    }
    more
}

/// Has the state file written, if something has changed.
fn save(zone: Zone, path: PathBuf) {
    let changes = zone.locked(|store| store.changes());
    let file = SWEEPER.with_borrow_mut(|sweeper| {
        let files = sweeper.as_mut().map(|sweeper| &mut sweeper.files);
        files.map(|files| files.entry(path.clone()).or_default().clone())
    });
    let Some(file) = file else { return };
    let due = {
        let known = file.borrow();
        let busy = known
            .saving
            .as_ref()
            .is_some_and(|task| !task.is_finished());
        let early = known.next.is_some_and(|next| Instant::now() < next);
        !busy && !early && known.saved != Some(changes)
    };
    if due {
        let task = spawn(write(zone.shared(), path, changes, file.clone()));
        file.borrow_mut().saving = Some(task);
    }
}

async fn write(shared: Shared, path: PathBuf, changes: u64, file: Rc<RefCell<StateFile>>) {
    let start = Instant::now();
    let where_to = path.clone();
    let saved = offload(move || state::save_aside(shared, &where_to)).await;
    let mut file = file.borrow_mut();
    file.next = Some(Instant::now() + SAVE_PAUSE.max(start.elapsed() * SAVE_PAUSE_FACTOR));
    let trouble = match saved {
        Ok(Ok(())) => {
            file.saved = Some(changes);
            file.failed = false;
            return;
        }
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    if !file.failed {
        cycle_log!(
            ERR,
            "the sessions cannot be kept in \"{}\": {trouble}; nginx's workers must be able to write its folder",
            path.display()
        );
    }
    file.failed = true;
}
