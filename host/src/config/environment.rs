//! What the environment says about the configuration: Java's options in `PULSAR_EXTRA_OPTS`, and a variable for each key in
//! containers. Pure; who reads the environment is `main`.
//!
//! A container of the original rewrites its configuration file from variables before it starts; here they go over the file as
//! sources of their own, with the same outcome. Source: Apache Pulsar `docker/pulsar/scripts/apply-config-from-env.py`,
//! `bin/pulsar`.

use std::collections::BTreeMap;

use super::source::Source;

/// Java's options for the broker.
const EXTRA_OPTIONS: &str = "PULSAR_EXTRA_OPTS";
/// A variable that begins so overrules the key that follows.
const KEY_PREFIX: &str = "PULSAR_PREFIX_";

/// System properties of Java that are keys here.
const PROPERTIES: [&str; 3] = ["aws.accessKeyId", "aws.secretKey", "pulsar.extra.offload.drivers"];

/// What was found, in the order in which it is to be taken.
#[derive(Clone, Debug, Default)]
pub struct FromEnvironment {
    /// Keys and values.
    pub sources: Vec<Source>,
    /// Options of Java without effect, as they may be shown: a property's value is left out.
    pub idle_options: Vec<String>,
}

impl FromEnvironment {
    /// Looks through all variables.
    pub fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        let variables: BTreeMap<String, String> = variables.collect();
        let mut found = Self::default();
        if let Some(options) = variables.get(EXTRA_OPTIONS) {
            found.take_options(options);
        }
        for (name, value) in &variables {
            if let Some(key) = name.strip_prefix(KEY_PREFIX).filter(|key| !key.is_empty()) {
                let value = referred(value, &variables).trim();
                found.sources.push(line(&format!("environment variable {name}"), key, value));
            }
        }
        found
    }

    /// Options are parted by blanks; quotes in them stand for themselves, as in the original's launcher.
    fn take_options(&mut self, options: &str) {
        for option in options.split_whitespace() {
            let property = option.strip_prefix("-D").and_then(|property| property.split_once('='));
            match property {
                Some((key, value)) if PROPERTIES.contains(&key) => {
                    self.sources.push(line(&format!("{EXTRA_OPTIONS}, option -D{key}"), key, value));
                }
                Some((key, _)) => self.idle_options.push(format!("-D{key}")),
                None => self.idle_options.push(option.to_owned()),
            }
        }
    }
}

/// A value `${OTHER}` stands for that variable's, where there is one.
fn referred<'a>(value: &'a str, variables: &'a BTreeMap<String, String>) -> &'a str {
    let name = value.trim().strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.and_then(|name| variables.get(name)).map_or(value, String::as_str)
}

/// One key, whatever its value holds: a line break becomes what the file's format has for it.
fn line(name: &str, key: &str, value: &str) -> Source {
    let key: String = key.chars().flat_map(|c| if " =:#!\\".contains(c) { vec!['\\', c] } else { vec![c] }).collect();
    Source::text(name, &format!("{key}={}", value.replace('\r', "\\r").replace('\n', "\\n")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn found(variables: &[(&str, &str)]) -> FromEnvironment {
        FromEnvironment::new(variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())))
    }

    fn config(variables: &[(&str, &str)]) -> Config {
        let file = Source::text("f", "webServicePort=1\naws.accessKeyId=of-file");
        let sources = [vec![file], found(variables).sources].concat();
        Config::from_sources(&sources).unwrap().0
    }

    #[test]
    fn properties_of_java_are_keys_and_other_options_are_named_without_values() {
        let options = "-Xmx2g  -Daws.accessKeyId=ABC -Daws.secretKey=ded7=\n-Dio.netty.leak=hush -ea -Dflag \
                       -Dpulsar.extra.offload.drivers=tape,attic";
        let variables = [(EXTRA_OPTIONS, options)];
        assert_eq!(found(&variables).idle_options, ["-Xmx2g", "-Dio.netty.leak", "-ea", "-Dflag"]);
        let config = config(&variables);
        assert_eq!(config.aws_access_key_id.as_deref(), Some("ABC"));
        assert_eq!(config.aws_secret_key.as_deref(), Some("ded7="));
        assert_eq!(config.extra_offload_drivers, ["tape", "attic"]);
    }

    #[test]
    fn a_variable_of_a_container_overrules_the_file() {
        let config = config(&[
            ("PULSAR_PREFIX_webServicePort", " 2 "),
            ("PULSAR_PREFIX_clusterName", "${NAME}"),
            ("PULSAR_PREFIX_bindAddress", "${NOBODY}"),
            ("NAME", "north"),
            ("PULSAR_PREFIX_", "x"),
            ("brokerServicePort", "3"),
            ("PULSAR_PREFIX_aws.secretKey", "a\nb"),
            ("PULSAR_PREFIX_managedLedgerOffloadExtraConfigA b=c", "d"),
        ]);
        assert_eq!((config.web_service_port, config.broker_service_port), (2, 6650));
        assert_eq!((config.cluster_name.as_str(), config.bind_address.as_str()), ("north", "${NOBODY}"));
        assert_eq!(config.aws_secret_key.as_deref(), Some("a\nb"));
        assert_eq!(config.offload_properties["managedLedgerOffloadExtraConfigA b=c"], "d");
    }

    #[test]
    fn a_mistake_names_the_variable() {
        let sources = found(&[("PULSAR_PREFIX_webServicePort", "many")]).sources;
        let mistakes = Config::from_sources(&sources).unwrap_err().to_string();
        assert!(mistakes.contains("environment variable PULSAR_PREFIX_webServicePort"), "{mistakes}");
    }
}
