//! The one way to a store, for opendal and for the requests that we make ourselves: held to the endpoint, signed, sent, and
//! its answer looked at.
//!
//! opendal is configured not to sign. It makes requests and reads answers; here they get the headers that new objects are
//! configured to have, and a signature with credentials that are shared and refreshed in one place. So each refusal is seen as
//! the store gave it, whatever opendal makes of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use block_format::store::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use longshore_plugin_api::{Error, ErrorCode, Result};
use md5::{Digest, Md5};
use opendal::{Buffer, HttpBody, HttpTransport};
use reqsign_core::SigningCredential;
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::failure::Failure;
use super::http::read_body;
use super::pieces::body_of;
use super::refusal::Refusal;
use super::silence::UntilSilent;

/// The longest body of a refusal that is read, in bytes.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// A checksum that goes with an object's or a part's bytes, and that a store repeats which has verified it.
pub(super) const CHECKSUM_CRC32C: HeaderName = HeaderName::from_static("x-amz-checksum-crc32c");

/// Puts a signature on requests.
#[async_trait]
pub(crate) trait Sign: Send + Sync + 'static {
    /// Signs a request whose address and headers are whole.
    ///
    /// # Errors
    /// `PermissionDenied` where there are no credentials; those of what credentials come from.
    async fn sign(&self, head: &mut Parts) -> Result<()>;

    /// The store takes the credentials for expired: the next signature should be made with others, if they can be had.
    fn renew(&self) {}
}

#[async_trait]
impl<K: SigningCredential> Sign for reqsign_core::Signer<K> {
    async fn sign(&self, head: &mut Parts) -> Result<()> {
        Self::sign(self, head, None).await.map_err(|error| credentials_error(&error))
    }
}

