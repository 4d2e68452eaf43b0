//! Control headers: the upstream drives the session by its response.

use ngx::ffi::ngx_table_elt_t;
use session::{MergePatch, PatchError};
use thiserror::Error;

use super::content::{logout, session_to_fill};
use super::context::Context;
use super::lookup;
use super::response::Due;
use crate::conf::{ControlNames, LocationSettings, ProfileId, Settings};
use crate::http::headers_in::HeaderName;
use crate::http::{Request, Upstream, headers_out};

/// What `…-Action` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Save,
    Regenerate,
    Touch,
    Logout,
    Destroy,
}

/// What one response asks of one session.
#[derive(Debug, Default)]
pub struct Orders {
    audience: Option<String>,
    /// Empty: none any more.
    subject: Option<String>,
    data: Vec<MergePatch>,
    info: Vec<MergePatch>,
    remember: Option<bool>,
    action: Option<Action>,
}

/// Why a control header cannot be obeyed.
#[derive(Debug, Error)]
enum OrderError {
    #[error(transparent)]
    Patch(#[from] PatchError),
    #[error("it is not UTF-8: encode it so")]
    NotUtf8,
    #[error("it is empty: send a name")]
    Empty,
    #[error(
        "\"{0}\" is unknown: send \"save\", \"regenerate\", \"touch\", \"logout\" or \"destroy\""
    )]
    UnknownAction(String),
    #[error("it is neither \"on\" nor \"off\"")]
    NotASwitch,
    #[error("it came twice: send one")]
    Twice,
    #[error("a subrequest cannot do this: send \"save\" or \"regenerate\"")]
    InSubrequest,
}

/// The orders of a response, by session.
pub type AllOrders = Vec<(ProfileId, Orders)>;

/// Reads the control headers of an upstream's response, for the sessions of a location. What cannot be obeyed is
/// logged, and nothing of it is then.
pub fn read<'r>(
    request: Request<'r>,
    location: &LocationSettings,
    headers: impl Iterator<Item = &'r ngx_table_elt_t> + Clone,
) -> AllOrders {
    let mut all = AllOrders::new();
    for settings in location.active() {
        let Some(names) = &settings.control else {
            continue;
        };
        let mut orders = None;
        for header in headers.clone().filter(|header| header.hash != 0) {
            let name = names
                .all()
                .into_iter()
                .find(|name| name.matches(header.key.as_bytes()));
            let Some(name) = name else {
                continue;
            };
            let orders = orders.get_or_insert_with(Orders::default);
            if let Err(error) = orders.take(request, names, name, header.value.as_bytes()) {
                request_log!(
                    ERR,
                    request,
                    "the upstream's {name} is not obeyed, and no other control header of the response: {error}"
                );
                return AllOrders::new();
            }
        }
        all.extend(orders.map(|orders| (settings.profile, orders)));
    }
    all
}

/// Takes the control headers out of the response: they never reach the client.
pub fn strip(request: Request<'_>, location: &LocationSettings) {
    if !location.control.is_empty() {
        headers_out::remove_if(request, |name, _| is_control(location, name));
    }
}

/// Whether a header drives one of the location's sessions.
pub fn is_control(location: &LocationSettings, name: &[u8]) -> bool {
    location.control.iter().any(|control| control.matches(name))
}

impl Orders {
    fn take(
        &mut self,
        request: Request<'_>,
        names: &ControlNames,
        name: &HeaderName,
        value: &[u8],
    ) -> Result<(), OrderError> {
        let value = value.trim_ascii();
        match name {
            _ if name == &names.data => self.data.push(MergePatch::parse(value)?),
            _ if name == &names.info => self.info.push(MergePatch::parse(value)?),
            _ if name == &names.audience => {
                let audience = text(value)?;
                if audience.is_empty() {
                    return Err(OrderError::Empty);
                }
                once(&mut self.audience, audience.to_owned())?;
            }
            _ if name == &names.subject => once(&mut self.subject, text(value)?.to_owned())?,
            _ if name == &names.remember => once(&mut self.remember, switch(value)?)?,
            _ => {
                let action = Action::parse(value)?;
                if !request.is_main() && !matches!(action, Action::Save | Action::Regenerate) {
                    return Err(OrderError::InSubrequest);
                }
                once(&mut self.action, action)?;
            }
        }
        Ok(())
    }

