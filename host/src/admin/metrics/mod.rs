//! Metrics as Prometheus text.

use axum::response::{IntoResponse, Response};

pub(super) async fn redirect() -> Response {
    ().into_response()
}
pub(super) async fn scrape() -> Response {
    ().into_response()
}
