//! Section 5: what a session holds.

use serde_json::{Number, Value as Json};

use super::command::{Arguments, ConfError, fixed_name, inherit, inherit_list, once};
use super::{Directives, Lists};
use crate::http::Value;
use crate::http::headers_in::HeaderName;

/// How the text of a value becomes data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    String,
    Int,
    Float,
    Bool,
    Json,
}

impl ValueType {
    const ALLOWED: &str = "allowed are \"string\", \"int\", \"float\", \"bool\", \"json\"";

    fn parse(text: &[u8]) -> Option<ValueType> {
        Some(match text {
            b"string" => ValueType::String,
            b"int" => ValueType::Int,
            b"float" => ValueType::Float,
            b"bool" => ValueType::Bool,
            b"json" => ValueType::Json,
            _ => return None,
        })
    }

    /// What a text of this type looks like, to end an error with.
    pub fn describe(self) -> &'static str {
        match self {
            ValueType::String => "UTF-8 text",
            ValueType::Int => "a whole number of 64 bits",
            ValueType::Float => "a finite number",
            ValueType::Bool => "1, true or on, or else 0, false, off or nothing",
            ValueType::Json => "a JSON text",
        }
    }

    /// `text` as data; `None` when it is not of this type.
    pub fn read(self, text: &[u8]) -> Option<Json> {
        let trimmed = || core::str::from_utf8(text).ok().map(str::trim);
        Some(match self {
            ValueType::String => Json::String(core::str::from_utf8(text).ok()?.to_owned()),
            ValueType::Int => match trimmed()?.parse::<i64>() {
                Ok(number) => Json::from(number),
                Err(_) => Json::from(trimmed()?.parse::<u64>().ok()?),
            },
            ValueType::Float => Json::Number(Number::from_f64(trimmed()?.parse().ok()?)?),
            ValueType::Bool => match text {
                b"1" | b"true" | b"on" => Json::Bool(true),
                b"" | b"0" | b"false" | b"off" => Json::Bool(false),
                _ => return None,
            },
            ValueType::Json => serde_json::from_slice(text).ok()?,
        })
    }
}

/// When a rule is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// After access was granted, before the content.
    #[default]
    Request,
    /// When the response's header is there.
    Response,
}

/// What changes a session in one phase.
#[derive(Clone, Default)]
pub struct Rules {
    pub unset: Vec<UnsetRule>,
    pub set: Vec<SetRule>,
    pub info_set: Vec<InfoRule>,
}

impl Rules {
    pub fn is_empty(&self) -> bool {
        self.unset.is_empty() && self.set.is_empty() && self.info_set.is_empty()
    }
}

/// The response headers that an upstream drives the session with.
#[derive(Clone)]
pub struct ControlNames {
    pub data: HeaderName,
    pub info: HeaderName,
    pub action: HeaderName,
    pub subject: HeaderName,
    pub audience: HeaderName,
    pub remember: HeaderName,
}

impl ControlNames {
    fn with_prefix(prefix: &str) -> Result<ControlNames, ConfError> {
        let name = |end: &str| {
            HeaderName::parse(format!("{prefix}{end}").as_bytes())
                .map_err(|error| ConfError::invalid(prefix.as_bytes(), error))
        };
        Ok(ControlNames {
            data: name("Data")?,
            info: name("Info")?,
            action: name("Action")?,
            subject: name("Subject")?,
            audience: name("Audience")?,
            remember: name("Remember")?,
        })
    }

    /// All of them.
    pub fn all(&self) -> [&HeaderName; 6] {
        [
            &self.data,
            &self.info,
            &self.action,
            &self.subject,
            &self.audience,
            &self.remember,
        ]
    }
}

/// `session_set`.
#[derive(Clone)]
pub struct SetRule {
    pub phase: Phase,
    pub key: &'static str,
    pub value: Value,
    pub kind: ValueType,
    pub condition: Option<Value>,
}

/// `session_info_set`.
#[derive(Clone)]
pub struct InfoRule {
    pub phase: Phase,
    pub key: &'static str,
    pub value: Value,
    pub condition: Option<Value>,
}

