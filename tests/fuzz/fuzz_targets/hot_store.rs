//! See `longshore_foreign_bytes::hot_store`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longshore_foreign_bytes::hot_store::check(input));
