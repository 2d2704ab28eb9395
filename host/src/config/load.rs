//! From texts to [`Config`]: later sources overrule earlier ones, every mistake is answered at once.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use semver::Version;

use super::driver_pin;
use super::key::{Key, Value};
use super::near::nearest;
use super::no_effect;
use super::paths::absolute_file_uri;
use super::properties::{self, Property};
use super::report::{ConfigErrors, Mistake, Severity, Warning};
use super::setting::{DriverIsolation, Setting as _};
use super::settings::{Config, SECTIONS};
use super::source::Source;
use super::unknown::UnknownKey;

/// Unknown keys for which a near match is looked for; each costs a comparison with every known key.
const NEAR_MATCHES_MAX: usize = 50;
/// Names that one warning shows at most.
const NAMES_SHOWN_MAX: usize = 12;

/// The key of a single driver's isolation begins so; the driver follows.
const ISOLATION_PREFIX: &str = "offloadersIsolation.";

/// Texts that belong to third-party drivers begin so; the rest is the driver's business.
const EXTRA_CONFIG_PREFIX: &str = "managedLedgerOffloadExtraConfig";

impl Config {
    /// The settings of `file`, or of the built-in text where none is named.
    ///
    /// # Errors
    /// Every mistake of the file.
    pub fn load(file: Option<&Path>) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let source = match file {
            Some(path) => Source::file(path)?,
            None => Source::embedded(),
        };
        Self::from_sources(&[source])
    }

    /// The settings of several texts; a later one overrules an earlier one. An empty slice gives the defaults.
    ///
    /// # Errors
    /// Every mistake of every text.
    pub fn from_sources(sources: &[Source]) -> Result<(Self, Vec<Warning>), ConfigErrors> {
        let mut loader = Loader::default();
        for source in sources {
            loader.take(source);
        }
        loader.finish()
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
struct Placed {
    file: String,
    profile_optional: bool,
    property: Property,
}

impl Placed {
    fn mistake(&self, problem: String) -> Mistake {
        let Property { key, value, line, typed } = &self.property;
        let glued = glued_key(value).map(|lost| {
            let shown = if is_secret(key) { format!("{key}=***") } else { typed.trim().to_owned() };
            format!("; the line `{shown}` looks like two: put a line break before `{lost}`")
        });
        Mistake {
            file: self.file.clone(),
            line: Some(*line),
            setting: format!("{key}={}", if is_secret(key) { "***" } else { value }),
            problem: problem + &glued.unwrap_or_default(),
        }
    }
}

/// Collects what the sources say.
#[derive(Default)]
struct Loader {
    values: BTreeMap<String, Placed>,
    search_folders: Vec<PathBuf>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
}

impl Loader {
    fn take(&mut self, source: &Source) {
        let (properties, malformed) = properties::parse(&source.text);
        self.mistakes.extend(malformed.into_iter().map(|bad| Mistake {
            file: source.name.clone(),
            line: Some(bad.line),
            setting: String::new(),
            problem: bad.problem,
        }));
        let mut lines: HashMap<String, usize> = HashMap::new();
        for property in self.part_glued(source, properties) {
            if property.key.is_empty() {
                let problem = format!("`{}` has no key; allowed: key=value", property.typed.trim());
                let line = Some(property.line);
                self.mistakes.push(Mistake { file: source.name.clone(), line, setting: String::new(), problem });
                continue;
            }
            if let Some(earlier) = lines.insert(property.key.clone(), property.line) {
                self.warn(format!(
                    "{}:{}: `{}` stands on line {earlier} already; the last one counts",
                    source.name, property.line, property.key
                ));
            }
            let placed = Placed { file: source.name.clone(), profile_optional: source.profile_optional, property };
            self.values.insert(placed.property.key.clone(), placed);
        }
        self.search_folders.extend(source.folder.clone());
    }

    /// Gives a key back its line that was appended to a file without a line break at its end, as the original's is shipped:
    /// behind a key that has no effect here, there is nothing else that the text could be.
    fn part_glued(&mut self, source: &Source, properties: Vec<Property>) -> Vec<Property> {
        let mut parted = Vec::with_capacity(properties.len());
        for mut property in properties {
            let is_idle = !has_effect(&property.key) && no_effect::family(&property.key).is_some();
            let Some((own, lost)) = glued(&property.value).filter(|_| is_idle) else {
                parted.push(property);
                continue;
            };
            let rest = &property.value[own.len() + lost.len()..];
            let value = rest.trim_start_matches(['=', ':']).trim().to_owned();
            let appended = Property { key: lost.to_owned(), value, ..property.clone() };
            self.warn(format!(
                "{}:{}: `{}` and `{lost}` stand in one line, which is read as two: put a line break before `{lost}`",
                source.name, property.line, property.key
            ));
            property.value = own.to_owned();
            parted.extend([property, appended]);
        }
        parted
    }

    fn warn(&mut self, text: String) {
        self.warnings.push(Warning { severity: Severity::Warn, text });
    }

    fn finish(mut self) -> Result<(Config, Vec<Warning>), ConfigErrors> {
        let mut config = Config::assemble(|key| self.value_of(key));
        self.read_pins(&mut config);
        self.check_together(&config);
        config.isolation_by_driver = self.isolation_by_driver();
        config.unknown_keys = self.note_other_keys();
        self.note_lost_line_breaks();
        if !self.mistakes.is_empty() {
            self.mistakes.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
            return Err(ConfigErrors(self.mistakes));
        }
        let working_folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        config.search_folders = search_folders(&working_folder, &self.search_folders);
        self.hand_to_drivers(&mut config, &working_folder);
        config.shown = self.shown();
        Ok((config, self.warnings))
    }

    /// What is in force, as text; secrets only as stars.
    fn shown(&self) -> BTreeMap<String, String> {
        let defaults = known_keys().map(|key| (key.name.to_owned(), key.default.to_owned()));
        let given = self.values.iter().map(|(name, placed)| (name.clone(), placed.property.value.clone()));
        let all = defaults.chain(given).collect::<BTreeMap<_, _>>();
        let star = |(name, value): (String, String)| {
            let value = if is_secret(&name) && !value.is_empty() { "***".to_owned() } else { value };
            (name, value)
        };
        all.into_iter().map(star).collect()
    }

    /// The value of `key`; its default where the text is wrong, which is then a mistake.
    fn value_of(&mut self, key: &Key) -> Value {
        let placed = key.other_name.and_then(|name| self.given(name)).or_else(|| self.given(key.name));
        let text = placed.map_or("", |placed| placed.property.value.as_str());
        match key.read(text) {
            Ok(value) => value,
            Err(problem) => {
                let mistake = placed.map(|placed| placed.mistake(problem));
                self.mistakes.extend(mistake);
                key.read("").expect("every default stands up to its own kind, as a test shows")
            }
        }
    }

    /// What is given for `name`, unless it is empty.
    fn given(&self, name: &str) -> Option<&Placed> {
        self.values.get(name).filter(|placed| !placed.property.value.is_empty())
    }

    /// The keys that name a driver and say where it runs.
    fn isolation_by_driver(&mut self) -> BTreeMap<String, DriverIsolation> {
        let key = Key::choice(ISOLATION_PREFIX, "", DriverIsolation::WORDS);
        let mut by_driver = BTreeMap::new();
        for (name, placed) in &self.values {
            let Some(driver) = name.strip_prefix(ISOLATION_PREFIX) else { continue };
            match key.read(&placed.property.value) {
                Ok(value) => {
                    by_driver.extend(DriverIsolation::from_value(value).map(|home| (driver.to_ascii_lowercase(), home)))
                }
                Err(problem) => self.mistakes.push(placed.mistake(problem)),
            }
        }
        by_driver
    }

    /// Fills `driver_pins`. One plugin serves in one version, so pins of a plugin agree on it.
    fn read_pins(&mut self, config: &mut Config) {
        let mut first_of: HashMap<String, (Version, String)> = HashMap::new();
        let mut mistakes = Vec::new();
        let is_pin = |placed: &&Placed| placed.property.key.starts_with(driver_pin::PREFIX);
        for placed in self.values.values().filter(is_pin).filter(|placed| !placed.property.value.is_empty()) {
            let Property { key, value, .. } = &placed.property;
            let (driver, pin) = match driver_pin::read(key, value) {
                Ok(read) => read,
                Err(problem) => {
                    mistakes.push(placed.mistake(problem));
                    continue;
                }
            };
            if let Some(version) = &pin.version {
                let first = first_of.entry(pin.plugin.clone()).or_insert_with(|| (version.clone(), key.clone()));
                if first.0 != *version {
                    let problem =
                        format!("{} asks for version {} of the same plugin; allowed: one version", first.1, first.0);
                    mistakes.push(placed.mistake(problem));
                }
            }
            if config.driver_pins.insert(driver, pin).is_some() {
                mistakes.push(placed.mistake("the driver is pinned by another line; allowed: one line".to_owned()));
            }
        }
        self.mistakes.extend(mistakes);
    }

    /// Rules between keys.
    fn check_together(&mut self, config: &Config) {
        if config.ledger_rollover_min_minutes > config.ledger_rollover_max_minutes {
            let allowed = format!(
                "a ledger cannot be closed after {} minutes at most and {} at least; allowed: a maximum not under the minimum",
                config.ledger_rollover_max_minutes, config.ledger_rollover_min_minutes
            );
            self.mistake_of(
                &["managedLedgerMaxLedgerRolloverTimeMinutes", "managedLedgerMinLedgerRolloverTimeMinutes"],
                allowed,
            );
        }
        if config.broker_service_port != 0 && config.broker_service_port == config.web_service_port {
            let allowed =
                "both services cannot have one port; allowed: brokerServicePort and webServicePort that differ";
            self.mistake_of(&["webServicePort", "brokerServicePort"], allowed.to_owned());
        }
    }

    /// A mistake at the first of `keys` that is given.
    fn mistake_of(&mut self, keys: &[&str], problem: String) {
        let mistake = keys.iter().find_map(|key| self.given(key)).map(|placed| placed.mistake(problem));
        self.mistakes.extend(mistake);
    }

    /// Warnings about keys that nothing here reads; answers those that are none of Pulsar's either.
    fn note_other_keys(&mut self) -> Vec<UnknownKey> {
        let others = self.values.values().filter(|placed| !has_effect(&placed.property.key));
        let (idle, unknown): (Vec<&Placed>, Vec<&Placed>) =
            others.partition(|placed| no_effect::family(&placed.property.key).is_some());
        let mut warnings: Vec<Warning> = Vec::new();
        for (placed, sentence) in self.values.values().filter_map(|placed| Some((placed, protection(placed)?))) {
            let Property { key, value, line, .. } = &placed.property;
            let text = format!("{}:{line}: {key}={value}: {sentence}", placed.file);
            warnings.push(Warning { severity: Severity::Warn, text });
        }
        let others = idle.into_iter().filter(|placed| protection(placed).is_none());
        warnings.extend(note_idle_keys(&others.collect::<Vec<_>>()));
        let unknown = unknown_keys(&unknown);
        self.warnings.extend(warnings);
        unknown
    }

    /// Warns of values that were accepted though a key stands inside them.
    fn note_lost_line_breaks(&mut self) {
        let wrong: Vec<(String, Option<usize>)> = self.mistakes.iter().map(|m| (m.file.clone(), m.line)).collect();
        let mut warnings = Vec::new();
        for placed in self.values.values() {
            let Property { key, value, line, typed } = &placed.property;
            let Some(lost) = glued_key(value) else { continue };
            if wrong.contains(&(placed.file.clone(), Some(*line))) {
                continue;
            }
            // Which extra keys are secret is for their plugin to say, which nobody has asked yet.
            let hidden = is_secret(key) || key.starts_with(EXTRA_CONFIG_PREFIX);
            let shown = if hidden { format!("{key}=***") } else { typed.trim().to_owned() };
            let text =
                format!("{}:{line}: the line `{shown}` looks like two: put a line break before `{lost}`", placed.file);
            warnings.push(Warning { severity: Severity::Warn, text });
        }
        self.warnings.extend(warnings);
    }

    /// Fills `offload_properties`.
    fn hand_to_drivers(&mut self, config: &mut Config, working_folder: &Path) {
        for (key, placed) in &self.values {
            let value = &placed.property.value;
            if is_for_drivers(key) && !value.is_empty() {
                config.offload_properties.insert(key.clone(), value.clone());
            }
        }
        if let Some(uri) = config.offload_properties.get_mut("fileSystemURI") {
            *uri = absolute_file_uri(uri, working_folder);
            config.file_system_uri = Some(uri.clone());
        }
        let optional = self.given("fileSystemProfilePath").filter(|placed| placed.profile_optional);
        let missing = optional
            .map(|placed| placed.property.value.clone())
            .filter(|path| super::resolve_existing("fileSystemProfilePath", path, &config.search_folders).is_err());
        if let Some(path) = missing {
            config.offload_properties.remove("fileSystemProfilePath");
            config.file_system_profile_path = None;
            let text =
                format!("no {path} in the working folder nor in conf: cold copies are compressed record by record");
            self.warnings.push(Warning { severity: Severity::Info, text });
        }
    }
}

/// The working folder, then those of the files, each once and absolute.
fn search_folders(working_folder: &Path, of_files: &[PathBuf]) -> Vec<PathBuf> {
    let mut folders = vec![working_folder.to_owned()];
    for folder in of_files {
        let folder = working_folder.join(folder);
        let is_new = folders.iter().all(|known| known.components().ne(folder.components()));
        if is_new {
            folders.push(folder);
        }
    }
    folders
}

fn known_keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.keys.iter().map(|(key, _)| key))
}

