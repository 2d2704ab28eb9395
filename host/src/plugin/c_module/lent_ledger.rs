//! The ledger that a library copies, lent for one `offload`: a table whose reads block until the host has the entries.
//!
//! A batch that was read is known by a number that is never used again, so that giving one back twice, or too late, does nothing.
//! What the library still holds when its `offload` returns is taken back.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use longshore_plugin_api::c_abi::{self, Batch, Code, ErrorBuffer, Ledger};
use longshore_plugin_api::read_handle::LedgerReader;
use longshore_plugin_api::{Entry, Error, ErrorCode, Result};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::threads::Running;
use super::values::{contained, tell};

/// Batches of one offload that a library may hold at once.
const BATCHES_MAX: usize = 8;

/// Batches that libraries hold, by number.
static LENT: Mutex<BTreeMap<usize, LentBatch>> = Mutex::new(BTreeMap::new());

/// The number of the next batch. Never 0, which stands for none.
static NEXT: AtomicUsize = AtomicUsize::new(1);

/// Entries, and the array through which C sees them.
struct LentBatch {
    _array: Vec<c_abi::Entry>,
    _entries: Vec<Entry>,
}

// SAFETY: the pointers of the array lead into the payloads beside it, which do not change and may be freed on any thread.
unsafe impl Send for LentBatch {}

/// One ledger, for the time of one call.
struct Lent<'a> {
    ledger: &'a LedgerReader,
    cancelled: &'a CancellationToken,
    runtime: Handle,
    /// The numbers of the batches that this offload was given.
    batches: Mutex<Vec<usize>>,
}

/// Lends `ledger` while `offload` runs.
pub(super) fn lend<T>(ledger: &LedgerReader, running: &Running, offload: impl FnOnce(*const Ledger) -> T) -> T {
    let metadata = ledger.metadata();
    let stored_form = metadata.to_bookkeeper_bytes();
    let lent = Lent { ledger, cancelled: running.cancelled(), runtime: Handle::current(), batches: Mutex::default() };
    let metadata = c_abi::LedgerMetadata {
        struct_size: size_of::<c_abi::LedgerMetadata>(),
        ledger_id: metadata.ledger_id,
        entry_count: metadata.entry_count,
        length_bytes: metadata.length_bytes,
        created_ms: metadata.created_ms,
        closed: u32::from(metadata.closed),
        reserved: 0,
        stored_form: c_abi::Bytes { ptr: stored_form.as_ptr(), len: stored_form.len() },
    };
    let table = Ledger {
        struct_size: size_of::<Ledger>(),
        this: (&raw const lent).cast_mut().cast(),
        metadata: &raw const metadata,
        read,
        progress,
    };
    offload(&raw const table)
}

impl Lent<'_> {
    /// Reads entries; must not be called on a thread of a runtime that may not block.
    fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        let cancelled = || Error::new(ErrorCode::Cancelled, "the host has given up this offload");
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.cancelled.cancelled() => Err(cancelled()),
                answer = self.ledger.read(first, last, max_bytes) => answer,
            }
        })
    }

    /// Makes room for a batch; the lock of the numbers is held by nobody while entries are read.
    fn keep(&self, entries: Vec<Entry>) -> Result<Batch> {
        let mut batches = self.batches.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lent = LENT.lock().unwrap_or_else(PoisonError::into_inner);
        batches.retain(|number| lent.contains_key(number));
        if batches.len() >= BATCHES_MAX {
            let text = format!("{BATCHES_MAX} batches of the ledger are held; release one before the next read");
            return Err(Error::new(ErrorCode::InvalidArgument, text));
        }
        let payload = |entry: &Entry| c_abi::Bytes { ptr: entry.payload.as_ptr(), len: entry.payload.len() };
        let array: Vec<c_abi::Entry> =
            entries.iter().map(|entry| c_abi::Entry { entry_id: entry.entry_id, payload: payload(entry) }).collect();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let batch = Batch {
            struct_size: size_of::<Batch>(),
            entries: array.as_ptr(),
            count: array.len(),
            owner: ptr::without_provenance_mut(number),
            release: Some(release),
        };
        // The array's memory stays where it is when the vector moves.
        lent.insert(number, LentBatch { _array: array, _entries: entries });
        batches.push(number);
        Ok(batch)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let batches = std::mem::take(self.batches.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut lent = LENT.lock().unwrap_or_else(PoisonError::into_inner);
        let taken_back: Vec<LentBatch> = batches.iter().filter_map(|number| lent.remove(number)).collect();
        drop(lent);
        drop(taken_back);
    }
}

/// The ledger behind a table.
///
/// # Safety
/// `ledger` is null or the table that [`lend`] made, whose call is running.
unsafe fn lent<'a>(ledger: *const Ledger) -> Option<&'a Lent<'a>> {
    // SAFETY: the caller's promise; null becomes `None`.
    let ledger = unsafe { ledger.as_ref()? };
    // SAFETY: `lend` put it there, and it lives until the call returns.
    unsafe { ledger.this.cast::<Lent<'a>>().as_ref() }
}

