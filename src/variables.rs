//! `$session_…`: the session, readable wherever nginx takes variables.

use core::ptr;

use ngx::core::Status;
use ngx::ffi::{
    NGX_HTTP_VAR_CHANGEABLE, NGX_HTTP_VAR_NOCACHEABLE, NGX_HTTP_VAR_PREFIX, ngx_conf_t,
    ngx_http_add_variable, ngx_http_get_variable_pt, ngx_http_request_t, ngx_http_variable_t,
    ngx_int_t, ngx_palloc, ngx_str_t, ngx_uint_t, ngx_variable_value_t,
};
use serde_json::{Map, Value as Json};
use session::Session;

use crate::conf::{MainConf, ProfileId, Property};
use crate::guard::guard;
use crate::http::Request;
use crate::request::{Context, SessionStatus, property_text, settings, text_of};

/// Variables with a name of their own, after `session_` or `session_NAME_`.
const PLAIN: [(&str, ngx_http_get_variable_pt); 12] = [
    ("id", Some(property::<{ Property::Id as u8 }>)),
    ("exists", Some(exists)),
    ("new", Some(is_new)),
    ("status", Some(status)),
    ("audience", Some(property::<{ Property::Audience as u8 }>)),
    ("subject", Some(property::<{ Property::Subject as u8 }>)),
    ("timeout", Some(property::<{ Property::Timeout as u8 }>)),
    (
        "idling_timeout",
        Some(property::<{ Property::IdlingTimeout as u8 }>),
    ),
    (
        "rolling_timeout",
        Some(property::<{ Property::RollingTimeout as u8 }>),
    ),
    (
        "absolute_timeout",
        Some(property::<{ Property::AbsoluteTimeout as u8 }>),
    ),
    ("remember", Some(remember)),
    ("json", Some(json)),
];

/// Variables whose name goes on with a key.
const PREFIXES: [(&str, ngx_http_get_variable_pt); 2] =
    [(DATA, Some(data_by_name)), (INFO, Some(info_by_name))];
const SESSION: &str = "session_";
const DATA: &str = "data_";
const INFO: &str = "info_";

/// Registers the variables of the unnamed session.
///
/// # Safety
///
/// `cf` is the live context of the http block, in preconfiguration.
pub unsafe fn register(cf: *mut ngx_conf_t) -> Status {
    // SAFETY: by contract.
    match unsafe { register_all(cf, SESSION, ProfileId::UNNAMED) } {
        Some(()) => Status::NGX_OK,
        None => Status::NGX_ERROR,
    }
}

/// Registers the variables of a named session. `None`: nginx has logged why it cannot.
///
/// # Safety
///
/// `cf` is the live context of the http block.
pub unsafe fn register_profile(cf: *mut ngx_conf_t, name: &str, profile: ProfileId) -> Option<()> {
    // SAFETY: by contract.
    unsafe { register_all(cf, &format!("{SESSION}{name}_"), profile) }
}

/// # Safety
///
/// `cf` is the live context of the http block.
unsafe fn register_all(cf: *mut ngx_conf_t, prefix: &str, profile: ProfileId) -> Option<()> {
    let plain = PLAIN.into_iter().map(|v| (v, 0));
    let prefixed = PREFIXES.into_iter().map(|v| (v, NGX_HTTP_VAR_PREFIX));
    for ((end, handler), flag) in plain.chain(prefixed) {
        let name = format!("{prefix}{end}");
        // SAFETY: by contract.
        let variable = unsafe { add(cf, name.as_bytes(), NGX_HTTP_VAR_NOCACHEABLE | flag) }?;
        variable.get_handler = handler;
        // For a prefix, nginx replaces this by the address of the name.
        variable.data = profile.number();
    }
    Some(())
}

/// # Safety
///
/// `cf` is the live context of the http block; the variable is not kept.
unsafe fn add<'v>(
    cf: *mut ngx_conf_t,
    name: &[u8],
    flags: u32,
) -> Option<&'v mut ngx_http_variable_t> {
    let mut name = ngx_str_t {
        len: name.len(),
        data: name.as_ptr().cast_mut(),
    };
    // SAFETY: by contract; nginx copies the name.
    unsafe { ngx_http_add_variable(cf, &mut name, flags as ngx_uint_t).as_mut() }
}

/// What a variable of `session_var` shows.
struct Bound {
    key: &'static str,
    profile: ProfileId,
}

/// Makes `$name` show the value of `key`. `None`: nginx has logged why it cannot.
///
/// # Safety
///
/// `cf` is the live context of the http block; `key` lives as long as the configuration.
pub unsafe fn bind(
    cf: *mut ngx_conf_t,
    name: &'static [u8],
    key: &'static str,
    profile: ProfileId,
) -> Option<()> {
    // SAFETY: by contract; what is bound gets a place in the configuration's pool.
    unsafe {
        let bound = ngx_palloc((*cf).pool, size_of::<Bound>()).cast::<Bound>();
        if bound.is_null() {
            return None;
        }
        bound.write(Bound { key, profile });
        let flags = NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_CHANGEABLE;
        let variable = add(cf, name, flags)?;
        variable.get_handler = Some(data_by_key);
        variable.data = bound as usize;
    }
    Some(())
}

