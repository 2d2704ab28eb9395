//! Paths of the broker itself: clusters, tenants, brokers, their statistics, where topics are served, metrics.

use super::ROOT;
use super::row::{Gives, Row, at, delete, flag, get, post, put};
use crate::admin::handlers::{broker_stats, brokers, tenants};
use crate::admin::metrics;

/// In the order of the document.
pub(super) fn rows() -> Vec<Row> {
    let versioned = [clusters(), all_tenants(), broker(), plugins(), statistics()];
    let mut rows: Vec<Row> = versioned.into_iter().flatten().map(|row| row.under(ROOT)).collect();
    rows.extend(lookup());
    rows.extend(figures());
    rows
}

fn clusters() -> Vec<Row> {
    const FIXED: &[u16] = &[405, 409];
    vec![
        at("/clusters", [get(tenants::clusters, "Lists the clusters: this broker is one.").gives("Names")]),
        at(
            "/clusters/{cluster}",
            [
                get(tenants::cluster, "Shows where a cluster is served.").gives("Cluster"),
                put(tenants::change_cluster, "Refused: a standalone broker is its cluster.")
                    .answers(Gives::Never)
                    .refuses(FIXED),
                post(tenants::change_cluster, "Refused: a standalone broker is its cluster.")
                    .answers(Gives::Never)
                    .refuses(FIXED),
                delete(tenants::change_cluster, "Refused: a standalone broker is its cluster.")
                    .answers(Gives::Never)
                    .refuses(FIXED),
            ],
        ),
    ]
}

fn all_tenants() -> Vec<Row> {
    vec![
        at("/tenants", [get(tenants::list, "Lists the tenants.").gives("Names")]),
        at(
            "/tenants/{tenant}",
            [
                get(tenants::get, "Shows who administers a tenant, and which clusters it may use.").gives("Tenant"),
                put(tenants::create, "Makes a tenant.").may_take("Tenant").refuses(&[409]),
                post(tenants::update, "Changes a tenant.").may_take("Tenant").refuses(&[409]),
                delete(tenants::delete, "Deletes a tenant.")
                    .asks(
                        const { &[flag("force", "With its namespaces and their topics, where the broker allows it.")] },
                    )
                    .refuses(&[405, 409]),
            ],
        ),
    ]
}

fn broker() -> Vec<Row> {
    vec![
        at("/brokers", [get(brokers::list, "Lists the brokers: this one.").gives("Names")]),
        at("/brokers/{cluster}", [get(brokers::list_of_cluster, "Lists the brokers of a cluster.").gives("Names")]),
        at(
            "/brokers/{cluster}/{broker}/ownedNamespaces",
            [get(brokers::owned_namespaces, "Shows the bundles of which a broker has topics loaded.").gives("Owned")],
        ),
        at(
            "/brokers/health",
            [get(brokers::health, "Writes to both stores and reads back; `ok` if that works.")
                .answers(Gives::Bare("ok"))],
        ),
        at(
            "/brokers/version",
            [get(brokers::version, "The version of Apache Pulsar that clients may take this broker for.")
                .answers(Gives::Bare("the version"))],
        ),
        at("/brokers/leaderBroker", [get(brokers::leader, "Shows the broker that leads: this one.").gives("Leader")]),
        at(
            "/brokers/configuration",
            [get(brokers::dynamic_configuration_names, "Lists the keys that can be changed while the broker runs.")
                .gives("Names")],
        ),
        at(
            "/brokers/configuration/values",
            [get(brokers::dynamic_configuration_values, "Shows the keys that were changed while the broker runs.")
                .gives("Texts")],
        ),
        at(
            "/brokers/configuration/runtime",
            [get(brokers::runtime_configuration, "Shows every key and its value in force; stars stand for secrets.")
                .gives("Texts")],
        ),
        at(
            "/brokers/configuration/{key}",
            [delete(brokers::refuse_configuration, "Refused: keys are read at the start.")
                .answers(Gives::Never)
                .refuses(&[412])],
        ),
        at(
            "/brokers/configuration/{key}/{value}",
            [post(brokers::refuse_configuration, "Refused: keys are read at the start.")
                .answers(Gives::Never)
                .refuses(&[412])],
        ),
        at(
            "/brokers/internal-configuration",
            [get(brokers::internal_configuration, "Refused: no store of this broker is open to others.")
                .answers(Gives::Never)
                .refuses(&[501])],
        ),
    ]
}

/// Our own.
fn plugins() -> Vec<Row> {
    vec![
        at(
            "/brokers/offloaders",
            [get(brokers::offloaders, "A row for every file that was looked at as a plugin.").gives("Plugins")],
        ),
        at(
            "/brokers/offloaders/status",
            [get(brokers::offloaders_status, "How each plugin and each driver stands.").gives("PluginStatus")],
        ),
        at(
            "/brokers/offloaders/rescan",
            [post(brokers::rescan_offloaders, "Looks at the folder of plugins at once; tells what changed.")
                .gives("PluginChanges")],
        ),
    ]
}

fn statistics() -> Vec<Row> {
    let elsewhere = |path: &str| {
        let refused = get(broker_stats::elsewhere, "Refused: the figures of this broker are at `/metrics`.");
        at(path, [refused.answers(Gives::Never).refuses(&[501])])
    };
    vec![
        at(
            "/broker-stats/topics",
            [get(broker_stats::topics, "The statistics of all loaded topics, by namespace, bundle and domain.")
                .gives("StatsOfTopics")],
        ),
        elsewhere("/broker-stats/metrics"),
        elsewhere("/broker-stats/mbeans"),
        elsewhere("/broker-stats/load-report"),
    ]
}

fn lookup() -> Vec<Row> {
    const TOPIC: &str = "/lookup/v2/topic/{domain}/{tenant}/{namespace}/{topic}";
    vec![
        at(TOPIC, [get(brokers::lookup, "Shows which broker serves a topic: this one.").gives("Lookup")]),
        at(
            &format!("{TOPIC}/bundle"),
            [get(brokers::bundle, "The bundle of its namespace that a topic is in.")
                .answers(Gives::Bare("the bundle"))],
        ),
    ]
}

fn figures() -> Vec<Row> {
    vec![
        at(
            "/metrics",
            [get(metrics::redirect, "The metrics stand at `/metrics/`.").answers(Gives::Elsewhere("/metrics/"))],
        ),
        at(
            "/metrics/",
            [get(metrics::scrape, "The broker's figures, for Prometheus.").answers(Gives::Text("text/plain"))],
        ),
    ]
}
