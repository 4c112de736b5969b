//! Random tests: what they draw from, and how long they go on.

use std::time::{Duration, Instant};

use bytes::Bytes;

/// What random tests draw from: SplitMix64, so that a seed means the same for ever.
pub(crate) struct Chance(u64);

impl Chance {
    /// Of `DA_FUZZ_SEED`, or of a seed that is another one each time; printed, so that a failure can be
    /// had again.
    pub(crate) fn new() -> Self {
        let seed = number("DA_FUZZ_SEED").unwrap_or_else(rand::random);
        println!("DA_FUZZ_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end.max(1) as u64) as usize
    }

    pub(crate) fn one_of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    /// Some of these words one after the other, fewer than `most`.
    pub(crate) fn words(&mut self, all: &[&str], most: usize) -> String {
        (0..self.below(most)).map(|_| self.one_of(all).to_owned()).collect()
    }

    /// The bytes in pieces of random lengths, most of them short.
    pub(crate) fn cut(&mut self, bytes: &[u8]) -> Vec<Bytes> {
        let mut rest = Bytes::copy_from_slice(bytes);
        let mut chunks = Vec::new();
        let longest = [1, 3, 20, 1000][self.below(4)];
        while !rest.is_empty() {
            let length = self.below(longest + 1).min(rest.len());
            chunks.push(rest.split_to(length));
        }
        chunks
    }

    /// The bytes with a few of them changed, left out, doubled or moved.
    pub(crate) fn mutated(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..self.below(6) {
            let at = self.below(bytes.len());
            let to = (at + self.below(30)).min(bytes.len());
            match self.below(5) {
                0 if at < bytes.len() => bytes[at] = self.below(256) as u8,
                1 => drop(bytes.drain(at..to)),
                2 => bytes.insert(at, b"\n\r:\xef{\"<"[self.below(7)]),
                3 => bytes.truncate(at),
                _ => {
                    let copy = bytes[at..to].to_vec();
                    let into = self.below(bytes.len());
                    bytes.splice(into..into, copy);
                }
            }
        }
        bytes
    }
}

/// Whether a random test is to go on: it has its share of `DA_FUZZ_SECONDS`, or of 2 seconds.
pub(crate) fn going_on(share: f64) -> impl Fn() -> bool {
    let seconds = number("DA_FUZZ_SECONDS").unwrap_or(2) as f64 * share;
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    move || Instant::now() < end
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}
