//! Takes away what an attempt left: its index, its data, and every upload in parts that was begun under its key.
//!
//! The index goes first, so that no reader is led to data that is going. All of it is tried, whatever fails before.

use std::time::Duration;

use longshore_plugin_api::{Error, ErrorCode, Result};

use crate::keys::CopyKeys;
use crate::store::requests::Requests;

/// How often open uploads are listed: parts that were under way when an upload was aborted may bring it back.
const ABORT_ROUNDS_MAX: u32 = 8;
/// The pause before a round that follows one in which something was aborted.
const ABORT_PAUSE: Duration = Duration::from_millis(20);

/// Removes both objects and all open uploads of an attempt; what is not there is a success.
///
/// # Errors
/// The first one, with those that followed as its causes.
pub(crate) async fn remove_attempt(requests: &Requests, keys: &CopyKeys) -> Result<()> {
    let index = requests.delete(&keys.index).await;
    let (data, uploads) = tokio::join!(requests.delete(&keys.data), abort_uploads(requests, &keys.data));
    let mut errors = [index, data, uploads].into_iter().filter_map(Result::err);
    let Some(first) = errors.next() else { return Ok(()) };
    Err(errors.fold(first, |first, other| first.with_source(&other)))
}

/// Aborts every open upload of `key`, until the store lists none.
pub(crate) async fn abort_uploads(requests: &Requests, key: &str) -> Result<()> {
    for round in 0..ABORT_ROUNDS_MAX {
        if round > 1 {
            tokio::time::sleep(ABORT_PAUSE).await;
        }
        // Keys of other ledgers may begin with this one's.
        let open: Vec<_> = requests.list_multiparts(key).await?.into_iter().filter(|open| open.key == key).collect();
        if open.is_empty() {
            return Ok(());
        }
        for open in open {
            requests.abort_multipart(&open.key, &open.upload).await?;
        }
    }
    let message = format!("uploads of {key} are still open after {ABORT_ROUNDS_MAX} rounds of aborting them");
    Err(Error::new(ErrorCode::Unavailable, message))
}
