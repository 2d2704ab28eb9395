//! `pulsar-admin`: its grammar and its words, over the REST API.
//!
//! A command is a row of a table, most of them a request and how its answer is laid out ([`Action`]); what needs more is a
//! function. Rows stand by group, in the order in which the original shows them.

mod brokers;
mod clusters;
mod field_order;
mod limits;
mod messages;
mod namespace_life;
mod namespace_policies;
mod namespaces;
mod offload_policies;
mod positions;
mod schemas;
mod subscriptions;
mod tenants;
mod topic_life;
mod topic_policies;
mod topic_upkeep;
mod topics;

pub(super) use namespace_policies::retention_body;
pub(super) use positions::message_id;

use std::time::Duration;

use serde_json::Value;
use ureq::http::Method;

use super::answer::{Answer, Form};
use super::names::{Topic, encoded, namespace_path};
use super::session::Session;
use super::settings::{ClientConf, TLS_HOST, TLS_INSECURE, chosen, tls, tls_trust, token};
use super::{AUTH_PARAMS, AUTH_PLUGIN, Failure, asked};
use crate::cli::args::ADMIN_URL_DEFAULT;
use crate::cli::grammar::{Argument, Command, Does, Matches, Opt, Takes, argument, flag, value};
use crate::client::ClientOptions;

/// What a command does.
pub(super) enum Action {
    /// Asks for something and shows it.
    Show(&'static str, Form),
    /// Makes a change of which there is nothing to tell.
    Send(Method, &'static str, Body),
    /// More than one request, or words of its own.
    Run(fn(&Session, &Matches) -> Result<Answer, Failure>),
}

/// What a change carries.
type Body = fn(&Matches) -> Result<Option<Value>, Failure>;

/// A change that carries nothing.
fn nothing(_: &Matches) -> Result<Option<Value>, Failure> {
    Ok(None)
}

const TENANT: &[Argument] = &[argument("tenant", "The tenant's name.")];
const CLUSTER: &[Argument] = &[argument("cluster", "The cluster's name; this broker's is in its configuration.")];
const NAMESPACE: &[Argument] = &[argument("namespaceName", "tenant/namespace")];
const TOPIC: &[Argument] = &[argument("topicName", "persistent://tenant/namespace/topic, or tenant/namespace/topic.")];

/// Something that is asked for.
const fn show(
    name: &'static [&'static str],
    about: &'static str,
    options: &'static [Opt],
    arguments: &'static [Argument],
    path: &'static str,
    form: Form,
) -> Command<Action> {
    Command { names: name, about, options, arguments, does: Does::Run(Action::Show(path, form)), is_hidden: false }
}

/// A change.
const fn send(
    name: &'static [&'static str],
    about: &'static str,
    options: &'static [Opt],
    arguments: &'static [Argument],
    method: Method,
    path: &'static str,
    body: Body,
) -> Command<Action> {
    let does = Does::Run(Action::Send(method, path, body));
    Command { names: name, about, options, arguments, does, is_hidden: false }
}

/// Something that needs more.
const fn run(
    name: &'static [&'static str],
    about: &'static str,
    options: &'static [Opt],
    arguments: &'static [Argument],
    function: fn(&Session, &Matches) -> Result<Answer, Failure>,
) -> Command<Action> {
    Command { names: name, about, options, arguments, does: Does::Run(Action::Run(function)), is_hidden: false }
}

/// The tool.
pub(super) static TOOL: Command<Action> = Command {
    names: &["pulsar-admin"],
    about: "Looks after a broker: tenants, namespaces, topics and their tiers.",
    options: &[
        value(
            &["--admin-url"],
            "serviceUrl",
            Takes::Text,
            "Where the broker's REST API listens; else webServiceUrl of conf/client.conf, else http://localhost:8080.",
        ),
        AUTH_PLUGIN,
        AUTH_PARAMS,
        value(
            &["--request-timeout"],
            "requestTimeout",
            Takes::Int,
            "Seconds to wait for an answer; 300 where not given.",
        ),
        flag(&["--json"], "Answer with JSON in one line, errors as well."),
        TLS_INSECURE,
        TLS_HOST,
        tls_trust(&["--tls-trust-cert-path"]),
        value(&["--tls-provider"], "tlsProvider", Takes::Text, "").hidden(),
    ],
    arguments: &[],
    does: Does::Group(&[
        Command::group(&["tenants"], "Tenants: who may use which namespaces.", tenants::COMMANDS),
        Command::group(&["clusters"], "Clusters: this broker is one.", clusters::COMMANDS),
        Command::group(&["brokers"], "The broker itself: its health, version and configuration.", brokers::COMMANDS),
        Command::tables(
            &["namespaces"],
            "Namespaces and the policies that hold for all of their topics.",
            namespaces::TABLES,
        ),
        Command::tables(&["topics"], "Topics, their ledgers, their tiers and their subscriptions.", topics::TABLES),
        Command::tables(&["topicPolicies"], "Policies of single topics.", topic_policies::TABLES),
        Command::group(&["schemas"], "What messages of a topic look like.", schemas::COMMANDS),
        Command::tables(&["persistent"], "The old name of topics.", topics::TABLES).hidden(),
    ]),
    is_hidden: false,
};

