//! `topics`.

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::{
    Action, Answer, Failure, Form, NAMESPACE, Session, TOPIC, messages, namespace_policies, nothing, offload_policies,
    run, send, show, subscriptions, topic_upkeep,
};
use crate::cli::grammar::{Command, Matches, Opt, Takes, argument, flag, value};
use crate::cli::tools::json_text::Json;
use crate::cli::tools::names::{Topic, encoded, namespace_path};
use crate::cli::tools::offloading::{self, Status};

const PROPERTIES: Opt =
    value(&["--metadata", "-m"], "metadata", Takes::Pairs, "What it carries: key=value, again and again.");
const PARTITIONS: Opt = value(&["-p", "--partitions"], "numPartitions", Takes::Int, "How many partitions.").required();
const PRECISE: Opt = flag(&["-gpb", "--get-precise-backlog"], "Counts messages one by one.");
const BACKLOG_SIZE: Opt = flag(&["-sbs", "--get-subscription-backlog-size"], "Leaves the bytes that wait out.");
const EARLIEST: Opt =
    flag(&["-etb", "--get-earliest-time-in-backlog"], "With the time of the oldest message that waits.");
const APPLIED: Opt = flag(&["-ap", "--applied"], "What holds, wherever it was set.");
const SYSTEM: Opt = flag(&["-ist", "--include-system-topic"], "The system's topics as well.");

/// All that are there.
pub(super) static TABLES: &[&[Command<Action>]] = &[COMMANDS, topic_upkeep::COMMANDS];

