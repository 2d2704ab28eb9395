//! A stand-in for Google Cloud Storage: as much of it as the driver uses, with tokens, checksums and faults.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Body, to_bytes};
use axum::extract::State as Extract;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use block_format::crc;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::super::service_account::tests::verified;

/// What the store does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    #[default]
    None,
    /// Keeps half of each chunk.
    KeepsHalf,
    /// Every second chunk is kept, and its answer lost.
    LosesAnswers,
    /// Every second chunk is lost.
    LosesRequests,
    /// Changes a byte of what is written.
    ChangesBytes,
    /// Answers 403 to everything.
    RefusesAll,
}

#[derive(Debug, Default)]
pub(super) struct State {
    bucket: String,
    pub(super) fault: Fault,
    pub(super) objects: BTreeMap<String, Object>,
    pub(super) uploads: BTreeMap<String, Upload>,
    pub(super) sessions: BTreeMap<String, Upload>,
    ended: BTreeMap<String, String>,
    pub(super) exchanges: u32,
    pub(super) parts_written: u32,
    pub(super) chunks_written: u32,
    requests: u32,
    writes: u32,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Object {
    pub(super) bytes: Vec<u8>,
    pub(super) metadata: BTreeMap<String, String>,
}

#[derive(Debug, Default)]
pub(super) struct Upload {
    key: String,
    object: Object,
    parts: BTreeMap<u32, Vec<u8>>,
}

pub(super) struct Stub {
    pub(super) address: String,
    state: Arc<Mutex<State>>,
}

impl Stub {
    pub(super) async fn start(bucket: &str) -> Self {
        let state = Arc::new(Mutex::new(State { bucket: bucket.to_owned(), ..State::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let routes = axum::Router::new().fallback(answer).with_state(state.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { address, state }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// A request, taken apart.
struct Asked {
    method: Method,
    path: String,
    query: BTreeMap<String, String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn query(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    fn declared_crc(&self) -> Option<&str> {
        self.header("x-goog-hash")?.strip_prefix("crc32c=")
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

fn crc_of(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(crc::of(bytes).to_be_bytes())
}

async fn answer(Extract(state): Extract<Arc<Mutex<State>>>, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let pairs = head.uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let asked = Asked {
        method: head.method,
        path: decoded(head.uri.path()),
        query: query.map(|(name, value)| (decoded(name), decoded(value))).collect(),
        headers: head.headers,
        body: to_bytes(body, 64 << 20).await.unwrap().to_vec(),
    };
    state.lock().unwrap().answer(asked)
}

fn refused(status: u16, reason: &str) -> Response {
    let body = json!({"error": {"code": status, "message": reason, "errors": [{"reason": reason}]}});
    (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response()
}

impl State {
    fn answer(&mut self, mut asked: Asked) -> Response {
        self.requests += 1;
        if asked.path == "/token" {
            return self.exchange(&asked);
        }
        if asked.header("authorization") != Some("Bearer token-1") {
            return refused(401, "authError");
        }
        if self.fault == Fault::RefusesAll {
            let said = format!("no {} {:?}", asked.path, asked.query);
            return (StatusCode::FORBIDDEN, [("x-seen", said)], "Bearer token-1 session-").into_response();
        }
        if self.fault == Fault::ChangesBytes
            && let Some(byte) = asked.body.len().checked_sub(100).and_then(|at| asked.body.get_mut(at))
            && asked.path != format!("/{}/", self.bucket)
        {
            *byte ^= 1;
        }
        let objects = format!("/storage/v1/b/{}/o", self.bucket);
        let upload = format!("/upload{objects}");
        let xml = format!("/{}/", self.bucket);
        if asked.path == upload {
            return match (asked.method.as_str(), asked.query("uploadType"), asked.query("upload_id")) {
                ("POST", Some("multipart"), None) => self.insert(&asked),
                ("POST", Some("resumable"), None) => self.begin_session(&asked),
                ("PUT", _, Some(id)) => self.chunk(id, &asked),
                ("DELETE", _, Some(id)) => match self.sessions.remove(id) {
                    Some(_) => StatusCode::from_u16(499).unwrap().into_response(),
                    None => refused(404, "notFound"),
                },
                _ => refused(400, "invalid"),
            };
        }
        if let Some(key) = asked.path.strip_prefix(&xml) {
            return self.xml(key, &asked);
        }
        if asked.path == objects {
            return self.list(&asked);
        }
        match asked.path.strip_prefix(&format!("{objects}/")) {
            Some(key) => self.object(key, &asked),
            None => refused(404, "notFound"),
        }
    }

    fn exchange(&mut self, asked: &Asked) -> Response {
        let form = String::from_utf8(asked.body.clone()).unwrap();
        let assertion = form.split('&').find_map(|pair| pair.strip_prefix("assertion="));
        if assertion.and_then(verified).is_none() {
            return refused(400, "invalid_grant");
        }
        self.exchanges += 1;
        json!({"access_token": format!("token-{}", self.exchanges), "expires_in": 3600}).to_string().into_response()
    }

    fn describe(&self, key: &str) -> Value {
        let object = &self.objects[key];
        json!({
            "name": key, "bucket": self.bucket, "generation": "1", "etag": "e", "size": object.bytes.len().to_string(),
            "updated": "2026-01-02T03:04:05.678Z", "contentType": "application/octet-stream", "md5Hash": "",
            "crc32c": crc_of(&object.bytes), "metadata": object.metadata,
        })
    }

    fn store(&mut self, key: &str, object: Object) -> Response {
        self.objects.insert(key.to_owned(), object);
        self.describe(key).to_string().into_response()
    }

    fn described(&self, bytes: &[u8]) -> (String, Object, Option<String>) {
        let said: Value = serde_json::from_slice(bytes).unwrap();
        let metadata = serde_json::from_value(said["metadata"].clone()).unwrap_or_default();
        let crc = said["crc32c"].as_str().map(str::to_owned);
        (said["name"].as_str().unwrap().to_owned(), Object { bytes: Vec::new(), metadata }, crc)
    }

    fn insert(&mut self, asked: &Asked) -> Response {
        let boundary = asked.header("content-type").unwrap().split_once("boundary=").unwrap().1;
        let parts = split(&asked.body, format!("--{boundary}").as_bytes());
        let content = |part: &[u8]| {
            let at = part.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
            part[at + 4..part.len() - 2].to_vec()
        };
        let (key, mut object, crc) = self.described(&content(parts[1]));
        object.bytes = content(parts[2]);
        if asked.query("name") != Some(&key) || crc.is_none_or(|crc| crc != crc_of(&object.bytes)) {
            return refused(400, "crc32c does not match");
        }
        self.store(&key, object)
    }

    fn begin_session(&mut self, asked: &Asked) -> Response {
        let (key, object, _) = self.described(&asked.body);
        let id = format!("session-{}", self.requests);
        let location = format!("http://elsewhere.example/upload/storage/v1/b/{}/o?upload_id={id}", self.bucket);
        self.sessions.insert(id, Upload { key, object, parts: BTreeMap::new() });
        [("location", location)].into_response()
    }

    /// As Google does it: what is there already is skipped, multiples of 256 KiB are kept.
    fn chunk(&mut self, id: &str, asked: &Asked) -> Response {
        if let Some(key) = self.ended.get(id) {
            return self.describe(key).to_string().into_response();
        }
        let range = asked.header("content-range").unwrap().strip_prefix("bytes ").unwrap();
        let (range, total) = range.split_once('/').unwrap();
        let writes = range != "*";
        self.writes += u32::from(writes);
        let turn = self.writes.is_multiple_of(2);
        if self.fault == Fault::LosesRequests && turn && writes {
            return refused(503, "backendError");
        }
        let Some(session) = self.sessions.get_mut(id) else { return refused(404, "notFound") };
        let bytes = &mut session.object.bytes;
        let total: Option<usize> = total.parse().ok();
        if let Some((first, last)) = range.split_once('-') {
            let (first, last): (usize, usize) = (first.parse().unwrap(), last.parse().unwrap());
            if first > bytes.len() || last + 1 - first != asked.body.len() {
                return refused(400, "out of order");
            }
            let mut new = asked.body[(bytes.len() - first).min(asked.body.len())..].to_vec();
            if total != Some(last + 1) {
                assert_eq!(asked.body.len() % (256 << 10), 0, "a chunk that is not the last one");
            }
            if self.fault == Fault::KeepsHalf && new.len() > 256 << 10 {
                new.truncate((new.len() / 2).next_multiple_of(256 << 10));
            }
            bytes.extend_from_slice(&new);
            self.chunks_written += 1;
        }
        let kept = bytes.len();
        if total == Some(kept) {
            let session = self.sessions.remove(id).unwrap();
            self.ended.insert(id.to_owned(), session.key.clone());
            if self.fault != Fault::ChangesBytes
                && asked.declared_crc().is_some_and(|crc| crc != crc_of(&session.object.bytes))
            {
                return refused(400, "crc32c does not match");
            }
            let answer = self.store(&session.key, session.object);
            return if self.fault == Fault::LosesAnswers && turn { refused(503, "backendError") } else { answer };
        }
        if self.fault == Fault::LosesAnswers && turn && writes {
            return refused(503, "backendError");
        }
        assert_eq!(asked.header("x-guploader-no-308"), Some("yes"));
        let mut headers = HeaderMap::new();
        headers.insert("x-http-status-code-override", "308".parse().unwrap());
        if kept > 0 {
            headers.insert("range", format!("bytes=0-{}", kept - 1).parse().unwrap());
        }
        headers.into_response()
    }

    fn xml(&mut self, key: &str, asked: &Asked) -> Response {
        let absent = || {
            let body =
                "<?xml version='1.0' encoding='UTF-8'?><Error><Code>NoSuchUpload</Code><Message>gone</Message></Error>";
            (StatusCode::NOT_FOUND, body).into_response()
        };
        let id = asked.query("uploadId").unwrap_or_default().to_owned();
        match (asked.method.as_str(), asked.query.contains_key("uploads")) {
            ("POST", true) => {
                let names = asked.headers.iter().filter_map(|(name, value)| {
                    Some((name.as_str().strip_prefix("x-goog-meta-")?.to_owned(), value.to_str().ok()?.to_owned()))
                });
                let object = Object { bytes: Vec::new(), metadata: names.collect() };
                let id = format!("upload/{}", self.requests);
                let upload = Upload { key: key.to_owned(), object, parts: BTreeMap::new() };
                self.uploads.insert(id.clone(), upload);
                format!("<InitiateMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'><UploadId>{id}</UploadId></InitiateMultipartUploadResult>").into_response()
            }
            ("GET", true) => {
                let prefix = asked.query("prefix").unwrap_or_default();
                let open = self.uploads.iter().filter(|(_, upload)| upload.key.starts_with(prefix));
                let open: String = open
                    .map(|(id, upload)| format!("<Upload><Key>{}</Key><UploadId>{id}</UploadId></Upload>", upload.key))
                    .collect();
                format!("<ListMultipartUploadsResult>{open}</ListMultipartUploadsResult>").into_response()
            }
            ("PUT", _) => {
                let number: u32 = asked.query("partNumber").unwrap().parse().unwrap();
                let Some(upload) = self.uploads.get_mut(&id) else { return absent() };
                let crc = crc_of(&asked.body);
                if asked.declared_crc() != Some(&crc) {
                    let body = "<Error><Code>BadDigest</Code><Message>crc32c does not match</Message></Error>";
                    return (StatusCode::BAD_REQUEST, body).into_response();
                }
                upload.parts.insert(number, asked.body.clone());
                self.parts_written += 1;
                [("etag", format!("\"{number}-{crc}\"")), ("x-goog-hash", format!("crc32c={crc}"))].into_response()
            }
            ("POST", false) => {
                let Some(upload) = self.uploads.remove(&id) else { return absent() };
                let body = String::from_utf8(asked.body.clone()).unwrap();
                let mut object = upload.object;
                for (number, bytes) in upload.parts {
                    let listed = format!(
                        "<PartNumber>{number}</PartNumber><ETag>&quot;{number}-{}&quot;</ETag>",
                        crc_of(&bytes)
                    );
                    assert!(body.contains(&listed), "{listed} is not in {body}");
                    object.bytes.extend_from_slice(&bytes);
                }
                self.objects.insert(key.to_owned(), object);
                "<CompleteMultipartUploadResult/>".into_response()
            }
            ("DELETE", _) => match self.uploads.remove(&id) {
                Some(_) => StatusCode::NO_CONTENT.into_response(),
                None => absent(),
            },
            _ => refused(400, "invalid"),
        }
    }

    fn list(&self, asked: &Asked) -> Response {
        let prefix = asked.query("prefix").unwrap_or_default();
        let from = asked.query("pageToken").or(asked.query("startOffset")).unwrap_or_default();
        let limit: usize = asked.query("maxResults").map_or(1000, |limit| limit.parse().unwrap());
        let mut found = self.objects.keys().filter(|key| key.starts_with(prefix) && key.as_str() >= from);
        let items: Vec<Value> = found.by_ref().take(limit).map(|key| self.describe(key)).collect();
        let mut page = json!({"kind": "storage#objects", "items": items});
        if let Some(next) = found.next() {
            page["nextPageToken"] = json!(next);
        }
        page.to_string().into_response()
    }

    fn object(&mut self, key: &str, asked: &Asked) -> Response {
        let Some(object) = self.objects.get(key) else { return refused(404, "notFound") };
        match (asked.method.as_str(), asked.query("alt")) {
            ("DELETE", _) => {
                self.objects.remove(key);
                StatusCode::NO_CONTENT.into_response()
            }
            ("GET", Some("media")) => {
                let all = object.bytes.len();
                let Some(range) = asked.header("range") else { return object.bytes.clone().into_response() };
                let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                let first: usize = first.parse().unwrap();
                let end = last.parse::<usize>().map_or(all, |last| (last + 1).min(all));
                if first >= all {
                    let range = [("content-range", format!("bytes */{all}"))];
                    return (StatusCode::RANGE_NOT_SATISFIABLE, range).into_response();
                }
                let range = [("content-range", format!("bytes {first}-{}/{all}", end - 1))];
                (StatusCode::PARTIAL_CONTENT, range, object.bytes[first..end].to_vec()).into_response()
            }
            ("GET", _) => self.describe(key).to_string().into_response(),
            _ => refused(400, "invalid"),
        }
    }
}

fn split<'a>(bytes: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut from = 0;
    let at = |from: usize| bytes[from..].windows(mark.len()).position(|it| it == mark).map(|at| from + at);
    while let Some(found) = at(from) {
        parts.push(&bytes[from..found]);
        from = found + mark.len();
    }
    parts.push(&bytes[from..]);
    parts
}
