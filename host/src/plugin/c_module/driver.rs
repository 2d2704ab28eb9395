//! A driver of a library whose entry is C: the safe traits of the contract over its functions.

use std::collections::BTreeMap;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use longshore_plugin_api::c_abi::{self, Page, Pairs, Problems, ScannedLedger, Str};
use longshore_plugin_api::offloader::{self, OffloadRequest, Offloader, ScanPage, ScanRequest, StoredLedger};
use longshore_plugin_api::read_handle::LedgerReader;
use longshore_plugin_api::{ConfigProblem, DriverConfig, Error, ErrorCode, Result};
use uuid::Uuid;

use super::copy::{CCopy, OpenCopy};
use super::lent_ledger;
use super::threads::Running;
use super::values::{ask, contained, lend_pairs, misbehaved, shown, text};
use super::{Started, This};

/// The most problems of one configuration; further ones are left out.
const PROBLEMS_MAX: usize = 256;

/// The longest text of a problem, its key or its value, in bytes; the rest is cut off.
const PROBLEM_BYTES_MAX: usize = 1024;

/// The most names and values that a driver may have recorded with each ledger, and the longest of them in bytes. The host has a
/// limit on their sum.
const METADATA_PAIRS_MAX: usize = 1024;
const METADATA_TEXT_BYTES_MAX: usize = 64 * 1024;

/// The longest place in a listing, and the longest managed ledger's name in it, in bytes.
const SCAN_TEXT_BYTES_MAX: usize = 64 * 1024;

/// A driver's instance.
pub(super) struct CDriver {
    instance: Arc<Instance>,
    driver_metadata: BTreeMap<String, String>,
}

/// What the library made; given back when nobody needs it any more, on a thread that may block.
pub(super) struct Instance {
    pub(super) library: Started,
    this: This,
}

impl Drop for Instance {
    fn drop(&mut self) {
        let (destroy, this) = (self.library.functions.destroy, self.this);
        self.library.threads.give_back(move || {
            // SAFETY: `create` made it, and this is the only call for it: whoever calls with it holds a share of the instance.
            unsafe { destroy(this.get()) }
        });
    }
}

/// Checks a configuration.
///
/// # Errors
/// Where no answer came; problems are no error.
pub(super) async fn validate(library: Started, config: DriverConfig) -> Result<Vec<ConfigProblem>> {
    let check = move |running: &Running| {
        let found = Mutex::new(Vec::new());
        let problems = Problems {
            struct_size: size_of::<Problems>(),
            this: (&raw const found).cast_mut().cast(),
            report: report_problem,
        };
        let call = running.lend();
        lend_config(&config, |config| {
            // SAFETY: `validate` came from a checked table; everything lent lives until it returns.
            unsafe { (library.functions.validate)(&raw const call, config, &raw const problems) }
        });
        Ok(found.into_inner().unwrap_or_else(PoisonError::into_inner))
    };
    library.threads.run("validate", check).await
}

/// `report` of `offloader_problems_t`.
unsafe extern "C" fn report_problem(problems: *const Problems, key: Str, value: Str, problem: Str) {
    contained((), || {
        // SAFETY: the header says that this is what `validate` got, and its call is running; null becomes `None`.
        let Some(problems) = (unsafe { problems.as_ref() }) else { return };
        // SAFETY: `validate` above put it there.
        let Some(found) = (unsafe { problems.this.cast::<Mutex<Vec<ConfigProblem>>>().as_ref() }) else { return };
        // SAFETY: the header says that texts lead to their bytes.
        let [key_text, value_text, problem] =
            [key, value, problem].map(|text| unsafe { shown(text, PROBLEM_BYTES_MAX) });
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() < PROBLEMS_MAX {
            let value = (!value.ptr.is_null()).then_some(value_text);
            found.push(ConfigProblem { key: key_text, value, problem });
        }
    });
}

