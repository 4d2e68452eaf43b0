//! Making the tokens of a save.

use session::{CipherKey, KeyIndex, KeySource, SaveError, Sealed, Session, SessionId, State};

use crate::conf::{Remember, Settings};
use crate::http::Request;
use crate::random;
use crate::request::context::SessionStatus;
use crate::request::lookup::{stretch, with_binding};
use crate::request::wait::Waiter;

/// A session's token that is made but not sent.
pub struct Made {
    pub id: SessionId,
    pub session: Sealed,
    /// A remember token is due as well.
    pub remember: bool,
}

/// Makes the session's token.
pub fn make(waiter: Waiter, settings: &'static Settings) -> Option<Result<Box<Made>, SaveError>> {
    let (request, context) = (waiter.request(), waiter.context());
    let policy = &settings.policy;
    let slot = context.slot_mut(settings.profile);
    let by_cookie = slot.is_by_cookie();
    let session = slot.session.as_mut()?;
    let is_new = session.id().is_none() && session.state() == State::New;
    let remember = by_cookie && decide_remember(request, session, settings, slot.remember);
    let id = session.reserved().copied();
    let id = id.unwrap_or_else(random::session_id);
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
    Some(Ok(Box::new(Made {
        id,
        session: sealed,
        remember,
    })))
}

/// Makes a remember token, whose key may take a while to stretch.
/// Without it the user is logged in all the same.
pub async fn make_remember(waiter: Waiter, settings: &'static Settings) -> Option<Box<Sealed>> {
    let policy = &settings.policy;
    let id = random::session_id();
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
    match sealed {
        Ok(sealed) => Some(Box::new(sealed)),
        Err(error) => not_remembered(waiter, &error.to_string()),
    }
}

pub fn not_remembered<T>(waiter: Waiter, why: &str) -> Option<T> {
    request_log!(
        ERR,
        waiter.request(),
        "the remember cookie could not be made: {why}"
    );
    None
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