/// `session_unset`.
#[derive(Clone)]
pub struct UnsetRule {
    pub phase: Phase,
    pub what: Unset,
    pub condition: Option<Value>,
}

/// What `session_unset` removes.
#[derive(Clone)]
pub enum Unset {
    All,
    Keys(Vec<&'static str>),
}

/// How the names of control headers begin when nothing is configured.
const CONTROL_PREFIX: &str = "X-Session-";

/// What is written of this section at one level.
#[derive(Default, Clone)]
pub struct DataDirectives {
    pub audience: Option<Value>,
    pub subject: Option<Value>,
    pub enforce_same_subject: Option<bool>,
    pub set: Vec<SetRule>,
    pub unset: Vec<UnsetRule>,
    pub info_set: Vec<InfoRule>,
    pub max_data: Option<usize>,
    pub control: Option<bool>,
    pub control_prefix: Option<&'static str>,
}

impl DataDirectives {
    pub fn inherit(&mut self, outer: &DataDirectives, own: Lists) {
        inherit(&mut self.audience, &outer.audience);
        inherit(&mut self.subject, &outer.subject);
        inherit(&mut self.enforce_same_subject, &outer.enforce_same_subject);
        inherit_list(&mut self.set, &outer.set, own.set);
        inherit_list(&mut self.unset, &outer.unset, own.unset);
        inherit_list(&mut self.info_set, &outer.info_set, own.info_set);
        inherit(&mut self.max_data, &outer.max_data);
        inherit(&mut self.control, &outer.control);
        inherit(&mut self.control_prefix, &outer.control_prefix);
    }

    /// What the http level says of all sessions. The rest of it speaks of the unnamed one.
    pub fn take_from_http(&mut self, http: &DataDirectives) {
        inherit(&mut self.audience, &http.audience);
        inherit(&mut self.enforce_same_subject, &http.enforce_same_subject);
        inherit(&mut self.max_data, &http.max_data);
    }

    /// The rules of one phase.
    pub fn rules(&self, phase: Phase) -> Rules {
        let of_phase = |other: Phase| other == phase;
        Rules {
            unset: self
                .unset
                .iter()
                .filter(|rule| of_phase(rule.phase))
                .cloned()
                .collect(),
            set: self
                .set
                .iter()
                .filter(|rule| of_phase(rule.phase))
                .cloned()
                .collect(),
            info_set: self
                .info_set
                .iter()
                .filter(|rule| of_phase(rule.phase))
                .cloned()
                .collect(),
        }
    }

    /// The names of the control headers, where there are any.
    pub fn control_names(&self) -> Result<Option<ControlNames>, ConfError> {
        match self.control {
            Some(true) => {
                ControlNames::with_prefix(self.control_prefix.unwrap_or(CONTROL_PREFIX)).map(Some)
            }
            _ => Ok(None),
        }
    }
}

pub fn audience(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    if args.first().is_empty() {
        return Err(ConfError::invalid(b"", "an audience cannot be empty"));
    }
    let value = args.value(args.all()[0])?;
    once(&mut level.data.audience, value)
}

pub fn subject(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let value = args.value(args.all()[0])?;
    once(&mut level.data.subject, value)
}

pub fn enforce_same_subject(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.data.enforce_same_subject, args.flag()?)
}

/// The parameters that follow keys and values: `type=`, `if=`, `phase=`.
#[derive(Default)]
struct Parameters {
    kind: Option<ValueType>,
    condition: Option<Value>,
    phase: Option<Phase>,
}

