//! The table of paths.

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post, put};

use super::answer::json;
use super::error::AdminError;
use super::guard::guard;
use super::handlers::{
    brokers, internals, life_policies, messages, namespace_policies, namespaces, offload, permissions, schema_policies,
    schemas, subscriptions, tenants, topic_policies, topics,
};
use super::request::Params;
use super::{AdminState, metrics};
use crate::topic::Domain;

/// All paths over `state`.
pub fn router(state: Arc<AdminState>) -> Router {
    let admin = Router::new()
        .nest("/clusters", clusters())
        .nest("/tenants", all_tenants())
        .nest("/namespaces", all_namespaces())
        .nest("/brokers", broker())
        .nest("/persistent/{tenant}/{namespace}", persistent())
        .nest("/non-persistent/{tenant}/{namespace}", non_persistent())
        .nest("/schemas/{tenant}/{namespace}/{topic}", schemas_of_topic());
    Router::new()
        .nest("/admin/v2", admin)
        .route("/lookup/v2/topic/{domain}/{tenant}/{namespace}/{topic}", get(brokers::lookup))
        .route("/metrics", get(metrics::redirect))
        .route("/metrics/", get(metrics::scrape))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(state.clone(), guard))
        .with_state(state)
}

type Routes = Router<Arc<AdminState>>;

fn clusters() -> Routes {
    let one = get(tenants::cluster).put(tenants::change_cluster).post(tenants::change_cluster);
    Router::new().route("/", get(tenants::clusters)).route("/{cluster}", one.delete(tenants::change_cluster))
}

fn all_tenants() -> Routes {
    let one = get(tenants::get).put(tenants::create).post(tenants::update).delete(tenants::delete);
    Router::new().route("/", get(tenants::list)).route("/{tenant}", one)
}

fn broker() -> Routes {
    Router::new()
        .route("/", get(brokers::list))
        .route("/{cluster}", get(brokers::list_of_cluster))
        .route("/health", get(brokers::health))
        .route("/version", get(brokers::version))
        .route("/leaderBroker", get(brokers::leader))
        .route("/configuration", get(brokers::dynamic_configuration_names))
        .route("/configuration/values", get(brokers::dynamic_configuration_values))
        .route("/configuration/runtime", get(brokers::runtime_configuration))
        .route("/offloaders", get(brokers::offloaders))
        .route("/offloaders/status", get(brokers::offloaders_status))
        .route("/offloaders/rescan", post(brokers::rescan_offloaders))
}

fn all_namespaces() -> Routes {
    let one = Router::new()
        .route("/", get(namespaces::get).put(namespaces::create).delete(namespaces::delete))
        .route("/topics", get(namespaces::topics))
        .route("/unload", put(namespaces::unload))
        .route("/{bundle}/unload", put(namespaces::unload))
        .route("/bundles", get(namespaces::bundles))
        .route("/replication", get(namespaces::replication))
        .route("/permissions", get(permissions::of_namespace))
        .route("/permissions/{role}", post(permissions::grant_in_namespace).delete(permissions::revoke_in_namespace))
        .merge(policies_of_namespace());
    Router::new().route("/{tenant}", get(namespaces::list)).nest("/{tenant}/{namespace}", one)
}

fn policies_of_namespace() -> Routes {
    use namespace_policies as on;
    Router::new()
        .route("/retention", get(on::retention).post(on::set_retention).delete(on::remove_retention))
        .route("/offloadThreshold", get(on::offload_threshold).put(on::set_offload_threshold))
        .route("/offloadThresholdInSeconds", get(on::offload_threshold_seconds).put(on::set_offload_threshold_seconds))
        .route("/offloadDeletionLagMs", get(on::deletion_lag).put(on::set_deletion_lag).delete(on::remove_deletion_lag))
        .route("/offloadPolicies", get(on::offload_policies).post(on::set_offload_policies))
        .route("/offloadPolicies/explain", get(offload::explain_namespace))
        .route("/removeOffloadPolicies", delete(on::remove_offload_policies))
        .route("/persistence", get(on::persistence).post(on::set_persistence).delete(on::remove_persistence))
        .route(
            "/autoTopicCreation",
            get(on::auto_topic_creation).post(on::set_auto_topic_creation).delete(on::remove_auto_topic_creation),
        )
        .merge(life_of_namespace())
        .merge(schemas_of_namespace())
}

fn life_of_namespace() -> Routes {
    use life_policies::of_namespace as on;
    let expiration = get(on::subscription_expiration).post(on::set_subscription_expiration);
    Router::new()
        .route("/messageTTL", get(on::message_ttl).post(on::set_message_ttl).delete(on::remove_message_ttl))
        .route("/backlogQuotaMap", get(on::backlog_quotas))
        .route("/backlogQuota", post(on::set_backlog_quota).delete(on::remove_backlog_quota))
        .route("/deduplication", get(on::deduplication).post(on::set_deduplication).delete(on::remove_deduplication))
        .route(
            "/deduplicationSnapshotInterval",
            get(on::deduplication_interval)
                .post(on::set_deduplication_interval)
                .delete(on::remove_deduplication_interval),
        )
        .route("/subscriptionExpirationTime", expiration.delete(on::remove_subscription_expiration))
        .route(
            "/inactiveTopicPolicies",
            get(on::inactive_topics).post(on::set_inactive_topics).delete(on::remove_inactive_topics),
        )
}

