//! Folders made, renamed and removed so that a crash of the machine leaves either the state before or the one after.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use longshore_plugin_api::{Error, ErrorCode, Result};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::config::shown;
use crate::error::io_error;
use crate::stored_file::is_absent;

/// How often a step is made again that somebody else's steps undid.
const RACES_MAX: usize = 64;

/// Makes `folder` and every folder above it that is missing, durably.
///
/// # Errors
/// Names the path that is in the way where it is not a folder.
pub(crate) fn create(folder: &Path) -> Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.is_dir()).collect();
    for path in missing.into_iter().rev() {
        match fs::create_dir(path) {
            Ok(()) => sync_parent(path)?,
            Err(e) if e.kind() == ErrorKind::AlreadyExists && path.is_dir() => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let path = path.display();
                let message = format!("create folder {path}: a file of this name is in the way, move it elsewhere");
                return Err(Error::new(ErrorCode::Conflict, message));
            }
            Err(e) => return Err(Error::io(format_args!("create folder {}", path.display()), &e)),
        }
    }
    Ok(())
}

/// Makes `folder` below a folder that others, who share it, remove whenever it is empty.
///
/// # Errors
/// As `mkdir`.
pub(crate) fn create_below_shared(folder: &Path) -> Result<()> {
    let mut tries = 0..RACES_MAX;
    loop {
        match fs::create_dir_all(folder) {
            // It went between the two steps.
            Err(e) if e.kind() == ErrorKind::NotFound && tries.next().is_some() => {}
            created => return created.map_err(io_error(format_args!("create folder {}", folder.display()))),
        }
    }
}

/// Gives the complete folder `from` its final name `to`, durably. A folder that has the name already is exchanged for it
/// in one step and is then what `from` names.
///
/// # Errors
/// `Conflict` where `from` is gone: somebody else deleted this attempt meanwhile.
pub(crate) fn publish(from: &Path, to: &Path) -> Result<()> {
    let what = || format!("rename {} to {}", from.display(), to.display());
    let renamed = match fs::rename(from, to) {
        Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => exchange(from, to),
        other => other,
    };
    match renamed {
        Ok(()) => sync_parent(to),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let message = format!("{}: the attempt was deleted while it ran", what());
            Err(Error::new(ErrorCode::Conflict, message).with_source(&e))
        }
        Err(e) => Err(Error::io(what(), &e)),
    }
}

fn exchange(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE) {
        Ok(()) => Ok(()),
        // The file system cannot exchange: the old copy goes first.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            fs::remove_dir_all(to)?;
            fs::rename(from, to)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Removes `path` with everything in it, also while somebody writes there. What does not exist is removed already.
///
/// # Errors
/// `Conflict` where somebody writes there faster than it is removed.
pub(crate) fn remove(path: &Path) -> Result<()> {
    for _ in 0..RACES_MAX {
        match remove_once(path) {
            Ok(()) => return Ok(()),
            Err(e) if is_absent(&e) => return Ok(()),
            Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => {}
            Err(e) => return Err(Error::io(format_args!("remove {}", path.display()), &e)),
        }
    }
    let message = format!("remove {}: somebody else writes into it", path.display());
    Err(Error::new(ErrorCode::Conflict, message))
}

fn remove_once(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// Makes the entries of the folder that holds `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), sync)
}

/// Makes the entries of `folder` durable.
pub(crate) fn sync(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|file| file.sync_all());
    synced.map_err(io_error(format_args!("sync folder {}", shown(folder))))
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
        let error = create(&wanted).unwrap_err();
        assert!(error.to_string().contains(&format!("{}: a file", in_the_way.display())), "{error}");
        fs::remove_file(&in_the_way).unwrap();
        create(&wanted).unwrap();
        assert!(wanted.is_dir());
    }

    #[test]
    fn publishing_replaces_and_a_deleted_attempt_is_a_conflict() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for round in ["one", "two"] {
            fs::create_dir(&from).unwrap();
            fs::write(from.join("data"), round).unwrap();
            publish(&from, &to).unwrap();
            assert_eq!(fs::read_to_string(to.join("data")).unwrap(), round);
            remove(&from).unwrap();
        }
        assert_eq!(publish(&from, &to).unwrap_err().code(), ErrorCode::Conflict);
    }

    #[test]
    fn removing_what_is_missing_or_hidden_behind_a_file_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        remove(&file.join("below")).unwrap();
        remove(&file).unwrap();
        remove(&file).unwrap();
        assert!(!file.exists());
    }
}
