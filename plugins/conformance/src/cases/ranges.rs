//! Reads at every boundary: of the ledger, of the range, of `max_bytes`.

use std::sync::Arc;

use longshore_plugin_api::ErrorCode;

use crate::case::{Verdict, cases};
use crate::model::{payload, payloads};
use crate::stage::{Attempt, Stage, must_fail};
use crate::subject::OpenCopy;

cases! {
    "range-every-pair": "every range of a ledger answers exactly its entries, in order",
        "ReadHandle::read", [] => every_pair;
    "range-single-entries": "each entry can be read alone",
        "ReadHandle::read", [] => single_entries;
    "max-bytes-at-the-boundary": "`max_bytes` that fits exactly, one less and one more",
        "ReadHandle::read: max_bytes", [] => max_bytes_at_the_boundary;
    "max-bytes-tiny-and-huge": "`max_bytes` of 0 and 1 answers one entry, the largest all of them",
        "ReadHandle::read: max_bytes", [] => max_bytes_tiny_and_huge;
    "range-random": "random ranges with random `max_bytes` answer what they must",
        "ReadHandle::read", [] => random_ranges;
    "range-backwards": "`first` beyond `last` is `InvalidArgument`, and the handle stays sound",
        "ReadHandle::read: errors", [OwnRanges] => backwards;
    "range-beyond-the-end": "`last` beyond the last entry is `OutOfRange`, and the handle stays sound",
        "ReadHandle::read: errors", [OwnRanges] => beyond_the_end;
    "reads-in-any-order": "reads are positional: no read depends on the one before",
        "ReadHandle: positional and stateless", [] => any_order;
}

async fn opened(stage: &Stage, count: usize, len_max: usize) -> Verdict<(Attempt, Arc<dyn OpenCopy>)> {
    let mut random = stage.random();
    let mut ledger = payloads(&mut random, count - 1, len_max);
    // Some byte there is, whatever the random numbers say.
    ledger.push(payload(&mut random, 20));
    let copy = stage.copy(ledger).await?;
    let open = copy.open().await?;
    Ok((copy, open))
}

async fn every_pair(stage: Arc<Stage>) -> Verdict {
    let (copy, open) = opened(&stage, 12, 200).await?;
    for first in 0..copy.model.count() {
        for last in first..copy.model.count() {
            copy.read(&*open, first, last, u64::MAX).await?;
        }
    }
    Ok(())
}

async fn single_entries(stage: Arc<Stage>) -> Verdict {
    let (copy, open) = opened(&stage, 40, 2_000).await?;
    for entry in 0..copy.model.count() {
        copy.read(&*open, entry, entry, u64::MAX).await?;
        copy.read(&*open, entry, entry, 1).await?;
    }
    Ok(())
}

async fn max_bytes_at_the_boundary(stage: Arc<Stage>) -> Verdict {
    let (copy, open) = opened(&stage, 12, 300).await?;
    let (payloads, last) = (Arc::clone(&copy.model.payloads), copy.model.last());
    for first in 0..payloads.len() {
        let mut sum = 0u64;
        for payload in &payloads[first..] {
            sum += payload.len() as u64;
            for max_bytes in [sum.saturating_sub(1), sum, sum + 1] {
                copy.read(&*open, first as u64, last, max_bytes).await?;
            }
        }
    }
    Ok(())
}

async fn max_bytes_tiny_and_huge(stage: Arc<Stage>) -> Verdict {
    let (copy, open) = opened(&stage, 30, 400).await?;
    for first in 0..copy.model.count() {
        for max_bytes in [0, 1, u64::from(u32::MAX), i64::MAX as u64, u64::MAX] {
            copy.read(&*open, first, copy.model.last(), max_bytes).await?;
        }
    }
    Ok(())
}

async fn random_ranges(stage: Arc<Stage>) -> Verdict {
    let (copy, open) = opened(&stage, 500, 3_000).await?;
    let mut random = stage.random();
    for _ in 0..stage.profile.random_reads() {
        let first = random.u64(0..copy.model.count());
        let last = random.u64(first..copy.model.count());
        copy.read(&*open, first, last, random.u64(0..300_000)).await?;
    }
    Ok(())
}

async fn backwards(stage: Arc<Stage>) -> Verdict {
    let (copy, open) = opened(&stage, 5, 100).await?;
    for (first, last) in [(1, 0), (4, 3), (u64::MAX, 0)] {
        let answer = open.read(first, last, 1_000).await;
        must_fail(answer, &[ErrorCode::InvalidArgument], format_args!("read {first}..={last} of 5 entries"))?;
        copy.check_open(&*open).await?;
    }
    Ok(())
}

async fn beyond_the_end(stage: Arc<Stage>) -> Verdict {
    let (copy, open) = opened(&stage, 5, 100).await?;
    for (first, last) in [(0, 5), (4, 5), (5, 5), (0, u64::MAX), (u64::MAX, u64::MAX), (1 << 32, 1 << 32)] {
        let answer = open.read(first, last, 1_000).await;
        must_fail(answer, &[ErrorCode::OutOfRange], format_args!("read {first}..={last} of 5 entries"))?;
        copy.check_open(&*open).await?;
    }
    Ok(())
}

async fn any_order(stage: Arc<Stage>) -> Verdict {
    let (copy, open) = opened(&stage, 200, 500).await?;
    let other = copy.open().await?;
    for entry in (0..copy.model.count()).rev().step_by(7) {
        copy.read(&*open, entry, copy.model.last(), 800).await?;
        copy.read(&*other, copy.model.last() - entry, copy.model.last(), 800).await?;
        copy.read(&*open, 0, entry, 300).await?;
    }
    Ok(())
}