static COMMANDS: &[Command<Action>] = &[
    run(
        &["list"],
        "Lists a namespace's topics, partitions one by one.",
        &[
            value(
                &["-td", "--topic-domain"],
                "topicDomain",
                Takes::OneOf(&["persistent", "non_persistent", "non-persistent"]),
                "Only those of this domain.",
            ),
            value(&["-b", "--bundle"], "bundle", Takes::Text, "Only those of this bundle."),
            SYSTEM,
        ],
        NAMESPACE,
        list,
    ),
    show(
        &["list-partitioned-topics"],
        "Lists a namespace's partitioned topics.",
        &[SYSTEM],
        NAMESPACE,
        "/persistent{namespace}/partitioned?includeSystemTopic={-ist}",
        Form::Lines,
    ),
    run(&["lookup"], "Shows which broker serves a topic.", &[], TOPIC, lookup),
    run(
        &["partitioned-lookup"],
        "Shows which broker serves each partition of a topic.",
        &[],
        TOPIC,
        partitioned_lookup,
    ),
    send(&["create"], "Makes a topic without partitions.", &[PROPERTIES], TOPIC, Method::PUT, "{topic}", properties),
    send(
        &["create-partitioned-topic"],
        "Makes a topic with partitions.",
        &[PARTITIONS, PROPERTIES],
        TOPIC,
        Method::PUT,
        "{topic}/partitions",
        partitions,
    ),
    send(
        &["update-partitioned-topic"],
        "Gives a topic more partitions.",
        &[PARTITIONS, flag(&["-ulo", "--update-local-only"], "").hidden(), flag(&["-f", "--force"], "").hidden()],
        TOPIC,
        Method::POST,
        "{topic}/partitions",
        partitions,
    ),
    show(
        &["get-partitioned-topic-metadata"],
        "Shows how many partitions a topic has; 0 is none.",
        &[],
        TOPIC,
        "{topic}/partitions",
        Form::Jackson,
    ),
    show(&["get-properties"], "Shows what a topic carries.", &[], TOPIC, "{topic}/properties", Form::Pairs),
    run(
        &["delete"],
        "Deletes a topic, with its cold copies.",
        &[
            flag(&["-f", "--force"], "Even while producers and consumers are connected; they are sent away."),
            flag(
                &["-r", "regex"],
                "The topic's name is a pattern: all topics of its namespace that match are deleted.",
            ),
            flag(&["--from-file"], "The argument is a file with a topic's name on each line."),
        ],
        &[argument("topic", "persistent://tenant/namespace/topic, a pattern, or a file.")],
        delete,
    ),
    send(
        &["delete-partitioned-topic"],
        "Deletes a topic and all its partitions, with their cold copies.",
        &[flag(&["-f", "--force"], "Even while producers and consumers are connected.")],
        TOPIC,
        Method::DELETE,
        "{topic}/partitions?force={--force}&deleteSchema=true",
        nothing,
    ),
    send(
        &["truncate"],
        "Removes all messages of a topic, acknowledged or not.",
        &[],
        TOPIC,
        Method::DELETE,
        "{topic}/truncate",
        nothing,
    ),
    send(
        &["unload"],
        "Closes a topic, and with it its open ledger; it opens again when it is used.",
        &[],
        TOPIC,
        Method::PUT,
        "{topic}/unload",
        nothing,
    ),
    show(
        &["stats"],
        "Shows a topic's rates, sizes, producers and subscriptions.",
        &[PRECISE, BACKLOG_SIZE, EARLIEST],
        TOPIC,
        "{topic}/stats?getPreciseBacklog={-gpb}&getEarliestTimeInBacklog={-etb}",
        Form::Jackson,
    ),
    show(
        &["partitioned-stats"],
        "Shows the same of all partitions together.",
        &[flag(&["--per-partition"], "And of each."), PRECISE, BACKLOG_SIZE, EARLIEST],
        TOPIC,
        "{topic}/partitioned-stats?perPartition={--per-partition}&getPreciseBacklog={-gpb}&getEarliestTimeInBacklog={-etb}",
        Form::Jackson,
    ),
    show(
        &["stats-internal"],
        "Shows a topic's ledgers, which of them are offloaded, and its cursors.",
        &[flag(&["-m", "--metadata"], "With the ledgers' metadata.")],
        TOPIC,
        "{topic}/internalStats?metadata={--metadata}",
        Form::Jackson,
    ),
    show(
        &["partitioned-stats-internal"],
        "Shows the same of each partition.",
        &[],
        TOPIC,
        "{topic}/partitioned-internalStats",
        Form::Jackson,
    ),
    show(
        &["info-internal"],
        "Shows a topic's ledgers as they are recorded, open or not.",
        &[],
        TOPIC,
        "{topic}/internal-info",
        Form::Indented,
    ),
    run(
        &["offload"],
        "Copies the oldest ledgers of a topic to its cold tier, now.",
        &[value(
            &["-s", "--size-threshold"],
            "sizeThreshold",
            Takes::Size,
            "Most bytes that stay in the hot store: 10M, 5G; 0 keeps the open ledger only.",
        )
        .required()],
        TOPIC,
        offload,
    ),
    run(
        &["offload-status"],
        "Shows how the offload of a topic stands.",
        &[flag(&["-w", "--wait-complete"], "Waits until it has ended; a terminal shows the way there.")],
        TOPIC,
        offload_status,
    ),
    run(
        &["explain-offload"],
        "Shows which level set each offload setting, and what would be offloaded now and why.",
        &[],
        TOPIC,
        explain_offload,
    ),
    run(&["terminate"], "Ends a topic: nothing more can be sent, everything can be read.", &[], TOPIC, terminate),
    send(
        &["trim-topic"],
        "Removes the ledgers that nothing and nobody needs any more, now.",
        &[],
        TOPIC,
        Method::POST,
        "{topic}/trim",
        nothing,
    ),
    show(&["subscriptions"], "Lists a topic's subscriptions.", &[], TOPIC, "{topic}/subscriptions", Form::Lines),
    run(&["create-subscription"], "Makes a subscription.", subscriptions::CREATE, TOPIC, subscriptions::create),
    send(
        &["unsubscribe"],
        "Deletes a subscription.",
        subscriptions::UNSUBSCRIBE,
        TOPIC,
        Method::DELETE,
        "{topic}/subscription/{--subscription}?force={--force}",
        nothing,
    ),
    send(
        &["skip"],
        "Acknowledges the next messages of a subscription.",
        subscriptions::SKIP,
        TOPIC,
        Method::POST,
        "{topic}/subscription/{--subscription}/skip/{--count}",
        nothing,
    ),
    send(
        &["clear-backlog"],
        "Acknowledges all messages of a subscription.",
        subscriptions::OF_ONE,
        TOPIC,
        Method::POST,
        "{topic}/subscription/{--subscription}/skip_all",
        nothing,
    ),
    run(
        &["reset-cursor"],
        "Moves a subscription to a time or a message.",
        subscriptions::RESET,
        TOPIC,
        subscriptions::reset,
    ),
    run(
        &["peek-messages"],
        "Shows the next messages of a subscription and leaves them there.",
        messages::PEEK,
        TOPIC,
        messages::peek,
    ),
    run(
        &["examine-messages"],
        "Shows a message, counted from an end of the topic.",
        messages::EXAMINE,
        TOPIC,
        messages::examine,
    ),
    run(&["get-message-by-id"], "Shows the message at a place.", messages::BY_ID, TOPIC, messages::by_id),
    run(
        &["get-message-id"],
        "Shows the id of the first message that was published at a time or later.",
        messages::BY_TIME,
        TOPIC,
        messages::id_at_time,
    ),
    show(
        &["last-message-id"],
        "Shows the id of the newest message.",
        &[],
        TOPIC,
        "{topic}/lastMessageId",
        Form::Jackson,
    ),
    show(
        &["get-retention"],
        "Shows a topic's retention.",
        &[APPLIED],
        TOPIC,
        "{topic}/retention?applied={--applied}",
        Form::Jackson,
    ),
    send(
        &["set-retention"],
        "Sets a topic's retention.",
        namespace_policies::RETENTION,
        TOPIC,
        Method::POST,
        "{topic}/retention",
        namespace_policies::retention,
    ),
    send(
        &["remove-retention"],
        "Takes a topic's retention away.",
        &[],
        TOPIC,
        Method::DELETE,
        "{topic}/retention",
        nothing,
    ),
    show(
        &["get-offload-policies"],
        "Shows a topic's offload policies.",
        &[APPLIED],
        TOPIC,
        "{topic}/offloadPolicies?applied={--applied}",
        Form::Jackson,
    ),
    send(
        &["set-offload-policies"],
        "Sets a topic's offload policies.",
        offload_policies::OF_TOPICS_BEFORE,
        TOPIC,
        Method::POST,
        "{topic}/offloadPolicies",
        offload_policies::of_topic_before,
    ),
    send(
        &["remove-offload-policies"],
        "Takes a topic's offload policies away.",
        &[],
        TOPIC,
        Method::DELETE,
        "{topic}/offloadPolicies",
        nothing,
    ),
];

