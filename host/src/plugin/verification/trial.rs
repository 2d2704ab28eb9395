//! Loads a plugin in a child process, so that a crash is a verdict and not an accident.
//!
//! The parent starts this very program again with a hidden command, in a process group of its own, and kills the group at the
//! deadline. The child limits itself, opens the file as the broker would, and writes its answer into a file of the parent's
//! private folder: what a plugin prints cannot be taken for it. A child that leaves no answer crashed, ended, or hung. The folder
//! goes with the trial; a parent that dies takes its child along and leaves the folder behind.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use libloading::os::unix::{Library, RTLD_LAZY, RTLD_LOCAL};
use rustix::process::{Pid, Resource, Rlimit, Signal};
use serde::{Deserialize, Serialize};

use super::finding::{self, Finding, KINDS, Kind};
use crate::plugin::anatomy;
use crate::plugin::inspect;
use crate::plugin::isolation::Homes;
use crate::plugin::load::{self, LoadError};
use crate::plugin::loaded::LoadedPlugin;
use crate::plugin::own_metrics::OwnMetrics;
use crate::plugin::settings::PluginSettings;

/// The hidden command of this program that is the child.
pub const CHILD_COMMAND: [&str; 2] = ["offloaders", "try-load"];

/// How often the parent looks whether the child has ended.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// The most memory addresses of a child.
const ADDRESS_BYTES_MAX: u64 = 8 << 30;
/// The most bytes of any file that a child writes, beside the plugin's own length: it copies the plugin into memory.
const WRITTEN_BYTES_MAX: u64 = 64 << 20;
/// The most bytes of a child's answer.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// The end of a child's error output that is looked at, and the lines of it that are shown.
const ERROR_BYTES_MAX: u64 = 4096;
const ERROR_LINES_MAX: usize = 3;
/// Names of folders that are tried before giving up.
const FOLDER_ATTEMPTS_MAX: usize = 16;

/// What a trial needs.
#[derive(Clone, Debug)]
pub struct TrialSettings {
    /// This program.
    pub program: PathBuf,
    /// How long loading may take.
    pub timeout: Duration,
    /// `offloadersFileBytesMax`.
    pub file_bytes_max: u64,
}

/// What the child found.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Answer {
    /// Kind and text of each finding.
    findings: Vec<(String, String)>,
}

/// Loads the file at `path`, whose content has this hash, in a child process.
pub(super) fn run(path: &Path, sha256_hex: &str, settings: &TrialSettings) -> Vec<Finding> {
    let failed = |what: &str, error: io::Error| vec![Finding::new(finding::TRIAL, format!("{what} failed: {error}"))];
    let folder = match PrivateFolder::new() {
        Ok(folder) => folder,
        Err(error) => return failed("making a private folder", error),
    };
    let mut child = match start(path, sha256_hex, settings, &folder) {
        Ok(child) => child,
        Err(error) => return failed("starting the child process", error),
    };
    let status = match wait(&mut child, settings.timeout) {
        Ok(status) => status,
        Err(error) => return failed("waiting for the child process", error),
    };
    let words = folder.last_words();
    let words = if words.is_empty() { words } else { format!("; it said: {words}") };
    let Some(status) = status else {
        let text = format!("loading it did not end within {} ms{words}", settings.timeout.as_millis());
        return vec![Finding::new(finding::HANG, text)];
    };
    judge(folder.answer(), status, &words)
}

