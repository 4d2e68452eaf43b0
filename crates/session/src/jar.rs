//! The jar: an upstream's own cookies, kept in the session instead of the browser.
//!
//! It follows the user agent's part of RFC 6265bis: parsing (5.6), storage (5.7), retrieval (5.8.3). Where it knows better or
//! cannot know, it differs:
//!
//! * A cookie without a name (`Set-Cookie: text`, `=text`) is ignored, as in RFC 6265: an upstream could not tell it from others.
//! * So is a line that is not UTF-8: a session is JSON.
//! * HttpOnly and SameSite say which scripts and sites may use a browser's cookie. None of them sees the jar; the session's own
//!   cookie has those attributes for all that is in it.
//! * When the jar is full, the oldest by creation goes, not the one unused for longest: noting every use would change the
//!   session with every request. Those that were set since the jar was read go last.
//!
//! In the session, a jar lies under [`JAR_KEY`].

mod cookie;
mod date;
mod line;
mod place;
mod text;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt;

use serde_json::Value;
use thiserror::Error;

use cookie::{Cookie, Place};
use place::Host;

/// The key of session data that a jar lies under.
///
/// Its first character marks keys as the module's own, see [`is_reserved`]. For JSON it is a character like others, written
/// `\u0001`, so that lua-resty-session reads and writes the record without harm; it is no `@`, which marks info there.
pub const JAR_KEY: &str = "\u{1}jar";

/// Whether a key of session data is the module's own. No directive, control header or variable may read or write one, and a JSON
/// control header can spell it with `\u0001`, so that each key of a merge patch has to be asked as well.
#[must_use]
pub fn is_reserved(key: &str) -> bool {
    key.starts_with('\u{1}')
}

/// A request that cookies are set by or go with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin<'a> {
    /// The host as the client asked for it; a port does not matter (RFC 6265bis, 8.5).
    pub host: &'a str,
    /// The path as the client asked for it, not decoded. A query does not matter. Bytes that are not UTF-8 may be replaced by any
    /// other character, as long as it is done always or never.
    pub path: &'a str,
    /// Whether nobody can listen: the client came by HTTPS, or the user says that it is as good as that.
    pub secure: bool,
}

/// What a jar may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Cookies.
    pub max: usize,
    /// Bytes of names, values, domains and paths together.
    pub size: usize,
}

impl Default for Limits {
    /// As many as browsers must be able to hold of one domain (RFC 6265bis, 6.1), and 16 kB.
    fn default() -> Self {
        Self {
            max: 50,
            size: 16 << 10,
        }
    }
}

/// What has become of a Set-Cookie line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// The cookie is in the jar, be it as it was before.
    Kept,
    /// The line ends the cookie, which is not in the jar (any more).
    Deleted,
    /// The line says nothing to the jar.
    Ignored(Reason),
}

/// Why a Set-Cookie line was ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Reason {
    /// RFC 6265bis, 5.6.
    #[error("it has a control character: encode the value")]
    ControlCharacter,
    /// Sessions are JSON.
    #[error("it is not UTF-8: encode the value")]
    NotUtf8,
    /// RFC 6265, 5.2.
    #[error("it has no name: write name=value")]
    NoName,
    /// Name and value have more than 4096 bytes (RFC 6265bis, 5.6), or the cookie more than the whole jar may have.
    #[error("it is too large: name and value may have 4096 bytes, and not more than the jar")]
    TooLarge,
    /// RFC 6265bis, 5.7.
    #[error("its Domain is neither the request's host nor a domain above that")]
    ForeignDomain,
    /// RFC 6265bis, 5.7.
    #[error("its Domain is a public suffix, below which anybody can have a host")]
    PublicSuffix,
    /// RFC 6265bis, 5.7.
    #[error("it is Secure, but the request came without TLS")]
    InsecureOrigin,
    /// RFC 6265bis, 5.7.
    #[error("the request came without TLS, and there is a Secure cookie of the same name")]
    SecureExists,
    /// RFC 6265bis, 5.7.
    #[error("it has SameSite=None, which needs Secure")]
    SameSite,
    /// RFC 6265bis, 4.1.3.1.
    #[error("its name starts with __Secure-, which needs Secure")]
    SecurePrefix,
    /// RFC 6265bis, 4.1.3.2.
    #[error("its name starts with __Host-, which needs Secure, Path=/ and no Domain")]
    HostPrefix,
}

/// Why what a session holds is no jar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JarError {
    /// It is no list.
    #[error("the session's cookie jar is no list: start with an empty one")]
    List,
    /// An element is no cookie.
    #[error("the session's cookie jar holds what is no cookie: start with an empty one")]
    Cookie,
    /// A name or value could not have come by a header.
    #[error(
        "the session's cookie jar holds a cookie with control characters or delimiters: start with an empty one"
    )]
    Text,
}

