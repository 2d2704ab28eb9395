//! Any bytes as a MapFile: the first two (big-endian) are the length of the index, then come index and data.

use map_file::{MapFile, MemoryFile, ReadLimits, SequenceFile};

/// Far below what a run may take, so that a reader that believes a length is noticed.
const LIMITS: ReadLimits = ReadLimits { value_bytes_max: 1 << 20, block_bytes_max: 4 << 20 };

/// Panics where a promise is broken.
pub fn check(input: &[u8]) {
    let Some((len, files)) = input.split_first_chunk::<2>() else { return };
    let index_len = usize::from(u16::from_be_bytes(*len)).min(files.len());
    let (index, data) = files.split_at(index_len);
    let (index, data) = (MemoryFile::new("index", index.to_vec()), MemoryFile::new("data", data.to_vec()));
    if let Ok(file) = SequenceFile::open(data.clone(), LIMITS) {
        let mut cursor = file.cursor();
        while let Ok(Some(record)) = cursor.next_record() {
            assert!(record.value.len() as u64 <= LIMITS.value_bytes_max);
        }
    }
    if let Ok(file) = MapFile::open(data, index, LIMITS) {
        for (first, last) in [(-1, -1), (0, i64::MAX), (i64::MIN, i64::MAX)] {
            if let Ok(read) = file.range(first, last, 1 << 20, 1 << 12) {
                assert!(read.records.iter().all(|record| (first..=last).contains(&record.key)));
            }
        }
    }
}
