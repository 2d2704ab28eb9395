//! The description of the API as an OpenAPI 3.0 document, made of the table of paths that the router is made of.
//!
//! A row says what a method takes and gives, by the names of shapes (`shapes.json` beside this file); statuses that follow from
//! the form of a path and from a body are added here. Generators of clients and checkers read the whole; `docs/operate/rest.md`
//! tells people.

use serde_json::{Map, Value, json};

use super::routes::row::{Asks, Gives, Operation, Row, Takes};

/// What bodies look like: JSON Schema as OpenAPI 3.0 has it.
const SHAPES: &str = include_str!("shapes.json");

const ABOUT: &str = "The admin REST API of a Longshore broker. Paths, bodies and reasons are those of Apache Pulsar 4.0; \
    `brokers/offloaders`, `offload/explain`, `offloadPolicies/explain` and `ledgers` are Longshore's own.\n\n\
    A refusal is `{\"reason\": …}`. An answer that may be null is 200 with an empty body and no content type where nothing is set, \
    as Apache Pulsar sends it. Fields of a request that are not known are ignored. A body is at most 1 MiB long. \
    No topic of the domain `non-persistent` exists: every path of one is answered with 404.";

/// Marks an answer that OpenAPI cannot tell: a body of that form, or none at all.
const MAY_BE_EMPTY: &str = "x-may-be-empty";

/// A part of a path: its name, the type of its values, what it is.
const PARTS: &[(&str, &str, &str)] = &[
    ("broker", "string", "A broker, host:port."),
    ("bundle", "string", "A part of a namespace's range of hashes, lower_upper; every bundle is served here."),
    ("cluster", "string", "A cluster's name."),
    ("count", "integer", "How many messages."),
    ("domain", "string", "persistent or non-persistent."),
    ("entry", "integer", "An entry's number in its ledger."),
    ("key", "string", "A key."),
    ("ledger", "integer", "A ledger's id."),
    ("namespace", "string", "A namespace's name, without its tenant."),
    ("role", "string", "A role, as tokens name it."),
    ("seconds", "integer", "An age in seconds."),
    ("subscription", "string", "A subscription's name."),
    ("tenant", "string", "A tenant's name."),
    ("time", "integer", "Milliseconds since 1970."),
    (
        "topic",
        "string",
        "A topic's name without its namespace, percent-encoded once; a partition ends in -partition-N.",
    ),
    ("value", "string", "A value."),
    ("version", "integer", "A schema's version."),
];

/// A refusal: its status, its name, when it is answered.
const REFUSALS: &[(&str, &str, &str)] = &[
    ("400", "BadRequest", "The path, the query or the body cannot be understood."),
    ("401", "Unauthorized", "The request does not say who asks, or the role may not do that."),
    ("403", "Forbidden", "That is not for this cluster."),
    ("404", "NotFound", "There is no such thing."),
    ("405", "NotAllowed", "This broker or this kind of topic does not do that."),
    ("406", "NotAcceptable", "That number of partitions is not possible."),
    ("408", "TooSlow", "The body did not end in time."),
    ("409", "Conflict", "It is there already, in use or under way, or something else changed it at the same time."),
    ("412", "Refused", "A name is wrong, or a rule stands against it."),
    ("413", "TooLong", "The body is too long."),
    ("422", "Unprocessable", "What the body says cannot be done."),
    ("501", "NotOffered", "Apache Pulsar does that, this broker does not."),
    ("5XX", "Failed", "The broker failed, or is stopping."),
];

