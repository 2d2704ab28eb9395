//! A look at the store behind the driver's back: what lies there, what a damaged byte does, what a stranger's object does.
//!
//! Without a probe the cases that need one are skipped. The store must belong to the run alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The store of a driver as a row of named objects. Calls may block.
pub trait StoreProbe: Send + Sync {
    /// The names of all objects, sorted.
    ///
    /// # Errors
    /// The store cannot be listed.
    fn objects(&self) -> io::Result<Vec<String>>;

    /// The bytes of one object.
    ///
    /// # Errors
    /// `NotFound` where there is no such object; errors of the store.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Makes an object, or replaces its bytes.
    ///
    /// # Errors
    /// Those of the store.
    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Removes an object; one that is missing is removed already.
    ///
    /// # Errors
    /// Those of the store.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A store that is a folder: each file below it is an object, named by its path with `/`.
#[derive(Clone, Debug)]
pub struct FolderProbe(PathBuf);

impl FolderProbe {
    /// The store below `folder`, which need not exist yet.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self(folder.into())
    }
}

impl StoreProbe for FolderProbe {
    fn objects(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(&folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else {
                    found.push(self.name_of(&entry.path()));
                }
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.0.join(name))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.0.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, bytes)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl FolderProbe {
    fn name_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.0).unwrap_or(path).to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_a_store() {
        let folder = tempfile::tempdir().unwrap();
        let probe = FolderProbe::new(folder.path().join("store"));
        assert_eq!(probe.objects().unwrap(), [""; 0]);
        probe.write("b/c", b"1").unwrap();
        probe.write("a", b"2").unwrap();
        assert_eq!(probe.objects().unwrap(), ["a", "b/c"]);
        assert_eq!(probe.read("b/c").unwrap(), b"1");
        probe.remove("a").unwrap();
        probe.remove("a").unwrap();
        assert_eq!(probe.objects().unwrap(), ["b/c"]);
    }
}
