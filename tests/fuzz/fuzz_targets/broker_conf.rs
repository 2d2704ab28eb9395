//! See `longshore_foreign_bytes::broker_conf`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longshore_foreign_bytes::broker_conf::check(input));
