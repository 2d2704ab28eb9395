//! Proves that the kit can fail, and that it does not fail without reason: a sound driver passes every case, and each case
//! fails on the same driver with one fault.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

mod faults;
mod shelf;
mod store;
mod verdicts;
