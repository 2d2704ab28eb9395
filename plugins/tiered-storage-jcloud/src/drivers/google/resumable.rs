//! Objects in chunks that go one after the other, through one session for each upload.
//!
//! A session's address is all that is needed to write to it, so it stays in here; the engine knows an upload by a number.
//! Parts may come in any order and wait for their turn. The store takes multiples of 256 KiB and may keep less than it was
//! sent: what it did not keep is sent again, and what is left of a part stays here until the next one or the end.
//!
//! An upload that this process does not end is forgotten by the store after a week. It is no object, and costs nothing.
//!
//! From Google's guide to resumable uploads.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use block_format::crc;
use block_format::store::{Body, ObjectAttributes, OpenMultipart, PartTag, UploadId};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, Uri, header};
use longshore_plugin_api::{Error, ErrorCode, Result};
use serde_json::Value;
use tokio::sync::watch;

use super::objects::{JsonObjects, base64_of, check_stored, description};
use crate::object_store::failure::Failure;
use crate::object_store::multiparts::Multiparts;

/// All chunks but the last are multiples of it.
pub(super) const CHUNK_BYTES: u64 = 256 << 10;
/// Uploads that are known at once. More are not ended by anybody: the oldest is forgotten.
const SESSIONS_MAX: usize = 4096;
/// How often in a row the store may keep nothing of what it is sent.
const STALLS_MAX: u32 = 2;
/// Asks the store to answer 200 where it would answer 308, which is elsewhere a redirect.
const NO_308: &str = "x-guploader-no-308";
/// What it answers then.
const MEANT_STATUS: &str = "x-http-status-code-override";

/// The uploads of one bucket.
#[derive(Debug)]
pub(super) struct ResumableUploads {
    objects: JsonObjects,
    sessions: Mutex<BTreeMap<u64, Arc<Session>>>,
    begun: AtomicU64,
}

struct Session {
    key: String,
    /// A secret.
    uri: Uri,
    /// How many parts the store has, or lie in `carry`.
    parts_done: watch::Sender<u32>,
    progress: Mutex<Progress>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("key", &self.key).finish_non_exhaustive()
    }
}

/// How far an upload has come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Bytes that the store has for certain; a multiple of [`CHUNK_BYTES`].
    stored: u64,
    /// What follows them and is less than a chunk.
    carry: Bytes,
    /// The CRC32C of both.
    crc: u32,
    /// Whether a request was made whose outcome is not known: the store may have more.
    in_doubt: bool,
}

/// What the store says of a session.
#[derive(Clone, Debug)]
enum Kept {
    /// So many bytes from the beginning; more are wanted.
    Bytes(u64),
    /// All: the object is there.
    Object(Response<Bytes>),
}

impl ResumableUploads {
    pub(super) fn new(objects: JsonObjects) -> Self {
        Self { objects, sessions: Mutex::default(), begun: AtomicU64::new(0) }
    }

