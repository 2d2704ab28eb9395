//! Proves over seeded random ledgers that what was written is read, in each form of the index, and that no damage gives wrong
//! bytes (where there are checksums), a panic, a spin or an allocation beyond what is there.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

use std::fs;
use std::path::Path;

use block_format::{
    Error, Index, IndexForm, MemoryObject, StoredCopy, WalkError, WriteOptions, encode_copy, layout::BLOCK_BYTES_MIN,
};
use bytes::Bytes;
use longshore_plugin_api::{LedgerMetadata, LedgerReader};
use uuid::Uuid;

const FORMS: [IndexForm; 3] = [IndexForm::Sparse, IndexForm::Dense, IndexForm::Checked];
const LEDGER_ID: u64 = 4;

fn random_payloads(random: &mut fastrand::Rng, count: usize, longest: usize) -> Vec<Bytes> {
    let payload = |random: &mut fastrand::Rng| {
        let zeros = random.u8(0..4) == 0;
        let len = random.usize(0..=longest);
        (0..len).map(|_| if zeros { 0 } else { random.u8(..) }).collect::<Vec<u8>>().into()
    };
    (0..count).map(|_| payload(random)).collect()
}

fn write(payloads: &[Bytes], options: WriteOptions) -> (Vec<u8>, Vec<u8>) {
    let ledger = LedgerReader::in_memory(LEDGER_ID, payloads.to_vec());
    let (data, index) = encode_copy(ledger.metadata(), Uuid::from_u128(9), payloads, options).unwrap();
    (data, index.encode().unwrap())
}

/// All entries, or what is wrong.
fn read(ledger_id: u64, data: &[u8], index: &[u8]) -> Result<Vec<Bytes>, Error> {
    let index = Index::decode("index", ledger_id, index)?;
    let mut copy = StoredCopy::open(MemoryObject::new("data", data.to_vec()), &index)?;
    let mut payloads = Vec::new();
    loop {
        match copy.next_entry() {
            Ok(Some(entry)) => {
                assert_eq!(entry.entry_id, payloads.len() as u64);
                payloads.push(entry.payload);
            }
            Ok(None) => return Ok(payloads),
            Err(WalkError::Format(error)) => return Err(error),
            Err(error) => panic!("memory does not fail: {error}"),
        }
    }
}

fn small_options(index: IndexForm) -> WriteOptions {
    WriteOptions { block_bytes_max: 600, granule_bytes: 200, index }
}

/// All of a small ledger in one granule: the extension is a property of its metadata.
fn one_granule() -> WriteOptions {
    WriteOptions { block_bytes_max: 64 << 10, granule_bytes: 64 << 10, index: IndexForm::Checked }
}

fn small_ledger() -> Vec<Bytes> {
    random_payloads(&mut fastrand::Rng::with_seed(11), 25, 150)
}

#[test]
fn random_ledgers_come_back_in_each_form() {
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (count, longest) = (random.usize(1..400), [0, 40, 1000, 90_000][random.usize(0..4)]);
        let payloads = random_payloads(&mut random, count.min(20_000_000 / (longest + 1)), longest);
        let options = |index| WriteOptions {
            block_bytes_max: fastrand::Rng::with_seed(seed).u64(BLOCK_BYTES_MIN..200_000),
            granule_bytes: fastrand::Rng::with_seed(seed).u64(1..80_000),
            index,
        };
        let mut data_objects = Vec::new();
        for form in FORMS {
            let (data, index) = write(&payloads, options(form));
            assert!(read(LEDGER_ID, &data, &index).unwrap() == payloads, "seed {seed}, {form:?}");
            let decoded = Index::decode("index", LEDGER_ID, &index).unwrap();
            assert_eq!(decoded.encode().unwrap(), index);
            data_objects.push(data);
        }
        assert!(data_objects.windows(2).all(|pair| pair[0] == pair[1]), "the form is the index's matter alone");
    }
}

