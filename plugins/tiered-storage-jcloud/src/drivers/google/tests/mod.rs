//! Proves the driver against a stand-in for what no emulator has: the token exchange with the requests that need the token, the
//! XML interface's uploads in parts, resumable uploads that lose requests and answers, and checksums that are compared.

mod stub;

use std::collections::BTreeMap;

use block_format::store::{BlobStore, ListRequest, ObjectAttributes};
use block_format::user_metadata::UserMetadata;
use block_format::{CopyEngine, crc};
use bytes::Bytes;
use longshore_plugin_api::{DriverConfig, ErrorCode, LedgerReader, OffloadRequest, ReadHandle, StoredLedger};
use uuid::Uuid;

use super::service_account::tests::key_file;
use super::*;
use crate::config::Settings;
use crate::environment::Environment;
use stub::{Fault, Stub};

const BUCKET: &str = "tier";
const EXTRA: &str = "managedLedgerOffloadExtraConfig";

/// A store at the stub, as keys configure it.
struct Bench {
    stub: Stub,
    _folder: tempfile::TempDir,
    properties: BTreeMap<String, String>,
}

impl Bench {
    async fn start(extra: &[(&str, &str)]) -> Self {
        let stub = Stub::start(BUCKET).await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.json");
        std::fs::write(&file, key_file(&format!("{}/token", stub.address)).to_string()).unwrap();
        let mut properties = BTreeMap::from([
            ("gcsManagedLedgerOffloadBucket".to_owned(), BUCKET.to_owned()),
            ("managedLedgerOffloadServiceEndpoint".to_owned(), stub.address.clone()),
            // As a tutorial shows it.
            (KEY_FILE.to_owned(), format!("\"{}\"", file.display())),
        ]);
        properties.extend(extra.iter().map(|(name, value)| (format!("{EXTRA}{name}"), (*value).to_owned())));
        Self { stub, _folder: folder, properties }
    }

    fn settings(&self) -> Settings {
        read(&self.properties).unwrap()
    }

    fn store(&self) -> Arc<dyn BlobStore> {
        self.settings().bucket(BUCKET).unwrap()
    }

    fn engine(&self) -> Arc<CopyEngine> {
        Arc::new(CopyEngine::new(self.store(), self.settings().engine).unwrap())
    }
}

fn read(properties: &BTreeMap<String, String>) -> std::result::Result<Settings, String> {
    let config = DriverConfig {
        driver: "google-cloud-storage".to_owned(),
        properties: properties.clone(),
        search_folders: Vec::new(),
    };
    Settings::read(&config, &Environment::default())
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}

fn attributes() -> ObjectAttributes {
    let user_metadata: UserMetadata = [("ManagedLedgerName".to_owned(), "a b".to_owned())].into_iter().collect();
    ObjectAttributes { content_type: "application/octet-stream", user_metadata }
}

fn payloads(count: usize, bytes: usize) -> Vec<Bytes> {
    (0..count).map(|id| (0..bytes).map(|at| (id * 31 + at * 7 + at / 251) as u8).collect::<Vec<u8>>().into()).collect()
}

