//! The numbers that bound what plugins may cost.

use std::collections::BTreeMap;
use std::time::Duration;

use super::admission::AdmissionSettings;
use super::isolation::IsolationSettings;
use super::pins::Pins;

/// Deadlines and limits. The names of the configuration keys stand at the fields; all durations are whole milliseconds there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginSettings {
    /// `offloadersCallTimeoutMs`: how long create, open, read, delete and health may take, each.
    pub call_timeout: Duration,
    /// `offloadersOffloadStallTimeoutMs`: how long an offload may go on without asking for entries and without reporting
    /// bytes that reached the store. It is no limit on the whole.
    pub offload_stall_timeout: Duration,
    /// `offloadersConcurrentCallsMax`: calls of one plugin that run at once; further ones wait, within their deadline.
    pub concurrent_calls_max: usize,
    /// `offloadersInlineCallsMax`: reads of one plugin that are answered on the host's own threads at once, where the plugin says
    /// that they need no waiting; 0 lets none.
    pub inline_calls_max: usize,
    /// `offloadersRuntimeWorkers`: worker threads of each plugin's own runtime.
    pub runtime_workers: u32,
    /// `offloadersDegradedAfter`: faults in a row (timeout, panic, broken contract) after which a plugin counts as degraded.
    pub degraded_after: u32,
    /// `offloadersFileBytesMax`: the longest plugin file that is read.
    pub file_bytes_max: u64,
    /// `offloadersLedgerReadBytesMax`: the most bytes of payload that one read of an offloading plugin is answered with, even
    /// where it asks for more.
    pub ledger_read_bytes_max: u64,
    /// `offloadersDriverInstancesMax`: driver instances (plugin, driver, settings) that are kept; beyond it those that nobody
    /// uses go.
    pub driver_instances_max: usize,
    /// Which drivers run in processes of their own.
    pub isolation: IsolationSettings,
    /// `offloadersDrainTimeoutMs`: how long what began with a replaced plugin may go on before it is called late.
    pub drain_timeout: Duration,
    /// `offloadersRetiredBytesMax`: the most bytes of libraries that were replaced; beyond it nothing is replaced.
    pub retired_bytes_max: u64,
    /// `managedLedgerOffloadDriverPlugin.<driver>`: which plugin alone may serve a driver.
    pub pins: Pins,
    /// Which files may be loaded.
    pub admission: AdmissionSettings,
    /// Names and values that go with every offload, for drivers that keep such beside their objects: the cluster, the software.
    pub about_host: BTreeMap<String, String>,
    /// Keys of the configuration that the host knows nothing of. A driver gets those that its plugin's schema names.
    pub foreign_properties: BTreeMap<String, String>,
}

impl PluginSettings {
    /// [`call_timeout`](Self::call_timeout) in milliseconds.
    pub(super) fn call_timeout_ms(&self) -> u64 {
        u64::try_from(self.call_timeout.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_millis(30_000),
            offload_stall_timeout: Duration::from_millis(60_000),
            concurrent_calls_max: 256,
            inline_calls_max: 1,
            runtime_workers: 2,
            degraded_after: 5,
            file_bytes_max: 256 << 20,
            ledger_read_bytes_max: 16 << 20,
            driver_instances_max: 1024,
            isolation: IsolationSettings::default(),
            drain_timeout: Duration::from_millis(60_000),
            retired_bytes_max: 256 << 20,
            pins: Pins::default(),
            admission: AdmissionSettings::default(),
            about_host: BTreeMap::new(),
            foreign_properties: BTreeMap::new(),
        }
    }
}
