//! The folder of a MapFile: `data`, `index`, and the `.crc` files beside them where they are.
//!
//! The data file is walked from its start; behind damage the look goes on at the next place that the index names. Records are
//! held against what a copy of a ledger has, keys -1, 0, 1, 2, …, and the index against the records.

use std::path::Path;

use longshore_plugin_api::LedgerMetadata;
use map_file::checksum::{Checked, side_file_name};
use map_file::{Compression, Cursor, Error, IndexEntry, MapFile, ReadLimits, Record, SequenceFile, Source as _};
use uuid::Uuid;

use super::account::{Account, EntryLine, Fact, Finding, LedgerFacts, NotLookedAt, fact};
use super::local_file::LocalFile;
use super::shown;

/// The two files.
const DATA: &str = "data";
const INDEX: &str = "index";
/// The key of the ledger's metadata.
const METADATA_KEY: i64 = -1;
/// What a look at a MapFile has in memory at most: one value, or one block of them, as the library allows to everyone.
const LIMITS: ReadLimits = ReadLimits { value_bytes_max: 128 << 20, block_bytes_max: 256 << 20 };

/// Looks at the copy in `folder`, whose name tells ledger and uid where it is the original's.
///
/// # Errors
/// The inner one: there is no data file, or one cannot be opened. The outer one: those of `account`.
pub(super) fn look(
    folder: &Path,
    ledger_id: Option<u64>,
    account: &mut dyn Account,
) -> anyhow::Result<Result<(), NotLookedAt>> {
    let files = open(folder, DATA).and_then(|data| Ok((data, open(folder, INDEX)?)));
    let (data, index) = match files {
        Ok((Some(data), index)) => (data, index),
        Ok((None, _)) => return Ok(Err(NotLookedAt(format!("{} has no file {DATA}", folder.display())))),
        Err(problem) => return Ok(Err(problem)),
    };
    let named = folder.file_name().and_then(|name| parse_name(name.to_str()?));
    let ledger_id = ledger_id.or(named.map(|(ledger_id, _)| ledger_id));
    let uid = named.map(|(_, uid)| uid.to_string());
    let Some(data) = checked(data, account)? else { return Ok(Ok(())) };
    let data = match SequenceFile::open(data, LIMITS) {
        Ok(data) => data,
        Err(error) => return account.finding(of_format("header", error)).map(Ok),
    };
    let index = read_index(folder, index, account)?;
    let mut look = FolderLook {
        data: &data,
        ledger_id,
        uid,
        index: &index,
        account,
        metadata: None,
        next_key: METADATA_KEY,
        next_line: 0,
        payload_bytes: 0,
        is_whole: true,
        is_behind_damage: false,
    };
    look.all()?;
    Ok(Ok(()))
}

/// A file and its side file; nothing where there is no such file.
type Pair = Option<(LocalFile, Option<LocalFile>)>;

fn open(folder: &Path, name: &str) -> Result<Pair, NotLookedAt> {
    let Some(file) = LocalFile::open_if_there(&folder.join(name))? else { return Ok(None) };
    Ok(Some((file, LocalFile::open_if_there(&folder.join(side_file_name(name)))?)))
}

/// The file as its side file vouches for it; with a side file that cannot be right it is told and not looked at.
fn checked(
    (file, side_file): (LocalFile, Option<LocalFile>),
    account: &mut dyn Account,
) -> anyhow::Result<Option<Checked<LocalFile>>> {
    match Checked::open(file, side_file) {
        Ok(file) => Ok(Some(file)),
        Err(error) => account.finding(of_format("checksum", error)).map(|()| None),
    }
}

