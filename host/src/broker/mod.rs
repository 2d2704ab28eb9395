//! Start and stop order: the only place that wires rooms together.
//!
//! Start: both ports, plugins, metadata, hot store, what a crash left, namespaces, topics, clients. Stop: clients, topics,
//! hot store, plugins. A start that fails has changed nothing that the next one would trip over.

mod listeners;
mod offloaders;
mod periodic;
mod plugin_metrics;
mod settings;
mod stopped;
mod topic_ledgers;
mod wipe;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::admin::{self, AdminState, BrokerHealth};
use crate::config::Config;
use crate::ledger::FileLedgerStore;
use crate::managed_ledger::cache::CacheBudget;
use crate::managed_ledger::factory::LedgerIds;
use crate::managed_ledger::{ManagedLedgers, Rooms};
use crate::metadata::store::RedbMetadataStore;
use crate::metadata::{Expect, MetadataStore};
use crate::namespace::Namespaces;
use crate::offload::Offloads;
use crate::plugin::{PluginHost, PluginState, give_back_memory};
use crate::protocol;
use crate::schema::Schemas;
use crate::storage::{Clock, DriverLookup, DriverSettings, SystemClock};
use crate::topic::Topics;

use listeners::{Advertised, OverTls, bind};
use offloaders::LiveOffloaders;
pub use settings::plugin_settings;
use settings::{http_limits, ledger_store_settings, offload_settings, protocol_settings, topic_settings};
pub use stopped::StoppedBroker;
use topic_ledgers::TopicLedgers;
pub use wipe::wipe;

/// How long the threads of plugins may take to end afterwards.
const LIBRARIES_STOP: Duration = Duration::from_secs(2);

/// How long plugins may take to finish when the broker stops.
const PLUGIN_SHUTDOWN: Duration = Duration::from_secs(10);
/// Free bytes of the data folder's file system below which the start is refused: a broker that cannot write is of no use.
const FREE_BYTES_MIN: u64 = 64 << 20;

/// A running broker.
pub struct Broker {
    /// Where the binary protocol listens.
    pub protocol_address: SocketAddr,
    /// Where the REST API listens.
    pub admin_address: SocketAddr,
    stop: CancellationToken,
    servers: JoinSet<()>,
    topics: Arc<Topics>,
    store: Arc<FileLedgerStore>,
    plugins: Arc<PluginHost>,
}

/// Runs a broker until `until` ends; prints one line when it is ready.
///
/// # Errors
/// What keeps it from starting: one sentence that says what to do.
pub async fn run(config: Config, until: impl Future<Output = ()>) -> Result<()> {
    let broker = Broker::start(config).await?;
    println!("ready: pulsar://{} and http://{} (press Ctrl-C to stop)", broker.protocol_address, broker.admin_address);
    until.await;
    broker.stop().await
}

impl Broker {
    /// Starts.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub async fn start(config: Config) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let protocol_listener = bind(&config.bind_address, config.broker_service_port, "brokerServicePort").await?;
        let admin_listener = bind(&config.bind_address, config.web_service_port, "webServicePort").await?;
        let (protocol_address, admin_address) = (protocol_listener.local_addr()?, admin_listener.local_addr()?);
        let over_tls = OverTls::open(&config).await?;
        let data = data_folder(&config)?;
        raise_file_limit();

        let plugins = Arc::new(load_plugins(&config).await?);
        check_required(&config, &plugins)?;
        for problem in plugins.unknown_keys(&config.offload_properties) {
            tracing::warn!(problem, "configuration of drivers");
        }
        warn_of_unknown_keys(&config, &plugins);
        let metadata = open_metadata(&data, clock.clone()).await?;
        let store = open_ledgers(&data, &config).await?;

        let (closed, closed_ledgers) = mpsc::unbounded_channel();
        let cache_budget = Arc::new(CacheBudget::new(config.cache_size_mb << 20));
        let offloads = Offloads::new(plugins.clone(), clock.clone(), offload_settings(&config));
        let managed = Arc::new(ManagedLedgers::new(Rooms {
            store: store.clone(),
            metadata: metadata.clone(),
            drivers: offloads.counted_drivers(),
            clock: clock.clone(),
            ids: LedgerIds::default(),
            cache_budget: cache_budget.clone(),
            closed,
        }));
        managed.clean_up().await.context("remove what the last run left in the hot store")?;
        let namespaces = Arc::new(Namespaces::open(metadata.clone(), &config).await.context("open the namespaces")?);
        let ledgers = Arc::new(TopicLedgers::new(
            managed.clone(),
            namespaces.clone(),
            offloads.clone(),
            config.offload_on_topic_load,
        ));
        let settings = topic_settings(&config, next_instance(&*metadata).await?);
        let schemas = Arc::new(Schemas::new(metadata.clone()));
        let topics = Topics::new(ledgers, namespaces.clone(), settings, clock.clone(), schemas);

