//! From Pulsar's keys and Hadoop's profile to settings; all mistakes at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use longshore_plugin_api::{ConfigProblem, DriverConfig};
use map_file::{Compression, WriteOptions};

use crate::base::{self, Base, Store};
use crate::hdfs::{HdfsSettings, has_effect};
use crate::profile::Profile;

const URI: &str = "fileSystemURI";
const PROFILE_PATH: &str = "fileSystemProfilePath";
const PREFETCH_ROUNDS: &str = "managedLedgerOffloadPrefetchRounds";

const DEFAULT_FS: &str = "fs.defaultFS";
const TMP_DIR: &str = "hadoop.tmp.dir";
const COMPRESSION_TYPE: &str = "io.seqfile.compression.type";
const BLOCK_SIZE: &str = "io.seqfile.compress.blocksize";
const INDEX_INTERVAL: &str = "io.map.index.interval";
const COMPRESS_LEVEL: &str = "zlib.compress.level";

/// A block is built in memory before it is written, and is read as a whole.
const BLOCK_BYTES_MAX: u64 = 128 << 20;
const INDEX_INTERVAL_MAX: u64 = 1 << 20;
/// As the broker allows. Many rounds have smaller batches, so that they hold no more memory.
const PREFETCH_ROUNDS_MAX: u64 = 1024;
const LEVELS: [&str; 10] =
    ["NO_COMPRESSION", "BEST_SPEED", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "BEST_COMPRESSION"];
/// What zlib, and so Hadoop, means by `DEFAULT_COMPRESSION`.
const DEFAULT_LEVEL: u32 = 6;

/// What the driver works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The folder below which ledgers are kept, spelled as configured; recorded with each ledger.
    pub(crate) base_uri: String,
    /// The same, understood.
    pub(crate) base: Base,
    /// Where versions of Pulsar before pull request 23591 kept them (`hadoop.tmp.dir`): read and deleted there as well.
    pub(crate) old_base: Option<Base>,
    /// `fs.defaultFS`, for bases that name no NameNode.
    pub(crate) default_fs: Option<String>,
    /// Each HDFS that one of the bases is on, by its spelling.
    pub(crate) hdfs: BTreeMap<String, HdfsSettings>,
    /// Names of the profile's properties that change nothing.
    pub(crate) without_effect: Vec<String>,
    /// How MapFiles are written.
    pub(crate) write: WriteOptions,
    /// Batches that may wait for the writer, at least one.
    pub(crate) batches_ahead: usize,
}

impl Settings {
    /// Reads the settings, profile files included.
    ///
    /// # Errors
    /// Everything that is wrong, each with its key.
    pub(crate) fn read(config: &DriverConfig) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut reader = Reader { config, profile: Profile::default(), problems: &mut problems };
        reader.read_profile();
        let default_fs = reader.property(DEFAULT_FS);
        let base = reader.base(default_fs.as_deref());
        let old_base = base
            .as_ref()
            .and_then(|(_, base)| reader.old_base(base, default_fs.as_deref()).filter(|old_base| old_base != base));
        let bases = base.iter().map(|(_, base)| base).chain(&old_base);
        let hdfs = reader.hdfs(bases);
        let write = reader.write_options();
        let batches_ahead = reader.batches_ahead();
        let without_effect = reader.without_effect();
        match base {
            Some((base_uri, base)) if problems.is_empty() => {
                Ok(Self { base_uri, base, old_base, default_fs, hdfs, without_effect, write, batches_ahead })
            }
            _ => Err(problems),
        }
    }
}

/// Reads keys and properties, and gathers what is wrong with them.
pub(crate) struct Reader<'a> {
    config: &'a DriverConfig,
    profile: Profile,
    problems: &'a mut Vec<ConfigProblem>,
}

