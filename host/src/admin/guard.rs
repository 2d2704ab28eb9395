//! Who asks, and whether they may: before any handler sees the request.
//!
//! [`wish`] is the table: what a path and a method mean for the rules of [`crate::access`].

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::AdminState;
use super::error::AdminError;
use super::request::Params;
use crate::access::NotAllowed;
use crate::access::rules::Wish;

const METRICS: &str = "/metrics";

/// Lets a request through, or answers 401 in its place. The original has that status for both questions, and clients tell it as
/// "not authorized".
pub(super) async fn guard(
    State(state): State<Arc<AdminState>>,
    matched: Option<MatchedPath>,
    params: Params,
    request: Request,
    next: Next,
) -> Response {
    let path = matched.as_ref().map_or("", MatchedPath::as_str);
    let header = request.headers().get(header::AUTHORIZATION).cloned();
    match check(&state, path, &params, request.method().clone(), header).await {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

async fn check(
    state: &AdminState,
    path: &str,
    params: &Params,
    method: Method,
    header: Option<HeaderValue>,
) -> Result<(), AdminError> {
    if path.starts_with(METRICS) && !state.facts.authenticate_metrics {
        return Ok(());
    }
    let refused = |reason: String| AdminError::new(StatusCode::UNAUTHORIZED, reason);
    let header = header.as_ref().map(HeaderValue::as_bytes);
    let principal = state.access.principal_of_header(header).map_err(|error| refused(error.to_string()))?;
    let wish = wish(&method, path, params)?;
    state.access.allow(&principal, &wish).await.map_err(|error| match error {
        NotAllowed::Role { .. } => refused(error.to_string()),
        NotAllowed::Namespace(error) => error.into(),
    })
}

/// What a request means. `path` is that of the table of routes, with names in braces; it is empty for a path that is unknown.
fn wish(method: &Method, path: &str, params: &Params) -> Result<Wish, AdminError> {
    let is_get = method == Method::GET;
    let under_root = path.strip_prefix("/admin/v2/").unwrap_or(path);
    let (root, rest) = under_root.split_once('/').unwrap_or((under_root, ""));
    Ok(match root {
        "clusters" if is_get => Wish::Look,
        "brokers" if is_get && rest == "version" => Wish::Look,
        "tenants" if is_get && !rest.is_empty() => Wish::Tenant(params.text("tenant").to_owned()),
        "clusters" | "brokers" | "broker-stats" | "tenants" => Wish::Broker,
        "namespaces" if is_get && rest.ends_with("/topics") => Wish::List(params.namespace()?),
        "namespaces" => Wish::Tenant(params.text("tenant").to_owned()),
        "non-persistent" if !rest.contains("{topic}") => Wish::List(params.namespace()?),
        "persistent" => match rest.split_once("{topic}") {
            None => Wish::List(params.namespace()?),
            Some((_, under)) => of_topic(is_get, under, params)?,
        },
        "schemas" if is_get || rest.ends_with("/compatibility") || rest.ends_with("/version") => {
            Wish::LookUp(params.topic()?)
        }
        "schemas" if *method == Method::POST => Wish::Produce(params.topic()?),
        "schemas" => Wish::Topic(params.topic()?),
        _ if path.starts_with("/lookup/") => Wish::LookUp(params.topic()?),
        _ => Wish::Look,
    })
}

/// `under` is what stands behind the topic.
fn of_topic(is_get: bool, under: &str, params: &Params) -> Result<Wish, AdminError> {
    let topic = params.topic()?;
    let first = under.trim_start_matches('/').split('/').next().unwrap_or_default();
    let subscription = Some(params.text("subscription")).filter(|name| !name.is_empty()).map(str::to_owned);
    Ok(match first {
        "subscription" | "subscriptions" => Wish::Consume(topic, subscription),
        "lastMessageId" | "messageid" | "ledger" | "examinemessage" => Wish::Consume(topic, None),
        "partitions"
        | "stats"
        | "partitioned-stats"
        | "internalStats"
        | "partitioned-internalStats"
        | "internal-info"
        | "ledgers"
        | "properties"
            if is_get =>
        {
            Wish::LookUp(topic)
        }
        _ => Wish::Topic(topic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_a_method_say_what_is_wished() {
        let params = Params::of([("tenant", "acme"), ("namespace", "app"), ("topic", "t"), ("subscription", "s")]);
        let (topic, namespace) = (params.topic().unwrap(), params.namespace().unwrap());
        let tenant = || Wish::Tenant("acme".to_owned());
        for (method, path, expected) in [
            (Method::GET, "/admin/v2/clusters", Wish::Look),
            (Method::GET, "/admin/v2/tenants", Wish::Broker),
            (Method::GET, "/admin/v2/brokers", Wish::Broker),
            (Method::GET, "/admin/v2/broker-stats/topics", Wish::Broker),
            (Method::GET, "/admin/openapi.json", Wish::Look),
            (Method::PUT, "/admin/v2/clusters/{cluster}", Wish::Broker),
            (Method::GET, "/admin/v2/brokers/version", Wish::Look),
            (Method::GET, "/admin/v2/brokers/health", Wish::Broker),
            (Method::POST, "/admin/v2/brokers/offloaders/rescan", Wish::Broker),
            (Method::GET, "/admin/v2/tenants/{tenant}", tenant()),
            (Method::DELETE, "/admin/v2/tenants/{tenant}", Wish::Broker),
            (Method::GET, "/admin/v2/namespaces/{tenant}", tenant()),
            (Method::GET, "/admin/v2/namespaces/{tenant}/{namespace}/topics", Wish::List(namespace.clone())),
            (Method::POST, "/admin/v2/namespaces/{tenant}/{namespace}/retention", tenant()),
            (Method::GET, "/admin/v2/persistent/{tenant}/{namespace}/partitioned", Wish::List(namespace.clone())),
            (Method::GET, "/admin/v2/non-persistent/{tenant}/{namespace}", Wish::List(namespace)),
            (Method::PUT, "/admin/v2/persistent/{tenant}/{namespace}/{topic}", Wish::Topic(topic.clone())),
            (Method::PUT, "/admin/v2/persistent/{tenant}/{namespace}/{topic}/offload", Wish::Topic(topic.clone())),
            (Method::GET, "/admin/v2/persistent/{tenant}/{namespace}/{topic}/stats", Wish::LookUp(topic.clone())),
            (Method::GET, "/admin/v2/persistent/{tenant}/{namespace}/{topic}/partitions", Wish::LookUp(topic.clone())),
            (Method::PUT, "/admin/v2/persistent/{tenant}/{namespace}/{topic}/partitions", Wish::Topic(topic.clone())),
            (
                Method::GET,
                "/admin/v2/persistent/{tenant}/{namespace}/{topic}/ledger/{ledger}/entry/{entry}",
                Wish::Consume(topic.clone(), None),
            ),
            (
                Method::PUT,
                "/admin/v2/persistent/{tenant}/{namespace}/{topic}/subscription/{subscription}",
                Wish::Consume(topic.clone(), Some("s".to_owned())),
            ),
            (Method::GET, "/admin/v2/schemas/{tenant}/{namespace}/{topic}/schema", Wish::LookUp(topic.clone())),
            (Method::POST, "/admin/v2/schemas/{tenant}/{namespace}/{topic}/version", Wish::LookUp(topic.clone())),
            (Method::POST, "/admin/v2/schemas/{tenant}/{namespace}/{topic}/schema", Wish::Produce(topic.clone())),
            (Method::DELETE, "/admin/v2/schemas/{tenant}/{namespace}/{topic}/schema", Wish::Topic(topic.clone())),
            (Method::GET, "/lookup/v2/topic/{domain}/{tenant}/{namespace}/{topic}", Wish::LookUp(topic)),
            (Method::GET, "", Wish::Look),
        ] {
            assert_eq!(wish(&method, path, &params).unwrap(), expected, "{method} {path}");
        }
    }
}
