//! Who serves a driver. Pure.
//!
//! One claimant serves. Of several none does, until one is pinned; but a driver that is being served is not taken from its
//! plugin by a newcomer. A plugin whose file is gone serves on until a plugin that has one claims the driver.

use semver::Version;

use super::pins::Pin;

/// A plugin that claims the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claimant<'a> {
    pub(super) plugin: &'a str,
    pub(super) version: &'a Version,
    /// Whether what was loaded is still in the folder and admitted.
    pub(super) has_file: bool,
    /// It was to take the driver over and did not pass the gate.
    pub(super) declined: bool,
}

/// Why it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Nobody else claims it.
    Alone,
    /// The configuration says so.
    Pinned,
    /// It had the driver before the others came; at a start nobody would serve it.
    Incumbent,
    /// Several claim it, none is pinned.
    Conflict,
    /// What is pinned is not there.
    PinUnmatched,
}

/// The decision: the place of the server among the claimants, if any, and the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    pub(super) server: Option<usize>,
    pub(super) rule: Rule,
}

/// Decides on one driver. `incumbent` is the plugin that served it until now, whatever its version.
pub(super) fn rule(claimants: &[Claimant<'_>], incumbent: Option<&str>, pin: Option<&Pin>) -> Ruling {
    let place = |wanted: &dyn Fn(&Claimant<'_>) -> bool| claimants.iter().position(wanted);
    if let Some(pin) = pin {
        let server = place(&|claimant| pin.admits(claimant.plugin, claimant.version));
        let rule = if server.is_some() { Rule::Pinned } else { Rule::PinUnmatched };
        return Ruling { server, rule };
    }
    let own = place(&|claimant| incumbent == Some(claimant.plugin));
    let fit = |claimant: &Claimant<'_>| claimant.has_file && !claimant.declined;
    let fit_count = claimants.iter().filter(|claimant| fit(claimant)).count();
    match (claimants.len(), fit_count, own) {
        (1, _, _) => Ruling { server: Some(0), rule: Rule::Alone },
        (_, 1, None) => Ruling { server: place(&fit), rule: Rule::Alone },
        // The incumbent's file is gone, and one successor is there.
        (_, 1, Some(own)) if !claimants[own].has_file => Ruling { server: place(&fit), rule: Rule::Alone },
        (_, _, Some(own)) => Ruling { server: Some(own), rule: Rule::Incumbent },
        (_, _, None) => Ruling { server: None, rule: Rule::Conflict },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static ONE: Version = Version::new(1, 0, 0);

    fn claimant(plugin: &str, has_file: bool) -> Claimant<'_> {
        Claimant { plugin, version: &ONE, has_file, declined: false }
    }

    fn ruled(claimants: &[Claimant<'_>], incumbent: Option<&str>, pin: Option<&Pin>) -> (Option<String>, Rule) {
        let Ruling { server, rule } = rule(claimants, incumbent, pin);
        (server.map(|place| claimants[place].plugin.to_owned()), rule)
    }

    fn some(plugin: &str) -> Option<String> {
        Some(plugin.to_owned())
    }

    #[test]
    fn at_a_start_one_serves_and_of_two_neither() {
        assert_eq!(ruled(&[claimant("a", true)], None, None), (some("a"), Rule::Alone));
        assert_eq!(ruled(&[claimant("a", true), claimant("b", true)], None, None), (None, Rule::Conflict));
    }

    #[test]
    fn a_newcomer_takes_nothing_from_the_plugin_that_serves() {
        let both = [claimant("a", true), claimant("b", true)];
        assert_eq!(ruled(&both, Some("b"), None), (some("b"), Rule::Incumbent));
        assert_eq!(ruled(&both[..1], Some("a"), None), (some("a"), Rule::Alone));
    }

    #[test]
    fn a_plugin_without_a_file_serves_until_one_successor_is_there() {
        assert_eq!(ruled(&[claimant("a", false)], Some("a"), None), (some("a"), Rule::Alone));
        let successor = [claimant("a", false), claimant("b", true)];
        assert_eq!(ruled(&successor, Some("a"), None), (some("b"), Rule::Alone));
        let declined = [successor[0], Claimant { declined: true, ..successor[1] }];
        assert_eq!(ruled(&declined, Some("a"), None), (some("a"), Rule::Incumbent));
        let two = [claimant("a", false), claimant("b", true), claimant("c", true)];
        assert_eq!(ruled(&two, Some("a"), None), (some("a"), Rule::Incumbent));
    }

    #[test]
    fn a_conflict_ends_when_one_file_goes() {
        let left = [claimant("a", true), claimant("b", false)];
        assert_eq!(ruled(&left, None, None), (some("a"), Rule::Alone));
    }

    #[test]
    fn a_pin_decides_and_one_that_names_nothing_leaves_the_driver_unserved() {
        let both = [claimant("a", true), claimant("b", true)];
        let pin = |plugin: &str, version| Pin { plugin: plugin.to_owned(), version };
        assert_eq!(ruled(&both, Some("a"), Some(&pin("b", None))), (some("b"), Rule::Pinned));
        assert_eq!(ruled(&both, None, Some(&pin("b", Some(ONE.clone())))), (some("b"), Rule::Pinned));
        let other = Some(Version::new(2, 0, 0));
        assert_eq!(ruled(&both, None, Some(&pin("b", other))), (None, Rule::PinUnmatched));
        assert_eq!(ruled(&both[..1], Some("a"), Some(&pin("c", None))), (None, Rule::PinUnmatched));
    }
}
