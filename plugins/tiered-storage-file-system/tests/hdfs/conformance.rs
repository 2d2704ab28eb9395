//! The conformance kit over the driver on HDFS, in each compression.

use longshore_conformance::table::Place;
use longshore_conformance::{Outcome, Profile, Suite};
use tiered_storage_file_system::FileSystemFactory;
use uuid::Uuid;

use crate::kit::COMPRESSIONS;
use crate::server::{HDFS, Store, hdfs_config, shared, uri};

/// The cases that change a byte with HDFS's own means, which make new checksums for it: such a byte may make a file one of another
/// codec, or in clear another entry. A byte that changes on a disk is HDFS's to notice, and it does.
const WRITTEN_ANEW: [&str; 2] = ["flipped-bytes-are-noticed", "damage-is-named"];

fn try_out(uri: &str, compression: &str) {
    let config_folder = tempfile::tempdir().unwrap();
    let folder = format!("/tests/{}", Uuid::new_v4().simple());
    let values = [("io.seqfile.compression.type", compression)];
    let config = hdfs_config(config_folder.path(), &format!("{uri}{folder}"), &values);
    let suite = Suite::new(Profile::Quick).probe(Store::new(uri, &folder));
    let mut report = suite.try_out::<FileSystemFactory>(config);
    Store::new(uri, &folder).clear();
    for row in report.rows.iter_mut().filter(|row| WRITTEN_ANEW.contains(&row.id)) {
        row.outcome = Outcome::Skipped("the probe writes the file anew, with checksums of its own".to_owned());
    }
    let driver = format!("filesystem, {compression}");
    report.into_table(Place { driver: &driver, ..HDFS }).assert_passed();
}

#[test]
fn every_promise_is_kept_in_each_compression() {
    let Some(uri) = uri("every_promise_is_kept_in_each_compression") else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _servers = runtime.block_on(shared());
    // Nearly all of it is waiting for HDFS to close files.
    std::thread::scope(|scope| {
        for compression in COMPRESSIONS {
            scope.spawn(|| try_out(&uri, compression));
        }
    });
}