/// Goes to one endpoint.
#[derive(Clone)]
pub(crate) struct Wire {
    client: reqwest::Client,
    endpoint: Endpoint,
    signer: Arc<dyn Sign>,
    /// What each new object is written with.
    object_headers: HeaderMap,
    /// How long the body of an answer may stop.
    silence_max: Duration,
    /// Whether bodies are sent with their MD5.
    sends_md5: bool,
    /// Whether a checksum was sent that the store did not repeat.
    checksum_ignored: Arc<AtomicBool>,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Wire {
    /// A way to `endpoint` and nowhere else. `object_headers` are sent with each request that begins an object. The body of an
    /// answer that stops for `silence_max` is given up, and so is a request without a body that has no answer for as long: a
    /// whole request may take much longer, because it may have many bytes.
    pub(crate) fn new(
        client: reqwest::Client,
        endpoint: Endpoint,
        signer: Arc<dyn Sign>,
        object_headers: HeaderMap,
        silence_max: Duration,
    ) -> Self {
        Self {
            client,
            endpoint,
            signer,
            object_headers,
            silence_max,
            sends_md5: false,
            checksum_ignored: Arc::default(),
        }
    }

    /// Sends `Content-MD5` with all that is written, for stores that verify it and no quicker checksum.
    pub(crate) fn with_content_md5(self) -> Self {
        Self { sends_md5: true, ..self }
    }

    /// Whether the store verified every checksum that it was sent, as far as is known.
    pub(super) fn verifies_checksums(&self) -> bool {
        !self.checksum_ignored.load(Ordering::Relaxed)
    }

    /// Makes a request whose answer is short.
    pub(crate) async fn exchange(
        &self,
        request: Request<Body>,
        answer_bytes_max: usize,
    ) -> Result<Response<Bytes>, Failure> {
        let mut answer = self.send(request).await?;
        let body = read_body(&mut answer, answer_bytes_max).await.map_err(Failure::of_client)?;
        let mut response = Response::new(body);
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        Ok(response)
    }

    async fn send(&self, request: Request<Body>) -> Result<reqwest::Response, Failure> {
        let (mut head, body) = request.into_parts();
        self.check_host(&head)?;
        if begins_object(&head) {
            head.headers.extend(self.object_headers.clone());
        }
        if self.sends_md5 && head.method == Method::PUT && !body.is_empty() {
            head.headers.insert("content-md5", content_md5(body.clone()).await?);
        }
        self.signer.sign(&mut head).await.map_err(Failure::NotMade)?;
        // The client writes it, from the address.
        head.headers.remove(header::HOST);
        let asked = Asked::of(&head);
        let request =
            reqwest::Request::try_from(Request::from_parts(head, body_of(&body))).map_err(Failure::of_client)?;
        let mut answer = self.execute(request).await?;
        if !answer.status().is_success() {
            let body = read_body(&mut answer, REFUSAL_BYTES_MAX).await.unwrap_or_default();
            let refusal = Refusal::read(answer.status(), answer.headers(), &body);
            if refusal.is_expiry() {
                self.signer.renew();
            }
            return Err(Failure::Refused(refusal.into()));
        }
        asked.check_range(answer.status(), answer.headers()).map_err(Failure::Garbled)?;
        if asked.checksum.is_some() && asked.checksum.as_ref() != answer.headers().get(CHECKSUM_CRC32C) {
            self.checksum_ignored.store(true, Ordering::Relaxed);
        }
        Ok(answer)
    }

    /// What has no body is with the store at once, and so the head of its answer is due whatever follows it.
    async fn execute(&self, request: reqwest::Request) -> Result<reqwest::Response, Failure> {
        let is_sent_at_once = request.body().is_none_or(|body| body.as_bytes().is_some_and(<[u8]>::is_empty));
        let answered = self.client.execute(request);
        let answer = match is_sent_at_once {
            true => timeout(self.silence_max, answered)
                .await
                .map_err(|_| Failure::TimedOut(format!("no answer within {} s", self.silence_max.as_secs_f32())))?,
            false => answered.await,
        };
        answer.map_err(Failure::of_client)
    }

    /// Whoever makes a request, it goes where the configuration says.
    fn check_host(&self, head: &Parts) -> Result<(), Failure> {
        if self.endpoint.is_of(&head.uri) {
            return Ok(());
        }
        let message =
            format!("no request is made to {}, which is not {}", head.uri.host().unwrap_or("nowhere"), self.endpoint);
        Err(Failure::NotMade(Error::new(ErrorCode::Internal, message)))
    }
}

impl HttpTransport for Wire {
    async fn fetch(&self, request: Request<Buffer>) -> opendal::Result<Response<HttpBody>> {
        let is_head = request.method() == Method::HEAD;
        let answer = self.send(request.map(Body::new)).await.map_err(Failure::into_opendal)?;
        // The length of an answer to HEAD is that of the object.
        let bytes = answer.content_length().filter(|_| !is_head);
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            headers.clone_from(answer.headers());
        }
        let body = UntilSilent::new(answer.bytes_stream(), self.silence_max).map(|chunk| match chunk {
            Ok(bytes) => Ok(Buffer::from(bytes)),
            Err(failure) => Err(failure.into_opendal()),
        });
        response.body(HttpBody::new(body, bytes)).map_err(|error| Failure::Garbled(error.to_string()).into_opendal())
    }
}

/// The value of `Content-MD5`. The digest of a part takes tens of milliseconds.
async fn content_md5(body: Body) -> Result<HeaderValue, Failure> {
    let digest = tokio::task::spawn_blocking(move || {
        let digest = body.pieces().iter().fold(Md5::new(), |digest, piece| digest.chain_update(piece));
        BASE64_STANDARD.encode(digest.finalize())
    });
    let not_made = |source: &(dyn std::error::Error + 'static)| {
        Failure::NotMade(Error::new(ErrorCode::Internal, "make the MD5 of a body").with_source(source))
    };
    let digest = digest.await.map_err(|error| not_made(&error))?;
    HeaderValue::from_str(&digest).map_err(|error| not_made(&error))
}

/// Whether a request begins an object: it writes one whole, or begins one in parts.
fn begins_object(head: &Parts) -> bool {
    let query = head.uri.query().unwrap_or_default();
    let has = |name: &str| query.split('&').any(|pair| pair.split('=').next() == Some(name));
    match head.method {
        Method::PUT => !has("partNumber"),
        Method::POST => has("uploads"),
        _ => false,
    }
}

