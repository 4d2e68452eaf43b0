//! The state of one request between the phases.

use core::ffi::c_void;
use core::ptr;

use ngx::ffi::{ngx_http_cleanup_add, ngx_http_request_t, ngx_pool_cleanup_add};
use session::{Jar, Refusal, Session, State, arguments};
use smallvec::SmallVec;

use super::hold::Held;
use super::wait::Waiting;
use crate::conf::{LocationSettings, Lookup, ProfileId, Settings};
use crate::guard::guard_unit;
use crate::http::headers_in::{HeaderName, Snapshot};
use crate::http::{Location, Request, Upstream};

/// What the look-up found, and what `$session_status` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionStatus {
    Off,
    Bypassed,
    Open,
    New,
    Remembered,
    NoAudience,
    /// Refused; the text is the ground floor's.
    Refused(&'static str),
    Error,
}

impl SessionStatus {
    /// As the variable shows it.
    pub fn text(self) -> &'static str {
        match self {
            SessionStatus::Off => "off",
            SessionStatus::Bypassed => "bypassed",
            SessionStatus::Open => "open",
            SessionStatus::New => "new",
            SessionStatus::Remembered => "remembered",
            SessionStatus::NoAudience => "no-audience",
            SessionStatus::Refused(text) => text,
            SessionStatus::Error => "error",
        }
    }
}

/// How far the work of a location has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was looked up.
    Fresh,
    /// The session is looked up; the location has not changed it.
    LookedUp,
    /// The location has changed it and started what is to be saved.
    Done,
}

/// How a location takes part in the session of its request. An earlier location may have found one all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// It works with the session.
    Clear,
    /// Sessions are off there.
    Off,
    /// `session_bypass` said so.
    Bypassed,
}

/// A response header that is due.
pub struct DueHeader {
    /// The header's name.
    pub name: &'static [u8],
    /// The cookie that it sets; none: it is the token itself.
    pub cookie: Option<String>,
    pub value: String,
}

impl DueHeader {
    /// A Set-Cookie line.
    pub fn cookie(name: &str, line: String) -> DueHeader {
        DueHeader {
            name: SET_COOKIE,
            cookie: Some(name.to_owned()),
            value: line,
        }
    }

    /// The token, for a client that keeps it elsewhere than in cookies.
    pub fn token(name: &'static HeaderName, token: String) -> DueHeader {
        DueHeader {
            name: name.as_bytes(),
            cookie: None,
            value: token,
        }
    }

    /// Whether it is a session token, be it as the cookie of that name.
    fn is_token(&self, cookie: &str) -> bool {
        self.cookie.as_deref().is_none_or(|name| name == cookie)
    }
}

/// The header that carries cookies.
pub const SET_COOKIE: &[u8] = b"Set-Cookie";

/// What this module knows of a client's request. Subrequests use that of their main request.
pub struct Context {
    /// The main request, to tell whose context this is.
    owner: *mut ngx_http_request_t,
    /// The Cookie lines the client sent. `session_hide` may take ours out of the request before a redirect looks again.
    cookies: SmallVec<[&'static [u8]; 4]>,
    /// The headers and arguments of that moment, for the same reason.
    headers: Snapshot,
    arguments: &'static [u8],
    /// Which location the rewrite handler has run for. nginx may be in the next one already: it answers some requests
    /// while it looks for their location.
    pub at: Option<Location>,
    /// That location's settings.
    pub location: Option<&'static LocationSettings>,
    /// How far that location has come.
    pub stage: Stage,
    /// Access checks have begun, so a refused request can be told from one that `return` answered.
    pub left_rewrite: bool,
    /// An earlier location refused the request, and an error page answers it: that grants nothing.
    pub refused: bool,
    /// A 503 tells of the storage's outage.
    pub outage_answered: bool,
    /// The sessions that any location of the request has used.
    pub slots: SmallVec<[Slot; 1]>,
    /// The upstream whose answer has had its say.
    pub obeyed: Option<Upstream>,
    pub waiting: Option<Waiting>,
    pub held: Option<Held>,
}

/// One session of a request.
pub struct Slot {
    pub profile: ProfileId,
    /// The location whose settings the session was looked up with.
    pub looked_up_in: Option<&'static Settings>,
    pub stage: Stage,
    /// What the look-up found.
    pub found: SessionStatus,
    /// How the location of the client's own request takes part.
    pub sight: Sight,
    /// Where the session was found, or where the next one goes.
    pub carrier: &'static Lookup,
    // In a box: it is moved around more often than it is made.
    pub session: Option<Box<Session>>,
    /// This request has ended the session. What the client still has is not to be found again.
    pub ended: bool,
    /// The jar of that session, once it has been read.
    pub jar: Option<Box<Jar>>,
    /// The cookies that the jar has put into the request.
    pub restored: Option<String>,
    /// The request's session cookie was refused and is to be expired.
    pub refused_cookie: bool,
    /// The request's remember cookie was refused and is to be expired.
    pub refused_remember: bool,
    /// A renewal is due, and another request of the client does it.
    pub renewed_elsewhere: bool,
    /// The request sets the subject, or asks for a new id: somebody logs in.
    pub logs_in: bool,
    /// What a control header said of `session_remember`.
    pub remember: Option<bool>,
    pub due: Vec<DueHeader>,
}

impl Slot {
    fn new(profile: ProfileId) -> Slot {
        Slot {
            profile,
            looked_up_in: None,
            stage: Stage::Fresh,
            found: SessionStatus::Off,
            sight: Sight::Off,
            carrier: &Lookup::Cookie,
            session: None,
            ended: false,
            jar: None,
            restored: None,
            refused_cookie: false,
            refused_remember: false,
            renewed_elsewhere: false,
            logs_in: false,
            remember: None,
            due: Vec::new(),
        }
    }

