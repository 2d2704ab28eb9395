//! A plugin's table called directly, host and plugin in one process: the boundary without a library.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RResult, RStr, RVec};
use async_ffi::FutureExt;
use bytes::Bytes;

use super::*;
use crate::abi::requests::to_batch;
use crate::abi::{
    FfiDriverConfig, FfiEntry, FfiHostServices, FfiLedgerMetadata, FfiLedgerReader, FfiLogEvent, FfiMetric,
    FfiReadRequest, LedgerReaderBox, OffloaderModuleRef, Pairs,
};
use crate::config::{ConfigProblem, DriverConfig};
use crate::export::{ExportedPlugin, root_module};
use crate::ledger::{Entry, LedgerMetadata};
use crate::offloader::{OffloadRequest, Offloader, OffloaderFactory, StoredLedger};
use crate::read_handle::{LedgerReader, ReadHandle, check_range};

type Ledger = Arc<(LedgerMetadata, Vec<Entry>)>;

/// Keeps one ledger; the driver `panicky` panics in `health`.
struct OneLedger {
    driver: String,
    kept: Mutex<Option<Ledger>>,
}

struct Kept(Ledger);

struct Factory;

impl OffloaderFactory for Factory {
    type Offloader = OneLedger;

    fn validate(config: &DriverConfig) -> Vec<ConfigProblem> {
        config
            .get("bad")
            .map(|value| ConfigProblem::new("bad", "is not allowed").with_value(value))
            .into_iter()
            .collect()
    }

    async fn create(config: DriverConfig) -> Result<OneLedger> {
        Ok(OneLedger { driver: config.driver, kept: Default::default() })
    }
}

impl Offloader for OneLedger {
    type ReadHandle = Kept;

    async fn offload(&self, ledger: LedgerReader, _request: OffloadRequest) -> Result<()> {
        let last = ledger.metadata().entry_count - 1;
        let entries = ledger.read(0, last, u64::MAX).await?;
        ledger.progress(entries.len() as u64);
        *self.kept.lock().unwrap() = Some(Arc::new((ledger.metadata().clone(), entries)));
        Ok(())
    }

    async fn open_read(&self, _stored: StoredLedger) -> Result<Kept> {
        let kept = self.kept.lock().unwrap().clone();
        kept.map(Kept).ok_or_else(|| Error::new(ErrorCode::NotFound, "nothing is kept"))
    }

    async fn delete(&self, _stored: StoredLedger) -> Result<()> {
        self.kept.lock().unwrap().take();
        Ok(())
    }

    async fn health(&self) -> Result<()> {
        assert!(self.driver != "panicky", "the {} driver panics", self.driver);
        Ok(())
    }
}

impl ReadHandle for Kept {
    fn metadata(&self) -> &LedgerMetadata {
        &self.0.0
    }

    async fn read(&self, first: u64, last: u64, _max_bytes: u64) -> Result<Vec<Entry>> {
        check_range(&self.0.0, first, last)?;
        Ok(self.0.1[first as usize..=last as usize].to_vec())
    }
}

struct Exported;

impl ExportedPlugin for Exported {
    type Factory = Factory;
    const NOTE_JSON: &'static [u8] = b"{}";
}

struct Silent;

impl FfiHostServices for Silent {
    fn log_enabled(&self, _level: u32, _target: RStr<'_>) -> bool {
        false
    }

    fn log_generation(&self) -> u64 {
        0
    }

    fn log_event(&self, _event: FfiLogEvent<'_>) {}

    fn metric(&self, _metric: FfiMetric<'_>) -> u64 {
        0
    }

    fn metric_record(&self, _series: u64, _value: f64) {}
}

/// The host's ledger, answered at once.
struct Lent {
    metadata: LedgerMetadata,
    payloads: Vec<Bytes>,
    progress: Arc<AtomicU64>,
}

impl FfiLedgerReader for Lent {
    fn metadata(&self) -> FfiLedgerMetadata {
        FfiLedgerMetadata::from(&self.metadata)
    }

    fn read(&self, _context: FfiCallContext, request: FfiReadRequest) -> FfiCall<RVec<FfiEntry>> {
        let FfiReadRequest { first, last, .. } = request;
        let entries = (first..=last).map(|id| Entry { entry_id: id, payload: self.payloads[id as usize].clone() });
        std::future::ready(ROk(to_batch(entries.collect()))).into_ffi()
    }

