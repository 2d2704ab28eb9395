//! The configuration: what a factory makes of it, of strangers' keys, of nonsense, and what it lets out of its secrets.

use std::sync::Arc;

use longshore_plugin_api::{DriverConfig, ErrorCode};

use crate::case::{During, Failure, Verdict, cases, ensure};
use crate::stage::Stage;
use crate::subject::Bench;

/// Parts of a key's name that make its value a secret.
const SECRET_WORDS: [&str; 5] = ["password", "secret", "token", "credential", "accesskey"];
/// Stands where a value is needed that nobody allows. No file, bucket or host can have such a name, so that nothing is made
/// of it by a driver that does not look.
const NONSENSE: &str = "\0nonsense://::conformance??";
/// Stands where a secret is wrong; no text of the driver may repeat it.
const WRONG_SECRET: &str = "Wr0ng-s3cret-of-the-conformance-kit";
/// The most bytes of names and values that a host records with each ledger.
const DRIVER_METADATA_BYTES_MAX: usize = 64 * 1024;

cases! {
    "config-is-valid": "the configuration has no problem, however often it is checked",
        "OffloaderFactory::validate", [Validate] => config_is_valid;
    "strangers-keys-are-ignored": "keys of other drivers do no harm",
        "DriverConfig: ignore keys that you do not know", [] => strangers_keys;
    "nonsense-is-answered": "a configuration of nonsense is a problem or an error, not a panic",
        "OffloaderFactory::create: errors", [] => nonsense_is_answered;
    "validate-changes-nothing": "checking a configuration changes nothing in the store",
        "OffloaderFactory::validate: changes nothing", [Validate, Probe] => validate_changes_nothing;
    "many-instances": "instances of one configuration work side by side",
        "OffloaderFactory::create", [] => many_instances;
    "driver-metadata": "what is recorded with each ledger is steady and small",
        "Offloader::driver_metadata", [] => driver_metadata;
    "secrets-stay-inside": "no secret is in a problem, an error or the driver's metadata",
        "Error: never put a secret into it", [Secret] => secrets_stay_inside;
    "health-is-well": "the store can be reached, and asking again changes nothing",
        "Offloader::health", [] => health_is_well;
    "health-leaves-nothing": "asking for health leaves nothing in the store",
        "Offloader::health: without leaving anything behind", [Probe] => health_leaves_nothing;
}

/// The keys that hold secrets: those that the bench names, and those whose own names say so.
pub(crate) fn secret_keys(bench: &dyn Bench) -> Vec<&str> {
    let (named, config) = (bench.secret_keys(), bench.config());
    let is_secret = |key: &str| {
        let lower = key.to_ascii_lowercase();
        named.iter().any(|named| named == key) || SECRET_WORDS.iter().any(|word| lower.contains(word))
    };
    let given = config.properties.iter().filter(|(_, value)| !value.trim().is_empty());
    given.map(|(key, _)| key.as_str()).filter(|key| is_secret(key)).collect()
}

async fn config_is_valid(stage: Arc<Stage>) -> Verdict {
    for _ in 0..10 {
        let problems = stage.bench.validate(stage.bench.config()).unwrap_or_default();
        ensure!(problems.is_empty(), "a configuration that had no problem has {problems:?}");
    }
    Ok(())
}

async fn strangers_keys(stage: Arc<Stage>) -> Verdict {
    let mut config = stage.bench.config().clone();
    for (key, value) in [
        ("managedLedgerOffloadExtraConfigOfSomebodyElse", "conformance"),
        ("managedLedgerOffloadAutoTriggerSizeThresholdBytes", "1000"),
        ("offloadersDirectory", "/nowhere"),
    ] {
        config.properties.insert(key.to_owned(), value.to_owned());
    }
    let subject = stage.bench.create(config).await.during("make an instance with keys of other drivers")?;
    let copy = stage.small_copy(&mut stage.random()).await?;
    copy.through(&subject).check().await
}

/// Configurations with one value replaced; the key is told.
fn spoiled(config: &DriverConfig, value: &str) -> Vec<(String, DriverConfig)> {
    let spoil = |key: &String| {
        let mut spoiled = config.clone();
        spoiled.properties.insert(key.clone(), value.to_owned());
        (key.clone(), spoiled)
    };
    config.properties.keys().map(spoil).collect()
}

