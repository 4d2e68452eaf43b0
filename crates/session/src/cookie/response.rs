//! Set-Cookie lines.

use std::time::{Duration, UNIX_EPOCH};

pub use crate::ttl::MAX_AGE_LIMIT;

/// The SameSite attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameSite {
    /// `SameSite=Strict`.
    Strict,
    /// `SameSite=Lax`.
    #[default]
    Lax,
    /// `SameSite=None`.
    None,
    /// `SameSite=Default`.
    Default,
    /// No such attribute.
    Off,
}

/// The Priority attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// `Priority=Low`.
    Low,
    /// `Priority=Medium`.
    Medium,
    /// `Priority=High`.
    High,
}

/// The attributes that every Set-Cookie line of a session has, also the one that expires it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    /// The path.
    pub path: String,
    /// The domain; an empty one and `localhost`, which browsers refuse, are left out.
    pub domain: Option<String>,
    /// Out of reach of scripts.
    pub http_only: bool,
    /// Over TLS only.
    pub secure: bool,
    /// Cross-site use.
    pub same_site: SameSite,
    /// Which cookies a full browser drops first.
    pub priority: Option<Priority>,
    /// SameParty.
    pub same_party: bool,
    /// Partitioned.
    pub partitioned: bool,
}

impl Attributes {
    /// The attributes as they follow the value, each after `; `.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut add = |parts: [&str; 2]| {
            text.push_str("; ");
            parts.iter().for_each(|part| text.push_str(part));
        };
        if let Some(domain) = self
            .domain
            .as_deref()
            .filter(|domain| !["", "localhost"].contains(domain))
        {
            add(["Domain=", domain]);
        }
        add(["Path=", &self.path]);
        if let Some(word) = self.same_site.word() {
            add(["SameSite=", word]);
        }
        if let Some(priority) = self.priority {
            add(["Priority=", priority.word()]);
        }
        let switches = [
            (self.same_party, "SameParty"),
            (self.partitioned, "Partitioned"),
            (self.secure, "Secure"),
            (self.http_only, "HttpOnly"),
        ];
        switches
            .into_iter()
            .filter(|(on, _)| *on)
            .for_each(|(_, word)| add([word, ""]));
        text
    }
}

impl SameSite {
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Strict => Some("Strict"),
            Self::Lax => Some("Lax"),
            Self::None => Some("None"),
            Self::Default => Some("Default"),
            Self::Off => None,
        }
    }
}

impl Priority {
    fn word(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}

/// How long a browser keeps a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Unix seconds.
    pub now: u64,
    /// Seconds from `now` on, cut to [`MAX_AGE_LIMIT`].
    pub max_age: u32,
}

/// A Set-Cookie line's value. `attributes_text` is [`Attributes::text`]; without a lifetime the cookie ends with the browser.
#[must_use]
pub fn set_cookie(
    name: &str,
    value: &str,
    attributes_text: &str,
    lifetime: Option<Lifetime>,
) -> String {
    let mut line = format!("{name}={value}{attributes_text}");
    if let Some(Lifetime { now, max_age }) = lifetime {
        let max_age = max_age.min(MAX_AGE_LIMIT);
        let expires = http_date(now.saturating_add(max_age.into()));
        line.push_str(&format!("; Expires={expires}; Max-Age={max_age}"));
    }
    line
}

/// The Set-Cookie line's value that makes the browser drop a cookie. Path and domain must be those it was set with.
#[must_use]
pub fn expire_cookie(name: &str, attributes_text: &str) -> String {
    format!("{name}={attributes_text}; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0")
}

/// The cookie's name in somebody's Set-Cookie line; none when the line has no `=` in its first part, or nothing before it.
#[must_use]
pub fn set_cookie_name(line: &[u8]) -> Option<&[u8]> {
    let pair = line.split(|&b| b == b';').next()?;
    let at = pair.iter().position(|&b| b == b'=')?;
    Some(pair[..at].trim_ascii()).filter(|name| !name.is_empty())
}

fn http_date(time: u64) -> String {
    // The format has four digits for the year.
    const LAST_SECOND: u64 = 253_402_300_799;
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(time.min(LAST_SECOND)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Attributes {
        Attributes {
            path: "/".to_owned(),
            domain: None,
            http_only: true,
            secure: false,
            same_site: SameSite::Lax,
            priority: None,
            same_party: false,
            partitioned: false,
        }
    }

    #[test]
    fn attributes_come_in_the_documented_order() {
        assert_eq!(attributes().text(), "; Path=/; SameSite=Lax; HttpOnly");
        let all = Attributes {
            domain: Some("example.org".to_owned()),
            secure: true,
            same_site: SameSite::None,
            priority: Some(Priority::High),
            same_party: true,
            partitioned: true,
            ..attributes()
        };
        assert_eq!(
            all.text(),
            "; Domain=example.org; Path=/; SameSite=None; Priority=High; SameParty; Partitioned; Secure; HttpOnly"
        );
    }

    #[test]
    fn some_are_left_out() {
        for domain in ["", "localhost"] {
            let local = Attributes {
                domain: Some(domain.to_owned()),
                same_site: SameSite::Off,
                ..attributes()
            };
            assert_eq!(local.text(), "; Path=/; HttpOnly");
        }
    }

    #[test]
    fn expires_and_max_age_agree_and_are_at_most_400_days() {
        let lifetime = |max_age| {
            Some(Lifetime {
                now: 784_111_777 - 7200,
                max_age,
            })
        };
        assert_eq!(
            set_cookie("a", "b", "; Path=/", lifetime(7200)),
            "a=b; Path=/; Expires=Sun, 06 Nov 1994 08:49:37 GMT; Max-Age=7200"
        );
        assert!(set_cookie("a", "b", "", lifetime(u32::MAX)).ends_with("; Max-Age=34560000"));
        assert_eq!(set_cookie("a", "b", "; Path=/", None), "a=b; Path=/");
        let end = Some(Lifetime {
            now: u64::MAX,
            max_age: 1,
        });
        assert_eq!(
            set_cookie("a", "b", "", end),
            "a=b; Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=1"
        );
    }

    #[test]
    fn expiring_repeats_the_attributes() {
        assert_eq!(
            expire_cookie("sid", &attributes().text()),
            "sid=; Path=/; SameSite=Lax; HttpOnly; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0"
        );
    }

    #[test]
    fn the_name_of_a_line() {
        assert_eq!(set_cookie_name(b" sid =x; Path=/"), Some(&b"sid"[..]));
        assert_eq!(set_cookie_name(b"sid="), Some(&b"sid"[..]));
        for line in ["", "=x", " =x", "sid", "sid; Path=/", ";a=b"] {
            assert_eq!(set_cookie_name(line.as_bytes()), None, "{line}");
        }
    }
}
