//! What the engine asks of an object store: a dozen small requests, each of which an author of a plugin implements with
//! whatever client the store needs.
//!
//! | to understand | read |
//! |---|---|
//! | the requests | this file |
//! | what is written | `body` |
//! | how each is tried again, limited and timed | `requests` |
//! | a store in memory | [`memory`] |

mod body;
pub mod memory;
pub(crate) mod requests;

use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use longshore_plugin_api::Result;

use crate::user_metadata::UserMetadata;

pub use body::Body;
pub use requests::RequestOptions;

/// One bucket of an object store, as one configuration reaches it.
///
/// # Behavior
/// - All methods may run at once.
/// - A method makes one request and does not repeat it: the engine does, in one place.
/// - Errors carry the code that says what to do (`NotFound`, `PermissionDenied`, `RateLimited`, `Unavailable`, `Timeout`), and
///   a message that names bucket, key and the store's request id, never a secret. What cannot be reached is never `NotFound`.
/// - Dropping a future gives the request up; it may take effect all the same.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// What this store can do.
    fn limits(&self) -> StoreLimits;

    /// Writes a whole object, in place of one of this key.
    async fn put(&self, key: &str, body: Body, attributes: &ObjectAttributes) -> Result<()>;

    /// Begins an object that is written in parts. Nobody sees it before it is completed.
    async fn begin_multipart(&self, key: &str, attributes: &ObjectAttributes) -> Result<UploadId>;

    /// Writes part `number`, counted from 1, in place of an earlier one of this number. `crc32c` is the body's, for stores
    /// that verify it.
    ///
    /// # Errors
    /// `NotFound` where there is no such upload any more.
    async fn put_part(&self, key: &str, upload: &UploadId, number: u32, body: Body, crc32c: u32) -> Result<PartTag>;

    /// Makes the object of these parts, in this order, visible.
    ///
    /// # Errors
    /// `NotFound` where there is no such upload any more.
    async fn complete_multipart(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<()>;

    /// Forgets an upload and its parts; an upload that is not there is a success.
    async fn abort_multipart(&self, key: &str, upload: &UploadId) -> Result<()>;

    /// Uploads that were begun and not ended, of keys that begin with `prefix`. A bounded number of them at once: they are
    /// asked for again once those are aborted.
    async fn list_multiparts(&self, prefix: &str) -> Result<Vec<OpenMultipart>>;

    /// The part of `range` that exists.
    ///
    /// # Errors
    /// `NotFound` where there is no such object.
    async fn get(&self, key: &str, range: Range<u64>) -> Result<Fetched>;

    /// The same, chunk by chunk as it comes, for ranges that are too long to be waited for. By default all at once.
    ///
    /// # Errors
    /// `NotFound` where there is no such object.
    async fn get_chunks(&self, key: &str, range: Range<u64>) -> Result<Chunks> {
        let Fetched { bytes, object_bytes, user_metadata } = self.get(key, range).await?;
        Ok(Chunks { chunks: stream::iter([Ok(bytes)]).boxed(), object_bytes, user_metadata })
    }

    /// What is known of an object without its bytes.
    ///
    /// # Errors
    /// `NotFound` where there is no such object.
    async fn head(&self, key: &str) -> Result<ObjectHead>;

    /// Deletes an object; one that is not there is a success.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Objects in the order of their keys.
    async fn list(&self, request: &ListRequest) -> Result<ListPage>;
}

/// What a store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// The shortest part but the last one, in bytes.
    pub part_bytes_min: u64,
    /// The longest part, and the longest object that is written at once, in bytes.
    pub part_bytes_max: u64,
    /// The most parts of an object.
    pub parts_max: u32,
    /// Whether the store refuses a part whose CRC32C is not the one that was sent with it.
    pub verifies_crc32c: bool,
}

/// What an object is written with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectAttributes {
    /// The `Content-Type`.
    pub content_type: &'static str,
    /// Names and values beside it.
    pub user_metadata: UserMetadata,
}

/// Names an upload in parts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UploadId(pub String);

/// What a store answers to a part, and wants to see at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartTag {
    /// The part's number.
    pub number: u32,
    /// The store's tag.
    pub tag: String,
}

/// An upload that was not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenMultipart {
    /// The object's key.
    pub key: String,
    /// The upload.
    pub upload: UploadId,
}

/// A range of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Its bytes.
    pub bytes: Bytes,
    /// The whole object's length, where the answer tells.
    pub object_bytes: Option<u64>,
    /// What stands beside the object, where the answer tells.
    pub user_metadata: Option<UserMetadata>,
}

/// A range of an object on its way.
pub struct Chunks {
    /// Its bytes, in their order. An error ends them.
    pub chunks: BoxStream<'static, Result<Bytes>>,
    /// The whole object's length, where the answer tells.
    pub object_bytes: Option<u64>,
    /// What stands beside the object, where the answer tells.
    pub user_metadata: Option<UserMetadata>,
}

/// What is known of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectHead {
    /// Its length.
    pub object_bytes: u64,
    /// What stands beside it.
    pub user_metadata: UserMetadata,
}

/// Asks for a page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// What keys begin with.
    pub prefix: String,
    /// Only keys behind this one.
    pub after: Option<String>,
    /// The most objects of a page.
    pub limit: u32,
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPage {
    /// Objects.
    pub objects: Vec<ListedObject>,
    /// Whether there are more behind the last one.
    pub more: bool,
}

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// Its length.
    pub object_bytes: u64,
}
