//! What is told of copies that are damaged in every place there is: nothing wrong is ever told as an entry.

use std::fs;
use std::path::{Path, PathBuf};

use block_format::{IndexForm, WriteOptions, encode_copy};
use bytes::Bytes;
use longshore_plugin_api::LedgerReader;
use map_file::checksum::{ChecksumWriter, side_file_name};
use map_file::{Compression, MapFileWriter};
use tempfile::TempDir;
use uuid::Uuid;

use super::account::{Account, EntryLine, Fact, Finding, Severity};
use super::{blocks, map_folder};

const LEDGER: u64 = 7;

/// Keeps what it is told.
#[derive(Debug, Default)]
struct Heard {
    facts: Vec<Fact>,
    payloads: Vec<(u64, Vec<u8>)>,
    open: Vec<u8>,
    findings: Vec<Finding>,
}

impl Account for Heard {
    fn facts(&mut self, facts: &[Fact]) -> anyhow::Result<()> {
        assert!(self.facts.is_empty() && self.payloads.is_empty(), "facts come once, and first");
        self.facts = facts.to_vec();
        Ok(())
    }

    fn piece(&mut self, _entry_id: u64, bytes: &[u8]) -> anyhow::Result<()> {
        self.open.extend_from_slice(bytes);
        Ok(())
    }

    fn entry(&mut self, entry: EntryLine) -> anyhow::Result<()> {
        let payload = std::mem::take(&mut self.open);
        assert_eq!(entry.payload_bytes, payload.len() as u64);
        assert_eq!(entry.crc, crc32c::crc32c(&payload));
        assert!(self.payloads.last().is_none_or(|(last, _)| *last < entry.entry_id), "ids ascend");
        self.payloads.push((entry.entry_id, payload));
        Ok(())
    }

    fn finding(&mut self, finding: Finding) -> anyhow::Result<()> {
        self.findings.push(finding);
        Ok(())
    }
}

impl Heard {
    fn ids(&self) -> Vec<&'static str> {
        self.findings.iter().map(|finding| finding.id).collect()
    }

    fn has_error(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Whether every entry that was told is one of `truth`.
    fn is_true(&self, truth: &[Bytes]) -> bool {
        self.payloads.iter().all(|(id, payload)| truth.get(*id as usize).is_some_and(|true_one| true_one == payload))
    }
}

fn payloads() -> Vec<Bytes> {
    (0..24_u8).map(|i| vec![i; usize::from(i) * 7 % 60].into()).collect()
}

/// Both objects as files in a folder.
struct Objects {
    _folder: TempDir,
    data: PathBuf,
    index: PathBuf,
}

