//! From Pulsar's keys and Hadoop's profile to settings; all mistakes at once.

use std::fs;
use std::path::{Path, PathBuf};

use longshore_plugin_api::{ConfigProblem, DriverConfig};
use map_file::{Compression, WriteOptions};

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
/// Each round holds one batch in memory.
const PREFETCH_ROUNDS_MAX: u64 = 64;
const LEVELS: [&str; 10] =
    ["NO_COMPRESSION", "BEST_SPEED", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "BEST_COMPRESSION"];
/// What zlib, and so Hadoop, means by `DEFAULT_COMPRESSION`.
const DEFAULT_LEVEL: u32 = 6;

/// What the driver works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The folder below which ledgers are kept, spelled as configured; recorded with each ledger.
    pub(crate) base_uri: String,
    /// The same as a path.
    pub(crate) base: PathBuf,
    /// Where versions of Pulsar before pull request 23591 kept them (`hadoop.tmp.dir`): read and deleted there as well.
    pub(crate) old_base: Option<PathBuf>,
    /// How MapFiles are written.
    pub(crate) write: WriteOptions,
    /// Batches that may wait for the writer.
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
        let base = reader.base();
        let old_base = reader.old_base();
        let write = reader.write_options();
        let batches_ahead = reader.batches_ahead();
        match base {
            Some((base_uri, base)) if problems.is_empty() => {
                Ok(Self { base_uri, base, old_base, write, batches_ahead })
            }
            _ => Err(problems),
        }
    }
}

/// The folder that a base URI names.
///
/// # Errors
/// What is wrong with it, and what to write instead.
pub(crate) fn folder_of_uri(uri: &str) -> Result<PathBuf, String> {
    let path = match uri.split_once(':') {
        Some(("file", rest)) => match rest.strip_prefix("//") {
            Some(with_authority) => with_authority.strip_prefix("localhost").unwrap_or(with_authority),
            None => rest,
        },
        Some((scheme @ ("hdfs" | "webhdfs" | "viewfs"), _)) => {
            return Err(format!("{scheme} is not built in yet: use file:///absolute/folder"));
        }
        Some((scheme, _)) if !scheme.contains('/') => {
            return Err(format!("scheme `{scheme}` is not known: use file:///absolute/folder"));
        }
        _ => uri,
    };
    if !path.starts_with('/') || path.contains('\0') {
        return Err("not an absolute folder: use file:///absolute/folder".to_owned());
    }
    Ok(PathBuf::from(path))
}

struct Reader<'a> {
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

    fn base(&mut self) -> Option<(String, PathBuf)> {
        let (key, uri) = match self.config.get(URI) {
            Some(uri) => (URI, Some(uri.to_owned())),
            None => (DEFAULT_FS, self.property(DEFAULT_FS)),
        };
        let Some(uri) = uri else {
            let problem = format!(
                "empty, and {PROFILE_PATH} gives no {DEFAULT_FS}: write the folder that keeps offloaded ledgers, \
                 {URI}=file:///absolute/folder"
            );
            self.problems.push(ConfigProblem::new(URI, problem));
            return None;
        };
        match folder_of_uri(&uri) {
            Ok(base) => Some((uri, base)),
            Err(problem) => {
                self.problems.push(ConfigProblem::new(key, problem).with_value(uri));
                None
            }
        }
    }

    /// A relative one lies in the working folder, as it did for the Java process.
    fn old_base(&mut self) -> Option<PathBuf> {
        let value = self.property(TMP_DIR)?;
        if !value.contains(':') && !value.starts_with('/') {
            return self.config.search_folders.first().map(|folder| folder.join(value));
        }
        match folder_of_uri(&value) {
            Ok(folder) => Some(folder),
            Err(problem) => {
                self.problems.push(ConfigProblem::new(TMP_DIR, problem).with_value(value));
                None
            }
        }
    }

    fn write_options(&mut self) -> WriteOptions {
        let defaults = WriteOptions::default();
        WriteOptions {
            compression: self.compression().unwrap_or(defaults.compression),
            block_bytes: self.number(BLOCK_SIZE, BLOCK_BYTES_MAX).map_or(defaults.block_bytes, |bytes| bytes as usize),
            index_interval: self.number(INDEX_INTERVAL, INDEX_INTERVAL_MAX).unwrap_or(defaults.index_interval),
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
        self.parse(PREFETCH_ROUNDS, value, PREFETCH_ROUNDS_MAX).unwrap_or(1) as usize
    }

    fn number(&mut self, name: &str, most: u64) -> Option<u64> {
        let value = self.property(name)?;
        self.parse(name, &value, most)
    }

    fn parse(&mut self, name: &str, value: &str, most: u64) -> Option<u64> {
        let number = value.parse().ok().filter(|number| (1..=most).contains(number));
        if number.is_none() {
            let problem = format!("a whole number from 1 to {most} is allowed");
            self.problems.push(ConfigProblem::new(name, problem).with_value(value));
        }
        number
    }

    fn property(&mut self, name: &str) -> Option<String> {
        match self.profile.get(name) {
            Ok(value) => value,
            Err(problem) => {
                self.problems.push(ConfigProblem::new(name, problem));
                None
            }
        }
    }
}

