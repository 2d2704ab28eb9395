//! The journal that all ledgers share: what a group did, in one append and one flush.
//!
//! Its records repeat what also goes to the ledgers' files, which are flushed later (`checkpoint`); after a crash `recovery`
//! replays them. A segment is dropped when everything in it is on disk elsewhere, and only after all older ones.
//!
//! All numbers are little-endian; docs/formats/segment-file.md draws the records. The checksum of a record's front covers the
//! segment's number, so that no record counts in another segment; the body carries its own checksum.

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::checkpoint::{Checkpoint, Checkpointed};
use super::disk::{Disk, Gathered};
use super::format::{ENTRY_BYTES_MAX, HEADER_FIXED_BYTES, RecordHeader, SegmentHeader, check_record, u32_at, u64_at};
use super::layout::Layout;
use super::segment::{Segment, store_error};
use super::window::Window;
use crate::storage::{LedgerId, StoreError};

/// First bytes of each journal segment.
const JOURNAL_MAGIC: [u8; 8] = *b"LSHJRNL\x01";
/// Bytes of a journal segment's header.
const JOURNAL_HEADER_BYTES: usize = 8 + 8 + 4;
/// Bytes of a record's front.
pub(super) const FRONT_BYTES: usize = 8 + 4 + 4;

/// Full segments that may wait for their checkpoint while the next one is written.
const SEGMENTS_WAITING_MAX: usize = 1;

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

fn front(number: u64, ledger_id: LedgerId, kind: u32) -> [u8; FRONT_BYTES] {
    let mut bytes = [0; FRONT_BYTES];
    bytes[..8].copy_from_slice(&ledger_id.0.to_le_bytes());
    bytes[8..12].copy_from_slice(&kind.to_le_bytes());
    let crc = front_crc(number, &bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn front_crc(number: u64, checked: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), checked)
}

/// Adds a create to a group.
pub(super) fn gather_create(gathered: &mut Gathered, number: u64, header: &SegmentHeader) {
    gathered.add(&front(number, header.ledger_id, KIND_CREATE));
    gathered.add(&header.encode());
}

/// Adds the front of an entry to a group; its record follows.
pub(super) fn gather_entry_front(gathered: &mut Gathered, number: u64, ledger_id: LedgerId) {
    gathered.add(&front(number, ledger_id, KIND_ENTRY));
}

/// Adds a delete to a group.
pub(super) fn gather_delete(gathered: &mut Gathered, number: u64, ledger_id: LedgerId) {
    gathered.add(&front(number, ledger_id, KIND_DELETE));
}

