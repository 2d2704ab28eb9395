//! Bearer tokens of a service account: one exchange at a time, a new one before the old one ends.
//!
//! - Whoever needs a token while none is fresh joins the exchange that runs; the first of them begins it. If some leave,
//!   the others carry it on.
//! - The key file is read for each exchange, so a key that was replaced on disk is used from then on.
//! - A failed renewal is nobody's error while the old token lasts; it is tried again after a pause.
//!
//! opendal can do an exchange too, but at one fixed address. This one goes where the key file's `token_uri` says.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use longshore_plugin_api::{Error, ErrorCode, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Client;
use serde_json::Value;
use tokio::time::Instant;

use super::service_account::ServiceAccount;
use crate::object_store::http::read_body;
use crate::object_store::wire::Sign;

/// What the driver does: objects of any bucket that the account may use, nothing of other services.
pub(super) const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_write";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// A token is renewed when it lasts no longer than this.
const RENEW_BEFORE: Duration = Duration::from_secs(180);
/// A token that lasts no longer than this is not used any more: a request takes time to arrive.
const USE_UNTIL_BEFORE: Duration = Duration::from_secs(15);
/// A token that the store refuses is given up, unless it is newer than this: then another one would fare no better.
const REFUSED_AFTER: Duration = Duration::from_secs(1);
/// The pause after a failed renewal.
const RENEW_PAUSE: Duration = Duration::from_secs(10);
const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(20);
/// Tokens have about 1,000 bytes.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Hands out tokens. Clones share them.
#[derive(Clone)]
pub(super) struct TokenSource {
    key_file: PathBuf,
    client: Client,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    exchange: Option<Exchange>,
    failed_at: Option<Instant>,
}

type Exchange = Shared<BoxFuture<'static, Result<Arc<Token>>>>;

/// A bearer token; `Debug` does not show it.
pub(super) struct Token {
    secret: String,
    asked_at: Instant,
    ends_at: Instant,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("ends_at", &self.ends_at).finish_non_exhaustive()
    }
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").field("key_file", &self.key_file).finish_non_exhaustive()
    }
}

impl TokenSource {
    /// Nothing is read or asked for yet.
    pub(super) fn new(key_file: PathBuf, client: Client) -> Self {
        Self { key_file, client, state: Arc::default() }
    }

    /// A token that lasts for a while.
    ///
    /// # Errors
    /// `InvalidConfig` for a key file that cannot be used, `PermissionDenied` where Google does not take its key,
    /// `Unavailable`, `RateLimited`, `Timeout`.
    pub(super) async fn token(&self) -> Result<Arc<Token>> {
        let exchange = {
            let mut state = self.state();
            let now = Instant::now();
            if let Some(token) = state.usable(now, RENEW_BEFORE) {
                return Ok(token);
            }
            let paused = state.failed_at.is_some_and(|at| now < at + RENEW_PAUSE);
            if let Some(token) = state.usable(now, USE_UNTIL_BEFORE).filter(|_| paused) {
                return Ok(token);
            }
            let begin = || exchange(self.key_file.clone(), self.client.clone()).boxed().shared();
            state.exchange.get_or_insert_with(begin).clone()
        };
        let ended = exchange.clone().await;
        self.settle(&exchange, ended)
    }

