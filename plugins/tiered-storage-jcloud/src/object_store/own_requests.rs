//! Requests that opendal does not make, or not well enough, for a store.

use async_trait::async_trait;
use block_format::store::{Body, ListPage, ListRequest, ObjectAttributes};
use longshore_plugin_api::Result;

use super::multiparts::Multiparts;

/// What is asked in opendal's place.
pub(crate) struct OwnRequests {
    pub(crate) multiparts: Box<dyn Multiparts>,
    /// Where opendal sends no checksum that the store would verify.
    pub(crate) put: Option<Box<dyn PutObject>>,
    /// Where opendal lists from the beginning each time.
    pub(crate) list: Option<Box<dyn ListObjects>>,
}

impl<M: Multiparts> From<Box<M>> for OwnRequests {
    fn from(multiparts: Box<M>) -> Self {
        Self { multiparts, put: None, list: None }
    }
}

/// `BlobStore::put`, with its behaviour.
#[async_trait]
pub(crate) trait PutObject: Send + Sync + 'static {
    async fn put(&self, key: &str, body: Body, attributes: &ObjectAttributes) -> Result<()>;
}

/// `BlobStore::list`, with its behaviour.
#[async_trait]
pub(crate) trait ListObjects: Send + Sync + 'static {
    async fn list(&self, request: &ListRequest) -> Result<ListPage>;
}
