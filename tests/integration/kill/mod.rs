//! The real broker is killed (SIGKILL) at seeded moments under everything at once: producers with keys, consumers that
//! acknowledge, offloads by threshold and by request, trims, policies that change, drivers and versions of them that are
//! swapped. After each restart what was acknowledged is there once and in order, no cursor has gone back, what was answered
//! is in force, and the cold tiers hold exactly what the records name. At the end the topics are deleted, and nothing is left.
//!
//! `LONGSHORE_KILLS` says how many kills (the gate has a few), `LONGSHORE_KILL_SEED` the first seed: a failure names both. With
//! `LONGSHORE_TEST_S3_ENDPOINT` and its like the same is done to a server that speaks S3, whose plugin must be built
//! (`cargo build --workspace`); `LONGSHORE_REQUIRE_SERVERS=S3` makes its absence a failure.

mod model;
mod stage;
mod tiers;
mod work;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_tests::broker::BrokerProcess;

use model::{Model, Tally};
use stage::Stage;
use tiers::Bucket;

/// Kills where nothing else is asked for.
const KILLS: u64 = 8;
/// The first seed where nothing else is asked for.
const SEED: u64 = 20_261_121;

fn number(variable: &str, default: u64) -> u64 {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    value.map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{variable}={value} is no number")))
}

/// Kills the broker of `stage` again and again, and looks at what is left.
async fn kill_again_and_again(stage: Stage) -> Result<()> {
    let (kills, first) = (number("LONGSHORE_KILLS", KILLS), number("LONGSHORE_KILL_SEED", SEED));
    eprintln!("{kills} kills, seeds from {first}; again: LONGSHORE_KILLS={kills} LONGSHORE_KILL_SEED={first}");
    let (mut model, mut tally) = (Model::default(), Tally::default());
    let mut broker = stage.start()?;
    stage.set_up(&broker)?;
    for kill in 0..kills {
        let seed = first + kill;
        let life = Duration::from_millis(fastrand::Rng::with_seed(seed).u64(40..900));
        let told = || format!("seed {seed}, kill {kill} after {life:?}; the folder: {}", stage.keep());
        tally += work::live_and_die(&stage, broker, &mut model, seed, life).await.with_context(told)?;
        broker = stage.start().with_context(told)?;
        check(&stage, &broker, &mut model).await.with_context(told)?;
        eprintln!("kill {kill}, seed {seed}, after {life:?}: {} messages", model.acknowledged_count());
    }
    let told = || format!("after the last of {kills} kills from seed {first}; the folder: {}", stage.keep());
    check_the_end(&stage, &broker, &mut model, &mut tally).await.with_context(told)?;
    broker.stop().with_context(told)?;
    eprintln!("{kills} kills: {tally:?}");
    tally.must_show_something(kills)
}

/// What must hold after each restart.
async fn check(stage: &Stage, broker: &BrokerProcess, model: &mut Model) -> Result<()> {
    stage.check_cursors(broker, model).context("cursors")?;
    stage.check_policies(broker, model).context("policies")?;
    stage.read_on(broker, model).await.context("read what is kept")?;
    stage.check_copies(broker).map(|_| ()).context("copies")
}

/// All that was ever acknowledged, from the first message on; then nothing, when the topics are deleted.
async fn check_the_end(stage: &Stage, broker: &BrokerProcess, model: &mut Model, tally: &mut Tally) -> Result<()> {
    model.forget_reading();
    stage.read_on(broker, model).await.context("read everything from the first message on")?;
    work::take_the_rest(broker, model).await.context("take what waits")?;
    stage.check_copies(broker).context("copies")?;
    tally.ledgers_trimmed = stage.ledgers_trimmed(broker)?;
    tally.copies = stage.delete_topics(broker).context("delete the topics")?;
    ensure!(tally.messages == model.acknowledged_count(), "{tally:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kills_at_seeded_moments() -> Result<()> {
    kill_again_and_again(Stage::with_folders()?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kills_with_copies_on_s3() -> Result<()> {
    match Bucket::of_environment("kills") {
        Some(bucket) => kill_again_and_again(Stage::with_bucket(bucket)?).await,
        None => Ok(()),
    }
}