#[test]
fn granules_cover_the_object_and_begin_with_their_entries() {
    let payloads = small_ledger();
    let (data, index) = write(&payloads, small_options(IndexForm::Checked));
    let index = Index::decode("index", LEDGER_ID, &index).unwrap();
    let mut end = 0;
    for granule in 0..index.entries().len() {
        let range = index.granule(granule);
        assert_eq!(range.start, end);
        end = range.end;
        let id = index.entries()[granule].first_entry_id;
        assert_eq!(index.floor(id), granule);
        assert!((range.start..range.end).step_by(7).all(|offset| index.granule_at(offset) == granule));
        let frame = (index.entries()[granule].offset + 128) as usize;
        assert_eq!(data[frame + 4..frame + 12], id.to_be_bytes());
        index.check_granules("data", granule, &data[range.start as usize..range.end as usize]).unwrap();
    }
    assert_eq!(end, data.len() as u64);
    assert_eq!(index.extension().unwrap().data_crc(), crc32c::crc32c(&data));
}

#[test]
fn with_checksums_each_flipped_byte_and_each_cut_is_an_error() {
    for options in [small_options(IndexForm::Checked), one_granule()] {
        let (data, index) = write(&small_ledger(), options);
        each_damage_is_an_error(&data, &index);
    }
}

fn each_damage_is_an_error(data: &[u8], index: &[u8]) {
    for mask in [0x01, 0x80, 0xff] {
        for at in 0..data.len() {
            let mut damaged = data.to_vec();
            damaged[at] ^= mask;
            let error = read(LEDGER_ID, &damaged, index).expect_err("a flipped byte of the data object");
            assert!(matches!(error, Error::Corrupt { .. }), "byte {at}: {error}");
        }
        for at in 0..index.len() {
            let mut damaged = index.to_vec();
            damaged[at] ^= mask;
            let error = read(LEDGER_ID, data, &damaged).expect_err("a flipped byte of the index");
            assert!(matches!(error, Error::Corrupt { .. } | Error::Unsupported { .. }), "byte {at}: {error}");
        }
    }
    for len in 0..data.len() {
        assert!(read(LEDGER_ID, &data[..len], index).is_err(), "data cut at {len}");
    }
    for len in 0..index.len() {
        assert!(read(LEDGER_ID, data, &index[..len]).is_err(), "index cut at {len}");
    }
    let longer: Vec<u8> = data.iter().copied().chain([0]).collect();
    assert!(read(LEDGER_ID, &longer, index).is_err());
    let longer: Vec<u8> = index.iter().copied().chain([0]).collect();
    assert!(read(LEDGER_ID, data, &longer).is_err());
}

#[test]
fn the_checksum_of_one_granule_is_a_property_of_the_metadata() {
    let payloads = small_ledger();
    let (data, index) = write(&payloads, one_granule());
    let metadata_length = i32::from_be_bytes(index[28..32].try_into().unwrap()) as usize;
    assert_eq!((blocks(&index), index.len()), (1, 32 + metadata_length + 20), "nothing stands behind the table");
    let as_others_read_it = LedgerMetadata::from_bookkeeper_bytes(LEDGER_ID, &index[32..32 + metadata_length]).unwrap();
    let (name, value) = as_others_read_it.custom.last().unwrap();
    assert_eq!((name.as_str(), &value[..7]), ("LongshoreChecksums", &b"LSHXHED"[..]));
    let ours = Index::decode("index", LEDGER_ID, &index).unwrap();
    assert_eq!(ours.extension().unwrap().data_crc(), crc32c::crc32c(&data));
    assert!(ours.metadata().custom.iter().all(|(name, _)| name != "LongshoreChecksums"));
}

