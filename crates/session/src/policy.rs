//! The settings of one kind of session, as the configuration gives them.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

use crate::binding::Bind;
use crate::keys::{KeyRing, Safety};

/// Where the payload lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the cookie itself.
    Cookie,
    /// In a record of a storage; the cookie is the header alone.
    Server,
}

/// A session token, or the long-lived one that brings a session back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The session's own token.
    Session,
    /// The remember token.
    Remember,
}

/// A cookie name: a token of RFC 6265, 1 to 255 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CookieName(String);

/// Why a cookie name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CookieNameError {
    /// No character at all.
    #[error("a cookie name must not be empty")]
    Empty,
    /// More than 255 characters.
    #[error("a cookie name has at most 255 characters")]
    TooLong,
    /// A character that would end the name or the cookie.
    #[error("a cookie name has letters, digits and !#$%&'*+-.^_`|~ only")]
    Character,
}

impl CookieName {
    /// Checks a name.
    ///
    /// # Errors
    /// When a browser or a header could not carry it.
    pub fn parse(name: &str) -> Result<Self, CookieNameError> {
        match name.len() {
            0 => return Err(CookieNameError::Empty),
            1..=255 => {}
            _ => return Err(CookieNameError::TooLong),
        }
        if name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
        {
            Ok(Self(name.to_owned()))
        } else {
            Err(CookieNameError::Character)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CookieName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// When a used session gets a new id and a new start of its rolling timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Renew {
    /// Never.
    Off,
    /// After three quarters of the rolling timeout; never when there is none.
    #[default]
    Share75,
    /// When more than so many seconds have passed since the last save.
    After(u32),
}

/// The limits of time, all in seconds; 0 switches a limit off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Longest pause between two uses.
    pub idling: u32,
    /// Longest time since the last save.
    pub rolling: u32,
    /// Longest time since creation.
    pub absolute: u32,
    /// `rolling` of remember tokens.
    pub remember_rolling: u32,
    /// `absolute` of remember tokens.
    pub remember_absolute: u32,
    /// How long a replaced record may still be read.
    pub stale_ttl: u32,
    /// A token used again within this time is not touched.
    pub touch_threshold: u32,
    /// When a session is renewed.
    pub renew: Renew,
}

impl Default for Timeouts {
    fn default() -> Self {
        const MINUTE: u32 = 60;
        const HOUR: u32 = 60 * MINUTE;
        const DAY: u32 = 24 * HOUR;
        Self {
            idling: 15 * MINUTE,
            rolling: HOUR,
            absolute: DAY,
            remember_rolling: 7 * DAY,
            remember_absolute: 30 * DAY,
            stale_ttl: 10,
            touch_threshold: MINUTE,
            renew: Renew::default(),
        }
    }
}

impl Timeouts {
    /// The rolling timeout of a kind of token.
    #[must_use]
    pub fn rolling_of(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Session => self.rolling,
            Kind::Remember => self.remember_rolling,
        }
    }

    /// The absolute timeout of a kind of token.
    #[must_use]
    pub fn absolute_of(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Session => self.absolute,
            Kind::Remember => self.remember_absolute,
        }
    }
}

/// The settings of one kind of session.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Name of the session cookie, prefix included.
    pub cookie_name: CookieName,
    /// Name of the remember cookie, prefix included.
    pub remember_cookie_name: CookieName,
    /// The keys.
    pub keys: Arc<KeyRing>,
    /// What tokens are bound to.
    pub bind: Bind,
    /// Where payloads live.
    pub place: Place,
    /// The limits of time.
    pub times: Timeouts,
    /// How remember tokens' keys are derived.
    pub safety: Safety,
    /// JSON longer than this many bytes is deflated when that makes it smaller; 0: never.
    pub compression_threshold: usize,
    /// Most bytes of JSON that are saved, or accepted when opened.
    pub max_data: usize,
    /// On a save, drop the audiences of other subjects.
    pub enforce_same_subject: bool,
    /// Records are stored under the hash of the id.
    pub hash_storage_key: bool,
    /// Subjects appear hashed in metadata.
    pub hash_subject: bool,
    /// Keep a list of the sessions of each audience and subject.
    pub store_metadata: bool,
}

impl Policy {
    /// The cookie name of a kind of token.
    #[must_use]
    pub fn name_of(&self, kind: Kind) -> &CookieName {
        match kind {
            Kind::Session => &self.cookie_name,
            Kind::Remember => &self.remember_cookie_name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_name_is_a_token() {
        assert_eq!(CookieName::parse(""), Err(CookieNameError::Empty));
        assert_eq!(
            CookieName::parse(&"n".repeat(256)),
            Err(CookieNameError::TooLong)
        );
        for bad in [
            "a b", "a;b", "a=b", "a,b", "a\"b", "a/b", "ä", "a\0", "(a)", "a@b",
        ] {
            assert_eq!(
                CookieName::parse(bad),
                Err(CookieNameError::Character),
                "{bad:?}"
            );
        }
        for good in ["sid", "__Host-sid", "a.b_c~1", &"n".repeat(255)] {
            assert_eq!(
                CookieName::parse(good).map(|n| n.to_string()),
                Ok(good.to_owned())
            );
        }
    }
}
