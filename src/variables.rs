//! `$session_…`: the session, readable wherever nginx takes variables.

use core::ptr;
use std::borrow::Cow;

use ngx::core::Status;
use ngx::ffi::{
    NGX_HTTP_VAR_CHANGEABLE, NGX_HTTP_VAR_NOCACHEABLE, NGX_HTTP_VAR_PREFIX, ngx_conf_t,
    ngx_hash_key_t, ngx_http_add_variable, ngx_http_conf_ctx_t, ngx_http_core_main_conf_t,
    ngx_http_core_module, ngx_http_get_variable_pt, ngx_http_request_t, ngx_http_variable_t,
    ngx_int_t, ngx_palloc, ngx_str_t, ngx_uint_t, ngx_variable_value_t,
};
use serde_json::{Map, Value as Json};
use session::Session;

use crate::conf::{MainConf, ProfileId, Profiles, Property};
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
    let plain = PLAIN.into_iter().map(|v| (v, 0));
    let prefixed = PREFIXES.into_iter().map(|v| (v, NGX_HTTP_VAR_PREFIX));
    for ((end, handler), flag) in plain.chain(prefixed) {
        let name = format!("{SESSION}{end}");
        // SAFETY: by contract.
        match unsafe { add(cf, name.as_bytes(), NGX_HTTP_VAR_NOCACHEABLE | flag) } {
            Some(variable) => variable.get_handler = handler,
            None => return Status::NGX_ERROR,
        }
    }
    Status::NGX_OK
}

/// Registers the variables of a named session: one for all, as nginx's table of names is small. `None`: nginx has
/// logged why it cannot.
///
/// # Safety
///
/// `cf` is the live context of the http block.
pub unsafe fn register_profile(cf: *mut ngx_conf_t, profile: &str) -> Option<()> {
    let name = format!("{SESSION}{profile}_");
    let flags = NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_PREFIX;
    // SAFETY: by contract.
    unsafe { add(cf, name.as_bytes(), flags) }?.get_handler = Some(of_profile);
    Some(())
}

/// The first variable of the configuration that looks like a named session's and is none.
///
/// # Safety
///
/// `cf` is the live context of the http block, in postconfiguration.
pub unsafe fn find_unknown(cf: *mut ngx_conf_t, profiles: &Profiles) -> Option<String> {
    // SAFETY: by contract; the core module's main configuration lists the variables that are used, and the names of
    // those that somebody has defined.
    let (used, defined) = unsafe {
        let ctx = (*cf).ctx.cast::<ngx_http_conf_ctx_t>();
        let index = (*ptr::addr_of!(ngx_http_core_module)).ctx_index;
        let core = (*(*ctx).main_conf.add(index)).cast::<ngx_http_core_main_conf_t>();
        let defined = &(*(*core).variables_keys).keys;
        (
            (*core).variables.as_slice::<ngx_http_variable_t>(),
            defined.as_slice::<ngx_hash_key_t>(),
        )
    };
    let mut names = used
        .iter()
        .map(|variable| variable.name.as_bytes())
        .filter(|name| !defined.iter().any(|other| other.key.as_bytes() == *name))
        .filter_map(|name| core::str::from_utf8(name).ok());
    let is_unknown = |name: &&str| {
        let rest = name.strip_prefix(SESSION).unwrap_or_default();
        let mut of = profiles
            .names()
            .filter_map(|profile| after(rest, profile))
            .peekable();
        of.peek().is_some() && !is_own(rest) && !of.any(is_own)
    };
    names.find(is_unknown).map(str::to_owned)
}

/// Whether a name after `session_` or `session_NAME_` is that of a variable.
fn is_own(name: &str) -> bool {
    let has_key = |prefix: &str| name.len() > prefix.len() && name.starts_with(prefix);
    PLAIN.iter().any(|(plain, _)| *plain == name) || has_key(DATA) || has_key(INFO)
}

/// What follows a profile's name and `_`.
fn after<'n>(rest: &'n str, profile: &str) -> Option<&'n str> {
    let (name, rest) = rest.split_at_checked(profile.len())?;
    let rest = rest.strip_prefix('_')?;
    name.eq_ignore_ascii_case(profile).then_some(rest)
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
    value: impl FnOnce(Request<'_>) -> Option<Cow<'_, [u8]>>,
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

/// What the variables of a fact show when it is one.
const YES: Cow<'_, [u8]> = Cow::Borrowed(b"1");

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
    .map(|_| YES));
