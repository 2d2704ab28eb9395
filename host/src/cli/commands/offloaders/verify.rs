//! `longshore offloaders verify`: what can go wrong with plugin files, found out before a broker does; and the hidden command
//! that is its child process.

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Context as _;

use crate::cli::args::{OffloadersTryLoadArgs, OffloadersVerifyArgs};
use crate::plugin::admission::Policy;
use crate::plugin::verification::{TrialSettings, Verification, try_load, verify_file};

use super::files::{Files, printable};
use super::{DONE, FAILED, NOT_READ};

/// Verifies each file, records what was found if asked to; answers the exit code.
///
/// # Errors
/// The configuration is wrong, a verdict cannot be recorded, or the output went away.
pub(super) fn run(args: &OffloadersVerifyArgs) -> anyhow::Result<u8> {
    let Files { paths, settings } = match Files::of(&args.target)? {
        Ok(files) => files,
        Err(problem) => {
            eprintln!("error: {problem}");
            return Ok(NOT_READ);
        }
    };
    let policy = Policy::read(&settings.admission);
    for problem in policy.problems() {
        eprintln!("warning: {problem}");
    }
    let trial = TrialSettings {
        program: std::env::current_exe().context("find this program")?,
        timeout: Duration::from_secs(args.timeout),
        file_bytes_max: settings.file_bytes_max,
    };
    let verifications: Vec<Verification> = paths.iter().map(|path| verify_file(path, &policy, &trial)).collect();
    let mut out = io::stdout().lock();
    if args.target.json {
        serde_json::to_writer_pretty(&mut out, &verifications)?;
        writeln!(out)?;
    } else {
        verifications.iter().try_for_each(|verification| write_one(verification, &mut out))?;
    }
    out.flush()?;
    if let Some(directory) = &args.record {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        for verdict in verifications.iter().filter_map(|verification| verification.verdict(now.clone())) {
            let recorded = verdict.record(directory);
            let path = recorded.with_context(|| format!("record the verdict in {}", directory.display()))?;
            eprintln!("recorded {}", path.display());
        }
    }
    Ok(code(&verifications))
}

fn code(verifications: &[Verification]) -> u8 {
    if verifications.iter().any(|verification| !verification.was_read()) {
        NOT_READ
    } else if verifications.iter().any(|verification| !verification.passed) {
        FAILED
    } else {
        DONE
    }
}

fn write_one(verification: &Verification, out: &mut dyn Write) -> io::Result<()> {
    let plugin = match (&verification.name, &verification.version) {
        (Some(name), Some(version)) => format!(" ({name} {version})"),
        _ => String::new(),
    };
    let result = if verification.passed { "passed" } else { "failed" };
    writeln!(out, "{}{plugin}: {result}", printable(&verification.path.display().to_string()))?;
    for finding in &verification.findings {
        writeln!(out, "  {:<8}{}: {}", finding.level, finding.kind.id, printable(&finding.text))?;
        writeln!(out, "          {}", finding.advice)?;
    }
    Ok(())
}

/// The child process of a trial.
///
/// # Errors
/// The answer cannot be written.
pub(super) fn run_child(args: &OffloadersTryLoadArgs) -> anyhow::Result<u8> {
    try_load(&args.file, &args.sha256, &args.answer, args.file_bytes_max, args.seconds).context("write the answer")?;
    Ok(DONE)
}