/// The configuration as C reads it.
fn lend_config<T>(config: &DriverConfig, body: impl FnOnce(*const c_abi::Config) -> T) -> T {
    let properties = lend_pairs(&config.properties);
    let folders: Vec<Str> = config.search_folders.iter().filter_map(|folder| folder.to_str()).map(Str::lend).collect();
    let config = c_abi::Config {
        struct_size: size_of::<c_abi::Config>(),
        driver: Str::lend(&config.driver),
        properties: properties.as_ptr(),
        property_count: properties.len(),
        search_folders: folders.as_ptr(),
        search_folder_count: folders.len(),
    };
    body(&raw const config)
}

/// Makes an instance.
///
/// # Errors
/// What the library says; `Misbehaved` for metadata that cannot be recorded.
pub(super) async fn create(library: Started, config: DriverConfig) -> Result<CDriver> {
    let make = move |running: &Running| {
        let (mut this, call) = (ptr::null_mut(), running.lend());
        lend_config(&config, |config| {
            // SAFETY: `create` came from a checked table; everything lent lives until it returns.
            ask(|error| unsafe { (library.functions.create)(&raw const call, config, &raw mut this, error) })
        })?;
        let instance = Arc::new(Instance { library, this: This(this) });
        let driver_metadata = instance.driver_metadata()?;
        Ok(CDriver { instance, driver_metadata })
    };
    library.threads.run("create", make).await
}

/// Names and values under construction, or why they cannot be taken.
type Metadata = Result<BTreeMap<String, String>>;

impl Instance {
    fn driver_metadata(&self) -> Metadata {
        let Some(function) = self.library.functions.driver_metadata else { return Ok(BTreeMap::new()) };
        let found: Mutex<Metadata> = Mutex::new(Ok(BTreeMap::new()));
        let pairs =
            Pairs { struct_size: size_of::<Pairs>(), this: (&raw const found).cast_mut().cast(), put: put_pair };
        // SAFETY: it came from a checked table, `self` from `create`; what is lent lives until it returns.
        unsafe { function(self.this.get(), &raw const pairs) };
        found.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `put` of `offloader_pairs_t`.
unsafe extern "C" fn put_pair(pairs: *const Pairs, name: Str, value: Str) {
    contained((), || {
        // SAFETY: the header says that this is what `driver_metadata` got, and its call is running; null becomes `None`.
        let Some(pairs) = (unsafe { pairs.as_ref() }) else { return };
        // SAFETY: `driver_metadata` above put it there.
        let Some(found) = (unsafe { pairs.this.cast::<Mutex<Metadata>>().as_ref() }) else { return };
        // SAFETY: the header says that texts lead to their bytes.
        let pair = unsafe {
            text(name, METADATA_TEXT_BYTES_MAX, "a name in driver_metadata")
                .and_then(|name| Ok((name, text(value, METADATA_TEXT_BYTES_MAX, "a value in driver_metadata")?)))
        };
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(map) = &mut *found else { return };
        match pair {
            Ok((Some(name), value)) if map.len() < METADATA_PAIRS_MAX => {
                drop(map.insert(name, value.unwrap_or_default()))
            }
            Ok((Some(_), _)) => {
                *found = Err(misbehaved(format!("driver_metadata has more than {METADATA_PAIRS_MAX} names")))
            }
            Ok((None, _)) => *found = Err(misbehaved("driver_metadata has a name that is null")),
            Err(error) => *found = Err(error),
        }
    });
}

impl CDriver {
    /// Runs `body` on a thread of the library, holding the instance until it returns.
    async fn run<T: Send + 'static>(
        &self,
        call: &'static str,
        body: impl FnOnce(&Arc<Instance>, &Running) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let instance = Arc::clone(&self.instance);
        self.instance.library.threads.run(call, move |running| body(&instance, running)).await
    }
}

impl Offloader for CDriver {
    type ReadHandle = CCopy;

