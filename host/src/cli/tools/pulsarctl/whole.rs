//! `tenants`, `clusters` and `brokers`.

use serde_json::json;
use ureq::http::Method;

use super::{Action, Answer, Failure, Json, Matches, OUTPUT, Session, done, framed, only, run, told};
use crate::cli::grammar::{Command, Opt, Takes, flag, value};
use crate::cli::tools::answer::Form;
use crate::cli::tools::names::encoded;

const ROLES: Opt =
    value(&["-r", "--admin-roles"], "strings", Takes::Comma, "Who may look after the tenant, between commas.");
const ALLOWED: Opt =
    value(&["-c", "--allowed-clusters"], "strings", Takes::Comma, "Clusters that it may use, between commas.");

pub(super) static TENANTS: &[Command<Action>] = &[
    run(&["list"], "Lists the tenants.", &[OUTPUT], |session, matches| {
        Ok(framed(matches, "TENANT NAME", &session.get("/tenants")?))
    }),
    run(&["get"], "Shows a tenant's configuration.", &[OUTPUT], |session, matches| {
        let json = session.get(&format!("/tenants/{}", encoded(only(matches, "tenant")?)))?;
        Ok(Answer::Shown { json, form: Form::Indented })
    }),
    run(&["create"], "Makes a tenant.", &[ROLES, ALLOWED], |session, matches| {
        put_tenant(session, matches, Method::PUT, "Create")
    }),
    run(&["update"], "Changes a tenant.", &[ROLES, ALLOWED], |session, matches| {
        put_tenant(session, matches, Method::POST, "Update")
    }),
    run(
        &["delete"],
        "Deletes a tenant.",
        &[flag(&["-f", "--force"], "With its namespaces and their topics.")],
        |session, matches| {
            let name = only(matches, "tenant")?;
            session.send(Method::DELETE, &format!("/tenants/{}?force={}", encoded(name), matches.has("-f")), None)?;
            done(format!("Delete tenant {name} successfully"))
        },
    ),
];

fn put_tenant(session: &Session, matches: &Matches, method: Method, verb: &str) -> Result<Answer, Failure> {
    let name = only(matches, "tenant")?;
    let body = json!({ "adminRoles": matches.all("-r"), "allowedClusters": matches.all("-c") });
    session.send(method, &format!("/tenants/{}", encoded(name)), Some(&body))?;
    done(format!("{verb} tenant {name} successfully"))
}

pub(super) static CLUSTERS: &[Command<Action>] = &[
    run(&["list"], "Lists the clusters.", &[OUTPUT], |session, matches| {
        Ok(framed(matches, "CLUSTER NAME", &session.get("/clusters")?))
    }),
    run(&["get"], "Shows a cluster's addresses.", &[OUTPUT], |session, matches| {
        let json = session.get(&format!("/clusters/{}", encoded(only(matches, "cluster")?)))?;
        Ok(Answer::Shown { json, form: Form::Indented })
    }),
];

pub(super) static BROKERS: &[Command<Action>] = &[
    run(&["list"], "Lists the brokers of a cluster.", &[OUTPUT], |session, matches| {
        let brokers = session.get(&format!("/brokers/{}", encoded(only(matches, "cluster")?)))?;
        Ok(framed(matches, "BROKERS LIST", &brokers))
    }),
    run(&["healthcheck"], "Makes the broker send a message to itself and receive it; prints ok.", &[], |session, _| {
        let answer = session.get("/brokers/health")?;
        told(answer.as_text().unwrap_or("ok").to_owned(), json!({ "healthy": true }))
    }),
    run(
        &["list-dynamic-config"],
        "Lists the settings that can be changed while the broker runs.",
        &[OUTPUT],
        |session, matches| Ok(framed(matches, "DYNAMIC CONFIG NAMES", &session.get("/brokers/configuration")?)),
    ),
    run(&["get-runtime-config"], "Shows the settings with which the broker runs.", &[], |session, _| {
        let json: Json = session.get("/brokers/configuration/runtime")?;
        Ok(Answer::Shown { json, form: Form::Indented })
    }),
];
