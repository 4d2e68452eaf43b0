//! Section 1: the switch, and who gets in.

use ngx::ffi::{NGX_HTTP_FORBIDDEN, NGX_HTTP_UNAUTHORIZED};

use super::Directives;
use super::command::{Arguments, ConfError, inherit, inherit_list, once};
use crate::http::Value;

/// What a location does with the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Off,
    Open,
    Start,
    Logout,
    Destroy,
}

impl Action {
    /// Whether the location works with sessions at all.
    pub fn is_on(self) -> bool {
        self != Action::Off
    }

    /// Whether the location may store something in a session.
    pub fn stores(self) -> bool {
        matches!(self, Action::Open | Action::Start)
    }

    /// Whether the location ends the session or its audience.
    pub fn ends(self) -> bool {
        matches!(self, Action::Logout | Action::Destroy)
    }
}

/// When a session comes into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// With the first thing that is stored.
    Lazy,
    /// With the first visit.
    Always,
}

/// What happens while the storage is out of reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnError {
    /// 503.
    Fail,
    /// The request goes on without a session.
    Pass,
}

/// The access check.
#[derive(Clone)]
pub enum Require {
    Off,
    /// A session must exist.
    Session {
        error: u32,
    },
    /// All values must be true.
    Values {
        values: Vec<Value>,
        error: u32,
    },
}

/// What is written of this section at one level.
#[derive(Default, Clone)]
pub struct AccessDirectives {
    pub action: Option<Action>,
    pub create: Option<Create>,
    pub bypass: Vec<Value>,
    pub require: Option<Require>,
    lookup: Option<()>,
    pub on_error: Option<OnError>,
}

impl AccessDirectives {
    pub fn inherit(&mut self, outer: &AccessDirectives) {
        inherit(&mut self.action, &outer.action);
        inherit(&mut self.create, &outer.create);
        inherit_list(&mut self.bypass, &outer.bypass);
        inherit(&mut self.require, &outer.require);
        inherit(&mut self.lookup, &outer.lookup);
        inherit(&mut self.on_error, &outer.on_error);
    }
}

pub fn session(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let action = args.one_of(&[
        ("off", Action::Off),
        ("open", Action::Open),
        ("start", Action::Start),
        ("logout", Action::Logout),
        ("destroy", Action::Destroy),
    ])?;
    if let Some(parameter) = args.texts().nth(1) {
        return Err(match parameter.strip_prefix(b"profile=") {
            Some(name) => ConfError::wrong(format!(
                "names unknown profile \"{}\"",
                String::from_utf8_lossy(name)
            )),
            None => ConfError::unknown(parameter, "allowed is \"profile=NAME\""),
        });
    }
    once(&mut level.access.action, action)
}

pub fn create(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let create = args.one_of(&[("lazy", Create::Lazy), ("always", Create::Always)])?;
    once(&mut level.access.create, create)
}

pub fn bypass(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    for &arg in args.all() {
        level.access.bypass.push(args.value(arg)?);
    }
    Ok(())
}

pub fn require(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    const ALLOWED: &str =
        "allowed are \"on\", \"off\", values with variables, and \"error=401\" or \"error=403\"";
    let mut error = NGX_HTTP_UNAUTHORIZED;
    let mut word = None;
    let mut values = Vec::new();
    for arg in args.all() {
        match arg.as_bytes() {
            text @ (b"on" | b"off") if word.is_none() => word = Some(text),
            b"error=401" => error = NGX_HTTP_UNAUTHORIZED,
            b"error=403" => error = NGX_HTTP_FORBIDDEN,
            text if text.contains(&b'$') => values.push(args.value(*arg)?),
            text => return Err(ConfError::invalid(text, ALLOWED)),
        }
    }
    let require = match (word, values.is_empty()) {
        (Some(b"on"), true) => Require::Session { error },
        (Some(_), true) => Require::Off,
        (None, false) => Require::Values { values, error },
        (Some(_), false) => {
            return Err(ConfError::wrong(
                "takes either \"on\", \"off\" or values with variables, not both",
            ));
        }
        (None, true) => {
            return Err(ConfError::wrong(format!(
                "names nothing to require: {ALLOWED}"
            )));
        }
    };
    once(&mut level.access.require, require)
}

pub fn lookup(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    for text in args.texts() {
        if text != b"cookie" {
            return Err(ConfError::invalid(text, "allowed is \"cookie\""));
        }
    }
    once(&mut level.access.lookup, ())
}

pub fn on_error(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let on_error = args.one_of(&[("fail", OnError::Fail), ("pass", OnError::Pass)])?;
    once(&mut level.access.on_error, on_error)
}
