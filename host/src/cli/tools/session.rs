//! The REST API as the tools use it: a broker that they were told of, their token, and answers in order.

use std::time::Duration;

use serde_json::Value;
use ureq::http::Method;
use ureq::http::header::WARNING;

use super::Failure;
use super::json_text::Json;
use crate::cli::http::{Admin, CallError, Reply};
use crate::client::ClientOptions;

/// A broker, and whether machines read the answers.
pub(in crate::cli) struct Session {
    admin: Admin,
    /// Whether answers are JSON in one line.
    pub(in crate::cli) as_json: bool,
}

impl Session {
    /// The broker at `url`. Calls are given up after `timeout`.
    ///
    /// # Errors
    /// A URL that is neither `http://…` nor `https://…`; TLS that cannot be had.
    pub(in crate::cli) fn new(
        url: &str,
        timeout: Duration,
        options: ClientOptions,
        as_json: bool,
    ) -> Result<Self, Failure> {
        let tls = if url.starts_with("https://") {
            Some(options.tls.client_config().map_err(|error| Failure::Found(error.to_string()))?)
        } else if url.starts_with("http://") {
            None
        } else {
            return Err(Failure::Found(format!("cannot use `{url}`: give http://host:port or https://host:port")));
        };
        Ok(Self { admin: Admin::with(url, timeout, options.token, tls), as_json })
    }

    /// What `GET path` answers, in order; `Null` for nothing.
    pub(in crate::cli) fn get(&self, path: &str) -> Result<Json, Failure> {
        self.json(&self.reply(Method::GET, path, None)?.body)
    }

    /// The whole answer to `GET path`.
    pub(in crate::cli) fn get_reply(&self, path: &str) -> Result<Reply, Failure> {
        self.reply(Method::GET, path, None)
    }

    /// Makes a change and answers what the broker says to it.
    pub(in crate::cli) fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Json, Failure> {
        let reply = self.reply(method, path, body)?;
        if let Some(note) = reply.headers.get(WARNING).and_then(|value| value.to_str().ok()) {
            eprintln!("note: {}", warned(note));
        }
        self.json(&reply.body)
    }

    fn reply(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, Failure> {
        self.admin.call(method, path, body).map_err(|error: CallError| error.into())
    }

    fn json(&self, body: &[u8]) -> Result<Json, Failure> {
        let text = String::from_utf8_lossy(body);
        match text.trim() {
            "" => Ok(Json::Null),
            // Some answers are plain text: a version, `ok`.
            text => Ok(serde_json::from_str(text).unwrap_or_else(|_| Json::Text(text.to_owned()))),
        }
    }
}

/// The words of a header `Warning`: `299 - "words"`.
fn warned(header: &str) -> &str {
    header.split_once('"').and_then(|(_, rest)| rest.rsplit_once('"')).map_or(header, |(words, _)| words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_repeated_in_its_words() {
        assert_eq!(warned("299 - \"kept, but \\\"quiet\\\"\""), "kept, but \\\"quiet\\\"");
        assert_eq!(warned("something else"), "something else");
    }
}
