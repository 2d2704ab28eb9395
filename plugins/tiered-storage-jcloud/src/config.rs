//! From Pulsar's keys to settings; all mistakes at once.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use block_format::layout::BLOCK_BYTES_MAX;
use block_format::store::BlobStore;
use block_format::{EngineOptions, IndexForm, Verify};
use longshore_plugin_api::{ConfigProblem, DriverConfig, Error};

use crate::drivers::{Driver, Store};
use crate::environment::Environment;
use crate::keys::Keys;
use crate::object_store::endpoint::Endpoint;

/// As the original demands.
const BLOCK_BYTES_MIN: u64 = 5 << 20;
/// Each is a buffer in memory.
const PARTS_IN_FLIGHT_MAX: u64 = 64;
const PART_BYTES: RangeInclusive<u64> = 5 << 20..=1 << 30;
/// From what a busy store may need to the host's own patience, many times over.
const REQUEST_TIMEOUT_MS: RangeInclusive<u64> = 100..=600_000;
const BYTES_PER_SECOND_MIN: RangeInclusive<u64> = 1 << 10..=1 << 30;
const CACHE_BYTES: RangeInclusive<u64> = 4 << 20..=64 << 30;
/// The broker's longest message, which it hands to every driver; an entry is one with its metadata around it.
const MESSAGE_BYTES_MAX_KEY: &str = "maxMessageSize";
const MESSAGE_BYTES_MAX: RangeInclusive<u64> = 1..=1 << 30;
const ENTRY_METADATA_BYTES_MAX: u64 = 64 << 10;
/// The longest name of a bucket that any store has.
const BUCKET_NAME_BYTES_MAX: usize = 222;

const INDEX_FORMS: [(&str, IndexForm); 3] =
    [("checked", IndexForm::Checked), ("dense", IndexForm::Dense), ("sparse", IndexForm::Sparse)];
const VERIFICATIONS: [(&str, Verify); 3] =
    [("where-needed", Verify::WhereNeeded), ("length", Verify::Length), ("bytes", Verify::Bytes)];

/// What a driver works with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Which store.
    pub(crate) store: Store,
    /// Where new copies go.
    pub(crate) place: Place,
    /// How they are written, and all copies read.
    pub(crate) engine: EngineOptions,
}

/// Where a store is, as far as keys say so that all drivers share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The bucket, or container.
    pub(crate) bucket: String,
    /// The region; empty where none is named.
    pub(crate) region: String,
    /// The address as it was given; empty where none is named.
    pub(crate) endpoint_given: String,
    /// The same, read.
    pub(crate) endpoint: Option<Endpoint>,
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub(crate) fn read(config: &DriverConfig, environment: &Environment) -> Result<Self, Vec<ConfigProblem>> {
        let Some(driver) = Driver::of_name(&config.driver) else {
            let problem = "this plugin serves no such driver";
            return Err(vec![ConfigProblem::new("managedLedgerOffloadDriver", problem).with_value(&config.driver)]);
        };
        let mut keys = Keys::new(config, environment, driver.spellings());
        let place = place(&mut keys);
        let mut engine = engine(&mut keys, driver);
        let store = Store::read(driver, &mut keys, &place, &mut engine);
        keys.finish(store.map(|store| Self { store, place, engine }))
    }

    /// Opens a bucket of the store. Makes no request.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that none can have; `InvalidConfig` where the store cannot be reached as configured.
    pub(crate) fn bucket(&self, name: &str) -> Result<Arc<dyn BlobStore>, Error> {
        // What makes a request without a body too long makes a pause in a body too long.
        self.store.bucket(name, self.engine.requests.time_base)
    }
}

