//! `pulsarctl`: the grammar and the words of the Go tool, over the same requests as `pulsar-admin`.
//!
//! What it shows goes to the standard output, most of its sentences to the standard error, as its own do. A command
//! counts its arguments itself, for it has its own words when there are too few.

mod namespaces;
mod subscriptions;
mod topics;
mod whole;

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::Answer;
use super::json_text::Json;
use super::names::Topic;
use super::session::Session;
use super::settings::{ClientConf, TLS_HOST, TLS_INSECURE, chosen, tls, tls_trust, token, token_in};
use super::{Failure, asked};
use crate::cli::args::ADMIN_URL_DEFAULT;
use crate::cli::grammar::{Argument, Command, Does, Matches, Opt, Takes, size_of, value};
use crate::client::ClientOptions;

/// What a command does.
type Action = fn(&Session, &Matches) -> Result<Answer, Failure>;

const FAILED: u8 = 1;
/// A flag that is not known.
const UNKNOWN_FLAG: u8 = 255;
const TIMEOUT_SECONDS: u64 = 300;

const OUTPUT: Opt = value(
    &["-o", "--output"],
    "string",
    Takes::OneOf(&["text", "json", "yaml"]),
    "How the answer is laid out: text or json.",
)
.or("text");

/// The tool.
pub(super) static TOOL: Command<Action> = Command {
    names: &["pulsarctl"],
    about: "Looks after a broker: tenants, namespaces, topics and their tiers.",
    options: &[
        value(
            &["-s", "--admin-service-url"],
            "string",
            Takes::Text,
            "Where the broker's REST API listens; http://localhost:8080 where not given.",
        ),
        value(&["--token"], "string", Takes::Text, "The token to log in with."),
        value(&["--token-file"], "string", Takes::Text, "A file with the token to log in with."),
        value(
            &["--auth-plugin"],
            "string",
            Takes::Text,
            "How to log in: org.apache.pulsar.client.impl.auth.AuthenticationToken.",
        ),
        value(&["--auth-params"], "string", Takes::Text, "With what: token:… or file:///path/to/token."),
        TLS_INSECURE,
        TLS_HOST,
        tls_trust(&["--tls-trust-cert-path"]),
        crate::cli::grammar::flag(&["--json"], "Answer with JSON in one line, errors as well."),
        value(&["-C", "--color"], "string", Takes::Text, "").hidden(),
        value(&["-v", "--verbose"], "int", Takes::Int, "").hidden(),
    ],
    arguments: &[],
    does: Does::Group(&[
        Command::group(&["tenants", "tenant"], "Tenants: who may use which namespaces.", whole::TENANTS),
        Command::group(&["clusters", "cluster"], "Clusters: this broker is one.", whole::CLUSTERS),
        Command::group(&["brokers", "broker"], "The broker itself: its health and configuration.", whole::BROKERS),
        Command::group(
            &["namespaces", "namespace"],
            "Namespaces and the policies that hold for all of their topics.",
            namespaces::COMMANDS,
        ),
        Command::group(&["topics", "topic"], "Topics, their ledgers and their tiers.", topics::COMMANDS),
        Command::group(&["subscriptions", "subscription", "sub"], "Subscriptions of a topic.", subscriptions::COMMANDS),
    ]),
    is_hidden: false,
};

/// Any number of arguments: the command counts them.
const ANY: &[Argument] = &[Argument { label: "arguments", about: "See above.", may_repeat: true, is_required: false }];

const fn run(
    names: &'static [&'static str],
    about: &'static str,
    options: &'static [Opt],
    function: Action,
) -> Command<Action> {
    Command { names, about, options, arguments: ANY, does: Does::Run(function), is_hidden: false }
}

/// Does what `words` say; answers the exit code.
pub(super) fn run_tool(words: &[String]) -> u8 {
    let found = match asked(&TOOL, words, UNKNOWN_FLAG) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let as_json = found.matches.has("--json");
    match session(&found.matches).and_then(|session| (found.action)(&session, &found.matches)) {
        Ok(answer) => {
            answer.print(as_json);
            0
        }
        Err(failure) => {
            eprint!("{}", if as_json { failure.as_json() } else { failure.as_pulsarctl() });
            FAILED
        }
    }
}

