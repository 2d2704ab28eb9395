//! Blobs, whole and in blocks.
//!
//! An upload in parts is nothing to Azure but blocks of a blob that no list names yet. So an upload's id is ours: it goes into
//! the ids of its blocks, and carries what the blob is to be written with at the end. Uncommitted blocks cannot be deleted; they
//! go when the blob is written whole, or after a week. To forget them, an empty blob is written where there is none, and
//! deleted.
//!
//! From Azure's `Put Blob`, `Put Block`, `Put Block List`, `Get Block List`, `List Blobs`.

use std::fmt::Write;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use block_format::store::{Body, ObjectAttributes, OpenMultipart, PartTag, UploadId};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use longshore_plugin_api::{Error, ErrorCode, Result};
use percent_encoding::utf8_percent_encode;
use roxmltree::Document;
use serde_json::{Value, json};

use crate::object_store::failure::Failure;
use crate::object_store::multiparts::Multiparts;
use crate::object_store::own_requests::PutObject;
use crate::object_store::user_metadata::encode;
use crate::object_store::wire::Wire;
use crate::object_store::xml_multiparts::{PATH, QUERY, text_in};

/// The protocol's version; that of opendal's requests, and the newest that the emulator knows for certain.
const VERSION: &str = "2022-11-02";
/// The longest answer, in bytes: a page of 5,000 blobs with names of 1,024 bytes and what is said of each.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Blobs that are looked at for open uploads at once.
const LISTED_UPLOADS_MAX: usize = 100;

const CONTENT_TYPE: &str = "x-ms-blob-content-type";

/// One container.
#[derive(Clone, Debug)]
pub(super) struct Container {
    wire: Wire,
    name: String,
    /// Its address, without a slash at its end.
    address: String,
}

impl Container {
    pub(super) fn new(wire: Wire, name: &str, address: String) -> Self {
        Self { wire, name: name.to_owned(), address }
    }

    /// Makes a request; `key` is empty for the container itself.
    pub(super) async fn exchange(
        &self,
        method: Method,
        key: &str,
        query: &str,
        mut headers: HeaderMap,
        body: impl Into<Body>,
    ) -> Result<Response<Bytes>, Failure> {
        let slash = if key.is_empty() { "" } else { "/" };
        let mark = if query.is_empty() { "" } else { "?" };
        let uri = format!("{}{slash}{}{mark}{query}", self.address, utf8_percent_encode(key, PATH));
        headers.insert("x-ms-version", HeaderValue::from_static(VERSION));
        let body = body.into();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        let not_made = |error: http::Error| {
            Failure::NotMade(Error::new(ErrorCode::Internal, "make a request").with_source(&error))
        };
        let mut request = Request::builder().method(method).uri(uri).body(body).map_err(not_made)?;
        *request.headers_mut() = headers;
        self.wire.exchange(request, ANSWER_BYTES_MAX).await
    }

    pub(super) fn error(&self, key: &str) -> impl Fn(Failure) -> Error {
        move |failure| failure.into_error(&self.name, key)
    }

