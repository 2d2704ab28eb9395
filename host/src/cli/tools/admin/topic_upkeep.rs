//! Further commands of `topics`: what they carry, who may use them, what has waited too long.

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::nothing;
use super::positions::message_id;
use super::{Action, Answer, Failure, Form, Session, TOPIC, namespace_life as life, run, send, show};
use crate::cli::grammar::{Command, Matches, Opt, Takes, flag, value};
use crate::cli::tools::json_text::Json;
use crate::cli::tools::names::{Topic, encoded};

const PROPERTY: Opt =
    value(&["--property", "-p"], "String=String", Takes::Pairs, "What it carries: key=value, again and again.");
const KEY: Opt = value(&["--key", "-k"], "key", Takes::Text, "Which; all of them where left out.");
const AGE: Opt = value(
    &["-t", "--expireTime"],
    "expireTimeInSeconds",
    Takes::Seconds,
    "How old: 100m, 3h, 2d; seconds without a unit.",
);
const EXPIRE: &[Opt] = &[
    value(&["-s", "--subscription"], "subName", Takes::Text, "The subscription.").required(),
    AGE.or("-1"),
    value(&["--position", "-p"], "messagePosition", Takes::Text, "Up to this message: ledgerId:entryId."),
    flag(&["-e", "--exclude-reset-position"], "Without that message itself."),
];

pub(super) static COMMANDS: &[Command<Action>] = &[
    send(
        &["update-properties"],
        "Adds to what a topic carries.",
        &[PROPERTY],
        TOPIC,
        Method::PUT,
        "{topic}/properties",
        properties,
    ),
    run(
        &["remove-properties"],
        "Takes one thing that a topic carries, or all of them.",
        &[KEY],
        TOPIC,
        remove_properties,
    ),
    run(
        &["expire-messages"],
        "Acknowledges what is older than a time, or everything up to a message.",
        EXPIRE,
        TOPIC,
        expire,
    ),
    run(
        &["expire-messages-all-subscriptions"],
        "Acknowledges what is older than a time, for every subscription.",
        &[AGE.required()],
        TOPIC,
        expire_all,
    ),
    run(&["compact"], "Compacts a topic; this broker refuses.", &[], TOPIC, compact),
    run(
        &["compaction-status"],
        "Shows how the compaction of a topic stands.",
        &[flag(&["-w", "--wait-complete"], "Waits until it has ended.")],
        TOPIC,
        compaction_status,
    ),
    show(&["permissions"], "Shows who may do what with a topic.", &[], TOPIC, "{topic}/permissions", Form::Pairs),
    send(
        &["grant-permission"],
        "Grants a role permissions on a topic.",
        &[life::ROLE, life::ACTIONS],
        TOPIC,
        Method::POST,
        "{topic}/permissions/{--role}",
        life::actions,
    ),
    send(
        &["revoke-permission"],
        "Takes a role's permissions that were granted on a topic.",
        &[life::ROLE],
        TOPIC,
        Method::DELETE,
        "{topic}/permissions/{--role}",
        nothing,
    ),
    show(
        &["bundle-range"],
        "Shows which bundle of its namespace a topic is in.",
        &[],
        TOPIC,
        "//lookup/v2/topic{topic}/bundle",
        Form::Jackson,
    ),
];

fn properties(matches: &Matches) -> Result<Option<Value>, Failure> {
    let pairs = matches.pairs("-p").into_iter().map(|(key, value)| (key.to_owned(), value.into()));
    Ok(Some(Value::Object(pairs.collect::<Map<_, _>>())))
}

fn remove_properties(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::persistent(matches.argument(0))?;
    let key = matches.text("-k").map(|key| format!("?key={}", encoded(key))).unwrap_or_default();
    session.send(Method::DELETE, &format!("{}/properties{key}", topic.path()), None)?;
    Ok(Answer::Done)
}

fn expire(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::new(matches.argument(0))?;
    let subscription = encoded(matches.text("-s").unwrap_or_default());
    let path = format!("{}/subscription/{subscription}/expireMessages", topic.path());
    let seconds = matches.seconds("-t").filter(|seconds| *seconds >= 0);
    match (seconds, matches.text("-p")) {
        (Some(_), Some(_)) => {
            Err(Failure::Usage("Can't expire message by time and by message position at the same time.".to_owned()))
        }
        (Some(seconds), None) => {
            session.send(Method::POST, &format!("{path}/{seconds}"), None)?;
            Ok(Answer::Done)
        }
        (None, Some(position)) => {
            let mut body = message_id(position)?;
            body["isExcluded"] = json!(matches.has("-e"));
            session.send(Method::POST, &path, Some(&body))?;
            Ok(Answer::Done)
        }
        (None, None) => Err(Failure::Usage(
            "Either time (--expireTime) or message position (--position) has to be provided to expire messages"
                .to_owned(),
        )),
    }
}

fn expire_all(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::new(matches.argument(0))?;
    let seconds = matches.seconds("-t").unwrap_or(0);
    session.send(Method::POST, &format!("{}/all_subscription/expireMessages/{seconds}", topic.path()), None)?;
    Ok(Answer::Done)
}

fn compact(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::persistent(matches.argument(0))?;
    session.send(Method::PUT, &format!("{}/compaction", topic.path()), None)?;
    Ok(Answer::said(
        format!("Topic compaction requested for {}.", topic.full()),
        json!({ "topic": topic.full(), "requested": true }),
    ))
}

/// There is nothing to wait for: no compaction ever runs.
fn compaction_status(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::persistent(matches.argument(0))?;
    let status = session.get(&format!("{}/compaction", topic.path()))?;
    let word = |key: &str| status.get(key).map(Json::bare).unwrap_or_default();
    let text = match word("status").as_str() {
        "NOT_RUN" => format!("Compaction has not been run for {} since broker startup", topic.full()),
        "RUNNING" => "Compaction is currently running".to_owned(),
        "SUCCESS" => "Compaction was a success".to_owned(),
        _ => format!("Error in compaction\nError compacting: {}", word("lastError")),
    };
    Ok(Answer::said(text, json!({ "topic": topic.full(), "status": word("status") })))
}
