//! Further policies of `namespaces`: of the life of topics, of schemas, of permissions; and what is done to all topics of one.

use serde_json::{Map, Value, json};
use ureq::http::Method;

use super::topic_policies::APPLIED;
use super::{Action, Answer, Failure, Form, NAMESPACE, Session, nothing, run, send, show};
use crate::cli::grammar::{Command, Matches, Opt, Takes, flag, value};
use crate::cli::tools::names::{encoded, namespace_path};

pub(super) const SWITCH: &[Opt] = &[flag(&["--enable", "-e"], "Yes."), flag(&["--disable", "-d"], "No.")];
pub(super) const INTERVAL: Opt =
    value(&["--interval", "-i"], "interval", Takes::Int, "Seconds; 0 leaves it to the broker.").required();
pub(super) const INACTIVE: &[Opt] = &[
    flag(&["--enable-delete-while-inactive", "-e"], "They are deleted."),
    flag(&["--disable-delete-while-inactive", "-d"], "They stay."),
    value(
        &["--max-inactive-duration", "-t"],
        "maxInactiveDurationInSeconds",
        Takes::Seconds,
        "How long nobody must have used them: 10m, 5h, 3d.",
    )
    .required(),
    value(
        &["--delete-mode", "-m"],
        "inactiveTopicDeleteMode",
        Takes::Text,
        "What keeps a topic: delete_when_no_subscriptions, delete_when_subscriptions_caught_up.",
    )
    .required(),
];
const EXPIRATION: Opt = value(&["-t", "--time"], "expirationTime", Takes::Int, "Minutes; 0 is never.").required();
const STRATEGY: Opt = value(
    &["--compatibility", "-c"],
    "strategyParam",
    Takes::Text,
    "UNDEFINED, ALWAYS_INCOMPATIBLE, ALWAYS_COMPATIBLE, BACKWARD, FORWARD, FULL, or the last three with _TRANSITIVE.",
);
const OLDER_STRATEGY: &[Opt] = &[
    value(&["--compatibility", "-c"], "strategyParam", Takes::Text, "Full, Backward or Forward."),
    flag(&["--disabled", "-d"], "No new schema is taken."),
];
pub(super) const ROLE: Opt = value(&["-r", "--role"], "role", Takes::Text, "Who.").required();
pub(super) const ACTIONS: Opt = value(
    &["-a", "--actions"],
    "actions",
    Takes::Comma,
    "What: produce, consume; functions, sources, sinks and packages are kept and shown.",
)
.required();
const LONG_ROLE: Opt = Opt { names: &["--role"], ..ROLE };
const LONG_ACTIONS: Opt = Opt { names: &["--actions"], ..ACTIONS };
const CLUSTERS: Opt =
    value(&["--clusters", "-c"], "clusterIds", Takes::Text, "The clusters, between commas.").required();
const SUBSCRIPTION: Opt = value(&["--sub", "-s"], "subscription", Takes::Text, "The subscription.");
const BUNDLE: Opt = value(&["--bundle", "-b"], "bundle", Takes::Text, "Only this bundle: {lower}_{upper}.");
const CLEAR: &[Opt] = &[SUBSCRIPTION, BUNDLE, flag(&["--force", "-force"], "Without being asked again.")];
const KEY: Opt = value(&["-k", "--key"], "key", Takes::Text, "Its name.").required();
const VALUE: Opt = value(&["-v", "--value"], "value", Takes::Text, "Its value.").required();
const PROPERTIES: Opt =
    value(&["--properties", "-p"], "properties", Takes::Pairs, "What it carries: key=value, again and again.")
        .required();

