//! The document describes what is served: every path of it is answered, in a way that it tells of, and nothing else is.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

const METHODS: [&str; 4] = ["get", "put", "post", "delete"];

/// The path with something in place of each name; numbers are understood wherever one is wanted.
fn filled(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment {
        "{tenant}" => "public",
        "{namespace}" => "default",
        "{domain}" => "persistent",
        "{cluster}" => "standalone",
        segment if segment.starts_with('{') => "7",
        segment => segment,
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The statuses that an operation tells of.
fn statuses(operation: &Value) -> BTreeSet<u16> {
    let told = operation["responses"].as_object().unwrap().keys();
    told.filter_map(|status| status.parse().ok()).collect()
}

#[tokio::test]
async fn every_path_of_the_document_is_answered_as_it_says() {
    let desk = Desk::open().await;
    let got = desk.send("GET", "/admin/openapi.json", None).await;
    assert_eq!((got.status, got.headers["content-type"].as_str()), (200, "application/json"));
    let document = got.body();
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() > 100, "{}", paths.len());
    for (path, operations) in paths {
        for method in METHODS {
            let got = desk.send(&method.to_uppercase(), &filled(path), None).await;
            let case = format!("{method} {path}: {} {}", got.status, got.body());
            match operations.get(method) {
                Some(operation) => assert!(statuses(operation).contains(&got.status), "{case}"),
                None => assert!(got.status == 405 && got.headers.contains_key("allow"), "{case}"),
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_in_the_document_is_not_there() {
    let desk = Desk::open().await;
    for path in ["/", "/admin", "/admin/v2", "/admin/v2/functions", "/admin/v2/namespaces/public/default/nothing"] {
        assert_eq!(desk.send("GET", path, None).await.status, 404, "{path}");
    }
    for method in METHODS {
        let got = desk.call(&method.to_uppercase(), "/non-persistent/public/default/t/stats", None).await;
        assert_eq!(got.body()["reason"], "Topic non-persistent://public/default/t not found", "{method}");
    }
}

#[tokio::test]
async fn a_policy_without_effect_is_kept_and_says_so() {
    let desk = Desk::open().await;
    desk.topic("persistent://public/default/t").await;
    for path in ["/namespaces/public/default/maxConsumersPerTopic", "/persistent/public/default/t/maxConsumers"] {
        assert_eq!(desk.ok("GET", path, None).await, "");
        let got = desk.call("POST", path, Some(json!(3))).await;
        assert_eq!((got.status, got.headers["warning"].contains("without effect")), (204, true), "{path}");
        assert_eq!(desk.ok("GET", path, None).await, 3);
        assert_eq!(desk.call("POST", path, Some(json!(-1))).await.status, 412);
        desk.ok("DELETE", path, None).await;
        assert_eq!(desk.ok("GET", path, None).await, "");
    }
}

#[tokio::test]
async fn topics_and_namespaces_carry_properties() {
    let desk = Desk::open().await;
    let topic = "/persistent/public/default/t";
    desk.ok("PUT", topic, Some(json!({ "a": "1" }))).await;
    desk.ok("PUT", &format!("{topic}/properties"), Some(json!({ "b": "2" }))).await;
    assert_eq!(desk.ok("GET", &format!("{topic}/properties"), None).await, json!({ "a": "1", "b": "2" }));
    desk.ok("DELETE", &format!("{topic}/properties?key=a"), None).await;
    assert_eq!(desk.ok("GET", &format!("{topic}/properties"), None).await, json!({ "b": "2" }));
    desk.ok("DELETE", topic, None).await;
    desk.ok("PUT", topic, None).await;
    assert_eq!(desk.ok("GET", &format!("{topic}/properties"), None).await, json!({}), "they went with the topic");

    let namespace = "/namespaces/public/default";
    desk.ok("PUT", &format!("{namespace}/property/k/v"), None).await;
    desk.ok("PUT", &format!("{namespace}/properties"), Some(json!({ "l": "w" }))).await;
    assert_eq!(desk.ok("GET", &format!("{namespace}/property/k"), None).await, "v");
    assert_eq!(desk.ok("DELETE", &format!("{namespace}/property/k"), None).await, "v");
    assert_eq!(desk.ok("GET", &format!("{namespace}/properties"), None).await, json!({ "l": "w" }));
}

#[tokio::test]
async fn a_whole_namespace_is_acknowledged_and_given_up() {
    let desk = Desk::open().await;
    for topic in ["a", "b"] {
        desk.fill(&format!("persistent://public/default/{topic}"), 3).await;
        for subscription in ["s", "t"] {
            let path = format!("/persistent/public/default/{topic}/subscription/{subscription}");
            desk.ok("PUT", &path, Some(message_id(-1, -1))).await;
        }
    }
    let backlogs = || async {
        let mut found = Vec::new();
        for topic in ["a", "b"] {
            let stats = desk.ok("GET", &format!("/persistent/public/default/{topic}/stats"), None).await;
            let subscriptions = stats["subscriptions"].as_object().unwrap().values();
            found.extend(subscriptions.map(|subscription| subscription["msgBacklog"].as_u64().unwrap()));
        }
        found
    };
    assert_eq!(backlogs().await, [3, 3, 3, 3]);
    desk.ok("POST", "/namespaces/public/default/clearBacklog/s", None).await;
    assert_eq!(backlogs().await, [0, 3, 0, 3]);
    desk.ok("POST", "/namespaces/public/default/0x00000000_0xffffffff/clearBacklog", None).await;
    assert_eq!(backlogs().await, [0, 0, 0, 0]);
    desk.ok("POST", "/namespaces/public/default/unsubscribe/s", None).await;
    assert_eq!(backlogs().await, [0, 0]);
}

#[tokio::test]
async fn a_topic_is_in_a_bundle_of_its_namespace() {
    let desk = Desk::open().await;
    let bundle = desk.send("GET", "/lookup/v2/topic/persistent/public/default/t/bundle", None).await.body();
    let boundaries = desk.ok("GET", "/namespaces/public/default/bundles", None).await["boundaries"].clone();
    let pairs: Vec<String> = (boundaries.as_array().unwrap().windows(2))
        .map(|pair| format!("{}_{}", pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    assert!(pairs.iter().any(|pair| *pair == bundle), "{bundle}: {pairs:?}");
    desk.topic("persistent://public/default/t").await;
    let owned = desk.ok("GET", &format!("/brokers/standalone/{}/ownedNamespaces", desk.web_address), None).await;
    assert_eq!(owned[format!("public/default/{}", bundle.as_str().unwrap())]["is_active"], true);
    let stats = desk.ok("GET", "/broker-stats/topics", None).await;
    let topics = &stats["public/default"][bundle.as_str().unwrap()]["persistent"];
    assert_eq!(topics["persistent://public/default/t"]["msgInCounter"], 0);
}
