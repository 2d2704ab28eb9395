//! Guesses from where a copy was read how much will be read next: pure.
//!
//! A read that goes on where an earlier one ended is part of a *stream*; its window doubles with each such read. Any other
//! read begins a stream without a window, so that random reads fetch nothing that was not asked for. Streams are recognised
//! by their places alone: readers have no state, and many of them may share a handle.

use std::collections::VecDeque;

/// So many interleaved sequential readers of a handle are told apart.
const STREAMS_MAX: usize = 64;

/// The streams of one handle.
#[derive(Debug, Default)]
pub(super) struct Streams(VecDeque<Stream>);

#[derive(Clone, Copy, Debug)]
struct Stream {
    next_entry_id: u64,
    window_bytes: u64,
}

impl Streams {
    /// A read from `first` on, which asks for `demand_bytes`, begins: how many bytes are worth fetching for it.
    pub(super) fn begin(&mut self, first: u64, demand_bytes: u64, window_bytes_max: u64) -> u64 {
        let Some(at) = self.0.iter().position(|stream| stream.next_entry_id == first) else { return 0 };
        let window_bytes = self.0.remove(at).map_or(0, |stream| stream.window_bytes);
        window_bytes.max(demand_bytes).saturating_mul(2).min(window_bytes_max)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// It ended before `next_entry_id`.
    pub(super) fn end(&mut self, next_entry_id: u64, window_bytes: u64) {
        // Two readers at one place are one stream.
        self.0.retain(|stream| stream.next_entry_id != next_entry_id);
        if self.0.len() == STREAMS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(Stream { next_entry_id, window_bytes });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(streams: &mut Streams, first: u64, count: u64) -> u64 {
        let window = streams.begin(first, 10, 100);
        streams.end(first + count, window);
        window
    }

    #[test]
    fn a_window_doubles_on_sequential_reads_up_to_its_bound() {
        let mut streams = Streams::default();
        let windows: Vec<u64> = (0..7).map(|at| read(&mut streams, at * 5, 5)).collect();
        assert_eq!(windows, [0, 20, 40, 80, 100, 100, 100]);
    }

    #[test]
    fn random_reads_have_no_window_and_disturb_no_stream() {
        let mut streams = Streams::default();
        let mut windows = Vec::new();
        for at in 0..4 {
            windows.push(read(&mut streams, at, 1));
            assert_eq!(read(&mut streams, 1000 + at * 7, 1), 0);
        }
        assert_eq!(windows, [0, 20, 40, 80]);
    }

    #[test]
    fn the_oldest_of_too_many_streams_is_forgotten() {
        let mut streams = Streams::default();
        for at in 0..=STREAMS_MAX as u64 {
            read(&mut streams, at * 100, 1);
        }
        assert_eq!(read(&mut streams, 1, 1), 0);
        assert_eq!(read(&mut streams, 201, 1), 20);
    }
}
