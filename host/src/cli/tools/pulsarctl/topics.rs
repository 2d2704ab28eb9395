//! `topics`.

use serde_json::{Value, json};
use ureq::http::Method;

use super::{
    Action, Answer, Failure, Json, Matches, OUTPUT, Session, Topic, done, framed, only, only_topic, run, told, two,
};
use crate::cli::grammar::{Command, Opt, Takes, flag, size_of, value};
use crate::cli::tools::answer::Form;
use crate::cli::tools::names::namespace_path;
use crate::cli::tools::offloading::{self, Status};

const PARTITION: Opt = value(&["-p", "--partition"], "int", Takes::Int, "Only this partition of the topic.").or("-1");
const FORCE: Opt = flag(&["-f", "--force"], "Even while producers and consumers are connected.");

pub(super) static COMMANDS: &[Command<Action>] = &[
    run(
        &["offload"],
        "Copies the oldest ledgers of a topic to its cold tier, now: pulsarctl topics offload TOPIC THRESHOLD.",
        &[value(
            &["-s", "--size-threshold"],
            "threshold",
            Takes::Text,
            "Most bytes that stay in the hot store, in place of the second argument.",
        )],
        offload,
    ),
    run(
        &["offload-status"],
        "Shows how the offload of a topic stands.",
        &[flag(&["-w", "--wait"], "Waits until it has ended; a terminal shows the way there.")],
        offload_status,
    ),
    run(
        &["internal-stats"],
        "Shows a topic's ledgers, which of them are offloaded, and its cursors.",
        &[PARTITION],
        internal_stats,
    ),
    run(&["internal-info"], "Shows a topic's ledgers as they are recorded.", &[PARTITION], internal_info),
    run(&["list"], "Lists a namespace's topics.", &[OUTPUT], list),
    run(&["create"], "Makes a topic: pulsarctl topics create TOPIC PARTITIONS; 0 makes none.", &[], create),
    run(&["update"], "Gives a topic more partitions: pulsarctl topics update TOPIC PARTITIONS.", &[], update),
    run(&["get"], "Shows how many partitions a topic has.", &[], |session, matches| {
        shown(session, only(matches, "topic")?, "/partitions")
    }),
    run(
        &["delete"],
        "Deletes a topic, with its cold copies.",
        &[FORCE, flag(&["-n", "--non-partitioned"], "It has no partitions.")],
        delete,
    ),
    run(
        &["stats"],
        "Shows a topic's rates, sizes, producers and subscriptions.",
        &[
            PARTITION,
            flag(&["--partitioned-topic"], "All partitions together."),
            flag(&["--per-partition"], "And each."),
        ],
        stats,
    ),
    run(&["lookup"], "Shows which broker serves a topic.", &[], lookup),
    run(&["unload"], "Closes a topic, and with it its open ledger.", &[], unload),
    run(&["terminate"], "Ends a topic: nothing more can be sent.", &[PARTITION], terminate),
    run(&["last-message-id"], "Shows the id of the newest message.", &[PARTITION], |session, matches| {
        let json = session.get(&format!("{}/lastMessageId", only_topic(matches)?.path()))?;
        Ok(Answer::Shown { json, form: Form::Indented })
    }),
];

fn shown(session: &Session, topic: &str, rest: &str) -> Result<Answer, Failure> {
    let json = session.get(&format!("{}{rest}", Topic::new(topic)?.path()))?;
    Ok(Answer::Shown { json, form: Form::Indented })
}

