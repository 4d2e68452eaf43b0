//! Finding, verifying and opening the session of a request, or remembering its user.

use std::borrow::Cow;

use session::{
    Binding, CipherKey, CookieName, Kind, Record, RecordError, Refusal, Session, State, Stretch,
    Token, cookie_pairs, token::MAX_CANDIDATES,
};

use super::context::{Context, SessionStatus, Stage};
use super::forgetting::forget_later;
use super::store::{self, RecordName};
use super::wait::{self, Waiter};
use crate::conf::{Backend, Lookup, Remember, Settings, Store, Work};
use crate::event::offload;
use crate::http::Request;

/// Keys stretched by no more rounds than this are made on the spot: it costs less than handing the work over.
const INLINE_ROUNDS: u32 = 1_000;

/// Why a session could not be had.
pub enum Trouble {
    Refused(Refusal),
    /// The storage is out of reach: nothing is known of the session.
    Unknown,
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Trouble::Refused(refusal)
    }
}

/// What the places of a location have for the session.
pub struct Search {
    pub token: Result<Token, Refusal>,
    /// Where the token is, or the first that was refused.
    place: &'static Lookup,
    /// There is a session cookie, and it is of no use.
    refused_cookie: bool,
}

/// Looks the session up. What has to wait is left in `context.waiting`.
pub fn start(request: Request<'_>, context: &mut Context, settings: &'static Settings) {
    let slot = context.slot_mut(settings.profile);
    slot.stage = Stage::LookedUp;
    slot.looked_up_in = Some(settings);
    slot.set_session(None);
    slot.ended = false;
    slot.refused_remember = false;
    let search = verify(request, context, settings);
    let slot = context.slot_mut(settings.profile);
    slot.carrier = search.place;
    slot.refused_cookie = search.refused_cookie;
    let token = match search.token {
        Ok(token) => token,
        Err(refusal) => return refused(request, context, settings, &refusal),
    };
    let backend = settings.backend.as_deref();
    if backend.is_some_and(|backend| !backend.store.is_at_hand()) {
        let token = Box::new(token);
        return wait::run(request, |waiter| find(waiter, settings, token));
    }
    match open_at_once(request, settings, token) {
        Ok(session) => adopt(request, context, settings, session),
        Err(refusal) => refused(request, context, settings, &refusal),
    }
}

/// Opens a session that is in the cookie or in this nginx's memory.
fn open_at_once(
    request: Request<'_>,
    settings: &'static Settings,
    token: Token,
) -> Result<Box<Session>, Refusal> {
    let record = match settings.backend.as_deref() {
        Some(Backend {
            store: Store::Shm(zone),
            ..
        }) => {
            let name = record_name(settings, Kind::Session, &token);
            read_record(settings, zone.get(name.id(), request.now()))?
        }
        _ => None,
    };
    // Only keys of remember tokens are stretched.
    open_token(request, settings, token, None, record)
}

/// Opens a session whose record is elsewhere.
async fn find(waiter: Waiter, settings: &'static Settings, token: Box<Token>) {
    let found = load(waiter, settings, Kind::Session, token).await;
    if take(waiter, settings, found) {
        // In a box, since few come here: every lookup has room for what is not.
        Box::pin(remember(waiter, settings)).await;
    }
}

/// Takes what was found. True: a remember cookie may bring the user back.
fn take(waiter: Waiter, settings: &'static Settings, found: Result<Box<Session>, Trouble>) -> bool {
    let (request, context) = (waiter.request(), waiter.context());
    match found {
        Ok(session) => adopt(request, context, settings, session),
        Err(Trouble::Unknown) => {
            context.slot_mut(settings.profile).found = SessionStatus::Error;
        }
        Err(Trouble::Refused(refusal)) => {
            note_refusal(request, context, settings, &refusal);
            return settings.may_remember();
        }
    }
    false
}

