//! Saving: the session becomes a new token, its record, and new cookies.
//!
//! With a storage, the record is there before the cookie that names it is due. If it cannot be written, the client keeps
//! what it has, and that stays valid.

use session::{
    CipherKey, Cookie, KeyIndex, KeySource, Kind, Lifetime, MetaEntry, Place, Record, Refresh,
    Refusal, SaveError, Sealed, Session, SessionId, State, chunk_names, cookie_pairs,
    expire_cookie, set_cookie,
};

use super::context::{Context, DueHeader, SessionStatus, Slot};
use super::lookup::{self, stretch, with_binding};
use super::response::Due;
use super::siblings::{self, CaughtUp, Fate};
use super::store::{self, RecordName};
use super::wait::{self, Waiter};
use super::{random_bytes, renewals};
use crate::conf::{Action, Backend, Lookup, Remember, Settings, Work};
use crate::http::Request;

/// Does what is due for a session. What has to wait is left in `context.waiting`.
pub fn carry_out(
    request: Request<'_>,
    context: &mut Context,
    settings: &'static Settings,
    due: Due,
) {
    match due {
        Due::Nothing => {}
        Due::End => destroy(request, settings),
        _ if context.slot_mut(settings.profile).is_only_read() => {
            drop_changes(request, context, settings);
        }
        Due::Refresh => start(request, context, settings),
        Due::Touch if !is_changed(context, settings) => touch(request, context, settings),
        Due::Touch | Due::Changes => changes(request, context, settings),
    }
}

/// The same, before the content. A new session whose location may change it once more when the response is there is saved
/// then: nobody has its token yet, and one record is enough.
pub fn carry_out_early(
    request: Request<'_>,
    context: &mut Context,
    settings: &'static Settings,
    due: Due,
) {
    let slot = context.slot_mut(settings.profile);
    let is_saved = !slot.is_only_read();
    let new = slot
        .session
        .as_mut()
        .filter(|session| session.state() == State::New && session.id().is_none());
    match new {
        Some(session) if is_saved && session.is_dirty() && settings.may_change_on_response() => {
            session.reserve(SessionId::from_random(random_bytes()));
            slot.found = SessionStatus::New;
        }
        _ => carry_out(request, context, settings, due),
    }
}

fn is_changed(context: &Context, settings: &Settings) -> bool {
    context
        .slot(settings.profile)
        .is_some_and(Slot::has_changes)
}

/// A link must not plant a session, nor may what the client does not get replace what it has.
fn drop_changes(request: Request<'_>, context: &Context, settings: &'static Settings) {
    if is_changed(context, settings) {
        let slot = context.slot(settings.profile);
        let place = slot.map(|slot| slot.carrier.written()).unwrap_or_default();
        request_log!(
            INFO,
            request,
            "a session found by \"{place}\" is only read: what changed in it is dropped"
        );
        wait::run(request, |waiter| revert(waiter, settings));
    }
}

/// Saves what has changed, be it the info alone.
fn changes(request: Request<'_>, context: &Context, settings: &'static Settings) {
    let session = context
        .slot(settings.profile)
        .and_then(|slot| slot.session.as_ref());
    let Some(session) = session.filter(|_| is_changed(context, settings)) else {
        return;
    };
    if session.is_dirty() || settings.policy.place == Place::Cookie {
        wait::run(request, |waiter| save(waiter, settings));
    } else {
        wait::run(request, |waiter| save_info(waiter, settings));
    }
}

/// Saves, renews or touches the session, whichever is due. What has to wait is left in `context.waiting`.
fn start(request: Request<'_>, context: &mut Context, settings: &'static Settings) {
    let Some(session) = context.slot_mut(settings.profile).session.as_ref() else {
        return;
    };
    let policy = &settings.policy;
    let in_cookie = policy.place == Place::Cookie;
    if session.is_dirty() || (session.is_info_dirty() && in_cookie) {
        return wait::run(request, |waiter| save(waiter, settings));
    }
    let refresh = match settings.action {
        Action::Start => session.refresh(policy, request.now()),
        _ => Refresh::Nothing,
    };
    match refresh {
        Refresh::Renew if may_renew(request, session, settings) => {
            wait::run(request, |waiter| save(waiter, settings));
        }
        // The renewal writes the info too.
        _ if session.is_info_dirty() => wait::run(request, |waiter| save_info(waiter, settings)),
        Refresh::Touch => touch(request, context, settings),
        Refresh::Nothing | Refresh::Renew => {}
    }
}

/// Saves what an earlier phase left dirty, and nothing else.
pub fn unsaved(request: Request<'_>, context: &Context, settings: &'static Settings) {
    let session = context
        .slot(settings.profile)
        .and_then(|slot| slot.session.as_ref());
    if session.is_some_and(Session::is_dirty) {
        wait::run(request, |waiter| save(waiter, settings));
    }
}

