//! Proves that every MapFile written by Hadoop is read record for record, and that our data file in clear is the same to the
//! last byte when it is given the same sync marker.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

use std::fs;
use std::path::{Path, PathBuf};

use map_file::checksum::{Checked, ChecksumWriter};
use map_file::{Compression, Error, MapFile, MapFileWriter, MemoryFile, ReadLimits, SequenceFile, WriteOptions};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/mapfile")
}

fn file(path: &Path) -> MemoryFile {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    MemoryFile::new(path.display().to_string(), bytes)
}

fn open(folder: &Path) -> MapFile<MemoryFile> {
    MapFile::open(file(&folder.join("data")), file(&folder.join("index")), ReadLimits::default()).unwrap()
}

/// What `expected.txt`, the printout of Hadoop's own reader, says of a vector.
struct Expected {
    compression: Compression,
    records: Vec<(i64, Vec<u8>)>,
    index: Vec<(i64, u64)>,
}

fn expected(folder: &Path) -> Expected {
    let text = fs::read_to_string(folder.join("expected.txt")).unwrap();
    let mut expected = Expected { compression: Compression::None, records: Vec::new(), index: Vec::new() };
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "header" if line.contains("compression=RECORD") => expected.compression = Compression::Record,
            "header" if line.contains("compression=BLOCK") => expected.compression = Compression::Block,
            "data" => {
                let value = if words[4] == "-" { Vec::new() } else { unhex(words[4]) };
                assert_eq!(value.len().to_string(), words[3]);
                expected.records.push((words[1].parse().unwrap(), value));
            }
            "index" => expected.index.push((words[1].parse().unwrap(), words[2].parse().unwrap())),
            _ => {}
        }
    }
    expected
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

fn walk(data: &SequenceFile<MemoryFile>) -> (Vec<(i64, Vec<u8>)>, Option<Error>) {
    let (mut cursor, mut records) = (data.cursor(), Vec::new());
    loop {
        match cursor.next_record() {
            Ok(Some(record)) => records.push((record.key, record.value.to_vec())),
            Ok(None) => return (records, None),
            Err(error) => return (records, Some(error)),
        }
    }
}

const SOUND: [&str; 14] = [
    "hadoop-2.7.3/default",
    "hadoop-2.7.3/default-300",
    "hadoop-2.7.3/none",
    "hadoop-3.4.2/block",
    "hadoop-3.4.2/block-multi",
    "hadoop-3.4.2/default",
    "hadoop-3.4.2/default-300",
    "hadoop-3.4.2/empty",
    "hadoop-3.4.2/gaps",
    "hadoop-3.4.2/interval-16",
    "hadoop-3.4.2/none",
    "hadoop-3.4.2/none-sync",
    "hadoop-3.4.2/pulsar-conf",
    "hadoop-3.4.2/record-sync",
];

#[test]
fn hadoops_files_are_read_record_for_record() {
    for vector in SOUND {
        let folder = fixtures().join(vector);
        let (map, expected) = (open(&folder), expected(&folder));
        assert_eq!(map.header().compression, expected.compression, "{vector}");
        let (records, error) = walk(map.data());
        assert!(error.is_none(), "{vector}: {error:?}");
        assert_eq!(records, expected.records, "{vector}");
        let index: Vec<(i64, u64)> = map.index().iter().map(|entry| (entry.key, entry.offset)).collect();
        assert_eq!(index, expected.index, "{vector}");
    }
}

#[test]
fn hadoops_records_are_found_by_key_and_absent_keys_are_not() {
    for vector in SOUND {
        let folder = fixtures().join(vector);
        let (map, expected) = (open(&folder), expected(&folder));
        for (key, value) in expected.records.iter().rev().chain(&expected.records) {
            assert_eq!(map.get(*key).unwrap().as_deref(), Some(value.as_slice()), "{vector}: key {key}");
        }
        let absent = [i64::MIN, -2, 7_777_777_777, i64::MAX];
        for key in absent.into_iter().filter(|key| !expected.records.iter().any(|(other, _)| other == key)) {
            assert_eq!(map.get(key).unwrap(), None, "{vector}: key {key}");
        }
    }
}

#[test]
fn ranges_begin_and_end_where_asked_whatever_was_read_before() {
    for vector in
        ["hadoop-3.4.2/block-multi", "hadoop-3.4.2/default-300", "hadoop-3.4.2/none-sync", "hadoop-3.4.2/gaps"]
    {
        let folder = fixtures().join(vector);
        let (map, expected) = (open(&folder), expected(&folder));
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..300 {
            let (first, last) = (random.i64(-1..310), random.i64(-1..310));
            let read: Vec<(i64, Vec<u8>)> = map
                .range(first, last, u64::MAX, random.u64(0..5000))
                .unwrap()
                .records
                .into_iter()
                .map(|record| (record.key, record.value.to_vec()))
                .collect();
            let wanted: Vec<(i64, Vec<u8>)> =
                expected.records.iter().filter(|(key, _)| (first..=last).contains(key)).cloned().collect();
            assert_eq!(read, wanted, "{vector}: {first}..={last}");
        }
    }
}

