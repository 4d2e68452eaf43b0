//! Phase 1, before nginx's own `if`, `return` and `rewrite`: whose request is this?

use core::ptr;
use std::sync::Arc;

use ngx::core::Status;
use ngx::ffi::{NGX_HTTP_SERVICE_UNAVAILABLE, ngx_int_t};

use super::content::outage_ends;
use super::context::{Context, SessionStatus, Sight, Stage};
use super::{lookup, response, settings, wait};
use crate::conf::{LocationSettings, Settings};
use crate::http::Request;
use crate::http::headers_in::Edit;

/// Clears the headers this module owns, and looks the session up.
pub fn handle(request: Request<'_>) -> Status {
    let settings = settings(request);
    if !settings.owned.is_empty() && clear_owned_headers(request, settings).is_err() {
        return Status::NGX_ERROR;
    }
    if let Some(status) = leave(request) {
        return status;
    }
    if !settings.is_on {
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

/// What is left to do in the location that the request comes from. That may have to wait, or end the request.
fn leave(request: Request<'_>) -> Option<Status> {
    if !request.is_main() {
        return None;
    }
    let context = Context::of(request)?;
    if context.waiting.is_none() {
        let (stays, next) = (response::is_ours(request, context), settings(request));
        response::leave(request, context, |left| {
            stays || response::is_saved_in(left, next)
        });
    }
    let context = Context::of(request)?;
    if context.waiting.is_some() {
        wait::suspend(request, context);
        return Some(Status::NGX_DONE);
    }
    if outage_ends(request, context, context.location?) {
        context.outage_answered = true;
        return Some(Status(NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t));
    }
    None
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
    settings: &LocationSettings,
) -> Result<(), crate::http::headers_in::OutOfMemory> {
    Edit {
        remove: &settings.owned,
        hide: &[],
        set: &[],
        hide_cookie: None,
        add_cookie: None,
    }
    .apply(request)
}

/// In a location without sessions, one found by an earlier location cannot be seen; its cookies are still sent.
fn put_out_of_sight(request: Request<'_>, settings: &'static LocationSettings) {
    if let Some(context) = Context::of(request).filter(|_| request.is_main()) {
        leave_location(request, context);
        context.at = Some(request.location());
        context.location = Some(settings);
        context.stage = Stage::LookedUp;
        for slot in &mut context.slots {
            slot.sight = Sight::Off;
        }
    }
}

/// Takes note of the location, and looks its sessions up where that must be done.
fn enter_location(
    request: Request<'_>,
    context: &mut Context,
    location: &'static LocationSettings,
) {
    let here = request.is_main().then(|| request.location());
    let known = here.is_none_or(|here| context.at == Some(here))
        && context
            .location
            .is_some_and(|known| ptr::eq(known, location));
    if known && context.stage != Stage::Fresh {
        // The handler runs again after a wait, or `rewrite` came back to the location.
        return;
    }
    if request.is_main() {
        leave_location(request, context);
        context.at = Some(request.location());
        context.location = Some(location);
        context.stage = Stage::LookedUp;
        for slot in &mut context.slots {
            slot.sight = Sight::Off;
        }
    }
    for settings in location.active() {
        enter(request, context, settings);
    }
}

/// Looks one session up, unless an earlier location has done that and it may be used here.
fn enter(request: Request<'_>, context: &mut Context, settings: &'static Settings) {
    let outage_answered = context.outage_answered;
    if !request.is_main() && context.slot_mut(settings.profile).stage != Stage::Fresh {
        // Subrequests share what their main request found.
        return;
    }
    let bypassed = settings.bypass.iter().any(|value| value.is_true(request));
    let slot = context.slot_mut(settings.profile);
    if request.is_main() {
        slot.sight = if bypassed {
            Sight::Bypassed
        } else {
            Sight::Clear
        };
    }
    if bypassed {
        return;
    }
    if outage_answered || slot.found == SessionStatus::Error {
        // The error page for an outage does not wait for the storage once more, nor does a request that goes on without.
        slot.stage = Stage::Done;
        return;
    }
    if slot
        .looked_up_in
        .is_some_and(|known| ptr::eq(known, settings))
    {
        // Another location with the very same settings: what it found is good here, and what it ended stays ended.
        if !settings.action.ends() {
            slot.stage = Stage::LookedUp;
        }
        return;
    }
    if !slot.has_news() || !may_keep(request, context, settings) {
        return lookup::start(request, context, settings);
    }
    // An internal redirect keeps the session, and what was changed in it. The location's own directives are due.
    let slot = context.slot_mut(settings.profile);
    slot.stage = Stage::LookedUp;
    slot.jar = None;
    if let Some(session) = &mut slot.session {
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

/// Whether a session with news may be used by this location too: it must be this location's session, from a place where
/// it looks, made with its keys, and within its limits.
fn may_keep(request: Request<'_>, context: &Context, settings: &'static Settings) -> bool {
    let Some(slot) = context.slot(settings.profile) else {
        return false;
    };
    let Some(earlier) = slot
        .looked_up_in
        .filter(|_| settings.lookup.contains(slot.carrier))
    else {
        return false;
    };
    if earlier.is_kept_like(settings) {
        return true;
    }
    let same_backend = earlier.has_same_backend(settings);
    let earlier = &earlier.policy;
    let policy = &settings.policy;
    let same_session = earlier.cookie_name == policy.cookie_name
        && Arc::ptr_eq(&earlier.keys, &policy.keys)
        && same_backend
        && earlier.bind == policy.bind;
    let fresh = matches!(slot.found, SessionStatus::New | SessionStatus::Remembered);
    same_session && (fresh || lookup::verify(request, context, settings).token.is_ok())
}
