//! The journal that all ledgers share: what a group did, in one write and one flush.
//!
//! Its records repeat what also goes to the ledgers' files, which are flushed later (`checkpoint`); after a crash `recovery`
//! replays them. A segment is dropped when everything in it is on disk elsewhere, and only after all older ones.
//!
//! A dropped segment becomes a spare and is written over as a later one. Writing over blocks that a file already has spares
//! the file system its own journal: the flush waits for nothing but our bytes, also while others write a lot. So a store that
//! journals more than a little has spares made in the background and moves to them.
//!
//! All numbers are little-endian; docs/formats/segment-file.md draws the layout. Groups begin at multiples of
//! [`GROUP_ALIGNMENT`]. A group's checksum covers the segment's number and its own place, so what an earlier use of the file
//! left never counts; a group counts as a whole or not at all.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::checkpoint::{Checkpoint, Done, Job};
use super::disk::{Disk, Gathered};
use super::format::{RecordHeader, SegmentHeader, check_record, u32_at, u64_at};
use super::layout::Layout;
use super::segment::{Segment, store_error};
use super::window::Window;
use crate::storage::{LedgerId, StoreError};

/// First bytes of each journal segment.
const JOURNAL_MAGIC: [u8; 8] = *b"LSHJRNL\x01";
/// Where groups may begin, bytes. Also bounds where a search for a later group must look.
const GROUP_ALIGNMENT: u64 = 512;
/// Bytes of a group before its records: segment number, bytes of records, checksum.
const GROUP_HEADER_BYTES: usize = 8 + 4 + 4;
/// Bytes of a record before its body: ledger id, kind.
const FRONT_BYTES: usize = 8 + 4;
/// Full segments that may wait for their checkpoint while the next one is written.
const SEGMENTS_WAITING_MAX: usize = 1;
/// Segments of full size that are written over in turn.
pub(super) const SPARES_MAX: usize = 2;
/// Bytes journaled before a first spare is made; a store that is hardly used takes no more room than it needs.
const BYTES_BEFORE_SPARE: u64 = 4 << 20;
/// Bytes that the search behind a torn group may verify, as a multiple of what there is.
const SEARCH_FACTOR: u64 = 4;

const KIND_CREATE: u32 = 1;
const KIND_ENTRY: u32 = 2;
const KIND_DELETE: u32 = 3;

/// What a record says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JournalRecord<'a> {
    /// The ledger exists.
    Create(SegmentHeader),
    /// The ledger has this entry; `record` are the bytes of its segment file.
    Entry {
        /// Place in the ledger.
        entry_id: u64,
        /// Header and payload, verified.
        record: &'a [u8],
    },
    /// The ledger is gone.
    Delete,
}

fn front(ledger_id: LedgerId, kind: u32) -> [u8; FRONT_BYTES] {
    let mut bytes = [0; FRONT_BYTES];
    bytes[..8].copy_from_slice(&ledger_id.0.to_le_bytes());
    bytes[8..].copy_from_slice(&kind.to_le_bytes());
    bytes
}

/// Adds a create to a group.
pub(super) fn gather_create(records: &mut Gathered, header: &SegmentHeader) {
    records.add(&front(header.ledger_id, KIND_CREATE));
    records.add(&header.encode());
}

/// Adds the front of an entry to a group; its record follows.
pub(super) fn gather_entry_front(records: &mut Gathered, ledger_id: LedgerId) {
    records.add(&front(ledger_id, KIND_ENTRY));
}

/// Adds a delete to a group.
pub(super) fn gather_delete(records: &mut Gathered, ledger_id: LedgerId) {
    records.add(&front(ledger_id, KIND_DELETE));
}

/// The header of journal segment `number`.
fn journal_header(number: u64) -> Vec<u8> {
    let mut bytes = JOURNAL_MAGIC.to_vec();
    bytes.extend_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Number and length of a group, without the checksum.
fn group_front(number: u64, records_bytes: u32) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    bytes[8..].copy_from_slice(&records_bytes.to_le_bytes());
    bytes
}

