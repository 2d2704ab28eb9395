//! The table of paths. Its rows make the router, and the document that describes it.

pub(super) mod row;

mod broker;
mod namespaces;
mod topic_policies;
mod topics;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::AdminState;
use super::answer::document;
use super::error::AdminError;
use super::guard::guard;
use super::openapi;
use super::request::Params;
use crate::topic::Domain;
use row::{Row, at, get};
pub(super) use topic_policies::GLOBAL;

/// The root of what is not told apart by version.
const ROOT: &str = "/admin/v2";

/// Every path, in the order of the document.
pub(super) fn table() -> Vec<Row> {
    let mut rows = broker::rows();
    rows.extend(namespaces::rows());
    rows.extend(topics::rows());
    rows
}

/// All paths over `state`.
pub fn router(state: Arc<AdminState>) -> Router {
    let mut rows = table();
    rows.push(description(&rows));
    let paths = rows.into_iter().map(Row::into_handlers);
    paths
        .fold(Router::new(), |router, (path, handlers)| router.route(&path, handlers))
        .route(&format!("{ROOT}/non-persistent/{{tenant}}/{{namespace}}/{{topic}}"), any(no_such_topic))
        .route(&format!("{ROOT}/non-persistent/{{tenant}}/{{namespace}}/{{topic}}/{{*rest}}"), any(no_such_topic))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(state.clone(), guard))
        .with_state(state)
}

/// The row that serves the description of all others. It alone is not in it: who reads it has found it.
fn description(rows: &[Row]) -> Row {
    let text: Arc<str> = openapi::document(rows).to_string().into();
    at("/admin/openapi.json", [get(move || async move { document(&text) }, "What this API takes and gives.")])
}

/// No topic of this domain exists here, whatever is asked of it.
async fn no_such_topic(params: Params) -> AdminError {
    match params.topic_in(Domain::NonPersistent) {
        Ok(name) => AdminError::not_found(format!("Topic {name} not found")),
        Err(error) => error,
    }
}

async fn unknown(method: Method, uri: Uri) -> Response {
    AdminError::not_found(format!("{method} {}: this broker has no such path", uri.path())).into_response()
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    let reason = format!("{method} {}: this path does not take this method", uri.path());
    AdminError::new(StatusCode::METHOD_NOT_ALLOWED, reason).into_response()
}
