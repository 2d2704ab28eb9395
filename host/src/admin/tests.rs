//! Requests over HTTP against a whole server. Where the original's answer was recorded (tests/fixtures/admin), the very
//! request is sent and the whole answer compared, but for times, random ids and what another broker counts otherwise.

mod described;
mod healthy;
mod life;
mod slow;

use std::path::PathBuf;

use serde_json::{Value, json};

use super::metrics::{self, Detail};
use super::test_desk::{Desk, entry_with_property, message_id};

/// Fields that differ between any two brokers.
const ALWAYS_OTHER: &[&str] = &[
    "timestamp",
    "creationDate",
    "modificationDate",
    "lastLedgerCreatedTimestamp",
    "lastLedgerSwitchTimestamp",
    "offloadedContextUuid",
    "lastOffloadSuccessTimeStamp",
];

fn recorded(name: &str) -> Value {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/admin");
    let file = folder.join(format!("{name}.json"));
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_str(&text).unwrap()
}

/// Replaces addresses by the names that the recorder gave them.
fn named(desk: &Desk, value: &mut Value) {
    match value {
        Value::String(text) => {
            let web = format!("http://{}", desk.web_address);
            *text = text.replace(&web, "<WEB>").replace(&desk.web_address, "<WEBHOST>");
            *text = text.replace("pulsar://127.0.0.1:6650", "<SVC>").replace("http://127.0.0.1:1", "<S3>");
            *text = text.replace("./plugins", "<OFFLOADERS>");
        }
        Value::Array(values) => values.iter_mut().for_each(|value| named(desk, value)),
        Value::Object(fields) => fields.values_mut().for_each(|value| named(desk, value)),
        _ => {}
    }
}

fn forget(value: &mut Value, fields: &[&str]) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| forget(value, fields)),
        Value::Object(object) => {
            for (name, value) in object.iter_mut() {
                if fields.contains(&name.as_str()) {
                    *value = json!("left out");
                } else {
                    forget(value, fields);
                }
            }
        }
        _ => {}
    }
}

/// Sends the recorded request; the answer must be the recorded one, but for `fields`.
async fn replay(desk: &Desk, name: &str, fields: &[&str]) {
    let recording = recorded(name);
    let request = &recording["request"];
    let mut path = request["path"].as_str().unwrap().to_owned();
    if let Some(query) = request["query"].as_object() {
        let pairs: Vec<_> = query.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap())).collect();
        path = format!("{path}?{}", pairs.join("&"));
    }
    let body = Some(&request["body"]).filter(|body| !body.is_null()).map(|body| body.to_string().into_bytes());
    let got = desk.send(request["method"].as_str().unwrap(), &path, body).await;
    assert_eq!(json!(got.status), recording["status"], "{name}: {}", got.body());
    let content_type = got.headers.get("content-type").map(String::as_str);
    assert_eq!(content_type, recording["headers"]["content-type"].as_str(), "{name}");
    let (mut ours, mut theirs) = (got.body(), recording["body"].clone());
    named(desk, &mut ours);
    for body in [&mut ours, &mut theirs] {
        forget(body, ALWAYS_OTHER);
        forget(body, fields);
        sort_ledgers(body);
    }
    assert_eq!(ours, theirs, "{name}");
}

/// The original lists recorded ledgers in the order of a hash table.
fn sort_ledgers(body: &mut Value) {
    if let Some(ledgers) = body.get_mut("ledgers").and_then(Value::as_array_mut) {
        ledgers.sort_by_key(|ledger| ledger["ledgerId"].as_i64());
    }
}

/// The namespace and topic of the recorded answers: three closed ledgers of ten entries, then a subscription, then four
/// entries more.
async fn recorded_topic() -> Desk {
    let desk = Desk::open().await;
    replay(&desk, "namespace-create", &[]).await;
    desk.fill("persistent://public/rec/t", 30).await;
    desk.ok("PUT", "/persistent/public/rec/t/subscription/sub", None).await;
    desk.fill("persistent://public/rec/t", 4).await;
    desk
}

