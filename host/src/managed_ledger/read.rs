//! The way out: entries from the cache, else from the copy that the ledger's state and the read priority name. When that
//! copy fails and there is another, the other is asked once.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::OnceCell;

use super::ManagedLedger;
use super::ledgers::LedgerInfo;
use super::offload_context::Tier;
use super::position::Position;
use super::read_ahead::{Asked, ReadAhead};
use crate::storage::{
    DriverError, DriverErrorKind, DriverOrigin, Entry, LedgerId, LedgerMetadata, OffloadDriver, ReadError, ReadHandle,
};

/// Open copies of one managed ledger, each opened once for whoever comes first.
#[derive(Default)]
pub(super) struct Copies {
    open: Mutex<HashMap<(LedgerId, Tier), Arc<OpenCopy>>>,
}

#[derive(Default)]
struct OpenCopy {
    handle: OnceCell<Arc<dyn ReadHandle>>,
    ahead: ReadAhead,
    used_ms: AtomicU64,
}

impl Copies {
    /// The place of a copy. Beyond `open_max` the one that was used longest ago gives way; reads that run go on with theirs.
    fn slot(&self, ledger_id: LedgerId, tier: Tier, now_ms: u64, open_max: usize) -> Arc<OpenCopy> {
        let mut open = self.open.lock().expect("no code panics while it holds the open copies");
        if open.len() >= open_max && !open.contains_key(&(ledger_id, tier)) {
            let oldest = open.iter().min_by_key(|(_, copy)| copy.used_ms.load(Ordering::Relaxed)).map(|(key, _)| *key);
            oldest.and_then(|key| open.remove(&key));
        }
        let slot = open.entry((ledger_id, tier)).or_default().clone();
        slot.used_ms.store(now_ms, Ordering::Relaxed);
        slot
    }

    /// Forgets both copies of a ledger; reads that run go on with theirs.
    pub(super) fn invalidate(&self, ledger_id: LedgerId) {
        self.retain(|(id, _), _| id != ledger_id);
    }

    fn forget(&self, ledger_id: LedgerId, tier: Tier) {
        let mut open = self.open.lock().expect("no code panics while it holds the open copies");
        open.remove(&(ledger_id, tier));
    }

    /// Forgets copies that were not used since `before_ms`.
    pub(super) fn evict_idle(&self, before_ms: u64) {
        self.retain(|_, copy| copy.used_ms.load(Ordering::Relaxed) >= before_ms);
    }

    /// Forgets what was read ahead and not used since `before_ms`.
    pub(super) fn evict_read_ahead(&self, before_ms: u64) {
        let open = self.open.lock().expect("no code panics while it holds the open copies");
        open.values().for_each(|copy| copy.ahead.evict_idle(before_ms));
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.retain(|_, _| false);
    }

    /// Forgets what a driver has opened; reads that run go on with theirs.
    fn forget_cold(&self) {
        self.retain(|(_, tier), _| tier != Tier::Cold);
    }

    fn retain(&self, keep: impl Fn((LedgerId, Tier), &OpenCopy) -> bool) {
        let mut open = self.open.lock().expect("no code panics while it holds the open copies");
        open.retain(|key, copy| keep(*key, copy));
    }
}

impl ManagedLedger {
    /// Entries of one ledger from the first existing place at or behind `from` on: at least one, at most `entries_max`,
    /// and as many as fit `max_bytes`. Empty only where `from` is at or behind the end.
    ///
    /// # Errors
    /// Those of the copies, when none could answer.
    pub async fn read(
        &self,
        from: Position,
        entries_max: usize,
        max_bytes: u64,
    ) -> Result<Vec<(Position, Bytes)>, ReadError> {
        let found = self.with_ledgers(|ledgers, end| {
            let start = ledgers.valid_from(from, end);
            let info = ledgers.by_id.get(&start.ledger_id).filter(|_| start < end)?;
            let entries = ledgers.entries_of(info, end);
            (start.entry_id < entries).then(|| (start, info.clone(), entries))
        });
        let Some((start, info, entries)) = found else { return Ok(Vec::new()) };
        let last = start.entry_id.saturating_add(entries_max.max(1) as u64 - 1).min(entries - 1);
        let cached = self.cache.get(start, last, max_bytes);
        if !cached.is_empty() {
            self.count_read(&cached, Source::RecentEntries);
            return Ok(cached);
        }
        let read = self.read_ledger(&info, start.entry_id, last, max_bytes).await;
        let read = read.inspect_err(|_| self.counters.read_failed())?;
        let of_entry = |entry: Entry| (Position::new(info.ledger_id, entry.entry_id), entry.payload);
        let read = read.into_iter().map(of_entry).collect::<Vec<_>>();
        self.count_read(&read, Source::Copy);
        Ok(read)
    }

