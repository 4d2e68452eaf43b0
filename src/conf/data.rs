//! Section 5: what a session holds.

use serde_json::{Number, Value as Json};

use super::Directives;
use super::command::{Arguments, ConfError, fixed_name, inherit, inherit_list, once};
use crate::http::Value;

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

/// `session_set`.
#[derive(Clone)]
pub struct SetRule {
    pub key: &'static str,
    pub value: Value,
    pub kind: ValueType,
    pub condition: Option<Value>,
}

/// `session_info_set`.
#[derive(Clone)]
pub struct InfoRule {
    pub key: &'static str,
    pub value: Value,
    pub condition: Option<Value>,
}

/// `session_unset`.
#[derive(Clone)]
pub struct UnsetRule {
    pub what: Unset,
    pub condition: Option<Value>,
}

/// What `session_unset` removes.
#[derive(Clone)]
pub enum Unset {
    All,
    Keys(Vec<&'static str>),
}

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
}

impl DataDirectives {
    pub fn inherit(&mut self, outer: &DataDirectives) {
        inherit(&mut self.audience, &outer.audience);
        inherit(&mut self.subject, &outer.subject);
        inherit(&mut self.enforce_same_subject, &outer.enforce_same_subject);
        inherit_list(&mut self.set, &outer.set);
        inherit_list(&mut self.unset, &outer.unset);
        inherit_list(&mut self.info_set, &outer.info_set);
        inherit(&mut self.max_data, &outer.max_data);
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
    phase: Option<()>,
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
            once(&mut self.kind, kind)?;
        } else if let Some(condition) = text.strip_prefix(b"if=") {
            once(&mut self.condition, args.tail_value(condition)?)?;
        } else if let Some(phase) = text.strip_prefix(b"phase=") {
            if phase != b"request" {
                return Err(ConfError::invalid(text, "allowed is \"phase=request\""));
            }
            once(&mut self.phase, ())?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
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
        what,
        condition: parameters.condition,
    });
    Ok(())
}

pub fn max_data(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.data.max_data, args.size()?)
}
