//! The configurations that Pulsar's tutorials for Google Cloud Storage and Aliyun OSS show are accepted as they stand.

use longshore_plugin_api::DriverConfig;

use super::google::key_file_for_tests;
use crate::config::Settings;
use crate::environment::Environment;

/// Lines of a configuration file as a tutorial shows them.
const GCS: &str = r#"
managedLedgerOffloadDriver=google-cloud-storage
gcsManagedLedgerOffloadBucket=pulsar-topic-offload
gcsManagedLedgerOffloadRegion=europe-west3
gcsManagedLedgerOffloadServiceAccountKeyFile="/Users/hello/Downloads/project-804d5e6a6f33.json"
"#;
const OSS: &str = "
managedLedgerOffloadDriver=aliyun-oss
offloadersDirectory=offloaders
managedLedgerOffloadBucket=pulsar-topic-offload
managedLedgerOffloadServiceEndpoint=http://oss-us-west-1-internal.aliyuncs.com
";
/// Its table has another endpoint, and defaults that may be written out.
const OSS_TABLE: &str = "
managedLedgerOffloadDriver=Aliyun-OSS
offloadersDirectory=offloaders
managedLedgerOffloadBucket=pulsar-topic-offload
managedLedgerOffloadServiceEndpoint=http://oss-cn-hongkong.aliyuncs.com
managedLedgerOffloadReadBufferSizeInBytes=1048576
managedLedgerOffloadMaxBlockSizeInBytes=67108864
managedLedgerMinLedgerRolloverTimeMinutes=2
managedLedgerMaxEntriesPerLedger=5000
";
const OSS_ENVIRONMENT: [(&str, &str); 2] = [
    ("ALIYUN_OSS_ACCESS_KEY_ID", "ABC123456789"),
    ("ALIYUN_OSS_ACCESS_KEY_SECRET", "ded7db27a4558e2ea8bbf0bf37ae0e8521618f366c"),
];

fn read(lines: &str, environment: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let mut config = DriverConfig::default();
    for (key, value) in lines.lines().filter_map(|line| line.split_once('=')) {
        config.properties.insert(key.to_owned(), value.to_owned());
    }
    config.driver = config.properties["managedLedgerOffloadDriver"].clone();
    let settings = Settings::read(&config, &Environment::of(environment));
    settings.map_err(|problems| problems.iter().map(ToString::to_string).collect())
}

#[test]
fn configurations_of_tutorials_are_accepted_as_they_stand() {
    // The file of the tutorial lies on its author's machine.
    let said = read(GCS, &[]).unwrap_err();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with("no file at /Users/hello/Downloads/project-804d5e6a6f33.json"), "{said:?}");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("project-804d5e6a6f33.json"), key_file_for_tests()).unwrap();
    let gcs = GCS.replace("/Users/hello/Downloads", &folder.path().display().to_string());

    for (lines, environment, block_bytes, recorded) in [
        (gcs.as_str(), &[][..], 128 << 20, "GOOGLE_CLOUD_STORAGE"),
        (OSS, &OSS_ENVIRONMENT[..], 64 << 20, "ALIYUN_OSS"),
        (OSS_TABLE, &OSS_ENVIRONMENT[..], 64 << 20, "ALIYUN_OSS"),
    ] {
        let settings = read(lines, environment).unwrap();
        assert_eq!(settings.place.bucket, "pulsar-topic-offload");
        assert_eq!(settings.engine.upload.write.block_bytes_max, block_bytes);
        assert_eq!(settings.store.driver().recorded_name(), recorded);
        assert!(!format!("{settings:?}").contains(OSS_ENVIRONMENT[1].1));
    }
}
