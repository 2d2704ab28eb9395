//! Flags of the original's `standalone` that mean nothing here: accepted, and named once. Pure.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// Two letters behind one dash, as the original's parser has them, and what they stand for.
const SHORT: [(&str, &str); 3] =
    [("-nfw", "--no-functions-worker"), ("-nss", "--no-stream-storage"), ("-fwc", "--functions-worker-conf")];

/// Flags without an effect.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Accepted for Apache Pulsar's sake, without effect")]
pub struct IdleFlags {
    /// Functions do not run here (-nfw).
    #[arg(long)]
    pub no_functions_worker: bool,
    /// Functions do not run here (-fwc).
    #[arg(long, value_name = "FILE")]
    pub functions_worker_conf: Option<PathBuf>,
    /// There is no stream storage (-nss).
    #[arg(long)]
    pub no_stream_storage: bool,
    /// There is no stream storage.
    #[arg(long, value_name = "PORT")]
    pub stream_storage_port: Option<String>,
    /// Ledgers live in files under longshoreDataDirectory.
    #[arg(long, value_name = "N")]
    pub num_bookies: Option<String>,
    /// Ledgers live in files under longshoreDataDirectory.
    #[arg(long, value_name = "FOLDER")]
    pub bookkeeper_dir: Option<PathBuf>,
    /// Ledgers live in files under longshoreDataDirectory.
    #[arg(long, value_name = "PORT")]
    pub bookkeeper_port: Option<String>,
    /// Metadata is a file under longshoreDataDirectory.
    #[arg(long, value_name = "FOLDER")]
    pub metadata_dir: Option<PathBuf>,
    /// Metadata is a file under longshoreDataDirectory.
    #[arg(long, value_name = "URL")]
    pub metadata_url: Option<String>,
    /// Metadata is a file under longshoreDataDirectory.
    #[arg(long, value_name = "FOLDER")]
    pub zookeeper_dir: Option<PathBuf>,
    /// Metadata is a file under longshoreDataDirectory.
    #[arg(long, value_name = "PORT")]
    pub zookeeper_port: Option<String>,
    /// The broker is all there is.
    #[arg(long)]
    pub only_broker: bool,
}

impl IdleFlags {
    /// Those that were given.
    pub fn given(&self) -> Vec<&'static str> {
        let all = [
            ("--no-functions-worker", self.no_functions_worker),
            ("--functions-worker-conf", self.functions_worker_conf.is_some()),
            ("--no-stream-storage", self.no_stream_storage),
            ("--stream-storage-port", self.stream_storage_port.is_some()),
            ("--num-bookies", self.num_bookies.is_some()),
            ("--bookkeeper-dir", self.bookkeeper_dir.is_some()),
            ("--bookkeeper-port", self.bookkeeper_port.is_some()),
            ("--metadata-dir", self.metadata_dir.is_some()),
            ("--metadata-url", self.metadata_url.is_some()),
            ("--zookeeper-dir", self.zookeeper_dir.is_some()),
            ("--zookeeper-port", self.zookeeper_port.is_some()),
            ("--only-broker", self.only_broker),
        ];
        all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
    }
}

/// Arguments with the short forms written out, which no other command has.
pub fn written_out(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let write_out = |argument: OsString| {
        let Some(text) = argument.to_str() else { return argument };
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        match (SHORT.iter().find(|(short, _)| *short == name), value) {
            (None, _) => argument,
            (Some((_, long)), None) => long.into(),
            (Some((_, long)), Some(value)) => format!("{long}={value}").into(),
        }
    };
    arguments.into_iter().map(write_out).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Arguments, Command};

    #[test]
    fn every_flag_of_the_original_is_accepted_and_the_idle_ones_are_named() {
        let line = "longshore standalone -a 127.0.0.1 -c f -nfw -nss -fwc=w.yml --wipe-data --num-bookies 3 --metadata-dir=m \
                    --metadata-url rocksdb:/m --bookkeeper-dir b --bookkeeper-port=3181 --stream-storage-port 4181 \
                    --zookeeper-dir=z --zookeeper-port 2181 --only-broker";
        let arguments = written_out(line.split_whitespace().map(OsString::from));
        let Command::Standalone(args) = Arguments::try_parse_from(arguments).unwrap().command else { panic!() };
        assert_eq!((args.advertised_address.as_deref(), args.wipe_data), (Some("127.0.0.1"), true));
        assert_eq!(args.idle.given().len(), 12, "{:?}", args.idle);
        assert_eq!(args.idle.functions_worker_conf.as_deref(), Some(std::path::Path::new("w.yml")));
    }

    #[test]
    fn without_flags_nothing_is_named() {
        let Command::Standalone(args) = Arguments::try_parse_from(["longshore", "standalone"]).unwrap().command else {
            panic!()
        };
        assert_eq!(args.idle.given(), Vec::<&str>::new());
    }
}
