//! Sizes, alignments and offsets of everything that crosses, pinned at compile time for 64-bit targets. A line that has to
//! change here is a change of the ABI; so is a line of `abi.txt`, which has the types of the fields and the methods of the
//! interfaces as well (`golden` makes it).

use std::mem::{align_of, offset_of, size_of};

use super::*;

#[cfg(test)]
mod golden;

macro_rules! layout {
    ($($type:ident: $size:literal, $align:literal { $($field:ident @ $offset:literal),* $(,)? })*) => {
        $(const _: () = {
            assert!(size_of::<$type>() == $size, concat!("size of ", stringify!($type)));
            assert!(align_of::<$type>() == $align, concat!("alignment of ", stringify!($type)));
            $(assert!(
                offset_of!($type, $field) == $offset,
                concat!("offset of ", stringify!($type), ".", stringify!($field))
            );)*
        };)*

        /// Each type with its fields, a paragraph each.
        #[cfg(test)]
        fn describe_types() -> Vec<String> {
            vec![$(golden::paragraph(
                &format!("{}: {} bytes, aligned to {}", stringify!($type), $size, $align),
                &[$((stringify!($field), $offset, golden::type_of(|of: &$type| &of.$field))),*],
            )),*]
        }
    };
}

#[cfg(target_pointer_width = "64")]
layout! {
    FfiBytes: 56, 8 { ptr @ 0, len @ 8, owner @ 16, drop_owner @ 48 }
    FfiCallContext: 64, 8 {
        trace_id @ 0, span_id @ 16, host_span @ 24, timeout_ms @ 32, trace_flags @ 40, flags @ 44, reserved @ 48
    }
    FfiError: 112, 8 { code @ 0, retry @ 4, retry_after_ms @ 8, message @ 16, chain @ 48, extras @ 80 }
    FfiEntry: 64, 8 { entry_id @ 0, payload @ 8 }
    FfiReadRequest: 56, 8 { first @ 0, last @ 8, max_bytes @ 16, extras @ 24 }
    FfiLedgerMetadata: 104, 8 {
        ledger_id @ 0, entry_count @ 8, length_bytes @ 16, created_ms @ 24, closed @ 32, custom @ 40, extras @ 72
    }
    FfiDriverConfig: 128, 8 { driver @ 0, properties @ 32, search_folders @ 64, extras @ 96 }
    FfiConfigProblem: 136, 8 { key @ 0, value @ 32, problem @ 72, extras @ 104 }
    FfiOffloadRequest: 120, 8 { ledger_id @ 0, uid @ 8, managed_ledger @ 24, extra @ 56, extras @ 88 }
    FfiStoredLedger: 120, 8 { ledger_id @ 0, uid @ 8, managed_ledger @ 24, driver_metadata @ 56, extras @ 88 }
    FfiScanRequest: 80, 8 { after @ 0, limit @ 40, extras @ 48 }
    FfiScannedLedger: 104, 8 { ledger_id @ 0, uid @ 8, managed_ledger @ 24, size_bytes @ 64, extras @ 72 }
    FfiScanPage: 104, 8 { ledgers @ 0, next @ 32, extras @ 72 }
    FfiStartOptions: 80, 8 { runtime_workers @ 0, reserved @ 4, host_marker @ 8, thread_name @ 16, extras @ 48 }
    FfiLibraryStats: 64, 8 {
        runtime_threads @ 0, tasks @ 8, offloaders @ 16, read_handles @ 24, calls @ 32, reserved @ 40
    }
    FfiField: 32, 8 { name @ 0, value @ 16 }
    FfiLogSpan: 32, 8 { name @ 0, fields @ 16 }
    FfiLogEvent: 168, 8 {
        level @ 0, line @ 4, file @ 8, target @ 24, message @ 40, fields @ 56, spans @ 72, context @ 88, extras @ 152
    }
    FfiMetric: 88, 8 { kind @ 0, reserved @ 4, name @ 8, help @ 24, labels @ 40, buckets @ 56, extras @ 72 }
    OffloaderModule: 48, 8 { describe @ 0, start @ 8, validate @ 16, create @ 24, stats @ 32, stop @ 40 }
}
