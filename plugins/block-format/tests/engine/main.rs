//! Proves what the engine promises, over a store in memory that counts, delays, fails and lies as it is told.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

mod copies;
mod crashes;
mod damage;
mod faults;
mod kit;
mod reads;
