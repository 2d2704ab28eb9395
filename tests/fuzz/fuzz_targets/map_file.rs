//! See `longshore_foreign_bytes::map_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longshore_foreign_bytes::map_file::check(input));
