//! `topicPolicies`.

use ureq::http::Method;

use super::{Action, Form, TOPIC, limits, namespace_policies, nothing, offload_policies, send, show, topic_life};
use crate::cli::grammar::{Command, Opt, flag};

pub(super) const APPLIED: Opt = flag(&["-ap", "--applied"], "What holds, wherever it was set.");
pub(super) const GLOBAL: Opt = flag(&["--global", "-g"], "Kept for all clusters; there is one.");
const RETENTION: &[Opt] = {
    let [size, time] = namespace_policies::RETENTION else { panic!("retention has a size and a time") };
    &[copy(size), copy(time), GLOBAL]
};

pub(super) const fn copy(option: &Opt) -> Opt {
    Opt { ..*option }
}

/// All that are there.
pub(super) static TABLES: &[&[Command<Action>]] = &[COMMANDS, topic_life::COMMANDS, limits::OF_TOPICS];

static COMMANDS: &[Command<Action>] = &[
    show(
        &["get-offload-policies"],
        "Shows where and when a topic's ledgers are offloaded.",
        &[APPLIED, GLOBAL],
        TOPIC,
        "{topic}/offloadPolicies?isGlobal={--global}&applied={--applied}",
        Form::Jackson,
    ),
    send(
        &["set-offload-policies"],
        "Sets where and when a topic's ledgers are offloaded.",
        offload_policies::OF_TOPICS,
        TOPIC,
        Method::POST,
        "{topic}/offloadPolicies?isGlobal={--global}",
        offload_policies::of_topic,
    ),
    send(
        &["remove-offload-policies"],
        "Takes a topic's offload policies away: the namespace's hold.",
        &[GLOBAL],
        TOPIC,
        Method::DELETE,
        "{topic}/offloadPolicies?isGlobal={--global}",
        nothing,
    ),
    show(
        &["get-retention"],
        "Shows how long and how much is kept of what has been acknowledged.",
        &[APPLIED, GLOBAL],
        TOPIC,
        "{topic}/retention?isGlobal={--global}&applied={--applied}",
        Form::Jackson,
    ),
    send(
        &["set-retention"],
        "Sets how long and how much is kept of what has been acknowledged.",
        RETENTION,
        TOPIC,
        Method::POST,
        "{topic}/retention?isGlobal={--global}",
        namespace_policies::retention,
    ),
    send(
        &["remove-retention"],
        "Takes a topic's retention away: the namespace's holds.",
        &[GLOBAL],
        TOPIC,
        Method::DELETE,
        "{topic}/retention?isGlobal={--global}",
        nothing,
    ),
];
