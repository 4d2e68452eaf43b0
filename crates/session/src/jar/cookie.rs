//! One cookie of a jar, and its form in the session.

use std::borrow::Cow;

use serde_json::Value;

use crate::jar::line::{Line, is_control};
use crate::jar::place::{self, Host};
use crate::jar::{JarError, Origin, Reason};

const SECURE: u64 = 1;
const HOST_ONLY: u64 = 2;

/// A cookie with the fields that RFC 6265bis, 5.7, has it stored with. Left out are those that matter to browsers only
/// (HttpOnly, SameSite), and the time of the last use, which would change the jar with every request.
///
/// Its texts may be parts of what it was read from: most cookies that are read are only sent.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Cookie<'a> {
    pub name: Cow<'a, str>,
    pub value: Cow<'a, str>,
    pub place: Place<'a>,
    /// Unix seconds. Kept when the cookie is replaced.
    pub created: u64,
    /// Unix seconds; none for one that lives as long as the session.
    pub expires: Option<u64>,
    pub secure: bool,
}

/// Where a cookie belongs. There is one of a name at a place.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub domain: Cow<'a, str>,
    /// For the host that is called like the domain, not for those below.
    pub host_only: bool,
    pub path: Cow<'a, str>,
}

/// A cookie as a session holds it: name, value, domain, path, creation, end or -1, flags.
pub(super) struct Fields<'a>(
    pub Cow<'a, str>,
    pub Cow<'a, str>,
    pub Cow<'a, str>,
    pub Cow<'a, str>,
    pub u64,
    pub i64,
    pub u64,
);

impl Cookie<'static> {
    /// What a Set-Cookie line makes (5.7, without what depends on other cookies).
    pub fn set(line: &[u8], origin: &Origin<'_>, now: u64) -> Result<Self, Reason> {
        let line = Line::parse(line, now)?;
        let place = Place::of(&line, origin)?;
        if line.secure && !origin.secure {
            return Err(Reason::InsecureOrigin);
        }
        if line.is_for_all_sites && !line.secure {
            return Err(Reason::SameSite);
        }
        if has_prefix(line.name, "__Secure-") && !line.secure {
            return Err(Reason::SecurePrefix);
        }
        let is_of_host = line.secure && place.host_only && line.path.is_some() && place.path == "/";
        if has_prefix(line.name, "__Host-") && !is_of_host {
            return Err(Reason::HostPrefix);
        }
        Ok(Self {
            name: Cow::Owned(line.name.to_owned()),
            value: Cow::Owned(line.value.to_owned()),
            place,
            created: now,
            expires: line.expires(),
            secure: line.secure,
        })
    }
}

