//! Longshore: a Pulsar-compatible standalone broker whose tiered storage drivers are shared libraries.
//!
//! Where to start, for each of the four stories (docs/ARCHITECTURE.md tells them with all steps):
//!
//! - **Start-up**: [`broker::Broker::start`] wires the rooms; [`config`] reads the keys, [`plugin`] finds the drivers.
//! - **Offload**: [`managed_ledger`] announces a closed ledger, [`offload`] copies it through [`plugin`], and
//!   `managed_ledger::removal` lets the hot copy go.
//! - **Read**: [`protocol`] takes permits, [`topic`] dispatches, `managed_ledger::read` chooses the copy: hot in [`ledger`],
//!   cold behind [`plugin`]. The two meet as traits in [`storage`].
//! - **A plugin is replaced**: `broker::offloaders` asks for a look at the folder, `plugin::lookout` settles what follows.
//!
//! Who owns what in the data folder: [`ledger`] the folder `ledgers/`, [`metadata`] the file `metadata/longshore.redb`; every
//! record in it has one owner ([`managed_ledger::keys`], [`namespace`], [`schema`], [`broker`]). Nobody else writes there.

pub mod access;
pub mod admin;
pub mod broker;
pub mod cli;
pub mod client;
pub mod config;
pub mod import;
pub mod ledger;
pub mod managed_ledger;
pub mod measure;
pub mod metadata;
pub mod namespace;
pub mod offload;
pub mod plugin;
pub mod protocol;
pub mod schema;
pub mod storage;
pub mod topic;
pub mod trace;