pub(super) static COMMANDS: &[Command<Action>] = &[
    show(
        &["get-deduplication"],
        "Shows whether messages that are sent again are known.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/deduplication",
        Form::Jackson,
    ),
    send(
        &["set-deduplication"],
        "Sets whether messages that are sent again are known.",
        SWITCH,
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/deduplication",
        switch,
    ),
    send(
        &["remove-deduplication"],
        "Takes the policy away: the broker's holds.",
        &[],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/deduplication",
        nothing,
    ),
    show(
        &["get-deduplication-snapshot-interval"],
        "Shows how far apart the numbers of producers are recorded, in seconds.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/deduplicationSnapshotInterval",
        Form::Jackson,
    ),
    send(
        &["set-deduplication-snapshot-interval"],
        "Sets how far apart the numbers of producers are recorded.",
        &[INTERVAL],
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/deduplicationSnapshotInterval",
        interval,
    ),
    send(
        &["remove-deduplication-snapshot-interval"],
        "Takes the policy away: the broker's holds.",
        &[],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/deduplicationSnapshotInterval",
        nothing,
    ),
    show(
        &["get-inactive-topic-policies"],
        "Shows when topics that nobody uses are deleted.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/inactiveTopicPolicies",
        Form::Jackson,
    ),
    send(
        &["set-inactive-topic-policies"],
        "Sets when topics that nobody uses are deleted.",
        INACTIVE,
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/inactiveTopicPolicies",
        inactive,
    ),
    send(
        &["remove-inactive-topic-policies"],
        "Takes the policy away: the broker's holds.",
        &[],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/inactiveTopicPolicies",
        nothing,
    ),
    show(
        &["get-subscription-expiration-time"],
        "Shows after how many minutes subscriptions that nobody uses are deleted.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/subscriptionExpirationTime",
        Form::Jackson,
    ),
    send(
        &["set-subscription-expiration-time"],
        "Sets after how many minutes subscriptions that nobody uses are deleted.",
        &[EXPIRATION],
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/subscriptionExpirationTime",
        expiration,
    ),
    send(
        &["remove-subscription-expiration-time"],
        "Takes the policy away: the broker's holds.",
        &[],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/subscriptionExpirationTime",
        nothing,
    ),
    show(
        &["get-schema-compatibility-strategy"],
        "Shows what new schemas must stand up to.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/schemaCompatibilityStrategy",
        Form::Jackson,
    ),
    send(
        &["set-schema-compatibility-strategy"],
        "Sets what new schemas must stand up to.",
        &[STRATEGY],
        NAMESPACE,
        Method::PUT,
        "/namespaces{namespace}/schemaCompatibilityStrategy",
        strategy,
    ),
    run(&["get-schema-autoupdate-strategy"], "Shows the same by its older names.", &[], NAMESPACE, get_older_strategy),
    send(
        &["set-schema-autoupdate-strategy"],
        "Sets the same by its older names.",
        OLDER_STRATEGY,
        NAMESPACE,
        Method::PUT,
        "/namespaces{namespace}/schemaAutoUpdateCompatibilityStrategy",
        older_strategy,
    ),
    show(
        &["get-is-allow-auto-update-schema"],
        "Shows whether producers may bring new schemas.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/isAllowAutoUpdateSchema",
        Form::Jackson,
    ),
    send(
        &["set-is-allow-auto-update-schema"],
        "Sets whether producers may bring new schemas.",
        SWITCH,
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/isAllowAutoUpdateSchema",
        switch,
    ),
    show(
        &["get-schema-validation-enforce"],
        "Shows whether producers need a schema.",
        &[APPLIED],
        NAMESPACE,
        "/namespaces{namespace}/schemaValidationEnforced?applied={--applied}",
        Form::Jackson,
    ),
    send(
        &["set-schema-validation-enforce"],
        "Sets whether producers need a schema.",
        SWITCH,
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/schemaValidationEnforced",
        switch,
    ),
    send(
        &["grant-permission"],
        "Grants a role permissions in a namespace.",
        &[LONG_ROLE, LONG_ACTIONS],
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/permissions/{--role}",
        actions,
    ),
    send(
        &["revoke-permission"],
        "Takes a role's permissions in a namespace.",
        &[LONG_ROLE],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/permissions/{--role}",
        nothing,
    ),
    send(
        &["set-clusters"],
        "Sets the clusters of a namespace; there is one.",
        &[CLUSTERS],
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/replication",
        clusters,
    ),
    run(
        &["clear-backlog"],
        "Acknowledges all messages of all topics, for one subscription or for every one.",
        CLEAR,
        NAMESPACE,
        clear_backlog,
    ),
    run(
        &["unsubscribe"],
        "Deletes a subscription of all topics.",
        &[SUBSCRIPTION.required(), BUNDLE],
        NAMESPACE,
        unsubscribe,
    ),
    show(
        &["get-properties"],
        "Shows what a namespace carries.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/properties",
        Form::Jackson,
    ),
    send(
        &["set-properties"],
        "Adds to what a namespace carries.",
        &[PROPERTIES],
        NAMESPACE,
        Method::PUT,
        "/namespaces{namespace}/properties",
        properties,
    ),
    send(
        &["clear-properties"],
        "Takes all that a namespace carries.",
        &[],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/properties",
        nothing,
    ),
    show(
        &["get-property"],
        "Shows one thing that a namespace carries.",
        &[KEY],
        NAMESPACE,
        "/namespaces{namespace}/property/{--key}",
        Form::Jackson,
    ),
    send(
        &["set-property"],
        "Sets one thing that a namespace carries.",
        &[KEY, VALUE],
        NAMESPACE,
        Method::PUT,
        "/namespaces{namespace}/property/{--key}/{--value}",
        nothing,
    ),
    run(
        &["remove-property"],
        "Takes one thing that a namespace carries, and shows it.",
        &[KEY],
        NAMESPACE,
        remove_property,
    ),
];

pub(super) fn switch(matches: &Matches) -> Result<Option<Value>, Failure> {
    if matches.has("-e") == matches.has("-d") {
        return Err(Failure::Usage("Need to specify either --enable or --disable".to_owned()));
    }
    Ok(Some(json!(matches.has("-e"))))
}

pub(super) fn interval(matches: &Matches) -> Result<Option<Value>, Failure> {
    Ok(matches.number::<i32>("-i").map(Value::from))
}

fn expiration(matches: &Matches) -> Result<Option<Value>, Failure> {
    Ok(matches.number::<i32>("-t").map(Value::from))
}

