//! What the tests of Azurite, fake-gcs-server and the OSS stand-in share: a driver on a server, requests behind its back, and
//! what every driver must do there.
//!
//! Two of these drivers take their account from the environment. A test that needs one runs itself again as a process that
//! has it: changing the environment of a process with threads is not safe.

use std::collections::BTreeMap;
use std::future::Future;
use std::process::Command;
use std::time::Duration;
use std::{env, fs, io};

use bytes::Bytes;
use http::request::Builder;
use http::{Method, Request};
use longshore_conformance::table::{Place, trying};
use longshore_conformance::{Profile, StoreProbe, Suite};
use longshore_plugin_api::{
    DriverConfig, Error, ErrorCode, Offloader, OffloaderFactory, ReadHandle, ScanRequest, StoredLedger,
};
use reqsign_aliyun_oss as oss;
use reqsign_azure_storage as azure;
use reqsign_core::{Context, Signer};
use tiered_storage_jcloud::{ObjectStoreFactory, ObjectStoreOffloader};

use crate::golden::{VECTORS, folder, sha256};
use crate::server::{data_key, is_required, new_copy, offload, payloads, read_all, scan};

/// Says to a process which test it is to run.
const WITHIN: &str = "LONGSHORE_TEST_WITHIN";
const SMALL_PARTS: (&str, &str) = ("managedLedgerOffloadExtraConfigPartSizeInBytes", "5242880");
/// As long as the removal of what a given-up offload wrote may take.
const REMOVAL_TIME_MAX: Duration = Duration::from_secs(20);

/// A driver on a server.
#[derive(Clone, Debug)]
pub(crate) struct Cloud {
    pub(crate) driver: &'static str,
    /// The server's name.
    pub(crate) server: &'static str,
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    /// Keys beside bucket and endpoint.
    pub(crate) properties: Vec<(&'static str, String)>,
    /// What its environment has.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// Of the variables, the one with the secret.
    pub(crate) secret: Option<&'static str>,
    pub(crate) door: Door,
}

/// How requests behind the driver's back are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Azure { account: String, key: String },
    Google,
    Oss { access_key: String, secret_key: String },
}

/// A variable of the environment that names what is tested; `None` where it has none, which is said.
pub(crate) fn named(server: &str, what: &str) -> Option<String> {
    let name = format!("LONGSHORE_TEST_{server}_{what}");
    let value = env::var(&name).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        assert!(!is_required(server), "{name} is not set, and LONGSHORE_REQUIRE_SERVERS names {server}");
        eprintln!("skipped: no server {server}: start one and set {name} and its like");
    }
    value
}

