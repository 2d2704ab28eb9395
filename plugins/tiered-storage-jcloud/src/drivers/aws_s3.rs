//! Drivers `aws-s3` and `S3`: Amazon's store, and whatever speaks its protocol.
//!
//! They differ in their keys' precedence, in where credentials come from, and in that `S3` must be told an endpoint. Both
//! sign with signature version 4 (the original's `S3` uses version 2, which stores have given up).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use block_format::store::{BlobStore, StoreLimits};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use longshore_plugin_api::{ConfigProblem, Error, ErrorCode, Result};
use opendal::services::S3;
use reqsign_aws_v4::Credential;
use tokio::sync::OnceCell;

use super::Driver;
use super::aws_credentials::CredentialSource;
use crate::config::Place;
use crate::environment::Environment;
use crate::keys::Keys;
use crate::object_store::ObjectBucket;
use crate::object_store::endpoint::{AddressStyle, Endpoint};
use crate::object_store::failure::Failure;
use crate::object_store::http::client;
use crate::object_store::wire::{Sign, Wire};
use crate::object_store::xml_multiparts::{Dialect, PartChecksum, XmlMultiparts};

/// Where requests go that no endpoint and no region was named for, and where all regions are known.
const GLOBAL_HOST: &str = "s3.amazonaws.com";
const REGION_DEFAULT: &str = "us-east-1";
const REGION_HEADER: &str = "x-amz-bucket-region";

/// From Amazon's quotas: parts of 5 MiB to 5 GiB, 10,000 of them.
const LIMITS: StoreLimits =
    StoreLimits { part_bytes_min: 5 << 20, part_bytes_max: 5 << 30, parts_max: 10_000, verifies_crc32c: true };

/// Tags that an object may have.
const TAGS_MAX: usize = 10;

/// An S3 store as it is configured.
#[derive(Clone, Debug)]
pub(crate) struct S3Settings {
    driver: Driver,
    endpoint: Endpoint,
    /// The region, where it is named or the endpoint's name tells.
    region: Option<String>,
    style: Option<AddressStyle>,
    credentials: CredentialSource,
    /// What each new object is written with: encryption, storage class, tags.
    object_headers: HeaderMap,
    sends_crc32c: bool,
    environment: Environment,
}

impl S3Settings {
    pub(super) fn read(driver: Driver, keys: &mut Keys<'_>, place: &Place) -> Option<Self> {
        let region = Some(place.region.clone()).filter(|region| !region.is_empty());
        if let Some(region) = region.as_ref().filter(|region| !is_region(region)) {
            let problem = "not the name of a region: small letters, digits and `-`, as eu-west-1";
            keys.wrong(ConfigProblem::new(keys.key_of("Region"), problem).with_value(region));
        }
        let endpoint = endpoint(driver, keys, place, region.as_deref());
        let style = keys
            .flag(keys.extra("VirtualHostStyle"))
            .map(|virtual_host| if virtual_host { AddressStyle::VirtualHost } else { AddressStyle::Path });
        let style = style.or_else(|| place.endpoint.as_ref().map(|_| AddressStyle::Path));
        let credentials = CredentialSource::read(driver, keys);
        let object_headers = object_headers(keys);
        let checksums = [("crc32c", true), ("none", false)];
        let sends_crc32c = keys.word(keys.extra("Checksum"), &checksums).unwrap_or(true);
        let endpoint = endpoint?;
        Some(Self {
            driver,
            region: region.or_else(|| region_of_host(endpoint.host())),
            endpoint,
            style,
            credentials: credentials?,
            object_headers,
            sends_crc32c,
            environment: keys.environment().clone(),
        })
    }

    pub(super) fn driver(&self) -> Driver {
        self.driver
    }

    /// Opens a bucket. Makes no request.
    pub(super) fn bucket(&self, name: &str, silence_max: Duration) -> Result<Arc<dyn BlobStore>> {
        let style = self.style_of(name);
        let address = self.endpoint.bucket(name, style);
        let signer = S3Signer {
            client: client()?,
            bucket: name.to_owned(),
            address: address.clone(),
            settings: self.clone(),
            region: OnceCell::new(),
            signer: Mutex::default(),
        };
        let wire =
            Wire::new(client()?, self.endpoint.clone(), Arc::new(signer), self.object_headers.clone(), silence_max);
        // The region is not sent where nothing is signed; opendal wants one all the same.
        let mut service = S3::default()
            .bucket(name)
            .endpoint(&self.endpoint.for_opendal())
            .region(REGION_DEFAULT)
            .skip_signature()
            .disable_config_load();
        if style == AddressStyle::VirtualHost {
            service = service.enable_virtual_host_style();
        }
        if self.sends_crc32c {
            service = service.checksum_algorithm("crc32c");
        }
        let part_checksum = if self.sends_crc32c { PartChecksum::Amazon } else { PartChecksum::None };
        let dialect = Dialect { metadata_prefix: "x-amz-meta-", metadata_name: str::to_ascii_lowercase, part_checksum };
        let multiparts = XmlMultiparts::new(wire.clone(), name, address, dialect);
        let limits = StoreLimits { verifies_crc32c: self.sends_crc32c, ..LIMITS };
        ObjectBucket::open(name, service, wire, Box::new(multiparts), limits)
    }

