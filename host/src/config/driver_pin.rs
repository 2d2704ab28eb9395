//! The family of keys that pin a driver to a plugin: `managedLedgerOffloadDriverPlugin.<driver>=<plugin>[@<version>]`.

use semver::Version;

/// How the keys of the family begin; the driver follows.
pub(super) const PREFIX: &str = "managedLedgerOffloadDriverPlugin.";

/// The plugin that alone may serve a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverPin {
    /// The plugin's name.
    pub plugin: String,
    /// The version; any where none is named.
    pub version: Option<Version>,
}

/// Reads one line of the family: the driver in lower case and its pin.
///
/// # Errors
/// What is wrong and what is allowed; lower case, no full stop.
pub(super) fn read(key: &str, value: &str) -> Result<(String, DriverPin), String> {
    const ALLOWED: &str = "allowed: <plugin> or <plugin>@<version>, such as tape or tape@1.2.3";
    let driver = key.strip_prefix(PREFIX).unwrap_or_default();
    if !is_name(driver) {
        return Err(format!("`{driver}` is no driver's name; allowed: {PREFIX}<driver>=<plugin>"));
    }
    let (plugin, version) = match value.split_once('@') {
        Some((plugin, version)) => (plugin.trim(), Some(version.trim())),
        None => (value.trim(), None),
    };
    if !is_name(plugin) {
        return Err(format!("`{plugin}` is no plugin's name; {ALLOWED}"));
    }
    let version = version.map(|text| text.parse().map_err(|e| format!("`{text}` is no version: {e}; {ALLOWED}")));
    Ok((driver.to_ascii_lowercase(), DriverPin { plugin: plugin.to_owned(), version: version.transpose()? }))
}

/// The names that an identity note may have.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_names_a_plugin_and_maybe_a_version() {
        let pin = |version| DriverPin { plugin: "tape".to_owned(), version };
        let key = "managedLedgerOffloadDriverPlugin.AWS-S3";
        assert_eq!(read(key, "tape"), Ok(("aws-s3".to_owned(), pin(None))));
        assert_eq!(read(key, "tape @ 1.2.3"), Ok(("aws-s3".to_owned(), pin(Some(Version::new(1, 2, 3))))));
        for (key, value, words) in [
            (key, "tape@", "`` is no version"),
            (key, "tape@1", "`1` is no version"),
            (key, "@1.2.3", "no plugin's name"),
            (key, "a tape", "no plugin's name"),
            ("managedLedgerOffloadDriverPlugin.", "tape", "no driver's name"),
        ] {
            let problem = read(key, value).unwrap_err();
            assert!(problem.contains(words) && problem.contains("allowed"), "{key}={value}: {problem}");
        }
    }
}
