//! Thin: arguments in, exit code out.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use longshore::cli::args::StandaloneArgs;
use longshore::cli::launcher::flags::written_out;
use longshore::cli::{self, Arguments, Command, Name, Tool, launcher};
use longshore::config::{Config, FromEnvironment, Severity, Source};
use longshore::plugin::isolation;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// It could not be done, or what was read is not what was written.
const FAILED: u8 = 1;
/// Wrong arguments (as clap has it) or a wrong configuration.
const WRONG_INPUT: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let ended = match Name::of(arguments.first().map(|called| &**called), arguments.get(1).map(|first| &**first)) {
        Name::Pulsar => launcher::run(&arguments[1..]),
        Name::Tool(tool) => run_tool(tool, arguments),
        Name::Longshore => longshore(arguments),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn longshore(arguments: Vec<OsString>) -> anyhow::Result<u8> {
    match Arguments::parse_from(written_out(arguments)).command {
        Command::Standalone(args) => standalone(&args, args.config.clone()),
        Command::Launched(args) => standalone(&args, args.config.clone().or_else(launcher::default_configuration)),
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
    }
}

/// Called by the name of a tool, the program is that tool.
fn run_tool(tool: Tool, arguments: Vec<OsString>) -> anyhow::Result<u8> {
    let words: Result<Vec<String>, OsString> = arguments.into_iter().skip(1).map(OsString::into_string).collect();
    match words {
        Ok(words) => Ok(tool.run(&words)),
        Err(word) => anyhow::bail!("{} is no UTF-8", word.display()),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("start the asynchronous runtime")
}

/// What is logged: as Rust's tools have it, else as the original's launcher has it.
fn log_filter() -> EnvFilter {
    let level = || ["PULSAR_LOG_LEVEL", "PULSAR_LOG_ROOT_LEVEL"].iter().find_map(|name| std::env::var(name).ok());
    EnvFilter::try_from_default_env()
        .or_else(|_| EnvFilter::try_new(level().unwrap_or_default()))
        .ok()
        .filter(|filter| filter.max_level_hint().is_some_and(|level| level > LevelFilter::OFF))
        .unwrap_or_else(|| EnvFilter::new("info"))
}

fn standalone(args: &StandaloneArgs, configuration: Option<PathBuf>) -> anyhow::Result<u8> {
    if args.no_broker {
        eprintln!(
            "error: without a broker there is nothing to start: ledgers and metadata are its own files; leave --no-broker out"
        );
        return Ok(WRONG_INPUT);
    }
    tracing_subscriber::fmt()
        .with_env_filter(log_filter())
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let file = match &configuration {
        Some(path) => Source::file(path),
        None => Ok(Source::embedded()),
    };
    let found = FromEnvironment::new(environment());
    let overrule = args
        .advertised_address
        .as_ref()
        .map(|address| Source::text("command line", &format!("advertisedAddress={address}")));
    let loaded = file.and_then(|file| {
        let sources = std::iter::once(file).chain(found.sources).chain(overrule);
        Config::from_sources(&sources.collect::<Vec<_>>())
    });
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
    name_idle("flags", &args.idle.given());
    name_idle("options in PULSAR_EXTRA_OPTS", &found.idle_options);
    if args.wipe_data {
        longshore::broker::wipe(&config)?;
    }
    run_broker(config)
}

/// What was given for Apache Pulsar's sake, once.
fn name_idle<T: AsRef<str>>(what: &str, names: &[T]) {
    if !names.is_empty() {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        tracing::info!("{what} that have no effect here: {}", names.join(" "));
    }
}

/// The variables that are text; no other concerns the configuration.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
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
