//! Proves what drivers `aws-s3` and `S3` do when a store misbehaves, on a store of our own that answers as it is told.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

#[path = "../stub/mod.rs"]
mod stub;

mod answers;
mod kit;
mod requests;
mod secrets;
