//! Phase 3, after access was granted and before the content: the location changes the session.

use ngx::core::Status;
use ngx::ffi::{NGX_HTTP_SERVICE_UNAVAILABLE, ngx_int_t};
use session::{Logout, Session};

use super::context::{Context, SessionStatus, Slot, Stage};
use super::lookup::audience;
use super::response::Due;
use super::{save, settings, upstream, wait};
use crate::conf::{Action, Create, LocationSettings, OnError, Rules, Settings, Unset};
use crate::http::{Request, Value};

/// Unset, set, subject, renew or touch; one save; then the headers for the upstream.
pub fn handle(request: Request<'_>) -> Status {
    let location = settings(request);
    if request.is_main() {
        run(request, location);
    } else if let Some(context) = Context::of(request) {
        // A subrequest shares the sessions of its main request, which saves them.
        for settings in location.active() {
            change(request, context, settings);
        }
    }
    if let Some(context) = Context::of(request) {
        if context.waiting.is_some() {
            wait::suspend(request, context);
            return Status::NGX_AGAIN;
        }
        if outage_ends(request, context, location) {
            context.outage_answered = true;
            return Status(NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t);
        }
    }
    match upstream::prepare(request, location) {
        Ok(()) => Status::NGX_DECLINED,
        Err(_) => Status::NGX_ERROR,
    }
}

/// Whether the storage's outage is the end of this request. It is that once: the error page for it is shown all the same.
pub fn outage_ends(request: Request<'_>, context: &Context, location: &LocationSettings) -> bool {
    !context.outage_answered
        && location.active().any(|settings| {
            settings.on_error == OnError::Fail
                && context.status(request, settings.profile) == SessionStatus::Error
        })
}

/// Does what the location's directives ask for, unless it is done. What has to wait is left in `context.waiting`.
pub fn run(request: Request<'_>, location: &'static LocationSettings) {
    if let Some(context) = Context::of(request) {
        context.stage = Stage::Done;
    }
    for settings in location.active() {
        run_session(request, settings);
    }
}

fn run_session(request: Request<'_>, settings: &'static Settings) {
    let Some(context) = Context::of(request) else {
        return;
    };
    let due = begin(request, context, settings);
    save::carry_out_early(request, context, settings, due);
}

/// Changes the session in memory as the location asks, unless it is done, and says what is due then.
pub fn begin(request: Request<'_>, context: &mut Context, settings: &'static Settings) -> Due {
    let works = context.works(request, settings.profile);
    let slot = context.slot_mut(settings.profile);
    if slot.stage != Stage::LookedUp || !works {
        return Due::Nothing;
    }
    slot.stage = Stage::Done;
    match settings.action {
        Action::Off => Due::Nothing,
        Action::Open | Action::Start => {
            change(request, context, settings);
            Due::Refresh
        }
        Action::Logout => logout(slot),
        Action::Destroy => Due::End,
    }
}

/// Takes the current audience out of the session, in memory.
pub fn logout(slot: &mut Slot) -> Due {
    let only_reads = slot.is_only_read();
    let session = slot.session.as_mut();
    match session.filter(|session| session.has_audience()) {
        None => Due::Nothing,
        // Without one audience it would be another session, which the client could not be given.
        Some(_) if only_reads => Due::End,
        Some(session) => match session.logout() {
            Logout::Last => Due::End,
            Logout::Others => Due::Refresh,
        },
    }
}

/// Makes the changes in memory.
fn change(request: Request<'_>, context: &mut Context, settings: &Settings) {
    if !settings.may_change_on_request() || !context.may_store(request, settings) {
        return;
    }
    let rules = &settings.on_request;
    unset(request, context, settings, rules);
    set(request, context, settings, rules);
    let subject = settings
        .subject
        .map(|subject| subject.eval(request))
        .unwrap_or_default();
    match core::str::from_utf8(subject) {
        Ok("") => {}
        Ok(subject) => {
            let is_new = session_to_fill(request, context, settings).set_subject(Some(subject));
            context.slot_mut(settings.profile).logs_in |= is_new;
        }
        Err(_) => request_log!(
            WARN,
            request,
            "the value of \"session_subject\" is not UTF-8, the subject is left as it was"
        ),
    }
    if settings.create == Create::Always && request.is_main() {
        let session = session_to_fill(request, context, settings);
        if session.id().is_none() || !session.has_audience() {
            session.mark_dirty();
        }
    }
    set_info(request, context, settings, rules);
}

/// Carries out the rules of a phase, in memory.
pub fn apply(request: Request<'_>, context: &mut Context, settings: &Settings, rules: &Rules) {
    unset(request, context, settings, rules);
    set(request, context, settings, rules);
    set_info(request, context, settings, rules);
}

fn unset(request: Request<'_>, context: &mut Context, settings: &Settings, rules: &Rules) {
    let Some(session) = &mut context.slot_mut(settings.profile).session else {
        return;
    };
    for rule in rules
        .unset
        .iter()
        .filter(|rule| holds(request, rule.condition))
    {
        match &rule.what {
            Unset::All => {
                session.clear();
            }
            Unset::Keys(keys) => {
                for key in keys {
                    session.unset(key);
                }
            }
        }
    }
}

fn set(request: Request<'_>, context: &mut Context, settings: &Settings, rules: &Rules) {
    for rule in rules
        .set
        .iter()
        .filter(|rule| holds(request, rule.condition))
    {
        match rule.kind.read(rule.value.eval(request)) {
            Some(value) => {
                session_to_fill(request, context, settings).set(rule.key, value);
            }
            None => request_log!(
                WARN,
                request,
                "the value for \"{}\" is not {}, the session is left as it was",
                rule.key,
                rule.kind.describe()
            ),
        }
    }
}

fn set_info(request: Request<'_>, context: &mut Context, settings: &Settings, rules: &Rules) {
    let Some(session) = &mut context.slot_mut(settings.profile).session else {
        return;
    };
    for rule in rules
        .info_set
        .iter()
        .filter(|rule| holds(request, rule.condition))
    {
        match core::str::from_utf8(rule.value.eval(request)) {
            Ok(text) => {
                session.info_set(rule.key, text.into());
            }
            Err(_) => request_log!(
                WARN,
                request,
                "the info for \"{}\" is not UTF-8, it is left as it was",
                rule.key
            ),
        }
    }
}

fn holds(request: Request<'_>, condition: Option<Value>) -> bool {
    condition.is_none_or(|condition| condition.is_true(request))
}

/// The session, made in memory where there is none: it comes into being with the first thing that is stored.
pub fn session_to_fill<'c>(
    request: Request<'_>,
    context: &'c mut Context,
    settings: &Settings,
) -> &'c mut Session {
    context
        .slot_mut(settings.profile)
        .session
        .get_or_insert_with(|| Box::new(Session::new(&audience(request, settings), None)))
}
