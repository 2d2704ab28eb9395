//! Every operation of the file system fails once, at every step of an offload, a read, a delete: afterwards the copy is complete or
//! nothing is there, and the error says what to do.
//!
//! [`Faulty`] counts what is asked of the local file system and lets one of the calls fail: before it did anything, or after it did
//! everything, as a server whose answer is lost; once, or from then on until it is healed.

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use longshore_plugin_api::{Entry, Error, ErrorCode, LedgerReader, Result};
use map_file::WriteOptions;
use tempfile::TempDir;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use crate::copy::{self, Feed};
use crate::file_system::{FileSystem, Identity, Listed, NewFile, OpenFile, STALE};
use crate::folders;
use crate::local::LocalFileSystem;
use crate::paths::CopyPaths;
use crate::read_handle;

const LEDGER: u64 = 5;
const MANAGED_LEDGER: &str = "public/default/persistent/orders";

/// When a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    /// Nothing was done.
    Before,
    /// Everything was done, and nobody learns of it.
    After,
    /// Nothing was done, and nothing will be from now on.
    FromThenOn,
    /// It does not fail; somebody else does something before it.
    Meanwhile,
}

/// What somebody else does.
struct Meanwhile(Box<dyn FnOnce() + Send>);

impl fmt::Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meanwhile")
    }
}

/// Which call fails, and how.
#[derive(Debug)]
struct Plan {
    calls: AtomicU64,
    fail_at: AtomicU64,
    when: When,
    kind: ErrorKind,
    failed: Mutex<Vec<String>>,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl Plan {
    fn new(fail_at: u64, when: When, kind: ErrorKind) -> Arc<Self> {
        let (calls, fail_at) = (AtomicU64::new(0), AtomicU64::new(fail_at));
        Arc::new(Self { calls, fail_at, when, kind, failed: Mutex::default(), meanwhile: Mutex::default() })
    }

    fn call<T>(&self, name: &str, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let (number, fail_at) = (self.calls.fetch_add(1, Ordering::SeqCst), self.fail_at.load(Ordering::SeqCst));
        let fails = number == fail_at || (self.when == When::FromThenOn && number > fail_at);
        if !fails {
            return work();
        }
        self.failed.lock().unwrap().push(name.to_owned());
        if self.when == When::Meanwhile {
            if let Some(Meanwhile(act)) = self.meanwhile.lock().unwrap().take() {
                act();
            }
            return work();
        }
        if self.when == When::After {
            work()?;
        }
        Err(self.kind.into())
    }

    fn set_meanwhile(&self, act: impl FnOnce() + Send + 'static) {
        *self.meanwhile.lock().unwrap() = Some(Meanwhile(Box::new(act)));
    }

    fn heal(&self) {
        self.fail_at.store(u64::MAX, Ordering::SeqCst);
    }

    fn failed(&self) -> Vec<String> {
        self.failed.lock().unwrap().clone()
    }
}

/// The local file system with a fault.
#[derive(Debug)]
struct Faulty {
    plan: Arc<Plan>,
    /// As HDFS: no exchange of names, no side files.
    as_hdfs: bool,
}

impl FileSystem for Faulty {
    fn keeps_side_files(&self) -> bool {
        !self.as_hdfs
    }

    fn answers_from_memory(&self) -> bool {
        false
    }

    fn read_permits(&self) -> Option<&Arc<Semaphore>> {
        None
    }

