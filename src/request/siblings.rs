//! Requests of one client that run at the same time, each changing the same session.
//!
//! Every save gives the session a new id, so of two requests that began with one id the later would undo what the earlier
//! has saved. Within a worker (with HTTP/2, that is all of a browser) the later one catches up: it waits for a save
//! under way, reads what was saved, does its own changes again on that, and saves the result. An old id must be no way
//! into what a session has become since, so this is for requests from the same address with the same user agent only,
//! and not beyond a login.

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use session::{Place, Rebased, SessionId};

use super::lookup::{self, Trouble};
use super::recent::{RandomMap, Recent};
use super::wait::Waiter;
use crate::conf::Settings;
use crate::http::Request;

/// Seconds that it is known what has become of an id. Requests that run longer save what they have.
const KNOWN_FOR: u64 = 600;
/// Saves that are followed at a time; a shorter way is remembered, so the next request gets further.
const LONGEST_WAY: usize = 1000;

thread_local! {
    static SIBLINGS: RefCell<Siblings> = RefCell::new(Siblings::default());
}

#[derive(Default)]
struct Siblings {
    /// What has become of an id.
    fates: Recent<SessionId, Known>,
    /// The ids from which a save is under way, with those who wait for its end.
    saving: RandomMap<SessionId, Vec<Waker>>,
}

struct Known {
    fate: Fate,
    client: Client,
    /// Unix seconds.
    until: u64,
}

/// What a save or its like has made of a session's id.
#[derive(Clone)]
pub enum Fate {
    /// It was replaced.
    Replaced {
        /// The new id, which may have been replaced since.
        by: SessionId,
        /// The new token.
        token: Rc<str>,
    },
    /// Somebody has logged in with it. The new id is only for who has been told.
    LoggedIn,
    /// The session was ended.
    Ended,
}

/// Who a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Client(u64);

impl Client {
    fn of(request: Request<'_>) -> Client {
        let mut hasher = DefaultHasher::new();
        request.remote_addr().hash(&mut hasher);
        request.user_agent().hash(&mut hasher);
        Client(hasher.finish())
    }
}

/// What has become of an id by now, as far as the client of this request may know.
pub fn fate_of(request: Request<'_>, id: &SessionId) -> Option<Fate> {
    // Of most ids nothing is known to anybody.
    if !SIBLINGS.with_borrow(|siblings| siblings.fates.get(id).is_some()) {
        return None;
    }
    fate(id, Client::of(request), request.now())
}

/// What has become of an id in the end, as far as this client may know.
fn fate(id: &SessionId, client: Client, now: u64) -> Option<Fate> {
    SIBLINGS.with_borrow_mut(|siblings| {
        let known = |id: &SessionId| {
            let entry = siblings.fates.get(id)?;
            let may_know = entry.client == client && entry.until > now;
            may_know.then(|| entry.fate.clone())
        };
        let mut last = known(id)?;
        for _ in 0..LONGEST_WAY {
            let Fate::Replaced { by, .. } = &last else {
                break;
            };
            match known(by) {
                Some(next) => last = next,
                None => break,
            }
        }
        // Who comes again with the old id need not go the whole way again.
        if let Some(entry) = siblings.fates.get_mut(id) {
            entry.fate = last.clone();
        }
        Some(last)
    })
}

/// Takes note of what has become of an id.
pub fn note(request: Request<'_>, id: SessionId, fate: Fate) {
    let (client, now) = (Client::of(request), request.now());
    SIBLINGS.with_borrow_mut(|siblings| {
        let entry = Known {
            fate,
            client,
            until: now + KNOWN_FOR,
        };
        siblings.fates.insert(id, entry);
    });
}

/// What a request has to do once it has caught up.
pub enum CaughtUp {
    /// Save, and keep this until that is done.
    Save(Option<Saving>),
    /// End the session.
    End,
    /// Nothing: what it changed is over.
    Nothing,
}

/// Lets a session that is about to be saved go on from what other requests of the client have saved meanwhile.
pub async fn catch_up(waiter: Waiter, settings: &'static Settings) -> CaughtUp {
    match newest(waiter, settings).await {
        Newest::Own(saving) => CaughtUp::Save(saving),
        Newest::Ended => give_up(waiter, settings, "it was ended"),
        // A login of one's own stands by itself.
        Newest::LoggedIn if waiter.slot(settings).logs_in => CaughtUp::Save(None),
        Newest::LoggedIn => give_up(waiter, settings, "somebody has logged in"),
        Newest::Other { token, saving } => {
            match Box::pin(go_on_from(waiter, settings, &token)).await {
                Some(done) => done,
                None => CaughtUp::Save(Some(saving)),
            }
        }
    }
}