impl Cloud {
    pub(crate) fn place(&self) -> Place<'_> {
        Place { driver: self.driver, server: self.server }
    }

    pub(crate) fn config(&self, more: &[(&str, &str)]) -> DriverConfig {
        let mut properties = BTreeMap::from([
            ("managedLedgerOffloadBucket".to_owned(), self.bucket.clone()),
            ("managedLedgerOffloadServiceEndpoint".to_owned(), self.endpoint.clone()),
        ]);
        properties.extend(self.properties.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        properties.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        DriverConfig { driver: self.driver.to_owned(), properties, search_folders: Vec::new() }
    }

    async fn open(&self, more: &[(&str, &str)]) -> ObjectStoreOffloader {
        let config = self.config(more);
        assert_eq!(ObjectStoreFactory::validate(&config), []);
        ObjectStoreFactory::create(config).await.unwrap()
    }

    /// Runs `body` in a process whose environment has the driver's variables, `changed` among them. `test` is the test that
    /// calls this.
    pub(crate) fn within<T: Copy, F: Future>(&self, _test: T, changed: &[(&str, &str)], body: impl FnOnce(Self) -> F) {
        let path = std::any::type_name::<T>();
        let path = path.split_once("::").unwrap().1;
        if env::var(WITHIN).is_ok_and(|within| within == path) {
            // All that is logged is printed, and looked through for the secret.
            tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).init();
            tokio::runtime::Runtime::new().unwrap().block_on(body(self.clone()));
            return;
        }
        let mut process = Command::new(env::current_exe().unwrap());
        process.args([path, "--exact", "--nocapture"]).env(WITHIN, path);
        process.envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())));
        let ended = process.envs(changed.iter().copied()).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        assert!(ended.status.success() && text.contains("1 passed"), "{text}");
        assert!(text.contains("TRACE"), "nothing was logged");
        if let Some((_, secret)) = self.variables.iter().find(|(name, _)| Some(*name) == self.secret) {
            assert!(!text.contains(secret.as_str()), "the secret is printed: {text}");
        }
    }

    fn base(&self) -> String {
        match self.door {
            Door::Google => format!("{}/storage/v1/b/{}/o", self.endpoint, self.bucket),
            Door::Azure { .. } | Door::Oss { .. } => format!("{}/{}", self.endpoint, self.bucket),
        }
    }

    async fn ask(&self, request: Builder, body: Vec<u8>) -> (u16, Vec<u8>) {
        let request = match &self.door {
            Door::Azure { .. } => request.header("x-ms-version", "2022-11-02").header("content-length", body.len()),
            Door::Google | Door::Oss { .. } => request,
        };
        let (mut head, body) = request.body(body).unwrap().into_parts();
        let context = Context::new();
        match &self.door {
            Door::Azure { account, key } => {
                let provider = azure::StaticCredentialProvider::new_shared_key(account, key);
                Signer::new(context, provider, azure::RequestSigner::new()).sign(&mut head, None).await.unwrap();
            }
            Door::Oss { access_key, secret_key } => {
                let provider = oss::StaticCredentialProvider::new(access_key, secret_key);
                let signer = Signer::new(context, provider, oss::RequestSigner::new(&self.bucket));
                signer.sign(&mut head, None).await.unwrap();
            }
            Door::Google => {}
        }
        head.headers.remove("host");
        let request = reqwest::Request::try_from(Request::from_parts(head, body)).unwrap();
        let answer = client().execute(request).await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap().to_vec())
    }

    pub(crate) async fn make_bucket(&self) {
        let (request, body) = match self.door {
            Door::Azure { .. } => (Request::put(format!("{}?restype=container", self.base())), String::new()),
            Door::Oss { .. } => (Request::put(format!("{}/", self.base())), String::new()),
            Door::Google => {
                let body = format!("{{\"name\":\"{}\"}}", self.bucket);
                (Request::post(format!("{}/storage/v1/b?project=test", self.endpoint)), body)
            }
        };
        let (status, answer) = self.ask(request, body.into()).await;
        assert!(matches!(status, 200 | 201 | 409), "{status} {}", String::from_utf8_lossy(&answer));
    }

    async fn put(&self, key: &str, metadata: &BTreeMap<String, String>, bytes: Vec<u8>) {
        let address = format!("{}/{key}", self.base());
        let with = |request: Builder, prefix: &str| {
            metadata.iter().fold(request, |request, (name, value)| request.header(format!("{prefix}{name}"), value))
        };
        let (request, body) = match self.door {
            Door::Azure { .. } => {
                (with(Request::put(address), "x-ms-meta-").header("x-ms-blob-type", "BlockBlob"), bytes)
            }
            Door::Oss { .. } => (with(Request::put(address), "x-oss-meta-"), bytes),
            Door::Google => {
                let described = serde_json::json!({"name": key, "metadata": metadata}).to_string();
                let head = format!(
                    "--x-x\r\ncontent-type: application/json\r\n\r\n{described}\r\n--x-x\r\ncontent-type: a/b\r\n\r\n"
                );
                let body = [head.as_bytes(), &bytes, b"\r\n--x-x--\r\n"].concat();
                let address =
                    format!("{}/upload/storage/v1/b/{}/o?uploadType=multipart&name={key}", self.endpoint, self.bucket);
                (Request::post(address).header("content-type", "multipart/related; boundary=x-x"), body)
            }
        };
        let (status, answer) = self.ask(request, body).await;
        assert!(matches!(status, 200 | 201), "{status} {}", String::from_utf8_lossy(&answer));
    }

    async fn get(&self, key: &str) -> (u16, Vec<u8>) {
        let media = if matches!(self.door, Door::Google) { "?alt=media" } else { "" };
        self.ask(Request::get(format!("{}/{key}{media}", self.base())), Vec::new()).await
    }

    /// All keys that begin with `prefix`; there are few.
    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let (query, mark) = match self.door {
            Door::Azure { .. } => ("?comp=list&restype=container", ("<Name>", "<")),
            Door::Oss { .. } => ("/?max-keys=1000", ("<Key>", "<")),
            Door::Google => ("?maxResults=1000", ("\"name\":\"", "\"")),
        };
        let prefix = if prefix.is_empty() { String::new() } else { format!("&prefix={prefix}") };
        let (status, answer) = self.ask(Request::get(format!("{}{query}{prefix}", self.base())), Vec::new()).await;
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(status, 200, "{answer}");
        answer.split(mark.0).skip(1).map(|rest| rest.split(mark.1).next().unwrap().to_owned()).collect()
    }

    /// Parts of an object that is not there yet. fake-gcs-server tells nothing of them.
    pub(crate) async fn open_parts(&self, key: &str) -> usize {
        let (query, mark) = match self.door {
            Door::Azure { .. } => (format!("/{key}?blocklisttype=uncommitted&comp=blocklist"), "<Block>"),
            Door::Oss { .. } => (format!("/?prefix={key}&uploads="), "<UploadId>"),
            Door::Google => return 0,
        };
        let (status, answer) = self.ask(Request::get(format!("{}{query}", self.base())), Vec::new()).await;
        assert!(matches!(status, 200 | 404), "{status}");
        if status == 404 { 0 } else { String::from_utf8(answer).unwrap().matches(mark).count() }
    }
}

