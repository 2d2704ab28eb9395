//! `clusters`.

use serde_json::{Map, Value};
use ureq::http::Method;

use super::{Action, Answer, CLUSTER, Failure, Form, Session, nothing, run, send, show};
use crate::cli::grammar::{Command, Matches, Opt, Takes, flag, value};
use crate::cli::tools::json_text::Json;

const URLS: &[Opt] = &[
    value(&["--url"], "serviceUrl", Takes::Text, "Its REST API."),
    value(&["--url-secure"], "serviceUrlTls", Takes::Text, "Its REST API over TLS."),
    value(&["--broker-url"], "brokerServiceUrl", Takes::Text, "Where its brokers listen."),
    value(&["--broker-url-secure"], "brokerServiceUrlTls", Takes::Text, "Where its brokers listen with TLS."),
    value(&["--proxy-url"], "proxyServiceUrl", Takes::Text, "A proxy before its brokers."),
];

pub(super) static COMMANDS: &[Command<Action>] = &[
    show(&["get"], "Shows a cluster's addresses.", &[], CLUSTER, "/clusters/{name}", Form::Jackson),
    send(&["create"], "Makes a cluster known.", URLS, CLUSTER, Method::PUT, "/clusters/{name}", addresses),
    send(&["update"], "Changes a cluster's addresses.", URLS, CLUSTER, Method::POST, "/clusters/{name}", addresses),
    send(&["delete"], "Forgets a cluster.", &[], CLUSTER, Method::DELETE, "/clusters/{name}", nothing),
    run(
        &["list"],
        "Lists the clusters.",
        &[flag(&["-c", "--current"], "Marks the one that answers with (*).")],
        &[],
        list,
    ),
];

fn addresses(matches: &Matches) -> Result<Option<Value>, Failure> {
    let given = URLS.iter().filter_map(|option| Some((option.label.to_owned(), matches.text(option.names[0])?.into())));
    Ok(Some(Value::Object(given.collect::<Map<_, _>>())))
}

fn list(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let clusters = session.get("/clusters")?;
    if !matches.has("-c") {
        return Ok(Answer::Shown { json: clusters, form: Form::Lines });
    }
    let configuration = session.get("/brokers/configuration/runtime")?;
    let current = configuration.get("clusterName").map(Json::bare);
    let marked = clusters.items().iter().map(|cluster| match cluster.bare() {
        name if Some(&name) == current.as_ref() => Json::Text(format!("{name}(*)")),
        name => Json::Text(name),
    });
    Ok(Answer::Shown { json: Json::List(marked.collect()), form: Form::Lines })
}
