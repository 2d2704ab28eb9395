//! Whole folders get their final name, or go away, in steps after each of which a crash leaves the state before or after.

use std::io::{self, ErrorKind};
use std::path::Path;

use longshore_plugin_api::{Error, ErrorCode, Result};

use crate::error::io_error;
use crate::file_system::{FileSystem, is_absent};
use crate::paths::CopyPaths;

/// What must not stay behind is removed again where the first try fails: on a mounted folder one lost answer is no reason to
/// keep a half-written copy.
const REMOVE_TRIES: usize = 3;

/// Makes `folder` and every folder above it, durably.
///
/// # Errors
/// `Conflict`, with the path, where a file is in the way.
pub(crate) fn create(file_system: &dyn FileSystem, folder: &Path) -> Result<()> {
    file_system.create_folders(folder).map_err(io_error(format_args!("create folder {}", folder.display())))
}

/// Gives the complete folder `attempt` its final name, durably. A copy that has the name already goes away.
///
/// # Errors
/// `Conflict` where the attempt is gone: somebody else deleted it meanwhile.
pub(crate) fn publish(file_system: &dyn FileSystem, attempt: &Path, paths: &CopyPaths) -> Result<()> {
    let what = || format!("rename {} to {}", attempt.display(), paths.copy.display());
    let renamed = match file_system.rename(attempt, &paths.copy) {
        Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            replace(file_system, attempt, paths)
        }
        renamed => renamed,
    };
    match renamed {
        Ok(()) => sync_folder(file_system, &paths.parent),
        Err(e) if is_absent(&e) => {
            let message = format!("{}: the attempt was deleted while it ran", what());
            Err(Error::new(ErrorCode::Conflict, message).with_source(&e))
        }
        Err(e) => Err(io_error(what())(e)),
    }
}

/// Puts the attempt in the copy's place: in one step where the file system can. Else a reader may find neither for a moment,
/// and a crash then leaves none under the copy's name, as before a first attempt.
fn replace(file_system: &dyn FileSystem, attempt: &Path, paths: &CopyPaths) -> io::Result<()> {
    match file_system.exchange(attempt, &paths.copy) {
        Err(e) if e.kind() == ErrorKind::Unsupported => {}
        exchanged => return exchanged,
    }
    file_system.remove(&paths.deleted)?;
    file_system.rename(&paths.copy, &paths.deleted)?;
    if let Err(e) = file_system.rename(attempt, &paths.copy) {
        // The old copy is as good as it was.
        let _ = file_system.rename(&paths.deleted, &paths.copy);
        return Err(e);
    }
    // What cannot be removed now goes with the copy.
    let _ = remove(file_system, &paths.deleted);
    Ok(())
}

/// Removes `path` with everything in it. What does not exist is removed already.
///
/// # Errors
/// Those of the file system, where several tries fail.
pub(crate) fn remove(file_system: &dyn FileSystem, path: &Path) -> Result<()> {
    let mut removed = file_system.remove(path);
    for _ in 1..REMOVE_TRIES {
        if removed.is_ok() {
            break;
        }
        removed = file_system.remove(path);
    }
    removed.map_err(io_error(format_args!("remove {}", path.display())))
}

/// Removes `folder` if nothing is in it, as far as that goes.
pub(crate) fn remove_empty(file_system: &dyn FileSystem, folder: &Path) {
    for _ in 0..REMOVE_TRIES {
        match file_system.remove_empty(folder) {
            Err(e) if !is_absent(&e) && e.kind() != ErrorKind::DirectoryNotEmpty => {}
            _ => return,
        }
    }
}

/// Removes a copy, attempts at it and what an interrupted delete left.
///
/// Attempts go first: one that gets the copy's name before that is removed with it, and none gets it later.
pub(crate) fn remove_copy(file_system: &dyn FileSystem, paths: &CopyPaths) -> Result<()> {
    remove(file_system, &paths.deleted)?;
    remove_named(file_system, &paths.attempts, &paths.deleted)?;
    remove_named(file_system, &paths.copy, &paths.deleted)?;
    match file_system.is_folder(&paths.parent) {
        Ok(true) => sync_folder(file_system, &paths.parent),
        Ok(false) => Ok(()),
        Err(e) => Err(io_error(format_args!("look at folder {}", paths.parent.display()))(e)),
    }
}

/// Removes `folder`, which loses its name first: no reader, listing or attempt's end meets half of it.
fn remove_named(file_system: &dyn FileSystem, folder: &Path, deleted: &Path) -> Result<()> {
    match file_system.rename(folder, deleted) {
        Err(e) if is_absent(&e) => return Ok(()),
        Ok(()) => {}
        // A file system without room for a new name still lets the folder go; and it may have the new name in spite of the error.
        Err(_) => remove(file_system, folder)?,
    }
    remove(file_system, deleted)
}

/// Makes the names in `folder` durable.
pub(crate) fn sync_folder(file_system: &dyn FileSystem, folder: &Path) -> Result<()> {
    file_system.sync_folder(folder).map_err(io_error(format_args!("sync folder {}", folder.display())))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::local::LocalFileSystem;

    #[test]
    fn publishing_replaces_and_a_deleted_attempt_is_a_conflict() {
        let folder = tempfile::tempdir().unwrap();
        let paths = CopyPaths::new(folder.path(), "a", 1, uuid::Uuid::nil()).unwrap();
        let attempt = folder.path().join("from");
        fs::create_dir(&paths.parent).unwrap();
        for round in ["one", "two"] {
            fs::create_dir(&attempt).unwrap();
            fs::write(attempt.join("data"), round).unwrap();
            publish(&LocalFileSystem::default(), &attempt, &paths).unwrap();
            assert_eq!(fs::read_to_string(paths.copy.join("data")).unwrap(), round);
            remove(&LocalFileSystem::default(), &attempt).unwrap();
        }
        assert_eq!(publish(&LocalFileSystem::default(), &attempt, &paths).unwrap_err().code(), ErrorCode::Conflict);
    }
}
