//! Section 4: time.

use session::{CookieName, Renew, Safety, Timeouts};

use super::Directives;
use super::command::{Arguments, ConfError, inherit, once};
use super::cookie::{cookie_name, default_name, derived_name};
use super::settings::Remember;

/// What is written of this section at one level.
#[derive(Default, Clone)]
pub struct TimeDirectives {
    idling: Option<u32>,
    rolling: Option<u32>,
    absolute: Option<u32>,
    stale_ttl: Option<u32>,
    touch_threshold: Option<u32>,
    renew: Option<Renew>,
    pub remember: Option<Remember>,
    pub remember_cookie_name: Option<CookieName>,
    pub remember_safety: Option<Safety>,
    remember_rolling: Option<u32>,
    remember_absolute: Option<u32>,
    pub compression_threshold: Option<usize>,
}

impl TimeDirectives {
    pub fn inherit(&mut self, outer: &TimeDirectives) {
        inherit(&mut self.idling, &outer.idling);
        inherit(&mut self.rolling, &outer.rolling);
        inherit(&mut self.absolute, &outer.absolute);
        inherit(&mut self.stale_ttl, &outer.stale_ttl);
        inherit(&mut self.touch_threshold, &outer.touch_threshold);
        inherit(&mut self.renew, &outer.renew);
        inherit(&mut self.remember, &outer.remember);
        inherit(&mut self.remember_cookie_name, &outer.remember_cookie_name);
        inherit(&mut self.remember_safety, &outer.remember_safety);
        inherit(&mut self.remember_rolling, &outer.remember_rolling);
        inherit(&mut self.remember_absolute, &outer.remember_absolute);
        inherit(
            &mut self.compression_threshold,
            &outer.compression_threshold,
        );
    }

    /// What the http level says of all sessions; a remember cookie's name is of one session only.
    pub fn take_from_http(
        &mut self,
        http: &TimeDirectives,
        profile: &str,
    ) -> Result<(), ConfError> {
        if self.remember_cookie_name.is_none() {
            let base = http.remember_cookie_name.clone();
            let base = base.unwrap_or_else(|| default_name("remember"));
            self.remember_cookie_name = Some(derived_name(&base, profile)?);
        }
        self.inherit(http);
        Ok(())
    }

    /// The limits in force; the ground floor knows the defaults.
    pub fn timeouts(&self) -> Timeouts {
        let default = Timeouts::default();
        Timeouts {
            idling: self.idling.unwrap_or(default.idling),
            rolling: self.rolling.unwrap_or(default.rolling),
            absolute: self.absolute.unwrap_or(default.absolute),
            stale_ttl: self.stale_ttl.unwrap_or(default.stale_ttl),
            touch_threshold: self.touch_threshold.unwrap_or(default.touch_threshold),
            renew: self.renew.unwrap_or(default.renew),
            remember_rolling: self.remember_rolling.unwrap_or(default.remember_rolling),
            remember_absolute: self.remember_absolute.unwrap_or(default.remember_absolute),
        }
    }
}

pub fn idling(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.time.idling, args.seconds()?)
}

pub fn rolling(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.time.rolling, args.seconds()?)
}

pub fn absolute(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.time.absolute, args.seconds()?)
}

pub fn stale_ttl(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.time.stale_ttl, args.seconds()?)
}

pub fn touch_threshold(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.time.touch_threshold, args.seconds()?)
}

pub fn renew_after(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let renew = match args.first() {
        b"off" => Renew::Off,
        _ => Renew::After(args.seconds()?),
    };
    once(&mut level.time.renew, renew)
}

pub fn remember(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let remember = match args.first() {
        b"on" => Remember::On,
        b"off" => Remember::Off,
        text if text.contains(&b'$') => Remember::Asked(args.value(args.all()[0])?),
        text => {
            return Err(ConfError::invalid(
                text,
                "allowed are \"on\", \"off\" and a value with variables",
            ));
        }
    };
    once(&mut level.time.remember, remember)
}

pub fn remember_cookie_name(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    level.cookie.at = args.position();
    once(&mut level.time.remember_cookie_name, cookie_name(args)?)
}

pub fn remember_safety(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let safety = args.one_of(&[
        ("None", Safety::None),
        ("Low", Safety::Low),
        ("Medium", Safety::Medium),
        ("High", Safety::High),
        ("Very High", Safety::VeryHigh),
    ])?;
    once(&mut level.time.remember_safety, safety)
}

/// Also `session_remember_timeout`: the two are one scalar.
pub fn remember_rolling(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.time.remember_rolling, args.seconds()?)
}

pub fn remember_absolute(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.time.remember_absolute, args.seconds()?)
}

/// 0 switches compression off.
pub fn compression_threshold(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.time.compression_threshold, args.size()?)
}
