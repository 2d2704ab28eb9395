//! Start and stop order: the only place that wires rooms together.
//!
//! Start: both ports, plugins, metadata, hot store, what a crash left, namespaces, topics, clients. Stop: clients, topics,
//! hot store, plugins. A start that fails has changed nothing that the next one would trip over.

mod offloaders;
mod periodic;
mod plugin_metrics;
mod stopped;
mod topic_ledgers;
mod wipe;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::access::tls::{Tls, TlsSettings};
use crate::admin::{self, AdminState, BrokerFacts, Detail, StoreHealth};
use crate::config::{Config, DriverIsolation, DriverPin, OffloadVerify};
use crate::ledger::{FileLedgerStore, LedgerStoreSettings};
use crate::managed_ledger::cache::CacheBudget;
use crate::managed_ledger::factory::LedgerIds;
use crate::managed_ledger::{ManagedLedgers, Rooms};
use crate::metadata::store::RedbMetadataStore;
use crate::metadata::{Expect, MetadataStore};
use crate::namespace::Namespaces;
use crate::offload::{OffloadSettings, Offloads, VerifyMode};
use crate::plugin::admission::AdmissionSettings;
use crate::plugin::isolation::{Isolation, IsolationSettings};
use crate::plugin::{Pin, Pins, PluginHost, PluginSettings, PluginState};
use crate::protocol::{self, ProtocolSettings};
use crate::schema::Schemas;
use crate::storage::{Clock, DriverLookup, DriverSettings, SystemClock};
use crate::topic::settings::DeduplicationSettings;
use crate::topic::{TopicSettings, Topics};