    fn sessions(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn session(&self, key: &str, upload: &UploadId) -> Result<Arc<Session>> {
        let known = upload.0.parse().ok().and_then(|number: u64| self.sessions().get(&number).cloned());
        known.filter(|session| session.key == key).ok_or_else(|| {
            Error::new(ErrorCode::NotFound, format!("no open upload of {key} in bucket {}", self.objects.bucket))
        })
    }

    fn forget(&self, upload: &UploadId) {
        if let Ok(number) = upload.0.parse::<u64>() {
            self.sessions().remove(&number);
        }
    }

    /// Sends `bytes`, which begin at `from`, until the store has all of them.
    async fn send(&self, session: &Session, mut from: u64, mut bytes: Bytes) -> Result<(), Failure> {
        let mut stalls = 0;
        while !bytes.is_empty() {
            let range = format!("bytes {from}-{}/*", from + bytes.len() as u64 - 1);
            let kept = match self.ask(session, &range, None, bytes.clone()).await? {
                Kept::Bytes(kept) => kept,
                Kept::Object(_) => return Err(garbled("it ends the upload before its end")),
            };
            let more = kept.checked_sub(from).and_then(|more| usize::try_from(more).ok());
            let more = more
                .filter(|more| *more <= bytes.len())
                .ok_or_else(|| garbled("it keeps bytes that it was not sent"))?;
            stalls = if more == 0 { stalls + 1 } else { 0 };
            if stalls > STALLS_MAX {
                return Err(garbled("it keeps nothing of what it is sent"));
            }
            from = kept;
            bytes = bytes.split_off(more);
        }
        Ok(())
    }

    /// One request to a session.
    async fn ask(&self, session: &Session, range: &str, crc: Option<u32>, body: Bytes) -> Result<Kept, Failure> {
        let mut request = Request::put(session.uri.clone())
            .header(header::CONTENT_RANGE, range)
            .header(header::CONTENT_LENGTH, body.len())
            .header(NO_308, "yes");
        if let Some(crc) = crc {
            request = request.header("x-goog-hash", format!("crc32c={}", base64_of(crc)));
        }
        let answer = self.objects.exchange(request, body).await?;
        if answer.headers().get(MEANT_STATUS).is_none_or(|status| status != "308") {
            return Ok(Kept::Object(answer));
        }
        kept_bytes(answer.headers()).map(Kept::Bytes).ok_or_else(|| garbled("it does not say what it kept"))
    }

    async fn put_in_turn(&self, session: &Session, body: Bytes, body_crc: u32) -> Result<(), Failure> {
        let before = session.progress().clone();
        let crc = crc::joined(before.crc, body_crc, body.len() as u64);
        let bytes = joined(before.carry, body);
        let whole = bytes.len() - bytes.len() % CHUNK_BYTES as usize;
        let carry = Bytes::copy_from_slice(&bytes[whole..]);
        let mut at = 0;
        if before.in_doubt {
            at = self.skip(session, before.stored, whole).await?;
        }
        session.progress().in_doubt = true;
        self.send(session, before.stored + at as u64, bytes.slice(at..whole)).await?;
        *session.progress() = Progress { stored: before.stored + whole as u64, carry, crc, in_doubt: false };
        Ok(())
    }

    /// How many of `whole` bytes from `stored` on the store has already.
    async fn skip(&self, session: &Session, stored: u64, whole: usize) -> Result<usize, Failure> {
        match self.ask(session, "bytes */*", None, Bytes::new()).await? {
            Kept::Bytes(kept) => {
                let more = kept.checked_sub(stored).and_then(|more| usize::try_from(more).ok());
                more.filter(|more| *more <= whole)
                    .ok_or_else(|| garbled("it has lost what it kept, or has what it was not sent"))
            }
            Kept::Object(_) => Err(garbled("it ends the upload before its end")),
        }
    }

    async fn finish(&self, session: &Session) -> Result<(Response<Bytes>, Progress), Failure> {
        let progress = session.progress().clone();
        let total = progress.stored + progress.carry.len() as u64;
        let mut rest = progress.carry.clone();
        if progress.in_doubt {
            match self.ask(session, &format!("bytes */{total}"), None, Bytes::new()).await? {
                Kept::Object(answer) => return Ok((answer, progress)),
                Kept::Bytes(kept) => {
                    let more = kept.checked_sub(progress.stored).and_then(|more| usize::try_from(more).ok());
                    let more =
                        more.filter(|more| *more <= rest.len()).ok_or_else(|| garbled("it has lost what it kept"))?;
                    rest = rest.split_off(more);
                }
            }
        }
        session.progress().in_doubt = true;
        let range = match rest.len() as u64 {
            0 => format!("bytes */{total}"),
            left => format!("bytes {}-{}/{total}", total - left, total - 1),
        };
        match self.ask(session, &range, Some(progress.crc), rest).await? {
            Kept::Object(answer) => Ok((answer, progress)),
            // It kept a part of the last chunk: the next attempt sends the rest.
            Kept::Bytes(kept) => Err(garbled(&format!("it has {kept} bytes of {total} at the end"))),
        }
    }
}

impl Session {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Multiparts for ResumableUploads {
    async fn begin(&self, key: &str, attributes: &ObjectAttributes) -> Result<UploadId> {
        let request = Request::post(self.objects.upload_address(key, "resumable"))
            .header(header::CONTENT_TYPE, "application/json; charset=UTF-8")
            .header("x-upload-content-type", attributes.content_type);
        let described = Value::Object(description(key, attributes)).to_string();
        let answer = self.objects.exchange(request, described).await;
        let uri = answer.and_then(|answer| session_uri(&self.objects.base, answer.headers()));
        let uri = uri.map_err(self.objects.error(key))?;
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let session =
            Session { key: key.to_owned(), uri, parts_done: watch::Sender::new(0), progress: Mutex::default() };
        let mut sessions = self.sessions();
        if sessions.len() >= SESSIONS_MAX {
            sessions.pop_first();
        }
        sessions.insert(number, Arc::new(session));
        Ok(UploadId(number.to_string()))
    }