async fn nonsense_is_answered(stage: Arc<Stage>) -> Verdict {
    let config = stage.bench.config();
    let mut configs = spoiled(config, "");
    configs.extend(spoiled(config, NONSENSE));
    configs.extend(spoiled(config, &"9".repeat(10_000)));
    configs.push(("no key at all".to_owned(), DriverConfig { driver: config.driver.clone(), ..Default::default() }));
    for (key, config) in configs {
        let problems = stage.bench.validate(&config);
        // What validate lets through may work: the key may mean nothing to the driver. It only must not fall over.
        if problems.is_none_or(|problems| problems.is_empty())
            && let Err(error) = stage.bench.create(config).await
        {
            let code = error.code();
            ensure!(code != ErrorCode::Panicked, "create with nonsense in {key}: {error}");
        }
    }
    Ok(())
}

async fn validate_changes_nothing(stage: Arc<Stage>) -> Verdict {
    let copy = stage.small_copy(&mut stage.random()).await?;
    let before = stage.objects()?;
    for _ in 0..3 {
        drop(stage.bench.validate(stage.bench.config()));
    }
    let after = stage.objects()?;
    ensure!(after == before, "the store held {before:?}, and {after:?} after the configuration was checked");
    copy.check().await
}

async fn many_instances(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let mut copies = Vec::new();
    for _ in 0..4 {
        let copy = stage.attempt(&stage.small_ledger(&mut random)).through(&stage.fresh().await?);
        copy.offload().await?;
        copies.push(copy);
    }
    for (copy, reader) in copies.iter().zip(copies.iter().cycle().skip(1)) {
        copy.check().await?;
        copy.through(&reader.subject).check().await?;
    }
    Ok(())
}

async fn driver_metadata(stage: Arc<Stage>) -> Verdict {
    let first = stage.subject.driver_metadata();
    stage.small_copy(&mut stage.random()).await?;
    ensure!(stage.subject.driver_metadata() == first, "it changed while the instance lived");
    let other = stage.fresh().await?.driver_metadata();
    ensure!(other == first, "another instance with the same configuration has {other:?}, this one {first:?}");
    let bytes: usize = first.iter().map(|(name, value)| name.len() + value.len()).sum();
    ensure!(bytes <= DRIVER_METADATA_BYTES_MAX, "{bytes} bytes are too many: they are recorded with each ledger");
    Ok(())
}

async fn secrets_stay_inside(stage: Arc<Stage>) -> Verdict {
    let config = stage.bench.config();
    let secrets: Vec<String> =
        secret_keys(&*stage.bench).iter().filter_map(|key| config.get(key)).map(str::to_owned).collect();
    let keep = |place: &str, text: &str| match secrets.iter().find(|secret| text.contains(secret.as_str())) {
        Some(_) => Err(Failure(format!("{place} contains the value of a secret key"))),
        None => Ok(()),
    };
    keep("the driver's metadata", &format!("{:?}", stage.subject.driver_metadata()))?;
    let mut random = stage.random();
    let missing = stage.attempt(&stage.small_ledger(&mut random));
    if let Err(error) = missing.try_open().await {
        keep("the error of opening a copy that is missing", &format!("{error} {error:?}"))?;
    }
    for (key, spoiled) in spoiled(config, NONSENSE).into_iter().chain(spoiled(config, "")) {
        for problem in stage.bench.validate(&spoiled).unwrap_or_default() {
            keep("a problem of a wrong configuration", &format!("{problem} {problem:?}"))?;
        }
        if let Err(error) = stage.bench.create(spoiled).await {
            keep(&format!("the error of create with a wrong {key}"), &format!("{error} {error:?}"))?;
        }
    }
    for key in secret_keys(&*stage.bench) {
        let mut wrong = config.clone();
        wrong.properties.insert(key.to_owned(), WRONG_SECRET.to_owned());
        let problems = format!("{:?}", stage.bench.validate(&wrong));
        ensure!(!problems.contains(WRONG_SECRET), "a problem repeats the wrong value of {key}: {problems}");
        if let Err(error) = stage.bench.create(wrong).await {
            let text = format!("{error} {error:?}");
            ensure!(!text.contains(WRONG_SECRET), "the error of create repeats the wrong value of {key}: {error}");
        }
    }
    Ok(())
}

async fn health_is_well(stage: Arc<Stage>) -> Verdict {
    let copy = stage.small_copy(&mut stage.random()).await?;
    for _ in 0..10 {
        stage.subject.health().await.during("health")?;
    }
    copy.check().await
}

async fn health_leaves_nothing(stage: Arc<Stage>) -> Verdict {
    let before = stage.objects()?;
    for _ in 0..3 {
        stage.subject.health().await.during("health")?;
    }
    stage.fresh().await?.health().await.during("health of a new instance")?;
    let mut after = stage.objects()?;
    after.retain(|name| !before.contains(name));
    ensure!(after.is_empty(), "health left {after:?}");
    Ok(())
}