/// The lines of the index, none where it cannot be read.
fn read_index(folder: &Path, index: Pair, account: &mut dyn Account) -> anyhow::Result<Vec<IndexEntry>> {
    let Some(index) = index else {
        let problem = "the file is missing: no reader opens the copy without it";
        return account.finding(Finding::error("index", &shown(&folder.join(INDEX)), 0, problem)).map(|()| Vec::new());
    };
    let Some(index) = checked(index, account)? else { return Ok(Vec::new()) };
    // The library reads an index beside its data file alone.
    let opened = match open(folder, DATA) {
        Ok(Some((data, _))) => Checked::open(data, None).and_then(|data| MapFile::open(data, index, LIMITS)),
        _ => return Ok(Vec::new()),
    };
    match opened {
        Ok(map) => Ok(map.index().to_vec()),
        Err(error) => account.finding(of_format("index", error)).map(|()| Vec::new()),
    }
}

/// `<ledger id>-<uid>`.
fn parse_name(name: &str) -> Option<(u64, Uuid)> {
    let (ledger_id, uid) = name.split_once('-')?;
    Some((ledger_id.parse().ok()?, Uuid::try_parse(uid).ok()?))
}

struct FolderLook<'a> {
    data: &'a SequenceFile<Checked<LocalFile>>,
    ledger_id: Option<u64>,
    uid: Option<String>,
    index: &'a [IndexEntry],
    account: &'a mut dyn Account,
    metadata: Option<LedgerMetadata>,
    next_key: i64,
    /// The first line of the index that no record was held against.
    next_line: usize,
    payload_bytes: u64,
    /// Whether every record so far follows the one before.
    is_whole: bool,
    /// Whether records that were seen already may come again: the index leads into the midst of them.
    is_behind_damage: bool,
}