/// `TOPIC THRESHOLD`, and also `-s THRESHOLD TOPIC` as tutorials have it, which is answered in their words.
fn offload(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let option = matches.text("--size-threshold").filter(|text| size_of(text).is_ok());
    let (topic, threshold) = match option {
        Some(threshold) => (only(matches, "topic")?, threshold),
        None => two(matches)?,
    };
    let topic = Topic::persistent(topic)?;
    let keep_bytes = size_of(threshold).map_err(Failure::Found)?;
    let Some(ledger_id) = offloading::trigger(session, &topic, keep_bytes, "topic doesn't have any data")? else {
        return told("Nothing to offload".to_owned(), json!({ "topic": topic.full(), "before": null }));
    };
    let before = format!("{ledger_id}:0:-1");
    let facts = json!({ "topic": topic.full(), "before": before });
    if option.is_some() {
        return Ok(Answer::said(format!("Offload triggered for {} for messages before {before}", topic.full()), facts));
    }
    let text =
        format!("Trigger offloading the data before the message {before}:0 of the topic {} successfully", topic.full());
    told(text, facts)
}

fn offload_status(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::persistent(only(matches, "topic")?)?;
    let status = offloading::status(session, &topic, matches.has("-w"))?;
    let how = match &status {
        Status::NotRun => "is not running".to_owned(),
        Status::Running => "is running".to_owned(),
        Status::Success => "is done successfully".to_owned(),
        Status::Error(cause) => format!("is done with error {cause}"),
    };
    Ok(Answer::said(format!("Offloading topic {} {how}", topic.full()), status.facts(&topic)))
}

/// Fields in the order of the Go tool's structs, with the values that it has for what the broker leaves out.
fn ordered(from: &Json, fields: &[(&str, Value)]) -> Json {
    let value_of = |key: &str, default: &Value| from.get(key).cloned().unwrap_or_else(|| default.clone().into());
    Json::Object(fields.iter().map(|(key, default)| ((*key).to_owned(), value_of(key, default))).collect())
}

fn set(json: &mut Json, key: &str, value: Json) {
    if let Json::Object(pairs) = json {
        match pairs.iter_mut().find(|(name, _)| name == key) {
            Some((_, known)) => *known = value,
            None => pairs.push((key.to_owned(), value)),
        }
    }
}

fn internal_stats(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let answer = session.get(&format!("{}/internalStats", only_topic(matches)?.path()))?;
    let ledger = |ledger: &Json| {
        ordered(
            ledger,
            &[
                ("ledgerId", json!(0)),
                ("entries", json!(0)),
                ("size", json!(0)),
                ("timestamp", json!(0)),
                ("offloaded", json!(false)),
                ("metadata", json!("")),
                ("underReplicated", json!(false)),
            ],
        )
    };
    let mut json = ordered(
        &answer,
        &[
            ("waitingCursorsCount", json!(0)),
            ("pendingAddEntriesCount", json!(0)),
            ("entriesAddedCounter", json!(0)),
            ("numberOfEntries", json!(0)),
            ("totalSize", json!(0)),
            ("currentLedgerEntries", json!(0)),
            ("currentLedgerSize", json!(0)),
            ("lastLedgerCreatedTimestamp", json!("")),
            ("lastLedgerCreationFailureTimestamp", json!("")),
            ("lastConfirmedEntry", json!("")),
            ("state", json!("")),
            ("ledgers", json!([])),
            ("cursors", json!({})),
            ("schemaLedgers", json!([])),
            ("compactedLedger", json!({})),
        ],
    );
    let ledgers = answer.get("ledgers").map(Json::items).unwrap_or_default().iter().map(ledger);
    set(&mut json, "ledgers", Json::List(ledgers.collect()));
    Ok(Answer::Shown { json, form: Form::Indented })
}

