//! Finding, verifying and opening the session of a request, or remembering its user.

use std::borrow::Cow;

use session::{Binding, CipherKey, KeySource, Kind, Refusal, Session, State, Token};

use super::context::{Context, SessionStatus, Stage};
use super::wait;
use crate::conf::{Remember, Settings};
use crate::event::offload;
use crate::http::Request;

/// Looks the session up. What has to wait (a stretched key) is left in `context.waiting`.
pub fn start(request: Request<'_>, context: &mut Context, settings: &'static Settings) {
    context.stage = Stage::LookedUp;
    context.looked_up_in = Some(settings);
    context.session = None;
    context.refused_cookie = false;
    context.refused_remember = false;
    match open(request, context, settings) {
        Ok(session) => adopt(request, context, settings, session),
        Err(refusal) => {
            log_refusal(request, settings.policy.cookie_name.as_str(), &refusal);
            context.refuse(&refusal);
            if !matches!(settings.remember, Remember::Off) {
                remember(request, context, settings);
            }
        }
    }
}

/// Opens the session that the request's cookie holds.
pub fn open(
    request: Request<'_>,
    context: &Context,
    settings: &Settings,
) -> Result<Session, Refusal> {
    let token = verify(request, context, settings, Kind::Session)?;
    match token.cipher_key(&settings.policy) {
        KeySource::Ready(key) => open_token(request, settings, token, &key),
        // The ground floor stretches keys of remember tokens only; were it otherwise, this runs it here.
        KeySource::Stretch(job) => open_token(request, settings, token, &job.run()),
    }
}

/// Finds the token of that kind among the client's cookies, and checks all but its content.
pub fn verify(
    request: Request<'_>,
    context: &Context,
    settings: &Settings,
    kind: Kind,
) -> Result<Token, Refusal> {
    with_binding(request, settings, |binding| {
        settings
            .policy
            .verify(kind, context.cookies(), binding, request.now())
    })
}

fn open_token(
    request: Request<'_>,
    settings: &Settings,
    token: Token,
    key: &CipherKey,
) -> Result<Session, Refusal> {
    token.open(&settings.policy, key, None, &audience(request, settings))
}

/// Takes the session that the request brought.
fn adopt(request: Request<'_>, context: &mut Context, settings: &Settings, mut session: Session) {
    context.found = match (session.has_audience(), session.state()) {
        (false, _) => SessionStatus::NoAudience,
        (true, State::Remembered) => SessionStatus::Remembered,
        (true, _) => SessionStatus::Open,
    };
    let may_remember = !matches!(settings.remember, Remember::Off) || settings.action.ends();
    if session.state() != State::Remembered && may_remember {
        // A later save goes on with the remember token's own age, so it has to be known.
        match verify(request, context, settings, Kind::Remember) {
            Ok(token) => session.set_remember_token(&token),
            Err(Refusal::Missing) => {}
            // Where users are not remembered, a cookie of that name may be the application's.
            Err(_) if matches!(settings.remember, Remember::Off) => {}
            Err(refusal) => {
                log_refusal(
                    request,
                    settings.policy.remember_cookie_name.as_str(),
                    &refusal,
                );
                context.refused_remember = true;
            }
        }
    }
    context.session = Some(session);
}

/// The session is missing or over: does a remember cookie bring its user back?
fn remember(request: Request<'_>, context: &mut Context, settings: &'static Settings) {
    let token = match verify(request, context, settings, Kind::Remember) {
        Ok(token) => token,
        Err(refusal) => return refuse_remember(request, context, settings, &refusal),
    };
    match token.cipher_key(&settings.policy) {
        KeySource::Ready(key) => remembered(request, context, settings, token, &key),
        KeySource::Stretch(job) if job.rounds() <= super::save::INLINE_ROUNDS => {
            remembered(request, context, settings, token, &job.run());
        }
        KeySource::Stretch(job) => {
            wait::start(
                request,
                offload(move || job.run()),
                move |request, context, key| match key {
                    Some(Ok(key)) => remembered(request, context, settings, token, &key),
                    Some(Err(error)) => key_failed(request, context, &error.to_string()),
                    None => key_failed(request, context, "the key was not ready in time"),
                },
            );
        }
    }
}

fn remembered(
    request: Request<'_>,
    context: &mut Context,
    settings: &Settings,
    token: Token,
    key: &CipherKey,
) {
    match open_token(request, settings, token, key) {
        Ok(session) => {
            // The session cookie, refused or missing, is replaced when the new session is saved.
            adopt(request, context, settings, session);
        }
        Err(refusal) => refuse_remember(request, context, settings, &refusal),
    }
}

fn refuse_remember(
    request: Request<'_>,
    context: &mut Context,
    settings: &Settings,
    refusal: &Refusal,
) {
    log_refusal(
        request,
        settings.policy.remember_cookie_name.as_str(),
        refusal,
    );
    context.refused_remember = !matches!(refusal, Refusal::Missing);
}

/// Nothing is known of the user then, so nothing is cleared either.
fn key_failed(request: Request<'_>, context: &mut Context, why: &str) {
    request_log!(
        ERR,
        request,
        "the remember cookie could not be opened: {why}"
    );
    context.found = SessionStatus::Error;
    context.refused_cookie = false;
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

/// A client's bad cookie is worth a line at `info`; a client without one is not.
fn log_refusal(request: Request<'_>, name: &str, refusal: &Refusal) {
    if !matches!(refusal, Refusal::Missing) {
        request_log!(
            INFO,
            request,
            "cookie \"{name}\" refused, {}: {refusal}",
            refusal.status()
        );
    }
}
