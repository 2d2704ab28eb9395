//! `longshore import`: what an Apache Pulsar cluster says of its topics, what would be recorded of them here, and the records.
//!
//! The broker that the topics come to is stopped. Partitions of a topic are imported together or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::broker::StoppedBroker;
use crate::cli::args::{ImportArgs, ImportRetention};
use crate::cli::http::Admin;
use crate::cli::output::{grouped, size};
use crate::config::Config;
use crate::import::internal_info::{add_stats, from_info, partitions, position};
use crate::import::record::from_record;
use crate::import::source::SourceCursor;
use crate::import::{CursorOrigin, Refusal, Rules, SourceTopic, Standing, TopicPlan, check, plan, standing};
use crate::managed_ledger::adopt;
use crate::managed_ledger::records::StoredCursor;
use crate::namespace::{NamespaceError, RetentionPolicies, Tenant};
use crate::storage::{DriverLookup as _, DriverSettings};
use crate::topic::names::{NamespaceName, TopicName};

/// Everything is here.
const DONE: u8 = 0;
/// A topic could not be imported.
const FAILED: u8 = 1;
/// The arguments, or the configuration, cannot work.
const WRONG_INPUT: u8 = 2;
/// The longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// What the original's object-store drivers record, and read by.
const RECORDED_BUCKET: &str = "bucket";
/// How long the end of the process waits for what a plugin left running.
const END_DEADLINE: Duration = Duration::from_secs(1);
/// Characters of a topic's local name that stay as they are in a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
/// Nothing is removed.
const KEEP: RetentionPolicies = RetentionPolicies { retention_time_in_minutes: -1, retention_size_in_mb: -1 };

/// A topic with its partitions, or itself alone; and what is known of each, or why nothing is.
type Group = BTreeMap<TopicName, Result<SourceTopic, String>>;

/// Runs the command; answers its exit code.
///
/// # Errors
/// The cluster does not answer, the data folder cannot be opened, or a record could not be written.
pub fn run_import(args: &ImportArgs) -> Result<u8> {
    let config = match Config::load(args.config.as_deref()) {
        Ok((config, _)) => config,
        Err(mistakes) => return refuse(&mistakes.to_string()),
    };
    let groups = match &args.from {
        Some(url) => from_cluster(&Admin::new(url), args)?,
        None => match from_files(args) {
            Ok(groups) => groups,
            Err(problem) => return refuse(&format!("{problem:#}")),
        },
    };
    let runtime = tokio::runtime::Runtime::new().context("start the asynchronous runtime")?;
    let all_here = runtime.block_on(async {
        let broker =
            if args.dry_run { StoppedBroker::look(&config).await? } else { StoppedBroker::open(&config).await? };
        let imported = Importer::new(&broker, &config, args).await.all(groups).await;
        broker.close().await;
        imported
    });
    runtime.shutdown_timeout(END_DEADLINE);
    Ok(if all_here? { DONE } else { FAILED })
}

fn refuse(problem: &str) -> Result<u8> {
    eprintln!("error: {problem}");
    Ok(WRONG_INPUT)
}

fn from_files(args: &ImportArgs) -> Result<BTreeMap<TopicName, Group>> {
    let [topic] = args.topics.as_slice() else { anyhow::bail!("files tell of one topic: name it, and no other") };
    let source = match (&args.record, &args.internal_info) {
        (Some(record), _) => {
            let mut source = from_record(&record.display().to_string(), &read_file(record)?)?;
            for given in &args.cursor {
                let (name, cursor) = given_cursor(given)?;
                source.cursors.insert(name, cursor);
            }
            source
        }
        (None, Some(info)) => {
            let mut source = from_info(&info.display().to_string(), &read_text(info)?)?;
            if let Some(stats) = &args.stats_internal {
                add_stats(&mut source, &stats.display().to_string(), &read_text(stats)?)?;
            }
            source
        }
        (None, None) => anyhow::bail!("name the cluster with --from, or a file"),
    };
    Ok([(topic.clone(), [(topic.clone(), Ok(source))].into())].into())
}

fn given_cursor(text: &str) -> Result<(String, SourceCursor)> {
    let parsed = text.rsplit_once('=').and_then(|(name, place)| Some((name.to_owned(), position(place)?.after()?)));
    let (name, place) =
        parsed.with_context(|| format!("`{text}` names no subscription and place: NAME=LEDGER:ENTRY"))?;
    Ok((name, SourceCursor { first_unacked: Some(place), origin: CursorOrigin::Given, ..SourceCursor::default() }))
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    let action = || format!("read {}", path.display());
    let bytes = fs::metadata(path).with_context(action)?.len();
    anyhow::ensure!(
        bytes <= FILE_BYTES_MAX,
        "{} has {} bytes, at most {FILE_BYTES_MAX} are read",
        path.display(),
        bytes
    );
    fs::read(path).with_context(action)
}

fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read_file(path)?).with_context(|| format!("read {}: it is not UTF-8", path.display()))
}