    fn create_folders(&self, folder: &Path) -> io::Result<()> {
        self.plan.call("create_folders", || LocalFileSystem::default().create_folders(folder))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let file = self.plan.call("create", || LocalFileSystem::default().create(path))?;
        Ok(Box::new(FaultyNewFile { plan: self.plan.clone(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Option<Arc<dyn OpenFile>>> {
        let file = self.plan.call("open", || LocalFileSystem::default().open(path))?;
        let faulty = |file| Arc::new(FaultyOpenFile { plan: self.plan.clone(), file }) as Arc<dyn OpenFile>;
        Ok(file.map(faulty))
    }

    fn is_folder(&self, path: &Path) -> io::Result<bool> {
        self.plan.call("is_folder", || LocalFileSystem::default().is_folder(path))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        self.plan.call("list", || LocalFileSystem::default().list(folder))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.plan.call("rename", || LocalFileSystem::default().rename(from, to))
    }

    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()> {
        if self.as_hdfs {
            return Err(ErrorKind::Unsupported.into());
        }
        self.plan.call("exchange", || LocalFileSystem::default().exchange(one, other))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.plan.call("remove", || LocalFileSystem::default().remove(path))
    }

    fn remove_empty(&self, folder: &Path) -> io::Result<()> {
        self.plan.call("remove_empty", || LocalFileSystem::default().remove_empty(folder))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.plan.call("sync_folder", || LocalFileSystem::default().sync_folder(folder))
    }

    fn check_writable(&self, base: &Path) -> io::Result<()> {
        self.plan.call("check_writable", || LocalFileSystem::default().check_writable(base))
    }
}

struct FaultyNewFile {
    plan: Arc<Plan>,
    file: Box<dyn NewFile>,
}

impl Write for FaultyNewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.plan.call("write", || self.file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.plan.call("flush", || self.file.flush())
    }
}

impl NewFile for FaultyNewFile {
    fn finish(self: Box<Self>) -> io::Result<u64> {
        let Self { plan, file } = *self;
        plan.call("finish", || file.finish())
    }
}

#[derive(Debug)]
struct FaultyOpenFile {
    plan: Arc<Plan>,
    file: Arc<dyn OpenFile>,
}

impl OpenFile for FaultyOpenFile {
    fn identity(&self) -> Identity {
        self.file.identity()
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        self.plan.call("read_at", || self.file.read_at(offset, len))
    }
}

struct Tier {
    folder: TempDir,
    uid: Uuid,
}

impl Tier {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), uid: Uuid::from_u128(1) }
    }

    fn paths(&self) -> CopyPaths {
        CopyPaths::new(self.folder.path(), MANAGED_LEDGER, LEDGER, self.uid).unwrap()
    }

    fn offload(&self, file_system: &Faulty, payloads: &[Bytes]) -> Result<()> {
        let (_waits, feed) = feed(payloads);
        self.write(file_system, payloads, feed)
    }

    fn write(&self, file_system: &Faulty, payloads: &[Bytes], feed: Receiver<Feed>) -> Result<()> {
        let ledger = LedgerReader::in_memory(LEDGER, payloads.to_vec());
        copy::write(file_system, &self.paths(), WriteOptions::default(), &ledger, feed)
    }

    /// What is in the topic's folder.
    fn names(&self) -> Vec<String> {
        let listed = fs::read_dir(self.paths().parent).into_iter().flatten();
        let mut names: Vec<String> = listed.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Holds the state after a failed step against the promise: the copy is one of `models`, or there is nothing. The parents of a
    /// copy stay.
    fn assert_whole_or_nothing(&self, models: &[&[Bytes]], case: &str) {
        let names = self.names();
        if names.is_empty() {
            assert!(models.len() == 1, "{case}: the old copy is gone");
            return;
        }
        assert_eq!(names, [self.paths().copy.file_name().unwrap().to_str().unwrap()], "{case}");
        let healthy: Arc<dyn FileSystem> = Arc::new(LocalFileSystem::default());
        let read = read_all(&healthy, &self.paths().copy).unwrap_or_else(|e| panic!("{case}: {e}"));
        assert!(models.iter().any(|model| read == *model), "{case}");
    }
}

/// All that an offload feeds its writer with, and what is there as long as somebody waits for the copy.
fn feed(payloads: &[Bytes]) -> (Sender<Feed>, Receiver<Feed>) {
    let (sender, receiver) = mpsc::channel(payloads.len() + 1);
    for (entry_id, payload) in (0..).zip(payloads) {
        sender.try_send(Feed::Entries(vec![Entry { entry_id, payload: payload.clone() }])).ok().unwrap();
    }
    sender.try_send(Feed::End).ok().unwrap();
    (sender, receiver)
}

fn read_all(file_system: &Arc<dyn FileSystem>, copy: &Path) -> Result<Vec<Bytes>> {
    let handle = read_handle::open(file_system, copy, LEDGER)?;
    let handle = handle.ok_or_else(|| Error::new(ErrorCode::NotFound, "no copy"))?;
    handle.read_blocking(0, u64::MAX)
}

fn payloads(seed: u64) -> Vec<Bytes> {
    let mut random = fastrand::Rng::with_seed(seed);
    // More than the writer's buffer, so that some writes happen before the end.
    (0..8).map(|_| (0..40_000).map(|_| random.u8(..)).collect::<Vec<u8>>().into()).collect()
}

/// Runs `case` with a fault at each call, until one is reached that no longer comes.
fn at_each_call(when: When, kind: ErrorKind, mut case: impl FnMut(&Arc<Plan>, &str)) -> u64 {
    for fail_at in 0.. {
        assert!(fail_at < 1000, "the calls never end");
        let plan = Plan::new(fail_at, when, kind);
        case(&plan, &format!("call {fail_at}, {when:?}, {kind:?}"));
        if plan.failed().is_empty() {
            return fail_at;
        }
    }
    unreachable!("the range has no end")
}

fn faulty(plan: &Arc<Plan>, as_hdfs: bool) -> Faulty {
    Faulty { plan: plan.clone(), as_hdfs }
}

#[test]
fn a_first_offload_leaves_a_whole_copy_or_nothing() {
    let model = payloads(1);
    for as_hdfs in [false, true] {
        for when in [When::Before, When::After] {
            for (kind, code) in [
                (ErrorKind::StorageFull, ErrorCode::StorageFull),
                (ErrorKind::ConnectionReset, ErrorCode::Unavailable),
                (ErrorKind::TimedOut, ErrorCode::Timeout),
            ] {
                let calls = at_each_call(when, kind, |plan, case| {
                    let tier = Tier::new();
                    let result = tier.offload(&faulty(plan, as_hdfs), &model);
                    let case = format!("{case}, {:?}, as HDFS {as_hdfs}", plan.failed());
                    tier.assert_whole_or_nothing(&[&model], &case);
                    match result {
                        Ok(()) => assert!(!tier.names().is_empty(), "{case}"),
                        Err(error) => assert_eq!(error.code(), code, "{case}: {error}"),
                    }
                });
                assert!(calls > 12, "{calls} calls are fewer than there are steps");
            }
        }
    }
}

#[test]
fn a_repeated_offload_leaves_the_old_copy_or_the_new_one() {
    let (old, new) = (payloads(1), payloads(2));
    for as_hdfs in [false, true] {
        // Names change once more where they cannot be exchanged: an answer lost there leaves what `delete` finds.
        for when in if as_hdfs { vec![When::Before] } else { vec![When::Before, When::After] } {
            at_each_call(when, ErrorKind::ConnectionReset, |plan, case| {
                let tier = Tier::new();
                tier.offload(&faulty(&Plan::new(u64::MAX, when, ErrorKind::Other), as_hdfs), &old).unwrap();
                let result = tier.offload(&faulty(plan, as_hdfs), &new);
                let case = format!("{case}, {:?}, as HDFS {as_hdfs}", plan.failed());
                let models: &[&[Bytes]] = if result.is_ok() { &[&new, &new] } else { &[&old, &new] };
                tier.assert_whole_or_nothing(models, &case);
            });
        }
    }
}

#[test]
fn what_a_lost_store_left_goes_with_the_next_attempt_or_a_delete() {
    let model = payloads(1);
    for as_hdfs in [false, true] {
        at_each_call(When::FromThenOn, ErrorKind::ConnectionReset, |plan, case| {
            for again in [true, false] {
                let tier = Tier::new();
                let plan = Plan::new(plan.fail_at.load(Ordering::SeqCst), plan.when, plan.kind);
                let file_system = faulty(&plan, as_hdfs);
                let _ = tier.offload(&file_system, &model);
                plan.heal();
                if again {
                    tier.offload(&file_system, &model).unwrap();
                    tier.assert_whole_or_nothing(&[&model, &model], case);
                } else {
                    folders::remove_copy(&file_system, &tier.paths()).unwrap();
                    assert_eq!(tier.names(), [""; 0], "{case}");
                }
            }
            // Counts the calls for the loop.
            let _ = Tier::new().offload(&faulty(plan, as_hdfs), &model);
        });
    }
}

#[test]
fn a_failed_delete_is_finished_by_the_next_one_and_leaves_no_half_copy() {
    let model = payloads(1);
    for when in [When::Before, When::After] {
        at_each_call(when, ErrorKind::ConnectionReset, |plan, case| {
            let tier = Tier::new();
            let healthy = faulty(&Plan::new(u64::MAX, when, ErrorKind::Other), false);
            tier.offload(&healthy, &model).unwrap();
            let result = folders::remove_copy(&faulty(plan, false), &tier.paths());
            if result.is_ok() {
                assert_eq!(tier.names(), [""; 0], "{case}");
            } else if tier.paths().copy.exists() {
                tier.assert_whole_or_nothing(&[&model], case);
            }
            folders::remove_copy(&healthy, &tier.paths()).unwrap();
            assert_eq!(tier.names(), [""; 0], "{case}");
        });
    }
}

#[test]
fn a_copy_that_nobody_waits_for_gets_no_name() {
    let (old, new) = (payloads(1), payloads(2));
    for as_hdfs in [false, true] {
        at_each_call(When::Meanwhile, ErrorKind::Other, |plan, case| {
            let tier = Tier::new();
            tier.offload(&faulty(&Plan::new(u64::MAX, When::Before, ErrorKind::Other), as_hdfs), &old).unwrap();
            let (waits, feed) = feed(&new);
            plan.set_meanwhile(move || drop(waits));
            let result = tier.write(&faulty(plan, as_hdfs), &new, feed);
            let case = format!("{case}, before {:?}, as HDFS {as_hdfs}: {result:?}", plan.failed());
            let model = match result {
                Ok(()) => &new,
                Err(error) => {
                    assert_eq!(error.code(), ErrorCode::Cancelled, "{case}");
                    &old
                }
            };
            tier.assert_whole_or_nothing(&[model, model], &case);
            let written = ["write", "finish", "create"].contains(&plan.failed().first().map_or("", String::as_str));
            assert!(model == &old || !written, "{case}");
        });
    }
}

#[test]
fn an_attempt_that_is_published_while_its_copy_is_deleted_leaves_nothing() {
    let model = payloads(1);
    for as_hdfs in [false, true] {
        let calls = at_each_call(When::Meanwhile, ErrorKind::Other, |plan, case| {
            let tier = Tier::new();
            let paths = tier.paths();
            tier.offload(&faulty(&Plan::new(u64::MAX, When::Before, ErrorKind::Other), as_hdfs), &model).unwrap();
            let attempt = paths.attempts.join("1");
            fs::create_dir(&paths.attempts).unwrap();
            fs::rename(&paths.copy, &attempt).unwrap();
            let (from, to) = (attempt.clone(), paths.copy.clone());
            plan.set_meanwhile(move || fs::rename(from, to).unwrap_or(()));
            folders::remove_copy(&faulty(plan, as_hdfs), &paths).unwrap();
            // The writer comes at last, if it did not before.
            assert!(fs::rename(&attempt, &paths.copy).is_err(), "{case}");
            assert_eq!(tier.names(), [""; 0], "{case}");
        });
        assert!(calls > 4, "{calls} calls are fewer than there are steps");
    }
}

#[test]
fn a_read_that_meets_a_stale_handle_opens_the_file_once_more() {
    let (tier, model) = (Tier::new(), payloads(1));
    tier.offload(&faulty(&Plan::new(u64::MAX, When::Before, ErrorKind::Other), false), &model).unwrap();
    let (mut reopened, mut refused) = (0, 0);
    at_each_call(When::Before, STALE, |plan, case| {
        let file_system: Arc<dyn FileSystem> = Arc::new(faulty(plan, false));
        let read = read_all(&file_system, &tier.paths().copy);
        match plan.failed().first().map(String::as_str) {
            // The kernel looks a path up again by itself: an open that fails is an answer.
            Some("open" | "is_folder") => {
                assert_eq!(read.unwrap_err().code(), ErrorCode::Unavailable, "{case}");
                refused += 1;
            }
            failed => {
                assert!(read.unwrap_or_else(|e| panic!("{case}: {e}")) == model, "{case}");
                reopened += u64::from(failed == Some("read_at"));
            }
        }
    });
    assert!(reopened > 3 && refused == 4, "{reopened} reads, {refused} opens");
}

#[test]
fn a_read_gives_up_on_a_handle_that_stays_stale_or_leads_elsewhere() {
    let (tier, model) = (Tier::new(), payloads(1));
    let plan = Plan::new(u64::MAX, When::FromThenOn, STALE);
    tier.offload(&faulty(&plan, false), &model).unwrap();
    let file_system: Arc<dyn FileSystem> = Arc::new(faulty(&plan, false));
    let open = || read_handle::open(&file_system, &tier.paths().copy, LEDGER).unwrap().unwrap();

    let handle = open();
    plan.fail_at.store(0, Ordering::SeqCst);
    let error = handle.read_blocking(0, u64::MAX).unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), (ErrorCode::Unavailable, true), "{error}");
    plan.heal();
    assert!(handle.read_blocking(0, u64::MAX).unwrap() == model, "it works again");

