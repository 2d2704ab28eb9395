//! [`FfiBytes`]: bytes that cross the boundary without a copy, in either direction.

use std::ptr;
use std::slice;

use abi_stable::StableAbi;
use bytes::Bytes;

/// Words that the maker of an [`FfiBytes`] keeps in it.
pub const OWNER_WORDS: usize = 4;

/// What keeps the bytes alive, in a form that its maker alone understands: whoever holds it moves it and never looks at it.
pub type OwnerWords = [*mut (); OWNER_WORDS];

/// A slice and its owner. Frozen.
///
/// Owned by whoever holds it; dropping it calls `drop_owner` of the side that made it with the address of `owner`, once, on any
/// thread, and that never blocks. It may move in memory meanwhile. The bytes never change while an owner lives. `ptr` is
/// dangling but not null where `len` is 0.
///
/// The owner has room for a whole [`Bytes`], so that wrapping one allocates nothing.
#[repr(C)]
#[derive(StableAbi)]
pub struct FfiBytes {
    pub(super) ptr: *const u8,
    pub(super) len: usize,
    pub(super) owner: OwnerWords,
    pub(super) drop_owner: unsafe extern "C" fn(owner: *mut OwnerWords),
}

const _: () = {
    assert!(size_of::<Bytes>() <= size_of::<OwnerWords>(), "`Bytes` has outgrown the owner's words");
    assert!(align_of::<Bytes>() <= align_of::<OwnerWords>());
};

// SAFETY: the only constructor takes `Bytes`, which is `Send` and whose memory does not change; the owner's words are those of
// the `Bytes`, which `drop_owner` may drop on any thread.
unsafe impl Send for FfiBytes {}

// SAFETY: shared access only reads memory that does not change.
unsafe impl Sync for FfiBytes {}

impl FfiBytes {
    /// Whether pointer and length can be a slice at all. The receiver asks before it looks at the bytes.
    pub fn is_sound(&self) -> bool {
        !self.ptr.is_null() && isize::try_from(self.len).is_ok()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl AsRef<[u8]> for FfiBytes {
    fn as_ref(&self) -> &[u8] {
        if self.len == 0 || !self.is_sound() {
            return &[];
        }
        // SAFETY: the side that made it promises `len` readable bytes at `ptr` for as long as `owner` lives, which is as
        // long as `self`; null and lengths beyond `isize::MAX` were excluded above.
        unsafe { slice::from_raw_parts(self.ptr, self.len) }
    }
}

impl From<Bytes> for FfiBytes {
    /// Wraps without a copy and without an allocation: the bytes stay where they are, what keeps them alive moves in.
    fn from(bytes: Bytes) -> Self {
        let ptr = if bytes.is_empty() { ptr::NonNull::dangling().as_ptr() } else { bytes.as_ptr() };
        let len = bytes.len();
        let mut owner: OwnerWords = [ptr::null_mut(); OWNER_WORDS];
        // SAFETY: size and alignment were compared above, and the words are ours alone.
        unsafe { (&raw mut owner).cast::<Bytes>().write(bytes) };
        Self { ptr, len, owner, drop_owner: drop_bytes }
    }
}

impl From<FfiBytes> for Bytes {
    /// Wraps without a copy: the result frees the bytes by their maker's function when its last clone goes.
    fn from(bytes: FfiBytes) -> Self {
        if bytes.is_empty() {
            return Bytes::new();
        }
        Bytes::from_owner(bytes)
    }
}

impl Drop for FfiBytes {
    fn drop(&mut self) {
        // SAFETY: `owner` is what the maker paired with `drop_owner`, and this is the only call for it.
        unsafe { (self.drop_owner)(&raw mut self.owner) }
    }
}

/// Drops what `From<Bytes>` moved in. A panic in an owner's drop must not unwind into the other side, so it ends here.
unsafe extern "C" fn drop_bytes(owner: *mut OwnerWords) {
    // SAFETY: `From<Bytes>` wrote a `Bytes` into these words, which nobody else reads, and they are given back once.
    let bytes = unsafe { owner.cast::<Bytes>().read() };
    crate::runtime::guard::drop_quietly(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_cross_in_place_and_are_freed_by_their_owner() {
        let block = Bytes::from(vec![7_u8; 4096]);
        let slice = block.slice(100..200);
        let address = slice.as_ptr();
        let crossed = Bytes::from(FfiBytes::from(slice));
        assert_eq!(crossed.as_ptr(), address);
        assert_eq!(crossed, block.slice(100..200));
        drop(block);
        assert_eq!(crossed[99], 7);
    }

    #[test]
    fn no_bytes_are_no_bytes() {
        assert!(Bytes::from(FfiBytes::from(Bytes::new())).is_empty());
    }

    #[test]
    fn nonsense_from_the_other_side_is_noticed_and_never_read() {
        unsafe extern "C" fn nothing(_: *mut OwnerWords) {}
        let owner: OwnerWords = [ptr::null_mut(); OWNER_WORDS];
        let null = FfiBytes { ptr: ptr::null(), len: 5, owner, drop_owner: nothing };
        assert!(!null.is_sound());
        assert_eq!(null.as_ref(), b"");
        let endless = FfiBytes { ptr: [1].as_ptr(), len: usize::MAX, owner, drop_owner: nothing };
        assert!(!endless.is_sound());
        assert_eq!(endless.as_ref(), b"");
    }
}
