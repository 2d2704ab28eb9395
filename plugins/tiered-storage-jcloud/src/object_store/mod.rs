//! A bucket of an object store, for the engine: opendal makes most requests, and what it does not show is made here.
//!
//! | to understand | read |
//! |---|---|
//! | the bucket | this file |
//! | how a request is signed, sent and judged | `wire`, then `http`, `silence` |
//! | what can go wrong | `failure`, `refusal` |
//! | objects in parts | `multiparts`, `xml_multiparts` |
//! | what else opendal does not do | `own_requests` |
//! | bodies from many places in memory | `pieces` |
//! | addresses, and what stands beside an object | `endpoint`, `user_metadata` |
//!
//! Each method is one request. Nothing is tried again, limited or timed here: the engine does that.

pub(crate) mod endpoint;
pub(crate) mod failure;
pub(crate) mod http;
pub(crate) mod multiparts;
pub(crate) mod own_requests;
mod pieces;
pub(crate) mod refusal;
mod silence;
pub(crate) mod user_metadata;
pub(crate) mod wire;
pub(crate) mod xml_multiparts;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use ::http::StatusCode;
use async_trait::async_trait;
use block_format::store::{
    BlobStore, Body, Chunks, Fetched, ListPage, ListRequest, ListedObject, ObjectAttributes, ObjectHead, OpenMultipart,
    PartTag, StoreLimits, UploadId,
};
use block_format::user_metadata::UserMetadata;
use bytes::BytesMut;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use longshore_plugin_api::{Error, Result};
use opendal::{Buffer, HttpTransporter, Metadata, OperationContext, Operator};

use failure::Failure;
use own_requests::OwnRequests;
use wire::Wire;

/// Objects of a page: one less than stores give at once, so that a page tells whether another one follows.
const LISTED_OBJECTS_MAX: u32 = 999;

/// A bucket.
pub(crate) struct ObjectBucket {
    name: String,
    operator: Operator,
    own: OwnRequests,
    limits: StoreLimits,
    wire: Wire,
}

impl fmt::Debug for ObjectBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectBucket").field("name", &self.name).field("wire", &self.wire).finish_non_exhaustive()
    }
}

impl ObjectBucket {
    /// A bucket over opendal's service, which must be configured not to sign, and not to read its environment.
    ///
    /// # Errors
    /// `InvalidConfig` where opendal refuses its configuration.
    pub(crate) fn open(
        name: &str,
        service: impl opendal::Builder,
        wire: Wire,
        own: impl Into<OwnRequests>,
        limits: StoreLimits,
    ) -> Result<Arc<dyn BlobStore>> {
        let service = service.build().map_err(|error| Failure::of_opendal(&error).into_error(name, ""))?;
        let context = OperationContext::new().with_http_transport(HttpTransporter::new(wire.clone()));
        // Without the layers that opendal puts on by itself: to them, a range that reaches behind the object's end is an error.
        let operator = Operator::from_parts(context, Arc::new(service));
        Ok(Arc::new(Self { name: name.to_owned(), operator, own: own.into(), limits, wire }))
    }

    fn error(&self, key: &str) -> impl Fn(opendal::Error) -> Error {
        move |error| Failure::of_opendal(&error).into_error(&self.name, key)
    }

    /// What of a range comes; a store that sends more is not listened to.
    async fn chunks(&self, key: &str, range: Range<u64>) -> opendal::Result<Chunks> {
        let reader = self.operator.reader(key).await?;
        let mut body = reader.clone().into_stream(range.clone()).await?;
        // What stands beside the bytes is known when the first of them are there.
        let first = body.try_next().await?;
        let object = reader.metadata();
        let object_bytes = object.map(Metadata::content_length);
        // Google tells it in answers to HEAD alone; objects of ours always have some.
        let user_metadata = object.map(user_metadata_of).filter(|told| !told.pairs().is_empty());
        let (name, key, mut left) = (self.name.clone(), key.to_owned(), range.end - range.start);
        let chunks = stream::iter(first.map(Ok)).chain(body).map(move |chunk| {
            let chunk = chunk.map_err(|error| Failure::of_opendal(&error).into_error(&name, &key))?.to_bytes();
            let chunk = chunk.slice(..chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            left -= chunk.len() as u64;
            Ok(chunk)
        });
        Ok(Chunks { chunks: chunks.boxed(), object_bytes, user_metadata })
    }
}

#[async_trait]
impl BlobStore for ObjectBucket {
    fn limits(&self) -> StoreLimits {
        let verifies_crc32c = self.limits.verifies_crc32c && self.wire.verifies_checksums();
        StoreLimits { verifies_crc32c, ..self.limits }
    }

