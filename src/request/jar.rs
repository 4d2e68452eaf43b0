//! The cookie jar: the upstream's own cookies stay in the session and go back to the upstream only.

use std::borrow::Cow;

use session::jar::{Reason, Stored};
use session::{Jar, Origin, set_cookie_name};
use smallvec::SmallVec;

use super::content::session_to_fill;
use super::context::{Context, SET_COOKIE, Slot};
use crate::conf::{JarSettings, LocationSettings, Settings};
use crate::http::{Request, Upstream, headers_out};

/// Set-Cookie lines of a response.
pub type Lines<'r> = SmallVec<[&'r [u8]; 4]>;

/// The session of a location that keeps the jar, with its settings.
fn keeper(location: &LocationSettings) -> Option<(&Settings, &JarSettings)> {
    let mut active = location.active();
    active.find_map(|settings| Some((settings, settings.jar.as_ref()?)))
}

/// Whether the upstream's cookies stay here.
pub fn is_kept(request: Request<'_>, location: &LocationSettings) -> bool {
    keeper(location).is_some_and(|(settings, _)| {
        Context::of(request).is_some_and(|context| !context.is_bypassed(request, settings.profile))
    })
}

/// Takes the upstream's cookies out of the response. What is given back are those of a fresh response; a stored one
/// may carry another user's.
pub fn take<'r>(request: Request<'r>, context: &Context, location: &LocationSettings) -> Lines<'r> {
    let mut lines = Lines::new();
    let Some((settings, jar)) = keeper(location) else {
        return lines;
    };
    if context.is_bypassed(request, settings.profile) {
        return lines;
    }
    let is_fresh = request.raw().cached() == 0;
    let owned = |name: &[u8]| location.sessions.iter().any(|s| s.owns_cookie(name));
    headers_out::remove(request, SET_COOKIE, |line| {
        let name = set_cookie_name(line).unwrap_or_default();
        if owned(name) {
            return true;
        }
        if jar.pass.iter().any(|pass| pass.as_bytes() == name) {
            return false;
        }
        if is_fresh {
            lines.push(line);
        }
        true
    });
    if !lines.is_empty() {
        if let Some(upstream) = Upstream::of(request).filter(|upstream| upstream.answers(request)) {
            upstream.keep_out_of_cache();
        }
    }
    lines
}

/// Puts the cookies of a response into the jar, and the jar into the session if that changed it.
pub fn fill(request: Request<'_>, context: &mut Context, settings: &Settings, lines: &[&[u8]]) {
    let Some(jar_settings) = settings.jar.as_ref().filter(|_| !lines.is_empty()) else {
        return;
    };
    let origin = OriginTexts::of(request, jar_settings);
    let slot = context.slot_mut(settings.profile);
    let jar = open(request, slot, jar_settings);
    let evicted = jar.evicted();
    for line in lines {
        if let Stored::Ignored(reason) = jar.store(line, &origin.get(), request.now()) {
            log_ignored(request, reason);
        }
    }
    match jar.evicted() - evicted {
        0 => {}
        gone => request_log!(
            WARN,
            request,
            "the cookie jar is full: {gone} cookies of the upstream are gone, see session_cookie_jar_max and session_cookie_jar_size"
        ),
    }
    if jar.changed() {
        session_to_fill(request, context, settings);
        let slot = context.slot_mut(settings.profile);
        if let (Some(session), Some(jar)) = (&mut slot.session, &slot.jar) {
            session.keep_jar(jar);
        }
    }
}

fn log_ignored(request: Request<'_>, reason: Reason) {
    request_log!(
        INFO,
        request,
        "a cookie of the upstream is not kept in the jar: {reason}"
    );
}

/// The jar's cookies for the upstream of a request, as the value of a Cookie header.
pub fn restore(request: Request<'_>, context: &mut Context, settings: &Settings) -> Option<String> {
    let jar_settings = settings.jar.as_ref()?;
    if !context.works(request, settings.profile) {
        return None;
    }
    let slot = context.slot_mut(settings.profile);
    let session = slot.session.as_ref()?;
    let origin = OriginTexts::of(request, jar_settings);
    let header = session.jar_header(&origin.get(), request.now());
    header.unwrap_or_else(|_| {
        // This says what is wrong, once a request.
        open(request, slot, jar_settings);
        None
    })
}

/// The session's jar, read once a request.
fn open<'s>(request: Request<'_>, slot: &'s mut Slot, settings: &JarSettings) -> &'s mut Jar {
    let session = slot.session.as_ref();
    slot.jar.get_or_insert_with(|| {
        let jar = session.map_or_else(|| Ok(Jar::default()), |session| session.jar());
        let jar = jar.unwrap_or_else(|error| {
            request_log!(ERR, request, "{error}");
            Jar::default()
        });
        Box::new(jar.with_limits(settings.limits))
    })
}

/// Where cookies of a request belong, as the client sees it.
struct OriginTexts<'r> {
    host: Cow<'r, str>,
    path: Cow<'r, str>,
    secure: bool,
}

impl<'r> OriginTexts<'r> {
    fn of(request: Request<'r>, settings: &JarSettings) -> OriginTexts<'r> {
        OriginTexts {
            host: String::from_utf8_lossy(settings.host.eval(request)),
            path: String::from_utf8_lossy(request.main().unparsed_uri()),
            secure: request.is_tls(),
        }
    }

    fn get(&self) -> Origin<'_> {
        Origin {
            host: &self.host,
            path: &self.path,
            secure: self.secure,
        }
    }
}
