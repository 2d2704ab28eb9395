//! The host's ledger as the author sees it: the source behind a [`crate::read_handle::LedgerReader`].

use abi_stable::std_types::{RErr, ROk};

use crate::abi::requests::from_batch;
use crate::abi::{FfiCallContext, FfiReadRequest, LedgerReaderBox};
use crate::error::{Error, Result};
use crate::ledger::{Entry, LedgerMetadata};
use crate::read_handle::{BoxFuture, LedgerSource, check_range};

/// One ledger that the host lends for one offload.
pub(crate) struct HostLedger {
    ledger: LedgerReaderBox,
    metadata: LedgerMetadata,
    /// That of the offload.
    context: FfiCallContext,
}

impl HostLedger {
    pub(crate) fn new(ledger: LedgerReaderBox, context: FfiCallContext) -> Self {
        let metadata = LedgerMetadata::from(ledger.metadata());
        Self { ledger, metadata, context }
    }
}

impl LedgerSource for HostLedger {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    fn read(&self, first: u64, last: u64, max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>> {
        Box::pin(async move {
            check_range(&self.metadata, first, last)?;
            match self.ledger.read(self.context, FfiReadRequest::new(first, last, max_bytes)).await {
                ROk(batch) => from_batch(batch),
                RErr(error) => Err(Error::from(error)),
            }
        })
    }

    fn progress(&self, bytes: u64) {
        self.ledger.progress(bytes);
    }
}