    async fn put(&self, key: &str, body: Body, attributes: &ObjectAttributes) -> Result<()> {
        if let Some(own) = &self.own.put {
            return own.put(key, body, attributes).await;
        }
        let body: Buffer = body.pieces().to_vec().into();
        let write = self.operator.write_with(key, body);
        let write = write.content_type(attributes.content_type);
        let write = write.user_metadata(user_metadata::encode(&attributes.user_metadata));
        write.await.map(drop).map_err(self.error(key))
    }

    async fn begin_multipart(&self, key: &str, attributes: &ObjectAttributes) -> Result<UploadId> {
        self.own.multiparts.begin(key, attributes).await
    }

    async fn put_part(&self, key: &str, upload: &UploadId, number: u32, body: Body, crc32c: u32) -> Result<PartTag> {
        self.own.multiparts.put_part(key, upload, number, body, crc32c).await
    }

    async fn complete_multipart(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<()> {
        self.own.multiparts.complete(key, upload, parts).await
    }

    async fn abort_multipart(&self, key: &str, upload: &UploadId) -> Result<()> {
        self.own.multiparts.abort(key, upload).await
    }

    async fn list_multiparts(&self, prefix: &str) -> Result<Vec<OpenMultipart>> {
        self.own.multiparts.list(prefix).await
    }

    async fn get(&self, key: &str, range: Range<u64>) -> Result<Fetched> {
        let mut answer = self.get_chunks(key, range.clone()).await?;
        let due = answer.object_bytes.map_or(0, |bytes| bytes.clamp(range.start, range.end) - range.start);
        let mut bytes = BytesMut::with_capacity(usize::try_from(due).unwrap_or_default());
        while let Some(chunk) = answer.chunks.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        let Chunks { object_bytes, user_metadata, .. } = answer;
        Ok(Fetched { bytes: bytes.freeze(), object_bytes, user_metadata })
    }

    async fn get_chunks(&self, key: &str, range: Range<u64>) -> Result<Chunks> {
        if range.is_empty() {
            let head = self.head(key).await?;
            let user_metadata = Some(head.user_metadata);
            return Ok(Chunks {
                chunks: stream::empty().boxed(),
                object_bytes: Some(head.object_bytes),
                user_metadata,
            });
        }
        let error = match self.chunks(key, range).await {
            Ok(chunks) => return Ok(chunks),
            Err(error) => error,
        };
        match Failure::of_opendal(&error) {
            // Nothing of the range exists.
            Failure::Refused(refusal) if refusal.status == StatusCode::RANGE_NOT_SATISFIABLE => {
                let object_bytes = refusal.object_bytes;
                Ok(Chunks { chunks: stream::empty().boxed(), object_bytes, user_metadata: None })
            }
            failure => Err(failure.into_error(&self.name, key)),
        }
    }

    async fn head(&self, key: &str) -> Result<ObjectHead> {
        let object = self.operator.stat(key).await.map_err(self.error(key))?;
        Ok(ObjectHead { object_bytes: object.content_length(), user_metadata: user_metadata_of(&object) })
    }

    async fn delete(&self, key: &str) -> Result<()> {
        match self.operator.delete(key).await {
            Ok(()) => Ok(()),
            Err(error) => match Failure::of_opendal(&error) {
                failure if failure.is_absent_object() => Ok(()),
                failure => Err(failure.into_error(&self.name, key)),
            },
        }
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage> {
        if let Some(own) = &self.own.list {
            return own.list(request).await;
        }
        let limit = request.limit.clamp(1, LISTED_OBJECTS_MAX) as usize;
        // One object more than a page has, to know whether there is another page.
        let mut list = self.operator.lister_with(&request.prefix).recursive(true).limit(limit + 1);
        if let Some(after) = &request.after {
            list = list.start_after(after);
        }
        let mut entries = list.await.map_err(self.error(""))?;
        let mut objects = Vec::new();
        while let Some(entry) = entries.try_next().await.map_err(self.error(""))? {
            if objects.len() == limit {
                return Ok(ListPage { objects, more: true });
            }
            if entry.metadata().is_file() {
                let object_bytes = entry.metadata().content_length();
                objects.push(ListedObject { key: entry.path().to_owned(), object_bytes });
            }
        }
        Ok(ListPage { objects, more: false })
    }
}

fn user_metadata_of(object: &Metadata) -> UserMetadata {
    user_metadata::decode(object.user_metadata().into_iter().flatten())
}
