//! The names that this program goes by: a link to it is a tool of its own.

use std::ffi::OsStr;
use std::path::Path;

use super::Tool;
use super::launcher::LAUNCHED;

/// What the program was called as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// By its own name, or one that means nothing.
    Longshore,
    /// `pulsar`: the original's launcher.
    Pulsar,
    /// One of the original's tools.
    Tool(Tool),
}

impl Name {
    /// By the first two words of the command line. A program that was launched is itself, whatever its file is called.
    pub fn of(called: Option<&OsStr>, first: Option<&OsStr>) -> Self {
        let Some(program) = called.map(Path::new) else { return Self::Longshore };
        if first == Some(OsStr::new(LAUNCHED)) {
            return Self::Longshore;
        }
        match Tool::named(program) {
            Some(tool) => Self::Tool(tool),
            None if program.file_name() == Some(OsStr::new("pulsar")) => Self::Pulsar,
            None => Self::Longshore,
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
        assert_eq!(name("bin/pulsar-admin", "topics"), Name::Tool(Tool::Admin));
        assert_eq!(name("/opt/pulsar/longshore", "standalone"), Name::Longshore);
        assert_eq!(Name::of(None, None), Name::Longshore);
    }
}
