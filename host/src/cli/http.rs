//! Calls of the broker's REST API, as any operator's script makes them.
//!
//! Two forms: calls that fail with a whole sentence, for the program's own commands, and [`Admin::call`], whose failure
//! keeps the broker's status and reason apart, for tools that print them in the original's way.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{HeaderMap, Method, Request};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, DefaultConnector};

use super::https::Https;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer that is read.
const ANSWER_SIZE_MAX_BYTES: u64 = 64 << 20;

/// Answers `ok` when the broker is ready.
pub(super) const HEALTH_PATH: &str = "/brokers/health";

/// A broker's REST API.
pub(super) struct Admin {
    root: String,
    base: String,
    agent: ureq::Agent,
    /// Sent with each [`Admin::call`].
    token: Option<String>,
}

/// What a broker answered.
pub(super) struct Reply {
    /// Headers, by their names in any case.
    pub(super) headers: HeaderMap,
    /// The body as it came.
    pub(super) body: Vec<u8>,
}

/// Why a call has no answer that is of use.
#[derive(Debug)]
pub(super) enum CallError {
    /// No broker answered there.
    Unreachable {
        /// Where.
        url: String,
        /// What the system said.
        problem: String,
    },
    /// The broker said no.
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words.
        reason: String,
    },
}

impl Admin {
    /// The API at `url`, `http://host:port`.
    pub(super) fn new(url: &str) -> Self {
        let config =
            ureq::Agent::config_builder().timeout_global(Some(CALL_TIMEOUT)).http_status_as_error(false).build();
        let root = url.trim_end_matches('/').to_owned();
        Self { base: format!("{root}/admin/v2"), root, agent: config.into(), token: None }
    }

    /// The same with a time limit of one's own, and a token that is sent along; over TLS for `https://`.
    pub(super) fn with(url: &str, timeout: Duration, token: Option<String>, tls: Option<Arc<ClientConfig>>) -> Self {
        let config = ureq::Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false).build();
        let agent = match tls {
            None => config.into(),
            Some(tls) => {
                let chain = DefaultConnector::new().chain(Https(tls));
                ureq::Agent::with_parts(config, chain, DefaultResolver::default())
            }
        };
        Self { agent, token, ..Self::new(url) }
    }

    /// `method path`, below `/admin/v2` or, where it begins with `//`, below the root; `body` is JSON.
    pub(super) fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, CallError> {
        let url = match path.strip_prefix('/').filter(|path| path.starts_with('/')) {
            Some(path) => format!("{}{path}", self.root),
            None => format!("{}{path}", self.base),
        };
        let unreachable = |problem: String| CallError::Unreachable { url: self.root.clone(), problem };
        let takes_body = method == Method::PUT || method == Method::POST;
        let mut request = Request::builder().method(method).uri(&url).header("Accept", "application/json, */*");
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        let sent = if takes_body {
            let text = body.map(Value::to_string).unwrap_or_default();
            let request = request.header("Content-Type", "application/json").body(text);
            request.map_err(|error| unreachable(error.to_string())).map(|request| self.agent.run(request))
        } else {
            request.body(()).map_err(|error| unreachable(error.to_string())).map(|request| self.agent.run(request))
        };
        let mut answer = sent?.map_err(|error| unreachable(error.to_string()))?;
        let read = answer.body_mut().with_config().limit(ANSWER_SIZE_MAX_BYTES).read_to_vec();
        let body = read.map_err(|error| unreachable(format!("its answer was cut off: {error}")))?;
        if answer.status().is_success() {
            return Ok(Reply { headers: answer.headers().clone(), body });
        }
        Err(CallError::Refused { status: answer.status().as_u16(), reason: reason(&String::from_utf8_lossy(&body)) })
    }

    /// The body of `GET path` as text.
    pub(super) fn text(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("{}{path}", self.base);
        let answer = self.agent.get(&url).call().with_context(|| format!("GET {url}"))?;
        body_of("GET", &url, answer)
    }

    /// The body of `GET path`, which is JSON.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        let body = self.text(path)?;
        serde_json::from_str(&body)
            .with_context(|| format!("read the answer to GET {}{path}: `{}`", self.base, short(&body)))
    }

    /// `PUT path` with a JSON body. Answers whether it was done; `false` for a conflict (409), which means that it is already.
    pub(super) fn put(&self, path: &str, body: &Value) -> anyhow::Result<bool> {
        let url = format!("{}{path}", self.base);
        let sent = self.agent.put(&url).content_type("application/json").send(body.to_string());
        let answer = sent.with_context(|| format!("PUT {url}"))?;
        if answer.status() == 409 {
            return Ok(false);
        }
        body_of("PUT", &url, answer).map(|_| true)
    }

    /// The JSON answer to `POST path` without a body, which may take up to `timeout`.
    pub(super) fn post_for<T: DeserializeOwned>(&self, path: &str, timeout: Duration) -> anyhow::Result<T> {
        let url = format!("{}{path}", self.base);
        let sent = self.agent.post(&url).config().timeout_global(Some(timeout)).build().send_empty();
        let body = body_of("POST", &url, sent.with_context(|| format!("POST {url}"))?)?;
        serde_json::from_str(&body).with_context(|| format!("read the answer to POST {url}: `{}`", short(&body)))
    }

    /// `POST path` with a JSON body.
    pub(super) fn post(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let url = format!("{}{path}", self.base);
        let sent = self.agent.post(&url).content_type("application/json").send(body.to_string());
        body_of("POST", &url, sent.with_context(|| format!("POST {url}"))?).map(|_| ())
    }
}

/// The body of a success; the reason of a failure as an error.
fn body_of(method: &str, url: &str, mut answer: ureq::http::Response<ureq::Body>) -> anyhow::Result<String> {
    let body = answer.body_mut().with_config().limit(ANSWER_SIZE_MAX_BYTES).read_to_string();
    let body = body.with_context(|| format!("read the answer to {method} {url}"))?;
    if answer.status().is_success() {
        return Ok(body);
    }
    bail!("{method} {url} was answered with {}: {}", answer.status().as_u16(), reason(&body))
}

/// What a failure's body says: its `reason`, else its first line with text.
fn reason(body: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(body).ok();
    match parsed.as_ref().and_then(|value| value.get("reason")).and_then(Value::as_str) {
        // The cause of a failed offload may be long; nothing of it is cut away.
        Some(reason) => reason.to_owned(),
        None => {
            let line = body.lines().map(str::trim).find(|line| !line.is_empty());
            short(line.unwrap_or("no reason given")).to_owned()
        }
    }
}

fn short(text: &str) -> &str {
    let end = text.char_indices().nth(200).map_or(text.len(), |(end, _)| end);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_failure_is_found() {
        assert_eq!(reason(r#"{"reason":"Topic not found"}"#), "Topic not found");
        assert_eq!(reason("\n --- An unexpected error\n"), "--- An unexpected error");
        assert_eq!(reason(""), "no reason given");
        assert_eq!(short(&"\u{e4}".repeat(300)).chars().count(), 200);
    }
}
