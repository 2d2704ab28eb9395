//! See `longshore_foreign_bytes::block_copy`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longshore_foreign_bytes::block_copy::check(input));
