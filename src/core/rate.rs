//! Token buckets: so many events a second, and a burst of them after a pause.

use std::time::{Duration, Instant};

/// A rate that many sources are each held to, as the generic cell rate algorithm (ITU-T I.371) does it:
/// what it has to remember of a source is one number, [`Used`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    interval_ns: u64,
    burst_ns: u64,
}

/// When the bucket of a source is full again, in nanoseconds. It begins full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used(u64);

impl Rate {
    /// So many events a second on average, and `burst` at once after a pause. Both 1 or more.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Self {
        let interval_ns = 1_000_000_000 / u64::from(per_second.max(1));
        Self {
            interval_ns,
            burst_ns: interval_ns * u64::from(burst.max(1)),
        }
    }

    /// Whether one more event of a source may pass now; the time counts from anywhere.
    pub fn take(&self, used: &mut Used, now: Duration) -> bool {
        let now = nanoseconds(now);
        let full_at = used.0.max(now) + self.interval_ns;
        let pass = full_at - now <= self.burst_ns;
        if pass {
            used.0 = full_at;
        }
        pass
    }
}

impl Used {
    /// Whether the bucket is full: nothing need be remembered of this source.
    #[must_use]
    pub fn is_nothing(self, now: Duration) -> bool {
        self.0 <= nanoseconds(now)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}

/// Lets through `per_second` events a second on average, and as many at once after a quiet second.
#[derive(Debug)]
pub struct TokenBucket {
    per_second: f64,
    tokens: f64,
    filled_at: Instant,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second: f64::from(per_second),
            tokens: f64::from(per_second),
            filled_at: now,
        }
    }

    /// Whether one more event may pass now.
    pub fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * self.per_second).min(self.per_second);
        self.filled_at = now;
        let pass = self.tokens >= 1.0;
        if pass {
            self.tokens -= 1.0;
        }
        pass
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_each_source_a_burst_passes_and_then_the_rate_holds() {
        let rate = Rate::new(10, 30);
        let (mut one, mut other) = (Used::default(), Used::default());
        let passed = |used: &mut Used, ms| {
            let now = Duration::from_millis(ms);
            (0..100).filter(|_| rate.take(used, now)).count()
        };
        assert_eq!(passed(&mut one, 1_000), 30);
        assert_eq!(passed(&mut one, 1_500), 5);
        assert_eq!(passed(&mut other, 1_500), 30);
        assert!(!one.is_nothing(Duration::from_millis(4_499)));
        assert!(one.is_nothing(Duration::from_millis(4_500)));
        assert_eq!(passed(&mut one, 60_000), 30);
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate_pass(
            per_second in 1_u32..5_000,
            burst in 1_u32..5_000,
            steps in proptest::collection::vec((0_u64..200_000, 1_usize..50), 1..200),
        ) {
            let rate = Rate::new(per_second, burst);
            let (mut used, mut now_us, mut passed) = (Used::default(), 0, 0_u64);
            for (us, tries) in steps {
                now_us += us;
                let now = Duration::from_micros(now_us);
                passed += (0..tries).filter(|_| rate.take(&mut used, now)).count() as u64;
                // The interval is rounded down to a nanosecond.
                let interval = 1_000_000_000 / u64::from(per_second);
                prop_assert!(passed <= u64::from(burst) + now_us * 1_000 / interval);
            }
        }
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(10, start);
        assert_eq!((0..20).filter(|_| bucket.take(start)).count(), 10);
        let later = start + Duration::from_millis(500);
        assert_eq!((0..20).filter(|_| bucket.take(later)).count(), 5);
        let much_later = start + Duration::from_secs(60);
        assert_eq!((0..20).filter(|_| bucket.take(much_later)).count(), 10);
    }
}
