//! What both admin tools do about an offload: choose the position, trigger, wait.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::http::Method;

use super::Failure;
use super::json_text::Json;
use super::names::Topic;
use super::session::Session;
use crate::cli::output::{ByteProgress, size};

/// Time between two looks at an offload that is waited for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The same on a terminal, where a bar moves.
const LOOK_EVERY_ON_TERMINAL: Duration = Duration::from_millis(200);

/// Asks the broker to offload what is more than `keep_bytes`; answers the position before which it does, or that there is
/// nothing to offload.
///
/// # Errors
/// `no_data` where the topic has no ledger; what the broker refuses.
pub(in crate::cli) fn trigger(
    session: &Session,
    topic: &Topic,
    keep_bytes: i64,
    no_data: &str,
) -> Result<Option<i64>, Failure> {
    let stats = session.get(&format!("{}/internalStats", topic.path()))?;
    let ledgers: Vec<(i64, i64)> = ledgers_of(&stats).map(|ledger| (ledger.id, ledger.bytes)).collect();
    if ledgers.is_empty() {
        return Err(Failure::Found(no_data.to_owned()));
    }
    let current_bytes = stats.get("currentLedgerSize").and_then(Json::as_i64).unwrap_or(0);
    let Some(ledger_id) = first_to_stay(&ledgers, current_bytes, keep_bytes) else { return Ok(None) };
    let position = json!({ "ledgerId": ledger_id, "entryId": 0, "partitionIndex": -1 });
    session.send(Method::PUT, &format!("{}/offload", topic.path()), Some(&position))?;
    Ok(Some(ledger_id))
}

/// The oldest ledger that may stay when no more than `keep_bytes` shall; `None` where all may.
///
/// Summed from the newest; the newest itself where that alone is more.
fn first_to_stay(ledgers: &[(i64, i64)], current_bytes: i64, keep_bytes: i64) -> Option<i64> {
    let mut stays = ledgers.last()?.0;
    let mut sum = 0i64;
    for (index, &(id, bytes)) in ledgers.iter().enumerate().rev() {
        let is_current = index + 1 == ledgers.len();
        sum = sum.saturating_add(if is_current { current_bytes } else { bytes });
        if sum > keep_bytes {
            return Some(stays);
        }
        stays = id;
    }
    None
}

/// How an offload stands.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Status {
    /// Never asked for since the topic was loaded.
    NotRun,
    /// It runs.
    Running,
    /// All that was asked for is done.
    Success,
    /// It failed, with this cause.
    Error(String),
}

impl Status {
    /// The word of the REST API.
    pub(in crate::cli) fn facts(&self, topic: &Topic) -> Value {
        let (word, error) = match self {
            Self::NotRun => ("NOT_RUN", None),
            Self::Running => ("RUNNING", None),
            Self::Success => ("SUCCESS", None),
            Self::Error(cause) => ("ERROR", Some(cause)),
        };
        json!({ "topic": topic.full(), "status": word, "error": error })
    }
}

/// How the offload of `topic` stands; where it is waited for, how it ended. On a terminal a bar tells of the way there.
pub(in crate::cli) fn status(session: &Session, topic: &Topic, is_waited_for: bool) -> Result<Status, Failure> {
    let path = format!("{}/offload", topic.path());
    let first = status_of(&session.get(&path)?);
    if !is_waited_for || first != Status::Running {
        return Ok(first);
    }
    if !std::io::stderr().is_terminal() || session.as_json {
        loop {
            std::thread::sleep(LOOK_EVERY);
            match status_of(&session.get(&path)?) {
                Status::Running => {}
                ended => return Ok(ended),
            }
        }
    }
    watch(session, topic, &path)
}

fn watch(session: &Session, topic: &Topic, path: &str) -> Result<Status, Failure> {
    let internal = format!("{}/internalStats", topic.path());
    let (cold_at_first, closed_at_first) = cold_bytes(&session.get(&internal)?);
    let bar = ByteProgress::new("offload", closed_at_first.saturating_sub(cold_at_first));
    let started = Instant::now();
    loop {
        let (cold, closed) = cold_bytes(&session.get(&internal)?);
        let moved = cold.saturating_sub(cold_at_first);
        bar.set(moved, closed.saturating_sub(cold_at_first));
        match status_of(&session.get(path)?) {
            Status::Running => std::thread::sleep(LOOK_EVERY_ON_TERMINAL),
            ended => {
                bar.finish();
                let moved = cold_bytes(&session.get(&internal)?).0.saturating_sub(cold_at_first);
                eprintln!("offloaded {} in {:.1} s", size(moved), started.elapsed().as_secs_f64());
                return Ok(ended);
            }
        }
    }
}

/// Bytes in ledgers that are offloaded, and in all closed ones.
fn cold_bytes(stats: &Json) -> (u64, u64) {
    let ledgers: Vec<Ledger> = ledgers_of(stats).collect();
    let closed = &ledgers[..ledgers.len().saturating_sub(1)];
    let sum = |ledgers: &mut dyn Iterator<Item = &Ledger>| ledgers.map(|ledger| ledger.bytes.max(0) as u64).sum();
    (sum(&mut closed.iter().filter(|ledger| ledger.is_offloaded)), sum(&mut closed.iter()))
}

struct Ledger {
    id: i64,
    bytes: i64,
    is_offloaded: bool,
}

fn ledgers_of(stats: &Json) -> impl Iterator<Item = Ledger> + '_ {
    stats.get("ledgers").map(Json::items).unwrap_or_default().iter().filter_map(|ledger| {
        Some(Ledger {
            id: ledger.get("ledgerId")?.as_i64()?,
            bytes: ledger.get("size").and_then(Json::as_i64).unwrap_or(0),
            is_offloaded: ledger.get("offloaded") == Some(&Json::Bool(true)),
        })
    })
}

fn status_of(answer: &Json) -> Status {
    match answer.get("status").and_then(Json::as_text) {
        Some("RUNNING") => Status::Running,
        Some("SUCCESS") => Status::Success,
        Some("ERROR") => {
            Status::Error(answer.get("lastError").and_then(Json::as_text).unwrap_or("no cause given").to_owned())
        }
        _ => Status::NotRun,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_ledger_that_may_stay_is_named() {
        let ledgers = [(0, 1000), (1, 2000), (2, 0)];
        for (keep, first) in [
            (0, Some(2)),
            (2999, Some(2)),
            (3000, Some(2)),
            (4999, Some(2)),
            (5000, Some(1)),
            (5999, Some(1)),
            (6000, None),
        ] {
            assert_eq!(first_to_stay(&ledgers, 3000, keep), first, "keep {keep}");
        }
        assert_eq!(first_to_stay(&[(7, 0)], 0, 0), None);
        assert_eq!(first_to_stay(&[], 0, 0), None);
    }

    #[test]
    fn statuses_are_read() {
        let of = |text: &str| status_of(&serde_json::from_str(text).unwrap());
        assert_eq!(of(r#"{"status":"RUNNING"}"#), Status::Running);
        assert_eq!(of(r#"{"status":"ERROR","lastError":"why"}"#), Status::Error("why".to_owned()));
        assert_eq!(of("{}"), Status::NotRun);
    }

    #[test]
    fn progress_is_told_in_bytes_of_closed_ledgers() {
        let stats: Json = serde_json::from_str(
            r#"{"ledgers":[{"ledgerId":1,"size":10,"offloaded":true},{"ledgerId":2,"size":20,"offloaded":false},
                {"ledgerId":3,"size":99,"offloaded":false}]}"#,
        )
        .unwrap();
        assert_eq!(cold_bytes(&stats), (10, 30));
    }
}
