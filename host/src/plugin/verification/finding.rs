//! What verifying a file can find: each kind has an id that scripts may rely on, a level, and what to do about it.

use std::fmt;

use serde::{Serialize, Serializer};

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The file must not be loaded, or will not be.
    Error,
    /// It works, and will hurt somebody.
    Warning,
    /// Good to know.
    Note,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// A kind of finding.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Stable name.
    pub id: &'static str,
    /// How much it matters.
    pub level: Level,
    /// What to do; lower case, no full stop.
    pub advice: &'static str,
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id)
    }
}

macro_rules! kinds {
    ($( $name:ident = $id:literal, $level:ident, $advice:literal; )+) => {
        $( pub(super) const $name: &Kind = &Kind { id: $id, level: Level::$level, advice: $advice }; )+

        /// Every kind there is, as `docs/operate/plugins.md` lists them.
        pub const KINDS: &[&Kind] = &[$($name),+];
    };
}

kinds! {
    UNREADABLE = "unreadable", Error, "give the path of a regular file that this user may read";
    INCOMPLETE = "incomplete", Error, "wait until it is copied, and install by renaming a complete file";
    NOT_A_PLUGIN = "not-a-plugin", Error, "give a library made with export_offloader! for this machine";
    API_VERSION = "api-version", Error, "build it against a plugin API that this host offers, or update the host";
    TARGET = "target", Error, "build it for this host's target";
    PANIC_STRATEGY = "panic-strategy", Error, "build it with panic = \"unwind\"";
    SCHEMA_INVALID = "schema-invalid", Error, "correct the configuration schema";
    OWNER = "owner", Error, "install it as a user that the broker believes, writable by nobody else";
    ALLOW_LIST = "allow-list", Error, "add its hash to the allow-list";
    SIGNATURE = "signature", Error, "sign it with a key that the broker knows";
    DAMAGED = "damaged", Error, "link it again: its dynamic tables contradict each other";
    NO_ROOT = "no-root", Error, "export the root symbol with export_offloader!";
    EXPORTED_SYMBOLS = "exported-symbols", Error,
        "hide them with `-Wl,--exclude-libs=ALL` in the plugin's build.rs: they can take the place of other libraries' functions";
    MISSING_LIBRARY = "missing-library", Error, "install the library on this machine, or link it statically";
    EXECUTABLE_STACK = "executable-stack", Error,
        "link it with `-Wl,-z,noexecstack`: loading it would make every stack of the broker executable";
    CANNOT_LOAD = "cannot-load", Error, "see what the system's loader says";
    ENTRY = "entry", Error, "build it against this host's plugin API";
    LAYOUT = "layout", Error, "build it against this host's plugin API";
    NOTE_VERSION = "note-version", Error, "build it again: its note was changed after it was linked";
    NOTE_LIES = "note-lies", Error, "build it again: its note was changed after it was linked";
    ROOT_MODULE = "root-module", Error, "see what its constructor says";
    START = "start", Error, "see what the plugin says";
    CRASH = "crash", Error, "debug its constructors: the broker would have died of this";
    EXIT = "exit", Error, "remove what ends the process from its constructors: the broker would have ended";
    HANG = "hang", Error, "debug its constructors: the start of the broker would have waited for ever";
    TRIAL = "trial", Error, "the child process that loads the file could not be run; free memory or processes";
    RUN_PATH = "run-path", Warning, "link it without rpath: who can write those folders decides what is loaded";
    TEXT_RELOCATIONS = "text-relocations", Warning, "compile everything in it with -fPIC: hardened systems refuse to load it";
    STATIC_TLS = "static-tls", Warning,
        "avoid initial-exec thread-local data (some allocators use it): the space for it may be used up when the broker loads it";
    SIZE = "size", Warning, "strip it, build it with lto: every version that is loaded stays in memory until the broker ends";
    LICENSE = "license", Warning, "name an SPDX licence in Cargo.toml";
    SCHEMA_KEYWORD = "schema-keyword", Warning, "remove the keyword: it checks nothing here";
    SCHEMA_SECRET = "schema-secret", Warning, "remove the default of a secret: everybody can read it in the file";
    CRASH_AT_EXIT = "crash-at-exit", Warning, "debug its destructors: the broker would not end in order";
    DEBUG_BUILD = "debug-build", Warning, "build it with --release";
    NO_SCHEMA = "no-schema", Note, "declare a configuration schema, so that mistakes are told before the driver is made";
    DEBUG_INFO = "debug-info", Note, "strip it (`strip --strip-debug`) if size matters more than line numbers in panics";
    STRIPPED = "stripped", Note, "keep the symbol table if panics should name their functions";
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    #[serde(rename = "id")]
    pub kind: &'static Kind,
    /// How much it matters.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl Finding {
    pub(super) fn new(kind: &'static Kind, text: impl Into<String>) -> Self {
        Self { kind, level: kind.level, text: text.into(), advice: kind.advice }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_names_and_unlike() {
        let ids: BTreeSet<&str> = KINDS.iter().map(|kind| kind.id).collect();
        assert_eq!(ids.len(), KINDS.len());
        for kind in KINDS {
            assert!(kind.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", kind.id);
            assert!(!kind.advice.ends_with('.'), "{}", kind.advice);
        }
    }
}