fn judge(answer: Option<Answer>, status: ExitStatus, words: &str) -> Vec<Finding> {
    let died = status.signal().map(|signal| format!("by signal {}", signal_name(signal)));
    let Some(answer) = answer else {
        return vec![match died {
            Some(how) => Finding::new(finding::CRASH, format!("loading it ended the process {how}{words}")),
            None => {
                let code = status.code().unwrap_or_default();
                Finding::new(finding::EXIT, format!("loading it ended the process with exit code {code}{words}"))
            }
        }];
    };
    let known = |id: &str| KINDS.iter().find(|kind| kind.id == id).copied().unwrap_or(finding::CANNOT_LOAD);
    let mut findings: Vec<Finding> =
        answer.findings.into_iter().map(|(id, text)| Finding::new(known(&id), text)).collect();
    if !status.success() {
        let how = died.unwrap_or_else(|| format!("with exit code {}", status.code().unwrap_or_default()));
        findings
            .push(Finding::new(finding::CRASH_AT_EXIT, format!("the process that had loaded it ended {how}{words}")));
    }
    findings
}

fn start(path: &Path, sha256_hex: &str, settings: &TrialSettings, folder: &PrivateFolder) -> io::Result<Child> {
    let seconds = settings.timeout.as_secs() + 1;
    let mut command = Command::new(&settings.program);
    command.args(CHILD_COMMAND).args(["--sha256", sha256_hex]).arg("--answer").arg(folder.at("answer"));
    command.args(["--file-bytes-max", &settings.file_bytes_max.to_string(), "--seconds", &seconds.to_string()]);
    command.arg("--").arg(path);
    command.stdin(Stdio::null()).stdout(File::create(folder.at("output"))?).stderr(File::create(folder.at("errors"))?);
    command.process_group(0).spawn()
}

