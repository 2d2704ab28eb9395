//! What a library may call at any time: the host's log, its metrics, extensions by name.

use std::ffi::c_void;
use std::ptr;
use std::slice;

use abi_stable::std_types::{RSlice, RStr};
use longshore_plugin_api::abi::{FfiField, FfiLogEvent, FfiMetric, HostServicesBox};
use longshore_plugin_api::c_abi::{Host, LogEvent, Metric, Pair, Str};
use longshore_plugin_api::runtime::current_call;
use longshore_plugin_api::version::ABI_VERSION;

use super::values::{contained, shown};

/// The longest target of an event, in bytes; the rest is cut off.
const TARGET_BYTES_MAX: usize = 128;

/// The longest message, name or value of an event, in bytes; the rest is cut off.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The most fields of one event, and labels of one series; further ones are left out.
const FIELDS_MAX: usize = 64;

/// The most buckets of a histogram that are looked at; the host has a limit of its own.
const BUCKETS_MAX: usize = 256;

/// The table over these services, which stays until the process ends.
pub(super) fn leak(services: HostServicesBox) -> &'static Host {
    let services: &'static HostServicesBox = Box::leak(Box::new(services));
    let version: semver::Version = ABI_VERSION.parse().expect("our own version is semver");
    let number = |number: u64| u32::try_from(number).expect("our own version is small");
    Box::leak(Box::new(Host {
        struct_size: size_of::<Host>(),
        api_major: number(version.major),
        api_minor: number(version.minor),
        api_patch: number(version.patch),
        reserved: 0,
        this: ptr::from_ref(services).cast_mut().cast(),
        log_enabled,
        log,
        metric,
        metric_record,
        get_extension,
    }))
}

/// The services behind a table.
///
/// # Safety
/// `host` is null or a table that [`leak`] made.
unsafe fn services(host: *const Host) -> Option<&'static HostServicesBox> {
    // SAFETY: the caller's promise; null becomes `None`.
    let host = unsafe { host.as_ref()? };
    // SAFETY: `leak` put services there that are never freed.
    unsafe { host.this.cast::<HostServicesBox>().as_ref() }
}

unsafe extern "C" fn log_enabled(host: *const Host, level: u32, target: Str) -> u32 {
    contained(0, || {
        // SAFETY: the header says that `host` is the table that `start` got, and that `target` leads to its bytes.
        let (services, target) = unsafe { (services(host), shown(target, TARGET_BYTES_MAX)) };
        services.map_or(0, |services| u32::from(services.log_enabled(level, target.as_str().into())))
    })
}

unsafe extern "C" fn log(host: *const Host, event: *const LogEvent) {
    contained((), || {
        // SAFETY: as above; null becomes `None`.
        let (Some(services), Some(event)) = (unsafe { (services(host), event.as_ref()) }) else { return };
        if event.struct_size < size_of::<LogEvent>() {
            return;
        }
        // SAFETY: the header says that these lead to their bytes.
        let (target, message) =
            unsafe { (shown(event.target, TARGET_BYTES_MAX), shown(event.message, TEXT_BYTES_MAX)) };
        // SAFETY: the header says that `field_count` fields are there.
        let fields = unsafe { pairs(event.fields, event.field_count) };
        let fields = lend(&fields);
        services.log_event(FfiLogEvent {
            level: event.level,
            line: 0,
            file: RStr::empty(),
            target: target.as_str().into(),
            message: message.as_str().into(),
            fields: fields.as_slice().into(),
            spans: RSlice::EMPTY,
            context: current_call(),
            extras: RSlice::EMPTY,
        });
    });
}

unsafe extern "C" fn metric(host: *const Host, metric: *const Metric) -> u64 {
    contained(0, || {
        // SAFETY: as above; null becomes `None`.
        let (Some(services), Some(metric)) = (unsafe { (services(host), metric.as_ref()) }) else { return 0 };
        if metric.struct_size < size_of::<Metric>() {
            return 0;
        }
        // SAFETY: the header says that these lead to their bytes.
        let (name, help) = unsafe { (shown(metric.name, TARGET_BYTES_MAX), shown(metric.help, TEXT_BYTES_MAX)) };
        // SAFETY: the header says that `label_count` labels are there.
        let labels = unsafe { pairs(metric.labels, metric.label_count) };
        let labels = lend(&labels);
        let buckets: &[f64] = match metric.buckets.is_null() || !metric.buckets.is_aligned() {
            true => &[],
            // SAFETY: the header says that `bucket_count` numbers are there; fewer than there are may be read.
            false => unsafe { slice::from_raw_parts(metric.buckets, metric.bucket_count.min(BUCKETS_MAX)) },
        };
        services.metric(FfiMetric {
            kind: metric.kind,
            reserved: 0,
            name: name.as_str().into(),
            help: help.as_str().into(),
            labels: labels.as_slice().into(),
            buckets: buckets.into(),
            extras: RSlice::EMPTY,
        })
    })
}

unsafe extern "C" fn metric_record(host: *const Host, series: u64, value: f64) {
    contained((), || {
        // SAFETY: as above.
        if let Some(services) = unsafe { services(host) } {
            services.metric_record(series, value);
        }
    });
}

/// Names and values, as far as they are kept.
///
/// # Safety
/// `pairs` is null or leads to `count` pairs.
unsafe fn pairs(pairs: *const Pair, count: usize) -> Vec<(String, String)> {
    if pairs.is_null() || !pairs.is_aligned() {
        return Vec::new();
    }
    let pair = |at| {
        // SAFETY: the caller says that `count` pairs are there.
        let Pair { name, value } = unsafe { pairs.add(at).read() };
        // SAFETY: the header says that texts lead to their bytes.
        unsafe { (shown(name, TEXT_BYTES_MAX), shown(value, TEXT_BYTES_MAX)) }
    };
    (0..count.min(FIELDS_MAX)).map(pair).collect()
}

/// The same, lent.
fn lend(pairs: &[(String, String)]) -> Vec<FfiField<'_>> {
    pairs.iter().map(|(name, value)| FfiField { name: name.as_str().into(), value: value.as_str().into() }).collect()
}

/// Version 1.0 defines no extension.
unsafe extern "C" fn get_extension(_host: *const Host, _id: Str) -> *const c_void {
    ptr::null()
}
