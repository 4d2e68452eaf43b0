//! What a worker does on its own, without a request: a first look at each storage, and sweeping.

use std::rc::Rc;
use std::time::Duration;

use ngx::ffi::{
    NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER, ngx_cycle_t, ngx_http_conf_ctx_t, ngx_http_module,
    ngx_process, ngx_uint_t, ngx_worker,
};

use storage::Deadline;

use crate::conf::{Backend, MainConf};
use crate::event::{background, hand_over, settle, spawn};
use crate::module;
use crate::request::probe;

/// How often expired files are looked for, and how many names are looked at a time.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const SWEEP_BUDGET: usize = 500;

/// Starts a worker's own work. Cache helpers and the master have none.
///
/// # Safety
///
/// `cycle` is the cycle the process begins to serve.
pub unsafe fn start(cycle: *mut ngx_cycle_t) {
    // SAFETY: set by nginx before modules are initialised.
    let (process, worker) = unsafe { (ngx_process, ngx_worker) };
    let serves =
        process == NGX_PROCESS_SINGLE as ngx_uint_t || process == NGX_PROCESS_WORKER as ngx_uint_t;
    // SAFETY: by contract.
    let Some(main) = (unsafe { main_conf(cycle) }).filter(|_| serves) else {
        return;
    };
    for backend in &main.backends {
        if !backend.store.is_at_hand() {
            spawn(first_look(backend.clone())).detach();
        }
        if let Some(files) = backend.files.clone().filter(|_| worker == 0) {
            let swept = background(async move {
                loop {
                    tokio::time::sleep(SWEEP_EVERY).await;
                    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
                    let now = now.map_or(0, |now| now.as_secs());
                    // What cannot be removed now is tried again; reading it says "expired" all the same.
                    let _ = files
                        .sweep(now, SWEEP_BUDGET, Deadline::after(SWEEP_EVERY))
                        .await;
                }
            });
            if let Err(error) = swept {
                cycle_log!(
                    WARN,
                    "expired files of storage \"{}\" are not removed: {error}",
                    backend.name
                );
            }
        }
    }
    // The loop has not begun to turn.
    settle();
    hand_over();
}

/// A storage that cannot be reached at start is worth a warning, and no more: it may come.
async fn first_look(backend: Rc<Backend>) {
    if let Err(error) = probe(&backend).await {
        cycle_log!(WARN, "storage \"{}\" at start: {error}", backend.name);
    }
}

/// # Safety
///
/// `cycle` is live.
unsafe fn main_conf<'a>(cycle: *mut ngx_cycle_t) -> Option<&'a MainConf> {
    // SAFETY: by contract; without an http block there is no context.
    unsafe {
        let index = (*core::ptr::addr_of!(ngx_http_module)).index;
        let ctx = (*(*cycle).conf_ctx.add(index)).cast::<ngx_http_conf_ctx_t>();
        let main = ctx.as_ref()?.main_conf;
        (*main.add(module().ctx_index)).cast::<MainConf>().as_ref()
    }
}
