//! The conformance kit over each driver: in memory, and on each server.

use longshore_conformance::{Profile, Suite};
use longshore_plugin_api::DriverConfig;
use tiered_storage_jcloud::ObjectStoreFactory;

use crate::server::Server;

fn try_out(config: DriverConfig) {
    Suite::new(Profile::Quick).try_out::<ObjectStoreFactory>(config).assert_passed();
}

#[test]
fn every_promise_is_kept_in_memory() {
    try_out(DriverConfig {
        driver: "transient".to_owned(),
        properties: [("managedLedgerOffloadBucket".to_owned(), "conformance".to_owned())].into(),
        search_folders: Vec::new(),
    });
}

#[test]
fn every_promise_of_aws_s3_is_kept() {
    for server in Server::all() {
        try_out(server.config("aws-s3", &[]));
    }
}

#[test]
fn every_promise_of_s3_is_kept() {
    for server in Server::all() {
        try_out(server.config("S3", &[]));
    }
}
