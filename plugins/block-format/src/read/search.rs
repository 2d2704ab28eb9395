//! Finds entries in bytes that nobody indexed: pure.
//!
//! The original's index leads to the start of a block of 64 MiB. An entry's head (length and id) is recognised anywhere in
//! the block, because the heads that follow it must be those of the next entries. But a payload may hold such a row of heads
//! as well, by chance or by malice. So a place that was found this way counts only if no entry can begin before it and reach
//! over it: no byte that far back may look like the head of one. How far that is, the longest entry says.

use std::ops::Range;

use crate::data_block::{FRAME_HEAD_BYTES, Frame};

/// So many heads in a row, each where the one before ends, make a find.
const HEADS_IN_A_ROW: u32 = 3;
const HEAD_BYTES: usize = FRAME_HEAD_BYTES as usize;

/// What is searched: a part of one block.
#[derive(Clone, Debug)]
pub(super) struct Searched {
    /// The entries that may be there.
    pub(super) ids: Range<u64>,
    /// Where the block ends; bytes from the start of the data object.
    pub(super) block_end: u64,
    /// No entry is longer.
    pub(super) entry_bytes_max: u64,
}

/// What looks like an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Likeness {
    /// Where its head is; bytes from the start of the data object.
    pub(super) offset: u64,
    /// Its id.
    pub(super) entry_id: u64,
    /// Where it ends.
    pub(super) end: u64,
}

/// What speaks against a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Objection {
    /// An entry begins before it and reaches over it.
    Covered,
    /// These would, if what must follow them stood at their ends.
    Unless(Vec<Likeness>),
}

impl Searched {
    /// The first entry in `bytes`, which begin at `start`.
    pub(super) fn find(&self, start: u64, bytes: &[u8]) -> Option<Likeness> {
        self.likenesses(start, bytes).find(|found| self.is_row(start, bytes, *found))
    }

    /// What speaks against an entry that begins at `offset`. `bytes`, from `start` on, hold all places where an entry may
    /// begin that reaches over it.
    pub(super) fn objection(&self, start: u64, bytes: &[u8], offset: u64) -> Objection {
        let mut doubts = Vec::new();
        for like in self.likenesses(start, bytes).take_while(|like| like.offset < offset) {
            if like.end > offset {
                match self.is_followed(start, bytes, like) {
                    Some(true) => return Objection::Covered,
                    Some(false) => {}
                    None => doubts.push(like),
                }
            }
        }
        Objection::Unless(doubts)
    }

    /// Everything in `bytes` that begins like an entry. Only ids are looked at for most places: eight bytes that are one of a
    /// few thousand numbers are rare.
    fn likenesses<'a>(&'a self, start: u64, bytes: &'a [u8]) -> impl Iterator<Item = Likeness> + 'a {
        let (first, count) = (self.ids.start, self.ids.end - self.ids.start);
        let mut last_eight = 0_u64;
        let id_ends = bytes.iter().enumerate().filter_map(move |(at, byte)| {
            last_eight = last_eight << 8 | u64::from(*byte);
            (last_eight.wrapping_sub(first) < count && at + 1 >= HEAD_BYTES).then_some(at + 1)
        });
        id_ends.filter_map(move |id_end| self.head_at(start, bytes, id_end - HEAD_BYTES))
    }

    fn is_row(&self, start: u64, bytes: &[u8], mut like: Likeness) -> bool {
        for _ in 1..HEADS_IN_A_ROW {
            if self.is_followed(start, bytes, like) != Some(true) {
                return false;
            }
            match self.head_at(start, bytes, (like.end - start) as usize) {
                Some(next) => like = next,
                // The block's last entry.
                None => return true,
            }
        }
        true
    }

    /// Whether what must follow an entry stands at its end: the next one, or the block's end. `None` where the bytes do not
    /// reach so far.
    pub(super) fn is_followed(&self, start: u64, bytes: &[u8], like: Likeness) -> Option<bool> {
        let is_last = like.entry_id + 1 == self.ids.end;
        if like.end == self.block_end {
            return Some(is_last);
        }
        let at = (like.end - start) as usize;
        match Frame::decode(bytes.get(at..)?)? {
            Frame::BlockEnd => Some(is_last),
            Frame::Entry { .. } => {
                Some(self.head_at(start, bytes, at).is_some_and(|next| next.entry_id == like.entry_id + 1))
            }
        }
    }

