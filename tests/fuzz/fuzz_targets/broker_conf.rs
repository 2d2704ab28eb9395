//! Any text as a broker.conf.
#![no_main]

use libfuzzer_sys::fuzz_target;
use longshore::config::{Config, Source};

fuzz_target!(|text: &str| {
    match Config::from_sources(&[Source::text("fuzz.conf", text)]) {
        Ok((_, warnings)) => warnings.iter().for_each(|warning| drop(warning.to_string())),
        Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
    }
});
