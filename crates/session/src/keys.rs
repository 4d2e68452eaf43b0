//! Key material, and the keys derived from it for one session id.
//!
//! The extraction step of HKDF is done once, when the configuration is read; a request pays for the expansions only.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::{Zeroizing, optimization_barrier};

use crate::id::SessionId;

/// Bytes of key material.
pub const IKM_SIZE: usize = 32;

const CIPHER_KEY_SIZE: usize = 32;
const CIPHER_KEY_AND_IV_SIZE: usize = CIPHER_KEY_SIZE + 12;
const AUTHENTICATION: &[u8] = b"authentication:";
const ENCRYPTION: &[u8] = b"encryption:";

/// Why key material is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Key material of another length.
    #[error(
        "key material must be exactly 32 bytes, this is {0}; use a secret to give a text of any length"
    )]
    Length(usize),
}

/// Initial key material. Wiped when dropped.
#[derive(Clone)]
pub struct Ikm(Zeroizing<[u8; IKM_SIZE]>);

impl Ikm {
    /// Key material from a text of any length: its SHA-256.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Self {
        Self(Zeroizing::new(Sha256::digest(secret).into()))
    }

    /// Key material as it is.
    ///
    /// # Errors
    /// Unless there are exactly 32 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes = <[u8; IKM_SIZE]>::try_from(bytes).map_err(|_| KeyError::Length(bytes.len()))?;
        Ok(Self(Zeroizing::new(bytes)))
    }

    /// Key material for the sessions of one name only, so that a token of another name under the same secret does not
    /// verify. The reference has no such thing: use it where no foreign node shares the sessions.
    #[must_use]
    pub fn for_name(&self, name: &str) -> Self {
        let mut bytes = Zeroizing::new([0; IKM_SIZE]);
        Hkdf::<Sha256>::new(None, self.0.as_slice())
            .expand_multi_info(&[b"name:", name.as_bytes()], bytes.as_mut_slice())
            .expect("HKDF gives up to 8160 bytes");
        Self(bytes)
    }
}

impl fmt::Debug for Ikm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ikm(..)")
    }
}

/// Which key of the ring verified a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyIndex(usize);

impl KeyIndex {
    /// The key that new tokens are made with.
    pub const CURRENT: Self = Self(0);
}

/// The current key and those that still open older tokens.
pub struct KeyRing {
    number: u64,
    keys: Vec<RingKey>,
}

struct RingKey {
    ikm: Ikm,
    prk: Hkdf<Sha256>,
}

impl RingKey {
    fn new(ikm: Ikm) -> Self {
        // An absent salt and an empty one are the same HMAC key.
        let prk = Hkdf::new(None, ikm.0.as_slice());
        Self { ikm, prk }
    }

    fn expand<const N: usize>(&self, usage: &[u8], id: &SessionId) -> Zeroizing<[u8; N]> {
        let mut key = Zeroizing::new([0; N]);
        self.prk
            .expand_multi_info(&[usage, id.as_bytes()], key.as_mut_slice())
            .expect("HKDF gives up to 8160 bytes");
        key
    }
}

impl KeyRing {
    /// A ring whose new tokens are made with `current`; `fallbacks` are tried in order on tokens it does not verify.
    #[must_use]
    pub fn new(current: Ikm, fallbacks: Vec<Ikm>) -> Self {
        static RINGS: AtomicU64 = AtomicU64::new(0);
        Self {
            number: RINGS.fetch_add(1, Ordering::Relaxed),
            keys: std::iter::once(current)
                .chain(fallbacks)
                .map(RingKey::new)
                .collect(),
        }
    }

    /// A key of another ring (a session that outlived its configuration) counts as the current one.
    fn key(&self, k: KeyIndex) -> &RingKey {
        self.keys.get(k.0).unwrap_or(&self.keys[0])
    }

    /// The cipher key of a session token.
    #[must_use]
    pub fn session_key(&self, k: KeyIndex, id: &SessionId) -> CipherKey {
        CipherKey(self.key(k).expand(ENCRYPTION, id))
    }

    /// The cipher key of a remember token, or the work that makes it.
    #[must_use]
    pub fn remember_key(&self, k: KeyIndex, id: &SessionId, safety: Safety) -> KeySource {
        match self.stretch(k, id, safety) {
            None => KeySource::Ready(self.session_key(k, id)),
            Some(stretch) => KeySource::Stretch(stretch),
        }
    }

