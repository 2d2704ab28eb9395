//! Proves that objects written by Apache Pulsar are read entry for entry, and that ours are the same to the last byte when
//! they are given the same entries and the same ledger metadata.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

use std::fs;
use std::path::{Path, PathBuf};

use block_format::layout::{DataLayout, IndexForm, LedgerSize};
use block_format::user_metadata::UserMetadata;
use block_format::{Index, MemoryObject, StoredCopy, StoredEntry, WriteOptions, Written, encode_copy, keys};
use sha2::{Digest, Sha256};

/// Offloaded by a broker of version 4.0.6: folder, ledger, key of the data object.
const VECTORS: [(&str, u64, &str); 2] = [
    ("i-tiny", 5, "3f64c2e6-4cb5-479d-b3b2-a54adca70391-ledger-5"),
    ("iii-batched", 9, "737e8061-706e-4296-aaa9-5e74f836eaf0-ledger-9"),
];

struct Vector {
    ledger_id: u64,
    data_key: &'static str,
    folder: PathBuf,
    data: Vec<u8>,
    index: Vec<u8>,
}

fn vectors() -> impl Iterator<Item = Vector> {
    VECTORS.into_iter().map(|(folder, ledger_id, data_key)| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/pulsar-4.0.6").join(folder);
        let read = |key: &str| fs::read(folder.join(key)).unwrap();
        let (data, index) = (read(data_key), read(&format!("{data_key}-index")));
        Vector { ledger_id, data_key, data, index, folder }
    })
}

