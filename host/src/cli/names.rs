//! The names that this program goes by: a link to it is a tool of its own.

use std::ffi::OsStr;
use std::path::Path;

use super::launcher::LAUNCHED;

/// What the program was called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// By its own name, or one that means nothing.
    Longshore,
    /// `pulsar`: the original's launcher.
    Pulsar,
}

impl Name {
    /// By the first two words of the command line. A program that was launched is itself, whatever its file is called.
    pub fn of(called: Option<&OsStr>, first: Option<&OsStr>) -> Self {
        let name = called.and_then(|called| Path::new(called).file_name()).and_then(OsStr::to_str);
        match name {
            _ if first == Some(OsStr::new(LAUNCHED)) => Self::Longshore,
            Some("pulsar") => Self::Pulsar,
            _ => Self::Longshore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_part_of_the_path_counts() {
        let name = |called: &str, first: &str| Name::of(Some(OsStr::new(called)), Some(OsStr::new(first)));
        assert_eq!(name("./bin/pulsar", "standalone"), Name::Pulsar);
        assert_eq!(name("pulsar", "launched"), Name::Longshore);
        assert_eq!(name("/opt/pulsar/longshore", "standalone"), Name::Longshore);
        assert_eq!(Name::of(None, None), Name::Longshore);
    }
}