    /// The work that makes the cipher key of a remember token; none when it is derived as that of a session token.
    pub(crate) fn stretch(&self, k: KeyIndex, id: &SessionId, safety: Safety) -> Option<Stretch> {
        Some(Stretch {
            rounds: safety.rounds()?,
            password: self.key(k).ikm.clone(),
            id: *id,
        })
    }

    /// The key for the MACs of `id`.
    pub(crate) fn mac_key(&self, k: KeyIndex, id: &SessionId) -> MacKey {
        let key = self.key(k).expand::<32>(AUTHENTICATION, id);
        MacKey {
            ring: self.number,
            keyed: Arc::new(Keyed(keyed(key.as_slice()))),
        }
    }

    /// Whether the key is of this ring, and not of another configuration's.
    pub(crate) fn made(&self, key: &MacKey) -> bool {
        self.number == key.ring
    }

    /// The keys in the order they are tried.
    pub(crate) fn indices(&self) -> impl Iterator<Item = KeyIndex> + use<> {
        (0..self.keys.len()).map(KeyIndex)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", self.keys.len())
    }
}

/// The authentication key of one id, set up for HMAC.
#[derive(Clone)]
pub(crate) struct MacKey {
    ring: u64,
    // In one place however often a token moves: a move leaves a copy behind, and this is two hundred bytes.
    keyed: Arc<Keyed>,
}

impl MacKey {
    /// A MAC to be fed with the message.
    pub fn mac(&self) -> Hmac<Sha256> {
        Hmac::clone(&self.keyed.0)
    }
}

/// Wiped when dropped.
struct Keyed(Hmac<Sha256>);

impl Drop for Keyed {
    fn drop(&mut self) {
        static BLANK: LazyLock<Hmac<Sha256>> = LazyLock::new(|| keyed(&[]));
        self.0.clone_from(&BLANK);
        optimization_barrier(&self.0);
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// AES-256-GCM key and IV of one token. Both belong to one id, and an id is sealed once: the pair never meets a second
/// plaintext. Wiped when dropped.
#[derive(Clone)]
pub struct CipherKey(Zeroizing<[u8; CIPHER_KEY_AND_IV_SIZE]>);

impl CipherKey {
    /// What ring makes of the key is not wiped. All of it follows from the ring of keys, which the memory holds anyway.
    fn cipher(&self) -> (LessSafeKey, Nonce) {
        let (key, iv) = self.0.split_at(CIPHER_KEY_SIZE);
        let key = UnboundKey::new(&AES_256_GCM, key).expect("AES-256 has keys of 32 bytes");
        let iv = Nonce::try_assume_unique_for_key(iv).expect("GCM has an IV of 12 bytes");
        (LessSafeKey::new(key), iv)
    }

    /// Encrypts in place and answers the tag.
    pub(crate) fn encrypt(&self, aad: &[u8], buffer: &mut [u8]) -> [u8; 16] {
        let (cipher, iv) = self.cipher();
        let tag = cipher
            .seal_in_place_separate_tag(iv, Aad::from(aad), buffer)
            .expect("GCM takes up to 64 GB, a token has at most 16 MB");
        let mut bytes = [0; 16];
        bytes.copy_from_slice(tag.as_ref());
        bytes
    }

    /// Decrypts in place; false, and nothing of the plaintext in the buffer, when the tag does not fit.
    #[must_use]
    pub(crate) fn decrypt(&self, aad: &[u8], buffer: &mut [u8], tag: &[u8; 16]) -> bool {
        let (cipher, iv) = self.cipher();
        cipher
            .open_in_place_separate_tag(iv, Aad::from(aad), (*tag).into(), buffer, 0..)
            .is_ok()
    }
}

impl fmt::Debug for CipherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CipherKey(..)")
    }
}

/// How expensive the key of a remember token is to derive (`session_remember_safety`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Safety {
    /// As for a session token.
    None,
    /// 1 000 rounds of PBKDF2.
    Low,
    /// 10 000 rounds.
    #[default]
    Medium,
    /// 100 000 rounds.
    High,
    /// 1 000 000 rounds.
    VeryHigh,
}