impl Reader<'_> {
    fn read_profile(&mut self) {
        let resources = self.config.get(PROFILE_PATH).unwrap_or_default();
        for path in resources.split(',').map(str::trim).filter(|path| !path.is_empty()) {
            if let Err(problem) = self.add_resource(path) {
                self.problems.push(problem);
            }
        }
    }

    fn add_resource(&mut self, path: &str) -> Result<(), ConfigProblem> {
        let found = self.config.find_file(PROFILE_PATH, path)?;
        let problem = |text: String| ConfigProblem::new(PROFILE_PATH, text).with_value(path);
        let xml =
            fs::read_to_string(&found).map_err(|e| problem(format!("{} cannot be read: {e}", found.display())))?;
        self.profile.add(&xml).map_err(|text| problem(format!("{}: {text}", found.display())))
    }

    fn base(&mut self, default_fs: Option<&str>) -> Option<(String, Base)> {
        let (key, uri) = match self.config.get(URI) {
            Some(uri) => (URI, Some(uri)),
            None => (DEFAULT_FS, default_fs),
        };
        let Some(uri) = uri else {
            let problem = format!(
                "empty, and {PROFILE_PATH} gives no {DEFAULT_FS}: write the folder that keeps offloaded ledgers, \
                 {URI}=file:///absolute/folder or {URI}=hdfs://namenode:port/folder"
            );
            self.problems.push(ConfigProblem::new(URI, problem));
            return None;
        };
        match base::parse(uri, default_fs) {
            Ok(base) => Some((uri.to_owned(), base)),
            Err(problem) => {
                self.problem(key, problem, uri.to_owned());
                None
            }
        }
    }

    /// A relative one lies in the working folder, as it did for the Java process, or in the user's home folder on HDFS.
    fn old_base(&mut self, base: &Base, default_fs: Option<&str>) -> Option<Base> {
        let value = self.property(TMP_DIR)?;
        match base::parse_old(&value, base, default_fs, self.config.search_folders.first()) {
            Ok(old_base) => old_base,
            Err(problem) => {
                self.problem(TMP_DIR, problem, value);
                None
            }
        }
    }

    fn hdfs<'b>(&mut self, bases: impl Iterator<Item = &'b Base>) -> BTreeMap<String, HdfsSettings> {
        let names = bases.filter_map(|base| match &base.store {
            Store::Hdfs(name) => Some(name),
            Store::Local => None,
        });
        let names: BTreeSet<&String> = names.collect();
        names.into_iter().map(|name| (name.clone(), HdfsSettings::read(self, name))).collect()
    }

    fn without_effect(&self) -> Vec<String> {
        let known = [DEFAULT_FS, TMP_DIR, COMPRESSION_TYPE, BLOCK_SIZE, INDEX_INTERVAL, COMPRESS_LEVEL];
        let names = self.profile.names().filter(|name| !known.contains(name) && !has_effect(name));
        names.map(str::to_owned).collect()
    }

    fn write_options(&mut self) -> WriteOptions {
        let defaults = WriteOptions::default();
        WriteOptions {
            compression: self.compression().unwrap_or(defaults.compression),
            block_bytes: self
                .number(BLOCK_SIZE, 1, BLOCK_BYTES_MAX)
                .map_or(defaults.block_bytes, |bytes| bytes as usize),
            index_interval: self.number(INDEX_INTERVAL, 1, INDEX_INTERVAL_MAX).unwrap_or(defaults.index_interval),
            deflate_level: self.level().unwrap_or(defaults.deflate_level),
            ..defaults
        }
    }

    fn compression(&mut self) -> Option<Compression> {
        let value = self.property(COMPRESSION_TYPE)?;
        match value.to_ascii_uppercase().as_str() {
            "NONE" => Some(Compression::None),
            "RECORD" => Some(Compression::Record),
            "BLOCK" => Some(Compression::Block),
            _ => {
                let problem = ConfigProblem::new(COMPRESSION_TYPE, "allowed are NONE, RECORD and BLOCK");
                self.problems.push(problem.with_value(value));
                None
            }
        }
    }

    fn level(&mut self) -> Option<u32> {
        let value = self.property(COMPRESS_LEVEL)?;
        if value == "DEFAULT_COMPRESSION" {
            return Some(DEFAULT_LEVEL);
        }
        let level = LEVELS.iter().position(|name| *name == value);
        if level.is_none() {
            let problem = format!("allowed are DEFAULT_COMPRESSION and {}", LEVELS.join(", "));
            self.problems.push(ConfigProblem::new(COMPRESS_LEVEL, problem).with_value(value));
        }
        level.map(|level| level as u32)
    }

    fn batches_ahead(&mut self) -> usize {
        let Some(value) = self.config.get(PREFETCH_ROUNDS) else { return 1 };
        // Without any batch that waits, reading and writing could never meet.
        self.parse(PREFETCH_ROUNDS, value, 0, PREFETCH_ROUNDS_MAX).unwrap_or(1).max(1) as usize
    }

    /// The whole number that a property has; what is none, or out of bounds, is a problem.
    pub(crate) fn number(&mut self, name: &str, least: u64, most: u64) -> Option<u64> {
        let value = self.property(name)?;
        self.parse(name, &value, least, most)
    }

    fn parse(&mut self, name: &str, value: &str, least: u64, most: u64) -> Option<u64> {
        let number = value.parse().ok().filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let problem = format!("a whole number from {least} to {most} is allowed");
            self.problem(name, problem, value.to_owned());
        }
        number
    }

    /// One more thing that is wrong.
    pub(crate) fn problem(&mut self, name: &str, problem: String, value: String) {
        self.problems.push(ConfigProblem::new(name, problem).with_value(value));
    }

    /// Every property of the profile that has a value, expanded.
    pub(crate) fn all_properties(&mut self) -> BTreeMap<String, String> {
        let names: Vec<String> = self.profile.names().map(str::to_owned).collect();
        names.into_iter().filter_map(|name| Some((name.clone(), self.profile.get(&name).ok()??))).collect()
    }

    /// The value of a property of the profile, or nothing where it is absent or empty.
    pub(crate) fn property(&mut self, name: &str) -> Option<String> {
        match self.profile.get(name) {
            Ok(value) => value,
            Err(problem) => {
                self.problems.push(ConfigProblem::new(name, problem));
                None
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::Path;

    use super::*;

    fn config(properties: &[(&str, &str)]) -> DriverConfig {
        DriverConfig {
            driver: "filesystem".to_owned(),
            properties: properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            search_folders: vec!["/srv/broker".into()],
        }
    }

    /// The settings with a profile of these values.
    pub(crate) fn with_profile(values: &[(&str, &str)], uri: &str) -> Result<Settings, Vec<ConfigProblem>> {
        let folder = tempfile::tempdir().unwrap();
        let properties: String = values
            .iter()
            .map(|(name, value)| format!("<property><name>{name}</name><value>{value}</value></property>"))
            .collect();
        let path = folder.path().join("profile.xml");
        fs::write(&path, format!("<configuration>{properties}</configuration>")).unwrap();
        Settings::read(&config(&[(URI, uri), (PROFILE_PATH, path.to_str().unwrap())]))
    }

    #[test]
    fn without_a_profile_the_settings_are_hadoops() {
        let settings = Settings::read(&config(&[(URI, "file:///data/tier")])).unwrap();
        assert_eq!(settings.base.folder, Path::new("/data/tier"));
        assert_eq!((settings.old_base, settings.batches_ahead), (None, 1));
        assert_eq!(settings.write, WriteOptions::default());
        assert_eq!(settings.write.compression, Compression::Record);
    }

    #[test]
    fn an_absent_base_names_the_key_and_what_to_write() {
        let problems = Settings::read(&config(&[])).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].key, URI);
        assert!(problems[0].problem.contains("fileSystemURI=file:///absolute/folder"), "{}", problems[0]);
    }

    #[test]
    fn a_profile_decides_and_the_uri_goes_before_it() {
        let values = [
            (COMPRESSION_TYPE, "BLOCK"),
            (BLOCK_SIZE, "5000"),
            (INDEX_INTERVAL, "64"),
            (COMPRESS_LEVEL, "BEST_SPEED"),
            (TMP_DIR, "pulsar"),
            (DEFAULT_FS, "file:///from/profile"),
        ];
        let settings = with_profile(&values, "").unwrap();
        assert_eq!(settings.base.folder, Path::new("/from/profile"));
        assert_eq!(settings.old_base.unwrap().folder, Path::new("/srv/broker/pulsar"));
        let write = settings.write;
        assert_eq!((write.compression, write.block_bytes, write.index_interval), (Compression::Block, 5000, 64));
        assert_eq!(write.deflate_level, 1);
        assert_eq!(with_profile(&values, "/other").unwrap().base.folder, Path::new("/other"));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let values = [
            (COMPRESSION_TYPE, "LZ4"),
            (BLOCK_SIZE, "0"),
            (INDEX_INTERVAL, "many"),
            (COMPRESS_LEVEL, "11"),
            (TMP_DIR, "s3a://bucket/x"),
        ];
        let problems = with_profile(&values, "/tier").unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, [TMP_DIR, COMPRESSION_TYPE, BLOCK_SIZE, INDEX_INTERVAL, COMPRESS_LEVEL]);
    }

    #[test]
    fn a_missing_profile_names_the_places() {
        let config = config(&[(URI, "/tier"), (PROFILE_PATH, "/nowhere/a.xml, /nowhere/b.xml")]);
        let problems = Settings::read(&config).unwrap_err();
        assert_eq!(problems.len(), 2);
        assert!(problems[1].to_string().contains("/nowhere/b.xml"), "{}", problems[1]);
    }

    #[test]
    fn prefetch_rounds_are_what_the_broker_allows() {
        for (value, batches) in [("0", 1), ("1", 1), ("2", 2), ("1024", 1024)] {
            let settings = Settings::read(&config(&[(URI, "/tier"), (PREFETCH_ROUNDS, value)])).unwrap();
            assert_eq!(settings.batches_ahead, batches, "{value}");
        }
        let problems = Settings::read(&config(&[(URI, "/tier"), (PREFETCH_ROUNDS, "1025")])).unwrap_err();
        assert!(problems[0].to_string().contains("from 0 to 1024"), "{}", problems[0]);
    }

    #[test]
    fn hdfs_is_taken_from_the_profile_the_uri_or_both() {
        let values =
            [(DEFAULT_FS, "hdfs://nn:9000"), (TMP_DIR, "pulsar"), ("dfs.replication", "1"), ("dfs.sunshine", "much")];
        let settings = with_profile(&values, "").unwrap();
        assert_eq!(settings.base, base::parse("hdfs://nn:9000/", None).unwrap());
        assert_eq!(settings.old_base.unwrap().folder, Path::new("pulsar"));
        assert_eq!(settings.hdfs.keys().collect::<Vec<_>>(), ["nn:9000"]);
        assert_eq!(settings.without_effect, ["dfs.sunshine"]);
        let beside = with_profile(&values, "hdfs://other/tier").unwrap();
        assert_eq!(beside.hdfs.keys().collect::<Vec<_>>(), ["other"]);
        assert_eq!(with_profile(&values, "/tier").unwrap().hdfs, BTreeMap::new());
    }
}