    fn driver_metadata(&self) -> BTreeMap<String, String> {
        self.driver_metadata.clone()
    }

    async fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> Result<()> {
        self.run("offload", move |instance, running| {
            let extra = lend_pairs(&request.extra);
            let request = c_abi::OffloadRequest {
                struct_size: size_of::<c_abi::OffloadRequest>(),
                ledger_id: request.ledger_id,
                uid: request.uid.into_bytes(),
                managed_ledger: Str::lend(&request.managed_ledger),
                extra: extra.as_ptr(),
                extra_count: extra.len(),
            };
            let (offload, this, call) = (instance.library.functions.offload, instance.this.get(), running.lend());
            lent_ledger::lend(&ledger, running, |ledger| {
                // SAFETY: it came from a checked table, `self` from `create`; everything lent lives until it returns.
                ask(|error| unsafe { offload(this, &raw const call, ledger, &raw const request, error) })
            })
        })
        .await
    }

    async fn open_read(&self, stored: StoredLedger) -> Result<CCopy> {
        self.run("open_read", move |instance, running| {
            let (mut handle, mut stored_form) = (ptr::null_mut(), c_abi::Bytes { ptr: ptr::null(), len: 0 });
            let (open_read, this, call) = (instance.library.functions.open_read, instance.this.get(), running.lend());
            lend_stored(&stored, |stored| {
                ask(|error| {
                    let (handle, stored_form) = (&raw mut handle, &raw mut stored_form);
                    // SAFETY: it came from a checked table, `self` from `create`; everything lent lives until it returns.
                    unsafe { open_read(this, &raw const call, stored, handle, stored_form, error) }
                })
            })?;
            let copy = OpenCopy::new(Arc::clone(instance), This(handle));
            // SAFETY: the header says that these bytes are there until `close`, which `copy` calls when it is dropped.
            unsafe { CCopy::new(copy, stored.ledger_id, stored_form) }
        })
        .await
    }

    async fn delete(&self, stored: StoredLedger) -> Result<()> {
        self.run("delete_ledger", move |instance, running| {
            let (delete, this, call) = (instance.library.functions.delete_ledger, instance.this.get(), running.lend());
            lend_stored(&stored, |stored| {
                // SAFETY: it came from a checked table, `self` from `create`; everything lent lives until it returns.
                ask(|error| unsafe { delete(this, &raw const call, stored, error) })
            })
        })
        .await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        let Some(scan) = self.instance.library.functions.scan else {
            return Err(Error::new(ErrorCode::Unsupported, "this driver cannot list its ledgers"));
        };
        self.run("scan", move |instance, running| {
            let after = request.after.as_deref().map_or(Str::NULL, Str::lend);
            let listing = Mutex::new(Listing { limit: request.limit as usize, page: Ok(ScanPage::default()) });
            let page = Page {
                struct_size: size_of::<Page>(),
                this: (&raw const listing).cast_mut().cast(),
                put: put_ledger,
                next: set_next,
            };
            let (this, call) = (instance.this.get(), running.lend());
            // SAFETY: it came from a checked table, `self` from `create`; everything lent lives until it returns.
            ask(|error| unsafe { scan(this, &raw const call, after, request.limit, &raw const page, error) })?;
            listing.into_inner().unwrap_or_else(PoisonError::into_inner).page
        })
        .await
    }

    async fn health(&self) -> Result<()> {
        let Some(health) = self.instance.library.functions.health else { return Ok(()) };
        self.run("health", move |instance, running| {
            let (this, call) = (instance.this.get(), running.lend());
            // SAFETY: it came from a checked table, `self` from `create`; everything lent lives until it returns.
            ask(|error| unsafe { health(this, &raw const call, error) })
        })
        .await
    }