fn place(keys: &mut Keys<'_>) -> Place {
    let bucket = keys.property("Bucket");
    match &bucket {
        None => {
            let key = keys.key_of("Bucket");
            let problem = format!("empty: name the bucket that keeps offloaded ledgers, {key}=<bucket>");
            keys.wrong(ConfigProblem::new(key, problem));
        }
        Some((key, name)) => {
            if let Err(problem) = check_bucket_name(name) {
                keys.wrong(ConfigProblem::new(key, problem).with_value(*name));
            }
        }
    }
    let text = |given: Option<(String, &str)>| given.map(|(_, value)| value.to_owned()).unwrap_or_default();
    let endpoint_given = keys.property("ServiceEndpoint");
    let endpoint = endpoint_given.clone().and_then(|(key, value)| match Endpoint::parse(value) {
        Ok(endpoint) => Some(endpoint),
        Err(problem) => {
            // Its value may have a password.
            keys.wrong(ConfigProblem::new(key, problem));
            None
        }
    });
    Place {
        bucket: text(bucket),
        region: text(keys.property("Region")),
        endpoint_given: text(endpoint_given),
        endpoint,
    }
}

/// A name that can be no more than a name in any address. Each store has rules of its own on top.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check_bucket_name(name: &str) -> Result<(), String> {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'.');
    if name.is_empty() || name.len() > BUCKET_NAME_BYTES_MAX || !name.bytes().all(allowed) || name.contains("..") {
        return Err("not the name of a bucket: letters, digits, `-`, `_` and single `.`".to_owned());
    }
    Ok(())
}

