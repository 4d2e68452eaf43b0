//! What a request uses: all directives of a location, resolved.

use std::rc::Rc;
use std::sync::Arc;

use session::{Bind, CookieName, Place, Policy, Safety, chunk_names};

use super::access::{Action, Create, Lookup, OnError, Require};
use super::backend::Backend;
use super::command::ConfError;
use super::cookie::{default_name, prefixed};
use super::data::{ControlNames, Phase, Rules};
use super::headers::{JarSettings, MapRule, Property};
use super::profile::{Level, ProfileId};
use super::{Directives, MainConf, cookie};
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

/// Everything a location decides about its sessions.
pub struct LocationSettings {
    /// The unnamed session first, then the named ones that the location has lines about.
    pub sessions: Vec<Settings>,
    /// The request headers that only this module may set.
    pub owned: Vec<HeaderName>,
    /// The profiles that are not used here, and whose cookies no upstream may see.
    pub foreign: Vec<Arc<Policy>>,
    /// The response headers that drive a session here.
    pub control: Vec<HeaderName>,
    /// A response may have something for a session: a control header, or a cookie for the jar.
    pub hears_responses: bool,
    /// Requests may have to be edited before they go upstream.
    pub edits_requests: bool,
    /// Some session is used here.
    pub is_on: bool,
}

impl LocationSettings {
    /// Resolves what is written, defaults filled in, contradictions refused. `above`: the level to share with.
    pub fn resolve(
        level: &Level,
        above: Option<&Rc<LocationSettings>>,
        main: &mut MainConf,
    ) -> Result<LocationSettings, ConfError> {
        let mut sessions = Vec::new();
        for (profile, name, written) in level.sessions(&main.profiles) {
            let above = above.and_then(|above| above.of(profile));
            let settings = Settings::resolve(&written, (profile, name), above, &main.backends)?;
            main.random_key_used |= settings.action.is_on() && written.keys.is_random();
            if settings.action.is_on() {
                check_lookup(&written, &settings, &sessions)?;
                check_beside(&written, &settings, &sessions)?;
            }
            sessions.push(settings);
        }
        if sessions[0].action.is_on() {
            main.profiles.check_unnamed(&sessions[0].policy)?;
        }
        let owned: Vec<_> = sessions
            .iter()
            .flat_map(Settings::owned)
            .chain(main.profiles.owned())
            .collect();
        Ok(LocationSettings {
            hears_responses: sessions
                .iter()
                .any(|settings| settings.control.is_some() || settings.jar.is_some()),
            edits_requests: !owned.is_empty() || sessions.iter().any(|settings| settings.hide),
            owned,
            foreign: main.profiles.hidden(|profile| {
                let mut used = sessions.iter().filter(|settings| settings.action.is_on());
                !used.any(|settings| settings.profile == profile)
            }),
            control: sessions
                .iter()
                .filter_map(|settings| settings.control.as_ref())
                .flat_map(|names| names.all().map(Clone::clone))
                .collect(),
            is_on: sessions.iter().any(|settings| settings.action.is_on()),
            sessions,
        })
    }

    /// The settings of one session.
    pub fn of(&self, profile: ProfileId) -> Option<&Settings> {
        self.sessions
            .iter()
            .find(|settings| settings.profile == profile)
    }

    /// The sessions that are used here.
    pub fn active(&self) -> impl Iterator<Item = &Settings> {
        self.sessions
            .iter()
            .filter(|settings| settings.action.is_on())
    }
}

/// A token's header belongs to one session, and to nothing else that this module does.
fn check_lookup(
    written: &Directives,
    settings: &Settings,
    others: &[Settings],
) -> Result<(), ConfError> {
    let others = || others.iter().filter(|other| other.action.is_on());
    let all = || others().chain([settings]);
    let is_set = |name: &&HeaderName| {
        all().any(|one| {
            let mut properties = one.response_headers.iter().map(|(own, _)| own);
            one.owned().any(|own| own == **name) || properties.any(|own| own == *name)
        })
    };
    if let Some(name) = all().flat_map(Settings::lookup_headers).find(is_set) {
        return Err(written.access.lookup_contradiction(format!(
            "\"session_lookup\" looks for a token in the request header \"{name}\", which another directive sets: \
             name it differently in one of them"
        )));
    }
    let is_shared = |name: &&HeaderName| {
        others().any(|other| other.lookup_headers().any(|their| their == *name))
    };
    if let Some(name) = settings.lookup_headers().find(is_shared) {
        return Err(written.access.lookup_contradiction(format!(
            "two sessions have \"header:{name}\" in \"session_lookup\": a response has place for one token there, \
             name it differently in one of them"
        )));
    }
    Ok(())
}

/// Several sessions in one location must not claim the same header, nor all of the upstream's cookies.
fn check_beside(
    written: &Directives,
    settings: &Settings,
    others: &[Settings],
) -> Result<(), ConfError> {
    let others = others.iter().filter(|other| other.action.is_on());
    let of = |name: Option<&str>| match name {
        None => "the unnamed session".to_owned(),
        Some(name) => format!("the profile \"{name}\""),
    };
    let contradiction = |text| ConfError::Contradiction {
        text,
        at: written.headers.at.clone(),
    };
    for other in others {
        let who = format!("{} and {}", of(other.name), of(settings.name));
        if let Some((directive, name)) = settings.owned_by_directive().find(|(_, name)| {
            let mut theirs = other.owned_by_directive();
            theirs.any(|(_, their)| their.matches(name.as_bytes()))
        }) {
            return Err(contradiction(format!(
                "\"{directive}\": {who} both own the request header \"{name}\", name it differently in one of them"
            )));
        }
        if settings.jar.is_some() && other.jar.is_some() {
            return Err(contradiction(format!(
                "\"session_cookie_jar\" is on for {who}: an upstream's cookies have one place"
            )));
        }
    }
    Ok(())
}