/// Of parallel requests with one session, one renews it for all: the others go on with the old record, which lives for
/// `session_stale_ttl`. With cookie storage there is nothing to spare.
fn may_renew(request: Request<'_>, session: &Session, settings: &Settings) -> bool {
    match session
        .id()
        .filter(|_| settings.policy.place == Place::Server)
    {
        Some(id) => renewals::begin(id, request.now(), settings.policy.times.stale_ttl),
        None => true,
    }
}

fn touch(request: Request<'_>, context: &mut Context, settings: &Settings) {
    let (policy, now) = (&settings.policy, request.now());
    let slot = context.slot_mut(settings.profile);
    let Some(session) = &mut slot.session else {
        return;
    };
    let touched = with_binding(request, settings, |binding| match slot.carrier {
        Lookup::Header(name) => session
            .touch_text(policy, binding, now)
            .map(|token| DueHeader::token(name, token)),
        _ => session.touch(policy, binding, now).map(|cookie| {
            due_cookie(
                request,
                settings,
                &cookie,
                session_lifetime(request, settings),
            )
        }),
    });
    match touched {
        Ok(due) => slot.send(due),
        Err(error) => request_log!(ERR, request, "the session could not be touched: {error}"),
    }
}

/// Saves the session, going on from what other requests of the client have saved since this one began.
async fn save(waiter: Waiter, settings: &'static Settings) {
    match siblings::catch_up(waiter, settings).await {
        CaughtUp::Save(saving) => {
            store(waiter, settings).await;
            drop(saving);
        }
        CaughtUp::End => end(waiter, settings).await,
        CaughtUp::Nothing => {}
    }
}

/// Makes the tokens, writes their records, and then lets the session be theirs and their cookies be due.
async fn store(waiter: Waiter, settings: &'static Settings) {
    let made = match make(waiter, settings).await {
        Some(Ok(made)) => made,
        Some(Err(error)) => return refuse(waiter, settings, &error).await,
        None => return,
    };
    let replaced = waiter
        .session(settings)
        .and_then(|session| session.id().copied());
    if let Some(backend) = settings.backend.as_deref() {
        if let Err(error) = write(waiter, backend, &made.session).await {
            if let Some(id) = replaced {
                renewals::failed(&id);
            }
            return match error {
                // As with any session that is too large: it stays as it was.
                storage::Error::TooLarge { .. } => revert(waiter, settings).await,
                _ => fail(waiter, settings, backend, &error),
            };
        }
        if let Some(id) = replaced {
            let fate = Fate::Replaced {
                by: made.id,
                token: made.session.token_text().into(),
            };
            siblings::note(waiter.request(), id, fate);
        }
    }
    let remember = match (made.remember, settings.backend.as_deref()) {
        (Some(sealed), Some(backend)) => match write(waiter, backend, &sealed).await {
            Ok(()) => Some(sealed),
            Err(error) => not_remembered(waiter, &error.to_string()),
        },
        (remember, _) => remember,
    };
    finish(
        waiter.request(),
        waiter.context(),
        settings,
        &made.session,
        remember.as_ref(),
    );
}

/// Tokens that are made but not sent.
struct Made {
    id: SessionId,
    session: Sealed,
    remember: Option<Sealed>,
}

/// Makes the session's token, and where it is due a remember token; the latter's key may take a while to stretch.
async fn make(waiter: Waiter, settings: &'static Settings) -> Option<Result<Made, SaveError>> {
    let (request, context) = (waiter.request(), waiter.context());
    let policy = &settings.policy;
    let slot = context.slot_mut(settings.profile);
    let by_cookie = slot.is_by_cookie();
    let session = slot.session.as_mut()?;
    let is_new = session.id().is_none() && session.state() == State::New;
    let remember = by_cookie && decide_remember(request, session, settings, slot.remember);
    let id = session.reserved().copied();
    let id = id.unwrap_or_else(|| SessionId::from_random(random_bytes()));
    let sealed = with_binding(request, settings, |binding| match by_cookie {
        true => session.seal(policy, id, binding, request.now()),
        false => session.seal_text(policy, id, binding, request.now()),
    });
    let sealed = match sealed {
        Ok(sealed) => sealed,
        Err(error) => return Some(Err(error)),
    };
    if is_new {
        slot.found = SessionStatus::New;
    }
    let remember = if remember {
        make_remember(waiter, settings).await
    } else {
        None
    };
    Some(Ok(Made {
        id,
        session: sealed,
        remember,
    }))
}

