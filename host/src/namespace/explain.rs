//! Where each offload setting of a topic comes from, for people: the level that set it, and its unit. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use super::effective::{Defaults, levels};
use super::policies::{Policies, TopicPolicies};

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The broker's configuration.
    Broker,
    /// The namespace's policies.
    Namespace,
    /// The topic's policies.
    Topic,
}

/// One setting in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explained {
    /// The key, in the policies' spelling.
    pub key: String,
    /// Its value.
    pub value: String,
    /// The value's unit; empty where it has none.
    pub unit: &'static str,
    /// Which level set it.
    pub level: Level,
    /// What other levels said in vain, the strongest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub overruled: Vec<Overruled>,
}

/// A value that another level overrules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overruled {
    /// Who said it.
    pub level: Level,
    /// What.
    pub value: String,
}

/// Every offload setting of a topic, by key.
pub fn explain(defaults: &Defaults, namespace: &Policies, topic: &TopicPolicies) -> Vec<Explained> {
    let mut by_key: BTreeMap<String, Vec<Overruled>> = BTreeMap::new();
    for (level, properties) in levels(defaults, namespace, topic) {
        for (key, value) in properties {
            by_key.entry(key).or_default().insert(0, Overruled { level, value });
        }
    }
    let explained = |(key, mut said): (String, Vec<Overruled>)| {
        let Overruled { level, value } = said.remove(0);
        Explained { unit: unit(&key), key, value, level, overruled: said }
    };
    by_key.into_iter().map(explained).collect()
}

/// By the end of a key, as the original spells them.
fn unit(key: &str) -> &'static str {
    let ends = [("InBytes", "bytes"), ("InSeconds", "seconds"), ("InMillis", "milliseconds"), ("Threads", "threads")];
    ends.iter().find(|(end, _)| key.ends_with(end)).map_or("", |(_, unit)| unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::namespace::OffloadPolicies;

    #[test]
    fn each_value_has_its_level_and_what_it_overrules() {
        let (config, _) = crate::config::Config::from_sources(&[]).unwrap();
        let given = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let defaults = Defaults {
            offload_properties: [
                given("managedLedgerOffloadDriver", "filesystem"),
                given("managedLedgerOffloadThresholdInBytes", "10"),
            ]
            .into(),
            ..Defaults::from_config(&config)
        };
        let of = |value: serde_json::Value| value.as_object().cloned().map(OffloadPolicies::from_client);
        let namespace = Policies { offload_threshold: 20, ..Policies::default() };
        let topic = TopicPolicies {
            offload_policies: of(json!({"managedLedgerOffloadThresholdInBytes": 30})),
            ..TopicPolicies::default()
        };
        let explained = explain(&defaults, &namespace, &topic);
        assert_eq!(explained.len(), 2);
        assert_eq!((explained[0].value.as_str(), explained[0].level), ("filesystem", Level::Broker));
        let threshold = &explained[1];
        assert_eq!((threshold.value.as_str(), threshold.unit, threshold.level), ("30", "bytes", Level::Topic));
        let overruled: Vec<_> = threshold.overruled.iter().map(|it| (it.level, it.value.as_str())).collect();
        assert_eq!(overruled, [(Level::Namespace, "20"), (Level::Broker, "10")]);
    }
}
