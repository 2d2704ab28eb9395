//! What a configuration is answered with: mistakes, all at once, or warnings.

use std::fmt;

/// One thing that is wrong. Shown as `file:line: key=value: problem`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Name of the source.
    pub file: String,
    /// Line, counted from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// The key and its value as shown (never a secret); empty where no key is meant.
    pub setting: String,
    /// What is wrong and what is allowed; lower case, no full stop.
    pub problem: String,
}

impl Mistake {
    pub(super) fn of_file(file: &str, problem: String) -> Self {
        Self { file: file.to_owned(), line: None, setting: String::new(), problem }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if self.setting.is_empty() {
            return write!(f, ": {}", self.problem);
        }
        write!(f, ": {}: {}", self.setting, self.problem)
    }
}

/// All mistakes of a configuration, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Mistake>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "one mistake in the configuration")?,
            count => write!(f, "{count} mistakes in the configuration")?,
        }
        self.0.iter().try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for ConfigErrors {}

/// How loud a [`Warning`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Nothing to do.
    Info,
    /// Somebody should look.
    Warn,
}

/// Something to know about a configuration that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// How loud.
    pub severity: Severity,
    /// The sentence; lower case, no full stop.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
