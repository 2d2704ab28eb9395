//! The one place in which requests to a store are limited, timed and tried again.
//!
//! - Not more than a number of requests run at once. A store that asks for fewer halves the number, at most once in each
//!   pause; answers let it grow again by one for each full round of them.
//! - A request that takes longer than its bytes allow is given up and counts as `Timeout`.
//! - Passing faults are tried again after a pause that doubles, with jitter. Retries come from a budget that answers fill up,
//!   so that a store in trouble does not see a multiple of the load that troubles it; those of a store that asks for fewer
//!   requests need none, because it gets fewer.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use longshore_plugin_api::{Error, ErrorCode, Result};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use super::{
    BlobStore, Body, Fetched, ListPage, ListRequest, ObjectAttributes, ObjectHead, OpenMultipart, PartTag, StoreLimits,
    UploadId,
};
use crate::user_metadata::UserMetadata;

/// How requests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestOptions {
    /// Requests that run at once.
    pub in_flight_max: usize,
    /// How often a request is made before its error is answered.
    pub attempts_max: u32,
    /// The same where the store asks for fewer requests: it gets fewer, and each may need more turns.
    pub throttled_attempts_max: u32,
    /// The pause before the second attempt; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// The longest pause that a store may ask for.
    pub asked_pause_max: Duration,
    /// What a request without bytes may take; the completion of an upload three times as long.
    pub time_base: Duration,
    /// Bytes of a request or an answer that buy another second.
    pub bytes_per_second_min: u64,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            in_flight_max: 64,
            attempts_max: 5,
            throttled_attempts_max: 10,
            first_pause: Duration::from_millis(50),
            pause_max: Duration::from_secs(5),
            asked_pause_max: Duration::from_secs(15),
            // A third of what a broker waits for a driver: what is silent once is asked again before that.
            time_base: Duration::from_secs(10),
            bytes_per_second_min: 256 << 10,
        }
    }
}

/// Stores answer to a completion when they have put the parts together.
const COMPLETION_TIMES: u32 = 3;

/// Retries that may be spent before any answer came.
const RETRY_BUDGET_MAX: f64 = 64.0;
/// What each answer adds to the budget.
const RETRY_BUDGET_PER_ANSWER: f64 = 0.1;

/// A store behind limits and retries.
pub(crate) struct Requests {
    store: Arc<dyn BlobStore>,
    options: RequestOptions,
    limit: Limit,
    budget: Mutex<f64>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("options", &self.options).finish_non_exhaustive()
    }
}

/// An upload, and whether the store may hold another one of the same key that was begun without our learning its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BegunUpload {
    pub(crate) upload: UploadId,
    pub(crate) may_have_twin: bool,
}

impl Requests {
    pub(crate) fn new(store: Arc<dyn BlobStore>, options: RequestOptions) -> Self {
        let limit = Limit::new(options.in_flight_max.max(1));
        Self { store, options, limit, budget: Mutex::new(RETRY_BUDGET_MAX) }
    }

    pub(crate) fn limits(&self) -> StoreLimits {
        self.store.limits()
    }

    pub(crate) async fn put(&self, key: &str, body: Body, attributes: &ObjectAttributes) -> Result<()> {
        let what = || format!("write {key}");
        self.run(what, self.allowed(body.len() as u64), || self.store.put(key, body.clone(), attributes)).await
    }

    pub(crate) async fn begin_multipart(&self, key: &str, attributes: &ObjectAttributes) -> Result<BegunUpload> {
        let (mut attempts, what) = (0, || format!("begin the upload of {key}"));
        let begin = || {
            attempts += 1;
            self.store.begin_multipart(key, attributes)
        };
        let upload = self.run(what, self.allowed(0), begin).await?;
        Ok(BegunUpload { upload, may_have_twin: attempts > 1 })
    }