impl<'a> Cookie<'a> {
    /// The same, for as long as this one is there.
    pub fn borrowed(&self) -> Cookie<'_> {
        Cookie {
            name: Cow::Borrowed(&self.name),
            value: Cow::Borrowed(&self.value),
            place: Place {
                domain: Cow::Borrowed(&self.place.domain),
                host_only: self.place.host_only,
                path: Cow::Borrowed(&self.place.path),
            },
            ..*self
        }
    }

    /// The same, to be kept longer than what it was read from.
    pub fn owned(self) -> Cookie<'static> {
        let owned = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        Cookie {
            name: owned(self.name),
            value: owned(self.value),
            place: Place {
                domain: owned(self.place.domain),
                host_only: self.place.host_only,
                path: owned(self.place.path),
            },
            created: self.created,
            expires: self.expires,
            secure: self.secure,
        }
    }

    pub fn is(&self, name: &str, place: &Place<'_>) -> bool {
        self.name == name && self.place == *place
    }

    /// Whether this cookie and one that is set from elsewhere could be taken for each other ("leave secure cookies alone", 5.7).
    pub fn is_shadowed_by(&self, other: &Cookie<'_>) -> bool {
        let (own, others) = (&self.place, &other.place);
        self.name == other.name
            && (place::is_within(&own.domain, &others.domain)
                || place::is_within(&others.domain, &own.domain))
            && place::path_matches(&others.path, &own.path)
    }

    pub fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Whether it goes with a request (5.8.3).
    pub fn is_for(&self, host: &Host<'_>, path: &str, secure: bool) -> bool {
        let is_at_host = if self.place.host_only {
            host.as_str() == self.place.domain
        } else {
            host.is_within(&self.place.domain)
        };
        is_at_host && place::path_matches(path, &self.place.path) && (secure || !self.secure)
    }

    /// Bytes that count towards the size of the jar.
    pub fn size(&self) -> usize {
        let Place { domain, path, .. } = &self.place;
        self.name.len() + self.value.len() + domain.len() + path.len()
    }

    pub fn to_json(&self) -> Value {
        let flag = |on: bool, flag: u64| if on { flag } else { 0 };
        let flags = flag(self.secure, SECURE) | flag(self.place.host_only, HOST_ONLY);
        Value::from(vec![
            Value::from(&*self.name),
            Value::from(&*self.value),
            Value::from(&*self.place.domain),
            Value::from(&*self.place.path),
            Value::from(self.created),
            // A session's end is no date, and null would be a hole in a Lua table.
            Value::from(
                self.expires
                    .map_or(-1, |end| i64::try_from(end).unwrap_or(i64::MAX)),
            ),
            Value::from(flags),
        ])
    }

    pub fn from_json(value: &'a Value) -> Result<Self, JarError> {
        let fields: &[Value; 7] = value
            .as_array()
            .and_then(|fields| fields.as_slice().try_into().ok())
            .ok_or(JarError::Cookie)?;
        let [name, value, domain, path, created, expires, flags] = fields;
        Self::from_fields(Fields(
            text(name)?,
            text(value)?,
            text(domain)?,
            text(path)?,
            created.as_u64().ok_or(JarError::Cookie)?,
            expires.as_i64().ok_or(JarError::Cookie)?,
            flags.as_u64().ok_or(JarError::Cookie)?,
        ))
    }

    pub fn from_fields(fields: Fields<'a>) -> Result<Self, JarError> {
        let Fields(name, value, domain, path, created, expires, flags) = fields;
        let ends = |byte: u8| byte == b';' || is_control(byte);
        let is_name = |byte: u8| byte != b'=' && !ends(byte);
        if name.is_empty() || !name.bytes().all(is_name) || value.bytes().any(ends) {
            return Err(JarError::Text);
        }
        Ok(Self {
            name,
            value,
            place: Place {
                domain,
                host_only: flags & HOST_ONLY != 0,
                path,
            },
            created,
            expires: u64::try_from(expires).ok(),
            secure: flags & SECURE != 0,
        })
    }
}

impl Place<'static> {
    fn of(line: &Line<'_>, origin: &Origin<'_>) -> Result<Self, Reason> {
        let host = Host::of(origin.host);
        let domain = domain(line.domain.unwrap_or_default(), &host)?;
        let path = match line.path {
            Some(path) if path.starts_with('/') => path,
            _ => place::default_path(place::without_query(origin.path)),
        };
        Ok(Self {
            host_only: domain.is_none(),
            domain: Cow::Owned(domain.unwrap_or_else(|| host.as_str().to_owned())),
            path: Cow::Owned(path.to_owned()),
        })
    }
}

/// The domain of a Domain attribute, none if the cookie is for the host only (5.6.3, 5.7).
fn domain(attribute: &str, host: &Host<'_>) -> Result<Option<String>, Reason> {
    if attribute.is_empty() {
        return Ok(None);
    }
    if host.is_address() {
        // There is nothing below an address, and a dot before one is a name that it has not.
        let is_same = attribute.eq_ignore_ascii_case(host.as_str());
        return is_same.then_some(None).ok_or(Reason::ForeignDomain);
    }
    let domain = attribute.strip_prefix('.').unwrap_or(attribute);
    let domain = domain.to_ascii_lowercase();
    if domain.is_empty() || !domain.is_ascii() || !host.is_within(&domain) {
        return Err(Reason::ForeignDomain);
    }
    match (place::is_public_suffix(&domain), host.as_str() == domain) {
        (false, _) => Ok(Some(domain)),
        (true, true) => Ok(None),
        (true, false) => Err(Reason::PublicSuffix),
    }
}

/// In any case: browsers take the prefixes so, because servers often do.
fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn text(value: &Value) -> Result<Cow<'_, str>, JarError> {
    value.as_str().map(Cow::Borrowed).ok_or(JarError::Cookie)
}