/// What a session is by now.
pub enum Newest {
    /// What this request has of it.
    Own(Option<Saving>),
    /// What another request has saved: this token. Nobody else saves from it meanwhile.
    Other { token: Rc<str>, saving: Saving },
    /// Another request has logged in with it.
    LoggedIn,
    /// Another request has ended it.
    Ended,
}

/// Waits for other requests that are saving the session, and says what has become of it. Of sessions in cookies nobody
/// knows: only the client has them.
pub async fn newest(waiter: Waiter, settings: &'static Settings) -> Newest {
    if settings.policy.place == Place::Cookie {
        return Newest::Own(None);
    }
    loop {
        let Some(id) = waiter
            .session(settings)
            .and_then(|session| session.id().copied())
        else {
            return Newest::Own(None);
        };
        let (client, now) = (Client::of(waiter.request()), waiter.request().now());
        let last = match fate(&id, client, now) {
            Some(Fate::Ended) => return Newest::Ended,
            Some(Fate::LoggedIn) => return Newest::LoggedIn,
            Some(Fate::Replaced { by, token }) => Some((by, token)),
            None => None,
        };
        let newest = last.as_ref().map_or(id, |(by, _)| *by);
        let saving = match Saving::begin(newest) {
            Some(saving) => saving,
            None => {
                let saving = Saving::wait(newest).await;
                if fate(&newest, client, now).is_some() {
                    // Another save has ended meanwhile.
                    continue;
                }
                saving
            }
        };
        return match last {
            None => Newest::Own(Some(saving)),
            Some((_, token)) => Newest::Other { token, saving },
        };
    }
}

/// Does this request's changes again on the session of `token`. `None`: go on with that.
async fn go_on_from(waiter: Waiter, settings: &'static Settings, token: &str) -> Option<CaughtUp> {
    let fresh = match lookup::load_text(waiter, settings, token).await {
        Ok(fresh) => fresh,
        Err(Trouble::Refused(_)) => return Some(give_up(waiter, settings, "it is over")),
        Err(Trouble::Unknown) => {
            waiter.slot(settings).lose();
            return Some(CaughtUp::Nothing);
        }
    };
    let now = waiter.request().now();
    let slot = waiter.slot(settings);
    let jar = slot.jar.as_deref_mut();
    let logs_in = slot.logs_in;
    match slot.session.as_mut()?.rebase(*fresh, jar, now) {
        Rebased::Merged if !slot.has_changes() => Some(CaughtUp::Nothing),
        Rebased::Merged => None,
        Rebased::Last => Some(CaughtUp::End),
        Rebased::Gone => Some(give_up(waiter, settings, "it was ended")),
        // A login of one's own stands by itself.
        Rebased::OtherSubject if logs_in => Some(CaughtUp::Save(None)),
        Rebased::OtherSubject => Some(give_up(waiter, settings, "somebody has logged in")),
    }
}

/// What this request changed is of no use any more, and must not come back by a save.
fn give_up(waiter: Waiter, settings: &Settings, why: &str) -> CaughtUp {
    request_log!(
        INFO,
        waiter.request(),
        "what this request changed in the session is not saved: {why} meanwhile"
    );
    waiter.slot(settings).set_session(None);
    CaughtUp::Nothing
}

/// A save from an id, which no other may begin meanwhile.
pub struct Saving(SessionId);

impl Saving {
    /// The id.
    pub fn id(&self) -> &SessionId {
        &self.0
    }

    /// Begins, unless another is under way.
    fn begin(id: SessionId) -> Option<Saving> {
        SIBLINGS.with_borrow_mut(|siblings| match siblings.saving.entry(id) {
            Entry::Occupied(_) => None,
            Entry::Vacant(entry) => {
                entry.insert(Vec::new());
                Some(Saving(id))
            }
        })
    }

    /// Begins when no other is under way any more.
    async fn wait(id: SessionId) -> Saving {
        poll_fn(|context| {
            if let Some(saving) = Saving::begin(id) {
                return Poll::Ready(saving);
            }
            SIBLINGS.with_borrow_mut(|siblings| {
                let waiting = siblings.saving.entry(id).or_default();
                waiting.push(context.waker().clone());
            });
            Poll::Pending
        })
        .await
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        let waiting = SIBLINGS.with_borrow_mut(|siblings| siblings.saving.remove(&self.0));
        for waker in waiting.into_iter().flatten() {
            waker.wake();
        }
    }
}
