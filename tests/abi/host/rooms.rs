//! The host's crate, reduced to its plugin room and what that room knows, so that many versions of it are built quickly.
#![allow(dead_code)]

pub mod plugin;
pub mod storage;
