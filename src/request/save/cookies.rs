//! What the client gets of a save: its cookies, or that they are over.

use session::{
    Cookie, Kind, Lifetime, Sealed, chunk_names, cookie_pairs, expire_cookie, set_cookie,
};

use crate::conf::Settings;
use crate::http::Request;
use crate::request::context::{Context, DueHeader};

/// Makes a new token's cookies due, and those that it needs no longer be expired.
pub fn send_sealed(
    request: Request<'_>,
    context: &mut Context,
    settings: &Settings,
    sealed: &Sealed,
    lifetime: Option<Lifetime>,
) {
    let slot = context.slot_mut(settings.profile);
    for cookie in sealed.cookies() {
        slot.send(due_cookie(request, settings, cookie, lifetime));
    }
    for name in sealed.stale_cookies() {
        let line = expire_cookie(name, attributes(request, settings));
        slot.send(DueHeader::cookie(name, line));
    }
}

/// A cookie as it is to be sent.
pub fn due_cookie(
    request: Request<'_>,
    settings: &Settings,
    cookie: &Cookie,
    lifetime: Option<Lifetime>,
) -> DueHeader {
    let attributes = attributes(request, settings);
    let line = set_cookie(&cookie.name, &cookie.value, attributes, lifetime);
    DueHeader::cookie(&cookie.name, line)
}

/// How long the browser keeps the session cookie.
pub fn session_lifetime(request: Request<'_>, settings: &Settings) -> Option<Lifetime> {
    settings.cookie.max_age.map(|max_age| Lifetime {
        now: request.now(),
        max_age,
    })
}

/// The attributes the client's cookies have.
fn attributes<'s>(request: Request<'_>, settings: &'s Settings) -> &'s str {
    &settings.cookie.attributes[usize::from(request.is_tls())]
}

/// Expires a refused cookie, unless a new one of its name is due; chunks that nobody needs go in any case.
pub fn expire_unless_due(
    request: Request<'_>,
    context: &mut Context,
    settings: &Settings,
    kind: Kind,
) {
    let due = core::mem::take(&mut context.slot_mut(settings.profile).due);
    expire(request, context, settings, kind);
    let slot = context.slot_mut(settings.profile);
    slot.due
        .retain(|expired| due.iter().all(|kept| kept.cookie != expired.cookie));
    slot.due.splice(0..0, due);
}

/// Expires a cookie, and with it all its chunks that the request has.
pub fn expire(request: Request<'_>, context: &mut Context, settings: &Settings, kind: Kind) {
    let name = settings.policy.name_of(kind).as_str();
    let attributes = attributes(request, settings);
    let chunks: Vec<_> = chunk_names(name)
        .filter(|chunk| came(context, chunk))
        .collect();
    let slot = context.slot_mut(settings.profile);
    slot.send(DueHeader::cookie(name, expire_cookie(name, attributes)));
    for chunk in chunks {
        slot.send(DueHeader::cookie(&chunk, expire_cookie(&chunk, attributes)));
    }
}

/// Whether the client sent a cookie of that name.
fn came(context: &Context, name: &str) -> bool {
    let mut pairs = context.cookies().iter().flat_map(|line| cookie_pairs(line));
    pairs.any(|(other, _)| other == name.as_bytes())
}
