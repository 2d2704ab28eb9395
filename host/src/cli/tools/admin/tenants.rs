//! `tenants`.

use serde_json::json;
use ureq::http::Method;

use super::{Action, Answer, Failure, Form, Session, TENANT, nothing, run, send, show};
use crate::cli::grammar::{Command, Matches, Opt, Takes, flag, value};
use crate::cli::tools::json_text::Json;
use crate::cli::tools::names::encoded;

const ROLES: Opt =
    value(&["--admin-roles", "-r"], "adminRoles", Takes::Comma, "Who may look after the tenant, between commas.");
const CLUSTERS: Opt = value(
    &["--allowed-clusters", "-c"],
    "allowedClusters",
    Takes::Comma,
    "Clusters that it may use, between commas; all of them where none is given.",
);

pub(super) static COMMANDS: &[Command<Action>] = &[
    show(&["list"], "Lists the tenants.", &[], &[], "/tenants", Form::Lines),
    show(&["get"], "Shows a tenant's configuration.", &[], TENANT, "/tenants/{name}", Form::Jackson),
    run(&["create"], "Makes a tenant.", &[ROLES, CLUSTERS], TENANT, create),
    run(&["update"], "Changes a tenant; what is not given stays.", &[ROLES, CLUSTERS], TENANT, update),
    send(
        &["delete"],
        "Deletes a tenant.",
        &[flag(&["-f", "--force"], "With its namespaces and their topics.")],
        TENANT,
        Method::DELETE,
        "/tenants/{name}?force={--force}",
        nothing,
    ),
];

fn create(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let mut clusters: Vec<String> = matches.all("-c").into_iter().map(str::to_owned).collect();
    if clusters.is_empty() {
        clusters = session.get("/clusters")?.items().iter().map(Json::bare).filter(|name| name != "global").collect();
    }
    let body = json!({ "adminRoles": matches.all("-r"), "allowedClusters": clusters });
    session.send(Method::PUT, &path(matches), Some(&body))?;
    Ok(Answer::Done)
}

fn update(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let now = session.get(&path(matches))?;
    let chosen = |option: &str, key: &str| match matches.all(option)[..] {
        [] => now.get(key).map(Json::items).unwrap_or_default().iter().map(Json::bare).collect(),
        ref given => given.iter().map(|&text| text.to_owned()).collect::<Vec<String>>(),
    };
    let body = json!({ "adminRoles": chosen("-r", "adminRoles"), "allowedClusters": chosen("-c", "allowedClusters") });
    session.send(Method::POST, &path(matches), Some(&body))?;
    Ok(Answer::Done)
}

fn path(matches: &Matches) -> String {
    format!("/tenants/{}", encoded(matches.argument(0)))
}