    fn count_read(&self, read: &[(Position, Bytes)], source: Source) {
        let (entries, bytes) = (read.len() as u64, read.iter().map(|(_, payload)| payload.len() as u64).sum());
        self.counters.read(entries, bytes, source == Source::Copy);
        match source {
            Source::RecentEntries => self.rooms.cache_budget.counters.hit(entries, bytes),
            Source::Copy => self.rooms.cache_budget.counters.missed(entries, bytes),
        }
    }

    /// Reads from whichever copy can answer. Where none can because of damage among the entries, those before it are found
    /// by halves: damage costs what it touches, not what was asked for along with it.
    async fn read_ledger(
        &self,
        info: &LedgerInfo,
        first: u64,
        mut last: u64,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, ReadError> {
        let mut read = self.read_copies(info, first, last, max_bytes, Told::Log).await;
        while last > first && read.as_ref().is_err_and(is_damage) {
            last = first + (last - first) / 2;
            read = self.read_copies(info, first, last, max_bytes, Told::Already).await;
        }
        read
    }

    /// Asks the ledger's copies in order.
    async fn read_copies(
        &self,
        info: &LedgerInfo,
        first: u64,
        last: u64,
        max_bytes: u64,
        told: Told,
    ) -> Result<Vec<Entry>, ReadError> {
        let tiers = info.offload.tiers(self.settings().offload.read_priority);
        let mut failure = None;
        for tier in &tiers {
            let read = self.read_copy(info, *tier, first, last, max_bytes).await;
            match read {
                Ok(entries) => return Ok(entries),
                Err(error) => {
                    self.copies.forget(info.ledger_id, *tier);
                    self.judge(info, *tier, tiers.len() > 1, &error, told).await;
                    failure.get_or_insert(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| ReadError::Failed(format!("ledger {} has no copy to read", info.ledger_id))))
    }

    /// A cold copy that is damaged or missing must not cost the hot one.
    async fn judge(&self, info: &LedgerInfo, tier: Tier, has_other: bool, error: &ReadError, told: Told) {
        let next = if has_other { "the other copy is asked" } else { "there is no other copy" };
        if told == Told::Log {
            tracing::warn!(managed_ledger = self.name, ledger_id = info.ledger_id.0, ?tier, %error, next, "a copy failed");
        }
        if tier == Tier::Cold && has_other && is_lasting(error) {
            self.record_damage(info.ledger_id, &error.to_string()).await;
        }
    }

    /// Reads one copy, opened if need be. An open ledger grows, so nothing of it is read ahead.
    async fn read_copy(
        &self,
        info: &LedgerInfo,
        tier: Tier,
        first: u64,
        last: u64,
        max_bytes: u64,
    ) -> Result<Vec<Entry>, ReadError> {
        let now_ms = self.rooms.clock.now_ms();
        let slot = self.copies.slot(info.ledger_id, tier, now_ms, self.settings().copies_open_max);
        let open = || async {
            match tier {
                Tier::Hot => self.rooms.store.open(info.ledger_id).await,
                Tier::Cold => self.open_cold(info).await,
            }
        };
        let handle = slot.handle.get_or_try_init(open).await?;
        let Some(ledger_last) = info.closed_ms.and(info.entry_count.checked_sub(1)) else {
            return handle.read(first, last, max_bytes).await;
        };
        let asked = Asked { first, last, max_bytes, ledger_last, now_ms };
        slot.ahead.read(handle, &self.rooms.cache_budget, asked).await
    }

    async fn open_cold(&self, info: &LedgerInfo) -> Result<Arc<dyn ReadHandle>, ReadError> {
        let attempt = info.offload.attempt().expect("only a complete copy is read from the cold tier");
        let driver = self.driver_of(&attempt.driver).await?;
        let copy = driver.open(&self.stored_ledger(info.ledger_id, attempt)).await?;
        check_extent(info, &copy.metadata()).map_err(|problem| {
            let DriverOrigin { plugin, version, .. } = driver.origin();
            let message = format!("open ledger {} as {}: {problem}", info.ledger_id, attempt.uid);
            let plugin = format!("{plugin} {version}");
            let (kind, driver) = (DriverErrorKind::Misbehaved, driver.name().to_owned());
            DriverError { kind, driver, plugin, code: None, message, retryable: false }
        })?;
        Ok(copy)
    }

    /// The driver *recorded with the ledger*, made with the settings of now.
    pub(super) async fn driver_of(&self, recorded: &str) -> Result<Arc<dyn OffloadDriver>, DriverError> {
        let policy = self.settings().offload.clone();
        let name = if recorded.is_empty() { policy.driver.as_deref().unwrap_or_default() } else { recorded };
        self.rooms.drivers.driver(name, &policy.driver_settings).await
    }

    /// Lets the next read of each cold copy open it anew, with the driver of then.
    pub fn forget_cold_copies(&self) {
        self.copies.forget_cold();
    }

    /// The hot copy of a closed ledger, for copying it.
    ///
    /// # Errors
    /// Those of the hot store.
    pub async fn hot_copy(&self, ledger_id: LedgerId) -> Result<Arc<dyn ReadHandle>, ReadError> {
        self.rooms.store.open(ledger_id).await
    }
}

/// Whether a copy that was opened is as long as the ledger that is recorded; the sentence says where it is not. Reads past a
/// wrong end, and sizes that operators see, would follow from what it says.
fn check_extent(info: &LedgerInfo, copy: &LedgerMetadata) -> Result<(), String> {
    match (copy.entry_count, copy.length_bytes) == (info.entry_count, info.size_bytes) {
        true => Ok(()),
        false => Err(format!(
            "the copy says that it has {} entries and {} bytes, the ledger that was copied had {} and {}",
            copy.entry_count, copy.length_bytes, info.entry_count, info.size_bytes
        )),
    }
}

/// Where a read found its entries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    RecentEntries,
    /// The hot or the cold one, read ahead or not.
    Copy,
}

/// Whether the log has the failure of a copy already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Log,
    Already,
}

/// Whether some of the bytes are not what was written; others of the same copy may be.
fn is_damage(error: &ReadError) -> bool {
    match error {
        ReadError::Corrupt { .. } => true,
        ReadError::Driver(error) => error.kind == DriverErrorKind::Corrupt,
        _ => false,
    }
}

/// Whether the copy itself is wrong, rather than the way to it.
fn is_lasting(error: &ReadError) -> bool {
    let is_absent = match error {
        ReadError::NotFound(_) => true,
        ReadError::Driver(error) => error.kind == DriverErrorKind::NotFound,
        _ => false,
    };
    is_absent || is_damage(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_copies_are_bounded_and_those_in_use_stay() {
        let copies = Copies::default();
        for now_ms in 0..100 {
            copies.slot(LedgerId(0), Tier::Cold, now_ms, 4);
            copies.slot(LedgerId(now_ms + 1), Tier::Hot, now_ms, 4);
        }
        let open = copies.open.lock().unwrap();
        assert_eq!(open.len(), 4);
        assert!(open.contains_key(&(LedgerId(0), Tier::Cold)) && open.contains_key(&(LedgerId(100), Tier::Hot)));
    }

    struct Nothing;

    #[async_trait::async_trait]
    impl ReadHandle for Nothing {
        fn metadata(&self) -> LedgerMetadata {
            unreachable!("nobody asks")
        }

        async fn read(&self, _: u64, _: u64, _: u64) -> Result<Vec<Entry>, ReadError> {
            unreachable!("nobody reads")
        }
    }

    /// What a swap of plugins costs: forgetting opens nothing, and the next reads of a copy open it once.
    #[tokio::test]
    async fn a_forgotten_copy_is_opened_by_its_next_reader_for_all() {
        let (copies, opened) = (Copies::default(), AtomicU64::new(0));
        let read = async || {
            let slot = copies.slot(LedgerId(1), Tier::Cold, 0, 4);
            let open = async || {
                opened.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok::<Arc<dyn ReadHandle>, ReadError>(Arc::new(Nothing))
            };
            slot.handle.get_or_try_init(open).await.unwrap();
        };
        for swaps in 1..=3 {
            futures_util::future::join_all((0..1000).map(|_| read())).await;
            assert_eq!(opened.load(Ordering::Relaxed), swaps);
            copies.forget_cold();
            assert_eq!(opened.load(Ordering::Relaxed), swaps);
        }
    }

    #[test]
    fn what_a_driver_has_opened_is_forgotten_and_the_hot_copies_stay() {
        let copies = Copies::default();
        copies.slot(LedgerId(1), Tier::Cold, 0, 4);
        copies.slot(LedgerId(1), Tier::Hot, 0, 4);
        copies.forget_cold();
        let open = copies.open.lock().unwrap();
        assert_eq!(open.keys().collect::<Vec<_>>(), [&(LedgerId(1), Tier::Hot)]);
    }
}
