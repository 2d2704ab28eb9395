//! See `longshore_foreign_bytes::isolation_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longshore_foreign_bytes::isolation_frame::check(input));
