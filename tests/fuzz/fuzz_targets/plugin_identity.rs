//! See `longshore_foreign_bytes::plugin_identity`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| longshore_foreign_bytes::plugin_identity::check(input));
