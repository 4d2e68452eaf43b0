//! Phase 1, before nginx's own `if`, `return` and `rewrite`: whose request is this?

use core::ptr;
use std::rc::Rc;
use std::sync::Arc;

use ngx::core::Status;
use ngx::ffi::{NGX_HTTP_SERVICE_UNAVAILABLE, ngx_int_t};
use session::Kind;

use super::content::outage_ends;
use super::context::{Context, SessionStatus, Sight, Stage};
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
        put_out_of_sight(request, settings);
        return Status::NGX_DECLINED;
    }
    let Some(context) = Context::of_or_new(request) else {
        return Status::NGX_ERROR;
    };
    if context.waiting.is_none() {
        enter_location(request, context, settings);
    }
    let Some(context) = Context::of(request) else {
        return Status::NGX_ERROR;
    };
    if context.waiting.is_some() {
        wait::suspend(request, context);
        return Status::NGX_DONE;
    }
    if outage_ends(request, context, settings) {
        context.outage_answered = true;
        return Status(NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t);
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

/// In a location without sessions, one found by an earlier location cannot be seen; its cookies are still sent.
fn put_out_of_sight(request: Request<'_>, settings: &'static Settings) {
    if let Some(context) = Context::of(request).filter(|_| request.is_main()) {
        leave_location(request, context);
        context.sight = Sight::Off;
        context.settings = Some(settings);
    }
}

/// Takes note of the location, and looks the session up where that must be done.
fn enter_location(request: Request<'_>, context: &mut Context, settings: &'static Settings) {
    let known = context
        .settings
        .is_some_and(|known| ptr::eq(known, settings));
    if known && context.stage != Stage::Fresh {
        // The handler runs again after a wait, or `rewrite` came back to the location.
        return;
    }
    if !request.is_main() && context.stage != Stage::Fresh {
        // Subrequests share what their main request found.
        return;
    }
    let bypassed = settings.bypass.iter().any(|value| value.is_true(request));
    if request.is_main() {
        leave_location(request, context);
        context.settings = Some(settings);
        context.sight = if bypassed {
            Sight::Bypassed
        } else {
            Sight::Clear
        };
    }
    if bypassed {
        return;
    }
    if context.outage_answered {
        // The error page for an outage does not wait for the storage once more.
        context.stage = Stage::Done;
        return;
    }
    if !context.has_news() || !may_keep(request, context, settings) {
        return lookup::start(request, context, settings);
    }
    // An internal redirect keeps the session, and what was changed in it. The location's own directives are due.
    context.stage = Stage::LookedUp;
    if let Some(session) = &mut context.session {
        session.enter_audience(&lookup::audience(request, settings));
    }
}

/// A request that goes on elsewhere although its access checks never ended was refused where it was.
fn leave_location(request: Request<'_>, context: &mut Context) {
    let refused = match context.stage {
        Stage::Fresh => request.raw().error_page() != 0,
        Stage::LookedUp => context.left_rewrite,
        Stage::Done => false,
    };
    context.refused |= refused && request.is_main();
    context.left_rewrite = false;
}

/// Whether a session with news may be used by this location too: it must be this location's session, made with its
/// keys, and within its limits.
fn may_keep(request: Request<'_>, context: &Context, settings: &Settings) -> bool {
    let Some(earlier) = context.looked_up_in.map(|earlier| &earlier.policy) else {
        return false;
    };
    let policy = &settings.policy;
    if ptr::eq(&**earlier, &**policy) && same_backend(context, settings) {
        return true;
    }
    let same_session = earlier.cookie_name == policy.cookie_name
        && Arc::ptr_eq(&earlier.keys, &policy.keys)
        && same_backend(context, settings)
        && earlier.bind == policy.bind;
    let fresh = matches!(
        context.found,
        SessionStatus::New | SessionStatus::Remembered
    );
    same_session && (fresh || lookup::verify(request, context, settings, Kind::Session).is_ok())
}

fn same_backend(context: &Context, settings: &Settings) -> bool {
    let earlier = context
        .looked_up_in
        .and_then(|earlier| earlier.backend.as_ref());
    match (earlier, &settings.backend) {
        (Some(a), Some(b)) => Rc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}
