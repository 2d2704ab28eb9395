//! A configuration held against a schema: every problem at once, before the plugin is asked.

use std::collections::BTreeMap;

use longshore_plugin_api::ConfigProblem;
use longshore_plugin_api::note::PluginNote;

use super::{ConfigSchema, STARS};
use crate::plugin::registry::edits;
use crate::storage::DriverSettings;

/// The shortest secret that is looked for in texts of a plugin: shorter ones would star out what is none.
const SECRET_BYTES_MIN: usize = 4;
/// One misspelt letter is allowed for so many letters of a key...
const LETTERS_PER_EDIT: usize = 4;
/// ... and so many in all.
const EDITS_MAX: usize = 3;

/// The beginning of keys that belong to drivers of any plugin. A driver finds its own under the whole name.
const EXTRA_PREFIX: &str = "managedLedgerOffloadExtraConfig";

/// What every offload key has in its name, whosever it is; in lower case.
const OFFLOAD_PART: &str = "managedledgeroffload";

/// What was found in a configuration.
#[derive(Debug, Default)]
pub(in crate::plugin) struct Checked {
    /// What is wrong; the driver must not be made.
    pub(in crate::plugin) problems: Vec<ConfigProblem>,
    /// What somebody should look at.
    pub(in crate::plugin) warnings: Vec<String>,
}

/// Holds `properties` against what `note` says about the keys of `driver`; without a schema everything is right.
pub(in crate::plugin) fn check(note: &PluginNote, driver: &str, properties: &BTreeMap<String, String>) -> Checked {
    match schema_of(note) {
        Some(schema) => check_against(&schema, driver, properties),
        None => Checked::default(),
    }
}

/// A note's schema; `None` without one, and for one that admission would have refused.
pub(in crate::plugin) fn schema_of(note: &PluginNote) -> Option<ConfigSchema> {
    ConfigSchema::parse(note.config_schema.as_ref()?).ok()
}

/// `text` with stars for each value of a secret key in it.
pub(in crate::plugin) fn without_secrets(
    note: &PluginNote,
    properties: &BTreeMap<String, String>,
    text: String,
) -> String {
    let Some(schema) = schema_of(note) else { return text };
    let values = schema.secrets().filter_map(|key| properties.get(key)).map(|value| value.trim());
    values.filter(|value| value.len() >= SECRET_BYTES_MIN).fold(text, |text, secret| text.replace(secret, STARS))
}

/// `settings` with those of `foreign` that the plugin's schema names, or that begin with one of its prefixes. What a policy or the
/// host's own table has said already stays.
pub(in crate::plugin) fn with_own_keys(
    note: &PluginNote,
    settings: &DriverSettings,
    foreign: &BTreeMap<String, String>,
) -> DriverSettings {
    let mut settings = settings.clone();
    if let Some(schema) = schema_of(note).filter(|_| !foreign.is_empty()) {
        for (key, value) in foreign.iter().filter(|(key, _)| names(&schema, key)) {
            settings.properties.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    settings
}

/// Whether a plugin of `notes` has such a key. One without a schema may have any key that is named as an offload key: it gets all
/// of them.
pub(in crate::plugin) fn is_known<'a>(notes: impl Iterator<Item = &'a PluginNote>, key: &str) -> bool {
    let may_be_anyones = key.to_ascii_lowercase().contains(OFFLOAD_PART);
    notes.map(schema_of).any(|schema| schema.map_or(may_be_anyones, |schema| names(&schema, key)))
}

fn names(schema: &ConfigSchema, key: &str) -> bool {
    schema.properties.contains_key(key) || schema.prefixes.iter().any(|prefix| starts_with(key, prefix))
}

/// A sentence for each extra key that no plugin of `notes` knows; none where a plugin without a schema may know it.
pub(in crate::plugin) fn unknown_extra_keys<'a>(
    notes: impl Iterator<Item = &'a PluginNote>,
    properties: &BTreeMap<String, String>,
) -> Vec<String> {
    let Some(schemas) = notes.map(schema_of).collect::<Option<Vec<ConfigSchema>>>() else { return Vec::new() };
    let known = || schemas.iter().flat_map(|schema| schema.properties.keys());
    let unknown = properties.keys().filter(|key| starts_with(key, EXTRA_PREFIX) && !known().any(|known| known == *key));
    unknown
        .map(|key| {
            let near = known().find(|known| is_near(key, known));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            format!("{key}: no loaded plugin has such a key{near}")
        })
        .collect()
}

