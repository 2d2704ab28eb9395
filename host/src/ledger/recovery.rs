//! Puts the ledger folder right after a crash, before anything else may use it.
//!
//! In order: the journal is read once to learn which ledgers it makes, extends and removes; removed ledgers go; each `.open`
//! file is scanned to its last whole record and cut there; the journal is read again and its entries appended where they are
//! missing; all of it is flushed; the journal goes. Each step may be repeated after a crash within it.
//!
//! A cut-off tail that holds whole records, and journal records that fit nowhere, are more than a torn write leaves. They are
//! copied to `<id>.cut` before anything is overwritten, and reported.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, remove_if_there};
use super::format::{
    ENTRY_BYTES_MAX, FOOTER_FIXED_BYTES, Footer, RECORD_HEADER_BYTES, RecordHeader, SegmentHeader, check_record,
};
use super::journal::{JournalRecord, SPARES_MAX, journal_continues, scan_journal};
use super::layout::Layout;
use super::offsets::Offsets;
use super::reader::{read_at, read_header};
use super::segment::{Segment, State, store_error};
use super::window::Window;
use crate::storage::{LedgerId, ReadError, StoreError};

/// Bytes of payload that the search for whole records in a tail may verify, beyond a few times the tail itself; a tail made
/// to look like records everywhere is set aside without looking further.
const SEARCH_BYTES_MAX: u64 = 64 << 20;

/// An unsealed ledger that a start found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredLedger {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// Entries that it has.
    pub entry_count: u64,
    /// How many of these came from the journal.
    pub replayed_count: u64,
    /// Bytes of its file that were cut off.
    pub cut_bytes: u64,
}

/// What a start found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Number of sealed ledgers; none of them was read.
    pub sealed_count: usize,
    /// Ledgers without a footer: readable and to be sealed, not appendable.
    pub unsealed: Vec<RecoveredLedger>,
    /// Files with bytes that were set aside.
    pub cut_files: Vec<PathBuf>,
}

/// What recovery hands to the store.
pub(super) struct Recovered {
    /// Ledgers with a footer.
    pub(super) sealed: Vec<LedgerId>,
    /// Ledgers without.
    pub(super) open: Vec<Arc<Segment>>,
    /// What to tell the operator.
    pub(super) report: RecoveryReport,
    /// Number for the next journal segment.
    pub(super) next_journal: u64,
    /// Files to be written over as journal segments.
    pub(super) spares: Vec<PathBuf>,
}

/// What the journal says, in total.
#[derive(Default)]
struct Journaled {
    created: HashMap<LedgerId, SegmentHeader>,
    end_entry: HashMap<LedgerId, u64>,
    deleted: BTreeSet<LedgerId>,
    files: Vec<JournalFile>,
}

struct JournalFile {
    number: u64,
    path: PathBuf,
    file: File,
    /// Whether whole records lie behind the first that is not.
    continues: bool,
}

/// A ledger on its way back.
struct Reopened {
    header: SegmentHeader,
    path: PathBuf,
    file: File,
    offsets: Offsets,
    replayed_count: u64,
    cut_bytes: u64,
    /// A journal record that does not follow the last entry was set aside.
    has_gap: bool,
}

struct Recovery<'a> {
    layout: &'a Layout,
    disk: &'a Disk,
    report: RecoveryReport,
}

