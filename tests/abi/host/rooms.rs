//! The host's crate, reduced to its plugin room and the rooms that it knows, so that many versions of it are built quickly.
#![allow(dead_code)]

pub mod plugin;
pub mod storage;
pub mod trace;
