//! Our own: why a topic's ledgers are offloaded now, or stay.

use serde::Serialize;

use crate::managed_ledger::{OffloadPolicy, Snapshot};
use crate::namespace::explain::Explained;
use crate::offload::select::{Verdict, verdicts};

/// The answer for a topic.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct TopicExplained {
    settings: Vec<Explained>,
    /// In one sentence: whether anything is offloaded by itself, and what keeps it.
    summary: String,
    would_offload: Vec<u64>,
    ledgers: Vec<LedgerExplained>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LedgerExplained {
    ledger_id: u64,
    size: u64,
    offload: bool,
    reason: String,
}

impl TopicExplained {
    /// `settings` without secrets.
    pub(in crate::admin) fn new(
        settings: Vec<Explained>,
        policy: &OffloadPolicy,
        snapshot: &Snapshot,
        now_ms: u64,
    ) -> Self {
        let judged = verdicts(&snapshot.ledgers, policy, now_ms);
        let chosen = |verdict: &Verdict| verdict.is_chosen() && policy.driver.is_some();
        let would_offload: Vec<u64> =
            judged.iter().filter(|(_, verdict)| chosen(verdict)).map(|(ledger_id, _)| ledger_id.0).collect();
        let ledgers = judged.iter().map(|(ledger_id, verdict)| LedgerExplained {
            ledger_id: ledger_id.0,
            size: snapshot.ledgers.by_id.get(ledger_id).map_or(0, |info| info.size_bytes),
            offload: chosen(verdict),
            reason: reason(*verdict, policy),
        });
        Self { settings, summary: summary(policy, would_offload.len()), ledgers: ledgers.collect(), would_offload }
    }
}

fn summary(policy: &OffloadPolicy, count: usize) -> String {
    match policy {
        OffloadPolicy { driver: None, .. } => {
            "nothing is offloaded: no level sets managedLedgerOffloadDriver".to_owned()
        }
        OffloadPolicy { threshold_bytes: None, threshold_ms: None, .. } => {
            "nothing is offloaded by itself: no level sets a threshold of 0 or more; `offload` does it on request"
                .to_owned()
        }
        _ if count == 0 => "nothing is to be offloaded now".to_owned(),
        _ => format!("{count} ledgers are offloaded when the next ledger closes or the topic is loaded"),
    }
}

fn reason(verdict: Verdict, policy: &OffloadPolicy) -> String {
    let seconds = |ms: u64| ms / 1000;
    match verdict {
        Verdict::BySize { sum_bytes } => format!(
            "it and the newer ones have {sum_bytes} bytes, more than the threshold of {}",
            policy.threshold_bytes.unwrap_or_default()
        ),
        Verdict::ByAge { age_ms } => format!(
            "it was closed {} s ago, the threshold is {} s",
            seconds(age_ms),
            seconds(policy.threshold_ms.unwrap_or_default())
        ),
        Verdict::Open => "it takes entries".to_owned(),
        Verdict::Empty => "it is empty".to_owned(),
        Verdict::Offloaded => "it is offloaded".to_owned(),
        Verdict::NoHotCopy => "it has no hot copy".to_owned(),
        Verdict::Below { sum_bytes, age_ms } => {
            let by_size = policy.threshold_bytes.map(|max| {
                format!("it and the newer ones have {sum_bytes} bytes, no more than the threshold of {max}")
            });
            let by_age = policy
                .threshold_ms
                .map(|least| format!("it was closed {} s ago, the threshold is {} s", seconds(age_ms), seconds(least)));
            let both: Vec<String> = by_size.into_iter().chain(by_age).collect();
            if both.is_empty() { "there is no threshold".to_owned() } else { both.join("; ") }
        }
    }
}
