//! Driver `azureblob` on Azurite.

use longshore_conformance::table::trying;
use longshore_plugin_api::ErrorCode;

use crate::behind::Behind;
use crate::cloud::{self, Cloud, Door, all_fail, named};
use crate::faults;

const KEY: &str = "AZURE_STORAGE_ACCESS_KEY";

fn azurite() -> Option<Cloud> {
    let (account, key) = (named("AZBLOB", "ACCOUNT")?, named("AZBLOB", "KEY")?);
    Some(Cloud {
        driver: "azureblob",
        server: "Azurite",
        endpoint: named("AZBLOB", "ENDPOINT")?,
        bucket: named("AZBLOB", "CONTAINER")?,
        properties: Vec::new(),
        variables: vec![("AZURE_STORAGE_ACCOUNT", account.clone()), (KEY, key.clone())],
        secret: Some(KEY),
        door: Door::Azure { account, key },
    })
}

#[test]
fn ledgers_go_out_come_back_are_listed_and_deleted() {
    let Some(azurite) = azurite() else { return };
    let test = ledgers_go_out_come_back_are_listed_and_deleted;
    azurite.within(test, &[], cloud::ledgers_go_out_come_back_are_listed_and_deleted);
}

#[test]
fn a_given_up_offload_leaves_nothing() {
    let Some(azurite) = azurite() else { return };
    azurite.within(a_given_up_offload_leaves_nothing, &[], cloud::a_given_up_offload_leaves_nothing);
}

#[test]
fn a_missing_bucket_is_named() {
    let Some(azurite) = azurite() else { return };
    azurite.within(a_missing_bucket_is_named, &[], cloud::a_missing_bucket_is_named);
}

#[test]
fn a_wrong_key_is_refused_and_not_told() {
    let Some(azurite) = azurite() else { return };
    let wrong = "bm90LXRoZS1rZXk=";
    azurite.within(a_wrong_key_is_refused_and_not_told, &[(KEY, wrong)], async |azurite| {
        let _trying = trying(azurite.place(), "behaviour", "a wrong key is refused and not told");
        all_fail(&azurite, &[], ErrorCode::PermissionDenied, &["403", "bucket "], wrong).await;
    });
}

#[test]
fn a_connection_string_is_enough() {
    let Some(azurite) = azurite() else { return };
    let (_, account) = &azurite.variables[0];
    let (_, key) = &azurite.variables[1];
    let endpoint = &azurite.endpoint;
    let connection = format!("AccountName={account};AccountKey={key};BlobEndpoint={endpoint};");
    let variables = [("AZURE_STORAGE_CONNECTION_STRING", &*connection), ("AZURE_STORAGE_ACCOUNT", ""), (KEY, "")];
    azurite.within(a_connection_string_is_enough, &variables, async |mut azurite: Cloud| {
        // The string names the endpoint; the driver needs no other.
        azurite.properties.push(("managedLedgerOffloadServiceEndpoint", String::new()));
        cloud::ledgers_go_out_come_back_are_listed_and_deleted(azurite).await;
    });
}

#[test]
fn ledgers_that_pulsar_offloaded_are_read_entry_for_entry() {
    let Some(azurite) = azurite() else { return };
    let test = ledgers_that_pulsar_offloaded_are_read_entry_for_entry;
    azurite.within(test, &[], cloud::ledgers_that_pulsar_offloaded_are_read_entry_for_entry);
}

#[test]
fn every_promise_is_kept() {
    let Some(azurite) = azurite() else { return };
    azurite.within(every_promise_is_kept, &[], cloud::every_promise_is_kept);
}

#[test]
fn passing_faults_pass() {
    let Some(azurite) = azurite() else { return };
    azurite.within(passing_faults_pass, &[], async |azurite| {
        faults::passing_faults_pass(Behind::Cloud(azurite)).await;
    });
}

#[test]
fn lasting_faults_are_errors_in_time() {
    let Some(azurite) = azurite() else { return };
    azurite.within(lasting_faults_are_errors_in_time, &[], async |azurite| {
        faults::lasting_faults_are_errors_in_time(Behind::Cloud(azurite)).await;
    });
}

#[test]
fn a_copy_that_cannot_be_finished_leaves_nothing() {
    let Some(azurite) = azurite() else { return };
    azurite.within(a_copy_that_cannot_be_finished_leaves_nothing, &[], async |azurite| {
        faults::a_copy_that_cannot_be_finished_leaves_nothing(Behind::Cloud(azurite)).await;
    });
}

#[test]
fn a_short_outage_is_waited_for() {
    let Some(azurite) = azurite() else { return };
    azurite.within(a_short_outage_is_waited_for, &[], async |azurite| {
        faults::a_short_outage_is_waited_for(Behind::Cloud(azurite)).await;
    });
}

#[test]
fn a_crowded_store_gets_fewer_requests() {
    let Some(azurite) = azurite() else { return };
    azurite.within(a_crowded_store_gets_fewer_requests, &[], async |azurite| {
        faults::a_crowded_store_gets_fewer_requests(Behind::Cloud(azurite)).await;
    });
}
