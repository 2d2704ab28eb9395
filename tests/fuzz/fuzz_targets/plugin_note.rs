//! See `longshore_foreign_bytes::plugin_note`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longshore_foreign_bytes::plugin_note::check(input));
