//! Offload policies of a namespace or topic: the original's JSON object, of which only what was set is kept.
//!
//! The original fills such an object with defaults that then shadow the broker's settings; here the defaults are shown
//! ([`OffloadPolicies::to_shown`]) but never merged. Source: Pulsar `OffloadPoliciesImpl`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::NamespaceError;

/// The drivers that a policy may name, in the original's order.
pub const SUPPORTED_DRIVERS: [&str; 6] =
    ["S3", "aws-s3", "google-cloud-storage", "filesystem", "azureblob", "aliyun-oss"];

const DRIVER: &str = "managedLedgerOffloadDriver";
const THRESHOLD_BYTES: &str = "managedLedgerOffloadThresholdInBytes";
const THRESHOLD_SECONDS: &str = "managedLedgerOffloadThresholdInSeconds";
const DELETION_LAG: &str = "managedLedgerOffloadDeletionLagInMillis";
const READ_PRIORITY: &str = "managedLedgerOffloadedReadPriority";
/// The field that holds extra configurations, without [`EXTRA_PREFIX`].
pub const EXTRA: &str = "managedLedgerExtraConfigurations";
/// The broker's own; the original lets a policy shadow it, which breaks offloading.
const DIRECTORY: &str = "offloadersDirectory";
/// Written by the original in answers, never read.
const DERIVED: [&str; 3] = ["s3Driver", "gcsDriver", "fileSystemDriver"];
/// Prefix of a broker key that carries an extra configuration.
pub const EXTRA_PREFIX: &str = "managedLedgerOffloadExtraConfig";
/// Keys that must never be shown.
const SECRETS: [&str; 1] = ["s3ManagedLedgerOffloadCredentialSecret"];

/// What was set, under the original's field names. Nulls, unknown and derived fields are dropped when it is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OffloadPolicies {
    set: Map<String, Value>,
}

impl OffloadPolicies {
    /// Of a client's object. Unknown fields are ignored, as the original does.
    pub fn from_client(object: Map<String, Value>) -> Self {
        let keep = |name: &str, value: &Value| {
            !value.is_null() && name != DIRECTORY && !DERIVED.contains(&name) && is_field(name)
        };
        Self { set: object.into_iter().filter(|(name, value)| keep(name, value)).collect() }
    }

    /// Refuses what the original refuses, in its words and order. `extra_drivers` are supported besides.
    ///
    /// # Errors
    /// `Refused`.
    pub fn validate(&self, extra_drivers: &[String]) -> Result<(), NamespaceError> {
        let driver = self.text(DRIVER).unwrap_or_default();
        let supported = || SUPPORTED_DRIVERS.into_iter().chain(extra_drivers.iter().map(String::as_str));
        if !supported().any(|supported| supported.eq_ignore_ascii_case(driver)) {
            let supported = supported().collect::<Vec<_>>().join(",");
            return Err(NamespaceError::Refused(format!("The driver is not supported, support value: {supported}")));
        }
        let bucket_keys: &[&str] = match driver.to_ascii_lowercase().as_str() {
            "filesystem" => return Ok(()),
            "s3" | "aws-s3" => &["managedLedgerOffloadBucket", "s3ManagedLedgerOffloadBucket"],
            "google-cloud-storage" => &["managedLedgerOffloadBucket", "gcsManagedLedgerOffloadBucket"],
            _ => &["managedLedgerOffloadBucket"],
        };
        if bucket_keys.iter().any(|key| self.text(key).is_some_and(|bucket| !bucket.is_empty())) {
            return Ok(());
        }
        Err(NamespaceError::Refused("The bucket must be specified for namespace offload.".to_owned()))
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.set.get(name).and_then(Value::as_str)
    }

    fn number(&self, name: &str) -> Option<i64> {
        self.set.get(name).and_then(Value::as_i64)
    }

    /// Bytes of the newest ledgers that stay.
    pub fn threshold_bytes(&self) -> Option<i64> {
        self.number(THRESHOLD_BYTES)
    }

    /// Age in seconds.
    pub fn threshold_seconds(&self) -> Option<i64> {
        self.number(THRESHOLD_SECONDS)
    }

