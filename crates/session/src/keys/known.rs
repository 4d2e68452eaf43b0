//! The derived keys of sessions that were here before.
//!
//! Who loads a page sends a dozen requests with one token. To derive its keys is nine of the twelve blocks of SHA-256 that opening
//! the token takes, and a third of all its time: so the latest keys of a thread are kept. They follow from the ring's keys, which
//! the memory holds as well, and only tokens that verified get a place.

use std::cell::RefCell;

use super::{CipherKey, KeyIndex, KeyRing, MacKey};
use crate::id::SessionId;

/// Sessions whose keys are kept; a new one takes the place that its id says.
const PLACES: usize = 512;

thread_local! {
    static KNOWN: RefCell<Vec<Option<Known>>> = const { RefCell::new(Vec::new()) };
}

struct Known {
    id: SessionId,
    key: KeyIndex,
    mac: MacKey,
    cipher: Option<CipherKey>,
}

impl KeyRing {
    /// The key of this ring that verified a token of `id` before, and the key for its MACs.
    pub(crate) fn known(&self, id: &SessionId) -> Option<(KeyIndex, MacKey)> {
        KNOWN.with_borrow(|places| {
            let known = places.get(place(id))?.as_ref()?;
            let is_its = known.id == *id && self.made(&known.mac);
            is_its.then(|| (known.key, known.mac.clone()))
        })
    }

    /// Keeps the keys of a token that verified.
    pub(crate) fn know(&self, id: &SessionId, key: KeyIndex, mac: &MacKey) {
        KNOWN.with_borrow_mut(|places| {
            if places.is_empty() {
                places.resize_with(PLACES, || None);
            }
            places[place(id)] = Some(Known {
                id: *id,
                key,
                mac: mac.clone(),
                cipher: None,
            });
        });
    }

    /// [`session_key`](Self::session_key) of a token that verified: derived once as long as the token is known.
    pub(crate) fn known_session_key(&self, k: KeyIndex, id: &SessionId) -> CipherKey {
        KNOWN.with_borrow_mut(|places| {
            let known = places.get_mut(place(id)).and_then(Option::as_mut);
            match known.filter(|known| known.id == *id && known.key == k && self.made(&known.mac)) {
                Some(known) => {
                    let cipher = known.cipher.get_or_insert_with(|| self.session_key(k, id));
                    cipher.clone()
                }
                None => self.session_key(k, id),
            }
        })
    }
}

/// Ids are random: any of their bytes spread them evenly.
fn place(id: &SessionId) -> usize {
    let [first, second, ..] = *id.as_bytes();
    usize::from(u16::from_le_bytes([first, second])) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Ikm;

    fn ring(secret: &[u8]) -> KeyRing {
        KeyRing::new(Ikm::from_secret(secret), vec![Ikm::from_secret(b"old")])
    }

    fn id(byte: u8) -> SessionId {
        let mut bytes = [7; 32];
        bytes[31] = byte;
        SessionId::from_random(bytes)
    }

    fn cipher_text(key: &CipherKey) -> [u8; 16] {
        key.encrypt(b"", &mut [])
    }

    #[test]
    fn keys_are_those_that_are_derived() {
        let (ring, id, k) = (ring(b"a"), id(1), KeyIndex(1));
        assert!(ring.known(&id).is_none());
        let derived = cipher_text(&ring.session_key(k, &id));
        assert_eq!(cipher_text(&ring.known_session_key(k, &id)), derived);
        ring.know(&id, k, &ring.mac_key(k, &id));
        assert_eq!(ring.known(&id).map(|(k, _)| k), Some(k));
        for _ in 0..2 {
            assert_eq!(cipher_text(&ring.known_session_key(k, &id)), derived);
        }
        let other = cipher_text(&ring.session_key(KeyIndex::CURRENT, &id));
        assert_eq!(
            cipher_text(&ring.known_session_key(KeyIndex::CURRENT, &id)),
            other
        );
        assert_ne!(derived, other);
    }

    #[test]
    fn another_ring_and_another_session_of_the_same_place_have_their_own() {
        let (one, other, k) = (ring(b"a"), ring(b"a"), KeyIndex::CURRENT);
        one.know(&id(1), k, &one.mac_key(k, &id(1)));
        assert!(other.known(&id(1)).is_none());
        assert!(one.known(&id(2)).is_none());
        assert_eq!(
            cipher_text(&one.known_session_key(k, &id(2))),
            cipher_text(&one.session_key(k, &id(2)))
        );
        one.know(&id(2), k, &one.mac_key(k, &id(2)));
        assert!(one.known(&id(1)).is_none() && one.known(&id(2)).is_some());
    }
}
