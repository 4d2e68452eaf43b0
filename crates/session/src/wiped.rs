//! Bytes that are overwritten when they are let go, at the speed of memset.
//!
//! Byte by volatile byte, as is usual for keys, takes microseconds for what a session may hold.

use std::io;
use std::ops::{Deref, DerefMut};

use zeroize::optimization_barrier;

/// A buffer for plaintext. It can be filled, not shortened, and leaves no copy behind when it grows.
#[derive(Default)]
pub(crate) struct Wiped(Vec<u8>);

impl Wiped {
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Room for `more` bytes, in a new allocation when there is too little: the old one is wiped, which `Vec` would not do.
    #[inline]
    pub fn reserve(&mut self, more: usize) {
        if more > self.room() {
            self.grow(more);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        self.grow_to((self.0.len() + more).max(self.0.capacity() * 2));
    }

    /// A capacity of `capacity`, which must not be smaller than the length.
    pub fn grow_to(&mut self, capacity: usize) {
        let mut larger = Self::with_capacity(capacity);
        larger.0.extend_from_slice(&self.0);
        std::mem::swap(self, &mut larger);
    }

    /// Bytes that still fit.
    #[inline]
    pub fn room(&self) -> usize {
        self.0.capacity() - self.0.len()
    }

    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.0.extend_from_slice(bytes);
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    /// For those who write into the room that is left, and no further.
    pub fn unfilled(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.fill(0);
        optimization_barrier(self.0.as_slice());
    }
}

impl From<Vec<u8>> for Wiped {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Deref for Wiped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Wiped {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl io::Write for Wiped {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_stays_in_order_while_it_grows() {
        let mut wiped = Wiped::with_capacity(3);
        let expected: Vec<u8> = (0..=255).cycle().take(5000).collect();
        for piece in expected.chunks(7) {
            wiped.extend_from_slice(piece);
        }
        assert_eq!(&*wiped, expected);
        wiped.reserve(1000);
        assert!(wiped.room() >= 1000);
        assert_eq!(&*wiped, expected);
    }
}
