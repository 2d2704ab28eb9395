//! The configuration as the settings of each room. Pure, but for where files are looked for.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::listeners::Advertised;
use crate::admin::HttpLimits;
use crate::config::{Config, DriverIsolation, DriverPin, OffloadVerify};
use crate::ledger::LedgerStoreSettings;
use crate::offload::{OffloadSettings, VerifyMode};
use crate::plugin::admission::AdmissionSettings;
use crate::plugin::isolation::{Isolation, IsolationSettings};
use crate::plugin::{Pin, Pins, PluginSettings};
use crate::protocol::ProtocolSettings;
use crate::topic::TopicSettings;
use crate::topic::settings::DeduplicationSettings;

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

pub(super) fn ledger_store_settings(config: &Config) -> LedgerStoreSettings {
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

pub(super) fn offload_settings(config: &Config) -> OffloadSettings {
    OffloadSettings {
        attempts_max: config.offload_threads_max as usize,
        verify: match config.offload_verify {
            OffloadVerify::Full => VerifyMode::Full,
            OffloadVerify::Ends => VerifyMode::Ends,
        },
        rate_period_ms: config.ledger_stats_seconds * 1000,
    }
}

pub(super) fn topic_settings(config: &Config, instance: u64) -> TopicSettings {
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

/// What clients of the REST API may take.
pub(super) fn http_limits(config: &Config) -> HttpLimits {
    HttpLimits {
        connections_max: config.http_connections_max as usize,
        head_bytes_max: config.http_head_size_max_bytes as usize,
        idle: Duration::from_millis(config.http_idle_timeout_ms),
        body: Duration::from_millis(config.http_body_timeout_ms),
    }
}

pub(super) fn protocol_settings(config: &Config, advertised: &Advertised) -> ProtocolSettings {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_in_the_file_drivers_apart_get_what_the_host_gives_them() {
        let (config, _) = Config::from_sources(&[]).unwrap();
        assert_eq!(isolation_settings(&config).environment, IsolationSettings::default().environment);
    }
}
