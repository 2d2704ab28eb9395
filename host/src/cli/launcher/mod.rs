//! `pulsar`, the original's launcher: what this program does when it is called by that name.
//!
//! It goes to the folder that it was unpacked into, has `conf/pulsar_env.sh` read, and becomes the broker: the same program
//! in the same process, with what the file exported. [`environment_file`] says how a file of shell is read, [`flags`] which
//! flags of the original's mean something here. Decision: docs/decisions/0020-pulsar-env-is-shell.md.

pub mod environment_file;
pub mod flags;

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::admin::COMPATIBLE_VERSION;
use environment_file::Reader;

/// The word with which the launcher calls this program again, as the broker.
pub const LAUNCHED: &str = "launched";
/// Names a configuration file in the environment.
pub const CONFIGURATION: &str = "PULSAR_STANDALONE_CONF";

/// Below the folder that the program was unpacked into.
const DEFAULT_CONFIGURATION: &str = "conf/standalone.conf";
const ENVIRONMENT_FILE: &str = "conf/pulsar_env.sh";

/// The original ends so where it cannot do what it was told.
const REFUSED: u8 = 1;

const USAGE: &str = "\
Usage: pulsar <command>
where command is one of:

    standalone          Run a broker; `pulsar standalone --help` names its flags
    version             Print the version
    help                Print this message

Environment variables:
    PULSAR_STANDALONE_CONF  Configuration file of standalone (default: conf/standalone.conf)
    PULSAR_EXTRA_OPTS       Options of Java; of these -Daws.accessKeyId, -Daws.secretKey and
                            -Dpulsar.extra.offload.drivers have an effect
    PULSAR_PREFIX_<key>     Overrules a key of the configuration file
    PULSAR_LOG_LEVEL        error, warn, info, debug or trace (default: info)

They can also be set in conf/pulsar_env.sh.";

/// Commands of the original's launcher, and what takes their place.
const ABSENT: [(&str, &str); 17] = [
    ("autorecovery", NO_BOOKIES),
    ("bookie", NO_BOOKIES),
    ("broker", "this broker keeps its own storage and shares it with no other: run `pulsar standalone`"),
    ("broker-tool", NO_CLUSTER),
    ("compact-topic", "topics are not compacted"),
    ("configuration-store", NO_CLUSTER),
    ("delete-cluster-metadata", NO_CLUSTER),
    ("functions-worker", "there are no functions"),
    ("global-zookeeper", NO_CLUSTER),
    ("initialize-cluster-metadata", NO_CLUSTER),
    ("initialize-namespace", "make it on a running broker: pulsar-admin namespaces create TENANT/NAMESPACE"),
    ("initialize-transaction-coordinator-metadata", "there are no transactions"),
    ("proxy", "there is no proxy: clients connect to the broker"),
    ("tokens", "there is no tool that makes tokens"),
    ("websocket", "there is no WebSocket proxy"),
    ("zookeeper", NO_CLUSTER),
    ("zookeeper-shell", NO_CLUSTER),
];
const NO_BOOKIES: &str = "ledgers live in files of the broker's own: run `pulsar standalone`";
const NO_CLUSTER: &str = "there is no ZooKeeper, metadata is a file of the broker's own: run `pulsar standalone`";

/// Does what `pulsar <command> …` says; answers the exit code. A launch does not come back.
///
/// # Errors
/// The broker cannot be launched.
pub fn run(arguments: &[OsString]) -> anyhow::Result<u8> {
    let command = arguments.first().map(|command| command.to_string_lossy()).unwrap_or_default();
    match &*command {
        "standalone" => launch(&arguments[1..]),
        "version" | "--version" => {
            println!("Current version of pulsar is: {COMPATIBLE_VERSION}");
            println!("which Longshore {} is compatible with", env!("CARGO_PKG_VERSION"));
            Ok(0)
        }
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(0)
        }
        "" => {
            println!("{USAGE}");
            Ok(REFUSED)
        }
        other => {
            match ABSENT.iter().find(|(name, _)| *name == other) {
                Some((_, instead)) => eprintln!("error: there is no `pulsar {other}` here: {instead}"),
                None => {
                    println!("\n-- Invalid command '{other}' -- Use 'pulsar help' to get a list of valid commands\n")
                }
            }
            Ok(REFUSED)
        }
    }
}

/// Becomes the broker.
fn launch(flags: &[OsString]) -> anyhow::Result<u8> {
    let program = std::env::current_exe().context("find out where this program is")?;
    let home = home(&program);
    // Relative paths of the configuration, and of flags, are meant from there, as in the original.
    std::env::set_current_dir(&home).with_context(|| format!("go to folder {}", home.display()))?;
    let mut broker = Reader::of(&home.join(ENVIRONMENT_FILE))?.command(&program)?;
    broker.arg(LAUNCHED).args(flags).env("PULSAR_HOME", &home).env("BK_HOME", &home);
    if std::env::var_os("PULSAR_LOG_DIR").is_none() {
        // The original's conf/pulsar_env.sh composes paths of it.
        broker.env("PULSAR_LOG_DIR", home.join("logs"));
    }
    // Comes back only if it failed.
    let error = broker.exec();
    Err(error).with_context(|| format!("start {}", broker.get_program().to_string_lossy()))
}

/// The folder above the one that the program lies in; a link to it from elsewhere leads there too.
fn home(program: &Path) -> PathBuf {
    program.ancestors().nth(2).unwrap_or(Path::new("/")).to_owned()
}

/// The configuration file of a broker that was launched: as named, else the one in place. `None` where there is neither.
pub fn default_configuration() -> Option<PathBuf> {
    let named = std::env::var_os(CONFIGURATION).filter(|name| !name.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from(DEFAULT_CONFIGURATION)).filter(|file| file.exists()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_is_above_the_programs_folder() {
        assert_eq!(home(Path::new("/opt/longshore/bin/longshore")), Path::new("/opt/longshore"));
        assert_eq!(home(Path::new("/longshore")), Path::new("/"));
    }

    #[test]
    fn what_is_absent_is_said_and_refused() {
        assert!(ABSENT.is_sorted());
        for (name, instead) in ABSENT {
            assert_eq!(run(&[name.into()]).unwrap(), REFUSED, "{name}: {instead}");
        }
        assert_eq!(run(&["nonsense".into()]).unwrap(), REFUSED);
        assert_eq!(run(&[]).unwrap(), REFUSED);
        assert_eq!(run(&["version".into()]).unwrap(), 0);
    }
}
