//! Driver `aliyun-oss` on a stand-in that verifies OSS's signature and keeps objects in SeaweedFS.

use longshore_conformance::table::trying;
use longshore_plugin_api::ErrorCode;

use crate::behind::Behind;
use crate::cloud::{self, Cloud, Door, all_fail, named};
use crate::faults;

const KEY_ID: &str = "ALIYUN_OSS_ACCESS_KEY_ID";
const SECRET: &str = "ALIYUN_OSS_ACCESS_KEY_SECRET";

fn oss() -> Option<Cloud> {
    let (access_key, secret_key) = (named("OSS", "ACCESS_KEY")?, named("OSS", "SECRET_KEY")?);
    Some(Cloud {
        driver: "aliyun-oss",
        server: "the OSS stand-in",
        endpoint: named("OSS", "ENDPOINT")?,
        bucket: named("OSS", "BUCKET")?,
        properties: Vec::new(),
        variables: vec![(KEY_ID, access_key.clone()), (SECRET, secret_key.clone())],
        secret: Some(SECRET),
        door: Door::Oss { access_key, secret_key },
    })
}

#[test]
fn ledgers_go_out_come_back_are_listed_and_deleted() {
    let Some(oss) = oss() else { return };
    let test = ledgers_go_out_come_back_are_listed_and_deleted;
    oss.within(test, &[], cloud::ledgers_go_out_come_back_are_listed_and_deleted);
}

#[test]
fn a_given_up_offload_leaves_nothing() {
    let Some(oss) = oss() else { return };
    oss.within(a_given_up_offload_leaves_nothing, &[], cloud::a_given_up_offload_leaves_nothing);
}

#[test]
fn a_missing_bucket_is_named() {
    let Some(oss) = oss() else { return };
    oss.within(a_missing_bucket_is_named, &[], cloud::a_missing_bucket_is_named);
}

#[test]
fn a_wrong_key_is_refused_and_not_told() {
    let Some(oss) = oss() else { return };
    oss.within(a_wrong_key_is_refused_and_not_told, &[(SECRET, "not-the-key")], async |oss| {
        let _trying = trying(oss.place(), "behaviour", "a wrong key is refused and not told");
        all_fail(&oss, &[], ErrorCode::PermissionDenied, &["403", "bucket "], "not-the-key").await;
    });
}

#[test]
fn the_other_names_of_the_variables_count_first() {
    let Some(oss) = oss() else { return };
    let variables = [("ACCESS_KEY_ID", &*oss.variables[0].1), ("ACCESS_KEY_SECRET", &*oss.variables[1].1)];
    let variables = [variables[0], variables[1], (KEY_ID, "nobody"), (SECRET, "not-the-key")];
    let test = the_other_names_of_the_variables_count_first;
    oss.within(test, &variables, cloud::ledgers_go_out_come_back_are_listed_and_deleted);
}

#[test]
fn ledgers_that_pulsar_offloaded_are_read_entry_for_entry() {
    let Some(oss) = oss() else { return };
    let test = ledgers_that_pulsar_offloaded_are_read_entry_for_entry;
    oss.within(test, &[], cloud::ledgers_that_pulsar_offloaded_are_read_entry_for_entry);
}

#[test]
fn every_promise_is_kept() {
    let Some(oss) = oss() else { return };
    oss.within(every_promise_is_kept, &[], cloud::every_promise_is_kept);
}

#[test]
fn passing_faults_pass() {
    let Some(oss) = oss() else { return };
    oss.within(passing_faults_pass, &[], async |oss| {
        faults::passing_faults_pass(Behind::Cloud(oss)).await;
    });
}

#[test]
fn lasting_faults_are_errors_in_time() {
    let Some(oss) = oss() else { return };
    oss.within(lasting_faults_are_errors_in_time, &[], async |oss| {
        faults::lasting_faults_are_errors_in_time(Behind::Cloud(oss)).await;
    });
}

#[test]
fn a_copy_that_cannot_be_finished_leaves_nothing() {
    let Some(oss) = oss() else { return };
    oss.within(a_copy_that_cannot_be_finished_leaves_nothing, &[], async |oss| {
        faults::a_copy_that_cannot_be_finished_leaves_nothing(Behind::Cloud(oss)).await;
    });
}

#[test]
fn a_short_outage_is_waited_for() {
    let Some(oss) = oss() else { return };
    oss.within(a_short_outage_is_waited_for, &[], async |oss| {
        faults::a_short_outage_is_waited_for(Behind::Cloud(oss)).await;
    });
}

#[test]
fn a_crowded_store_gets_fewer_requests() {
    let Some(oss) = oss() else { return };
    oss.within(a_crowded_store_gets_fewer_requests, &[], async |oss| {
        faults::a_crowded_store_gets_fewer_requests(Behind::Cloud(oss)).await;
    });
}
