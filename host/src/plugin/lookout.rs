//! One look at the folder and everything that follows from it: who is read, who is loaded, who takes over, who retires.
//!
//! The same story at the start and at every rescan. What was decided becomes a [`Registry`], which callers then read without
//! waiting for any of this. The decisions are pure and stand elsewhere: [`look`](mod@super::look) which files are read,
//! [`choose`] which file of a plugin is tried, [`claims`](super::claims) which plugin serves a driver, [`room`] whether another library
//! fits. Looks are serialised by their owner; between them nothing here changes.

mod drivers;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::future::pending;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::Arc;

use super::admission::Policy;
use super::assemble::{self, Left};
use super::choose::{self, Incumbent, Offer};
use super::failure::{Failure, Retry};
use super::generation::Generation;
use super::instances::Instances;
use super::look::{self, Content, Known, Work};
use super::pins;
use super::registry::Registry;
use super::room::{self, Mapped};
use super::rows;
use super::scan::{self, Candidate};
use super::settings::PluginSettings;
use super::takeover::{self, Failed, InUse};
use crate::storage::{Clock, SystemClock};

/// Generations that went and are told of even if the same bytes went again later.
const RELIEVED_TOLD_MAX: usize = 100;

/// Who asks for a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The start of the host.
    Start,
    /// The clock.
    Clock,
    /// An operator, who wants what failed tried again.
    Operator,
}

impl Cause {
    /// At the start nothing else runs yet, and there may be no runtime either.
    fn may_block(self) -> bool {
        self == Self::Start
    }
}

/// What is known of the folder, what runs, and what did not work.
pub(super) struct Lookout {
    pub(super) directory: PathBuf,
    pub(super) settings: Arc<PluginSettings>,
    pub(super) folder_error: Option<String>,
    pub(super) known: BTreeMap<OsString, Known>,
    pub(super) failures: HashMap<Content, Failure>,
    /// By plugin.
    pub(super) serving: BTreeMap<String, Arc<Generation>>,
    /// In the order in which they went.
    pub(super) relieved: Vec<Arc<Generation>>,
    instances: Arc<Instances>,
    /// What is wrong with the policy, as the last look read it.
    pub(super) policy_problems: Vec<String>,
    mapped: Mapped,
    /// Who served a driver, in lower case, after the last look.
    incumbents: BTreeMap<String, String>,
    /// Takeovers of a driver by a generation that failed.
    declined: HashMap<(String, u64), Failure>,
    look_count: u64,
    generation_count: u64,
}

/// One look: who asked for it, and the policy as it stood then.
struct Round {
    cause: Cause,
    policy: Arc<Policy>,
    files_read: usize,
}

/// What one look came to.
pub(super) struct Looked {
    pub(super) registry: Registry,
    /// Out of charge by this look; to be drained once nobody is led to them any more.
    pub(super) relieved: Vec<Arc<Generation>>,
    pub(super) files_read: usize,
}

impl Lookout {
    pub(super) fn new(directory: PathBuf, settings: Arc<PluginSettings>, instances: Arc<Instances>) -> Self {
        Self {
            directory,
            settings,
            folder_error: None,
            known: BTreeMap::new(),
            failures: HashMap::new(),
            serving: BTreeMap::new(),
            relieved: Vec::new(),
            instances,
            policy_problems: Vec::new(),
            mapped: Mapped::new(),
            incumbents: BTreeMap::new(),
            declined: HashMap::new(),
            look_count: 0,
            generation_count: 0,
        }
    }

