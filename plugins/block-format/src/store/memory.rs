//! A bucket in memory: the driver `transient`, and what tests look into. It is gone with the process.

use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use longshore_plugin_api::{Error, ErrorCode, Result};

use super::{
    BlobStore, Body, Fetched, ListPage, ListRequest, ListedObject, ObjectAttributes, ObjectHead, OpenMultipart,
    PartTag, StoreLimits, UploadId,
};
use crate::crc;

/// The bucket.
#[derive(Debug)]
pub struct MemoryStore {
    bucket: String,
    limits: StoreLimits,
    content: Mutex<Content>,
}

#[derive(Debug, Default)]
struct Content {
    objects: BTreeMap<String, StoredObject>,
    uploads: BTreeMap<(String, UploadId), Upload>,
    uploads_begun: u64,
}

/// An object with what stands beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredObject {
    /// Its bytes.
    pub bytes: Bytes,
    /// What it was written with.
    pub attributes: ObjectAttributes,
}

#[derive(Debug)]
struct Upload {
    attributes: ObjectAttributes,
    parts: BTreeMap<u32, Bytes>,
}

impl MemoryStore {
    /// An empty bucket. S3's limits, but that parts may be of any length.
    pub fn new(bucket: impl Into<String>) -> Self {
        let limits =
            StoreLimits { part_bytes_min: 1, part_bytes_max: 5 << 30, parts_max: 10_000, verifies_crc32c: true };
        Self::with_limits(bucket, limits)
    }

    /// An empty bucket with these limits.
    pub fn with_limits(bucket: impl Into<String>, limits: StoreLimits) -> Self {
        Self { bucket: bucket.into(), limits, content: Mutex::default() }
    }

    /// All objects' keys.
    pub fn keys(&self) -> Vec<String> {
        self.content().objects.keys().cloned().collect()
    }

    /// An object.
    pub fn object(&self, key: &str) -> Option<StoredObject> {
        self.content().objects.get(key).cloned()
    }

    /// Puts an object there, or takes it away.
    pub fn set_object(&self, key: &str, object: Option<StoredObject>) {
        let mut content = self.content();
        match object {
            Some(object) => content.objects.insert(key.to_owned(), object),
            None => content.objects.remove(key),
        };
    }

    /// Uploads that were begun and not ended.
    pub fn open_uploads(&self) -> usize {
        self.content().uploads.len()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        // Each change is one call on a map, so a panic leaves nothing half done.
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_found(&self, what: &str, key: &str) -> Error {
        Error::new(ErrorCode::NotFound, format!("no {what} {key} in bucket {}", self.bucket))
    }

    fn no_upload(&self, key: &str) -> Error {
        self.not_found("open upload of", key)
    }
}

/// A copy: the caller's memory is to be used again.
fn own(body: &Body) -> Bytes {
    body.pieces().concat().into()
}

#[async_trait]
impl BlobStore for MemoryStore {
    fn limits(&self) -> StoreLimits {
        self.limits
    }

    async fn put(&self, key: &str, body: Body, attributes: &ObjectAttributes) -> Result<()> {
        let object = StoredObject { bytes: own(&body), attributes: attributes.clone() };
        self.content().objects.insert(key.to_owned(), object);
        Ok(())
    }

    async fn begin_multipart(&self, key: &str, attributes: &ObjectAttributes) -> Result<UploadId> {
        let mut content = self.content();
        content.uploads_begun += 1;
        let upload = UploadId(content.uploads_begun.to_string());
        let begun = Upload { attributes: attributes.clone(), parts: BTreeMap::new() };
        content.uploads.insert((key.to_owned(), upload.clone()), begun);
        Ok(upload)
    }

    async fn put_part(&self, key: &str, upload: &UploadId, number: u32, body: Body, crc32c: u32) -> Result<PartTag> {
        let body = own(&body);
        if crc::of(&body) != crc32c {
            let message = format!("part {number} of {key} in bucket {} arrived damaged", self.bucket);
            return Err(Error::new(ErrorCode::Unavailable, message));
        }
        let mut content = self.content();
        let open = content.uploads.get_mut(&(key.to_owned(), upload.clone())).ok_or_else(|| self.no_upload(key))?;
        open.parts.insert(number, body);
        Ok(PartTag { number, tag: format!("{crc32c:08x}") })
    }

    async fn complete_multipart(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<()> {
        let mut content = self.content();
        let id = (key.to_owned(), upload.clone());
        let open = content.uploads.get(&id).ok_or_else(|| self.no_upload(key))?;
        let mut bytes = Vec::new();
        for part in parts {
            let body = open.parts.get(&part.number).ok_or_else(|| self.not_found("part of", key))?;
            bytes.extend_from_slice(body);
        }
        let object = StoredObject { bytes: bytes.into(), attributes: open.attributes.clone() };
        content.uploads.remove(&id);
        content.objects.insert(key.to_owned(), object);
        Ok(())
    }

    async fn abort_multipart(&self, key: &str, upload: &UploadId) -> Result<()> {
        self.content().uploads.remove(&(key.to_owned(), upload.clone()));
        Ok(())
    }

    async fn list_multiparts(&self, prefix: &str) -> Result<Vec<OpenMultipart>> {
        let content = self.content();
        let open = content.uploads.keys().filter(|(key, _)| key.starts_with(prefix));
        Ok(open.map(|(key, upload)| OpenMultipart { key: key.clone(), upload: upload.clone() }).collect())
    }

    async fn get(&self, key: &str, range: Range<u64>) -> Result<Fetched> {
        let StoredObject { bytes, attributes } = self.object(key).ok_or_else(|| self.not_found("object", key))?;
        let clip = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let (start, end) = (clip(range.start), clip(range.end));
        Ok(Fetched {
            bytes: bytes.slice(start.min(end)..end),
            object_bytes: Some(bytes.len() as u64),
            user_metadata: Some(attributes.user_metadata),
        })
    }

    async fn head(&self, key: &str) -> Result<ObjectHead> {
        let object = self.object(key).ok_or_else(|| self.not_found("object", key))?;
        Ok(ObjectHead { object_bytes: object.bytes.len() as u64, user_metadata: object.attributes.user_metadata })
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.content().objects.remove(key);
        Ok(())
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage> {
        let content = self.content();
        let after = request.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut behind = content
            .objects
            .range((after, Bound::Unbounded))
            .filter(|(key, _)| key.starts_with(&request.prefix))
            .map(|(key, object)| ListedObject { key: key.clone(), object_bytes: object.bytes.len() as u64 });
        let objects = behind.by_ref().take(request.limit.max(1) as usize).collect();
        Ok(ListPage { objects, more: behind.next().is_some() })
    }
}
