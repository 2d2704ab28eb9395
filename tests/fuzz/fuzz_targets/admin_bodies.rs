//! See `longshore_foreign_bytes::admin_bodies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longshore_foreign_bytes::admin_bodies::check(input));
