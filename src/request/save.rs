//! Saving: the session becomes new cookies.

use session::{
    Cookie, KeyIndex, KeySource, Kind, Lifetime, Place, Refresh, Refusal, SaveError, Sealed,
    Session, SessionId, State, chunk_names, cookie_pairs, expire_cookie, set_cookie,
};

use super::context::{Context, SessionStatus};
use super::lookup::{self, with_binding};
use super::{random_bytes, wait};
use crate::conf::{Action, Remember, Settings};
use crate::event::offload;
use crate::http::Request;

/// Keys stretched by no more rounds than this are made on the spot: it costs less than handing the work over.
pub const INLINE_ROUNDS: u32 = 1_000;

/// Saves, renews or touches the session, whichever is due. What has to wait is left in `context.waiting`.
pub fn start(request: Request<'_>, context: &mut Context, settings: &'static Settings) {
    let Some(session) = &context.session else {
        return;
    };
    let policy = &settings.policy;
    let changed = session.is_dirty() || (session.is_info_dirty() && policy.place == Place::Cookie);
    if changed {
        return save(request, context, settings);
    }
    if settings.action == Action::Start {
        match session.refresh(policy, request.now()) {
            Refresh::Nothing => {}
            Refresh::Touch => touch(request, context, settings),
            Refresh::Renew => save(request, context, settings),
        }
    }
}

/// Saves what an earlier phase left dirty, and nothing else.
pub fn unsaved(request: Request<'_>, context: &mut Context, settings: &'static Settings) {
    if context.session.as_ref().is_some_and(Session::is_dirty) {
        save(request, context, settings);
    }
}

fn touch(request: Request<'_>, context: &mut Context, settings: &Settings) {
    let Some(session) = &mut context.session else {
        return;
    };
    match with_binding(request, settings, |binding| {
        session.touch(&settings.policy, binding, request.now())
    }) {
        Ok(cookie) => send(
            request,
            context,
            settings,
            &cookie,
            session_lifetime(request, settings),
        ),
        Err(error) => request_log!(ERR, request, "the session could not be touched: {error}"),
    }
}

fn save(request: Request<'_>, context: &mut Context, settings: &'static Settings) {
    let Some(session) = &mut context.session else {
        return;
    };
    let is_new = session.id().is_none() && session.state() == State::New;
    let remember = decide_remember(request, session, settings);
    let sealed = with_binding(request, settings, |binding| {
        session.seal(
            &settings.policy,
            SessionId::from_random(random_bytes()),
            binding,
            request.now(),
        )
    });
    let sealed = match sealed {
        Ok(sealed) => sealed,
        Err(error) => return refuse(request, context, settings, &error),
    };
    if is_new {
        context.found = SessionStatus::New;
    }
    match remember {
        true => save_remember(request, context, settings, sealed),
        false => finish(request, context, settings, &sealed, None),
    }
}

