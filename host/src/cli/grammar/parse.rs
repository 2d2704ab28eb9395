//! Reads a command line by a table: options anywhere, `-s 0`, `-s0`, `-s=0`, `--size=0`, flags in one word (`-hv`).
//!
//! Mistakes are found in the original's order: a value that cannot be read, then what is missing, then what is too much.

use super::values::TakesKind;
use super::{Argument, Command, Does, Opt, Takes, nearest, seconds_of, size_of, usage};

/// A command with what was given to it.
pub(in crate::cli) struct Found<A: 'static> {
    /// What to do.
    pub(in crate::cli) action: &'static A,
    /// What was given.
    pub(in crate::cli) matches: Matches,
    /// How to use the command, for mistakes that only it can see.
    pub(in crate::cli) usage: String,
}

/// Why there is nothing to do.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cli) enum Stopped {
    /// Help was asked for.
    Help(String),
    /// The version was asked for.
    Version,
    /// The line is wrong.
    Wrong {
        /// What is wrong, and what was meant perhaps.
        message: String,
        /// How to use the command; empty where a near match says enough.
        usage: String,
    },
}

/// Options and arguments of one line.
#[derive(Default)]
pub(in crate::cli) struct Matches {
    /// Names of the commands, the tool's first.
    pub(in crate::cli) path: Vec<&'static str>,
    given: Vec<(&'static Opt, String)>,
    declared: Vec<&'static Opt>,
    arguments: Vec<String>,
}

impl Matches {
    /// What a line says whose words blanks part.
    #[cfg(test)]
    pub(in crate::cli) fn of<A>(tool: &'static Command<A>, line: &str) -> Self {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        parse(tool, &words).map(|found| found.matches).map_err(|stopped| format!("{stopped:?}")).unwrap()
    }

    /// The arguments, in order.
    pub(in crate::cli) fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// An argument that the table demands.
    pub(in crate::cli) fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }

    /// Whether the option was given.
    pub(in crate::cli) fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(option, value)| option.answers_to(name) && value != "false")
    }

    /// The option's value, or its default.
    pub(in crate::cli) fn text(&self, name: &str) -> Option<&str> {
        let given = self.given.iter().rev().find(|(option, _)| option.answers_to(name));
        let default = || self.declared.iter().find(|option| option.answers_to(name)).and_then(|option| option.default);
        given.map(|(_, value)| value.as_str()).or_else(default)
    }

    /// All values of an option that may be given again, cut at commas where the table says so.
    pub(in crate::cli) fn all(&self, name: &str) -> Vec<&str> {
        let given = self.given.iter().filter(|(option, _)| option.answers_to(name));
        given
            .flat_map(|(option, value)| match option.takes {
                Takes::Comma => value.split(',').collect(),
                _ => vec![value.as_str()],
            })
            .collect()
    }

    /// All `key=value` pairs of an option.
    pub(in crate::cli) fn pairs(&self, name: &str) -> Vec<(&str, &str)> {
        self.all(name).into_iter().filter_map(|pair| pair.split_once('=')).collect()
    }

    /// Options that were given and have no effect here: those that are not told of.
    pub(in crate::cli) fn without_effect(&self) -> Vec<&'static str> {
        let hidden = self.given.iter().filter(|(option, _)| option.is_hidden);
        hidden.map(|(option, _)| option.longest()).collect()
    }

    /// What holds for the command's options, given or not: their labels and values. Options without a value are left out.
    pub(in crate::cli) fn settings(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let with_value = self.declared.iter().filter(|option| option.takes != Takes::Nothing);
        with_value.filter_map(|option| Some((option.label, self.text(option.names[0])?)))
    }

    /// A number that the table has checked.
    pub(in crate::cli) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.text(name)?.parse().ok()
    }

    /// Bytes that the table has checked.
    pub(in crate::cli) fn size(&self, name: &str) -> Option<i64> {
        size_of(self.text(name)?).ok()
    }

    /// Seconds that the table has checked.
    pub(in crate::cli) fn seconds(&self, name: &str) -> Option<i64> {
        seconds_of(self.text(name)?).ok()
    }
}

/// Finds the command in `words`, which do not name the tool, and what is given to it.
pub(in crate::cli) fn parse<A>(tool: &'static Command<A>, words: &[String]) -> Result<Found<A>, Stopped> {
    let mut line = Line::new(tool, words);
    while line.command().is_group() {
        line.options_before_a_command()?;
        let Some(name) = line.next() else {
            return Err(line.wrong("Missing required subcommand".to_owned()));
        };
        let group = line.command();
        match group.commands().find(|command| command.names.contains(&name)) {
            Some(command) => line.enter(command),
            None => return Err(line.unknown_command(name, group)),
        }
    }
    line.options_and_arguments()?;
    line.finish()
}

