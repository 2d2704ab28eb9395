//! A buffered look at a file from some offset on, for scans that must not trust a length before it is known to fit.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes fetched at once.
const CHUNK_BYTES: u64 = 1 << 20;

/// Moves through a file from front to back. The file does not change meanwhile.
pub(super) struct Window<'a> {
    file: &'a File,
    file_bytes: u64,
    at: u64,
    buffer: Vec<u8>,
    start: usize,
}

impl<'a> Window<'a> {
    /// A look at `file` from `at` on.
    pub(super) fn new(file: &'a File, at: u64) -> io::Result<Self> {
        let file_bytes = file.metadata()?.len();
        Ok(Self { file, file_bytes, at: at.min(file_bytes), buffer: Vec::new(), start: 0 })
    }

    /// Bytes from the file's start.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes from here to the file's end.
    pub(super) fn rest_bytes(&self) -> u64 {
        self.file_bytes - self.at
    }

    /// The next `bytes` bytes, or `None` where the file ends sooner. Never allocates more than the file holds.
    pub(super) fn peek(&mut self, bytes: u64) -> io::Result<Option<&[u8]>> {
        if bytes > self.rest_bytes() {
            return Ok(None);
        }
        if ((self.buffer.len() - self.start) as u64) < bytes {
            self.buffer.drain(..self.start);
            self.start = 0;
            let had = self.buffer.len();
            let wanted = bytes.max(CHUNK_BYTES).min(self.rest_bytes()) as usize;
            self.buffer.resize(wanted, 0);
            self.file.read_exact_at(&mut self.buffer[had..], self.at + had as u64)?;
        }
        Ok(Some(&self.buffer[self.start..self.start + bytes as usize]))
    }

    /// Steps over bytes that were peeked at.
    pub(super) fn advance(&mut self, bytes: u64) {
        self.at += bytes;
        self.start += bytes as usize;
    }

    /// Steps over `bytes` bytes and on to the next multiple of `alignment`, peeked at or not; at most to the end.
    pub(super) fn advance_to_multiple(&mut self, alignment: u64, bytes: u64) {
        let target = (self.at + bytes).next_multiple_of(alignment).min(self.file_bytes);
        self.start = (self.start + (target - self.at) as usize).min(self.buffer.len());
        self.at = target;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_shows_what_the_file_holds_and_nothing_beyond() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), &bytes).unwrap();
        let file = File::open(dir.path().join("f")).unwrap();
        let mut window = Window::new(&file, 5).unwrap();
        for step in [1_u64, 1_500_000, 10, 999_999] {
            let at = window.at() as usize;
            assert_eq!(window.peek(step).unwrap().unwrap(), &bytes[at..at + step as usize]);
            window.advance(step);
        }
        assert_eq!(window.peek(u64::MAX).unwrap(), None);
        assert_eq!(window.rest_bytes(), 3_000_000 - 5 - 2_500_010);
        let behind_the_buffer = window.at() + 1;
        window.advance_to_multiple(1 << 18, 1);
        assert_eq!(window.at(), behind_the_buffer.next_multiple_of(1 << 18));
        let at = window.at() as usize;
        assert_eq!(window.peek(9).unwrap().unwrap(), &bytes[at..at + 9]);
        window.advance_to_multiple(1 << 30, 1);
        assert_eq!(window.rest_bytes(), 0);
    }
}