/// The session as the client and the storage have it, without what this request changed.
pub async fn reopen(waiter: Waiter, settings: &'static Settings) -> Option<Box<Session>> {
    let token = verify(waiter.request(), waiter.context(), settings)
        .token
        .ok()?;
    load(waiter, settings, Kind::Session, Box::new(token))
        .await
        .ok()
}

/// The session of a token that this worker has made, with the changes of another request.
pub async fn load_text(
    waiter: Waiter,
    settings: &'static Settings,
    token: &str,
) -> Result<Box<Session>, Trouble> {
    let token = verify_own(waiter.request(), settings, token)?;
    load(waiter, settings, Kind::Session, Box::new(token)).await
}

/// Checks a token that this worker has made.
pub fn verify_own(
    request: Request<'_>,
    settings: &Settings,
    token: &str,
) -> Result<Token, Refusal> {
    with_binding(request, settings, |binding| {
        let (policy, now) = (&settings.policy, request.now());
        policy.verify_text(Kind::Session, token.as_bytes(), binding, now)
    })
}

/// The session is missing or over: a remember cookie may bring its user back.
fn refused(
    request: Request<'_>,
    context: &mut Context,
    settings: &'static Settings,
    refusal: &Refusal,
) {
    note_refusal(request, context, settings, refusal);
    if settings.may_remember() {
        wait::run(request, |waiter| remember(waiter, settings));
    }
}

fn note_refusal(
    request: Request<'_>,
    context: &mut Context,
    settings: &'static Settings,
    refusal: &Refusal,
) {
    let place = context.slot_mut(settings.profile).carrier;
    log_refusal(request, place, &settings.policy.cookie_name, refusal);
    let carrier = carrier_of_new(context, settings);
    context.slot_mut(settings.profile).refuse(refusal, carrier);
}

/// Does a remember cookie bring the user back?
async fn remember(waiter: Waiter, settings: &'static Settings) {
    let token = verify_remember(waiter.request(), waiter.context(), settings);
    let found = match token {
        Ok(token) => load(waiter, settings, Kind::Remember, Box::new(token)).await,
        Err(refusal) => Err(refusal.into()),
    };
    let (request, context) = (waiter.request(), waiter.context());
    match found {
        // The session cookie, refused or missing, is replaced when the new session is saved.
        Ok(session) => {
            context.slot_mut(settings.profile).carrier = &Lookup::Cookie;
            adopt(request, context, settings, session);
        }
        Err(Trouble::Refused(refusal)) => refuse_remember(request, context, settings, &refusal),
        // Nothing is known of the user then, so nothing is cleared either.
        Err(Trouble::Unknown) => {
            context.slot_mut(settings.profile).found = SessionStatus::Error;
        }
    }
}

fn refuse_remember(
    request: Request<'_>,
    context: &mut Context,
    settings: &Settings,
    refusal: &Refusal,
) {
    let cookie = &settings.policy.remember_cookie_name;
    log_refusal(request, &Lookup::Cookie, cookie, refusal);
    let slot = context.slot_mut(settings.profile);
    // Where users are not remembered by default, a cookie of that name may be the application's.
    slot.refused_remember = slot.is_by_cookie()
        && !matches!(refusal, Refusal::Missing)
        && !matches!(settings.remember, Remember::Off);
}

/// Reads the token's record, makes its key, and opens it; the first two may take a while.
async fn load(
    waiter: Waiter,
    settings: &'static Settings,
    kind: Kind,
    token: Box<Token>,
) -> Result<Box<Session>, Trouble> {
    let record = match settings.backend.as_deref() {
        None => None,
        Some(backend) => {
            let name = record_name(settings, kind, &token);
            let answer = store::get(backend, name, waiter.request().now()).await;
            store::note(waiter.request(), backend, Work::Read, &answer);
            read_record(settings, answer.map_err(|_| Trouble::Unknown)?)?
        }
    };
    let stretched = match token.stretch(&settings.policy) {
        None => None,
        Some(job) => Some(Box::pin(stretch(job)).await.map_err(|why| {
            request_log!(
                ERR,
                waiter.request(),
                "the remember cookie could not be opened: {why}"
            );
            Trouble::Unknown
        })?),
    };
    let key = stretched.as_ref();
    Ok(open_token(waiter.request(), settings, *token, key, record)?)
}