fn check_against(schema: &ConfigSchema, driver: &str, properties: &BTreeMap<String, String>) -> Checked {
    let mut checked = Checked::default();
    let given = |key: &str| properties.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
    let unknown: Vec<&str> = properties.keys().map(String::as_str).filter(|key| is_unknown(schema, key)).collect();
    for (key, property) in schema.of_driver(driver) {
        let Some(value) = given(key) else {
            if property.required {
                let near = unknown.iter().find(|unknown| is_near(unknown, key));
                let near = near.map(|near| format!("; `{near}` is there, which looks like it")).unwrap_or_default();
                let problem = format!("is needed: {}{near}", property.allowed_phrase());
                checked.problems.push(ConfigProblem::new(key, problem));
            }
            continue;
        };
        if !property.allows(value) {
            let problem = ConfigProblem::new(key, format!("allowed: {}", property.allowed_phrase()));
            checked.problems.push(problem.with_value(if property.secret { STARS } else { value }));
        }
    }
    for key in unknown {
        let near = schema.of_driver(driver).map(|(known, _)| known).filter(|known| is_near(key, known));
        let near = near.min_by_key(|known| edits(&letters(key), &letters(known)));
        let is_own = schema.prefixes.iter().any(|prefix| starts_with(key, prefix));
        match near {
            Some(near) if is_own => {
                let problem = format!("driver `{driver}` has no such key; did you mean `{near}`?");
                checked.problems.push(ConfigProblem::new(key, problem));
            }
            Some(near) if given(near).is_none() => {
                checked.warnings.push(format!("{key}: driver `{driver}` has no such key; did you mean `{near}`?"));
            }
            None if is_own => checked.warnings.push(format!("{key}: driver `{driver}` has no such key")),
            _ => {}
        }
    }
    checked
}

/// Whether `key` may be meant for the plugin, and is none of its keys.
fn is_unknown(schema: &ConfigSchema, key: &str) -> bool {
    let own = schema.prefixes.iter().any(|prefix| starts_with(key, prefix));
    (own || starts_with(key, EXTRA_PREFIX)) && !schema.properties.contains_key(key)
}