/// Recovers the folder; journal files of `spare_bytes` are kept to be written over. Blocks.
///
/// # Errors
/// A file that cannot be listed, read or written; nothing is lost then, and the start may be tried again.
pub(super) fn recover(layout: &Layout, disk: &Disk, spare_bytes: u64) -> Result<Recovered, StoreError> {
    let mut recovery = Recovery { layout, disk, report: RecoveryReport::default() };
    let list = |e: io::Error| store_error("list ledgers in", layout.root(), &e);
    let mut listing = layout.list().map_err(list)?;
    let journaled = recovery.survey_journal()?;
    recovery.remove_deleted(&journaled)?;
    listing.sealed.retain(|id| !journaled.deleted.contains(id));
    let sealed: BTreeSet<LedgerId> = listing.sealed.iter().copied().collect();
    let mut open: BTreeSet<LedgerId> = listing.open.into_iter().chain(journaled.created.keys().copied()).collect();
    open.retain(|id| !journaled.deleted.contains(id));

    let mut newly_sealed = Vec::new();
    let mut reopened = BTreeMap::new();
    for id in open {
        if sealed.contains(&id) {
            recovery.set_duplicate_aside(id)?;
        } else if let Some(ledger) = recovery.reopen(id, &journaled)? {
            match recovery.finish_seal(&ledger)? {
                true => newly_sealed.push(id),
                false => drop(reopened.insert(id, ledger)),
            }
        }
    }
    recovery.replay(&journaled, &mut reopened)?;
    recovery.flush(&journaled, &reopened, &newly_sealed)?;
    recovery.drop_journal(&journaled)?;
    let (spares, next_journal) = recovery.sort_spares(&journaled, spare_bytes)?;

    listing.sealed.extend(newly_sealed);
    listing.sealed.sort_unstable();
    Ok(recovery.finish(listing.sealed, reopened, next_journal, spares))
}

