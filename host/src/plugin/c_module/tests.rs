//! A library's tables in Rust, called through the root functions: what a host's own traits do not reach, such as listings.

use std::ffi::c_void;
use std::ptr;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RErr, ROk, RStr};
use longshore_plugin_api::abi::{FfiHostServices, FfiLogEvent, FfiMetric, FfiScanRequest, Pairs};
use longshore_plugin_api::c_abi::{self, Call, Config, ErrorBuffer, Host, LogEvent, Metric, Page, Pair, Problems, Str};
use longshore_plugin_api::offloader::{ScanPage, ScanRequest};

use super::*;

struct Silent;

impl FfiHostServices for Silent {
    fn log_enabled(&self, level: u32, target: RStr<'_>) -> bool {
        level == 2 && target.as_str() == "tape"
    }

    fn log_generation(&self) -> u64 {
        0
    }

    fn log_event(&self, _event: FfiLogEvent<'_>) {}

    fn metric(&self, metric: FfiMetric<'_>) -> u64 {
        assert_eq!((metric.kind, metric.name.as_str(), metric.help.as_str()), (3, "part_bytes", "Sizes of parts."));
        assert_eq!((metric.labels[0].value.as_str(), metric.buckets.as_slice()), ("7", &[1.0, 2.0][..]));
        9
    }

    fn metric_record(&self, series: u64, value: f64) {
        assert_eq!((series, value), (9, 1.5));
    }
}

/// How a library is started here.
fn options() -> FfiStartOptions {
    FfiStartOptions {
        runtime_workers: 1,
        reserved: 0,
        host_marker: 0,
        thread_name: "tape".into(),
        extras: Pairs::new(),
    }
}

/// Threads of no library, for tests of other rooms.
pub(super) fn threads() -> Threads {
    Threads::new(Box::leak(Box::new(PluginRuntime::new(&options()).unwrap())))
}

unsafe extern "C" fn start(host: *const Host, _: *mut ErrorBuffer) -> u32 {
    // SAFETY: the host lends its table.
    let host = unsafe { &*host };
    // SAFETY: the table's own functions, with what they ask for and with nonsense.
    unsafe {
        let enabled = |level, target| (host.log_enabled)(host, level, target);
        assert_eq!((enabled(2, Str::lend("tape")), enabled(1, Str::lend("tape")), enabled(2, Str::NULL)), (1, 0, 0));
        assert_eq!((host.log_enabled)(ptr::null(), 2, Str::lend("tape")), 0);
        (host.log)(host, ptr::null());
        let short = LogEvent { struct_size: 8, ..std::mem::zeroed() };
        (host.log)(host, &raw const short);
        let labels = [Pair { name: Str::lend("disk"), value: Str::lend("7") }];
        let buckets = [1.0, 2.0];
        let metric = Metric {
            struct_size: size_of::<Metric>(),
            kind: 3,
            reserved: 0,
            name: Str::lend("part_bytes"),
            help: Str::lend("Sizes of parts."),
            labels: labels.as_ptr(),
            label_count: 1,
            buckets: buckets.as_ptr(),
            bucket_count: 2,
        };
        (host.metric_record)(host, (host.metric)(host, &raw const metric), 1.5);
        let short = Metric { struct_size: 8, ..metric };
        assert_eq!((host.metric)(host, &raw const short), 0);
        assert_eq!((host.metric)(host, ptr::null()), 0);
        assert!((host.get_extension)(host, Str::lend("longshore.none/1")).is_null());
    }
    assert_eq!(host.struct_size, size_of::<Host>());
    c_abi::OK
}

unsafe extern "C" fn validate(_: *const Call, _: *const Config, problems: *const Problems) {
    // SAFETY: the host lends the table.
    let report = unsafe { (*problems).report };
    for _ in 0..1000 {
        // SAFETY: the table's own function, with what it asks for.
        unsafe { report(problems, Str::lend("key"), Str::NULL, Str::lend("is wrong")) };
    }
    // SAFETY: null is allowed.
    unsafe { report(ptr::null(), Str::NULL, Str::NULL, Str::NULL) };
}

unsafe extern "C" fn create(call: *const Call, _: *const Config, _: *mut *mut c_void, _: *mut ErrorBuffer) -> u32 {
    // SAFETY: the host lends its call.
    let call = unsafe { &*call };
    assert_eq!((call.trace_id, call.span_id, call.trace_flags, call.timeout_ms), ([1; 16], [2; 8], 1, 500));
    c_abi::OK
}

unsafe extern "C" fn offload(
    _: *mut c_void,
    _: *const Call,
    _: *const c_abi::Ledger,
    _: *const c_abi::OffloadRequest,
    _: *mut ErrorBuffer,
) -> u32 {
    ErrorCode::Unsupported.0
}

unsafe extern "C" fn open_read(
    _: *mut c_void,
    _: *const Call,
    _: *const c_abi::StoredLedger,
    _: *mut *mut c_void,
    _: *mut c_abi::Bytes,
    _: *mut ErrorBuffer,
) -> u32 {
    c_abi::OK
}

unsafe extern "C" fn delete(_: *mut c_void, _: *const Call, _: *const c_abi::StoredLedger, _: *mut ErrorBuffer) -> u32 {
    c_abi::OK
}

unsafe extern "C" fn read(
    _: *mut c_void,
    _: *const Call,
    _: u64,
    _: u64,
    _: u64,
    _: *mut c_abi::Batch,
    _: *mut ErrorBuffer,
) -> u32 {
    c_abi::OK
}

unsafe extern "C" fn give_back(_: *mut c_void) {}

/// Ten copies, in pages; the place `too-many` answers one more than asked for, `short` a structure that is cut, `broken` a name that
/// is no text.
unsafe extern "C" fn scan(
    _: *mut c_void,
    _: *const Call,
    after: Str,
    limit: u32,
    page: *const Page,
    error: *mut ErrorBuffer,
) -> u32 {
    // SAFETY: the host lends the place.
    let after = unsafe { values::text(after, 100, "after") }.unwrap().unwrap_or_else(|| "0".to_owned());
    let (first, count) = match after.as_str() {
        "too-many" => (0, u64::from(limit) + 1),
        "short" | "broken" => (0, 1),
        number => match number.parse::<u64>() {
            Ok(first) => (first, u64::from(limit).min(10 - first)),
            // SAFETY: the host lends the buffer.
            Err(_) => return unsafe { values::tell(error, &Error::new(ErrorCode::InvalidArgument, "no place")) },
        },
    };
    for ledger_id in first..first + count {
        let ledger = c_abi::ScannedLedger {
            struct_size: if after == "short" { 16 } else { size_of::<c_abi::ScannedLedger>() },
            ledger_id,
            uid: [7; 16],
            managed_ledger: match after.as_str() {
                "broken" => Str { ptr: b"\xff".as_ptr().cast(), len: 1 },
                _ if ledger_id % 2 == 0 => Str::NULL,
                _ => Str::lend("public/default/persistent/t"),
            },
            size_bytes: 100,
        };
        // SAFETY: the page's own function, with what it asks for.
        unsafe { ((*page).put)(page, &raw const ledger) };
    }
    if first + count < 10 {
        let next = (first + count).to_string();
        // SAFETY: the page's own function, with what it asks for.
        unsafe { ((*page).next)(page, Str::lend(&next)) };
    }
    c_abi::OK
}

/// A module over these functions.
fn module() -> &'static CModule {
    let plugin = c_abi::Plugin {
        struct_size: size_of::<c_abi::Plugin>(),
        start: Some(start),
        validate: Some(validate),
        create: Some(create),
        get_extension: None,
    };
    let driver = c_abi::Driver {
        struct_size: size_of::<c_abi::Driver>(),
        offload: Some(offload),
        open_read: Some(open_read),
        delete_ledger: Some(delete),
        destroy: Some(give_back),
        driver_metadata: None,
        scan: Some(scan),
        health: None,
        shutdown: None,
    };
    let read_handle =
        c_abi::ReadHandle { struct_size: size_of::<c_abi::ReadHandle>(), read: Some(read), close: Some(give_back) };
    let root = Root {
        struct_size: size_of::<Root>(),
        api_major: 1,
        api_minor: 2,
        api_patch: 3,
        reserved: 0,
        note: Str::lend("{}"),
        plugin: &raw const plugin,
        driver: &raw const driver,
        read_handle: &raw const read_handle,
    };
    // SAFETY: the tables are whole; they are copied before this returns.
    let (module, api) = unsafe { CModule::open(&raw const root) }.unwrap();
    assert_eq!((api.as_str(), module.describe()), ("1.2.3", "{}"));
    module
}

