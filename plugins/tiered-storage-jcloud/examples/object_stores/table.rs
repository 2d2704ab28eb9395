//! Rows in Markdown, each the medians of its runs.

/// Figures of several runs, column by column.
#[derive(Default)]
pub(crate) struct Runs(Vec<Vec<f64>>);

impl Runs {
    pub(crate) fn add(&mut self, run: Vec<f64>) {
        self.0.push(run);
    }
}

/// The middle one; of two middle ones the larger.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Prints a title and the head of a table.
pub(crate) fn head(title: &str, first: &str, columns: &[impl AsRef<str>]) {
    let names: Vec<&str> = columns.iter().map(AsRef::as_ref).collect();
    println!("\n**{title}**\n\n| {first} | {} |\n|---{}|", names.join(" | "), "|---:".repeat(columns.len()));
}

/// Prints the medians of each column, and answers them.
pub(crate) fn row(name: &str, Runs(runs): Runs) -> Vec<f64> {
    let columns = runs.first().map_or(0, Vec::len);
    let medians: Vec<f64> = (0..columns).map(|at| median(runs.iter().map(|run| run[at]).collect())).collect();
    let digits = |figure: &f64| if figure.abs() < 20.0 { format!("{figure:.2}") } else { format!("{figure:.0}") };
    println!("| {name} | {} |", medians.iter().map(digits).collect::<Vec<_>>().join(" | "));
    medians
}
