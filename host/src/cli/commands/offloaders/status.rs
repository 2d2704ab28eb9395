//! `longshore offloaders status`: how each plugin and each driver of the running broker stands.

use std::io::{self, Write};

use super::files::printable;
use super::{DONE, NOT_READ, NOT_WELL};
use crate::cli::args::OffloadersBrokerArgs;
use crate::cli::http::Admin;
use crate::cli::output::{size, table};
use crate::plugin::status::{GenerationPhase, GenerationStatus};
use crate::plugin::{PluginState, PluginStatus};

/// Asks the broker and prints its answer; answers the exit code.
///
/// # Errors
/// No broker answers, or the output went away.
pub(super) fn run(args: &OffloadersBrokerArgs) -> anyhow::Result<u8> {
    let status: PluginStatus = Admin::new(&args.admin_url).get("/brokers/offloaders/status")?;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &status).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write_text(&status, &mut out)?;
    }
    out.flush()?;
    Ok(exit_code(&status))
}

fn exit_code(status: &PluginStatus) -> u8 {
    let is_bad = |state| matches!(state, PluginState::Refused | PluginState::Conflict | PluginState::Degraded);
    if status.folder_error.is_some() {
        NOT_READ
    } else if !status.policy_problems.is_empty()
        || status.files.iter().any(|row| is_bad(row.state))
        || status.drivers.iter().any(|d| d.problem.is_some())
    {
        NOT_WELL
    } else {
        DONE
    }
}

fn write_text(status: &PluginStatus, out: &mut dyn Write) -> io::Result<()> {
    let now_ms = status.now_ms;
    writeln!(out, "folder {}", printable(&status.directory))?;
    if let Some(problem) = &status.folder_error {
        writeln!(out, "    {}", printable(problem))?;
    }
    for problem in &status.policy_problems {
        writeln!(out, "policy: {}", printable(problem))?;
    }
    write_plugins(status, out)?;
    write_drivers(status, out)?;
    let quiet = |row: &&crate::plugin::PluginReport| {
        matches!(row.state, PluginState::Refused | PluginState::Incomplete | PluginState::Shadowed)
    };
    for row in status.files.iter().filter(quiet) {
        let reason = row.reason.as_deref().unwrap_or_default();
        writeln!(out, "{} {}: {}", row.state, printable(&row.file), printable(reason))?;
    }
    let retired = &status.retired;
    let memory = format!("{} of at most {}", size(retired.bytes), size(retired.bytes_max));
    writeln!(out, "retired: {} plugins; memory of libraries not in charge: {memory}", retired.count)?;
    if status.named_threads > 0 {
        writeln!(out, "threads that plugins started under names of their own: {}", status.named_threads)?;
    }
    let next = match status.rescan.next_ms {
        Some(next_ms) => format!("next look in {}", duration(next_ms.saturating_sub(now_ms))),
        None => "no look by the clock".to_owned(),
    };
    writeln!(out, "last look {} ago, {next}", duration(now_ms.saturating_sub(status.rescan.last_ms)))
}

fn write_plugins(status: &PluginStatus, out: &mut dyn Write) -> io::Result<()> {
    let heading = ["GEN", "PLUGIN", "STATE", "PHASE", "SINCE", "CALLS", "USERS", "DRIVERS", "FILE"];
    let rows: Vec<Vec<String>> = status.plugins.iter().map(|plugin| cells(plugin, status.now_ms)).collect();
    write!(out, "{}", table(&heading, &rows))?;
    for plugin in &status.plugins {
        let leaked_threads = plugin.library.map_or(0, |library| library.leaked_threads());
        if leaked_threads > 0 {
            writeln!(out, "    {} {}: {leaked_threads} threads of its own", plugin.name, plugin.version)?;
        }
        let shown = plugin.reason.as_ref().filter(|_| plugin.phase == GenerationPhase::Serving);
        if let Some(reason) = shown {
            writeln!(out, "    {} {}: {}", plugin.name, plugin.version, printable(reason))?;
        }
        if plugin.late_users > 0 {
            let late = plugin.late_users;
            writeln!(out, "    {} {}: {late} users had not ended at the drain deadline", plugin.name, plugin.version)?;
        }
    }
    Ok(())
}

fn cells(plugin: &GenerationStatus, now_ms: u64) -> Vec<String> {
    vec![
        plugin.generation.to_string(),
        format!("{} {}", plugin.name, plugin.version),
        plugin.state.to_string(),
        format!("{:?}", plugin.phase).to_lowercase(),
        duration(now_ms.saturating_sub(plugin.since_ms)),
        plugin.calls_in_flight.to_string(),
        plugin.users.to_string(),
        if plugin.serves.is_empty() { "-".to_owned() } else { plugin.serves.join(",") },
        printable(&plugin.file),
    ]
}

fn write_drivers(status: &PluginStatus, out: &mut dyn Write) -> io::Result<()> {
    for driver in &status.drivers {
        let server = match (&driver.plugin, &driver.version) {
            (Some(plugin), Some(version)) => format!("served by {plugin} {version}"),
            _ => "served by nobody".to_owned(),
        };
        let pin = driver.pin.as_ref().map(|pin| format!(", pinned to {pin}")).unwrap_or_default();
        writeln!(out, "driver {}: {server}{pin}", driver.driver)?;
        if let Some(problem) = &driver.problem {
            writeln!(out, "    it {}", printable(problem))?;
        }
    }
    Ok(())
}

/// `350 ms`, `12 s`, `5 min`, `3 h`, `2 d`.
fn duration(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::PluginHost;
    use crate::plugin::PluginSettings;

    #[test]
    fn an_empty_folder_is_well_and_a_missing_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let status = PluginHost::load(folder.path(), PluginSettings::default()).status(30, Some(5_000));
        let status = PluginStatus { now_ms: 1_000, ..status };
        let mut out = Vec::new();
        write_text(&status, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("0 B of at most 256.0 MiB") && text.contains("next look in 4 s"), "{text}");
        assert_eq!(exit_code(&status), DONE);
        let missing = PluginHost::load(&folder.path().join("none"), PluginSettings::default()).status(0, None);
        assert_eq!((exit_code(&missing), missing.rescan.next_ms), (NOT_READ, None));
        let json = serde_json::to_value(&missing).unwrap();
        let back: PluginStatus = serde_json::from_value(json).unwrap();
        assert_eq!(back, missing);
    }

    #[test]
    fn durations_have_one_unit() {
        let table = [(350, "350 ms"), (12_000, "12 s"), (300_000, "5 min"), (10_800_000, "3 h"), (172_800_000, "2 d")];
        for (ms, text) in table {
            assert_eq!(duration(ms), text);
        }
    }
}
