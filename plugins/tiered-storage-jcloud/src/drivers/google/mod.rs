//! Driver `google-cloud-storage`: the JSON interface, with a service account's tokens, or none for an emulator.
//!
//! | to understand | read |
//! |---|---|
//! | keys, and how a bucket is opened | this file |
//! | tokens | `token`, over `service_account` |
//! | whole objects with their checksum | `objects` |
//! | objects in parts, one after the other | `resumable` |
//!
//! Why there are two ways to write in parts: docs/decisions/0018-gcs-uploads.md.

mod objects;
mod resumable;
mod service_account;
#[cfg(test)]
mod tests;
mod token;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use block_format::EngineOptions;
use block_format::store::{BlobStore, StoreLimits};
use http::HeaderMap;
use http::request::Parts;
use longshore_plugin_api::{ConfigProblem, Result};
use opendal::services::Gcs;

use crate::config::Place;
use crate::keys::Keys;
use crate::object_store::ObjectBucket;
use crate::object_store::endpoint::{AddressStyle, Endpoint};
use crate::object_store::http::client;
use crate::object_store::multiparts::Multiparts;
use crate::object_store::own_requests::OwnRequests;
use crate::object_store::wire::{Sign, Wire};
use crate::object_store::xml_multiparts::{Dialect, PartChecksum, XmlMultiparts};
use objects::JsonObjects;
use resumable::{CHUNK_BYTES, ResumableUploads};
use service_account::ServiceAccount;
use token::TokenSource;

const ENDPOINT: &str = "https://storage.googleapis.com";
/// Hosts below it are Google's own, where anonymous requests are never what is meant.
const GOOGLE_DOMAIN: &str = "googleapis.com";
const KEY_FILE: &str = "gcsManagedLedgerOffloadServiceAccountKeyFile";

/// From Google's quotas: parts of 5 MiB to 5 GiB, 10,000 of them. Each part, and an object written whole, carries its CRC32C,
/// and is refused with another one.
const XML_LIMITS: StoreLimits =
    StoreLimits { part_bytes_min: 5 << 20, part_bytes_max: 5 << 30, parts_max: 10_000, verifies_crc32c: true };

/// Chunks of a resumable upload where no size is configured.
const RESUMABLE_PART_BYTES: u64 = 8 << 20;
/// From Google's quotas.
const OBJECT_BYTES_MAX: u64 = 5 << 40;
/// They go one after the other. A second one would wait for the first with one of the engine's requests in its hands, which the
/// first may need for another attempt.
const RESUMABLE_PARTS_IN_FLIGHT: usize = 1;

/// How large objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UploadMethod {
    /// Parts, several at once.
    XmlMultipart,
    /// Chunks, one after the other.
    Resumable,
}

const UPLOAD_METHODS: [(&str, UploadMethod); 2] =
    [("xml-multipart", UploadMethod::XmlMultipart), ("resumable", UploadMethod::Resumable)];

/// Google Cloud Storage as it is configured.
#[derive(Clone, Debug)]
pub(crate) struct GoogleSettings {
    endpoint: Endpoint,
    /// `None`: requests are not signed.
    key_file: Option<PathBuf>,
    upload_method: UploadMethod,
    /// Bytes of a chunk of a resumable upload.
    chunk_bytes: u64,
    /// One for all buckets; made with the first.
    tokens: Arc<OnceLock<TokenSource>>,
}

impl GoogleSettings {
    pub(super) fn read(keys: &mut Keys<'_>, place: &Place, engine: &mut EngineOptions) -> Option<Self> {
        let endpoint = match &place.endpoint {
            Some(endpoint) => Some(endpoint.clone()),
            // It is there, and it is wrong.
            None if !place.endpoint_given.is_empty() => None,
            None => Endpoint::parse(ENDPOINT).ok(),
        };
        let key_file = key_file(keys, endpoint.as_ref());
        let upload_method =
            keys.word(keys.extra("UploadMethod"), &UPLOAD_METHODS).unwrap_or(UploadMethod::XmlMultipart);
        let chosen = engine.upload.part_bytes.unwrap_or(RESUMABLE_PART_BYTES);
        if upload_method == UploadMethod::Resumable {
            engine.upload.parts_in_flight_max = engine.upload.parts_in_flight_max.min(RESUMABLE_PARTS_IN_FLIGHT);
        }
        Some(Self {
            endpoint: endpoint?,
            key_file: key_file?,
            upload_method,
            chunk_bytes: (chosen - chosen % CHUNK_BYTES).max(CHUNK_BYTES),
            tokens: Arc::default(),
        })
    }

