//! One request's life, a file per phase, in the order of the contract's section 11.
//!
//! - 1: [`rewrite`] bypasses, clears the headers this module owns, and looks the session up ([`lookup`]).
//! - 2: [`access`] is `session_require`.
//! - 3: [`content`] changes the session and saves it ([`save`]), then makes the request headers ([`upstream`]).
//! - 4: the content handler, which is nginx's.
//! - 5: [`response`] does what the response asks for ([`control`]) and what is still due, [`filter`] adds the response headers; [`hold`] keeps the response back while a save
//!   waits.
//!
//! [`context`] holds the state between the phases, [`wait`] suspends and resumes a request.

mod access;
mod content;
mod context;
mod control;
mod filter;
mod forgetting;
mod hold;
mod jar;
mod lookup;
mod recent;
mod renewals;
mod response;
mod rewrite;
mod save;
mod siblings;
mod store;
mod upstream;
mod wait;

use ngx::core::Status;
use ngx::ffi::{
    ngx_array_push, ngx_conf_t, ngx_http_conf_ctx_t, ngx_http_core_main_conf_t,
    ngx_http_core_module, ngx_http_handler_pt, ngx_http_phases,
    ngx_http_phases_NGX_HTTP_ACCESS_PHASE, ngx_http_phases_NGX_HTTP_PREACCESS_PHASE,
    ngx_http_phases_NGX_HTTP_PRECONTENT_PHASE, ngx_http_phases_NGX_HTTP_REWRITE_PHASE,
    ngx_http_request_t, ngx_int_t,
};

use crate::conf::{LocationConf, LocationSettings};
use crate::guard::guard_request;
use crate::http::Request;
pub use context::{Context, SessionStatus};
pub use store::probe;
pub use upstream::{property_text, text_of};

/// The settings of the location the request is in now.
pub fn settings(request: Request<'_>) -> &'static LocationSettings {
    request.location_conf::<LocationConf>().settings()
}

macro_rules! phase_handler {
    ($name:ident, $run:path) => {
        unsafe extern "C" fn $name(r: *mut ngx_http_request_t) -> ngx_int_t {
            // SAFETY: nginx hands a live request to its phase handlers.
            guard_request(|| $run(unsafe { Request::new(r) }))
        }
    };
}

phase_handler!(on_rewrite, rewrite::handle);
phase_handler!(on_preaccess, rewrite::passed);
phase_handler!(on_access, access::handle);
phase_handler!(on_precontent, content::handle);

/// Registers the phase handlers and the filters.
///
/// # Safety
///
/// `cf` is the live context of the http block, in postconfiguration.
pub unsafe fn register(cf: *mut ngx_conf_t) -> Status {
    let handlers: [(ngx_http_phases, ngx_http_handler_pt); 4] = [
        (ngx_http_phases_NGX_HTTP_REWRITE_PHASE, Some(on_rewrite)),
        (ngx_http_phases_NGX_HTTP_PREACCESS_PHASE, Some(on_preaccess)),
        (ngx_http_phases_NGX_HTTP_ACCESS_PHASE, Some(on_access)),
        (
            ngx_http_phases_NGX_HTTP_PRECONTENT_PHASE,
            Some(on_precontent),
        ),
    ];
    // SAFETY: by contract; the core module's main configuration holds an array of handlers for each phase.
    unsafe {
        let ctx = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
        let index = (*core::ptr::addr_of!(ngx_http_core_module)).ctx_index;
        let core = (*(*ctx).main_conf.add(index)).cast::<ngx_http_core_main_conf_t>();
        for (phase, handler) in handlers {
            let slot = ngx_array_push(&raw mut (*core).phases[phase as usize].handlers)
                .cast::<ngx_http_handler_pt>();
            if slot.is_null() {
                return Status::NGX_ERROR;
            }
            *slot = handler;
        }
        filter::install();
    }
    Status::NGX_OK
}
