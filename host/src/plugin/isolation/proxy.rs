//! The objects of a plugin whose library is in another process: to the host they are what the library itself would have made.
//!
//! So everything that the host does around a call to a library (permits, deadlines, the loan of the ledger and its clock, checks
//! of what comes back, whose fault it was) is done around these calls by the same code.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RErr, ROk, RVec};
use async_ffi::FutureExt;
use longshore_plugin_api::abi::requests::{to_batch, to_pairs};
use longshore_plugin_api::abi::{
    FfiCall, FfiCallContext, FfiConfigProblem, FfiDriverConfig, FfiEntry, FfiLedgerMetadata, FfiOffloadRequest,
    FfiOffloader, FfiReadHandle, FfiReadRequest, FfiScanPage, FfiScanRequest, FfiStoredLedger, LedgerReaderBox,
    OffloaderBox, Pairs, ReadHandleBox,
};
use longshore_plugin_api::{
    ConfigProblem, DriverConfig, Error, ErrorCode, LedgerMetadata, OffloadRequest, ScanRequest, StoredLedger,
};

use super::frame::Kind;
use super::instance::Instance;
use super::link::nonsense;
use super::message::{self, Metadata, Number, Offload, Page, Problems, Range, Scan, Stored};
use super::session::Session;

/// An answer as it crosses.
fn crossing<T, F>(answer: F) -> FfiCall<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    async move {
        match answer.await {
            Ok(value) => ROk(value),
            Err(error) => RErr(error.into()),
        }
    }
    .into_ffi()
}

/// Checks a configuration in the process.
pub(super) fn validate(
    instance: Arc<Instance>,
    context: FfiCallContext,
    config: FfiDriverConfig,
) -> FfiCall<RVec<FfiConfigProblem>> {
    crossing(async move {
        let config = message::Config::from(DriverConfig::from(config));
        let session = instance.session().await?;
        let problems: Problems = session.call(Kind::Validate, &context, &config).message().await?;
        Ok(problems.problems.into_iter().map(|problem| ConfigProblem::from(problem).into()).collect())
    })
}

/// Makes the driver in the process.
pub(super) fn create(
    instance: Arc<Instance>,
    context: FfiCallContext,
    config: FfiDriverConfig,
) -> FfiCall<OffloaderBox> {
    crossing(async move {
        let config = message::Config::from(DriverConfig::from(config));
        let session = instance.session().await?;
        let metadata: message::Pairs = session.call(Kind::Create, &context, &config).message().await?;
        instance.created(config);
        let driver_metadata = to_pairs(&message::from_pairs(metadata.pairs));
        Ok(OffloaderBox::from_value(FarOffloader { instance, driver_metadata }, TD_Opaque))
    })
}

/// A driver's instance in another process.
struct FarOffloader {
    instance: Arc<Instance>,
    driver_metadata: Pairs,
}

impl FfiOffloader for FarOffloader {
    fn driver_metadata(&self) -> Pairs {
        self.driver_metadata.clone()
    }

    fn offload(&self, context: FfiCallContext, ledger: LedgerReaderBox, request: FfiOffloadRequest) -> FfiCall<()> {
        let instance = Arc::clone(&self.instance);
        crossing(async move {
            let metadata = LedgerMetadata::from(ledger.metadata()).into();
            let request = Offload { metadata, target: OffloadRequest::from(request).into() };
            let session = instance.session().await?;
            let call = session.link.reserve();
            // Called back when this future ends, or is dropped.
            let _lent = session.lend(call.id, ledger);
            session.send(call, Kind::Offload, &context, &request).message::<Number>().await.map(drop)
        })
    }

    fn open_read(&self, context: FfiCallContext, stored: FfiStoredLedger) -> FfiCall<ReadHandleBox> {
        let instance = Arc::clone(&self.instance);
        crossing(async move {
            let stored = Stored::from(StoredLedger::from(stored));
            let session = instance.session().await?;
            let (open, metadata) = open(&session, &context, &stored).await?;
            let copy = FarCopy { instance, stored, metadata, open: Mutex::new(open) };
            Ok(ReadHandleBox::from_value(FarReadHandle(Arc::new(copy)), TD_Opaque))
        })
    }