fn starts_with(key: &str, prefix: &str) -> bool {
    key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// A key without what all extra keys begin with, in lower case.
fn letters(key: &str) -> String {
    if starts_with(key, EXTRA_PREFIX) { &key[EXTRA_PREFIX.len()..] } else { key }.to_ascii_lowercase()
}

/// Whether `given` may be `known` misspelt.
fn is_near(given: &str, known: &str) -> bool {
    let (given, known) = (letters(given), letters(known));
    edits(&given, &known) <= (known.chars().count() / LETTERS_PER_EDIT).min(EDITS_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_driver_gets_the_foreign_keys_that_its_schema_names_and_no_other() {
        let tape = note(&json!({ "properties": {"reel": {"type": "string"}}, "x-prefixes": ["tape"] }));
        let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        let foreign: BTreeMap<String, String> =
            [("reel", "7"), ("tapeColour", "red"), ("clientSecret", "hush")].map(pair).into();
        let given = DriverSettings { properties: [pair(("tapeColour", "blue"))].into(), ..DriverSettings::default() };
        let settings = with_own_keys(&tape, &given, &foreign);
        assert_eq!(settings.properties, [pair(("reel", "7")), pair(("tapeColour", "blue"))].into());
        assert_eq!(with_own_keys(&note(&serde_json::Value::Null), &given, &foreign), given);

        let plain = note(&serde_json::Value::Null);
        for (key, of_tape, of_plain) in [
            ("reel", true, false),
            ("tapeX", true, false),
            ("acmeManagedLedgerOffloadShelf", false, true),
            ("x", false, false),
        ] {
            assert_eq!(is_known([&tape].into_iter(), key), of_tape, "{key}");
            assert_eq!(is_known([&tape, &plain].into_iter(), key), of_tape || of_plain, "{key}");
        }
    }

    fn checked(given: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let schema = ConfigSchema::parse(&json!({
            "properties": {
                "managedLedgerOffloadExtraConfigFolder": {"type": "string"},
                "managedLedgerOffloadExtraConfigPassword": {"type": "string", "minLength": 8, "writeOnly": true},
                "tapeBlocks": {"type": "integer", "minimum": 1, "maximum": 9, "x-unit": "blocks"},
                "tapeReel": {"type": "string", "x-drivers": ["reel"]},
            },
            "required": ["managedLedgerOffloadExtraConfigFolder", "tapeReel"],
            "x-prefixes": ["tape"],
        }))
        .unwrap();
        let properties = given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let checked = check_against(&schema, "Tape", &properties);
        (checked.problems.iter().map(ToString::to_string).collect(), checked.warnings)
    }

    const FOLDER: (&str, &str) = ("managedLedgerOffloadExtraConfigFolder", "/x");

    #[test]
    fn a_configuration_that_fits_has_no_problems() {
        let other = ("managedLedgerOffloadExtraConfigForAnotherDriver", "x");
        let plain = ("fileSystemURI", "file:///x");
        assert_eq!(checked(&[FOLDER, ("tapeBlocks", " 9 "), other, plain]), (vec![], vec![]));
    }

    #[test]
    fn all_problems_are_told_with_key_value_and_what_is_allowed() {
        let given = [
            ("managedLedgerOffloadExtraConfigFoldr", "/x"),
            ("managedLedgerOffloadExtraConfigPassword", "hunter2"),
            ("tapeBlocks", "10"),
            ("tapeBlock", "3"),
            ("tapeColour", "red"),
        ];
        let (problems, warnings) = checked(&given);
        assert_eq!(
            problems,
            [
                "managedLedgerOffloadExtraConfigFolder: is needed: text; `managedLedgerOffloadExtraConfigFoldr` is there, \
                 which looks like it",
                "managedLedgerOffloadExtraConfigPassword=***: allowed: text of a length from 8 on",
                "tapeBlocks=10: allowed: a whole number from 1 to 9 (blocks)",
                "tapeBlock: driver `Tape` has no such key; did you mean `tapeBlocks`?",
            ]
        );
        assert_eq!(
            warnings,
            [
                "managedLedgerOffloadExtraConfigFoldr: driver `Tape` has no such key; did you mean \
                 `managedLedgerOffloadExtraConfigFolder`?",
                "tapeColour: driver `Tape` has no such key",
            ]
        );
    }

    #[test]
    fn an_empty_value_is_absent_and_letter_case_is_a_mistake() {
        let (problems, _) = checked(&[("managedLedgerOffloadExtraConfigFolder", " ")]);
        assert_eq!(problems, ["managedLedgerOffloadExtraConfigFolder: is needed: text"]);
        let (problems, _) = checked(&[FOLDER, ("tapeblocks", "1")]);
        assert_eq!(problems, ["tapeblocks: driver `Tape` has no such key; did you mean `tapeBlocks`?"]);
    }

    fn note(config_schema: &serde_json::Value) -> PluginNote {
        let identity = json!({"schema": 1, "name": "tape", "version": "1.0.0", "api": "1.0.0", "api_min": "1.0.0",
            "drivers": ["tape"], "target": "x", "panic": "unwind", "config_schema": config_schema});
        PluginNote::parse(identity.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn extra_keys_that_no_plugin_knows_are_told() {
        let knows = |key: &str| note(&json!({"properties": {format!("{EXTRA_PREFIX}{key}"): {"type": "string"}}}));
        let properties: BTreeMap<String, String> = ["Folder", "Shelf", "Shelff", "Pin"]
            .map(|key| (format!("{EXTRA_PREFIX}{key}"), "x".to_owned()))
            .into_iter()
            .chain([("managedLedgerOffloadBucket".to_owned(), "x".to_owned())])
            .collect();
        let told = unknown_extra_keys([knows("Folder"), knows("Shelf")].iter(), &properties);
        let pin = format!("{EXTRA_PREFIX}Pin: no loaded plugin has such a key");
        let shelve =
            format!("{EXTRA_PREFIX}Shelff: no loaded plugin has such a key; did you mean `{EXTRA_PREFIX}Shelf`?");
        assert_eq!(told, [pin, shelve]);
        let silent = note(&serde_json::Value::Null);
        assert_eq!(unknown_extra_keys([knows("Folder"), silent].iter(), &properties), Vec::<String>::new());
    }

    #[test]
    fn secrets_are_starred_in_texts() {
        let note = note(&json!({"properties": {"key": {"type": "string", "writeOnly": true}}}));
        let scrub = |secret: &str, text: &str| {
            without_secrets(&note, &[("key".to_owned(), secret.to_owned())].into(), text.to_owned())
        };
        assert_eq!(scrub("hunter2", "no user hunter2 at hunter22"), "no user *** at ***2");
        assert_eq!(scrub("no", "no secret of two letters is looked for"), "no secret of two letters is looked for");
    }
}
