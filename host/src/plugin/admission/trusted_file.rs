//! Reads the small files that a policy consists of: regular, not longer than a bound, never through a link, never waiting.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::owners::Ownership;

/// A file's content, and who owned it when it was read.
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) ownership: Ownership,
}

/// Reads `path`.
///
/// # Errors
/// The operating system's; `InvalidInput` for what is no regular file, `FileTooLarge` beyond `bytes_max`.
pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<Content> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Err(rustix::io::Errno::LOOP) => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link, which is not followed"));
        }
        opened => File::from(opened.map_err(io::Error::from)?),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {bytes_max} bytes")));
    }
    Ok(Content { bytes, ownership: Ownership::from(&metadata) })
}

/// Reads `path` as UTF-8.
///
/// # Errors
/// As [`read`]; `InvalidData` for other bytes.
pub(super) fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    String::from_utf8(read(path, bytes_max)?.bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_regular_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("a"), folder.path().join("b"));
        std::fs::write(&file, "four").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read_text(&file, 4).unwrap(), "four");
        assert_eq!(read(&file, 3).err().unwrap().kind(), io::ErrorKind::FileTooLarge);
        assert!(read(&link, 4).err().unwrap().to_string().contains("symbolic link"));
        assert_eq!(read(folder.path(), 4).err().unwrap().kind(), io::ErrorKind::InvalidInput);
    }
}
