//! Where a copy lies, and the names beside it that no reader takes for a copy.
//!
//! ```text
//! <base>/<tenant>/<namespace>/persistent/<url-encoded topic>/
//!     <ledger id>-<uid>/               a complete copy: data, index, .data.crc, .index.crc
//!     .<ledger id>-<uid>.tmp/<random>/ an attempt at it; renamed to the name above once it is complete and durable
//!     .<ledger id>-<uid>.deleted/      a copy on its way out
//! ```
//! All three names follow from ledger and uid, so that what a crash left is found without listing a folder.

use std::path::{Path, PathBuf};

use longshore_plugin_api::{Error, ErrorCode, Result};
use uuid::Uuid;

/// The two files of a MapFile.
pub(crate) const DATA: &str = "data";
/// See [`DATA`].
pub(crate) const INDEX: &str = "index";
/// Managed ledger names have 4 parts, old ones 5; longer ones belong to nobody.
pub(crate) const NAME_PARTS_MAX: usize = 8;

/// The paths of one copy below one base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyPaths {
    /// The topic's folder.
    pub(crate) parent: PathBuf,
    /// The complete copy.
    pub(crate) copy: PathBuf,
    /// What attempts write below.
    pub(crate) attempts: PathBuf,
    /// Where a copy is moved before it is deleted.
    pub(crate) deleted: PathBuf,
}

impl CopyPaths {
    /// The paths of the copy of `ledger_id` with this `uid`.
    ///
    /// # Errors
    /// `InvalidArgument` for a managed ledger's name that would lead elsewhere.
    pub(crate) fn new(base: &Path, managed_ledger: &str, ledger_id: u64, uid: Uuid) -> Result<Self> {
        check_name(managed_ledger)?;
        let parent = base.join(managed_ledger);
        let name = format!("{ledger_id}-{uid}");
        Ok(Self {
            copy: parent.join(&name),
            attempts: parent.join(format!(".{name}.tmp")),
            deleted: parent.join(format!(".{name}.deleted")),
            parent,
        })
    }
}

/// Ledger and uid of a copy's folder name, or `None` for any other name.
pub(crate) fn parse_copy_name(name: &str) -> Option<(u64, Uuid)> {
    let (ledger_id, uid) = name.split_once('-')?;
    let parsed = (ledger_id.parse().ok()?, Uuid::try_parse(uid).ok()?);
    (format!("{}-{}", parsed.0, parsed.1) == name).then_some(parsed)
}

fn check_name(managed_ledger: &str) -> Result<()> {
    let fits = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    let parts = managed_ledger.split('/').count();
    if parts <= NAME_PARTS_MAX && managed_ledger.split('/').all(fits) {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::InvalidArgument,
        format!(
            "managed ledger name {managed_ledger:?} is no path below the base: expected \
             tenant/namespace/persistent/url-encoded-topic"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "a272f775-0ffb-4312-aa1e-b6f8acb2c94f";

    #[test]
    fn the_layout_is_pulsars() {
        let uid = UID.parse().unwrap();
        let paths = CopyPaths::new(Path::new("/tier"), "public/default/persistent/a+b%25c", 17, uid).unwrap();
        let parent = Path::new("/tier/public/default/persistent/a+b%25c");
        assert_eq!(paths.parent, parent);
        assert_eq!(paths.copy, parent.join(format!("17-{UID}")));
        assert_eq!(paths.attempts, parent.join(format!(".17-{UID}.tmp")));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "/etc", "a//b", "../a", "a/..", "a/./b", "a/b\0", "a/", "1/2/3/4/5/6/7/8/9"] {
            let error = CopyPaths::new(Path::new("/tier"), name, 1, Uuid::nil()).unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidArgument, "{name}");
        }
    }

    #[test]
    fn only_our_own_spelling_is_a_copy() {
        assert_eq!(parse_copy_name(&format!("17-{UID}")), Some((17, UID.parse().unwrap())));
        let upper = UID.to_uppercase();
        for name in ["17", "17-", "x-y", &format!(".17-{UID}.tmp"), &format!("017-{UID}"), &format!("17-{upper}")] {
            assert_eq!(parse_copy_name(name), None, "{name}");
        }
    }
}
