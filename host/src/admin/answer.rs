//! Answers: JSON, an empty null, done, a text that the original calls JSON.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::error::AdminError;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What a handler gives.
pub(super) type Answer = Result<Response, AdminError>;

/// 200 with a JSON body.
pub(super) fn json(body: &impl Serialize) -> Response {
    json_with(StatusCode::OK, body)
}

/// A JSON body under any status.
pub(super) fn json_with(status: StatusCode, body: &impl Serialize) -> Response {
    let text = serde_json::to_vec(body).expect("answers have only text keys");
    (status, [(CONTENT_TYPE, JSON)], text).into_response()
}

/// 200 with JSON, or the original's null: 200 without a body and without a content type.
pub(super) fn json_or_null(body: Option<impl Serialize>) -> Response {
    body.map_or_else(null, |body| json(&body))
}

/// The original's null: 200, empty, no content type.
pub(super) fn null() -> Response {
    Response::new(Body::empty())
}

/// 204.
pub(super) fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

/// A bare text that the original sends as JSON.
pub(super) fn text(text: impl Into<String>) -> Response {
    ([(CONTENT_TYPE, JSON)], text.into()).into_response()
}

/// 200 with JSON that is written already.
pub(super) fn document(text: &str) -> Response {
    ([(CONTENT_TYPE, JSON)], text.to_owned()).into_response()
}