    async fn shutdown(&self, deadline: Duration) {
        let Some(shutdown) = self.instance.library.functions.shutdown else { return };
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let ended = self.run("shutdown", move |instance, running| {
            let (this, call) = (instance.this.get(), running.lend());
            // SAFETY: it came from a checked table, `self` from `create`; everything lent lives until it returns.
            unsafe { shutdown(this, &raw const call, deadline_ms) };
            Ok(())
        });
        // There is nobody to tell an error: the process ends.
        let _ = ended.await;
    }
}

/// A stored ledger as C reads it.
fn lend_stored<T>(stored: &StoredLedger, body: impl FnOnce(*const c_abi::StoredLedger) -> T) -> T {
    let driver_metadata = lend_pairs(&stored.driver_metadata);
    let stored = c_abi::StoredLedger {
        struct_size: size_of::<c_abi::StoredLedger>(),
        ledger_id: stored.ledger_id,
        uid: stored.uid.into_bytes(),
        managed_ledger: Str::lend(&stored.managed_ledger),
        driver_metadata: driver_metadata.as_ptr(),
        driver_metadata_count: driver_metadata.len(),
    };
    body(&raw const stored)
}

/// A page of a listing under construction, or why it cannot be taken.
struct Listing {
    limit: usize,
    page: Result<ScanPage>,
}

impl Listing {
    /// Changes the page unless something was wrong before; an error from now on is the answer.
    fn change(&mut self, change: impl FnOnce(&mut ScanPage, usize) -> Result<()>) {
        let Ok(page) = &mut self.page else { return };
        if let Err(error) = change(page, self.limit) {
            self.page = Err(error);
        }
    }
}

/// The listing behind a page.
///
/// # Safety
/// `page` is null, or what `scan` got and its call is running.
unsafe fn listing<'a>(page: *const Page) -> Option<&'a Mutex<Listing>> {
    // SAFETY: the caller's promise; null becomes `None`.
    let page = unsafe { page.as_ref()? };
    // SAFETY: `scan` put it there.
    unsafe { page.this.cast::<Mutex<Listing>>().as_ref() }
}

/// `put` of `offloader_page_t`.
unsafe extern "C" fn put_ledger(page: *const Page, ledger: *const ScannedLedger) {
    contained((), || {
        // SAFETY: the header says that this is the page of the call that runs, and that `ledger` is such a structure.
        let (Some(listing), Some(ledger)) = (unsafe { (listing(page), ledger.as_ref()) }) else { return };
        listing.lock().unwrap_or_else(PoisonError::into_inner).change(|page, limit| {
            if page.ledgers.len() >= limit {
                return Err(misbehaved(format!(
                    "scan answered with more than the {limit} ledgers that were asked for"
                )));
            }
            if ledger.struct_size < size_of::<ScannedLedger>() {
                let size = ledger.struct_size;
                let text = format!("scan answered with an offloader_scanned_ledger_t of {size} bytes; set struct_size");
                return Err(misbehaved(text));
            }
            // SAFETY: the header says that texts lead to their bytes.
            let managed_ledger =
                unsafe { text(ledger.managed_ledger, SCAN_TEXT_BYTES_MAX, "a managed ledger in scan")? };
            page.ledgers.push(offloader::ScannedLedger {
                ledger_id: ledger.ledger_id,
                uid: Uuid::from_bytes(ledger.uid),
                managed_ledger,
                size_bytes: ledger.size_bytes,
            });
            Ok(())
        });
    });
}

/// `next` of `offloader_page_t`.
unsafe extern "C" fn set_next(page: *const Page, after: Str) {
    contained((), || {
        // SAFETY: as above.
        let Some(listing) = (unsafe { listing(page) }) else { return };
        // SAFETY: the header says that texts lead to their bytes.
        let after = unsafe { text(after, SCAN_TEXT_BYTES_MAX, "the next place in scan") };
        listing.lock().unwrap_or_else(PoisonError::into_inner).change(|page, _| {
            page.next = after?;
            Ok(())
        });
    });
}