    /// Certificates are good for one label before Amazon's host, and a number can have none at all.
    fn style_of(&self, bucket: &str) -> AddressStyle {
        match self.style {
            Some(style) => style,
            None if bucket.contains('.') || !self.endpoint.has_name() => AddressStyle::Path,
            None => AddressStyle::VirtualHost,
        }
    }
}

/// The endpoint: the one that is configured, or Amazon's of the region.
fn endpoint(driver: Driver, keys: &mut Keys<'_>, place: &Place, region: Option<&str>) -> Option<Endpoint> {
    let amazons = |region: &str| {
        let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
        Endpoint::parse(&format!("https://s3.{region}.{domain}")).ok()
    };
    let name = driver.name();
    match (&place.endpoint, region) {
        (Some(endpoint), _) if endpoint.host() == GLOBAL_HOST => amazons(region.unwrap_or(REGION_DEFAULT)),
        (Some(endpoint), _) => Some(endpoint.clone()),
        // It is there, and it is wrong.
        (None, _) if !place.endpoint_given.is_empty() => None,
        (None, Some(region)) if driver == Driver::AwsS3 => amazons(region),
        (None, _) => {
            let (property, what) = match driver {
                Driver::AwsS3 => ("Region", "region or endpoint"),
                _ => ("ServiceEndpoint", "endpoint"),
            };
            let endpoint = keys.key_of("ServiceEndpoint");
            let problem = format!("empty: {name} needs a {what}, as {endpoint}=https://store.example.com");
            keys.wrong(ConfigProblem::new(keys.key_of(property), problem));
            None
        }
    }
}

fn is_region(text: &str) -> bool {
    text.len() <= 64
        && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || matches!(it, b'-' | b'_'))
}

/// The region that the name of one of Amazon's hosts tells.
fn region_of_host(host: &str) -> Option<String> {
    let before = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let region = before
        .strip_prefix("s3.dualstack.")
        .or_else(|| before.strip_prefix("s3."))
        .or_else(|| before.strip_prefix("s3-"))?;
    (is_region(region) && region.contains('-')).then(|| region.to_owned())
}

/// Headers of new objects that keys ask for.
fn object_headers(keys: &mut Keys<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let encryption = [("AES256", "AES256"), ("aws:kms", "aws:kms"), ("aws:kms:dsse", "aws:kms:dsse")];
    let encryption = keys.word(keys.extra("ServerSideEncryption"), &encryption);
    if let Some(encryption) = encryption {
        headers.insert("x-amz-server-side-encryption", HeaderValue::from_static(encryption));
    }
    let kms_key = keys.extra("KmsKeyId");
    if let Some((key, _)) = kms_key.as_ref().filter(|_| !encryption.is_some_and(|it| it.starts_with("aws:kms"))) {
        let problem = "has an effect only with managedLedgerOffloadExtraConfigServerSideEncryption=aws:kms";
        keys.wrong(ConfigProblem::new(key, problem));
    }
    header(keys, &mut headers, "x-amz-server-side-encryption-aws-kms-key-id", kms_key);
    let storage_class = keys.extra("StorageClass");
    if let Some((key, class)) = &storage_class
        && !class.bytes().all(|it| it.is_ascii_uppercase() || it.is_ascii_digit() || it == b'_')
    {
        keys.wrong(ConfigProblem::new(key, "not a storage class, as STANDARD_IA").with_value(*class));
    }
    header(keys, &mut headers, "x-amz-storage-class", storage_class);
    let tags = keys.extra("Tags");
    if let Some((key, given)) = &tags {
        let pairs: Vec<&str> = given.split('&').collect();
        if pairs.len() > TAGS_MAX || pairs.iter().any(|pair| pair.split('=').count() != 2 || pair.starts_with('=')) {
            let problem = format!("not tags: up to {TAGS_MAX} name=value with & between them, percent-encoded");
            keys.wrong(ConfigProblem::new(key, problem).with_value(*given));
        }
    }
    header(keys, &mut headers, "x-amz-tagging", tags);
    headers
}

fn header(keys: &mut Keys<'_>, headers: &mut HeaderMap, name: &'static str, given: Option<(String, &str)>) {
    let Some((key, value)) = given else { return };
    match HeaderValue::from_str(value) {
        Ok(value) => {
            headers.insert(HeaderName::from_static(name), value);
        }
        Err(_) => keys.wrong(ConfigProblem::new(key, "not printable ASCII").with_value(value)),
    }
}

/// Signs for one bucket. The region is found with the first request, if it is not known.
struct S3Signer {
    client: reqwest::Client,
    bucket: String,
    address: String,
    settings: S3Settings,
    region: OnceCell<String>,
    signer: Mutex<Option<Arc<reqsign_core::Signer<Credential>>>>,
}