    /// Milliseconds that both copies live.
    pub fn deletion_lag_ms(&self) -> Option<i64> {
        self.number(DELETION_LAG)
    }

    /// Sets the byte threshold.
    pub fn set_threshold_bytes(&mut self, bytes: i64) {
        self.set.insert(THRESHOLD_BYTES.to_owned(), bytes.into());
    }

    /// Sets the time threshold.
    pub fn set_threshold_seconds(&mut self, seconds: i64) {
        self.set.insert(THRESHOLD_SECONDS.to_owned(), seconds.into());
    }

    /// Sets or clears the deletion lag.
    pub fn set_deletion_lag_ms(&mut self, lag_ms: Option<i64>) {
        match lag_ms {
            Some(lag_ms) => self.set.insert(DELETION_LAG.to_owned(), lag_ms.into()),
            None => self.set.remove(DELETION_LAG),
        };
    }

    /// What was set as broker keys and their texts; extra configurations under their prefix.
    pub fn to_properties(&self) -> BTreeMap<String, String> {
        let mut properties = BTreeMap::new();
        for (name, value) in &self.set {
            match value {
                Value::String(text) => properties.insert(name.clone(), text.clone()),
                Value::Object(extra) if name == EXTRA => {
                    for (key, value) in extra {
                        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                        properties.insert(format!("{EXTRA_PREFIX}{key}"), text);
                    }
                    None
                }
                other => properties.insert(name.clone(), other.to_string()),
            };
        }
        properties
    }

    /// The object as the original shows it: with its class's defaults and derived fields, without secrets.
    pub fn to_shown(&self) -> Value {
        shown(self.set.clone(), "./offloaders")
    }
}

/// The original's object for effective broker properties, as `?applied=true` shows it.
pub fn shown_from_properties(properties: &BTreeMap<String, String>, offloaders_directory: &str) -> Value {
    let mut set = Map::new();
    let mut extra = Map::new();
    for (key, text) in properties {
        if let Some(name) = key.strip_prefix(EXTRA_PREFIX).filter(|name| !name.is_empty()) {
            extra.insert(name.to_owned(), text.clone().into());
        } else if is_field(key) && !text.is_empty() {
            let number = text.parse::<i64>().ok().filter(|_| is_number(key));
            set.insert(key.clone(), number.map_or_else(|| Value::String(text.clone()), Value::from));
        }
    }
    set.insert(EXTRA.to_owned(), extra.into());
    shown(set, offloaders_directory)
}

fn shown(mut set: Map<String, Value>, offloaders_directory: &str) -> Value {
    for secret in SECRETS {
        set.remove(secret);
    }
    let driver = set.get(DRIVER).and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let defaults = [
        (DIRECTORY, json!(offloaders_directory)),
        ("managedLedgerOffloadMaxThreads", json!(2)),
        ("managedLedgerOffloadPrefetchRounds", json!(1)),
        (EXTRA, json!({})),
        ("s3ManagedLedgerOffloadMaxBlockSizeInBytes", json!(67_108_864)),
        ("s3ManagedLedgerOffloadReadBufferSizeInBytes", json!(1_048_576)),
        ("s3ManagedLedgerOffloadRoleSessionName", json!("pulsar-s3-offload")),
        ("gcsManagedLedgerOffloadMaxBlockSizeInBytes", json!(134_217_728)),
        ("gcsManagedLedgerOffloadReadBufferSizeInBytes", json!(1_048_576)),
        ("s3Driver", json!(matches!(driver.as_str(), "s3" | "aws-s3"))),
        ("gcsDriver", json!(driver == "google-cloud-storage")),
        ("fileSystemDriver", json!(driver == "filesystem")),
    ];
    for (name, default) in defaults {
        set.entry(name).or_insert(default);
    }
    Value::Object(set)
}

/// Whether a key's value must never be shown.
pub fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

