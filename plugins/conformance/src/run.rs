//! A run: the chosen cases one after the other, each in a task of its own and under a deadline, and the store cleaned after
//! each of them, whether it passed, failed, panicked or did not end.
//!
//! After a case that did not pass the driver's instance is replaced, so that one broken instance does not fail the rest.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;
use longshore_plugin_api::{DriverConfig, ErrorCode, OffloaderFactory, ScanRequest, StoredLedger};
use tokio::task::JoinError;
use tokio::time::timeout;
use uuid::Uuid;

use crate::case::{Case, Failure, Need};
use crate::cases;
use crate::in_process::InProcess;
use crate::probe::StoreProbe;
use crate::profile::Profile;
use crate::report::{Outcome, Report, Row};
use crate::stage::Stage;
use crate::subject::{Bench, Subject};

/// How long making an instance, or asking what it offers, may take.
const CREATE_DEADLINE: Duration = Duration::from_secs(60);
/// How long cleaning up after one case may take.
const CLEAN_DEADLINE: Duration = Duration::from_secs(60);
/// Deletes that run at once while a case is cleaned up.
const DELETES_AT_ONCE: usize = 8;
/// Threads of the runtime that [`Suite::try_out`] makes: a driver that blocks some of them must not stop the clock.
const WORKERS: usize = 8;
/// Ledger ids begin beyond those of real ledgers, at a place that a random number decides.
const LEDGER_IDS: std::ops::Range<u64> = (1 << 50)..(1 << 52);

/// What is run and how; [`run`](Self::run) takes it over.
#[derive(Clone)]
pub struct Suite {
    profile: Profile,
    seed: u64,
    probe: Option<Arc<dyn StoreProbe>>,
    pattern: Option<String>,
    case_deadline: Duration,
    run_deadline: Duration,
}

/// Why a run did not take place; the driver is neither good nor bad by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CouldNotRun(pub String);

impl fmt::Display for CouldNotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CouldNotRun {}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite").field("profile", &self.profile).field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Suite {
    /// All cases, with a seed of its own.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            seed: fastrand::u64(..1 << 32),
            probe: None,
            pattern: None,
            case_deadline: profile.case_deadline(),
            run_deadline: profile.run_deadline(),
        }
    }

    /// What was random comes again with the seed of an earlier run.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Lets the suite look at the store behind the driver's back. The store must belong to this run alone.
    #[must_use]
    pub fn probe(mut self, probe: impl StoreProbe + 'static) -> Self {
        self.probe = Some(Arc::new(probe));
        self
    }

    /// Only the cases with `part` in their names.
    #[must_use]
    pub fn only(mut self, part: impl Into<String>) -> Self {
        self.pattern = Some(part.into());
        self
    }

    /// How long one case may take.
    #[must_use]
    pub fn case_deadline(mut self, deadline: Duration) -> Self {
        self.case_deadline = deadline;
        self
    }

    /// The cases that a run would take, in their order.
    pub fn cases(&self) -> Vec<&'static Case> {
        let chosen = |case: &&Case| self.pattern.as_ref().is_none_or(|part| case.id.contains(part.as_str()));
        cases::all().filter(chosen).collect()
    }

    /// Tries out a factory in this process, on a runtime of its own; for a plain `#[test]`.
    ///
    /// # Panics
    /// Where the run cannot take place: the driver refuses the configuration.
    pub fn try_out<F: OffloaderFactory>(self, config: DriverConfig) -> Report {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
        let runtime = runtime.expect("the system has threads for a test");
        let report = runtime.block_on(self.run(Arc::new(InProcess::<F>::new(config)), |_| {}));
        // A driver that blocks a thread must not keep the test from ending.
        runtime.shutdown_background();
        report.unwrap_or_else(|error| panic!("the conformance suite could not run: {error}"))
    }

    /// Tries out what the bench makes; `each` is told of each case when it has ended. Needs a runtime with several threads.
    ///
    /// # Errors
    /// No case has the name, or no instance can be made.
    pub async fn run(self, bench: Arc<dyn Bench>, each: impl FnMut(&Row)) -> Result<Report, CouldNotRun> {
        let chosen = self.cases();
        if chosen.is_empty() {
            let part = self.pattern.unwrap_or_default();
            return Err(CouldNotRun(format!("no case has `{part}` in its name; --list shows the names")));
        }
        let subject = create(&bench).await?;
        let scans = offers_scan(&*subject).await;
        let namespace = format!("conformance/{}/persistent", Uuid::new_v4().simple());
        let next_ledger_id = Arc::new(AtomicU64::new(fastrand::u64(LEDGER_IDS)));
        Run { suite: self, bench, subject, scans, namespace, next_ledger_id }.go(&chosen, each).await
    }
}

/// Makes an instance, in a task of its own, because the driver may panic.
async fn create(bench: &Arc<dyn Bench>) -> Result<Arc<dyn Subject>, CouldNotRun> {
    let bench = Arc::clone(bench);
    let making = tokio::spawn(async move {
        if let Some(problems) = bench.validate(bench.config()).filter(|problems| !problems.is_empty()) {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return Err(CouldNotRun(format!("the driver refuses the configuration: {}", problems.join("; "))));
        }
        let made = bench.create(bench.config().clone()).await;
        made.map_err(|error| CouldNotRun(format!("no instance can be made: {error} ({})", error.code())))
    });
    match timeout(CREATE_DEADLINE, making).await {
        Ok(Ok(made)) => made,
        Ok(Err(lost)) => Err(CouldNotRun(format!("no instance can be made: the driver {}", panicked(lost)))),
        Err(_) => Err(CouldNotRun(format!("no instance was made within {} s", CREATE_DEADLINE.as_secs()))),
    }
}