fn group_crc<'a>(front: &[u8], offset: u64, records: impl Iterator<Item = &'a [u8]>) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(front), &offset.to_le_bytes());
    records.fold(crc, crc32c::crc32c_append)
}

/// Calls `visit` for each record of journal segment `number`, group by group up to the first that is not whole, and answers
/// where that is.
pub(super) fn scan_journal(
    file: &File,
    number: u64,
    mut visit: impl FnMut(LedgerId, JournalRecord<'_>) -> io::Result<()>,
) -> io::Result<u64> {
    let mut window = Window::new(file, 0)?;
    let header = journal_header(number);
    if window.peek(header.len() as u64)? != Some(&header[..]) {
        return Ok(0);
    }
    window.advance_to_multiple(GROUP_ALIGNMENT, header.len() as u64);
    let mut budget = u64::MAX;
    while let Some(records) = peek_group(&mut window, number, &mut budget)? {
        let bytes = (GROUP_HEADER_BYTES + records.len()) as u64;
        visit_records(records, &mut visit)?;
        window.advance_to_multiple(GROUP_ALIGNMENT, bytes);
    }
    Ok(window.at())
}

/// Whether a whole group lies anywhere behind the one at `from`, which is not whole: more than a torn write leaves. Also if
/// so much looks like a group that the search was given up.
pub(super) fn journal_continues(file: &File, number: u64, from: u64) -> io::Result<bool> {
    let mut window = Window::new(file, from)?;
    let mut budget = window.rest_bytes().saturating_mul(SEARCH_FACTOR);
    while window.rest_bytes() > 0 {
        window.advance_to_multiple(GROUP_ALIGNMENT, 1);
        if peek_group(&mut window, number, &mut budget)?.is_some() || budget == 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The records of the group that begins here, if a whole one does. Takes from `budget` what it verifies; 0 means too much.
fn peek_group<'a>(window: &'a mut Window<'_>, number: u64, budget: &mut u64) -> io::Result<Option<&'a [u8]>> {
    let (offset, rest_bytes) = (window.at(), window.rest_bytes());
    let Some(header) = window.peek(GROUP_HEADER_BYTES as u64)? else { return Ok(None) };
    let (records_bytes, crc) = (u32_at(header, 8), u32_at(header, 12));
    let bytes = GROUP_HEADER_BYTES as u64 + u64::from(records_bytes);
    if u64_at(header, 0) != number || bytes > rest_bytes {
        return Ok(None);
    }
    *budget = budget.saturating_sub(bytes);
    let Some(group) = window.peek(bytes)? else { return Ok(None) };
    let records = &group[GROUP_HEADER_BYTES..];
    let is_whole = group_crc(&group_front(number, records_bytes), offset, std::iter::once(records)) == crc;
    Ok(is_whole.then_some(records))
}

/// Visits the records of a whole group. What does not parse, in spite of the checksum, ends the group.
fn visit_records(
    mut records: &[u8],
    visit: &mut impl FnMut(LedgerId, JournalRecord<'_>) -> io::Result<()>,
) -> io::Result<()> {
    while records.len() >= FRONT_BYTES {
        let (ledger_id, kind) = (LedgerId(u64_at(records, 0)), u32_at(records, 8));
        let body = &records[FRONT_BYTES..];
        let Some((record, body_bytes)) = decode_body(ledger_id, kind, body) else { return Ok(()) };
        visit(ledger_id, record)?;
        records = &body[body_bytes..];
    }
    Ok(())
}

/// The record whose body is in front, and how long that is.
fn decode_body(ledger_id: LedgerId, kind: u32, body: &[u8]) -> Option<(JournalRecord<'_>, usize)> {
    match kind {
        KIND_CREATE => {
            let header = SegmentHeader::decode(body).ok()?;
            let bytes = header.len_bytes() as usize;
            (header.ledger_id == ledger_id).then_some((JournalRecord::Create(header), bytes))
        }
        KIND_ENTRY => {
            let header = RecordHeader::peek(body)?;
            let record = body.get(..usize::try_from(header.record_bytes()).ok()?)?;
            check_record(ledger_id, header.entry_id, record).ok()?;
            Some((JournalRecord::Entry { entry_id: header.entry_id, record }, record.len()))
        }
        KIND_DELETE => Some((JournalRecord::Delete, 0)),
        _ => None,
    }
}

/// The journal as the commit thread writes it.
pub(super) struct Journal {
    layout: Layout,
    disk: Arc<Disk>,
    bytes_max: u64,
    active: Option<Active>,
    next_number: u64,
    /// Bytes of segments that wait for their checkpoint, or could not have it.
    waiting_bytes: u64,
    waiting_count: usize,
    kept: bool,
    spares: Vec<PathBuf>,
    /// Files of full size, in use or not.
    spares_made: usize,
    spare_is_coming: bool,
    jobs: Sender<Job>,
    done: Receiver<Done>,
}

/// The journal's ways to the checkpoint thread.
pub(super) struct CheckpointThread {
    /// To it.
    pub(super) jobs: Sender<Job>,
    /// From it.
    pub(super) done: Receiver<Done>,
}

struct Active {
    number: u64,
    path: PathBuf,
    file: File,
    /// Where the next group begins.
    len_bytes: u64,
    /// Whether the file had its blocks before.
    is_recycled: bool,
    /// Whether a write or flush failed; nothing more is written here.
    is_broken: bool,
    touched: HashMap<LedgerId, Arc<Segment>>,
    folders: BTreeSet<PathBuf>,
}

impl Journal {
    /// A journal whose first segment will have `next_number`; no file is made before it is needed.
    pub(super) fn new(
        layout: Layout,
        disk: Arc<Disk>,
        bytes_max: u64,
        next_number: u64,
        spares: Vec<PathBuf>,
        thread: CheckpointThread,
    ) -> Self {
        Self {
            layout,
            disk,
            bytes_max,
            active: None,
            next_number,
            waiting_bytes: 0,
            waiting_count: 0,
            kept: false,
            spares_made: spares.len(),
            spare_is_coming: false,
            spares,
            jobs: thread.jobs,
            done: thread.done,
        }
    }

    /// Makes sure that there is a segment to write to.
    pub(super) fn prepare(&mut self) -> Result<(), StoreError> {
        if self.active.as_ref().is_some_and(|active| active.is_broken) {
            self.rotate();
        }
        if self.active.is_none() {
            if self.kept && self.waiting_bytes > self.bytes_max {
                return Err(StoreError::WriteFailed(format!(
                    "the journal in {} is full, because flushing ledgers failed; look at the disk, then restart",
                    self.layout.journal_folder().display()
                )));
            }
            self.active = Some(self.begin()?);
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<Active, StoreError> {
        let number = self.next_number;
        let path = self.layout.journal_path(number);
        let spare = self.spares.pop();
        let make = || {
            if let Some(spare) = &spare {
                fs::rename(spare, &path)?;
            }
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            self.disk.write_bytes_at(&file, &path, &journal_header(number), 0)?;
            self.disk.flush_folder(&self.layout.journal_folder())?;
            Ok(file)
        };
        let file = make().map_err(|error: io::Error| store_error("begin journal", &path, &error))?;
        self.next_number += 1;
        let (touched, folders) = (HashMap::new(), BTreeSet::new());
        let is_recycled = spare.is_some();
        Ok(Active { number, path, file, len_bytes: GROUP_ALIGNMENT, is_recycled, is_broken: false, touched, folders })
    }

    /// Writes a group and flushes it. `prepare` came before.
    pub(super) fn append(&mut self, records: Gathered) -> Result<Gathered, StoreError> {
        let active = self.active.as_mut().expect("prepare made a segment");
        let records_bytes = u32::try_from(records.len_bytes())
            .map_err(|_| StoreError::WriteFailed("a group of 4 GiB is more than the journal takes".to_owned()))?;
        let front = group_front(active.number, records_bytes);
        let crc = group_crc(&front, active.len_bytes, records.parts());
        let group = records.behind([&front[..], &crc.to_le_bytes()].concat());
        if let Err(error) = self.disk.write_at(&active.file, &active.path, &group, active.len_bytes) {
            // What was written in part must not lie before a later group.
            active.is_broken = active.file.set_len(active.len_bytes).is_err();
            return Err(store_error("append to journal", &active.path, &error));
        }
        if let Err(error) = self.disk.flush(&active.file, &active.path) {
            active.is_broken = true;
            return Err(store_error("flush journal", &active.path, &error));
        }
        active.len_bytes = (active.len_bytes + group.len_bytes()).next_multiple_of(GROUP_ALIGNMENT);
        Ok(group)
    }

    /// Remembers a ledger whose file must be flushed before the segment is dropped.
    pub(super) fn touch(&mut self, segment: &Arc<Segment>) {
        if let Some(active) = &mut self.active {
            active.touched.entry(segment.ledger_id()).or_insert_with(|| segment.clone());
        }
    }

    /// Remembers a folder whose names must be flushed before the segment is dropped.
    pub(super) fn touch_folder(&mut self, folder: PathBuf) {
        if let Some(active) = &mut self.active {
            active.folders.insert(folder);
        }
    }

    /// Hands a full segment to the checkpoint thread; waits for it only where the journal would outgrow its limit.
    pub(super) fn checkpoint_if_full(&mut self) {
        while let Ok(done) = self.done.try_recv() {
            self.note(done);
        }
        let Some(active) = &self.active else { return };
        let (len_bytes, is_recycled) = (active.len_bytes, active.is_recycled);
        if len_bytes >= self.bytes_max / 2 {
            self.rotate();
            while self.waiting_count > SEGMENTS_WAITING_MAX && self.wait_for_one() {}
        } else if !is_recycled && len_bytes >= BYTES_BEFORE_SPARE {
            self.move_to_spare();
        }
    }

    /// Leaves a segment that grows for one that is written over, as soon as there is one.
    fn move_to_spare(&mut self) {
        if !self.spares.is_empty() {
            self.rotate();
        } else if self.spares_made < SPARES_MAX && !self.spare_is_coming {
            self.spare_is_coming = true;
            self.spares_made += 1;
            let path = self.layout.spare_path(self.next_number);
            self.next_number += 1;
            // The checkpoint thread ends only after this sender is gone.
            let _ = self.jobs.send(Job::MakeSpare { path, bytes: self.bytes_max / 2 });
        }
    }

    /// Hands over what there is and waits until everything is on disk. Answers whether the journal is empty now.
    pub(super) fn checkpoint_all(&mut self) -> bool {
        self.rotate();
        while self.waiting_count > 0 && self.wait_for_one() {}
        !self.kept
    }

    fn rotate(&mut self) {
        let Some(active) = self.active.take() else { return };
        self.waiting_bytes += active.len_bytes;
        self.waiting_count += 1;
        let spare = self.spare_name(&active);
        let checkpoint = Checkpoint {
            path: active.path,
            spare,
            bytes: active.len_bytes,
            touched: active.touched.into_values().collect(),
            folders: active.folders.into_iter().collect(),
        };
        // The checkpoint thread ends only after this sender is gone.
        let _ = self.jobs.send(Job::Checkpoint(checkpoint));
    }

    /// The name under which a segment goes on as a spare. Only one of full size may: a spare must not have to grow.
    fn spare_name(&mut self, active: &Active) -> Option<PathBuf> {
        let is_full = active.len_bytes >= self.bytes_max / 2 && self.spares_made < SPARES_MAX;
        if active.is_broken || !(active.is_recycled || is_full) {
            self.spares_made -= usize::from(active.is_recycled);
            return None;
        }
        self.spares_made += usize::from(!active.is_recycled);
        Some(self.layout.spare_path(active.number))
    }

    fn wait_for_one(&mut self) -> bool {
        match self.done.recv() {
            Ok(done) => {
                self.note(done);
                true
            }
            Err(_) => false,
        }
    }

    fn note(&mut self, done: Done) {
        match done {
            Done::Checkpoint { bytes, spare } => {
                self.waiting_count -= 1;
                self.waiting_bytes -= bytes;
                self.spares.extend(spare);
            }
            Done::Kept => {
                self.waiting_count -= 1;
                self.kept = true;
            }
            Done::Spare(path) => {
                self.spare_is_coming = false;
                self.spares.extend(path);
            }
        }
    }
}
