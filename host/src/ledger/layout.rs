//! Which file is where below the ledger folder, and the listing at start.
//!
//! `<folder>/<id / 4096>/<id>.ledger` is sealed, `<id>.open` is not; `<id>.cut` holds bytes that a recovery set aside.
//! `<folder>/journal/<number>.journal` are the journal's segments,
//! `<number>.spare` their blocks for later use. The name alone tells sealed from open, so a start reads
//! no sealed file. Neighbouring ids share a folder: a rollover of many topics touches one or two folders.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::storage::LedgerId;

/// Ledgers in one folder.
const LEDGERS_PER_FOLDER: u64 = 4096;
/// Name of the journal's folder.
const JOURNAL_FOLDER: &str = "journal";
/// Name of the file whose lock keeps a second process out.
const LOCK_FILE: &str = "lock";

/// The ledger folder.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    root: PathBuf,
}

/// What a start finds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Ledgers with a footer, ascending.
    pub(super) sealed: Vec<LedgerId>,
    /// Ledgers without, ascending.
    pub(super) open: Vec<LedgerId>,
}

impl Layout {
    /// The layout below `root`.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The ledger folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder that holds a ledger's file.
    pub(super) fn folder(&self, id: LedgerId) -> PathBuf {
        self.root.join((id.0 / LEDGERS_PER_FOLDER).to_string())
    }

    /// A ledger that may grow.
    pub(super) fn open_path(&self, id: LedgerId) -> PathBuf {
        self.folder(id).join(format!("{id}.open"))
    }

    /// A ledger that never changes.
    pub(super) fn sealed_path(&self, id: LedgerId) -> PathBuf {
        self.folder(id).join(format!("{id}.ledger"))
    }

    /// Bytes set aside by a recovery.
    pub(super) fn cut_path(&self, id: LedgerId) -> PathBuf {
        self.folder(id).join(format!("{id}.cut"))
    }

    /// The journal's folder.
    pub(super) fn journal_folder(&self) -> PathBuf {
        self.root.join(JOURNAL_FOLDER)
    }

    /// One segment of the journal. Ten digits, so that a listing by name is in order.
    pub(super) fn journal_path(&self, number: u64) -> PathBuf {
        self.journal_folder().join(format!("{number:010}.journal"))
    }

    /// A segment whose blocks wait to be written over; its content says nothing.
    pub(super) fn spare_path(&self, number: u64) -> PathBuf {
        self.journal_folder().join(format!("{number:010}.spare"))
    }

    /// The lock file.
    pub(super) fn lock_path(&self) -> PathBuf {
        self.root.join(LOCK_FILE)
    }

    /// Numbers of the journal's segments, ascending.
    pub(super) fn journal_numbers(&self) -> io::Result<Vec<u64>> {
        self.numbers_of_journal_files(".journal")
    }

    /// Numbers of the spare segments, ascending.
    pub(super) fn spare_numbers(&self) -> io::Result<Vec<u64>> {
        self.numbers_of_journal_files(".spare")
    }

    fn numbers_of_journal_files(&self, extension: &str) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(self.journal_folder())? {
            numbers.extend(number_before(&entry?.file_name(), extension));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Lists all ledgers by their names, and removes folders that became empty.
    pub(super) fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        for folder in fs::read_dir(&self.root)? {
            let folder = folder?;
            if number_before(&folder.file_name(), "").is_some() && folder.file_type()?.is_dir() {
                self.list_folder(&folder.path(), &mut listing)?;
            }
        }
        listing.sealed.sort_unstable();
        listing.open.sort_unstable();
        Ok(listing)
    }

    fn list_folder(&self, folder: &Path, listing: &mut Listing) -> io::Result<()> {
        let mut is_empty = true;
        for file in fs::read_dir(folder)? {
            let name = file?.file_name();
            is_empty = false;
            if let Some(id) = number_before(&name, ".ledger") {
                listing.sealed.push(LedgerId(id));
            } else if let Some(id) = number_before(&name, ".open") {
                listing.open.push(LedgerId(id));
            } else if number_before(&name, ".cut").is_none() {
                tracing::warn!(file = %folder.join(&name).display(), "a file that is no ledger is left alone");
            }
        }
        if is_empty {
            fs::remove_dir(folder)?;
        }
        Ok(())
    }
}

fn number_before(name: &std::ffi::OsStr, extension: &str) -> Option<u64> {
    name.to_str()?.strip_suffix(extension)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_tells_sealed_from_open_by_name_and_ignores_the_rest() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        for id in [1, 5000, 4095] {
            fs::create_dir_all(layout.folder(LedgerId(id))).unwrap();
            fs::write(layout.sealed_path(LedgerId(id)), b"").unwrap();
        }
        fs::write(layout.open_path(LedgerId(4096)), b"").unwrap();
        fs::write(layout.folder(LedgerId(1)).join("README"), b"").unwrap();
        fs::create_dir_all(layout.folder(LedgerId(90_000))).unwrap();
        fs::create_dir_all(layout.journal_folder()).unwrap();
        let listing = layout.list().unwrap();
        assert_eq!(listing.sealed, [1, 4095, 5000].map(LedgerId));
        assert_eq!(listing.open, [LedgerId(4096)]);
        assert!(!layout.folder(LedgerId(90_000)).exists(), "an empty folder is removed");
    }
}