        let access = Arc::new(Access::new(&config, namespaces.clone())?);
        let advertised = Advertised::new(&config, protocol_address, admin_address, &over_tls);
        let stop = CancellationToken::new();
        let mut servers = JoinSet::new();
        let clients = protocol::Shared::new(topics.clone(), protocol_settings(&config, &advertised), access.clone());
        if let Some((listener, tls)) = over_tls.protocol {
            servers.spawn(protocol::serve(listener, Some(tls), clients.clone(), stop.clone(), give_back_memory));
        }
        servers.spawn(protocol::serve(protocol_listener, None, clients, stop.clone(), give_back_memory));
        let rescan_interval = Duration::from_secs(config.offloaders_rescan_seconds);
        let live_offloaders = LiveOffloaders::new(plugins.clone(), topics.clone(), rescan_interval);
        servers.spawn(live_offloaders.clone().look_by_the_clock(stop.clone()));
        let state = Arc::new(AdminState {
            access,
            facts: advertised.facts(&config),
            http: http_limits(&config),
            namespaces: namespaces.clone(),
            topics: topics.clone(),
            managed_ledgers: managed.clone(),
            offloads: offloads.clone(),
            cache_budget,
            offloaders: live_offloaders,
            health: Arc::new(BrokerHealth::new(metadata, topics.clone(), advertised.web_address())),
            clock,
        });
        let admin_listeners = over_tls.admin.map(|(listener, tls)| (listener, Some(tls)));
        for (listener, tls) in admin_listeners.into_iter().chain([(admin_listener, None)]) {
            let (state, stop) = (state.clone(), stop.clone());
            servers.spawn(admin::serve(listener, tls, state, stop));
        }
        if let Some(driver) = config.offload_driver.clone() {
            let (plugins, settings) = (plugins.clone(), namespaces.defaults().driver_settings());
            tokio::spawn(async move { try_driver(&*plugins, &driver, &settings).await });
        }
        let work = periodic::Periodic { topics: topics.clone(), offloads, managed, namespaces };
        work.start(&config, closed_ledgers, &stop, &mut servers);
        Ok(Self { protocol_address, admin_address, stop, servers, topics, store, plugins })
    }

    /// Stops in order: everything acknowledged is on disk already, so this only spares the next start some work.
    ///
    /// # Errors
    /// What could not be flushed.
    pub async fn stop(mut self) -> Result<()> {
        tracing::info!("stopping");
        self.stop.cancel();
        while self.servers.join_next().await.is_some() {}
        self.topics.close().await;
        let closed = self.store.close().await;
        self.plugins.shutdown(PLUGIN_SHUTDOWN).await;
        self.plugins.stop_libraries(LIBRARIES_STOP).await;
        tracing::info!("stopped");
        closed.context("close the hot store")
    }
}

fn data_folder(config: &Config) -> Result<PathBuf> {
    let folder = PathBuf::from(&config.data_directory);
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("make the data folder {}; choose another longshoreDataDirectory", folder.display()))?;
    let folder = folder.canonicalize().with_context(|| format!("open the data folder {}", folder.display()))?;
    let system = rustix::fs::statvfs(&folder).with_context(|| format!("look at the disk of {}", folder.display()))?;
    let free_bytes = system.f_bavail.saturating_mul(system.f_frsize);
    if free_bytes < FREE_BYTES_MIN {
        bail!(
            "the disk of {} has {} MiB left, {} are needed; free some or choose another longshoreDataDirectory",
            folder.display(),
            free_bytes >> 20,
            FREE_BYTES_MIN >> 20
        );
    }
    Ok(folder)
}

/// Each open ledger holds a file, each client a socket: as many as the system allows.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files was not raised; many topics or clients need `ulimit -n`");
    }
}

async fn load_plugins(config: &Config) -> Result<PluginHost> {
    let directory = offloaders_directory(config);
    let settings = plugin_settings(config);
    // Reads files and runs constructors of libraries.
    tokio::task::spawn_blocking(move || PluginHost::load(&directory, settings)).await.context("load the offloaders")
}

