//! Section 1: the switch, and who gets in.

use ngx::ffi::{NGX_HTTP_FORBIDDEN, NGX_HTTP_UNAUTHORIZED};
use session::CookieName;

use super::command::{Arguments, ConfError, Position, inherit, inherit_list, once, utf8};
use super::{Directives, Lists};
use crate::http::Value;
use crate::http::headers_in::HeaderName;

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

/// A place to look for a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    Cookie,
    /// A request header; the new token goes back in a response header of that name.
    Header(HeaderName),
    /// An argument of the URI. It only reads: a link must not plant a session.
    Arg(&'static str),
}

impl Lookup {
    /// A token from there is never replaced.
    pub fn only_reads(&self) -> bool {
        matches!(self, Lookup::Arg(_))
    }

    /// The header, if it is one.
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            Lookup::Header(name) => Some(name),
            _ => None,
        }
    }

    /// Whether it is the argument of that name.
    pub fn is_argument(&self, name: &[u8]) -> bool {
        matches!(self, Lookup::Arg(own) if own.as_bytes() == name)
    }

    /// The place as the configuration names it.
    pub fn written(&self) -> String {
        match self {
            Lookup::Cookie => "cookie".to_owned(),
            Lookup::Header(name) => format!("header:{name}"),
            Lookup::Arg(name) => format!("arg:{name}"),
        }
    }

    /// The place for messages, where cookies of that name are looked at.
    pub fn label(&self, cookie: &CookieName) -> String {
        match self {
            Lookup::Cookie => format!("cookie \"{cookie}\""),
            Lookup::Header(name) => format!("header \"{name}\""),
            Lookup::Arg(name) => format!("argument \"{name}\""),
        }
    }

    fn parse(text: &'static [u8]) -> Result<Lookup, ConfError> {
        const ALLOWED: &str = "allowed are \"cookie\", \"header:Name\" and \"arg:name\"";
        if text == b"cookie" {
            return Ok(Lookup::Cookie);
        }
        if text.contains(&b'$') {
            return Err(ConfError::invalid(text, "a name cannot contain variables"));
        }
        if let Some(name) = text.strip_prefix(b"header:") {
            let name = HeaderName::parse(name).map_err(|error| ConfError::invalid(text, error))?;
            if OF_RESPONSES
                .iter()
                .any(|taken| name.matches(taken.as_bytes()))
            {
                return Err(ConfError::invalid(
                    text,
                    "the new token goes back in a response header of that name, and this one has a meaning there",
                ));
            }
            return Ok(Lookup::Header(name));
        }
        match text.strip_prefix(b"arg:") {
            Some(name) if is_argument(name) => Ok(Lookup::Arg(utf8(name)?)),
            Some(_) => Err(ConfError::invalid(
                text,
                "an argument's name has letters, digits, \"-\", \"_\", \".\" and \"~\"",
            )),
            None => Err(ConfError::invalid(text, ALLOWED)),
        }
    }
}

/// Response headers that are nginx's own.
const OF_RESPONSES: [&str; 13] = [
    "set-cookie",
    "cache-control",
    "content-type",
    "content-encoding",
    "content-range",
    "accept-ranges",
    "location",
    "server",
    "date",
    "last-modified",
    "etag",
    "expires",
    "www-authenticate",
];

/// Whether a name stands in a URI as it is, so that it can be found there undecoded.
fn is_argument(name: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(byte);
    !name.is_empty() && name.iter().all(fits)
}

/// What is written of this section at one level.
#[derive(Default, Clone)]
pub struct AccessDirectives {
    pub action: Option<Action>,
    pub create: Option<Create>,
    pub bypass: Vec<Value>,
    pub require: Option<Require>,
    pub lookup: Option<Vec<Lookup>>,
    /// Where the places are written, to point at when another directive is in the way.
    lookup_at: Position,
    pub on_error: Option<OnError>,
}

impl AccessDirectives {
    pub fn inherit(&mut self, outer: &AccessDirectives, own: Lists) {
        if !own.session {
            inherit(&mut self.action, &outer.action);
        }
        inherit(&mut self.create, &outer.create);
        inherit_list(&mut self.bypass, &outer.bypass, own.bypass);
        if !own.require {
            inherit(&mut self.require, &outer.require);
        }
        if self.lookup.is_none() {
            self.lookup_at = outer.lookup_at.clone();
        }
        inherit(&mut self.lookup, &outer.lookup);
        inherit(&mut self.on_error, &outer.on_error);
    }

    /// An error about the places.
    pub fn lookup_contradiction(&self, text: String) -> ConfError {
        ConfError::Contradiction {
            text,
            at: self.lookup_at.clone(),
        }
    }

    /// A named session takes what the location says about requests, not what it says about the unnamed session.
    pub fn take_from_location(&mut self, unnamed: &AccessDirectives) {
        inherit(&mut self.create, &unnamed.create);
        let own = !self.bypass.is_empty();
        inherit_list(&mut self.bypass, &unnamed.bypass, own);
        inherit(&mut self.on_error, &unnamed.on_error);
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
        return Err(ConfError::unknown(parameter, "allowed is \"profile=NAME\""));
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
        (None, false) if args.is_named() => {
            return Err(ConfError::wrong(
                "takes \"on\" or \"off\" beside \"profile=\": values are required of the whole request",
            ));
        }
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
    let mut places = Vec::new();
    for text in args.texts() {
        let place = Lookup::parse(text)?;
        if places.contains(&place) {
            return Err(ConfError::invalid(text, "each place is looked at once"));
        }
        places.push(place);
    }
    level.access.lookup_at = args.position();
    once(&mut level.access.lookup, places)
}

pub fn on_error(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let on_error = args.one_of(&[("fail", OnError::Fail), ("pass", OnError::Pass)])?;
    once(&mut level.access.on_error, on_error)
}
