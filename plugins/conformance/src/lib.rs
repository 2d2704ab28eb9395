//! The conformance kit: one suite that tells whether a driver keeps the promises of
//! [`longshore_plugin_api::Offloader`] and [`longshore_plugin_api::ReadHandle`].
//!
//! An author runs it in the tests of the driver's own crate, without any library:
//!
//! ```no_run
//! # use longshore_plugin_api::{DriverConfig, OffloaderFactory};
//! # fn try_out<Factory: OffloaderFactory>(config: DriverConfig) {
//! use longshore_conformance::{FolderProbe, Profile, Suite};
//!
//! let suite = Suite::new(Profile::Quick).probe(FolderProbe::new("/tmp/store"));
//! suite.try_out::<Factory>(config).assert_passed();
//! # }
//! ```
//!
//! `longshore offloaders conformance` runs the same suite over the driver of a shared library.
//!
//! | to understand | read |
//! |---|---|
//! | what is tried out | [`subject`], [`InProcess`] |
//! | what there is to try | `cases`, one file for each group; [`case`] says what a case is |
//! | how a run goes, and how it cleans up | `run`, `stage` |
//! | what comes out | [`report`]; [`table`] for many drivers and servers together |
//! | what a look behind the driver's back is | [`probe`] |
//!
//! A kit that cannot fail proves nothing: the tests of this crate hold each case against a driver with a fault that it must
//! find.

#![forbid(unsafe_code)]

pub mod case;
mod cases;
mod in_process;
mod model;
pub mod probe;
mod profile;
pub mod report;
mod run;
mod stage;
pub mod subject;
pub mod table;

pub use case::{Case, Need};
pub use cases::all as all_cases;
pub use in_process::InProcess;
pub use probe::{FolderProbe, StoreProbe};
pub use profile::Profile;
pub use report::{Outcome, Report, Row};
pub use run::{CouldNotRun, Suite};
pub use subject::{Bench, OpenCopy, Subject};
