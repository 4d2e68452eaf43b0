//! What a request uses: all directives of a location, resolved.

use std::rc::Rc;
use std::sync::Arc;

use session::{Bind, CookieName, Place, Policy, Safety, chunk_names};

use super::access::{Action, Create, OnError, Require};
use super::backend::Backend;
use super::command::ConfError;
use super::cookie::{default_name, prefixed};
use super::data::{InfoRule, SetRule, UnsetRule};
use super::headers::{MapRule, Property};
use super::{Directives, cookie};
use crate::http::Value;
use crate::http::headers_in::HeaderName;

/// Larger data than this is refused when nothing is configured: 1m.
const MAX_DATA: usize = 1 << 20;
/// Larger payloads than this are compressed when nothing is configured: 1k.
const COMPRESSION_THRESHOLD: usize = 1 << 10;

/// Whether the browser keeps the user when the session is over.
#[derive(Clone)]
pub enum Remember {
    Off,
    On,
    /// The value decides, when the session is stored.
    Asked(Value),
}

/// Everything a location decides about the session.
pub struct Settings {
    pub action: Action,
    pub create: Create,
    pub bypass: Vec<Value>,
    pub require: Require,
    pub on_error: OnError,
    /// Where records are kept; none: in the cookie.
    pub backend: Option<Rc<Backend>>,
    /// What the ground floor needs to know; shared by all locations with the same keys, names and limits.
    pub policy: Arc<Policy>,
    pub bind_extra: Vec<Value>,
    pub cookie: cookie::CookieSettings,
    pub remember: Remember,
    pub audience: Value,
    pub subject: Option<Value>,
    pub set: Vec<SetRule>,
    pub unset: Vec<UnsetRule>,
    pub info_set: Vec<InfoRule>,
    pub hide: bool,
    pub map: Vec<(HeaderName, MapRule)>,
    pub request_headers: Vec<(HeaderName, Property)>,
    pub response_headers: Vec<Property>,
    /// The request headers that only this module may set.
    pub owned: Vec<HeaderName>,
    pub cache_control: bool,
}

impl Settings {
    /// Resolves what is written, defaults filled in, contradictions refused. `above`: the level to share with.
    pub fn resolve(
        written: &Directives,
        above: Option<&Rc<Settings>>,
        backends: &[Rc<Backend>],
    ) -> Result<Settings, ConfError> {
        let cookie = written.cookie.resolve()?;
        let binding = written.keys.binding();
        let backend = written.storage.backend(backends)?;
        let place = match backend {
            Some(_) => Place::Server,
            None => Place::Cookie,
        };
        let policy = policy(written, &cookie, binding.to, place)?;
        let policy = match above {
            Some(above) if same_policy(&above.policy, &policy) => above.policy.clone(),
            _ => Arc::new(policy),
        };
        let request_headers: Vec<_> = written
            .headers
            .request
            .iter()
            .map(|p| (property_name(*p), *p))
            .collect();
        let mapped = written.headers.map.iter().map(|(name, _)| name.clone());
        let owned = mapped
            .chain(request_headers.iter().map(|(name, _)| name.clone()))
            .collect();
        Ok(Settings {
            action: written.access.action.unwrap_or(Action::Off),
            create: written.access.create.unwrap_or(Create::Lazy),
            bypass: written.access.bypass.clone(),
            require: written.access.require.clone().unwrap_or(Require::Off),
            on_error: written.access.on_error.unwrap_or(OnError::Fail),
            backend,
            policy,
            bind_extra: binding.extra,
            cookie,
            remember: written.time.remember.clone().unwrap_or(Remember::Off),
            audience: written.data.audience.unwrap_or(Value::fixed(b"default")),
            subject: written.data.subject,
            set: written.data.set.clone(),
            unset: written.data.unset.clone(),
            info_set: written.data.info_set.clone(),
            hide: written.headers.hide.unwrap_or(false),
            map: written.headers.map.clone(),
            request_headers,
            response_headers: written.headers.response.clone(),
            owned,
            cache_control: written.headers.cache_control.unwrap_or(true),
        })
    }
}

fn policy(
    written: &Directives,
    cookie: &cookie::CookieSettings,
    bind: Bind,
    place: Place,
) -> Result<Policy, ConfError> {
    let remember_name = written
        .time
        .remember_cookie_name
        .clone()
        .unwrap_or_else(|| default_name("remember"));
    let remember_cookie_name = prefixed(cookie.prefix, &remember_name)
        .map_err(|error| written.cookie.contradiction(&error.to_string()))?;
    if same_cookie(&cookie.name, &remember_cookie_name) {
        return Err(written.cookie.contradiction(&format!(
            "\"session_cookie_name\" is \"{}\" and \"session_remember_cookie_name\" is \"{}\": both are parts of one cookie",
            cookie.name.as_str(),
            remember_cookie_name.as_str()
        )));
    }
    Ok(Policy {
        cookie_name: cookie.name.clone(),
        remember_cookie_name,
        keys: written.keys.ring(),
        bind,
        place,
        times: written.time.timeouts(),
        safety: written.time.remember_safety.unwrap_or(Safety::Medium),
        compression_threshold: written
            .time
            .compression_threshold
            .unwrap_or(COMPRESSION_THRESHOLD),
        max_data: written.data.max_data.unwrap_or(MAX_DATA),
        enforce_same_subject: written.data.enforce_same_subject.unwrap_or(false),
        hash_storage_key: written.storage.hash_storage_key.unwrap_or(false),
        hash_subject: written.storage.hash_subject.unwrap_or(false),
        store_metadata: written.storage.store_metadata.unwrap_or(false),
    })
}

/// Whether two names are the same, or one is that of a chunk of the other (`name2` to `name9`).
fn same_cookie(a: &CookieName, b: &CookieName) -> bool {
    let part = |whole: &CookieName, part: &CookieName| {
        chunk_names(whole.as_str()).any(|chunk| chunk == part.as_str())
    };
    a == b || part(a, b) || part(b, a)
}

/// Locations that agree share one policy, so that an internal redirect between them can tell that nothing changed.
fn same_policy(a: &Policy, b: &Policy) -> bool {
    a.cookie_name == b.cookie_name
        && a.remember_cookie_name == b.remember_cookie_name
        && Arc::ptr_eq(&a.keys, &b.keys)
        && a.bind == b.bind
        && a.place == b.place
        && a.times == b.times
        && a.safety == b.safety
        && a.compression_threshold == b.compression_threshold
        && a.max_data == b.max_data
        && a.enforce_same_subject == b.enforce_same_subject
        && a.hash_storage_key == b.hash_storage_key
        && a.hash_subject == b.hash_subject
        && a.store_metadata == b.store_metadata
}

fn property_name(property: Property) -> HeaderName {
    HeaderName::parse(property.header().as_bytes()).expect("the contract's header names are valid")
}