fn known_names() -> impl Iterator<Item = &'static str> {
    known_keys().flat_map(|key| std::iter::once(key.name).chain(key.other_name))
}

fn has_effect(name: &str) -> bool {
    name.starts_with(EXTRA_CONFIG_PREFIX)
        || name.starts_with(ISOLATION_PREFIX)
        || name.starts_with(driver_pin::PREFIX)
        || known_names().any(|known| known == name)
}

/// Whether storage drivers get the key: those of the table, and every other one that is named as an offload key, since a
/// third party's driver has keys of its own.
fn is_for_drivers(name: &str) -> bool {
    let is_pin = name.starts_with(driver_pin::PREFIX);
    !is_pin && name.to_ascii_lowercase().contains("managedledgeroffload")
        || name.starts_with("fileSystem")
        || known_keys().any(|key| key.for_driver && (key.name == name || key.other_name == Some(name)))
}

/// Whether the value must not be shown: by the table, or by what the name says.
fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    ["password", "passphrase", "secret", "token", "credential", "accesskey", "apikey", "privatekey"]
        .iter()
        .any(|word| lower.contains(word))
        || known_keys().any(|key| key.secret && key.name == name)
}

/// The known key that stands inside `value` with a separator after it: a line break was lost before it.
fn glued_key(value: &str) -> Option<&'static str> {
    glued(value).map(|(_, key)| key)
}