impl Parameters {
    /// Takes `text` if it is a parameter; `false`: it is something else.
    fn take(
        &mut self,
        args: &Arguments,
        text: &'static [u8],
        typed: bool,
    ) -> Result<bool, ConfError> {
        if let Some(kind) = text.strip_prefix(b"type=").filter(|_| typed) {
            let kind = ValueType::parse(kind)
                .ok_or_else(|| ConfError::invalid(text, ValueType::ALLOWED))?;
            parameter(&mut self.kind, kind, text)?;
        } else if let Some(condition) = text.strip_prefix(b"if=") {
            parameter(&mut self.condition, args.tail_value(condition)?, text)?;
        } else if let Some(phase) = text.strip_prefix(b"phase=") {
            let phase = match phase {
                b"request" => Phase::Request,
                b"response" => Phase::Response,
                _ => {
                    return Err(ConfError::invalid(
                        text,
                        "allowed are \"phase=request\" and \"phase=response\"",
                    ));
                }
            };
            parameter(&mut self.phase, phase, text)?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// As [`once`], for a part of a line.
fn parameter<T>(slot: &mut Option<T>, value: T, text: &[u8]) -> Result<(), ConfError> {
    once(slot, value)
        .map_err(|_| ConfError::invalid(text, "it is a duplicate, a line takes it once"))
}

/// Reads `key value [parameters]`.
fn key_value(
    args: &Arguments,
    typed: bool,
) -> Result<(&'static str, Value, Parameters), ConfError> {
    let mut parameters = Parameters::default();
    let [key, value, rest @ ..] = args.all() else {
        return Err(ConfError::wrong("takes a key and a value"));
    };
    for text in rest {
        let text: &'static [u8] = text.as_bytes();
        if !parameters.take(args, text, typed)? {
            let allowed = if typed {
                "allowed are \"type=\", \"if=\" and \"phase=\""
            } else {
                "allowed are \"if=\" and \"phase=\""
            };
            return Err(ConfError::unknown(text, allowed));
        }
    }
    Ok((data_key(key.as_bytes())?, args.value(*value)?, parameters))
}

/// A key or dotted path of the data.
pub fn data_key(text: &'static [u8]) -> Result<&'static str, ConfError> {
    let key = fixed_name(text)?;
    if key.split('.').any(str::is_empty) {
        return Err(ConfError::invalid(
            text,
            "a part of a dotted key cannot be empty",
        ));
    }
    if session::jar::is_reserved(key) {
        return Err(ConfError::invalid(text, "the key is the module's own"));
    }
    Ok(key)
}

pub fn set(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let (key, value, parameters) = key_value(args, true)?;
    let kind = parameters.kind.unwrap_or(ValueType::String);
    if let Some(text) = value.as_fixed().filter(|text| kind.read(text).is_none()) {
        return Err(ConfError::invalid(
            text,
            format!("allowed is {}", kind.describe()),
        ));
    }
    level.data.set.push(SetRule {
        phase: parameters.phase.unwrap_or_default(),
        key,
        value,
        kind,
        condition: parameters.condition,
    });
    Ok(())
}

pub fn info_set(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let (key, value, parameters) = key_value(args, false)?;
    level.data.info_set.push(InfoRule {
        phase: parameters.phase.unwrap_or_default(),
        key,
        value,
        condition: parameters.condition,
    });
    Ok(())
}

pub fn unset(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let mut parameters = Parameters::default();
    let mut keys = Vec::new();
    for text in args.texts() {
        if !parameters.take(args, text, false)? {
            keys.push(data_key(text)?);
        }
    }
    let what = match keys.as_slice() {
        [] => {
            return Err(ConfError::wrong(
                "names no key: allowed are keys and \"all\"",
            ));
        }
        ["all"] => Unset::All,
        _ if keys.contains(&"all") => {
            return Err(ConfError::wrong("takes either \"all\" or keys, not both"));
        }
        _ => Unset::Keys(keys),
    };
    level.data.unset.push(UnsetRule {
        phase: parameters.phase.unwrap_or_default(),
        what,
        condition: parameters.condition,
    });
    Ok(())
}

pub fn control(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.data.control, args.flag()?)
}

pub fn control_prefix(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let prefix = fixed_name(args.first())?;
    ControlNames::with_prefix(prefix)?;
    once(&mut level.data.control_prefix, prefix)
}

pub fn max_data(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.data.max_data, args.size()?)
}
