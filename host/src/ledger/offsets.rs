//! Where the entries of one ledger lie in its segment file: four bytes an entry, and one mark every few entries.
//!
//! A record's place is the sum of those before it, so the lengths are all that is kept, in memory and on disk; the marks
//! bound how many are summed for one look-up.

use super::format::RECORD_HEADER_BYTES;

/// Entries between two marks; bounds the additions of one look-up.
const ENTRIES_PER_MARK: usize = 64;

/// The offset index of one ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offsets {
    lengths: Vec<u32>,
    /// Offset of each [`ENTRIES_PER_MARK`]th record.
    marks: Vec<u64>,
    end_offset: u64,
    length_bytes: u64,
}

/// Neighbouring records that one positional read fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// First entry.
    pub(super) first: u64,
    /// Where its record begins, bytes from the file's start.
    pub(super) offset: u64,
    /// Bytes of all records.
    pub(super) bytes: u64,
    /// Payload length of each entry.
    pub(super) lengths: Vec<u32>,
}

impl Offsets {
    /// No entries; the first record will begin at `first_offset`.
    pub(super) fn with_capacity(first_offset: u64, entry_count: usize) -> Self {
        Self {
            lengths: Vec::with_capacity(entry_count),
            marks: Vec::with_capacity(entry_count.div_ceil(ENTRIES_PER_MARK)),
            end_offset: first_offset,
            length_bytes: 0,
        }
    }

    /// Adds the next entry.
    pub(super) fn push(&mut self, length: u32) {
        if self.lengths.len().is_multiple_of(ENTRIES_PER_MARK) {
            self.marks.push(self.end_offset);
        }
        self.lengths.push(length);
        self.end_offset += record_bytes(length);
        self.length_bytes += u64::from(length);
    }

    /// Number of entries.
    pub(super) fn entry_count(&self) -> u64 {
        self.lengths.len() as u64
    }

    /// Sum of payload lengths in bytes.
    pub(super) fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Where the last record ends, bytes from the file's start.
    pub(super) fn end_offset(&self) -> u64 {
        self.end_offset
    }

    /// Payload length of each entry.
    pub(super) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// Memory that the index takes, bytes.
    pub(super) fn memory_bytes(&self) -> u64 {
        (self.lengths.capacity() * size_of::<u32>() + self.marks.capacity() * size_of::<u64>() + size_of::<Self>())
            as u64
    }

    /// The records from `first` to at most `last`: one at least, and no further one that would make the payloads exceed
    /// `max_bytes`. `None` where the range is backwards or beyond the end.
    pub(super) fn run(&self, first: u64, last: u64, max_bytes: u64) -> Option<Run> {
        if first > last || last >= self.entry_count() {
            return None;
        }
        let (from, to) = (first as usize, last as usize);
        let mut payload_bytes = u64::from(self.lengths[from]);
        let mut end = from + 1;
        while end <= to && payload_bytes + u64::from(self.lengths[end]) <= max_bytes {
            payload_bytes += u64::from(self.lengths[end]);
            end += 1;
        }
        let lengths = self.lengths[from..end].to_vec();
        let bytes = payload_bytes + (lengths.len() * RECORD_HEADER_BYTES) as u64;
        Some(Run { first, offset: self.offset_of(from), bytes, lengths })
    }

    fn offset_of(&self, entry: usize) -> u64 {
        let mark = entry / ENTRIES_PER_MARK;
        let since_mark = &self.lengths[mark * ENTRIES_PER_MARK..entry];
        self.marks[mark] + since_mark.iter().copied().map(record_bytes).sum::<u64>()
    }
}

fn record_bytes(length: u32) -> u64 {
    RECORD_HEADER_BYTES as u64 + u64::from(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_begins_where_the_one_before_ends() {
        let mut offsets = Offsets::with_capacity(100, 0);
        let mut expected = 100;
        for entry in 0..1000_u32 {
            offsets.push(entry * 7 % 50);
            let run = offsets.run(u64::from(entry), u64::from(entry), 0).unwrap();
            assert_eq!((run.offset, run.bytes), (expected, 16 + u64::from(entry * 7 % 50)));
            expected += run.bytes;
        }
        assert_eq!(offsets.end_offset(), expected);
    }

    #[test]
    fn a_run_has_one_entry_at_least_and_respects_the_limit() {
        let mut offsets = Offsets::with_capacity(0, 3);
        [10, 20, 30].into_iter().for_each(|length| offsets.push(length));
        let lengths = |first, last, max| offsets.run(first, last, max).map(|run| run.lengths);
        assert_eq!(lengths(0, 2, 0), Some(vec![10]));
        assert_eq!(lengths(0, 2, 29), Some(vec![10]));
        assert_eq!(lengths(0, 2, 30), Some(vec![10, 20]));
        assert_eq!(lengths(0, 2, u64::MAX), Some(vec![10, 20, 30]));
        assert_eq!(lengths(1, 1, u64::MAX), Some(vec![20]));
        assert_eq!(lengths(2, 1, 9), None);
        assert_eq!(lengths(0, 3, 9), None);
    }

    #[test]
    fn an_entry_costs_about_four_bytes() {
        let mut offsets = Offsets::with_capacity(0, 64_000);
        (0..64_000).for_each(|_| offsets.push(1024));
        assert!(offsets.memory_bytes() < 64_000 * 5);
    }
}