impl Recovery<'_> {
    fn survey_journal(&mut self) -> Result<Journaled, StoreError> {
        let folder = self.layout.journal_folder();
        let numbers = self.layout.journal_numbers().map_err(|e| store_error("list", &folder, &e))?;
        let mut journaled = Journaled::default();
        for number in numbers {
            let path = self.layout.journal_path(number);
            let survey = |journaled: &mut Journaled| -> io::Result<(File, bool)> {
                let file = File::open(&path)?;
                let end = scan_journal(&file, number, |ledger_id, record| {
                    journaled.note(ledger_id, record);
                    Ok(())
                })?;
                let continues = journal_continues(&file, number, end)?;
                Ok((file, continues))
            };
            let (file, continues) = survey(&mut journaled).map_err(|e| store_error("read journal", &path, &e))?;
            journaled.files.push(JournalFile { number, path, file, continues });
        }
        Ok(journaled)
    }

    fn remove_deleted(&self, journaled: &Journaled) -> Result<(), StoreError> {
        for id in &journaled.deleted {
            for path in [self.layout.open_path(*id), self.layout.sealed_path(*id)] {
                remove_if_there(&path).map_err(|e| store_error("remove", &path, &e))?;
            }
        }
        Ok(())
    }

    /// A rename leaves one name; where both are there, the sealed one is complete.
    fn set_duplicate_aside(&mut self, id: LedgerId) -> Result<(), StoreError> {
        let path = self.layout.open_path(id);
        if path.exists() { self.set_file_aside(id, &path) } else { Ok(()) }
    }

    fn set_file_aside(&mut self, id: LedgerId, path: &Path) -> Result<(), StoreError> {
        let cut = self.layout.cut_path(id);
        fs::rename(path, &cut).map_err(|e| store_error("set aside", path, &e))?;
        self.report_cut(id, cut);
        Ok(())
    }

    fn report_cut(&mut self, id: LedgerId, cut: PathBuf) {
        tracing::warn!(ledger_id = id.0, file = %cut.display(),
            "bytes that are no ordinary torn tail were set aside; compare them with the ledger, then remove the file");
        if !self.report.cut_files.contains(&cut) {
            self.report.cut_files.push(cut);
        }
    }

    /// Opens, scans and cuts one `.open` file. `None` where a crash left a file that was never answered for.
    fn reopen(&mut self, id: LedgerId, journaled: &Journaled) -> Result<Option<Reopened>, StoreError> {
        let path = self.layout.open_path(id);
        let made = journaled.created.get(&id);
        let open = || {
            if made.is_some() {
                fs::create_dir_all(self.layout.folder(id))?;
            }
            OpenOptions::new().read(true).write(true).create(made.is_some()).truncate(false).open(&path)
        };
        let file = open().map_err(|e| store_error("open", &path, &e))?;
        let header = match (read_header(&file, &path)?, made) {
            (Ok(header), _) if header.ledger_id == id => header,
            (_, Some(header)) => {
                self.write_header(&file, &path, header)?;
                header.clone()
            }
            _ => {
                self.give_up(id, &file, &path)?;
                return Ok(None);
            }
        };
        let mut offsets = Offsets::with_capacity(header.len_bytes(), 0);
        scan(&file, id, &mut offsets).map_err(|e| store_error("scan", &path, &e))?;
        let mut ledger = Reopened { header, path, file, offsets, replayed_count: 0, cut_bytes: 0, has_gap: false };
        if !ledger.has_whole_footer()? {
            self.cut_tail(&mut ledger, journaled)?;
        }
        Ok(Some(ledger))
    }

    fn write_header(&self, file: &File, path: &Path, header: &SegmentHeader) -> Result<(), StoreError> {
        self.disk.write_bytes_at(file, path, &header.encode(), 0).map_err(|e| store_error("write", path, &e))
    }

    /// A file without a header that the journal does not know: a create that was not answered, unless it has records.
    fn give_up(&mut self, id: LedgerId, file: &File, path: &Path) -> Result<(), StoreError> {
        if holds_record(file, id, 0, 0).map_err(|e| store_error("scan", path, &e))? {
            return self.set_file_aside(id, path);
        }
        remove_if_there(path).map_err(|e| store_error("remove", path, &e))
    }

    /// Cuts what follows the last whole record, and keeps a copy if it holds entries that nothing else has.
    fn cut_tail(&mut self, ledger: &mut Reopened, journaled: &Journaled) -> Result<(), StoreError> {
        let id = ledger.header.ledger_id;
        let from = ledger.offsets.end_offset();
        let known = journaled.end_entry.get(&id).copied().unwrap_or(0).max(ledger.offsets.entry_count());
        let mut cut = || -> io::Result<(u64, bool)> {
            let cut_bytes = ledger.file.metadata()?.len().saturating_sub(from);
            let is_precious = cut_bytes > 0 && holds_record(&ledger.file, id, from, known)?;
            if is_precious {
                ledger.file.seek(SeekFrom::Start(from))?;
                append_to_cut(&self.layout.cut_path(id), &mut (&ledger.file).take(cut_bytes))?;
            }
            if cut_bytes > 0 {
                ledger.file.set_len(from)?;
            }
            Ok((cut_bytes, is_precious))
        };
        let (cut_bytes, is_precious) = cut().map_err(|e| store_error("cut the torn tail of", &ledger.path, &e))?;
        ledger.cut_bytes = cut_bytes;
        if is_precious {
            self.report_cut(id, self.layout.cut_path(id));
        }
        Ok(())
    }

    /// Ends a seal that the crash interrupted after its footer was whole.
    fn finish_seal(&self, ledger: &Reopened) -> Result<bool, StoreError> {
        if !ledger.has_whole_footer()? {
            return Ok(false);
        }
        let finish = || {
            self.disk.flush(&ledger.file, &ledger.path)?;
            fs::rename(&ledger.path, self.layout.sealed_path(ledger.header.ledger_id))
        };
        finish().map_err(|e| store_error("finish the seal of", &ledger.path, &e))?;
        Ok(true)
    }

    fn replay(&mut self, journaled: &Journaled, reopened: &mut BTreeMap<LedgerId, Reopened>) -> Result<(), StoreError> {
        let mut gaps = BTreeSet::new();
        for journal in &journaled.files {
            let visited = scan_journal(&journal.file, journal.number, |id, record| {
                let (JournalRecord::Entry { entry_id, record }, Some(ledger)) = (record, reopened.get_mut(&id)) else {
                    return Ok(());
                };
                if ledger.replay(self.disk, entry_id, record)? {
                    return Ok(());
                }
                gaps.insert(id);
                append_to_cut(&self.layout.cut_path(id), &mut &*record)
            });
            visited.map_err(|e| store_error("replay journal", &journal.path, &e))?;
        }
        for id in gaps {
            self.report_cut(id, self.layout.cut_path(id));
        }
        Ok(())
    }

    fn flush(
        &self,
        journaled: &Journaled,
        reopened: &BTreeMap<LedgerId, Reopened>,
        newly_sealed: &[LedgerId],
    ) -> Result<(), StoreError> {
        for ledger in reopened.values() {
            self.disk.flush(&ledger.file, &ledger.path).map_err(|e| store_error("flush", &ledger.path, &e))?;
        }
        let touched = reopened.keys().chain(newly_sealed).chain(&journaled.deleted);
        let folders: BTreeSet<PathBuf> = touched.map(|id| self.layout.folder(*id)).collect();
        let root = self.layout.root().to_owned();
        for folder in folders.into_iter().filter(|folder| folder.exists()).chain([root]) {
            self.disk.flush_folder(&folder).map_err(|e| store_error("flush", &folder, &e))?;
        }
        Ok(())
    }

    fn drop_journal(&mut self, journaled: &Journaled) -> Result<(), StoreError> {
        let folder = self.layout.journal_folder();
        for journal in &journaled.files {
            let path = &journal.path;
            if journal.continues {
                let cut = path.with_extension("cut");
                fs::rename(path, &cut).map_err(|e| store_error("set aside", path, &e))?;
                tracing::warn!(file = %cut.display(), "a journal segment is damaged in the middle and was set aside");
                self.report.cut_files.push(cut);
            } else {
                let spare = self.layout.spare_path(journal.number);
                fs::rename(path, spare).map_err(|e| store_error("drop journal", path, &e))?;
            }
            // A later segment must not go before an earlier one, whose ledgers it may say are gone.
            self.disk.flush_folder(&folder).map_err(|e| store_error("flush", &folder, &e))?;
        }
        Ok(())
    }

    /// Keeps a few spares of full size and removes the rest. A number is never used again, so that no content counts twice.
    fn sort_spares(&self, journaled: &Journaled, spare_bytes: u64) -> Result<(Vec<PathBuf>, u64), StoreError> {
        let folder = self.layout.journal_folder();
        let numbers = self.layout.spare_numbers().map_err(|e| store_error("list", &folder, &e))?;
        let last = numbers.iter().copied().chain(journaled.files.iter().map(|journal| journal.number)).max();
        let mut kept = Vec::new();
        for path in numbers.into_iter().map(|number| self.layout.spare_path(number)) {
            let is_full = fs::metadata(&path).is_ok_and(|metadata| metadata.len() >= spare_bytes);
            if is_full && kept.len() < SPARES_MAX {
                kept.push(path);
            } else {
                remove_if_there(&path).map_err(|e| store_error("remove", &path, &e))?;
            }
        }
        Ok((kept, last.map_or(0, |last| last.saturating_add(1))))
    }

    fn finish(
        mut self,
        sealed: Vec<LedgerId>,
        reopened: BTreeMap<LedgerId, Reopened>,
        next_journal: u64,
        spares: Vec<PathBuf>,
    ) -> Recovered {
        self.report.sealed_count = sealed.len();
        let mut open = Vec::with_capacity(reopened.len());
        for (ledger_id, ledger) in reopened {
            let entry_count = ledger.offsets.entry_count();
            let (replayed_count, cut_bytes) = (ledger.replayed_count, ledger.cut_bytes);
            self.report.unsealed.push(RecoveredLedger { ledger_id, entry_count, replayed_count, cut_bytes });
            let state = State::Open { file: Arc::new(ledger.file), offsets: ledger.offsets };
            let segment = Segment::new(ledger.header, self.layout, state);
            segment.name_is_flushed();
            open.push(Arc::new(segment));
        }
        Recovered { sealed, open, report: self.report, next_journal, spares }
    }
}

