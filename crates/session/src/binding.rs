//! Binding a token to what the request is: address, scheme, user agent, further values.
//!
//! The values are part of the MAC's message, never of the token.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

use crate::header::{Flags, Header, MACED_SIZE};
use crate::keys::{KeyRing, MacKey};
use crate::known::Signed;

/// What the configuration binds tokens to (`session_bind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bind {
    /// The client's address.
    pub ip: bool,
    /// `http` or `https`.
    pub scheme: bool,
    /// The user agent.
    pub user_agent: bool,
    /// Values of the user's choice.
    pub extra: bool,
}

impl Bind {
    /// Nothing is bound.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The flags a token of this configuration carries.
    pub(crate) fn flags(&self) -> Flags {
        let mut flags = Flags::empty();
        flags.set(Flags::BIND_IP, self.ip);
        flags.set(Flags::BIND_SCHEME, self.scheme);
        flags.set(Flags::BIND_USER_AGENT, self.user_agent);
        flags.set(Flags::BIND_EXTRA, self.extra);
        flags
    }

    /// A bound place takes no token that is bound to less. A token bound to more is checked by its own flags, which for
    /// further values is impossible where none are configured.
    pub(crate) fn admits(&self, flags: Flags) -> bool {
        flags.contains(self.flags()) && (self.extra || !flags.contains(Flags::BIND_EXTRA))
    }
}

/// The values of the request at hand; an empty one takes no part in the first three.
#[derive(Debug, Clone, Copy, Default)]
pub struct Binding<'a> {
    /// The client's address as text.
    pub address: &'a [u8],
    /// `http` or `https`.
    pub scheme: &'a [u8],
    /// The User-Agent header.
    pub user_agent: &'a [u8],
    /// The further values, in the configuration's order.
    pub extra: &'a [&'a [u8]],
}

impl Binding<'_> {
    /// The first half of the MAC that belongs into `header`, whose id's key is `key`.
    pub(crate) fn mac(&self, key: &MacKey, header: &Header) -> [u8; 16] {
        let mac = self.fed(key, header).finalize().into_bytes();
        let mut half = [0; 16];
        half.copy_from_slice(&mac[..16]);
        half
    }

    /// The header with the key that made its MAC. The `known` one is tried before the others.
    pub(crate) fn verify(
        &self,
        keys: &KeyRing,
        header: Header,
        known: Option<&Signed>,
    ) -> Option<Signed> {
        let known = known.map(|known| (known.key, known.mac_key.clone()));
        let derived = keys.indices().map(|k| (k, keys.mac_key(k, &header.id)));
        let (key, mac_key) = known
            .into_iter()
            .chain(derived)
            .find(|(_, key)| self.signs(key, &header))?;
        Some(Signed {
            header,
            key,
            mac_key,
        })
    }

    /// Whether the header's MAC is of that key, compared in constant time.
    pub(crate) fn signs(&self, key: &MacKey, header: &Header) -> bool {
        let mac = self.fed(key, header);
        mac.verify_truncated_left(&header.mac).is_ok()
    }

    fn fed(&self, key: &MacKey, header: &Header) -> Hmac<Sha256> {
        let mut mac = key.mac();
        mac.update(&header.build()[..MACED_SIZE]);
        if let Some(digest) = self.joined(header.flags) {
            mac.update(b"#");
            mac.update(&digest);
        }
        if header.flags.contains(Flags::BIND_EXTRA) {
            for value in self.extra {
                mac.update(b"#");
                mac.update(&Sha256::digest(value));
            }
        }
        mac
    }

    /// SHA-256 of the bound, non-empty values with `|` between them; none when there are none.
    fn joined(&self, flags: Flags) -> Option<[u8; 32]> {
        let bound = [
            (Flags::BIND_IP, self.address),
            (Flags::BIND_SCHEME, self.scheme),
            (Flags::BIND_USER_AGENT, self.user_agent),
        ];
        let mut digest: Option<Sha256> = None;
        for (flag, value) in bound {
            if !flags.contains(flag) || value.is_empty() {
                continue;
            }
            match &mut digest {
                None => digest = Some(Sha256::new_with_prefix(value)),
                Some(digest) => {
                    digest.update(b"|");
                    digest.update(value);
                }
            }
        }
        digest.map(|digest| digest.finalize().into())
    }
}
