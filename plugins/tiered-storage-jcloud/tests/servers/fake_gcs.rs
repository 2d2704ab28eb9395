//! Driver `google-cloud-storage` on fake-gcs-server, which has no authentication and takes no uploads in parts over XML. What it
//! lacks is proven on a stand-in, beside the driver.

use longshore_plugin_api::{DriverConfig, OffloaderFactory};
use tiered_storage_jcloud::ObjectStoreFactory;

use crate::behind::Behind;
use crate::cloud::{self, Cloud, Door, named};
use crate::faults;

fn fake_gcs() -> Option<Cloud> {
    Some(Cloud {
        driver: "google-cloud-storage",
        server: "fake-gcs-server",
        endpoint: named("GCS", "ENDPOINT")?,
        bucket: named("GCS", "BUCKET")?,
        properties: vec![
            ("managedLedgerOffloadExtraConfigAnonymous", "true".to_owned()),
            ("managedLedgerOffloadExtraConfigUploadMethod", "resumable".to_owned()),
        ],
        variables: Vec::new(),
        secret: None,
        door: Door::Google,
    })
}

#[tokio::test]
async fn ledgers_go_out_come_back_are_listed_and_deleted() {
    let Some(fake_gcs) = fake_gcs() else { return };
    cloud::ledgers_go_out_come_back_are_listed_and_deleted(fake_gcs).await;
}

#[tokio::test]
async fn a_given_up_offload_leaves_nothing() {
    let Some(fake_gcs) = fake_gcs() else { return };
    cloud::a_given_up_offload_leaves_nothing(fake_gcs).await;
}

#[tokio::test]
async fn a_missing_bucket_is_named() {
    let Some(fake_gcs) = fake_gcs() else { return };
    cloud::a_missing_bucket_is_named(fake_gcs).await;
}

#[test]
fn requests_without_a_key_need_a_word() {
    let Some(fake_gcs) = fake_gcs() else { return };
    let config: DriverConfig = fake_gcs.config(&[("managedLedgerOffloadExtraConfigAnonymous", "false")]);
    let problems = ObjectStoreFactory::validate(&config);
    assert!(problems[0].to_string().contains("name the JSON key file of a service account"), "{problems:?}");
}

#[tokio::test]
async fn ledgers_that_pulsar_offloaded_are_read_entry_for_entry() {
    let Some(fake_gcs) = fake_gcs() else { return };
    cloud::ledgers_that_pulsar_offloaded_are_read_entry_for_entry(fake_gcs).await;
}

#[tokio::test]
async fn every_promise_is_kept() {
    let Some(fake_gcs) = fake_gcs() else { return };
    cloud::every_promise_is_kept(fake_gcs).await;
}

#[tokio::test]
async fn passing_faults_pass() {
    let Some(fake_gcs) = fake_gcs() else { return };
    faults::passing_faults_pass(Behind::Cloud(fake_gcs)).await;
}

#[tokio::test]
async fn lasting_faults_are_errors_in_time() {
    let Some(fake_gcs) = fake_gcs() else { return };
    faults::lasting_faults_are_errors_in_time(Behind::Cloud(fake_gcs)).await;
}

#[tokio::test]
async fn a_copy_that_cannot_be_finished_leaves_nothing() {
    let Some(fake_gcs) = fake_gcs() else { return };
    faults::a_copy_that_cannot_be_finished_leaves_nothing(Behind::Cloud(fake_gcs)).await;
}

#[tokio::test]
async fn a_short_outage_is_waited_for() {
    let Some(fake_gcs) = fake_gcs() else { return };
    faults::a_short_outage_is_waited_for(Behind::Cloud(fake_gcs)).await;
}

#[tokio::test]
async fn a_crowded_store_gets_fewer_requests() {
    let Some(fake_gcs) = fake_gcs() else { return };
    faults::a_crowded_store_gets_fewer_requests(Behind::Cloud(fake_gcs)).await;
}
