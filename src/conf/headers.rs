//! Section 6: what goes upstream and downstream.

use super::Directives;
use super::command::{Arguments, ConfError, inherit, inherit_list, once};
use super::data::data_key;
use crate::http::Value;
use crate::http::headers_in::HeaderName;

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

    /// The header that carries the property.
    pub fn header(self) -> &'static str {
        match self {
            Property::Id => "Session-Id",
            Property::Audience => "Session-Audience",
            Property::Subject => "Session-Subject",
            Property::Timeout => "Session-Timeout",
            Property::IdlingTimeout => "Session-Idling-Timeout",
            Property::RollingTimeout => "Session-Rolling-Timeout",
            Property::AbsoluteTimeout => "Session-Absolute-Timeout",
        }
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
}

impl HeaderDirectives {
    pub fn inherit(&mut self, outer: &HeaderDirectives) {
        inherit(&mut self.hide, &outer.hide);
        inherit_list(&mut self.map, &outer.map);
        inherit_list(&mut self.request, &outer.request);
        inherit_list(&mut self.response, &outer.response);
        inherit(&mut self.cache_control, &outer.cache_control);
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
    unsafe { crate::variables::bind(args.context(), name, key) }.ok_or(ConfError::Logged)
}
