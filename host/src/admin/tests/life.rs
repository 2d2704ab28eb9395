//! Policies of topics' lives and of their schemas: set, shown, in force at once, and gone again; schemas themselves.

use serde_json::{Value, json};

use super::super::test_desk::Desk;
use crate::topic::terms::QuotaAction;

const NAMESPACE: &str = "/namespaces/public/default";
const TOPIC: &str = "/persistent/public/default/t";
const SCHEMAS: &str = "/schemas/public/default/t";

async fn refused(desk: &Desk, method: &str, path: &str, body: Option<Value>) -> (u16, String) {
    let got = desk.call(method, path, body).await;
    (got.status, got.body()["reason"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn policies_are_set_shown_and_removed_on_both_levels() {
    let desk = Desk::open().await;
    desk.fill("t", 1).await;
    let quota = json!({"limitSize": 1000, "limitTime": -1, "policy": "consumer_backlog_eviction"});
    let rule = json!({"inactiveTopicDeleteMode": "delete_when_subscriptions_caught_up", "maxInactiveDurationSeconds": 9,
        "deleteWhileInactive": true});
    // Path, what is shown without a policy, and a value.
    let table = [
        (format!("{NAMESPACE}/messageTTL"), "", json!(30)),
        (format!("{NAMESPACE}/deduplication"), "", json!(true)),
        (format!("{NAMESPACE}/subscriptionExpirationTime"), "", json!(7)),
        (format!("{NAMESPACE}/deduplicationSnapshotInterval"), "", json!(11)),
        (format!("{TOPIC}/deduplicationSnapshotInterval"), "", json!(12)),
        (format!("{NAMESPACE}/inactiveTopicPolicies"), "", rule.clone()),
        (format!("{TOPIC}/deduplicationEnabled"), "", json!(false)),
        (format!("{TOPIC}/inactiveTopicPolicies"), "", rule.clone()),
    ];
    for (path, unset, value) in &table {
        assert_eq!(desk.ok("GET", path, None).await, json!(unset), "{path}");
        desk.ok("POST", path, Some(value.clone())).await;
        assert_eq!(desk.ok("GET", path, None).await, *value, "{path}");
        desk.ok("DELETE", path, None).await;
        assert_eq!(desk.ok("GET", path, None).await, json!(unset), "{path}");
    }
    for level in [NAMESPACE, TOPIC] {
        assert_eq!(desk.ok("GET", &format!("{level}/backlogQuotaMap"), None).await, json!({}));
        desk.ok("POST", &format!("{level}/backlogQuota"), Some(quota.clone())).await;
        let shown = desk.ok("GET", &format!("{level}/backlogQuotaMap"), None).await;
        assert_eq!(shown, json!({"destination_storage": quota}));
        assert_eq!(quota_in_metrics(&desk).await, "1000");
        desk.ok("DELETE", &format!("{level}/backlogQuota"), None).await;
        assert_eq!(desk.ok("GET", &format!("{level}/backlogQuotaMap"), None).await, json!({}));
        assert_eq!(quota_in_metrics(&desk).await, "-1");
    }
    desk.ok("POST", &format!("{TOPIC}/messageTTL?messageTTL=44"), None).await;
    assert_eq!(desk.ok("GET", &format!("{TOPIC}/messageTTL"), None).await, json!(44));
    desk.ok("PUT", &format!("{TOPIC}/schemaCompatibilityStrategy"), Some(json!("forward"))).await;
    assert_eq!(desk.ok("GET", &format!("{TOPIC}/schemaCompatibilityStrategy"), None).await, json!("FORWARD"));
}

/// The bound of the one topic's backlog, as `/metrics` shows it.
async fn quota_in_metrics(desk: &Desk) -> String {
    let text = String::from_utf8(desk.send("GET", "/metrics/", None).await.bytes).unwrap();
    let line = text.lines().find(|line| line.starts_with("pulsar_storage_backlog_quota_limit{"));
    line.and_then(|line| line.split(' ').next_back()).unwrap().to_owned()
}

#[tokio::test]
async fn a_policy_is_in_force_when_its_answer_is_sent() {
    let desk = Desk::open().await;
    desk.fill("t", 1).await;
    let topic = desk.topic("t").await;
    desk.ok("POST", &format!("{NAMESPACE}/messageTTL"), Some(json!(30))).await;
    assert_eq!(topic.terms().message_ttl.map(|ttl| ttl.as_secs()), Some(30));
    desk.ok("POST", &format!("{TOPIC}/messageTTL?messageTTL=5"), None).await;
    assert_eq!(topic.terms().message_ttl.map(|ttl| ttl.as_secs()), Some(5));
    let quota = json!({"limitTime": 60, "policy": "producer_exception"});
    desk.ok("POST", &format!("{TOPIC}/backlogQuota?backlogQuotaType=message_age"), Some(quota)).await;
    assert_eq!(topic.terms().backlog.age.map(|quota| quota.action), Some(QuotaAction::FailProducers));
    desk.ok("POST", &format!("{NAMESPACE}/deduplicationSnapshotInterval"), Some(json!(6))).await;
    assert_eq!(topic.terms().deduplication_interval.map(|interval| interval.as_secs()), Some(6));
    desk.ok("POST", &format!("{NAMESPACE}/deduplication"), Some(json!(true))).await;
    let stats = desk.ok("GET", &format!("{TOPIC}/stats"), None).await;
    assert_eq!((&stats["deduplicationStatus"], &stats["backlogQuotaLimitTime"]), (&json!("Enabled"), &json!(60)));
    let applied = desk.ok("GET", &format!("{TOPIC}/deduplicationEnabled?applied=true"), None).await;
    assert_eq!(applied, json!(true));
    let applied = desk.ok("GET", &format!("{TOPIC}/schemaCompatibilityStrategy?applied=true"), None).await;
    assert_eq!(applied, json!("FULL"));
    desk.ok("PUT", &format!("{NAMESPACE}/schemaAutoUpdateCompatibilityStrategy"), Some(json!("Backward"))).await;
    let older = desk.ok("GET", &format!("{NAMESPACE}/schemaAutoUpdateCompatibilityStrategy"), None).await;
    let applied = desk.ok("GET", &format!("{TOPIC}/schemaCompatibilityStrategy?applied=true"), None).await;
    assert_eq!((older, applied), (json!("Backward"), json!("BACKWARD")));
    let applied = desk.ok("GET", &format!("{TOPIC}/backlogQuotaMap?applied=true"), None).await;
    assert_eq!(applied["destination_storage"]["policy"], json!("producer_request_hold"));
    let applied = desk.ok("GET", &format!("{TOPIC}/inactiveTopicPolicies?applied=true"), None).await;
    assert_eq!(applied["inactiveTopicDeleteMode"], json!("delete_when_no_subscriptions"));
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused() {
    let desk = Desk::open().await;
    desk.fill("t", 1).await;
    desk.ok(
        "POST",
        &format!("{NAMESPACE}/retention"),
        Some(json!({"retentionTimeInMinutes": 10, "retentionSizeInMB": 1})),
    )
    .await;
    let quota = |size: i64, time: i64| json!({"limitSize": size, "limitTime": time, "policy": "producer_exception"});
    let table = [
        ("POST", format!("{NAMESPACE}/messageTTL"), json!(-1), 412),
        ("POST", format!("{NAMESPACE}/subscriptionExpirationTime"), json!(-1), 412),
        ("POST", format!("{NAMESPACE}/deduplication"), json!("maybe"), 400),
        ("POST", format!("{NAMESPACE}/inactiveTopicPolicies"), json!({"inactiveTopicDeleteMode": "never"}), 412),
        ("POST", format!("{NAMESPACE}/backlogQuota"), json!({"limitSize": 1, "policy": "drop"}), 412),
        ("POST", format!("{NAMESPACE}/backlogQuota"), quota(1 << 20, -1), 412),
        ("POST", format!("{TOPIC}/backlogQuota"), quota(-1, 600), 412),
        ("POST", format!("{NAMESPACE}/backlogQuota?backlogQuotaType=width"), quota(1, 1), 412),
        ("PUT", format!("{NAMESPACE}/schemaCompatibilityStrategy"), json!("SOMETIMES"), 412),
        ("PUT", format!("{NAMESPACE}/schemaAutoUpdateCompatibilityStrategy"), json!("Sometimes"), 412),
        ("POST", format!("{NAMESPACE}/deduplicationSnapshotInterval"), json!(-1), 412),
        ("POST", format!("{TOPIC}/messageTTL?messageTTL=x"), json!(null), 412),
        ("POST", "/persistent/public/default/absent/deduplicationEnabled".to_owned(), json!(true), 404),
    ];
    for (method, path, body, status) in table {
        assert_eq!(refused(&desk, method, &path, Some(body)).await.0, status, "{path}");
    }
    desk.ok("POST", &format!("{NAMESPACE}/backlogQuota"), Some(quota((1 << 20) - 1, 599))).await;
}

#[tokio::test]
async fn messages_expire_at_an_operators_word() {
    let desk = Desk::open().await;
    desk.ok("PUT", TOPIC, None).await;
    desk.ok("PUT", &format!("{TOPIC}/subscription/s"), None).await;
    desk.fill("t", 3).await;
    let backlog =
        || async { desk.ok("GET", &format!("{TOPIC}/stats"), None).await["subscriptions"]["s"]["msgBacklog"].clone() };
    let (status, reason) =
        refused(&desk, "POST", &format!("{TOPIC}/subscription/s/expireMessages/99999999999"), None).await;
    assert!(
        status == 409 && reason.starts_with("Expire message by timestamp not issued on topic"),
        "{status} {reason}"
    );
    let first = desk.topic("t").await.ledger().first();
    let id = json!({"ledgerId": first.ledger_id.0, "entryId": 1});
    desk.ok("POST", &format!("{TOPIC}/subscription/s/expireMessages"), Some(id)).await;
    assert_eq!(backlog().await, json!(1));
    desk.ok("POST", &format!("{TOPIC}/all_subscription/expireMessages/0"), None).await;
    desk.ok("POST", &format!("{TOPIC}/all_subscription/expireMessages/1"), None).await;
    let absent = refused(&desk, "POST", &format!("{TOPIC}/subscription/absent/expireMessages/0"), None).await;
    assert_eq!(absent.0, 404);
}

#[tokio::test]
async fn schemas_are_uploaded_looked_at_and_deleted() {
    let desk = Desk::open().await;
    let avro = |fields: Value| json!({"type": "record", "name": "R", "fields": fields}).to_string();
    let first = avro(json!([{"name": "a", "type": "int"}]));
    let second = avro(json!([{"name": "a", "type": "int"}, {"name": "b", "type": "int", "default": 1}]));
    let body = |schema: &str| Some(json!({"type": "AVRO", "schema": schema, "properties": {"k": "v"}}));
    assert_eq!(refused(&desk, "GET", &format!("{SCHEMAS}/schema"), None).await, (404, "Schema not found".to_owned()));
    for (schema, version) in [(&first, 0), (&second, 1), (&first, 0)] {
        let uploaded = desk.ok("POST", &format!("{SCHEMAS}/schema"), body(schema)).await;
        assert_eq!(uploaded, json!({"version": {"version": version}}));
    }
    let newest = desk.ok("GET", &format!("{SCHEMAS}/schema"), None).await;
    assert_eq!((&newest["version"], &newest["type"], &newest["data"]), (&json!(1), &json!("AVRO"), &json!(second)));
    assert_eq!(newest["properties"], json!({"k": "v"}));
    assert_eq!(desk.ok("GET", &format!("{SCHEMAS}/schema/0"), None).await["data"], json!(first));
    let all = desk.ok("GET", &format!("{SCHEMAS}/schemas"), None).await;
    assert_eq!(all["getSchemaResponses"].as_array().map(Vec::len), Some(2));
    assert_eq!(desk.ok("POST", &format!("{SCHEMAS}/version"), body(&second)).await, json!({"version": 1}));
    assert_eq!(desk.ok("GET", &format!("{SCHEMAS}/metadata"), None).await["info"]["version"], json!(1));

    let breaking = avro(json!([{"name": "c", "type": "string"}]));
    let fits = desk.ok("POST", &format!("{SCHEMAS}/compatibility"), body(&breaking)).await;
    assert_eq!(fits, json!({"compatibility": false, "schemaCompatibilityStrategy": "FULL"}));
    assert_eq!(refused(&desk, "POST", &format!("{SCHEMAS}/schema"), body(&breaking)).await.0, 409);
    assert_eq!(refused(&desk, "POST", &format!("{SCHEMAS}/schema"), body("{")).await.0, 422);
    desk.ok("PUT", &format!("{NAMESPACE}/schemaCompatibilityStrategy"), Some(json!("ALWAYS_COMPATIBLE"))).await;
    desk.ok("POST", &format!("{SCHEMAS}/schema"), body(&breaking)).await;

    let deleted = desk.ok("DELETE", &format!("{SCHEMAS}/schema"), None).await;
    assert_eq!(deleted, json!({"version": 3}));
    assert_eq!(refused(&desk, "GET", &format!("{SCHEMAS}/schema"), None).await.0, 404);
    assert_eq!(desk.ok("GET", &format!("{SCHEMAS}/schema/0"), None).await["data"], json!(first));
    desk.ok("DELETE", &format!("{SCHEMAS}/schema?force=true"), None).await;
    assert_eq!(refused(&desk, "GET", &format!("{SCHEMAS}/schema/0"), None).await.0, 404);
}

#[tokio::test]
async fn a_deleted_topic_takes_its_schemas_along() {
    let desk = Desk::open().await;
    let text = json!({"type": "STRING", "schema": "", "properties": {}});
    desk.ok("PUT", TOPIC, None).await;
    desk.ok("POST", &format!("{SCHEMAS}/schema"), Some(text)).await;
    desk.ok("DELETE", TOPIC, None).await;
    assert_eq!(refused(&desk, "GET", &format!("{SCHEMAS}/schema/0"), None).await.0, 404);
}

#[tokio::test]
async fn a_subscription_keeps_its_properties_when_the_topic_is_loaded_again() {
    let desk = Desk::open().await;
    desk.fill("t", 1).await;
    let path = format!("{TOPIC}/subscription/labelled");
    let body = json!({"ledgerId": -1, "entryId": -1, "properties": {"team": "billing", "": "\u{e9}"}});
    desk.ok("PUT", &path, Some(body)).await;
    for _ in 0..2 {
        let stats = desk.ok("GET", &format!("{TOPIC}/stats"), None).await;
        let shown = &stats["subscriptions"]["labelled"]["subscriptionProperties"];
        assert_eq!(*shown, json!({"team": "billing", "": "\u{e9}"}));
        desk.ok("PUT", &format!("{TOPIC}/unload"), None).await;
    }
}
