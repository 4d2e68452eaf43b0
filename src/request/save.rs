//! Saving: the session becomes a new token, its record, and new cookies.
//!
//! With a storage, the record is there before the cookie that names it is due. If it cannot be written, the client keeps
//! what it has, and that stays valid.

mod cookies;
mod end;
mod info;
mod tokens;

use session::{Cookie, Kind, Lifetime, Place, Refresh, Refusal, SaveError, Sealed, Session, State};

use super::context::{Context, DueHeader, SessionStatus, Slot};
use super::lookup::{self, with_binding};
use super::renewals;
use super::response::Due;
use super::siblings::{self, CaughtUp, Fate, Saving};
use super::store;
use super::wait::{self, Waiter};
use crate::conf::{Action, Backend, Lookup, Settings, Work};
use crate::http::Request;
use crate::random;
pub use cookies::expire_unless_due;
use cookies::{due_cookie, expire, send_sealed, session_lifetime};
use end::end;
use info::save_info;
use tokens::{make, make_remember, not_remembered};

/// Does what is due for a session. What has to wait is left in `context.waiting`.
pub fn carry_out(
    request: Request<'_>,
    context: &mut Context,
    settings: &'static Settings,
    due: Due,
) {
    match due {
        Due::Nothing => {}
        Due::End => wait::run(request, |waiter| end(waiter, settings)),
        _ if is_only_read(request, context.slot_mut(settings.profile)) => {
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
    let is_saved = !is_only_read(request, slot);
    let new = slot
        .session
        .as_mut()
        .filter(|session| session.state() == State::New && session.id().is_none());
    match new {
        Some(session) if is_saved && session.is_dirty() && settings.may_change_on_response() => {
            session.reserve(random::session_id());
            slot.found = SessionStatus::New;
        }
        _ => carry_out(request, context, settings, due),
    }
}

/// The client gets nothing that could name a new token: it sends none back by an argument, and sees nothing of what a
/// `post_action` does.
fn is_only_read(request: Request<'_>, slot: &Slot) -> bool {
    slot.is_only_read() || request.main().raw().post_action() != 0
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
            "a session found by \"{place}\" is only read{}: what changed in it is dropped",
            match request.main().raw().post_action() {
                0 => "",
                _ => " by a \"post_action\"",
            }
        );
        wait::run(request, |waiter| revert(waiter, settings));
    }
}

/// Saves what has changed, be it the info alone.
fn changes(request: Request<'_>, context: &Context, settings: &'static Settings) {
    let session = context.session(settings.profile);
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
    let may_renew = refresh == Refresh::Renew && may_renew(request, session, settings);
    match refresh {
        Refresh::Renew if may_renew => wait::run(request, |waiter| save(waiter, settings)),
        // The renewal writes the info too.
        _ if session.is_info_dirty() => wait::run(request, |waiter| save_info(waiter, settings)),
        Refresh::Touch => touch(request, context, settings),
        Refresh::Renew => context.slot_mut(settings.profile).renewed_elsewhere = true,
        Refresh::Nothing => {}
    }
}

/// A token that another request has replaced meanwhile is of no use to the client: it gets the newest instead. One that
/// somebody has logged in with, or out of, is not sent any more.
pub fn send_newest(request: Request<'_>, slot: &mut Slot) {
    let settings = slot.looked_up_in;
    let Some(settings) = settings.filter(|settings| settings.policy.place == Place::Server) else {
        return;
    };
    let name = settings.policy.cookie_name.as_str();
    if !slot.renewed_elsewhere && !slot.sends_token(name) {
        return;
    }
    let Some(id) = slot.session.as_ref().and_then(|session| session.id()) else {
        return;
    };
    match siblings::fate_of(request, id) {
        None => {}
        Some(Fate::Replaced { token, .. }) => {
            let due = token_header(request, settings, slot.carrier, &token);
            slot.send(due);
        }
        Some(Fate::LoggedIn | Fate::Ended) => slot.take_back_token(name),
    }
}

/// A token of a session on the server, as its client gets it.
fn token_header(
    request: Request<'_>,
    settings: &Settings,
    carrier: &'static Lookup,
    token: &str,
) -> DueHeader {
    if let Lookup::Header(name) = carrier {
        return DueHeader::token(name, token.to_owned());
    }
    let cookie = Cookie {
        name: settings.policy.cookie_name.as_str().to_owned(),
        value: token.to_owned(),
    };
    let lifetime = session_lifetime(request, settings);
    due_cookie(request, settings, &cookie, lifetime)
}

/// Saves what an earlier phase left dirty, and nothing else.
pub fn unsaved(request: Request<'_>, context: &Context, settings: &'static Settings) {
    if context
        .session(settings.profile)
        .is_some_and(Session::is_dirty)
    {
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
    if let Some(_saving) = turn_to_save(waiter, settings).await {
        store(waiter, settings).await;
    }
}

/// Waits for its turn and goes on from what was saved meanwhile. `None`: nothing is left to save; else what it gives is
/// kept until the save is done.
async fn turn_to_save(waiter: Waiter, settings: &'static Settings) -> Option<Option<Saving>> {
    match siblings::catch_up(waiter, settings).await {
        CaughtUp::Save(saving) => return Some(saving),
        CaughtUp::End => Box::pin(end(waiter, settings)).await,
        CaughtUp::Nothing => {}
    }
    None
}

/// Makes the tokens, writes their records, and then lets the session be theirs and their cookies be due.
async fn store(waiter: Waiter, settings: &'static Settings) {
    let made = match make(waiter, settings) {
        Some(Ok(made)) => made,
        // In boxes, as all that is rare here: every save has room for what is not.
        Some(Err(error)) => return Box::pin(refuse(waiter, settings, &error)).await,
        None => return,
    };
    let remember = match made.remember {
        true => Box::pin(make_remember(waiter, settings)).await,
        false => None,
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
                storage::Error::TooLarge { .. } => Box::pin(revert(waiter, settings)).await,
                _ => fail(waiter, settings, backend, &error),
            };
        }
        if let Some(id) = replaced {
            let fate = match waiter.slot(settings).logs_in {
                true => Fate::LoggedIn,
                false => Fate::Replaced {
                    by: made.id,
                    token: made.session.token_text().into(),
                },
            };
            siblings::note(waiter.request(), id, fate);
        }
    }
    let remember = match (remember, settings.backend.as_deref()) {
        (Some(sealed), Some(backend)) => match Box::pin(write(waiter, backend, &sealed)).await {
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
        remember.as_deref(),
    );
}

async fn write(waiter: Waiter, backend: &Backend, sealed: &Sealed) -> Result<(), storage::Error> {
    let Some(record) = sealed.record() else {
        return Ok(());
    };
    let answer = store::set(backend, record).await;
    store::note(waiter.request(), backend, Work::Write, &answer);
    answer
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
    waiter.slot(settings).lose();
}
