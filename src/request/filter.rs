//! Phase 5, the first filter of all: what is still due, then the response's headers.

use ngx::core::Status;
use ngx::ffi::{
    NGX_AGAIN, NGX_OK, ngx_chain_t, ngx_http_output_body_filter_pt,
    ngx_http_output_header_filter_pt, ngx_http_request_t, ngx_http_top_body_filter,
    ngx_http_top_header_filter, ngx_int_t,
};
use session::{Kind, set_cookie_name};
use smallvec::SmallVec;

use super::content::outage_ends;
use super::context::{Context, DueHeader, SET_COOKIE, SessionStatus, Sight, Slot};
use super::upstream::property_text;
use super::{control, hold, jar, response, save, settings, wait};
use crate::conf::Settings;
use crate::event::next_turn;
use crate::guard::{guard, guard_request};
use crate::http::headers_in::OutOfMemory;
use crate::http::{Request, headers_out};

static mut NEXT_HEADER_FILTER: ngx_http_output_header_filter_pt = None;
static mut NEXT_BODY_FILTER: ngx_http_output_body_filter_pt = None;

/// Puts the filters in front of all others.
///
/// # Safety
///
/// Called in postconfiguration, where nginx links its filters.
pub unsafe fn install() {
    // SAFETY: configuration is read by one thread, and no request runs meanwhile.
    unsafe {
        NEXT_HEADER_FILTER = ngx_http_top_header_filter;
        ngx_http_top_header_filter = Some(on_header);
        NEXT_BODY_FILTER = ngx_http_top_body_filter;
        ngx_http_top_body_filter = Some(on_body);
    }
}

unsafe extern "C" fn on_header(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx hands a live request to its filters.
    guard_request(|| Status(header(unsafe { Request::new(r) })))
}

unsafe extern "C" fn on_body(r: *mut ngx_http_request_t, chain: *mut ngx_chain_t) -> ngx_int_t {
    guard(ngx::ffi::NGX_ERROR as ngx_int_t, || {
        // SAFETY: as above.
        let request = unsafe { Request::new(r) };
        strip_trailers(request, chain);
        match Context::of(request).filter(|_| request.is_main()) {
            Some(context) if context.held.is_some() => hold::body(request, context, chain),
            _ => next_body(request, chain),
        }
    })
}

/// What a response may not bring in its header it may not bring in its trailers either. They are there when the last
/// buffer of the body comes.
fn strip_trailers(request: Request<'_>, body: *const ngx_chain_t) {
    let location = settings(request);
    if !location.hears_responses {
        return;
    }
    let keeps_cookies = jar::is_kept(request, location);
    let links = core::iter::successors((!body.is_null()).then_some(body), |link| {
        // SAFETY: the chain of a filter's caller is live and ends with null.
        let next = unsafe { (**link).next };
        (!next.is_null()).then_some(next.cast_const())
    });
    let is_last = |link: *const ngx_chain_t| {
        // SAFETY: as above, and every link has a buffer.
        unsafe { (*(*link).buf).last_buf() != 0 }
    };
    if links.into_iter().any(is_last) {
        headers_out::remove_trailers(request, |name| {
            control::is_control(location, name)
                || (keeps_cookies && name.eq_ignore_ascii_case(SET_COOKIE))
        });
    }
}

/// The header filters behind this one.
pub fn next_header(request: Request<'_>) -> ngx_int_t {
    // SAFETY: set by `install` before any request, to a filter of nginx's chain, which always ends in one.
    unsafe { NEXT_HEADER_FILTER.map_or(NGX_OK as ngx_int_t, |next| next(request.as_ptr())) }
}

/// The body filters behind this one.
pub fn next_body(request: Request<'_>, chain: *mut ngx_chain_t) -> ngx_int_t {
    // SAFETY: as above.
    unsafe { NEXT_BODY_FILTER.map_or(NGX_OK as ngx_int_t, |next| next(request.as_ptr(), chain)) }
}

fn header(request: Request<'_>) -> ngx_int_t {
    if !request.is_main() {
        response::subrequest(request);
        return next_header(request);
    }
    let location = settings(request);
    let Some(context) = Context::of(request) else {
        control::strip(request, location);
        return next_header(request);
    };
    let is_ours = response::is_ours(request, context);
    if context.held.is_none() {
        response::leave(request, context, |_| is_ours);
    }
    let brought = response::take(request, context, location);
    if context.held.is_some() {
        if hold::again(request, context) {
            return NGX_AGAIN as ngx_int_t;
        }
    } else {
        if is_ours {
            response::run(request, context, &brought);
        }
        fail_later(request);
    }
    let Some(context) = Context::of(request) else {
        return next_header(request);
    };
    if context.waiting.is_some() {
        hold::begin(request, context);
        return NGX_AGAIN as ngx_int_t;
    }
    match send(request, context) {
        Ok(()) => next_header(request),
        Err(OutOfMemory) => ngx::ffi::NGX_ERROR as ngx_int_t,
    }
}

