//! Section 6: what goes upstream and downstream.

use super::command::{Arguments, ConfError, fixed_name, inherit, inherit_list, once};
use super::data::data_key;
use super::{Directives, Lists};
use session::CookieName;
use session::jar::Limits;

use crate::http::Value;
use crate::http::headers_in::HeaderName;

/// More cookies than this are no jar but an attack.
const MAX_COOKIES: u64 = 1000;

/// How a value becomes a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapFormat {
    /// Text, number or boolean only.
    Text,
    /// Objects and lists too, as compact JSON.
    Any,
    /// Everything as compact JSON, text in quotes.
    Json,
}

/// `session_map_header`.
#[derive(Clone)]
pub struct MapRule {
    pub key: &'static str,
    pub default: Option<Value>,
    pub format: MapFormat,
}

/// A property of the session that can be sent as a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    Id,
    Audience,
    Subject,
    Timeout,
    IdlingTimeout,
    RollingTimeout,
    AbsoluteTimeout,
}

impl Property {
    const ALL: [(&'static str, Property); 7] = [
        ("id", Property::Id),
        ("audience", Property::Audience),
        ("subject", Property::Subject),
        ("timeout", Property::Timeout),
        ("idling-timeout", Property::IdlingTimeout),
        ("rolling-timeout", Property::RollingTimeout),
        ("absolute-timeout", Property::AbsoluteTimeout),
    ];

    /// The reference also takes the names with `_`.
    fn parse(text: &[u8]) -> Result<Property, ConfError> {
        let dashed: Vec<u8> = text
            .iter()
            .map(|b| if *b == b'_' { b'-' } else { *b })
            .collect();
        Property::ALL.iter().find(|(name, _)| name.as_bytes() == dashed).map(|(_, property)| *property).ok_or_else(|| {
            ConfError::invalid(
                text,
                "allowed are \"id\", \"audience\", \"subject\", \"timeout\", \"idling-timeout\", \"rolling-timeout\", \
                 \"absolute-timeout\"",
            )
        })
    }

    /// The property with this discriminant.
    pub fn from_u8(number: u8) -> Property {
        Property::ALL[usize::from(number) % Property::ALL.len()].1
    }

    /// The header that carries the property: `Session-Id`, or `Session-NAME-Id` of a named session.
    pub fn header(self, profile: Option<&str>) -> HeaderName {
        let property = match self {
            Property::Id => "Id",
            Property::Audience => "Audience",
            Property::Subject => "Subject",
            Property::Timeout => "Timeout",
            Property::IdlingTimeout => "Idling-Timeout",
            Property::RollingTimeout => "Rolling-Timeout",
            Property::AbsoluteTimeout => "Absolute-Timeout",
        };
        let name = match profile {
            None => format!("Session-{property}"),
            Some(profile) => format!("Session-{profile}-{property}"),
        };
        HeaderName::parse(name.as_bytes()).expect("names of profiles and properties are tokens")
    }
}

/// What is written of this section at one level.
#[derive(Default, Clone)]
pub struct HeaderDirectives {
    pub hide: Option<bool>,
    pub map: Vec<(HeaderName, MapRule)>,
    pub request: Vec<Property>,
    pub response: Vec<Property>,
    pub cache_control: Option<bool>,
    /// `off`, or `$host` to know whose cookies they are.
    pub jar: Option<Option<Value>>,
    pub jar_pass: Vec<&'static str>,
    pub jar_max: Option<usize>,
    pub jar_size: Option<usize>,
}

/// The upstream's own cookies, kept in the session.
#[derive(Clone)]
pub struct JarSettings {
    /// Cookies that go to the client all the same.
    pub pass: Vec<&'static str>,
    pub limits: Limits,
    /// `$host`.
    pub host: Value,
}

impl HeaderDirectives {
    pub fn inherit(&mut self, outer: &HeaderDirectives, own: Lists) {
        inherit(&mut self.hide, &outer.hide);
        inherit_list(&mut self.map, &outer.map, own.map);
        inherit_list(&mut self.request, &outer.request, own.request);
        inherit_list(&mut self.response, &outer.response, own.response);
        inherit(&mut self.cache_control, &outer.cache_control);
        inherit(&mut self.jar, &outer.jar);
        inherit_list(&mut self.jar_pass, &outer.jar_pass, own.jar_pass);
        inherit(&mut self.jar_max, &outer.jar_max);
        inherit(&mut self.jar_size, &outer.jar_size);
    }

