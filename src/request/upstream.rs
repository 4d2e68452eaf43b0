//! What the upstream sees of the session: mapped headers, property headers, and no token of ours.

use std::borrow::Cow;

use ngx::ffi::ngx_str_t;
use serde_json::Value as Json;
use session::{Remaining, Session, cookie_pairs};
use smallvec::SmallVec;

use super::context::{Context, SessionStatus};
use super::jar;
use crate::conf::{LocationSettings, Lookup, MapFormat, MapRule, Property, Settings};
use crate::http::headers_in::{Edit, HeaderName, OutOfMemory};
use crate::http::{Request, arguments};

/// Longer values are not sent: no upstream would take them.
const MAX_HEADER: usize = 32 << 10;

/// Edits the request's headers.
pub fn prepare(
    request: Request<'_>,
    location: &'static LocationSettings,
) -> Result<(), OutOfMemory> {
    let mut context = Context::of(request);
    if !location.edits_requests && context.as_deref().is_none_or(Context::has_restored_none) {
        return Ok(());
    }
    let mut set = Headers::new();
    // What the jar put into the request for an earlier location may not be there for this one.
    let earlier = context.as_deref_mut().map(take_restored);
    let earlier = earlier.unwrap_or_default();
    let mut hidden = SmallVec::<[&Settings; 2]>::new();
    for settings in &location.sessions {
        let status = context.as_ref().map_or(SessionStatus::Off, |context| {
            context.status(request, settings.profile)
        });
        if settings.hide && (settings.action.is_on() || status == SessionStatus::Bypassed) {
            hidden.push(settings);
        }
        if !settings.action.is_on() {
            continue;
        }
        if let Some(context) = context.as_deref_mut().filter(|_| settings.jar.is_some()) {
            let cookies = jar::restore(request, context, settings);
            context.slot_mut(settings.profile).restored = cookies;
        }
        let session = context
            .as_deref()
            .and_then(|context| context.open_session(request, settings.profile));
        map_headers(request, settings, session, &mut set)?;
        property_headers(request, settings, session, &mut set)?;
    }
    let slots = context.as_deref().map(|context| &context.slots[..]);
    let mut restored = slots
        .iter()
        .flat_map(|slots| *slots)
        .filter_map(|slot| slot.restored.as_deref());
    // Only one session of a location has a jar.
    let restored = restored.next();
    let places = || hidden.iter().flat_map(|settings| &settings.lookup);
    let headers: SmallVec<[&HeaderName; 2]> = places().filter_map(Lookup::header).collect();
    if places().any(Lookup::only_reads) {
        arguments::hide(request, |name| {
            places().any(|place| place.is_argument(name))
        })?;
    }
    let is_in =
        |cookies: &str, name: &[u8]| cookie_pairs(cookies.as_bytes()).any(|(own, _)| own == name);
    let hides = |name: &[u8]| {
        hidden.iter().any(|settings| settings.owns_cookie(name))
            || (!hidden.is_empty()
                && location
                    .foreign
                    .iter()
                    .any(|policy| policy.owns_cookie(name)))
            || restored.is_some_and(|cookies| is_in(cookies, name))
            || earlier.iter().any(|cookies| is_in(cookies, name))
    };
    let hides_some = !hidden.is_empty() || restored.is_some() || !earlier.is_empty();
    Edit {
        remove: &location.owned,
        hide: &headers,
        set: &set,
        hide_cookie: if hides_some { Some(&hides) } else { None },
        add_cookie: restored,
    }
    .apply(request)
}

/// What the jars have put into the request until now.
fn take_restored(context: &mut Context) -> SmallVec<[String; 1]> {
    let slots = context.slots.iter_mut();
    slots.filter_map(|slot| slot.restored.take()).collect()
}

type Headers<'s> = SmallVec<[(&'s HeaderName, ngx_str_t); 4]>;

fn map_headers<'s>(
    request: Request<'_>,
    settings: &'s Settings,
    session: Option<&Session>,
    set: &mut Headers<'s>,
) -> Result<(), OutOfMemory> {
    for (name, rule) in &settings.map {
        let value = match session
            .and_then(|session| session.get(rule.key))
            .filter(|value| !value.is_null())
        {
            Some(value) => render(request, name, rule, value),
            None => rule.default.map(|default| default.eval(request).into()),
        };
        let Some(value) = value.filter(|value| fits(request, name, value)) else {
            continue;
        };
        set.push((name, request.store(&value).ok_or(OutOfMemory)?));
    }
    Ok(())
}

/// A value as the text of a header; `None` where the rule cannot show it.
fn render<'v>(
    request: Request<'_>,
    name: &HeaderName,
    rule: &MapRule,
    value: &'v Json,
) -> Option<Cow<'v, [u8]>> {
    match (rule.format, value) {
        (MapFormat::Text, Json::Object(_) | Json::Array(_)) => {
            request_log!(
                ERR,
                request,
                "\"{}\" is not sent as {name}: it is no text, and format=text asks for one",
                rule.key
            );
            None
        }
        (MapFormat::Json, _) => Some(value.to_string().into_bytes().into()),
        _ => Some(text_of(value)),
    }
}

/// Text as it is, everything else as compact JSON.
pub fn text_of(value: &Json) -> Cow<'_, [u8]> {
    match value {
        Json::String(text) => text.as_bytes().into(),
        other => other.to_string().into_bytes().into(),
    }
}

/// A header is one line of bounded length.
fn fits(request: Request<'_>, name: &HeaderName, value: &[u8]) -> bool {
    if value.len() > MAX_HEADER {
        request_log!(
            ERR,
            request,
            "{name} is not sent: {} bytes are more than the {MAX_HEADER} of a header",
            value.len()
        );
        return false;
    }
    if value
        .iter()
        .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    {
        request_log!(
            ERR,
            request,
            "{name} is not sent: its value has control characters"
        );
        return false;
    }
    true
}

fn property_headers<'s>(
    request: Request<'_>,
    settings: &'s Settings,
    session: Option<&Session>,
    set: &mut Headers<'s>,
) -> Result<(), OutOfMemory> {
    let Some(session) = session.filter(|_| !settings.request_headers.is_empty()) else {
        return Ok(());
    };
    let remaining = session.remaining(&settings.policy, request.now());
    for (name, property) in &settings.request_headers {
        let Some(value) = property_text(*property, session, &remaining) else {
            continue;
        };
        if fits(request, name, value.as_bytes()) {
            set.push((name, request.store(value.as_bytes()).ok_or(OutOfMemory)?));
        }
    }
    Ok(())
}

/// A property as text; `None` where the session has none, or its limit is off.
pub fn property_text(
    property: Property,
    session: &Session,
    remaining: &Remaining,
) -> Option<String> {
    let seconds = |left: Option<i64>| left.map(|left| left.max(0).to_string());
    match property {
        Property::Id => session
            .id()
            .or_else(|| session.reserved())
            .map(session::SessionId::text),
        Property::Audience => Some(session.audience().to_owned()),
        Property::Subject => session.subject().map(str::to_owned),
        Property::Timeout => seconds(remaining.timeout),
        Property::IdlingTimeout => seconds(remaining.idling),
        Property::RollingTimeout => seconds(remaining.rolling),
        Property::AbsoluteTimeout => seconds(remaining.absolute),
    }
}
