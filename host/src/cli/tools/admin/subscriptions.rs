//! Subscriptions, among the commands of `topics`.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use ureq::http::Method;

use super::positions::message_id;
use super::{Answer, Failure, Session};
use crate::cli::grammar::{Matches, Opt, Takes, flag, value};
use crate::cli::tools::names::{Topic, encoded};

const SUBSCRIPTION: Opt = value(&["-s", "--subscription"], "subName", Takes::Text, "The subscription.").required();
const FORCE: Opt = flag(&["-f", "--force"], "Even while consumers are connected; they are sent away.");

pub(super) const OF_ONE: &[Opt] = &[SUBSCRIPTION];
pub(super) const UNSUBSCRIBE: &[Opt] = &[FORCE, SUBSCRIPTION];
pub(super) const SKIP: &[Opt] =
    &[SUBSCRIPTION, value(&["-n", "--count"], "numMessages", Takes::Long, "How many messages.").required()];
pub(super) const CREATE: &[Opt] = &[
    SUBSCRIPTION,
    value(
        &["-m", "--messageId"],
        "messageIdStr",
        Takes::Text,
        "Where it begins: latest, earliest or ledgerId:entryId.",
    )
    .or("latest"),
    flag(&["-r", "--replicated"], "Kept for all clusters; there is one."),
    value(&["--property", "-p"], "String=String", Takes::Pairs, "What it carries: key=value, again and again."),
];
pub(super) const RESET: &[Opt] = &[
    SUBSCRIPTION,
    value(&["--time", "-t"], "resetTimeInMillis", Takes::Seconds, "To what was published so long ago: 1m, 2h, 3d."),
    value(
        &["--messageId", "-m"],
        "resetMessageIdStr",
        Takes::Text,
        "To this message: latest, earliest or ledgerId:entryId.",
    ),
    flag(&["-e", "--exclude-reset-position"], "To the message behind it."),
];

fn subscription_path(matches: &Matches) -> Result<String, Failure> {
    let topic = Topic::new(matches.argument(0))?;
    Ok(format!("{}/subscription/{}", topic.path(), encoded(matches.text("-s").unwrap_or_default())))
}

pub(super) fn create(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let mut body = message_id(matches.text("-m").unwrap_or("latest"))?;
    let properties: serde_json::Map<String, Value> =
        matches.pairs("-p").into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
    if !properties.is_empty() {
        body["properties"] = Value::Object(properties);
    }
    let path = format!("{}?replicated={}", subscription_path(matches)?, matches.has("-r"));
    session.send(Method::PUT, &path, Some(&body))?;
    Ok(Answer::Done)
}

pub(super) fn reset(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let path = format!("{}/resetcursor", subscription_path(matches)?);
    if let Some(text) = matches.text("-m") {
        let mut body = message_id(text)?;
        body["isExcluded"] = json!(matches.has("-e"));
        session.send(Method::POST, &path, Some(&body))?;
    } else if let Some(seconds) = matches.seconds("-t") {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let at_ms = now_ms.saturating_sub(seconds.saturating_mul(1000)).max(0);
        session.send(Method::POST, &format!("{path}/{at_ms}"), None)?;
    } else {
        let why = "Either Timestamp (--time) or messageId (--messageId) has to be provided to reset cursor";
        return Err(Failure::Found(why.to_owned()));
    }
    Ok(Answer::Done)
}
