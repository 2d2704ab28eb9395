//! What requests carry: signatures, regions, checksums, and what keys add.

use longshore_plugin_api::{ErrorCode, Offloader, OffloaderFactory};
use tiered_storage_jcloud::ObjectStoreFactory;

use crate::kit::{Rig, SECRET, config, offload, payloads, read};
use crate::stub::s3::MiniS3;
use crate::stub::{Reply, Seen};

const ENTRIES: usize = 12_000;
const SMALL_PARTS: (&str, &str) = ("managedLedgerOffloadExtraConfigPartSizeInBytes", "5242880");

fn is_data_get(seen: &Seen) -> bool {
    seen.method == "GET" && seen.path.ends_with("-ledger-5")
}

#[tokio::test]
async fn every_request_is_signed_for_the_region() {
    let rig = Rig::new(|_| None).await;
    let driver = rig.driver(&[SMALL_PARTS]).await;
    offload(&driver, ENTRIES).await.unwrap();
    driver.health().await.unwrap();
    for seen in rig.stub.seen() {
        let authorization = seen.header("authorization");
        assert!(authorization.contains("AKEXAMPLE/") && authorization.contains("/eu-west-3/s3/"), "{seen:?}");
        assert!(!format!("{:?}", seen.headers).contains(SECRET));
        assert!(seen.path.starts_with("/tier"), "an endpoint means path style: {}", seen.path);
    }
    let metadata = driver.driver_metadata();
    assert_eq!((metadata["region"].as_str(), metadata["bucket"].as_str()), ("eu-west-3", "tier"));
    assert_eq!(metadata["serviceEndpoint"], rig.stub.url);
    assert_eq!(metadata["managedLedgerOffloadDriver"], "AWS_S3");
}

#[tokio::test]
async fn a_region_that_is_not_configured_is_asked_for_once() {
    let rig = Rig::new(|seen| {
        let asked = seen.method == "HEAD" && matches!(seen.path.as_str(), "/tier" | "/tier/");
        asked.then(|| Reply::new(403, "").with("x-amz-bucket-region", "eu-central-1"))
    })
    .await;
    let driver = rig.driver(&[("s3ManagedLedgerOffloadRegion", "")]).await;
    offload(&driver, 10).await.unwrap();
    let unsigned = rig.stub.count(|seen| seen.header("authorization").is_empty());
    let regional = rig.stub.count(|seen| seen.header("authorization").contains("/eu-central-1/s3/"));
    assert_eq!((unsigned, regional), (1, rig.stub.seen().len() - 1));
}

#[tokio::test]
async fn parts_are_verified_by_the_store_or_read_back() {
    for (repeats_checksums, setting, read_back) in
        [(true, "crc32c", false), (false, "crc32c", true), (true, "none", true)]
    {
        let rig = Rig::on(MiniS3::new(repeats_checksums), |_| None).await;
        let driver = rig.driver(&[SMALL_PARTS, ("managedLedgerOffloadExtraConfigChecksum", setting)]).await;
        offload(&driver, ENTRIES).await.unwrap();
        assert_eq!(rig.stub.count(is_data_get) > 0, read_back, "{repeats_checksums} {setting}");
        let seen = rig.stub.seen();
        let parts: Vec<&Seen> = seen.iter().filter(|seen| seen.asks("partNumber").is_some()).collect();
        assert!(parts.len() >= 3);
        assert!(parts.iter().all(|part| part.header("x-amz-checksum-crc32c").is_empty() == (setting == "none")));
        let complete = seen.iter().find(|it| it.method == "POST" && it.asks("uploadId").is_some()).unwrap();
        assert_eq!(complete.text().contains("<ChecksumCRC32C>"), setting == "crc32c");
        assert!(read(&driver, ENTRIES).await.unwrap() == payloads(ENTRIES));
    }
}

#[tokio::test]
async fn keys_say_what_new_objects_are_written_with() {
    let rig = Rig::new(|_| None).await;
    let driver = rig
        .driver(&[
            SMALL_PARTS,
            ("managedLedgerOffloadExtraConfigServerSideEncryption", "aws:kms"),
            ("managedLedgerOffloadExtraConfigKmsKeyId", "key-1"),
            ("managedLedgerOffloadExtraConfigStorageClass", "STANDARD_IA"),
            ("managedLedgerOffloadExtraConfigTags", "team=ships&cost=7"),
        ])
        .await;
    offload(&driver, ENTRIES).await.unwrap();
    let carries = |seen: &Seen| {
        [
            ("x-amz-server-side-encryption", "aws:kms"),
            ("x-amz-server-side-encryption-aws-kms-key-id", "key-1"),
            ("x-amz-storage-class", "STANDARD_IA"),
            ("x-amz-tagging", "team=ships&cost=7"),
        ]
        .iter()
        .filter(|(name, value)| seen.header(name) == *value)
        .count()
    };
    for seen in rig.stub.seen() {
        let begins = seen.asks("uploads").is_some() && seen.method == "POST";
        let writes = seen.method == "PUT" && seen.query.is_empty();
        assert_eq!(
            carries(&seen),
            if begins || writes { 4 } else { 0 },
            "{} {}?{}",
            seen.method,
            seen.path,
            seen.query
        );
        assert!(carries(&seen) == 0 || seen.header("authorization").contains("x-amz-tagging"), "they are signed");
    }
}

