//! What a whole configuration answers: values, mistakes, warnings, and what drivers get.

use std::path::Path;

use super::*;

fn load(text: &str) -> Result<(Config, Vec<Warning>), ConfigErrors> {
    Config::from_sources(&[Source::text("b.conf", text)])
}

fn mistakes(text: &str) -> Vec<String> {
    load(text).unwrap_err().0.iter().map(Mistake::to_string).collect()
}

fn warnings(text: &str) -> Vec<String> {
    load(text).unwrap().1.iter().map(Warning::to_string).collect()
}

#[test]
fn defaults_are_the_originals() {
    let (config, warnings) = Config::from_sources(&[]).unwrap();
    assert_eq!(warnings, []);
    assert_eq!((config.broker_service_port, config.web_service_port), (6650, 8080));
    assert_eq!((config.ledger_entries_max, config.ledger_size_max_mbytes), (50_000, 2048));
    assert_eq!((config.ledger_rollover_min_minutes, config.ledger_rollover_max_minutes), (10, 240));
    assert_eq!((config.default_retention_minutes, config.default_retention_size_mb), (Some(0), Some(0)));
    assert_eq!((config.offload_deletion_lag_ms, config.offload_threshold_bytes), (None, None));
    assert_eq!((config.offload_driver, config.message_size_max_bytes), (None, 5_242_880));
    assert_eq!(config.offload_properties, [].into());
}

#[test]
fn the_built_in_file_offloads_to_a_folder_beside_the_data() {
    let (config, _) = Config::load(None).unwrap();
    let working_folder = std::env::current_dir().unwrap();
    assert_eq!(config.offload_driver.as_deref(), Some("filesystem"));
    assert_eq!(
        config.offload_properties["fileSystemURI"],
        format!("file://{}/data/offloaded", working_folder.display())
    );
    assert_eq!(config.search_folders, [working_folder.clone(), working_folder.join("conf")]);
    assert_eq!(config.offload_deletion_lag_ms, Some(14_400_000));
}

#[test]
fn the_shipped_file_finds_its_profile_beside_itself() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/standalone.conf");
    let (config, warnings) = Config::load(Some(&shipped)).unwrap();
    assert_eq!(warnings, []);
    let profile = config.file_system_profile_path.unwrap();
    assert!(resolve_existing("fileSystemProfilePath", &profile, &config.search_folders).is_ok());
}

#[test]
fn negative_numbers_are_none_and_empty_values_are_defaults() {
    let (config, _) =
        load("defaultRetentionTimeInMinutes=-1\nmanagedLedgerOffloadDeletionLagMs=-5\nwebServicePort=\n").unwrap();
    assert_eq!((config.default_retention_minutes, config.offload_deletion_lag_ms), (None, None));
    assert_eq!(config.web_service_port, 8080);
}

#[test]
fn the_other_spelling_wins_unless_it_is_empty() {
    let both = "managedLedgerOffloadDeletionLagMs=1\nmanagedLedgerOffloadDeletionLagInMillis=2";
    assert_eq!(load(both).unwrap().0.offload_deletion_lag_ms, Some(2));
    let empty = "managedLedgerOffloadDeletionLagMs=1\nmanagedLedgerOffloadDeletionLagInMillis=";
    assert_eq!(load(empty).unwrap().0.offload_deletion_lag_ms, Some(1));
    let priority = "managedLedgerOffloadedReadPriority=BOOKKEEPER_FIRST";
    assert_eq!(load(priority).unwrap().0.offload_read_priority, ReadPriority::BookkeeperFirst);
}

#[test]
fn a_later_source_overrules_an_earlier_one_without_a_warning() {
    let sources =
        [Source::text("a", "brokerServicePort=1\nwebServicePort=2"), Source::text("b", "brokerServicePort=3")];
    let (config, warnings) = Config::from_sources(&sources).unwrap();
    assert_eq!((config.broker_service_port, config.web_service_port), (3, 2));
    assert_eq!(warnings, []);
}