/// Runs `value` for a request and hands its text to nginx; `None` is "not found", which reads as empty.
fn answer(
    r: *mut ngx_http_request_t,
    out: *mut ngx_variable_value_t,
    value: impl FnOnce(Request<'_>) -> Option<Vec<u8>>,
) -> ngx_int_t {
    guard(Status::NGX_ERROR.0, || {
        // SAFETY: nginx hands a live request and a place for the value to a variable's handler.
        let (request, out) = unsafe { (Request::new(r), &mut *out) };
        out.set_valid(0);
        out.set_no_cacheable(0);
        out.set_not_found(1);
        let Some(text) = value(request) else {
            return Status::NGX_OK.0;
        };
        let Some(stored) = request.store(&text) else {
            return Status::NGX_ERROR.0;
        };
        out.set_valid(1);
        out.set_not_found(0);
        out.set_len(stored.len as u32);
        out.data = if stored.len == 0 {
            ptr::dangling_mut()
        } else {
            stored.data
        };
        Status::NGX_OK.0
    })
}

/// A session of the request, while it is open to it.
fn session<'r>(request: Request<'r>, profile: ProfileId) -> Option<&'r Session> {
    Context::of(request).and_then(|context| (*context).open_session(request, profile))
}

/// What the look-up of a session came to.
fn found(request: Request<'_>, profile: ProfileId) -> SessionStatus {
    Context::of(request).map_or(SessionStatus::Off, |context| {
        context.status(request, profile)
    })
}

/// Makes a variable's handler of a function from the request and the profile to a text.
macro_rules! handler {
    ($name:ident, |$request:ident, $profile:ident| $value:expr) => {
        unsafe extern "C" fn $name(
            r: *mut ngx_http_request_t,
            out: *mut ngx_variable_value_t,
            data: usize,
        ) -> ngx_int_t {
            let $profile = ProfileId::from_number(data);
            answer(r, out, |$request| $value)
        }
    };
}

handler!(exists, |request, profile| session(request, profile)
    .map(|_| b"1".to_vec()));
handler!(is_new, |request, profile| {
    (found(request, profile) == SessionStatus::New).then(|| b"1".to_vec())
});
handler!(status, |request, profile| Some(
    found(request, profile).text().as_bytes().to_vec()
));
handler!(remember, |request, profile| {
    session(request, profile)
        .filter(|session| session.has_remember_token() && !session.forget())
        .map(|_| b"1".to_vec())
});
handler!(json, |request, profile| session(request, profile)
    .map(|session| session.data_json().into_bytes()));

unsafe extern "C" fn property<const PROPERTY: u8>(
    r: *mut ngx_http_request_t,
    out: *mut ngx_variable_value_t,
    data: usize,
) -> ngx_int_t {
    answer(r, out, |request| {
        let profile = ProfileId::from_number(data);
        let session = session(request, profile)?;
        let policy = &settings(request).of(profile)?.policy;
        let remaining = session.remaining(policy, request.now());
        one_line(
            request,
            property_text(Property::from_u8(PROPERTY), session, &remaining)?,
        )
    })
}

unsafe extern "C" fn data_by_name(
    r: *mut ngx_http_request_t,
    out: *mut ngx_variable_value_t,
    data: usize,
) -> ngx_int_t {
    answer(r, out, |request| {
        // SAFETY: for a variable with a prefix, nginx passes the address of its full name.
        let (profile, name) = unsafe { key_after(request, data, DATA) }?;
        show(request, find(session(request, profile)?.data(), name)?)
    })
}

unsafe extern "C" fn info_by_name(
    r: *mut ngx_http_request_t,
    out: *mut ngx_variable_value_t,
    data: usize,
) -> ngx_int_t {
    answer(r, out, |request| {
        // SAFETY: as above.
        let (profile, name) = unsafe { key_after(request, data, INFO) }?;
        show(request, find(session(request, profile)?.info_map()?, name)?)
    })
}

unsafe extern "C" fn data_by_key(
    r: *mut ngx_http_request_t,
    out: *mut ngx_variable_value_t,
    data: usize,
) -> ngx_int_t {
    answer(r, out, |request| {
        // SAFETY: `bind` stored the address of what is bound.
        let bound = unsafe { &*(data as *const Bound) };
        show(request, session(request, bound.profile)?.get(bound.key)?)
    })
}

/// # Safety
///
/// `data` is the address of a live string of nginx.
unsafe fn key_after<'a>(
    request: Request<'_>,
    data: usize,
    kind: &str,
) -> Option<(ProfileId, &'a str)> {
    // SAFETY: by contract.
    let name: &'a [u8] = unsafe { (*(data as *const ngx_str_t)).as_bytes() };
    let rest = core::str::from_utf8(name).ok()?.get(SESSION.len()..)?;
    let profiles = &request.main_conf::<MainConf>().profiles;
    profiles
        .in_variable(rest, kind)
        .filter(|(_, key)| !key.is_empty())
}

/// A value as a variable shows it; null is nothing.
fn show(request: Request<'_>, value: &Json) -> Option<Vec<u8>> {
    let text = (!value.is_null()).then(|| text_of(value))?;
    one_line(request, text)
}

/// Variables end up in headers, where a line break would begin another header: a text with one is not shown.
/// `$session_json` shows it escaped.
fn one_line(request: Request<'_>, text: String) -> Option<Vec<u8>> {
    if text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        request_log!(
            ERR,
            request,
            "a variable is left empty: the session's value has a line break or a NUL"
        );
        return None;
    }
    Some(text.into_bytes())
}

/// Finds a key as a variable's name spells it.
///
/// nginx makes the names of variables lower case, so an exact match is tried first and then one that ignores case;
/// `__` steps into an object, unless the key itself has it.
fn find<'m>(map: &'m Map<String, Json>, name: &str) -> Option<&'m Json> {
    if let Some(value) = entry(map, name) {
        return Some(value);
    }
    name.match_indices("__").find_map(|(at, _)| {
        let inner = entry(map, &name[..at])?.as_object()?;
        find(inner, &name[at + 2..])
    })
}

fn entry<'m>(map: &'m Map<String, Json>, name: &str) -> Option<&'m Json> {
    map.get(name).or_else(|| {
        map.iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}
