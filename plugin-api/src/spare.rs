//! Memory for payloads that a driver reads or sends, used again: a page that the system hands out anew costs more than the bytes
//! that go into it, and the memory that was let go last may still be at the processor's hand.
//!
//! ```
//! use longshore_plugin_api::spare::Spares;
//!
//! let spares = Spares::new(8 << 20);
//! let mut buffer = spares.buffer(1 << 20);
//! buffer.extend_from_slice(b"what a store answered");
//! let payload = buffer.freeze().slice(5..6); // The buffer comes back when this is dropped, wherever that is.
//! # assert_eq!(&payload[..], b"a");
//! ```

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Shorter buffers, in bytes, are the allocator's, which has them at hand.
const KEPT_BYTES_MIN: usize = 128 << 10;

/// Buffers that nobody reads any more.
#[derive(Debug)]
pub struct Spares {
    kept: Mutex<Vec<Vec<u8>>>,
    bytes_max: usize,
}

/// A buffer that goes back where it came from.
#[derive(Debug)]
pub struct SpareBuffer {
    bytes: Vec<u8>,
    home: Arc<Spares>,
}

impl Spares {
    /// Keeps up to so many bytes.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::default(), bytes_max })
    }

    /// An empty buffer with room for so many bytes, and hardly more.
    pub fn buffer(self: &Arc<Self>, room: usize) -> SpareBuffer {
        let fits = |spare: &Vec<u8>| (room..=room + room / 4).contains(&spare.capacity());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().rposition(fits);
        let bytes = at.map(|at| kept.remove(at));
        drop(kept);
        SpareBuffer { bytes: bytes.unwrap_or_else(|| Vec::with_capacity(room)), home: self.clone() }
    }

    /// Keeps none any more.
    pub fn clear(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Vec::new();
    }

    /// Keeps a buffer, in place of older ones where there are too many.
    fn keep(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        if !(KEPT_BYTES_MIN..=self.bytes_max).contains(&bytes.capacity()) {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(bytes);
        let mut sum: usize = kept.iter().map(Vec::capacity).sum();
        while sum > self.bytes_max {
            sum -= kept.remove(0).capacity();
        }
    }
}

impl SpareBuffer {
    /// The bytes, as many as there are. The buffer goes back when the last slice of them is dropped.
    pub fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl Deref for SpareBuffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for SpareBuffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for SpareBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for SpareBuffer {
    fn drop(&mut self) {
        self.home.keep(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(spares: &Arc<Spares>, bytes: usize) -> Bytes {
        let mut buffer = spares.buffer(bytes);
        buffer.resize(bytes, 7);
        buffer.freeze()
    }

    fn kept(spares: &Spares) -> Vec<usize> {
        spares.kept.lock().unwrap().iter().map(Vec::capacity).collect()
    }

    #[test]
    fn a_buffer_is_used_again_when_its_last_slice_is_gone() {
        let spares = Spares::new(4 << 20);
        let bytes = filled(&spares, 2 << 20);
        let (address, slice) = (bytes.as_ptr(), bytes.slice(5..9));
        drop(bytes);
        assert_eq!((kept(&spares), &slice[..]), (Vec::new(), &[7; 4][..]));
        drop(slice);
        assert_eq!(kept(&spares), [2 << 20]);
        assert_eq!(filled(&spares, 7 << 18).as_ptr(), address);
        spares.clear();
        assert!(kept(&spares).is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded_and_fits() {
        let spares = Spares::new(4 << 20);
        drop((0..6).map(|_| filled(&spares, 1 << 20)).collect::<Vec<_>>());
        assert_eq!(kept(&spares), [1 << 20; 4]);
        drop((filled(&spares, 100), filled(&spares, 1 << 19), filled(&spares, 5 << 20)));
        assert_eq!(kept(&spares), [1 << 20, 1 << 20, 1 << 20, 1 << 19]);
    }
}