impl Journaled {
    fn note(&mut self, ledger_id: LedgerId, record: JournalRecord<'_>) {
        match record {
            JournalRecord::Create(header) => drop(self.created.insert(ledger_id, header)),
            JournalRecord::Entry { entry_id, .. } => {
                let end = self.end_entry.entry(ledger_id).or_default();
                *end = (*end).max(entry_id.saturating_add(1));
            }
            JournalRecord::Delete => drop(self.deleted.insert(ledger_id)),
        }
    }
}

impl Reopened {
    /// Whether index and footer follow the last whole record and are whole. A footer alone proves nothing: it may have
    /// reached the disk before the records.
    fn has_whole_footer(&self) -> Result<bool, ReadError> {
        let read_error = |e: io::Error| super::reader::read_error("look at", &self.path, &e);
        let file_bytes = self.file.metadata().map_err(read_error)?.len();
        let end = self.offsets.end_offset();
        let Some(footer_at) = file_bytes.checked_sub(FOOTER_FIXED_BYTES as u64).filter(|at| *at >= end) else {
            return Ok(false);
        };
        let fixed = read_at(&self.file, &self.path, footer_at, FOOTER_FIXED_BYTES as u64)?;
        let Ok(footer) = Footer::decode(&fixed, self.header.ledger_id, file_bytes) else { return Ok(false) };
        if footer.index_offset != end {
            return Ok(false);
        }
        let index = read_at(&self.file, &self.path, end, footer.index_bytes())?;
        Ok(footer.decode_index(&index, self.header.len_bytes()).is_ok_and(|index| index == self.offsets))
    }

