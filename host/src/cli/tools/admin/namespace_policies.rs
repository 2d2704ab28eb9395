//! What namespace policies are written as, and how some of them are told. Retention and time to live serve topics too.

use serde_json::{Value, json};
use ureq::http::Method;

use super::{Answer, Failure, Session};
use crate::cli::grammar::{Matches, Opt, Takes, flag, value};
use crate::cli::tools::answer::Form;
use crate::cli::tools::json_text::Json;
use crate::cli::tools::names::namespace_path;

const BYTES_PER_MB: i64 = 1 << 20;

pub(super) const RETENTION: &[Opt] = &[
    value(
        &["--size", "-s"],
        "sizeLimit",
        Takes::Size,
        "How much is kept: 4096, 10M, 16G, 3T. -1 is without limit; less than 1M is nothing.",
    )
    .required(),
    value(
        &["--time", "-t"],
        "retentionTimeInSec",
        Takes::Seconds,
        "How long it is kept: 100m, 3h, 2d, 5w; seconds without a unit. -1 is for ever, 0 not at all.",
    )
    .required(),
];

/// Whole minutes and MB, as the broker counts retention.
pub(in crate::cli::tools) fn retention_body(seconds: i64, bytes: i64) -> Value {
    let minutes = if seconds == -1 { -1 } else { seconds / 60 };
    let megabytes = if bytes == -1 { -1 } else { bytes / BYTES_PER_MB };
    json!({ "retentionTimeInMinutes": minutes, "retentionSizeInMB": megabytes })
}

pub(super) fn retention(matches: &Matches) -> Result<Option<Value>, Failure> {
    Ok(Some(retention_body(matches.seconds("-t").unwrap_or(-1), matches.size("-s").unwrap_or(-1))))
}

pub(super) const OFFLOAD_THRESHOLD: &[Opt] = &[
    value(
        &["--size", "-s"],
        "threshold",
        Takes::Size,
        "Most bytes that stay in the hot store: 10M, 16G, 3T. 0 offloads each ledger as it closes, -1 none.",
    )
    .required(),
    value(
        &["--time", "-t"],
        "thresholdInSeconds",
        Takes::Seconds,
        "Longest time that a ledger stays hot only: 10m, 5h, 3d, 2w; -1 is for ever.",
    )
    .or("-1"),
];

pub(super) fn set_offload_threshold(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let path = format!("/namespaces{}", namespace_path(matches.argument(0))?);
    let bytes = json!(matches.size("-s").unwrap_or(-1));
    session.send(Method::PUT, &format!("{path}/offloadThreshold"), Some(&bytes))?;
    let seconds = json!(matches.seconds("-t").unwrap_or(-1));
    session.send(Method::PUT, &format!("{path}/offloadThresholdInSeconds"), Some(&seconds))?;
    Ok(Answer::Done)
}

pub(super) fn get_offload_threshold(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let path = format!("/namespaces{}", namespace_path(matches.argument(0))?);
    let bytes = session.get(&format!("{path}/offloadThreshold"))?;
    let seconds = session.get(&format!("{path}/offloadThresholdInSeconds"))?;
    let facts = json!({ "offloadThresholdInBytes": bytes.as_i64(), "offloadThresholdInSeconds": seconds.as_i64() });
    Ok(Answer::said(format!("offloadThresholdInBytes: {bytes}\noffloadThresholdInSeconds: {seconds}"), facts))
}

pub(super) const DELETION_LAG: &[Opt] = &[value(
    &["--lag", "-l"],
    "lagInSec",
    Takes::Seconds,
    "How long both copies are kept: 30s, 10m, 4h, 2d; seconds without a unit. Negative is for ever.",
)
.required()];

pub(super) fn deletion_lag(matches: &Matches) -> Result<Option<Value>, Failure> {
    Ok(Some(json!(matches.seconds("-l").unwrap_or(-1).saturating_mul(1000))))
}

pub(super) fn get_deletion_lag(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let path = format!("/namespaces{}/offloadDeletionLagMs", namespace_path(matches.argument(0))?);
    let lag_ms = session.get(&path)?.as_i64();
    let text = match lag_ms {
        Some(lag_ms) => format!("{} minute(s)", lag_ms / 60_000),
        None => "Unset for namespace. Defaulting to broker setting.".to_owned(),
    };
    Ok(Answer::said(text, json!({ "offloadDeletionLagMs": lag_ms })))
}

pub(super) const MESSAGE_TTL: &[Opt] = &[value(
    &["--messageTTL", "-ttl"],
    "messageTTLInSecond",
    Takes::Seconds,
    "30s, 10m, 2h, 7d; seconds without a unit. 0 switches it off.",
)
.required()];

pub(super) fn message_ttl(matches: &Matches) -> Result<Option<Value>, Failure> {
    Ok(Some(json!(matches.seconds("-ttl").unwrap_or(0))))
}

pub(super) const PERSISTENCE: &[Opt] = &[
    value(&["-e", "--bookkeeper-ensemble"], "bookkeeperEnsemble", Takes::Int, "Bookies of a ledger.").or("2"),
    value(&["-w", "--bookkeeper-write-quorum"], "bookkeeperWriteQuorum", Takes::Int, "Copies of an entry.").or("2"),
    value(&["-a", "--bookkeeper-ack-quorum"], "bookkeeperAckQuorum", Takes::Int, "Copies that are waited for.").or("2"),
    value(
        &["-r", "--ml-mark-delete-max-rate"],
        "managedLedgerMaxMarkDeleteRate",
        Takes::Double,
        "Acknowledged places that are noted in a second.",
    )
    .or("0"),
    value(&["-c", "--ml-storage-class"], "managedLedgerStorageClassName", Takes::Text, "").hidden(),
];

