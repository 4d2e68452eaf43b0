//! Section 3: the cookie.

use session::{Attributes, CookieName, MAX_AGE_LIMIT, Priority, SameSite};

use super::Directives;
use super::command::{Arguments, ConfError, Position, fixed_name, inherit, once, utf8};

/// A name prefix that browsers enforce (RFC 6265bis, 4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    Off,
    Host,
    Secure,
}

impl Prefix {
    /// As it stands in front of a name.
    pub fn text(self) -> &'static str {
        match self {
            Prefix::Off => "",
            Prefix::Host => "__Host-",
            Prefix::Secure => "__Secure-",
        }
    }

    /// The prefix that is part of `name`. Browsers compare it ignoring case.
    fn of(name: &str) -> Prefix {
        let has = |prefix: Prefix| {
            name.get(..prefix.text().len())
                .is_some_and(|head| head.eq_ignore_ascii_case(prefix.text()))
        };
        [Prefix::Host, Prefix::Secure]
            .into_iter()
            .find(|p| has(*p))
            .unwrap_or(Prefix::Off)
    }
}

/// When the cookie carries `Secure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// When the client came over TLS.
    Auto,
    On,
    Off,
}

/// What is written of this section at one level.
#[derive(Default, Clone)]
pub struct CookieDirectives {
    name: Option<CookieName>,
    prefix: Option<Prefix>,
    path: Option<String>,
    domain: Option<String>,
    http_only: Option<bool>,
    secure: Option<Secure>,
    same_site: Option<SameSite>,
    priority: Option<Option<Priority>>,
    same_party: Option<bool>,
    partitioned: Option<bool>,
    max_age: Option<Option<u32>>,
    clear_invalid: Option<bool>,
    /// The last directive about a cookie, to point at when two contradict.
    pub at: Position,
}

/// The cookie as a location sends it.
#[derive(Clone)]
pub struct CookieSettings {
    pub name: CookieName,
    pub prefix: Prefix,
    /// `; Path=/; …` for a client that came in plain, and over TLS.
    pub attributes: [String; 2],
    /// Seconds; `None`: until the browser closes.
    pub max_age: Option<u32>,
    pub clear_invalid: bool,
}

impl CookieDirectives {
    pub fn inherit(&mut self, outer: &CookieDirectives) {
        inherit(&mut self.name, &outer.name);
        inherit(&mut self.prefix, &outer.prefix);
        inherit(&mut self.path, &outer.path);
        inherit(&mut self.domain, &outer.domain);
        inherit(&mut self.http_only, &outer.http_only);
        inherit(&mut self.secure, &outer.secure);
        inherit(&mut self.same_site, &outer.same_site);
        inherit(&mut self.priority, &outer.priority);
        inherit(&mut self.same_party, &outer.same_party);
        inherit(&mut self.partitioned, &outer.partitioned);
        inherit(&mut self.max_age, &outer.max_age);
        inherit(&mut self.clear_invalid, &outer.clear_invalid);
    }

    /// What the http level says of all sessions; a cookie's name is of one session only.
    pub fn take_from_http(
        &mut self,
        http: &CookieDirectives,
        profile: &str,
    ) -> Result<(), ConfError> {
        if self.name.is_none() {
            let base = http.name.clone().unwrap_or_else(|| default_name("session"));
            self.name = Some(derived_name(&base, profile)?);
        }
        self.inherit(http);
        Ok(())
    }

    /// The cookie with all rules between its attributes applied.
    pub fn resolve(&self) -> Result<CookieSettings, ConfError> {
        let bare = self.name.clone().unwrap_or_else(|| default_name("session"));
        let prefix = self.prefix.unwrap_or(Prefix::Off);
        let name =
            prefixed(prefix, &bare).map_err(|error| self.contradiction(&error.to_string()))?;
        let effective = Prefix::of(name.as_str());
        self.check_host(effective)?;
        let same_site = self.same_site.unwrap_or(SameSite::Lax);
        let same_party = self.same_party.unwrap_or(false);
        if same_party && same_site == SameSite::Strict {
            return Err(self.contradiction(
                "\"session_cookie_same_party on\" and \"session_cookie_same_site Strict\" exclude each other",
            ));
        }
        let forced = effective != Prefix::Off || same_site == SameSite::None || same_party;
        let attributes = |tls: bool| {
            let secure = forced
                || matches!(
                    (self.secure, tls),
                    (Some(Secure::On), _) | (None | Some(Secure::Auto), true)
                );
            Attributes {
                path: self.path.clone().unwrap_or_else(|| "/".into()),
                domain: self.domain.clone().filter(|domain| !domain.is_empty()),
                http_only: self.http_only.unwrap_or(true),
                secure,
                same_site,
                priority: self.priority.flatten(),
                same_party,
                partitioned: self.partitioned.unwrap_or(false),
            }
            .text()
        };
        Ok(CookieSettings {
            name,
            prefix,
            attributes: [attributes(false), attributes(true)],
            max_age: self.max_age.flatten(),
            clear_invalid: self.clear_invalid.unwrap_or(true),
        })
    }