fn session(matches: &Matches) -> Result<Session, Failure> {
    let conf = ClientConf::read()?;
    // `topic offload -s 0` means a size; everything else that follows `-s` is the address.
    let given =
        matches.text("--admin-service-url").or_else(|| matches.text("-s").filter(|text| size_of(text).is_err()));
    let url = chosen(given, &conf, "webServiceUrl").unwrap_or(ADMIN_URL_DEFAULT);
    let token = match (matches.text("--token"), matches.text("--token-file")) {
        (Some(token), _) => Some(token.to_owned()),
        (None, Some(path)) => Some(token_in(path)?.trim().to_owned()),
        (None, None) => {
            let plugin = chosen(matches.text("--auth-plugin"), &conf, "authPlugin");
            token(plugin, chosen(matches.text("--auth-params"), &conf, "authParams"))?
        }
    };
    let options = ClientOptions { token, tls: tls(matches, &conf)? };
    Session::new(url, Duration::from_secs(TIMEOUT_SECONDS), options, matches.has("--json"))
}

/// The only argument, which is the name of a `kind`.
fn only<'a>(matches: &'a Matches, kind: &str) -> Result<&'a str, Failure> {
    match matches.arguments() {
        [one] => Ok(one),
        _ => Err(Failure::Found(format!(
            "the {kind} name is not specified or the {kind} name is specified more than one"
        ))),
    }
}

/// Two arguments.
fn two(matches: &Matches) -> Result<(&str, &str), Failure> {
    match matches.arguments() {
        [one, other] => Ok((one, other)),
        _ => Err(Failure::Found("only two arguments are allowed to be used as names".to_owned())),
    }
}

/// The topic that is the only argument, or the partition of it that `-p` names.
fn only_topic(matches: &Matches) -> Result<Topic, Failure> {
    let topic = Topic::new(only(matches, "topic")?)?;
    Ok(match matches.number::<i64>("--partition").and_then(|index| u64::try_from(index).ok()) {
        Some(index) => topic.partition(index),
        None => topic,
    })
}

/// Names under a heading, in a frame; with `-o json` a list.
fn framed(matches: &Matches, heading: &str, names: &Json) -> Answer {
    if matches.text("-o") == Some("json") {
        return Answer::Shown { json: names.clone(), form: super::answer::Form::Indented };
    }
    if matches.has("--json") {
        return Answer::Shown { json: names.clone(), form: super::answer::Form::Lines };
    }
    let names: Vec<String> = names.items().iter().map(Json::bare).collect();
    let width = names.iter().map(String::len).chain([heading.len()]).max().unwrap_or(0);
    let edge = format!("+{}+\n", "-".repeat(width + 2));
    let mut text = format!("{edge}| {heading:^width$} |\n{edge}");
    for name in names {
        text += &format!("| {name:<width$} |\n");
    }
    Answer::Text(text + &edge)
}

/// A sentence on the standard error.
fn told(text: String, facts: Value) -> Result<Answer, Failure> {
    Ok(Answer::aside(text, facts))
}

/// A sentence on the standard error of which machines only need to know that it is done.
fn done(text: String) -> Result<Answer, Failure> {
    told(text, json!({ "done": true }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::grammar::parse;

    #[test]
    fn names_stand_in_a_frame() {
        let words = ["tenants".to_owned(), "list".to_owned()];
        let matches = parse(&TOOL, &words).map(|found| found.matches).map_err(|_| "refused").unwrap();
        let names = Json::List(vec![Json::Text("public".to_owned())]);
        let Answer::Text(text) = framed(&matches, "TENANT NAME", &names) else { panic!("not a text") };
        let edge = "+-------------+";
        assert_eq!(text, format!("{edge}\n| TENANT NAME |\n{edge}\n| public      |\n{edge}\n"));
    }

    #[test]
    fn aliases_lead_to_the_same_commands() {
        for line in ["topic offload t 0", "topics offload -s 0 t", "namespace policies a/b", "sub list t"] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert!(parse(&TOOL, &words).is_ok(), "{line}");
        }
    }
}