#[tokio::test]
async fn broker_and_tenants_answer_as_recorded() {
    let desk = Desk::open().await;
    for name in ["namespace-create", "namespace-create-again", "health", "version", "clusters", "cluster"] {
        replay(&desk, name, &[]).await;
    }
    for name in ["cluster-absent", "tenants", "tenant", "tenant-absent", "brokers", "leader", "namespaces", "lookup"] {
        replay(&desk, name, &[]).await;
    }
    replay(&desk, "policies-fresh", &[]).await;
    replay(&desk, "policies-absent", &[]).await;
    assert_eq!(
        desk.ok("GET", "/brokers/configuration/runtime", None).await,
        json!({"managedLedgerMaxEntriesPerLedger": "10"})
    );
    assert_eq!(desk.ok("GET", "/brokers/offloaders", None).await[0]["drivers"], json!(["aws-s3"]));
    assert_eq!(desk.ok("GET", "/brokers/offloaders/status", None).await["files"][0]["file"], "held.so");
    assert_eq!(desk.ok("POST", "/brokers/offloaders/rescan", None).await["files_seen"], 1);
}

#[tokio::test]
async fn namespace_policies_answer_as_recorded() {
    let desk = Desk::open().await;
    replay(&desk, "namespace-create", &[]).await;
    for name in [
        "offloadThreshold-unset",
        "offloadThresholdInSeconds-unset",
        "offloadDeletionLagMs-unset",
        "offloadPolicies-unset",
        "retention-unset",
        "persistence-unset",
        "messageTTL-unset",
        "offloadThreshold-put",
        "offloadThreshold",
        "offloadPolicies-after-threshold",
        "offloadDeletionLagMs-put",
        "offloadDeletionLagMs",
        "offloadDeletionLagMs-delete",
        "offloadPolicies-no-body",
        "offloadPolicies-bad-driver",
        "offloadPolicies-no-bucket",
        "offloadPolicies-put",
        "offloadPolicies",
    ] {
        replay(&desk, &format!("ns-{name}"), &[]).await;
    }
    replay(&desk, "policies-with-offload", &[]).await;
    replay(&desk, "ns-offloadPolicies-remove", &[]).await;
    for name in ["time-minus-2", "one-zero", "ok"] {
        replay(&desk, &format!("ns-retention-{name}"), &[]).await;
    }
    replay(&desk, "ns-retention", &[]).await;
    replay(&desk, "ns-offloadThreshold", &[]).await;
}

#[tokio::test]
async fn a_topic_answers_as_recorded_before_and_after_its_offload() {
    let desk = recorded_topic().await;
    // The recorded subscription had read to the end; this one has no consumer.
    let unread = &["readPosition", "numberOfEntriesSinceFirstNotAckedMessage"];
    let connected = &["waitingReadOp", "active", "subscriptionHavePendingRead"];
    replay(&desk, "internalStats", &[unread.as_slice(), connected].concat()).await;
    // The original makes a record of a topic before its first ledger, one write more.
    replay(&desk, "internal-info", &["version"]).await;
    for name in ["offload-not-run", "subscriptions", "lastMessageId", "topic-offloadPolicies-unset"] {
        replay(&desk, name, &[]).await;
    }
    for name in ["partitions-of-plain-topic", "topic-offloadPolicies-applied", "subscription-absent"] {
        replay(&desk, name, &[]).await;
    }
    let before = desk.ok("GET", "/persistent/public/rec/t/internal-info", None).await["version"].as_i64().unwrap();
    replay(&desk, "offload-put", &[]).await;
    desk.offloaded("/persistent/public/rec/t").await;
    replay(&desk, "offload-success", &[]).await;
    replay(&desk, "internalStats-offloaded", unread).await;
    replay(&desk, "internal-info-offloaded", &["version"]).await;
    let after = desk.ok("GET", "/persistent/public/rec/t/internal-info", None).await["version"].as_i64().unwrap();
    assert_eq!(after - before, 6, "two writes for each ledger, as recorded");
    // Nothing came over the binary protocol, and no message was sent to a consumer.
    let traffic = ["bytesInCounter", "msgInCounter", "bytesOutCounter", "msgOutCounter"];
    let idle = ["type", "lastConsumedFlowTimestamp"];
    let mut stats = desk.ok("GET", "/persistent/public/rec/t/stats", None).await;
    let mut want = recorded("stats-offloaded")["body"].clone();
    named(&desk, &mut stats);
    for body in [&mut stats, &mut want] {
        forget(body, ALWAYS_OTHER);
        forget(body, &traffic);
        forget(body, &idle);
        body["subscriptions"]["sub"].as_object_mut().unwrap().remove("type");
    }
    assert_eq!(stats, want);
    replay(&desk, "offload-put-invalid-position", &[]).await;
    desk.offloaded("/persistent/public/rec/t").await;
    replay(&desk, "offload-error-invalid-position", &[]).await;
    replay(&desk, "offload-put-no-body", &[]).await;
    replay(&desk, "unload", &[]).await;
    replay(&desk, "offload-not-run-after-unload", &[]).await;
    replay(&desk, "trim", &[]).await;
    replay(&desk, "namespace-delete-not-empty", &[]).await;
}