handler!(is_new, |request, profile| {
    (found(request, profile) == SessionStatus::New).then_some(YES)
});
handler!(status, |request, profile| Some(
    found(request, profile).text().as_bytes().into()
));
handler!(remember, |request, profile| {
    session(request, profile)
        .filter(|session| session.has_remember_token() && !session.forget())
        .map(|_| YES)
});
handler!(json, |request, profile| session(request, profile)
    .map(|session| session.data_json().into_bytes().into()));

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
            property_text(Property::from_u8(PROPERTY), session, &remaining)?
                .into_bytes()
                .into(),
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
        let session = session(request, profile)?;
        // Most keys are written as the variable is: no other value has to be parsed then.
        let exact = session.get(name).filter(|_| !name.contains('.'));
        show(request, exact.or_else(|| find(session.data(), name))?)
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

/// A variable of a named session.
unsafe extern "C" fn of_profile(
    r: *mut ngx_http_request_t,
    out: *mut ngx_variable_value_t,
    data: usize,
) -> ngx_int_t {
    // SAFETY: nginx hands a live request to a variable's handler, and for a prefix the address of the full name.
    let (profile, end) = match unsafe { plain_of_profile(Request::new(r), data) } {
        Some(found) => found,
        // SAFETY: as above.
        None => return unsafe { data_or_info_by_name(r, out, data) },
    };
    match PLAIN.iter().find(|(name, _)| *name == end) {
        // SAFETY: the handlers of this table take the profile's number.
        Some((_, Some(handler))) => unsafe { handler(r, out, profile.number()) },
        _ => Status::NGX_ERROR.0,
    }
}

/// # Safety
///
/// `data` is the address of a live string of nginx.
unsafe fn plain_of_profile<'a>(request: Request<'_>, data: usize) -> Option<(ProfileId, &'a str)> {
    // SAFETY: by contract.
    let rest = unsafe { rest_of_name(data) }?;
    let profiles = &request.main_conf::<MainConf>().profiles;
    profiles.all().find_map(|profile| {
        let end = after(rest, profile.name)?;
        let is_plain = PLAIN.iter().any(|(plain, _)| *plain == end);
        is_plain.then_some((profile.id, end))
    })
}

/// # Safety
///
/// As nginx calls a variable's handler.
unsafe fn data_or_info_by_name(
    r: *mut ngx_http_request_t,
    out: *mut ngx_variable_value_t,
    data: usize,
) -> ngx_int_t {
    // SAFETY: by contract.
    unsafe {
        match key_after(Request::new(r), data, INFO) {
            Some(_) => info_by_name(r, out, data),
            None => data_by_name(r, out, data),
        }
    }
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

/// The profile and the key of a variable, where `kind` stands between them.
///
/// # Safety
///
/// `data` is the address of a live string of nginx.
unsafe fn key_after<'a>(
    request: Request<'_>,
    data: usize,
    kind: &str,
) -> Option<(ProfileId, &'a str)> {
    // SAFETY: by contract.
    let rest = unsafe { rest_of_name(data) }?;
    let key_of = |rest: &'a str| rest.strip_prefix(kind).filter(|key| !key.is_empty());
    if let Some(key) = key_of(rest) {
        return Some((ProfileId::UNNAMED, key));
    }
    let mut profiles = request.main_conf::<MainConf>().profiles.all();
    profiles.find_map(|profile| Some((profile.id, key_of(after(rest, profile.name)?)?)))
}

/// A variable's name after `session_`.
///
/// # Safety
///
/// `data` is the address of a live string of nginx.
unsafe fn rest_of_name<'a>(data: usize) -> Option<&'a str> {
    // SAFETY: by contract.
    let name: &'a [u8] = unsafe { (*(data as *const ngx_str_t)).as_bytes() };
    core::str::from_utf8(name).ok()?.strip_prefix(SESSION)
}

/// A value as a variable shows it; null is nothing.
fn show<'v>(request: Request<'_>, value: &'v Json) -> Option<Cow<'v, [u8]>> {
    let text = (!value.is_null()).then(|| text_of(value))?;
    one_line(request, text)
}

/// Variables end up in headers, where a line break would begin another header: a text with one is not shown.
/// `$session_json` shows it escaped.
fn one_line<'v>(request: Request<'_>, text: Cow<'v, [u8]>) -> Option<Cow<'v, [u8]>> {
    if text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        request_log!(
            ERR,
            request,
            "a variable is left empty: the session's value has a line break or a NUL"
        );
        return None;
    }
    Some(text)
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