    /// A part waits until all before it are there.
    async fn put_part(&self, key: &str, upload: &UploadId, number: u32, body: Body, crc32c: u32) -> Result<PartTag> {
        let session = self.session(key, upload)?;
        let tag = PartTag { number, tag: number.to_string() };
        let mut turn = session.parts_done.subscribe();
        // The sender is in the session, which is held here.
        let done = turn.wait_for(|done| *done + 1 >= number).await.map_or(0, |done| *done);
        if done + 1 == number {
            self.put_in_turn(&session, body.to_bytes(), crc32c).await.map_err(self.objects.error(key))?;
            session.parts_done.send_replace(number);
        }
        Ok(tag)
    }

    async fn complete(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<()> {
        let session = self.session(key, upload)?;
        let done = *session.parts_done.borrow();
        if !parts.iter().map(|part| part.number).eq(1..=done) {
            let message = format!("{key}: {} parts are to be completed, {done} were written", parts.len());
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        let (answer, Progress { stored, carry, crc, .. }) =
            self.finish(&session).await.map_err(self.objects.error(key))?;
        self.forget(upload);
        check_stored(key, &self.objects.bucket, &answer, stored + carry.len() as u64, crc)
            .map_err(|error| Error::new(ErrorCode::Corrupt, error.message()))
    }

    async fn abort(&self, key: &str, upload: &UploadId) -> Result<()> {
        let Ok(session) = self.session(key, upload) else { return Ok(()) };
        let request =
            Request::builder().method(Method::DELETE).uri(session.uri.clone()).header(header::CONTENT_LENGTH, 0);
        match self.objects.exchange(request, Bytes::new()).await {
            // 499 is how the store says that it was given up.
            Err(Failure::Refused(refusal)) if matches!(refusal.status.as_u16(), 404 | 410 | 499) => {}
            Err(failure) => return Err(self.objects.error(key)(failure)),
            Ok(_) => {}
        }
        self.forget(upload);
        Ok(())
    }

    /// Those of this process: the store lists none.
    async fn list(&self, prefix: &str) -> Result<Vec<OpenMultipart>> {
        let sessions = self.sessions();
        let open = sessions.iter().filter(|(_, session)| session.key.starts_with(prefix));
        Ok(open
            .map(|(number, session)| OpenMultipart { key: session.key.clone(), upload: UploadId(number.to_string()) })
            .collect())
    }
}

fn garbled(how: &str) -> Failure {
    Failure::Garbled(how.to_owned())
}

/// The address of a new session, at the endpoint that is configured, whatever name the store calls itself by.
fn session_uri(base: &str, headers: &HeaderMap) -> Result<Uri, Failure> {
    let location = headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let location: Option<Uri> = location.and_then(|location| location.parse().ok());
    let path = location.as_ref().and_then(Uri::path_and_query).ok_or_else(|| garbled("it has no Location"))?;
    // What the endpoint has of a path is a part of this one already.
    let root = base.find("://").and_then(|scheme| base[scheme + 3..].find('/').map(|path| &base[..scheme + 3 + path]));
    format!("{}{path}", root.unwrap_or(base)).parse().map_err(|_| garbled("its Location is no address"))
}

/// From `Range: bytes=0-N`; nothing is kept where it is absent.
fn kept_bytes(headers: &HeaderMap) -> Option<u64> {
    let Some(range) = headers.get(header::RANGE) else { return Some(0) };
    let last: u64 = range.to_str().ok()?.trim().strip_prefix("bytes=0-")?.parse().ok()?;
    last.checked_add(1)
}

/// Copies only where there is something to put in front.
fn joined(front: Bytes, back: Bytes) -> Bytes {
    if front.is_empty() {
        return back;
    }
    let mut bytes = BytesMut::with_capacity(front.len() + back.len());
    bytes.extend_from_slice(&front);
    bytes.extend_from_slice(&back);
    bytes.freeze()
}
