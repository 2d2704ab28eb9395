//! What a call costs: sync, as a task of the plugin, answered in the call, with one payload and with a thousand.

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::future::join_all;
use longshore::plugin::PluginHost;
use longshore::storage::{DriverLookup, OffloadDriver, ReadHandle};

use crate::in_process::{Describe, InProcess};
use crate::{FILE, ROUNDS, Row, median, mode, stored};

const PAYLOAD_BYTES: usize = 1 << 20;
/// Calls at once in the figures that hide the wake-ups.
const AT_ONCE: usize = 64;
/// Entries of a batch.
const BATCH: u64 = 1000;

/// Nanoseconds for one call: the median of the rounds.
fn sync_ns(calls: u32, mut call: impl FnMut()) -> f64 {
    median((0..ROUNDS).map(|_| {
        let began = Instant::now();
        (0..calls).for_each(|_| call());
        began.elapsed().as_nanos() as f64 / f64::from(calls)
    }))
}

async fn async_ns<F: Future>(calls: u32, at_once: usize, mut call: impl FnMut() -> F) -> f64 {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..calls {
            if at_once == 1 {
                black_box(call().await);
            } else {
                black_box(join_all((0..at_once).map(|_| call())).await);
            }
        }
        rounds.push(began.elapsed().as_nanos() as f64 / (f64::from(calls) * at_once as f64));
    }
    median(rounds.into_iter())
}

/// A ledger in process and its copy behind the boundary, read by a driver in `how`.
async fn both(
    host: &PluginHost,
    payloads: Vec<Bytes>,
    how: &str,
) -> Result<(Arc<dyn ReadHandle>, Arc<dyn ReadHandle>)> {
    let (target, near) = (stored(1), InProcess(payloads));
    let source = near.open(&target).await?;
    host.driver("misbehaving", &mode("ok")).await?.offload(Arc::clone(&source), target.clone()).await?;
    Ok((source, host.driver("misbehaving", &mode(how)).await?.open(&target).await?))
}

pub(crate) async fn figures(host: &PluginHost) -> Result<Vec<Row>> {
    let library = host.library(FILE).context("the plugin was not loaded")?;
    let describe: Box<dyn Describe> = black_box(Box::new(InProcess(Vec::new())));
    let mut rows = vec![
        Row::new(
            "sync call",
            Some(sync_ns(10_000_000, || _ = black_box(describe.describe()))),
            sync_ns(10_000_000, || _ = black_box(library.describe())),
            "ns",
        )
        .at_most(10.0),
    ];
    let (near, far) = both(host, vec![Bytes::from_static(b"x")], "inline-quick").await?;
    let (here, across) = (
        async_ns(1_000_000, 1, || near.read(0, 0, u64::MAX)).await,
        async_ns(1_000_000, 1, || far.read(0, 0, u64::MAX)).await,
    );
    rows.push(Row::new("read answered in the call, with all rules of the host", Some(here), across, "ns"));

    let (near, across) = (InProcess(Vec::new()), host.driver("misbehaving", &mode("ok")).await?);
    for at_once in [1, AT_ONCE] {
        let calls = (20_000 / at_once) as u32;
        let here = async_ns(calls * 50, at_once, || near.health()).await;
        let across = async_ns(calls, at_once, || across.health()).await;
        rows.push(Row::new(format!("task of the plugin, {at_once} at once"), Some(here), across, "ns"));
    }

    let payload = Bytes::from(vec![7; PAYLOAD_BYTES]);
    for (how, name) in [("ok", "a task"), ("inline-quick", "in the call")] {
        let (near, far) = both(host, vec![payload.clone()], how).await?;
        let (here, there) = (near.read(0, 0, u64::MAX).await?, far.read(0, 0, u64::MAX).await?);
        anyhow::ensure!(here[0].payload.as_ptr() == there[0].payload.as_ptr(), "1 MiB was copied");
        for at_once in [1, AT_ONCE] {
            let calls = (20_000 / at_once) as u32;
            let here = async_ns(calls * 10, at_once, || near.read(0, 0, u64::MAX)).await;
            let across = async_ns(calls, at_once, || far.read(0, 0, u64::MAX)).await;
            rows.push(Row::new(
                format!("1 MiB that is in memory, {name}, {at_once} at once"),
                Some(here),
                across,
                "ns",
            ));
        }
    }

    let payloads = (0..BATCH).map(|_| Bytes::from(vec![7; 100])).collect();
    let (near, far) = both(host, payloads, "inline-quick").await?;
    let here = async_ns(2000, 1, || near.read(0, BATCH - 1, u64::MAX)).await / BATCH as f64;
    let across = async_ns(2000, 1, || far.read(0, BATCH - 1, u64::MAX)).await / BATCH as f64;
    rows.push(Row::new(format!("an entry of a batch of {BATCH}"), Some(here), across, "ns").at_most(100.0));
    Ok(rows)
}