impl Safety {
    /// Rounds of PBKDF2; none when the key is not stretched.
    #[must_use]
    pub fn rounds(&self) -> Option<u32> {
        match self {
            Self::None => None,
            Self::Low => Some(1_000),
            Self::Medium => Some(10_000),
            Self::High => Some(100_000),
            Self::VeryHigh => Some(1_000_000),
        }
    }
}

/// A word that is no [`Safety`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("allowed are None, Low, Medium, High and \"Very High\"")]
pub struct SafetyError;

impl FromStr for Safety {
    type Err = SafetyError;

    fn from_str(word: &str) -> Result<Self, SafetyError> {
        match word {
            "None" => Ok(Self::None),
            "Low" => Ok(Self::Low),
            "Medium" => Ok(Self::Medium),
            "High" => Ok(Self::High),
            "Very High" => Ok(Self::VeryHigh),
            _ => Err(SafetyError),
        }
    }
}

/// Where the cipher key of a token comes from.
#[derive(Debug)]
pub enum KeySource {
    /// It is here.
    Ready(CipherKey),
    /// It takes work that must not run on an event loop.
    Stretch(Stretch),
}

/// The derivation of a remember token's key, from under a millisecond (Low) to a good part of a second (Very High). It owns
/// all it needs, so that another thread can run it.
pub struct Stretch {
    password: Ikm,
    id: SessionId,
    rounds: u32,
}

impl Stretch {
    /// Does the work.
    #[must_use]
    pub fn run(self) -> CipherKey {
        let salt = [ENCRYPTION, self.id.as_bytes()].concat();
        let mut key = Zeroizing::new([0; CIPHER_KEY_AND_IV_SIZE]);
        pbkdf2::pbkdf2_hmac::<Sha256>(
            self.password.0.as_slice(),
            &salt,
            self.rounds,
            key.as_mut_slice(),
        );
        CipherKey(key)
    }

    /// Rounds it will take.
    #[must_use]
    pub fn rounds(&self) -> u32 {
        self.rounds
    }
}

impl fmt::Debug for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stretch({} rounds)", self.rounds)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn key_material_is_32_bytes() {
        assert_eq!(Ikm::from_bytes(&[0; 31]).unwrap_err(), KeyError::Length(31));
        assert_eq!(Ikm::from_bytes(&[0; 33]).unwrap_err(), KeyError::Length(33));
        assert!(Ikm::from_bytes(&[0; 32]).is_ok());
    }

    #[test]
    fn safety_words_are_exact() {
        assert_eq!("Very High".parse(), Ok(Safety::VeryHigh));
        assert_eq!("very high".parse::<Safety>(), Err(SafetyError));
        assert_eq!("".parse::<Safety>(), Err(SafetyError));
        assert_eq!(Safety::VeryHigh.rounds(), Some(1_000_000));
    }

    #[test]
    fn ciphertext_needs_its_own_key_and_aad() {
        let ring = KeyRing::new(Ikm::from_secret(b"a"), vec![]);
        let key = ring.session_key(KeyIndex::CURRENT, &SessionId::from_random([1; 32]));
        let other = ring.session_key(KeyIndex::CURRENT, &SessionId::from_random([2; 32]));
        let mut text = *b"hello";
        let tag = key.encrypt(b"aad", &mut text);
        assert_ne!(&text, b"hello");
        assert!(!other.decrypt(b"aad", &mut text.clone(), &tag));
        assert!(!key.decrypt(b"add", &mut text.clone(), &tag));
        assert!(key.decrypt(b"aad", &mut text, &tag));
        assert_eq!(&text, b"hello");
    }

    #[test]
    fn a_mac_key_belongs_to_the_ring_that_made_it() {
        let ring = || KeyRing::new(Ikm::from_secret(b"a"), vec![]);
        let (one, other) = (ring(), ring());
        let key = one.mac_key(KeyIndex::CURRENT, &SessionId::from_random([1; 32]));
        assert!(one.made(&key) && one.made(&key.clone()) && !other.made(&key));
    }

    #[test]
    fn stretching_can_move_to_another_thread() {
        fn movable<T: Send + 'static>() {}
        movable::<Stretch>();
    }
}