    /// Something was ended, or is to be saved or sent, that the request does not tell.
    pub fn has_news(&self) -> bool {
        self.ended || !self.due.is_empty() || self.session.as_deref().is_some_and(Session::is_dirty)
    }

    /// Something is to be saved.
    pub fn has_changes(&self) -> bool {
        self.session
            .as_ref()
            .is_some_and(|session| session.is_dirty() || session.is_info_dirty())
    }

    /// From now on this is the session, or there is none.
    pub fn set_session(&mut self, session: Option<Box<Session>>) {
        self.session = session;
        self.jar = None;
    }

    /// The storage failed: nothing is known of the session, and nothing is sent that may name what is not there.
    pub fn lose(&mut self) {
        self.found = SessionStatus::Error;
        self.set_session(None);
        self.due.clear();
    }

    /// Takes note of a refused session token, which was in the place that is the carrier until now.
    pub fn refuse(&mut self, refusal: &Refusal, carrier: &'static Lookup) {
        self.found = SessionStatus::Refused(refusal.status());
        let was_cookie = *self.carrier == Lookup::Cookie && !matches!(refusal, Refusal::Missing);
        self.carrier = carrier;
        self.refused_cookie = self.is_by_cookie() && (self.refused_cookie || was_cookie);
    }

    /// The client keeps the token in a cookie.
    pub fn is_by_cookie(&self) -> bool {
        *self.carrier == Lookup::Cookie
    }

    /// Nothing can be given to the client, so nothing of the session is stored.
    pub fn is_only_read(&self) -> bool {
        matches!(self.carrier, Lookup::Arg(_))
    }

    /// Whether a session token is due to be sent, be it as the cookie of that name.
    pub fn sends_token(&self, cookie: &str) -> bool {
        self.due.iter().any(|due| due.is_token(cookie))
    }

    /// The session token is not to be sent any more.
    pub fn take_back_token(&mut self, cookie: &str) {
        self.due.retain(|due| !due.is_token(cookie));
    }

    /// Puts a header in place of one that does the same.
    pub fn send(&mut self, due: DueHeader) {
        self.due
            .retain(|other| other.name != due.name || other.cookie != due.cookie);
        self.due.push(due);
    }
}

impl Context {
    fn new(main: Request<'_>) -> Context {
        let owner = main.as_ptr();
        // SAFETY: what is kept of the request is in its pool, which the context ends with.
        let main: Request<'static> = unsafe { Request::new(owner) };
        Context {
            owner,
            cookies: main.cookie_lines(),
            headers: Snapshot::of(main),
            arguments: main.args(),
            at: None,
            location: None,
            stage: Stage::Fresh,
            left_rewrite: false,
            refused: false,
            outage_answered: false,
            slots: SmallVec::new(),
            obeyed: None,
            waiting: None,
            held: None,
        }
    }