#[tokio::test]
async fn an_offload_goes_on_with_the_trace_of_its_request() {
    let desk = recorded_topic().await;
    let path = "/admin/v2/persistent/public/rec/t/offload";
    let before = |position: &Value| Some(position.to_string().into_bytes());
    let last =
        desk.topic("persistent://public/rec/t").await.ledger().snapshot().ledgers.by_id.keys().last().copied().unwrap();
    let position = message_id(last.0 as i64, 0);
    let header = [("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
    let got = desk.send_with("PUT", path, &header, before(&position)).await;
    assert_eq!(got.status, 204, "{}", got.body());
    desk.offloaded("/persistent/public/rec/t").await;
    let traces = desk.driver.traces.lock().unwrap().clone();
    assert_eq!(traces.len(), 3);
    for trace in traces {
        let trace = trace.unwrap();
        assert_eq!((trace.trace_id, trace.flags), (0x4bf92f3577b34da6a3ce929d0e0e4736, 1));
        assert_ne!(trace.span_id, 0x00f067aa0ba902b7, "the run is a span of its own");
    }
}

#[tokio::test]
async fn a_held_offload_is_running_and_a_second_one_conflicts() {
    let desk = Desk::open().await;
    desk.ok("PUT", "/namespaces/public/held", None).await;
    desk.fill("persistent://public/held/t", 10).await;
    let held = desk.driver.gate.acquire().await.unwrap();
    let path = "/persistent/public/held/t/offload";
    assert_eq!(desk.call("PUT", path, Some(message_id(6, 0))).await.status, 204);
    replay(&desk, "offload-running", &[]).await;
    replay(&desk, "offload-put-already-running", &[]).await;
    drop(held);
    assert_eq!(desk.offloaded("/persistent/public/held/t").await["status"], "SUCCESS");
}

#[tokio::test]
async fn absent_topics_answer_as_recorded() {
    let desk = Desk::open().await;
    replay(&desk, "namespace-create", &[]).await;
    for name in ["stats", "internalStats", "offload", "offload-put", "unload", "delete", "trim", "terminate"] {
        replay(&desk, &format!("absent-topic-{name}"), &[]).await;
    }
    for name in ["partitions", "partitioned-stats", "partitions-delete", "subscription-delete"] {
        replay(&desk, &format!("absent-topic-{name}"), &[]).await;
    }
    replay(&desk, "non-persistent-offload", &[]).await;
    let info = desk.call("GET", "/persistent/public/rec/absent/internal-info", None).await;
    assert_eq!((info.status, &info.body()["reason"]), (404, &json!("Topic persistent://public/rec/absent not found")));
    assert_eq!(desk.state.topics.loaded().len(), 0, "asking makes nothing");
}

#[tokio::test]
async fn partitioned_topics_answer_as_recorded() {
    let desk = Desk::open().await;
    replay(&desk, "namespace-create", &[]).await;
    for name in ["create", "create-again", "get", "fewer", "zero", "offload-parent"] {
        replay(&desk, &format!("partitioned-{name}"), &[]).await;
    }
    replay(&desk, "partitioned-internalStats", &["ledgerId", "lastConfirmedEntry"]).await;
    desk.fill("persistent://public/rec/t", 1).await;
    replay(&desk, "topics-of-namespace", &[]).await;
    let path = "/persistent/public/rec/parts";
    assert_eq!(
        desk.ok("GET", "/persistent/public/rec/partitioned", None).await,
        json!(["persistent://public/rec/parts"])
    );
    desk.fill("persistent://public/rec/parts-partition-1", 3).await;
    let stats = desk.ok("GET", &format!("{path}/partitioned-stats"), None).await;
    assert_eq!((&stats["metadata"]["partitions"], &stats["storageSize"]), (&json!(2), &json!(297)));
    assert_eq!(stats["partitions"]["persistent://public/rec/parts-partition-1"]["storageSize"], 297);
    desk.ok("POST", &format!("{path}/partitions"), Some(json!(3))).await;
    assert_eq!(desk.ok("GET", &format!("{path}/partitions"), None).await["partitions"], 3);
    desk.ok("DELETE", &format!("{path}/partitions"), None).await;
    assert_eq!(desk.call("GET", &format!("{path}/partitions"), None).await.status, 404);
    assert_eq!(desk.ok("GET", "/persistent/public/rec", None).await, json!(["persistent://public/rec/t"]));
    let refused = desk.call("PUT", "/persistent/public/rec/x-partition-1", None).await;
    assert_eq!(refused.status, 412, "{}", refused.body());
    let many = desk.call("PUT", &format!("{path}/partitions"), Some(json!(1_000_000))).await;
    assert_eq!(many.status, 406, "{}", many.body());
}

#[tokio::test]
async fn a_message_is_found_by_place_time_and_subscription() {
    let desk = recorded_topic().await;
    let path = "/persistent/public/rec/t";
    let got = desk.call("GET", &format!("{path}/ledger/5/entry/3"), None).await;
    let want = recorded("entry");
    assert_eq!((json!(got.status), got.headers["content-type"].as_str()), (want["status"].clone(), "application/json"));
    assert_eq!(got.headers["x-pulsar-message-id"], "5:3");
    assert_eq!(got.headers["x-pulsar-property"], "{}");
    assert_eq!(got.headers["x-pulsar-publish-time"], "1970-01-01T00:00:01Z");
    assert!(got.bytes.iter().all(|byte| *byte == b'd') && !got.bytes.is_empty());
    let topic = desk.topic("persistent://public/rec/t").await;
    topic.ledger().append(entry_with_property(b"last", "k", "ü")).await.unwrap().unwrap();
    let last = desk.call("GET", &format!("{path}/examinemessage?initialPosition=latest&messagePosition=1"), None).await;
    assert_eq!(
        (last.bytes.as_slice(), last.headers["x-pulsar-property"].as_str()),
        (b"last".as_slice(), r#"{"k":"\u00fc"}"#)
    );
    let fifth = desk.call("GET", &format!("{path}/subscription/sub/position/5"), None).await;
    assert_eq!(fifth.bytes, b"last");
    for absent in
        ["subscription/sub/position/6", "ledger/5/entry/10", "ledger/99/entry/0", "examinemessage?messagePosition=99"]
    {
        assert_eq!(desk.call("GET", &format!("{path}/{absent}"), None).await.status, 404, "{absent}");
    }
    assert_eq!(desk.ok("GET", &format!("{path}/messageid/1000"), None).await["ledgerId"], 5);
    assert_eq!(desk.call("GET", &format!("{path}/ledger/x/entry/0"), None).await.status, 400);
}

#[tokio::test]
async fn subscriptions_are_made_moved_and_deleted() {
    let desk = recorded_topic().await;
    let path = "/persistent/public/rec/t";
    let backlog =
        || async { desk.ok("GET", &format!("{path}/stats"), None).await["subscriptions"]["s"]["msgBacklog"].clone() };
    let subscription = format!("{path}/subscription/s");
    assert_eq!(desk.call("PUT", &subscription, Some(message_id(-1, -1))).await.status, 204);
    let again = desk.call("PUT", &subscription, None).await;
    assert_eq!((again.status, again.body()), (409, json!({"reason": "Subscription already exists for topic"})));
    assert_eq!(backlog().await, 34);
    desk.ok("POST", &format!("{subscription}/skip/4"), None).await;
    assert_eq!(backlog().await, 30);
    desk.ok("POST", &format!("{subscription}/skip_all"), None).await;
    assert_eq!(backlog().await, 0);
    desk.ok("POST", &format!("{subscription}/resetcursor"), Some(message_id(7, 0))).await;
    assert_eq!(backlog().await, 14);
    let excluded = json!({"ledgerId": 7, "entryId": 0, "partitionIndex": -1, "isExcluded": true, "batchIndex": -1});
    desk.ok("POST", &format!("{subscription}/resetcursor"), Some(excluded)).await;
    assert_eq!(backlog().await, 13);
    desk.ok("POST", &format!("{subscription}/resetcursor/0"), None).await;
    assert_eq!(backlog().await, 34);
    assert_eq!(desk.call("DELETE", &subscription, None).await.status, 204);
    let gone = desk.call("DELETE", &subscription, None).await;
    assert_eq!(
        (gone.status, &gone.body()["reason"]),
        (404, &json!("Subscription s not found for topic persistent://public/rec/t"))
    );
}

#[tokio::test]
async fn topic_names_are_decoded_exactly_once() {
    let desk = Desk::open().await;
    for (encoded, local) in [
        ("a%20b%25%C3%A9%2Bc", "a b%é+c"),
        ("a+b", "a+b"),
        ("a%2520b", "a%20b"),
        ("100%25", "100%"),
        ("%F0%9F%98%80", "\u{1f600}"),
    ] {
        let path = format!("/persistent/public/default/{encoded}");
        assert_eq!(desk.call("PUT", &path, None).await.status, 204, "{encoded}");
        let name = format!("persistent://public/default/{local}");
        assert!(desk.state.topics.exists(&name.parse().unwrap()).await.unwrap(), "{encoded}");
        assert_eq!(desk.ok("GET", &format!("{path}/internalStats"), None).await["numberOfEntries"], 0);
        assert!(desk.ok("GET", "/persistent/public/default", None).await.as_array().unwrap().contains(&json!(name)));
    }
    for bad in ["a%2Fb", "%FF"] {
        let got = desk.call("GET", &format!("/persistent/public/default/{bad}/stats"), None).await;
        assert!((400..500).contains(&got.status) && got.body()["reason"].is_string(), "{bad}: {got:?}");
    }
}

#[tokio::test]
async fn bad_requests_get_a_reason_and_change_nothing() {
    let desk = Desk::open().await;
    let path = "/admin/v2/namespaces/public/default/retention";
    let malformed = desk.send("POST", path, Some(b"{\"retention".to_vec())).await;
    assert_eq!(malformed.status, 400, "{}", malformed.body());
    assert!(malformed.body()["reason"].as_str().unwrap().contains("body"));
    let wrong_type = desk.call("PUT", "/namespaces/public/default/offloadThreshold", Some(json!("much"))).await;
    assert_eq!(wrong_type.status, 400);
    // The client is still sending when the server knows; it gets its reason all the same.
    for len in [(1 << 20) + 1, 2 << 20, 12 << 20] {
        let too_long = desk.send("POST", path, Some(vec![b' '; len])).await;
        assert_eq!(too_long.status, 413, "{len}");
        assert!(too_long.body()["reason"].as_str().unwrap().contains("longer than 1048576 bytes"));
    }
    let just_right = desk.send("POST", path, Some(vec![b' '; 1 << 20])).await;
    assert_eq!(just_right.status, 204, "white space of the greatest length is no body: {}", just_right.body());
    let unknown = desk.call("GET", "/nothing/here", None).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.body()["reason"].as_str().unwrap().contains("/admin/v2/nothing/here"));
    let method = desk.call("DELETE", "/persistent/public/default/t/stats", None).await;
    assert_eq!(method.status, 405);
    assert!(method.body()["reason"].is_string());
    assert_eq!(desk.call("GET", "/namespaces/public/default/retention", None).await.bytes, b"");
    // Fields that nobody knows do no harm.
    let body = json!({"retentionTimeInMinutes": 1, "retentionSizeInMB": 2, "new": {"x": 1}});
    desk.ok("POST", "/namespaces/public/default/retention", Some(body)).await;
}

#[tokio::test]
async fn a_policy_is_in_force_on_loaded_topics_when_it_is_answered() {
    let desk = Desk::open().await;
    let topic = desk.topic("persistent://public/default/t").await;
    desk.ok("PUT", "/namespaces/public/default/offloadThreshold", Some(json!(77))).await;
    assert_eq!(topic.ledger().settings().offload.threshold_bytes, Some(77));
    let own = json!({"managedLedgerOffloadDriver": "filesystem", "managedLedgerOffloadThresholdInBytes": 5});
    desk.ok("POST", "/persistent/public/default/t/offloadPolicies", Some(own)).await;
    assert_eq!(topic.ledger().settings().offload.threshold_bytes, Some(5));
    assert_eq!(topic.ledger().settings().offload.driver.as_deref(), Some("filesystem"));
    let zero = json!({"retentionTimeInMinutes": 0, "retentionSizeInMB": 0});
    desk.ok("POST", "/persistent/public/default/t/retention", Some(zero.clone())).await;
    assert_eq!(topic.ledger().settings().retention.time_ms, Some(0));
    assert_eq!(desk.ok("GET", "/persistent/public/default/t/retention", None).await, zero);
    desk.ok("DELETE", "/persistent/public/default/t/retention", None).await;
    desk.ok("DELETE", "/persistent/public/default/t/offloadPolicies", None).await;
    assert_eq!(topic.ledger().settings().offload.threshold_bytes, Some(77));
    assert_eq!(topic.ledger().settings().retention.time_ms, None);
    assert_eq!(desk.call("GET", "/persistent/public/default/absent/retention", None).await.status, 404);
}

#[tokio::test]
async fn the_ledger_table_shows_where_copies_are_and_who_wrote_them() {
    let desk = recorded_topic().await;
    let path = "/persistent/public/rec/t";
    desk.ok("PUT", &format!("{path}/offload"), Some(message_id(7, 0))).await;
    desk.offloaded(path).await;
    let rows = desk.ok("GET", &format!("{path}/ledgers"), None).await;
    let column = |name: &str| rows.as_array().unwrap().iter().map(|row| row[name].clone()).collect::<Vec<_>>();
    assert_eq!(json!(column("ledgerId")), json!([5, 6, 7, 8]));
    assert_eq!(json!(column("entries")), json!([10, 10, 10, 4]));
    assert_eq!(json!(column("size")), json!([990, 990, 990, 396]));
    assert_eq!(json!(column("where")), json!(["both", "both", "hot", "hot"]));
    assert_eq!(json!(column("state")), json!(["closed", "closed", "closed", "open"]));
    assert_eq!(json!(column("driver")), json!(["aws-s3", "aws-s3", null, null]));
    assert_eq!(json!(column("pluginFile")), json!(["held.so", "held.so", null, null]));
    assert_eq!(json!(column("pluginVersion")), json!(["1.2.3", "1.2.3", null, null]));
}

#[tokio::test]
async fn deleting_by_force_takes_topics_and_cold_copies_along() {
    let desk = recorded_topic().await;
    let path = "/persistent/public/rec/t";
    desk.ok("PUT", &format!("{path}/offload"), Some(message_id(8, 0))).await;
    assert_eq!(desk.offloaded(path).await["status"], "SUCCESS");
    assert_eq!(desk.driver.copy_count(), 3);
    desk.ok("PUT", "/persistent/public/rec/parts/partitions", Some(json!(2))).await;
    assert_eq!(desk.call("DELETE", "/namespaces/public/rec", None).await.status, 409);
    desk.ok("DELETE", "/namespaces/public/rec?force=true", None).await;
    desk.until("the cold copies went", || async { desk.driver.copy_count() == 0 }).await;
    assert_eq!(desk.call("GET", "/namespaces/public/rec", None).await.status, 404);
    assert_eq!(desk.call("GET", path, None).await.status, 405);
    assert_eq!(desk.call("GET", &format!("{path}/stats"), None).await.status, 404);
}

#[tokio::test]
async fn tenants_live_and_die() {
    let desk = Desk::open().await;
    let tenant = json!({"adminRoles": [], "allowedClusters": ["standalone"]});
    assert_eq!(desk.call("PUT", "/tenants/x", Some(tenant.clone())).await.status, 204);
    let again = desk.call("PUT", "/tenants/x", Some(tenant.clone())).await;
    assert_eq!((again.status, again.body()), (409, json!({"reason": "Tenant already exist"})));
    assert_eq!(desk.call("PUT", "/tenants/y", Some(json!({}))).await.status, 412);
    assert_eq!(desk.call("PUT", "/namespaces/x/n", None).await.status, 204);
    let busy = desk.call("DELETE", "/tenants/x", None).await;
    assert_eq!((busy.status, busy.body()), (409, json!({"reason": "The tenant still has active namespaces"})));
    desk.ok("DELETE", "/namespaces/x/n", None).await;
    assert_eq!(desk.call("DELETE", "/tenants/x", None).await.status, 204);
    assert_eq!(desk.call("PUT", "/clusters/other", Some(json!({}))).await.status, 405);
}

#[tokio::test]
async fn a_terminated_topic_answers_its_last_message() {
    let desk = recorded_topic().await;
    let last = desk.ok("POST", "/persistent/public/rec/t/terminate", None).await;
    assert_eq!((&last["ledgerId"], &last["entryId"]), (&json!(8), &json!(3)));
    let internal = desk.ok("GET", "/persistent/public/rec/t/internalStats", None).await;
    assert_eq!(internal["state"], "Terminated");
    let info = desk.ok("GET", "/persistent/public/rec/t/internal-info", None).await;
    assert_eq!(info["terminatedPosition"], json!({"ledgerId": 8, "entryId": 3}));
}

#[tokio::test]
async fn metrics_are_well_formed_and_follow_the_topic() {
    let desk = recorded_topic().await;
    let path = "/persistent/public/rec/t";
    desk.ok("PUT", &format!("{path}/offload"), Some(message_id(8, 0))).await;
    desk.offloaded(path).await;
    let topic = desk.topic("persistent://public/rec/t").await;
    topic.ledger().read(topic.ledger().first(), 10, u64::MAX).await.unwrap();
    let redirect = desk.send("GET", "/metrics", None).await;
    assert_eq!((redirect.status, redirect.headers["location"].as_str()), (302, "/metrics/"));
    let got = desk.send("GET", "/metrics/", None).await;
    assert!(got.headers["content-type"].starts_with("text/plain"));
    let text = String::from_utf8(got.bytes.clone()).unwrap();
    assert!(metrics::check(&text).unwrap() > 100, "{text}");
    assert!(metrics::check_labels(&text) > 100, "{text}");
    let labels = r#"{cluster="standalone",namespace="public/rec",topic="persistent://public/rec/t"}"#;
    for line in [
        format!("pulsar_storage_size{labels} 3366"),
        format!("pulsar_storage_offloaded_size{labels} 2970"),
        format!("pulsar_msg_backlog{labels} 4"),
        r#"pulsar_ml_StoredMessagesSize{cluster="standalone",namespace="public/rec/persistent"} 3366"#.to_owned(),
        format!("pulsar_storage_backlog_size{labels} 396"),
        format!("brk_ledgeroffloader_read_offload_index_latency_count{labels} "),
        format!("brk_ledgeroffloader_read_bytes_total{labels} "),
        r#"pulsar_topics_count{cluster="standalone",namespace="public/rec"} 1"#.to_owned(),
        "# TYPE brk_ledgeroffloader_delete_offload_ops counter".to_owned(),
    ] {
        assert!(text.lines().any(|found| found.starts_with(&line)), "{line}\n{text}");
    }
    desk.ok("DELETE", path, None).await;
    let deleted = r#"brk_ledgeroffloader_delete_offload_ops_total{cluster="standalone",namespace="public/rec",topic="persistent://public/rec/t",status="succeed"} 3"#;
    desk.until("the deletions are counted", || async {
        let text = String::from_utf8(desk.send("GET", "/metrics/", None).await.bytes).unwrap();
        text.lines().any(|line| line == deleted)
    })
    .await;
}

#[tokio::test]
async fn without_a_token_nothing_is_answered_and_with_one_what_was_granted() {
    use base64::Engine;
    let secret = base64::engine::general_purpose::STANDARD.encode("a secret of at least thirty-two bytes");
    let desk = Desk::open_configured(&format!(
        "authenticationEnabled=true\nauthorizationEnabled=true\nsuperUserRoles=root\n\
         authenticationProviders=org.apache.pulsar.broker.authentication.AuthenticationProviderToken\n\
         tokenSecretKey=data:;base64,{secret}\n"
    ))
    .await;
    let of = |role: &str| {
        let key = jsonwebtoken::EncodingKey::from_secret(b"a secret of at least thirty-two bytes");
        let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &json!({ "sub": role }), &key).unwrap();
        format!("Bearer {token}")
    };
    let ask = async |role: Option<&str>, method: &str, path: &str, body: Option<Value>| {
        let header = role.map(of).unwrap_or_default();
        let headers: &[(&str, &str)] = if role.is_some() { &[("Authorization", &header)] } else { &[] };
        desk.send_with(method, path, headers, body.map(|body| body.to_string().into_bytes())).await.status
    };
    let namespace = "/admin/v2/namespaces/public/default";
    assert_eq!(ask(None, "GET", namespace, None).await, 401);
    assert_eq!(ask(None, "GET", "/no/such/path", None).await, 401);
    assert_eq!(ask(None, "GET", "/metrics/", None).await, 200, "metrics are open unless they are closed");
    assert_eq!(ask(Some("root"), "GET", namespace, None).await, 200);
    assert_eq!(ask(Some("app"), "GET", namespace, None).await, 401);
    assert_eq!(ask(Some("app"), "GET", "/admin/v2/brokers/version", None).await, 200);
    let granted = format!("{namespace}/permissions/app");
    assert_eq!(ask(Some("app"), "POST", &granted, Some(json!(["produce"]))).await, 401);
    assert_eq!(ask(Some("root"), "POST", &granted, Some(json!(["produce"]))).await, 204);
    assert_eq!(ask(Some("app"), "GET", &format!("{namespace}/topics"), None).await, 200);
    assert_eq!(ask(Some("app"), "PUT", "/admin/v2/persistent/public/default/t", None).await, 401);
    assert_eq!(ask(Some("root"), "PUT", "/admin/v2/persistent/public/default/t", None).await, 204);
    assert_eq!(ask(Some("app"), "GET", "/admin/v2/persistent/public/default/t/stats", None).await, 200);
    assert_eq!(ask(Some("app"), "GET", "/admin/v2/persistent/public/default/t/subscriptions", None).await, 401);
    assert_eq!(ask(Some("root"), "DELETE", &granted, None).await, 204);
    assert_eq!(ask(Some("app"), "GET", "/admin/v2/persistent/public/default/t/stats", None).await, 401);
}

#[tokio::test]
async fn metrics_of_namespaces_are_the_sums_over_their_topics() {
    let desk = Desk::open_with(Detail::Namespaces).await;
    for topic in ["a", "b"] {
        desk.fill(&format!("persistent://public/default/{topic}"), 12).await;
        let path = format!("/persistent/public/default/{topic}");
        desk.ok("PUT", &format!("{path}/subscription/sub"), None).await;
        let topic = desk.topic(&format!("persistent://public/default/{topic}")).await;
        desk.ok("PUT", &format!("{path}/offload"), Some(message_id(topic.ledger().end().ledger_id.0 as i64, 0))).await;
        desk.offloaded(&path).await;
    }
    let topic = desk.topic("persistent://public/default/a").await;
    topic.ledger().tick_figures(std::time::Duration::from_secs(1));
    let text = String::from_utf8(desk.send("GET", "/metrics/", None).await.bytes).unwrap();
    metrics::check(&text).unwrap();
    assert!(!text.contains("topic=") && !text.contains("subscription="), "{text}");
    let value = |name: &str| {
        let series = format!("{name}{{cluster=\"standalone\",namespace=\"public/default\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&series)).map(|value| value.parse::<f64>().unwrap())
    };
    let size = 2 * topic.ledger().size_bytes();
    assert_eq!(value("pulsar_storage_size"), Some(size as f64), "{text}");
    assert_eq!((value("pulsar_subscriptions_count"), value("pulsar_topics_count")), (Some(2.0), Some(2.0)));
    assert_eq!(value("pulsar_storage_write_rate"), Some(12.0), "one of them has had its period");
    assert_eq!((value("pulsar_entry_size_count"), value("pulsar_out_messages_total")), (Some(12.0), Some(0.0)));
    assert_eq!(value("brk_ledgeroffloader_read_ledger_latency_count").map(|count| count >= 2.0), Some(true));
    assert_eq!((value("pulsar_storage_backlog_quota_limit"), value("pulsar_average_msg_size")), (None, None));
}

#[tokio::test]
async fn it_is_explained_which_level_set_what_and_what_would_be_offloaded() {
    let desk = Desk::open_configured("managedLedgerOffloadAutoTriggerSizeThresholdBytes=1000000\n").await;
    desk.fill("persistent://public/default/t", 25).await;
    let path = "/persistent/public/default/t";
    let explained = desk.ok("GET", &format!("{path}/offload/explain"), None).await;
    assert_eq!(explained["summary"], "nothing is to be offloaded now");
    assert_eq!(explained["ledgers"][0]["offload"], false);
    assert_eq!(
        explained["ledgers"][0]["reason"],
        "it and the newer ones have 1980 bytes, no more than the threshold of 1000000"
    );
    assert_eq!(explained["ledgers"][2]["reason"], "it takes entries");
    desk.ok("PUT", "/namespaces/public/default/offloadThreshold", Some(json!(1000))).await;
    let explained = desk.ok("GET", &format!("{path}/offload/explain"), None).await;
    let settings = explained["settings"].as_array().unwrap();
    let of = |key: &str| settings.iter().find(|setting| setting["key"] == key).unwrap();
    assert_eq!(
        of("managedLedgerOffloadThresholdInBytes"),
        &json!({"key": "managedLedgerOffloadThresholdInBytes", "value": "1000", "unit": "bytes", "level": "namespace",
            "overruled": [{"level": "broker", "value": "1000000"}]})
    );
    assert_eq!(of("managedLedgerOffloadDriver")["level"], "broker");
    assert_eq!(
        explained["ledgers"][0]["reason"],
        "it and the newer ones have 1980 bytes, more than the threshold of 1000"
    );
    assert_eq!(explained["wouldOffload"].as_array().unwrap().len(), 1, "{explained}");
    let namespace = desk.ok("GET", "/namespaces/public/default/offloadPolicies/explain", None).await;
    assert_eq!(namespace["settings"], explained["settings"]);
}