/// Whether the original's object has such a field.
fn is_field(name: &str) -> bool {
    let known = [
        DIRECTORY,
        DRIVER,
        "managedLedgerOffloadMaxThreads",
        "managedLedgerOffloadReadThreads",
        "managedLedgerOffloadPrefetchRounds",
        THRESHOLD_BYTES,
        THRESHOLD_SECONDS,
        DELETION_LAG,
        READ_PRIORITY,
        EXTRA,
        "managedLedgerOffloadBucket",
        "managedLedgerOffloadRegion",
        "managedLedgerOffloadServiceEndpoint",
        "managedLedgerOffloadMaxBlockSizeInBytes",
        "managedLedgerOffloadReadBufferSizeInBytes",
        "fileSystemProfilePath",
        "fileSystemURI",
    ];
    known.contains(&name) || name.starts_with("s3ManagedLedgerOffload") || name.starts_with("gcsManagedLedgerOffload")
}

fn is_number(name: &str) -> bool {
    ["InBytes", "InSeconds", "InMillis", "Threads", "Rounds"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policies(value: Value) -> OffloadPolicies {
        let Value::Object(object) = value else { panic!("an object is wanted") };
        OffloadPolicies::from_client(object)
    }

    #[test]
    fn only_what_was_set_is_kept_and_defaults_are_only_shown() {
        let set = policies(json!({"managedLedgerOffloadThresholdInBytes": 5, "offloadersDirectory": "./x",
            "s3Driver": true, "fileSystemURI": null, "unheardOf": 1}));
        assert_eq!(set.to_properties(), [(THRESHOLD_BYTES.to_owned(), "5".to_owned())].into());
        let shown = set.to_shown();
        assert_eq!(shown["managedLedgerOffloadThresholdInBytes"], 5);
        assert_eq!(shown["offloadersDirectory"], "./offloaders");
        assert_eq!(shown["gcsManagedLedgerOffloadMaxBlockSizeInBytes"], 134_217_728);
        assert_eq!(shown["fileSystemDriver"], false);
    }

    #[test]
    fn secrets_are_never_shown() {
        let set =
            policies(json!({"managedLedgerOffloadDriver": "aws-s3", "s3ManagedLedgerOffloadCredentialSecret": "x"}));
        assert_eq!(set.to_shown().get("s3ManagedLedgerOffloadCredentialSecret"), None);
        assert_eq!(set.to_properties()["s3ManagedLedgerOffloadCredentialSecret"], "x");
        assert_eq!(set.to_shown()["s3Driver"], true);
    }

    #[test]
    fn validation_is_the_originals() {
        let check = |value| policies(value).validate(&[]).map_err(|error| error.to_string());
        let unsupported = "The driver is not supported, support value: S3,aws-s3,google-cloud-storage,filesystem,azureblob,aliyun-oss";
        let no_bucket = "The bucket must be specified for namespace offload.";
        assert_eq!(check(json!({"managedLedgerOffloadDriver": "nope"})).unwrap_err(), unsupported);
        assert_eq!(check(json!({"managedLedgerOffloadDriver": "AWS-S3"})).unwrap_err(), no_bucket);
        assert_eq!(check(json!({"managedLedgerOffloadDriver": "s3", "s3ManagedLedgerOffloadBucket": "b"})), Ok(()));
        assert_eq!(
            check(json!({"managedLedgerOffloadDriver": "azureblob", "s3ManagedLedgerOffloadBucket": "b"})).unwrap_err(),
            no_bucket
        );
        assert_eq!(check(json!({"managedLedgerOffloadDriver": "FileSystem"})), Ok(()));
        let extra = ["tape".to_owned()];
        let tape = policies(json!({"managedLedgerOffloadDriver": "Tape", "managedLedgerOffloadBucket": "b"}));
        assert_eq!(tape.validate(&[]).unwrap_err().to_string(), unsupported);
        assert!(tape.validate(&extra).is_ok());
        let other = policies(json!({"managedLedgerOffloadDriver": "reel"})).validate(&extra).unwrap_err().to_string();
        assert_eq!(other, format!("{unsupported},tape"));
    }

    #[test]
    fn extra_configurations_become_prefixed_properties() {
        let set = policies(json!({"managedLedgerExtraConfigurations": {"Folder": "/x"}}));
        assert_eq!(set.to_properties()["managedLedgerOffloadExtraConfigFolder"], "/x");
    }
}
