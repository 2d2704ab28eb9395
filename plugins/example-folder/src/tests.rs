//! The driver keeps the contract's promises; the conformance kit says which.

use longshore_conformance::{FolderProbe, Profile, Suite};

use super::*;

fn config(folder: &Path) -> DriverConfig {
    let properties = [(FOLDER_KEY.to_owned(), folder.display().to_string())].into();
    DriverConfig { driver: "example-folder".to_owned(), properties, ..DriverConfig::default() }
}

#[test]
fn every_promise_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let suite = Suite::new(Profile::Quick).probe(FolderProbe::new(folder.path()));
    suite.try_out::<Factory>(config(folder.path())).assert_passed();
}

#[test]
fn a_configuration_without_a_folder_is_refused() {
    let problems = Factory::validate(&DriverConfig::default());
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].key, FOLDER_KEY);
}