/// What an answer is held against.
struct Asked {
    /// The first and the last byte of a range.
    range: Option<(u64, u64)>,
    checksum: Option<HeaderValue>,
}

impl Asked {
    fn of(head: &Parts) -> Self {
        let range = head.headers.get(header::RANGE).and_then(|range| {
            let (first, last) = range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-')?;
            Some((first.parse().ok()?, last.parse().unwrap_or(u64::MAX)))
        });
        Self { range, checksum: head.headers.get(CHECKSUM_CRC32C).cloned() }
    }

    /// A store that answers with other bytes than were asked for must not be believed.
    fn check_range(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), String> {
        let Some((first, last)) = self.range else { return Ok(()) };
        let Some(answered) = headers.get(header::CONTENT_RANGE) else {
            // The whole object, which begins where the range does.
            return if status == StatusCode::OK && first == 0 {
                Ok(())
            } else {
                Err(format!("bytes {first}-{last} were asked for, it does not say which it sent"))
            };
        };
        let text = answered.to_str().unwrap_or_default();
        let parsed = text.strip_prefix("bytes ").and_then(|range| {
            let (range, object_bytes) = range.split_once('/')?;
            let (from, to) = range.split_once('-')?;
            Some((from.parse::<u64>().ok()?, to.parse::<u64>().ok()?, object_bytes.parse::<u64>().ok()?))
        });
        match parsed {
            Some((from, to, object_bytes)) if from == first && to <= last && from <= to && to < object_bytes => Ok(()),
            _ => Err(format!("bytes {first}-{last} were asked for, `{text}` was answered")),
        }
    }
}

/// Why there are no credentials.
pub(crate) fn credentials_error(error: &reqsign_core::Error) -> Error {
    use reqsign_core::ErrorKind as K;
    let code = match error.kind() {
        K::CredentialInvalid | K::PermissionDenied | K::ConfigInvalid => ErrorCode::PermissionDenied,
        K::RateLimited => ErrorCode::RateLimited,
        K::RequestInvalid => ErrorCode::Internal,
        K::Unexpected => ErrorCode::Unavailable,
    };
    Error::new(code, format!("no credentials to sign a request with: {}", super::http::causes(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(request: http::request::Builder) -> Parts {
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn headers_of_objects_go_with_what_begins_one() {
        let table = [
            (Method::PUT, "http://h/b/k", true),
            (Method::PUT, "http://h/b/k?partNumber=1&uploadId=x", false),
            (Method::POST, "http://h/b/k?uploads", true),
            (Method::POST, "http://h/b/k?uploads=", true),
            (Method::POST, "http://h/b/k?uploadId=x", false),
            (Method::GET, "http://h/b/?uploads", false),
        ];
        for (method, uri, expected) in table {
            assert_eq!(
                begins_object(&head(Request::builder().method(method.clone()).uri(uri))),
                expected,
                "{method} {uri}"
            );
        }
    }

    #[test]
    fn other_bytes_than_were_asked_for_are_refused() {
        let asked = Asked::of(&head(Request::builder().header("range", "bytes=5-9")));
        let whole = Asked::of(&head(Request::builder().header("range", "bytes=0-9")));
        let table = [
            (&asked, 206, "bytes 5-9/100", true),
            (&asked, 206, "bytes 5-7/8", true),
            (&asked, 200, "bytes 5-9/100", true),
            (&asked, 206, "bytes 4-8/100", false),
            (&asked, 206, "bytes 5-10/100", false),
            (&asked, 206, "bytes 5-9/*", false),
            (&asked, 206, "bytes 5-9/7", false),
            (&asked, 206, "", false),
            (&asked, 200, "", false),
            (&whole, 200, "", true),
            (&whole, 206, "", false),
        ];
        for (asked, status, range, accepted) in table {
            let mut headers = HeaderMap::new();
            if !range.is_empty() {
                headers.insert(header::CONTENT_RANGE, range.parse().unwrap());
            }
            let checked = asked.check_range(StatusCode::from_u16(status).unwrap(), &headers);
            assert_eq!(checked.is_ok(), accepted, "{status} {range}: {checked:?}");
        }
    }
}