fn client() -> reqwest::Client {
    let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap()
}

/// Ledgers of one part and of many, small pages of scans, reads in any order, deletion twice.
pub(crate) async fn ledgers_go_out_come_back_are_listed_and_deleted(cloud: Cloud) {
    let _trying =
        trying(cloud.place(), "behaviour", "ledgers of one part and of many go out, come back, are listed and deleted");
    let driver = cloud.open(&[SMALL_PARTS]).await;
    driver.health().await.unwrap();
    let (small, large) = (new_copy(&driver, 11), new_copy(&driver, 12));
    let (few, many) = (payloads(700, 1500), payloads(400, 60_000));
    offload(&driver, &small, &few).await.unwrap();
    offload(&driver, &large, &many).await.unwrap();
    assert_eq!(cloud.open_parts(&data_key(&large)).await, 0);
    // Another instance, which knows nothing yet.
    let reader = cloud.open(&[]).await;
    assert!(read_all(&reader, &small).await.unwrap() == few);
    assert!(read_all(&reader, &large).await.unwrap() == many);
    let handle = cloud.open(&[]).await.open_read(large.clone()).await.unwrap();
    for entry_id in [399, 0, 250, 7] {
        let found = handle.read(entry_id, entry_id, 1).await.unwrap();
        assert!(found[0].payload == many[entry_id as usize]);
    }
    let found = scan(&driver, 1).await;
    for copy in [&small, &large] {
        assert!(found.contains(&(copy.ledger_id, copy.uid.to_string())), "{found:?}");
    }
    let (small_key, large_key) = (data_key(&small), data_key(&large));
    assert_eq!(cloud.keys(&large_key).await, [large_key.clone(), format!("{large_key}-index")]);
    for copy in [&small, &large] {
        for _ in 0..2 {
            driver.delete(copy.clone()).await.unwrap();
        }
        let gone = driver.open_read(copy.clone()).await.unwrap_err();
        assert_eq!(gone.code(), ErrorCode::NotFound, "{gone}");
    }
    assert_eq!(cloud.keys(&small_key).await, Vec::<String>::new());
}

