//! Proves the driver against a real HDFS: a NameNode and a DataNode that `scripts/servers/hdfs start` starts.
//!
//! `eval "$(scripts/servers/hdfs env)"` names them; without that each test says that it was skipped, or fails where
//! LONGSHORE_REQUIRE_SERVERS is set. Each test has a folder of its own; those that stop a server run while no other does.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

mod behaviour;
mod conformance;
mod hadoop;
#[path = "../kit/mod.rs"]
#[allow(dead_code, reason = "shared with the tests on local folders, which use all of it")]
mod kit;
mod line;
#[path = "../../../../tests/src/line.rs"]
mod line_between;
mod outage;
mod server;