/// Asks the cluster for topics, their partitions, and what is known of each.
fn from_cluster(admin: &Admin, args: &ImportArgs) -> Result<BTreeMap<TopicName, Group>> {
    // A listing has each partition by itself, and perhaps not all of them: how many there are, the parent says.
    let mut asked: BTreeMap<TopicName, Vec<TopicName>> = BTreeMap::new();
    match &args.namespace {
        Some(namespace) => {
            for topic in topics_of(admin, namespace)? {
                asked.entry(topic.partitioned()).or_default().push(topic);
            }
        }
        None => asked.extend(args.topics.iter().map(|topic| (topic.clone(), vec![topic.clone()]))),
    }
    let mut groups: BTreeMap<TopicName, Group> = BTreeMap::new();
    for (parent, named) in asked {
        let path = path_of(&parent);
        let count = partitions(&path, &admin.text(&format!("{path}/partitions"))?)?;
        // Without a parent that knows it, a partition is a topic of its own.
        let parts = if count == 0 { named } else { (0..count).map(|index| parent.partition(index)).collect() };
        for part in parts {
            let source = ask(admin, &part).map_err(|error| format!("{error:#}"));
            let group = if count > 0 { parent.clone() } else { part.clone() };
            groups.entry(group).or_default().insert(part, source);
        }
    }
    Ok(groups)
}

fn topics_of(admin: &Admin, namespace: &NamespaceName) -> Result<Vec<TopicName>> {
    let names: Vec<String> = admin.get(&format!("/persistent/{namespace}"))?;
    // What clusters keep for themselves is not for others: `__change_events`, `__transaction_buffer_snapshot`.
    let own = |name: &TopicName| name.local().starts_with("__");
    let parsed = names.iter().map(|name| name.parse::<TopicName>().with_context(|| format!("read the name {name}")));
    Ok(parsed.collect::<Result<Vec<_>>>()?.into_iter().filter(|name| !own(name)).collect())
}

fn path_of(topic: &TopicName) -> String {
    format!("/persistent/{}/{}", topic.namespace(), utf8_percent_encode(topic.local(), PATH))
}

/// The statistics come first: asking for them loads the topic, which makes a new ledger.
fn ask(admin: &Admin, topic: &TopicName) -> Result<SourceTopic> {
    let path = path_of(topic);
    let stats = admin.text(&format!("{path}/internalStats"))?;
    let info = format!("{path}/internal-info");
    let mut source = from_info(&info, &admin.text(&info)?)?;
    add_stats(&mut source, &format!("{path}/internalStats"), &stats)?;
    Ok(source)
}

/// What all topics are imported with.
struct Importer<'a> {
    broker: &'a StoppedBroker,
    args: &'a ImportArgs,
    rules: Rules,
    settings: DriverSettings,
}

/// A topic that can be imported, or is here.
struct Planned {
    topic: TopicName,
    plan: TopicPlan,
    standing: Standing,
}

impl<'a> Importer<'a> {
    async fn new(broker: &'a StoppedBroker, config: &Config, args: &'a ImportArgs) -> Self {
        let settings = broker.namespaces.defaults().driver_settings();
        let driver = args.driver.clone().or_else(|| config.offload_driver.clone()).unwrap_or_default();
        // A driver that cannot be made fails the check of each ledger, with its own words.
        let made = broker.plugins.driver(&driver, &settings).await;
        let bucket = args.bucket.iter().map(|bucket| (RECORDED_BUCKET.to_owned(), bucket.clone()));
        let rules = Rules {
            leave_behind: args.leave_behind,
            driver: made.as_ref().map_or(driver, |made| made.name().to_owned()),
            driver_metadata: made.map(|made| made.driver_metadata()).unwrap_or_default(),
            overrules: bucket.collect(),
        };
        Self { broker, args, rules, settings }
    }

    /// Whether every topic is here in the end, or would be.
    async fn all(&self, groups: BTreeMap<TopicName, Group>) -> Result<bool> {
        let (mut imported, mut there, mut refused) = (0_usize, 0_usize, 0_usize);
        for (parent, group) in groups {
            match self.group(&parent, group).await? {
                Outcome::Imported => imported += 1,
                Outcome::There => there += 1,
                Outcome::Refused => refused += 1,
            }
        }
        let verb = if self.args.dry_run { "would be imported" } else { "imported" };
        println!("{imported} topics {verb}, {there} here already, {refused} refused");
        Ok(refused == 0)
    }

    async fn group(&self, parent: &TopicName, group: Group) -> Result<Outcome> {
        let (mut planned, mut is_refused) = (Vec::new(), false);
        for (topic, source) in group {
            println!("{topic}");
            match self.plan(&topic, source).await? {
                Ok(plan) => planned.push(plan),
                Err(reasons) => {
                    is_refused = true;
                    reasons.iter().for_each(|reason| println!("  refused: {reason}"));
                }
            }
        }
        if is_refused {
            if !planned.is_empty() {
                println!("{parent}\n  refused: its partitions come together, or none does");
            }
            return Ok(Outcome::Refused);
        }
        if planned.iter().all(|it| it.standing == Standing::Imported) {
            return Ok(Outcome::There);
        }
        if !self.args.dry_run {
            self.record(parent, &planned).await?;
        }
        Ok(Outcome::Imported)
    }

