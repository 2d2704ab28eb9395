//! Usage texts, laid out as the original's: a synopsis, what the command is for, its arguments and options, its commands.

use super::{Command, Opt, Takes};

/// Columns of a line.
const WIDTH: usize = 80;
/// Left of the long names of options: `  -s, `.
const SHORT_COLUMNS: usize = 6;
/// Between a name and its description.
const GAP: usize = 3;
/// Longer names stand on a line of their own.
const LONG_NAME_MAX: usize = 20;
const HEADING: &str = "Usage: ";

/// The usage text of the last of `commands`, which lead from the tool to it.
pub(in crate::cli) fn usage<A>(commands: &[&'static Command<A>]) -> String {
    let Some(command) = commands.last() else { return String::new() };
    let mut text = synopsis_of(commands);
    for line in wrapped(command.about, WIDTH) {
        text += &format!("{line}\n");
    }
    text += &table(&rows(command));
    if command.is_group() {
        text += "Commands:\n";
        text += &command_table(command);
    }
    text
}

/// `Usage: pulsar-admin topics offload [-hv] -s=<sizeThreshold> <topicName>`.
pub(in crate::cli) fn synopsis_of<A>(commands: &[&'static Command<A>]) -> String {
    let Some(command) = commands.last() else { return String::new() };
    let path: Vec<&str> = commands.iter().map(|command| command.name()).collect();
    let head = format!("{HEADING}{} ", path.join(" "));
    // Under a long name the next lines begin further left.
    let indent = if head.len() <= WIDTH / 2 { head.len() } else { HEADING.len() };
    let mut lines = vec![head.trim_end().to_owned()];
    for part in synopsis_parts(command) {
        let last = lines.len() - 1;
        if lines[last].len() + 1 + part.len() < WIDTH {
            lines[last] += &format!(" {part}");
        } else {
            lines.push(format!("{:indent$}{part}", ""));
        }
    }
    lines.join("\n") + "\n"
}

fn synopsis_parts<A>(command: &Command<A>) -> Vec<String> {
    let (flags, with_value): (Vec<&Opt>, Vec<&Opt>) =
        sorted(command.options).into_iter().partition(|option| option.takes == Takes::Nothing);
    let (short, long): (Vec<&Opt>, Vec<&Opt>) = flags.into_iter().partition(|option| is_letter(option.shortest()));
    let mut letters: Vec<&str> = short.iter().map(|option| &option.shortest()[1..]).collect();
    letters.extend(OWN_FLAGS.iter().map(|(letter, ..)| *letter).filter(|letter| !claims(command.options, letter)));
    letters.sort_unstable();
    let mut parts = vec![format!("[-{}]", letters.concat())];
    parts.extend(long.iter().map(|option| format!("[{}]", option.shortest())));
    let (repeated, once): (Vec<&Opt>, Vec<&Opt>) =
        with_value.into_iter().partition(|option| matches!(option.takes, Takes::Comma | Takes::Many | Takes::Pairs));
    for option in once.into_iter().chain(repeated) {
        let text = format!("{}{}", option.shortest(), option.label_text());
        let text = if option.is_required { text } else { format!("[{text}]") };
        let is_repeated = matches!(option.takes, Takes::Comma | Takes::Many | Takes::Pairs);
        parts.push(if is_repeated { format!("{text}...") } else { text });
    }
    for argument in command.arguments {
        let more = if argument.may_repeat { "..." } else { "" };
        parts.push(format!("<{}>{more}", argument.label));
    }
    if command.is_group() {
        parts.push("[COMMAND]".to_owned());
    }
    parts
}

/// What every command has.
const OWN_FLAGS: [(&str, &str, &str); 2] =
    [("h", "--help", "Show this help and end."), ("v", "--version", "Show the version and end.")];

fn claims(options: &[Opt], letter: &str) -> bool {
    options.iter().any(|option| option.names.iter().any(|name| name.strip_prefix('-') == Some(letter)))
}

/// Options that are told of, by their shortest names.
fn sorted(options: &'static [Opt]) -> Vec<&'static Opt> {
    let mut all: Vec<&Opt> = options.iter().filter(|option| !option.is_hidden).collect();
    all.sort_by_key(|option| option.shortest().trim_start_matches('-').to_ascii_lowercase());
    all
}

/// One row of the table of options.
struct Row {
    order: String,
    short: String,
    long: String,
    about: &'static str,
}

fn rows<A>(command: &'static Command<A>) -> Vec<Row> {
    let mut options: Vec<Row> = sorted(command.options).into_iter().map(option_row).collect();
    for (letter, long, about) in OWN_FLAGS.iter().filter(|(letter, ..)| !claims(command.options, letter)) {
        let row = Row { order: (*letter).to_owned(), short: format!("-{letter},"), long: (*long).to_owned(), about };
        options.push(row);
    }
    options.sort_by(|one, other| one.order.cmp(&other.order));
    let argument_rows = command.arguments.iter().map(|argument| Row {
        order: String::new(),
        short: String::new(),
        long: format!("<{}>", argument.label),
        about: argument.about,
    });
    argument_rows.chain(options).collect()
}

fn option_row(option: &'static Opt) -> Row {
    let mut names = option.names.to_vec();
    names.sort_by_key(|name| name.len());
    let short = names.iter().position(|name| is_letter(name)).map(|at| names.remove(at));
    let label = if option.takes == Takes::Nothing { String::new() } else { format!("=<{}>", option.label) };
    Row {
        order: option.shortest().trim_start_matches('-').to_ascii_lowercase(),
        short: short.map_or(String::new(), |name| if names.is_empty() { name.to_owned() } else { format!("{name},") }),
        long: names.join(", ") + &label,
        about: option.about,
    }
}

/// `-s`, not `-oat` nor `--size`.
fn is_letter(name: &str) -> bool {
    name.len() == 2
}

fn table(rows: &[Row]) -> String {
    let fits = rows.iter().map(|row| row.long.len()).filter(|&length| length <= LONG_NAME_MAX);
    let column = SHORT_COLUMNS + fits.max().unwrap_or(0) + GAP;
    let mut text = String::new();
    for row in rows {
        let name = format!("{:<SHORT_COLUMNS$}{}", format!("  {}", row.short), row.long);
        text += &described(&name, row.about, column);
    }
    text
}

fn command_table<A>(group: &'static Command<A>) -> String {
    let told = || group.commands().filter(|command| !command.is_hidden);
    let names: Vec<String> = told().map(|command| command.names.join(", ")).collect();
    let column = 2 + names.iter().map(String::len).max().unwrap_or(0) + 2;
    let mut text = String::new();
    for (name, command) in names.iter().zip(told()) {
        text += &described(&format!("  {name}"), command.about, column);
    }
    text
}

/// A name, and beside or under it what it is.
fn described(name: &str, about: &str, column: usize) -> String {
    let mut lines = wrapped_after(about, WIDTH - column, 2).into_iter();
    let mut text = String::new();
    if name.len() + 1 < column {
        text += format!("{name:<column$}{}", lines.next().unwrap_or_default()).trim_end();
    } else {
        text += name;
    }
    text.push('\n');
    for line in lines {
        text += &format!("{:column$}{line}\n", "");
    }
    text
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    wrapped_after(text, width, 0)
}

/// `text` in lines of up to `width`, all but the first begun with `hanging` blanks.
fn wrapped_after(text: &str, width: usize, hanging: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("{:hanging$}{word}", "")),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}
