//! How commands print: bars on a terminal, plain lines otherwise, numbers that people can read.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Time between two plain lines of progress.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Steps between two looks at the clock.
const LOOK_EVERY: u64 = 64;

/// Progress of long work, on the standard error.
pub(super) struct Progress {
    label: &'static str,
    total: Option<u64>,
    done: u64,
    shown: u64,
    started: Instant,
    last_line: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Work of `total` steps, or of as many as it turns out to be.
    pub(super) fn new(label: &'static str, total: Option<u64>) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(label, total));
        let now = Instant::now();
        Self { label, total, done: 0, shown: 0, started: now, last_line: now, bar }
    }

    /// `steps` more are done.
    pub(super) fn advance(&mut self, steps: u64) {
        self.set(self.done + steps);
    }

    /// `done` steps are done in all.
    pub(super) fn set(&mut self, done: u64) {
        self.done = done;
        if done.abs_diff(self.shown) >= LOOK_EVERY || self.total.is_some_and(|total| total <= LOOK_EVERY) {
            self.show();
        }
    }

    fn show(&mut self) {
        self.shown = self.done;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            eprintln!("{}", line(self.label, self.done, self.total, self.started.elapsed()));
        }
    }

    /// Takes the bar away and tells how long it took.
    pub(super) fn finish(self) -> Duration {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }
}

/// Bytes that are moved, as a bar on the standard error; for a terminal only.
pub(super) struct ByteProgress(ProgressBar);

impl ByteProgress {
    /// A bar for `total` bytes, as far as is known yet.
    pub(super) fn new(label: &'static str, total: u64) -> Self {
        let template = "{msg:<8} [{bar:40}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        let style = ProgressStyle::with_template(template).expect("the template above is well formed");
        let bar = ProgressBar::new(total);
        bar.set_style(style.progress_chars("=> "));
        bar.set_message(label);
        Self(bar)
    }

    /// `done` bytes of `total` are moved.
    pub(super) fn set(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.0.finish_and_clear();
    }
}

fn bar(label: &'static str, total: Option<u64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{msg:<8} [{bar:40}] {human_pos} of {human_len}, {per_sec}, {eta} left",
        None => "{msg:<8} {spinner} {human_pos}, {per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("the template above is well formed");
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_style(style.progress_chars("=> "));
    bar.set_message(label);
    bar
}

fn line(label: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    // Of slow steps, such as whole ledgers, a rate says nothing.
    let rate = match per_second(done, elapsed) as u64 {
        0..10 => String::new(),
        rate => format!(", {} a second", grouped(rate)),
    };
    match total {
        Some(total) if total > 0 => {
            let percent = done.saturating_mul(100) / total;
            format!("{label}: {} of {} ({percent} %){rate}", grouped(done), grouped(total))
        }
        _ => format!("{label}: {}{rate}", grouped(done)),
    }
}

/// `count` for each second of `elapsed`.
pub(super) fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(1e-6)
}

/// `1234567` as `1,234,567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes with a unit: `17 B`, `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes as f64;
    let mut unit = "B";
    for next in units {
        if scaled < 1024.0 {
            break;
        }
        (scaled, unit) = (scaled / 1024.0, next);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{scaled:.1} {unit}") }
}

/// Rows under a heading, columns aligned; numbers to the right.
pub(super) fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width_of = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([heading[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width_of).collect();
    let mut text = String::new();
    let heading_cells: Vec<String> = heading.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(&heading_cells).chain(rows) {
        let mut line = String::new();
        for (cell, &width) in row.iter().zip(&widths) {
            let is_number = cell.starts_with(|c: char| c.is_ascii_digit());
            let _ = if is_number { write!(line, "  {cell:>width$}") } else { write!(line, "  {cell:<width$}") };
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_sizes_have_units() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        for (bytes, text) in [(17, "17 B"), (1024, "1.0 KiB"), (1_572_864, "1.5 MiB"), (u64::MAX, "16777216.0 TiB")] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn plain_lines_tell_share_and_rate() {
        let elapsed = Duration::from_secs(2);
        assert_eq!(line("sent", 500, Some(2000), elapsed), "sent: 500 of 2,000 (25 %), 250 a second");
        assert_eq!(line("offload", 2, Some(4), elapsed), "offload: 2 of 4 (50 %)");
        assert_eq!(line("read", 3000, None, elapsed), "read: 3,000, 1,500 a second");
    }

    #[test]
    fn tables_are_aligned() {
        let rows = [vec!["7".to_owned(), "hot".to_owned()], vec!["12345".to_owned(), "cold".to_owned()]];
        assert_eq!(table(&["ledger", "where"], &rows), "  ledger  where\n       7  hot\n   12345  cold\n");
    }
}