/// Cookies of an upstream. See the [module](self).
#[derive(Clone, Default)]
pub struct Jar {
    /// The oldest first.
    slots: Vec<Slot>,
    limits: Limits,
    /// What lines have ended since the jar was read, also what another has set again.
    ended: Vec<(Cow<'static, str>, Place<'static>)>,
    is_changed: bool,
    evicted: usize,
}

/// The cookies of a jar that go with a request, see [`Jar::cookies_for`].
pub struct Sent<'a>(Vec<Cookie<'a>>);

#[derive(Clone)]
struct Slot {
    cookie: Cookie<'static>,
    /// A line has set it since the jar was read, be it to what it was.
    is_set: bool,
}

impl Jar {
    /// The jar that a session holds. `null` and an empty object are empty jars: Lua does not tell an empty list from an object.
    pub fn from_json(json: &Value) -> Result<Self, JarError> {
        let cookies: Vec<Cookie<'_>> = match json {
            Value::Array(list) => list
                .iter()
                .map(Cookie::from_json)
                .collect::<Result<_, _>>()?,
            Value::Object(none) if none.is_empty() => Vec::new(),
            Value::Null => Vec::new(),
            _ => return Err(JarError::List),
        };
        Ok(Self::of(cookies))
    }

    /// The jar in the text of an object with a session's data, which must be JSON. None when it is not written as is usual, or
    /// not as [`Self::to_json`] gives it: [`Self::from_json`] has the word then.
    pub(crate) fn in_object(object: &[u8]) -> Option<Self> {
        text::cookies_in(object).map(Self::of)
    }

    fn of(cookies: Vec<Cookie<'_>>) -> Self {
        let unset = |cookie: Cookie<'_>| Slot {
            cookie: cookie.owned(),
            is_set: false,
        };
        let mut jar = Self {
            slots: cookies.into_iter().map(unset).collect(),
            ..Self::default()
        };
        jar.slots.sort_by_key(|slot| slot.cookie.created);
        jar
    }

    /// The jar with limits other than the default ones. They count when a cookie is set.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The jar as a session holds it: a list, with a list of seven texts and numbers for each cookie: name, value, domain, path,
    /// creation, end or -1, and flags (1 Secure, 2 host only). Nothing in it depends on the order of keys, and there is no null and
    /// no number above 2^53, which other JSON libraries would change. An empty jar is better not kept at all.
    #[must_use]
    pub fn to_json(&self) -> Value {
        self.slots
            .iter()
            .map(|slot| slot.cookie.to_json())
            .collect()
    }

    /// Whether there is no cookie, not even an expired one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Cookies in the jar, expired ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether [`Self::to_json`] gives something else than what the jar was read from, so that the session must be saved. Lines
    /// that set what is there already, end what is not there, or are ignored change nothing; neither does time.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.is_changed
    }

    /// The jar was saved: it is now as if it had been read from what [`Self::to_json`] gave.
    pub fn committed(&mut self) {
        self.is_changed = false;
        self.evicted = 0;
        self.ended.clear();
        for slot in &mut self.slots {
            slot.is_set = false;
        }
    }

    /// How many cookies went for lack of room since the jar was read.
    #[must_use]
    pub fn evicted(&self) -> usize {
        self.evicted
    }

    /// Does what a Set-Cookie header's value says (RFC 6265bis, 5.6 and 5.7). `now` in Unix seconds.
    pub fn store(&mut self, line: &[u8], origin: &Origin<'_>, now: u64) -> Stored {
        match self.admit(line, origin, now) {
            Err(reason) => Stored::Ignored(reason),
            Ok(cookie) if cookie.is_expired(now) => {
                self.end(cookie.name, cookie.place);
                Stored::Deleted
            }
            Ok(cookie) => {
                if self.put(cookie, now) {
                    self.make_room(now);
                }
                Stored::Kept
            }
        }
    }

    /// The cookies for a request: those of longer paths first, then the older ones (RFC 6265bis, 5.8.3). `now` in Unix seconds.
    #[must_use]
    pub fn cookies_for(&self, request: &Origin<'_>, now: u64) -> Sent<'_> {
        let cookies = self.slots.iter().map(|slot| slot.cookie.borrowed());
        Sent::of(cookies, request, now)
    }

    /// The value of the Cookie header for a request, none without cookies for it. `now` in Unix seconds.
    #[must_use]
    pub fn header(&self, request: &Origin<'_>, now: u64) -> Option<String> {
        self.cookies_for(request, now).header()
    }

    /// Does again what was done to `newer` since it was read, and nothing else: what another request did to this jar meanwhile
    /// stays. So a save that finds the stored session changed reads it, merges its own jar into the one read, and writes that. Of
    /// a cookie that both have set, the one of `newer` is kept, at the age of the older. `now` in Unix seconds.
    pub fn merge(&mut self, newer: &Self, now: u64) {
        for (name, place) in &newer.ended {
            self.end(name.clone(), place.clone());
        }
        let mut is_changed = false;
        for slot in newer.slots.iter().filter(|slot| slot.is_set) {
            is_changed |= self.put(slot.cookie.clone(), now);
        }
        if is_changed {
            self.make_room(now);
        }
    }

    /// What a session holds meanwhile, with what was done to this jar since it was read: see [`Self::merge`]. What the session holds
    /// counts as empty if it is no jar.
    #[must_use]
    pub fn rebased(&self, stored: Option<&Value>, now: u64) -> Self {
        let stored = stored.and_then(|json| Self::from_json(json).ok());
        let mut jar = stored.unwrap_or_default().with_limits(self.limits);
        jar.merge(self, now);
        jar
    }

    fn admit(&self, line: &[u8], origin: &Origin<'_>, now: u64) -> Result<Cookie<'static>, Reason> {
        let cookie = Cookie::set(line, origin, now)?;
        if cookie.size() > self.limits.size {
            return Err(Reason::TooLarge);
        }
        let is_in_the_way = |slot: &Slot| {
            let old = &slot.cookie;
            old.secure && !old.is_expired(now) && old.is_shadowed_by(&cookie)
        };
        if !origin.secure && self.slots.iter().any(is_in_the_way) {
            return Err(Reason::SecureExists);
        }
        Ok(cookie)
    }

    /// True when the jar is another one now. A cookie that replaces one takes over its age; one that has expired is left to
    /// [`Self::make_room`], as if it were gone.
    fn put(&mut self, mut cookie: Cookie<'static>, now: u64) -> bool {
        let old = self
            .slots
            .iter()
            .position(|slot| slot.cookie.is(&cookie.name, &cookie.place))
            .filter(|&at| !self.slots[at].cookie.is_expired(now));
        if let Some(at) = old {
            let slot = &mut self.slots[at];
            cookie.created = slot.cookie.created;
            slot.is_set = true;
            if slot.cookie == cookie {
                return false;
            }
            slot.cookie = cookie;
        } else {
            let at = self
                .slots
                .partition_point(|slot| slot.cookie.created <= cookie.created);
            let slot = Slot {
                cookie,
                is_set: true,
            };
            self.slots.insert(at, slot);
        }
        self.is_changed = true;
        true
    }

    fn end(&mut self, name: Cow<'static, str>, place: Place<'static>) {
        let before = self.slots.len();
        self.slots.retain(|slot| !slot.cookie.is(&name, &place));
        self.is_changed |= self.slots.len() != before;
        // Also when there was none: another request may have set it.
        self.ended.push((name, place));
    }

    /// Removes the expired, then as many of the oldest as are too many (RFC 6265bis, 5.7).
    fn make_room(&mut self, now: u64) {
        self.slots.retain(|slot| !slot.cookie.is_expired(now));
        let mut size: usize = self.slots.iter().map(|slot| slot.cookie.size()).sum();
        while self.slots.len() > self.limits.max || size > self.limits.size {
            let first_old = self.slots.iter().position(|slot| !slot.is_set);
            let gone = self.slots.remove(first_old.unwrap_or(0));
            size -= gone.cookie.size();
            self.evicted += 1;
        }
    }
}

impl<'a> Sent<'a> {
    /// Those of the jar in the text of an object, as [`Jar::in_object`] reads it.
    pub(crate) fn in_object(object: &'a [u8], request: &Origin<'_>, now: u64) -> Option<Self> {
        let cookies = text::cookies_in(object)?;
        Some(Self::of(cookies.into_iter(), request, now))
    }

    fn of(cookies: impl Iterator<Item = Cookie<'a>>, request: &Origin<'_>, now: u64) -> Self {
        let host = Host::of(request.host);
        let path = match place::without_query(request.path) {
            "" => "/",
            path => path,
        };
        let mut sent: Vec<Cookie<'a>> = cookies
            .filter(|cookie| !cookie.is_expired(now) && cookie.is_for(&host, path, request.secure))
            .collect();
        sent.sort_by_key(|cookie| (Reverse(cookie.place.path.len()), cookie.created));
        Self(sent)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their names, to take a client's cookies that are called the same out of the request. A name can be there more than once.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|cookie| &*cookie.name)
    }

    /// Whether one of them is called that.
    #[must_use]
    pub fn has_name(&self, name: &[u8]) -> bool {
        self.names().any(|other| other.as_bytes() == name)
    }

    /// The value of a Cookie header with them, none if there are none.
    #[must_use]
    pub fn header(&self) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let size = |cookie: &Cookie<'_>| cookie.name.len() + cookie.value.len() + "=; ".len();
        let mut header = String::with_capacity(self.0.iter().map(size).sum());
        for cookie in &self.0 {
            let delimiter = if header.is_empty() { "" } else { "; " };
            header.extend([delimiter, &cookie.name, "=", &cookie.value]);
        }
        Some(header)
    }
}

impl fmt::Debug for Sent<'_> {
    /// Prints names only: the values may be tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sent")?;
        f.debug_list().entries(self.names()).finish()
    }
}

impl fmt::Debug for Jar {
    /// Prints names only: the values may be tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.slots.iter().map(|slot| &slot.cookie.name);
        f.write_str("Jar")?;
        f.debug_list().entries(names).finish()
    }
}
