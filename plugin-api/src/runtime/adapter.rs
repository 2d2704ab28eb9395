//! The author's traits behind the ABI interfaces: one object for an offloader, one for each open handle.
//!
//! What may never take time (`driver_metadata`, `metadata`) is asked of the author once, inside the task that makes the
//! object, and answered from that copy. An object that the host drops is dropped by a task here, never on the host's thread.

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::RVec;
use tokio::sync::watch;
use tokio::time::timeout;

use super::ledger_source::HostLedger;
use super::{Counted, PluginRuntime, guard};
use crate::abi::requests::{to_batch, to_pairs};
use crate::abi::{
    FfiCall, FfiCallContext, FfiConfigProblem, FfiEntry, FfiLedgerMetadata, FfiOffloadRequest, FfiOffloader,
    FfiReadHandle, FfiReadRequest, FfiScanPage, FfiScanRequest, FfiStoredLedger, LedgerReaderBox, OffloaderBox, Pairs,
    ReadHandleBox,
};
use crate::config::DriverConfig;
use crate::error::Result;
use crate::offloader::{OffloadRequest, Offloader, OffloaderFactory, ScanRequest, StoredLedger};
use crate::read_handle::{LedgerReader, ReadHandle};

/// How long an author's `close` may take after the host dropped a handle.
const CLOSE_DEADLINE: Duration = Duration::from_secs(30);

/// Runs [`OffloaderFactory::validate`], which may look at files, on a thread that may block.
pub(crate) fn validate<F: OffloaderFactory>(
    runtime: &'static PluginRuntime,
    context: FfiCallContext,
    config: DriverConfig,
) -> FfiCall<RVec<FfiConfigProblem>> {
    runtime.call_blocking("validate", context, move || {
        Ok(F::validate(&config).into_iter().map(FfiConfigProblem::from).collect())
    })
}

/// Makes an offloader, by [`OffloaderFactory::create`] or in the host's own way, and puts it behind the interface.
pub(crate) fn create<O: Offloader>(
    runtime: &'static PluginRuntime,
    context: FfiCallContext,
    make: impl Future<Output = Result<O>> + Send + 'static,
) -> FfiCall<OffloaderBox> {
    runtime.call("create", context, async move {
        let offloader = make.await?;
        let driver_metadata = to_pairs(&offloader.driver_metadata());
        let adapter = OffloaderAdapter {
            runtime,
            offloader: Share::new(runtime, offloader),
            driver_metadata,
            running: Running::default(),
            _counted: Counted::new(&runtime.counts.offloaders),
        };
        Ok(OffloaderBox::from_value(adapter, TD_Opaque))
    })
}

/// A share of an author's object. Whoever drops the last one, on whatever thread of host or plugin, the object itself is
/// dropped where blocking is allowed.
struct Share<T: Send + Sync + 'static> {
    runtime: &'static PluginRuntime,
    /// `None` in drop alone.
    object: Option<Arc<T>>,
}

impl<T: Send + Sync + 'static> Share<T> {
    fn new(runtime: &'static PluginRuntime, object: T) -> Self {
        Self { runtime, object: Some(Arc::new(object)) }
    }
}

impl<T: Send + Sync + 'static> Clone for Share<T> {
    fn clone(&self) -> Self {
        Self { runtime: self.runtime, object: self.object.clone() }
    }
}

impl<T: Send + Sync + 'static> Deref for Share<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.object.as_ref().expect("taken in drop alone")
    }
}

impl<T: Send + Sync + 'static> Drop for Share<T> {
    fn drop(&mut self) {
        // Of all shares that go at once, exactly one is told that it was the last.
        if let Some(object) = self.object.take().and_then(Arc::into_inner) {
            let handle = self.runtime.handle();
            // The outer guard is for a system that has no thread left, where tokio panics.
            guard::drop_quietly(handle.spawn_blocking(move || guard::drop_quietly(object)));
        }
    }
}

/// Counts the calls of one offloader that run, so that a shutdown can wait for them.
#[derive(Clone)]
struct Running(Arc<watch::Sender<u64>>);

impl Default for Running {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }
}

impl Running {
    fn enter(&self) -> RunningCall {
        self.0.send_modify(|calls| *calls += 1);
        RunningCall(Arc::clone(&self.0))
    }

    /// Waits until nothing runs; the answer is how many calls still do when `deadline` has passed.
    async fn settle(&self, deadline: Duration) -> u64 {
        let mut calls = self.0.subscribe();
        let _ = timeout(deadline, calls.wait_for(|calls| *calls == 0)).await;
        *self.0.borrow()
    }
}