/// Most seconds to wait for an answer, where nothing else is asked for.
const TIMEOUT_DEFAULT_SECONDS: u64 = 300;
const FAILED: u8 = 1;

/// Does what `words` say; answers the exit code.
pub(super) fn run_tool(words: &[String]) -> u8 {
    let found = match asked(&TOOL, words, FAILED) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let as_json = found.matches.has("--json");
    let done = session(&found.matches).and_then(|session| perform(found.action, &session, &found.matches));
    match done {
        Ok(answer) => {
            answer.print(as_json);
            0
        }
        Err(failure) => {
            let text = if as_json { failure.as_json() } else { failure.as_pulsar_admin(&found.usage) };
            eprint!("{text}");
            FAILED
        }
    }
}

fn session(matches: &Matches) -> Result<Session, Failure> {
    let conf = ClientConf::read()?;
    let url = chosen(matches.text("--admin-url"), &conf, "webServiceUrl").unwrap_or(ADMIN_URL_DEFAULT);
    let plugin = chosen(matches.text("--auth-plugin"), &conf, "authPlugin");
    let token = token(plugin, chosen(matches.text("--auth-params"), &conf, "authParams"))?;
    let seconds = matches.number("--request-timeout").unwrap_or(TIMEOUT_DEFAULT_SECONDS);
    let options = ClientOptions { token, tls: tls(matches, &conf)? };
    Session::new(url, Duration::from_secs(seconds.max(1)), options, matches.has("--json"))
}

fn perform(action: &Action, session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    match action {
        Action::Show(path, form) => {
            let json = session.get(&filled(path, matches)?)?;
            let json = if *form == Form::Jackson { field_order::ordered(json) } else { json };
            Ok(Answer::Shown { json, form: *form })
        }
        Action::Send(method, path, body) => {
            let body = body(matches)?;
            session.send(method.clone(), &filled(path, matches)?, body.as_ref())?;
            Ok(Answer::Done)
        }
        Action::Run(function) => function(session, matches),
    }
}

/// `path` with what stands in braces filled in: `{namespace}`, `{topic}`, `{local}` (a topic without its domain) or `{name}` from the first argument, `{--option}`
/// from an option: its value, or whether it is there.
fn filled(path: &str, matches: &Matches) -> Result<String, Failure> {
    let mut text = String::with_capacity(path.len() + 32);
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        text.push_str(before);
        text.push_str(&match name {
            "namespace" => namespace_path(matches.argument(0))?,
            "topic" => Topic::new(matches.argument(0))?.path(),
            "local" => Topic::new(matches.argument(0))?.path_without_domain(),
            "name" => encoded(matches.argument(0)),
            option => matches.text(option).map_or("false".to_owned(), encoded),
        });
        rest = behind;
    }
    Ok(text + rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(line: &str) -> Matches {
        Matches::of(&TOOL, line)
    }

    #[test]
    fn paths_are_filled_from_the_line() {
        let line = matches("topics skip -s a/b -n 3 t");
        let path = filled("{topic}/subscription/{--subscription}/skip/{--count}", &line).unwrap();
        assert_eq!(path, "/persistent/public/default/t/subscription/a%2Fb/skip/3");
        let line = matches("namespaces delete -f a/b");
        assert_eq!(filled("/namespaces{namespace}?force={--force}", &line).unwrap(), "/namespaces/a/b?force=true");
        let line = matches("namespaces delete a/b");
        assert_eq!(filled("/namespaces{namespace}?force={--force}", &line).unwrap(), "/namespaces/a/b?force=false");
    }

    /// Every row's path names only options that the row has, and every name is there once.
    #[test]
    fn the_tables_are_sound() {
        for group in TOOL.commands() {
            let mut seen = std::collections::BTreeSet::new();
            for command in group.commands() {
                assert!(command.names.iter().all(|name| seen.insert(*name)), "{} twice", command.name());
                assert!(!command.about.is_empty(), "{}", command.name());
                let mut names = std::collections::BTreeSet::new();
                for option in command.options {
                    assert!(
                        option.names.iter().all(|name| names.insert(*name)),
                        "{} {:?}",
                        command.name(),
                        option.names
                    );
                }
                let (Does::Run(Action::Show(path, _)) | Does::Run(Action::Send(_, path, _))) = &command.does else {
                    continue;
                };
                for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                    let is_known = ["namespace", "topic", "local", "name"].contains(&name) || names.contains(name);
                    assert!(is_known, "{}: {{{name}}}", command.name());
                }
            }
        }
    }
}
