//! Copies one ledger to the store: data first, index last, both looked at before it counts.
//!
//! Readers look for the index, so a copy exists from the moment at which its index does. Every way out but success takes away
//! what was written, an upload in parts included; the caller's disappearance is such a way, because the copy runs as a task
//! of its own that is told to stop. What even that leaves (the process ends) lies under keys of the attempt's uid, where
//! [`removal`] finds it.
//!
//! At most `parts_in_flight_max` parts of a ledger are in memory, whatever its entries are; of long entries, in the memory that
//! they came in.

mod feed;
mod filling;
mod parts;
mod verify;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use longshore_plugin_api::{Error, ErrorCode, LedgerReader, OffloadRequest, Result};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::encoder::{CopyEncoder, EncodedCopy};
use crate::keys::{CopyKeys, Role};
use crate::layout::{LedgerSize, WriteOptions};
use crate::removal;
use crate::store::requests::Requests;
use crate::store::{ObjectAttributes, StoreLimits};
use crate::turns::Turn;
use crate::user_metadata::UserMetadata;

use feed::EntryFeed;
use parts::{PartSink, PartsInFlight};
pub use verify::Verify;

/// The `Content-Type` of both objects.
const CONTENT_TYPE: &str = "application/octet-stream";
/// A ledger is cut into so many parts, and one more for what stands around its entries, where that makes neither too short nor
/// too long ones.
const PARTS_AIM: u64 = 31;
const PART_BYTES_MIN: u64 = 8 << 20;
const PART_BYTES_MAX: u64 = 32 << 20;

/// How a ledger is uploaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadOptions {
    /// The objects' form.
    pub write: WriteOptions,
    /// Bytes of a part; `None` for what fits the ledger: about a thirty-second of it, from 8 to 32 MiB.
    pub part_bytes: Option<u64>,
    /// Parts that are filled or uploaded at once, for each ledger.
    pub parts_in_flight_max: usize,
    /// Payload bytes that are read from the ledger at once; two such batches are in memory.
    pub batch_bytes: u64,
    /// How the data object is looked at before its index is written.
    pub verify: Verify,
    /// How long a copy that failed, or was given up, waits for the parts that are under way before it is taken away.
    pub settle_time: Duration,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            write: WriteOptions::default(),
            part_bytes: None,
            parts_in_flight_max: 4,
            batch_bytes: 4 << 20,
            verify: Verify::default(),
            settle_time: Duration::from_secs(5),
        }
    }
}

/// Copies a ledger, in its turn. Dropping the future stops the copy and takes away what it wrote.
pub(crate) async fn offload(
    requests: Arc<Requests>,
    options: UploadOptions,
    ledger: LedgerReader,
    request: OffloadRequest,
    turn: Turn,
) -> Result<()> {
    ledger.metadata().ensure_offloadable()?;
    let copy = Copy::new(requests, options, ledger, &request)?;
    let stop = CancellationToken::new();
    let _stopped_when_dropped: DropGuard = stop.clone().drop_guard();
    let copying = async move {
        // Held until what a failed attempt wrote is gone.
        let _turn = turn;
        copy.run(stop).await
    };
    let ended = tokio::spawn(copying).await;
    ended.unwrap_or_else(|error| {
        let code = if error.is_panic() { ErrorCode::Panicked } else { ErrorCode::Cancelled };
        Err(Error::new(code, format!("the copy of ledger {} did not end", request.ledger_id)).with_source(&error))
    })
}

/// One attempt to copy one ledger.
struct Copy {
    requests: Arc<Requests>,
    options: UploadOptions,
    ledger: LedgerReader,
    request: OffloadRequest,
    keys: CopyKeys,
    data_attributes: ObjectAttributes,
    index_attributes: ObjectAttributes,
    given_up: Mutex<PartsInFlight>,
}

impl Copy {
    fn new(
        requests: Arc<Requests>,
        options: UploadOptions,
        ledger: LedgerReader,
        request: &OffloadRequest,
    ) -> Result<Self> {
        let attributes = |role| -> Result<ObjectAttributes> {
            let extra = request.extra.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let user_metadata = UserMetadata::for_object(role, &request.managed_ledger, extra)?;
            Ok(ObjectAttributes { content_type: CONTENT_TYPE, user_metadata })
        };
        Ok(Self {
            keys: CopyKeys::new(request.ledger_id, request.uid),
            data_attributes: attributes(Role::Data)?,
            index_attributes: attributes(Role::Index)?,
            given_up: Mutex::default(),
            request: request.clone(),
            requests,
            options,
            ledger,
        })
    }

    async fn run(self, stop: CancellationToken) -> Result<()> {
        // Nothing was written before this: there is nothing to take away.
        until(&stop, self.forget_former_index()).await?;
        let Err(error) = until(&stop, self.copy()).await else { return Ok(()) };
        let (ledger_id, uid) = (self.request.ledger_id, self.request.uid);
        self.settle_parts().await;
        // The error says what went wrong; what stays behind is found again under the attempt's uid.
        if let Err(left) = removal::remove_attempt(&self.requests, &self.keys).await {
            tracing::warn!(ledger_id, %uid, error = %left, "a failed copy could not be taken away");
        }
        Err(error)
    }