/// Without it the user is logged in all the same.
async fn make_remember(waiter: Waiter, settings: &'static Settings) -> Option<Sealed> {
    let policy = &settings.policy;
    let id = SessionId::from_random(random_bytes());
    let key: CipherKey = match policy
        .keys
        .remember_key(KeyIndex::CURRENT, &id, policy.safety)
    {
        KeySource::Ready(key) => key,
        KeySource::Stretch(job) => match stretch(job).await {
            Ok(key) => key,
            Err(why) => return not_remembered(waiter, &why),
        },
    };
    let request = waiter.request();
    let session = waiter.session(settings)?;
    let sealed = with_binding(request, settings, |binding| {
        session.seal_remember(policy, id, &key, binding, request.now())
    });
    sealed.map_or_else(|error| not_remembered(waiter, &error.to_string()), Some)
}

fn not_remembered<T>(waiter: Waiter, why: &str) -> Option<T> {
    request_log!(
        ERR,
        waiter.request(),
        "the remember cookie could not be made: {why}"
    );
    None
}

async fn write(waiter: Waiter, backend: &Backend, sealed: &Sealed) -> Result<(), storage::Error> {
    let Some(record) = sealed.record() else {
        return Ok(());
    };
    let answer = store::set(backend, record.clone()).await;
    store::note(waiter.request(), backend, Work::Write, &answer);
    answer
}

/// Whether the save makes a remember token too. An explicit wish of the user's is noted in the session.
fn decide_remember(
    request: Request<'_>,
    session: &mut Session,
    settings: &Settings,
    wish: Option<bool>,
) -> bool {
    if settings.action.ends() {
        return session.has_remember_token();
    }
    if let Some(wish) = wish {
        session.set_forget(!wish);
        return wish;
    }
    match &settings.remember {
        // A control header may have asked for it earlier.
        Remember::Off if settings.control.is_some() => {
            session.has_remember_token() && !session.forget()
        }
        Remember::Off => false,
        Remember::On => !session.forget(),
        Remember::Asked(value) => match value.eval(request) {
            b"" if session.id().is_some() || session.has_remember_token() => {
                session.has_remember_token() && !session.forget()
            }
            b"" | b"0" | b"off" => {
                session.set_forget(true);
                false
            }
            _ => {
                session.set_forget(false);
                true
            }
        },
    }
}

/// All is stored: the session is what was made, and its cookies are due.
fn finish(
    request: Request<'_>,
    context: &mut Context,
    settings: &Settings,
    made: &Sealed,
    remember: Option<&Sealed>,
) {
    let slot = context.slot_mut(settings.profile);
    let Some(session) = &mut slot.session else {
        return;
    };
    if let Some(jar) = &mut slot.jar {
        jar.committed();
    }
    session.committed(made);
    if let Some(remember) = remember {
        session.committed(remember);
    }
    let unwanted = session.forget() && session.has_remember_token();
    if let Lookup::Header(name) = slot.carrier {
        return slot.send(DueHeader::token(name, made.token_text()));
    }
    send_sealed(
        request,
        context,
        settings,
        made,
        session_lifetime(request, settings),
    );
    match remember {
        Some(remember) => {
            let lifetime = Lifetime {
                now: request.now(),
                max_age: remember.remember_lifetime(),
            };
            send_sealed(request, context, settings, remember, Some(lifetime));
        }
        // A user who no longer wants to be remembered loses the remember cookie.
        None if unwanted => expire(request, context, settings, Kind::Remember),
        None => {}
    }
}

/// Only the info has changed: the record is written again, under its id.
async fn save_info(waiter: Waiter, settings: &'static Settings) {
    match siblings::catch_up(waiter, settings).await {
        CaughtUp::Save(saving) => {
            store_info(waiter, settings).await;
            drop(saving);
        }
        CaughtUp::End => end(waiter, settings).await,
        CaughtUp::Nothing => {}
    }
}

/// Writes the record with the new info. The remember record follows.
async fn store_info(waiter: Waiter, settings: &'static Settings) {
    let (Some(backend), Some(session)) = (settings.backend.as_deref(), waiter.session(settings))
    else {
        return;
    };
    let policy = &settings.policy;
    let now = waiter.request().now();
    let remember_key = session.remember_record_key(policy);
    let Some(record) = session.info_record(policy, now) else {
        return;
    };
    let answer = store::set(backend, record).await;
    store::note(waiter.request(), backend, Work::Write, &answer);
    if let Err(error) = answer {
        return fail(waiter, settings, backend, &error);
    }
    if let Some(session) = waiter.session(settings) {
        session.info_committed();
    }
    if let Some(key) = remember_key {
        save_remember_info(waiter, settings, backend, key).await;
    }
}

