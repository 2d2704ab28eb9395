//! Completion in shells: a short script for each shell, which asks the tool itself for what may come next.

use super::{Command, Takes};

/// Shells that have a script.
pub(in crate::cli) const SHELLS: &[&str] = &["bash", "zsh", "fish"];

/// What a script asks the tool with.
pub(in crate::cli) const ASK: &str = "__complete";

/// A script for `shell` that completes `tool`.
pub(in crate::cli) fn script(shell: &str, tool: &str) -> Option<String> {
    let function = tool.replace('-', "_");
    let text = match shell {
        "bash" => format!(
            "_{function}() {{\n    local IFS=$'\\n'\n    COMPREPLY=($(compgen -W \"$({tool} {ASK} \"${{COMP_WORDS[@]:1:COMP_CWORD}}\" \
             2>/dev/null)\" -- \"${{COMP_WORDS[COMP_CWORD]}}\"))\n}}\ncomplete -o default -F _{function} {tool}\n"
        ),
        "zsh" => format!(
            "#compdef {tool}\n_{function}() {{\n    local -a found\n    found=(${{(f)\"$({tool} {ASK} \"${{(@)words[2,CURRENT]}}\" \
             2>/dev/null)\"}})\n    compadd -a found\n}}\ncompdef _{function} {tool}\n"
        ),
        "fish" => format!(
            "complete -c {tool} -f -a '({tool} {ASK} (commandline -opc)[2..-1] (commandline -ct) 2>/dev/null)'\n"
        ),
        _ => return None,
    };
    Some(text)
}

/// What the last of `words` may become, which is half written or empty: commands, options, words that an option takes.
pub(in crate::cli) fn candidates<A>(tool: &'static Command<A>, words: &[String]) -> Vec<&'static str> {
    let (typed, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let mut commands = vec![tool];
    let mut pending = None;
    for word in before {
        let inner = commands[commands.len() - 1];
        let mut options = commands.iter().rev().flat_map(|command| command.options);
        if pending.take().is_some() {
            continue;
        }
        if word.starts_with('-') {
            let takes_value = |takes: Takes| takes != Takes::Nothing && !word.contains('=');
            pending = options.find(|option| option.answers_to(word)).filter(|option| takes_value(option.takes));
        } else if let Some(command) = inner.commands().find(|command| command.names.contains(&word.as_str())) {
            commands.push(command);
        }
    }
    let all: Vec<&'static str> = match pending.map(|option| option.takes) {
        Some(Takes::OneOf(values)) => values.to_vec(),
        Some(Takes::Bool) => vec!["true", "false"],
        Some(_) => Vec::new(),
        None if typed.starts_with('-') => {
            let told = commands.iter().rev().flat_map(|command| command.options).filter(|option| !option.is_hidden);
            told.flat_map(|option| option.names.iter().copied()).chain(["--help"]).collect()
        }
        None => {
            let inner = commands[commands.len() - 1].commands();
            inner.filter(|command| !command.is_hidden).map(Command::name).collect()
        }
    };
    all.into_iter().filter(|word| word.starts_with(typed)).collect()
}
