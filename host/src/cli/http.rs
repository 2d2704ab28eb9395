//! Calls of the broker's REST API, as any operator's script makes them.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest answer that is read.
const ANSWER_SIZE_MAX_BYTES: u64 = 64 << 20;

/// Answers `ok` when the broker is ready.
pub(super) const HEALTH_PATH: &str = "/brokers/health";

/// A broker's REST API.
pub(super) struct Admin {
    base: String,
    agent: ureq::Agent,
}

impl Admin {
    /// The API at `url`, `http://host:port`.
    pub(super) fn new(url: &str) -> Self {
        let config =
            ureq::Agent::config_builder().timeout_global(Some(CALL_TIMEOUT)).http_status_as_error(false).build();
        Self { base: format!("{}/admin/v2", url.trim_end_matches('/')), agent: config.into() }
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
    let reason = parsed.as_ref().and_then(|value| value.get("reason")).and_then(Value::as_str);
    let line = || body.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given");
    short(reason.unwrap_or_else(line)).to_owned()
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
