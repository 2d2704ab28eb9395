//! A bucket of an object store, for the engine: opendal makes most requests, and what it does not show is made here.
//!
//! | to understand | read |
//! |---|---|
//! | the bucket | this file |
//! | how a request is signed, sent and judged | `wire`, then `http`, `silence` |
//! | what can go wrong | `failure`, `refusal` |
//! | objects in parts | `multiparts`, `xml_multiparts` |
//! | what else opendal does not do | `own_requests` |
//! | memory for what is written and read | `pieces`, `spare` |
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
mod spare;
pub(crate) mod user_metadata;
pub(crate) mod wire;
pub(crate) mod xml_multiparts;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use ::http::StatusCode;
use async_trait::async_trait;
use block_format::store::{
    BlobStore, Body, Fetched, ListPage, ListRequest, ListedObject, ObjectAttributes, ObjectHead, OpenMultipart,
    PartTag, StoreLimits, UploadId,
};
use block_format::user_metadata::UserMetadata;
use bytes::Bytes;
use futures_util::TryStreamExt;
use longshore_plugin_api::{Error, Result};
use opendal::{Buffer, HttpTransporter, Metadata, OperationContext, Operator};

use failure::Failure;
use own_requests::OwnRequests;
use spare::{SpareBuffer, Spares};
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
    spares: Arc<Spares>,
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
        Ok(Arc::new(Self { name: name.to_owned(), operator, own: own.into(), limits, wire, spares: Arc::default() }))
    }

    fn error(&self, key: &str) -> impl Fn(opendal::Error) -> Error {
        move |error| Failure::of_opendal(&error).into_error(&self.name, key)
    }

    /// Reads on until the range is full; a store that sends more is not listened to.
    async fn fetch(&self, key: &str, range: Range<u64>) -> opendal::Result<Fetched> {
        let reader = self.operator.reader(key).await?;
        let mut chunks = reader.clone().into_stream(range.clone()).await?;
        let asked = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let mut buffer = None;
        while let Some(chunk) = chunks.try_next().await? {
            let bytes = buffer.get_or_insert_with(|| {
                let there = reader.metadata().map_or(0, |object| object.content_length().saturating_sub(range.start));
                self.spares.buffer(asked.min(usize::try_from(there).unwrap_or(usize::MAX)))
            });
            let (chunk, room) = (chunk.to_bytes(), asked - bytes.len());
            if chunk.len() > room {
                bytes.extend(&chunk[..room]);
                break;
            }
            bytes.extend(&chunk);
        }
        let object = reader.metadata();
        Ok(Fetched {
            bytes: buffer.map(SpareBuffer::freeze).unwrap_or_default(),
            object_bytes: object.map(Metadata::content_length),
            // Google tells it in answers to HEAD alone; objects of ours always have some.
            user_metadata: object.map(user_metadata_of).filter(|told| !told.pairs().is_empty()),
        })
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
        if range.is_empty() {
            let head = self.head(key).await?;
            let user_metadata = Some(head.user_metadata);
            return Ok(Fetched { bytes: Bytes::new(), object_bytes: Some(head.object_bytes), user_metadata });
        }
        let error = match self.fetch(key, range).await {
            Ok(fetched) => return Ok(fetched),
            Err(error) => error,
        };
        match Failure::of_opendal(&error) {
            // Nothing of the range exists.
            Failure::Refused(refusal) if refusal.status == StatusCode::RANGE_NOT_SATISFIABLE => {
                Ok(Fetched { object_bytes: refusal.object_bytes, ..Fetched::default() })
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