/// A line that is being read.
struct Line<'a, A: 'static> {
    commands: Vec<&'static Command<A>>,
    words: &'a [String],
    at: usize,
    matches: Matches,
    /// Words that mean nothing, by index.
    unmatched: Vec<usize>,
}

impl<'a, A> Line<'a, A> {
    fn new(tool: &'static Command<A>, words: &'a [String]) -> Self {
        let mut line = Self { commands: Vec::new(), words, at: 0, matches: Matches::default(), unmatched: Vec::new() };
        line.enter(tool);
        line
    }

    fn enter(&mut self, command: &'static Command<A>) {
        self.commands.push(command);
        self.matches.path.push(command.name());
        // The innermost command's come first: it may have an option of the same name.
        self.matches.declared.splice(0..0, command.options);
    }

    fn command(&self) -> &'static Command<A> {
        self.commands[self.commands.len() - 1]
    }

    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    fn options_before_a_command(&mut self) -> Result<(), Stopped> {
        while let Some(word) = self.words.get(self.at).filter(|word| is_option(word)) {
            self.at += 1;
            if !self.option(word)? {
                self.unmatched.push(self.at - 1);
                return Err(self.too_much());
            }
        }
        Ok(())
    }

    fn options_and_arguments(&mut self) -> Result<(), Stopped> {
        let mut only_arguments = false;
        while let Some(word) = self.next() {
            if word == "--" && !only_arguments {
                only_arguments = true;
            } else if only_arguments || !is_option(word) {
                self.argument(word);
            } else if !self.option(word)? {
                self.unmatched.push(self.at - 1);
            }
        }
        Ok(())
    }

    fn argument(&mut self, word: &str) {
        let wanted = self.command().arguments;
        let is_last_repeated = wanted.last().is_some_and(|last| last.may_repeat);
        if self.matches.arguments.len() < wanted.len() || is_last_repeated {
            self.matches.arguments.push(word.to_owned());
        } else {
            self.unmatched.push(self.at - 1);
        }
    }

    fn declared(&self, name: &str) -> Option<&'static Opt> {
        self.matches.declared.iter().copied().find(|option| option.answers_to(name))
    }

    /// Takes one word that begins with a dash, and its value; answers whether it is an option here.
    fn option(&mut self, word: &str) -> Result<bool, Stopped> {
        if let Some(option) = self.declared(word) {
            return self.take(option, None).map(|()| true);
        }
        if let Some((name, value)) = word.split_once('=')
            && let Some(option) = self.declared(name)
        {
            return self.take(option, Some(value)).map(|()| true);
        }
        match word {
            "-h" | "--help" => Err(Stopped::Help(usage(&self.commands))),
            "-v" | "--version" => Err(Stopped::Version),
            _ if word.starts_with("--") => Ok(false),
            _ => self.short_options(word),
        }
    }

    /// `-hv`: flags of one letter each; the last may have its value attached.
    fn short_options(&mut self, word: &str) -> Result<bool, Stopped> {
        let mut taken = Vec::new();
        for (at, letter) in word.char_indices().skip(1) {
            let rest = &word[at + letter.len_utf8()..];
            let name = format!("-{letter}");
            match self.declared(&name) {
                Some(option) if option.takes == Takes::Nothing => taken.push(option),
                Some(option) => {
                    self.take_all(&taken)?;
                    let value = rest.strip_prefix('=').unwrap_or(rest);
                    return self.take(option, (!rest.is_empty()).then_some(value)).map(|()| true);
                }
                None if letter == 'h' => return Err(Stopped::Help(usage(&self.commands))),
                None if letter == 'v' => return Err(Stopped::Version),
                None => return Ok(false),
            }
        }
        self.take_all(&taken)?;
        Ok(!taken.is_empty())
    }

    fn take_all(&mut self, flags: &[&'static Opt]) -> Result<(), Stopped> {
        flags.iter().try_for_each(|&flag| self.take(flag, None))
    }

    fn take(&mut self, option: &'static Opt, attached: Option<&str>) -> Result<(), Stopped> {
        let name = option.longest();
        if option.takes == Takes::Nothing {
            let value = attached.unwrap_or("true");
            Takes::Bool.check(value).map_err(|problem| self.bad_value(name, &problem))?;
            self.matches.given.push((option, value.to_ascii_lowercase()));
            return Ok(());
        }
        let value = match attached {
            Some(value) => value.to_owned(),
            None => self.value_of(option)?,
        };
        option.takes.check(&value).map_err(|problem| self.bad_value(name, &problem))?;
        let is_again = self.matches.given.iter().any(|(given, _)| std::ptr::eq(*given, option));
        if is_again && option.takes.kind() == TakesKind::Scalar {
            return Err(self.wrong(format!("option '{name}' (<{}>) should be specified only once", option.label)));
        }
        self.matches.given.push((option, value));
        Ok(())
    }

    /// The next word, unless that is an option.
    fn value_of(&mut self, option: &'static Opt) -> Result<String, Stopped> {
        let (name, label) = (option.longest(), option.label);
        let Some(word) = self.next() else {
            return Err(self.wrong(format!("Missing required parameter for option '{name}' (<{label}>)")));
        };
        if is_option(word) && self.declared(word.split('=').next().unwrap_or(word)).is_some() {
            return Err(self.wrong(format!("Expected parameter for option '{name}' but found '{word}'")));
        }
        Ok(word.to_owned())
    }

    fn finish(self) -> Result<Found<A>, Stopped> {
        if let Some(message) = self.missing() {
            return Err(self.wrong(message));
        }
        if !self.unmatched.is_empty() {
            return Err(self.too_much());
        }
        let usage = usage(&self.commands);
        match &self.command().does {
            Does::Run(action) => Ok(Found { action, matches: self.matches, usage }),
            Does::Group(_) | Does::Tables(_) => Err(self.wrong("Missing required subcommand".to_owned())),
        }
    }

    /// Required options and arguments that are not there, in the original's words.
    fn missing(&self) -> Option<String> {
        let is_given = |option: &&Opt| self.matches.given.iter().any(|(given, _)| std::ptr::eq(*given, *option));
        let missing_options: Vec<String> = (self.command().options.iter())
            .filter(|option| option.is_required && !is_given(option))
            .map(|option| format!("'{}=<{}>'", option.longest(), option.label))
            .collect();
        let missing_arguments: Vec<String> = (self.command().arguments.iter().skip(self.matches.arguments.len()))
            .filter(|argument| argument.is_required)
            .map(|argument: &Argument| format!("'<{}>'", argument.label))
            .collect();
        let what = match (missing_options.len(), missing_arguments.len()) {
            (0, 0) => return None,
            (1, 0) => "option",
            (_, 0) => "options",
            (0, 1) => "parameter",
            (0, _) => "parameters",
            _ => "options and parameters",
        };
        let all = [missing_options, missing_arguments].concat().join(", ");
        Some(format!("Missing required {what}: {all}{}", self.hint()))
    }

    /// What an unknown option was meant to be.
    fn hint(&self) -> String {
        let names = || self.matches.declared.iter().filter(|option| !option.is_hidden).flat_map(|option| option.names);
        let unknown = self.unmatched.iter().map(|&at| self.words[at].as_str()).filter(|word| is_option(word));
        let mut hint = String::new();
        for word in unknown {
            let written = word.split('=').next().unwrap_or(word);
            let near = nearest(written, names().copied());
            if !near.is_empty() {
                hint += &format!("\n'{written}' is no option here. Did you mean: {}?", near.join(" or "));
            }
        }
        hint
    }

    fn too_much(&self) -> Stopped {
        let words: Vec<String> = self.unmatched.iter().map(|&at| format!("'{}'", self.words[at])).collect();
        let (first, many) = (self.unmatched[0], words.len() > 1);
        let words = words.join(", ");
        let message = match (is_option(&self.words[first]), many) {
            (true, false) => format!("Unknown option: {words}"),
            (true, true) => format!("Unknown options: {words}"),
            (false, false) => format!("Unmatched argument at index {first}: {words}"),
            (false, true) => format!("Unmatched arguments from index {first}: {words}"),
        };
        self.wrong(message + &self.hint())
    }

    fn unknown_command(&self, name: &str, group: &'static Command<A>) -> Stopped {
        let index = self.at - 1;
        let words: Vec<String> = self.words[index..].iter().map(|word| format!("'{word}'")).collect();
        let unmatched = match words.len() {
            1 => format!("Unmatched argument at index {index}: {}", words[0]),
            _ => format!("Unmatched arguments from index {index}: {}", words.join(", ")),
        };
        let near = nearest(name, group.commands().filter(|command| !command.is_hidden).map(Command::name));
        if near.is_empty() {
            return self.wrong(unmatched);
        }
        let group = self.command().name();
        let near: Vec<String> = near.iter().map(|name| format!("{group} {name}")).collect();
        Stopped::Wrong { message: format!("{unmatched}\nDid you mean: {}?", near.join(" or ")), usage: String::new() }
    }

    fn bad_value(&self, name: &str, problem: &str) -> Stopped {
        self.wrong(format!("Invalid value for option '{name}': {problem}"))
    }

    fn wrong(&self, message: String) -> Stopped {
        Stopped::Wrong { message, usage: usage(&self.commands) }
    }
}

/// Whether a word can be an option: `-1` and `-` cannot.
fn is_option(word: &str) -> bool {
    word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c == '-' || c.is_ascii_alphabetic()))
}