#[test]
fn a_file_cut_within_a_record_answers_the_records_before_and_then_an_error() {
    let folder = fixtures().join("damaged/cut");
    let (records, error) = walk(open(&folder).data());
    assert_eq!(records, expected(&folder).records);
    let error = error.expect("the cut is noticed");
    assert!(matches!(&error, Error::Corrupt { offset, .. } if *offset == 654), "{error}");
}

#[test]
fn a_data_file_without_index_is_read_from_its_start() {
    let data = file(&fixtures().join("damaged/noindex/data"));
    let (records, error) = walk(&SequenceFile::open(data, ReadLimits::default()).unwrap());
    assert!(error.is_none());
    assert_eq!(records, expected(&fixtures().join("hadoop-3.4.2/default")).records);
}

#[test]
fn our_file_in_clear_is_hadoops_to_the_last_byte() {
    for (vector, sync_interval_bytes) in
        [("hadoop-3.4.2/none", 102_400), ("hadoop-3.4.2/none-sync", 500), ("hadoop-2.7.3/none", 2_000)]
    {
        let folder = fixtures().join(vector);
        let theirs = open(&folder);
        let options = WriteOptions { compression: Compression::None, sync_interval_bytes, ..WriteOptions::default() };
        let (data, index) = written(&folder, [theirs.header().sync_marker, [0; 16]], options);
        assert_eq!(data, fs::read(folder.join("data")).unwrap(), "{vector}");
        assert_eq!(index_of(&data, &index), index_entries(&theirs), "{vector}");
    }
}

#[test]
fn our_compressed_files_have_hadoops_records_and_index_rule() {
    for (vector, options) in [
        ("hadoop-3.4.2/default-300", WriteOptions::default()),
        ("hadoop-3.4.2/interval-16", WriteOptions { index_interval: 16, ..WriteOptions::default() }),
        ("hadoop-3.4.2/block", WriteOptions { compression: Compression::Block, ..WriteOptions::default() }),
        (
            "hadoop-3.4.2/block-multi",
            WriteOptions { compression: Compression::Block, block_bytes: 1000, ..WriteOptions::default() },
        ),
    ] {
        let folder = fixtures().join(vector);
        let (data, index) = written(&folder, [[1; 16], [2; 16]], options);
        let ours = MapFile::open(MemoryFile::new("data", data), MemoryFile::new("index", index), ReadLimits::default())
            .unwrap();
        assert_eq!(walk(ours.data()).0, expected(&folder).records, "{vector}");
        let keys = |entries: Vec<(i64, u64)>| entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys(index_entries(&ours)), keys(index_entries(&open(&folder))), "{vector}");
    }
}

#[test]
fn checksums_are_hadoops() {
    let folder = fixtures().join("hadoop-3.4.2/default");
    for name in ["data", "index"] {
        let bytes = fs::read(folder.join(name)).unwrap();
        let mut writer = ChecksumWriter::new(Vec::new(), Vec::new());
        std::io::Write::write_all(&mut writer, &bytes).unwrap();
        let theirs = folder.join(format!("{name}.crc"));
        assert_eq!(writer.finish().unwrap().1, fs::read(&theirs).unwrap(), "{name}");
        let checked = Checked::open(file(&folder.join(name)), Some(file(&theirs))).unwrap();
        assert_eq!(map_file::Source::read_at(&checked, 0, bytes.len()).unwrap(), bytes);
    }
}

fn written(folder: &Path, markers: [map_file::SyncMarker; 2], options: WriteOptions) -> (Vec<u8>, Vec<u8>) {
    let mut writer = MapFileWriter::new(Vec::new(), Vec::new(), markers, options).unwrap();
    for (key, value) in expected(folder).records {
        writer.append(key, &value).unwrap();
    }
    let (data, index, summary) = writer.finish().unwrap();
    assert_eq!((summary.data_bytes, summary.index_bytes), (data.len() as u64, index.len() as u64));
    (data, index)
}

fn index_of(data: &[u8], index: &[u8]) -> Vec<(i64, u64)> {
    let data = MemoryFile::new("data", data.to_vec());
    let index = MemoryFile::new("index", index.to_vec());
    index_entries(&MapFile::open(data, index, ReadLimits::default()).unwrap())
}

fn index_entries(map: &MapFile<MemoryFile>) -> Vec<(i64, u64)> {
    map.index().iter().map(|entry| (entry.key, entry.offset)).collect()
}