    // Another file has the name: the next stale read must not take it for this one.
    let plan = Plan::new(u64::MAX, When::Before, STALE);
    let file_system: Arc<dyn FileSystem> = Arc::new(faulty(&plan, false));
    let handle = read_handle::open(&file_system, &tier.paths().copy, LEDGER).unwrap().unwrap();
    let data: PathBuf = tier.paths().copy.join("data");
    let bytes = fs::read(&data).unwrap();
    fs::remove_file(&data).unwrap();
    fs::write(&data, &bytes[..bytes.len() - 1]).unwrap();
    plan.fail_at.store(plan.calls.load(Ordering::SeqCst), Ordering::SeqCst);
    let error = handle.read_blocking(0, u64::MAX).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    assert!(error.to_string().contains("another file has its name"), "{error}");
}

#[test]
fn each_error_of_a_read_is_typed_and_none_is_not_found() {
    let (tier, model) = (Tier::new(), payloads(1));
    tier.offload(&faulty(&Plan::new(u64::MAX, When::Before, ErrorKind::Other), false), &model).unwrap();
    for (kind, code) in
        [(ErrorKind::TimedOut, ErrorCode::Timeout), (ErrorKind::ConnectionReset, ErrorCode::Unavailable)]
    {
        at_each_call(When::Before, kind, |plan, case| {
            let file_system: Arc<dyn FileSystem> = Arc::new(faulty(plan, true));
            match read_all(&file_system, &tier.paths().copy) {
                Ok(read) => assert!(plan.failed().is_empty() && read == model, "{case}"),
                Err(error) => assert_eq!(error.code(), code, "{case}: {error}"),
            }
        });
    }
}