#[test]
fn damage_names_its_granule_and_costs_no_other() {
    let payloads = small_ledger();
    let (mut data, index) = write(&payloads, small_options(IndexForm::Checked));
    let index = Index::decode("index", LEDGER_ID, &index).unwrap();
    let hit = index.entries().len() / 2;
    let range = index.granule(hit);
    data[range.end as usize - 1] ^= 1;
    for granule in 0..index.entries().len() {
        let range = index.granule(granule);
        let result = index.check_granules("data", granule, &data[range.start as usize..range.end as usize]);
        assert_eq!(result.is_err(), granule == hit);
    }
    let all = index.check_granules("the data object", 0, &data).unwrap_err();
    assert_eq!(
        all.to_string(),
        format!(
            "the data object is damaged at offset {}: the checksum of the {} bytes from here on does not match",
            range.start,
            range.end - range.start
        )
    );
}

/// The original's objects, and ours in each form.
fn sound_objects() -> Vec<(u64, Vec<u8>, Vec<u8>)> {
    let mut objects: Vec<_> = FORMS
        .map(small_options)
        .into_iter()
        .chain([one_granule()])
        .map(|options| write(&small_ledger(), options))
        .map(|(data, index)| (LEDGER_ID, data, index))
        .collect();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/pulsar-4.0.6");
    for (ledger_id, data) in [
        (5, "i-tiny/3f64c2e6-4cb5-479d-b3b2-a54adca70391-ledger-5"),
        (9, "iii-batched/737e8061-706e-4296-aaa9-5e74f836eaf0-ledger-9"),
    ] {
        let read = |name: &str| fs::read(fixtures.join(name)).unwrap();
        objects.push((ledger_id, read(data), read(&format!("{data}-index"))));
    }
    objects
}

#[test]
fn mutations_are_survived() {
    let sound = sound_objects();
    let mut random = fastrand::Rng::with_seed(23);
    for round in 0..20_000 {
        let (ledger_id, mut data, mut index) = sound[round % sound.len()].clone();
        for _ in 0..random.usize(1..4) {
            let target = if random.bool() { &mut index } else { &mut data };
            mutate(&mut random, target);
        }
        // Errors are welcome, panics and endless walks are not.
        let _ = read(ledger_id, &data, &index);
    }
}

fn mutate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let at = random.usize(0..bytes.len().max(1)).min(bytes.len().saturating_sub(1));
    match random.u8(0..6) {
        _ if bytes.is_empty() => bytes.push(random.u8(..)),
        0 => bytes[at] ^= 1 << random.u8(0..8),
        1 => bytes[at] = random.u8(..),
        2 => bytes.truncate(at),
        3 => bytes.insert(at, random.u8(..)),
        // Extremes, where a length may be.
        4 => {
            let extreme = [0x7fff_ffff_u32, 0x8000_0000, 0xffff_ffff, 0][random.usize(0..4)].to_be_bytes();
            let end = bytes.len().min(at + 4);
            bytes[at..end].copy_from_slice(&extreme[..end - at]);
        }
        _ => {
            let (from, len) = (random.usize(0..bytes.len()), random.usize(0..64));
            let copied: Vec<u8> = bytes[from..].iter().take(len).copied().collect();
            let end = bytes.len().min(at + copied.len());
            bytes[at..end].copy_from_slice(&copied[..end - at]);
        }
    }
}

#[test]
fn an_index_of_the_streaming_offload_is_refused_by_name() {
    let mut index = write(&small_ledger(), small_options(IndexForm::Sparse)).1;
    index[..4].copy_from_slice(&[0x3d, 0x1f, 0xb0, 0xbc]);
    let error = Index::decode("x-index", LEDGER_ID, &index).unwrap_err();
    assert!(matches!(&error, Error::Unsupported { problem, .. } if problem.contains("version 2")), "{error}");
}