    fn settle(&self, exchange: &Exchange, ended: Result<Arc<Token>>) -> Result<Arc<Token>> {
        let mut state = self.state();
        let first_to_see_it = state.exchange.as_ref().is_some_and(|running| running.ptr_eq(exchange));
        if first_to_see_it {
            state.exchange = None;
            state.failed_at = ended.is_err().then(Instant::now);
            if let Ok(token) = &ended {
                state.token = Some(token.clone());
            }
        }
        ended.or_else(|error| {
            let token = state.usable(Instant::now(), USE_UNTIL_BEFORE).ok_or_else(|| error.clone())?;
            if first_to_see_it {
                tracing::warn!(%error, "the token for Google Cloud Storage could not be renewed, the old one still lasts");
            }
            Ok(token)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The token, where it lasts longer than `least`.
    fn usable(&self, now: Instant, least: Duration) -> Option<Arc<Token>> {
        self.token.clone().filter(|token| token.ends_at.saturating_duration_since(now) > least)
    }
}

#[async_trait]
impl Sign for TokenSource {
    async fn sign(&self, head: &mut Parts) -> Result<()> {
        let token = self.token().await?;
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.secret)).map_err(|_| {
            Error::new(ErrorCode::Unavailable, "the token that Google handed out cannot stand in a header")
        })?;
        bearer.set_sensitive(true);
        head.headers.insert(AUTHORIZATION, bearer);
        Ok(())
    }

    fn renew(&self) {
        let mut state = self.state();
        state.token = state.token.take().filter(|token| token.asked_at.elapsed() < REFUSED_AFTER);
    }
}

async fn exchange(key_file: PathBuf, client: Client) -> Result<Arc<Token>> {
    let file = key_file.clone();
    let prepared = tokio::task::spawn_blocking(move || {
        let account = ServiceAccount::read(&file)?;
        let assertion = account.assertion(SCOPE, SystemTime::now())?;
        Ok::<_, String>((account, assertion))
    });
    let prepared = prepared.await.map_err(|error| {
        let message = format!("the key file {} was not read to its end", key_file.display());
        Error::new(ErrorCode::Internal, message).with_source(&error)
    })?;
    let (account, assertion) = prepared.map_err(|problem| {
        Error::new(ErrorCode::InvalidConfig, format!("the service account's key file {} {problem}", key_file.display()))
    })?;
    let what = format!("exchange the key of {} for a token at {}", account.email(), account.token_uri());
    match tokio::time::timeout(EXCHANGE_TIME_MAX, ask(&what, &account, &assertion, &client)).await {
        Ok(answered) => answered,
        Err(_) => Err(Error::new(ErrorCode::Timeout, format!("{what}: no answer within {EXCHANGE_TIME_MAX:?}"))),
    }
}

async fn ask(what: &str, account: &ServiceAccount, assertion: &str, client: &Client) -> Result<Arc<Token>> {
    let asked_at = Instant::now();
    let form = format!("grant_type={}&assertion={assertion}", utf8_percent_encode(GRANT_TYPE, NON_ALPHANUMERIC));
    let request = client.post(account.token_uri().to_string()).body(form);
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let unreachable = |error: reqwest::Error| {
        Error::new(ErrorCode::Unavailable, format!("{what}: no answer")).with_source(&error.without_url())
    };
    let mut answer = request.send().await.map_err(unreachable)?;
    let body = read_body(&mut answer, ANSWER_BYTES_MAX).await.map_err(unreachable)?;
    let said: Value = serde_json::from_slice(&body).unwrap_or_default();
    if answer.status() != StatusCode::OK {
        return Err(refusal(what, answer.status(), &said));
    }
    token_of(&said, asked_at)
        .map(Arc::new)
        .ok_or_else(|| Error::new(ErrorCode::Unavailable, format!("{what}: the answer holds no token")))
}

fn token_of(answer: &Value, asked_at: Instant) -> Option<Token> {
    let secret = answer.get("access_token")?.as_str().filter(|token| !token.is_empty())?;
    let seconds = answer.get("expires_in")?.as_u64().filter(|seconds| *seconds > 0)?;
    Some(Token { secret: secret.to_owned(), asked_at, ends_at: asked_at.checked_add(Duration::from_secs(seconds))? })
}

/// The error for an answer without a token. `error` and `error_description` are those of RFC 6749; they are quoted as far as
/// they are words, so that no server makes us print what we sent.
fn refusal(what: &str, status: StatusCode, answer: &Value) -> Error {
    const WORD_CHARS_MAX: usize = 32;
    let words = |name: &str| {
        let text = answer.get(name).and_then(Value::as_str).unwrap_or_default();
        let words = text.split_whitespace().filter(|word| word.is_ascii() && word.len() <= WORD_CHARS_MAX);
        words.take(40).collect::<Vec<_>>().join(" ")
    };
    let said = [words("error"), words("error_description")];
    let said: Vec<&str> = said.iter().map(String::as_str).filter(|said| !said.is_empty()).collect();
    let (code, advice) = match status.as_u16() {
        429 => (ErrorCode::RateLimited, ""),
        500.. => (ErrorCode::Unavailable, ""),
        404 | 405 => (ErrorCode::InvalidConfig, "; is this the token_uri that the key came with?"),
        _ => (ErrorCode::PermissionDenied, "; was the key deleted, or is this machine's clock wrong?"),
    };
    let said = if said.is_empty() { String::new() } else { format!(", {}", said.join(": ")) };
    Error::new(code, format!("{what}: refused with status {}{said}{advice}", status.as_u16()))
}

#[cfg(test)]
mod tests;
