//! The version of the contract, and the one rule that says which versions work together.
//!
//! [`ABI_VERSION`] is the semver of what crosses the boundary: `abi/`, the entry symbol and the note. It moves apart from
//! the crate's version. Patch: nothing that crosses changes. Minor: prefix fields, defaulted methods, types or error codes
//! are appended. Major: everything else.

use std::fmt;

use semver::Version;

/// The version of the contract that this crate builds, in `MAJOR.MINOR.PATCH`.
pub const ABI_VERSION: &str = "1.0.0";

/// The lowest host contract on which a plugin built with this crate works, unless its author asks for more.
pub const ABI_VERSION_MIN: &str = "1.0.0";

/// Why a plugin's contract does not fit a host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incompatible {
    /// Another major version.
    Major {
        /// Built against.
        plugin: Version,
        /// Offered.
        host: Version,
    },
    /// The plugin calls services that this host does not have yet.
    HostTooOld {
        /// The lowest host that the plugin tolerates.
        needed: Version,
        /// Offered.
        host: Version,
    },
    /// The plugin says that it needs more than it was built against.
    Nonsense {
        /// Built against.
        plugin: Version,
        /// Said to be needed.
        needed: Version,
    },
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Major { plugin, host } => write!(
                f,
                "built for plugin API {plugin}, this host offers {host}; rebuild it against plugin API {}.x",
                host.major
            ),
            Self::HostTooOld { needed, host } => {
                write!(f, "needs a host with plugin API {needed} or later, this one offers {host}; update the host")
            }
            Self::Nonsense { plugin, needed } => {
                write!(f, "says that it needs plugin API {needed} but was built for {plugin}; rebuild it")
            }
        }
    }
}

impl std::error::Error for Incompatible {}

/// The compatibility rule: same major version, and the host is at least what the plugin needs.
///
/// `api` is what the plugin was built against, `api_min` the lowest host that it tolerates. A plugin newer than the host is
/// welcome as long as it does not need what the host lacks, an older one always is.
///
/// # Errors
/// The reason, in one line.
pub fn check_compatible(host: &Version, api: &Version, api_min: &Version) -> Result<(), Incompatible> {
    if api.major != host.major {
        return Err(Incompatible::Major { plugin: api.clone(), host: host.clone() });
    }
    if api_min > api {
        return Err(Incompatible::Nonsense { plugin: api.clone(), needed: api_min.clone() });
    }
    if api_min > host {
        return Err(Incompatible::HostTooOld { needed: api_min.clone(), host: host.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(host: &str, api: &str, api_min: &str) -> Result<(), Incompatible> {
        check_compatible(&host.parse().unwrap(), &api.parse().unwrap(), &api_min.parse().unwrap())
    }

    #[test]
    fn one_major_works_together_in_both_directions() {
        assert_eq!(check("1.0.0", "1.0.0", "1.0.0"), Ok(()));
        assert_eq!(check("1.3.0", "1.0.0", "1.0.0"), Ok(()));
        assert_eq!(check("1.0.0", "1.3.0", "1.0.0"), Ok(()));
    }

    #[test]
    fn another_major_and_a_host_too_old_are_refused() {
        assert!(matches!(check("1.0.0", "2.0.0", "1.0.0"), Err(Incompatible::Major { .. })));
        assert!(matches!(check("2.0.0", "1.9.0", "1.0.0"), Err(Incompatible::Major { .. })));
        assert!(matches!(check("1.0.0", "1.3.0", "1.2.0"), Err(Incompatible::HostTooOld { .. })));
        assert!(matches!(check("1.3.0", "1.0.0", "1.2.0"), Err(Incompatible::Nonsense { .. })));
    }

    #[test]
    fn our_own_versions_fit() {
        assert_eq!(check(ABI_VERSION, ABI_VERSION, ABI_VERSION_MIN), Ok(()));
    }
}