#[tokio::test]
async fn mistakes_are_told_when_a_driver_is_configured() {
    let key = [
        ("s3ManagedLedgerOffloadCredentialId", "AKEXAMPLE"),
        ("s3ManagedLedgerOffloadCredentialSecret", SECRET),
        ("s3ManagedLedgerOffloadBucket", "tier"),
    ];
    let endpoint = ("s3ManagedLedgerOffloadServiceEndpoint", "http://127.0.0.1:1");
    let extra = |name: &str| format!("managedLedgerOffloadExtraConfig{name}");
    // Driver, further keys, and the keys that are wrong.
    type Case<'a> = (&'a str, Vec<(String, &'a str)>, Vec<String>);
    let table: Vec<Case<'_>> = vec![
        ("aws-s3", vec![], vec!["s3ManagedLedgerOffloadRegion".to_owned()]),
        ("S3", vec![], vec!["managedLedgerOffloadServiceEndpoint".to_owned()]),
        (
            "S3",
            vec![("s3ManagedLedgerOffloadRegion".to_owned(), "eu-west-1")],
            vec!["managedLedgerOffloadServiceEndpoint".to_owned()],
        ),
        ("S3", vec![(endpoint.0.to_owned(), endpoint.1)], vec![]),
        (
            "aws-s3",
            vec![("s3ManagedLedgerOffloadRegion".to_owned(), "EU west")],
            vec!["s3ManagedLedgerOffloadRegion".to_owned()],
        ),
        (
            "aws-s3",
            vec![
                (endpoint.0.to_owned(), endpoint.1),
                ("s3ManagedLedgerOffloadMaxBlockSizeInBytes".to_owned(), "5242879"),
                ("s3ManagedLedgerOffloadRole".to_owned(), "admin"),
                ("s3ManagedLedgerOffloadRoleSessionName".to_owned(), "x y"),
                (extra("VirtualHostStyle"), "maybe"),
                (extra("ServerSideEncryption"), "rot13"),
                (extra("KmsKeyId"), "k"),
                (extra("StorageClass"), "cold storage"),
                (extra("Tags"), "a=b&c"),
                (extra("Checksum"), "md4"),
            ],
            vec![
                "s3ManagedLedgerOffloadMaxBlockSizeInBytes".to_owned(),
                extra("VirtualHostStyle"),
                "s3ManagedLedgerOffloadRole".to_owned(),
                "s3ManagedLedgerOffloadRoleSessionName".to_owned(),
                extra("ServerSideEncryption"),
                extra("KmsKeyId"),
                extra("StorageClass"),
                extra("Tags"),
                extra("Checksum"),
            ],
        ),
    ];
    for (driver, more, expected) in table {
        let mut properties = key.to_vec();
        properties.extend(more.iter().map(|(key, value)| (key.as_str(), *value)));
        let config = config(driver, &properties);
        let problems = ObjectStoreFactory::validate(&config);
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key.as_str()).collect();
        assert_eq!(keys, expected, "{driver} {more:?}");
        if !expected.is_empty() {
            assert_eq!(ObjectStoreFactory::create(config).await.unwrap_err().code(), ErrorCode::InvalidConfig);
        }
    }
}

#[tokio::test]
async fn a_bucket_goes_before_the_hosts_name_where_that_is_asked_for() {
    // opendal takes a bucket's name off the front of a host: this one's begins with it.
    for style in ["true", "false"] {
        let rig = Rig::new(|_| None).await;
        let endpoint = ("s3ManagedLedgerOffloadServiceEndpoint", "http://tier.example.invalid:1");
        let driver = rig.driver(&[endpoint, ("managedLedgerOffloadExtraConfigVirtualHostStyle", style)]).await;
        let one = driver.health().await.unwrap_err();
        let parts = offload(&driver, 12_000).await.unwrap_err();
        // It was about to go there, and the name leads nowhere.
        assert_eq!((one.code(), parts.code()), (ErrorCode::Unavailable, ErrorCode::Unavailable), "{one} {parts}");
    }
}

#[test]
fn half_a_key_is_a_mistake() {
    let half = config(
        "aws-s3",
        &[
            ("s3ManagedLedgerOffloadBucket", "tier"),
            ("s3ManagedLedgerOffloadRegion", "eu-west-1"),
            ("s3ManagedLedgerOffloadCredentialSecret", SECRET),
        ],
    );
    let problems = ObjectStoreFactory::validate(&half);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].key, "s3ManagedLedgerOffloadCredentialId");
    assert!(!problems[0].to_string().contains(SECRET));
}
