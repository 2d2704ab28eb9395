//! Uploads in parts as S3 has them, and the XML interfaces of Google Cloud Storage and Aliyun OSS with it.
//!
//! From Amazon's `CreateMultipartUpload`, `UploadPart`, `CompleteMultipartUpload`, `AbortMultipartUpload` and
//! `ListMultipartUploads`.

use std::fmt::Write;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use block_format::store::{Body, ObjectAttributes, OpenMultipart, PartTag, UploadId};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use longshore_plugin_api::{Error, ErrorCode, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use roxmltree::Document;

use super::failure::Failure;
use super::multiparts::Multiparts;
use super::own_requests::PutObject;
use super::refusal::{LocalName, Refusal};
use super::user_metadata;
use super::wire::{CHECKSUM_CRC32C, Wire};

/// What stands as it is in a query.
pub(crate) const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What stands as it is in a path.
pub(crate) const PATH: &AsciiSet = &QUERY.remove(b'/');

/// Google's header of checksums.
const GOOGLE_HASH: HeaderName = HeaderName::from_static("x-goog-hash");

/// The longest answer to a short request, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// Open uploads that are asked for at once.
const LISTED_UPLOADS_MAX: usize = 1000;
/// The longest listing, in bytes: that many uploads with keys of 1,024 bytes.
const LISTING_BYTES_MAX: usize = 4 << 20;

/// In what the stores differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// What names of user metadata begin with as headers: `x-amz-meta-`.
    pub(crate) metadata_prefix: &'static str,
    /// What becomes of a name of user metadata behind it.
    pub(crate) metadata_name: fn(&str) -> String,
    /// What parts carry so that the store can verify them.
    pub(crate) part_checksum: PartChecksum,
}

/// A checksum of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartChecksum {
    /// None of ours.
    None,
    /// The CRC32C as Amazon wants it, with the part and again at the end.
    Amazon,
    /// The CRC32C as Google wants it.
    Google,
}

/// The uploads of one bucket.
#[derive(Clone, Debug)]
pub(crate) struct XmlMultiparts {
    wire: Wire,
    bucket: String,
    /// The bucket's address, without a slash at its end.
    address: String,
    dialect: Dialect,
}

impl XmlMultiparts {
    /// The uploads of the bucket at `address`.
    pub(crate) fn new(wire: Wire, bucket: &str, address: String, dialect: Dialect) -> Self {
        Self { wire, bucket: bucket.to_owned(), address, dialect }
    }

    /// Makes a request. A store that has begun to answer 200 may still refuse in the body.
    async fn exchange(
        &self,
        method: Method,
        key: &str,
        query: &str,
        headers: HeaderMap,
        body: Body,
        answer_bytes_max: usize,
    ) -> Result<Response<Bytes>, Failure> {
        let mark = if query.is_empty() { "" } else { "?" };
        let uri = format!("{}/{}{mark}{query}", self.address, utf8_percent_encode(key, PATH));
        let mut request =
            Request::builder().method(method).uri(uri).body(body).map_err(|error| {
                Failure::NotMade(Error::new(ErrorCode::Internal, "make a request").with_source(&error))
            })?;
        *request.headers_mut() = headers;
        let answer = self.wire.exchange(request, answer_bytes_max).await?;
        let refused = Document::parse(text_of(&answer)?).is_ok_and(|it| it.root_element().has_tag_name_of("Error"));
        if refused {
            let refusal = Refusal::read(answer.status(), answer.headers(), answer.body());
            return Err(Failure::Refused(refusal.into()));
        }
        Ok(answer)
    }