    /// `crc` is the CRC32C of what the body should be.
    pub(crate) async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        body: Body,
        crc: u32,
    ) -> Result<PartTag> {
        let what = || format!("write part {number} of {key}");
        let put = || self.store.put_part(key, upload, number, body.clone(), crc);
        self.run(what, self.allowed(body.len() as u64), put).await
    }

    pub(crate) async fn complete_multipart(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<()> {
        let what = || format!("complete the upload of {key}");
        let allowed = self.allowed(0) * COMPLETION_TIMES;
        self.run(what, allowed, || self.store.complete_multipart(key, upload, parts)).await
    }

    pub(crate) async fn abort_multipart(&self, key: &str, upload: &UploadId) -> Result<()> {
        let what = || format!("abort the upload of {key}");
        self.run(what, self.allowed(0), || self.store.abort_multipart(key, upload)).await
    }

    pub(crate) async fn list_multiparts(&self, prefix: &str) -> Result<Vec<OpenMultipart>> {
        let what = || format!("list open uploads of {prefix}");
        self.run(what, self.allowed(0), || self.store.list_multiparts(prefix)).await
    }

    /// A range of an object; shorter only where the object ends.
    pub(crate) async fn get(&self, key: &str, range: Range<u64>) -> Result<Fetched> {
        let asked = range.end.saturating_sub(range.start);
        let get = || async {
            let fetched = self.store.get(key, range.clone()).await?;
            check_length(key, &range, fetched.bytes.len() as u64, fetched.object_bytes)?;
            Ok(fetched)
        };
        self.run(|| format!("read {key} at {range:?}"), self.allowed(asked), get).await
    }

    /// A range of an object as it comes; shorter only where the object ends. What broke off is gone on with where it did, so
    /// each byte is handed on once.
    pub(crate) async fn get_chunks(&self, key: &str, range: Range<u64>, to: &mut impl Receive) -> Result<()> {
        let what = || format!("read {key} at {range:?}");
        let (mut attempt, mut at) = (0, range.start);
        loop {
            attempt += 1;
            let allowed = self.allowed(range.end.saturating_sub(at));
            let answer = self.run_once(allowed, self.receive(key, at..range.end, &mut at, to)).await;
            match answer {
                Ok(()) => {
                    self.earn();
                    return Ok(());
                }
                Err(error) => self.pause_after(what, attempt, error).await?,
            }
        }
    }

    async fn receive(&self, key: &str, range: Range<u64>, at: &mut u64, to: &mut impl Receive) -> Result<()> {
        let mut answer = self.store.get_chunks(key, range.clone()).await?;
        to.begin(answer.object_bytes, answer.user_metadata.as_ref())?;
        while let Some(chunk) = answer.chunks.try_next().await? {
            let len = chunk.len() as u64;
            if len > range.end - *at {
                return Err(wrong_length(key, &range, *at + len - range.start, answer.object_bytes));
            }
            to.chunk(chunk)?;
            *at += len;
        }
        check_length(key, &range, *at - range.start, answer.object_bytes)
    }

    pub(crate) async fn head(&self, key: &str) -> Result<ObjectHead> {
        self.run(|| format!("look at {key}"), self.allowed(0), || self.store.head(key)).await
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<()> {
        self.run(|| format!("delete {key}"), self.allowed(0), || self.store.delete(key)).await
    }

    pub(crate) async fn list(&self, request: &ListRequest) -> Result<ListPage> {
        self.run(|| format!("list {}", request.prefix), self.allowed(0), || self.store.list(request)).await
    }

    async fn run<T, F: Future<Output = Result<T>>>(
        &self,
        what: impl Fn() -> String,
        allowed: Duration,
        mut request: impl FnMut() -> F,
    ) -> Result<T> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.run_once(allowed, request()).await {
                Ok(answer) => {
                    self.earn();
                    return Ok(answer);
                }
                Err(error) => self.pause_after(&what, attempt, error).await?,
            }
        }
    }

    /// Waits until a request that failed may be tried again.
    ///
    /// # Errors
    /// The request's, where it may not.
    async fn pause_after(&self, what: impl Fn() -> String, attempt: u32, error: Error) -> Result<()> {
        if !self.may_try_again(&error, attempt) {
            return Err(in_context(what(), &error));
        }
        let asked = error.retry_after().unwrap_or_default().min(self.options.asked_pause_max);
        let pause = self.pause(attempt).max(asked);
        tracing::debug!(what = what(), attempt, ?pause, %error, "a request is tried again");
        sleep(pause).await;
        Ok(())
    }

    /// What is throttled needs no budget: few requests go out then.
    fn may_try_again(&self, error: &Error, attempt: u32) -> bool {
        match error.code() {
            _ if !error.is_retryable() => false,
            // May pass, but not while anybody waits.
            ErrorCode::StorageFull => false,
            ErrorCode::RateLimited => attempt < self.options.throttled_attempts_max,
            _ => attempt < self.options.attempts_max && self.spend(),
        }
    }

    async fn run_once<T>(&self, allowed: Duration, request: impl Future<Output = Result<T>>) -> Result<T> {
        let permit = self.limit.enter().await;
        let answer = match timeout(allowed, request).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::new(ErrorCode::Timeout, format!("no answer within {} s", allowed.as_secs_f32()))),
        };
        match &answer {
            Err(error) if error.code() == ErrorCode::RateLimited => self.limit.shrink(self.options.first_pause),
            Ok(_) => self.limit.answered(),
            Err(_) => {}
        }
        drop(permit);
        answer
    }

    /// How long a request may take whose body or answer has so many bytes.
    fn allowed(&self, body_bytes: u64) -> Duration {
        self.options.time_base + Duration::from_secs(body_bytes / self.options.bytes_per_second_min.max(1))
    }

    /// Between half of the doubled pause and all of it.
    fn pause(&self, attempt: u32) -> Duration {
        let doubled = self.options.first_pause.saturating_mul(1 << attempt.saturating_sub(1).min(16));
        doubled.min(self.options.pause_max).mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    fn earn(&self) {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        *budget = (*budget + RETRY_BUDGET_PER_ANSWER).min(RETRY_BUDGET_MAX);
    }

    fn spend(&self) -> bool {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let enough = *budget >= 1.0;
        if enough {
            *budget -= 1.0;
        }
        enough
    }
}