pub(super) fn persistence(matches: &Matches) -> Result<Option<Value>, Failure> {
    let count = |name: &str| matches.number::<i32>(name);
    Ok(Some(json!({
        "bookkeeperEnsemble": count("-e"),
        "bookkeeperWriteQuorum": count("-w"),
        "bookkeeperAckQuorum": count("-a"),
        "managedLedgerMaxMarkDeleteRate": matches.number::<f64>("-r"),
    })))
}

const QUOTA_POLICIES: [&str; 3] = ["producer_request_hold", "producer_exception", "consumer_backlog_eviction"];
const QUOTA_TYPE: Opt = value(
    &["-t", "--type"],
    "backlogQuotaTypeStr",
    Takes::OneOf(&["destination_storage", "message_age"]),
    "What is measured: destination_storage or message_age.",
);

pub(super) const BACKLOG_QUOTA_TYPE: &[Opt] = &[QUOTA_TYPE.or("destination_storage")];
pub(super) const BACKLOG_QUOTA: &[Opt] = &[
    value(&["-l", "--limit"], "limit", Takes::Size, "Most bytes: 10M, 16G."),
    value(&["-lt", "--limitTime"], "limitTimeInSec", Takes::Seconds, "Longest time: 10m, 4h; for message_age."),
    value(
        &["-p", "--policy"],
        "policyStr",
        Takes::Text,
        "What happens beyond: producer_request_hold, producer_exception or consumer_backlog_eviction.",
    )
    .required(),
    QUOTA_TYPE.or("destination_storage"),
];

/// The type of quota that a line means, and what is sent.
pub(super) fn backlog_quota(matches: &Matches) -> Result<(&str, Value), Failure> {
    let policy = matches.text("-p").unwrap_or_default();
    if !QUOTA_POLICIES.contains(&policy) {
        let valid = QUOTA_POLICIES.join(", ");
        return Err(Failure::Usage(format!("Invalid retention policy type '{policy}'. Valid options are: [{valid}]")));
    }
    let (kind, bytes, seconds) = (matches.text("-t").unwrap_or_default(), matches.size("-l"), matches.seconds("-lt"));
    match kind {
        "message_age" if seconds.is_none() => {
            return Err(Failure::Usage(
                "Quota type of 'message_age' must have a limit of time: --limitTime".to_owned(),
            ));
        }
        "destination_storage" if bytes.is_none() => {
            return Err(Failure::Usage(
                "Quota type of 'destination_storage' must have a size limit: --limit".to_owned(),
            ));
        }
        _ => {}
    }
    let bytes = bytes.unwrap_or(-1);
    let body = json!({ "limit": bytes, "limitSize": bytes, "limitTime": seconds.unwrap_or(-1), "policy": policy });
    Ok((kind, body))
}

pub(super) fn set_backlog_quota(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (kind, body) = backlog_quota(matches)?;
    let path = format!("/namespaces{}/backlogQuota?backlogQuotaType={kind}", namespace_path(matches.argument(0))?);
    session.send(Method::POST, &path, Some(&body))?;
    Ok(Answer::Done)
}

pub(super) fn get_backlog_quotas(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    shown_backlog_quotas(session, &format!("/namespaces{}/backlogQuotaMap", namespace_path(matches.argument(0))?))
}

/// The quotas of a namespace or a topic, each on a line.
pub(super) fn shown_backlog_quotas(session: &Session, path: &str) -> Result<Answer, Failure> {
    let quotas = session.get(path)?;
    if session.as_json {
        return Ok(Answer::Shown { json: quotas, form: Form::Pairs });
    }
    let lines = quotas.pairs().iter().map(|(kind, quota)| {
        let of = |key: &str| quota.get(key).map_or("null".to_owned(), Json::bare);
        let limit = quota.get("limit").or_else(|| quota.get("limitSize")).map_or("-1".to_owned(), Json::bare);
        format!(
            "{kind}    BacklogQuotaImpl(limit={limit}, limitSize={}, limitTime={}, policy={})\n",
            of("limitSize"),
            of("limitTime"),
            of("policy")
        )
    });
    Ok(Answer::Text(lines.collect()))
}

pub(super) const AUTO_TOPIC_CREATION: &[Opt] = &[
    flag(&["--enable", "-e"], "They are."),
    flag(&["--disable", "-d"], "They are not."),
    value(
        &["--type", "-t"],
        "type",
        Takes::OneOf(&["partitioned", "non-partitioned"]),
        "What is made: partitioned or non-partitioned.",
    )
    .or("non-partitioned"),
    value(&["--num-partitions", "-n"], "defaultNumPartitions", Takes::Int, "Partitions of a partitioned topic."),
];

pub(super) fn auto_topic_creation(matches: &Matches) -> Result<Option<Value>, Failure> {
    if matches.has("-e") == matches.has("-d") {
        return Err(Failure::Usage("Need to specify either --enable or --disable".to_owned()));
    }
    let mut body = json!({ "allowAutoTopicCreation": matches.has("-e"), "topicType": matches.text("-t") });
    if let Some(partitions) = matches.number::<i32>("-n") {
        body["defaultNumPartitions"] = json!(partitions);
    }
    Ok(Some(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_sent_in_whole_minutes_and_megabytes() {
        for (seconds, bytes, minutes, megabytes) in
            [(172_800, 100 << 20, 2880, 100), (-1, -1, -1, -1), (59, 1023, 0, 0), (259_200, -10 << 30, 4320, -10240)]
        {
            let body = retention_body(seconds, bytes);
            assert_eq!(body, json!({ "retentionTimeInMinutes": minutes, "retentionSizeInMB": megabytes }));
        }
    }
}
