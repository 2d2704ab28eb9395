//! Driver `aliyun-oss`: Alibaba's store, with its own signature.
//!
//! The original speaks S3 to it, with the bucket's name before the host's, and takes its key from the environment alone. So do
//! we, but for the protocol: the objects are the same.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
use crate::object_store::own_requests::OwnRequests;
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
    pub(super) fn bucket(&self, name: &str, silence_max: Duration) -> Result<Arc<dyn BlobStore>> {
        let provider = StaticCredentialProvider::new(&self.key_id, &self.key_secret);
        let signer = Signer::new(Context::new(), provider, RequestSigner::new(name));
        let wire = Wire::new(client()?, self.endpoint.clone(), Arc::new(signer), HeaderMap::new(), silence_max)
            .with_content_md5();
        let style = match self.style {
            AddressStyle::Path => "path",
            AddressStyle::VirtualHost => "virtual",
        };
        let service =
            Oss::default().bucket(name).endpoint(self.endpoint.base()).addressing_style(style).skip_signature();
        let dialect = Dialect { metadata_prefix: "x-oss-meta-", metadata_name, part_checksum: PartChecksum::None };
        let objects = XmlMultiparts::new(wire.clone(), name, self.endpoint.bucket(name, self.style), dialect);
        let own = OwnRequests { multiparts: Box::new(objects.clone()), put: Some(Box::new(objects)), list: None };
        ObjectBucket::open(name, service, wire, own, LIMITS)
    }
}

/// Names of user metadata have small letters, digits and hyphens in OSS; those of the format are such names.
fn metadata_name(name: &str) -> String {
    name.chars().map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_lowercase() } else { '-' }).collect()
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

#[cfg(test)]
mod tests {
    use longshore_plugin_api::DriverConfig;

    use super::*;
    use crate::config::Settings;
    use crate::drivers::Store;

    const KEYS: [(&str, &str); 2] = [("ALIYUN_OSS_ACCESS_KEY_ID", "id"), ("ALIYUN_OSS_ACCESS_KEY_SECRET", "hush")];

    fn read(endpoint: &str, style: &str, variables: &[(&str, &str)]) -> std::result::Result<OssSettings, String> {
        let properties = [
            ("managedLedgerOffloadBucket", "tier"),
            ("managedLedgerOffloadServiceEndpoint", endpoint),
            ("managedLedgerOffloadExtraConfigVirtualHostStyle", style),
        ];
        let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let config = DriverConfig { driver: "Aliyun-OSS".to_owned(), properties, search_folders: Vec::new() };
        match Settings::read(&config, &Environment::of(variables)) {
            Ok(Settings { store: Store::Oss(settings), .. }) => Ok(*settings),
            Ok(other) => panic!("{other:?}"),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")),
        }
    }

    #[test]
    fn the_bucket_stands_before_a_name_and_behind_a_number() {
        for (endpoint, style, expected) in [
            ("http://oss-us-west-1-internal.aliyuncs.com", "", "http://tier.oss-us-west-1-internal.aliyuncs.com"),
            ("oss-cn-hongkong.aliyuncs.com", "", "https://tier.oss-cn-hongkong.aliyuncs.com"),
            ("http://127.0.0.1:9", "", "http://127.0.0.1:9/tier"),
            ("http://127.0.0.1:9", "true", "http://127.0.0.1:9/tier"),
            ("http://oss.example.com", "false", "http://oss.example.com/tier"),
        ] {
            let settings = read(endpoint, style, &KEYS).unwrap();
            assert_eq!(settings.endpoint.bucket("tier", settings.style), expected);
            assert!(!format!("{settings:?}").contains("hush"));
        }
    }

    #[test]
    fn keys_come_from_the_environment_in_the_originals_order() {
        let other = [("ACCESS_KEY_ID", "other"), ("ACCESS_KEY_SECRET", "too"), KEYS[0], KEYS[1]];
        let settings = read("http://h", "", &other).unwrap();
        assert_eq!((settings.key_id.as_str(), settings.key_secret.as_str()), ("other", "too"));
        let said = read("", "", &KEYS[..1]).unwrap_err();
        assert!(
            said.contains("managedLedgerOffloadServiceEndpoint: empty: aliyun-oss needs the endpoint of a region"),
            "{said}"
        );
        assert!(said.contains("ALIYUN_OSS_ACCESS_KEY_SECRET: aliyun-oss takes its access key secret from"), "{said}");
    }

    #[test]
    fn names_that_oss_refuses_become_others() {
        assert_eq!(metadata_name("caf%C3%A9_au.lait"), "caf-c3-a9-au-lait");
        assert_eq!(metadata_name("ManagedLedgerName"), "managedledgername");
    }
}