fn list(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let namespace = namespace_path(matches.argument(0))?;
    let bundle = matches.text("-b").map(|bundle| format!("bundle={}&", encoded(bundle))).unwrap_or_default();
    let query = format!("{bundle}includeSystemTopic={}", matches.has("-ist"));
    let domains: &[&str] = match matches.text("-td") {
        None => &["persistent", "non-persistent"],
        Some("persistent") => &["persistent"],
        Some(_) => &["non-persistent"],
    };
    let mut topics = Vec::new();
    for domain in domains {
        topics.extend_from_slice(session.get(&format!("/{domain}{namespace}?{query}"))?.items());
    }
    Ok(Answer::Shown { json: Json::List(topics), form: Form::Lines })
}

fn broker_of(session: &Session, topic: &Topic) -> Result<String, Failure> {
    let answer = session.get(&format!("//lookup/v2/topic{}", topic.path()))?;
    Ok(answer.get("brokerUrl").map(Json::bare).unwrap_or_default())
}

fn lookup(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::new(matches.argument(0))?;
    let url = broker_of(session, &topic)?;
    let facts = json!({ "topic": topic.full(), "brokerUrl": url });
    Ok(Answer::said(url, facts))
}

fn partitioned_lookup(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::new(matches.argument(0))?;
    let answer = session.get(&format!("{}/partitions", topic.path()))?;
    let partitions = answer.get("partitions").and_then(Json::as_i64).unwrap_or(0).max(0) as u64;
    let mut pairs = Vec::new();
    for partition in (0..partitions).map(|index| topic.partition(index)) {
        pairs.push((partition.full(), Json::Text(broker_of(session, &partition)?)));
    }
    Ok(Answer::Shown { json: Json::Object(pairs), form: Form::Pairs })
}

fn properties(matches: &Matches) -> Result<Option<Value>, Failure> {
    let pairs = matches.pairs("-m").into_iter().map(|(key, value)| (key.to_owned(), value.into()));
    Ok(Some(Value::Object(pairs.collect::<Map<_, _>>())))
}

fn partitions(matches: &Matches) -> Result<Option<Value>, Failure> {
    match matches.number::<i32>("-p") {
        Some(count) if count > 0 => Ok(Some(json!(count))),
        _ => Err(Failure::Found("Number of partitions should be more than 0".to_owned())),
    }
}

fn delete(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let given = matches.argument(0);
    let names: Vec<String> = if matches.has("--from-file") {
        let text = std::fs::read_to_string(given);
        let text = text.map_err(|error| Failure::Found(format!("the file {given} cannot be read: {error}")))?;
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    } else if matches.has("-r") {
        matching(session, given)?
    } else {
        vec![given.to_owned()]
    };
    // One topic that cannot be deleted does not keep the others; the exit code is the original's, 0.
    let mut text = String::new();
    let mut failures = Vec::new();
    for name in names {
        let path = format!("{}?force={}&deleteSchema=true", Topic::new(&name)?.path(), matches.has("-f"));
        if let Err(failure) = session.send(Method::DELETE, &path, None) {
            let Failure::Refused { status, reason } = failure else { return Err(failure) };
            let kind = exception(status);
            text += &format!("Failed to delete topic: {name}. Exception: {kind}: {reason}\n");
            failures.push(json!({ "topic": name, "error": reason }));
        }
    }
    match session.as_json {
        true => Ok(Answer::said("", json!({ "done": failures.is_empty(), "failed": failures }))),
        false => Ok(Answer::Text(text)),
    }
}