    /// Looks, and settles everything. A folder that cannot be listed changes nothing but the registry's `folder_error`.
    pub(super) async fn look(&mut self, cause: Cause) -> Looked {
        self.look_count += 1;
        self.forget_old_generations();
        let already_relieved = self.relieved.len();
        let mut files_read = 0;
        if let Some(round) = self.read_folder(cause).await {
            files_read = round.files_read;
            let mut offers = self.offers();
            for plugin in self.serving.keys() {
                offers.entry(plugin.clone()).or_default();
            }
            for (plugin, offers) in offers {
                self.settle_plugin(&plugin, offers, &round).await;
            }
        }
        let mut services = self.settle_drivers(cause).await;
        if self.relieve_idle(&services) {
            services = self.settle_drivers(cause).await;
        }
        self.forget_what_is_gone();
        let retired = room::retired(&self.mapped, self.serving.values().map(|generation| generation.content));
        let rows = rows::rows(self, &services, now_ms());
        let registry = Registry {
            directory: self.directory.clone(),
            folder_error: self.folder_error.clone(),
            rows,
            services,
            policy_problems: self.policy_problems.clone(),
            pins: self.settings.pins.clone(),
            serving: self.serving.values().cloned().collect(),
            relieved: self.relieved.clone(),
            retired,
            looked_ms: now_ms(),
        };
        Looked { registry, relieved: self.relieved[already_relieved..].to_vec(), files_read }
    }

