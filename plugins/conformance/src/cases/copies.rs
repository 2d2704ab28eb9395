//! What was offloaded comes back: every byte, every number, whatever the sizes, names and instances.

use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::ErrorCode;
use uuid::Uuid;

use crate::case::{During, Verdict, cases, ensure};
use crate::model::{Model, Source, payloads};
use crate::stage::{Stage, must_fail};

cases! {
    "round-trip": "ledgers of mixed sizes come back byte for byte",
        "Offloader::offload: complete and readable", [] => round_trip;
    "metadata-comes-back": "an open copy knows its ledger's metadata as it was offloaded",
        "ReadHandle::metadata", [] => metadata_comes_back;
    "ledger-of-one-entry": "ledgers of one entry come back, also of an empty one",
        "Offloader::offload: complete and readable", [] => ledger_of_one_entry;
    "empty-entries": "entries of 0 bytes come back in their places",
        "Offloader::offload: complete and readable", [] => empty_entries;
    "large-entries": "entries beyond any buffer come back among small ones",
        "Offloader::offload: complete and readable", [] => large_entries;
    "many-entries": "a ledger of many entries comes back",
        "Offloader::offload: complete and readable", [] => many_entries;
    "names-of-topics": "managed ledger names come as Pulsar encodes them, and stay apart",
        "OffloadRequest::managed_ledger", [] => names_of_topics;
    "large-ledger-ids": "ledger ids up to the largest of Pulsar work",
        "OffloadRequest::ledger_id", [] => large_ledger_ids;
    "extra-is-harmless": "names and values that the host passes through do no harm",
        "OffloadRequest::extra", [] => extra_is_harmless;
    "two-attempts-side-by-side": "copies of one ledger under two uids do not disturb each other",
        "OffloadRequest::uid", [] => two_attempts_side_by_side;
    "fresh-instance-reads": "a new instance reads, and deletes, what another one wrote",
        "Offloader::offload: durable", [] => fresh_instance_reads;
    "handle-outlives-instance": "an open copy can be read after its instance was dropped",
        "ReadHandle", [] => handle_outlives_instance;
    "open-what-is-missing": "opening what was never written is `NotFound`",
        "Offloader::open_read: errors", [] => open_what_is_missing;
}

async fn round_trip(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    for (count, len_max) in [(1, 10), (7, 100), (60, 5_000), (300, 1_000), (40, 70_000)] {
        stage.copy(payloads(&mut random, count, len_max)).await?.check().await?;
    }
    Ok(())
}

async fn metadata_comes_back(stage: Arc<Stage>) -> Verdict {
    let copy = stage.small_copy(&mut stage.random()).await?;
    let (mut found, mut wanted) = (copy.open().await?.metadata(), copy.model.metadata.clone());
    found.custom.sort();
    wanted.custom.sort();
    ensure!(found == wanted, "the metadata is {found:?}, offloaded was {wanted:?}");
    Ok(())
}

async fn ledger_of_one_entry(stage: Arc<Stage>) -> Verdict {
    for payload in [Bytes::from_static(b"only"), Bytes::new()] {
        let copy = stage.copy(vec![payload]).await?;
        let open = copy.open().await?;
        copy.check_open(&*open).await?;
        copy.read(&*open, 0, 0, 0).await?;
    }
    Ok(())
}

async fn empty_entries(stage: Arc<Stage>) -> Verdict {
    let (empty, x) = (Bytes::new(), Bytes::from_static(b"x"));
    for ledger in [vec![empty.clone(); 9], vec![empty.clone(), x.clone(), empty.clone(), empty.clone(), x, empty]] {
        let copy = stage.copy(ledger).await?;
        let open = copy.open().await?;
        copy.check_open(&*open).await?;
        for first in 0..copy.model.count() {
            copy.read(&*open, first, copy.model.last(), 0).await?;
        }
    }
    Ok(())
}

async fn large_entries(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let len = stage.profile.large_entry_bytes();
    let mut large = vec![0; len];
    random.fill(&mut large);
    let small = Bytes::from_static(b"small");
    let ledger = vec![small.clone(), large.into(), Bytes::new(), vec![7; len].into(), small.clone(), small];
    let copy = stage.copy(ledger).await?;
    let open = copy.open().await?;
    copy.check_open(&*open).await?;
    for first in 0..copy.model.count() {
        copy.read(&*open, first, copy.model.last(), 1_000).await?;
        copy.read(&*open, first, first, 1).await?;
    }
    Ok(())
}