/// What the original calls an answer of this status.
fn exception(status: u16) -> String {
    let kind = match status {
        401 | 403 => "$NotAuthorizedException",
        404 => "$NotFoundException",
        405 => "$NotAllowedException",
        409 => "$ConflictException",
        412 => "$PreconditionFailedException",
        500.. => "$ServerSideErrorException",
        _ => "",
    };
    format!("org.apache.pulsar.client.admin.PulsarAdminException{kind}")
}

/// The topics of a namespace whose local name the pattern matches as a whole.
fn matching(session: &Session, pattern: &str) -> Result<Vec<String>, Failure> {
    let wrong = |why: String| Failure::Wrong(format!("`{pattern}` is no pattern of topics: {why}"));
    let rest = pattern.split_once("://").map_or(pattern, |(_, rest)| rest);
    let mut parts = rest.splitn(3, '/');
    let (Some(tenant), Some(namespace), Some(local)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong("give tenant/namespace/pattern".to_owned()));
    };
    let expression = regex_lite::Regex::new(&format!("^(?:{local})$")).map_err(|error| wrong(error.to_string()))?;
    let path = format!("/persistent{}", namespace_path(&format!("{tenant}/{namespace}"))?);
    let topics = session.get(&path)?;
    let names = topics.items().iter().map(Json::bare);
    Ok(names.filter(|name| name.rsplit('/').next().is_some_and(|local| expression.is_match(local))).collect())
}

fn offload(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::persistent(matches.argument(0))?;
    let keep_bytes = matches.size("-s").unwrap_or(0);
    match offloading::trigger(session, &topic, keep_bytes, "Topic doesn't have any data")? {
        None => Ok(Answer::said("Nothing to offload", json!({ "topic": topic.full(), "before": null }))),
        Some(ledger_id) => {
            let before = format!("{ledger_id}:0:-1");
            let text = format!("Offload triggered for {} for messages before {before}", topic.full());
            Ok(Answer::said(text, json!({ "topic": topic.full(), "before": before })))
        }
    }
}

fn offload_status(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::persistent(matches.argument(0))?;
    let status = offloading::status(session, &topic, matches.has("-w"))?;
    let facts = status.facts(&topic);
    let text = match status {
        Status::NotRun => format!("Offload has not been run for {} since broker startup", topic.full()),
        Status::Running => "Offload is currently running".to_owned(),
        Status::Success => "Offload was a success".to_owned(),
        Status::Error(cause) => {
            if !session.as_json {
                Answer::Text("Error in offload\n".to_owned()).print(false);
            }
            return Err(Failure::Said(format!("Error offloading: {cause}")));
        }
    };
    Ok(Answer::said(text, facts))
}

/// Our own: the original has no word of it.
fn explain_offload(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::persistent(matches.argument(0))?;
    let explained = session.get(&format!("{}/offload/explain", topic.path()))?;
    if session.as_json {
        return Ok(Answer::Shown { json: explained, form: Form::Indented });
    }
    let list = |key: &str| explained.get(key).map(Json::items).unwrap_or_default();
    let word = |row: &Json, key: &str| row.get(key).map(Json::bare).unwrap_or_default();
    let mut text = String::from("settings in force\n");
    for row in list("settings") {
        let unit = word(row, "unit");
        let unit = if unit.is_empty() { unit } else { format!(" {unit}") };
        text += &format!("  {} = {}{unit}, set by the {}\n", word(row, "key"), word(row, "value"), word(row, "level"));
        for other in row.get("overruled").map(Json::items).unwrap_or_default() {
            text += &format!("    overrules {} of the {}\n", word(other, "value"), word(other, "level"));
        }
    }
    text += &format!("now: {}\n", word(&explained, "summary"));
    for row in list("ledgers") {
        let verdict = if word(row, "offload") == "true" { "goes" } else { "stays" };
        text += &format!("  ledger {} {verdict}: {}\n", word(row, "ledgerId"), word(row, "reason"));
    }
    Ok(Answer::Text(text))
}

fn terminate(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::persistent(matches.argument(0))?;
    let last = session.send(Method::POST, &format!("{}/terminate", topic.path()), None)?;
    let part = |key: &str| last.get(key).and_then(Json::as_i64).unwrap_or(-1);
    let id = format!("{}:{}:{}", part("ledgerId"), part("entryId"), part("partitionIndex"));
    let facts = json!({ "topic": topic.full(), "lastMessageId": id });
    Ok(Answer::said(format!("Topic successfully terminated at {id}"), facts))
}
