//! Every kept input, and seeded neighbours of them, through every reader.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use longshore_foreign_bytes::{Check, READERS};

/// Neighbours that are tried of each kept input.
const NEIGHBOURS: u64 = 60;
/// The most that is changed of an input.
const CHANGES_MAX: usize = 6;
/// The longest neighbour.
const INPUT_BYTES_MAX: usize = 64 << 10;
/// A reader that takes longer for one input hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// Numbers at the ends of what a length may say.
const LENGTHS: [u32; 8] = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

/// The kept inputs of a reader, in order of their names.
fn kept(reader: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<_> = fs::read_dir(corpus().join(reader)).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

/// `input` with some bytes changed, cut, doubled, or taken from another.
fn neighbour(input: &[u8], other: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..rng.usize(1..=CHANGES_MAX) {
        let at = rng.usize(0..=bytes.len());
        let len = rng.usize(0..=bytes.len() - at);
        match rng.u8(0..6) {
            0 => bytes.truncate(at),
            1 => drop(bytes.drain(at..at + len)),
            2 => bytes.extend_from_within(at..at + len),
            3 => drop(bytes.splice(at.., other[at.min(other.len())..].iter().copied())),
            4 => {
                let length = LENGTHS[rng.usize(0..LENGTHS.len())].to_be_bytes();
                let room = (bytes.len() - at).min(length.len());
                bytes[at..at + room].copy_from_slice(&length[length.len() - room..]);
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << rng.u8(0..8),
            _ => bytes.push(rng.u8(..)),
        }
    }
    bytes.truncate(INPUT_BYTES_MAX);
    bytes
}

/// Lets a reader have an input; one that breaks a promise is left where `scripts/fuzz` leaves its own.
fn try_input(reader: &str, check: Check, input: Vec<u8>, what: &str) {
    let (done, answer) = channel();
    let given = input.clone();
    thread::spawn(move || done.send(catch_unwind(|| check(&given)).is_ok()));
    let broken = match answer.recv_timeout(PATIENCE) {
        Ok(true) => return,
        Ok(false) | Err(RecvTimeoutError::Disconnected) => "panicked",
        Err(RecvTimeoutError::Timeout) => "has not come back",
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/artifacts").join(reader);
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("neighbour");
    fs::write(&file, input).unwrap();
    panic!("{reader} {broken} on {what}; the input is in {}", file.display());
}

#[test]
fn no_reader_breaks_its_promises() {
    for (reader, check) in READERS {
        let kept = kept(reader);
        assert!(!kept.is_empty(), "{reader} has no corpus");
        for (number, input) in kept.iter().enumerate() {
            try_input(reader, *check, input.clone(), &format!("kept input {number}"));
            for seed in 0..NEIGHBOURS {
                let mut rng = Rng::with_seed(seed << 16 | number as u64);
                let other = &kept[rng.usize(0..kept.len())];
                let what = format!("neighbour {seed} of kept input {number}");
                try_input(reader, *check, neighbour(input, other, &mut rng), &what);
            }
        }
    }
}

#[test]
fn every_folder_of_the_corpus_has_its_reader_and_its_target() {
    let names: Vec<_> = READERS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let found = |folder: PathBuf| {
        let files = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            files.map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(found(corpus()), names);
    assert_eq!(found(corpus().join("../fuzz_targets")), names);
}

#[test]
fn a_reader_that_breaks_its_promise_is_noticed() {
    let check: Check = |input| assert!(input.is_empty(), "it wanted nothing");
    let noticed = catch_unwind(|| try_input("nobody", check, vec![1], "a byte")).unwrap_err();
    let told = noticed.downcast_ref::<String>().unwrap();
    assert!(told.starts_with("nobody panicked on a byte; the input is in "), "{told}");
    fs::remove_dir_all(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/artifacts/nobody")).unwrap();
}