fn engine(keys: &mut Keys<'_>, driver: Driver) -> EngineOptions {
    let mut engine = EngineOptions::default();
    let request_timeout = keys.number(keys.extra("RequestTimeoutMs"), REQUEST_TIMEOUT_MS);
    engine.requests.time_base = request_timeout.map_or(engine.requests.time_base, Duration::from_millis);
    let slowest = keys.number(keys.extra("SlowestBytesPerSecond"), BYTES_PER_SECOND_MIN);
    engine.requests.bytes_per_second_min = slowest.unwrap_or(engine.requests.bytes_per_second_min);
    let upload = &mut engine.upload;
    let block_bytes = keys.number(keys.property("MaxBlockSizeInBytes"), BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX);
    upload.write.block_bytes_max = block_bytes.unwrap_or(driver.block_bytes_default());
    // Reads take what fits them; the key is held to what the original takes, and no more.
    let _: Option<i32> = keys.number(keys.property("ReadBufferSizeInBytes"), 1..=i32::MAX);
    let parts_in_flight = keys.number(keys.extra("MaxPartsInFlight"), 1..=PARTS_IN_FLIGHT_MAX);
    upload.parts_in_flight_max = parts_in_flight.map_or(upload.parts_in_flight_max, |parts| parts as usize);
    upload.part_bytes = keys.number(keys.extra("PartSizeInBytes"), PART_BYTES);
    upload.write.index = keys.word(keys.extra("IndexForm"), &INDEX_FORMS).unwrap_or(upload.write.index);
    upload.verify = keys.word(keys.extra("VerifyUpload"), &VERIFICATIONS).unwrap_or(upload.verify);
    let message = keys.value(MESSAGE_BYTES_MAX_KEY).map(|value| (MESSAGE_BYTES_MAX_KEY.to_owned(), value));
    if let Some(bytes) = keys.number(message, MESSAGE_BYTES_MAX) {
        engine.read.entry_bytes_max = engine.read.entry_bytes_max.max(bytes + ENTRY_METADATA_BYTES_MAX);
    }
    let cache_bytes = keys.number(keys.extra("ReadCacheSizeInBytes"), CACHE_BYTES);
    engine.read.extents_bytes_max = cache_bytes.unwrap_or(engine.read.extents_bytes_max);
    engine
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(driver: &str, properties: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let config = DriverConfig {
            driver: driver.to_owned(),
            properties: properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            search_folders: Vec::new(),
        };
        let settings = Settings::read(&config, &Environment::default());
        settings.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    const BUCKET: (&str, &str) = ("managedLedgerOffloadBucket", "tier");

    #[test]
    fn keys_become_settings_and_absent_ones_defaults() {
        let settings = read("transient", &[BUCKET]).unwrap();
        assert_eq!(settings.engine, EngineOptions::default());
        let settings = read(
            "transient",
            &[
                BUCKET,
                ("managedLedgerOffloadMaxBlockSizeInBytes", "5242880"),
                ("managedLedgerOffloadExtraConfigMaxPartsInFlight", "9"),
                ("managedLedgerOffloadExtraConfigPartSizeInBytes", "6000000"),
                ("managedLedgerOffloadExtraConfigIndexForm", "Sparse"),
                ("managedLedgerOffloadExtraConfigVerifyUpload", "bytes"),
                ("managedLedgerOffloadExtraConfigReadCacheSizeInBytes", "5000000"),
                ("managedLedgerOffloadExtraConfigRequestTimeoutMs", "1500"),
                ("managedLedgerOffloadExtraConfigSlowestBytesPerSecond", "1048576"),
            ],
        )
        .unwrap();
        let upload = settings.engine.upload;
        assert_eq!((upload.write.block_bytes_max, upload.write.index), (5 << 20, IndexForm::Sparse));
        assert_eq!((upload.parts_in_flight_max, upload.part_bytes), (9, Some(6_000_000)));
        assert_eq!(settings.engine.requests.time_base, Duration::from_millis(1500));
        assert_eq!(settings.engine.requests.bytes_per_second_min, 1 << 20);
        assert_eq!((upload.verify, settings.engine.read.extents_bytes_max), (Verify::Bytes, 5_000_000));
    }

    #[test]
    fn all_mistakes_are_answered_at_once() {
        let problems = read(
            "transient",
            &[
                ("managedLedgerOffloadServiceEndpoint", "http://u:hush@h"),
                ("managedLedgerOffloadMaxBlockSizeInBytes", "1"),
                ("managedLedgerOffloadReadBufferSizeInBytes", "0"),
                ("managedLedgerOffloadExtraConfigMaxPartsInFlight", "0"),
                ("managedLedgerOffloadExtraConfigPartSizeInBytes", "large"),
                ("managedLedgerOffloadExtraConfigIndexForm", "thick"),
                ("managedLedgerOffloadExtraConfigVerifyUpload", "no"),
                ("managedLedgerOffloadExtraConfigReadCacheSizeInBytes", "-1"),
                ("managedLedgerOffloadExtraConfigRequestTimeoutMs", "10s"),
            ],
        )
        .unwrap_err();
        assert_eq!(problems.len(), 10, "{problems:?}");
        assert!(!problems.concat().contains("hush"));
        let form = "managedLedgerOffloadExtraConfigIndexForm=thick: not one of checked, dense, sparse";
        assert!(problems.contains(&form.to_owned()), "{problems:?}");
    }

    #[test]
    fn entries_are_as_long_as_the_brokers_messages_and_never_shorter_than_the_default() {
        let longest =
            |value| read("transient", &[BUCKET, ("maxMessageSize", value)]).unwrap().engine.read.entry_bytes_max;
        let default = EngineOptions::default().read.entry_bytes_max;
        assert_eq!([longest("1024"), longest("20971520")], [default, 20_971_520 + ENTRY_METADATA_BYTES_MAX]);
    }

    #[test]
    fn a_bucket_is_a_name_and_nothing_else() {
        for name in ["tier", "tier.example-1", "Tier_2"] {
            assert_eq!(check_bucket_name(name), Ok(()), "{name}");
        }
        for name in ["", "a/b", "a..b", "a b", "a?b", "ä", "../x", &"x".repeat(300)] {
            assert!(check_bucket_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_driver_that_is_not_served_is_named() {
        assert!(read("tape", &[BUCKET]).unwrap_err()[0].contains("tape"));
    }
}
