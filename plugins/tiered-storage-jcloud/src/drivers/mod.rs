//! The stores that there are, one file for each.

mod transient;

use std::sync::Arc;

use block_format::store::BlobStore;

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// In memory, gone with the process.
    Transient,
}

impl Store {
    /// The store of a driver that this plugin claims.
    pub(crate) fn of_driver(driver: &str) -> Option<Self> {
        driver.eq_ignore_ascii_case("transient").then_some(Self::Transient)
    }

    /// How the original records the driver with each ledger: the constant of its enumeration, not the driver's name.
    pub(crate) fn recorded_name(self) -> &'static str {
        match self {
            Self::Transient => "TRANSIENT",
        }
    }

    /// A bucket.
    pub(crate) fn bucket(self, name: &str) -> Arc<dyn BlobStore> {
        match self {
            Self::Transient => transient::bucket(name),
        }
    }
}
