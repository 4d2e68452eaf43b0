//! `$session_…`: the session, readable wherever nginx takes variables.

use core::ptr;

use ngx::core::Status;
use ngx::ffi::{
    NGX_HTTP_VAR_CHANGEABLE, NGX_HTTP_VAR_NOCACHEABLE, NGX_HTTP_VAR_PREFIX, ngx_conf_t,
    ngx_http_add_variable, ngx_http_get_variable_pt, ngx_http_request_t, ngx_int_t, ngx_palloc,
    ngx_str_t, ngx_uint_t, ngx_variable_value_t,
};
use serde_json::{Map, Value as Json};
use session::Session;

use crate::conf::Property;
use crate::guard::guard;
use crate::http::Request;
use crate::request::{Context, SessionStatus, property_text, settings, text_of};

/// Variables with a name of their own.
const PLAIN: [(&str, ngx_http_get_variable_pt); 11] = [
    ("session_id", Some(property::<{ Property::Id as u8 }>)),
    ("session_exists", Some(exists)),
    ("session_new", Some(is_new)),
    ("session_status", Some(status)),
    (
        "session_audience",
        Some(property::<{ Property::Audience as u8 }>),
    ),
    (
        "session_subject",
        Some(property::<{ Property::Subject as u8 }>),
    ),
    (
        "session_timeout",
        Some(property::<{ Property::Timeout as u8 }>),
    ),
    (
        "session_idling_timeout",
        Some(property::<{ Property::IdlingTimeout as u8 }>),
    ),
    (
        "session_rolling_timeout",
        Some(property::<{ Property::RollingTimeout as u8 }>),
    ),
    (
        "session_absolute_timeout",
        Some(property::<{ Property::AbsoluteTimeout as u8 }>),
    ),
    ("session_remember", Some(remember)),
];

/// Variables whose name goes on with a key.
const PREFIXES: [(&str, ngx_http_get_variable_pt); 2] = [
    (DATA_PREFIX, Some(data_by_name)),
    (INFO_PREFIX, Some(info_by_name)),
];
const DATA_PREFIX: &str = "session_data_";
const INFO_PREFIX: &str = "session_info_";

/// Registers the variables.
///
/// # Safety
///
/// `cf` is the live context of the http block, in preconfiguration.
pub unsafe fn register(cf: *mut ngx_conf_t) -> Status {
    let plain = PLAIN
        .into_iter()
        .chain([("session_json", Some(json as _))])
        .map(|v| (v, 0));
    let prefixed = PREFIXES.into_iter().map(|v| (v, NGX_HTTP_VAR_PREFIX));
    for ((name, handler), flag) in plain.chain(prefixed) {
        let mut name = ngx_str_t {
            len: name.len(),
            data: name.as_ptr().cast_mut(),
        };
        // SAFETY: by contract; nginx copies the name.
        unsafe {
            let variable = ngx_http_add_variable(
                cf,
                &mut name,
                (NGX_HTTP_VAR_NOCACHEABLE | flag) as ngx_uint_t,
            );
            if variable.is_null() {
                return Status::NGX_ERROR;
            }
            (*variable).get_handler = handler;
        }
    }
    Status::NGX_OK
}

/// Makes `$name` show the value of `key`. `None`: nginx has logged why it cannot.
///
/// # Safety
///
/// `cf` is the live context of the http block; `key` lives as long as the configuration.
pub unsafe fn bind(cf: *mut ngx_conf_t, name: &'static [u8], key: &'static str) -> Option<()> {
    let mut name = ngx_str_t {
        len: name.len(),
        data: name.as_ptr().cast_mut(),
    };
    // SAFETY: by contract; the key's string structure gets a place in the configuration's pool.
    unsafe {
        let slot = ngx_palloc((*cf).pool, size_of::<ngx_str_t>()).cast::<ngx_str_t>();
        if slot.is_null() {
            return None;
        }
        slot.write(ngx_str_t {
            len: key.len(),
            data: key.as_ptr().cast_mut(),
        });
        let flags = NGX_HTTP_VAR_NOCACHEABLE | NGX_HTTP_VAR_CHANGEABLE;
        let variable = ngx_http_add_variable(cf, &mut name, flags as ngx_uint_t);
        if variable.is_null() {
            return None;
        }
        (*variable).get_handler = Some(data_by_key);
        (*variable).data = slot as usize;
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

/// The session of the request, while it is open to it.
fn session<'r>(request: Request<'r>) -> Option<&'r Session> {
    Context::of(request).and_then(|context| (*context).open_session(request))
}

/// Makes a variable's handler of a function from the request to a text.
macro_rules! handler {
    ($name:ident, |$request:ident| $value:expr) => {
        unsafe extern "C" fn $name(
            r: *mut ngx_http_request_t,
            out: *mut ngx_variable_value_t,
            _data: usize,
        ) -> ngx_int_t {
            answer(r, out, |$request| $value)
        }
    };
}

handler!(exists, |request| session(request).map(|_| b"1".to_vec()));
handler!(is_new, |request| {
    let is_new =
        Context::of(request).is_some_and(|context| context.status(request) == SessionStatus::New);
    is_new.then(|| b"1".to_vec())
});
handler!(status, |request| {
    let status = Context::of(request).map_or(SessionStatus::Off, |context| context.status(request));
    Some(status.text().as_bytes().to_vec())
});
handler!(remember, |request| {
    session(request)
        .filter(|session| session.has_remember_token() && !session.forget())
        .map(|_| b"1".to_vec())
});
handler!(json, |request| session(request)
    .and_then(|session| serde_json::to_vec(session.data()).ok()));

unsafe extern "C" fn property<const PROPERTY: u8>(
    r: *mut ngx_http_request_t,
    out: *mut ngx_variable_value_t,
    _data: usize,
) -> ngx_int_t {
    answer(r, out, |request| {
        let session = session(request)?;
        let remaining = session.remaining(&settings(request).policy, request.now());
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
        let name = unsafe { key_after(data, DATA_PREFIX) }?;
        show(request, find(session(request)?.data(), name)?)
    })
}

unsafe extern "C" fn info_by_name(
    r: *mut ngx_http_request_t,
    out: *mut ngx_variable_value_t,
    data: usize,
) -> ngx_int_t {
    answer(r, out, |request| {
        // SAFETY: as above.
        let name = unsafe { key_after(data, INFO_PREFIX) }?;
        show(request, find(session(request)?.info_map()?, name)?)
    })
}

unsafe extern "C" fn data_by_key(
    r: *mut ngx_http_request_t,
    out: *mut ngx_variable_value_t,
    data: usize,
) -> ngx_int_t {
    answer(r, out, |request| {
        // SAFETY: `bind` stored the address of the key's string.
        let key = unsafe { core::str::from_utf8((*(data as *const ngx_str_t)).as_bytes()) }.ok()?;
        show(request, session(request)?.get(key)?)
    })
}

/// # Safety
///
/// `data` is the address of a live string of nginx.
unsafe fn key_after<'a>(data: usize, prefix: &str) -> Option<&'a str> {
    // SAFETY: by contract.
    let name: &'a [u8] = unsafe { (*(data as *const ngx_str_t)).as_bytes() };
    core::str::from_utf8(name.get(prefix.len()..)?)
        .ok()
        .filter(|key| !key.is_empty())
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
