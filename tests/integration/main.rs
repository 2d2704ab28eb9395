//! One binary for all integration tests, so that the workspace links once. Each module says what it proves.

// Helpers of tests stand outside the functions that clippy knows as tests.
#![allow(clippy::unwrap_used)]

mod abi;
mod authors;
mod containment;
mod crash;
mod damage;
mod debris;
mod dropping_in;
mod import;
mod isolation;
mod kill;
mod launcher;
mod ledger_command;
mod loading;
mod managed_ledger;
mod metrics;
mod offload;
mod packaged;
mod sizes;
mod startup;
mod tidy;
mod tools;
mod verifying;