/// Anything but `Unsupported` counts as an offer, which the cases then hold against the driver.
async fn offers_scan(subject: &dyn Subject) -> bool {
    let asked = timeout(CREATE_DEADLINE, subject.scan(ScanRequest { after: None, limit: 1 })).await;
    !asked.is_ok_and(|answer| answer.is_err_and(|error| error.code() == ErrorCode::Unsupported))
}

struct Run {
    suite: Suite,
    bench: Arc<dyn Bench>,
    subject: Arc<dyn Subject>,
    scans: bool,
    namespace: String,
    next_ledger_id: Arc<AtomicU64>,
}

impl Run {
    async fn go(mut self, chosen: &[&'static Case], mut each: impl FnMut(&Row)) -> Result<Report, CouldNotRun> {
        let began = Instant::now();
        let (mut rows, mut left_behind) = (Vec::new(), Vec::new());
        for &case in chosen {
            let case_began = Instant::now();
            let outcome = match self.reason_to_skip(case) {
                Some(reason) => Outcome::Skipped(reason),
                None if began.elapsed() > self.suite.run_deadline => {
                    let seconds = self.suite.run_deadline.as_secs();
                    Outcome::Failed(format!("did not begin: the run had taken its {seconds} s"))
                }
                None => self.play(case, &mut left_behind).await,
            };
            let row = Row::new(case, outcome, case_began.elapsed());
            each(&row);
            rows.push(row);
        }
        Ok(Report {
            subject: self.bench.name(),
            profile: self.suite.profile.name(),
            seed: self.suite.seed,
            rows,
            left_behind,
            elapsed: began.elapsed(),
        })
    }

    fn reason_to_skip(&self, case: &Case) -> Option<String> {
        let reason = |need: &Need| match need {
            Need::Scan if !self.scans => Some("the driver does not offer scan"),
            Need::OwnRanges if self.bench.checks_ranges() => {
                Some("the host refuses bad ranges before it asks the driver; run the kit in the driver's own tests")
            }
            Need::Validate if self.bench.validate(self.bench.config()).is_none() => Some(
                "the host checks a configuration and makes the driver in one step; run the kit in the driver's own tests",
            ),
            Need::Secret if cases::secret_keys(&*self.bench).is_empty() => {
                Some("the configuration has no key that is named for a secret")
            }
            Need::Probe if self.suite.probe.is_none() => {
                Some("the suite cannot look at the store; give it a probe (on the command line: --store FOLDER)")
            }
            _ => None,
        };
        case.needs.iter().find_map(reason).map(str::to_owned)
    }

    /// Runs one case, then cleans up after it.
    async fn play(&mut self, case: &'static Case, left_behind: &mut Vec<String>) -> Outcome {
        let seed = case.id.bytes().fold(self.suite.seed, |seed, byte| seed.rotate_left(5) ^ u64::from(byte));
        let stage = Arc::new(Stage::new(
            &self.bench,
            &self.subject,
            self.suite.probe.as_ref(),
            self.suite.profile,
            &self.namespace,
            seed,
            &self.next_ledger_id,
        ));
        let mut task = tokio::spawn((case.body)(Arc::clone(&stage)));
        let ended = timeout(self.suite.case_deadline, &mut task).await;
        let verdict = ended.map_or_else(
            |_| {
                task.abort();
                let seconds = self.suite.case_deadline.as_secs_f32();
                Err(Failure(format!("did not end within {seconds} s")))
            },
            |ended| ended.unwrap_or_else(|lost| Err(panicked(lost))),
        );
        if verdict.is_err() {
            self.renew().await;
        }
        left_behind.extend(self.clean(case, &stage).await);
        match verdict {
            Ok(()) => Outcome::Passed,
            Err(Failure(why)) => Outcome::Failed(why),
        }
    }

    /// Replaces the instance; where that fails the old one goes on.
    async fn renew(&mut self) {
        if let Ok(subject) = create(&self.bench).await {
            self.subject = subject;
        }
    }

    /// Deletes everything that the case may have left; the answer is what could not be deleted.
    async fn clean(&self, case: &Case, stage: &Stage) -> Vec<String> {
        let delete = |stored: StoredLedger| {
            let what = format!("{}: ledger {} as {}", case.id, stored.ledger_id, stored.uid);
            let subject = Arc::clone(&self.subject);
            // In a task of its own, because the driver may panic.
            let task = tokio::spawn(async move { subject.delete(stored).await });
            async move {
                match task.await {
                    Ok(Ok(())) => None,
                    Ok(Err(error)) => Some(format!("{what}: {error}")),
                    Err(lost) => Some(format!("{what}: {}", panicked(lost))),
                }
            }
        };
        let deletes = stream::iter(stage.attempts()).map(delete).buffer_unordered(DELETES_AT_ONCE);
        let problems = deletes.filter_map(std::future::ready).collect::<Vec<_>>();
        let late = || vec![format!("{}: cleaning up took longer than {} s", case.id, CLEAN_DEADLINE.as_secs())];
        timeout(CLEAN_DEADLINE, problems).await.unwrap_or_else(|_| late())
    }
}

fn panicked(lost: JoinError) -> Failure {
    let Ok(payload) = lost.try_into_panic() else { return Failure("was cancelled from inside".to_owned()) };
    let text = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "without a message".to_owned(),
    };
    Failure(format!("panicked: {text}"))
}
