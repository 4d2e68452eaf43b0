//! A map that forgets: of bounded size, and at a bounded cost for each entry.

use core::borrow::Borrow;
use core::hash::{BuildHasherDefault, Hash, Hasher};
use std::collections::HashMap;

/// As many entries a generation has at most.
const MOST: usize = 8192;

/// A map of what is random already, as the ids of sessions are: no client can choose which entries are found together.
pub type RandomMap<K, V> = HashMap<K, V, BuildHasherDefault<Fold>>;

/// Folds random bytes.
#[derive(Default)]
pub struct Fold(u64);

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks_exact(8) {
            // A whole part has eight bytes.
            let part = part.try_into().map_or(0, u64::from_ne_bytes);
            self.0 = self.0.rotate_left(5) ^ part;
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The entries of the last while, in two generations: when the younger is full the older is forgotten. Their keys are random.
pub struct Recent<K, V> {
    young: RandomMap<K, V>,
    old: RandomMap<K, V>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Recent {
            young: RandomMap::default(),
            old: RandomMap::default(),
        }
    }
}

impl<K: Eq + Hash, V> Recent<K, V> {
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        match self.young.get_mut(key) {
            Some(value) => Some(value),
            None => self.old.get_mut(key),
        }
    }

    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= MOST {
            core::mem::swap(&mut self.old, &mut self.young);
            self.young.clear();
        }
        self.young.insert(key, value);
    }

    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.young.remove(key);
        self.old.remove(key);
    }
}
