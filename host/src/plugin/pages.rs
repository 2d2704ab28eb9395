//! Pages of memory for the bytes of a plugin's file, given back to the system when they are dropped.
//!
//! An allocator keeps what was freed: glibc's takes a block of some megabytes from its heap once one of that size was freed, and
//! the heap does not shrink. A file is read twice before it is loaded, and would stay in memory beside the library for good.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Zeroed bytes on pages that nobody else has.
pub(super) struct Pages {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the pages belong to this value alone, as a box's memory does.
unsafe impl Send for Pages {}

// SAFETY: shared access only reads.
unsafe impl Sync for Pages {}

impl Pages {
    /// So many bytes, none of which takes memory before it is written.
    ///
    /// # Errors
    /// The system has no room for them.
    pub(super) fn zeroed(len: usize) -> io::Result<Self> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping at an address that the system chooses touches no other memory.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), mapped_len(len), access, flags)? };
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("pages at address 0"))?;
        Ok(Self { start, len })
    }
}

/// There are no mappings of nothing.
fn mapped_len(len: usize) -> usize {
    len.max(1)
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `zeroed` mapped so many readable bytes there, which nobody writes while `self` is borrowed.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else has them while `self` is borrowed for writing.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: the very mapping that `zeroed` made, given back once, when nobody can borrow it any more.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), mapped_len(self.len)) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own can be given back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_hold_what_is_written_and_begin_as_zeros() {
        for len in [0, 1, 4096, 100_001] {
            let mut pages = Pages::zeroed(len).unwrap();
            assert!(pages.len() == len && pages.iter().all(|byte| *byte == 0));
            pages.fill(7);
            let bytes = bytes::Bytes::from_owner(pages);
            assert!(bytes.len() == len && bytes.iter().all(|byte| *byte == 7));
        }
    }
}
