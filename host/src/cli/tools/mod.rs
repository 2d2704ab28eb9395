//! The tools that come with a Pulsar broker, in this one program: `pulsar-admin`, `pulsarctl`, `pulsar-client`, `pulsar-perf`.
//!
//! Each is a link to this program, which looks at the name it was called by, or a command of it (`longshore admin …`).
//! Lines, words, streams and exit codes are the originals', so that scripts and tutorials go on working; what is added
//! (`--json`, completion, near matches, a bar on a terminal) stays out of the way of who reads the output by machine.
//! docs/operate/tools.md tells both.

mod admin;
mod answer;
mod client;
mod failure;
mod json_text;
mod log;
mod names;
mod offloading;
mod perf;
mod pulsarctl;
mod session;
mod settings;

use std::path::Path;

use answer::say;
use failure::Failure;

use super::grammar::{Command, Found, Matches, Opt, SHELLS, Stopped, Takes, candidates, parse, script, value};

/// Version that the tools tell: ours, and the Pulsar whose tools these are like.
const VERSION: &str = concat!("Longshore ", env!("CARGO_PKG_VERSION"), " (in the manner of Apache Pulsar 4.0.6)\n");

/// A tool of a Pulsar distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// `pulsar-admin`
    Admin,
    /// `pulsarctl`
    Pulsarctl,
    /// `pulsar-client`
    Client,
    /// `pulsar-perf`
    Perf,
}

impl Tool {
    /// The tool whose name the program was called by.
    pub fn named(program: &Path) -> Option<Self> {
        match program.file_name()?.to_str()? {
            "pulsar-admin" => Some(Self::Admin),
            "pulsarctl" => Some(Self::Pulsarctl),
            "pulsar-client" => Some(Self::Client),
            "pulsar-perf" => Some(Self::Perf),
            _ => None,
        }
    }

    /// Does what `words` say, which follow the tool's name; answers the exit code.
    pub fn run(self, words: &[String]) -> u8 {
        match self {
            Self::Admin => admin::run_tool(words),
            Self::Pulsarctl => pulsarctl::run_tool(words),
            Self::Client => client::run_tool(words),
            Self::Perf => perf::run_tool(words),
        }
    }
}

/// How to log in, which every tool is told in the same way.
const AUTH_PLUGIN: Opt = value(
    &["--auth-plugin"],
    "authPluginClassName",
    Takes::Text,
    "How to log in: org.apache.pulsar.client.impl.auth.AuthenticationToken.",
);
const AUTH_PARAMS: Opt =
    value(&["--auth-params"], "authParams", Takes::Text, "With what: token:… or file:///path/to/token.");

/// Finds out what `words` ask a tool for; the exit code where that is done already, `wrong` for a line that is wrong.
fn asked<A>(tool: &'static Command<A>, words: &[String], wrong: u8) -> Result<Found<A>, u8> {
    if let Some(code) = own_command(tool, words) {
        return Err(code);
    }
    let found = parse(tool, words).map_err(|problem| stopped(problem, wrong))?;
    note_without_effect(&found.matches);
    Ok(found)
}

/// Commands that every tool has beside its own.
const OWN_COMMANDS: &[&str] = &["completion", super::grammar::ASK];

/// Does what every tool can: `completion SHELL`, and the question that its script asks.
fn own_command<A>(tool: &'static Command<A>, words: &[String]) -> Option<u8> {
    let name = words.first().map(String::as_str)?;
    if name == super::grammar::ASK {
        for word in candidates(tool, &words[1..]) {
            say(&format!("{word}\n"));
        }
        return Some(0);
    }
    if name != OWN_COMMANDS[0] {
        return None;
    }
    let shell = words.get(1).map_or("", String::as_str);
    match script(shell, tool.name()) {
        Some(text) => {
            say(&text);
            Some(0)
        }
        None => {
            eprintln!("no completion for the shell `{shell}`; allowed: {}", SHELLS.join(", "));
            Some(1)
        }
    }
}

/// Tells of options that are accepted because scripts have them, and do nothing.
fn note_without_effect(matches: &Matches) {
    for name in matches.without_effect() {
        eprintln!("note: {name} has no effect here");
    }
}

/// Prints why there is nothing to do; answers the exit code, `wrong` for a line that is wrong.
fn stopped(stopped: Stopped, wrong: u8) -> u8 {
    match stopped {
        Stopped::Help(text) => {
            say(&text);
            0
        }
        Stopped::Version => {
            say(VERSION);
            0
        }
        Stopped::Wrong { message, usage } => {
            eprint!("{message}\n{usage}");
            wrong
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_known_by_its_name_whatever_its_folder() {
        for (path, tool) in [
            ("/opt/x/bin/pulsar-admin", Some(Tool::Admin)),
            ("pulsarctl", Some(Tool::Pulsarctl)),
            ("./pulsar-client", Some(Tool::Client)),
            ("bin/pulsar-perf", Some(Tool::Perf)),
            ("longshore", None),
            ("", None),
        ] {
            assert_eq!(Tool::named(Path::new(path)), tool, "{path}");
        }
    }
}
