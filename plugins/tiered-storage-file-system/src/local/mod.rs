//! Files in a folder of this machine, or of a server that it mounts (NFS).
//!
//! A crash of the machine leaves either the state before a step or the one after: folders are synced whenever their names
//! change, files before they count.

mod new_file;
mod open_file;

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use longshore_plugin_api::spare::Spares;
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::file_system::{FOLDER_ENTRIES_MAX, FileSystem, Kind, Listed, NewFile, OpenFile, is_absent, too_many};
use new_file::LocalNewFile;
use open_file::LocalOpenFile;

/// How often a step is made again that somebody else's steps undid.
const RACES_MAX: usize = 64;
/// NFS gives a file that is removed while it is open, or while its last bytes are on their way, another name in its folder until it is
/// closed. A removal waits for that: so often, so long.
const BUSY_TRIES: usize = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// Memory for reads to come, in bytes: a read for a broker and the next one.
const SPARE_BYTES_MAX: usize = 8 << 20;

/// The machine's own file system, mounted ones included.
#[derive(Debug, Default)]
pub(crate) struct LocalFileSystem {
    /// Memory that reads share, as long as a file is open.
    spares: Mutex<Weak<Spares>>,
}

impl LocalFileSystem {
    fn spares(&self) -> Arc<Spares> {
        let mut spares = self.spares.lock().unwrap_or_else(PoisonError::into_inner);
        spares.upgrade().unwrap_or_else(|| {
            let made = Spares::new(SPARE_BYTES_MAX);
            *spares = Arc::downgrade(&made);
            made
        })
    }
}

impl FileSystem for LocalFileSystem {
    fn keeps_side_files(&self) -> bool {
        true
    }

    fn answers_from_memory(&self) -> bool {
        true
    }

    fn read_permits(&self) -> Option<&Arc<Semaphore>> {
        None
    }

    fn create_folders(&self, folder: &Path) -> io::Result<()> {
        let mut tries = 0..RACES_MAX;
        loop {
            match create_missing(folder) {
                // Others, who share the folders, remove them whenever they are empty.
                Err(e) if e.kind() == ErrorKind::NotFound && tries.next().is_some() => {}
                created => return created,
            }
        }
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        Ok(Box::new(LocalNewFile::create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Option<Arc<dyn OpenFile>>> {
        Ok(LocalOpenFile::open(path, self.spares())?.map(|file| Arc::new(file) as Arc<dyn OpenFile>))
    }

    fn is_folder(&self, path: &Path) -> io::Result<bool> {
        match fs::metadata(path) {
            Err(e) if is_absent(&e) => Ok(false),
            found => Ok(found?.is_dir()),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // What disappears meanwhile is left out. Links are not followed: a link upwards would never end.
            let kind = match entry.file_type() {
                Ok(kind) if kind.is_dir() => Kind::Folder,
                Ok(kind) if kind.is_file() => match entry.metadata() {
                    Ok(metadata) => Kind::File(metadata.len()),
                    Err(e) if is_absent(&e) => continue,
                    Err(e) => return Err(e),
                },
                _ => continue,
            };
            if found.len() == FOLDER_ENTRIES_MAX {
                return Err(too_many(folder));
            }
            found.push(Listed { name, kind });
        }
        Ok(found)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        match renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Err(ErrorKind::Unsupported.into()),
            exchanged => Ok(exchanged?),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let (mut races, mut pauses) = (0..RACES_MAX, 0..BUSY_TRIES);
        loop {
            match remove_once(path) {
                Err(e) if is_absent(&e) => return Ok(()),
                // Somebody writes into it meanwhile.
                Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty && races.next().is_some() => {}
                Err(e) if e.kind() == ErrorKind::ResourceBusy && pauses.next().is_some() => thread::sleep(BUSY_PAUSE),
                removed => return removed,
            }
        }
    }

    fn remove_empty(&self, folder: &Path) -> io::Result<()> {
        fs::remove_dir(folder)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        fs::File::open(folder)?.sync_all()
    }

    fn check_writable(&self, base: &Path) -> io::Result<()> {
        let existing = base.ancestors().find(|path| fs::symlink_metadata(path).is_ok()).unwrap_or(Path::new("/"));
        if !existing.is_dir() {
            let problem = format!("{} is not a folder", existing.display());
            return Err(io::Error::new(ErrorKind::PermissionDenied, problem));
        }
        if existing != base {
            // It will be made by the first offload.
            let wanted = Access::WRITE_OK | Access::EXEC_OK;
            return Ok(rustix::fs::accessat(CWD, existing, wanted, AtFlags::EACCESS)?);
        }
        write_nameless(base)
    }
}

fn create_missing(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.is_dir()).collect();
    for path in missing.into_iter().rev() {
        match fs::create_dir(path) {
            Ok(()) => path.parent().map_or(Ok(()), |parent| LocalFileSystem::default().sync_folder(parent))?,
            Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists && fs::symlink_metadata(path).is_ok() => {
                let problem = format!("{}: a file of this name is in the way, move it elsewhere", path.display());
                return Err(io::Error::new(ErrorKind::NotADirectory, problem));
            }
            // It was there and went again.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Err(ErrorKind::NotFound.into()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn remove_once(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// Writes into a file that has no name, or where there are no such files, into one that is removed at once.
fn write_nameless(folder: &Path) -> io::Result<()> {
    match rustix::fs::open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
        Ok(nameless) => fs::File::from(nameless).write_all(b"ok"),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {
            let probe = folder.join(format!(".health-{}", Uuid::new_v4().simple()));
            let opened = OpenOptions::new().write(true).create_new(true).open(&probe);
            let written = opened.and_then(|mut file| file.write_all(b"ok"));
            written.and(LocalFileSystem::default().remove(&probe))
        }
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_the_way_is_named_and_its_removal_helps() {
        let folder = tempfile::tempdir().unwrap();
        let in_the_way = folder.path().join("a");
        fs::write(&in_the_way, b"").unwrap();
        let wanted = in_the_way.join("b/c");
        let error = LocalFileSystem::default().create_folders(&wanted).unwrap_err();
        assert!(error.to_string().contains(&format!("{}: a file", in_the_way.display())), "{error}");
        fs::remove_file(&in_the_way).unwrap();
        LocalFileSystem::default().create_folders(&wanted).unwrap();
        assert!(wanted.is_dir());
    }

    #[test]
    fn removing_what_is_missing_or_hidden_behind_a_file_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        LocalFileSystem::default().remove(&file.join("below")).unwrap();
        LocalFileSystem::default().remove(&file).unwrap();
        LocalFileSystem::default().remove(&file).unwrap();
        assert!(!file.exists());
    }

    #[test]
    fn a_listing_tells_files_from_folders_and_leaves_links_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), b"abc").unwrap();
        fs::create_dir(folder.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();
        let mut listed = LocalFileSystem::default().list(folder.path()).unwrap();
        listed.sort_by(|one, other| one.name.cmp(&other.name));
        let expected = [("file", Kind::File(3)), ("folder", Kind::Folder)];
        assert_eq!(listed, expected.map(|(name, kind)| Listed { name: name.to_owned(), kind }));
        assert!(is_absent(&LocalFileSystem::default().list(&folder.path().join("none")).unwrap_err()));
    }
}
