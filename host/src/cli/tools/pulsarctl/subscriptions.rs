//! `subscriptions`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use ureq::http::Method;

use super::{Action, Answer, Failure, Matches, OUTPUT, Session, Topic, done, framed, only_topic, run, two};
use crate::cli::grammar::{Command, Opt, Takes, flag, seconds_of, value};
use crate::cli::tools::admin::message_id;
use crate::cli::tools::names::encoded;

const MESSAGE: Opt =
    value(&["-m", "--messageId"], "string", Takes::Text, "latest, earliest or ledgerId:entryId.").or("latest");

pub(super) static COMMANDS: &[Command<Action>] = &[
    run(&["list"], "Lists a topic's subscriptions.", &[OUTPUT], list),
    run(&["create"], "Makes a subscription: pulsarctl subscriptions create TOPIC SUBSCRIPTION.", &[MESSAGE], create),
    run(
        &["delete"],
        "Deletes a subscription: pulsarctl subscriptions delete TOPIC SUBSCRIPTION.",
        &[flag(&["-f", "--force"], "Even while consumers are connected.")],
        delete,
    ),
    run(
        &["seek"],
        "Moves a subscription to a time or a message: pulsarctl subscriptions seek TOPIC SUBSCRIPTION.",
        &[MESSAGE, value(&["-t", "--time"], "string", Takes::Text, "To what was published so long ago: 1m, 2h, 3d.")],
        seek,
    ),
    run(
        &["skip"],
        "Acknowledges messages: pulsarctl subscriptions skip TOPIC SUBSCRIPTION.",
        &[
            value(&["-n", "--count"], "int", Takes::Long, "How many messages.").or("-1"),
            flag(&["-a", "--all"], "All of them."),
        ],
        skip,
    ),
];

fn path_of(matches: &Matches) -> Result<(Topic, String, &str), Failure> {
    let (topic, subscription) = two(matches)?;
    let topic = Topic::new(topic)?;
    let path = format!("{}/subscription/{}", topic.path(), encoded(subscription));
    Ok((topic, path, subscription))
}

fn list(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let names = session.get(&format!("{}/subscriptions", only_topic(matches)?.path()))?;
    Ok(framed(matches, "SUBSCRIPTIONS", &names))
}

fn create(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (topic, path, subscription) = path_of(matches)?;
    let at = matches.text("-m").unwrap_or("latest");
    session.send(Method::PUT, &path, Some(&message_id(at)?))?;
    done(format!("Create subscription {subscription} on topic {} starting from {at} successfully", topic.full()))
}

fn delete(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (topic, path, subscription) = path_of(matches)?;
    session.send(Method::DELETE, &format!("{path}?force={}", matches.has("-f")), None)?;
    done(format!("Delete the subscription {subscription} of the topic {} successfully", topic.full()))
}

fn seek(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (_, path, subscription) = path_of(matches)?;
    let at = match matches.text("-t") {
        Some(time) => {
            let seconds = seconds_of(time).map_err(Failure::Found)?;
            let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
            let at_ms = now_ms.saturating_sub(seconds.saturating_mul(1000)).max(0);
            session.send(Method::POST, &format!("{path}/resetcursor/{at_ms}"), None)?;
            time
        }
        None => {
            let at = matches.text("-m").unwrap_or("latest");
            session.send(Method::POST, &format!("{path}/resetcursor"), Some(&message_id(at)?))?;
            at
        }
    };
    done(format!("Reset the cursor of the subscription {subscription} to {at} successfully"))
}

fn skip(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (topic, path, subscription) = path_of(matches)?;
    let count: i64 = matches.number("-n").unwrap_or(-1);
    let (rest, how_many) = match (matches.has("-a"), count) {
        (true, _) => ("/skip_all".to_owned(), "all".to_owned()),
        (false, 1..) => (format!("/skip/{count}"), count.to_string()),
        _ => return Err(Failure::Found("say how many messages: --count NUMBER or --all".to_owned())),
    };
    session.send(Method::POST, &format!("{path}{rest}"), None)?;
    let text = format!(
        "Skip {how_many} messages of the subscription {subscription} of the topic {} successfully",
        topic.full()
    );
    super::told(text, json!({ "done": true }))
}
