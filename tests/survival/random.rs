//! Choices that can be made again: all come from one seed, which is printed.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// A generator of 64 bits, `SplitMix64`.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Of the seed in `RINGPOST_CHAOS_SEED`, or of one that nobody has chosen.
    ///
    /// # Panics
    /// When that is no number.
    pub fn seeded() -> Self {
        let seed = match std::env::var("RINGPOST_CHAOS_SEED") {
            Ok(seed) => seed.parse().expect("RINGPOST_CHAOS_SEED is a number"),
            Err(_) => RandomState::new().hash_one("a seed") >> 32,
        };
        println!("RINGPOST_CHAOS_SEED={seed}");
        Self(seed)
    }

    /// Another sequence for each number.
    #[must_use]
    pub fn fork(&self, number: usize) -> Self {
        let mut fork = Self(self.0 ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        fork.next();
        fork
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// One of the numbers below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap_or(u64::MAX);
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    /// A time up to `most`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        let most = usize::try_from(most.as_millis()).unwrap_or(usize::MAX);
        Duration::from_millis(self.below(most.saturating_add(1)) as u64)
    }
}