    /// Whether the orders bring a session into being where there is none.
    fn creates(&self) -> bool {
        self.data.iter().any(|patch| !patch.is_empty())
            || self
                .subject
                .as_ref()
                .is_some_and(|subject| !subject.is_empty())
            || self.action == Some(Action::Save)
    }

    /// Changes the session as ordered. What is then due is for the caller to do.
    pub fn obey(&self, request: Request<'_>, context: &mut Context, settings: &Settings) -> Due {
        let slot = context.slot_mut(settings.profile);
        let exists = slot
            .session
            .as_ref()
            .is_some_and(|session| session.has_audience());
        match self.action {
            Some(Action::Destroy) if slot.session.is_some() => return Due::End,
            Some(Action::Logout) if exists => {
                return match logout(slot) {
                    Due::Refresh => Due::Changes,
                    due => due,
                };
            }
            Some(Action::Destroy | Action::Logout) => return Due::Nothing,
            _ if !exists && !self.creates() => return Due::Nothing,
            _ => {}
        }
        self.change(request, context, settings);
        match self.action {
            Some(Action::Touch) => Due::Touch,
            _ => Due::Changes,
        }
    }

    fn change(&self, request: Request<'_>, context: &mut Context, settings: &Settings) {
        if self.remember.is_some() {
            context.slot_mut(settings.profile).remember = self.remember;
            know_remember_token(request, context, settings);
        }
        context.slot_mut(settings.profile).logs_in |=
            self.subject.is_some() || self.action == Some(Action::Regenerate);
        let session = session_to_fill(request, context, settings);
        if let Some(audience) = &self.audience {
            session.set_audience(audience);
        }
        if let Some(subject) = &self.subject {
            session.set_subject(Some(&**subject).filter(|subject| !subject.is_empty()));
            // Somebody has logged in, and must not go on with an id that others may know.
            session.mark_dirty();
        }
        session.patch_all(&self.data);
        for patch in &self.info {
            session.patch_info(patch);
        }
        if self.remember.is_some() || matches!(self.action, Some(Action::Save | Action::Regenerate))
        {
            session.mark_dirty();
        }
    }
}

/// Where users are not remembered otherwise, nobody has looked at the remember cookie yet; a new one replaces it.
fn know_remember_token(request: Request<'_>, context: &mut Context, settings: &Settings) {
    let token = lookup::verify_remember(request, context, settings);
    let slot = context.slot_mut(settings.profile);
    let by_cookie = slot.is_by_cookie();
    if let (Ok(token), Some(session), true) = (token, &mut slot.session, by_cookie) {
        if !session.has_remember_token() {
            session.set_remember_token(&token);
        }
    }
}

impl Action {
    fn parse(value: &[u8]) -> Result<Action, OrderError> {
        Ok(match value {
            b"save" => Action::Save,
            b"regenerate" => Action::Regenerate,
            b"touch" => Action::Touch,
            b"logout" => Action::Logout,
            b"destroy" => Action::Destroy,
            _ => return Err(OrderError::UnknownAction(shown(value))),
        })
    }
}

/// An unknown word in the log: not all of it, and nothing that would break the line.
fn shown(value: &[u8]) -> String {
    const MOST: usize = 32;
    let value = &value[..value.len().min(MOST)];
    String::from_utf8_lossy(value).escape_debug().to_string()
}

fn text(value: &[u8]) -> Result<&str, OrderError> {
    core::str::from_utf8(value).map_err(|_| OrderError::NotUtf8)
}

fn switch(value: &[u8]) -> Result<bool, OrderError> {
    match value {
        b"on" => Ok(true),
        b"off" => Ok(false),
        _ => Err(OrderError::NotASwitch),
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), OrderError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(OrderError::Twice),
    }
}

/// The upstream whose own answer the response is. An answer with control headers is one user's, and kept out of caches.
pub fn answer(request: Request<'_>, location: &LocationSettings) -> Option<Upstream> {
    let upstream = Upstream::of(request).filter(|upstream| upstream.answers(request))?;
    let mut headers = upstream.headers(request);
    if !location.control.is_empty()
        && headers.any(|header| is_control(location, header.key.as_bytes()))
    {
        upstream.keep_out_of_cache();
    }
    Some(upstream)
}