/// The document of `rows`.
pub(super) fn document(rows: &[Row]) -> Value {
    let shapes: Value = serde_json::from_str(SHAPES).expect("shapes.json is JSON, which a test holds");
    let mut paths = Map::new();
    for row in rows {
        let operations = row.operations.iter().map(|operation| {
            let method = operation.method.as_str().to_ascii_lowercase();
            (method, described(&row.path, operation))
        });
        let mut path: Map<String, Value> = operations.collect();
        let parts: Vec<Value> = parts_of(&row.path).map(part).collect();
        if !parts.is_empty() {
            path.insert("parameters".to_owned(), parts.into());
        }
        paths.insert(row.path.clone(), path.into());
    }
    json!({
        "openapi": "3.0.3",
        "info": { "title": "Longshore admin API", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT },
        "paths": paths,
        "components": {
            "schemas": shapes,
            "responses": refusals(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
        },
        // Where authentication is off, nobody has to say who asks.
        "security": [{}, { "token": [] }],
    })
}

fn described(path: &str, operation: &Operation) -> Value {
    let mut described = json!({
        "operationId": operation_id(path, operation.method.as_str()),
        "tags": [tag(path)],
        "summary": operation.does,
        "responses": responses(path, operation),
    });
    if !operation.asks.is_empty() {
        described["parameters"] = operation.asks.iter().map(query).collect();
    }
    if let Takes::Always(shape) | Takes::Perhaps(shape) = operation.takes {
        let required = matches!(operation.takes, Takes::Always(_));
        described["requestBody"] = json!({ "required": required, "content": json_of(shape) });
    }
    described
}

/// The names in braces.
fn parts_of(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

fn part(name: &str) -> Value {
    let (_, kind, about) = PARTS.iter().find(|(part, ..)| *part == name).unwrap_or(&("", "string", ""));
    // Numbers of paths are never negative.
    let schema = match *kind {
        "integer" => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
        kind => json!({ "type": kind, "minLength": 1 }),
    };
    json!({ "name": name, "in": "path", "required": true, "description": about, "schema": schema })
}

fn query(asks: &Asks) -> Value {
    json!({ "name": asks.name, "in": "query", "description": asks.about, "schema": reference(asks.shape) })
}

fn reference(shape: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{shape}") })
}

fn json_of(shape: &str) -> Value {
    json!({ "application/json": { "schema": reference(shape) } })
}

fn responses(path: &str, operation: &Operation) -> Value {
    let mut responses: Map<String, Value> = statuses(path, operation).into_iter().map(refused).collect();
    let (status, done) = match operation.gives {
        Gives::Done => ("204", json!({ "description": "Done." })),
        Gives::Empty => ("200", json!({ "description": "Done." })),
        Gives::Shape(shape) => ("200", json!({ "description": "This.", "content": json_of(shape) })),
        Gives::Perhaps(shape) => {
            let text = "This, or an empty body without a content type where nothing is set.";
            ("200", json!({ "description": text, "content": json_of(shape), MAY_BE_EMPTY: true }))
        }
        // Raw bytes under the name of JSON have no schema.
        Gives::Bare(what) => {
            let text = format!("Not JSON, in spite of its content type: {what}.");
            ("200", json!({ "description": text, "content": { "application/json": {} }, MAY_BE_EMPTY: true }))
        }
        Gives::Text(media_type) => ("200", json!({ "description": "This.", "content": { media_type: {} } })),
        Gives::Elsewhere(to) => ("302", json!({ "description": format!("It stands at {to}.") })),
        Gives::Never => return responses.into(),
    };
    responses.insert(status.to_owned(), done);
    responses.into()
}

/// The statuses with which an operation may be refused, those of the path and the body with those of the row.
fn statuses(path: &str, operation: &Operation) -> Vec<String> {
    let mut statuses: Vec<u16> = vec![401];
    let (has_parts, has_query) = (parts_of(path).next().is_some(), !operation.asks.is_empty());
    let has_body = operation.takes != Takes::Nothing;
    if has_parts || has_query || has_body {
        statuses.push(400);
    }
    if has_parts {
        statuses.push(404);
    }
    if parts_of(path).any(|part| ["tenant", "namespace"].contains(&part)) {
        statuses.push(412);
        if operation.method != "GET" {
            statuses.push(409);
        }
    }
    if has_body {
        statuses.extend([408, 413]);
    }
    statuses.extend(operation.refuses);
    statuses.sort_unstable();
    statuses.dedup();
    statuses.iter().map(u16::to_string).chain(["5XX".to_owned()]).collect()
}

fn refused(status: String) -> (String, Value) {
    let name = REFUSALS.iter().find(|(known, ..)| *known == status).map_or("Failed", |(_, name, _)| name);
    (status, json!({ "$ref": format!("#/components/responses/{name}") }))
}

fn refusals() -> Map<String, Value> {
    let all = REFUSALS.iter();
    all.map(|(_, name, about)| ((*name).to_owned(), json!({ "description": about, "content": json_of("Refusal") })))
        .collect()
}

/// The first word of a path behind its root.
fn tag(path: &str) -> &str {
    let path = path.strip_prefix("/admin/v2/").unwrap_or(path);
    path.trim_start_matches('/').split('/').next().unwrap_or_default()
}

/// `persistent_getInternalStats`: the tag, the method, the words of the path. Names of tenant, namespace and topic are words only where
/// they end the path.
fn operation_id(path: &str, method: &str) -> String {
    let rest = path.trim_end_matches('/').split_once(tag(path)).map_or("", |(_, rest)| rest);
    let segments: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
    let is_word = |index: usize, segment: &str| {
        index + 1 == segments.len() || !["{tenant}", "{namespace}", "{topic}", "v2"].contains(&segment)
    };
    let words = segments.iter().enumerate().filter(|(index, segment)| is_word(*index, segment));
    let mut id = format!("{}_{}", tag(path), method.to_ascii_lowercase());
    if path.ends_with('/') {
        id.push_str("Text");
    }
    for word in words.flat_map(|(_, segment)| segment.split(['-', '_', '{', '}'])) {
        let mut letters = word.chars();
        id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        id.push_str(letters.as_str());
    }
    id
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::routes::table;
    use super::*;

    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            Value::Object(object) => {
                found.extend(object.get("$ref").and_then(Value::as_str));
                object.values().for_each(|value| references(value, found));
            }
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_shape_is_used() {
        let document = document(&table());
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        for reference in &found {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
        }
        for part in ["schemas", "responses"] {
            for name in document["components"][part].as_object().unwrap().keys() {
                assert!(found.contains(format!("#/components/{part}/{name}").as_str()), "{part}: {name} is not used");
            }
        }
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_every_part_is_told() {
        let mut ids = BTreeSet::new();
        for row in table() {
            for part in parts_of(&row.path) {
                assert!(PARTS.iter().any(|(name, ..)| *name == part), "{}: {part}", row.path);
            }
            for operation in &row.operations {
                let id = operation_id(&row.path, operation.method.as_str());
                assert!(ids.insert(id.clone()), "{id} twice: {}", row.path);
                let statuses = operation.refuses.iter().map(u16::to_string);
                for status in statuses {
                    assert!(REFUSALS.iter().any(|(known, ..)| *known == status), "{id}: {status}");
                }
                let is_reading = operation.method == "GET";
                assert!(operation.does.ends_with('.'), "{id}");
                assert!(!is_reading || operation.gives != Gives::Done, "{id}: what is read?");
            }
        }
    }

    #[test]
    fn names_of_operations_are_words() {
        for (path, method, id) in [
            ("/admin/v2/tenants", "GET", "tenants_get"),
            ("/admin/v2/tenants/{tenant}", "GET", "tenants_getTenant"),
            ("/admin/v2/persistent/{tenant}/{namespace}/{topic}", "PUT", "persistent_putTopic"),
            ("/admin/v2/persistent/{tenant}/{namespace}/{topic}/internal-info", "GET", "persistent_getInternalInfo"),
            ("/admin/v2/namespaces/{tenant}/{namespace}/{bundle}/unload", "PUT", "namespaces_putBundleUnload"),
            ("/lookup/v2/topic/{domain}/{tenant}/{namespace}/{topic}", "GET", "lookup_getTopicDomainTopic"),
            ("/metrics", "GET", "metrics_get"),
            ("/metrics/", "GET", "metrics_getText"),
        ] {
            assert_eq!(operation_id(path, method), id);
        }
    }
}