/// The error with what was tried in front.
pub(crate) fn in_context(what: impl fmt::Display, error: &Error) -> Error {
    let told = Error::new(error.code(), format!("{what}: {}", error.message()));
    let told = match error.retry_after() {
        Some(pause) => told.with_retry_after(pause),
        None => told.with_retry(error.retry()),
    };
    told.with_chain(error.chain().to_vec())
}

/// Who takes a range as it comes. An error of theirs ends the request.
pub(crate) trait Receive: Send {
    /// An answer begins: the whole object's length and what stands beside it, where the answer tells.
    fn begin(&mut self, object_bytes: Option<u64>, user_metadata: Option<&UserMetadata>) -> Result<()>;

    /// The next bytes.
    fn chunk(&mut self, bytes: Bytes) -> Result<()>;
}

/// A store that answers with more than was asked, or with less though there is more, is asked again.
fn check_length(key: &str, range: &Range<u64>, found: u64, object_bytes: Option<u64>) -> Result<()> {
    let asked = range.end.saturating_sub(range.start);
    let there = bytes_there(range, object_bytes);
    if found == asked || (found < asked && there.is_none_or(|there| there == found)) {
        return Ok(());
    }
    Err(wrong_length(key, range, found, object_bytes))
}

fn wrong_length(key: &str, range: &Range<u64>, found: u64, object_bytes: Option<u64>) -> Error {
    let due = bytes_there(range, object_bytes).unwrap_or(range.end.saturating_sub(range.start));
    let message = format!("the store answered with {found} bytes of {key} where {due} were due");
    Error::new(ErrorCode::Unavailable, message)
}

/// How much of a range there is.
fn bytes_there(range: &Range<u64>, object_bytes: Option<u64>) -> Option<u64> {
    object_bytes.map(|bytes| bytes.clamp(range.start, range.end) - range.start)
}

/// How many requests may run at once, as the store bears it.
struct Limit {
    permits: Semaphore,
    state: Mutex<LimitState>,
    max: usize,
}

struct LimitState {
    /// What is allowed at once.
    current: usize,
    /// Permits that are given back are not given out again, so many of them.
    owed: usize,
    /// Answers since it grew last.
    answers: usize,
    shrunk_at: Option<Instant>,
}

struct Permit<'a>(&'a Limit);

impl Limit {
    fn new(max: usize) -> Self {
        let state = LimitState { current: max, owed: 0, answers: 0, shrunk_at: None };
        Self { permits: Semaphore::new(max), state: Mutex::new(state), max }
    }

    async fn enter(&self) -> Permit<'_> {
        // Nobody closes the semaphore; were it closed, requests would go on without a limit.
        if let Ok(permit) = self.permits.acquire().await {
            permit.forget();
        }
        Permit(self)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, LimitState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shrink(&self, pause: Duration) {
        let mut state = self.state();
        let now = Instant::now();
        if state.shrunk_at.is_some_and(|at| now.duration_since(at) < pause) {
            return;
        }
        state.shrunk_at = Some(now);
        state.answers = 0;
        let fewer = state.current - (state.current / 2).max(1);
        state.current -= fewer;
        state.owed += fewer;
        let taken = self.permits.forget_permits(state.owed);
        state.owed -= taken;
    }

