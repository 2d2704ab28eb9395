//! What an event of a plugin's log costs, forwarded to a host that counts it, and where the host does not want it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, ensure};
use longshore::plugin::PluginHost;
use longshore::storage::DriverLookup;
use tracing::span;

use crate::{ROUNDS, Row, cpu_ns, median, mode};

/// Events of one call of the fixture plugin, wanted and not. Looking at the clocks of all threads costs as much as 100,000 unwanted
/// ones.
const EVENTS: u64 = 100_000;
const UNWANTED_EVENTS: u64 = 10_000_000;

/// The host's log: wants info and counts.
#[derive(Clone, Default)]
pub(crate) struct Counted(Arc<AtomicU64>);

impl Counted {
    pub(crate) fn install() -> Result<Self> {
        let counted = Self::default();
        tracing::subscriber::set_global_default(counted.clone()).context("install the log")?;
        Ok(counted)
    }
}

impl tracing::Subscriber for Counted {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= tracing::Level::INFO
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

pub(crate) async fn figures(host: &PluginHost, counted: &Counted) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (how, what, count, bound) in [
        ("events-health", "log event, forwarded with a field and two spans", EVENTS, 1000.0),
        ("unwanted-health", "log event, not wanted", UNWANTED_EVENTS, 2.0),
    ] {
        let driver = host.driver("misbehaving", &mode(how)).await?;
        driver.health().await?;
        let (before, mut rounds) = (counted.0.load(Ordering::Relaxed), Vec::new());
        for _ in 0..ROUNDS {
            let began = cpu_ns()?;
            driver.health().await?;
            rounds.push((cpu_ns()? - began) / count as f64);
        }
        let events = counted.0.load(Ordering::Relaxed) - before;
        let forwarded = how == "events-health";
        ensure!((events >= count * ROUNDS as u64) == forwarded, "{events} events arrived in {how}");
        rows.push(Row::new(what, None, median(rounds.into_iter()), "ns").at_most(bound));
    }
    Ok(rows)
}
