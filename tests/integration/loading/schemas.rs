//! Proves that a configuration is held against the plugin's schema before the plugin is asked, and that no secret is shown.

use longshore::plugin::PluginHost;
use longshore::storage::{DriverError, DriverErrorKind, DriverLookup};
use longshore_tests::plugins::{put, stage};

use super::{MODE_KEY, misbehaving_host, quick, row, settings};
use crate::loading::refusals::everywhere;

const PIN: &str = "managedLedgerOffloadExtraConfigMisbehavingPin";
const SHELVES: &str = "managedLedgerOffloadExtraConfigMisbehavingShelves";

async fn refused(host: &PluginHost, driver: &str, pairs: &[(&str, &str)]) -> DriverError {
    let error = host.driver(driver, &settings(pairs)).await.err().unwrap();
    assert_eq!(error.kind, DriverErrorKind::InvalidConfig, "{error}");
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_is_told_before_the_plugin_is_asked() {
    let (_folder, host) = misbehaving_host(quick());
    let pairs = [
        (MODE_KEY, "panic-validate"),
        (PIN, "abc"),
        (SHELVES, "100"),
        ("managedLedgerOffloadExtraConfigMisbehavingPim", "x"),
    ];
    let error = refused(&host, "misbehaving", &pairs).await;
    assert_eq!(
        error.message,
        format!(
            "{PIN}=***: allowed: text of a length from 4 on; {SHELVES}=100: allowed: a whole number from 1 to 99 \
             (shelves); managedLedgerOffloadExtraConfigMisbehavingPim: driver `Misbehaving` has no such key; did you mean \
             `{PIN}`?"
        )
    );
    // The other driver of the plugin has no shelves.
    assert!(host.driver("misbehaving-too", &settings(&[(MODE_KEY, "ok"), (SHELVES, "100")])).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_not_shown_even_by_the_plugins_own_errors() {
    let (_folder, host) = misbehaving_host(quick());
    assert!(host.secret_keys().contains(PIN));
    // Also one that is too short to be looked for wherever the plugin says anything.
    for pin in ["hush", "hush-hush-hush"] {
        let told = host.driver("misbehaving", &settings(&[(MODE_KEY, "confess-create"), (PIN, pin)])).await;
        let error = told.err().unwrap();
        assert!(error.message.contains("*** is no good pin") && error.code.as_deref() == Some("Conflict"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_needs_its_folder_and_a_misspelt_key_is_recognised() {
    let folder = tempfile::tempdir().unwrap();
    stage("example-folder", folder.path(), "example.so");
    let host = PluginHost::load(folder.path(), quick());
    let error = refused(&host, "example-folder", &[("managedLedgerOffloadExtraConfigFoldr", "/x")]).await;
    assert!(error.message.contains("managedLedgerOffloadExtraConfigFolder: is needed"), "{error}");
    assert!(error.message.contains("`managedLedgerOffloadExtraConfigFoldr` is there"), "{error}");
    let told = host.unknown_keys(&settings(&[("managedLedgerOffloadExtraConfigFolders", "/x")]).properties);
    assert!(told[0].contains("did you mean `managedLedgerOffloadExtraConfigFolder`?"), "{told:?}");
}

#[test]
fn a_schema_that_contradicts_itself_refuses_its_plugin() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "bad.so", &everywhere("\"maximum\":99", "\"maximum\":-9"));
    let reason = row(&PluginHost::load(folder.path(), quick()), "bad.so").reason.unwrap();
    assert!(reason.contains(&format!("its configuration schema cannot be used: {SHELVES}: its least")), "{reason}");
}
