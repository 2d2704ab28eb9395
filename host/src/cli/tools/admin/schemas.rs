//! `schemas`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use ureq::http::Method;

use super::{Action, Answer, Failure, Form, Session, TOPIC, run, send, show};
use crate::cli::grammar::{Command, Matches, Opt, Takes, flag, value};
use crate::cli::tools::json_text::Json;
use crate::cli::tools::names::Topic;

const FILE: Opt = value(
    &["-f", "--filename"],
    "schemaFileName",
    Takes::Text,
    "A file with {\"type\": \"AVRO\", \"schema\": \"…\", \"properties\": {…}}.",
)
.required();

pub(super) static COMMANDS: &[Command<Action>] = &[
    run(
        &["get"],
        "Shows a topic's schema.",
        &[
            value(&["-v", "--version"], "version", Takes::Long, "This version; the newest where left out."),
            flag(&["-a", "--all-version"], "All versions."),
        ],
        TOPIC,
        get,
    ),
    send(
        &["delete"],
        "Takes a topic's schema away.",
        &[flag(&["-f", "--force"], "With its older versions.")],
        TOPIC,
        Method::DELETE,
        "/schemas{local}/schema?force={--force}",
        super::nothing,
    ),
    run(&["upload"], "Gives a topic a new version of its schema.", &[FILE], TOPIC, upload),
    show(
        &["metadata"],
        "Shows what is recorded of a topic's schemas.",
        &[],
        TOPIC,
        "/schemas{local}/metadata",
        Form::Jackson,
    ),
    run(&["compatibility"], "Shows whether a schema may be a topic's next.", &[FILE], TOPIC, compatibility),
];

fn path(topic: &Topic, what: &str) -> String {
    format!("/schemas{}/{what}", topic.path_without_domain())
}

fn get(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::new(matches.argument(0))?;
    if matches.has("-a") {
        let all = session.get(&path(&topic, "schemas"))?;
        let versions = all.get("getSchemaResponses").map(Json::items).unwrap_or_default();
        let shown: Vec<Json> = versions.iter().map(|version| whole(&topic, version)).collect();
        return Ok(match session.as_json {
            true => Answer::Shown { json: Json::List(shown), form: Form::Jackson },
            false => Answer::Text(shown.iter().map(|version| Form::Jackson.lay_out(version)).collect()),
        });
    }
    let json = match matches.text("-v") {
        Some(version) => info(&topic, &session.get(&path(&topic, &format!("schema/{version}")))?),
        None => {
            let newest = session.get(&path(&topic, "schema"))?;
            let version = newest.get("version").cloned().unwrap_or(Json::Null);
            Json::Object(vec![("version".to_owned(), version), ("schemaInfo".to_owned(), info(&topic, &newest))])
        }
    };
    Ok(Answer::Shown { json, form: Form::Indented })
}

/// A version as the original shows one: its definition as JSON where it is some.
fn info(topic: &Topic, version: &Json) -> Json {
    let definition = data(version);
    let schema = serde_json::from_str(&definition).unwrap_or(Json::Text(definition));
    fields(topic, version, [("schema", schema)], [])
}

/// A version as the original lists it: its bytes, and what they say.
fn whole(topic: &Topic, version: &Json) -> Json {
    let definition = data(version);
    let bytes = Json::Text(BASE64.encode(&definition));
    fields(topic, version, [("schema", bytes)], [("schemaDefinition", Json::Text(definition))])
}

fn data(version: &Json) -> String {
    version.get("data").map(Json::bare).unwrap_or_default()
}

fn fields<const B: usize, const A: usize>(
    topic: &Topic,
    version: &Json,
    before: [(&str, Json); B],
    after: [(&str, Json); A],
) -> Json {
    let own = |key: &'static str| (key, version.get(key).cloned().unwrap_or(Json::Null));
    let named = [("name", Json::Text(topic.local().to_owned()))];
    let all = named.into_iter().chain(before).chain(["type", "timestamp", "properties"].map(own)).chain(after);
    Json::Object(all.map(|(key, value)| (key.to_owned(), value)).collect())
}

/// What a file says; the broker judges it.
fn definition(matches: &Matches) -> Result<Value, Failure> {
    let file = matches.text("-f").unwrap_or_default();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::Found(format!("the schema file {file} cannot be read: {error}")))?;
    serde_json::from_str(&text).map_err(|error| Failure::Found(format!("the schema file {file} is no JSON: {error}")))
}

fn upload(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::new(matches.argument(0))?;
    session.send(Method::POST, &path(&topic, "schema"), Some(&definition(matches)?))?;
    Ok(Answer::Done)
}

/// The original says nothing when a schema does not fit; this does.
fn compatibility(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::new(matches.argument(0))?;
    let answer = session.send(Method::POST, &path(&topic, "compatibility"), Some(&definition(matches)?))?;
    let word = |key: &str| answer.get(key).map(Json::bare).unwrap_or_default();
    let (fits, strategy) = (word("compatibility") == "true", word("schemaCompatibilityStrategy"));
    if session.as_json {
        return Ok(Answer::said("", json!({ "compatible": fits, "strategy": strategy })));
    }
    match fits {
        true => Ok(Answer::Done),
        false => Err(Failure::Said(format!("the schema does not fit what the topic has: its strategy is {strategy}"))),
    }
}
