//! Where inspected bytes are opened from on a system that does not let memory files be executed: a private copy on disk.
//!
//! The copy lies in a folder that this user alone may enter, named by its hash, written beside its place and renamed. Before it
//! is used it is read back: what is opened is what was inspected, for all but this very user. Copies stay, since a library stays
//! mapped and the next start wants the same one; each content takes its size once.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::inspect::Image;

/// The mode of the folder and of a copy.
const FOLDER_MODE: u32 = 0o700;
const COPY_MODE: u32 = 0o500;

/// What the system's loader says of bytes that it may not map for execution.
const FORBIDDEN: [&str; 3] = ["failed to map segment", "Operation not permitted", "Permission denied"];

/// Whether a copy may be opened where a memory file could not, by what the loader said of it.
pub(super) fn may_help(words: &str) -> bool {
    FORBIDDEN.iter().any(|forbidden| words.contains(forbidden))
}

/// The path of a private copy of `image`, in the system's folder for temporary files.
///
/// # Errors
/// The operating system's; `PermissionDenied` where the folder is somebody else's or open to others.
pub(super) fn of(image: &Image) -> io::Result<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    within(&std::env::temp_dir().join(format!("longshore-plugins-{user}")), image)
}

fn within(folder: &Path, image: &Image) -> io::Result<PathBuf> {
    match DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => check_folder(folder)?,
    }
    let hash = image.sha256_hex();
    let path = folder.join(format!("{hash}.so"));
    if !holds(&path, image) {
        let part = folder.join(format!("{hash}.{}.part", std::process::id()));
        write(&part, image)?;
        fs::rename(&part, &path)?;
        if !holds(&path, image) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is not what was written", path.display()),
            ));
        }
    }
    Ok(path)
}

/// A folder of this user that nobody else may enter, not a link to one.
fn check_folder(folder: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(folder)?;
    let is_ours = metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw();
    if is_ours && metadata.mode() & 0o077 == 0 {
        return Ok(());
    }
    let problem = format!("{} is not a folder that this user alone may enter; remove it", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

fn write(part: &Path, image: &Image) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(FOLDER_MODE).open(part)?;
    file.write_all(&image.bytes)?;
    file.set_permissions(Permissions::from_mode(COPY_MODE))
}

/// Whether the file is a regular one with the very bytes.
fn holds(path: &Path, image: &Image) -> bool {
    let is_as_long = |metadata: fs::Metadata| metadata.is_file() && metadata.len() == image.bytes.len() as u64;
    fs::symlink_metadata(path).is_ok_and(is_as_long) && fs::read(path).is_ok_and(|bytes| bytes == image.bytes)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

    use super::*;
    use crate::plugin::inspect;

    /// A library whose function `answer` answers 42.
    fn image(folder: &Path) -> Image {
        let (c, so) = (folder.join("a.c"), folder.join("a.so"));
        fs::write(&c, "int answer(void) { return 42; }").unwrap();
        assert!(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&so).arg(&c).status().unwrap().success());
        inspect::read(&so, 1 << 20).unwrap()
    }

    #[test]
    fn a_copy_is_the_very_bytes_and_can_be_opened() {
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path());
        let cache = folder.path().join("cache");
        let path = within(&cache, &image).unwrap();
        assert_eq!(fs::read(&path).unwrap(), image.bytes);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, COPY_MODE);
        assert_eq!(fs::metadata(&cache).unwrap().mode() & 0o777, FOLDER_MODE);
        // SAFETY: the library was made above, and its one function takes nothing and answers an int.
        let library = unsafe { Library::open(Some(&path), RTLD_NOW | RTLD_LOCAL) }.unwrap();
        // SAFETY: as above.
        let answer = unsafe { library.get::<unsafe extern "C" fn() -> i32>(b"answer\0") }.unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { answer() }, 42);
    }

    #[test]
    fn a_copy_that_was_changed_is_written_again_and_one_that_was_not_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path());
        let cache = folder.path().join("cache");
        let path = within(&cache, &image).unwrap();
        let inode = || fs::metadata(&path).unwrap().ino();
        let first = inode();
        within(&cache, &image).unwrap();
        assert_eq!(inode(), first);
        for spoil in [&b"short"[..], &vec![0; image.bytes.len()]] {
            fs::remove_file(&path).unwrap();
            fs::write(&path, spoil).unwrap();
            within(&cache, &image).unwrap();
            assert_eq!(fs::read(&path).unwrap(), image.bytes);
        }
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let image = image(folder.path());
        let (open, link) = (folder.path().join("open"), folder.path().join("link"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        for cache in [open, link] {
            assert_eq!(within(&cache, &image).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn only_what_a_copy_may_help_against() {
        assert!(may_help("a.so: failed to map segment from shared object"));
        assert!(!may_help("libnope.so: cannot open shared object file: No such file or directory"));
    }
}
