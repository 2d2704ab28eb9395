//! Thin: arguments in, exit code out.

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use longshore::cli::args::StandaloneArgs;
use longshore::cli::{self, Arguments, Command, Tool};
use longshore::config::{Config, Severity, Source};
use longshore::plugin::isolation;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// It could not be done, or what was read is not what was written.
const FAILED: u8 = 1;
/// Wrong arguments (as clap has it) or a wrong configuration.
const WRONG_INPUT: u8 = 2;

fn main() -> ExitCode {
    if let Some(code) = called_as_a_tool() {
        return ExitCode::from(code);
    }
    let ended = match Arguments::parse().command {
        Command::Standalone(args) => standalone(&args),
        Command::Admin(args) => Ok(Tool::Admin.run(&args.words)),
        Command::Pulsarctl(args) => Ok(Tool::Pulsarctl.run(&args.words)),
        Command::Client(args) => Ok(Tool::Client.run(&args.words)),
        Command::Perf(args) => Ok(Tool::Perf.run(&args.words)),
        Command::Workload(args) => runtime().and_then(|runtime| runtime.block_on(cli::run_workload(args))).map(|()| 0),
        Command::Offloaders(args) => cli::run_offloaders(&args),
        Command::Import(args) => cli::run_import(&args),
        Command::Ledger(args) => cli::run_ledger(&args),
        Command::OffloaderChild => isolation::child::run().map(|()| 0).map_err(Into::into),
        Command::Demo(args) => cli::run_demo(&args).map(|same| if same { 0 } else { FAILED }),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// Where this program was called by the name of a tool, does what that does.
fn called_as_a_tool() -> Option<u8> {
    let mut words = std::env::args_os();
    let tool = Tool::named(Path::new(&words.next()?))?;
    let words: Result<Vec<String>, _> = words.map(std::ffi::OsString::into_string).collect();
    Some(match words {
        Ok(words) => tool.run(&words),
        Err(word) => {
            eprintln!("error: {} is no UTF-8", word.display());
            FAILED
        }
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("start the asynchronous runtime")
}

fn standalone(args: &StandaloneArgs) -> anyhow::Result<u8> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let file = match &args.config {
        Some(path) => Source::file(path),
        None => Ok(Source::embedded()),
    };
    let overrule = args
        .advertised_address
        .as_ref()
        .map(|address| Source::text("command line", &format!("advertisedAddress={address}")));
    let loaded =
        file.and_then(|file| Config::from_sources(&[Some(file), overrule].into_iter().flatten().collect::<Vec<_>>()));
    let (config, warnings) = match loaded {
        Ok(loaded) => loaded,
        Err(mistakes) => {
            eprintln!("error: {mistakes}");
            return Ok(WRONG_INPUT);
        }
    };
    for warning in warnings {
        match warning.severity {
            Severity::Info => tracing::info!("{warning}"),
            Severity::Warn => tracing::warn!("{warning}"),
        }
    }
    run_broker(config)
}

/// Runs the broker until it is told to stop: by Ctrl-C, or by a TERM signal.
fn run_broker(config: Config) -> anyhow::Result<u8> {
    runtime()?.block_on(async {
        let mut terminated = signal(SignalKind::terminate()).context("listen for the TERM signal")?;
        let told = async move {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        longshore::broker::run(config, told).await
    })?;
    Ok(0)
}