async fn many_entries(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let copy = stage.copy(payloads(&mut random, stage.profile.entries_many(), 60)).await?;
    let open = copy.open().await?;
    copy.check_open(&*open).await?;
    for _ in 0..stage.profile.random_reads() {
        let first = random.u64(0..copy.model.count());
        copy.read(&*open, first, copy.model.last(), 2_000).await?;
    }
    Ok(())
}

/// What `URLEncoder` makes of the names of topics; some differ by little, some look like paths once they are decoded.
const TOPICS: [&str; 12] = [
    "orders",
    "Orders",
    "orders-partition-0",
    "orders-partition-10",
    "a%2Fb",
    "a%2fb",
    "%2E%2E%2Fup",
    "caf%C3%A9+au+lait",
    "%FF%FE",
    "dots.and_lines-%7E*",
    "100%25",
    "persistent",
];

async fn names_of_topics(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let ledger_id = stage.ledger_id();
    let mut names: Vec<String> = TOPICS.iter().map(|topic| stage.topic(topic)).collect();
    names.push(stage.topic(&"n".repeat(200)));
    // Names of Pulsar's first version have the cluster's name in them.
    names.push(format!("{}/orders", stage.namespace.replace("/persistent", "/standalone/ns/persistent")));
    let mut copies = Vec::new();
    for name in &names {
        let copy = stage.attempt(&Model::new(ledger_id, name, payloads(&mut random, 5, 50)));
        copy.offload().await?;
        copies.push(copy);
    }
    for copy in &copies {
        copy.check().await?;
    }
    Ok(())
}

async fn large_ledger_ids(stage: Arc<Stage>) -> Verdict {
    for ledger_id in [i64::MAX as u64, u64::from(u32::MAX) + 1, 0] {
        let copy = stage.attempt(&Model::new(ledger_id, &stage.topic("orders"), vec![Bytes::from_static(b"x")]));
        copy.offload().await?;
        copy.check().await?;
    }
    Ok(())
}

async fn extra_is_harmless(stage: Arc<Stage>) -> Verdict {
    let copy = stage.attempt(&stage.small_ledger(&mut stage.random()));
    let mut request = copy.request();
    let pairs =
        [("software", "conformance kit"), ("", "a name may be empty"), ("caf\u{e9}", "\u{fffd}\n\t"), ("long", "")];
    request.extra = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    request.extra.insert("long".to_owned(), "v".repeat(5_000));
    let source = Arc::new(Source::new(&copy.model));
    copy.subject.offload(source.lend(), request).await.during("offload with further names and values")?;
    copy.check().await
}

async fn two_attempts_side_by_side(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let first = stage.attempt(&stage.small_ledger(&mut random));
    let second = stage.attempt_as(&first.model, Uuid::new_v4()).with_payloads(payloads(&mut random, 20, 300));
    first.offload().await?;
    second.offload().await?;
    first.check().await?;
    second.check().await?;
    first.delete().await?;
    first.must_be_missing("after its delete").await?;
    second.check().await
}

async fn fresh_instance_reads(stage: Arc<Stage>) -> Verdict {
    let copy = stage.small_copy(&mut stage.random()).await?;
    let elsewhere = copy.through(&stage.fresh().await?);
    elsewhere.check().await?;
    elsewhere.delete().await?;
    copy.must_be_missing("after another instance deleted it").await
}

async fn handle_outlives_instance(stage: Arc<Stage>) -> Verdict {
    let written = stage.small_copy(&mut stage.random()).await?;
    let copy = written.through(&stage.fresh().await?);
    let open = copy.open().await?;
    // The last share of the instance.
    let (model, stored) = (copy.model.clone(), copy.stored.clone());
    drop(copy);
    let read = open.read(0, model.last(), u64::MAX).await;
    let read = read.during(format_args!("read ledger {} after its instance was dropped", stored.ledger_id))?;
    model.check(0, model.last(), u64::MAX, &read)
}

async fn open_what_is_missing(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let never = stage.attempt(&stage.small_ledger(&mut random));
    never.must_be_missing("though it was never offloaded").await?;
    let copy = stage.small_copy(&mut random).await?;
    stage.attempt(&copy.model).must_be_missing("under another uid").await?;
    let mut other = copy.stored.clone();
    other.ledger_id = stage.ledger_id();
    let answer = copy.subject.open_read(other).await;
    must_fail(answer, &[ErrorCode::NotFound], "open under the id of another ledger")
}