/// The one sentence for a folder, for messages.
pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(properties: &[(&str, &str)]) -> DriverConfig {
        DriverConfig {
            driver: "filesystem".to_owned(),
            properties: properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            search_folders: vec!["/work".into()],
        }
    }

    fn with_profile(values: &[(&str, &str)], uri: &str) -> Result<Settings, Vec<ConfigProblem>> {
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
        assert_eq!(settings.base, Path::new("/data/tier"));
        assert_eq!((settings.old_base, settings.batches_ahead), (None, 1));
        assert_eq!(settings.write, WriteOptions::default());
        assert_eq!(settings.write.compression, Compression::Record);
    }

    #[test]
    fn bases_in_all_their_spellings() {
        for uri in ["file:///a/b", "file:/a/b", "/a/b", "file://localhost/a/b"] {
            assert_eq!(folder_of_uri(uri).unwrap(), Path::new("/a/b"), "{uri}");
        }
        for (uri, part) in [
            ("hdfs://nn:9000", "hdfs is not built in yet: use file://"),
            ("s3a://bucket", "scheme `s3a` is not known"),
            ("data/tier", "not an absolute folder"),
            ("file:data", "not an absolute folder"),
            ("file://server/share", "not an absolute folder"),
        ] {
            let problem = folder_of_uri(uri).unwrap_err();
            assert!(problem.contains(part), "{uri}: {problem}");
        }
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
        assert_eq!(settings.base, Path::new("/from/profile"));
        assert_eq!(settings.old_base.as_deref(), Some(Path::new("/work/pulsar")));
        let write = settings.write;
        assert_eq!((write.compression, write.block_bytes, write.index_interval), (Compression::Block, 5000, 64));
        assert_eq!(write.deflate_level, 1);
        assert_eq!(with_profile(&values, "/other").unwrap().base, Path::new("/other"));
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let values = [
            (COMPRESSION_TYPE, "LZ4"),
            (BLOCK_SIZE, "0"),
            (INDEX_INTERVAL, "many"),
            (COMPRESS_LEVEL, "11"),
            (TMP_DIR, "hdfs://nn/x"),
        ];
        let problems = with_profile(&values, "data").unwrap_err();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, [URI, TMP_DIR, COMPRESSION_TYPE, BLOCK_SIZE, INDEX_INTERVAL, COMPRESS_LEVEL]);
    }

    #[test]
    fn a_missing_profile_names_the_places() {
        let config = config(&[(URI, "/tier"), (PROFILE_PATH, "/nowhere/a.xml, /nowhere/b.xml")]);
        let problems = Settings::read(&config).unwrap_err();
        assert_eq!(problems.len(), 2);
        assert!(problems[1].to_string().contains("/nowhere/b.xml"), "{}", problems[1]);
    }
}
