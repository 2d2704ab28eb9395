//! Objects written whole through the JSON interface, each with its CRC32C, which the store compares and repeats.
//!
//! From Google's `Objects: insert` (`uploadType=multipart`) and the `Object` resource.

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use block_format::crc;
use block_format::store::{Body, ObjectAttributes};
use bytes::Bytes;
use http::{Request, Response, header};
use longshore_plugin_api::{Error, ErrorCode, Result};
use percent_encoding::utf8_percent_encode;
use serde_json::{Map, Value};

use crate::object_store::failure::Failure;
use crate::object_store::own_requests::PutObject;
use crate::object_store::user_metadata::encode;
use crate::object_store::wire::Wire;
use crate::object_store::xml_multiparts::QUERY;

/// An answer is a description of one object.
pub(super) const ANSWER_BYTES_MAX: usize = 256 << 10;

/// The objects of one bucket.
#[derive(Clone, Debug)]
pub(super) struct JsonObjects {
    pub(super) wire: Wire,
    pub(super) bucket: String,
    /// The store's address, without a slash at its end.
    pub(super) base: String,
}

impl JsonObjects {
    pub(super) fn new(wire: Wire, bucket: &str, base: &str) -> Self {
        Self { wire, bucket: bucket.to_owned(), base: base.to_owned() }
    }

    /// Where an upload of this kind begins.
    pub(super) fn upload_address(&self, key: &str, kind: &str) -> String {
        let name = utf8_percent_encode(key, QUERY);
        format!("{}/upload/storage/v1/b/{}/o?uploadType={kind}&name={name}", self.base, self.bucket)
    }

    pub(super) async fn exchange(
        &self,
        request: http::request::Builder,
        body: impl Into<Body>,
    ) -> Result<Response<Bytes>, Failure> {
        let request = request
            .body(body.into())
            .map_err(|error| Failure::NotMade(Error::new(ErrorCode::Internal, "make a request").with_source(&error)))?;
        self.wire.exchange(request, ANSWER_BYTES_MAX).await
    }

    pub(super) fn error(&self, key: &str) -> impl Fn(Failure) -> Error {
        move |failure| failure.into_error(&self.bucket, key)
    }
}

#[async_trait]
impl PutObject for JsonObjects {
    async fn put(&self, key: &str, body: Body, attributes: &ObjectAttributes) -> Result<()> {
        let crc = body.pieces().iter().fold(0, |crc, piece| crc::append(crc, piece));
        let mut described = description(key, attributes);
        described.insert("crc32c".to_owned(), base64_of(crc).into());
        // No body repeats it but by a chance of 1 to 2 to the 128.
        let boundary = format!("longshore-{:032x}", fastrand::u128(..));
        let head = format!(
            "--{boundary}\r\ncontent-type: application/json; charset=UTF-8\r\n\r\n{}\r\n\
             --{boundary}\r\ncontent-type: {}\r\n\r\n",
            Value::Object(described),
            attributes.content_type
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        let request = Request::post(self.upload_address(key, "multipart"))
            .header(header::CONTENT_TYPE, format!("multipart/related; boundary={boundary}"));
        let length = body.len() as u64;
        let framed = Body::new([head.into()].into_iter().chain(body.pieces().iter().cloned()).chain([tail.into()]));
        let answer = self.exchange(request, framed).await.map_err(self.error(key))?;
        check_stored(key, &self.bucket, &answer, length, crc)
    }
}

/// What the store is told of an object.
pub(super) fn description(key: &str, attributes: &ObjectAttributes) -> Map<String, Value> {
    let metadata: Map<String, Value> =
        encode(&attributes.user_metadata).into_iter().map(|(name, value)| (name, value.into())).collect();
    Map::from_iter([
        ("name".to_owned(), key.into()),
        ("contentType".to_owned(), attributes.content_type.into()),
        ("metadata".to_owned(), metadata.into()),
    ])
}

/// Compares what the store says that it has with what was sent.
///
/// # Errors
/// `Unavailable` where they differ: the object is written again, or removed.
pub(super) fn check_stored(key: &str, bucket: &str, answer: &Response<Bytes>, length: u64, crc: u32) -> Result<()> {
    let said: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    let field = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or("nothing");
    let expected = [("size", length.to_string()), ("crc32c", base64_of(crc))];
    match expected.iter().find(|(name, expected)| field(name) != expected) {
        None => Ok(()),
        Some((name, expected)) => {
            let found: String = field(name).chars().take(32).collect();
            let message = format!("{key} in bucket {bucket}: the store has {name} {found}, {expected} was written");
            Err(Error::new(ErrorCode::Unavailable, message))
        }
    }
}

pub(super) fn base64_of(crc: u32) -> String {
    BASE64_STANDARD.encode(crc.to_be_bytes())
}
