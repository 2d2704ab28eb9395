//! The one integration test binary: a module for each thing that is proved.

// Helpers of tests stand outside the functions that clippy knows as tests.
#![allow(clippy::unwrap_used)]

mod loading;
