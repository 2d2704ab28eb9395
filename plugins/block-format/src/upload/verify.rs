//! Looks at what the store has before anybody relies on it.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use longshore_plugin_api::{Error, ErrorCode, LedgerReader, Result};

use crate::crc;
use crate::store::requests::{Receive, Requests};
use crate::user_metadata::{FORMAT_VERSION, FORMAT_VERSION_1, UserMetadata};

/// Bytes that one request reads back.
const READ_BACK_BYTES: u64 = 16 << 20;

/// How a data object is looked at before its index is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// Its length, and its bytes unless the store verified the parts' checksums.
    #[default]
    WhereNeeded,
    /// Its length.
    Length,
    /// Its length and its bytes.
    Bytes,
}

/// What was written.
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) crc32c: u32,
}

/// Looks at the data object, with `at_once` requests where its bytes are read.
///
/// # Errors
/// `Corrupt` where the store has something else than was written.
pub(super) async fn data(
    requests: &Requests,
    verify: Verify,
    key: &str,
    written: &Written,
    ledger: &LedgerReader,
    at_once: usize,
) -> Result<()> {
    let head = requests.head(key).await?;
    if head.object_bytes != written.bytes {
        return Err(differs(key, format!("it has {} bytes, {} were written", head.object_bytes, written.bytes)));
    }
    check_version(key, &head.user_metadata)?;
    let read_back = match verify {
        Verify::WhereNeeded => !requests.limits().verifies_crc32c,
        Verify::Length => false,
        Verify::Bytes => true,
    };
    if read_back { read_back_data(requests, key, written, ledger, at_once).await } else { Ok(()) }
}

/// Several ranges at once; no byte of them is kept.
async fn read_back_data(
    requests: &Requests,
    key: &str,
    written: &Written,
    ledger: &LedgerReader,
    at_once: usize,
) -> Result<()> {
    let starts = (0..written.bytes.div_ceil(READ_BACK_BYTES)).map(|range| range * READ_BACK_BYTES);
    let ranges = starts.map(|start| start..written.bytes.min(start + READ_BACK_BYTES));
    let summed = ranges.map(|range| async move {
        let mut sum = Sum { crc: 0, bytes: 0, ledger };
        requests.get_chunks(key, range.clone(), &mut sum).await?;
        if sum.bytes < range.end - range.start {
            return Err(differs(key, format!("it ends at {}", range.start + sum.bytes)));
        }
        Ok(sum)
    });
    let mut sums = stream::iter(summed).buffered(at_once);
    let mut whole = 0;
    while let Some(sum) = sums.try_next().await? {
        whole = crc::joined(whole, sum.crc, sum.bytes);
    }
    if whole != written.crc32c {
        return Err(differs(key, format!("its checksum is {whole:08x}, {:08x} was written", written.crc32c)));
    }
    Ok(())
}

/// The checksum of a range that comes.
struct Sum<'a> {
    crc: u32,
    bytes: u64,
    ledger: &'a LedgerReader,
}

impl Receive for Sum<'_> {
    fn begin(&mut self, _: Option<u64>, _: Option<&UserMetadata>) -> Result<()> {
        Ok(())
    }

    fn chunk(&mut self, bytes: Bytes) -> Result<()> {
        self.crc = crc::append(self.crc, &bytes);
        self.bytes += bytes.len() as u64;
        self.ledger.progress(0);
        Ok(())
    }
}

/// # Errors
/// `Corrupt` where the store has something else than was written.
pub(super) async fn index(requests: &Requests, key: &str, written: &Bytes) -> Result<()> {
    // One byte more than there should be, so that a longer object is noticed.
    let fetched = requests.get(key, 0..written.len() as u64 + 1).await?;
    if fetched.bytes != *written {
        return Err(differs(key, format!("its {} bytes are not the {} written", fetched.bytes.len(), written.len())));
    }
    let user_metadata = match fetched.user_metadata {
        Some(user_metadata) => user_metadata,
        None => requests.head(key).await?.user_metadata,
    };
    check_version(key, &user_metadata)
}

/// The original refuses objects without it.
fn check_version(key: &str, user_metadata: &UserMetadata) -> Result<()> {
    match user_metadata.get(FORMAT_VERSION) {
        Some(FORMAT_VERSION_1) => Ok(()),
        found => {
            let found = found.unwrap_or("absent");
            Err(differs(key, format!("its user metadata {FORMAT_VERSION} is {found}, {FORMAT_VERSION_1} was written")))
        }
    }
}

fn differs(key: &str, problem: String) -> Error {
    Error::new(ErrorCode::Corrupt, format!("{key} is not in the store as it was written: {problem}"))
}
