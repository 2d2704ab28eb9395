//! Driver `azureblob`: a container of an Azure storage account.
//!
//! | to understand | read |
//! |---|---|
//! | keys, and how a container is opened | this file |
//! | which account, and what proves that we may use it | `account` |
//! | whole blobs, blobs in blocks | `blocks` |
//! | listings that go on where the last one ended | `listing` |

mod account;
mod blocks;
mod listing;

use std::sync::Arc;
use std::time::Duration;

use block_format::store::{BlobStore, StoreLimits};
use http::HeaderMap;
use longshore_plugin_api::{ConfigProblem, Result};
use opendal::services::Azblob;

use crate::config::Place;
use crate::keys::Keys;
use crate::object_store::ObjectBucket;
use crate::object_store::endpoint::{AddressStyle, Endpoint};
use crate::object_store::http::client;
use crate::object_store::own_requests::OwnRequests;
use crate::object_store::wire::Wire;
use account::Account;
use blocks::Container;
use listing::Listing;

/// From Azure's limits: blocks of up to 4,000 MiB, 50,000 of them. It refuses a body whose MD5 is not the one sent with it.
const LIMITS: StoreLimits =
    StoreLimits { part_bytes_min: 1, part_bytes_max: 4000 << 20, parts_max: 50_000, verifies_crc32c: true };

/// Azure Blob Storage as it is configured.
#[derive(Clone, Debug)]
pub(crate) struct AzureSettings {
    endpoint: Endpoint,
    account: Account,
}

impl AzureSettings {
    pub(super) fn read(keys: &mut Keys<'_>, place: &Place) -> Option<Self> {
        let account = Account::read(keys.environment()).map_err(|problem| keys.wrong(problem)).ok()?;
        let endpoint = match &place.endpoint {
            Some(given) => with_account(given, account.name()),
            // It is there, and it is wrong.
            None if !place.endpoint_given.is_empty() => return None,
            None => Endpoint::parse(account.endpoint()),
        };
        let wrong =
            |problem| ConfigProblem::new("AZURE_STORAGE_CONNECTION_STRING", format!("its BlobEndpoint is {problem}"));
        let endpoint = endpoint.map_err(|problem| keys.wrong(wrong(problem))).ok()?;
        Some(Self { endpoint, account })
    }

    /// Opens a container. Makes no request.
    pub(super) fn bucket(&self, name: &str, silence_max: Duration) -> Result<Arc<dyn BlobStore>> {
        let signer = self.account.signer(&client()?);
        let wire =
            Wire::new(client()?, self.endpoint.clone(), signer, HeaderMap::new(), silence_max).with_content_md5();
        let service = Azblob::default().container(name).endpoint(self.endpoint.base()).skip_signature();
        let container = Container::new(wire.clone(), name, self.endpoint.bucket(name, AddressStyle::Path));
        let own = OwnRequests {
            multiparts: Box::new(container.clone()),
            put: Some(Box::new(container.clone())),
            list: Some(Box::new(Listing::new(container))),
        };
        ObjectBucket::open(name, service, wire, own, LIMITS)
    }
}

/// Emulators have the account in the path and not in the host. It may be left out of the endpoint.
fn with_account(given: &Endpoint, account: &str) -> Result<Endpoint, String> {
    let has_path = given.base().splitn(4, '/').nth(3).is_some();
    if has_path || (given.has_name() && given.host() != "localhost") {
        return Ok(given.clone());
    }
    Endpoint::parse(&format!("{}/{account}", given.base()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulators_address_gets_the_account() {
        for (given, expected) in [
            ("http://127.0.0.1:10000", "http://127.0.0.1:10000/devstoreaccount1"),
            ("http://localhost:10000/", "http://localhost:10000/devstoreaccount1"),
            ("http://127.0.0.1:10000/other", "http://127.0.0.1:10000/other"),
            ("https://tier.blob.core.windows.net", "https://tier.blob.core.windows.net"),
        ] {
            let endpoint = with_account(&Endpoint::parse(given).unwrap(), "devstoreaccount1").unwrap();
            assert_eq!(endpoint.base(), expected);
        }
    }
}
