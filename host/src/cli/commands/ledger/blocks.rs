//! A data object and its index object as files, looked at block by block and granule by granule.
//!
//! A granule is what one line of the index leads to. Damage within one is told, and the look goes on with the next: an entry
//! is told only when it stands where the index leads to, in an unbroken row of ids, and where the granule's checksum matches
//! if there is one. So a granule with a checksum is read twice, first for that.

use std::io;
use std::ops::Range;
use std::path::Path;

use block_format::data_block::{FRAME_HEAD_BYTES, HEADER_BYTES, PADDING};
use block_format::keys::{self, ParsedKey};
use block_format::walk::{Look, Place, Step, Walker};
use block_format::{Error, Index};

use super::account::{Account, EntryLine, Fact, Finding, LedgerFacts, NotLookedAt, fact};
use super::local_file::{LocalFile, PIECE_BYTES, Window};
use crate::cli::output::grouped;

/// The longest index object that is read, in bytes: it is in memory as a whole. A dense one of this length belongs to more than a
/// hundred gigabytes of data.
const INDEX_BYTES_MAX: u64 = 64 << 20;
/// What a block's header says stands in its first bytes; the rest is zero.
const HEADER_USED: u64 = 28;

/// Looks at a copy. Where the files' names are keys, they tell ledger and uid.
///
/// # Errors
/// The inner one: a file cannot be opened. The outer one: those of `account`.
pub(super) fn look(
    data: &Path,
    index: &Path,
    ledger_id: Option<u64>,
    account: &mut dyn Account,
) -> anyhow::Result<Result<(), NotLookedAt>> {
    let opened = LocalFile::open(data).and_then(|data| Ok((data, LocalFile::open(index)?)));
    let (data_file, index_file) = match opened {
        Ok(files) => files,
        Err(problem) => return Ok(Err(problem)),
    };
    let key = [data, index].into_iter().find_map(key_of);
    let bytes = match read_whole(&index_file) {
        Ok(bytes) => bytes,
        Err(finding) => return account.finding(finding).map(Ok),
    };
    let decoded = match ledger_id.or(key.map(|key| key.ledger_id)) {
        Some(ledger_id) => Index::decode(index_file.name(), ledger_id, &bytes),
        None => Index::decode_unnamed(index_file.name(), &bytes),
    };
    let index = match decoded {
        Ok(index) => index,
        Err(error) => return account.finding(of_format("index", error)).map(Ok),
    };
    account.facts(&facts(&index, key, &data_file, ledger_id))?;
    check_index_end(&index, &index_file, account)?;
    let mut look =
        BlocksLook { data: &data_file, index: &index, account, window: Window::default(), seen: Seen::default() };
    look.all()?;
    Ok(Ok(()))
}

fn key_of(path: &Path) -> Option<ParsedKey> {
    keys::parse(path.file_name()?.to_str()?)
}

fn read_whole(file: &LocalFile) -> Result<Vec<u8>, Finding> {
    let count = file.byte_count();
    if count > INDEX_BYTES_MAX {
        let problem = format!("an index of {} bytes; at most {} are read", grouped(count), grouped(INDEX_BYTES_MAX));
        return Err(Finding::error("index", file.name(), INDEX_BYTES_MAX, problem));
    }
    let mut bytes = vec![0; count as usize];
    file.read_exact(&mut bytes, 0).map_err(|error| unreadable(file, 0, &error))?;
    Ok(bytes)
}

fn facts(index: &Index, key: Option<ParsedKey>, data: &LocalFile, given: Option<u64>) -> Vec<Fact> {
    let (metadata, extension) = (index.metadata(), index.extension());
    let ledger_id = given.or(key.map(|key| key.ledger_id)).or(extension.map(|it| it.ledger_id));
    let uid = extension.map(|it| it.uid).or(key.map(|key| key.uid));
    let mut facts = LedgerFacts {
        form: "blocks",
        ledger_id,
        uid: uid.map(|uid| uid.to_string()),
        entry_count: metadata.entry_count,
        length_bytes: metadata.length_bytes,
        created_ms: metadata.created_ms,
        custom: &metadata.custom,
    }
    .list();
    let lines = index.entries().len();
    let blocks = (0..lines).filter(|granule| index.begins_block(*granule)).count();
    facts.push(fact("dataBytes", data.byte_count()));
    facts.push(fact("blocks", blocks as u64));
    facts.push(fact("indexLines", lines as u64));
    facts.push(fact("dataCrc32c", extension.map_or("none".to_owned(), |it| format!("{:08x}", it.data_crc()))));
    facts
}

/// Bytes that are neither table nor extension: others may have put them there, every reader passes over them.
fn check_index_end(index: &Index, file: &LocalFile, account: &mut dyn Account) -> anyhow::Result<()> {
    let known_bytes = match index.encode() {
        Ok(bytes) => bytes.len() as u64,
        Err(error) => return account.finding(of_format("index", error)),
    };
    if file.byte_count() > known_bytes {
        let problem = format!("{} bytes behind the index that nothing here knows", file.byte_count() - known_bytes);
        account.finding(Finding::note("index-tail", file.name(), known_bytes, problem))?;
    }
    Ok(())
}