    /// The entry that the head at this place tells of, if it may be one: of these ids, not too long, within the block.
    fn head_at(&self, start: u64, bytes: &[u8], at: usize) -> Option<Likeness> {
        let head = bytes.get(at..)?.first_chunk::<HEAD_BYTES>()?;
        let (length, id) = head.split_first_chunk::<4>()?;
        let entry_id = u64::from_be_bytes(*id.first_chunk()?);
        let payload_bytes = u64::try_from(i32::from_be_bytes(*length)).ok()?;
        let offset = start + at as u64;
        let end = offset + FRAME_HEAD_BYTES + payload_bytes;
        let possible = self.ids.contains(&entry_id) && payload_bytes <= self.entry_bytes_max && end <= self.block_end;
        possible.then_some(Likeness { offset, entry_id, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data_block::{PADDING, frame_head};

    /// Entries with these payloads from `first_id` on, and where each begins.
    fn block(first_id: u64, payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<u64>) {
        let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
        for (entry_id, payload) in (first_id..).zip(payloads) {
            offsets.push(bytes.len() as u64);
            bytes.extend(frame_head(entry_id, payload.len() as u32));
            bytes.extend(payload);
        }
        (bytes, offsets)
    }

    fn noise(seed: u64, count: usize, longest: usize) -> Vec<Vec<u8>> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..count)
            .map(|_| {
                let zeros = random.bool();
                (0..random.usize(0..longest)).map(|_| if zeros { 0 } else { random.u8(..) }).collect()
            })
            .collect()
    }

    #[test]
    fn the_next_entry_is_found_from_anywhere() {
        for seed in 0..20 {
            let (bytes, offsets) = block(70, &noise(seed, 40, 300));
            let searched = Searched { ids: 70..110, block_end: bytes.len() as u64, entry_bytes_max: 1 << 20 };
            for from in 0..bytes.len() {
                let found = searched.find(from as u64, &bytes[from..]).map(|it| (it.offset, it.entry_id));
                let next = offsets.iter().position(|offset| *offset >= from as u64);
                assert_eq!(found, next.map(|at| (offsets[at], 70 + at as u64)), "seed {seed}, from {from}");
            }
            for offset in offsets {
                assert_eq!(searched.objection(0, &bytes, offset), Objection::Unless(vec![]), "seed {seed}, {offset}");
            }
        }
    }

    #[test]
    fn a_block_that_ends_in_padding_is_searched_to_its_end() {
        let (mut bytes, offsets) = block(5, &noise(1, 4, 50));
        bytes.extend(PADDING.iter().cycle().take(30));
        let searched = Searched { ids: 5..9, block_end: bytes.len() as u64, entry_bytes_max: 1 << 20 };
        let found = searched.find(offsets[3], &bytes[offsets[3] as usize..]).unwrap();
        assert_eq!((found.offset, found.entry_id), (offsets[3], 8));
    }

    /// What a producer may send who wants others' entries to be taken for his.
    #[test]
    fn entries_within_a_payload_are_found_out() {
        let (mut inner, inner_offsets) = block(72, &noise(3, 5, 100));
        // The last one ends where the outer entry does, so that the row goes on behind it.
        let payloads = [
            vec![1; 40],
            {
                inner.splice(..0, [9; 50]);
                inner.clone()
            },
            vec![2; 40],
            vec![3; 40],
            vec![4; 40],
        ];
        let (bytes, offsets) = block(75, &payloads);
        let searched = Searched { ids: 70..80, block_end: bytes.len() as u64, entry_bytes_max: 1 << 20 };
        let from = offsets[1] as usize + 12 + 20;
        let found = searched.find(from as u64, &bytes[from..]).unwrap();
        let inner = offsets[1] + 12 + 50 + inner_offsets[0];
        assert_eq!((found.offset, found.entry_id), (inner, 72), "the row within looks like any other");
        assert_eq!(searched.objection(0, &bytes, inner), Objection::Covered);
        let cut = searched.objection(0, &bytes[..offsets[2] as usize], inner);
        let outer = Likeness { offset: offsets[1], entry_id: 76, end: offsets[2] };
        assert_eq!(cut, Objection::Unless(vec![outer]), "what follows it is not known");
        assert_eq!(
            searched.objection(0, &bytes, offsets[2]),
            Objection::Unless(vec![]),
            "this one does not lie within it"
        );
    }

    #[test]
    fn noise_is_no_entry() {
        let mut random = fastrand::Rng::with_seed(8);
        let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(200_000).collect();
        let searched = Searched { ids: 0..1 << 20, block_end: 1 << 30, entry_bytes_max: 5 << 20 };
        assert_eq!(searched.find(0, &bytes), None);
        assert_eq!(searched.find(0, &bytes[..11]), None);
        assert_eq!(searched.find(0, &[]), None);
    }
}