/// The same, and what stands before it.
fn glued(value: &str) -> Option<(&str, &'static str)> {
    let letters_before = |end: usize| {
        let start = value[..end].bytes().rev().take_while(u8::is_ascii_alphanumeric).count();
        &value[end - start..end]
    };
    value.match_indices(['=', ':']).find_map(|(end, _)| {
        let run = letters_before(end);
        let key = known_names().filter(|name| run.ends_with(name)).max_by_key(|name| name.len())?;
        Some((&value[..end - key.len()], key))
    })
}

/// A key of a family up to its point.
fn family(key: &str) -> &str {
    key.split_inclusive('.').next().unwrap_or(key)
}

fn pins() -> impl Iterator<Item = &'static str> {
    std::iter::once(driver_pin::PREFIX)
}

/// Each is told as `a (file:1, did you mean b?)`.
fn unknown_keys(unknown: &[&Placed]) -> Vec<UnknownKey> {
    let named = unknown.iter().enumerate().map(|(index, placed)| {
        let Property { key, value, line, .. } = &placed.property;
        let near = (index < NEAR_MATCHES_MAX)
            .then(|| nearest(key, known_names().chain(no_effect::names())).or_else(|| nearest(family(key), pins())))
            .flatten()
            .map(|near| format!(", did you mean `{near}`?"));
        let told = format!("`{key}` ({}:{line}{})", placed.file, near.unwrap_or_default());
        UnknownKey { key: key.clone(), value: value.clone(), told }
    });
    named.collect()
}