    /// `__Host-` is for this host and all of its paths.
    fn check_host(&self, prefix: Prefix) -> Result<(), ConfError> {
        if prefix != Prefix::Host {
            return Ok(());
        }
        if self
            .domain
            .as_deref()
            .is_some_and(|domain| !domain.is_empty())
        {
            return Err(self.contradiction(
                "a cookie with the prefix \"__Host-\" cannot have a \"session_cookie_domain\"",
            ));
        }
        if self.path.as_deref().is_some_and(|path| path != "/") {
            return Err(self.contradiction(
                "a cookie with the prefix \"__Host-\" has the \"session_cookie_path\" \"/\"",
            ));
        }
        Ok(())
    }

    /// Two directives about cookies that cannot both hold.
    pub fn contradiction(&self, text: &str) -> ConfError {
        ConfError::Contradiction {
            text: text.to_owned(),
            at: self.at.clone(),
        }
    }
}

/// `name` with the prefix in front, unless it was written there.
pub fn prefixed(prefix: Prefix, name: &CookieName) -> Result<CookieName, session::CookieNameError> {
    if Prefix::of(name.as_str()) == prefix {
        return Ok(name.clone());
    }
    CookieName::parse(&format!("{}{}", prefix.text(), name.as_str()))
}

/// A default of the contract.
pub fn default_name(name: &'static str) -> CookieName {
    CookieName::parse(name).expect("the contract's default names are valid")
}

/// The name of a profile's cookie, where it has none of its own.
pub fn derived_name(base: &CookieName, profile: &str) -> Result<CookieName, ConfError> {
    CookieName::parse(&format!("{}_{profile}", base.as_str()))
        .map_err(|error| ConfError::wrong(format!("cannot name its cookie: {error}")))
}

/// Reads a cookie name.
pub fn cookie_name(args: &Arguments) -> Result<CookieName, ConfError> {
    let name = fixed_name(args.first())?;
    CookieName::parse(name).map_err(|error| ConfError::invalid(args.first(), error))
}

pub fn name(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    level.cookie.at = args.position();
    once(&mut level.cookie.name, cookie_name(args)?)
}

pub fn prefix(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let prefix = args.one_of(&[
        ("off", Prefix::Off),
        ("__Host-", Prefix::Host),
        ("__Secure-", Prefix::Secure),
    ])?;
    level.cookie.at = args.position();
    once(&mut level.cookie.prefix, prefix)
}

pub fn path(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let path = args.first();
    let fits = |byte: &u8| (b' '..=b'~').contains(byte) && *byte != b';' && *byte != b'$';
    if path.first() != Some(&b'/') || !path.iter().all(fits) {
        return Err(ConfError::invalid(
            path,
            "allowed is a path that begins with \"/\", without \";\" and variables",
        ));
    }
    level.cookie.at = args.position();
    once(&mut level.cookie.path, utf8(path)?.to_owned())
}

pub fn domain(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let domain = args.first();
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'.';
    if domain.is_empty() || !domain.iter().all(fits) {
        return Err(ConfError::invalid(
            domain,
            "allowed are \"off\" and a domain name",
        ));
    }
    level.cookie.at = args.position();
    // "off" is kept as an empty name, so that it overrides the level above.
    let domain = if domain == b"off" {
        String::new()
    } else {
        utf8(domain)?.to_owned()
    };
    once(&mut level.cookie.domain, domain)
}

pub fn http_only(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.cookie.http_only, args.flag()?)
}

pub fn secure(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let secure = args.one_of(&[
        ("auto", Secure::Auto),
        ("on", Secure::On),
        ("off", Secure::Off),
    ])?;
    once(&mut level.cookie.secure, secure)
}

pub fn same_site(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let same_site = args.one_of(&[
        ("Lax", SameSite::Lax),
        ("Strict", SameSite::Strict),
        ("None", SameSite::None),
        ("Default", SameSite::Default),
        ("off", SameSite::Off),
    ])?;
    level.cookie.at = args.position();
    once(&mut level.cookie.same_site, same_site)
}

pub fn priority(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let priority = args.one_of(&[
        ("off", None),
        ("Low", Some(Priority::Low)),
        ("Medium", Some(Priority::Medium)),
        ("High", Some(Priority::High)),
    ])?;
    once(&mut level.cookie.priority, priority)
}

pub fn same_party(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    level.cookie.at = args.position();
    once(&mut level.cookie.same_party, args.flag()?)
}

pub fn partitioned(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.cookie.partitioned, args.flag()?)
}

pub fn max_age(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let max_age = match args.first() {
        b"off" => None,
        _ => match args.seconds()? {
            0 => {
                return Err(ConfError::invalid(
                    args.first(),
                    "allowed are \"off\" and a time of at least one second",
                ));
            }
            // Browsers cut longer lives to this (RFC 6265bis, 5.5).
            seconds => Some(seconds.min(MAX_AGE_LIMIT)),
        },
    };
    once(&mut level.cookie.max_age, max_age)
}

pub fn clear_invalid(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    once(&mut level.cookie.clear_invalid, args.flag()?)
}