    fn progress(&self, bytes: u64) {
        self.progress.fetch_add(bytes, Ordering::Relaxed);
    }
}

fn started_module() -> OffloaderModuleRef {
    let module = root_module::<Exported>();
    let options = FfiStartOptions {
        runtime_workers: 1,
        reserved: 0,
        host_marker: library_marker(),
        thread_name: "plugin".into(),
        extras: Pairs::new(),
    };
    let host = HostServicesBox::from_value(Silent, TD_Opaque);
    module.start()(host, options).into_result().unwrap();
    module
}

fn config(driver: &str, properties: &[(&str, &str)]) -> FfiDriverConfig {
    let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    DriverConfig { driver: driver.to_owned(), properties, search_folders: Vec::new() }.into()
}

fn no_context() -> FfiCallContext {
    FfiCallContext::default()
}

fn wait<T>(call: FfiCall<T>) -> Result<T> {
    // A runtime of the host's own: the future must not need the plugin's.
    let answer: RResult<T, FfiError> = Builder::new_current_thread().build().unwrap().block_on(call);
    answer.into_result().map_err(Error::from)
}

fn stored() -> StoredLedger {
    StoredLedger {
        ledger_id: 9,
        uid: uuid::Uuid::from_u128(1),
        managed_ledger: "a/b/persistent/c".to_owned(),
        driver_metadata: Default::default(),
    }
}

#[test]
fn a_ledger_goes_out_and_comes_back_in_place() {
    let module = started_module();
    let offloader = wait(module.create()(no_context(), config("kept", &[]))).unwrap();
    let payloads = vec![Bytes::from(vec![1; 1000]), Bytes::new(), Bytes::from(vec![3; 10])];
    let metadata = LedgerMetadata {
        ledger_id: 9,
        entry_count: 3,
        length_bytes: 1010,
        created_ms: 5,
        closed: true,
        custom: vec![("application".to_owned(), b"pulsar".to_vec())],
    };
    let progress = Arc::new(AtomicU64::new(0));
    let lent = Lent { metadata: metadata.clone(), payloads: payloads.clone(), progress: Arc::clone(&progress) };
    let request = OffloadRequest {
        ledger_id: 9,
        uid: uuid::Uuid::from_u128(1),
        managed_ledger: "a/b/persistent/c".to_owned(),
        extra: Default::default(),
    };
    wait(offloader.offload(no_context(), LedgerReaderBox::from_value(lent, TD_Opaque), request.into())).unwrap();
    assert_eq!(progress.load(Ordering::Relaxed), 3);

    let handle = wait(offloader.open_read(no_context(), stored().into())).unwrap();
    drop(offloader);
    assert_eq!(LedgerMetadata::from(handle.metadata()), metadata);
    let back =
        crate::abi::requests::from_batch(wait(handle.read(no_context(), FfiReadRequest::new(0, 2, u64::MAX))).unwrap())
            .unwrap();
    assert!(back.iter().map(|entry| &entry.payload).eq(&payloads));
    assert_eq!(back[0].payload.as_ptr(), payloads[0].as_ptr());
    assert_eq!(
        wait(handle.read(no_context(), FfiReadRequest::new(0, 3, 1))).err().unwrap().code(),
        ErrorCode::OutOfRange
    );
    drop(handle);
    assert_eq!(back[2].payload, payloads[2], "entries outlive the handle that read them");
}

#[test]
fn problems_errors_and_panics_cross() {
    let module = started_module();
    let problems = wait(module.validate()(no_context(), config("kept", &[("bad", "7")]))).unwrap();
    let problem = ConfigProblem::from(problems.into_iter().next().unwrap());
    assert_eq!(problem.to_string(), "bad=7: is not allowed");
    let panicky = wait(module.create()(no_context(), config("panicky", &[]))).unwrap();
    let error = wait(panicky.health(no_context())).unwrap_err();
    assert_eq!((error.code(), error.message()), (ErrorCode::Panicked, "health panicked: the panicky driver panics"));
    assert_eq!(wait(panicky.open_read(no_context(), stored().into())).err().unwrap().code(), ErrorCode::NotFound);
    let scan = crate::offloader::ScanRequest { after: None, limit: 1 };
    assert_eq!(wait(panicky.scan(no_context(), scan.into())).unwrap_err().code(), ErrorCode::Unsupported);
    wait(panicky.delete(no_context(), stored().into())).unwrap();
    assert_eq!(wait(panicky.shutdown(no_context(), 1000)).unwrap(), 0);
}

#[test]
fn dropping_a_call_aborts_its_task() {
    struct Witness(std::sync::mpsc::Sender<()>);
    impl Drop for Witness {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    started_module();
    let (sender, receiver) = std::sync::mpsc::channel();
    let witness = Witness(sender);
    let call: FfiCall<()> = started().unwrap().call("wait", no_context(), async move {
        let _witness = witness;
        std::future::pending().await
    });
    drop(call);
    receiver.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
}