impl Objects {
    fn write(options: WriteOptions) -> Self {
        let ledger = LedgerReader::in_memory(LEDGER, payloads());
        let (data, index) = encode_copy(ledger.metadata(), Uuid::nil(), &payloads(), options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let this = Self { data: folder.path().join("d"), index: folder.path().join("i"), _folder: folder };
        fs::write(&this.data, data).unwrap();
        fs::write(&this.index, index.encode().unwrap()).unwrap();
        this
    }

    fn look(&self) -> Heard {
        let mut heard = Heard::default();
        blocks::look(&self.data, &self.index, None, &mut heard).unwrap().unwrap();
        heard
    }
}

fn options(index: IndexForm) -> WriteOptions {
    WriteOptions { block_bytes_max: 400, index, granule_bytes: 100 }
}

/// Changes each byte of a file in turn.
fn each_flip(file: &Path, mut look: impl FnMut(usize)) {
    let sound = fs::read(file).unwrap();
    for at in 0..sound.len() {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x41;
        fs::write(file, damaged).unwrap();
        look(at);
    }
    fs::write(file, sound).unwrap();
}

#[test]
fn sound_objects_are_told_whole() {
    for index in [IndexForm::Sparse, IndexForm::Dense, IndexForm::Checked] {
        let heard = Objects::write(options(index)).look();
        assert_eq!(heard.findings, [], "{index:?}");
        assert_eq!(heard.payloads.len(), payloads().len());
        assert!(heard.is_true(&payloads()));
        let ledger_id = heard.facts.iter().find(|(name, _)| name == "ledgerId");
        assert_eq!(ledger_id.is_some(), index == IndexForm::Checked, "only the extension names the ledger");
    }
}

#[test]
fn with_checksums_no_byte_changes_unseen_and_what_is_sound_is_still_told() {
    let objects = Objects::write(options(IndexForm::Checked));
    each_flip(&objects.data, |at| {
        let heard = objects.look();
        assert!(heard.is_true(&payloads()), "byte {at}");
        assert_eq!(heard.ids(), ["checksum"], "byte {at}");
        assert!(heard.findings[0].offset.unwrap() <= at as u64);
        // A granule has five entries of none to some bytes at most.
        assert!(heard.payloads.len() >= payloads().len() - 8, "byte {at}: {}", heard.payloads.len());
    });
    each_flip(&objects.index, |at| {
        let heard = objects.look();
        assert!(heard.has_error() && heard.is_true(&payloads()), "byte {at}");
    });
}

#[test]
fn without_checksums_frames_and_headers_are_held_against_each_other() {
    let objects = Objects::write(options(IndexForm::Sparse));
    let sound = fs::read(&objects.data).unwrap();
    let mut unseen = 0;
    each_flip(&objects.data, |_| unseen += u64::from(objects.look().findings.is_empty()));
    let payload_bytes: usize = payloads().iter().map(Bytes::len).sum();
    // Payloads alone are vouched for by nobody.
    assert_eq!(unseen, payload_bytes as u64, "of {} bytes", sound.len());
}

#[test]
fn objects_that_end_early_or_late_are_told_with_the_place() {
    let objects = Objects::write(options(IndexForm::Dense));
    let sound = fs::read(&objects.data).unwrap();
    for end in 0..sound.len() {
        fs::write(&objects.data, &sound[..end]).unwrap();
        let heard = objects.look();
        assert_eq!(heard.ids()[0], "data-length");
        assert_eq!(heard.findings[0].offset, Some(end as u64));
        assert!(heard.is_true(&payloads()), "{end}");
    }
    fs::write(&objects.data, [&sound[..], b"x"].concat()).unwrap();
    let heard = objects.look();
    assert_eq!((heard.ids(), heard.payloads.len()), (vec!["data-length"], payloads().len()));
    fs::write(&objects.data, &sound).unwrap();
    let index = fs::read(&objects.index).unwrap();
    fs::write(&objects.index, [&index[..], b"a tail"].concat()).unwrap();
    let heard = objects.look();
    assert_eq!((heard.ids(), heard.has_error()), (vec!["index-tail"], false));
}

/// A MapFile as driver filesystem writes it, with its side files or without.
fn map_file(compression: Compression, side_files: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let sink = |name: &str| ChecksumWriter::new(Vec::new(), name.as_bytes()[..0].to_vec());
    let options = map_file::WriteOptions { compression, block_bytes: 200, index_interval: 4, ..Default::default() };
    let mut writer = MapFileWriter::new(sink("data"), sink("index"), [[1; 16], [2; 16]], options).unwrap();
    let metadata = LedgerReader::in_memory(LEDGER, payloads()).metadata().to_bookkeeper_bytes();
    writer.append(-1, &metadata).unwrap();
    for (key, payload) in (0..).zip(payloads()) {
        writer.append(key, &payload).unwrap();
    }
    let (data, index, _) = writer.finish().unwrap();
    for (name, sink) in [("data", data), ("index", index)] {
        let (bytes, crc) = sink.finish().unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        if side_files {
            fs::write(folder.path().join(side_file_name(name)), crc).unwrap();
        }
    }
    folder
}

fn look_at_folder(folder: &TempDir) -> Heard {
    let mut heard = Heard::default();
    map_folder::look(folder.path(), Some(LEDGER), &mut heard).unwrap().unwrap();
    heard
}

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Record, Compression::Block];

#[test]
fn sound_map_files_are_told_whole() {
    for compression in COMPRESSIONS {
        for side_files in [false, true] {
            let heard = look_at_folder(&map_file(compression, side_files));
            assert_eq!(heard.findings, [], "{compression:?}");
            assert_eq!(heard.payloads.len(), payloads().len());
            assert!(heard.is_true(&payloads()));
        }
    }
}

#[test]
fn with_side_files_no_byte_of_a_map_file_changes_unseen() {
    for compression in COMPRESSIONS {
        let folder = map_file(compression, true);
        for name in ["data", "index", ".data.crc", ".index.crc"] {
            each_flip(&folder.path().join(name), |at| {
                let heard = look_at_folder(&folder);
                // A file of one chunk has the same checksum for chunks of any length that holds it.
                let is_length = name.ends_with(".crc") && (4..8).contains(&at);
                let is_seen = heard.has_error() || is_length && heard.payloads.len() == payloads().len();
                assert!(is_seen && heard.is_true(&payloads()), "{compression:?} {name} byte {at}");
            });
        }
    }
}

#[test]
fn behind_damage_the_index_leads_on() {
    for compression in COMPRESSIONS {
        let folder = map_file(compression, false);
        let path = folder.path().join("data");
        let mut data = fs::read(&path).unwrap();
        let at = data.len() / 3;
        data[at..at + 40].fill(0xEE);
        fs::write(&path, data).unwrap();
        let heard = look_at_folder(&folder);
        assert!(heard.has_error(), "{compression:?}");
        let last = heard.payloads.last().map(|(id, _)| *id);
        assert_eq!(last, Some(payloads().len() as u64 - 1), "{compression:?}: {:?}", heard.findings);
        assert!(heard.payloads.len() < payloads().len());
    }
}

#[test]
fn an_index_that_is_not_there_or_leads_elsewhere_is_told() {
    let folder = map_file(Compression::None, false);
    let other = map_file(Compression::Record, false);
    fs::copy(other.path().join("index"), folder.path().join("index")).unwrap();
    let heard = look_at_folder(&folder);
    assert!(heard.ids().contains(&"index-line"), "{:?}", heard.findings);
    assert_eq!(heard.payloads.len(), payloads().len(), "the records are sound");
    fs::remove_file(folder.path().join("index")).unwrap();
    let heard = look_at_folder(&folder);
    assert_eq!((heard.ids(), heard.payloads.len()), (vec!["index"], payloads().len()));
}