fn schemas_of_namespace() -> Routes {
    use schema_policies::of_namespace as on;
    Router::new()
        .route("/schemaCompatibilityStrategy", get(on::strategy).put(on::set_strategy))
        .route("/schemaAutoUpdateCompatibilityStrategy", get(on::older).put(on::set_older))
        .route("/isAllowAutoUpdateSchema", get(on::auto_update).post(on::set_auto_update))
        .route("/schemaValidationEnforced", get(on::validation).post(on::set_validation))
}

fn persistent() -> Routes {
    Router::new()
        .route("/", get(topics::list))
        .route("/partitioned", get(topics::list_partitioned))
        .route("/{topic}", put(topics::create).delete(topics::delete))
        .nest("/{topic}", one_topic().merge(one_subscription()).merge(policies_of_topic()).merge(life_of_topic()))
}

fn one_topic() -> Routes {
    let partitions = get(topics::partitions).put(topics::create_partitioned).post(topics::add_partitions);
    Router::new()
        .route("/partitions", partitions.delete(topics::delete_partitioned))
        .route("/stats", get(topics::stats))
        .route("/partitioned-stats", get(topics::partitioned_stats))
        .route("/internalStats", get(internals::internal_stats))
        .route("/partitioned-internalStats", get(internals::partitioned_internal_stats))
        .route("/internal-info", get(internals::internal_info))
        .route("/ledgers", get(internals::ledgers))
        .route("/offload", put(offload::start).get(offload::status))
        .route("/offload/explain", get(offload::explain))
        .route("/unload", put(topics::unload))
        .route("/trim", post(topics::trim))
        .route("/truncate", delete(topics::truncate))
        .route("/terminate", post(topics::terminate))
        .route("/properties", get(topics::properties))
        .route("/permissions", get(permissions::of_topic))
        .route("/permissions/{role}", post(permissions::grant_on_topic).delete(permissions::revoke_on_topic))
        .route("/lastMessageId", get(messages::last))
        .route("/messageid/{time}", get(messages::by_time))
        .route("/ledger/{ledger}/entry/{entry}", get(messages::by_id))
        .route("/examinemessage", get(messages::examine))
}

fn one_subscription() -> Routes {
    Router::new()
        .route("/subscriptions", get(subscriptions::list))
        .route("/subscription/{subscription}", put(subscriptions::create).delete(subscriptions::delete))
        .route("/subscription/{subscription}/skip_all", post(subscriptions::skip_all))
        .route("/subscription/{subscription}/skip/{count}", post(subscriptions::skip))
        .route("/subscription/{subscription}/resetcursor", post(subscriptions::reset_to_message))
        .route("/subscription/{subscription}/resetcursor/{time}", post(subscriptions::reset_to_time))
        .route("/subscription/{subscription}/position/{count}", get(subscriptions::peek))
        .route("/subscription/{subscription}/expireMessages", post(subscriptions::expire_through))
        .route("/subscription/{subscription}/expireMessages/{seconds}", post(subscriptions::expire_older))
        .route("/all_subscription/expireMessages/{seconds}", post(subscriptions::expire_all_older))
}

fn policies_of_topic() -> Routes {
    use topic_policies as on;
    Router::new().route("/retention", get(on::retention).post(on::set_retention).delete(on::remove_retention)).route(
        "/offloadPolicies",
        get(on::offload_policies).post(on::set_offload_policies).delete(on::remove_offload_policies),
    )
}

fn life_of_topic() -> Routes {
    use life_policies::of_topic as on;
    use schema_policies::of_topic as schema;
    Router::new()
        .route("/messageTTL", get(on::message_ttl).post(on::set_message_ttl).delete(on::remove_message_ttl))
        .route("/backlogQuotaMap", get(on::backlog_quotas))
        .route("/backlogQuota", post(on::set_backlog_quota).delete(on::remove_backlog_quota))
        .route(
            "/deduplicationEnabled",
            get(on::deduplication).post(on::set_deduplication).delete(on::remove_deduplication),
        )
        .route(
            "/inactiveTopicPolicies",
            get(on::inactive_topics).post(on::set_inactive_topics).delete(on::remove_inactive_topics),
        )
        .route(
            "/deduplicationSnapshotInterval",
            get(on::deduplication_interval)
                .post(on::set_deduplication_interval)
                .delete(on::remove_deduplication_interval),
        )
        .route(
            "/schemaCompatibilityStrategy",
            get(schema::strategy).put(schema::set_strategy).delete(schema::remove_strategy),
        )
        .route("/schemaValidationEnforced", get(schema::validation).post(schema::set_validation))
}

fn schemas_of_topic() -> Routes {
    Router::new()
        .route("/schema", get(schemas::newest).post(schemas::upload).delete(schemas::delete))
        .route("/schema/{version}", get(schemas::version))
        .route("/schemas", get(schemas::all))
        .route("/metadata", get(schemas::metadata))
        .route("/compatibility", post(schemas::compatibility))
        .route("/version", post(schemas::find))
}

/// No topic of this domain exists here.
fn non_persistent() -> Routes {
    Router::new()
        .route("/", get(no_topics))
        .route("/partitioned", get(no_topics))
        .route("/{topic}", any(no_such_topic))
        .route("/{topic}/{*rest}", any(no_such_topic))
}

async fn no_topics(
    axum::extract::State(state): super::handlers::Shared,
    params: Params,
) -> Result<Response, AdminError> {
    state.namespaces.policies(&params.namespace()?).await?;
    Ok(json(&[(); 0]))
}

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
