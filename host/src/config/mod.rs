//! broker.conf: keys in Pulsar's spelling become checked settings.
//!
//! `properties` reads the text, `key` says what a key allows, `settings` is the table of all keys, `load` puts them
//! together and answers every mistake at once, with file, line, key and value. Every rule is a pure function of texts; only
//! [`Source::file`] and [`Source::embedded`] touch the disk. Nothing is written, so a crash leaves nothing behind.
//!
//! To add a setting, add a row to `settings.rs` and let the shipped file be written again (`shipped.rs` says how).

mod driver_pin;
mod environment;
mod key;
mod load;
mod near;
mod no_effect;
mod paths;
mod properties;
mod report;
mod setting;
mod settings;
#[cfg(test)]
mod shipped;
mod source;
#[cfg(test)]
mod tests;
mod unknown;

pub use driver_pin::DriverPin;
pub use environment::FromEnvironment;
pub use key::{Key, Kind, Value};
pub use paths::{absolute_file_uri, resolve_existing};
pub use report::{ConfigErrors, Mistake, Severity, Warning};
pub use setting::{DriverIsolation, OffloadVerify, ReadPriority, TopicKind};
pub use settings::{Config, SECTIONS, Section};
pub use source::Source;
pub use unknown::UnknownKey;