    /// Appends an entry of the journal unless it is there. `false` where it does not follow the last one.
    fn replay(&mut self, disk: &Disk, entry_id: u64, record: &[u8]) -> io::Result<bool> {
        let next = self.offsets.entry_count();
        if entry_id < next && !self.has_gap {
            return Ok(true);
        }
        if entry_id != next || self.has_gap {
            self.has_gap = true;
            return Ok(false);
        }
        disk.write_bytes_at(&self.file, &self.path, record, self.offsets.end_offset())?;
        self.offsets.push((record.len() - RECORD_HEADER_BYTES) as u32);
        self.replayed_count += 1;
        Ok(true)
    }
}

/// Adds each whole record from the index's end on, up to the first that is not.
fn scan(file: &File, id: LedgerId, offsets: &mut Offsets) -> io::Result<()> {
    let mut window = Window::new(file, offsets.end_offset())?;
    while let Some(header) = window.peek(RECORD_HEADER_BYTES as u64)?.and_then(RecordHeader::peek) {
        if header.length as usize > ENTRY_BYTES_MAX {
            return Ok(());
        }
        match window.peek(header.record_bytes())? {
            Some(record) if check_record(id, offsets.entry_count(), record).is_ok() => {}
            _ => return Ok(()),
        }
        offsets.push(header.length);
        window.advance(header.record_bytes());
    }
    Ok(())
}

/// Whether a whole record of entry `first` or later lies anywhere from `from` on, or so much looks like one that the search
/// was given up.
fn holds_record(file: &File, id: LedgerId, from: u64, first: u64) -> io::Result<bool> {
    let mut window = Window::new(file, from)?;
    let mut budget = window.rest_bytes().saturating_mul(4).saturating_add(SEARCH_BYTES_MAX);
    while let Some(header) = window.peek(RECORD_HEADER_BYTES as u64)?.and_then(RecordHeader::peek) {
        // The file cannot hold more entries than it has room for headers, so ids far away are no ids.
        let ids = window.at() / RECORD_HEADER_BYTES as u64 + window.rest_bytes();
        let is_near = header.entry_id >= first && header.entry_id - first <= ids;
        if is_near && header.record_bytes() <= window.rest_bytes() {
            let Some(left) = budget.checked_sub(header.record_bytes()) else { return Ok(true) };
            budget = left;
            let record = window.peek(header.record_bytes())?;
            if record.is_some_and(|record| check_record(id, header.entry_id, record).is_ok()) {
                return Ok(true);
            }
        }
        window.advance(1);
    }
    Ok(false)
}

fn append_to_cut(path: &Path, from: &mut dyn Read) -> io::Result<()> {
    let mut cut = OpenOptions::new().append(true).create(true).open(path)?;
    io::copy(from, &mut cut)?;
    cut.flush()?;
    cut.sync_all()
}
