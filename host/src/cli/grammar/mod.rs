//! Grammars of command lines that others designed: Apache's tools and pulsarctl.
//!
//! Commands, options and arguments are tables ([`Command`], [`Opt`], [`Argument`]); [`mod@parse`] reads a line by them, [`mod@usage`]
//! tells them, [`suggest`] and [`complete`] help who does not know them by heart. What a command does is the table's
//! `A`; nothing here knows it. The program's own commands are clap's (`cli::args`); clap cannot read `-oats 1h`, nor
//! say what the original says of a bad option.

mod complete;
mod parse;
mod suggest;
#[cfg(test)]
mod tests;
mod usage;
mod values;

pub(super) use complete::{ASK, SHELLS, candidates, script};
pub(super) use parse::{Found, Matches, Stopped, parse};
use suggest::nearest;
pub(super) use usage::usage;
pub(super) use values::{Takes, seconds_of, size_of};

/// A command, or a group of them.
pub(super) struct Command<A: 'static> {
    /// Its name and what else it answers to.
    pub(super) names: &'static [&'static str],
    /// One or two sentences.
    pub(super) about: &'static str,
    /// Its options, in any order.
    pub(super) options: &'static [Opt],
    /// Its arguments, in order.
    pub(super) arguments: &'static [Argument],
    /// What it is.
    pub(super) does: Does<A>,
    /// Works, but is not told of.
    pub(super) is_hidden: bool,
}

/// What a command is.
pub(super) enum Does<A: 'static> {
    /// Commands under a common name.
    Group(&'static [Command<A>]),
    /// The same, of several tables.
    Tables(&'static [&'static [Command<A>]]),
    /// Something that is done.
    Run(A),
}

impl<A> Command<A> {
    /// Commands under a common name.
    pub(super) const fn group(
        names: &'static [&'static str],
        about: &'static str,
        commands: &'static [Command<A>],
    ) -> Self {
        Self { names, about, options: &[], arguments: &[], does: Does::Group(commands), is_hidden: false }
    }

    /// Commands of several tables under a common name.
    pub(super) const fn tables(
        names: &'static [&'static str],
        about: &'static str,
        tables: &'static [&'static [Command<A>]],
    ) -> Self {
        Self { names, about, options: &[], arguments: &[], does: Does::Tables(tables), is_hidden: false }
    }

    /// Not told of.
    pub(super) const fn hidden(mut self) -> Self {
        self.is_hidden = true;
        self
    }

    /// The name that is told.
    pub(super) fn name(&self) -> &'static str {
        self.names[0]
    }

    /// Whether it is a group.
    fn is_group(&self) -> bool {
        !matches!(self.does, Does::Run(_))
    }

    /// The commands of a group.
    pub(super) fn commands(&self) -> impl Iterator<Item = &'static Command<A>> + use<A> {
        let (one, many): (&'static [Self], &'static [&'static [Self]]) = match &self.does {
            Does::Group(commands) => (commands, &[]),
            Does::Tables(tables) => (&[], tables),
            Does::Run(_) => (&[], &[]),
        };
        one.iter().chain(many.iter().copied().flatten())
    }
}

/// An option.
pub(super) struct Opt {
    /// All spellings, with their dashes.
    pub(super) names: &'static [&'static str],
    /// What its value is called in usage texts.
    pub(super) label: &'static str,
    /// What it takes.
    pub(super) takes: Takes,
    /// Whether it must be given.
    pub(super) is_required: bool,
    /// What holds when it is not given.
    pub(super) default: Option<&'static str>,
    /// What it is for.
    pub(super) about: &'static str,
    /// Works, but is not told of.
    pub(super) is_hidden: bool,
}

/// An option without a value.
pub(super) const fn flag(names: &'static [&'static str], about: &'static str) -> Opt {
    value(names, "", Takes::Nothing, about)
}

/// An option with a value.
pub(super) const fn value(
    names: &'static [&'static str],
    label: &'static str,
    takes: Takes,
    about: &'static str,
) -> Opt {
    Opt { names, label, takes, is_required: false, default: None, about, is_hidden: false }
}

impl Opt {
    /// It must be given.
    pub(super) const fn required(mut self) -> Self {
        self.is_required = true;
        self
    }

    /// What holds when it is not given.
    pub(super) const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    /// Not told of.
    pub(super) const fn hidden(mut self) -> Self {
        self.is_hidden = true;
        self
    }

    /// Whether this is its name.
    pub(super) fn answers_to(&self, name: &str) -> bool {
        self.names.contains(&name)
    }

    /// `-s`: the shortest name, which orders options.
    fn shortest(&self) -> &'static str {
        self.names.iter().min_by_key(|name| name.len()).copied().unwrap_or_default()
    }

    /// `--size`: the name that messages use.
    fn longest(&self) -> &'static str {
        self.names.iter().rev().max_by_key(|name| name.len()).copied().unwrap_or_default()
    }

    /// `=<label>` of a usage text; empty for a flag.
    fn label_text(&self) -> String {
        match self.takes {
            Takes::Nothing => String::new(),
            Takes::Comma => format!("=<{0}>[,<{0}>...]", self.label),
            _ => format!("=<{}>", self.label),
        }
    }
}

/// An argument.
pub(super) struct Argument {
    /// What it is called in usage texts.
    pub(super) label: &'static str,
    /// What it is.
    pub(super) about: &'static str,
    /// Whether there may be more of it.
    pub(super) may_repeat: bool,
    /// Whether there must be one.
    pub(super) is_required: bool,
}

/// One argument.
pub(super) const fn argument(label: &'static str, about: &'static str) -> Argument {
    Argument { label, about, may_repeat: false, is_required: true }
}