    /// The inner error has a sentence for each reason against the topic.
    async fn plan(
        &self,
        topic: &TopicName,
        source: Result<SourceTopic, String>,
    ) -> Result<Result<Planned, Vec<String>>> {
        let source = match source {
            Ok(source) => source,
            Err(problem) => return Ok(Err(vec![problem])),
        };
        let plan = match plan(&source, &self.rules) {
            Ok(plan) => plan,
            Err(Refusal(reasons)) => return Ok(Err(reasons)),
        };
        let name = topic.managed_ledger();
        let standing = standing(&plan, adopt::recorded(&*self.broker.metadata, &name).await?.as_ref());
        match &standing {
            Standing::Other(problem) => return Ok(Err(vec![problem.clone()])),
            Standing::Imported => println!("  is here already; nothing is changed"),
            Standing::Absent => {
                self.show(&plan);
                let problems = check::check(&plan, &name, &self.broker.plugins, &self.settings, self.args.check).await;
                if !problems.is_empty() {
                    return Ok(Err(problems));
                }
            }
        }
        Ok(Ok(Planned { topic: topic.clone(), plan, standing }))
    }

    fn show(&self, plan: &TopicPlan) {
        for info in plan.ledgers.by_id.values() {
            let Some(attempt) = info.offload.attempt() else { continue };
            let place = attempt.driver_metadata.get(RECORDED_BUCKET).filter(|bucket| !bucket.is_empty());
            let place = place.map(|bucket| format!(", bucket {bucket}")).unwrap_or_default();
            println!(
                "  ledger {}: {} entries, {}, driver {}{place}, uid {}",
                info.ledger_id,
                grouped(info.entry_count),
                size(info.size_bytes),
                attempt.driver,
                attempt.uid
            );
        }
        for (id, reason) in &plan.left_behind {
            println!("  left behind: ledger {id} {reason}");
        }
        for (name, (cursor, origin)) in &plan.cursors {
            println!("  subscription {name}: goes on at {} ({})", cursor.first_unacked, origin.name());
        }
        match self.args.retention {
            ImportRetention::Keep => println!("  retention: everything is kept, by a policy of the topic"),
            ImportRetention::Namespace => {
                println!(
                    "  retention: the namespace's; what it removes here leaves the store, for the original as well"
                );
            }
        }
        println!("  new ledgers begin with {}", plan.next_ledger_id);
    }

    /// Everything around the topics first, so that they are whole when they appear.
    async fn record(&self, parent: &TopicName, planned: &[Planned]) -> Result<()> {
        self.make_namespace(parent.namespace()).await?;
        if self.args.retention == ImportRetention::Keep {
            let keep = |policies: &mut crate::namespace::TopicPolicies| {
                policies.retention_policies.get_or_insert(KEEP);
            };
            self.broker.namespaces.update_topic_policies(parent, keep).await?;
        }
        for Planned { topic, plan, standing } in planned {
            if *standing == Standing::Imported {
                continue;
            }
            let cursors: BTreeMap<String, StoredCursor> =
                plan.cursors.iter().map(|(name, (cursor, _))| (name.clone(), cursor.clone())).collect();
            adopt::adopt(&*self.broker.metadata, &topic.managed_ledger(), &plan.ledgers, &cursors, plan.next_ledger_id)
                .await
                .with_context(|| format!("record {topic}; run the same command again"))?;
        }
        self.make_partitioned(parent, planned).await
    }

    async fn make_namespace(&self, namespace: &NamespaceName) -> Result<()> {
        let namespaces = &self.broker.namespaces;
        let tenant = Tenant { admin_roles: Vec::new(), allowed_clusters: vec![namespaces.cluster().to_owned()] };
        unless_there(namespaces.create_tenant(namespace.tenant(), &tenant).await)?;
        unless_there(namespaces.create_namespace(namespace, &Default::default()).await)
    }

    /// A partitioned topic is one for clients only when it is recorded as such.
    async fn make_partitioned(&self, parent: &TopicName, planned: &[Planned]) -> Result<()> {
        let count = planned.iter().filter_map(|it| it.topic.partition_index()).max().map(|last| last + 1);
        let Some(count) = count.filter(|_| parent.partition_index().is_none()) else { return Ok(()) };
        let namespaces = &self.broker.namespaces;
        match namespaces.partitions_of(parent).await? {
            None => unless_there(namespaces.create_partitioned_topic(parent, count).await),
            Some(there) if there < count => Ok(namespaces.update_partitions(parent, count).await?),
            Some(_) => Ok(()),
        }
    }
}

/// What became of a topic with its partitions.
enum Outcome {
    Imported,
    There,
    Refused,
}

fn unless_there(made: Result<(), NamespaceError>) -> Result<()> {
    match made {
        Ok(()) | Err(NamespaceError::Exists(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
