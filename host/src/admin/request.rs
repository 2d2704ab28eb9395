//! What handlers take from a request: names of the path, decoded once; a bounded JSON body; the query.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use axum::body::HttpBody;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::AdminState;
use super::error::AdminError;
use crate::managed_ledger::WirePosition;
use crate::topic::names::{Domain, NamespaceName, TopicName};

/// The names that the route took from the path, percent-decoded exactly once; a `+` stays a `+`.
#[derive(Clone)]
pub(super) struct Params {
    by_name: HashMap<String, String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AdminError> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|error| AdminError::bad_request(format!("the path cannot be read: {error}")))?;
        let by_name = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Ok(Self { by_name })
    }
}

impl Params {
    /// These names.
    #[cfg(test)]
    pub(super) fn of<const N: usize>(names: [(&str, &str); N]) -> Self {
        Self { by_name: names.map(|(name, value)| (name.to_owned(), value.to_owned())).into() }
    }

    /// A name as it stands.
    pub(super) fn text(&self, name: &str) -> &str {
        self.by_name.get(name).map_or("", String::as_str)
    }

    /// A number.
    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<T, AdminError>
    where
        T::Err: Display,
    {
        let text = self.text(name);
        text.parse().map_err(|error| AdminError::bad_request(format!("`{text}` in the path is no number: {error}")))
    }

    /// `{tenant}/{namespace}`.
    pub(super) fn namespace(&self) -> Result<NamespaceName, AdminError> {
        Ok(NamespaceName::new(self.text("tenant"), self.text("namespace"))?)
    }

    /// The persistent topic `{tenant}/{namespace}/{topic}`.
    pub(super) fn topic(&self) -> Result<TopicName, AdminError> {
        self.topic_in(Domain::Persistent)
    }

    /// The topic `{tenant}/{namespace}/{topic}` of a domain.
    pub(super) fn topic_in(&self, domain: Domain) -> Result<TopicName, AdminError> {
        Ok(TopicName::new(domain, self.namespace()?, self.text("topic"))?)
    }
}

/// The largest body that is taken, bytes. The largest that clients send is a policies object of a few kilobytes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What is read of a longer one, to be thrown away. A server that closes a connection with something unread in it makes the
/// client's system forget the answer: the client sees a broken pipe and no reason.
const BODY_BYTES_READ_MAX: usize = 16 << 20;

/// The body's bytes, no more than the server takes.
pub(super) struct Body(Bytes);

impl FromRequest<Arc<AdminState>> for Body {
    type Rejection = AdminError;

    async fn from_request(request: Request, state: &Arc<AdminState>) -> Result<Self, AdminError> {
        let announced = request.body().size_hint().lower();
        let mut frames = request.into_body().into_data_stream();
        let (mut body, mut len) = (Vec::new(), 0_usize);
        let all = async {
            while let Some(bytes) = frames.next().await {
                let bytes =
                    bytes.map_err(|error| AdminError::bad_request(format!("the body cannot be read: {error}")))?;
                len = len.saturating_add(bytes.len());
                if len <= BODY_BYTES_MAX {
                    body.extend_from_slice(&bytes);
                } else if len > BODY_BYTES_READ_MAX {
                    break;
                }
            }
            Ok(())
        };
        // Nothing of a body is waited for that is going to be too long anyway.
        if announced <= BODY_BYTES_READ_MAX as u64 {
            let read = timeout(state.http.body, all).await;
            read.unwrap_or_else(|_| Err(AdminError::new(StatusCode::REQUEST_TIMEOUT, "the body does not end")))?;
        }
        if len > BODY_BYTES_MAX || announced > BODY_BYTES_MAX as u64 {
            let text = format!("the body is longer than {BODY_BYTES_MAX} bytes");
            return Err(AdminError::new(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Ok(Self(body.into()))
    }
}

impl Body {
    /// The body as JSON; `None` where it is empty or `null`. Fields that nobody knows are ignored.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<Option<T>, AdminError> {
        if self.0.trim_ascii().is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&self.0)
            .map_err(|error| AdminError::bad_request(format!("the body is not what is wanted here: {error}")))
    }

    /// The body as JSON, which must be there.
    pub(super) fn required<T: DeserializeOwned>(&self, what: &str) -> Result<T, AdminError> {
        self.json()?.ok_or_else(|| AdminError::bad_request(format!("{what} is missing: the body is empty")))
    }
}

/// The queries of all routes. What is absent, empty or not understood is off.
#[derive(Debug, Default)]
pub(super) struct Asked {
    by_name: HashMap<String, String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = AdminError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AdminError> {
        let query = Query::<HashMap<String, String>>::from_request_parts(parts, state).await;
        let Query(by_name) =
            query.map_err(|error| AdminError::bad_request(format!("the query cannot be read: {error}")))?;
        Ok(Self { by_name })
    }
}

impl Asked {
    /// Whether `name=true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The value of `name`, where it is there and not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.by_name.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// A message id as clients send it; what newer clients add is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MessageIdBody {
    pub(super) ledger_id: i64,
    pub(super) entry_id: i64,
    /// Whether the message itself is left out, on reset.
    #[serde(default)]
    pub(super) is_excluded: bool,
}

impl MessageIdBody {
    pub(super) fn position(self) -> WirePosition {
        WirePosition { ledger_id: self.ledger_id, entry_id: self.entry_id }
    }
}