fn internal_info(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let answer = session.get(&format!("{}/internal-info", only_topic(matches)?.path()))?;
    let ledger = |ledger: &Json| {
        ordered(
            ledger,
            &[
                ("ledgerId", json!(0)),
                ("entries", json!(0)),
                ("size", json!(0)),
                ("timestamp", json!(0)),
                ("isOffloaded", json!(false)),
                ("offloadedContextUuid", json!("")),
            ],
        )
    };
    let mut json = ordered(
        &answer,
        &[
            ("version", json!(0)),
            ("creationDate", json!("")),
            // Misspelt, and so never filled: as the Go tool has it.
            ("modificationData", json!("")),
            ("ledgers", json!([])),
            ("terminatedPosition", json!({ "ledgerId": 0, "entryId": 0 })),
            ("cursors", json!({})),
        ],
    );
    let mut ledgers: Vec<Json> =
        answer.get("ledgers").map(Json::items).unwrap_or_default().iter().map(ledger).collect();
    ledgers.sort_by_key(|ledger| ledger.get("ledgerId").and_then(Json::as_i64));
    set(&mut json, "ledgers", Json::List(ledgers));
    let ended = answer.get("terminatedPosition").cloned().unwrap_or(Json::Null);
    set(&mut json, "terminatedPosition", ordered(&ended, &[("ledgerId", json!(0)), ("entryId", json!(0))]));
    Ok(Answer::Shown { json, form: Form::Indented })
}

fn list(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let namespace = namespace_path(only(matches, "namespace")?)?;
    let topics = session.get(&format!("/persistent{namespace}"))?;
    Ok(framed(matches, "TOPIC NAME", &topics))
}

fn partitions(text: &str) -> Result<i32, Failure> {
    match text.parse() {
        Ok(count) if count >= 0 => Ok(count),
        _ => Err(Failure::Found(format!("invalid partition number '{text}'"))),
    }
}

fn create(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (topic, count) = two(matches)?;
    let (topic, count) = (Topic::new(topic)?, partitions(count)?);
    match count {
        0 => session.send(Method::PUT, &topic.path(), Some(&json!({})))?,
        _ => session.send(Method::PUT, &format!("{}/partitions", topic.path()), Some(&json!(count)))?,
    };
    done(format!("Create topic {} with {count} partitions successfully", topic.full()))
}

fn update(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (topic, count) = two(matches)?;
    let (topic, count) = (Topic::new(topic)?, partitions(count)?);
    session.send(Method::POST, &format!("{}/partitions", topic.path()), Some(&json!(count)))?;
    done(format!("Update topic {} with {count} partitions successfully", topic.full()))
}

fn delete(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::new(only(matches, "topic")?)?;
    let partitions = if matches.has("-n") { "" } else { "/partitions" };
    session.send(Method::DELETE, &format!("{}{partitions}?force={}", topic.path(), matches.has("-f")), None)?;
    done(format!("Delete topic {} successfully", topic.full()))
}

fn stats(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = only_topic(matches)?;
    let path = match matches.has("--partitioned-topic") {
        true => format!("{}/partitioned-stats?perPartition={}", topic.path(), matches.has("--per-partition")),
        false => format!("{}/stats", topic.path()),
    };
    Ok(Answer::Shown { json: session.get(&path)?, form: Form::Indented })
}

fn lookup(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::new(only(matches, "topic")?)?;
    let json = session.get(&format!("//lookup/v2/topic{}", topic.path()))?;
    Ok(Answer::Shown { json, form: Form::Indented })
}

fn unload(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::new(only(matches, "topic")?)?;
    session.send(Method::PUT, &format!("{}/unload", topic.path()), None)?;
    done(format!("Unload topic {} successfully", topic.full()))
}

fn terminate(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = only_topic(matches)?;
    let last = session.send(Method::POST, &format!("{}/terminate", topic.path()), None)?;
    let part = |key: &str| last.get(key).and_then(Json::as_i64).unwrap_or(-1);
    let id = format!("{}:{}:{}", part("ledgerId"), part("entryId"), part("partitionIndex"));
    let facts = json!({ "topic": topic.full(), "lastMessageId": id });
    told(format!("Topic {} is successfully terminated at {id}", topic.full()), facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stand_in_the_order_of_the_tool_with_its_defaults() {
        let from: Json = serde_json::from_str(r#"{"b":1,"x":2}"#).unwrap();
        assert_eq!(ordered(&from, &[("a", json!("")), ("b", json!(0))]).to_string(), r#"{"a":"","b":1}"#);
    }
}