    fn object_headers(&self, attributes: &ObjectAttributes) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        let mut set = |name: &str, value: &str| -> Result<()> {
            let invalid = |source: &dyn std::error::Error| {
                Error::new(ErrorCode::InvalidArgument, format!("a header {name} cannot be `{value}`: {source}"))
            };
            let name = HeaderName::try_from(name).map_err(|error| invalid(&error))?;
            headers.insert(name, value.parse().map_err(|error: header::InvalidHeaderValue| invalid(&error))?);
            Ok(())
        };
        set("content-type", attributes.content_type)?;
        for (name, value) in user_metadata::encode(&attributes.user_metadata) {
            set(&format!("{}{}", self.dialect.metadata_prefix, (self.dialect.metadata_name)(&name)), &value)?;
        }
        if self.dialect.part_checksum == PartChecksum::Amazon {
            set("x-amz-checksum-algorithm", "CRC32C")?;
        }
        Ok(headers)
    }

    fn error(&self, key: &str) -> impl Fn(Failure) -> Error {
        move |failure| failure.into_error(&self.bucket, key)
    }
}

/// For stores to which opendal does not write all that we do.
#[async_trait]
impl PutObject for XmlMultiparts {
    async fn put(&self, key: &str, body: Body, attributes: &ObjectAttributes) -> Result<()> {
        let headers = self.object_headers(attributes)?;
        let written = self.exchange(Method::PUT, key, "", headers, body, ANSWER_BYTES_MAX).await;
        written.map(drop).map_err(self.error(key))
    }
}

#[async_trait]
impl Multiparts for XmlMultiparts {
    async fn begin(&self, key: &str, attributes: &ObjectAttributes) -> Result<UploadId> {
        let headers = self.object_headers(attributes)?;
        let answer = self.exchange(Method::POST, key, "uploads=", headers, Body::default(), ANSWER_BYTES_MAX).await;
        let id = answer.and_then(|answer| {
            let document = parse(&answer)?;
            text_in(document.root_element(), "UploadId")
                .ok_or_else(|| Failure::Garbled("it has no UploadId".to_owned()))
        });
        id.map(UploadId).map_err(self.error(key))
    }

    async fn put_part(&self, key: &str, upload: &UploadId, number: u32, body: Body, crc32c: u32) -> Result<PartTag> {
        let mut headers = HeaderMap::new();
        let checksum = BASE64_STANDARD.encode(crc32c.to_be_bytes());
        let (name, value) = match self.dialect.part_checksum {
            PartChecksum::None => (None, String::new()),
            PartChecksum::Amazon => (Some(CHECKSUM_CRC32C), checksum.clone()),
            PartChecksum::Google => (Some(GOOGLE_HASH), format!("crc32c={checksum}")),
        };
        if let Some((name, value)) = name.zip(value.parse().ok()) {
            headers.insert(name, value);
        }
        let query = format!("partNumber={number}&uploadId={}", utf8_percent_encode(&upload.0, QUERY));
        let answer = self.exchange(Method::PUT, key, &query, headers, body, ANSWER_BYTES_MAX).await;
        let tag = answer.and_then(|answer| {
            let tag = answer.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
            tag.filter(|tag| !tag.is_empty()).ok_or_else(|| Failure::Garbled("it has no ETag".to_owned()))
        });
        let tag = tag.map_err(self.error(key))?;
        let checksum = (self.dialect.part_checksum == PartChecksum::Amazon).then_some(checksum);
        Ok(PartTag { number, tag: Tag { etag: tag, checksum }.to_string() })
    }

    async fn complete(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/xml"));
        let query = format!("uploadId={}", utf8_percent_encode(&upload.0, QUERY));
        let body = completion(parts).into();
        let answer = self.exchange(Method::POST, key, &query, headers, body, ANSWER_BYTES_MAX).await;
        // An answer that was cut off may end before the refusal that it was going to be.
        answer.and_then(|answer| parse(&answer).map(drop)).map_err(self.error(key))
    }

