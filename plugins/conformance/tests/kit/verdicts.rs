//! What the kit says of the sound driver and of each faulty one.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore_conformance::{Outcome, Profile, Report, Suite, all_cases};
use longshore_plugin_api::DriverConfig;

use crate::faults::FAULTS;
use crate::shelf::{FAULT_KEY, Factory, PASSWORD_KEY, SHELF_KEY};
use crate::store::{ShelfProbe, new_name, store};

fn config(shelf: &str, fault: &str) -> DriverConfig {
    let pairs = [(SHELF_KEY, shelf), (PASSWORD_KEY, "open sesame"), (FAULT_KEY, fault)];
    let properties = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    DriverConfig { driver: "shelf".to_owned(), properties, ..DriverConfig::default() }
}

fn try_out(suite: Suite, fault: &str) -> Report {
    let shelf = new_name();
    suite.probe(ShelfProbe(store(&shelf))).try_out::<Factory>(config(&shelf, fault))
}

/// A case whose fault makes it hang fails by its deadline; nothing else comes near it.
fn quick() -> Suite {
    Suite::new(Profile::Quick).case_deadline(Duration::from_secs(20))
}

#[test]
fn a_sound_driver_passes_every_case() {
    for seed in [1, 2, 3] {
        let report = try_out(quick().seed(seed), "");
        report.assert_passed();
        assert_eq!((report.rows.len(), report.skipped()), (all_cases().count(), 0));
    }
}

#[test]
#[ignore = "takes a minute; run before a release"]
fn a_sound_driver_passes_the_full_profile() {
    try_out(Suite::new(Profile::Full), "").assert_passed();
}

#[test]
fn each_fault_fails_the_cases_that_stand_beside_it() {
    let mut unnoticed = Vec::new();
    for (fault, cases) in FAULTS {
        for case in *cases {
            let report = try_out(quick().only(*case), fault);
            let row = report.rows.iter().find(|row| row.id == *case).unwrap();
            match &row.outcome {
                Outcome::Failed(why) => println!("{fault}: {case}: {why}"),
                other => unnoticed.push(format!("{fault}: {case}: {other:?}")),
            }
        }
    }
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

#[test]
fn no_case_is_without_a_fault_that_trips_it() {
    let tripped: BTreeSet<&str> = FAULTS.iter().flat_map(|(_, cases)| cases.iter().copied()).collect();
    let cases: BTreeSet<&str> = all_cases().map(|case| case.id).collect();
    assert_eq!(tripped, cases);
}