async fn save_remember_info(
    waiter: Waiter,
    settings: &'static Settings,
    backend: &Backend,
    key: String,
) {
    let policy = &settings.policy;
    let name = RecordName {
        cookie: policy.remember_cookie_name.as_str().to_owned(),
        key,
    };
    let answer = store::get(backend, name, waiter.request().now()).await;
    store::note(waiter.request(), backend, Work::Read, &answer);
    let limit = session::record::size_limit(policy.max_data);
    let Ok(Some(Ok(record))) = answer.map(|value| value.map(|value| Record::parse(&value, limit)))
    else {
        return;
    };
    let write = waiter
        .session(settings)
        .and_then(|session| session.remember_info_record(policy, record, waiter.request().now()));
    if let Some(write) = write {
        let answer = store::set(backend, write).await;
        store::note(waiter.request(), backend, Work::Write, &answer);
    }
}

/// The session cannot be saved: what the client has stays valid, and this request goes on with that.
async fn refuse(waiter: Waiter, settings: &'static Settings, error: &SaveError) {
    request_log!(ERR, waiter.request(), "the session is not saved: {error}");
    revert(waiter, settings).await;
}

async fn revert(waiter: Waiter, settings: &'static Settings) {
    let session = lookup::reopen(waiter, settings).await;
    let slot = waiter.slot(settings);
    if slot.found == SessionStatus::New {
        slot.found = SessionStatus::Refused(Refusal::Missing.status());
    }
    slot.set_session(session);
}

/// The storage did not do it: nothing is sent that names what is not there.
fn fail(waiter: Waiter, settings: &Settings, backend: &Backend, error: &storage::Error) {
    request_log!(
        INFO,
        waiter.request(),
        "the session is not saved in \"{}\": {error}",
        backend.name
    );
    let slot = waiter.slot(settings);
    slot.found = SessionStatus::Error;
    slot.set_session(None);
    slot.due.clear();
}

fn send_sealed(
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

fn due_cookie(
    request: Request<'_>,
    settings: &Settings,
    cookie: &Cookie,
    lifetime: Option<Lifetime>,
) -> DueHeader {
    let attributes = attributes(request, settings);
    let line = set_cookie(&cookie.name, &cookie.value, attributes, lifetime);
    DueHeader::cookie(&cookie.name, line)
}

fn session_lifetime(request: Request<'_>, settings: &Settings) -> Option<Lifetime> {
    settings.cookie.max_age.map(|max_age| Lifetime {
        now: request.now(),
        max_age,
    })
}

/// The attributes the client's cookies have.
fn attributes<'s>(request: Request<'_>, settings: &'s Settings) -> &'s str {
    &settings.cookie.attributes[usize::from(request.is_tls())]
}

/// Ends the whole session and its remember cookie.
fn destroy(request: Request<'_>, settings: &'static Settings) {
    wait::run(request, |waiter| end(waiter, settings));
}

async fn end(waiter: Waiter, settings: &'static Settings) {
    let (request, context) = (waiter.request(), waiter.context());
    let policy = &settings.policy;
    let remember = lookup::verify_remember(request, context, settings);
    let expire_remember = match &remember {
        Ok(_) => true,
        Err(Refusal::Missing) => false,
        // Where users are not remembered, a cookie called `remember` may well be the application's.
        Err(_) => !matches!(settings.remember, Remember::Off),
    };
    let slot = waiter.slot(settings);
    let session = slot.session.as_ref();
    let is_stored = session.is_some_and(|session| session.id().is_some());
    // A remember cookie belongs to the session cookie.
    let by_cookie = slot.is_by_cookie() || session.is_none();
    if let Some(backend) = settings.backend.as_deref() {
        let metadata: Vec<MetaEntry> = session
            .map(|session| session.metadata(policy))
            .unwrap_or_default();
        let record = session.and_then(|session| session.record_key(policy));
        let cookie = policy.cookie_name.as_str().to_owned();
        let of_session = record.map(|key| RecordName { cookie, key });
        let of_remember = remember
            .ok()
            .filter(|_| by_cookie)
            .map(|token| lookup::record_name(settings, Kind::Remember, &token));
        for record in [of_session, of_remember].into_iter().flatten() {
            let answer =
                store::delete(backend, record, metadata.clone(), waiter.request().now()).await;
            store::note(waiter.request(), backend, Work::Write, &answer);
            if let Err(error) = answer {
                return fail(waiter, settings, backend, &error);
            }
        }
    }
    let (request, context) = (waiter.request(), waiter.context());
    let ended = waiter
        .session(settings)
        .and_then(|session| session.id().copied());
    if let Some(id) = ended.filter(|_| settings.backend.is_some()) {
        siblings::note(request, id, Fate::Ended);
    }
    // A location that an internal redirect leads to may begin another session.
    let slot = context.slot_mut(settings.profile);
    slot.set_session(None);
    slot.ended = is_stored;
    // What the client keeps elsewhere than in cookies is its own to throw away.
    if !by_cookie {
        return;
    }
    if is_stored {
        expire(request, context, settings, Kind::Session);
    }
    if expire_remember {
        expire(request, context, settings, Kind::Remember);
    }
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
