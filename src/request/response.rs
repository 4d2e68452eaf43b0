//! Phase 5, the session's side of it: what a response asks of the sessions, and what is then due.
//!
//! Control headers come first, then the upstream's cookies, then the location's rules for the response; whatever they
//! change is saved once, together with what a location that `return` answers has not come to yet.

use super::content::{self, apply};
use super::context::{Context, SessionStatus, Stage};
use super::control::{self, AllOrders, Orders};
use super::jar;
use super::{save, settings};
use crate::conf::{LocationSettings, Settings};
use crate::http::{Request, Upstream, headers_out};

/// What is to be done for a session once it is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    Nothing,
    /// The idling timeout begins anew.
    Touch,
    /// What has changed is to be saved.
    Changes,
    /// So it is, and the session renewed or touched if it is time.
    Refresh,
    /// The session ends.
    End,
}

/// What a response brings for the sessions of its location.
#[derive(Default)]
pub struct Brought<'r> {
    orders: AllOrders,
    cookies: jar::Lines<'r>,
}

impl Brought<'_> {
    fn is_empty(&self) -> bool {
        self.orders.is_empty() && self.cookies.is_empty()
    }

    fn orders_of(&self, settings: &Settings) -> Option<&Orders> {
        let mut orders = self.orders.iter();
        orders
            .find(|(profile, _)| *profile == settings.profile)
            .map(|(_, orders)| orders)
    }
}

/// Reads what the response brings, and takes out of it what is not the client's.
pub fn take<'r>(
    request: Request<'r>,
    context: &mut Context,
    location: &LocationSettings,
) -> Brought<'r> {
    if !location.hears_responses {
        return Brought::default();
    }
    let orders = match control::answer(request, location) {
        Some(upstream) if context.obeyed != Some(upstream) => {
            context.obeyed = Some(upstream);
            control::read(request, location, upstream.headers(request))
        }
        // A handler such as that of a scripting module has made the response.
        None if Upstream::of(request).is_none() => {
            control::read(request, location, headers_out::all(request))
        }
        _ => AllOrders::new(),
    };
    control::strip(request, location);
    Brought {
        orders,
        cookies: jar::take(request, context, location),
    }
}

/// Changes the sessions of the client's own request as its response says, and begins what is due. What has to wait is
/// left in `context.waiting`.
pub fn run(request: Request<'_>, context: &mut Context, brought: &Brought) {
    let location = settings(request);
    // A location that `return` answers has not come to its own directives yet.
    let skipped = !context.left_rewrite && !context.refused;
    // The location's own access checks have let the request in, be it as an error page for another's refusal.
    let granted = skipped || context.stage == Stage::Done;
    for settings in location.active() {
        let mut due = Due::Nothing;
        if skipped {
            due = content::begin(request, context, settings);
        }
        if granted {
            due = due.max(change(request, context, settings, brought));
        } else {
            keep_remembered(request, context, settings);
        }
        save::carry_out(request, context, settings, due);
    }
    if skipped {
        context.stage = Stage::Done;
    }
}

/// Whether the response is one of the location that this module has worked for. nginx answers some requests (a redirect
/// for a missing slash, a body that is too large) when it has found the next location and nobody has checked its access.
pub fn is_ours(request: Request<'_>, context: &Context) -> bool {
    context.at == Some(request.location())
}

/// A refused request has no right to change its session, but a user who was just remembered stays so, and so does a new
/// session of an earlier location, which has told its upstream of it.
fn keep_remembered(request: Request<'_>, context: &Context, settings: &'static Settings) {
    let was_remembered = context
        .slot(settings.profile)
        .is_some_and(|slot| slot.found == SessionStatus::Remembered);
    let stays = was_remembered || is_put_off(context, settings);
    if stays && context.works(request, settings.profile) && !settings.action.ends() {
        save::unsaved(request, context, settings);
    }
}

/// Makes the changes in memory.
fn change(
    request: Request<'_>,
    context: &mut Context,
    settings: &'static Settings,
    brought: &Brought<'_>,
) -> Due {
    if !context.may_store(request, settings) {
        return Due::Nothing;
    }
    if brought.is_empty() && settings.on_response.is_empty() {
        let slot = context.slot_mut(settings.profile);
        return if slot.has_changes() {
            Due::Changes
        } else {
            Due::Nothing
        };
    }
    let orders = brought.orders_of(settings);
    let due = orders.map_or(Due::Nothing, |orders| {
        orders.obey(request, context, settings)
    });
    if due == Due::End {
        return due;
    }
    jar::fill(request, context, settings, &brought.cookies);
    apply(request, context, settings, &settings.on_response);
    match due {
        Due::Nothing => Due::Changes,
        due => due,
    }
}

/// The request leaves its location for another, or gets an answer of nginx's own: what the upstream's answer asked of the
/// sessions is done now, since nothing of that answer comes by the filters. What has to wait is left in `context.waiting`.
///
/// `goes_on` says whether a new session that is not saved yet will be, where the request goes.
pub fn leave(request: Request<'_>, context: &mut Context, goes_on: impl Fn(&Settings) -> bool) {
    let Some(location) = context.location.filter(|_| context.stage == Stage::Done) else {
        return;
    };
    let brought = led_here(request, context, location);
    for left in location.active() {
        let mut due = Due::Nothing;
        if let Some(brought) = brought.as_ref() {
            due = change(request, context, left, brought);
        }
        if is_put_off(context, left) && !goes_on(left) {
            due = due.max(Due::Changes);
        }
        save::carry_out(request, context, left, due);
    }
}

/// What the upstream brought whose answer led to another location.
fn led_here<'r>(
    request: Request<'r>,
    context: &mut Context,
    location: &LocationSettings,
) -> Option<Brought<'r>> {
    let upstream = Upstream::of(request)?;
    if !upstream.led_elsewhere(request) || context.obeyed == Some(upstream) {
        return None;
    }
    context.obeyed = Some(upstream);
    Some(Brought {
        orders: control::read(request, location, upstream.headers(request)),
        cookies: jar::take(request, context, location),
    })
}

/// Whether the save of a new session waits for the response.
fn is_put_off(context: &Context, settings: &Settings) -> bool {
    let session = context.session(settings.profile);
    session.is_some_and(|session| session.reserved().is_some())
}

/// Whether the next location saves the session in the same manner.
pub fn is_saved_in(left: &Settings, next: &LocationSettings) -> bool {
    let next = next.of(left.profile);
    next.is_some_and(|next| next.action.stores() && left.is_kept_like(next))
}

/// The response of a subrequest changes the sessions in memory; the client's own request saves them.
pub fn subrequest(request: Request<'_>) {
    let location = settings(request);
    let orders = match control::answer(request, location) {
        Some(upstream) if request.raw().background() == 0 => {
            control::read(request, location, upstream.headers(request))
        }
        _ => AllOrders::new(),
    };
    control::strip(request, location);
    let Some(context) = Context::of(request) else {
        return;
    };
    let brought = Brought {
        orders,
        cookies: jar::take(request, context, location),
    };
    if brought.is_empty() || request.raw().background() != 0 {
        return;
    }
    if request.main().raw().header_sent() != 0 {
        request_log!(
            WARN,
            request,
            "what a subrequest's response asks of the session came after the client's response had begun: it is not done"
        );
        return;
    }
    for settings in location.active() {
        if context.may_store(request, settings) {
            if let Some(orders) = brought.orders_of(settings) {
                orders.obey(request, context, settings);
            }
            jar::fill(request, context, settings, &brought.cookies);
        }
    }
}
