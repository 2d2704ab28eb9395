//! The metadata store on redb: one file, one table, one thread that writes.
//!
//! The thread takes all writes that wait and commits them in one transaction, each with its own check and its own answer, so
//! a thousand cursors cost a few flushes. Reads run beside it on blocking threads and see the last commit.
//!
//! After a crash redb has the last commit that was answered, or one more. Where a commit fails, its outcome is unknown and
//! all its writers are told so; redb then refuses everything until a restart.
//!
//! redb asserts what a damaged file may break. Such a panic ends the read, the write or the opening in which it happens, with
//! an error, and no more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError};
use tokio::sync::{mpsc, oneshot};

use super::record::{check, decode, encode, successor};
use super::{Expect, MetadataError, MetadataStore, Record};
use crate::storage::Clock;

/// Key to encoded record (`record::encode`).
const RECORDS: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("records");
/// Writes in one transaction.
const WRITES_PER_COMMIT_MAX: usize = 4096;
/// Writes that may wait; a writer beyond that waits to be let in.
const WRITES_WAITING_MAX: usize = 4096;
/// Memory for pages of the file, bytes.
const CACHE_BYTES: usize = 8 << 20;

/// Records in a redb file.
///
/// Each write is durable when it is answered, so there is nothing to close; dropping the store finishes what waits.
pub struct RedbMetadataStore {
    database: Arc<Guarded>,
    writes: mpsc::Sender<Write>,
    writer: Option<JoinHandle<()>>,
}

/// The database; a panic while it is closed stays here.
struct Guarded(Option<Database>);

impl Guarded {
    fn get(&self) -> &Database {
        self.0.as_ref().expect("it is taken in drop alone")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let database = self.0.take();
        if catch_unwind(AssertUnwindSafe(|| drop(database))).is_err() {
            tracing::error!("closing the metadata file failed; it is damaged, restore it from a copy");
        }
    }
}

enum Change {
    Put(Vec<u8>),
    Delete,
}

struct Write {
    key: String,
    change: Change,
    expect: Expect,
    answer: oneshot::Sender<Result<Option<Record>, MetadataError>>,
}

impl RedbMetadataStore {
    /// Opens the file, which is made if it is missing; its folder must be there or be makeable. Blocks.
    ///
    /// # Errors
    /// `Failed`: the file is used by another process, damaged, of an unknown form, or cannot be read; the text says which.
    pub fn open(file: &Path, clock: Arc<dyn Clock>) -> Result<Self, MetadataError> {
        let opened = catch_unwind(|| open_database(file).map(|database| Guarded(Some(database))));
        let damaged =
            |_| Err(MetadataError::Failed(format!("metadata file {} is damaged; restore it", file.display())));
        let database = Arc::new(opened.unwrap_or_else(damaged)?);
        let (writes, waiting) = mpsc::channel(WRITES_WAITING_MAX);
        let owned = database.clone();
        let spawned = thread::Builder::new()
            .name("metadata-commit".to_owned())
            .spawn(move || write_groups(owned.get(), waiting, &*clock));
        let writer = spawned.map_err(|e| MetadataError::Failed(format!("start thread metadata-commit: {e}")))?;
        Ok(Self { database, writes, writer: Some(writer) })
    }

    async fn write(&self, key: &str, change: Change, expect: Expect) -> Result<Option<Record>, MetadataError> {
        let (answer, answered) = oneshot::channel();
        let write = Write { key: key.to_owned(), change, expect, answer };
        let stopped = || format!("the metadata store stopped before record {key} was written");
        self.writes.send(write).await.map_err(|_| MetadataError::Failed(stopped()))?;
        answered.await.unwrap_or_else(|_| Err(MetadataError::Unknown(stopped())))
    }

    async fn read<T: Send + 'static>(
        &self,
        what: String,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, MetadataError> {
        let database = self.database.clone();
        let work = tokio::task::spawn_blocking(move || read(database.get())).await;
        let failed = |e: &dyn std::fmt::Display| MetadataError::Failed(format!("read metadata {what}: {e}"));
        work.map_err(|e| failed(&e))?.map_err(|e| failed(&e))
    }
}

impl Drop for RedbMetadataStore {
    fn drop(&mut self) {
        // The thread ends when the last sender is gone.
        self.writes = mpsc::channel(1).0;
        if self.writer.take().is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the metadata writer panicked");
        }
    }
}

#[async_trait]
impl MetadataStore for RedbMetadataStore {
    async fn get(&self, key: &str) -> Result<Option<Record>, MetadataError> {
        let owned = key.to_owned();
        let read = move |database: &Database| {
            let records = database.begin_read()?.open_table(RECORDS)?;
            Ok(records.get(&*owned)?.map(|bytes| bytes.value().to_vec()))
        };
        let bytes = self.read(format!("record {key}"), read).await?;
        bytes.map(|bytes| decode(key, &bytes)).transpose()
    }

    async fn put(&self, key: &str, value: Vec<u8>, expect: Expect) -> Result<Record, MetadataError> {
        let written = self.write(key, Change::Put(value), expect).await?;
        written.ok_or_else(|| MetadataError::Unknown(format!("the write of record {key} answered no record")))
    }

