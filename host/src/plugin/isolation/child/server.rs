//! Serves the host's calls with the library's objects.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use abi_stable::std_types::{RErr, ROk};
use futures_util::FutureExt;
use longshore_plugin_api::abi::requests::{from_batch, from_pairs};
use longshore_plugin_api::abi::{
    FfiCall, FfiCallContext, FfiDriverConfig, FfiReadRequest, FfiStartOptions, OffloaderBox, Pairs, ReadHandleBox,
};
use longshore_plugin_api::offloader::{ScanPage, ScanRequest};
use longshore_plugin_api::{ConfigProblem, DriverConfig, Error, ErrorCode, LedgerMetadata, runtime};
use prost::Message;
use tokio::sync::Notify;

use super::super::super::module::Module;
use super::super::super::{load, threads};
use super::super::frame::{Frame, Kind, ProtocolError};
use super::super::link::{Answer, Link, Serve, Work};
use super::super::message::{self, Config, Hello, Metadata, Number, Offload, Page, Problems, Range, Scan, Stored};
use super::ledger::{FarLedger, Progress};
use super::metrics::FarMetrics;
use super::services::{LogLevel, services};
use super::{identify, read_library};

/// Time between two looks whether the last answer was written.
const FLUSH_LOOK: Duration = Duration::from_millis(1);

/// The library, its one driver and the copies that are open.
pub(super) struct Server {
    link: Weak<Link>,
    log_level: Arc<LogLevel>,
    metrics: Arc<FarMetrics>,
    module: OnceLock<Module>,
    offloader: OnceLock<OffloaderBox>,
    /// By the number of the call that opened it.
    copies: Mutex<HashMap<u64, Arc<ReadHandleBox>>>,
    finished: Notify,
}

impl Server {
    pub(super) fn new(link: &Arc<Link>, hello: &Hello) -> Self {
        Self {
            link: Arc::downgrade(link),
            log_level: Arc::new(LogLevel::new(hello.log_level)),
            metrics: FarMetrics::new(Arc::downgrade(link)),
            module: OnceLock::new(),
            offloader: OnceLock::new(),
            copies: Mutex::default(),
            finished: Notify::new(),
        }
    }

    /// Loads the library and starts it. Blocks.
    pub(super) fn load(&self, hello: &Hello, library: OwnedFd) -> Result<Answer, Error> {
        let image = read_library(library, hello)?;
        let found = identify(&image)?;
        let refused = |error: load::LoadError| Error::new(ErrorCode::Internal, error.to_string());
        let module = load::load(&hello.file, &image, &found).map_err(refused)?;
        let options = FfiStartOptions {
            runtime_workers: hello.runtime_workers,
            reserved: 0,
            host_marker: runtime::library_marker(),
            thread_name: threads::name_for(&found.note.name, &image.sha256).into(),
            extras: Pairs::new(),
        };
        let services = services(Weak::clone(&self.link), Arc::clone(&self.log_level), Arc::clone(&self.metrics));
        if let RErr(error) = module.start(services, options) {
            return Err(Error::new(ErrorCode::Internal, format!("it could not be started: {}", Error::from(error))));
        }
        // The host sends one hello.
        let _ = self.module.set(module);
        Ok(Answer::done())
    }

    /// Ends when the driver has finished and the host knows it.
    pub(super) async fn finished(&self) {
        self.finished.notified().await;
        while self.link.upgrade().is_some_and(|link| !link.is_flushed()) {
            tokio::time::sleep(FLUSH_LOOK).await;
        }
    }

    fn module(&self) -> Result<Module, Error> {
        self.module.get().copied().ok_or_else(|| Error::new(ErrorCode::Internal, "the library is not loaded yet"))
    }

    fn offloader(&self) -> Result<&OffloaderBox, Error> {
        self.offloader.get().ok_or_else(|| Error::new(ErrorCode::Internal, "the driver was not made yet"))
    }

