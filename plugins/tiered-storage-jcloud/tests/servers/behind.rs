//! A driver on a server, whichever they are, and what lies there behind the driver's back.

use http::Method;
use longshore_conformance::table::Place;
use longshore_plugin_api::{DriverConfig, OffloaderFactory, StoredLedger};
use tiered_storage_jcloud::{ObjectStoreFactory, ObjectStoreOffloader};

use crate::cloud::Cloud;
use crate::raw::Raw;
use crate::server::{Server, data_key};

/// A driver and a server.
#[derive(Clone, Debug)]
pub(crate) enum Behind {
    S3(Server),
    Cloud(Cloud),
}

impl Behind {
    pub(crate) fn place(&self) -> Place<'_> {
        match self {
            Self::S3(server) => Place { driver: "aws-s3", server: server.name },
            Self::Cloud(cloud) => cloud.place(),
        }
    }

    /// The server's address.
    pub(crate) fn endpoint(&self) -> &str {
        match self {
            Self::S3(server) => &server.endpoint,
            Self::Cloud(cloud) => &cloud.endpoint,
        }
    }

    /// The server's host and port.
    pub(crate) fn authority(&self) -> &str {
        let rest = self.endpoint().strip_prefix("http://").unwrap();
        rest.split('/').next().unwrap()
    }

    /// What must not be told.
    pub(crate) fn secret(&self) -> Option<&str> {
        match self {
            Self::S3(server) => Some(&server.secret_key),
            Self::Cloud(cloud) => {
                let secret = cloud.variables.iter().find(|(name, _)| Some(*name) == cloud.secret);
                secret.map(|(_, secret)| secret.as_str())
            }
        }
    }

    /// A driver that takes the server to be at another host and port.
    pub(crate) async fn driver_at(&self, authority: &str, more: &[(&str, &str)]) -> ObjectStoreOffloader {
        let endpoint = self.endpoint().replacen(self.authority(), authority, 1);
        let config: DriverConfig = match self {
            Self::S3(server) => Server { endpoint, ..server.clone() }.config("aws-s3", more),
            Self::Cloud(cloud) => Cloud { endpoint, ..cloud.clone() }.config(more),
        };
        assert_eq!(ObjectStoreFactory::validate(&config), []);
        ObjectStoreFactory::create(config).await.unwrap()
    }

    /// Whether a request for an upload may be made again: fake-gcs-server appends a chunk that comes again, and takes the
    /// question how much it has for the end. That sessions are taken up again is proven on a stand-in.
    pub(crate) fn takes_up_uploads(&self) -> bool {
        !matches!(self, Self::Cloud(cloud) if cloud.driver == "google-cloud-storage")
    }

    /// Whether a completion whose connection is lost may cost the whole upload: MinIO stops in the middle of it, and its parts are
    /// not found any more. The copy fails then, and may be made again.
    pub(crate) fn loses_cut_completions(&self) -> bool {
        matches!(self, Self::S3(server) if server.name == "MinIO")
    }

    /// What there is of a copy: keys, and a word for each part or upload that no object has.
    pub(crate) async fn left(&self, stored: &StoredLedger) -> Vec<String> {
        let key = data_key(stored);
        let (mut left, open) = match self {
            Self::S3(server) => {
                let raw = Raw::new(server);
                let listed = raw.send(Method::GET, &format!("?list-type=2&prefix={key}"), &[], Vec::new()).await;
                assert_eq!(listed.status(), 200);
                let listed = listed.text().await.unwrap();
                let keys = listed.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned());
                (keys.collect::<Vec<_>>(), raw.open_uploads(&key).await)
            }
            Self::Cloud(cloud) => (cloud.keys(&key).await, cloud.open_parts(&key).await),
        };
        left.extend((0..open).map(|_| "an open part or upload".to_owned()));
        left
    }
}
