//! `brokers`.

use super::{Action, Answer, CLUSTER, Failure, Form, Session, run, show};
use crate::cli::grammar::{Command, Matches, Takes, value};

pub(super) static COMMANDS: &[Command<Action>] = &[
    show(&["list"], "Lists the brokers of a cluster.", &[], CLUSTER, "/brokers/{name}", Form::Lines),
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