/// A storage may have failed without a wait. Not every producer of a response takes a status for an answer, so the
/// response is held for a turn of the loop, and replaced then.
fn fail_later(request: Request<'_>) {
    let ends = Context::of(request).is_some_and(|context| {
        context.waiting.is_none() && outage_ends(request, context, settings(request))
    });
    if ends {
        wait::run(request, |_| next_turn());
    }
}

/// Adds this module's headers to the response. Doing it twice is as doing it once: an error page comes by again.
pub fn send(request: Request<'_>, context: &mut Context) -> Result<(), OutOfMemory> {
    let location = settings(request);
    for slot in &mut context.slots {
        save::send_newest(request, slot);
    }
    for settings in location.active() {
        if context.slot_mut(settings.profile).sight == Sight::Clear {
            clear_refused(request, context, settings);
            response_headers(request, context, settings)?;
        }
    }
    if context.slots.iter().all(|slot| slot.due.is_empty()) {
        return Ok(());
    }
    let due = || context.slots.iter().flat_map(|slot| &slot.due);
    headers_out::remove(request, SET_COOKIE, |line| {
        let is_due = |name| due().any(|due| due.cookie.as_deref().map(str::as_bytes) == Some(name));
        set_cookie_name(line).is_some_and(is_due)
    });
    for due in due() {
        if due.cookie.is_none() {
            headers_out::remove(request, due.name, |_| true);
        }
        headers_out::push(request, due.name, due.value.as_bytes())?;
    }
    // A session that this location does not know was left by one that wanted what it has.
    let keeps = |slot: &&Slot| {
        let settings = location.of(slot.profile);
        settings.is_none_or(|settings| settings.cache_control)
    };
    let kept = context.slots.iter().filter(keeps);
    keep_from_caches(request, kept.flat_map(|slot| &slot.due))
}

/// A refused cookie is expired, unless a new one takes its place.
fn clear_refused(request: Request<'_>, context: &mut Context, settings: &Settings) {
    let slot = context.slot_mut(settings.profile);
    if !settings.cookie.clear_invalid || slot.found == SessionStatus::Error {
        return;
    }
    let refused_cookie = core::mem::take(&mut slot.refused_cookie);
    let refused_remember = core::mem::take(&mut slot.refused_remember);
    if refused_cookie {
        save::expire_unless_due(request, context, settings, Kind::Session);
    }
    if refused_remember {
        save::expire_unless_due(request, context, settings, Kind::Remember);
    }
}

fn response_headers(
    request: Request<'_>,
    context: &Context,
    settings: &'static Settings,
) -> Result<(), OutOfMemory> {
    if settings.response_headers.is_empty() {
        return Ok(());
    }
    let session = context.open_session(request, settings.profile);
    let remaining = session.map(|session| session.remaining(&settings.policy, request.now()));
    for (name, property) in &settings.response_headers {
        headers_out::remove(request, name.as_bytes(), |_| true);
        let (Some(session), Some(remaining)) = (session, &remaining) else {
            continue;
        };
        let Some(value) = property_text(*property, session, remaining) else {
            continue;
        };
        if value.bytes().any(|byte| byte.is_ascii_control()) {
            request_log!(
                ERR,
                request,
                "{name} is not sent: its value has control characters"
            );
            continue;
        }
        headers_out::push(request, name.as_bytes(), value.as_bytes())?;
    }
    Ok(())
}

/// A shared cache must not hand one user's token to another (RFC 9111, 5.2.2.4).
fn keep_from_caches<'d>(
    request: Request<'_>,
    due: impl Iterator<Item = &'d DueHeader>,
) -> Result<(), OutOfMemory> {
    let mut names = SmallVec::<[&[u8]; 2]>::new();
    for due in due {
        if !names.contains(&due.name) {
            names.push(due.name);
        }
    }
    if names.is_empty() {
        return Ok(());
    }
    let no_cache = [b"no-cache=\"", names.join(&b", "[..]).as_slice(), b"\""].concat();
    let forbids = |value: &[u8]| {
        let value = value.to_ascii_lowercase();
        let mut directives = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        value == no_cache.to_ascii_lowercase()
            || directives.any(|d| d == b"no-store" || d == b"private")
    };
    if headers_out::any(request, b"Cache-Control", forbids) {
        return Ok(());
    }
    headers_out::push(request, b"Cache-Control", &no_cache)
}