    async fn abort(&self, key: &str, upload: &UploadId) -> Result<()> {
        let query = format!("uploadId={}", utf8_percent_encode(&upload.0, QUERY));
        match self.exchange(Method::DELETE, key, &query, HeaderMap::new(), Body::default(), ANSWER_BYTES_MAX).await {
            Err(failure) if !failure.is_absent_object() => Err(self.error(key)(failure)),
            _ => Ok(()),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<OpenMultipart>> {
        // In the order of their names, as signatures want them.
        let query = format!("max-uploads={LISTED_UPLOADS_MAX}&prefix={}&uploads=", utf8_percent_encode(prefix, QUERY));
        let answer = self.exchange(Method::GET, "", &query, HeaderMap::new(), Body::default(), LISTING_BYTES_MAX).await;
        let uploads = answer.and_then(|answer| {
            let document = parse(&answer)?;
            let uploads = document.root_element().children().filter(|node| node.has_tag_name_of("Upload"));
            let uploads = uploads.map(|upload| {
                Some(OpenMultipart { key: text_in(upload, "Key")?, upload: UploadId(text_in(upload, "UploadId")?) })
            });
            let uploads: Option<Vec<_>> = uploads.take(LISTED_UPLOADS_MAX).collect();
            uploads.ok_or_else(|| Failure::Garbled("it lists an upload without Key or UploadId".to_owned()))
        });
        uploads.map_err(self.error(prefix))
    }
}

/// What a part is known by at the end: its tag, and its checksum where one was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tag {
    etag: String,
    checksum: Option<String>,
}

impl Tag {
    /// Reads what [`Display`](std::fmt::Display) wrote. Neither half has a blank.
    fn parse(text: &str) -> Self {
        match text.split_once(' ') {
            Some((etag, checksum)) => Self { etag: etag.to_owned(), checksum: Some(checksum.to_owned()) },
            None => Self { etag: text.to_owned(), checksum: None },
        }
    }
}

impl std::fmt::Display for Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.etag)?;
        self.checksum.as_ref().map_or(Ok(()), |checksum| write!(f, " {checksum}"))
    }
}

/// The list of parts that makes them an object.
fn completion(parts: &[PartTag]) -> String {
    let mut xml = String::from("<CompleteMultipartUpload>");
    for part in parts {
        let Tag { etag, checksum } = Tag::parse(&part.tag);
        let _ = write!(xml, "<Part><PartNumber>{}</PartNumber><ETag>{}</ETag>", part.number, escaped(&etag));
        if let Some(checksum) = checksum {
            let _ = write!(xml, "<ChecksumCRC32C>{}</ChecksumCRC32C>", escaped(&checksum));
        }
        xml.push_str("</Part>");
    }
    xml.push_str("</CompleteMultipartUpload>");
    xml
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The body as text. Stores keep a connection alive with blanks before what they have to say.
fn text_of(answer: &Response<Bytes>) -> Result<&str, Failure> {
    let text = std::str::from_utf8(answer.body()).map_err(|error| Failure::Garbled(error.to_string()))?;
    Ok(text.trim_start_matches(['\u{feff}', ' ', '\r', '\n', '\t']))
}

fn parse(answer: &Response<Bytes>) -> Result<Document<'_>, Failure> {
    let text = text_of(answer)?;
    if text.is_empty() && answer.status() != StatusCode::OK {
        return Err(Failure::Garbled("it is empty".to_owned()));
    }
    Document::parse(text).map_err(|error| Failure::Garbled(error.to_string()))
}

pub(crate) fn text_in(node: roxmltree::Node<'_, '_>, name: &str) -> Option<String> {
    let text = node.children().find(|child| child.has_tag_name_of(name))?.text()?.trim();
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_completion_lists_tags_and_checksums() {
        let tag = |number, etag: &str, checksum: Option<&str>| PartTag {
            number,
            tag: Tag { etag: etag.to_owned(), checksum: checksum.map(str::to_owned) }.to_string(),
        };
        let xml = completion(&[tag(1, "\"a<b\"", Some("AAAA==")), tag(2, "c", None)]);
        let expected = "<CompleteMultipartUpload>\
            <Part><PartNumber>1</PartNumber><ETag>&quot;a&lt;b&quot;</ETag><ChecksumCRC32C>AAAA==</ChecksumCRC32C></Part>\
            <Part><PartNumber>2</PartNumber><ETag>c</ETag></Part></CompleteMultipartUpload>";
        assert_eq!(xml, expected);
    }
}