const MODES: [&str; 2] = ["delete_when_no_subscriptions", "delete_when_subscriptions_caught_up"];

pub(super) fn inactive(matches: &Matches) -> Result<Option<Value>, Failure> {
    let (enabled, disabled) = (matches.has("-e"), matches.has("-d"));
    if enabled == disabled {
        return Err(Failure::Usage(
            "Need to specify either enable-delete-while-inactive or disable-delete-while-inactive".to_owned(),
        ));
    }
    let mode = matches.text("-m").unwrap_or_default();
    if !MODES.contains(&mode) {
        return Err(Failure::Usage(
            "delete mode can only be set to delete_when_no_subscriptions or delete_when_subscriptions_caught_up"
                .to_owned(),
        ));
    }
    Ok(Some(json!({
        "inactiveTopicDeleteMode": mode,
        "maxInactiveDurationSeconds": matches.seconds("-t").unwrap_or(0),
        "deleteWhileInactive": enabled,
    })))
}

/// What a new schema may have to stand up to.
pub(super) const STRATEGIES: &[&str] = &[
    "UNDEFINED",
    "ALWAYS_INCOMPATIBLE",
    "ALWAYS_COMPATIBLE",
    "BACKWARD",
    "FORWARD",
    "FULL",
    "BACKWARD_TRANSITIVE",
    "FORWARD_TRANSITIVE",
    "FULL_TRANSITIVE",
];

fn strategy(matches: &Matches) -> Result<Option<Value>, Failure> {
    let name = matches.text("-c").unwrap_or_default().to_uppercase();
    if !STRATEGIES.contains(&name.as_str()) {
        let allowed = STRATEGIES.join(", ");
        return Err(Failure::Usage(format!(
            "Illegal schema compatibility strategy {name}. Possible values: [{allowed}]"
        )));
    }
    Ok(Some(json!(name)))
}

fn older_strategy(matches: &Matches) -> Result<Option<Value>, Failure> {
    let name = match (matches.has("-d"), matches.text("-c").unwrap_or_default().to_lowercase().as_str()) {
        (true, _) => "AutoUpdateDisabled",
        (false, "full") => "Full",
        (false, "backward") => "Backward",
        (false, "forward") => "Forward",
        (false, "" | "none") => {
            return Err(Failure::Usage("Either --compatibility or --disabled must be specified".to_owned()));
        }
        (false, other) => {
            return Err(Failure::Usage(format!(
                "Unknown strategy parameter {other}, must be one of Full, Backward, Forward"
            )));
        }
    };
    Ok(Some(json!(name)))
}

fn get_older_strategy(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let path = format!("/namespaces{}/schemaAutoUpdateCompatibilityStrategy", namespace_path(matches.argument(0))?);
    let name = session.get(&path)?.bare();
    let shown = if name == "null" { name.clone() } else { name.to_uppercase() };
    Ok(Answer::said(shown, json!({ "schemaAutoUpdateCompatibilityStrategy": name })))
}

fn remove_property(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let namespace = namespace_path(matches.argument(0))?;
    let key = encoded(matches.text("-k").unwrap_or_default());
    let json = session.send(Method::DELETE, &format!("/namespaces{namespace}/property/{key}"), None)?;
    Ok(Answer::Shown { json, form: Form::Jackson })
}

pub(super) fn actions(matches: &Matches) -> Result<Option<Value>, Failure> {
    const ALL: [&str; 6] = ["produce", "consume", "functions", "sources", "sinks", "packages"];
    let wanted = matches.all("--actions");
    if let Some(other) = wanted.iter().find(|action| !ALL.contains(action)) {
        return Err(Failure::Usage(format!("Illegal auth action '{other}'. Possible values: [{}]", ALL.join(", "))));
    }
    Ok(Some(json!(wanted)))
}

fn clusters(matches: &Matches) -> Result<Option<Value>, Failure> {
    let names = matches.text("-c").unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty());
    Ok(Some(names.collect()))
}

fn properties(matches: &Matches) -> Result<Option<Value>, Failure> {
    let pairs = matches.pairs("-p").into_iter().map(|(key, value)| (key.to_owned(), value.into()));
    Ok(Some(Value::Object(pairs.collect::<Map<_, _>>())))
}

/// `/namespaces/tenant/namespace[/bundle]/what[/subscription]`.
fn path(matches: &Matches, what: &str) -> Result<String, Failure> {
    let namespace = namespace_path(matches.argument(0))?;
    let part = |name: &str| matches.text(name).map(|text| format!("/{}", encoded(text))).unwrap_or_default();
    Ok(format!("/namespaces{namespace}{}/{what}{}", part("-b"), part("-s")))
}

fn clear_backlog(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    if !matches.has("--force") {
        return Err(Failure::Found("this acknowledges all messages that wait; say --force to do it".to_owned()));
    }
    session.send(Method::POST, &path(matches, "clearBacklog")?, None)?;
    Ok(Answer::Done)
}

fn unsubscribe(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    session.send(Method::POST, &path(matches, "unsubscribe")?, None)?;
    Ok(Answer::Done)
}