impl FolderLook<'_> {
    fn all(&mut self) -> anyhow::Result<()> {
        let mut cursor = self.data.cursor();
        // Each line is followed once, so that the look ends.
        let mut followed = 0;
        loop {
            let damage = match self.records(&mut cursor)? {
                None => break,
                Some(damage) => damage,
            };
            let offset = match &damage {
                Error::Corrupt { offset, .. } => *offset,
                _ => u64::MAX,
            };
            (self.is_whole, self.is_behind_damage) = (false, true);
            self.account.finding(of_format("record", damage))?;
            // What the cursor has passed may lie behind the damage already.
            let behind = self.index.partition_point(|line| line.offset <= offset || line.key < self.next_key);
            let behind = behind.max(followed);
            let Some(line) = self.index.get(behind) else { break };
            followed = behind + 1;
            self.next_line = self.next_line.max(behind);
            cursor = self.data.cursor_from(line.offset);
        }
        self.end()
    }

    /// Takes records until the end, for which the answer is nothing, or until damage.
    fn records(&mut self, cursor: &mut Cursor<'_, Checked<LocalFile>>) -> anyhow::Result<Option<Error>> {
        loop {
            match cursor.next_record() {
                Ok(None) => return Ok(None),
                Ok(Some(record)) => self.record(record)?,
                Err(error) => return Ok(Some(error)),
            }
        }
    }

    fn record(&mut self, record: Record) -> anyhow::Result<()> {
        self.check_lines_before(record.key, record.offset)?;
        let Record { key, value, offset } = record;
        if key < self.next_key {
            if self.is_behind_damage {
                return Ok(());
            }
            self.is_whole = false;
            let problem = format!("key {key} where key {} should be", self.next_key);
            return self.error("key", offset, problem);
        }
        if key > self.next_key {
            self.is_whole = false;
            if !self.is_behind_damage {
                let problem = format!("key {key} where key {} should be: what lies between is missing", self.next_key);
                self.error("key", offset, problem)?;
            }
        }
        self.is_behind_damage = false;
        if self.metadata.is_none() && self.next_key == METADATA_KEY {
            self.read_metadata(key, &value, offset)?;
        }
        self.next_key = key.saturating_add(1);
        let Ok(entry_id) = u64::try_from(key) else { return Ok(()) };
        if !value.is_empty() {
            self.account.piece(entry_id, &value)?;
        }
        let payload_bytes = value.len() as u64;
        self.payload_bytes += payload_bytes;
        self.account.entry(EntryLine { entry_id, payload_bytes, crc: crc32c::crc32c(&value) })
    }

    /// The first record should be the ledger's metadata.
    fn read_metadata(&mut self, key: i64, value: &[u8], offset: u64) -> anyhow::Result<()> {
        if key != METADATA_KEY {
            let facts = self.facts(None);
            return self.account.facts(&facts);
        }
        let decoded = LedgerMetadata::from_bookkeeper_bytes(self.ledger_id.unwrap_or(0), value);
        let facts = self.facts(decoded.as_ref().ok());
        self.account.facts(&facts)?;
        match decoded {
            Ok(metadata) => self.metadata = Some(metadata),
            Err(error) => self.error("metadata", offset, error.to_string())?,
        }
        Ok(())
    }

    fn facts(&self, metadata: Option<&LedgerMetadata>) -> Vec<Fact> {
        let mut facts = LedgerFacts {
            form: "map-file",
            ledger_id: self.ledger_id,
            uid: self.uid.clone(),
            entry_count: metadata.map_or(0, |it| it.entry_count),
            length_bytes: metadata.map_or(0, |it| it.length_bytes),
            created_ms: metadata.map_or(0, |it| it.created_ms),
            custom: metadata.map_or(&[], |it| it.custom.as_slice()),
        }
        .list();
        let compression = match self.data.header().compression {
            Compression::None => "NONE",
            Compression::Record => "RECORD",
            Compression::Block => "BLOCK",
        };
        facts.push(fact("dataBytes", self.data.source().len()));
        facts.push(fact("compression", compression));
        facts.push(fact("indexLines", self.index.len() as u64));
        facts.push(fact("checksumFile", self.data.source().is_verified()));
        facts
    }

    /// Each line of the index names a record and the place where it is found.
    fn check_lines_before(&mut self, key: i64, offset: u64) -> anyhow::Result<()> {
        while let Some(line) = self.index.get(self.next_line).copied() {
            if line.key > key {
                break;
            }
            self.next_line += 1;
            if line.key < key {
                self.line_is_wrong(line, "no record of this key is there")?;
            } else if line.offset != offset {
                self.line_is_wrong(line, &format!("the record is at {offset}"))?;
            }
        }
        Ok(())
    }

    fn line_is_wrong(&mut self, line: IndexEntry, what: &str) -> anyhow::Result<()> {
        let problem = format!("the index says that key {} is here; {what}", line.key);
        self.error("index-line", line.offset, problem)
    }

    /// What can be said only once everything was seen.
    fn end(&mut self) -> anyhow::Result<()> {
        let end = self.data.source().len();
        if self.next_key == METADATA_KEY {
            let facts = self.facts(None);
            self.account.facts(&facts)?;
            return self.error("metadata", end, "there is no record, not even the ledger's metadata");
        }
        if self.is_whole {
            while let Some(line) = self.index.get(self.next_line).copied() {
                self.next_line += 1;
                self.line_is_wrong(line, "no record of this key is there")?;
            }
        }
        let Some(metadata) = self.metadata.clone() else { return Ok(()) };
        let entries = u64::try_from(self.next_key).unwrap_or(0);
        if entries != metadata.entry_count {
            let problem =
                format!("the entries end with {entries}, the ledger's metadata says {}", metadata.entry_count);
            self.error("entry-count", end, problem)?;
        } else if self.is_whole && self.payload_bytes != metadata.length_bytes {
            let problem = format!(
                "the payloads have {} bytes together, the ledger's metadata says {}",
                self.payload_bytes, metadata.length_bytes
            );
            self.error("ledger-length", end, problem)?;
        }
        Ok(())
    }

    fn error(&mut self, id: &'static str, offset: u64, problem: impl Into<String>) -> anyhow::Result<()> {
        let place = self.data.source().name().to_owned();
        self.account.finding(Finding::error(id, &place, offset, problem))
    }
}

fn of_format(id: &'static str, error: Error) -> Finding {
    match error {
        Error::Corrupt { file, offset, problem } => Finding::error(id, &file, offset, problem),
        Error::Unsupported { file, problem } => Finding::error("unsupported", &file, 0, problem),
        Error::Io { file, source, .. } => Finding::error("unreadable", &file, 0, source.to_string()),
        other => Finding::error(id, "", 0, other.to_string()),
    }
}