    /// Waits for parts that are under way. Cut off, they could arrive behind what takes them away.
    async fn settle_parts(&self) {
        let mut parts = std::mem::take(&mut *self.given_up.lock().unwrap_or_else(PoisonError::into_inner));
        let settled = async { while parts.join_next().await.is_some() {} };
        if tokio::time::timeout(self.options.settle_time, settled).await.is_err() {
            tracing::warn!(
                key = self.keys.data,
                left = parts.len(),
                "parts of a failed copy were cut off on their way"
            );
        }
    }

    async fn copy(&self) -> Result<()> {
        let EncodedCopy { index, data_crc } = self.copy_data().await?;
        let written = verify::Written { bytes: index.data_bytes(), crc32c: data_crc };
        let at_once = self.options.parts_in_flight_max.max(1);
        verify::data(&self.requests, self.options.verify, &self.keys.data, &written, &self.ledger, at_once).await?;
        let index = Bytes::from(index.encode()?);
        self.requests.put(&self.keys.index, index.clone().into(), &self.index_attributes).await?;
        verify::index(&self.requests, &self.keys.index, &index).await
    }

    /// An earlier success with this uid must not lead into the data that is about to replace its own.
    async fn forget_former_index(&self) -> Result<()> {
        // Not a HEAD: what is refused to one has no words.
        match self.requests.get(&self.keys.index, 0..1).await {
            Ok(_) => self.requests.delete(&self.keys.index).await,
            Err(error) if error.code() == ErrorCode::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn copy_data(&self) -> Result<EncodedCopy> {
        let metadata = self.ledger.metadata();
        let size = LedgerSize {
            ledger_id: metadata.ledger_id,
            entry_count: metadata.entry_count,
            length_bytes: metadata.length_bytes,
        };
        let part_bytes = part_bytes(size, &self.options, &self.requests.limits())?;
        let mut encoder = CopyEncoder::new(metadata, self.request.uid, self.options.write)?;
        let mut sink = PartSink::new(self, part_bytes, size.framed_bytes());
        let mut feed = EntryFeed::start(self.ledger.clone(), self.options.batch_bytes);
        while let Some(batch) = feed.next().await? {
            for entry in batch {
                let encoded = encoder.encode(entry.entry_id, entry.payload)?;
                while !sink.append(encoded) {
                    sink.make_room().await?;
                }
            }
        }
        // What is not all of the ledger must not become visible.
        let encoded = encoder.finish(sink.crcs())?;
        sink.finish().await?;
        Ok(encoded)
    }
}

/// Work, unless the caller leaves before it is done.
async fn until(stop: &CancellationToken, work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::select! {
        biased;
        done = work => done,
        () = stop.cancelled() => Err(Error::new(ErrorCode::Cancelled, "the offload was given up")),
    }
}

/// Bytes of each part but the last.
///
/// # Errors
/// `InvalidArgument` for a ledger that the store cannot hold.
fn part_bytes(size: LedgerSize, options: &UploadOptions, limits: &StoreLimits) -> Result<u64> {
    // Padding is less than the entry that did not fit, so it at most doubles the object.
    let object_bytes_max = size.framed_bytes().saturating_mul(2);
    let chosen = options
        .part_bytes
        .unwrap_or_else(|| size.framed_bytes().div_ceil(PARTS_AIM).clamp(PART_BYTES_MIN, PART_BYTES_MAX));
    let needed = object_bytes_max.div_ceil(u64::from(limits.parts_max.max(1)));
    if needed > limits.part_bytes_max {
        let message = format!(
            "ledger {} has up to {object_bytes_max} bytes as an object, the store holds {} parts of {} bytes",
            size.ledger_id, limits.parts_max, limits.part_bytes_max
        );
        return Err(Error::new(ErrorCode::InvalidArgument, message));
    }
    Ok(chosen.max(needed).max(limits.part_bytes_min).min(limits.part_bytes_max))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S3: StoreLimits =
        StoreLimits { part_bytes_min: 5 << 20, part_bytes_max: 5 << 30, parts_max: 10_000, verifies_crc32c: true };

    fn ledger(length_bytes: u64) -> LedgerSize {
        LedgerSize { ledger_id: 1, entry_count: 1, length_bytes }
    }

    #[test]
    fn parts_fit_the_ledger_and_the_store() {
        let options = UploadOptions::default();
        for (length, expected) in
            [(1, 8 << 20), (512 << 20, 17_318_422), (1 << 40, 2 * ((1u64 << 40) + 140) / 10_000 + 1)]
        {
            assert_eq!(part_bytes(ledger(length), &options, &S3).unwrap(), expected, "{length}");
        }
        let own = UploadOptions { part_bytes: Some(1), ..options };
        assert_eq!(part_bytes(ledger(1), &own, &S3).unwrap(), 5 << 20);
        assert!(part_bytes(ledger(1 << 60), &options, &S3).is_err());
    }
}
