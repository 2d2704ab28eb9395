//! An open copy of a library whose entry is C. Entries stay in the library's memory until the last slice of their batch is gone;
//! then the batch is released, after the last batch and the last reader the handle is closed, after the last handle its driver
//! is destroyed.

use std::ffi::c_void;
use std::ptr;
use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::c_abi::{self, Batch};
use longshore_plugin_api::{Entry, LedgerMetadata, ReadHandle, Result};

use super::This;
use super::driver::Instance;
use super::values::{ask, bytes, misbehaved};

/// The longest metadata of a ledger, in bytes.
const STORED_FORM_BYTES_MAX: usize = 1 << 20;

/// A copy and what is known of its ledger.
pub(super) struct CCopy {
    copy: Arc<OpenCopy>,
    metadata: LedgerMetadata,
}

/// The library's handle.
pub(super) struct OpenCopy {
    instance: Arc<Instance>,
    this: This,
}

impl OpenCopy {
    /// Takes over a handle that `open_read` made.
    pub(super) fn new(instance: Arc<Instance>, this: This) -> Self {
        Self { instance, this }
    }

    /// Reads a batch, and looks at nothing of it before its numbers make sense.
    fn read(self: &Arc<Self>, call: &c_abi::Call, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        let mut out = Batch {
            struct_size: size_of::<Batch>(),
            entries: ptr::null(),
            count: 0,
            owner: ptr::null_mut(),
            release: None,
        };
        let read = self.instance.library.functions.read;
        // SAFETY: it came from a checked table, `self` from `open_read`; everything lent lives until it returns.
        ask(|error| unsafe { read(self.this.get(), call, first, last, max_bytes, &raw mut out, error) })?;
        let given = Arc::new(Given { release: out.release, owner: out.owner, _copy: Arc::clone(self) });
        let asked = (last - first).saturating_add(1);
        let count = out.count;
        if count == 0 {
            return Err(misbehaved("the plugin answered with no entry"));
        }
        if count as u64 > asked {
            return Err(misbehaved(format!("the plugin answered with {count} entries where {asked} were asked for")));
        }
        if out.entries.is_null() || !out.entries.is_aligned() {
            return Err(misbehaved(format!("the plugin answered with {count} entries at an impossible address")));
        }
        let entry = |at| {
            // SAFETY: the library says that `count` entries are there, until the batch is released.
            let entry = unsafe { out.entries.add(at).read() };
            Ok(Entry { entry_id: entry.entry_id, payload: payload(&entry, &given)? })
        };
        (0..count).map(entry).collect()
    }
}

impl Drop for OpenCopy {
    fn drop(&mut self) {
        let (instance, this) = (Arc::clone(&self.instance), self.this);
        let threads = self.instance.library.threads;
        threads.give_back(move || {
            // SAFETY: `open_read` made it, and this is the only call for it: whoever reads, and every batch, holds a share.
            unsafe { (instance.library.functions.close)(this.get()) }
            drop(instance);
        });
    }
}

/// A batch that the library gave; released with the last of its payloads.
struct Given {
    release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
    owner: *mut c_void,
    _copy: Arc<OpenCopy>,
}

// SAFETY: the header says that `release` is called on any thread.
unsafe impl Send for Given {}

// SAFETY: nothing of it is used before its drop.
unsafe impl Sync for Given {}

impl Drop for Given {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: the library paired it with `owner`, and this is the only call for it.
            unsafe { release(self.owner) }
        }
    }
}

/// A payload in the library's memory.
struct Payload {
    ptr: *const u8,
    len: usize,
    _batch: Arc<Given>,
}

// SAFETY: the header says that payloads do not change while their batch is not released.
unsafe impl Send for Payload {}

impl AsRef<[u8]> for Payload {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: checked by `payload` below; the batch is held.
        unsafe { slice::from_raw_parts(self.ptr, self.len) }
    }
}

/// The payload of an entry, in place.
fn payload(entry: &c_abi::Entry, batch: &Arc<Given>) -> Result<Bytes> {
    let c_abi::Bytes { ptr, len } = entry.payload;
    if len == 0 {
        return Ok(Bytes::new());
    }
    if ptr.is_null() || isize::try_from(len).is_err() {
        return Err(misbehaved(format!("entry {} came with an impossible pointer or length", entry.entry_id)));
    }
    Ok(Bytes::from_owner(Payload { ptr, len, _batch: Arc::clone(batch) }))
}

impl CCopy {
    /// A copy whose metadata the library answered as `stored_form`.
    ///
    /// # Errors
    /// `Misbehaved` without metadata, `Corrupt` where it is none.
    ///
    /// # Safety
    /// `stored_form` is null or leads to as many bytes as it says.
    pub(super) unsafe fn new(copy: OpenCopy, ledger_id: u64, stored_form: c_abi::Bytes) -> Result<Self> {
        let what = "the stored form of the metadata that open_read answered";
        // SAFETY: the caller's promise.
        let stored_form = unsafe { bytes(stored_form.ptr, stored_form.len, STORED_FORM_BYTES_MAX, what)? };
        let stored_form =
            stored_form.ok_or_else(|| misbehaved("open_read answered OK without the ledger's metadata"))?;
        let metadata = LedgerMetadata::from_bookkeeper_bytes(ledger_id, stored_form)?;
        Ok(Self { copy: Arc::new(copy), metadata })
    }
}

impl ReadHandle for CCopy {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        longshore_plugin_api::read_handle::check_range(&self.metadata, first, last)?;
        let copy = Arc::clone(&self.copy);
        let threads = self.copy.instance.library.threads;
        threads.run("read", move |running| copy.read(&running.lend(), first, last, max_bytes)).await
    }
}
