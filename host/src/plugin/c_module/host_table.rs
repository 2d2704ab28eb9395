//! What a library may call at any time: the host's log, and extensions by name.

use std::ffi::c_void;
use std::ptr;

use abi_stable::std_types::{RString, RVec, Tuple2};
use longshore_plugin_api::abi::{FfiLogEvent, HostServicesBox, Pairs};
use longshore_plugin_api::c_abi::{Host, LogEvent, Pair, Str};
use longshore_plugin_api::version::ABI_VERSION;

use super::values::{contained, shown};

/// The longest target of an event, in bytes; the rest is cut off.
const TARGET_BYTES_MAX: usize = 128;

/// The longest message, name or value of an event, in bytes; the rest is cut off.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The most fields of one event; further ones are left out.
const FIELDS_MAX: usize = 64;

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
        services.log_event(FfiLogEvent {
            level: event.level,
            target: target.into(),
            message: message.into(),
            // SAFETY: the header says that `field_count` fields are there.
            fields: unsafe { fields(event.fields, event.field_count) },
            spans: RVec::new(),
            extras: Pairs::new(),
        });
    });
}

/// # Safety
/// `fields` is null or leads to `count` pairs.
unsafe fn fields(fields: *const Pair, count: usize) -> Pairs {
    if fields.is_null() || !fields.is_aligned() {
        return Pairs::new();
    }
    let field = |at| {
        // SAFETY: the caller says that `count` pairs are there.
        let Pair { name, value } = unsafe { fields.add(at).read() };
        // SAFETY: the header says that texts lead to their bytes.
        let (name, value) = unsafe { (shown(name, TEXT_BYTES_MAX), shown(value, TEXT_BYTES_MAX)) };
        Tuple2(RString::from(name), RString::from(value))
    };
    (0..count.min(FIELDS_MAX)).map(field).collect()
}

/// Version 1.0 defines no extension.
unsafe extern "C" fn get_extension(_host: *const Host, _id: Str) -> *const c_void {
    ptr::null()
}
