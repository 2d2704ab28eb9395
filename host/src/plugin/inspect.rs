//! Reads one candidate file, once, and decides on its bytes alone whether it may be loaded. Nothing of it is executed.
//!
//! The bytes that were judged here are the bytes that `load` opens: whatever happens to the file in between has no
//! effect.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::Bytes;
use longshore_plugin_api::note::{EntryKind, PluginNote, TARGET};
use longshore_plugin_api::version::{ABI_VERSION, Incompatible, check_compatible};
use rustix::fs::{Mode, OFlags};
use sha2::{Digest, Sha256};

use super::admission::{Denial, Ownership};
use super::config_schema::ConfigSchema;
use super::elf::{self, ElfError, FoundNote};
use super::pages::Pages;

/// A file's content, read once.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    /// Every byte.
    pub bytes: Bytes,
    /// SHA-256 of them.
    pub sha256: [u8; 32],
    /// Who owned the file, and who could write it, when it was read.
    pub ownership: Ownership,
}

impl Image {
    /// The hash in hexadecimal.
    pub fn sha256_hex(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Why a file is not loaded; each says so in a sentence of its own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The operating system refuses.
    #[error("it cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It is something else than a file.
    #[error("{0}")]
    NotAFile(&'static str),
    /// Longer than the setting allows.
    #[error("it has {len} bytes, more than offloadersFileBytesMax={max}")]
    TooLong {
        /// Bytes it has.
        len: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// It changed while it was read.
    #[error("it changed while it was read; install by renaming a complete file")]
    Growing,
    /// The bytes are not a plugin.
    #[error(transparent)]
    Elf(#[from] ElfError),
    /// Another contract.
    #[error("{0}")]
    Incompatible(#[from] Incompatible),
    /// Built for another system.
    #[error("it is built for {0}, this host for {TARGET}")]
    Target(String),
    /// Its panics would end the process.
    #[error("it is built with panic = \"{0}\", which would end the host on a panic; build it with panic = \"unwind\"")]
    PanicStrategy(String),
    /// A C library that does not promise that nothing unwinds out of it.
    #[error(
        "its entry is C and its note says panic = \"{0}\"; nothing may unwind out of it, which is said as \"none\""
    )]
    Unwinds(String),
    /// Its configuration schema contradicts itself.
    #[error("its configuration schema cannot be used: {}; see plugin_api::schema", .0.join("; "))]
    Schema(Vec<String>),
    /// The operator's policy does not admit it.
    #[error(transparent)]
    Denied(#[from] Denial),
}

impl Refusal {
    /// Whether the file may be complete at another look.
    pub fn is_incomplete(&self) -> bool {
        match self {
            Self::Growing => true,
            Self::Elf(error) => error.is_incomplete(),
            _ => false,
        }
    }
}

/// Reads a file and checks what kind of file it is, but neither its bytes nor who may write it.
///
/// # Errors
/// `Unreadable`, `NotAFile`, `TooLong`, `Growing`.
pub fn read(path: &Path, file_bytes_max: u64) -> Result<Image, Refusal> {
    // Without following a link, and without waiting for the other end of a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    let before = file.metadata()?;
    if !before.is_file() {
        return Err(Refusal::NotAFile("it is no regular file any more"));
    }
    if before.len() > file_bytes_max {
        return Err(Refusal::TooLong { len: before.len(), max: file_bytes_max });
    }
    let mut pages = Pages::zeroed(before.len() as usize)?;
    let whole = match file.read_exact(&mut pages) {
        // One byte more than there should be tells a file that grows.
        Ok(()) => file.read(&mut [0])? == 0,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
        Err(error) => return Err(error.into()),
    };
    let after = file.metadata()?;
    let changed = |m: &std::fs::Metadata| (m.len(), m.mtime(), m.mtime_nsec());
    if !whole || changed(&before) != changed(&after) {
        return Err(Refusal::Growing);
    }
    let sha256 = Sha256::digest(&pages).into();
    Ok(Image { bytes: Bytes::from_owner(pages), sha256, ownership: Ownership::from(&after) })
}

/// Reads the note of an image.
///
/// # Errors
/// [`Refusal::Elf`].
pub fn identify(image: &Image) -> Result<FoundNote, Refusal> {
    Ok(elf::read_note(&image.bytes)?)
}

/// Decides on the note alone whether this host can run the plugin.
///
/// # Errors
/// `Incompatible`, `Target`, `PanicStrategy`, `Unwinds`, `Schema`.
pub fn admit(note: &PluginNote) -> Result<(), Refusal> {
    let host = ABI_VERSION.parse().expect("our own version is semver");
    check_compatible(&host, &note.api, &note.api_min)?;
    if note.target != TARGET {
        return Err(Refusal::Target(note.target.clone()));
    }
    if note.panic != note.entry.panic_wanted() {
        return Err(match note.entry {
            EntryKind::Rust => Refusal::PanicStrategy(note.panic.clone()),
            EntryKind::C => Refusal::Unwinds(note.panic.clone()),
        });
    }
    if let Some(schema) = &note.config_schema {
        ConfigSchema::parse(schema).map_err(Refusal::Schema)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::write;

    use super::*;

    const MAX: u64 = 1000;

    #[test]
    fn links_and_long_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a.so"), folder.path().join("b.so"));
        write(&file, vec![0; 1001]).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(matches!(read(&file, MAX), Err(Refusal::TooLong { len: 1001, max: MAX })));
        assert!(matches!(read(&link, MAX), Err(Refusal::Unreadable(_))));
        assert!(matches!(read(folder.path(), MAX), Err(Refusal::NotAFile(_))));
    }

    #[test]
    fn the_hash_is_of_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.so");
        write(&path, "abc").unwrap();
        let hex = read(&path, MAX).unwrap().sha256_hex();
        assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