/// The header of journal segment `number`.
pub(super) fn journal_header(number: u64) -> Vec<u8> {
    let mut bytes = JOURNAL_MAGIC.to_vec();
    bytes.extend_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// Calls `visit` for each record of journal segment `number` up to the first that is not whole, and answers where that is.
pub(super) fn scan_journal(
    file: &File,
    number: u64,
    mut visit: impl FnMut(LedgerId, JournalRecord<'_>) -> io::Result<()>,
) -> io::Result<u64> {
    let mut window = Window::new(file, 0)?;
    if window.peek(JOURNAL_HEADER_BYTES as u64)? != Some(&journal_header(number)[..]) {
        return Ok(0);
    }
    window.advance(JOURNAL_HEADER_BYTES as u64);
    while let Some(bytes) = record_bytes(&mut window, number)? {
        let record = window.peek(bytes)?.expect("the whole record was peeked at");
        let (ledger_id, body) = (LedgerId(u64_at(record, 0)), &record[FRONT_BYTES..]);
        let Some(said) = decode_body(ledger_id, u32_at(record, 8), body) else { break };
        visit(ledger_id, said)?;
        window.advance(bytes);
    }
    Ok(window.at())
}

/// Whether a whole record lies anywhere from `from` on; more than a torn tail has.
pub(super) fn journal_continues(file: &File, number: u64, from: u64) -> io::Result<bool> {
    let mut window = Window::new(file, from)?;
    while window.rest_bytes() > 0 {
        if record_bytes(&mut window, number)?.is_some() {
            return Ok(true);
        }
        window.advance_one()?;
    }
    Ok(false)
}

/// Length of the record whose front lies here, if a front lies here and the file holds the rest.
fn record_bytes(window: &mut Window<'_>, number: u64) -> io::Result<Option<u64>> {
    const FRONT: u64 = FRONT_BYTES as u64;
    let Some(bytes) = window.peek(FRONT)? else { return Ok(None) };
    let kind = u32_at(bytes, 8);
    if !(KIND_CREATE..=KIND_DELETE).contains(&kind) || front_crc(number, &bytes[..12]) != u32_at(bytes, 12) {
        return Ok(None);
    }
    let body = match kind {
        KIND_CREATE => {
            let fixed = window.peek(FRONT + HEADER_FIXED_BYTES as u64)?;
            fixed.and_then(|bytes| SegmentHeader::len_from(&bytes[FRONT_BYTES..]).ok()).map(|bytes| bytes as u64)
        }
        KIND_ENTRY => {
            let header = window.peek(FRONT + super::format::RECORD_HEADER_BYTES as u64)?;
            let header = header.and_then(|bytes| RecordHeader::peek(&bytes[FRONT_BYTES..]));
            header.filter(|header| header.length as usize <= ENTRY_BYTES_MAX).map(RecordHeader::record_bytes)
        }
        _ => Some(0),
    };
    Ok(body.map(|body| FRONT + body).filter(|bytes| *bytes <= window.rest_bytes()))
}

fn decode_body(ledger_id: LedgerId, kind: u32, body: &[u8]) -> Option<JournalRecord<'_>> {
    match kind {
        KIND_CREATE => {
            let header = SegmentHeader::decode(body).ok()?;
            (header.ledger_id == ledger_id).then_some(JournalRecord::Create(header))
        }
        KIND_ENTRY => {
            let entry_id = RecordHeader::peek(body)?.entry_id;
            check_record(ledger_id, entry_id, body).ok()?;
            Some(JournalRecord::Entry { entry_id, record: body })
        }
        _ => Some(JournalRecord::Delete),
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
    checkpoints: Sender<Checkpoint>,
    checkpointed: Receiver<Checkpointed>,
}

struct Active {
    number: u64,
    path: PathBuf,
    file: File,
    len_bytes: u64,
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
        checkpoints: Sender<Checkpoint>,
        checkpointed: Receiver<Checkpointed>,
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
            checkpoints,
            checkpointed,
        }
    }

    /// Makes sure that there is a segment to write to, and answers its number.
    pub(super) fn prepare(&mut self) -> Result<u64, StoreError> {
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
        Ok(self.active.as_ref().map_or(self.next_number, |active| active.number))
    }

    fn begin(&mut self) -> Result<Active, StoreError> {
        let number = self.next_number;
        let path = self.layout.journal_path(number);
        let make = || {
            let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
            let header = journal_header(number);
            self.disk.write_bytes_at(&file, &path, &header, 0)?;
            self.disk.flush_folder(&self.layout.journal_folder())?;
            Ok((file, header.len() as u64))
        };
        let (file, len_bytes) = make().map_err(|error: io::Error| store_error("begin journal", &path, &error))?;
        self.next_number += 1;
        let (touched, folders) = (HashMap::new(), BTreeSet::new());
        Ok(Active { number, path, file, len_bytes, is_broken: false, touched, folders })
    }

    /// Appends a group and flushes it. `prepare` came before.
    pub(super) fn append(&mut self, gathered: &Gathered) -> Result<(), StoreError> {
        let active = self.active.as_mut().expect("prepare made a segment");
        if let Err(error) = self.disk.write_at(&active.file, &active.path, gathered, active.len_bytes) {
            // What was written in part must not lie before a later group.
            active.is_broken = active.file.set_len(active.len_bytes).is_err();
            return Err(store_error("append to journal", &active.path, &error));
        }
        if let Err(error) = self.disk.flush(&active.file, &active.path) {
            active.is_broken = true;
            return Err(store_error("flush journal", &active.path, &error));
        }
        active.len_bytes += gathered.len_bytes();
        Ok(())
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
        while let Ok(done) = self.checkpointed.try_recv() {
            self.note(&done);
        }
        let active_bytes = self.active.as_ref().map_or(0, |active| active.len_bytes);
        if active_bytes >= self.bytes_max / 2 {
            self.rotate();
            while self.waiting_count > SEGMENTS_WAITING_MAX && self.wait_for_one() {}
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
        let job = Checkpoint {
            path: active.path,
            bytes: active.len_bytes,
            touched: active.touched.into_values().collect(),
            folders: active.folders.into_iter().collect(),
        };
        // The checkpoint thread ends only after this sender is gone.
        let _ = self.checkpoints.send(job);
    }

    fn wait_for_one(&mut self) -> bool {
        let done = self.checkpointed.recv();
        if let Ok(done) = &done {
            self.note(done);
        }
        done.is_ok()
    }

    fn note(&mut self, done: &Checkpointed) {
        self.waiting_count -= 1;
        self.kept |= done.kept;
        if !done.kept {
            self.waiting_bytes -= done.bytes;
        }
    }
}