#[test]
fn every_mistake_is_answered_at_once_with_file_line_key_value_and_what_is_allowed() {
    let text =
        "# head\nbrokerServicePort=many\n\nallowAutoTopicCreation=yes\nwebServicePort=70000\nclusterName=\\u12\n=x\n";
    assert_eq!(
        mistakes(text),
        [
            "b.conf:2: brokerServicePort=many: not a whole number; allowed: a whole number from 0 to 65535",
            "b.conf:4: allowAutoTopicCreation=yes: neither true nor false; allowed: true or false",
            "b.conf:5: webServicePort=70000: out of bounds; allowed: a whole number from 0 to 65535",
            "b.conf:6: \\u12 is not an escape; allowed: \\u and four hexadecimal digits, or \\\\u for the letters",
            "b.conf:7: `=x` has no key; allowed: key=value",
        ]
    );
    let shown = load(text).unwrap_err().to_string();
    assert!(shown.starts_with("5 mistakes in the configuration\n  b.conf:2: "), "{shown}");
}

#[test]
fn keys_that_contradict_each_other_are_a_mistake() {
    assert_eq!(
        mistakes("managedLedgerMinLedgerRolloverTimeMinutes=300"),
        [
            "b.conf:1: managedLedgerMinLedgerRolloverTimeMinutes=300: a ledger cannot be closed after 240 minutes at most and \
          300 at least; allowed: a maximum not under the minimum"
        ]
    );
    assert!(mistakes("webServicePort=6650")[0].contains("differ"));
    load("webServicePort=0\nbrokerServicePort=0").expect("two free ports differ");
}

#[test]
fn a_lost_line_break_is_shown() {
    assert_eq!(
        mistakes("allowAutoTopicCreation=truebrokerServicePort=6651"),
        [
            "b.conf:1: allowAutoTopicCreation=truebrokerServicePort=6651: neither true nor false; allowed: true or false; the \
          line `allowAutoTopicCreation=truebrokerServicePort=6651` looks like two: put a line break before `brokerServicePort`"
        ]
    );
    assert_eq!(
        warnings("clusterName=standalonemanagedLedgerOffloadDriver=filesystem"),
        [
            "b.conf:1: the line `clusterName=standalonemanagedLedgerOffloadDriver=filesystem` looks like two: put a line break \
          before `managedLedgerOffloadDriver`"
        ]
    );
    assert_eq!(warnings("s3ManagedLedgerOffloadServiceEndpoint=http://127.0.0.1:9000/?a=b"), [""; 0]);
}

#[test]
fn secrets_are_never_shown() {
    let text = "s3ManagedLedgerOffloadCredentialSecret=hush1clusterName=x\ntokenSecretKey=hush2\nmyPassword=hush3";
    let said = warnings(text).join("\n");
    assert!(!said.contains("hush"), "{said}");
    assert!(said.contains("s3ManagedLedgerOffloadCredentialSecret=***"), "{said}");
}

#[test]
fn duplicates_are_warned_of_once_and_unknown_keys_are_kept_for_the_plugins_to_judge() {
    let (config, said) = load("brokerServicePort=1\nbrokerServicePort=2\nbrokerServicePorts=3\nxyz=4\n").unwrap();
    let said: Vec<String> = said.into_iter().map(|warning| warning.text).collect();
    assert_eq!(said, ["b.conf:2: `brokerServicePort` stands on line 1 already; the last one counts"]);
    let told: Vec<&str> = config.unknown_keys.iter().map(|unknown| unknown.told.as_str()).collect();
    assert_eq!(told, ["`brokerServicePorts` (b.conf:3, did you mean `brokerServicePort`?)", "`xyz` (b.conf:4)"]);
    assert_eq!(config.foreign_properties()["xyz"], "4");
}

