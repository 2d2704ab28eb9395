//! See `longshore_foreign_bytes::metadata_records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longshore_foreign_bytes::metadata_records::check(input));