use offloaders::LiveOffloaders;
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
            servers.spawn(protocol::serve(listener, Some(tls), clients.clone(), stop.clone()));
        }
        servers.spawn(protocol::serve(protocol_listener, None, clients, stop.clone()));
        let rescan_interval = Duration::from_secs(config.offloaders_rescan_seconds);
        let live_offloaders = LiveOffloaders::new(plugins.clone(), topics.clone(), rescan_interval);
        servers.spawn(live_offloaders.clone().look_by_the_clock(stop.clone()));
        let state = Arc::new(AdminState {
            access,
            facts: advertised.facts(&config),
            namespaces: namespaces.clone(),
            topics: topics.clone(),
            managed_ledgers: managed.clone(),
            offloads: offloads.clone(),
            cache_budget,
            offloaders: live_offloaders,
            health: Arc::new(StoreHealth::new(metadata, store.clone())),
            clock,
        });
        let admin_listeners = over_tls.admin.map(|(listener, tls)| (listener, Some(tls)));
        for (listener, tls) in admin_listeners.into_iter().chain([(admin_listener, None)]) {
            let (state, stop) = (state.clone(), stop.clone());
            servers.spawn(async move {
                if let Err(error) = admin::serve(listener, tls, state, stop).await {
                    tracing::error!(%error, "the REST API has stopped");
                }
            });
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

/// The listeners with TLS, as far as they are configured.
struct OverTls {
    protocol: Option<(TcpListener, Tls)>,
    admin: Option<(TcpListener, Tls)>,
}

impl OverTls {
    async fn open(config: &Config) -> Result<Self> {
        let open = async |port: Option<u16>, key: &str| -> Result<Option<(TcpListener, Tls)>> {
            let Some(port) = port else { return Ok(None) };
            let tls =
                Tls::new(TlsSettings::from_config(config)?).with_context(|| format!("listen with TLS ({key})"))?;
            Ok(Some((bind(&config.bind_address, port, key).await?, tls)))
        };
        Ok(Self {
            protocol: open(config.broker_service_port_tls, "brokerServicePortTls").await?,
            admin: open(config.web_service_port_tls, "webServicePortTls").await?,
        })
    }
}

/// What clients are told to connect to.
struct Advertised {
    service_address: String,
    web_address: String,
    service_address_tls: Option<String>,
    web_address_tls: Option<String>,
}

impl Advertised {
    fn new(config: &Config, protocol: SocketAddr, admin: SocketAddr, over_tls: &OverTls) -> Self {
        let host = config.advertised_address.clone().unwrap_or_else(|| {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            if name.is_empty() { "localhost".to_owned() } else { name }
        });
        let encrypted = |listener: &Option<(TcpListener, Tls)>| {
            let address = listener.as_ref().and_then(|(listener, _)| listener.local_addr().ok())?;
            Some(format!("{host}:{}", address.port()))
        };
        Self {
            service_address: format!("{host}:{}", protocol.port()),
            web_address: format!("{host}:{}", admin.port()),
            service_address_tls: encrypted(&over_tls.protocol),
            web_address_tls: encrypted(&over_tls.admin),
        }
    }

    fn facts(&self, config: &Config) -> BrokerFacts {
        BrokerFacts {
            cluster: config.cluster_name.clone(),
            web_address: self.web_address.clone(),
            service_address: self.service_address.clone(),
            web_address_tls: self.web_address_tls.clone(),
            service_address_tls: self.service_address_tls.clone(),
            authenticate_metrics: config.authenticate_metrics,
            offloaders_directory: config.offloaders_directory.clone(),
            force_delete_namespace_allowed: config.force_delete_namespace_allowed,
            force_delete_tenant_allowed: config.force_delete_tenant_allowed,
            extra_offload_drivers: config.extra_offload_drivers.clone(),
            metrics_detail: Detail::new(config.metrics_by_topic, config.metrics_partition_apart),
            configuration: config.shown.clone(),
        }
    }
}

async fn bind(address: &str, port: u16, key: &str) -> Result<TcpListener> {
    let bound = TcpListener::bind((address, port)).await;
    bound.with_context(|| {
        format!("open port {port} on {address}; stop what uses it or choose another {key} in the configuration")
    })
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

/// The bounds of plugins.
pub fn plugin_settings(config: &Config) -> PluginSettings {
    PluginSettings {
        call_timeout: Duration::from_millis(config.offloaders_call_timeout_ms),
        offload_stall_timeout: Duration::from_millis(config.offloaders_stall_timeout_ms),
        concurrent_calls_max: config.offloaders_concurrent_calls_max as usize,
        inline_calls_max: config.offloaders_inline_calls_max as usize,
        runtime_workers: config.offloaders_runtime_workers,
        degraded_after: config.offloaders_degraded_after,
        file_bytes_max: config.offloaders_file_bytes_max,
        ledger_read_bytes_max: config.offloaders_ledger_read_bytes_max,
        driver_instances_max: config.offloaders_driver_instances_max as usize,
        drain_timeout: Duration::from_millis(config.offloaders_drain_timeout_ms),
        retired_bytes_max: config.offloaders_retired_bytes_max,
        pins: Pins(config.driver_pins.iter().map(|(driver, pin)| (driver.clone(), pin_of(pin))).collect()),
        admission: admission_settings(config),
        isolation: isolation_settings(config),
        about_host: about_host(config),
        foreign_properties: config.foreign_properties(),
    }
}

/// What drivers may keep beside their objects, under the names that the original's have there.
///
/// Source: Pulsar `PulsarService` (`pulsarClusterName`, `S3ManagedLedgerOffloaderSoftwareVersion`, in lower case).
fn about_host(config: &Config) -> BTreeMap<String, String> {
    let version = concat!("longshore ", env!("CARGO_PKG_VERSION"));
    [("pulsarclustername", config.cluster_name.as_str()), ("s3managedledgeroffloadersoftwareversion", version)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Only the plugins say which of the file's other keys are theirs.
fn warn_of_unknown_keys(config: &Config, plugins: &PluginHost) {
    let unknown = config.unknown_keys.iter().filter(|unknown| !plugins.knows_key(&unknown.key));
    let unknown: Vec<&str> = unknown.map(|unknown| unknown.told.as_str()).collect();
    if !unknown.is_empty() {
        tracing::warn!("keys that nothing knows: {}", unknown.join(", "));
    }
}

/// Which drivers run in processes of their own, and the bounds of those.
fn isolation_settings(config: &Config) -> IsolationSettings {
    let home = |isolation: DriverIsolation| match isolation {
        DriverIsolation::None => Isolation::None,
        DriverIsolation::Process => Isolation::Process,
    };
    IsolationSettings {
        everywhere: home(config.offloaders_isolation),
        by_driver: config
            .isolation_by_driver
            .iter()
            .map(|(driver, isolation)| (driver.clone(), home(*isolation)))
            .collect(),
        start_timeout: Duration::from_millis(config.isolation_start_timeout_ms),
        crashes_max: config.isolation_crashes_max,
        crash_window: Duration::from_secs(config.isolation_crash_window_seconds),
        restart_pause: Duration::from_millis(config.isolation_restart_pause_ms),
        probe_pause: Duration::from_secs(config.isolation_probe_seconds),
        frame_bytes_max: config.isolation_frame_bytes_max as usize,
        calls_max: config.isolation_calls_max as usize,
        memory_bytes_max: config.isolation_memory_max_mb << 20,
        environment: config.isolation_environment.clone(),
        ..IsolationSettings::default()
    }
}

/// Which plugins may be loaded. A file or folder that is nowhere stays as it is given: the policy then refuses and names it.
fn admission_settings(config: &Config) -> AdmissionSettings {
    let place = |key: &str, given: &Option<String>| {
        given.as_ref().map(|given| {
            let found = crate::config::resolve_existing(key, given, &config.search_folders);
            found.unwrap_or_else(|_| PathBuf::from(given))
        })
    };
    AdmissionSettings {
        allow_list: place("offloadersAllowlistFile", &config.offloaders_allowlist_file),
        keys_directory: place("offloadersSignatureKeysDirectory", &config.offloaders_signature_keys_directory),
        require_signature: config.offloaders_require_signature,
        verdicts_directory: place("offloadersVerdictsDirectory", &config.offloaders_verdicts_directory),
        require_verdict: config.offloaders_require_verdict,
        allowed_owners: config.offloaders_allowed_owners.clone(),
    }
}

fn pin_of(pin: &DriverPin) -> Pin {
    Pin { plugin: pin.plugin.clone(), version: pin.version.clone() }
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

fn ledger_store_settings(config: &Config) -> LedgerStoreSettings {
    LedgerStoreSettings {
        sync: config.journal_sync_data,
        group_bytes_max: config.journal_group_bytes,
        journal_bytes_max: config.journal_size_max_mb << 20,
        direct_ledgers_max: config.journal_bypass_ledgers as usize,
        direct_bytes_min: config.journal_bypass_bytes,
        index_cache_bytes_max: config.ledger_index_cache_size_mb << 20,
        files_open_max: config.ledger_files_open_max as usize,
    }
}

fn offload_settings(config: &Config) -> OffloadSettings {
    OffloadSettings {
        attempts_max: config.offload_threads_max as usize,
        verify: match config.offload_verify {
            OffloadVerify::Full => VerifyMode::Full,
            OffloadVerify::Ends => VerifyMode::Ends,
        },
        rate_period_ms: config.ledger_stats_seconds * 1000,
    }
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

fn topic_settings(config: &Config, instance: u64) -> TopicSettings {
    TopicSettings {
        dispatch_read_entries_max: config.dispatcher_read_entries_max as usize,
        dispatch_read_bytes_max: config.dispatcher_read_size_max_bytes,
        round_robin_entries_max: config.dispatcher_round_robin_entries_max as usize,
        unacked_per_consumer_max: config.unacked_messages_per_consumer_max,
        auto_subscription_creation: config.allow_auto_subscription_creation,
        producer_name_prefix: format!("{}-{instance}", config.cluster_name),
        deduplication: DeduplicationSettings {
            producers_max: config.deduplication_producers_max as usize,
            entries_interval: config.deduplication_entries_interval,
            record_interval: Duration::from_secs(config.deduplication_record_seconds),
            producer_gone_max: Duration::from_secs(config.deduplication_producer_minutes * 60),
        },
        ..TopicSettings::default()
    }
}

fn protocol_settings(config: &Config, advertised: &Advertised) -> ProtocolSettings {
    ProtocolSettings {
        advertised_service_url: format!("pulsar://{}", advertised.service_address),
        advertised_service_url_tls: advertised.service_address_tls.as_ref().map(|it| format!("pulsar+ssl://{it}")),
        max_message_size: config.message_size_max_bytes as usize,
        keep_alive_interval: Duration::from_secs(config.keep_alive_seconds),
        max_pending_publish_requests: config.pending_publishes_per_connection_max as usize,
        max_publish_buffer_bytes: (config.publish_buffer_size_max_mb as usize) << 20,
        ..ProtocolSettings::default()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_in_the_file_drivers_apart_get_what_the_host_gives_them() {
        let (config, _) = Config::from_sources(&[]).unwrap();
        assert_eq!(isolation_settings(&config).environment, IsolationSettings::default().environment);
    }
}
