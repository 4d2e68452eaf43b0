//! Phase 2: `session_require`.

use ngx::core::Status;
use ngx::ffi::{NGX_HTTP_SERVICE_UNAVAILABLE, ngx_int_t};

use super::context::{Context, SessionStatus};
use super::settings;
use crate::conf::{Require, Settings};
use crate::http::Request;

/// Grants only what `session_require` grants: under `satisfy any`, `NGX_OK` lets a request in.
pub fn handle(request: Request<'_>) -> Status {
    let mut answer = Status::NGX_DECLINED;
    for settings in &settings(request).sessions {
        let (granted, error) = match &settings.require {
            Require::Off => continue,
            Require::Session { error } => (has_session(request, settings), *error),
            Require::Values { values, error } => {
                (values.iter().all(|value| value.is_true(request)), *error)
            }
        };
        if !granted {
            return refusal(request, settings, error);
        }
        answer = Status::NGX_OK;
    }
    answer
}

/// A storage that is away is not a client without rights.
fn refusal(request: Request<'_>, settings: &Settings, error: u32) -> Status {
    let is_unknown = Context::of(request)
        .and_then(|context| (*context).slot(settings.profile))
        .is_some_and(|slot| slot.found == SessionStatus::Error);
    Status(if is_unknown {
        NGX_HTTP_SERVICE_UNAVAILABLE
    } else {
        error
    } as ngx_int_t)
}

/// No session is known where the location has none or the request was bypassed: the check fails closed.
fn has_session(request: Request<'_>, settings: &Settings) -> bool {
    Context::of(request)
        .is_some_and(|context| context.open_session(request, settings.profile).is_some())
}
