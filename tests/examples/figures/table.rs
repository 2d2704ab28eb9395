//! Rows of figures: the median of each column over the runs of a row.

use std::time::Duration;

/// A table in Markdown, printed row by row.
pub(crate) struct Table {
    digits: &'static [(&'static str, usize)],
}

impl Table {
    /// Prints the head. Each column has a name and a number of digits behind the point.
    pub(crate) fn new(title: &str, first: &str, columns: &'static [(&'static str, usize)]) -> Self {
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        println!("\n{title}\n\n| {first} | {} |", names.join(" | "));
        println!("|---{}|", "|---:".repeat(columns.len()));
        Self { digits: columns }
    }

    /// Prints a row: the median of each column.
    pub(crate) fn row(&self, name: &str, runs: &[Vec<f64>]) {
        let column = |at: usize| median(runs.iter().map(|run| run[at]).collect());
        let cells = self.digits.iter().enumerate().map(|(at, (_, digits))| format!("{:.*}", *digits, column(at)));
        println!("| {name} | {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

/// The middle one; of two middle ones the larger.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Megabytes a second.
pub(crate) fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64()
}
