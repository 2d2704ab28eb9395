//! Sizes, alignments and offsets of everything that crosses, pinned at compile time for 64-bit targets. A line that has to
//! change here is a change of the ABI.

use std::mem::{align_of, offset_of, size_of};

use super::*;

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
    };
}

#[cfg(target_pointer_width = "64")]
layout! {
    FfiBytes: 32, 8 { ptr @ 0, len @ 8, owner @ 16, drop_owner @ 24 }
    FfiError: 104, 8 { code @ 0, retry @ 4, message @ 8, chain @ 40, extras @ 72 }
    FfiEntry: 40, 8 { entry_id @ 0, payload @ 8 }
    FfiLedgerMetadata: 104, 8 {
        ledger_id @ 0, entry_count @ 8, length_bytes @ 16, created_ms @ 24, closed @ 32, custom @ 40, extras @ 72
    }
    FfiDriverConfig: 128, 8 { driver @ 0, properties @ 32, search_folders @ 64, extras @ 96 }
    FfiConfigProblem: 104, 8 { key @ 0, value @ 32, problem @ 72 }
    FfiOffloadRequest: 120, 8 { ledger_id @ 0, uid @ 8, managed_ledger @ 24, extra @ 56, extras @ 88 }
    FfiStoredLedger: 120, 8 { ledger_id @ 0, uid @ 8, managed_ledger @ 24, driver_metadata @ 56, extras @ 88 }
    FfiScanRequest: 80, 8 { after @ 0, limit @ 40, extras @ 48 }
    FfiScannedLedger: 72, 8 { ledger_id @ 0, uid @ 8, managed_ledger @ 24, size_bytes @ 64 }
    FfiScanPage: 104, 8 { ledgers @ 0, next @ 32, extras @ 72 }
    FfiStartOptions: 48, 8 { runtime_workers @ 0, host_marker @ 8, extras @ 16 }
    FfiLogEvent: 168, 8 { level @ 0, target @ 8, message @ 40, fields @ 72, spans @ 104, extras @ 136 }
    FfiLogSpan: 64, 8 { name @ 0, fields @ 32 }
    OffloaderModule: 32, 8 { describe @ 0, start @ 8, validate @ 16, create @ 24 }
}
