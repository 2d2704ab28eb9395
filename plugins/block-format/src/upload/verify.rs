//! Looks at what the store has before anybody relies on it.

use bytes::Bytes;
use longshore_plugin_api::{Error, ErrorCode, LedgerReader, Result};

use crate::store::requests::Requests;
use crate::user_metadata::{FORMAT_VERSION, FORMAT_VERSION_1, UserMetadata};

/// Bytes that are read back at once.
const READ_BACK_BYTES: u64 = 8 << 20;

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

/// # Errors
/// `Corrupt` where the store has something else than was written.
pub(super) async fn data(
    requests: &Requests,
    verify: Verify,
    key: &str,
    written: &Written,
    ledger: &LedgerReader,
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
    if read_back { read_back_data(requests, key, written, ledger).await } else { Ok(()) }
}

async fn read_back_data(requests: &Requests, key: &str, written: &Written, ledger: &LedgerReader) -> Result<()> {
    let (mut offset, mut crc) = (0, 0);
    while offset < written.bytes {
        let end = written.bytes.min(offset + READ_BACK_BYTES);
        let fetched = requests.get(key, offset..end).await?;
        if fetched.bytes.is_empty() {
            return Err(differs(key, format!("it ends at {offset}")));
        }
        crc = crc32c::crc32c_append(crc, &fetched.bytes);
        offset += fetched.bytes.len() as u64;
        ledger.progress(0);
    }
    if crc != written.crc32c {
        return Err(differs(key, format!("its checksum is {crc:08x}, {:08x} was written", written.crc32c)));
    }
    Ok(())
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