/// An offload that is given up while parts are on their way.
pub(crate) async fn a_given_up_offload_leaves_nothing(cloud: Cloud) {
    let _trying = trying(cloud.place(), "behaviour", "a given-up offload leaves nothing");
    let driver = cloud.open(&[SMALL_PARTS]).await;
    let entries = payloads(300, 200_000);
    for pause in [20, 150, 400] {
        let stored = new_copy(&driver, 16);
        let given_up = tokio::time::timeout(Duration::from_millis(pause), offload(&driver, &stored, &entries)).await;
        let key = data_key(&stored);
        let begun = tokio::time::Instant::now();
        // The rest of a request that was on its way may arrive later.
        while given_up.is_err() && cloud.keys(&key).await.len() + cloud.open_parts(&key).await > 0 {
            assert!(
                begun.elapsed() < REMOVAL_TIME_MAX,
                "{:?}, {}",
                cloud.keys(&key).await,
                cloud.open_parts(&key).await
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        driver.delete(stored).await.unwrap();
        assert_eq!((cloud.keys(&key).await.len(), cloud.open_parts(&key).await), (0, 0));
    }
}

/// Everything that can be asked of a driver fails, with this code, and tells no secret.
pub(crate) async fn all_fail(cloud: &Cloud, more: &[(&str, &str)], code: ErrorCode, told: &[&str], secret: &str) {
    let driver = cloud.open(more).await;
    let stored = new_copy(&driver, 15);
    let mut errors: Vec<Error> = vec![
        driver.health().await.unwrap_err(),
        offload(&driver, &stored, &payloads(10, 10)).await.unwrap_err(),
        offload(&driver, &stored, &payloads(100, 200_000)).await.unwrap_err(),
        driver.open_read(stored.clone()).await.unwrap_err(),
        driver.scan(ScanRequest { after: None, limit: 1 }).await.unwrap_err(),
    ];
    // fake-gcs-server does not tell a bucket that is not there from an object, and that one is not there is what was wanted.
    if cloud.door != Door::Google {
        errors.push(driver.delete(stored.clone()).await.unwrap_err());
    }
    for error in errors {
        let text = format!("{error} {error:?}");
        assert_eq!(error.code(), code, "{text}");
        assert!(!text.contains(secret), "{text}");
        for part in told {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}

pub(crate) async fn a_missing_bucket_is_named(cloud: Cloud) {
    let _trying = trying(cloud.place(), "behaviour", "a missing bucket is named");
    let missing = [("managedLedgerOffloadBucket", "not-there")];
    all_fail(&cloud, &missing, ErrorCode::NotFound, &["bucket not-there"], "none").await;
}

/// Objects of Apache Pulsar 4.0.6, put there with the metadata that its client for this store writes.
pub(crate) async fn ledgers_that_pulsar_offloaded_are_read_entry_for_entry(cloud: Cloud) {
    let _trying = trying(cloud.place(), "behaviour", "ledgers that Pulsar 4.0.6 offloaded are read entry for entry");
    let cloud = Cloud { bucket: "golden".to_owned(), ..cloud };
    cloud.make_bucket().await;
    let driver = cloud.open(&[]).await;
    for (name, ledger_id, uid) in VECTORS {
        let (folder, data) = (folder(name), format!("{uid}-ledger-{ledger_id}"));
        for key in [data.clone(), format!("{data}-index")] {
            let head = fs::read(folder.join(format!("{key}.head.json"))).unwrap();
            let head: serde_json::Value = serde_json::from_slice(&head).unwrap();
            let metadata = serde_json::from_value(head["Metadata"].clone()).unwrap();
            cloud.put(&key, &metadata, fs::read(folder.join(&key)).unwrap()).await;
        }
        let recorded = fs::read_to_string(folder.join(format!("ledger-{ledger_id}.entries.sha256"))).unwrap();
        let driver_metadata = driver.driver_metadata();
        let uid = uid.parse().unwrap();
        let stored = StoredLedger { ledger_id, uid, managed_ledger: String::new(), driver_metadata };
        let entries: Vec<Bytes> = read_all(&driver, &stored).await.unwrap();
        let found: Vec<String> =
            entries.iter().enumerate().map(|(id, it)| format!("{id} {} {}", it.len(), sha256(it))).collect();
        assert_eq!(found, recorded.lines().collect::<Vec<_>>(), "{name}");
        driver.delete(stored).await.unwrap();
    }
}

/// The conformance kit, with a look at the bucket.
pub(crate) async fn every_promise_is_kept(cloud: Cloud) {
    let cloud = Cloud { bucket: format!("conformance-{}", cloud.driver), ..cloud };
    cloud.make_bucket().await;
    let suite = Suite::new(Profile::Quick).probe(Probe(cloud.clone()));
    let (config, place) = (cloud.config(&[]), Place { driver: cloud.driver, server: cloud.server });
    tokio::task::spawn_blocking(move || suite.try_out::<ObjectStoreFactory>(config).into_table(place).assert_passed())
        .await
        .unwrap();
}

struct Probe(Cloud);

impl Probe {
    /// Asks from a thread of its own: whoever looks may be on a runtime's.
    fn now<T: Send>(&self, asked: impl Future<Output = T> + Send) -> T {
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(asked)
            });
            asking.join().unwrap()
        })
    }
}

impl StoreProbe for Probe {
    fn objects(&self) -> io::Result<Vec<String>> {
        Ok(self.now(self.0.keys("")))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        match self.now(self.0.get(name)) {
            (200, bytes) => Ok(bytes),
            (404, _) => Err(io::ErrorKind::NotFound.into()),
            (status, _) => Err(io::Error::other(format!("the store answered {status}"))),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.now(self.0.put(name, &BTreeMap::new(), bytes.to_vec()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let request = Request::builder().method(Method::DELETE).uri(format!("{}/{name}", self.0.base()));
        match self.now(self.0.ask(request, Vec::new())) {
            (200..=299, _) => Ok(()),
            (404, _) => Err(io::ErrorKind::NotFound.into()),
            (status, _) => Err(io::Error::other(format!("the store answered {status}"))),
        }
    }
}
