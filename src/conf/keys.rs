//! Section 2: key material, and what a token is bound to.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, OnceLock};

use session::{Bind, Ikm, KeyRing};

use super::Directives;
use super::command::{Arguments, ConfError, inherit, inherit_list, once};
use crate::http::Value;

/// What is written of this section at one level.
#[derive(Default, Clone)]
pub struct KeyDirectives {
    secret: Option<Arc<Ikm>>,
    /// The file's first line, and the rest.
    secret_file: Option<(Arc<Ikm>, Vec<Arc<Ikm>>)>,
    ikm: Option<Arc<Ikm>>,
    fallbacks: Vec<Arc<Ikm>>,
    bind: Option<Binding>,
    /// Made once for all levels that use the same keys.
    ring: OnceLock<Arc<KeyRing>>,
}

/// What a token is bound to; `extra` are values of the user's own.
#[derive(Default, Clone)]
pub struct Binding {
    pub to: Bind,
    pub extra: Vec<Value>,
}

impl KeyDirectives {
    pub fn inherit(&mut self, outer: &KeyDirectives) {
        let own_fallbacks = !self.fallbacks.is_empty();
        inherit_list(&mut self.fallbacks, &outer.fallbacks, own_fallbacks);
        // Keys come as a group: an inner secret is not overruled by an outer ikm.
        if self.is_random() {
            self.secret.clone_from(&outer.secret);
            self.secret_file.clone_from(&outer.secret_file);
            self.ikm.clone_from(&outer.ikm);
            if !own_fallbacks {
                self.ring = OnceLock::from(outer.ring());
            }
        }
        inherit(&mut self.bind, &outer.bind);
    }

    /// Nobody wrote a key down.
    pub fn is_random(&self) -> bool {
        self.secret.is_none() && self.secret_file.is_none() && self.ikm.is_none()
    }

    /// The keys in force.
    pub fn ring(&self) -> Arc<KeyRing> {
        self.ring.get_or_init(|| Arc::new(self.make_ring())).clone()
    }

    fn make_ring(&self) -> KeyRing {
        let (current, fallbacks) = self.material();
        KeyRing::new(
            (*current).clone(),
            fallbacks.iter().map(|ikm| (**ikm).clone()).collect(),
        )
    }

    /// The current key material and the fallbacks.
    fn material(&self) -> (Arc<Ikm>, Vec<Arc<Ikm>>) {
        let (current, mut fallbacks) = match (&self.ikm, &self.secret_file, &self.secret) {
            (Some(ikm), ..) => (ikm.clone(), Vec::new()),
            (None, Some((first, rest)), _) => (first.clone(), rest.clone()),
            (None, None, Some(secret)) => (secret.clone(), Vec::new()),
            (None, None, None) => (random_ikm(), Vec::new()),
        };
        fallbacks.extend(self.fallbacks.iter().cloned());
        (current, fallbacks)
    }

    /// Binds the keys to a cookie's name: from now on these are a named session's.
    pub fn be_for_name(&mut self, cookie: &str) {
        let (current, fallbacks) = self.material();
        let fallbacks = fallbacks.iter().map(|ikm| ikm.for_name(cookie)).collect();
        let ring = KeyRing::new(current.for_name(cookie), fallbacks);
        self.ring = OnceLock::from(Arc::new(ring));
    }

    /// What tokens are bound to.
    pub fn binding(&self) -> Binding {
        self.bind.clone().unwrap_or_default()
    }
}

/// One random key for the whole configuration. It is made in the master, so workers share it and a reload keeps it.
fn random_ikm() -> Arc<Ikm> {
    static RANDOM: OnceLock<Arc<Ikm>> = OnceLock::new();
    RANDOM
        .get_or_init(|| Arc::new(Ikm::from_secret(&crate::random::secret())))
        .clone()
}

pub fn secret(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    if level.keys.secret_file.is_some() {
        return Err(ConfError::wrong(
            "cannot stand beside \"session_secret_file\"",
        ));
    }
    let ikm = secret_of(args.first())?;
    once(&mut level.keys.secret, ikm)
}

pub fn secret_fallbacks(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    for text in args.texts() {
        level.keys.fallbacks.push(secret_of(text)?);
    }
    Ok(())
}

fn secret_of(text: &[u8]) -> Result<Arc<Ikm>, ConfError> {
    if text.is_empty() {
        return Err(ConfError::wrong(
            "is empty: allowed is any text, best 32 or more random characters",
        ));
    }
    Ok(Arc::new(Ikm::from_secret(text)))
}

pub fn ikm(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    let ikm = ikm_of(args.first())?;
    once(&mut level.keys.ikm, ikm)
}

pub fn ikm_fallbacks(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    for text in args.texts() {
        level.keys.fallbacks.push(ikm_of(text)?);
    }
    Ok(())
}

/// The value is key material, so the message tells its length only.
fn ikm_of(text: &[u8]) -> Result<Arc<Ikm>, ConfError> {
    Ikm::from_bytes(text)
        .map(Arc::new)
        .map_err(|_| ConfError::wrong(format!("has {} bytes: allowed are exactly 32", text.len())))
}

pub fn secret_file(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    if level.keys.secret.is_some() {
        return Err(ConfError::wrong("cannot stand beside \"session_secret\""));
    }
    let path = args.full_path()?;
    let mut secrets = read_secrets(&path)?.into_iter();
    let Some(first) = secrets.next() else {
        return Err(ConfError::wrong(format!(
            "\"{path}\" is empty: allowed is one secret per line, the current one first"
        )));
    };
    once(&mut level.keys.secret_file, (first, secrets.collect()))
}

fn read_secrets(path: &str) -> Result<Vec<Arc<Ikm>>, ConfError> {
    const READABLE_BY_OTHERS: u32 = 0o007;
    let unreadable = |error| ConfError::wrong(format!("\"{path}\" cannot be read: {error}"));
    let mode = fs::metadata(path).map_err(unreadable)?.permissions().mode();
    if mode & READABLE_BY_OTHERS != 0 {
        return Err(ConfError::wrong(format!(
            "\"{path}\" is open to all users (mode {:03o}): take the rights of others away, chmod 600",
            mode & 0o777
        )));
    }
    let text = zeroize::Zeroizing::new(fs::read(path).map_err(unreadable)?);
    Ok(text
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.is_empty())
        .map(|line| Arc::new(Ikm::from_secret(line)))
        .collect())
}

pub fn bind(level: &mut Directives, args: &Arguments) -> Result<(), ConfError> {
    const ALLOWED: &str = "allowed are \"off\", or any of \"ip\", \"scheme\", \"user_agent\" and values with variables";
    let mut binding = Binding::default();
    for &arg in args.all() {
        match arg.as_bytes() {
            b"off" if args.all().len() == 1 => {}
            b"ip" => binding.to.ip = true,
            b"scheme" => binding.to.scheme = true,
            b"user_agent" | b"user-agent" => binding.to.user_agent = true,
            text if text.contains(&b'$') => {
                binding.extra.push(args.value(arg)?);
                binding.to.extra = true;
            }
            text => return Err(ConfError::invalid(text, ALLOWED)),
        }
    }
    once(&mut level.keys.bind, binding)
}
