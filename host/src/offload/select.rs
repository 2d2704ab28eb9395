//! Which ledgers a run copies, and in which order. Pure.
//!
//! Source: Pulsar `ManagedLedgerImpl.maybeOffload`, `asyncOffloadPrefix`.

use crate::managed_ledger::{LedgerInfo, Ledgers, OffloadPolicy, Position};
use crate::storage::LedgerId;

/// What a manual trigger asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// Ledgers to copy, oldest first.
    pub chosen: Vec<LedgerId>,
    /// The first entry that stays hot when all of them are copied.
    pub first_unoffloaded: Position,
}

/// Every ledger before the one that `position` names, but never the last of the list.
pub fn before(ledgers: &Ledgers, position: Position) -> Option<Prefix> {
    let last = *ledgers.by_id.keys().next_back()?;
    let bound = last.min(position.ledger_id);
    let first_retained = ledgers.by_id.range(bound..).next().map_or(last, |(id, _)| *id);
    let chosen = ledgers.by_id.range(..bound).map(|(_, info)| info).filter(|info| wants_copy(info));
    Some(Prefix {
        chosen: chosen.map(|info| info.ledger_id).collect(),
        first_unoffloaded: Position::new(first_retained, 0),
    })
}

/// What the thresholds ask for, oldest first: the newest closed ledgers whose sizes add up to no more than the byte
/// threshold stay, and so do those younger than the time threshold. Ledgers that are offloaded count in the sum.
pub fn beyond_thresholds(ledgers: &Ledgers, policy: &OffloadPolicy, now_ms: u64) -> Vec<LedgerId> {
    let verdicts = verdicts(ledgers, policy, now_ms).into_iter();
    verdicts.filter_map(|(ledger_id, verdict)| verdict.is_chosen().then_some(ledger_id)).collect()
}

/// What the thresholds say of one ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is copied: it and the newer ones have `sum_bytes`, more than the threshold.
    BySize {
        /// Bytes of it and all newer closed ledgers.
        sum_bytes: u64,
    },
    /// It is copied: it was closed so long ago.
    ByAge {
        /// Milliseconds since.
        age_ms: u64,
    },
    /// It stays: it takes entries.
    Open,
    /// It stays: there is nothing in it.
    Empty,
    /// It stays: a sound cold copy is there.
    Offloaded,
    /// It stays: there is no hot copy to copy from.
    NoHotCopy,
    /// It stays: neither threshold is reached.
    Below {
        /// Bytes of it and all newer closed ledgers.
        sum_bytes: u64,
        /// Milliseconds since it was closed.
        age_ms: u64,
    },
}

impl Verdict {
    /// Whether it is copied.
    pub fn is_chosen(self) -> bool {
        matches!(self, Self::BySize { .. } | Self::ByAge { .. })
    }
}

/// What the thresholds say of each ledger, oldest first.
pub fn verdicts(ledgers: &Ledgers, policy: &OffloadPolicy, now_ms: u64) -> Vec<(LedgerId, Verdict)> {
    let mut sum_bytes = 0;
    let mut verdicts = Vec::with_capacity(ledgers.by_id.len());
    for info in ledgers.by_id.values().rev() {
        sum_bytes += info.closed_ms.map_or(0, |_| info.size_bytes);
        verdicts.push((info.ledger_id, verdict(info, sum_bytes, policy, now_ms)));
    }
    verdicts.reverse();
    verdicts
}

fn verdict(info: &LedgerInfo, sum_bytes: u64, policy: &OffloadPolicy, now_ms: u64) -> Verdict {
    let Some(closed_ms) = info.closed_ms else { return Verdict::Open };
    if let Some(stays) = has_no_need(info) {
        return stays;
    }
    let age_ms = now_ms.saturating_sub(closed_ms);
    if policy.threshold_bytes.is_some_and(|max| sum_bytes > max) {
        Verdict::BySize { sum_bytes }
    } else if policy.threshold_ms.is_some_and(|least| age_ms >= least) {
        Verdict::ByAge { age_ms }
    } else {
        Verdict::Below { sum_bytes, age_ms }
    }
}

/// Why a closed ledger is not copied whatever is asked for; `None` for one with entries, whose hot copy is there and whose cold
/// copy is not, or is damaged.
fn has_no_need(info: &LedgerInfo) -> Option<Verdict> {
    match info {
        LedgerInfo { size_bytes: 0, .. } => Some(Verdict::Empty),
        info if info.offload.is_sound() => Some(Verdict::Offloaded),
        info if !info.offload.has_hot() => Some(Verdict::NoHotCopy),
        _ => None,
    }
}

