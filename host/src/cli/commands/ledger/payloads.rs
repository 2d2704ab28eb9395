//! Payloads as files, named by the ids of their entries.
//!
//! A file has its name only when it is whole; an end in between leaves one file `.part`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Where payloads go.
#[derive(Debug)]
pub(super) struct PayloadFolder {
    folder: PathBuf,
    part: PathBuf,
    /// The entry that is being written, and its file so far.
    open: Option<(u64, BufWriter<File>)>,
}

impl PayloadFolder {
    /// Makes the folder; one that is not empty is refused unless `force`.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn open(folder: &Path, force: bool) -> Result<Self, String> {
        let problem = |error: io::Error| format!("write payloads to {}: {error}", folder.display());
        fs::create_dir_all(folder).map_err(problem)?;
        if !force && fs::read_dir(folder).map_err(problem)?.next().is_some() {
            return Err(format!("{} is not empty: name another folder, or use --force", folder.display()));
        }
        Ok(Self { folder: folder.to_owned(), part: folder.join(".part"), open: None })
    }

    /// More bytes of an entry. What came of another one that did not end is dropped.
    pub(super) fn add(&mut self, entry_id: u64, bytes: &[u8]) -> anyhow::Result<()> {
        let part = &self.part;
        let action = || format!("write {}", part.display());
        if let Some((_, other)) = self.open.take_if(|(open, _)| *open != entry_id) {
            // Its last bytes must not follow into the file that takes its place.
            drop(other.into_parts());
        }
        let (_, file) = match &mut self.open {
            Some(open) => open,
            none => none.insert((entry_id, BufWriter::new(File::create(part).with_context(action)?))),
        };
        file.write_all(bytes).with_context(action)
    }

    /// The entry has all its bytes.
    pub(super) fn end(&mut self, entry_id: u64) -> anyhow::Result<()> {
        // One without bytes has a file as well.
        self.add(entry_id, &[])?;
        let (_, file) = self.open.take().context("a file was opened just now")?;
        let path = self.folder.join(entry_id.to_string());
        let action = || format!("write {}", path.display());
        file.into_inner().map_err(io::IntoInnerError::into_error).with_context(action)?;
        fs::rename(&self.part, &path).with_context(action)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_payload_becomes_a_file_and_a_used_folder_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b");
        let mut payloads = PayloadFolder::open(&folder, false).unwrap();
        payloads.end(0).unwrap();
        payloads.add(1, b"on").unwrap();
        payloads.add(1, b"e").unwrap();
        payloads.end(1).unwrap();
        payloads.add(2, b"cut off").unwrap();
        payloads.add(3, b"whole").unwrap();
        payloads.end(3).unwrap();
        assert_eq!(fs::read(folder.join("0")).unwrap(), b"");
        assert_eq!(fs::read(folder.join("1")).unwrap(), b"one");
        assert_eq!(fs::read(folder.join("3")).unwrap(), b"whole");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        assert!(PayloadFolder::open(&folder, false).unwrap_err().contains("--force"));
        assert!(PayloadFolder::open(&folder, true).is_ok());
    }
}