    /// Opens a bucket. Makes no request.
    pub(super) fn bucket(&self, name: &str, silence_max: Duration) -> Result<Arc<dyn BlobStore>> {
        let wire = Wire::new(client()?, self.endpoint.clone(), self.signer()?, HeaderMap::new(), silence_max);
        let service = Gcs::default()
            .bucket(name)
            .endpoint(self.endpoint.base())
            .skip_signature()
            .disable_vm_metadata()
            .disable_config_load();
        let objects = JsonObjects::new(wire.clone(), name, self.endpoint.base());
        let (multiparts, limits): (Box<dyn Multiparts>, StoreLimits) = match self.upload_method {
            UploadMethod::XmlMultipart => {
                let address = self.endpoint.bucket(name, AddressStyle::Path);
                let dialect = Dialect {
                    metadata_prefix: "x-goog-meta-",
                    metadata_name: str::to_ascii_lowercase,
                    part_checksum: PartChecksum::Google,
                };
                (Box::new(XmlMultiparts::new(wire.clone(), name, address, dialect)), XML_LIMITS)
            }
            UploadMethod::Resumable => (Box::new(ResumableUploads::new(objects.clone())), self.resumable_limits()),
        };
        let own = OwnRequests { multiparts, put: Some(Box::new(objects)), list: None };
        ObjectBucket::open(name, service, wire, own, limits)
    }

    fn signer(&self) -> Result<Arc<dyn Sign>> {
        let Some(key_file) = &self.key_file else { return Ok(Arc::new(Anonymous)) };
        let client = client()?;
        let tokens = self.tokens.get_or_init(|| TokenSource::new(key_file.clone(), client));
        Ok(Arc::new(tokens.clone()))
    }

    /// Chunks must be multiples of 256 KiB, so all of them have the one size that is. The whole object's CRC32C is compared at
    /// the end.
    fn resumable_limits(&self) -> StoreLimits {
        let parts_max = u32::try_from(OBJECT_BYTES_MAX / self.chunk_bytes).unwrap_or(u32::MAX);
        StoreLimits {
            part_bytes_min: self.chunk_bytes,
            part_bytes_max: self.chunk_bytes,
            parts_max,
            verifies_crc32c: true,
        }
    }
}

/// The key file, which must be in order, or `Some(None)` for requests that are not signed.
fn key_file(keys: &mut Keys<'_>, endpoint: Option<&Endpoint>) -> Option<Option<PathBuf>> {
    let anonymous = keys.extra("Anonymous");
    let anonymous_key = anonymous.as_ref().map(|(key, _)| key.clone());
    if keys.flag(anonymous) == Some(true) {
        let is_google = endpoint.is_none_or(|it| it.host() == GOOGLE_DOMAIN || it.host().ends_with(".googleapis.com"));
        if is_google {
            let problem = "only for emulators: name one with managedLedgerOffloadServiceEndpoint";
            keys.wrong(ConfigProblem::new(anonymous_key.unwrap_or_default(), problem).with_value("true"));
            return None;
        }
        return Some(None);
    }
    if keys.value(KEY_FILE).is_none() {
        let problem = format!("empty: name the JSON key file of a service account, {KEY_FILE}=<file>");
        keys.wrong(ConfigProblem::new(KEY_FILE, problem));
        return None;
    }
    let path = keys.file(KEY_FILE)?;
    match ServiceAccount::read(&path) {
        Ok(_) => Some(Some(path)),
        Err(problem) => {
            let problem = format!("the file {problem}");
            keys.wrong(ConfigProblem::new(KEY_FILE, problem).with_value(path.display().to_string()));
            None
        }
    }
}

/// A key file that is in order.
#[cfg(test)]
pub(super) fn key_file_for_tests() -> String {
    service_account::tests::key_file("https://oauth2.googleapis.com/token").to_string()
}

/// Leaves requests as they are, for emulators.
struct Anonymous;

#[async_trait]
impl Sign for Anonymous {
    async fn sign(&self, _head: &mut Parts) -> Result<()> {
        Ok(())
    }
}
