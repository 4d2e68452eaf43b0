//! Phase 2: `session_require`.

use ngx::core::Status;
use ngx::ffi::{NGX_HTTP_SERVICE_UNAVAILABLE, ngx_int_t};

use super::context::{Context, SessionStatus};
use super::settings;
use crate::conf::Require;
use crate::http::Request;

/// Grants only what `session_require` grants: under `satisfy any`, `NGX_OK` lets a request in.
pub fn handle(request: Request<'_>) -> Status {
    let (granted, error) = match &settings(request).require {
        Require::Off => return Status::NGX_DECLINED,
        Require::Session { error } => (has_session(request), *error),
        Require::Values { values, error } => {
            (values.iter().all(|value| value.is_true(request)), *error)
        }
    };
    if granted {
        return Status::NGX_OK;
    }
    // A storage that is away is not a client without rights.
    let unknown = Context::of(request).is_some_and(|context| context.found == SessionStatus::Error);
    Status(if unknown {
        NGX_HTTP_SERVICE_UNAVAILABLE
    } else {
        error
    } as ngx_int_t)
}

/// No session is known where the location has none or the request was bypassed: the check fails closed.
fn has_session(request: Request<'_>) -> bool {
    Context::of(request).is_some_and(|context| context.open_session(request).is_some())
}
