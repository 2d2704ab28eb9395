//! What a child writes to its standard error, line by line into the host's log: bounded in length and in number, and without
//! secrets.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::secrets;

/// The longest line that is kept, in bytes; the rest is cut off.
const LINE_BYTES_MAX: usize = 4096;
/// Lines within [`WINDOW`]; further ones are counted only.
const LINES_MAX: u32 = 200;
const WINDOW: Duration = Duration::from_secs(10);
/// Lines that are remembered for the story of a crash.
const LAST_LINES: usize = 3;

/// Cuts bytes into lines.
#[derive(Debug)]
pub(super) struct Words {
    line: Vec<u8>,
    window_began: Instant,
    lines: u32,
    left_out: u64,
    last: VecDeque<String>,
}

impl Words {
    pub(super) fn new(now: Instant) -> Self {
        Self { line: Vec::new(), window_began: now, lines: 0, left_out: 0, last: VecDeque::new() }
    }

    /// The last few lines that were not empty.
    pub(super) fn last(&self) -> String {
        self.last.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }

    /// Takes what came and hands whole lines to `log`.
    pub(super) fn push(&mut self, bytes: &[u8], now: Instant, mut log: impl FnMut(&str)) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            let room = LINE_BYTES_MAX.saturating_sub(self.line.len());
            self.line.extend_from_slice(&text[..text.len().min(room)]);
            if text.len() < part.len() {
                self.end_line(now, &mut log);
            }
        }
    }

    /// The stream ended.
    pub(super) fn end(&mut self, now: Instant, mut log: impl FnMut(&str)) {
        self.end_line(now, &mut log);
        self.report_left_out(&mut log);
    }

    fn end_line(&mut self, now: Instant, log: &mut impl FnMut(&str)) {
        let line = secrets::without(String::from_utf8_lossy(&self.line).trim_end()).into_owned();
        self.line.clear();
        if line.is_empty() {
            return;
        }
        if now.saturating_duration_since(self.window_began) > WINDOW {
            self.report_left_out(log);
            (self.window_began, self.lines) = (now, 0);
        }
        if self.lines < LINES_MAX {
            self.lines += 1;
            log(&line);
        } else {
            self.left_out += 1;
        }
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    fn report_left_out(&mut self, log: &mut impl FnMut(&str)) {
        if self.left_out > 0 {
            log(&format!("{} more lines were left out", self.left_out));
            self.left_out = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(parts: &[&[u8]]) -> (Vec<String>, String) {
        let now = Instant::now();
        let (mut words, mut lines) = (Words::new(now), Vec::new());
        parts.iter().for_each(|part| words.push(part, now, |line| lines.push(line.to_owned())));
        words.end(now, |line| lines.push(line.to_owned()));
        (lines, words.last())
    }

    #[test]
    fn lines_come_whole_whatever_the_pieces() {
        let (lines, last) = said(&[b"one\ntw", b"o\r\n\n", b"\xff three"]);
        assert_eq!(lines, ["one", "two", "\u{fffd} three"]);
        assert_eq!(last, "one | two | \u{fffd} three");
    }

    #[test]
    fn long_lines_are_cut_and_many_are_counted() {
        let (lines, _) = said(&[&[b'x'; 3000], &[b'x'; 3000], b"\nnext"]);
        assert_eq!((lines[0].len(), lines[1].as_str()), (LINE_BYTES_MAX, "next"));
        let (lines, last) = said(&[b"again\n".repeat(LINES_MAX as usize).as_slice(), b"one\ntwo\n"]);
        assert_eq!(lines.len(), LINES_MAX as usize + 1);
        assert_eq!(lines.last().unwrap(), "2 more lines were left out");
        assert_eq!(last, "again | one | two");
    }
}
