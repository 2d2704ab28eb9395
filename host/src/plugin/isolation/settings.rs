//! The numbers that bound processes of drivers. The names of the configuration keys stand at the fields.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Where a driver runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// In this process.
    #[default]
    None,
    /// In a process of its own, a child of this one.
    Process,
}

/// Which drivers run in processes of their own, and what that may cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IsolationSettings {
    /// `offloadersIsolation`: where drivers run.
    pub everywhere: Isolation,
    /// `offloadersIsolation.<driver>`: where this driver runs; names in lower case.
    pub by_driver: BTreeMap<String, Isolation>,
    /// The binary that the child is: this one, whatever became of its file.
    pub binary: PathBuf,
    /// `offloadersIsolationStartTimeoutMs`: how long a child may take to load its library and start it.
    pub start_timeout: Duration,
    /// `offloadersIsolationCrashesMax`: crashes within the window after which a child is started again only now and then.
    pub crashes_max: u32,
    /// `offloadersIsolationCrashWindowSeconds`: how long a crash counts.
    pub crash_window: Duration,
    /// `offloadersIsolationRestartPauseMs`: the pause before the second restart within the window; the first one is at once,
    /// each further one waits twice as long.
    pub restart_pause: Duration,
    /// `offloadersIsolationProbeSeconds`: the longest pause, and that between tries after too many crashes.
    pub probe_pause: Duration,
    /// `offloadersIsolationFrameBytesMax`: the longest batch of entries that is sent or received.
    pub frame_bytes_max: usize,
    /// `offloadersIsolationCallsMax`: calls of one child that run at once, in each direction.
    pub calls_max: usize,
    /// `offloadersIsolationMemoryMaxMB`: memory that a child may write to; 0 is no limit.
    pub memory_bytes_max: u64,
    /// `offloadersIsolationEnvironment`: the variables that a child gets; `*` at an end stands for any letters.
    pub environment: Vec<String>,
}

impl IsolationSettings {
    /// Where `driver` runs, in any letter case.
    pub fn of(&self, driver: &str) -> Isolation {
        self.by_driver.get(&driver.to_ascii_lowercase()).copied().unwrap_or(self.everywhere)
    }

    /// Whether a child gets the variable `name`.
    pub fn hands_on(&self, name: &str) -> bool {
        self.environment.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
            (Some(end), _) => name.ends_with(end),
            (None, Some(start)) => name.starts_with(start),
            (None, None) => name == pattern,
        })
    }
}

/// What drivers of object stores, and the libraries under them, look at.
pub const ENVIRONMENT_DEFAULT: &str = "PATH,HOME,USER,LANG,LC_*,TZ,TMPDIR,RUST_BACKTRACE,SSL_CERT_*,*_PROXY,*_proxy,AWS_*,\
    AZURE_*,GOOGLE_*,GCE_*,CLOUDSDK_*,ALIBABA_*,ALIYUN_*,OSS_*,ACCESS_KEY_ID,ACCESS_KEY_SECRET,HADOOP_*,JAVA_HOME,KRB5*";

impl Default for IsolationSettings {
    fn default() -> Self {
        Self {
            everywhere: Isolation::None,
            by_driver: BTreeMap::new(),
            binary: PathBuf::from("/proc/self/exe"),
            start_timeout: Duration::from_secs(10),
            crashes_max: 5,
            crash_window: Duration::from_secs(600),
            restart_pause: Duration::from_millis(200),
            probe_pause: Duration::from_secs(60),
            frame_bytes_max: 144 << 20,
            calls_max: 1024,
            memory_bytes_max: 0,
            environment: ENVIRONMENT_DEFAULT.split(',').map(str::to_owned).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drivers_own_word_counts_before_the_general_one() {
        let by_driver = BTreeMap::from([("aws-s3".to_owned(), Isolation::Process)]);
        let settings = IsolationSettings { by_driver, ..IsolationSettings::default() };
        assert_eq!((settings.of("AWS-S3"), settings.of("filesystem")), (Isolation::Process, Isolation::None));
    }

    #[test]
    fn only_named_variables_are_handed_on() {
        let settings = IsolationSettings::default();
        for name in ["PATH", "LC_ALL", "AWS_SECRET_ACCESS_KEY", "https_proxy", "HTTPS_PROXY"] {
            assert!(settings.hands_on(name), "{name}");
        }
        for name in ["LD_PRELOAD", "LD_LIBRARY_PATH", "PATHS", "RUST_LOG", "MY_AWS_KEY"] {
            assert!(!settings.hands_on(name), "{name}");
        }
    }
}