    /// The context of a request, if it has one.
    ///
    /// Internal redirects and named locations clear nginx's slot; the pool's cleanup still knows it then.
    pub fn of<'r>(request: Request<'r>) -> Option<&'r mut Context> {
        let main = request.main();
        let mut context = main.context().cast::<Context>();
        if context.is_null() {
            context = remembered(main)?;
            main.set_context(context.cast());
        }
        // SAFETY: the box was made by `of_or_new` for this request and lives until its cleanup; callbacks of nginx run
        // one at a time and do not hold the reference across calls that run other handlers.
        Some(unsafe { &mut *context })
    }

    /// The context of a request, made where there is none. `None`: out of memory.
    pub fn of_or_new<'r>(request: Request<'r>) -> Option<&'r mut Context> {
        if let Some(context) = Context::of(request) {
            return Some(context);
        }
        let main = request.main();
        // SAFETY: the main request is live. Its pool ends after all handlers have run, the access log included; its
        // cleanup comes earlier, and also when a request is given up that others still hold.
        unsafe {
            let end = ngx_pool_cleanup_add(main.pool(), 0);
            let cleanup = ngx_http_cleanup_add(main.as_ptr(), 0);
            if end.is_null() || cleanup.is_null() {
                return None;
            }
            let context = Box::into_raw(Box::new(Context::new(main)));
            (*end).handler = Some(drop_context);
            (*end).data = context.cast();
            (*cleanup).handler = Some(cancel);
            (*cleanup).data = context.cast();
            main.set_context(context.cast());
        }
        Context::of(request)
    }

    /// A session of the request, if any location has used it.
    pub fn slot(&self, profile: ProfileId) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.profile == profile)
    }

    /// What the request has of a session.
    pub fn session(&self, profile: ProfileId) -> Option<&Session> {
        self.slot(profile)?.session.as_deref()
    }

    /// A session of the request; from now on it is one.
    #[inline]
    pub fn slot_mut(&mut self, profile: ProfileId) -> &mut Slot {
        let at = self.slots.iter().position(|slot| slot.profile == profile);
        let at = at.unwrap_or_else(|| self.add_slot(profile));
        &mut self.slots[at]
    }

    /// Once a session, so out of the way of what is done often.
    #[cold]
    fn add_slot(&mut self, profile: ProfileId) -> usize {
        self.slots.push(Slot::new(profile));
        self.slots.len() - 1
    }

    /// The session, if it is there for this request's audience and not over.
    pub fn open_session(&self, request: Request<'_>, profile: ProfileId) -> Option<&Session> {
        let slot = self.slot(profile)?;
        slot.session.as_deref().filter(|session| {
            sight_of(request, slot) == Sight::Clear
                && session.has_audience()
                && match session.state() {
                    State::Open | State::Remembered => true,
                    // It is saved when the response is there.
                    State::New => session.reserved().is_some(),
                    State::Ended => false,
                }
        })
    }

    /// Whether no jar has put cookies into the request.
    pub fn has_restored_none(&self) -> bool {
        self.slots.iter().all(|slot| slot.restored.is_none())
    }

    /// The values of the Cookie lines that the client sent.
    pub fn cookies(&self) -> &[&'static [u8]] {
        &self.cookies
    }

    /// The values of the headers of that name that the client sent.
    pub fn headers(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        // SAFETY: the headers are in the request's pool, which the context ends with.
        unsafe { self.headers.values(name) }
    }

    /// The values of the arguments of that name that the client sent.
    pub fn arguments(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        arguments(self.arguments)
            .filter(move |(other, _)| *other == name.as_bytes())
            .map(|(_, value)| value)
    }

    /// `$session_status`.
    pub fn status(&self, request: Request<'_>, profile: ProfileId) -> SessionStatus {
        match self.slot(profile) {
            None => SessionStatus::Off,
            Some(slot) => match sight_of(request, slot) {
                Sight::Clear => slot.found,
                Sight::Off => SessionStatus::Off,
                Sight::Bypassed => SessionStatus::Bypassed,
            },
        }
    }

    /// Whether the request goes by without session work.
    pub fn is_bypassed(&self, request: Request<'_>, profile: ProfileId) -> bool {
        self.status(request, profile) == SessionStatus::Bypassed
    }

    /// Whether the location may store something in the session.
    pub fn may_store(&self, request: Request<'_>, settings: &Settings) -> bool {
        settings.action.stores() && self.works(request, settings.profile)
    }

    /// Whether the location may work with the session.
    pub fn works(&self, request: Request<'_>, profile: ProfileId) -> bool {
        self.slot(profile).is_some_and(|slot| {
            sight_of(request, slot) == Sight::Clear && slot.found != SessionStatus::Error
        })
    }
}

/// How a request takes part: the client's own as its location says, a subrequest as its own location says.
fn sight_of(request: Request<'_>, slot: &Slot) -> Sight {
    if request.is_main() || slot.sight == Sight::Bypassed {
        return slot.sight;
    }
    let settings = super::settings(request).of(slot.profile);
    match settings.is_some_and(|settings| settings.action.is_on()) {
        true => Sight::Clear,
        false => Sight::Off,
    }
}

/// Finds the context through the pool it ends with.
fn remembered(main: Request<'_>) -> Option<*mut Context> {
    // SAFETY: the pool of a live request; the chain holds live entries and ends with null.
    let first = unsafe { (*main.pool()).cleanup };
    let mut chain = core::iter::successors((!first.is_null()).then_some(first), |c| {
        // SAFETY: as above.
        let next = unsafe { (**c).next };
        (!next.is_null()).then_some(next)
    });
    chain.find_map(|entry| {
        // SAFETY: an entry with our handler has our box as its data.
        unsafe {
            let ours = (*entry)
                .handler
                .is_some_and(|handler| ptr::fn_addr_eq(handler, DROP_CONTEXT));
            let context = (*entry).data.cast::<Context>();
            (ours && (*context).owner == main.as_ptr()).then_some(context)
        }
    })
}

const DROP_CONTEXT: unsafe extern "C" fn(*mut c_void) = drop_context;

unsafe extern "C" fn drop_context(context: *mut c_void) {
    guard_unit(|| {
        // SAFETY: made by `Box::into_raw` in `of_or_new`; nginx calls a cleanup once.
        drop(unsafe { Box::from_raw(context.cast::<Context>()) });
    });
}

/// The request ends: nothing is waited for any more. The access log may still read the session.
unsafe extern "C" fn cancel(context: *mut c_void) {
    guard_unit(|| {
        // SAFETY: the box lives as long as the request's pool.
        let context = unsafe { &mut *context.cast::<Context>() };
        context.waiting = None;
        context.held = None;
    });
}
