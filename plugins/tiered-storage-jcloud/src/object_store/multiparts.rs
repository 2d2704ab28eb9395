//! Objects in parts, which opendal writes but does not show: the engine keeps its own count of parts, sends a lost one again,
//! and finds what an earlier attempt left.

use async_trait::async_trait;
use block_format::store::{Body, ObjectAttributes, OpenMultipart, PartTag, UploadId};
use longshore_plugin_api::Result;

/// One bucket's uploads in parts; each method is that of [`BlobStore`](block_format::store::BlobStore), with its behaviour.
#[async_trait]
pub(crate) trait Multiparts: Send + Sync + 'static {
    /// `BlobStore::begin_multipart`.
    async fn begin(&self, key: &str, attributes: &ObjectAttributes) -> Result<UploadId>;

    /// `BlobStore::put_part`.
    async fn put_part(&self, key: &str, upload: &UploadId, number: u32, body: Body, crc32c: u32) -> Result<PartTag>;

    /// `BlobStore::complete_multipart`.
    async fn complete(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<()>;

    /// `BlobStore::abort_multipart`.
    async fn abort(&self, key: &str, upload: &UploadId) -> Result<()>;

    /// `BlobStore::list_multiparts`.
    async fn list(&self, prefix: &str) -> Result<Vec<OpenMultipart>>;
}