    /// What the http level says of all sessions. The rest of it speaks of the unnamed one.
    pub fn take_from_http(&mut self, http: &HeaderDirectives) {
        inherit(&mut self.hide, &http.hide);
        inherit(&mut self.cache_control, &http.cache_control);
    }

    /// The jar, where there is one.
    pub fn jar(&self) -> Option<JarSettings> {
        let default = Limits::default();
        self.jar.flatten().map(|host| JarSettings {
            host,
            pass: self.jar_pass.clone(),
            limits: Limits {
                max: self.jar_max.unwrap_or(default.max),
                size: self.jar_size.unwrap_or(default.size),
            },
        })
    }
}

pub fn hide(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.headers.hide, args.flag()?)
}

pub fn map_header(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let mut texts = args.texts();
    let (Some(name), Some(key)) = (texts.next(), texts.next()) else {
        return Err(ConfError::wrong("takes the name of a header and a key"));
    };
    if name.contains(&b'$') {
        return Err(ConfError::invalid(name, "a name cannot contain variables"));
    }
    let name = HeaderName::parse(name).map_err(|error| ConfError::invalid(name, error))?;
    if level
        .headers
        .map
        .iter()
        .any(|(other, _)| other.matches(name.as_bytes()))
    {
        return Err(ConfError::Duplicate);
    }
    let (mut default, mut format) = (None, None);
    for text in texts {
        if let Some(text) = text.strip_prefix(b"default=") {
            once(&mut default, args.tail_value(text)?)?;
        } else if let Some(word) = text.strip_prefix(b"format=") {
            once(&mut format, parse_format(word)?)?;
        } else {
            return Err(ConfError::unknown(
                text,
                "allowed are \"default=\" and \"format=\"",
            ));
        }
    }
    let rule = MapRule {
        key: data_key(key)?,
        default,
        format: format.unwrap_or(MapFormat::Any),
    };
    level.headers.map.push((name, rule));
    Ok(())
}

fn parse_format(word: &[u8]) -> Result<MapFormat, ConfError> {
    match word {
        b"text" => Ok(MapFormat::Text),
        b"json" => Ok(MapFormat::Json),
        _ => Err(ConfError::invalid(
            word,
            "allowed are \"format=text\" and \"format=json\"",
        )),
    }
}

pub fn request_headers(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    properties(&mut level.headers.request, args)
}

pub fn response_headers(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    properties(&mut level.headers.response, args)
}

fn properties(list: &mut Vec<Property>, args: &Arguments) -> Result<(), ConfError> {
    for text in args.texts() {
        let property = Property::parse(text)?;
        if !list.contains(&property) {
            list.push(property);
        }
    }
    Ok(())
}

pub fn cookie_jar(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let host = match args.flag()? {
        true => Some(args.tail_value(b"$host")?),
        false => None,
    };
    once(&mut level.headers.jar, host)
}

pub fn cookie_jar_pass(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    for text in args.texts() {
        let name = fixed_name(text)?;
        CookieName::parse(name).map_err(|error| ConfError::invalid(text, error))?;
        level.headers.jar_pass.push(name);
    }
    Ok(())
}

pub fn cookie_jar_max(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let max = args.number(1..=MAX_COOKIES)?;
    once(&mut level.headers.jar_max, max as usize)
}

pub fn cookie_jar_size(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let size = args.size()?;
    if size == 0 {
        return Err(ConfError::invalid(
            args.first(),
            "allowed is a size of at least one byte, such as \"16k\"",
        ));
    }
    once(&mut level.headers.jar_size, size)
}

pub fn cache_control(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.headers.cache_control, args.flag()?)
}

/// `session_var $name key`: a variable of the user's own.
pub fn var(_level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let [name, key] = args.all() else {
        return Err(ConfError::wrong("takes a variable and a key"));
    };
    let Some(name) = name
        .as_bytes()
        .strip_prefix(b"$")
        .filter(|name| !name.is_empty())
    else {
        return Err(ConfError::invalid(
            name.as_bytes(),
            "allowed is the name of a variable, which begins with \"$\"",
        ));
    };
    let key = data_key(key.as_bytes())?;
    // SAFETY: the context is the one nginx handed to the directive that is being read.
    unsafe { crate::variables::bind(args.context(), name, key, args.profile()?) }
        .ok_or(ConfError::Logged)
}