/// Waits for the child; kills it and whatever it started at the deadline, which is `None`.
fn wait(child: &mut Child, timeout: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + timeout;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= end {
            // The child leads its group, so that both have one number; it is not waited for yet, so the number is its own.
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
            }
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A folder that nobody else may enter, and that goes with this value.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    fn new() -> io::Result<Self> {
        let parent = std::env::temp_dir();
        let mut attempts = 0;
        loop {
            let path = parent.join(format!("longshore-trial-{}-{:016x}", std::process::id(), fastrand::u64(..)));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self(path)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempts < FOLDER_ATTEMPTS_MAX => {
                    attempts += 1;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn answer(&self) -> Option<Answer> {
        let mut bytes = Vec::new();
        File::open(self.at("answer")).ok()?.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// The last lines of the child's errors, in one.
    fn last_words(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(self.at("errors"))?;
            let start = file.metadata()?.len().saturating_sub(ERROR_BYTES_MAX);
            file.seek(SeekFrom::Start(start))?;
            let mut bytes = Vec::new();
            file.take(ERROR_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let text = read().unwrap_or_default();
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = &lines[lines.len().saturating_sub(ERROR_LINES_MAX)..];
        last.join(" / ").escape_debug().to_string()
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "the folder of a trial stays behind");
        }
    }
}

/// The child: loads the file and writes what it found to `answer`. To be called in a process of its own, before any thread
/// is started; may not come back.
///
/// # Errors
/// The answer cannot be written.
pub fn try_load(path: &Path, sha256_hex: &str, answer: &Path, file_bytes_max: u64, cpu_seconds: u64) -> io::Result<()> {
    limit(file_bytes_max, cpu_seconds);
    let findings = load_here(path, sha256_hex, file_bytes_max);
    let findings = findings.into_iter().map(|(kind, text)| (kind.id.to_owned(), text)).collect();
    let part = answer.with_extension("part");
    fs::write(&part, serde_json::to_vec(&Answer { findings })?)?;
    fs::rename(&part, answer)
}

/// What cannot be limited is not: the trial is no prison, it bounds accidents.
fn limit(file_bytes_max: u64, cpu_seconds: u64) {
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let limits = [
        (Resource::Core, 0),
        (Resource::Cpu, cpu_seconds),
        (Resource::As, ADDRESS_BYTES_MAX),
        (Resource::Fsize, file_bytes_max.saturating_add(WRITTEN_BYTES_MAX)),
    ];
    for (resource, most) in limits {
        let _ = rustix::process::setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    }
}

fn load_here(path: &Path, sha256_hex: &str, file_bytes_max: u64) -> Vec<(&'static Kind, String)> {
    let image = match inspect::read(path, file_bytes_max) {
        Ok(image) if image.sha256_hex() == sha256_hex => image,
        Ok(_) => return vec![(finding::UNREADABLE, "it changed while it was verified".to_owned())],
        Err(refusal) => return vec![(finding::UNREADABLE, refusal.to_string())],
    };
    let found = match inspect::identify(&image) {
        Ok(found) => found,
        Err(refusal) => return vec![(finding::NOT_A_PLUGIN, refusal.to_string())],
    };
    let needed = anatomy::read(&image.bytes).map(|anatomy| anatomy.needed).unwrap_or_default();
    let missing: Vec<(&Kind, String)> = needed.iter().filter_map(|name| missing(name)).collect();
    if !missing.is_empty() {
        return missing;
    }
    let name = path.file_name().unwrap_or(OsStr::new("plugin.so")).to_string_lossy().into_owned();
    let module = match load::load(&name, &image, &found) {
        Ok(module) => module,
        Err(error) => return vec![(kind_of(&error), error.to_string())],
    };
    let settings = PluginSettings { runtime_workers: 1, ..PluginSettings::default() };
    let own = Arc::new(OwnMetrics::new(&found.note.name));
    let homes = Homes { library: Some(module), processes: None };
    match LoadedPlugin::start(found.note, &image.sha256, name, homes, own, Arc::new(settings)) {
        Ok(_) => Vec::new(),
        Err(reason) => vec![(finding::START, reason)],
    }
}

/// What the system says about a needed library that it does not find. The library's constructors run here.
fn missing(name: &str) -> Option<(&'static Kind, String)> {
    // SAFETY: constructors of the library run, as they would when the plugin that needs it is loaded: what a trial is for.
    let opened = unsafe { Library::open(Some(name), RTLD_LAZY | RTLD_LOCAL) };
    match opened {
        Ok(library) => {
            // Never closed: the plugin may need it next.
            let _raw = library.into_raw();
            None
        }
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
            Some((finding::MISSING_LIBRARY, format!("it needs {name}: {cause}")))
        }
    }
}

fn kind_of(error: &LoadError) -> &'static Kind {
    match error {
        LoadError::NoRoot | LoadError::NoCRoot => finding::NO_ROOT,
        LoadError::Header(_) => finding::ENTRY,
        LoadError::Layout { .. } | LoadError::Tables(_) => finding::LAYOUT,
        LoadError::Version { .. } => finding::NOTE_VERSION,
        LoadError::Root(_) => finding::ROOT_MODULE,
        LoadError::NoteLies(_) => finding::NOTE_LIES,
        LoadError::Memory(_) | LoadError::System(_) => finding::CANNOT_LOAD,
    }
}

/// A signal's number and name.
fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL, an instruction that does not exist",
        5 => "SIGTRAP",
        6 => "SIGABRT, it was aborted",
        7 => "SIGBUS, memory that is not there",
        8 => "SIGFPE, a division by zero",
        9 => "SIGKILL",
        11 => "SIGSEGV, memory that is not its own",
        15 => "SIGTERM",
        24 => "SIGXCPU, too much processor time",
        25 => "SIGXFSZ, too long a file",
        31 => "SIGSYS, a forbidden system call",
        _ => return signal.to_string(),
    };
    format!("{signal} ({name})")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one finding for which no library can be made by the export macro: what it emits does not fail there.
    #[test]
    fn a_root_module_that_cannot_be_made_is_a_finding_of_its_own() {
        let error = LoadError::Root("the constructor panicked".to_owned());
        assert_eq!(kind_of(&error).id, "root-module");
        let findings = vec![(kind_of(&error).id.to_owned(), error.to_string())];
        let judged = judge(Some(Answer { findings }), ExitStatus::default(), "");
        let expected =
            Finding::new(finding::ROOT_MODULE, "its root module could not be made: the constructor panicked");
        assert_eq!(judged, [expected]);
    }
}
