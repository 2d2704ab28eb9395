//! Proves over seeded random files that what was written is read, in each compression, and that no damage gives wrong bytes,
//! a panic or a spin: each flipped byte and each cut is an error or changes nothing.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

use std::io::Write;

use bytes::Bytes;
use map_file::checksum::{Checked, ChecksumWriter};
use map_file::{Compression, Error, MapFile, MapFileWriter, MemoryFile, ReadLimits, WriteOptions};

const COMPRESSIONS: [Compression; 3] = [Compression::None, Compression::Record, Compression::Block];

/// The four files of one MapFile: data, index, and the side file of each.
#[derive(Clone)]
struct Files([Vec<u8>; 4]);

fn write(records: &[(i64, Vec<u8>)], options: WriteOptions) -> Files {
    let sink = || ChecksumWriter::new(Vec::new(), Vec::new());
    let mut writer = MapFileWriter::new(sink(), sink(), [[3; 16], [4; 16]], options).unwrap();
    for (key, value) in records {
        writer.append(*key, value).unwrap();
    }
    let (mut data, index, _) = writer.finish().unwrap();
    data.flush().unwrap();
    let ((data, data_crc), (index, index_crc)) = (data.finish().unwrap(), index.finish().unwrap());
    Files([data, index, data_crc, index_crc])
}

fn open(files: &Files, verified: bool) -> Result<MapFile<Checked<MemoryFile>>, Error> {
    let file = |at: usize| MemoryFile::new(["data", "index", ".data.crc", ".index.crc"][at], files.0[at].clone());
    let checked = |at: usize| Checked::open(file(at), verified.then(|| file(at + 2)));
    MapFile::open(checked(0)?, checked(1)?, ReadLimits::default())
}

fn random_records(random: &mut fastrand::Rng, count: usize, value_bytes_max: usize) -> Vec<(i64, Vec<u8>)> {
    let records = (-1..count as i64 - 1).map(|key| {
        let len = random.usize(0..=value_bytes_max);
        let repeated = random.bool();
        let value = (0..len).map(|at| if repeated { (at / 50) as u8 } else { random.u8(..) }).collect();
        (key, value)
    });
    records.collect()
}

#[test]
fn random_files_are_read_as_a_list_would_be() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (count, longest) = (random.usize(1..600), [0, 40, 1000, 9000][random.usize(0..4)]);
        let model = random_records(&mut random, count, longest);
        for compression in COMPRESSIONS {
            let options = WriteOptions {
                compression,
                block_bytes: random.usize(1..50_000),
                sync_interval_bytes: random.u64(1..150_000),
                index_interval: random.u64(1..200),
                deflate_level: random.u32(0..=9),
            };
            let map = open(&write(&model, options), random.bool()).unwrap();
            for _ in 0..60 {
                check_random_range(&mut random, &map, &model, &format!("seed {seed}, {options:?}"));
            }
        }
    }
}

fn check_random_range(
    random: &mut fastrand::Rng,
    map: &MapFile<Checked<MemoryFile>>,
    model: &[(i64, Vec<u8>)],
    case: &str,
) {
    let first = random.usize(0..model.len());
    let last = random.usize(first..model.len());
    let most = random.u64(0..20_000);
    let mut sum = 0;
    let wanted: Vec<_> = model[first..=last]
        .iter()
        .take_while(|(key, value)| {
            sum += value.len() as u64;
            *key == model[first].0 || sum <= most
        })
        .map(|(key, value)| (*key, Bytes::copy_from_slice(value)))
        .collect();
    let read = map.range(model[first].0, model[last].0, most, random.u64(0..100_000)).unwrap();
    let all = wanted.len() == last - first + 1;
    let first_takes_all_room = model[first].1.len() as u64 > most;
    assert_eq!(read.complete, all && !first_takes_all_room, "{case}: {first}..={last}, at most {most} bytes");
    let read: Vec<_> = read.records.into_iter().map(|record| (record.key, record.value)).collect();
    assert_eq!(read, wanted, "{case}: {first}..={last}, at most {most} bytes");
}

/// Reads everything twice, by walking and by key, and compares what comes with what was written.
fn read_all(files: &Files, verified: bool, model: &[(i64, Vec<u8>)]) -> Result<(), Error> {
    let map = open(files, verified)?;
    let (mut cursor, mut read) = (map.data().cursor(), 0);
    while let Some(record) = cursor.next_record()? {
        // A record that was never written must not come, nor one with other bytes.
        assert!(verified || read < model.len() + 8, "the walk goes on and on");
        if verified {
            assert_eq!((record.key, record.value.as_ref()), (model[read].0, model[read].1.as_slice()));
        }
        read += 1;
    }
    assert!(!verified || read == model.len());
    for (key, value) in model {
        let found = map.get(*key)?;
        assert!(!verified || found.as_deref() == Some(value.as_slice()), "key {key}");
    }
    Ok(())
}

fn small_model() -> Vec<(i64, Vec<u8>)> {
    random_records(&mut fastrand::Rng::with_seed(11), 12, 90)
}

