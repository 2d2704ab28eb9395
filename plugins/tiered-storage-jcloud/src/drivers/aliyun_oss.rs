//! Driver `aliyun-oss`: Alibaba's store, with its own signature.
//!
//! The original speaks S3 to it, with the bucket's name before the host's, and takes its key from the environment alone. So do
//! we, but for the protocol: the objects are the same.

use std::fmt;
use std::sync::Arc;

use block_format::store::{BlobStore, StoreLimits};
use http::HeaderMap;
use longshore_plugin_api::{ConfigProblem, Result};
use opendal::services::Oss;
use reqsign_aliyun_oss::{RequestSigner, StaticCredentialProvider};
use reqsign_core::{Context, Signer};

use super::Driver;
use crate::config::Place;
use crate::environment::Environment;
use crate::keys::Keys;
use crate::object_store::ObjectBucket;
use crate::object_store::endpoint::{AddressStyle, Endpoint};
use crate::object_store::http::client;
use crate::object_store::wire::Wire;
use crate::object_store::xml_multiparts::{Dialect, PartChecksum, XmlMultiparts};

/// In the order in which the original looks.
const KEY_ID: [&str; 2] = ["ACCESS_KEY_ID", "ALIYUN_OSS_ACCESS_KEY_ID"];
const KEY_SECRET: [&str; 2] = ["ACCESS_KEY_SECRET", "ALIYUN_OSS_ACCESS_KEY_SECRET"];

/// From Alibaba's limits: parts of 100 KiB to 5 GiB, 10,000 of them. It refuses a body whose MD5 is not the one sent with it.
const LIMITS: StoreLimits =
    StoreLimits { part_bytes_min: 100 << 10, part_bytes_max: 5 << 30, parts_max: 10_000, verifies_crc32c: true };

/// Aliyun OSS as it is configured.
#[derive(Clone)]
pub(crate) struct OssSettings {
    endpoint: Endpoint,
    style: AddressStyle,
    key_id: String,
    key_secret: String,
}

impl fmt::Debug for OssSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("OssSettings");
        shown.field("endpoint", &self.endpoint).field("style", &self.style).finish_non_exhaustive()
    }
}

impl OssSettings {
    pub(super) fn read(keys: &mut Keys<'_>, place: &Place) -> Option<Self> {
        if place.endpoint_given.is_empty() {
            let key = keys.key_of("ServiceEndpoint");
            let name = Driver::AliyunOss.name();
            let problem =
                format!("empty: {name} needs the endpoint of a region, as {key}=http://oss-cn-hongkong.aliyuncs.com");
            keys.wrong(ConfigProblem::new(key, problem));
        }
        let key_id = variable(keys, &KEY_ID, "access key id");
        let key_secret = variable(keys, &KEY_SECRET, "access key secret");
        let virtual_host = keys.flag(keys.extra("VirtualHostStyle"));
        let endpoint = place.endpoint.clone()?;
        let style = match virtual_host {
            Some(false) => AddressStyle::Path,
            // A number can have nothing before it.
            _ if !endpoint.has_name() => AddressStyle::Path,
            _ => AddressStyle::VirtualHost,
        };
        Some(Self { endpoint, style, key_id: key_id?, key_secret: key_secret? })
    }

    /// Opens a bucket. Makes no request.
    pub(super) fn bucket(&self, name: &str) -> Result<Arc<dyn BlobStore>> {
        let provider = StaticCredentialProvider::new(&self.key_id, &self.key_secret);
        let signer = Signer::new(Context::new(), provider, RequestSigner::new(name));
        let wire = Wire::new(client()?, self.endpoint.clone(), Arc::new(signer), HeaderMap::new()).with_content_md5();
        let style = match self.style {
            AddressStyle::Path => "path",
            AddressStyle::VirtualHost => "virtual",
        };
        let service =
            Oss::default().bucket(name).endpoint(self.endpoint.base()).addressing_style(style).skip_signature();
        let dialect = Dialect { metadata_prefix: "x-oss-meta-", part_checksum: PartChecksum::None };
        let multiparts = XmlMultiparts::new(wire.clone(), name, self.endpoint.bucket(name, self.style), dialect);
        ObjectBucket::open(name, service, wire, Box::new(multiparts), LIMITS)
    }
}

fn variable(keys: &mut Keys<'_>, names: &[&str; 2], what: &str) -> Option<String> {
    let environment: &Environment = keys.environment();
    let found = environment.first_of(names).map(str::to_owned);
    if found.is_none() {
        let [generic, own] = names;
        let problem = format!("aliyun-oss takes its {what} from the environment: set {own}, or {generic}");
        keys.wrong(ConfigProblem::new(*own, problem));
    }
    found
}