    fn copies(&self) -> MutexGuard<'_, HashMap<u64, Arc<ReadHandleBox>>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn validate(&self, context: FfiCallContext, config: Config) -> Result<Answer, Error> {
        let config = FfiDriverConfig::from(DriverConfig::from(config));
        let problems = settled(self.module()?.validate(context, config)).await?;
        let problems = problems.into_iter().map(|problem| ConfigProblem::from(problem).into()).collect();
        Ok(Answer::message(&Problems { problems }))
    }

    async fn create(&self, context: FfiCallContext, config: Config) -> Result<Answer, Error> {
        let config = FfiDriverConfig::from(DriverConfig::from(config));
        let offloader = settled(self.module()?.create(context, config)).await?;
        let pairs = message::to_pairs(&from_pairs(offloader.driver_metadata()));
        if self.offloader.set(offloader).is_err() {
            return Err(Error::new(ErrorCode::InvalidArgument, "this process has made its driver already"));
        }
        Ok(Answer::message(&message::Pairs { pairs }))
    }

    async fn offload(&self, context: FfiCallContext, id: u64, request: Offload) -> Result<Answer, Error> {
        let Offload { metadata, target } = request;
        let request = target.into_request().map_err(wrong_request)?;
        let progress = Arc::new(Progress::new(Weak::clone(&self.link), id));
        let ledger = FarLedger::lend(Weak::clone(&self.link), id, metadata.into(), Arc::clone(&progress));
        settled(self.offloader()?.offload(context, ledger, request.into())).await?;
        progress.tell();
        Ok(Answer::done())
    }

    async fn open(&self, context: FfiCallContext, id: u64, stored: Stored) -> Result<Answer, Error> {
        let stored = stored.into_stored(Kind::Open).map_err(wrong_request)?;
        let copy = settled(self.offloader()?.open_read(context, stored.into())).await?;
        let metadata = Metadata::from(LedgerMetadata::from(copy.metadata()));
        self.copies().insert(id, Arc::new(copy));
        Ok(Answer::message(&metadata))
    }

    async fn read(&self, context: FfiCallContext, range: Range) -> Result<Answer, Error> {
        let copy = self.copies().get(&range.of).cloned();
        let closed = || Error::new(ErrorCode::InvalidArgument, "the copy is not open in this process");
        let request = FfiReadRequest::new(range.first, range.last, range.max_bytes);
        let batch = settled(copy.ok_or_else(closed)?.read(context, request)).await?;
        from_batch(batch).map(Answer::Entries)
    }

    async fn delete(&self, context: FfiCallContext, stored: Stored) -> Result<Answer, Error> {
        let stored = stored.into_stored(Kind::Delete).map_err(wrong_request)?;
        settled(self.offloader()?.delete(context, stored.into())).await?;
        Ok(Answer::done())
    }

    async fn scan(&self, context: FfiCallContext, request: Scan) -> Result<Answer, Error> {
        let page = settled(self.offloader()?.scan(context, ScanRequest::from(request).into())).await?;
        Ok(Answer::message(&Page::from(ScanPage::from(page))))
    }

    async fn health(&self, context: FfiCallContext) -> Result<Answer, Error> {
        settled(self.offloader()?.health(context)).await?;
        Ok(Answer::done())
    }

    async fn shutdown(&self, context: FfiCallContext, deadline_ms: u64) -> Result<Answer, Error> {
        let number = match self.offloader.get() {
            Some(offloader) => settled(offloader.shutdown(context, deadline_ms)).await?,
            None => 0,
        };
        self.metrics.flush();
        // The answer is written after this returns; who waits for the end looks for that.
        self.finished.notify_one();
        Ok(Answer::message(&Number { number }))
    }

    fn close(&self, id: u64) {
        let copy = self.copies().remove(&id);
        drop(copy);
    }
}

impl Serve for Server {
    fn call(self: Arc<Self>, frame: &Frame) -> Result<Work, ProtocolError> {
        let id = frame.id;
        Ok(match frame.kind {
            Kind::Validate => {
                let (context, config) = asked(frame)?;
                Box::pin(async move { self.validate(context, config).await })
            }
            Kind::Create => {
                let (context, config) = asked(frame)?;
                Box::pin(async move { self.create(context, config).await })
            }
            Kind::Offload => {
                let (context, request) = asked(frame)?;
                Box::pin(async move { self.offload(context, id, request).await })
            }
            Kind::Open => {
                let (context, stored) = asked(frame)?;
                Box::pin(async move { self.open(context, id, stored).await })
            }
            Kind::Read => {
                let (context, range) = asked(frame)?;
                Box::pin(async move { self.read(context, range).await })
            }
            Kind::Delete => {
                let (context, stored) = asked(frame)?;
                Box::pin(async move { self.delete(context, stored).await })
            }
            Kind::Scan => {
                let (context, request) = asked(frame)?;
                Box::pin(async move { self.scan(context, request).await })
            }
            Kind::Health => {
                let (context, Number { .. }) = asked(frame)?;
                Box::pin(async move { self.health(context).await })
            }
            Kind::Shutdown => {
                let (context, Number { number }) = asked(frame)?;
                Box::pin(async move { self.shutdown(context, number).await })
            }
            other => return Err(ProtocolError::Unexpected(other)),
        })
    }

    fn notice(&self, frame: &Frame) -> Result<(), ProtocolError> {
        match frame.kind {
            Kind::Close => self.close(frame.id),
            Kind::LogLevel => {
                let Number { number } = message::read(frame)?;
                self.log_level.set(u32::try_from(number).unwrap_or(u32::MAX));
            }
            other => return Err(ProtocolError::Unexpected(other)),
        }
        Ok(())
    }

    fn cancelled(&self, id: u64) {
        // The answer of an `Open` may have crossed its cancellation.
        self.close(id);
    }
}

/// What is asked, and what goes along with it: the number that comes back with log events is the call's.
fn asked<M: Message + Default>(frame: &Frame) -> Result<(FfiCallContext, M), ProtocolError> {
    let (context, asked) = message::read_call(frame)?;
    Ok((FfiCallContext { host_span: frame.id, ..FfiCallContext::from(&context) }, asked))
}

/// Waits for a call to the library. A panic that async-ffi raises here for one that happened over there ends here too.
async fn settled<T>(call: FfiCall<T>) -> Result<T, Error> {
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(ROk(value)) => Ok(value),
        Ok(RErr(error)) => Err(error.into()),
        Err(_) => Err(Error::new(ErrorCode::Panicked, "the plugin's future panicked while it was polled")),
    }
}

fn wrong_request(error: ProtocolError) -> Error {
    Error::new(ErrorCode::InvalidArgument, error.to_string())
}