fn services() -> HostServicesBox {
    HostServicesBox::from_value(Silent, TD_Opaque)
}

fn context() -> FfiCallContext {
    FfiCallContext { trace_id: [1; 16], span_id: [2; 8], trace_flags: 1, timeout_ms: 500, ..FfiCallContext::default() }
}

fn config() -> FfiDriverConfig {
    FfiDriverConfig::from(DriverConfig { driver: "tape".to_owned(), ..DriverConfig::default() })
}

#[tokio::test]
async fn a_module_that_was_not_started_answers_nothing_and_problems_are_bounded() {
    let module = module();
    assert!(
        matches!(module.create(context(), config()).await, RErr(error) if error.message.contains("before it was started"))
    );
    assert!(matches!(module.start(services(), &options()), ROk(())));
    assert!(matches!(module.start(services(), &options()), ROk(())), "again, as the first time");
    assert_eq!(module.validate(context(), config()).await.unwrap().len(), 256);
}

#[tokio::test]
async fn listings_come_in_pages_and_nonsense_in_them_is_named() {
    let module = module();
    module.start(services(), &options()).unwrap();
    let driver = module.create(context(), config()).await.unwrap();
    let scan = async |after: Option<&str>| {
        let request = ScanRequest { after: after.map(str::to_owned), limit: 4 };
        driver.scan(context(), FfiScanRequest::from(request)).await.map(ScanPage::from).into_result()
    };
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = scan(after.as_deref()).await.unwrap();
        assert!(page.ledgers.len() <= 4);
        assert!(page.ledgers.iter().all(|ledger| ledger.managed_ledger.is_some() == (ledger.ledger_id % 2 == 1)));
        ids.extend(page.ledgers.iter().map(|ledger| ledger.ledger_id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(ids, (0..10).collect::<Vec<_>>());
    for (place, words) in [
        ("too-many", "more than the 4 ledgers that were asked for"),
        ("short", "offloader_scanned_ledger_t of 16 bytes; set struct_size"),
        ("broken", "a managed ledger in scan: not UTF-8"),
    ] {
        let error = scan(Some(place)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::Misbehaved.0);
        assert!(error.message.contains(words), "{}", error.message);
    }
    assert_eq!(scan(Some("nowhere")).await.unwrap_err().message.as_str(), "no place");
    assert!(driver.health(context()).await.is_ok(), "a driver without the function is well");
    assert_eq!(driver.shutdown(context(), 1000).await.unwrap(), 0);
    assert_eq!(module.stats().offloaders, 1);
}
