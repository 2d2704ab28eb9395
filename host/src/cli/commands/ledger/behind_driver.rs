//! A copy that a driver finds: the plugin is loaded as the broker loads it, and its read handle asked for every entry.

use std::io;
use std::time::Duration;

use crate::broker::{offloaders_directory, plugin_settings};
use crate::cli::args::LedgerCopyArgs;
use crate::config::Config;
use crate::namespace::Defaults;
use crate::plugin::PluginHost;
use crate::storage::{DriverLookup as _, Entry, LedgerId, ReadError, ReadHandle, StoredLedger};
use crate::topic::names::TopicName;

use super::account::{Account, EntryLine, Finding, LedgerFacts, NotLookedAt, Severity, fact};

/// Payload that one read may answer with, in bytes; a single entry may be longer.
const READ_BYTES_MAX: u64 = 8 << 20;
/// Entries that one read asks for at most.
const READ_ENTRIES_MAX: u64 = 10_000;
/// Entries in a row that cannot be read, after which the rest is not asked for.
const FAILURES_MAX: u64 = 100;
/// How long the plugin may take to finish.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// What the original records, and its drivers look at.
const RECORDED_BUCKET: &str = "bucket";

/// Looks at the copy that the arguments name.
///
/// # Errors
/// The inner one: the configuration, no such driver, or no such copy. The outer one: those of `account`.
pub(super) fn look(args: &LedgerCopyArgs, account: &mut dyn Account) -> anyhow::Result<Result<(), NotLookedAt>> {
    let runtime =
        tokio::runtime::Runtime::new().map_err(|error: io::Error| anyhow::anyhow!("start a runtime: {error}"))?;
    let looked = runtime.block_on(async {
        let (host, name) = match load(args) {
            Ok(loaded) => loaded,
            Err(problem) => return Ok(Err(NotLookedAt(problem))),
        };
        let looked = match open(&host, &name, args).await {
            Ok(handle) => read(&*handle, &name, args, account).await.map(Ok),
            Err(problem) => Ok(Err(NotLookedAt(problem))),
        };
        host.host.shutdown(SHUTDOWN).await;
        looked
    });
    runtime.shutdown_timeout(SHUTDOWN);
    looked
}

/// The plugins, and the keys for their drivers.
struct Loaded {
    host: PluginHost,
    defaults: Defaults,
}

fn load(args: &LedgerCopyArgs) -> Result<(Loaded, String), String> {
    let (config, _) = Config::load(args.config.as_deref()).map_err(|mistakes| mistakes.to_string())?;
    let configured = args.driver.clone().or_else(|| config.offload_driver.clone());
    let name = configured.ok_or("no driver is configured: name one with --driver, or a configuration with --config")?;
    let host =
        tokio::task::block_in_place(|| PluginHost::load(&offloaders_directory(&config), plugin_settings(&config)));
    Ok((Loaded { host, defaults: Defaults::from_config(&config) }, name))
}

async fn open(loaded: &Loaded, name: &str, args: &LedgerCopyArgs) -> Result<std::sync::Arc<dyn ReadHandle>, String> {
    let driver =
        loaded.host.driver(name, &loaded.defaults.driver_settings()).await.map_err(|error| error.to_string())?;
    let mut driver_metadata = driver.driver_metadata();
    if let Some(bucket) = &args.bucket {
        driver_metadata.insert(RECORDED_BUCKET.to_owned(), bucket.clone());
    }
    let (Some(ledger_id), Some(uid)) = (args.ledger, args.uid) else {
        return Err("name the ledger with --ledger and --uid".to_owned());
    };
    let topic = args.topic.as_deref().map(str::parse::<TopicName>).transpose().map_err(|error| error.to_string())?;
    let managed_ledger = topic.map(|topic| topic.managed_ledger()).unwrap_or_default();
    let stored = StoredLedger { ledger_id: LedgerId(ledger_id), uid, managed_ledger, driver_metadata };
    driver.open(&stored).await.map_err(|error| {
        let hint = if args.topic.is_none() { "; driver filesystem needs --topic" } else { "" };
        format!("{error}{hint}")
    })
}

async fn read(
    handle: &dyn ReadHandle,
    driver: &str,
    args: &LedgerCopyArgs,
    account: &mut dyn Account,
) -> anyhow::Result<()> {
    let metadata = handle.metadata();
    let mut facts = LedgerFacts {
        form: "driver",
        ledger_id: Some(metadata.ledger_id.0),
        uid: args.uid.map(|uid| uid.to_string()),
        entry_count: metadata.entry_count,
        length_bytes: metadata.length_bytes,
        created_ms: metadata.created_ms,
        custom: &[],
    }
    .list();
    facts.push(fact("managedLedger", metadata.managed_ledger.clone()));
    facts.push(fact("driver", driver));
    account.facts(&facts)?;

    let (mut next, mut payload_bytes, mut failures, mut is_whole) = (0, 0, 0, true);
    while next < metadata.entry_count && failures < FAILURES_MAX {
        let last = (metadata.entry_count - 1).min(next + READ_ENTRIES_MAX - 1);
        let entries = match handle.read(next, last, READ_BYTES_MAX).await {
            // The entry that is meant may lie anywhere in the range.
            Err(_) if last > next => handle.read(next, next, READ_BYTES_MAX).await,
            answer => answer,
        };
        match entries {
            Ok(entries) => {
                failures = 0;
                for Entry { entry_id, payload } in entries {
                    if !payload.is_empty() {
                        account.piece(entry_id, &payload)?;
                    }
                    payload_bytes += payload.len() as u64;
                    let line =
                        EntryLine { entry_id, payload_bytes: payload.len() as u64, crc: crc32c::crc32c(&payload) };
                    account.entry(line)?;
                    next = entry_id + 1;
                }
            }
            Err(error) => {
                is_whole = false;
                account.finding(unread(driver, next, &error))?;
                // Where the store cannot be reached, the next entry cannot either.
                failures = if error.is_retryable() { FAILURES_MAX } else { failures + 1 };
                next += 1;
            }
        }
    }
    if next < metadata.entry_count {
        let problem = format!("entries {next}..={} were not asked for", metadata.entry_count - 1);
        account.finding(at_driver("unread", driver, problem))?;
    }
    if is_whole && payload_bytes != metadata.length_bytes {
        let problem = format!(
            "the payloads have {payload_bytes} bytes together, the ledger's metadata says {}",
            metadata.length_bytes
        );
        account.finding(at_driver("ledger-length", driver, problem))?;
    }
    Ok(())
}

fn unread(driver: &str, entry_id: u64, error: &ReadError) -> Finding {
    at_driver("unread", driver, format!("entry {entry_id}: {error}"))
}

/// The driver's text names file or object, and the offset.
fn at_driver(id: &'static str, driver: &str, problem: String) -> Finding {
    Finding { id, severity: Severity::Error, place: format!("driver {driver}"), offset: None, problem }
}
