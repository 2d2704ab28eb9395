//! What the profile says about one HDFS: where its NameNodes are, who we are, how files are written.
//!
//! Every property of the profile goes to the client crate, which has its own few (`dfs.client.failover.*`,
//! `dfs.data.transfer.protection`, …); read here is what must be right before anything is tried, and what the crate would take
//! differently than Hadoop does.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::Reader;

/// The port of a NameNode that is named without one (`fs.defaultFS`'s default in Hadoop 3).
pub(crate) const NAMENODE_PORT: u16 = 8020;

const REPLICATION: &str = "dfs.replication";
const BLOCK_SIZE: &str = "dfs.blocksize";
/// The same under its name of Hadoop 1, as Pulsar's examples still write it.
const BLOCK_SIZE_OLD: &str = "dfs.block.size";
const NAME_SERVICES: &str = "dfs.nameservices";
const NAMENODES: &str = "dfs.ha.namenodes";
const RPC_ADDRESS: &str = "dfs.namenode.rpc-address";
const AUTHENTICATION: &str = "hadoop.security.authentication";
const HDFS_CLASS: &str = "fs.hdfs.impl";
const SOCKET_TIMEOUT: &str = "dfs.client.socket-timeout";
const FAILOVER_ATTEMPTS: &str = "dfs.client.failover.max.attempts";
const USER: &str = "longshore.hdfs.user";
const DEADLINE: &str = "longshore.hdfs.deadline.ms";

/// The one class that `fs.hdfs.impl` may name.
const DISTRIBUTED_FILE_SYSTEM: &str = "org.apache.hadoop.hdfs.DistributedFileSystem";

/// What else the client crate takes from the profile.
const CRATE_KEYS: [&str; 3] =
    ["dfs.client.use.datanode.hostname", "dfs.data.transfer.protection", "dfs.user.home.dir.prefix"];
/// The same, whole families.
const CRATE_PREFIXES: [&str; 3] =
    ["dfs.client.failover.", "dfs.client.block.write.replace-datanode-on-failure.", "dfs.namenode.kerberos.principal"];

const REPLICATION_MAX: u64 = 512;
const BLOCK_BYTES_MAX: u64 = 1 << 40;
/// A block is a whole number of what one checksum covers (`dfs.bytes-per-checksum`).
const CHECKSUM_CHUNK_BYTES: u64 = 512;

/// How long one call of a NameNode, one read or one piece written may take. Below the host's own deadline of 30 s
/// (`offloadersCallTimeoutMs`), so that the error says who did not answer.
const DEADLINE_DEFAULT_MS: u64 = 25_000;
const DEADLINE_MAX_MS: u64 = 3_600_000;
/// A DataNode that says nothing for two fifths of the deadline is given up, which leaves time for another replica.
const SOCKET_TIMEOUT_FIFTHS: u64 = 2;
/// How often a NameNode is tried that stands alone and refuses: about seven seconds. With several, the crate goes round them
/// until the deadline.
const ALONE_ATTEMPTS: u64 = 3;

/// One HDFS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HdfsSettings {
    /// `hdfs://host:port`, or `hdfs://name-service`.
    pub(crate) url: String,
    /// For the client crate.
    pub(crate) properties: BTreeMap<String, String>,
    /// Who we say we are; `None` for HADOOP_USER_NAME, else the process's user.
    pub(crate) user: Option<String>,
    /// Copies of each block; `None` for the NameNode's default.
    pub(crate) replication: Option<u32>,
    /// Bytes of a block; `None` for the NameNode's default.
    pub(crate) block_size: Option<u64>,
    /// How long one call, one read, one piece written may take.
    pub(crate) deadline: Duration,
}

