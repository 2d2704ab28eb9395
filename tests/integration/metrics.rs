//! Proves that what a broker with work behind it shows at `/metrics` is what scrapers read: Prometheus's own promtool has nothing
//! to say but of names that are the original's.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use longshore_tests::rig::{Rig, Topic};

/// What it says of names that stay as the original has them: of suffixes, letters and units, never of form or help.
const WORDS_OF_STYLE: [&str; 5] = [
    "\"_count\" suffix",
    "\"_sum\" suffix",
    "'snake_case' not 'camelCase'",
    "should not contain abbreviated units",
    "should not have \"quantile\" label",
];

/// Where promtool is: what `LONGSHORE_PROMTOOL` names, or on the path.
fn promtool() -> Option<String> {
    let program = std::env::var("LONGSHORE_PROMTOOL").unwrap_or_else(|_| "promtool".to_owned());
    let answers = Command::new(&program).arg("--version").output().is_ok_and(|output| output.status.success());
    answers.then_some(program)
}

/// What promtool says of `text`, line by line, but for names of the original's.
fn complaints(program: &str, text: &str) -> Result<Vec<String>> {
    let mut child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("start promtool")?;
    child.stdin.take().context("its input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let is_known = |line: &&str| {
        let is_of_the_original = line.starts_with("pulsar_") || line.starts_with("brk_ledgeroffloader_");
        is_of_the_original && WORDS_OF_STYLE.iter().any(|words| line.contains(words))
    };
    Ok(said.lines().filter(|line| !line.is_empty() && !is_known(line)).map(str::to_owned).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn promtool_has_nothing_to_say_of_a_broker_with_work_behind_it() -> Result<()> {
    let (rig, topic) = (Rig::new()?, Topic("measured"));
    let broker = rig.start()?;
    topic.fill(&broker, 0..25).await?;
    topic.must_offload(&broker)?;
    let closed: Vec<u64> = topic.ledgers(&broker)?.iter().filter(|row| row.closed).map(|row| row.id).collect();
    topic.cool(&broker, &closed)?;
    topic.check(&broker, 25).await?;
    let url = format!("{}/metrics/", broker.web_url);
    let text = ureq::get(&url).call().context("scrape")?.body_mut().read_to_string()?;

    // Each of these is a family of its own, so that none is left out of the check by accident.
    let families: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for family in [
        "brk_ledgeroffloader_read_bytes_total",
        "brk_ledgeroffloader_read_offload_data_latency",
        "longshore_plugin_call_duration_seconds",
        "longshore_plugin_retired_bytes",
        "longshore_plugin_retired_bytes_max",
        "pulsar_storage_offloaded_size",
    ] {
        ensure!(families.contains(family), "{family} is missing in {families:?}");
    }
    let page = include_str!("../../docs/operate/metrics.md");
    for family in &families {
        let base = family.strip_suffix("_created").unwrap_or(family);
        let base = if base.starts_with("brk_") { base.strip_suffix("_total").unwrap_or(base) } else { base };
        ensure!(page.contains(&format!("`{base}`")), "{family} is not in docs/operate/metrics.md");
    }
    ensure!(text.contains("longshore_plugin_retired_bytes_max{cluster=\"standalone\"} 268435456\n"), "{text}");
    let Some(program) = promtool() else {
        eprintln!("SKIPPED: promtool is neither on the path nor named by LONGSHORE_PROMTOOL, so it was not asked");
        return Ok(());
    };
    let complaints = complaints(&program, &text)?;
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    let twice = complaints_of_a_wrong_text(&program)?;
    ensure!(!twice.is_empty(), "promtool does not notice a family without help");
    Ok(())
}

/// That the check can fail.
fn complaints_of_a_wrong_text(program: &str) -> Result<Vec<String>> {
    complaints(program, "# TYPE pulsar_rate_in counter\npulsar_rate_in{cluster=\"standalone\"} 1\n")
}
