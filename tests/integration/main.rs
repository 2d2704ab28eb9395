//! One binary for all integration tests, so that the workspace links once. Each module says what it proves.

mod crash;
mod managed_ledger;
mod offload;
