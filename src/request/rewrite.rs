//! Phase 1, before nginx's own `if`, `return` and `rewrite`: whose request is this?

use ngx::core::Status;

use super::context::{Context, SessionStatus, Stage};
use super::{lookup, settings, wait};
use crate::conf::Settings;
use crate::http::Request;
use crate::http::headers_in::Edit;

/// Clears the headers this module owns, and looks the session up.
pub fn handle(request: Request<'_>) -> Status {
    let settings = settings(request);
    if !settings.owned.is_empty() && clear_owned_headers(request, settings).is_err() {
        return Status::NGX_ERROR;
    }
    if !settings.action.is_on() {
        return leave_alone(request, settings);
    }
    let Some(context) = Context::of_or_new(request) else {
        return Status::NGX_ERROR;
    };
    if context.waiting.is_some() {
        wait::suspend(request, context);
        return Status::NGX_DONE;
    }
    if !enter_location(request, context, settings) {
        return Status::NGX_DECLINED;
    }
    if settings.bypass.iter().any(|value| value.is_true(request)) {
        context.status = SessionStatus::Bypassed;
        return Status::NGX_DECLINED;
    }
    lookup::start(request, context, settings);
    if context.waiting.is_some() {
        wait::suspend(request, context);
        return Status::NGX_DONE;
    }
    Status::NGX_DECLINED
}

/// The rewrite phase is over: neither `return` nor `rewrite` answered the request.
pub fn passed(request: Request<'_>) -> Status {
    if let Some(context) = Context::of(request).filter(|_| request.is_main()) {
        context.left_rewrite = true;
    }
    Status::NGX_DECLINED
}

/// A client never sends what only this module may set, in any spelling, session or not.
fn clear_owned_headers(
    request: Request<'_>,
    settings: &Settings,
) -> Result<(), crate::http::headers_in::OutOfMemory> {
    Edit {
        remove: &settings.owned,
        set: &[],
        hide_cookie: None,
    }
    .apply(request)
}

/// In a location without sessions, one found by an earlier location is out of sight but still saved.
fn leave_alone(request: Request<'_>, settings: &'static Settings) -> Status {
    if let Some(context) = Context::of(request).filter(|_| request.is_main()) {
        context.settings = Some(settings);
        context.status = SessionStatus::Off;
        context.left_rewrite = false;
    }
    Status::NGX_DECLINED
}

/// Takes note of the location. Returns whether the session must be looked up.
///
/// Internal redirects keep the session, and subrequests share that of their main request: only a location whose
/// sessions are others, or have other limits, looks again, and never over changes that are not saved.
fn enter_location(
    request: Request<'_>,
    context: &mut Context,
    settings: &'static Settings,
) -> bool {
    let known = context.settings.filter(|_| context.stage != Stage::Fresh);
    let same = known.is_some_and(|known| {
        core::ptr::eq(&*known.policy, &*settings.policy)
            && known.action.is_on()
            && context.status != SessionStatus::Bypassed
    });
    if request.is_main() {
        context.left_rewrite = false;
        let again = known.is_some_and(|known| core::ptr::eq(known, settings));
        context.settings = Some(settings);
        if !again && context.stage != Stage::Fresh {
            // Another location: its own directives are due.
            context.stage = Stage::LookedUp;
        }
    } else if known.is_some() {
        return false;
    } else {
        context.settings = Some(settings);
    }
    !same && !unsaved(context)
}

fn unsaved(context: &Context) -> bool {
    !context.due.is_empty()
        || context
            .session
            .as_ref()
            .is_some_and(session::Session::is_dirty)
}