#[test]
fn keys_without_effect_are_info_and_protective_ones_are_louder() {
    let (_, warnings) = load("zookeeperServers=z\ntlsEnabled=true\nproxyRoles=p").unwrap();
    let severities: Vec<Severity> = warnings.iter().map(|warning| warning.severity).collect();
    assert_eq!(severities, [Severity::Warn, Severity::Warn, Severity::Info]);
    assert!(warnings[0].text.contains("TLS listens where"), "{}", warnings[0]);
    assert!(warnings[1].text.contains("proxyRoles=p (of this,"), "{}", warnings[1]);
    assert_eq!(warnings[2].text, "keys of Apache Pulsar that have no effect here, which is harmless: zookeeperServers");
}

/// The file as it is shipped, with a tutorial's lines appended to it by an editor that ends no line.
#[test]
fn the_originals_own_file_asks_for_nothing_and_what_is_appended_counts() {
    let appended = "managedLedgerOffloadDriver=aws-s3\n\ns3ManagedLedgerOffloadBucket=\"test-pulsar-offload\"\n\
                    managedLedgerMaxEntriesPerLedger=5000\nmaxProducersPerTopic=3600\nmaxConsumersPerTopic=9";
    let (config, said) = load(&format!("{}{appended}", include_str!("pulsar-4.0.6.properties"))).unwrap();
    assert_eq!(config.unknown_keys, []);
    assert_eq!((config.offload_driver.as_deref(), config.ledger_entries_max), (Some("aws-s3"), 5000));
    assert_eq!(config.s3_bucket.as_deref(), Some("test-pulsar-offload"));
    let asking: Vec<&str> = said.iter().map(|warning| warning.text.as_str()).filter(|t| t.contains("would")).collect();
    let want = "keys that would change what Apache Pulsar does, and change nothing here: maxConsumersPerTopic=9 \
                (not offered by this broker); maxProducersPerTopic=3600 (not offered by this broker)";
    assert_eq!(asking, [want]);
    assert_eq!(said.iter().filter(|warning| warning.text.contains("which is harmless")).count(), 1);

    // The original's file ends without a line break, so that the first line that is appended stands in its last.
    let original = include_str!("pulsar-4.0.6.properties").trim_end();
    let (config, said) = load(&format!("{original}{appended}")).unwrap();
    assert_eq!(config.offload_driver.as_deref(), Some("aws-s3"));
    let parted = "which is read as two: put a line break before `managedLedgerOffloadDriver`";
    assert_eq!(said.iter().filter(|warning| warning.text.contains(parted)).count(), 1, "{said:?}");

    let (_, said) = load(include_str!("pulsar-4.0.6.properties")).unwrap();
    assert!(said.iter().all(|warning| !warning.text.contains("would")), "{said:?}");
}

#[test]
fn drivers_get_every_offload_key_as_it_stands() {
    let text = "managedLedgerOffloadDriver=FileSystem\nfileSystemURI=file:///tier\nclusterName=x\n\
                managedLedgerOffloadExtraConfigColour=blue\ns3ManagedLedgerOffloadBucket=\nacmeManagedLedgerOffloadShelf=3\n";
    let (config, warnings) = load(text).unwrap();
    let handed: Vec<(&str, &str)> = config.offload_properties.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        handed,
        [
            ("acmeManagedLedgerOffloadShelf", "3"),
            ("fileSystemURI", "file:///tier"),
            ("managedLedgerOffloadDriver", "FileSystem"),
            ("managedLedgerOffloadExtraConfigColour", "blue"),
        ]
    );
    assert_eq!(warnings, []);
    let unknown: Vec<&str> = config.unknown_keys.iter().map(|unknown| unknown.key.as_str()).collect();
    assert_eq!(unknown, ["acmeManagedLedgerOffloadShelf"], "its plugin may know it");
}

#[test]
fn a_file_that_cannot_be_read_is_a_mistake() {
    let error = Config::load(Some(Path::new("/no/such.conf"))).unwrap_err().to_string();
    assert!(error.contains("/no/such.conf: cannot be read: "), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.conf");
    std::fs::write(&large, vec![b'#'; (4 << 20) + 1]).unwrap();
    assert!(Config::load(Some(&large)).unwrap_err().to_string().contains("larger than 4194304 bytes"));
}
