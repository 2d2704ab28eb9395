//! Messages that a seed decides, and a digest to compare what was sent with what came back.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::output::{grouped, per_second, size};

/// Bytes of which a line is repeated once, so that messages compress to about half, as text does.
const LINE_BYTES: usize = 64;

/// Makes the payloads of a run: the same for the same seed, size and number.
pub(super) struct Workload {
    seed: u64,
    payload: Vec<u8>,
}

impl Workload {
    /// Messages of `size_bytes`.
    pub(super) fn new(seed: u64, size_bytes: usize) -> Self {
        Self { seed, payload: vec![0; size_bytes] }
    }

    /// The payload of message `number`; valid until the next call.
    pub(super) fn payload(&mut self, number: u64) -> &[u8] {
        // An odd factor spreads neighbouring numbers over all seeds.
        let mut random = fastrand::Rng::with_seed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        for pair in self.payload.chunks_mut(2 * LINE_BYTES) {
            let (line, again) = pair.split_at_mut(pair.len().min(LINE_BYTES));
            random.fill(line);
            again.copy_from_slice(&line[..again.len()]);
        }
        &self.payload
    }
}

/// Counts payloads and sums them up in order.
#[derive(Default)]
pub(super) struct Tally {
    sum: Sha256,
    messages: u64,
    bytes: u64,
}

impl Tally {
    /// The next payload.
    pub(super) fn add(&mut self, payload: &[u8]) {
        self.sum.update(payload);
        self.messages += 1;
        self.bytes += payload.len() as u64;
    }

    /// Payloads so far.
    pub(super) fn messages(&self) -> u64 {
        self.messages
    }

    /// What there is to tell after `elapsed`.
    pub(super) fn summary(self, elapsed: Duration) -> Summary {
        let mut sha256 = String::with_capacity(64);
        for byte in self.sum.finalize() {
            let _ = write!(sha256, "{byte:02x}");
        }
        Summary {
            messages: self.messages,
            bytes: self.bytes,
            seconds: elapsed.as_secs_f64(),
            messages_per_second: per_second(self.messages, elapsed),
            bytes_per_second: per_second(self.bytes, elapsed),
            sha256,
        }
    }
}

/// What a run did. As JSON, the stable form.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    /// Messages.
    pub(super) messages: u64,
    /// Bytes of payload.
    pub(super) bytes: u64,
    /// How long it took.
    pub(super) seconds: f64,
    /// Rate.
    pub(super) messages_per_second: f64,
    /// Rate.
    pub(super) bytes_per_second: f64,
    /// SHA-256 over all payloads in order, in hexadecimal digits.
    pub(super) sha256: String,
}

impl Summary {
    /// `produced 1,000 messages (1.0 MiB) in 0.50 s: 2,000 a second, 2.0 MiB/s, sha256 …`
    pub(super) fn sentence(&self, verb: &str) -> String {
        format!(
            "{verb} {} messages ({}) in {:.2} s: {} a second, {}/s, sha256 {}",
            grouped(self.messages),
            size(self.bytes),
            self.seconds,
            grouped(self.messages_per_second as u64),
            size(self.bytes_per_second as u64),
            self.sha256
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_the_payloads() {
        let mut one = Workload::new(1, 300);
        let mut same = Workload::new(1, 300);
        let first = one.payload(0).to_vec();
        let second = one.payload(1).to_vec();
        assert_eq!(same.payload(1), second);
        assert_eq!(same.payload(0), first);
        assert_ne!(first, second);
        assert_ne!(Workload::new(2, 300).payload(0), first);
        assert_eq!(first[..64], first[64..128]);
        assert_eq!(Workload::new(1, 0).payload(0), b"");
    }

    #[test]
    fn the_digest_is_sha256_over_the_payloads_in_order() {
        let mut tally = Tally::default();
        tally.add(b"a");
        tally.add(b"bc");
        let summary = tally.summary(Duration::from_secs(1));
        assert_eq!((summary.messages, summary.bytes), (2, 3));
        assert_eq!(summary.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
