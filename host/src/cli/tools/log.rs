//! Lines as the original's logger writes them on the standard output.

use std::fmt::Arguments;

use super::answer::say;

/// Who writes: the original's name for it.
#[derive(Clone, Copy)]
pub(super) struct Log {
    logger: &'static str,
}

impl Log {
    /// Lines of `logger`.
    pub(super) const fn of(logger: &'static str) -> Self {
        Self { logger }
    }

    /// What goes well.
    pub(super) fn info(self, message: Arguments<'_>) {
        self.line("INFO", message);
    }

    /// What does not.
    pub(super) fn error(self, message: Arguments<'_>) {
        self.line("ERROR", message);
    }

    fn line(self, level: &str, message: Arguments<'_>) {
        let now = jiff::Zoned::now().strftime("%Y-%m-%dT%H:%M:%S,%3f%z").to_string();
        say(&format!("{now} [main] {level:<5} {} - {message}\n", self.logger));
    }
}
