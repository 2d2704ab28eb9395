//! What a plugin costs that nobody uses: memory beside its file's bytes, and how often its threads wake up.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use longshore::plugin::{PluginHost, PluginSettings};
use longshore_tests::plugins::{put, replace_all};

use crate::{Row, stage_stripped};

const WATCHED: Duration = Duration::from_secs(3);

/// A number of a file under `/proc`, by the name in front of it.
fn number(path: &str, name: &str) -> Result<u64> {
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let line = line.with_context(|| format!("{path} has no {name}"))?;
    let number = line.split_whitespace().next().context("a number")?;
    number.parse().with_context(|| format!("{name} of {path}"))
}

/// Times that threads of plugins went to sleep or were made to.
fn switches() -> Result<u64> {
    let mut sum = 0;
    for task in fs::read_dir("/proc/self/task").context("list the threads")? {
        let folder = task?.path();
        let Ok(name) = fs::read_to_string(folder.join("comm")) else { continue };
        if name.starts_with('p') && name.contains("-example-fold") {
            let status = folder.join("status");
            let status = status.to_str().context("a path of text")?;
            sum += number(status, "voluntary_ctxt_switches")? + number(status, "nonvoluntary_ctxt_switches")?;
        }
    }
    Ok(sum)
}

pub(crate) fn figures() -> Result<Vec<Row>> {
    let (first, next) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let path = stage_stripped("example-folder", first.path(), "example-folder.so")?;
    let mut bytes = fs::read(&path).context("read the stripped library")?;
    let file_mib = bytes.len() as f64 / (1 << 20) as f64;
    replace_all(&mut bytes, b"\"version\":\"0.1.0\"", b"\"version\":\"0.1.1\"");
    put(next.path(), "example-folder.so", &bytes);
    drop(bytes);
    let rss_mib = || number("/proc/self/status", "VmRSS").map(|kib| kib as f64 / 1024.0);
    let (mut hosts, mut grown) = (Vec::new(), Vec::new());
    for folder in [&first, &next] {
        let before = rss_mib()?;
        hosts.push(PluginHost::load(folder.path(), PluginSettings::default()));
        sleep(Duration::from_millis(300));
        grown.push(rss_mib()? - before);
    }
    let woken_before = switches()?;
    sleep(WATCHED);
    let woken = switches()? - woken_before;
    Ok(vec![
        Row::new(
            format!("memory for a first idle plugin, beside its file's {file_mib:.1} MiB, the host's own code with it"),
            None,
            grown[0] - file_mib,
            "MiB",
        ),
        Row::new("memory for a further idle plugin, beside its file's", None, grown[1] - file_mib, "MiB").at_most(2.0),
        Row::new(format!("wake-ups of both idle plugins in {} s", WATCHED.as_secs()), None, woken as f64, "")
            .at_most(0.0),
    ])
}