    async fn delete(&self, key: &str, expect: Expect) -> Result<(), MetadataError> {
        self.write(key, Change::Delete, expect).await.map(|_| ())
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, MetadataError> {
        let owned = prefix.to_owned();
        let read = move |database: &Database| {
            let records = database.begin_read()?.open_table(RECORDS)?;
            let mut keys = Vec::new();
            for record in records.range(&*owned..)? {
                let (key, _) = record?;
                if !key.value().starts_with(&owned) {
                    break;
                }
                keys.push(key.value().to_owned());
            }
            Ok(keys)
        };
        self.read(format!("keys below {prefix}"), read).await
    }
}

fn open_database(file: &Path) -> Result<Database, MetadataError> {
    let place = file.display();
    if let Some(folder) = file.parent() {
        let made = std::fs::create_dir_all(folder);
        made.map_err(|e| MetadataError::Failed(format!("make folder {}: {e}", folder.display())))?;
    }
    let opened = Database::builder().set_cache_size(CACHE_BYTES).create(file);
    let mut database = opened.map_err(|error| {
        MetadataError::Failed(match error {
            DatabaseError::DatabaseAlreadyOpen => {
                format!("metadata file {place} is used by another process; stop it or choose another data folder")
            }
            error => format!("open metadata file {place}: {error}; restore it from a copy, or look at the disk"),
        })
    })?;
    check_pages(&mut database, file)?;
    make_table(&database).map_err(|e| MetadataError::Failed(format!("prepare metadata file {place}: {e}")))?;
    Ok(database)
}

/// Reads the whole file once, so that a damaged page is found now and not as a record that seems to be missing.
fn check_pages(database: &mut Database, file: &Path) -> Result<(), MetadataError> {
    let place = file.display();
    match database.check_integrity() {
        Ok(true) => Ok(()),
        Ok(false) => Err(MetadataError::Failed(format!(
            "metadata file {place} was damaged and is repaired, its last writes may be lost; restore it from a copy, or \
             start again to go on without them"
        ))),
        Err(error) => {
            Err(MetadataError::Failed(format!("metadata file {place} is damaged: {error}; restore it from a copy")))
        }
    }
}

/// Makes the table unless it is there; a file that has it is not written at a start.
fn make_table(database: &Database) -> Result<(), redb::Error> {
    match database.begin_read()?.open_table(RECORDS) {
        Err(TableError::TableDoesNotExist(_)) => {}
        other => return other.map(|_| ()).map_err(redb::Error::from),
    }
    let transaction = database.begin_write()?;
    transaction.open_table(RECORDS)?;
    Ok(transaction.commit()?)
}

fn write_groups(database: &Database, mut waiting: mpsc::Receiver<Write>, clock: &dyn Clock) {
    let mut group = Vec::new();
    while waiting.blocking_recv_many(&mut group, WRITES_PER_COMMIT_MAX) > 0 {
        let outcomes = commit_group(database, &mut group, clock.now_ms());
        for (at, write) in group.drain(..).enumerate() {
            let outcome = match &outcomes {
                Ok(outcomes) => outcomes[at].clone(),
                Err(error) => Err(error.clone()),
            };
            // Whoever asked may have gone; the write holds all the same.
            let _ = write.answer.send(outcome);
        }
    }
}

type Outcome = Result<Option<Record>, MetadataError>;

/// One transaction; an outcome for each write, or one error for all. A write sees those before it in the group.
fn commit_group(database: &Database, group: &mut [Write], now_ms: u64) -> Result<Vec<Outcome>, MetadataError> {
    let failed = |e: redb::Error| MetadataError::Failed(format!("write metadata: {e}; nothing was changed"));
    let transaction = database.begin_write().map_err(|e| failed(e.into()))?;
    let outcomes = {
        let mut records = transaction.open_table(RECORDS).map_err(|e| failed(e.into()))?;
        let applied = group.iter_mut().map(|write| apply(&mut records, write, now_ms));
        applied.collect::<Result<Vec<Outcome>, redb::Error>>().map_err(failed)?
    };
    if outcomes.iter().all(Result::is_err) {
        transaction.abort().map_err(|e| failed(e.into()))?;
        return Ok(outcomes);
    }
    transaction.commit().map_err(|e| MetadataError::Unknown(format!("commit metadata: {e}; restart to find out")))?;
    Ok(outcomes)
}

/// The outer error is the file's and ends the transaction; the inner one concerns this write alone.
fn apply(
    records: &mut Table<'_, &'static str, &'static [u8]>,
    write: &mut Write,
    now_ms: u64,
) -> Result<Outcome, redb::Error> {
    let key = &*write.key;
    let stored = records.get(key)?.map(|bytes| decode(key, bytes.value())).transpose();
    let found = match stored.and_then(|found| check(key, found.as_ref(), write.expect).map(|()| found)) {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    match &mut write.change {
        Change::Put(value) => {
            let record = successor(found.as_ref(), std::mem::take(value), now_ms);
            records.insert(key, &*encode(key, &record))?;
            Ok(Ok(Some(record)))
        }
        Change::Delete => {
            records.remove(key)?;
            Ok(Ok(None))
        }
    }
}

#[cfg(test)]
mod tests;