/// Whether a property of this name changes anything.
pub(crate) fn has_effect(name: &str) -> bool {
    let own = [
        REPLICATION,
        BLOCK_SIZE,
        BLOCK_SIZE_OLD,
        NAME_SERVICES,
        AUTHENTICATION,
        HDFS_CLASS,
        SOCKET_TIMEOUT,
        USER,
        DEADLINE,
    ];
    let families = [NAMENODES, RPC_ADDRESS];
    own.contains(&name)
        || CRATE_KEYS.contains(&name)
        || families.iter().any(|family| name == *family || name.starts_with(&format!("{family}.")))
        || CRATE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

impl HdfsSettings {
    /// The settings for `authority`: `host`, `host:port` or a name service. Problems go to the reader; with any, the answer is of
    /// no use.
    pub(crate) fn read(reader: &mut Reader<'_>, authority: &str) -> Self {
        check_class(reader);
        check_authentication(reader);
        let mut properties = reader.all_properties();
        let url = format!("hdfs://{}", resolve(reader, &mut properties, authority));
        let deadline_ms = reader.number(DEADLINE, 1, DEADLINE_MAX_MS).unwrap_or(DEADLINE_DEFAULT_MS);
        let socket_timeout_ms = reader.number(SOCKET_TIMEOUT, 1, DEADLINE_MAX_MS);
        let socket_timeout_ms = socket_timeout_ms.unwrap_or((deadline_ms * SOCKET_TIMEOUT_FIFTHS / 5).max(1));
        properties.insert(SOCKET_TIMEOUT.to_owned(), socket_timeout_ms.to_string());
        let replication = reader.number(REPLICATION, 1, REPLICATION_MAX).map(|number| number as u32);
        let block_size = block_size(reader);
        let user = reader.property(USER);
        Self { url, properties, user, replication, block_size, deadline: Duration::from_millis(deadline_ms) }
    }
}

fn check_class(reader: &mut Reader<'_>) {
    if let Some(class) = reader.property(HDFS_CLASS).filter(|class| class != DISTRIBUTED_FILE_SYSTEM) {
        reader.problem(HDFS_CLASS, format!("only {DISTRIBUTED_FILE_SYSTEM} is known: leave the property out"), class);
    }
}

fn check_authentication(reader: &mut Reader<'_>) {
    let method = reader.property(AUTHENTICATION).unwrap_or_default();
    if !["", "simple", "kerberos"].contains(&method.to_ascii_lowercase().as_str()) {
        reader.problem(AUTHENTICATION, "allowed are simple and kerberos".to_owned(), method);
    }
}

fn block_size(reader: &mut Reader<'_>) -> Option<u64> {
    let (name, value) =
        [BLOCK_SIZE, BLOCK_SIZE_OLD].into_iter().find_map(|name| Some((name, reader.property(name)?)))?;
    let bytes = bytes_of(&value)
        .filter(|bytes| (1..=BLOCK_BYTES_MAX).contains(bytes) && bytes.is_multiple_of(CHECKSUM_CHUNK_BYTES));
    if bytes.is_none() {
        let problem =
            format!("bytes are allowed, also with k, m or g behind them, a multiple of {CHECKSUM_CHUNK_BYTES}");
        reader.problem(name, problem, value);
    }
    bytes
}

/// A number with a binary prefix, as Hadoop takes it: `128m`.
fn bytes_of(value: &str) -> Option<u64> {
    let (digits, shift) = match value.char_indices().last()? {
        (end, letter) if letter.is_ascii_alphabetic() => {
            let power = "kmgt".find(letter.to_ascii_lowercase())? as u32 + 1;
            (&value[..end], 10 * power)
        }
        _ => (value, 0),
    };
    digits.trim().parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// What the client is pointed to: the NameNode itself, or a name service whose NameNodes `properties` then lists as the client
/// takes them.
fn resolve(reader: &mut Reader<'_>, properties: &mut BTreeMap<String, String>, authority: &str) -> String {
    let list = format!("{NAMENODES}.{authority}");
    if let Some(ids) = properties.get(&list).cloned() {
        let ids: Vec<&str> = ids.split(',').map(str::trim).filter(|id| !id.is_empty()).collect();
        for id in &ids {
            let key = format!("{RPC_ADDRESS}.{authority}.{id}");
            match properties.get(&key).map(|address| with_port(address)) {
                Some(address) => drop(properties.insert(key, address)),
                None => reader.problem(
                    &list,
                    format!("{key} is missing: write the host:port of this NameNode"),
                    ids.join(","),
                ),
            }
        }
        if ids.is_empty() {
            reader.problem(&list, "it names no NameNode".to_owned(), String::new());
        }
        properties.insert(list, ids.join(","));
        return authority.to_owned();
    }
    if let Some(address) = properties.get(&format!("{RPC_ADDRESS}.{authority}")).map(|address| with_port(address)) {
        return address;
    }
    let services = properties.get(NAME_SERVICES).cloned().unwrap_or_default();
    if services.split(',').any(|service| service.trim() == authority) {
        reader.problem(NAME_SERVICES, format!("{list} is missing: write the ids of its NameNodes"), services);
    }
    properties.entry(FAILOVER_ATTEMPTS.to_owned()).or_insert(ALONE_ATTEMPTS.to_string());
    with_port(authority)
}

fn with_port(address: &str) -> String {
    let host = address.rsplit(']').next().unwrap_or(address);
    if host.contains(':') { address.to_owned() } else { format!("{address}:{NAMENODE_PORT}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::config::tests::with_profile;

    fn on(uri: &str, values: &[(&str, &str)]) -> HdfsSettings {
        let settings: Settings = with_profile(values, uri).unwrap();
        settings.hdfs.into_values().next().unwrap()
    }

    fn problem(uri: &str, values: &[(&str, &str)]) -> String {
        let problems = with_profile(values, uri).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].to_string()
    }

    #[test]
    fn a_namenode_alone_needs_no_profile() {
        let settings = on("hdfs://nn:9000/tier", &[]);
        assert_eq!(settings.url, "hdfs://nn:9000");
        assert_eq!((settings.replication, settings.block_size, settings.user), (None, None, None));
        assert_eq!(settings.deadline, Duration::from_secs(25));
        assert_eq!(settings.properties[SOCKET_TIMEOUT], "10000");
        assert_eq!(on("hdfs://nn", &[]).url, "hdfs://nn:8020");
        assert_eq!(on("hdfs://[::1]/x", &[]).url, "hdfs://[::1]:8020");
    }

    #[test]
    fn files_are_written_as_the_profile_says() {
        let values = [(REPLICATION, "2"), (BLOCK_SIZE_OLD, "4m"), (USER, "pulsar"), (DEADLINE, "1000")];
        let settings = on("hdfs://nn:9000", &values);
        assert_eq!((settings.replication, settings.block_size), (Some(2), Some(4 << 20)));
        assert_eq!((settings.user.as_deref(), settings.deadline), (Some("pulsar"), Duration::from_secs(1)));
        for value in ["0", "1000", "1z", "m", "", "-1", "99999999999999999999", "16777216t"] {
            assert_eq!(bytes_of(value).filter(|bytes| *bytes > 0 && bytes % 512 == 0), None, "{value}");
        }
        assert!(problem("hdfs://nn", &[(BLOCK_SIZE, "1000")]).contains("a multiple of 512"));
    }

    #[test]
    fn a_name_service_names_its_namenodes() {
        let values = [
            ("dfs.nameservices", "cluster"),
            ("dfs.ha.namenodes.cluster", " nn1, nn2 "),
            ("dfs.namenode.rpc-address.cluster.nn1", "one:9000"),
            ("dfs.namenode.rpc-address.cluster.nn2", "two"),
        ];
        let settings = on("hdfs://cluster/tier", &values);
        assert_eq!(settings.url, "hdfs://cluster");
        assert_eq!(settings.properties["dfs.ha.namenodes.cluster"], "nn1,nn2");
        assert_eq!(settings.properties["dfs.namenode.rpc-address.cluster.nn2"], "two:8020");
        assert!(!settings.properties.contains_key(FAILOVER_ATTEMPTS));
        let missing = problem("hdfs://cluster", &values[..3]);
        assert!(missing.contains("dfs.namenode.rpc-address.cluster.nn2 is missing"), "{missing}");
        let unlisted = problem("hdfs://cluster", &values[..1]);
        assert!(unlisted.contains("dfs.ha.namenodes.cluster is missing"), "{unlisted}");
        let alone = on("hdfs://cluster", &[("dfs.namenode.rpc-address.cluster", "one:9000")]);
        assert_eq!(alone.url, "hdfs://one:9000");
    }

    #[test]
    fn what_is_not_supported_is_refused_by_its_key() {
        let overload = "org.apache.hadoop.fs.viewfs.ViewFileSystemOverloadScheme";
        assert!(problem("hdfs://nn", &[(HDFS_CLASS, overload)]).starts_with(HDFS_CLASS));
        assert!(problem("hdfs://nn", &[(AUTHENTICATION, "token")]).contains("simple and kerberos"));
        assert!(
            problem("hdfs://nn", &[(AUTHENTICATION, "a${hadoop.security.authentication}")])
                .contains("refers to itself")
        );
        on("hdfs://nn", &[(AUTHENTICATION, "kerberos"), (HDFS_CLASS, DISTRIBUTED_FILE_SYSTEM)]);
    }
}