#[test]
fn foreign_bytes_behind_the_table_are_ignored() {
    let payloads = small_ledger();
    for form in [IndexForm::Sparse, IndexForm::Dense] {
        let (data, mut index) = write(&payloads, small_options(form));
        index.extend((0..64).map(|_| fastrand::u8(..)));
        assert!(read(LEDGER_ID, &data, &index).unwrap() == payloads);
        let adjusted = (index.len() as i32).to_be_bytes();
        index[4..8].copy_from_slice(&adjusted);
        assert!(read(LEDGER_ID, &data, &index).unwrap() == payloads);
    }
}

#[test]
fn an_extension_of_another_version_is_ignored_as_a_whole() {
    let payloads = small_ledger();
    for options in [small_options(IndexForm::Checked), one_granule()] {
        let (data, mut index) = write(&payloads, options);
        for mark in [b"LSHXHED", b"LSHXEND"] {
            let at = index.windows(7).position(|window| window == mark).unwrap();
            index[at + 7] = 2;
        }
        assert!(Index::decode("index", LEDGER_ID, &index).unwrap().extension().is_none());
        assert!(read(LEDGER_ID, &data, &index).unwrap() == payloads);
    }
}

#[test]
fn the_first_of_two_lines_for_one_entry_counts() {
    let payloads = small_ledger();
    let (data, index) = write(&payloads, small_options(IndexForm::Sparse));
    let (table, count) = (index.len() - 20 * blocks(&index), blocks(&index) + 1);
    let mut doubled = index.clone();
    let mut line = index[table + 20..table + 40].to_vec();
    line[19] ^= 1;
    doubled.splice(table + 40..table + 40, line);
    doubled[24..28].copy_from_slice(&(count as i32).to_be_bytes());
    assert!(read(LEDGER_ID, &data, &doubled).unwrap() == payloads);
}

fn blocks(index: &[u8]) -> usize {
    i32::from_be_bytes(index[24..28].try_into().unwrap()) as usize
}

/// What the original leaves where an entry was larger than a block: a last line for a block that it did not count.
#[test]
fn a_block_that_was_never_written_is_found_when_it_is_read() {
    let payloads = small_ledger();
    let (data, index) = write(&payloads, small_options(IndexForm::Sparse));
    let last = index.len() - 20;
    let offset = u64::from_be_bytes(index[last + 12..].try_into().unwrap());
    let mut lossy = index.clone();
    lossy[8..16].copy_from_slice(&offset.to_be_bytes());
    let error = read(LEDGER_ID, &data[..offset as usize], &lossy).unwrap_err();
    assert!(
        matches!(&error, Error::Corrupt { offset: found, problem, .. } if *found == offset && problem.contains("no room")),
        "{error}"
    );
}

/// The original never looks at a block's header and follows a wrong index for ever.
#[test]
fn a_wrong_index_is_an_error_and_no_endless_search() {
    let payloads = small_ledger();
    let (data, index) = write(&payloads, small_options(IndexForm::Sparse));
    let second = index.len() - 20 * blocks(&index) + 20;
    for (field, problem) in [(second + 7, "does not ascend"), (second + 19, "the block ends")] {
        let mut wrong = index.clone();
        wrong[field] ^= 0x40;
        let error = read(LEDGER_ID, &data, &wrong).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{problem}: {error}");
    }
    for (at, problem) in [(0, "a block begins with"), (15, "the block says"), (20, "negative"), (27, "the block says")]
    {
        let mut wrong = data.clone();
        let block = Index::decode("index", LEDGER_ID, &index).unwrap().entries()[1].offset as usize;
        wrong[block + at] ^= 0x80;
        let error = read(LEDGER_ID, &wrong, &index).unwrap_err();
        assert!(error.to_string().contains(problem), "{at}: {error}");
    }
}

#[test]
fn the_index_of_another_ledger_is_refused() {
    let (data, index) = write(&small_ledger(), small_options(IndexForm::Checked));
    let error = read(LEDGER_ID + 1, &data, &index).unwrap_err();
    assert!(error.to_string().contains("this is the index of ledger 4, not of ledger 5"), "{error}");
}