fn small_options(compression: Compression) -> WriteOptions {
    WriteOptions { compression, block_bytes: 200, sync_interval_bytes: 300, index_interval: 4, deflate_level: 6 }
}

#[test]
fn each_flipped_byte_is_an_error_or_changes_nothing_where_checksums_are() {
    let model = small_model();
    for compression in COMPRESSIONS {
        let sound = write(&model, small_options(compression));
        read_all(&sound, true, &model).unwrap();
        for file in 0..4 {
            for at in 0..sound.0[file].len() {
                for mask in [0x01, 0x80, 0xff] {
                    let mut damaged = sound.clone();
                    damaged.0[file][at] ^= mask;
                    let error = read_all(&damaged, true, &model).err();
                    // A side file may say that a checksum covers more bytes than a file this short has: no harm done.
                    assert!(error.is_some() || file >= 2, "{compression:?}, file {file}, byte {at} ^ {mask:#x}");
                    let typed = matches!(error, None | Some(Error::Corrupt { .. } | Error::Unsupported { .. }));
                    assert!(typed, "{compression:?}, file {file}, byte {at} ^ {mask:#x}: {error:?}");
                }
            }
        }
    }
}

#[test]
fn each_flipped_byte_is_survived_where_no_checksums_are() {
    let model = small_model();
    for compression in COMPRESSIONS {
        let sound = write(&model, small_options(compression));
        for file in 0..2 {
            for at in 0..sound.0[file].len() {
                for mask in [0x01, 0x40, 0x80, 0xff] {
                    let mut damaged = sound.clone();
                    damaged.0[file][at] ^= mask;
                    // Errors are welcome, panics and endless walks are not.
                    let _ = read_all(&damaged, false, &model);
                }
            }
        }
    }
}

#[test]
fn each_cut_is_an_error_with_checksums_and_survived_without() {
    let model = small_model();
    for compression in COMPRESSIONS {
        let sound = write(&model, small_options(compression));
        for file in 0..4 {
            for len in 0..sound.0[file].len() {
                let mut damaged = sound.clone();
                damaged.0[file].truncate(len);
                assert!(read_all(&damaged, true, &model).is_err(), "{compression:?}, file {file} cut at {len}");
                if file < 2 {
                    let _ = read_all(&damaged, false, &model);
                }
            }
        }
    }
}

#[test]
fn the_error_of_a_flipped_byte_names_file_and_chunk() {
    let model = random_records(&mut fastrand::Rng::with_seed(5), 300, 100);
    let options = WriteOptions { compression: Compression::None, ..WriteOptions::default() };
    let mut files = write(&model, options);
    files.0[0][5000] ^= 1;
    let error = read_all(&files, true, &model).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { file, offset: 4608, .. } if file == "data"), "{error}");
}

/// The whole file is smaller than what is read ahead, and than the longest header.
#[test]
fn damage_costs_only_what_lies_in_its_chunk() {
    let model: Vec<(i64, Vec<u8>)> = random_records(&mut fastrand::Rng::with_seed(7), 20, 0)
        .into_iter()
        .map(|(key, _)| (key, noise(key, 700)))
        .collect();
    for compression in [Compression::None, Compression::Record] {
        let mut files = write(&model, WriteOptions { compression, ..WriteOptions::default() });
        let at = files.0[0].len() * 3 / 4;
        files.0[0][at] ^= 1;
        let map = open(&files, true).unwrap();
        let read = map.range(-1, 18, u64::MAX, 100_000).unwrap();
        assert!((10..18).contains(&read.records.len()) && !read.complete, "{compression:?}: {}", read.records.len());
        for (record, (key, value)) in read.records.iter().zip(&model) {
            assert_eq!((record.key, record.value.as_ref()), (*key, value.as_slice()));
        }
        let error = map.range(read.records.len() as i64 - 1, 18, u64::MAX, 100_000).unwrap_err();
        let chunk = (at / 512 * 512) as u64;
        assert!(matches!(&error, Error::Corrupt { file, offset, .. } if file == "data" && *offset == chunk), "{error}");
    }
}

fn noise(seed: i64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed as u64);
    std::iter::repeat_with(|| random.u8(..)).take(len).collect()
}

#[test]
fn noise_is_survived() {
    let model = small_model();
    let mut random = fastrand::Rng::with_seed(17);
    for _ in 0..3000 {
        let mut files = write(&model, small_options(COMPRESSIONS[random.usize(0..3)]));
        for _ in 0..random.usize(1..6) {
            let file = random.usize(0..2);
            let at = random.usize(0..files.0[file].len());
            files.0[file][at] = random.u8(..);
        }
        let _ = read_all(&files, false, &model);
    }
}

#[test]
fn keys_must_not_descend_and_may_repeat() {
    let mut writer = MapFileWriter::new(Vec::new(), Vec::new(), [[1; 16], [2; 16]], WriteOptions::default()).unwrap();
    writer.append(4, b"a").unwrap();
    writer.append(4, b"b").unwrap();
    assert!(matches!(writer.append(3, b"c"), Err(Error::KeyOutOfOrder { key: 3, previous: 4 })));
}
