//! What a call costs: sync, as a task of the plugin, answered in the call, with one payload and with a thousand.

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use longshore::plugin::PluginHost;
use longshore::storage::{DriverLookup, OffloadDriver, ReadHandle};
use longshore_plugin_api::abi::FfiCall;

use crate::in_process::{Describe, InProcess};
use crate::{FILE, ROUNDS, Row, cpu_ns, median, mode, stored};

const PAYLOAD_BYTES: usize = 1 << 20;
/// Calls at once in the figures that hide the wake-ups.
const AT_ONCE: usize = 64;
/// Calls of one round that go to a thread of the plugin and back.
const HOPS: usize = 2000;
/// Entries of a batch.
const BATCH: u64 = 1000;

/// Nanoseconds for one call: the median of the rounds.
fn sync_ns(calls: u32, mut call: impl FnMut()) -> Result<f64> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let began = cpu_ns()?;
        (0..calls).for_each(|_| call());
        rounds.push((cpu_ns()? - began) / f64::from(calls));
    }
    Ok(median(rounds.into_iter()))
}

/// Nanoseconds of processors for one call that is answered in the call.
async fn inline_ns<F: Future>(calls: u32, mut call: impl FnMut() -> F) -> Result<f64> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let began = cpu_ns()?;
        for _ in 0..calls {
            black_box(call().await);
        }
        rounds.push((cpu_ns()? - began) / f64::from(calls));
    }
    Ok(median(rounds.into_iter()))
}

/// Nanoseconds by the clock for one call that goes to a thread of the plugin and back.
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

type ReadyHere = fn(u64) -> BoxFuture<'static, u64>;
type ReadyAcross = extern "C" fn(u64) -> FfiCall<u64>;

extern "C" fn ready(value: u64) -> FfiCall<u64> {
    FfiCall::new(async move { Ok(value).into() })
}

/// The form in which the ABI passes futures, without a rule of the host: made behind a pointer, polled once, dropped.
async fn ready_future() -> Result<Row> {
    let near: ReadyHere = black_box(|value| Box::pin(async move { value }));
    let far: ReadyAcross = black_box(ready);
    let here = inline_ns(2_000_000, || near(black_box(7))).await?;
    let across = inline_ns(2_000_000, || far(black_box(7))).await?;
    Ok(Row::new("a future that is ready, in the ABI's form", Some(here), across, "ns").at_most(100.0))
}

/// Calls that nobody has to wait for.
pub(crate) async fn inline(host: &PluginHost) -> Result<Vec<Row>> {
    let library = host.library(FILE).context("the plugin was not loaded")?;
    let describe: Box<dyn Describe> = black_box(Box::new(InProcess(Vec::new())));
    let here = sync_ns(10_000_000, || _ = black_box(describe.describe()))?;
    let across = sync_ns(10_000_000, || _ = black_box(library.describe()))?;
    let mut rows = vec![Row::new("sync call", Some(here), across, "ns").at_most(10.0), ready_future().await?];

    let (near, far) = both(host, vec![Bytes::from(vec![7; PAYLOAD_BYTES])], "inline-quick").await?;
    let (here, there) = (near.read(0, 0, u64::MAX).await?, far.read(0, 0, u64::MAX).await?);
    anyhow::ensure!(here[0].payload.as_ptr() == there[0].payload.as_ptr(), "1 MiB was copied");
    let here = inline_ns(200_000, || near.read(0, 0, u64::MAX)).await?;
    let across = inline_ns(200_000, || far.read(0, 0, u64::MAX)).await?;
    rows.push(Row::new("read of 1 MiB in memory, answered in the call", Some(here), across, "ns"));

    let payloads = (0..BATCH).map(|_| Bytes::from(vec![7; 100])).collect();
    let (near, far) = both(host, payloads, "inline-quick").await?;
    let here = inline_ns(2000, || near.read(0, BATCH - 1, u64::MAX)).await? / BATCH as f64;
    let across = inline_ns(2000, || far.read(0, BATCH - 1, u64::MAX)).await? / BATCH as f64;
    rows.push(Row::new(format!("an entry of a batch of {BATCH}"), Some(here), across, "ns").at_most(100.0));
    Ok(rows)
}

/// Calls that go to a thread of the plugin and back.
pub(crate) async fn tasks(host: &PluginHost) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let (near, across) = (InProcess(Vec::new()), host.driver("misbehaving", &mode("ok")).await?);
    for at_once in [1, AT_ONCE] {
        let calls = (HOPS / at_once) as u32;
        let here = async_ns(calls * 50, at_once, || near.health()).await;
        let across = async_ns(calls, at_once, || across.health()).await;
        rows.push(Row::new(format!("task of the plugin, {at_once} at once"), Some(here), across, "ns"));
    }
    let (near, far) = both(host, vec![Bytes::from(vec![7; PAYLOAD_BYTES])], "ok").await?;
    for at_once in [1, AT_ONCE] {
        let calls = (HOPS / at_once) as u32;
        let here = async_ns(calls * 10, at_once, || near.read(0, 0, u64::MAX)).await;
        let across = async_ns(calls, at_once, || far.read(0, 0, u64::MAX)).await;
        rows.push(Row::new(format!("read of 1 MiB in memory, a task, {at_once} at once"), Some(here), across, "ns"));
    }
    Ok(rows)
}
