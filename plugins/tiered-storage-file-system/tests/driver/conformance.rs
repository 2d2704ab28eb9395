//! The conformance kit over the driver, in each compression, with a look at its files.

use longshore_conformance::table::Place;
use longshore_conformance::{FolderProbe, Profile, Suite};
use tiered_storage_file_system::FileSystemFactory;

use crate::kit::{COMPRESSIONS, config};

fn try_out(profile: Profile, compression: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("tier");
    let values: Vec<(&str, &str)> = compression.map(|it| ("io.seqfile.compression.type", it)).into_iter().collect();
    let suite = Suite::new(profile).probe(FolderProbe::new(&base));
    let report = suite.try_out::<FileSystemFactory>(config(folder.path(), &base, &values));
    let driver = format!("filesystem, {}", compression.unwrap_or("no profile"));
    report.into_table(Place { driver: &driver, server: "a local folder" }).assert_passed();
}

#[test]
fn every_promise_is_kept_without_a_profile() {
    try_out(Profile::Quick, None);
}

#[test]
fn every_promise_is_kept_in_each_compression() {
    for compression in COMPRESSIONS {
        try_out(Profile::Quick, Some(compression));
    }
}

#[test]
#[ignore = "takes minutes; run before a release"]
fn every_promise_is_kept_in_the_full_profile() {
    for compression in COMPRESSIONS {
        try_out(Profile::Full, Some(compression));
    }
}