#[async_trait]
impl Sign for S3Signer {
    async fn sign(&self, head: &mut Parts) -> Result<()> {
        let region = match &self.settings.region {
            Some(region) => region,
            None => self.region.get_or_try_init(|| self.find_region()).await?,
        };
        let signer = self.signer_of(region);
        Sign::sign(&*signer, head).await
    }

    fn renew(&self) {
        *self.signer.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl S3Signer {
    /// The signer, with the credentials that it knows.
    fn signer_of(&self, region: &str) -> Arc<reqsign_core::Signer<Credential>> {
        let mut known = self.signer.lock().unwrap_or_else(PoisonError::into_inner);
        let S3Settings { credentials, environment, .. } = &self.settings;
        known.get_or_insert_with(|| Arc::new(credentials.signer("s3", region, &self.client, environment))).clone()
    }

    /// Asks the store itself. Amazon names the region of any bucket to anybody; other stores mostly have none, or take any.
    async fn find_region(&self) -> Result<String> {
        let failed = |failure: Failure| {
            let message = format!("find the region of bucket {}: {failure}", self.bucket);
            Error::new(ErrorCode::Unavailable, message)
        };
        let answer = self.client.head(&self.address).send().await.map_err(|error| failed(Failure::of_client(error)))?;
        let named = answer.headers().get(REGION_HEADER).and_then(|region| region.to_str().ok());
        let named = named.filter(|region| is_region(region) && !region.is_empty());
        let told = || self.settings.environment.first_of(&["AWS_REGION", "AWS_DEFAULT_REGION"]);
        Ok(named.or_else(told).unwrap_or(REGION_DEFAULT).to_owned())
    }
}

impl fmt::Debug for S3Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Signer").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use longshore_plugin_api::DriverConfig;

    use super::*;
    use crate::config::Settings;
    use crate::drivers::Store;

    fn settings(driver: &str, more: &[(&str, &str)]) -> S3Settings {
        let key = [
            ("managedLedgerOffloadBucket", "tier"),
            ("s3ManagedLedgerOffloadCredentialId", "AK"),
            ("s3ManagedLedgerOffloadCredentialSecret", "hush"),
        ];
        let properties = key.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let driver = driver.to_owned();
        let config = DriverConfig { driver, properties: properties.collect(), search_folders: Vec::new() };
        match Settings::read(&config, &Environment::default()).unwrap().store {
            Store::S3(settings) => *settings,
            other => panic!("{other:?}"),
        }
    }

    const REGION: &str = "s3ManagedLedgerOffloadRegion";
    const ENDPOINT: &str = "s3ManagedLedgerOffloadServiceEndpoint";
    const VIRTUAL: (&str, &str) = ("managedLedgerOffloadExtraConfigVirtualHostStyle", "true");

    #[test]
    fn region_and_endpoint_say_where_a_bucket_is() {
        type Given<'a> = &'a [(&'a str, &'a str)];
        let table: [(Given<'_>, &str, &str); 7] = [
            (&[(REGION, "eu-west-3")], "https://tier.s3.eu-west-3.amazonaws.com", "eu-west-3"),
            (&[(REGION, "cn-north-1")], "https://tier.s3.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            (
                &[(ENDPOINT, "https://s3.eu-west-1.amazonaws.com")],
                "https://s3.eu-west-1.amazonaws.com/tier",
                "eu-west-1",
            ),
            (
                &[(ENDPOINT, "https://s3.amazonaws.com"), (REGION, "eu-west-2")],
                "https://s3.eu-west-2.amazonaws.com/tier",
                "eu-west-2",
            ),
            (&[(ENDPOINT, "http://127.0.0.1:9000")], "http://127.0.0.1:9000/tier", ""),
            (&[(ENDPOINT, "http://store:9000"), VIRTUAL], "http://tier.store:9000", ""),
            (&[(ENDPOINT, "http://store:9000"), (REGION, "here-1")], "http://store:9000/tier", "here-1"),
        ];
        for (given, address, region) in table {
            let found = settings("aws-s3", given);
            assert_eq!(found.endpoint.bucket("tier", found.style_of("tier")), address, "{given:?}");
            assert_eq!(found.region.unwrap_or_default(), region, "{given:?}");
        }
    }

    #[test]
    fn a_bucket_whose_name_has_dots_stands_behind_amazons_host() {
        let found = settings("aws-s3", &[(REGION, "eu-west-3")]);
        assert_eq!(found.style_of("tier.example"), AddressStyle::Path);
    }

    #[test]
    fn drivers_differ_in_which_key_counts_more() {
        let both = [(ENDPOINT, "http://legacy"), ("managedLedgerOffloadServiceEndpoint", "http://generic")];
        assert_eq!(settings("aws-s3", &both).endpoint.host(), "legacy");
        assert_eq!(settings("S3", &both).endpoint.host(), "generic");
        assert_eq!(settings("s3", &both[..1]).endpoint.host(), "legacy");
    }

    #[test]
    fn settings_are_shown_without_their_secrets() {
        assert!(!format!("{:?}", settings("S3", &[(ENDPOINT, "http://store")])).contains("hush"));
    }
}
