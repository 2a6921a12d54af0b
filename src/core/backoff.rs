//! How long to wait before trying again: exponential, with full jitter.
//!
//! Source: "Exponential Backoff and Jitter", AWS Architecture Blog, 2015: of the variants compared
//! there, full jitter makes the fewest calls.

use std::time::Duration;

/// Grows from `min` towards `max`, doubling.
#[derive(Debug, Clone)]
pub struct Backoff {
    min: Duration,
    first: Duration,
    max: Duration,
    ceiling: Duration,
}

impl Backoff {
    /// Starts at `min`.
    #[must_use]
    pub fn new(min: Duration, max: Duration) -> Self {
        Self::spread(min, min, max)
    }

    /// Starts anywhere from `min` to `first`: many that begin together do not come back together.
    #[must_use]
    pub fn spread(min: Duration, first: Duration, max: Duration) -> Self {
        assert!(
            min <= first && first <= max,
            "a backoff's least wait is at most its first, and that at most its longest"
        );
        Self {
            min,
            first,
            max,
            ceiling: first,
        }
    }

    /// How long to wait now. `random` is uniform over all `u32`.
    pub fn next(&mut self, random: u32) -> Duration {
        let ceiling = self.ceiling;
        self.ceiling = (ceiling * 2).min(self.max);
        let part = f64::from(random) / f64::from(u32::MAX);
        self.min + ceiling.saturating_sub(self.min).mul_f64(part)
    }

    /// It worked: start over.
    pub fn reset(&mut self) {
        self.ceiling = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_in_bounds_and_grow_to_the_longest() {
        let (min, max) = (Duration::from_millis(20), Duration::from_secs(1));
        let mut backoff = Backoff::new(min, max);
        for step in 0..40_u32 {
            let wait = backoff.next(step.wrapping_mul(2_654_435_761));
            assert!(wait >= min && wait <= max, "{wait:?}");
        }
        assert_eq!(backoff.next(u32::MAX), max);
        backoff.reset();
        assert_eq!(backoff.next(u32::MAX), min);
    }

    #[test]
    fn the_first_wait_of_many_is_spread() {
        let (min, first) = (Duration::ZERO, Duration::from_secs(1));
        let mut backoff = Backoff::spread(min, first, Duration::from_secs(8));
        assert_eq!(backoff.next(u32::MAX / 2).as_millis(), 500);
        assert_eq!(backoff.next(u32::MAX), first * 2);
        backoff.reset();
        assert_eq!(backoff.next(0), min);
    }
}