    /// Lists the folder, reads the policy, and judges the files that may have changed; `None` where it cannot be listed.
    async fn read_folder(&mut self, cause: Cause) -> Option<Round> {
        let (directory, settings, known) =
            (self.directory.clone(), self.settings.clone(), std::mem::take(&mut self.known));
        let (known, listed) = blocking(cause, move || {
            let listed = scan::scan(&directory).map(|candidates| {
                let policy = Policy::read(&settings.admission);
                let work_of = |candidate: Candidate| {
                    let known = known.get(&candidate.name);
                    (look::work(known, &candidate, |known| terms_hold(&policy, known)), candidate)
                };
                (candidates.into_iter().map(work_of).collect::<Vec<_>>(), policy)
            });
            (known, listed)
        })
        .await;
        let (work, policy) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                self.known = known;
                self.folder_error = Some(error.to_string());
                return None;
            }
        };
        self.folder_error = None;
        self.tell_problems(&policy);
        let mut round = Round { cause, policy: Arc::new(policy), files_read: 0 };
        let mut before = known;
        for (work, candidate) in work {
            let name = candidate.name.clone();
            let known = match (work, before.remove(&name)) {
                (Work::Keep, Some(known)) => known,
                (_, was) => {
                    round.files_read += 1;
                    let (of, policy, settings) = (candidate.clone(), round.policy.clone(), self.settings.clone());
                    let finding = blocking(cause, move || assemble::examine(&of, &policy, &settings)).await;
                    Known::new(candidate, finding, was.as_ref(), now_ms())
                }
            };
            self.known.insert(name, known);
        }
        Some(round)
    }

    /// Tells what is wrong with the policy unless that was told before.
    fn tell_problems(&mut self, policy: &Policy) {
        for problem in policy.problems().iter().filter(|problem| !self.policy_problems.contains(problem)) {
            tracing::error!(problem, "the policy of offloaders");
        }
        self.policy_problems = policy.problems().to_vec();
    }

    /// The files that may be loaded, by plugin.
    fn offers(&self) -> BTreeMap<String, Vec<Offer>> {
        let mut offers: BTreeMap<String, Vec<Offer>> = BTreeMap::new();
        for (file, known) in &self.known {
            if let Some((note, content)) = known.admitted()
                && self.settings.pins.bar(note).is_none()
            {
                let file = file.to_string_lossy().into_owned();
                let offer = Offer { file, version: note.version.clone(), content, failed: false };
                offers.entry(note.name.clone()).or_default().push(offer);
            }
        }
        offers
    }

    /// Tries the files of one plugin that rank before what serves, until one takes over.
    async fn settle_plugin(&mut self, plugin: &str, mut offers: Vec<Offer>, round: &Round) {
        let pinned = self.settings.pins.version_of(plugin).map(|(version, _)| version.clone());
        choose::rank(&mut offers, pinned.as_ref());
        let incumbent = self.serving.get(plugin).map(|generation| Incumbent {
            file: generation.plugin().file.clone(),
            version: generation.plugin().note.version.clone(),
            content: generation.content,
            file_is_unfit: self.file_is_unfit(generation),
        });
        let mut tried = 0;
        while tried < choose::tries(&offers, incumbent.as_ref(), pinned.as_ref()) {
            if self.works(plugin, &offers[tried], round).await {
                break;
            }
            offers[tried].failed = true;
            tried += 1;
        }
    }

    /// Whether a file is in charge now; what does not work is remembered, and tried again when it is due.
    async fn works(&mut self, plugin: &str, offer: &Offer, round: &Round) -> bool {
        if self.failures.get(&offer.content).is_some_and(|failure| !self.is_due(failure, round.cause)) {
            return false;
        }
        match self.put_in_charge(plugin, offer, round).await {
            Ok(()) => {
                self.failures.remove(&offer.content);
                true
            }
            Err((reason, retry)) => {
                let failure = self.failure(self.failures.get(&offer.content), reason, retry);
                self.failures.insert(offer.content, failure);
                false
            }
        }
    }

    fn failure(&self, before: Option<&Failure>, reason: String, retry: Retry) -> Failure {
        Failure::new(before, reason, retry, self.look_count)
    }

    fn is_due(&self, failure: &Failure, cause: Cause) -> bool {
        failure.is_due(cause, self.look_count)
    }

    /// Loads a file and lets it take over what serves as the same plugin, if it passes the gate.
    async fn put_in_charge(&mut self, plugin: &str, offer: &Offer, round: &Round) -> Result<(), (String, Retry)> {
        let before = self.serving.get(plugin).cloned();
        let of_before = before.as_ref().map(|generation| generation.content);
        let max = self.settings.retired_bytes_max;
        let serving = self.serving.values().map(|generation| generation.content);
        room::check(&self.mapped, serving, offer.content, of_before, max).map_err(|reason| (reason, Retry::Always))?;
        let generation = self.open(offer, round).await?;
        let made = match &before {
            None => Vec::new(),
            Some(before) => self
                .trial(plugin, &generation, before)
                .await
                .map_err(|failed| (failed.reason, if failed.retryable { Retry::Soon } else { Retry::Asked }))?,
        };
        self.instances.keep(made);
        if let Some(before) = before {
            before.relieve(&format!("version {} of {} took over", offer.version, offer.file), now_ms());
            self.relieved.push(before);
        }
        self.serving.insert(plugin.to_owned(), generation);
        Ok(())
    }

    /// Opens a file as the next generation.
    async fn open(&mut self, offer: &Offer, round: &Round) -> Result<Arc<Generation>, (String, Retry)> {
        let Some(known) = self.known.get(&OsString::from(&offer.file)) else {
            return Err((format!("its name `{}` is no text", offer.file), Retry::Never));
        };
        let (candidate, content) = (known.candidate.clone(), offer.content);
        let note = known.admitted().map(|(note, _)| note);
        let plugin = note.map(|note| (note.name.clone(), note.version.to_string())).unwrap_or_default();
        let (policy, settings) = (round.policy.clone(), self.settings.clone());
        let opened = blocking(round.cause, move || assemble::open(&candidate, content, &policy, &settings)).await;
        let left = opened.as_ref().err().map(|not_opened| not_opened.left);
        // One that runs in processes of its own alone counts too: its memory file is held here.
        if left != Some(Left::Nothing) {
            self.mapped.insert(content, plugin);
        }
        match opened {
            Ok(plugin) => {
                self.generation_count += 1;
                Ok(Arc::new(Generation::new(self.generation_count, content, plugin, now_ms())))
            }
            Err(not_opened) => {
                Err((not_opened.reason, if not_opened.left == Left::Mapped { Retry::Never } else { Retry::Asked }))
            }
        }
    }

    /// Tries the next generation of a plugin on all that the one in charge is in use with.
    async fn trial(&self, plugin: &str, next: &Generation, before: &Generation) -> Result<Trialled, Failed> {
        let mut in_use = Vec::new();
        let own = self.incumbents.iter().filter(|(_, server)| *server == plugin).map(|(driver, _)| driver);
        for driver in own {
            let used = self.instances.in_use(before, driver);
            if !used.is_empty() {
                let spelling = self.spelling(next, driver)?;
                in_use.extend(used.into_iter().map(|(settings, instance)| InUse {
                    driver: spelling.clone(),
                    settings,
                    instance,
                }));
            }
        }
        takeover::pass(next, in_use).await
    }

    /// How `next` spells a driver that is in use, if it may serve it.
    fn spelling(&self, next: &Generation, driver: &str) -> Result<String, Failed> {
        let note = &next.plugin().note;
        let failed = |reason: String| Failed { reason, retryable: false };
        let claimed = note.drivers.iter().find(|claimed| claimed.eq_ignore_ascii_case(driver));
        let claimed = claimed.ok_or_else(|| {
            failed(format!("driver `{driver}` is in use, and version {} claims it no more", note.version))
        })?;
        match self.settings.pins.of(driver) {
            Some(pin) if !pin.admits(&note.name, &note.version) => {
                Err(failed(format!("driver `{driver}` is in use, and {} says otherwise", pins::line(driver, pin))))
            }
            _ => Ok(claimed.clone()),
        }
    }

    /// Whether what was loaded is in the folder, under whatever name, and admitted.
    pub(super) fn has_file(&self, generation: &Generation) -> bool {
        self.known.values().filter_map(Known::admitted).any(|(_, content)| content == generation.content)
    }

    /// Whether the file that it was loaded from now holds other bytes, which may not be loaded.
    fn file_is_unfit(&self, generation: &Generation) -> bool {
        let known = self.known.get(&OsString::from(&generation.plugin().file));
        known.is_some_and(|known| known.finding.content != Some(generation.content) && known.admitted().is_none())
    }

    /// What failed is forgotten with its file, unless trying it again would cost memory.
    fn forget_what_is_gone(&mut self) {
        let there: HashSet<Content> = self.known.values().filter_map(|known| known.finding.content).collect();
        self.failures.retain(|content, failure| failure.retry == Retry::Never || there.contains(content));
        let numbers: HashSet<u64> = self.serving.values().map(|generation| generation.number).collect();
        self.declined.retain(|(_, number), _| numbers.contains(number));
    }

    /// Of many generations that went, the ended ones whose bytes went again later, or serve again, need no telling any more. What
    /// is left is bounded as their bytes are.
    fn forget_old_generations(&mut self) {
        if self.relieved.len() <= RELIEVED_TOLD_MAX {
            return;
        }
        let mut later: HashSet<Content> = self.serving.values().map(|generation| generation.content).collect();
        let mut kept: Vec<_> = std::mem::take(&mut self.relieved)
            .into_iter()
            .rev()
            .filter(|generation| later.insert(generation.content) || !generation.is_over())
            .collect();
        kept.reverse();
        self.relieved = kept;
    }
}

type Trialled = Vec<(super::instances::InstanceKey, Arc<super::driver::PluginDriver>)>;

/// Whether the policy would judge a file as it did when the file was read.
fn terms_hold(policy: &Policy, known: &Known) -> bool {
    known.finding.terms.zip(known.finding.content).is_some_and(|(terms, content)| {
        policy.fingerprint(&known.candidate.path, terms.ownership, &content.sha256) == terms.fingerprint
    })
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    SystemClock.now_ms()
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(cause: Cause, work: impl FnOnce() -> T + Send + 'static) -> T {
    if cause.may_block() {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(lost) if lost.is_panic() => resume_unwind(lost.into_panic()),
        // The runtime ends, and this task with it.
        Err(_) => pending().await,
    }
}
