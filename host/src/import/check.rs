//! Whether the copies that a plan names can be read here, by the very drivers that will read them.

use std::str::FromStr;

use futures_util::{StreamExt as _, stream};

use super::plan::TopicPlan;
use crate::managed_ledger::LedgerInfo;
use crate::storage::{DriverLookup, DriverSettings, ReadHandle, StoredLedger};

/// Copies that are looked at at once.
const COPIES_AT_ONCE: usize = 8;
/// Payload that one read may answer with, in bytes; a single entry may be longer.
const READ_BYTES_MAX: u64 = 4 << 20;

/// How much of each copy is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckMode {
    /// Every entry.
    Full,
    /// The first and the last entry.
    #[default]
    Ends,
    /// Nothing, and no copy is opened.
    None,
}

impl FromStr for CheckMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "full" => Ok(Self::Full),
            "ends" => Ok(Self::Ends),
            "none" => Ok(Self::None),
            _ => Err("allowed: full, ends, none".to_owned()),
        }
    }
}

/// Opens each copy of a plan and reads it as far as `mode` says; answers a sentence for each that cannot be read, in the order of
/// the ledgers.
pub async fn check(
    plan: &TopicPlan,
    managed_ledger: &str,
    drivers: &dyn DriverLookup,
    settings: &DriverSettings,
    mode: CheckMode,
) -> Vec<String> {
    if mode == CheckMode::None {
        return Vec::new();
    }
    let looks = plan.ledgers.by_id.values().map(|info| async move {
        let looked = check_copy(info, managed_ledger, drivers, settings, mode).await;
        looked.err().map(|problem| format!("ledger {} cannot be read: {problem}", info.ledger_id))
    });
    stream::iter(looks).buffered(COPIES_AT_ONCE).filter_map(std::future::ready).collect().await
}

async fn check_copy(
    info: &LedgerInfo,
    managed_ledger: &str,
    drivers: &dyn DriverLookup,
    settings: &DriverSettings,
    mode: CheckMode,
) -> Result<(), String> {
    let attempt = info.offload.attempt().ok_or("the plan names no copy of it")?;
    let driver = drivers.driver(&attempt.driver, settings).await.map_err(|error| error.to_string())?;
    let stored = StoredLedger {
        ledger_id: info.ledger_id,
        uid: attempt.uid,
        managed_ledger: managed_ledger.to_owned(),
        driver_metadata: attempt.driver_metadata.clone(),
    };
    let handle = driver.open(&stored).await.map_err(|error| error.to_string())?;
    let found = handle.metadata().entry_count;
    if found != info.entry_count {
        return Err(format!("its copy has {found} entries, the original says {}", info.entry_count));
    }
    let last = found.saturating_sub(1);
    match mode {
        CheckMode::Full => read(&*handle, 0, last).await,
        CheckMode::Ends | CheckMode::None => {
            read(&*handle, 0, 0).await?;
            read(&*handle, last, last).await
        }
    }
}

async fn read(handle: &dyn ReadHandle, first: u64, last: u64) -> Result<(), String> {
    let mut next = first;
    while next <= last {
        let entries = handle.read(next, last, READ_BYTES_MAX).await.map_err(|error| error.to_string())?;
        let Some(entry) = entries.last() else { return Err(format!("no entry came where {next} was asked for")) };
        next = entry.entry_id + 1;
    }
    Ok(())
}