    fn delete(&self, context: FfiCallContext, stored: FfiStoredLedger) -> FfiCall<()> {
        let instance = Arc::clone(&self.instance);
        crossing(async move {
            let stored = Stored::from(StoredLedger::from(stored));
            instance.session().await?.call(Kind::Delete, &context, &stored).message::<Number>().await.map(drop)
        })
    }

    fn scan(&self, context: FfiCallContext, request: FfiScanRequest) -> FfiCall<FfiScanPage> {
        let instance = Arc::clone(&self.instance);
        crossing(async move {
            let request = Scan::from(ScanRequest::from(request));
            let page: Page = instance.session().await?.call(Kind::Scan, &context, &request).message().await?;
            Ok(page.into_page().map_err(|error| nonsense(&error.to_string()))?.into())
        })
    }

    fn health(&self, context: FfiCallContext) -> FfiCall<()> {
        let instance = Arc::clone(&self.instance);
        crossing(async move {
            let session = instance.session().await?;
            session.call(Kind::Health, &context, &Number { number: 0 }).message::<Number>().await.map(drop)
        })
    }

    fn shutdown(&self, _context: FfiCallContext, deadline_ms: u64) -> FfiCall<u64> {
        let instance = Arc::clone(&self.instance);
        crossing(async move {
            let unsaid = || Error::new(ErrorCode::Timeout, "the driver's process did not finish in time; it was ended");
            instance.shut_down(Duration::from_millis(deadline_ms)).await.ok_or_else(unsaid)
        })
    }
}

/// Where a copy is open: the process, and the number of the call that opened it there. A process that crashed is not held.
struct Open {
    session: Weak<Session>,
    number: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(session) = self.session.upgrade()
            && !session.has_ended()
        {
            session.link.notice(Kind::Close, self.number, &Number { number: 0 });
        }
    }
}

async fn open(
    session: &Arc<Session>,
    context: &FfiCallContext,
    stored: &Stored,
) -> Result<(Arc<Open>, LedgerMetadata), Error> {
    let call = session.link.reserve();
    let number = call.id;
    let metadata: Metadata = session.send(call, Kind::Open, context, stored).message().await?;
    Ok((Arc::new(Open { session: Arc::downgrade(session), number }), metadata.into()))
}

/// An open copy in another process; opened again by the first read after that process was started again.
struct FarCopy {
    instance: Arc<Instance>,
    stored: Stored,
    metadata: LedgerMetadata,
    open: Mutex<Arc<Open>>,
}

impl FarCopy {
    /// A process that lives, and where the copy is open in it.
    async fn opened(&self, context: &FfiCallContext) -> Result<(Arc<Session>, Arc<Open>), Error> {
        let session = self.instance.session().await?;
        let known = Arc::clone(&self.open());
        if Weak::ptr_eq(&known.session, &Arc::downgrade(&session)) {
            return Ok((session, known));
        }
        let (opened, metadata) = open(&session, context, &self.stored).await?;
        if metadata != self.metadata {
            let ledger_id = metadata.ledger_id;
            let text = format!("the copy of ledger {ledger_id} is not what it was before the driver's process crashed");
            return Err(Error::new(ErrorCode::Corrupt, text));
        }
        // Of several reads that opened it at once the last one counts; the others' go with their reads.
        *self.open() = Arc::clone(&opened);
        Ok((session, opened))
    }

    fn open(&self) -> MutexGuard<'_, Arc<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct FarReadHandle(Arc<FarCopy>);

impl FfiReadHandle for FarReadHandle {
    fn metadata(&self) -> FfiLedgerMetadata {
        FfiLedgerMetadata::from(&self.0.metadata)
    }

    fn read(&self, context: FfiCallContext, request: FfiReadRequest) -> FfiCall<RVec<FfiEntry>> {
        let FfiReadRequest { first, last, max_bytes, .. } = request;
        let copy = Arc::clone(&self.0);
        crossing(async move {
            let (session, open) = copy.opened(&context).await?;
            let max_bytes = max_bytes.min(session.link.entries_bytes_max() as u64);
            let range = Range { of: open.number, first, last, max_bytes };
            session.call(Kind::Read, &context, &range).entries().await.map(to_batch)
        })
    }
}
