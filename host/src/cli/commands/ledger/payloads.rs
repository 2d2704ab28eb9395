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
    open: Option<BufWriter<File>>,
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

    /// More bytes of the entry that is being written.
    pub(super) fn add(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let part = &self.part;
        let action = || format!("write {}", part.display());
        let file = match &mut self.open {
            Some(file) => file,
            none => none.insert(BufWriter::new(File::create(part).with_context(action)?)),
        };
        file.write_all(bytes).with_context(action)
    }

    /// The entry has all its bytes.
    pub(super) fn end(&mut self, entry_id: u64) -> anyhow::Result<()> {
        // One without bytes has a file as well.
        self.add(&[])?;
        let file = self.open.take().context("a file was opened just now")?;
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
        payloads.add(b"on").unwrap();
        payloads.add(b"e").unwrap();
        payloads.end(1).unwrap();
        assert_eq!(fs::read(folder.join("0")).unwrap(), b"");
        assert_eq!(fs::read(folder.join("1")).unwrap(), b"one");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2);
        assert!(PayloadFolder::open(&folder, false).unwrap_err().contains("--force"));
        assert!(PayloadFolder::open(&folder, true).is_ok());
    }
}
