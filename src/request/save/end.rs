//! The end of a session.

use session::{Kind, MetaEntry, Refusal};

use super::cookies::expire;
use super::fail;
use crate::conf::{Remember, Settings, Work};
use crate::request::lookup;
use crate::request::siblings::{self, Fate, Newest};
use crate::request::store::{self, RecordName};
use crate::request::wait::Waiter;

/// Ends the whole session and its remember cookie.
///
/// What another request of the client has saved of it meanwhile goes too: its cookie may reach the client last.
pub async fn end(waiter: Waiter, settings: &'static Settings) {
    let newest = siblings::newest(waiter, settings).await;
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
        let cookie = policy.cookie_name.as_str();
        let of_session = record.map(|key| RecordName { cookie, key });
        let of_remember = remember
            .ok()
            .filter(|_| by_cookie)
            .map(|token| lookup::record_name(settings, Kind::Remember, &token));
        let of_newest = record_of(waiter, settings, &newest);
        for record in [of_session, of_newest, of_remember].into_iter().flatten() {
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
    if let Newest::Other { saving, .. } = &newest {
        siblings::note(request, *saving.id(), Fate::Ended);
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

/// The record of what another request has saved.
fn record_of(waiter: Waiter, settings: &'static Settings, newest: &Newest) -> Option<RecordName> {
    let Newest::Other { token, .. } = newest else {
        return None;
    };
    let token = lookup::verify_own(waiter.request(), settings, token).ok()?;
    Some(lookup::record_name(settings, Kind::Session, &token))
}
