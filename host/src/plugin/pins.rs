//! Which plugin the configuration pins to a driver. Pure.

use std::collections::BTreeMap;
use std::fmt;

use longshore_plugin_api::note::PluginNote;
use semver::Version;

/// How the keys of pins begin; the driver follows.
pub const PIN_KEY_PREFIX: &str = "managedLedgerOffloadDriverPlugin.";

/// The plugin that alone may serve a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Its name.
    pub plugin: String,
    /// Its version; any where none is named.
    pub version: Option<Version>,
}

impl Pin {
    /// Whether this plugin is meant.
    pub(super) fn admits(&self, plugin: &str, version: &Version) -> bool {
        self.plugin == plugin && self.version.as_ref().is_none_or(|pinned| pinned == version)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.plugin),
            None => f.write_str(&self.plugin),
        }
    }
}

/// The pins, by driver in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins(pub BTreeMap<String, Pin>);

impl Pins {
    /// The pin of a driver, in any letter case.
    pub(super) fn of(&self, driver: &str) -> Option<&Pin> {
        self.0.get(&driver.to_ascii_lowercase())
    }

    /// The version of `plugin` that a pin asks for, and the line that says so.
    pub(super) fn version_of(&self, plugin: &str) -> Option<(&Version, String)> {
        let (driver, pin) = self.0.iter().find(|(_, pin)| pin.plugin == plugin && pin.version.is_some())?;
        Some((pin.version.as_ref()?, line(driver, pin)))
    }

    /// Why loading a plugin would be of no use: each of its drivers is pinned to another one.
    pub(super) fn bar(&self, note: &PluginNote) -> Option<String> {
        let pinned_away = |driver: &String| {
            let pin = self.of(driver).filter(|pin| pin.plugin != note.name)?;
            Some(line(driver, pin))
        };
        let lines: Option<Vec<String>> = note.drivers.iter().map(pinned_away).collect();
        Some(format!("its drivers are pinned to other plugins: {}", lines?.join(", ")))
    }
}

/// The line of a configuration that pins `driver`.
pub(super) fn line(driver: &str, pin: &Pin) -> String {
    format!("{PIN_KEY_PREFIX}{}={pin}", driver.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_admits_its_plugin_and_its_version_alone() {
        let (one, two) = (Version::new(1, 0, 0), Version::new(2, 0, 0));
        let any = Pin { plugin: "tape".to_owned(), version: None };
        let first = Pin { version: Some(one.clone()), ..any.clone() };
        assert!(any.admits("tape", &one) && any.admits("tape", &two) && !any.admits("reel", &one));
        assert!(first.admits("tape", &one) && !first.admits("tape", &two) && !first.admits("reel", &one));
        assert_eq!(line("S3", &first), "managedLedgerOffloadDriverPlugin.s3=tape@1.0.0");
    }
}
