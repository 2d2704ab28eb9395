//! Proves the drivers on real servers, which scripts/servers starts and the environment names.
//!
//! | variables `LONGSHORE_TEST_<S>_ENDPOINT`, `_BUCKET`, `_ACCESS_KEY`, `_SECRET_KEY` | server |
//! |---|---|
//! | `S3` | SeaweedFS |
//! | `MINIO` | MinIO |
//! | `AZBLOB`, with `_CONTAINER`, `_ACCOUNT`, `_KEY` | Azurite |
//! | `GCS`, with `_BUCKET` alone | fake-gcs-server |
//! | `OSS` | the stand-in for Aliyun OSS, before SeaweedFS |
//!
//! Without its variables a server is skipped, and says so, unless `LONGSHORE_REQUIRE_SERVERS` names it, or `all`.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

#[path = "../../../../tests/src/line.rs"]
mod line;

mod azurite;
mod behind;
mod cloud;
mod conformance;
mod fake_gcs;
mod faults;
mod golden;
mod oss;
mod raw;
mod s3;
mod server;
