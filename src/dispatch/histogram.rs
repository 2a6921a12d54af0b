//! How long things took: counts of durations by upper bounds, as Prometheus wants them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::stats::BUCKETS;

/// Bounds of all histograms, in seconds; what is longer counts in one more bucket. From what a message
/// takes within a node to the default time after which it is given up.
pub const BOUNDS: [f64; BUCKETS - 1] = [
    0.000_025, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 15.0,
];

/// The same in nanoseconds.
const BOUNDS_NS: [u64; BOUNDS.len()] = [
    25_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    15_000_000_000,
];

/// Durations that were counted. To count one takes two additions and no lock.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_ns: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub fn record(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_NS.partition_point(|bound| *bound < ns);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// What was counted so far.
    #[must_use]
    pub fn get(&self) -> Durations {
        let buckets = self.buckets.iter().map(|b| b.load(Ordering::Relaxed));
        Durations {
            buckets: buckets.collect(),
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
        }
    }
}

/// What a histogram had counted at some time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Durations {
    /// How many were in each bucket, that is, up to each of the [`BOUNDS`] and above the one before;
    /// the last are those above all. Empty if nothing was ever counted.
    pub buckets: Vec<u64>,
    /// All of them together, in nanoseconds.
    pub sum_ns: u64,
}

impl Durations {
    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// All of them together, in seconds.
    #[must_use]
    pub fn sum_seconds(&self) -> f64 {
        Duration::from_nanos(self.sum_ns).as_secs_f64()
    }

    /// With those of another node.
    pub fn add(&mut self, other: &Self) {
        let len = self.buckets.len().max(other.buckets.len());
        self.buckets.resize(len, 0);
        for (bucket, more) in self.buckets.iter_mut().zip(&other.buckets) {
            *bucket += more;
        }
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// Those since an earlier time of the same node; all of them if it has started anew.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = self.buckets.iter().enumerate();
        let buckets: Option<Vec<u64>> = pairs
            .map(|(index, now)| now.checked_sub(earlier.buckets.get(index).copied().unwrap_or(0)))
            .collect();
        match (buckets, self.sum_ns.checked_sub(earlier.sum_ns)) {
            (Some(buckets), Some(sum_ns)) => Self { buckets, sum_ns },
            _ => self.clone(),
        }
    }

    /// About how long the part `q` of them took at most (0.99: all but one in a hundred), in seconds,
    /// taken as evenly spread within their bucket, as Prometheus does; `None` without any.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = q.clamp(0.0, 1.0) * self.count() as f64;
        let mut below = 0.0;
        let mut lower = 0.0;
        for (index, count) in self.buckets.iter().enumerate() {
            let count = *count as f64;
            // What is above all bounds is at least the last.
            let upper = BOUNDS.get(index).copied().unwrap_or(lower);
            if count > 0.0 && below + count >= rank {
                return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
            }
            below += count;
            lower = upper;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(durations: &[u64]) -> Durations {
        let histogram = Histogram::default();
        for ns in durations {
            histogram.record(Duration::from_nanos(*ns));
        }
        histogram.get()
    }

    #[test]
    fn bounds_in_seconds_and_in_nanoseconds_are_the_same() {
        for (seconds, ns) in BOUNDS.iter().zip(BOUNDS_NS) {
            assert_eq!(Duration::from_secs_f64(*seconds), Duration::from_nanos(ns));
        }
        assert!(BOUNDS_NS.is_sorted());
    }

    #[test]
    fn a_duration_counts_up_to_its_bound_and_not_above() {
        let durations = of(&[25_000, 25_001, u64::MAX / 2]);
        let mut expected = [0; BOUNDS.len() + 1];
        (expected[0], expected[1], expected[BOUNDS.len()]) = (1, 1, 1);
        assert_eq!(durations.buckets, expected);
        assert_eq!(durations.sum_ns, 50_001 + u64::MAX / 2);
        assert_eq!(durations.count(), 3);
    }

    #[test]
    fn a_quantile_lies_in_the_bucket_of_its_duration() {
        assert_eq!(of(&[]).quantile(0.5), None);
        assert_eq!(Durations::default().quantile(0.5), None);
        let mut durations = vec![2_000_000; 98];
        durations.extend([400_000_000, 60_000_000_000]);
        let durations = of(&durations);
        let within = |q, from, to| {
            let quantile = durations.quantile(q).unwrap();
            assert!((from..=to).contains(&quantile), "{q}: {quantile}");
        };
        within(0.0, 0.001, 0.0025);
        within(0.5, 0.001, 0.0025);
        within(0.99, 0.25, 0.5);
        within(1.0, 15.0, 15.0);
    }

    #[test]
    fn a_node_that_has_started_anew_counts_from_nothing() {
        let (before, after) = (of(&[5, 5, 5]), of(&[5]));
        assert_eq!(after.since(&before), after);
    }

    proptest! {
        #[test]
        fn what_came_since_and_what_was_before_are_all(
            before in prop::collection::vec(0..100_000_000_000_u64, 0..50),
            after in prop::collection::vec(0..100_000_000_000_u64, 0..50),
        ) {
            let mut sum = of(&before);
            sum.add(&of(&after));
            let all = of(&[before.clone(), after.clone()].concat());
            prop_assert_eq!(&sum, &all);
            prop_assert_eq!(all.count(), (before.len() + after.len()) as u64);
            prop_assert_eq!(all.since(&of(&before)), of(&after));
        }
    }
}