/// Whether the save makes a remember token too. An explicit wish of the user's is noted in the session.
fn decide_remember(request: Request<'_>, session: &mut Session, settings: &Settings) -> bool {
    if settings.action.ends() {
        return session.has_remember_token();
    }
    match &settings.remember {
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

/// Makes the remember token beside the session's; its key may take a while to stretch.
fn save_remember(
    request: Request<'_>,
    context: &mut Context,
    settings: &'static Settings,
    sealed: Sealed,
) {
    let id = SessionId::from_random(random_bytes());
    let policy = &settings.policy;
    match policy
        .keys
        .remember_key(KeyIndex::CURRENT, &id, policy.safety)
    {
        KeySource::Ready(key) => finish(request, context, settings, &sealed, Some((id, key))),
        KeySource::Stretch(job) if job.rounds() <= INLINE_ROUNDS => {
            finish(request, context, settings, &sealed, Some((id, job.run())));
        }
        KeySource::Stretch(job) => {
            wait::start(
                request,
                offload(move || job.run()),
                move |request, context, key| {
                    let key = match key {
                        Some(Ok(key)) => Some((id, key)),
                        Some(Err(error)) => not_remembered(request, &error.to_string()),
                        None => not_remembered(request, "the key was not ready in time"),
                    };
                    finish(request, context, settings, &sealed, key);
                },
            );
        }
    }
}

/// The user is logged in all the same.
fn not_remembered<T>(request: Request<'_>, why: &str) -> Option<T> {
    request_log!(ERR, request, "the remember cookie could not be made: {why}");
    None
}

/// All tokens are made: the session is theirs, and their cookies are due.
fn finish(
    request: Request<'_>,
    context: &mut Context,
    settings: &Settings,
    sealed: &Sealed,
    remember: Option<(SessionId, session::CipherKey)>,
) {
    let Some(session) = &mut context.session else {
        return;
    };
    let remembered = remember.map(|(id, key)| {
        with_binding(request, settings, |binding| {
            session.seal_remember(&settings.policy, id, &key, binding, request.now())
        })
    });
    session.committed(sealed);
    send_sealed(
        request,
        context,
        settings,
        sealed,
        session_lifetime(request, settings),
    );
    match remembered {
        Some(Ok(sealed)) => {
            if let Some(session) = &mut context.session {
                session.committed(&sealed);
            }
            let lifetime = Lifetime {
                now: request.now(),
                max_age: sealed.remember_lifetime(),
            };
            send_sealed(request, context, settings, &sealed, Some(lifetime));
        }
        Some(Err(error)) => {
            not_remembered::<()>(request, &error.to_string());
        }
        None => forget(request, context, settings),
    }
}

/// A user who no longer wants to be remembered loses the remember cookie.
fn forget(request: Request<'_>, context: &mut Context, settings: &Settings) {
    let unwanted = context
        .session
        .as_ref()
        .is_some_and(|session| session.forget() && session.has_remember_token());
    if unwanted {
        expire(request, context, settings, Kind::Remember);
    }
}

/// The session cannot be saved: what the client has stays valid, and this request goes on with that.
fn refuse(request: Request<'_>, context: &mut Context, settings: &Settings, error: &SaveError) {
    request_log!(ERR, request, "the session is not saved: {error}");
    context.session = lookup::open(request, context, settings).ok();
}

fn send_sealed(
    request: Request<'_>,
    context: &mut Context,
    settings: &Settings,
    sealed: &Sealed,
    lifetime: Option<Lifetime>,
) {
    for cookie in sealed.cookies() {
        send(request, context, settings, cookie, lifetime);
    }
    for name in sealed.stale_cookies() {
        context.send_cookie(name, expire_cookie(name, attributes(request, settings)));
    }
}

fn send(
    request: Request<'_>,
    context: &mut Context,
    settings: &Settings,
    cookie: &Cookie,
    lifetime: Option<Lifetime>,
) {
    let line = set_cookie(
        &cookie.name,
        &cookie.value,
        attributes(request, settings),
        lifetime,
    );
    context.send_cookie(&cookie.name, line);
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
pub fn destroy(request: Request<'_>, context: &mut Context, settings: &Settings) {
    // A location that an internal redirect leads to may begin another session.
    let session = context.session.take();
    if session.is_some_and(|session| session.id().is_some()) {
        expire(request, context, settings, Kind::Session);
    }
    if remember_cookie_is_ours(request, context, settings) {
        expire(request, context, settings, Kind::Remember);
    }
}

/// Where users are not remembered, a cookie called `remember` may well be the application's.
fn remember_cookie_is_ours(request: Request<'_>, context: &Context, settings: &Settings) -> bool {
    match lookup::verify(request, context, settings, Kind::Remember) {
        Ok(_) => true,
        Err(Refusal::Missing) => false,
        Err(_) => !matches!(settings.remember, Remember::Off),
    }
}

/// Expires a refused cookie, unless a new one of its name is due; chunks that nobody needs go in any case.
pub fn expire_unless_due(
    request: Request<'_>,
    context: &mut Context,
    settings: &Settings,
    kind: Kind,
) {
    let due = core::mem::take(&mut context.due);
    expire(request, context, settings, kind);
    context
        .due
        .retain(|expired| due.iter().all(|kept| kept.name != expired.name));
    context.due.splice(0..0, due);
}

/// Expires a cookie, and with it all its chunks that the request has.
pub fn expire(request: Request<'_>, context: &mut Context, settings: &Settings, kind: Kind) {
    let name = settings.policy.name_of(kind).as_str();
    let attributes = attributes(request, settings);
    context.send_cookie(name, expire_cookie(name, attributes));
    if settings.policy.place == Place::Cookie {
        let chunks: Vec<_> = chunk_names(name)
            .filter(|chunk| came(context, chunk))
            .collect();
        for chunk in chunks {
            context.send_cookie(&chunk, expire_cookie(&chunk, attributes));
        }
    }
}

/// Whether the client sent a cookie of that name.
fn came(context: &Context, name: &str) -> bool {
    let mut pairs = context.cookies().iter().flat_map(|line| cookie_pairs(line));
    pairs.any(|(other, _)| other == name.as_bytes())
}
