//! Where the text of a configuration comes from.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::properties;
use super::report::{ConfigErrors, Mistake};

/// Largest configuration file that is read.
const FILE_SIZE_MAX_BYTES: u64 = 4 << 20;

/// One text of `key=value` lines and what to call it in messages.
#[derive(Clone, Debug)]
pub struct Source {
    pub(super) name: String,
    pub(super) text: String,
    /// Folder that relative paths are looked for in, after the working folder.
    pub(super) folder: Option<PathBuf>,
    /// Whether a `fileSystemProfilePath` that is nowhere is left out instead of being a driver's error.
    pub(super) profile_optional: bool,
}

impl Source {
    /// The file at `path`; its folder is a place where relative paths are looked for.
    ///
    /// # Errors
    /// One [`Mistake`] without line: the file is missing, too large or cannot be read.
    pub fn file(path: &Path) -> Result<Self, ConfigErrors> {
        let name = path.display().to_string();
        let bytes = read_bounded(path).map_err(|problem| ConfigErrors(vec![Mistake::of_file(&name, problem)]))?;
        let folder = path.parent().map(Path::to_owned);
        Ok(Self { name, text: properties::decode(&bytes), folder, profile_optional: false })
    }

    /// The shipped `conf/standalone.conf` as it was when this program was built.
    pub fn embedded() -> Self {
        Self {
            folder: Some(PathBuf::from("conf")),
            profile_optional: true,
            ..Self::text("built-in standalone.conf", SHIPPED)
        }
    }

    /// Lines from elsewhere, such as the command line.
    pub fn text(name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), text: text.to_owned(), folder: None, profile_optional: false }
    }
}

/// The shipped file.
pub(super) const SHIPPED: &str = include_str!("../../../conf/standalone.conf");

fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let said = |error: std::io::Error| format!("cannot be read: {error}; name a readable file with --config");
    let file = std::fs::File::open(path).map_err(said)?;
    let mut bytes = Vec::new();
    file.take(FILE_SIZE_MAX_BYTES + 1).read_to_end(&mut bytes).map_err(said)?;
    if bytes.len() as u64 > FILE_SIZE_MAX_BYTES {
        return Err(format!("is larger than {FILE_SIZE_MAX_BYTES} bytes, so it is no configuration file"));
    }
    Ok(bytes)
}
