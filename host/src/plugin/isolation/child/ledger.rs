//! The host's ledger as the library sees it in the child: each read is a call to the host.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RErr, ROk, RVec};
use async_ffi::FutureExt;
use longshore_plugin_api::abi::requests::to_batch;
use longshore_plugin_api::abi::{
    FfiCall, FfiCallContext, FfiEntry, FfiLedgerMetadata, FfiLedgerReader, FfiReadRequest, LedgerReaderBox,
};
use longshore_plugin_api::{Entry, Error, ErrorCode, LedgerMetadata};

use super::super::frame::Kind;
use super::super::link::Link;
use super::super::message::{Context, Number, Range};

/// Bytes that reached the store and that the host was not told of yet.
pub(super) struct Progress {
    link: Weak<Link>,
    offload: u64,
    untold: AtomicU64,
}

impl Progress {
    pub(super) fn new(link: Weak<Link>, offload: u64) -> Self {
        Self { link, offload, untold: AtomicU64::new(0) }
    }

    fn add(&self, bytes: u64) {
        self.untold.fetch_add(bytes, Ordering::Relaxed);
        // While much waits to be written the bytes are told of together.
        if self.link.upgrade().is_some_and(|link| !link.is_congested()) {
            self.tell();
        }
    }

    /// Tells the host.
    pub(super) fn tell(&self) {
        let number = self.untold.swap(0, Ordering::Relaxed);
        if number > 0
            && let Some(link) = self.link.upgrade()
        {
            link.notice(Kind::Progress, self.offload, &Number { number });
        }
    }
}

/// A ledger that the host lends for one offload.
pub(super) struct FarLedger {
    link: Weak<Link>,
    offload: u64,
    metadata: LedgerMetadata,
    progress: Arc<Progress>,
}

impl FarLedger {
    pub(super) fn lend(
        link: Weak<Link>,
        offload: u64,
        metadata: LedgerMetadata,
        progress: Arc<Progress>,
    ) -> LedgerReaderBox {
        LedgerReaderBox::from_value(Self { link, offload, metadata, progress }, TD_Opaque)
    }

    fn entries(
        &self,
        context: FfiCallContext,
        request: FfiReadRequest,
    ) -> impl Future<Output = Result<Vec<Entry>, Error>> + use<> {
        let call = self.link.upgrade().map(|link| {
            let FfiReadRequest { first, last, max_bytes, .. } = request;
            let max_bytes = max_bytes.min(link.entries_bytes_max() as u64);
            let range = Range { of: self.offload, first, last, max_bytes };
            link.call(Kind::ReadLedger, &Context::from(context), &range)
        });
        async move {
            match call {
                Some(call) => call.entries().await,
                None => Err(Error::new(ErrorCode::Cancelled, "the host is gone")),
            }
        }
    }
}

impl FfiLedgerReader for FarLedger {
    fn metadata(&self) -> FfiLedgerMetadata {
        FfiLedgerMetadata::from(&self.metadata)
    }

    fn read(&self, context: FfiCallContext, request: FfiReadRequest) -> FfiCall<RVec<FfiEntry>> {
        let entries = self.entries(context, request);
        async move {
            match entries.await {
                Ok(entries) => ROk(to_batch(entries)),
                Err(error) => RErr(error.into()),
            }
        }
        .into_ffi()
    }

    fn progress(&self, bytes: u64) {
        self.progress.add(bytes);
    }
}