    /// Whether a blob has blocks that no list names.
    async fn has_open_blocks(&self, key: &str) -> Result<bool, Failure> {
        let query = "comp=blocklist&blocklisttype=uncommitted";
        match self.exchange(Method::GET, key, query, HeaderMap::new(), Bytes::new()).await {
            Ok(answer) => {
                let document = parse(&answer)?;
                Ok(document.descendants().any(|node| node.tag_name().name() == "Block"))
            }
            Err(failure) if failure.is_absent_object() => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// Takes blocks away that no list names. What is there already stays.
    async fn forget_open_blocks(&self, key: &str) -> Result<(), Failure> {
        if !self.has_open_blocks(key).await? {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-ms-blob-type", HeaderValue::from_static("BlockBlob"));
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("*"));
        let written = match self.exchange(Method::PUT, key, "", headers, Bytes::new()).await {
            Ok(answer) => answer,
            // There is a blob: it is not ours to take away.
            Err(Failure::Refused(it))
                if matches!(it.status, StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED) =>
            {
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        // No other than the empty one.
        let tag = written.headers().get(header::ETAG).cloned();
        let tag = tag.ok_or_else(|| Failure::Garbled("it has no ETag".to_owned()))?;
        let headers = HeaderMap::from_iter([(header::IF_MATCH, tag)]);
        match self.exchange(Method::DELETE, key, "", headers, Bytes::new()).await {
            Err(Failure::Refused(it)) if it.status == StatusCode::PRECONDITION_FAILED => Ok(()),
            Err(failure) if !failure.is_absent_object() => Err(failure),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl PutObject for Container {
    async fn put(&self, key: &str, body: Body, attributes: &ObjectAttributes) -> Result<()> {
        let mut headers = blob_headers(&attributes_json(attributes))?;
        headers.insert("x-ms-blob-type", HeaderValue::from_static("BlockBlob"));
        self.exchange(Method::PUT, key, "", headers, body).await.map(drop).map_err(self.error(key))
    }
}

#[async_trait]
impl Multiparts for Container {
    /// Nothing is asked of the store.
    async fn begin(&self, _key: &str, attributes: &ObjectAttributes) -> Result<UploadId> {
        let upload = Upload { number: fastrand::u64(..), attributes: attributes_json(attributes) };
        // What cannot be written is said before anything is.
        blob_headers(&upload.attributes)?;
        Ok(upload.id())
    }

    async fn put_part(&self, key: &str, upload: &UploadId, number: u32, body: Body, _crc32c: u32) -> Result<PartTag> {
        let tag = Upload::of(key, upload)?.block_id(number);
        let query = format!("blockid={}&comp=block", utf8_percent_encode(&tag, QUERY));
        let written = self.exchange(Method::PUT, key, &query, HeaderMap::new(), body).await;
        written.map_err(self.error(key))?;
        Ok(PartTag { number, tag })
    }

    async fn complete(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<()> {
        let headers = blob_headers(&Upload::of(key, upload)?.attributes)?;
        let written = self.exchange(Method::PUT, key, "comp=blocklist", headers, block_list(parts)).await;
        match written {
            Ok(_) => Ok(()),
            Err(Failure::Refused(refusal)) if refusal.code == "InvalidBlockList" => {
                let message = format!("{key} in bucket {}: the upload is not open any more: {refusal}", self.name);
                Err(Error::new(ErrorCode::NotFound, message))
            }
            Err(failure) => Err(self.error(key)(failure)),
        }
    }

    async fn abort(&self, key: &str, _upload: &UploadId) -> Result<()> {
        self.forget_open_blocks(key).await.map_err(self.error(key))
    }

    /// All uploads of one key look like one.
    async fn list(&self, prefix: &str) -> Result<Vec<OpenMultipart>> {
        let mut query = "comp=list&include=uncommittedblobs&restype=container".to_owned();
        if !prefix.is_empty() {
            let _ = write!(query, "&prefix={}", utf8_percent_encode(prefix, QUERY));
        }
        let answer = self.exchange(Method::GET, "", &query, HeaderMap::new(), Bytes::new()).await;
        let keys = answer.and_then(|answer| empty_blobs(&answer)).map_err(self.error(prefix))?;
        let mut open = Vec::new();
        for key in keys {
            if self.has_open_blocks(&key).await.map_err(self.error(&key))? {
                open.push(OpenMultipart { key, upload: UploadId(String::new()) });
            }
        }
        Ok(open)
    }
}

/// An upload in parts, which is in its id alone.
struct Upload {
    number: u64,
    /// What the blob is written with.
    attributes: Value,
}

impl Upload {
    fn id(&self) -> UploadId {
        UploadId(format!("{:016x} {}", self.number, self.attributes))
    }

    fn of(key: &str, id: &UploadId) -> Result<Self> {
        let parsed = id.0.split_once(' ').and_then(|(number, attributes)| {
            let number = u64::from_str_radix(number, 16).ok()?;
            Some(Self { number, attributes: serde_json::from_str(attributes).ok()? })
        });
        parsed.ok_or_else(|| Error::new(ErrorCode::NotFound, format!("no open upload of {key} has such an id")))
    }

    /// All ids of a blob's blocks must have one length.
    fn block_id(&self, part: u32) -> String {
        BASE64_STANDARD.encode(format!("{:016x}-{part:010}", self.number))
    }
}

fn attributes_json(attributes: &ObjectAttributes) -> Value {
    let pairs = encode(&attributes.user_metadata).into_iter();
    let metadata: Vec<Value> = pairs.map(|(name, value)| json!([identifier(&name), value])).collect();
    json!({"type": attributes.content_type, "metadata": metadata})
}

/// The headers that stand for a blob's attributes.
///
/// # Errors
/// `InvalidArgument` for what no header can hold.
fn blob_headers(attributes: &Value) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut set = |name: &str, value: &Value| -> Result<()> {
        let value = value.as_str().unwrap_or_default();
        let invalid = |source: &(dyn std::error::Error + 'static)| {
            let message = format!("a header {name} cannot be `{value}`");
            Error::new(ErrorCode::InvalidArgument, message).with_source(source)
        };
        let header = HeaderName::try_from(name).map_err(|error| invalid(&error))?;
        // Of two names that became the same, the first one stays.
        headers.entry(header).or_insert(HeaderValue::from_str(value).map_err(|error| invalid(&error))?);
        Ok(())
    };
    set(CONTENT_TYPE, &attributes["type"])?;
    for pair in attributes["metadata"].as_array().into_iter().flatten() {
        set(&format!("x-ms-meta-{}", pair[0].as_str().unwrap_or_default()), &pair[1])?;
    }
    Ok(headers)
}

/// Names of metadata are C# identifiers for Azure. The format's own are, others may become some; in small letters, as the
/// original writes them.
fn identifier(name: &str) -> String {
    let kept = |it: char| if it.is_ascii_alphanumeric() { it.to_ascii_lowercase() } else { '_' };
    let mut identifier: String = name.chars().map(kept).collect();
    if identifier.is_empty() || identifier.starts_with(|it: char| it.is_ascii_digit()) {
        identifier.insert(0, '_');
    }
    identifier
}

/// `Latest` finds a block whether a lost answer has committed it already or not.
fn block_list(parts: &[PartTag]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    for part in parts {
        let _ = write!(xml, "<Latest>{}</Latest>", part.tag);
    }
    xml.push_str("</BlockList>");
    xml
}

pub(super) fn parse(answer: &Response<Bytes>) -> Result<Document<'_>, Failure> {
    let text = std::str::from_utf8(answer.body()).map_err(|error| Failure::Garbled(error.to_string()))?;
    Document::parse(text.trim_start_matches('\u{feff}')).map_err(|error| Failure::Garbled(error.to_string()))
}

/// A blob of which only blocks are there has no bytes.
fn empty_blobs(answer: &Response<Bytes>) -> Result<Vec<String>, Failure> {
    let document = parse(answer)?;
    let blobs = document.descendants().filter(|node| node.tag_name().name() == "Blob");
    let empty = blobs.filter(|blob| {
        let properties = blob.children().find(|node| node.tag_name().name() == "Properties");
        properties.and_then(|properties| text_in(properties, "Content-Length")).is_none_or(|bytes| bytes == "0")
    });
    Ok(empty.filter_map(|blob| text_in(blob, "Name")).take(LISTED_UPLOADS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers() {
        for (name, expected) in [
            ("s3managedledgeroffloaderformatversion", "s3managedledgeroffloaderformatversion"),
            ("ManagedLedgerName", "managedledgername"),
            ("x-key", "x_key"),
            ("1st", "_1st"),
            ("", "_"),
        ] {
            assert_eq!(identifier(name), expected);
        }
    }

    #[test]
    fn an_upload_is_in_its_id_and_its_blocks_have_ids_of_one_length() {
        let upload = Upload { number: 7, attributes: json!({"type": "t", "metadata": [["a", "b c"]]}) };
        let id = upload.id();
        let again = Upload::of("k", &id).unwrap();
        assert_eq!((again.number, &again.attributes), (7, &upload.attributes));
        let ids = [1, 50_000, u32::MAX].map(|part| again.block_id(part));
        assert!(ids.iter().all(|id| id.len() == ids[0].len() && id.len() <= 64), "{ids:?}");
        assert_eq!(
            Upload::of("k", &UploadId("x".to_owned())).err().map(|error| error.code()),
            Some(ErrorCode::NotFound)
        );
        let headers = blob_headers(&again.attributes).unwrap();
        assert_eq!((headers[CONTENT_TYPE].as_bytes(), headers["x-ms-meta-a"].as_bytes()), (&b"t"[..], &b"b c"[..]));
        let broken = json!({"type": "t", "metadata": [["a", "b\nc"]]});
        assert_eq!(blob_headers(&broken).unwrap_err().code(), ErrorCode::InvalidArgument);
    }
}