fn wants_copy(info: &LedgerInfo) -> bool {
    info.closed_ms.is_some() && has_no_need(info).is_none()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::managed_ledger::offload_context::{Attempt, OffloadState};

    const MIB: u64 = 1 << 20;

    /// Closed ledgers 1, 2, 3 of 4 MiB, closed at 1000, 2000, 3000 ms, and the open ledger 7.
    fn list() -> Ledgers {
        let closed = (1..=3).map(|id| LedgerInfo {
            entry_count: 1,
            size_bytes: 4 * MIB,
            closed_ms: Some(id * 1000),
            ..LedgerInfo::open(LedgerId(id))
        });
        let infos = closed.chain([LedgerInfo::open(LedgerId(7))]);
        Ledgers { by_id: infos.map(|info| (info.ledger_id, info)).collect(), ..Ledgers::default() }
    }

    fn complete(damaged: Option<&str>) -> OffloadState {
        let attempt = Attempt { uid: Uuid::nil(), driver: "d".into(), driver_metadata: BTreeMap::new() };
        OffloadState::Complete { attempt, completed_ms: 0, damaged: damaged.map(str::to_owned) }
    }

    fn ids(chosen: &[LedgerId]) -> Vec<u64> {
        chosen.iter().map(|id| id.0).collect()
    }

    #[test]
    fn a_manual_trigger_takes_whole_ledgers_before_the_position() {
        let at = |ledger, entry| Position::new(LedgerId(ledger), entry);
        let table = [
            (at(7, 0), vec![1, 2, 3], 7),
            (at(3, 0), vec![1, 2], 3),
            (at(2, 5), vec![1], 2),
            (at(1, 0), vec![], 1),
            (at(9, 0), vec![1, 2, 3], 7),
        ];
        for (position, want, first) in table {
            let prefix = before(&list(), position).unwrap();
            assert_eq!((ids(&prefix.chosen), prefix.first_unoffloaded), (want, at(first, 0)), "{position}");
        }
        assert_eq!(before(&Ledgers::default(), at(1, 0)), None);
    }

    #[test]
    fn the_last_ledger_of_a_terminated_topic_stays() {
        let mut ledgers = list();
        ledgers.by_id.remove(&LedgerId(7));
        let prefix = before(&ledgers, Position::new(LedgerId(3), 0)).unwrap();
        assert_eq!(ids(&prefix.chosen), [1, 2]);
    }

    #[test]
    fn thresholds_keep_the_newest() {
        let table = [
            (None, None, vec![]),
            (Some(0), None, vec![1, 2, 3]),
            (Some(10 * MIB), None, vec![1]),
            (Some(8 * MIB), None, vec![1]),
            (Some(8 * MIB - 1), None, vec![1, 2]),
            (Some(12 * MIB), None, vec![]),
            (None, Some(0), vec![1, 2, 3]),
            (None, Some(1500), vec![1, 2]),
            (None, Some(1501), vec![1]),
            (Some(10 * MIB), Some(1500), vec![1, 2]),
        ];
        for (threshold_bytes, threshold_ms, want) in table {
            let policy = OffloadPolicy { threshold_bytes, threshold_ms, ..OffloadPolicy::default() };
            let chosen = beyond_thresholds(&list(), &policy, 3500);
            assert_eq!(ids(&chosen), want, "{threshold_bytes:?} {threshold_ms:?}");
        }
    }

    #[test]
    fn offloaded_ledgers_count_but_are_not_copied_again_unless_damaged() {
        let mut ledgers = list();
        ledgers.by_id.get_mut(&LedgerId(2)).unwrap().offload = complete(None);
        ledgers.by_id.get_mut(&LedgerId(3)).unwrap().offload = complete(Some("data at 4"));
        let policy = OffloadPolicy { threshold_bytes: Some(0), ..OffloadPolicy::default() };
        assert_eq!(ids(&beyond_thresholds(&ledgers, &policy, 0)), [1, 3]);
        let policy = OffloadPolicy { threshold_bytes: Some(8 * MIB), ..OffloadPolicy::default() };
        assert_eq!(ids(&beyond_thresholds(&ledgers, &policy, 0)), [1]);
    }

    /// Against the obvious quadratic model, over seeded random lists.
    #[test]
    fn thresholds_agree_with_a_slow_model() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut ledgers = Ledgers::default();
            for id in 1..=random.u64(1..12) {
                let offload = if random.bool() { complete(None) } else { OffloadState::None };
                let info = LedgerInfo {
                    entry_count: 1,
                    size_bytes: random.u64(0..10),
                    closed_ms: Some(random.u64(1..100)),
                    offload,
                    ..LedgerInfo::open(LedgerId(id))
                };
                ledgers.by_id.insert(info.ledger_id, info);
            }
            let policy = OffloadPolicy {
                threshold_bytes: random.bool().then(|| random.u64(0..30)),
                threshold_ms: random.bool().then(|| random.u64(0..100)),
                ..OffloadPolicy::default()
            };
            let model: Vec<LedgerId> = ledgers
                .by_id
                .values()
                .filter(|info| {
                    let newer: u64 = ledgers.by_id.range(info.ledger_id..).map(|(_, other)| other.size_bytes).sum();
                    let age = 100 - info.closed_ms.unwrap();
                    info.size_bytes > 0
                        && !info.offload.is_complete()
                        && (policy.threshold_bytes.is_some_and(|max| newer > max)
                            || policy.threshold_ms.is_some_and(|min| age >= min))
                })
                .map(|info| info.ledger_id)
                .collect();
            assert_eq!(beyond_thresholds(&ledgers, &policy, 100), model, "seed {seed}");
        }
    }
}
