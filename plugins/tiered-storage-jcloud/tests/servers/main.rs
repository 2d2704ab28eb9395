//! Proves the drivers on real servers, which scripts/servers starts and the environment names.
//!
//! | variables `LONGSHORE_TEST_<S>_ENDPOINT`, `_BUCKET`, `_ACCESS_KEY`, `_SECRET_KEY` | server |
//! |---|---|
//! | `S3` | SeaweedFS |
//! | `MINIO` | MinIO |
//!
//! Without its variables a server is skipped, and says so, unless `LONGSHORE_REQUIRE_SERVERS` names it, or `all`.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

mod conformance;
mod golden;
mod raw;
mod s3;
mod server;