/// Offloads a ledger of this many megabytes, and reads it back.
async fn round_trip(engine: &Arc<CopyEngine>, megabytes: usize) {
    let (ledger_id, uid, managed_ledger) = (7, Uuid::from_u128(9), "t/n/persistent/x".to_owned());
    let payloads = payloads(megabytes, 1 << 20);
    let request = OffloadRequest { ledger_id, uid, managed_ledger: managed_ledger.clone(), extra: BTreeMap::new() };
    engine.offload(LedgerReader::in_memory(ledger_id, payloads.clone()), request).await.unwrap();
    let stored = StoredLedger { ledger_id, uid, managed_ledger, driver_metadata: BTreeMap::new() };
    let handle = engine.open_read(&stored).await.unwrap();
    let mut first = 0;
    while first < megabytes as u64 {
        let entries = handle.read(first, megabytes as u64 - 1, 16 << 20).await.unwrap();
        for entry in &entries {
            assert!(entry.payload == payloads[entry.entry_id as usize], "entry {}", entry.entry_id);
        }
        first += entries.len() as u64;
    }
    handle.close().await;
    engine.delete(&stored).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_of_more_than_32_blocks_goes_out_in_parts_with_checksums_and_comes_back() {
    let bench = Bench::start(&[("PartSizeInBytes", "5242880")]).await;
    let mut properties = bench.properties.clone();
    properties.insert("gcsManagedLedgerOffloadMaxBlockSizeInBytes".to_owned(), "5242880".to_owned());
    let settings = read(&properties).unwrap();
    assert_eq!(settings.engine.upload.write.block_bytes_max, 5 << 20);
    let engine = Arc::new(CopyEngine::new(settings.bucket(BUCKET).unwrap(), settings.engine).unwrap());
    // A block holds four of them.
    round_trip(&engine, 33 * 4).await;
    let stub = bench.stub.state();
    assert!(stub.parts_written > 26, "{}", stub.parts_written);
    assert_eq!((stub.objects.len(), stub.uploads.len(), stub.exchanges), (0, 0, 1), "{stub:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_goes_out_in_chunks_too() {
    let bench = Bench::start(&[("UploadMethod", "resumable"), ("PartSizeInBytes", "5400000")]).await;
    assert_eq!(bench.settings().engine.upload.parts_in_flight_max, 1);
    round_trip(&bench.engine(), 23).await;
    let stub = bench.stub.state();
    assert!(stub.chunks_written >= 5 && stub.parts_written == 0, "{stub:?}");
    assert_eq!((stub.objects.len(), stub.sessions.len()), (0, 0), "{stub:?}");
}

#[tokio::test]
async fn the_default_block_is_128_mib_and_the_default_store_is_googles() {
    let bench = Bench::start(&[]).await;
    let mut properties = bench.properties.clone();
    properties.remove("managedLedgerOffloadServiceEndpoint");
    let settings = read(&properties).unwrap();
    assert_eq!(settings.engine.upload.write.block_bytes_max, 128 << 20);
    let crate::drivers::Store::Google(google) = &settings.store else { panic!("{settings:?}") };
    assert_eq!(google.endpoint.base(), "https://storage.googleapis.com");
    assert_eq!(settings.store.driver().recorded_name(), "GOOGLE_CLOUD_STORAGE");
}

/// Parts of 1 byte less than a multiple of 256 KiB, in no order, over a store that keeps half, loses requests and answers.
#[tokio::test(flavor = "multi_thread")]
async fn chunks_survive_what_happens_to_them_on_their_way() {
    for fault in [Fault::None, Fault::KeepsHalf, Fault::LosesAnswers, Fault::LosesRequests] {
        let bench = Bench::start(&[("UploadMethod", "resumable")]).await;
        bench.stub.state().fault = fault;
        let store = bench.store();
        let upload = store.begin_multipart("k", &attributes()).await.unwrap();
        let parts = payloads(4, (1 << 20) - 1);
        let put = |number: u32| {
            let (store, upload, body) = (&store, &upload, parts[number as usize - 1].clone());
            async move {
                for _ in 0..10 {
                    match store.put_part("k", upload, number, body.clone().into(), crc::of(&body)).await {
                        Ok(tag) => return tag,
                        Err(error) => assert!(error.is_retryable(), "{fault:?}: {error}"),
                    }
                }
                panic!("{fault:?}: part {number} does not arrive");
            }
        };
        let (tag4, tag2, tag3, tag1) = tokio::join!(put(4), put(2), put(3), put(1));
        let tags = [tag1, tag2, tag3, tag4];
        assert_eq!(put(2).await, tags[1], "a part that is there is not written again");
        assert_eq!(store.list_multiparts("k").await.unwrap().len(), 1);
        let error = store.complete_multipart("k", &upload, &tags[..3]).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        for attempt in 0.. {
            match store.complete_multipart("k", &upload, &tags).await {
                Ok(()) => break,
                Err(error) => assert!(error.is_retryable() && attempt < 10, "{fault:?}: {error}"),
            }
        }
        let expected = parts.concat();
        assert!(bench.stub.state().objects["k"].bytes == expected, "{fault:?}");
        assert_eq!(bench.stub.state().objects["k"].metadata["ManagedLedgerName"], "a b");
        let fetched = store.get("k", 5..25).await.unwrap();
        assert_eq!((&fetched.bytes[..], fetched.object_bytes), (&expected[5..25], Some(expected.len() as u64)));
    }
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing() {
    for method in ["resumable", "xml-multipart"] {
        let bench = Bench::start(&[("UploadMethod", method)]).await;
        let store = bench.store();
        let upload = store.begin_multipart("k", &attributes()).await.unwrap();
        let body = payloads(1, 5 << 20).remove(0);
        store.put_part("k", &upload, 1, body.clone().into(), crc::of(&body)).await.unwrap();
        assert_eq!(store.list_multiparts("k").await.unwrap().len(), 1, "{method}");
        store.abort_multipart("k", &upload).await.unwrap();
        store.abort_multipart("k", &upload).await.unwrap();
        assert_eq!(store.list_multiparts("").await.unwrap(), [], "{method}");
        let error = store.put_part("k", &upload, 2, body.into(), 0).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound, "{method}: {error}");
        let stub = bench.stub.state();
        assert_eq!((stub.objects.len(), stub.uploads.len(), stub.sessions.len()), (0, 0, 0), "{method}");
    }
}

#[tokio::test]
async fn bytes_that_change_on_their_way_are_noticed() {
    for method in ["resumable", "xml-multipart"] {
        let bench = Bench::start(&[("UploadMethod", method)]).await;
        let store = bench.store();
        bench.stub.state().fault = Fault::ChangesBytes;
        let body = payloads(1, 5 << 20).remove(0);
        let error = store.put("k", body.clone().into(), &attributes()).await.unwrap_err();
        assert!(error.message().contains("crc32c"), "{method}: {error}");
        let upload = store.begin_multipart("k", &attributes()).await.unwrap();
        let put = store.put_part("k", &upload, 1, body.clone().into(), crc::of(&body)).await;
        let ended = match put {
            Ok(tag) => store.complete_multipart("k", &upload, &[tag]).await,
            Err(error) => Err(error),
        };
        let error = ended.unwrap_err();
        assert!(
            matches!(error.code(), ErrorCode::Unavailable | ErrorCode::Corrupt | ErrorCode::Internal),
            "{method}: {error}"
        );
    }
}

#[tokio::test]
async fn whole_objects_keep_their_names_and_are_listed_behind_a_key() {
    let bench = Bench::start(&[]).await;
    let store = bench.store();
    for key in ["a", "b", "c", "d"] {
        store.put(key, Bytes::from_static(b"xyz").into(), &attributes()).await.unwrap();
    }
    assert_eq!(store.head("a").await.unwrap().user_metadata.get("managedledgername"), Some("a b"));
    assert_eq!(store.get("a", 0..3).await.unwrap().user_metadata, None, "an answer with bytes does not tell it");
    let page = store.list(&ListRequest { prefix: String::new(), after: Some("a".to_owned()), limit: 2 }).await.unwrap();
    assert_eq!((page.objects.iter().map(|it| it.key.as_str()).collect::<Vec<_>>(), page.more), (vec!["b", "c"], true));
    store.delete("a").await.unwrap();
    store.delete("a").await.unwrap();
    assert_eq!(store.head("a").await.unwrap_err().code(), ErrorCode::NotFound);
}

#[tokio::test]
async fn refusals_show_neither_token_nor_key_nor_the_address_of_a_session() {
    let bench = Bench::start(&[("UploadMethod", "resumable")]).await;
    let store = bench.store();
    let upload = store.begin_multipart("k", &attributes()).await.unwrap();
    bench.stub.state().fault = Fault::RefusesAll;
    let body = payloads(1, 1 << 20).remove(0);
    let mut said = String::new();
    said += &format!("{:?}", store.put_part("k", &upload, 1, body.clone().into(), 0).await.unwrap_err());
    said += &format!("{:?}", store.put("k", body.into(), &attributes()).await.unwrap_err());
    said += &format!("{:?}", store.get("k", 0..1).await.unwrap_err());
    said += &format!("{:?}", store.abort_multipart("k", &upload).await.unwrap_err());
    said += &format!("{:?} {:?}", bench.settings(), upload);
    for secret in ["token-", "session-", "BEGIN", "Bearer"] {
        assert!(!said.contains(secret), "{secret} is in {said}");
    }
    assert!(said.contains("PermissionDenied"), "{said}");
}

#[tokio::test]
async fn configurations_that_cannot_work_are_refused_by_key() {
    let bench = Bench::start(&[]).await;
    let with = |changes: &[(&str, &str)]| {
        let mut properties = bench.properties.clone();
        properties.extend(changes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        read(&properties)
    };
    let anonymous = format!("{EXTRA}Anonymous");
    for (changes, expected) in [
        (vec![(KEY_FILE, "")], "gcsManagedLedgerOffloadServiceAccountKeyFile: empty: name the JSON key file"),
        (vec![(KEY_FILE, "/no/such.json")], "no file at /no/such.json"),
        (vec![(KEY_FILE, "/proc/version")], "the file is not JSON"),
        (vec![(anonymous.as_str(), "true"), ("managedLedgerOffloadServiceEndpoint", "")], "only for emulators"),
        (
            vec![
                (anonymous.as_str(), "true"),
                ("managedLedgerOffloadServiceEndpoint", "https://storage.googleapis.com"),
            ],
            "only for emulators",
        ),
        (vec![("managedLedgerOffloadExtraConfigUploadMethod", "post")], "not one of xml-multipart, resumable"),
    ] {
        let said = with(&changes).unwrap_err();
        assert!(said.contains(expected), "{said}");
    }
    let settings = with(&[(anonymous.as_str(), "true"), (KEY_FILE, "")]).unwrap();
    let crate::drivers::Store::Google(google) = &settings.store else { panic!("{settings:?}") };
    assert_eq!(google.key_file, None);
}
