//! From Pulsar's keys to settings; all mistakes at once.
//!
//! Keys that the original does not have are extra configuration: `managedLedgerOffloadExtraConfig<Name>` of a broker,
//! `managedLedgerExtraConfigurations` of a policy.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use block_format::layout::BLOCK_BYTES_MAX;
use block_format::{EngineOptions, IndexForm, Verify};
use longshore_plugin_api::{ConfigProblem, DriverConfig};

use crate::drivers::Store;

const BUCKET: &str = "managedLedgerOffloadBucket";
const MAX_BLOCK_SIZE: &str = "managedLedgerOffloadMaxBlockSizeInBytes";
const MAX_PARTS_IN_FLIGHT: &str = "managedLedgerOffloadExtraConfigMaxPartsInFlight";
const PART_SIZE: &str = "managedLedgerOffloadExtraConfigPartSizeInBytes";
const INDEX_FORM: &str = "managedLedgerOffloadExtraConfigIndexForm";
const CACHE_SIZE: &str = "managedLedgerOffloadExtraConfigReadCacheSizeInBytes";
const VERIFY: &str = "managedLedgerOffloadExtraConfigVerifyUpload";

/// As the original demands.
const BLOCK_BYTES_MIN: u64 = 5 << 20;
/// Each is a buffer in memory.
const PARTS_IN_FLIGHT_MAX: u64 = 64;
const PART_BYTES: RangeInclusive<u64> = 5 << 20..=1 << 30;
const CACHE_BYTES: RangeInclusive<u64> = 4 << 20..=64 << 30;

const INDEX_FORMS: [(&str, IndexForm); 3] =
    [("checked", IndexForm::Checked), ("dense", IndexForm::Dense), ("sparse", IndexForm::Sparse)];
const VERIFICATIONS: [(&str, Verify); 3] =
    [("where-needed", Verify::WhereNeeded), ("length", Verify::Length), ("bytes", Verify::Bytes)];

/// What a driver works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Which store.
    pub(crate) store: Store,
    /// Where new copies go.
    pub(crate) bucket: String,
    /// How they are written, and all copies read.
    pub(crate) engine: EngineOptions,
}

impl Settings {
    /// Reads the settings.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub(crate) fn read(config: &DriverConfig) -> Result<Self, Vec<ConfigProblem>> {
        let mut keys = Keys { config, problems: Vec::new() };
        let store = keys.store();
        let bucket = keys.bucket();
        let mut engine = EngineOptions::default();
        let upload = &mut engine.upload;
        keys.number(MAX_BLOCK_SIZE, BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX, &mut upload.write.block_bytes_max);
        let mut parts_in_flight = upload.parts_in_flight_max as u64;
        keys.number(MAX_PARTS_IN_FLIGHT, 1..=PARTS_IN_FLIGHT_MAX, &mut parts_in_flight);
        upload.parts_in_flight_max = parts_in_flight as usize;
        if config.get(PART_SIZE).is_some() {
            keys.number(PART_SIZE, PART_BYTES, upload.part_bytes.insert(*PART_BYTES.start()));
        }
        keys.word(INDEX_FORM, &INDEX_FORMS, &mut upload.write.index);
        keys.word(VERIFY, &VERIFICATIONS, &mut upload.verify);
        keys.number(CACHE_SIZE, CACHE_BYTES, &mut engine.read.extents_bytes_max);
        match (store, bucket) {
            (Some(store), Some(bucket)) if keys.problems.is_empty() => Ok(Self { store, bucket, engine }),
            _ => Err(keys.problems),
        }
    }
}

struct Keys<'a> {
    config: &'a DriverConfig,
    problems: Vec<ConfigProblem>,
}

impl Keys<'_> {
    fn store(&mut self) -> Option<Store> {
        let store = Store::of_driver(&self.config.driver);
        if store.is_none() {
            let problem = "this plugin serves no such driver".to_owned();
            self.problems
                .push(ConfigProblem::new("managedLedgerOffloadDriver", problem).with_value(&self.config.driver));
        }
        store
    }

    fn bucket(&mut self) -> Option<String> {
        let bucket = self.config.get(BUCKET).map(str::to_owned);
        if bucket.is_none() {
            let problem = format!("empty: name the bucket that keeps offloaded ledgers, {BUCKET}=<bucket>");
            self.problems.push(ConfigProblem::new(BUCKET, problem));
        }
        bucket
    }

    fn number<T: FromStr + PartialOrd + Display>(&mut self, key: &str, allowed: RangeInclusive<T>, target: &mut T) {
        let Some(value) = self.config.get(key) else { return };
        match value.parse().ok().filter(|number| allowed.contains(number)) {
            Some(number) => *target = number,
            None => {
                let problem = format!("not a number from {} to {}", allowed.start(), allowed.end());
                self.problems.push(ConfigProblem::new(key, problem).with_value(value));
            }
        }
    }

    fn word<T: Copy>(&mut self, key: &str, words: &[(&str, T)], target: &mut T) {
        let Some(value) = self.config.get(key) else { return };
        match words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value)) {
            Some((_, meant)) => *target = *meant,
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let problem = format!("not one of {}", known.join(", "));
                self.problems.push(ConfigProblem::new(key, problem).with_value(value));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(properties: &[(&str, &str)]) -> DriverConfig {
        DriverConfig {
            driver: "transient".to_owned(),
            properties: properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            search_folders: Vec::new(),
        }
    }

    #[test]
    fn keys_become_settings_and_absent_ones_defaults() {
        let settings = Settings::read(&config(&[(BUCKET, "tier")])).unwrap();
        assert_eq!(settings.engine, EngineOptions::default());
        let settings = Settings::read(&config(&[
            (BUCKET, "tier"),
            (MAX_BLOCK_SIZE, "5242880"),
            (MAX_PARTS_IN_FLIGHT, "9"),
            (PART_SIZE, "6000000"),
            (INDEX_FORM, "Sparse"),
            (VERIFY, "bytes"),
            (CACHE_SIZE, "5000000"),
        ]))
        .unwrap();
        let upload = settings.engine.upload;
        assert_eq!((upload.write.block_bytes_max, upload.write.index), (5 << 20, IndexForm::Sparse));
        assert_eq!((upload.parts_in_flight_max, upload.part_bytes), (9, Some(6_000_000)));
        assert_eq!((upload.verify, settings.engine.read.extents_bytes_max), (Verify::Bytes, 5_000_000));
    }

    #[test]
    fn all_mistakes_are_answered_at_once() {
        let problems = Settings::read(&config(&[
            (MAX_BLOCK_SIZE, "1"),
            (MAX_PARTS_IN_FLIGHT, "0"),
            (PART_SIZE, "large"),
            (INDEX_FORM, "thick"),
            (VERIFY, "no"),
            (CACHE_SIZE, "-1"),
        ]))
        .unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, [BUCKET, MAX_BLOCK_SIZE, MAX_PARTS_IN_FLIGHT, PART_SIZE, INDEX_FORM, VERIFY, CACHE_SIZE]);
        assert_eq!(problems[4].to_string(), format!("{INDEX_FORM}=thick: not one of checked, dense, sparse"));
    }
}