/// The folder of plugins, looked for where relative paths are. One that is nowhere is a warning that names every place; the
/// broker then starts without plugins.
pub fn offloaders_directory(config: &Config) -> PathBuf {
    let given = &config.offloaders_directory;
    match crate::config::resolve_existing("offloadersDirectory", given, &config.search_folders) {
        Ok(found) => found,
        Err(problem) => {
            tracing::warn!(problem, "there are no plugins");
            PathBuf::from(given)
        }
    }
}

/// Only the plugins say which of the file's other keys are theirs.
fn warn_of_unknown_keys(config: &Config, plugins: &PluginHost) {
    let unknown = config.unknown_keys.iter().filter(|unknown| !plugins.knows_key(&unknown.key));
    let unknown: Vec<&str> = unknown.map(|unknown| unknown.told.as_str()).collect();
    if !unknown.is_empty() {
        tracing::warn!("keys that nothing knows: {}", unknown.join(", "));
    }
}

/// A driver that nobody claims, or a plugin that is not loaded, never stops the start, unless it is named as required.
fn check_required(config: &Config, plugins: &PluginHost) -> Result<()> {
    let reports = plugins.reports();
    let loaded = reports.iter().filter(|report| matches!(report.state, PluginState::Loaded | PluginState::Conflict));
    let claimed = plugins.served();
    let names = loaded.filter_map(|report| report.name.as_deref());
    let there: Vec<&str> = claimed.iter().map(String::as_str).chain(names).collect();
    let is_there = |name: &str| there.iter().any(|there| there.eq_ignore_ascii_case(name));
    let missing: Vec<&str> =
        config.offloaders_required.iter().map(String::as_str).filter(|name| !is_there(name)).collect();
    if !missing.is_empty() {
        bail!(
            "offloadersRequired names {}, which no offloader in {} claims or is called (claimed: {}); put its plugin there",
            missing.join(", "),
            config.offloaders_directory,
            if claimed.is_empty() { "none".to_owned() } else { claimed.join(", ") }
        );
    }
    Ok(())
}

fn ledgers_folder(data: &Path) -> PathBuf {
    data.join("ledgers")
}

fn metadata_file(data: &Path) -> PathBuf {
    data.join("metadata").join("longshore.redb")
}

async fn open_metadata(data: &Path, clock: Arc<dyn Clock>) -> Result<Arc<dyn MetadataStore>> {
    let file = metadata_file(data);
    let opened = tokio::task::spawn_blocking(move || RedbMetadataStore::open(&file, clock)).await?;
    Ok(Arc::new(opened.context("open the metadata")?))
}

async fn open_ledgers(data: &Path, config: &Config) -> Result<Arc<FileLedgerStore>> {
    let (store, report) = FileLedgerStore::open(&ledgers_folder(data), ledger_store_settings(config))
        .await
        .context("open the hot store")?;
    if report != crate::ledger::RecoveryReport::default() {
        tracing::info!(?report, "the hot store was recovered");
    }
    Ok(Arc::new(store))
}

/// A number that no earlier start had: producers' names begin with it, and mark their messages for ever.
async fn next_instance(metadata: &dyn MetadataStore) -> Result<u64> {
    const KEY: &str = "broker-instance";
    let stored = metadata.get(KEY).await?;
    let next = match &stored {
        None => 0,
        Some(record) => {
            let text = String::from_utf8_lossy(&record.value);
            text.parse::<u64>().with_context(|| format!("read record {KEY}, found `{text}`"))? + 1
        }
    };
    metadata.put(KEY, next.to_string().into_bytes(), Expect::Anything).await?;
    Ok(next)
}

/// Makes the configured driver and asks it whether its store can be reached, so that a mistake shows in the log at once and
/// not at the first offload.
async fn try_driver(plugins: &dyn DriverLookup, driver: &str, settings: &DriverSettings) {
    let driver = match plugins.driver(driver, settings).await {
        Ok(driver) => driver,
        Err(error) => {
            tracing::error!(%error, "the configured offload driver does not work; offloads will end in error");
            return;
        }
    };
    tracing::info!(driver = driver.name(), origin = ?driver.origin(), "offload driver");
    if let Err(error) = driver.health().await {
        tracing::error!(%error, "the offload driver does not reach its store; offloads end in error until it does");
    }
}