/// Everything a location decides about one session.
pub struct Settings {
    pub profile: ProfileId,
    /// The profile's name.
    pub name: Option<&'static str>,
    pub action: Action,
    pub create: Create,
    pub bypass: Vec<Value>,
    pub require: Require,
    /// Where tokens are looked for, in order.
    pub lookup: Vec<Lookup>,
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
    /// What changes the session before the content, and when the response is there.
    pub on_request: Rules,
    pub on_response: Rules,
    pub control: Option<ControlNames>,
    pub jar: Option<JarSettings>,
    pub hide: bool,
    pub map: Vec<(HeaderName, MapRule)>,
    pub request_headers: Vec<(HeaderName, Property)>,
    pub response_headers: Vec<(HeaderName, Property)>,
    pub cache_control: bool,
}

impl Settings {
    /// Resolves what is written, defaults filled in, contradictions refused. `above`: the level to share with.
    pub fn resolve(
        written: &Directives,
        (profile, name): (ProfileId, Option<&'static str>),
        above: Option<&Settings>,
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
        let with_header = |property: &Property| (property.header(name), *property);
        let jar = written.headers.jar();
        Ok(Settings {
            profile,
            name,
            action: written.access.action.unwrap_or(Action::Off),
            create: written.access.create.unwrap_or(Create::Lazy),
            bypass: written.access.bypass.clone(),
            lookup: written
                .access
                .lookup
                .clone()
                .unwrap_or_else(|| vec![Lookup::Cookie]),
            require: written.access.require.clone().unwrap_or(Require::Off),
            on_error: written.access.on_error.unwrap_or(OnError::Fail),
            backend,
            policy,
            bind_extra: binding.extra,
            cookie,
            remember: written.time.remember.clone().unwrap_or(Remember::Off),
            audience: written.data.audience.unwrap_or(Value::fixed(b"default")),
            subject: written.data.subject,
            on_request: written.data.rules(Phase::Request),
            on_response: written.data.rules(Phase::Response),
            control: written.data.control_names()?,
            hide: jar.is_some() || written.headers.hide.unwrap_or(false),
            jar,
            map: written.headers.map.clone(),
            request_headers: written.headers.request.iter().map(with_header).collect(),
            response_headers: written.headers.response.iter().map(with_header).collect(),
            cache_control: written.headers.cache_control.unwrap_or(true),
        })
    }

    /// The request headers that only this module may set.
    pub fn owned(&self) -> impl Iterator<Item = HeaderName> {
        self.owned_by_directive().map(|(_, name)| name.clone())
    }

    /// The same, with the directive that says so.
    fn owned_by_directive(&self) -> impl Iterator<Item = (&'static str, &HeaderName)> {
        let mapped = self.map.iter().map(|(name, _)| name);
        let properties = self.request_headers.iter().map(|(name, _)| name);
        let control = self.control.iter().flat_map(ControlNames::all);
        mapped
            .map(|name| ("session_map_header", name))
            .chain(properties.map(|name| ("session_request_headers", name)))
            .chain(control.map(|name| ("session_control_prefix", name)))
    }

    /// Whether a remember cookie may be one of this session's.
    pub fn may_remember(&self) -> bool {
        !matches!(self.remember, Remember::Off) || self.control.is_some()
    }

    /// The headers that tokens come in.
    fn lookup_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.lookup.iter().filter_map(Lookup::header)
    }

    /// Whether a location with the other settings keeps the session in the same place, with the same keys and limits.
    pub fn is_kept_like(&self, other: &Settings) -> bool {
        Arc::ptr_eq(&self.policy, &other.policy) && self.has_same_backend(other)
    }

    /// Whether both keep the session in the same place.
    pub fn has_same_backend(&self, other: &Settings) -> bool {
        match (&self.backend, &other.backend) {
            (Some(a), Some(b)) => Rc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }

    /// Whether the session may change before the content.
    pub fn may_change_on_request(&self) -> bool {
        self.subject.is_some() || self.create == Create::Always || !self.on_request.is_empty()
    }

    /// Whether the session may change when the response is there.
    pub fn may_change_on_response(&self) -> bool {
        self.control.is_some() || self.jar.is_some() || !self.on_response.is_empty()
    }

    /// Whether a cookie is this session's, be it a chunk or the remember cookie.
    pub fn owns_cookie(&self, name: &[u8]) -> bool {
        self.policy.owns_cookie(name)
    }
}

fn policy(
    written: &Directives,
    cookie: &cookie::CookieSettings,
    bind: Bind,
    place: Place,
) -> Result<Policy, ConfError> {
    let remember_cookie_name = remember_name(written, cookie)?;
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

/// A cookie's name that both use.
pub fn common_cookie<'p>(mine: &'p Policy, theirs: &Policy) -> Option<&'p CookieName> {
    let theirs = [&theirs.cookie_name, &theirs.remember_cookie_name];
    [&mine.cookie_name, &mine.remember_cookie_name]
        .into_iter()
        .find(|name| theirs.iter().any(|their| same_cookie(name, their)))
}

/// The name of the remember cookie, which has the session cookie's prefix.
fn remember_name(
    written: &Directives,
    cookie: &cookie::CookieSettings,
) -> Result<CookieName, ConfError> {
    let name = written.time.remember_cookie_name.clone();
    let name = name.unwrap_or_else(|| default_name("remember"));
    prefixed(cookie.prefix, &name).map_err(|error| written.cookie.contradiction(&error.to_string()))
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
