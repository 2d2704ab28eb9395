//! Names and values that stand beside both objects of a copy, and the one of them that a reader looks at.
//!
//! Stores differ in what they do to names: S3 and Azure make them lower case, GCS keeps them. So names are compared
//! without regard to case.
//!
//! From Pulsar's `DataBlockUtils` and `PulsarService`.

use crate::error::{Error, Result};
use crate::keys::Role;

/// The format version, `1` on both objects: the original refuses to read an object without it.
pub const FORMAT_VERSION: &str = "s3managedledgeroffloaderformatversion";
/// The only value of [`FORMAT_VERSION`] that there is.
pub const FORMAT_VERSION_1: &str = "1";
/// `data` or `index`.
pub const ROLE: &str = "role";
/// The managed ledger's name; the original's scan tool needs it.
pub const MANAGED_LEDGER_NAME: &str = "ManagedLedgerName";
/// The cluster's name; the original's scan tool needs it.
pub const CLUSTER_NAME: &str = "pulsarclustername";
/// The version of the software that wrote the object.
pub const SOFTWARE_VERSION: &str = "s3managedledgeroffloadersoftwareversion";
/// The revision of that software.
pub const SOFTWARE_GIT_SHA: &str = "s3managedledgeroffloadersoftwaregitsha";

/// Names and values of an object, in the order in which they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserMetadata(Vec<(String, String)>);

impl UserMetadata {
    /// What stands beside an object of `managed_ledger`; a pair of `extra` replaces an earlier one of the same name.
    ///
    /// # Errors
    /// `Unsupported` where `extra` would change the format version.
    pub fn for_object<'a>(
        role: Role,
        managed_ledger: &str,
        extra: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self> {
        let mut metadata = Self::default();
        metadata.set(ROLE, role.name());
        metadata.set(MANAGED_LEDGER_NAME, managed_ledger);
        for (name, value) in extra {
            if name.eq_ignore_ascii_case(FORMAT_VERSION) {
                return Err(Error::unsupported("user metadata", format!("{FORMAT_VERSION} cannot be chosen")));
            }
            metadata.set(name, value);
        }
        metadata.set(FORMAT_VERSION, FORMAT_VERSION_1);
        Ok(metadata)
    }

    /// The value of `name`, in whatever case the store keeps names.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The pairs.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Refuses another format version than 1. An object without any is judged by its bytes: tools that copy buckets lose
    /// user metadata.
    ///
    /// # Errors
    /// `Unsupported`, naming `object` and the version found.
    pub fn check_format_version(&self, object: &str) -> Result<()> {
        match self.get(FORMAT_VERSION) {
            None | Some(FORMAT_VERSION_1) => Ok(()),
            Some(other) => {
                let problem = format!("its format version is `{other}`, known is `{FORMAT_VERSION_1}`");
                Err(Error::unsupported(object, problem))
            }
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, known)) => value.clone_into(known),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }
}

impl FromIterator<(String, String)> for UserMetadata {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_carries_what_the_original_gives_it() {
        let extra = [(CLUSTER_NAME, "standalone"), (SOFTWARE_VERSION, "4.0.6")];
        let metadata = UserMetadata::for_object(Role::Index, "public/default/persistent/t", extra).unwrap();
        for (name, value) in [
            ("S3ManagedLedgerOffloaderFormatVersion", "1"),
            ("role", "index"),
            ("managedledgername", "public/default/persistent/t"),
            (CLUSTER_NAME, "standalone"),
            (SOFTWARE_VERSION, "4.0.6"),
        ] {
            assert_eq!(metadata.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn the_format_version_is_not_for_others_to_choose() {
        assert!(UserMetadata::for_object(Role::Data, "", [("S3ManagedLedgerOffloaderFormatVersion", "2")]).is_err());
        let other: UserMetadata = [(FORMAT_VERSION.to_uppercase(), "2".to_owned())].into_iter().collect();
        assert!(matches!(other.check_format_version("x"), Err(Error::Unsupported { .. })));
        assert_eq!(UserMetadata::default().check_format_version("x"), Ok(()));
    }
}
