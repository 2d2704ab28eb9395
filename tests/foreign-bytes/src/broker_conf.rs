//! Any text as a broker.conf.

use longshore::config::{Config, Source};

/// Panics where a promise is broken.
pub fn check(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    match Config::from_sources(&[Source::text("fuzz.conf", text)]) {
        Ok((_, warnings)) => warnings.iter().for_each(|warning| drop(warning.to_string())),
        Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
    }
}
