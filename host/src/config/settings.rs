//! Every key that has an effect, one row each: the sentence, the field, the key, its default and its bounds.
//!
//! A row is all there is to a setting. The macro makes of it the field of [`Config`], the entry of [`SECTIONS`] and the
//! conversion between them; the shipped `conf/standalone.conf` is held to the same rows by a test. Fields keep the unit of
//! their key, and their name ends with it.
//!
//! Source of names and defaults: Apache Pulsar 4.0 `ServiceConfiguration`, `OffloadPoliciesImpl`; `longshore…` and
//! `offloaders…` (but `offloadersDirectory`) are ours.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::driver_pin::DriverPin;
use super::key::{Key, Value};
use super::setting::{DriverIsolation, OffloadVerify, ReadPriority, Setting, TopicKind};
use super::unknown::UnknownKey;

/// Keys under one heading of the shipped file.
#[derive(Debug)]
pub struct Section {
    /// The heading.
    pub title: &'static str,
    /// Its keys, with the sentences that explain them.
    pub keys: &'static [(Key, &'static [&'static str])],
}

macro_rules! settings {
    ($( $title:literal { $( $(#[doc = $doc:literal])+ $field:ident: $type:ty = $key:expr; )+ } )+) => {
        /// The broker's settings, checked. Numbers that Pulsar writes as negative for "none" are `None` here.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($( $(#[doc = $doc])+ pub $field: $type, )+)+
            /// Every key of the files that concerns storage drivers, in Pulsar's spelling; empty values left out. A
            /// folder of `fileSystemURI` is absolute.
            pub offload_properties: BTreeMap<String, String>,
            /// Keys that nothing here knows: mistyped ones, and those of third parties' drivers.
            pub unknown_keys: Vec<UnknownKey>,
            /// Where single drivers run (`offloadersIsolation.<driver>`), by name in lower case.
            pub isolation_by_driver: BTreeMap<String, DriverIsolation>,
            /// Which plugin alone may serve a driver: `managedLedgerOffloadDriverPlugin.<driver>`, by driver in lower case.
            pub driver_pins: BTreeMap<String, DriverPin>,
            /// Where a relative path is looked for: the working folder, then the configuration file's.
            pub search_folders: Vec<PathBuf>,
            /// Every key and its value in force, as text; secrets are stars.
            pub shown: BTreeMap<String, String>,
        }

        /// All keys that have an effect, in the order of the shipped file.
        pub const SECTIONS: &[Section] = &[
            $( Section { title: $title, keys: &[ $( ($key, &[$($doc),+]), )+ ] }, )+
        ];

        impl Config {
            /// Builds the settings from what `value_of` answers for each key, which stands up to the key's kind.
            pub(super) fn assemble(mut value_of: impl FnMut(&Key) -> Value) -> Self {
                Self {
                    $($( $field: <$type>::from_value(value_of(&$key)).expect(concat!(
                        "the row of ", stringify!($field), " pairs a type with a kind that it cannot hold"
                    )), )+)+
                    offload_properties: BTreeMap::new(),
                    unknown_keys: Vec::new(),
                    isolation_by_driver: BTreeMap::new(),
                    driver_pins: BTreeMap::new(),
                    search_folders: Vec::new(),
                    shown: BTreeMap::new(),
                }
            }
        }
    };
}

/// What drivers of object stores, and the libraries under them, look at.
const ISOLATION_ENVIRONMENT: &str = "PATH,HOME,USER,LANG,LC_*,TZ,TMPDIR,RUST_BACKTRACE,SSL_CERT_*,*_PROXY,*_proxy,AWS_*,AZURE_*,\
    GOOGLE_*,GCE_*,CLOUDSDK_*,ALIBABA_*,ALIYUN_*,OSS_*,ACCESS_KEY_ID,ACCESS_KEY_SECRET,HADOOP_*,JAVA_HOME,KRB5*";

/// When an unused topic goes.
const INACTIVE_MODES: &[&str] = &["delete-when-no-subscriptions", "delete-when-subscriptions-caught-up"];

/// What happens when too much waits.
const QUOTA_POLICIES: &[&str] = &["producer-request-hold", "producer-exception", "consumer-backlog-eviction"];

/// What a new schema must stand up to; `undefined` is the original's word for its default.
const STRATEGIES: &[&str] = &[
    "undefined",
    "always-incompatible",
    "always-compatible",
    "backward",
    "forward",
    "full",
    "backward-transitive",
    "forward-transitive",
    "full-transitive",
];

/// The largest 32-bit number, which Pulsar's own fields end at.
const INT_MAX: i64 = i32::MAX as i64;

settings! {
    "Network" {
        /// TCP port of the binary protocol; 0 takes a free one.
        broker_service_port: u16 = Key::number("brokerServicePort", "6650", "", 0, 65_535);
        /// TCP port of the REST API and of the metrics; 0 takes a free one.
        web_service_port: u16 = Key::number("webServicePort", "8080", "", 0, 65_535);
        /// Address that both ports are opened on.
        bind_address: String = Key::text("bindAddress", "0.0.0.0");
        /// Host name or address that clients are told to connect to; unset, the machine's host name.
        advertised_address: Option<String> = Key::text("advertisedAddress", "").shipped("localhost");
        /// Connections to the REST API at a time, of each of its ports; more wait until one leaves.
        http_connections_max: u64 = Key::number("maxHttpServerConnections", "2048", "connections", 1, 1_000_000);
        /// Longest head of a request to the REST API, a token in it included.
        http_head_size_max_bytes: u64 = Key::number("httpMaxRequestHeaderSize", "8192", "bytes", 8_192, 1 << 20);
        /// How long a client of the REST API may be silent before and within the head of a request, or leave an answer where it
        /// is; then its connection is closed.
        http_idle_timeout_ms: u64 = Key::number("longshoreHttpIdleTimeoutMs", "30000", "milliseconds", 1, INT_MAX);
        /// How long the body of a request to the REST API may take.
        http_body_timeout_ms: u64 = Key::number("longshoreHttpBodyTimeoutMs", "10000", "milliseconds", 1, INT_MAX);
        /// Name of the cluster, which tenants and metrics carry.
        cluster_name: String = Key::text("clusterName", "standalone");
    }
    "Security" {
        /// Whether clients must show who they are.
        authentication_enabled: bool = Key::flag("authenticationEnabled", "false");
        /// How they may; built in is org.apache.pulsar.broker.authentication.AuthenticationProviderToken.
        authentication_providers: Vec<String> = Key::list("authenticationProviders", "");
        /// The role of clients that show nothing; unset, they are not let in.
        anonymous_user_role: Option<String> = Key::text("anonymousUserRole", "");
        /// Whether /metrics takes what the rest of the REST API takes.
        authenticate_metrics: bool = Key::flag("authenticateMetricsEndpoint", "false");
        /// Whether roles may only do what they were granted.
        authorization_enabled: bool = Key::flag("authorizationEnabled", "false");
        /// Roles that may do everything.
        super_user_roles: Vec<String> = Key::list("superUserRoles", "");
        /// The secret that signs tokens: file:///path, data:;base64,text, a path, or base64 text.
        token_secret_key: Option<String> = Key::text("tokenSecretKey", "").secret();
        /// The public key of what signs tokens, given in the same ways; DER or PEM.
        token_public_key: Option<String> = Key::text("tokenPublicKey", "");
        /// The kind of that key: RS256, RS384, RS512, PS256, PS384, PS512, ES256 or ES384.
        token_public_alg: String = Key::text("tokenPublicAlg", "RS256");
        /// The claim of a token that holds the role.
        token_auth_claim: String = Key::text("tokenAuthClaim", "sub");
        /// The claim of a token that must hold tokenAudience; unset, none is looked at.
        token_audience_claim: Option<String> = Key::text("tokenAudienceClaim", "");
        /// Who tokens must be meant for.
        token_audience: Option<String> = Key::text("tokenAudience", "");
        /// By how much clocks may differ where a token's times are looked at.
        token_clock_skew_seconds: u64 = Key::number("tokenAllowedClockSkewSeconds", "0", "seconds", 0, INT_MAX);
        /// TCP port of the binary protocol over TLS; 0 takes a free one, unset there is none.
        broker_service_port_tls: Option<u16> = Key::number("brokerServicePortTls", "", "", 0, 65_535);
        /// TCP port of the REST API over TLS; 0 takes a free one, unset there is none.
        web_service_port_tls: Option<u16> = Key::number("webServicePortTls", "", "", 0, 65_535);
        /// The certificate for TLS and those that lead to a root, PEM.
        tls_certificate_file_path: Option<String> = Key::text("tlsCertificateFilePath", "");
        /// Its private key, PEM.
        tls_key_file_path: Option<String> = Key::text("tlsKeyFilePath", "");
        /// Roots that clients' certificates are held against, PEM; unset, clients show none.
        tls_trust_certs_file_path: Option<String> = Key::text("tlsTrustCertsFilePath", "");
        /// Whether clients must show a certificate.
        tls_client_certificate_required: bool = Key::flag("tlsRequireTrustedClientCertOnConnect", "false");
        /// How often the files of TLS are looked at for a change.
        tls_refresh_seconds: u64 = Key::number("tlsCertRefreshCheckDurationSec", "300", "seconds", 0, INT_MAX);
    }
    "Folders" {
        /// Everything that this broker keeps; made if it is missing, a relative path in the working folder.
        data_directory: String = Key::text("longshoreDataDirectory", "data");
        /// Where the storage drivers' shared libraries (*.so) lie.
        offloaders_directory: String = Key::text("offloadersDirectory", "./offloaders").for_driver();
    }
    "Ledgers" {
        /// A ledger is full with this many entries.
        ledger_entries_max: u64 = Key::number("managedLedgerMaxEntriesPerLedger", "50000", "entries", 1, INT_MAX);
        /// A ledger is full with this many mebibytes.
        ledger_size_max_mbytes: u64 = Key::number("managedLedgerMaxSizePerLedgerMbytes", "2048", "MiB", 1, 1 << 20);
        /// A ledger is not closed for being full before this age; 0 closes it as soon as it is full.
        ledger_rollover_min_minutes: u64 =
            Key::number("managedLedgerMinLedgerRolloverTimeMinutes", "10", "minutes", 0, INT_MAX).shipped("0");
        /// A ledger with entries is closed at this age, full or not.
        ledger_rollover_max_minutes: u64 =
            Key::number("managedLedgerMaxLedgerRolloverTimeMinutes", "240", "minutes", 1, INT_MAX);
        /// A ledger with entries that gets no further one for this long is closed; 0 is never.
        ledger_inactive_rollover_seconds: u64 =
            Key::number("managedLedgerInactiveLedgerRolloverTimeSeconds", "0", "seconds", 0, INT_MAX);
        /// An open cold copy that nobody reads for this long is closed; 0 is never.
        offloaded_ledger_eviction_seconds: u64 =
            Key::number("managedLedgerInactiveOffloadedLedgerEvictionTimeSeconds", "600", "seconds", 0, INT_MAX);
        /// Copies of a topic's ledgers that are kept open for reading; beyond it the one used longest ago is closed.
        copies_open_max: u64 = Key::number("longshoreOpenCopiesPerTopicMax", "32", "copies", 1, 100_000);
        /// How often a cursor's position is written at most.
        mark_delete_rate_limit: f64 =
            Key::decimal("managedLedgerDefaultMarkDeleteRateLimit", "1", "writes a second", 0.0, 1_000_000.0).shipped("0.1");
        /// Memory for recent entries, all topics together; 0 keeps none.
        cache_size_mb: u64 = Key::number("managedLedgerCacheSizeMB", "64", "MiB", 0, 1 << 20);
        /// Whether a message is acknowledged only when it would survive a power cut; false trusts the system's page cache.
        journal_sync_data: bool = Key::flag("journalSyncData", "true");
        /// Payload that is made durable at once, all ledgers together; a single larger entry may exceed it.
        journal_group_bytes: u64 = Key::number("journalBufferedWritesThreshold", "2097152", "bytes", 4_096, 1 << 30);
        /// All journal files together.
        journal_size_max_mb: u64 = Key::number("journalMaxSizeMB", "128", "MiB", 2, 1 << 20);
        /// A group that concerns at most so many ledgers goes into their files and skips the journal; 0 never does.
        journal_bypass_ledgers: u64 = Key::number("longshoreJournalBypassLedgers", "1", "ledgers", 0, 1_000_000);
        /// A ledger with so many bytes in a group has its file flushed and skips the journal.
        journal_bypass_bytes: u64 = Key::number("longshoreJournalBypassBytes", "262144", "bytes", 1, i64::MAX);
        /// Memory for the offset indexes of closed ledgers.
        ledger_index_cache_size_mb: u64 = Key::number("longshoreLedgerIndexCacheSizeMB", "32", "MiB", 1, 1 << 20);
        /// Closed ledgers that are kept open for reading; every open ledger takes one more file.
        ledger_files_open_max: u64 = Key::number("openFileLimit", "256", "files", 1, 1_000_000);
    }
    "Retention" {
        /// How long acknowledged messages are kept; 0 does not keep them, -1 keeps them for ever.
        default_retention_minutes: Option<u64> =
            Key::number("defaultRetentionTimeInMinutes", "0", "minutes", -1, INT_MAX);
        /// How much of acknowledged messages is kept; 0 keeps none, -1 all.
        default_retention_size_mb: Option<u64> = Key::number("defaultRetentionSizeInMB", "0", "MiB", -1, INT_MAX);
        /// How often every topic is looked through for ledgers, or hot copies, that nobody needs.
        retention_check_seconds: u64 =
            Key::number("retentionCheckIntervalInSeconds", "120", "seconds", 1, INT_MAX);
    }
    "Offload" {
        /// Storage driver that closed ledgers are copied to; unset, nothing is offloaded.
        offload_driver: Option<String> =
            Key::text("managedLedgerOffloadDriver", "").shipped("filesystem").for_driver();
        /// Drivers or plugins, by name, without which the broker must not start.
        offloaders_required: Vec<String> = Key::list("offloadersRequired", "");
        /// The newest closed ledgers up to this size stay, older ones are offloaded by themselves; -1 is off.
        offload_threshold_bytes: Option<u64> =
            Key::number("managedLedgerOffloadAutoTriggerSizeThresholdBytes", "", "bytes", -1, i64::MAX)
                .shipped("-1").also("managedLedgerOffloadThresholdInBytes").for_driver();
        /// A ledger closed this long ago is offloaded by itself; -1 is off.
        offload_threshold_seconds: Option<u64> =
            Key::number("managedLedgerOffloadThresholdInSeconds", "", "seconds", -1, i64::MAX).shipped("-1").for_driver();
        /// How long the hot copy stays after the offload; unset or negative, until retention removes the ledger.
        offload_deletion_lag_ms: Option<u64> =
            Key::number("managedLedgerOffloadDeletionLagMs", "", "milliseconds", i64::MIN, i64::MAX)
                .shipped("14400000").also("managedLedgerOffloadDeletionLagInMillis").for_driver();
        /// Which copy is read while a ledger has both.
        offload_read_priority: ReadPriority =
            Key::choice("managedLedgerDataReadPriority", "tiered-storage-first", ReadPriority::WORDS)
                .also("managedLedgerOffloadedReadPriority").for_driver();
        /// Whether a topic looks for ledgers to offload when it is loaded, and not only when a ledger closes.
        offload_on_topic_load: bool =
            Key::flag("triggerOffloadOnTopicLoad", "false").also("managedLedgerTriggerOffloadOnTopicLoad");
        /// How many ledgers are copied at once, all topics together.
        offload_threads_max: u64 = Key::number("managedLedgerOffloadMaxThreads", "2", "ledgers", 1, 1_024).for_driver();
        /// How many reads of the hot copy an offload keeps ahead of the driver.
        offload_prefetch_rounds: u64 =
            Key::number("managedLedgerOffloadPrefetchRounds", "1", "reads", 0, 1_024).for_driver();
        /// How much of a fresh cold copy is read back before the offload counts as complete: every entry, or its ends.
        offload_verify: OffloadVerify = Key::choice("longshoreOffloadVerify", "full", OffloadVerify::WORDS);
        /// How long a driver may take to open, read, delete or report its health.
        offloaders_call_timeout_ms: u64 =
            Key::number("offloadersCallTimeoutMs", "30000", "milliseconds", 1, INT_MAX);
        /// How long an offload may go without moving a byte.
        offloaders_stall_timeout_ms: u64 =
            Key::number("offloadersOffloadStallTimeoutMs", "60000", "milliseconds", 1, INT_MAX);
    }
    "Plugins" {
        /// Calls of one plugin that run at once; further ones wait, within their deadline.
        offloaders_concurrent_calls_max: u64 = Key::number("offloadersConcurrentCallsMax", "256", "calls", 1, 1_000_000);
        /// Reads of one plugin that are answered on the broker's own threads at once, where the plugin says that they need no
        /// waiting. A plugin that lies about it costs the broker so many threads at most; 0 lets none.
        offloaders_inline_calls_max: u64 = Key::number("offloadersInlineCallsMax", "1", "calls", 0, 1_024);
        /// Worker threads of each plugin's own runtime.
        offloaders_runtime_workers: u32 = Key::number("offloadersRuntimeWorkers", "2", "threads", 1, 1_024);
        /// Faults in a row (timeout, panic, broken contract) after which a plugin counts as degraded.
        offloaders_degraded_after: u32 = Key::number("offloadersDegradedAfter", "5", "faults", 1, INT_MAX);
        /// Longest plugin file that is read.
        offloaders_file_bytes_max: u64 = Key::number("offloadersFileBytesMax", "268435456", "bytes", 1, 1 << 32);
        /// Most payload that one read of an offloading plugin is answered with.
        offloaders_ledger_read_bytes_max: u64 =
            Key::number("offloadersLedgerReadBytesMax", "16777216", "bytes", 1, 1 << 30);
        /// Driver instances (one for each driver and its settings) that are kept; beyond it those that nobody uses go.
        offloaders_driver_instances_max: u64 =
            Key::number("offloadersDriverInstancesMax", "1024", "instances", 1, 1_000_000);
        /// How often offloadersDirectory is looked at for new, changed and removed files while the broker runs; 0 is never,
        /// `longshore offloaders rescan` looks at once.
        offloaders_rescan_seconds: u64 = Key::number("offloadersRescanIntervalSeconds", "30", "seconds", 0, INT_MAX);
        /// How long reads and offloads that began with a replaced plugin may go on before they are called late; none is cut off.
        offloaders_drain_timeout_ms: u64 =
            Key::number("offloadersDrainTimeoutMs", "60000", "milliseconds", 0, INT_MAX);
        /// Libraries that were replaced stay in memory until the restart; beyond so many bytes nothing is replaced any more.
        offloaders_retired_bytes_max: u64 =
            Key::number("offloadersRetiredBytesMax", "268435456", "bytes", 0, i64::MAX);
    }
    "Which plugins may be loaded" {
        /// File with the SHA-256 of each plugin file that may be loaded, one a line as sha256sum writes it; unset, every one may.
        offloaders_allowlist_file: Option<String> = Key::text("offloadersAllowlistFile", "");
        /// Folder with the ed25519 public keys (*.pem) of those whose signatures (NAME.so.sig) count; unset, none is looked at.
        offloaders_signature_keys_directory: Option<String> = Key::text("offloadersSignatureKeysDirectory", "");
        /// Whether a plugin file without a signature is refused.
        offloaders_require_signature: bool = Key::flag("offloadersRequireSignature", "false");
        /// Folder in which `longshore offloaders verify --record` keeps what it found out; a file that failed is refused.
        offloaders_verdicts_directory: Option<String> = Key::text("offloadersVerdictsDirectory", "");
        /// Whether a plugin file that did not pass `longshore offloaders verify --record` with this version is refused.
        offloaders_require_verdict: bool = Key::flag("offloadersRequireVerdict", "false");
        /// Users to whom plugin files and their folders may belong: names, numbers, self for the broker's own, * for all.
        offloaders_allowed_owners: Vec<String> = Key::list("offloadersAllowedOwners", "root,self");
    }
    "Drivers in processes of their own" {
        /// Where drivers run: in the broker, or each in a process, which costs time and memory and keeps crashes to itself.
        /// A driver's own key overrules it, such as offloadersIsolation.filesystem=process, or none.
        offloaders_isolation: DriverIsolation = Key::choice("offloadersIsolation", "none", DriverIsolation::WORDS);
        /// How long a process may take to load its library.
        isolation_start_timeout_ms: u64 =
            Key::number("offloadersIsolationStartTimeoutMs", "10000", "milliseconds", 1, INT_MAX);
        /// Crashes within the window after which a process is started again only now and then.
        isolation_crashes_max: u32 = Key::number("offloadersIsolationCrashesMax", "5", "crashes", 1, 1_000);
        /// How long a crash counts.
        isolation_crash_window_seconds: u64 =
            Key::number("offloadersIsolationCrashWindowSeconds", "600", "seconds", 1, INT_MAX);
        /// Pause before the second restart within the window; the first is at once, each further one waits twice as long.
        isolation_restart_pause_ms: u64 =
            Key::number("offloadersIsolationRestartPauseMs", "200", "milliseconds", 0, INT_MAX);
        /// Longest pause before a restart, and the time between tries after too many crashes.
        isolation_probe_seconds: u64 = Key::number("offloadersIsolationProbeSeconds", "60", "seconds", 0, INT_MAX);
        /// Longest batch of entries that a process sends or gets; no entry may be longer.
        isolation_frame_bytes_max: u64 =
            Key::number("offloadersIsolationFrameBytesMax", "150994944", "bytes", 65_536, 1 << 31);
        /// Calls of one process that run at once, in each direction.
        isolation_calls_max: u64 = Key::number("offloadersIsolationCallsMax", "1024", "calls", 1, 1_000_000);
        /// Memory that one process may write to; 0 is no limit.
        isolation_memory_max_mb: u64 = Key::number("offloadersIsolationMemoryMaxMB", "0", "MiB", 0, 1 << 20);
        /// Variables of the environment that a process gets; * at an end stands for any letters.
        isolation_environment: Vec<String> = Key::list("offloadersIsolationEnvironment", ISOLATION_ENVIRONMENT);
    }
    "Driver filesystem" {
        /// Where cold copies go: file:///folder, or a plain folder, which is taken from the working folder.
        file_system_uri: Option<String> = Key::text("fileSystemURI", "").shipped("data/offloaded").for_driver();
        /// Hadoop XML files, with commas between them; io.seqfile.compression.type in them decides the compression.
        file_system_profile_path: Option<String> =
            Key::text("fileSystemProfilePath", "").shipped("filesystem_offload_core_site.xml").for_driver();
    }
    "Handed to object-store drivers" {
        /// Bucket, for every object-store driver.
        offload_bucket: Option<String> = Key::text("managedLedgerOffloadBucket", "").for_driver();
        /// Region of the bucket.
        offload_region: Option<String> = Key::text("managedLedgerOffloadRegion", "").for_driver();
        /// URL of the store, where it is not the provider's own.
        offload_service_endpoint: Option<String> = Key::text("managedLedgerOffloadServiceEndpoint", "").for_driver();
        /// Size of one block of a cold object.
        offload_block_size_max_bytes: Option<u64> =
            Key::number("managedLedgerOffloadMaxBlockSizeInBytes", "", "bytes", 5_242_880, INT_MAX).for_driver();
        /// Size of one read from a cold object.
        offload_read_buffer_size_bytes: Option<u64> =
            Key::number("managedLedgerOffloadReadBufferSizeInBytes", "", "bytes", 1, INT_MAX).for_driver();
        /// Drivers that policies may name besides the original's own, separated by commas.
        extra_offload_drivers: Vec<String> = Key::list("pulsar.extra.offload.drivers", "");
        /// Bucket of driver aws-s3.
        s3_bucket: Option<String> = Key::text("s3ManagedLedgerOffloadBucket", "").for_driver();
        /// Region of driver aws-s3.
        s3_region: Option<String> = Key::text("s3ManagedLedgerOffloadRegion", "").for_driver();
        /// URL of the store of driver aws-s3.
        s3_service_endpoint: Option<String> = Key::text("s3ManagedLedgerOffloadServiceEndpoint", "").for_driver();
        /// Size of one block of driver aws-s3.
        s3_block_size_max_bytes: Option<u64> =
            Key::number("s3ManagedLedgerOffloadMaxBlockSizeInBytes", "", "bytes", 5_242_880, INT_MAX).for_driver();
        /// Size of one read of driver aws-s3.
        s3_read_buffer_size_bytes: Option<u64> =
            Key::number("s3ManagedLedgerOffloadReadBufferSizeInBytes", "", "bytes", 1, INT_MAX).for_driver();
        /// Access key id of driver aws-s3; unset, the environment and the files that the provider's tools use.
        s3_credential_id: Option<String> = Key::text("s3ManagedLedgerOffloadCredentialId", "").for_driver();
        /// Secret access key of driver aws-s3.
        s3_credential_secret: Option<String> =
            Key::text("s3ManagedLedgerOffloadCredentialSecret", "").for_driver().secret();
        /// Access key id as the Java system property of this name gives it; Amazon's variables in the environment count more.
        aws_access_key_id: Option<String> = Key::text("aws.accessKeyId", "").for_driver();
        /// Secret access key, likewise.
        aws_secret_key: Option<String> = Key::text("aws.secretKey", "").for_driver().secret();
        /// Role that driver aws-s3 takes on.
        s3_role: Option<String> = Key::text("s3ManagedLedgerOffloadRole", "").for_driver();
        /// Name of the session of that role.
        s3_role_session_name: Option<String> =
            Key::text("s3ManagedLedgerOffloadRoleSessionName", "pulsar-s3-offload").for_driver();
        /// Bucket of driver google-cloud-storage.
        gcs_bucket: Option<String> = Key::text("gcsManagedLedgerOffloadBucket", "").for_driver();
        /// Region of driver google-cloud-storage.
        gcs_region: Option<String> = Key::text("gcsManagedLedgerOffloadRegion", "").for_driver();
        /// Size of one block of driver google-cloud-storage.
        gcs_block_size_max_bytes: Option<u64> =
            Key::number("gcsManagedLedgerOffloadMaxBlockSizeInBytes", "", "bytes", 5_242_880, INT_MAX).for_driver();
        /// Size of one read of driver google-cloud-storage.
        gcs_read_buffer_size_bytes: Option<u64> =
            Key::number("gcsManagedLedgerOffloadReadBufferSizeInBytes", "", "bytes", 1, INT_MAX).for_driver();
        /// JSON key file of driver google-cloud-storage.
        gcs_service_account_key_file: Option<String> =
            Key::text("gcsManagedLedgerOffloadServiceAccountKeyFile", "").for_driver();
    }
    "Clients" {
        /// Largest message that a client may send.
        message_size_max_bytes: u64 = Key::number("maxMessageSize", "5242880", "bytes", 1, 1 << 27);
        /// How often an idle connection is asked whether it is alive; it is closed when it is silent for twice as long.
        keep_alive_seconds: u64 = Key::number("keepAliveIntervalSeconds", "30", "seconds", 1, 86_400);
        /// A connection with this many unanswered messages is not read from until some are answered.
        pending_publishes_per_connection_max: u64 =
            Key::number("maxPendingPublishRequestsPerConnection", "1000", "messages", 1, 1_000_000);
        /// Memory for unanswered messages, all connections together.
        publish_buffer_size_max_mb: u64 =
            Key::number("maxMessagePublishBufferSizeInMB", "256", "MiB", 1, 1 << 20);
        /// A shared consumer with this many unacknowledged messages gets no more; 0 is no limit.
        unacked_messages_per_consumer_max: u64 =
            Key::number("maxUnackedMessagesPerConsumer", "50000", "messages", 0, INT_MAX);
        /// Entries in one read for consumers.
        dispatcher_read_entries_max: u64 = Key::number("dispatcherMaxReadBatchSize", "100", "entries", 1, 10_000);
        /// Bytes in one read for consumers; a single entry may be larger.
        dispatcher_read_size_max_bytes: u64 =
            Key::number("dispatcherMaxReadSizeBytes", "5242880", "bytes", 1, 1 << 27);
        /// Entries that one shared consumer gets before it is the next one's turn.
        dispatcher_round_robin_entries_max: u64 =
            Key::number("dispatcherMaxRoundRobinBatchSize", "20", "entries", 1, 10_000);
    }
    "Topics" {
        /// Whether a topic is made for a client that asks for one that does not exist.
        allow_auto_topic_creation: bool = Key::flag("allowAutoTopicCreation", "true");
        /// What kind of topic is made then.
        auto_topic_kind: TopicKind = Key::choice("allowAutoTopicCreationType", "non-partitioned", TopicKind::WORDS);
        /// How many partitions a topic made that way has.
        default_partition_count: u64 = Key::number("defaultNumPartitions", "1", "partitions", 1, 10_000);
        /// Whether a subscription is made for a consumer that asks for one that does not exist.
        allow_auto_subscription_creation: bool = Key::flag("allowAutoSubscriptionCreation", "true");
        /// Whether a topic that nobody uses is deleted; retention by time keeps it.
        delete_inactive_topics: bool = Key::flag("brokerDeleteInactiveTopicsEnabled", "true").shipped("false");
        /// How often such topics are looked for.
        delete_inactive_topics_check_seconds: u64 =
            Key::number("brokerDeleteInactiveTopicsFrequencySeconds", "60", "seconds", 1, INT_MAX);
        /// Whether a topic keeps its place while it has subscriptions, or only while they have something to read.
        delete_inactive_topics_mode: String =
            Key::choice("brokerDeleteInactiveTopicsMode", "delete-when-no-subscriptions", INACTIVE_MODES);
        /// How long nobody must have used a topic; unset, as long as from one look to the next.
        delete_inactive_topics_after_seconds: Option<u64> =
            Key::number("brokerDeleteInactiveTopicsMaxInactiveDurationSeconds", "", "seconds", 0, INT_MAX);
        /// A subscription that nobody used for this long is deleted; 0 is never.
        subscription_expiration_minutes: u64 =
            Key::number("subscriptionExpirationTimeMinutes", "0", "minutes", 0, INT_MAX);
        /// How often such subscriptions are looked for.
        subscription_expiry_check_minutes: u64 =
            Key::number("subscriptionExpiryCheckIntervalInMinutes", "5", "minutes", 1, INT_MAX);
        /// Whether a namespace may be deleted with its topics.
        force_delete_namespace_allowed: bool = Key::flag("forceDeleteNamespaceAllowed", "false");
        /// Whether a tenant may be deleted with its namespaces.
        force_delete_tenant_allowed: bool = Key::flag("forceDeleteTenantAllowed", "false");
    }
    "Messages that wait" {
        /// A message that waits this long counts as acknowledged; 0 is never.
        message_ttl_seconds: u64 = Key::number("ttlDurationDefaultInSeconds", "0", "seconds", 0, INT_MAX);
        /// How often old messages are looked for.
        message_expiry_check_minutes: u64 =
            Key::number("messageExpiryCheckIntervalInMinutes", "5", "minutes", 1, INT_MAX);
        /// Whether backlogs are held to their quotas.
        backlog_quota_check: bool = Key::flag("backlogQuotaCheckEnabled", "true");
        /// How often they are looked at.
        backlog_quota_check_seconds: u64 =
            Key::number("backlogQuotaCheckIntervalInSeconds", "60", "seconds", 1, INT_MAX);
        /// How much may wait for a topic's slowest subscription; -1 is no bound.
        backlog_quota_bytes: Option<u64> = Key::number("backlogQuotaDefaultLimitBytes", "-1", "bytes", -1, i64::MAX);
        /// How long a message may wait for it; -1 is no bound.
        backlog_quota_seconds: Option<u64> =
            Key::number("backlogQuotaDefaultLimitSecond", "-1", "seconds", -1, INT_MAX);
        /// What happens beyond: producers wait, producers fail, or the oldest messages count as acknowledged.
        backlog_quota_policy: String =
            Key::choice("backlogQuotaDefaultRetentionPolicy", "producer-request-hold", QUOTA_POLICIES);
    }
    "Deduplication" {
        /// Whether messages that a producer sends again are known, and not stored twice.
        deduplication: bool = Key::flag("brokerDeduplicationEnabled", "false");
        /// Producers of a topic whose numbers are kept; beyond it those that are gone longest are forgotten.
        deduplication_producers_max: u64 =
            Key::number("brokerDeduplicationMaxNumberOfProducers", "10000", "producers", 1, INT_MAX);
        /// After so many entries the numbers are recorded, at most once a second; the start of a topic reads what is behind.
        deduplication_entries_interval: u64 =
            Key::number("brokerDeduplicationEntriesInterval", "1000", "entries", 1, INT_MAX);
        /// After so long they are recorded in any case.
        deduplication_record_seconds: u64 =
            Key::number("brokerDeduplicationSnapshotIntervalSeconds", "120", "seconds", 1, INT_MAX);
        /// How long a producer is remembered that is gone.
        deduplication_producer_minutes: u64 =
            Key::number("brokerDeduplicationProducerInactivityTimeoutMinutes", "360", "minutes", 1, INT_MAX);
    }
    "Schemas" {
        /// What a new schema of a topic must stand up to.
        schema_compatibility_strategy: String = Key::choice("schemaCompatibilityStrategy", "full", STRATEGIES);
        /// Whether producers may bring new versions of a schema.
        allow_auto_update_schema: bool = Key::flag("isAllowAutoUpdateSchemaEnabled", "true");
        /// Whether producers without a schema are kept from topics that have one.
        schema_validation_enforced: bool = Key::flag("isSchemaValidationEnforced", "false");
    }
    "Statistics" {
        /// Interval of the rates of ledgers and storage drivers in the metrics.
        ledger_stats_seconds: u64 = Key::number("managedLedgerStatsPeriodSeconds", "60", "seconds", 1, INT_MAX);
        /// Whether each topic has series of its own in the metrics, or a namespace's topics are one.
        metrics_by_topic: bool = Key::flag("exposeTopicLevelMetricsInPrometheus", "true");
        /// Whether a partition's number is a label of its own in the metrics, and not a part of the topic's name.
        metrics_partition_apart: bool = Key::flag("splitTopicAndPartitionLabelInPrometheus", "false");
    }
}