/// What was found sound.
#[derive(Default)]
struct Seen {
    entries: u64,
    payload_bytes: u64,
    /// Granules that were not sound to their ends.
    broken_granules: u64,
}

struct BlocksLook<'a> {
    data: &'a LocalFile,
    index: &'a Index,
    account: &'a mut dyn Account,
    window: Window,
    seen: Seen,
}

/// Why the look at a granule ends early.
enum Broken {
    /// It was told.
    Told(Finding),
    /// The listener's error.
    Listener(anyhow::Error),
}

impl From<Finding> for Broken {
    fn from(finding: Finding) -> Self {
        Self::Told(finding)
    }
}

impl From<anyhow::Error> for Broken {
    fn from(error: anyhow::Error) -> Self {
        Self::Listener(error)
    }
}

impl BlocksLook<'_> {
    fn all(&mut self) -> anyhow::Result<()> {
        let (found, expected) = (self.data.byte_count(), self.index.data_bytes());
        if found != expected {
            let problem = format!("the object has {found} bytes, its index says {expected}");
            self.account.finding(self.error("data-length", found.min(expected), problem))?;
        }
        for granule in 0..self.index.entries().len() {
            match self.granule(granule) {
                Ok(()) => {}
                Err(Broken::Listener(error)) => return Err(error),
                Err(Broken::Told(finding)) => {
                    self.seen.broken_granules += 1;
                    self.account.finding(finding)?;
                }
            }
        }
        self.check_sums()
    }

    fn granule(&mut self, granule: usize) -> Result<(), Broken> {
        let range = self.index.granule(granule);
        if range.end > self.data.byte_count() {
            let problem = format!("the object ends before offset {}, where the index has entries", range.end);
            return Err(self.error("data-truncated", self.data.byte_count(), problem).into());
        }
        if range.is_empty() {
            let problem = "the index has a block here, the data object ends";
            return Err(self.error("block-missing", range.start, problem).into());
        }
        self.check_crc(granule, &range)?;
        if self.index.begins_block(granule) {
            self.check_reserved(range.start)?;
        }
        self.entries(granule, &range)
    }

    /// The granule's bytes against its checksum, in pieces.
    fn check_crc(&mut self, granule: usize, range: &Range<u64>) -> Result<(), Broken> {
        let Some(extension) = self.index.extension() else { return Ok(()) };
        let expected = extension.running_crcs[granule];
        let mut crc = granule.checked_sub(1).map_or(0, |before| extension.running_crcs[before]);
        self.pieces(range.clone(), |_, bytes| {
            crc = crc32c::crc32c_append(crc, bytes);
            Ok(())
        })?;
        if crc != expected {
            let problem = format!("the checksum of the {} bytes from here on does not match", range.end - range.start);
            return Err(self.error("checksum", range.start, problem).into());
        }
        Ok(())
    }

    fn check_reserved(&mut self, start: u64) -> Result<(), Broken> {
        let mut first_set = None;
        let end = (start + HEADER_BYTES).min(self.data.byte_count());
        self.pieces((start + HEADER_USED).min(end)..end, |_, bytes| {
            first_set = first_set.or(bytes.iter().position(|byte| *byte != 0));
            Ok(())
        })?;
        if let Some(at) = first_set {
            let problem = "bytes of a block's header that should be zero are not";
            let note = Finding::note("header-reserved", self.data.name(), start + HEADER_USED + at as u64, problem);
            self.account.finding(note)?;
        }
        Ok(())
    }

    /// Walks over the entries of one granule.
    fn entries(&mut self, granule: usize, range: &Range<u64>) -> Result<(), Broken> {
        let (data, index) = (self.data, self.index);
        let mut walker = Walker::new(data.name(), index, Place::at_granule(index, granule));
        let mut needed = FRAME_HEAD_BYTES;
        loop {
            let before = walker.place();
            if before.offset >= range.end {
                return self.check_next(granule, before);
            }
            let bytes = self.window.at(data, before.offset, needed as usize);
            let bytes = bytes.map_err(|error| unreadable(data, before.offset, &error))?;
            let step = walker.step(bytes, Look::Head).map_err(|error| {
                let id = if before.at_header { "block-header" } else { "entry" };
                of_format(id, error)
            })?;
            match step {
                Step::Need(count) if count > data.byte_count() - before.offset => {
                    let problem = format!("the object ends here, {count} bytes should follow");
                    return Err(self.error("data-truncated", before.offset, problem).into());
                }
                Step::Need(count) => needed = count,
                Step::Moved if before.at_header => {}
                // Where it moved, the walker has found that the next block begins with the next entry.
                Step::Moved | Step::End => {
                    self.check_padding(before.offset..before.block_end)?;
                    let ends_block = before.block_end == range.end;
                    return if ends_block { Ok(()) } else { Err(self.ends_early(before, range).into()) };
                }
                Step::Entry { entry_id, offset, payload } => {
                    let payload = offset + payload.start..offset + payload.end;
                    if payload.end > range.end {
                        let problem = format!(
                            "entry {entry_id} ends at {}, the index says that another begins at {}",
                            payload.end, range.end
                        );
                        return Err(self.error("index-line", offset, problem).into());
                    }
                    self.entry(entry_id, payload)?;
                    needed = FRAME_HEAD_BYTES;
                }
            }
        }
    }

    fn ends_early(&self, place: Place, range: &Range<u64>) -> Finding {
        let problem = format!("the entries end here, the index has more of them from {} on", range.end);
        self.error("index-line", place.offset, problem)
    }

    /// The granule's end was reached by an entry's end: the next one must begin with the next entry.
    fn check_next(&mut self, granule: usize, place: Place) -> Result<(), Broken> {
        let next = self.index.entries().get(granule + 1).map(|line| line.first_entry_id);
        let expected = next.unwrap_or(self.index.metadata().entry_count);
        if place.entry_id == expected {
            return Ok(());
        }
        let problem = format!("entry {} should begin here, the index goes on with entry {expected}", place.entry_id);
        Err(self.error("index-line", place.offset, problem).into())
    }

    fn entry(&mut self, entry_id: u64, payload: Range<u64>) -> Result<(), Broken> {
        let payload_bytes = payload.end - payload.start;
        let mut crc = 0;
        self.pieces(payload, |account, bytes| {
            crc = crc32c::crc32c_append(crc, bytes);
            account.piece(entry_id, bytes)
        })?;
        self.account.entry(EntryLine { entry_id, payload_bytes, crc })?;
        self.seen.entries += 1;
        self.seen.payload_bytes += payload_bytes;
        Ok(())
    }

    /// Readers need its first byte alone; a writer of this format leaves the pattern.
    fn check_padding(&mut self, range: Range<u64>) -> Result<(), Broken> {
        let end = range.end.min(self.data.byte_count());
        let (mut at, mut wrong) = (0_u64, None);
        self.pieces(range.start.min(end)..end, |_, bytes| {
            for byte in bytes {
                if wrong.is_none() && *byte != PADDING[(at % PADDING.len() as u64) as usize] {
                    wrong = Some(at);
                }
                at += 1;
            }
            Ok(())
        })?;
        if let Some(at) = wrong {
            let problem = "the padding of the block is not fe dc de ad again and again";
            self.account.finding(Finding::note("padding", self.data.name(), range.start + at, problem))?;
        }
        Ok(())
    }

    /// Hands over the bytes of a range of the data object that lies within it.
    fn pieces(
        &mut self,
        range: Range<u64>,
        mut take: impl FnMut(&mut dyn Account, &[u8]) -> anyhow::Result<()>,
    ) -> Result<(), Broken> {
        let Range { start: mut offset, end } = range;
        while offset < end {
            let count = (end - offset).min(PIECE_BYTES as u64) as usize;
            let bytes = self.window.at(self.data, offset, 1).map_err(|error| unreadable(self.data, offset, &error))?;
            let bytes = &bytes[..bytes.len().min(count)];
            if bytes.is_empty() {
                return Err(self.error("data-truncated", offset, "the object ends here").into());
            }
            offset += bytes.len() as u64;
            take(self.account, bytes)?;
        }
        Ok(())
    }

    /// The ledger's metadata against what was found, where all of it was.
    fn check_sums(&mut self) -> anyhow::Result<()> {
        let metadata = self.index.metadata();
        let Seen { entries, payload_bytes, broken_granules } = self.seen;
        if broken_granules > 0 {
            return Ok(());
        }
        let end = self.data.byte_count();
        if entries != metadata.entry_count {
            let problem = format!("{entries} entries, the ledger's metadata says {}", metadata.entry_count);
            self.account.finding(self.error("entry-count", end, problem))?;
        }
        if payload_bytes != metadata.length_bytes {
            let problem = format!(
                "the payloads have {payload_bytes} bytes together, the ledger's metadata says {}",
                metadata.length_bytes
            );
            self.account.finding(self.error("ledger-length", end, problem))?;
        }
        Ok(())
    }

    fn error(&self, id: &'static str, offset: u64, problem: impl Into<String>) -> Finding {
        Finding::error(id, self.data.name(), offset, problem)
    }
}

fn unreadable(file: &LocalFile, offset: u64, error: &io::Error) -> Finding {
    Finding::error("unreadable", file.name(), offset, error.to_string())
}

/// An error of the library as a finding; `Unsupported` has no offset of its own.
fn of_format(id: &'static str, error: Error) -> Finding {
    match error {
        Error::Corrupt { object, offset, problem } => Finding::error(id, &object, offset, problem),
        Error::Unsupported { object, problem } => Finding::error("unsupported", &object, 0, problem),
        other => Finding::error(id, "", 0, other.to_string()),
    }
}
