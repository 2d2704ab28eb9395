//! `brokers`.

use ureq::http::Method;

use super::{Action, Answer, CLUSTER, Failure, Form, Session, nothing, run, send, show};
use crate::cli::grammar::{Command, Matches, Opt, Takes, value};
use crate::cli::tools::json_text::Json;
use crate::cli::tools::names::encoded;

const CONFIG: Opt = value(&["-c", "--config"], "configName", Takes::Text, "The setting's name.").required();

pub(super) static COMMANDS: &[Command<Action>] = &[
    show(&["list"], "Lists the brokers of a cluster.", &[], CLUSTER, "/brokers/{name}", Form::Lines),
    run(
        &["namespaces"],
        "Lists the bundles of which a broker has topics loaded.",
        &[value(&["-u", "--url"], "brokerUrl", Takes::Text, "The broker, host:port as `list` shows it.").required()],
        CLUSTER,
        namespaces,
    ),
    send(
        &["update-dynamic-config"],
        "Changes a setting while the broker runs; this broker refuses.",
        &[CONFIG, value(&["-v", "--value"], "configValue", Takes::Text, "The setting's value.").required()],
        &[],
        Method::POST,
        "/brokers/configuration/{--config}/{--value}",
        nothing,
    ),
    send(
        &["delete-dynamic-config"],
        "Takes such a change back; this broker refuses.",
        &[CONFIG],
        &[],
        Method::DELETE,
        "/brokers/configuration/{--config}",
        nothing,
    ),
    show(
        &["get-internal-config"],
        "Shows where the broker's stores are; this broker refuses.",
        &[],
        &[],
        "/brokers/internal-configuration",
        Form::Jackson,
    ),
    show(&["leader-broker"], "Shows the broker that leads.", &[], &[], "/brokers/leaderBroker", Form::Jackson),
    show(
        &["list-dynamic-config"],
        "Lists the settings that can be changed while the broker runs.",
        &[],
        &[],
        "/brokers/configuration",
        Form::Lines,
    ),
    show(
        &["get-all-dynamic-config"],
        "Shows the settings that were changed while the broker runs.",
        &[],
        &[],
        "/brokers/configuration/values",
        Form::Pairs,
    ),
    show(
        &["get-runtime-config"],
        "Shows the settings with which the broker runs.",
        &[],
        &[],
        "/brokers/configuration/runtime",
        Form::Pairs,
    ),
    run(
        &["healthcheck"],
        "Makes the broker send a message to itself and receive it; prints ok.",
        &[value(
            &["-tv", "--topic-version"],
            "topicVersion",
            Takes::OneOf(&["V1", "V2"]),
            "Which health topic; both are one here.",
        )],
        &[],
        healthcheck,
    ),
    show(
        &["version"],
        "Shows the version of Pulsar that the broker speaks.",
        &[],
        &[],
        "/brokers/version",
        Form::Jackson,
    ),
];

fn healthcheck(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let version = matches.text("-tv").map(|version| format!("?topicVersion={version}")).unwrap_or_default();
    session.get(&format!("/brokers/health{version}"))?;
    Ok(Answer::said("ok", serde_json::json!({ "healthy": true })))
}

fn namespaces(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let broker = encoded(matches.text("-u").unwrap_or_default());
    let owned = session.get(&format!("/brokers/{}/{broker}/ownedNamespaces", encoded(matches.argument(0))))?;
    if session.as_json {
        return Ok(Answer::Shown { json: owned, form: Form::Pairs });
    }
    let lines = owned.pairs().iter().map(|(bundle, status)| {
        let of = |key: &str| format!("{key}={}", status.get(key).map(Json::bare).unwrap_or_default());
        let [shared, controlled, active] = ["broker_assignment", "is_controlled", "is_active"].map(of);
        format!("{bundle}    [{shared} {controlled} {active}]\n")
    });
    Ok(Answer::Text(lines.collect()))
}
