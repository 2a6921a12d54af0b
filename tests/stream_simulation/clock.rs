//! Time that goes on when the simulation says so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ringpost::dispatch::Clock;

/// When all simulated clusters start, in milliseconds since the Unix epoch.
const START_MS: u64 = 1_790_000_000_000;

/// One clock for all nodes of a world.
#[derive(Debug)]
pub struct VirtualClock {
    start: Instant,
    now_us: AtomicU64,
}

impl VirtualClock {
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            now_us: AtomicU64::new(0),
        }
    }

    pub fn set(&self, now_us: u64) {
        self.now_us.store(now_us, Ordering::Relaxed);
    }

    fn since_start(&self) -> Duration {
        Duration::from_micros(self.now_us.load(Ordering::Relaxed))
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        self.start + self.since_start()
    }

    fn unix_ms(&self) -> u64 {
        START_MS + u64::try_from(self.since_start().as_millis()).unwrap_or(u64::MAX)
    }
}
