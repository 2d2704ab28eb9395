//! Memory for what is read, used again: a page that the system hands out anew costs more than the bytes that go into it.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes that a bucket keeps for reads to come: two reads of the longest kind.
const SPARE_BYTES_MAX: usize = 32 << 20;
/// Shorter buffers are the allocator's, which has them at hand.
const KEPT_BYTES_MIN: usize = 1 << 20;

/// Buffers that nobody reads any more.
#[derive(Debug, Default)]
pub(super) struct Spares {
    kept: Mutex<Vec<Vec<u8>>>,
}

/// A buffer that goes back where it came from.
#[derive(Debug)]
pub(super) struct SpareBuffer {
    bytes: Vec<u8>,
    home: Arc<Spares>,
}

impl Spares {
    /// An empty buffer with room for so many bytes, and hardly more.
    pub(super) fn buffer(self: &Arc<Self>, room: usize) -> SpareBuffer {
        let fits = |spare: &Vec<u8>| (room..=room + room / 4).contains(&spare.capacity());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(fits);
        let bytes = at.map(|at| kept.swap_remove(at));
        drop(kept);
        SpareBuffer { bytes: bytes.unwrap_or_else(|| Vec::with_capacity(room)), home: self.clone() }
    }

    /// Keeps a buffer, in place of older ones where there are too many.
    fn keep(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        if !(KEPT_BYTES_MIN..=SPARE_BYTES_MAX).contains(&bytes.capacity()) {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(bytes);
        let mut sum: usize = kept.iter().map(Vec::capacity).sum();
        while sum > SPARE_BYTES_MAX {
            sum -= kept.remove(0).capacity();
        }
    }
}

impl SpareBuffer {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The bytes, as many as there are. The buffer goes back when the last slice of them is dropped.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
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
        buffer.extend(&vec![7; bytes]);
        buffer.freeze()
    }

    fn kept(spares: &Spares) -> Vec<usize> {
        spares.kept.lock().unwrap().iter().map(Vec::capacity).collect()
    }

    #[test]
    fn a_buffer_is_used_again_when_its_last_slice_is_gone() {
        let spares = Arc::new(Spares::default());
        let bytes = filled(&spares, 4 << 20);
        let (address, slice) = (bytes.as_ptr(), bytes.slice(5..9));
        drop(bytes);
        assert_eq!((kept(&spares), &slice[..]), (Vec::new(), &[7; 4][..]));
        drop(slice);
        assert_eq!(kept(&spares), [4 << 20]);
        assert_eq!(filled(&spares, 7 << 19).as_ptr(), address);
    }

    #[test]
    fn what_is_kept_is_bounded_and_fits() {
        let spares = Arc::new(Spares::default());
        drop((0..5).map(|_| filled(&spares, 10 << 20)).collect::<Vec<_>>());
        assert_eq!(kept(&spares), [10 << 20; 3]);
        drop((filled(&spares, 100), filled(&spares, 4 << 20), filled(&spares, 40 << 20)));
        assert_eq!(kept(&spares), [10 << 20, 10 << 20, 4 << 20]);
    }
}