struct RunningCall(Arc<watch::Sender<u64>>);

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}

struct OffloaderAdapter<O: Offloader> {
    runtime: &'static PluginRuntime,
    offloader: Share<O>,
    driver_metadata: Pairs,
    running: Running,
    _counted: Counted,
}

impl<O: Offloader> OffloaderAdapter<O> {
    /// Runs one of the author's methods as a counted task.
    fn call<T, F>(
        &self,
        call: &'static str,
        context: FfiCallContext,
        method: impl FnOnce(Share<O>) -> F + Send + 'static,
    ) -> FfiCall<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send,
    {
        let offloader = self.offloader.clone();
        let running = self.running.enter();
        self.runtime.call(call, context, async move {
            let _running = running;
            method(offloader).await
        })
    }
}

impl<O: Offloader> FfiOffloader for OffloaderAdapter<O> {
    fn driver_metadata(&self) -> Pairs {
        self.driver_metadata.clone()
    }

    fn offload(&self, context: FfiCallContext, ledger: LedgerReaderBox, request: FfiOffloadRequest) -> FfiCall<()> {
        let ledger = LedgerReader::new(Arc::new(HostLedger::new(ledger, context)));
        self.call("offload", context, |offloader| async move {
            offloader.offload(ledger, OffloadRequest::from(request)).await
        })
    }

    fn open_read(&self, context: FfiCallContext, stored: FfiStoredLedger) -> FfiCall<ReadHandleBox> {
        let runtime = self.runtime;
        self.call("open_read", context, move |offloader| async move {
            let handle = offloader.open_read(StoredLedger::from(stored)).await?;
            let metadata = FfiLedgerMetadata::from(handle.metadata());
            let handle = Share::new(runtime, handle);
            let _counted = Counted::new(&runtime.counts.read_handles);
            Ok(ReadHandleBox::from_value(ReadHandleAdapter { runtime, handle, metadata, _counted }, TD_Opaque))
        })
    }

    fn delete(&self, context: FfiCallContext, stored: FfiStoredLedger) -> FfiCall<()> {
        self.call("delete", context, |offloader| async move { offloader.delete(StoredLedger::from(stored)).await })
    }

    fn scan(&self, context: FfiCallContext, request: FfiScanRequest) -> FfiCall<FfiScanPage> {
        self.call("scan", context, |offloader| async move {
            offloader.scan(ScanRequest::from(request)).await.map(FfiScanPage::from)
        })
    }

    fn health(&self, context: FfiCallContext) -> FfiCall<()> {
        self.call("health", context, |offloader| async move { offloader.health().await })
    }

    fn shutdown(&self, context: FfiCallContext, deadline_ms: u64) -> FfiCall<u64> {
        let offloader = self.offloader.clone();
        let running = self.running.clone();
        let deadline = Duration::from_millis(deadline_ms);
        self.runtime.call_aside("shutdown", context, async move {
            let (_, abandoned) =
                tokio::join!(timeout(deadline, offloader.shutdown(deadline)), running.settle(deadline));
            Ok(abandoned)
        })
    }
}

struct ReadHandleAdapter<R: ReadHandle> {
    runtime: &'static PluginRuntime,
    handle: Share<R>,
    metadata: FfiLedgerMetadata,
    _counted: Counted,
}

impl<R: ReadHandle> FfiReadHandle for ReadHandleAdapter<R> {
    fn metadata(&self) -> FfiLedgerMetadata {
        self.metadata.clone()
    }

    fn read(&self, context: FfiCallContext, request: FfiReadRequest) -> FfiCall<RVec<FfiEntry>> {
        let FfiReadRequest { first, last, max_bytes, .. } = request;
        let handle = self.handle.clone();
        // Whoever panics over the question is not trusted with the answer.
        let inline = context.may_answer_inline()
            && guard::catch("read", || Ok(handle.answers_inline(first, last, max_bytes))).unwrap_or(false);
        let read = async move { handle.read(first, last, max_bytes).await.map(to_batch) };
        match inline {
            true => self.runtime.call_inline("read", context, read),
            false => self.runtime.call("read", context, read),
        }
    }
}

impl<R: ReadHandle> Drop for ReadHandleAdapter<R> {
    fn drop(&mut self) {
        let handle = self.handle.clone();
        // A panic of `close` ends in its task.
        drop(self.runtime.handle().spawn(async move {
            let _ = timeout(CLOSE_DEADLINE, handle.close()).await;
        }));
    }
}