/// The sentence about a key whose value somebody may rely on for protection.
fn protection(placed: &Placed) -> Option<&'static str> {
    let Property { key, value, .. } = &placed.property;
    let asks = |asking: &str| !value.is_empty() && (asking.is_empty() || value.eq_ignore_ascii_case(asking));
    let found = no_effect::PROTECTIVE.iter().find(|(known, asking, _)| known == key && asks(asking));
    found.map(|(_, _, sentence)| *sentence)
}

/// Keys of the original's without effect here: those that ask for another behaviour than it shows by itself, and all others.
fn note_idle_keys(idle: &[&Placed]) -> Vec<Warning> {
    let shipped = if idle.is_empty() { HashMap::new() } else { no_effect::shipped_values() };
    let asks = |placed: &&&Placed| {
        let Property { key, value, .. } = &placed.property;
        let matters = no_effect::family(key).is_some_and(|family| family.weight == no_effect::Weight::Behaviour);
        matters && no_effect::is_asked_for(shipped.get(key), value)
    };
    let (asking, harmless): (Vec<&Placed>, Vec<&Placed>) = idle.iter().partition(|placed| asks(placed));
    let mut warnings = Vec::new();
    if !asking.is_empty() {
        let told = asking.iter().map(|placed| {
            let Property { key, value, .. } = &placed.property;
            let reason = no_effect::family(key).map_or("", |family| family.reason);
            format!("{key}={} ({reason})", if is_secret(key) { "***" } else { value })
        });
        let text = format!(
            "keys that would change what Apache Pulsar does, and change nothing here: {}",
            told.collect::<Vec<_>>().join("; ")
        );
        warnings.push(Warning { severity: Severity::Warn, text });
    }
    if !harmless.is_empty() {
        let names = harmless.iter().map(|placed| placed.property.key.clone());
        let text = format!("keys of Apache Pulsar that have no effect here, which is harmless: {}", listed(names));
        warnings.push(Warning { severity: Severity::Info, text });
    }
    warnings
}

/// The first few names, and how many more there are.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMES_SHOWN_MAX);
    let shown: Vec<String> = names.take(NAMES_SHOWN_MAX).collect();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