fn entries(data: &[u8], index: &Index) -> Vec<StoredEntry> {
    let mut copy = StoredCopy::open(MemoryObject::new("data", data.to_vec()), index).unwrap();
    std::iter::from_fn(|| copy.next_entry().unwrap()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_originals_objects_hold_the_entries_that_its_bookie_had() {
    for vector in vectors() {
        let index = Index::decode(vector.data_key, vector.ledger_id, &vector.index).unwrap();
        let digests = vector.folder.join(format!("ledger-{}.entries.sha256", vector.ledger_id));
        let recorded: Vec<String> = fs::read_to_string(digests).unwrap().lines().map(str::to_owned).collect();
        let found: Vec<String> = entries(&vector.data, &index)
            .iter()
            .map(|entry| format!("{} {} {}", entry.entry_id, entry.payload.len(), sha256(&entry.payload)))
            .collect();
        assert_eq!(found, recorded, "{}", vector.data_key);

        let metadata = index.metadata();
        assert_eq!(metadata.entry_count, recorded.len() as u64);
        assert!(metadata.closed && index.extension().is_none());
        let key = keys::parse(vector.data_key).unwrap();
        assert_eq!((key.ledger_id, key.role), (vector.ledger_id, keys::Role::Data));
    }
}

#[test]
fn our_objects_of_the_same_entries_are_the_originals_to_the_last_byte() {
    for vector in vectors() {
        let theirs = Index::decode("index", vector.ledger_id, &vector.index).unwrap();
        let payloads: Vec<_> = entries(&vector.data, &theirs).into_iter().map(|entry| entry.payload).collect();
        let key = keys::parse(vector.data_key).unwrap();
        let options = WriteOptions { block_bytes_max: 5 << 20, index: IndexForm::Sparse, ..WriteOptions::default() };

        let (data, ours) = encode_copy(theirs.metadata(), key.uid, &payloads, options).unwrap();
        assert!(data == vector.data, "{}", vector.data_key);

        // Our metadata names other bookies, so theirs is taken for the comparison.
        let laid_out = laid_out(&payloads, options);
        let written = Written { uid: key.uid, laid_out, running_crcs: Vec::new() };
        let with_their_metadata =
            Index::new(vector.ledger_id, theirs.metadata_bytes().to_vec(), written, options.index).unwrap();
        assert!(with_their_metadata.encode().unwrap() == vector.index, "{}", vector.data_key);
        assert_eq!((ours.entries(), ours.data_bytes()), (theirs.entries(), theirs.data_bytes()));
        assert_eq!(ours.metadata(), theirs.metadata());
    }
}

fn laid_out(payloads: &[bytes::Bytes], options: WriteOptions) -> block_format::layout::LaidOut {
    let size = LedgerSize {
        ledger_id: 0,
        entry_count: payloads.len() as u64,
        length_bytes: payloads.iter().map(|payload| payload.len() as u64).sum(),
    };
    let mut layout = DataLayout::new(size, options).unwrap();
    for (entry_id, payload) in (0..).zip(payloads) {
        layout.place(entry_id, payload.len() as u64).unwrap();
    }
    layout.finish().unwrap()
}

#[test]
fn our_user_metadata_is_what_the_store_shows_of_the_originals() {
    for vector in vectors() {
        for (key, role) in
            [(vector.data_key.to_owned(), keys::Role::Data), (format!("{}-index", vector.data_key), keys::Role::Index)]
        {
            let head = fs::read_to_string(vector.folder.join(format!("{key}.head.json"))).unwrap();
            let (_, shown) = head.split_once("\"Metadata\": {").unwrap();
            let shown: Vec<(String, String)> = shown
                .split_once('}')
                .unwrap()
                .0
                .lines()
                .filter_map(|line| line.trim().trim_end_matches(',').split_once(": "))
                .map(|(name, value)| (name.trim_matches('"').to_owned(), value.trim_matches('"').to_owned()))
                .collect();
            let theirs: UserMetadata = shown.iter().cloned().collect();
            theirs.check_format_version(&key).unwrap();
            let managed_ledger = theirs.get("ManagedLedgerName").unwrap();
            let software = [
                "pulsarclustername",
                "s3managedledgeroffloadersoftwaregitsha",
                "s3managedledgeroffloadersoftwareversion",
            ];
            let extra = software.map(|name| (name, theirs.get(name).unwrap()));
            let ours = UserMetadata::for_object(role, managed_ledger, extra).unwrap();
            let mut ours: Vec<_> =
                ours.pairs().iter().map(|(name, value)| (name.to_lowercase(), value.clone())).collect();
            ours.sort();
            let mut shown = shown;
            shown.sort();
            assert_eq!(ours, shown, "{key}");
        }
    }
}

/// The test objects of Pulsar's own sources, as a real broker wrote them: 65 and twice 66 bytes of entries.
#[test]
fn pulsars_own_test_objects_are_read() {
    let header = |block: &str, first: &str| format!("fbdbabcb0000000000000080{block}{first}{}", "00".repeat(100));
    let tail = "5a3c0a1570756c7361722f6d616e616765642d6c656467657212237075626c69632f64656661756c742f70657273697374\
                656e742f726561642d746573745a1b0a09636f6d706f6e656e74120e6d616e616765642d6c65646765725a150a0b6170706c69\
                636174696f6e120670756c7361720000000000000000000000010000000000000000";
    let members = "28033212 0a0e3132372e302e302e313a33313831 1000 3803 4801";
    let one = (
        format!(
            "{} 00000041 0000000000000000 0e012f8effbc000000210a0e7374616e64616c6f6e652d392d30100018edb3c1e4c02f58018201\
             00c0010000000004180e400068656c6c6f2d7265616465722d31",
            header("00000000000000cd", "0000000000000000")
        ),
        format!(
            "de47de47 000000cf 00000000000000cd 0000000000000080 00000001 0000009b 0801 1001 1841 2000 {members} \
             50f9febfe4c02f {tail}"
        ),
        vec![65],
        1_632_298_336_121,
    );
    let two = (
        format!(
            "{} 00000042 0000000000000000 0e01a1bc1ece000000220a0f7374616e64616c6f6e652d31302d301000188587c5e4c02f5801\
             820100c0010000000004180e400068656c6c6f2d7265616465722d31 00000042 0000000000000001 0e013c584528000000220a\
             0f7374616e64616c6f6e652d31302d31100018f4b1c5e4c02f5801820100c0010000000004180e400068656c6c6f2d7265616465\
             722d32",
            header("000000000000011c", "0000000000000000")
        ),
        format!(
            "de47de47 000000d0 000000000000011c 0000000000000080 00000001 0000009c 0801 1001 188401 2001 {members} \
             509f86c5e4c02f {tail}"
        ),
        vec![66, 66],
        1_632_298_418_975,
    );
    for (data, index, lengths, created_ms) in [one, two] {
        let index = Index::decode("index", 1, &unhex(&index)).unwrap();
        assert_eq!(index.metadata().created_ms, created_ms);
        let entries = entries(&unhex(&data), &index);
        assert_eq!(entries.iter().map(|entry| entry.payload.len()).collect::<Vec<_>>(), lengths);
        for (at, entry) in entries.iter().enumerate() {
            assert!(entry.payload.ends_with(format!("hello-reader-{}", at + 1).as_bytes()));
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}