    fn answered(&self) {
        let mut state = self.state();
        if state.current == self.max {
            return;
        }
        state.answers += 1;
        if state.answers >= state.current {
            state.answers = 0;
            state.current += 1;
            if state.owed > 0 { state.owed -= 1 } else { self.permits.add_permits(1) }
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        if state.owed > 0 { state.owed -= 1 } else { self.0.permits.add_permits(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit_of(requests: &Limit) -> usize {
        requests.state().current
    }

    #[tokio::test]
    async fn a_store_that_asks_for_fewer_requests_gets_fewer_and_then_more_again() {
        let limit = Limit::new(8);
        let held: Vec<Permit<'_>> = vec![limit.enter().await, limit.enter().await, limit.enter().await];
        limit.shrink(Duration::ZERO);
        assert_eq!(limit_of(&limit), 4);
        limit.shrink(Duration::from_secs(60));
        assert_eq!(limit_of(&limit), 4, "one fault is counted once");
        limit.shrink(Duration::ZERO);
        limit.shrink(Duration::ZERO);
        limit.shrink(Duration::ZERO);
        assert_eq!((limit_of(&limit), limit.permits.available_permits()), (1, 0), "there is always one");
        drop(held);
        assert_eq!(limit.permits.available_permits(), 1);
        for _ in 0..1 + 2 + 3 + 4 + 5 + 6 + 7 {
            limit.answered();
        }
        assert_eq!((limit_of(&limit), limit.permits.available_permits()), (8, 8));
        limit.answered();
        assert_eq!(limit.permits.available_permits(), 8);
    }

    fn quick(attempts_max: u32) -> Requests {
        let options = RequestOptions {
            attempts_max,
            throttled_attempts_max: attempts_max + 2,
            first_pause: Duration::from_micros(10),
            pause_max: Duration::from_micros(100),
            time_base: Duration::from_millis(50),
            ..RequestOptions::default()
        };
        Requests::new(Arc::new(super::super::memory::MemoryStore::new("b")), options)
    }

    #[tokio::test]
    async fn passing_faults_are_tried_again_and_others_are_not() {
        let requests = quick(3);
        for (code, expected) in [(ErrorCode::Unavailable, 3), (ErrorCode::RateLimited, 5), (ErrorCode::NotFound, 1)] {
            let mut tried = 0;
            let request = || {
                tried += 1;
                std::future::ready(Err::<(), _>(Error::new(code, "why")))
            };
            let error = requests.run(|| "read x".to_owned(), requests.allowed(0), request).await.unwrap_err();
            assert_eq!((error.code(), error.message()), (code, "read x: why"));
            assert_eq!(tried, expected);
        }
    }

    #[tokio::test]
    async fn a_store_that_says_how_long_to_wait_is_asked_no_sooner_and_is_heeded_within_bounds() {
        let mut requests = quick(2);
        requests.options.asked_pause_max = Duration::from_millis(60);
        for (asked, waited) in [(40, 40), (10_000, 60)] {
            let begun = Instant::now();
            let asked = Duration::from_millis(asked);
            let busy =
                || std::future::ready(Err::<(), _>(Error::new(ErrorCode::RateLimited, "").with_retry_after(asked)));
            let error = requests.run(|| "read x".to_owned(), requests.allowed(0), busy).await.unwrap_err();
            assert_eq!(error.retry_after(), Some(asked), "the caller hears of it too");
            let took = begun.elapsed();
            assert!(took >= Duration::from_millis(waited) && took < Duration::from_secs(5), "{asked:?}: {took:?}");
        }
    }

    #[tokio::test]
    async fn a_request_without_an_answer_is_given_up() {
        let requests = quick(2);
        let request = std::future::pending::<Result<()>>;
        let error = requests.run(|| "read x".to_owned(), requests.allowed(0), request).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Timeout);
    }

    #[tokio::test]
    async fn retries_end_when_their_budget_does() {
        let requests = quick(1000);
        let mut tried = 0;
        let request = || {
            tried += 1;
            std::future::ready(Err::<(), _>(Error::new(ErrorCode::Unavailable, "why")))
        };
        requests.run(|| "read x".to_owned(), requests.allowed(0), request).await.unwrap_err();
        assert_eq!(tried, 1 + RETRY_BUDGET_MAX as u32);
    }

    #[test]
    fn answers_of_a_wrong_length_are_faults_unless_the_object_ends() {
        for (found, object_bytes, sound) in [
            (10, None, true),
            (10, Some(100), true),
            (4, Some(9), true),
            (4, None, true),
            (0, Some(3), true),
            (4, Some(100), false),
            (11, None, false),
            (100, Some(100), false),
        ] {
            let result = check_length("k", &(5..15), found, object_bytes);
            assert_eq!(result.is_ok(), sound, "{found} bytes of {object_bytes:?}");
        }
    }
}
