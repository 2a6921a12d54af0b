//! What happened: as one number, by which two runs are compared, and as text for whoever looks for
//! a cause.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A run, as far as it has come.
#[derive(Debug, Default)]
pub struct Trace {
    hash: u64,
    now: u64,
    shown: bool,
}

impl Trace {
    pub fn new(shown: bool) -> Self {
        Self {
            shown,
            ..Self::default()
        }
    }

    /// The next thing happens at that time.
    pub fn step(&mut self, now: u64) {
        self.now = now;
        self.bytes(&now.to_le_bytes());
    }

    /// Something that must be the same in every run.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.hash = xxh3_64_with_seed(bytes, self.hash);
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn is_shown(&self) -> bool {
        self.shown
    }

    pub fn say(&self, text: fmt::Arguments<'_>) {
        if self.shown {
            println!("{:>6}.{:03} {text}", self.now / 1000, self.now % 1000);
        }
    }
}