unsafe extern "C" fn read(
    ledger: *const Ledger,
    first: u64,
    last: u64,
    max_bytes: u64,
    out: *mut Batch,
    error: *mut ErrorBuffer,
) -> Code {
    let answer = contained(Err(Error::new(ErrorCode::Internal, "the host's read of its ledger panicked")), || {
        // SAFETY: the header says that this is the ledger of the call that runs.
        let lent = unsafe { lent(ledger) };
        let nothing = || Error::new(ErrorCode::InvalidArgument, "read of a ledger was called with a null pointer");
        let lent = lent.filter(|_| !out.is_null() && out.is_aligned()).ok_or_else(nothing)?;
        // SAFETY: not null, and the header says that it begins with its size.
        let size = unsafe { (&raw const (*out).struct_size).read() };
        if size < size_of::<Batch>() {
            let text = format!("the batch says that it has {size} bytes; set struct_size to sizeof(offloader_batch_t)");
            return Err(Error::new(ErrorCode::InvalidArgument, text));
        }
        let entries = lent.read(first, last, max_bytes)?;
        lent.keep(entries)
    });
    match answer {
        Ok(batch) => {
            // SAFETY: not null and large enough, as was checked.
            unsafe { out.write(batch) };
            c_abi::OK
        }
        // SAFETY: the header says that `error` is null or a buffer.
        Err(problem) => unsafe { tell(error, &problem) },
    }
}

unsafe extern "C" fn progress(ledger: *const Ledger, bytes: u64) {
    contained((), || {
        // SAFETY: the header says that this is the ledger of the call that runs.
        if let Some(lent) = unsafe { lent(ledger) } {
            lent.ledger.progress(bytes);
        }
    });
}

/// Gives a batch back; a number that is not known any more, or never was, is nobody's.
unsafe extern "C" fn release(owner: *mut c_void) {
    contained((), || {
        let batch = LENT.lock().unwrap_or_else(PoisonError::into_inner).remove(&owner.addr());
        drop(batch);
    });
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn with_ledger(body: impl FnOnce(*const Ledger) + Send + 'static) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let payloads = (0..100).map(|n| Bytes::from(vec![n; 10])).collect();
        let ledger = LedgerReader::in_memory(7, payloads);
        let threads = super::super::tests::threads();
        let call = threads.run("offload", move |running| {
            lend(&ledger, running, body);
            Ok(())
        });
        runtime.block_on(call).unwrap();
    }

    fn empty() -> Batch {
        Batch { struct_size: size_of::<Batch>(), entries: ptr::null(), count: 0, owner: ptr::null_mut(), release: None }
    }

    fn read_batch(ledger: *const Ledger, first: u64, last: u64) -> (Code, Batch) {
        let mut batch = empty();
        // SAFETY: null or the table that was lent, room for a batch, no error buffer.
        let code = unsafe { read(ledger, first, last, 1 << 20, &raw mut batch, ptr::null_mut()) };
        (code, batch)
    }

    #[test]
    fn entries_come_in_place_and_go_back_once_or_more() {
        with_ledger(|ledger| {
            for _ in 0..BATCHES_MAX * 3 {
                let (code, batch) = read_batch(ledger, 3, 9);
                assert_eq!((code, batch.count), (c_abi::OK, 7));
                // SAFETY: seven entries are there.
                let entry = unsafe { batch.entries.add(6).read() };
                // SAFETY: the payload has ten bytes.
                let payload = unsafe { std::slice::from_raw_parts(entry.payload.ptr, entry.payload.len) };
                assert_eq!((entry.entry_id, payload), (9, &[9; 10][..]));
                for _ in 0..3 {
                    // SAFETY: giving back twice is allowed.
                    unsafe { batch.release.unwrap()(batch.owner) };
                }
            }
        });
    }

    #[test]
    fn hoarding_is_refused_and_ends_with_the_call() {
        with_ledger(|ledger| {
            let held: Vec<Batch> = (0..BATCHES_MAX).map(|_| read_batch(ledger, 0, 0).1).collect();
            assert_eq!(read_batch(ledger, 0, 0).0, ErrorCode::InvalidArgument.0);
            // SAFETY: it is held.
            unsafe { held[0].release.unwrap()(held[0].owner) };
            assert_eq!(read_batch(ledger, 0, 0).0, c_abi::OK);
        });
        with_ledger(|ledger| assert_eq!(read_batch(ledger, 0, 0).0, c_abi::OK));
        // SAFETY: a number that nobody has.
        unsafe { release(ptr::without_provenance_mut(usize::MAX)) };
    }

    #[test]
    fn null_pointers_and_ranges_that_cannot_be_are_errors() {
        with_ledger(|ledger| {
            assert_eq!(read_batch(ptr::null(), 0, 0).0, ErrorCode::InvalidArgument.0);
            // SAFETY: null is refused.
            let code = unsafe { ((*ledger).read)(ledger, 0, 0, 1, ptr::null_mut(), ptr::null_mut()) };
            assert_eq!(code, ErrorCode::InvalidArgument.0);
            assert_eq!(read_batch(ledger, 5, 4).0, ErrorCode::InvalidArgument.0);
            assert_eq!(read_batch(ledger, 0, 100).0, ErrorCode::OutOfRange.0);
            // SAFETY: the table that was lent, and none.
            unsafe {
                ((*ledger).progress)(ledger, 5);
                ((*ledger).progress)(ptr::null(), 5);
            }
        });
    }
}