/// Makes a stretched key; elsewhere, where that takes its time.
pub async fn stretch(job: Stretch) -> Result<CipherKey, String> {
    if job.rounds() <= INLINE_ROUNDS {
        return Ok(job.run());
    }
    offload(move || job.run())
        .await
        .map_err(|error| error.to_string())
}

/// The name of the record of a token.
pub fn record_name(settings: &'static Settings, kind: Kind, token: &Token) -> RecordName {
    let policy = &settings.policy;
    RecordName {
        cookie: policy.name_of(kind).as_str(),
        key: token.storage_key(policy),
    }
}

/// The record in a storage's answer. A token whose record is gone is over.
fn read_record(settings: &Settings, value: Option<Vec<u8>>) -> Result<Option<Record>, Refusal> {
    let value = value.ok_or(Refusal::NoRecord)?;
    let limit = session::record::size_limit(settings.policy.max_data);
    let record: Result<Record, RecordError> = Record::parse(&value, limit);
    Ok(Some(record.map_err(Refusal::BadRecord)?))
}

fn open_token(
    request: Request<'_>,
    settings: &Settings,
    token: Token,
    stretched: Option<&CipherKey>,
    record: Option<Record>,
) -> Result<Box<Session>, Refusal> {
    let audience = audience(request, settings);
    token.open(&settings.policy, stretched, record, &audience)
}

/// Takes the session that the request brought.
fn adopt(
    request: Request<'_>,
    context: &mut Context,
    settings: &Settings,
    mut session: Box<Session>,
) {
    let found = match (session.has_audience(), session.state()) {
        (false, _) => SessionStatus::NoAudience,
        (true, State::Remembered) => SessionStatus::Remembered,
        (true, _) => SessionStatus::Open,
    };
    let may_remember = settings.may_remember() || settings.action.ends();
    let by_cookie = context.slot_mut(settings.profile).is_by_cookie();
    context.slot_mut(settings.profile).refused_cookie &= by_cookie;
    if session.state() != State::Remembered && may_remember && by_cookie {
        // A later save goes on with the remember token's own age, so it has to be known.
        match verify_remember(request, context, settings) {
            Ok(token) => session.set_remember_token(&token),
            Err(Refusal::Missing) => {}
            // Where users are not remembered, a cookie of that name may be the application's.
            Err(_) if matches!(settings.remember, Remember::Off) => {}
            Err(refusal) => refuse_remember(request, context, settings, &refusal),
        }
    }
    let slot = context.slot_mut(settings.profile);
    slot.found = found;
    slot.set_session(Some(session));
}

/// Finds the session's token in the first place that has a good one, and checks all but its content.
pub fn verify(request: Request<'_>, context: &Context, settings: &'static Settings) -> Search {
    with_binding(request, settings, |binding| {
        let mut search = Search {
            token: Err(Refusal::Missing),
            place: &settings.lookup[0],
            refused_cookie: false,
        };
        for place in &settings.lookup {
            let token = verify_in(place, request, context, settings, binding);
            match &token {
                Err(Refusal::Missing) => continue,
                Err(_) => search.refused_cookie |= *place == Lookup::Cookie,
                Ok(_) => {}
            }
            if token.is_ok() || matches!(search.token, Err(Refusal::Missing)) {
                search = Search {
                    token,
                    place,
                    ..search
                };
            }
            if search.token.is_ok() {
                break;
            }
        }
        search
    })
}

fn verify_in(
    place: &Lookup,
    request: Request<'_>,
    context: &Context,
    settings: &Settings,
    binding: &Binding<'_>,
) -> Result<Token, Refusal> {
    let (policy, now) = (&settings.policy, request.now());
    let text = |text: &[u8]| policy.verify_text(Kind::Session, text, binding, now);
    match place {
        Lookup::Cookie => policy.verify(Kind::Session, context.cookies(), binding, now),
        Lookup::Header(name) => first_good(context.headers(name).map(text)),
        Lookup::Arg(name) => first_good(context.arguments(name).map(text)),
    }
}

/// The first token that is good, or why the first was refused. A client may send many.
fn first_good(tokens: impl Iterator<Item = Result<Token, Refusal>>) -> Result<Token, Refusal> {
    let mut refusal = None;
    for token in tokens.take(MAX_CANDIDATES) {
        match token {
            Ok(token) => return Ok(token),
            Err(Refusal::Missing) => {}
            Err(reason) => refusal = refusal.or(Some(reason)),
        }
    }
    Err(refusal.unwrap_or(Refusal::Missing))
}

/// Finds the remember token among the client's cookies, where the location looks at those.
pub fn verify_remember(
    request: Request<'_>,
    context: &Context,
    settings: &Settings,
) -> Result<Token, Refusal> {
    if !settings.lookup.contains(&Lookup::Cookie) {
        return Err(Refusal::Missing);
    }
    with_binding(request, settings, |binding| {
        settings
            .policy
            .verify(Kind::Remember, context.cookies(), binding, request.now())
    })
}

/// How a session that was not found is given to the client: as the client sent something like a token, else as the
/// location likes best.
fn carrier_of_new(context: &Context, settings: &'static Settings) -> &'static Lookup {
    let mut carriers = settings.lookup.iter().filter(|place| !place.only_reads());
    let mut used = carriers
        .clone()
        .filter(|place| has_token(place, context, settings));
    used.next()
        .or_else(|| carriers.next())
        .unwrap_or(&settings.lookup[0])
}

fn has_token(place: &Lookup, context: &Context, settings: &Settings) -> bool {
    let is_text = |text: &[u8]| !text.is_empty();
    match place {
        Lookup::Cookie => {
            let name = settings.policy.cookie_name.as_str().as_bytes();
            let mut pairs = context.cookies().iter().flat_map(|line| cookie_pairs(line));
            pairs.any(|(other, value)| other == name && is_text(value))
        }
        Lookup::Header(name) => context.headers(name).any(is_text),
        Lookup::Arg(name) => context.arguments(name).any(is_text),
    }
}

/// The audience of the location for this request.
pub fn audience<'r>(request: Request<'r>, settings: &Settings) -> Cow<'r, str> {
    String::from_utf8_lossy(settings.audience.eval(request))
}

/// Calls `f` with what tokens of this request are bound to.
pub fn with_binding<T>(
    request: Request<'_>,
    settings: &Settings,
    f: impl FnOnce(&Binding<'_>) -> T,
) -> T {
    // A token that is verified is known from then on.
    forget_later();
    let extra: smallvec::SmallVec<[&[u8]; 4]> = settings
        .bind_extra
        .iter()
        .map(|value| value.eval(request))
        .collect();
    f(&Binding {
        address: request.remote_addr(),
        scheme: request.scheme(),
        user_agent: request.user_agent(),
        extra: &extra,
    })
}

/// A client's bad token is worth a line at `info`; a client without one is not.
fn log_refusal(request: Request<'_>, place: &Lookup, cookie: &CookieName, refusal: &Refusal) {
    if matches!(refusal, Refusal::Missing) {
        return;
    }
    let place = place.label(cookie);
    match refusal {
        // The client is not to blame for what a storage holds.
        Refusal::BadRecord(_) => {
            request_log!(ERR, request, "the record of {place} is not used: {refusal}")
        }
        _ => request_log!(
            INFO,
            request,
            "{place} refused, {}: {refusal}",
            refusal.status()
        ),
    }
}
