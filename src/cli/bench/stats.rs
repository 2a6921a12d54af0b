//! Counters and histograms of a load test.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::timeline::micros;

/// Longest latency that is told apart from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(600);
/// Digits of a latency that are kept: an error of at most 0.1 %.
const DIGITS: u8 = 3;

/// Latencies in microseconds.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Latencies {
    pub fn record(&mut self, us: u64) {
        self.0.saturating_record(us.max(1));
    }

    pub fn merge(&mut self, other: &Self) {
        self.0
            .add(&other.0)
            .expect("all histograms have the same bounds");
    }

    pub fn percentiles(&self) -> Percentiles {
        Percentiles {
            count: self.0.len(),
            p50: self.0.value_at_quantile(0.5),
            p90: self.0.value_at_quantile(0.9),
            p99: self.0.value_at_quantile(0.99),
            p99_9: self.0.value_at_quantile(0.999),
            max: self.0.max(),
        }
    }
}

impl Default for Latencies {
    fn default() -> Self {
        let bounds = Histogram::new_with_bounds(1, micros(LATENCY_MAX), DIGITS);
        Self(bounds.expect("the bounds are good"))
    }
}

/// What is reported of latencies, in microseconds; all 0 when there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Percentiles {
    pub count: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
    pub max: u64,
}

/// How often something happened: in all, and while it was measured.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    pub total: u64,
    pub measured: u64,
}

impl Count {
    pub fn add(&mut self, measured: bool) {
        self.total += 1;
        self.measured += u64::from(measured);
    }
}

/// What the sessions of one shard count. Merged for a report.
#[derive(Debug, Default, Clone)]
pub struct Stats {
    pub sent: Count,
    /// Receipts `accepted` or `sent`.
    pub accepted: Count,
    /// First deliveries.
    pub delivered: Count,
    /// Deliveries that are to be waited for: of what was accepted, and of what may have been.
    pub expected: u64,
    /// Receivers that are in their room.
    pub joined: u64,
    /// Sends that failed, by error code.
    pub failures: BTreeMap<String, u64>,
    /// Messages of other load tests.
    pub foreign: u64,
    /// Connections that could be opened again.
    pub reconnects: u64,
    /// Redirects during handshakes.
    pub handshake_redirects: u64,
    /// Redirects of open sessions.
    pub moves: u64,
    /// Connections that ended or could not be opened, by cause, and errors that concern no send.
    pub connection_failures: BTreeMap<String, u64>,
    /// From a send to its receipt.
    pub receipt: Latencies,
    /// From a send to its delivery.
    pub delivery: Latencies,
    /// From when a message was to be sent to when it was.
    pub lag: Latencies,
}

impl Stats {
    pub fn fail(&mut self, code: &str) {
        count(&mut self.failures, code);
    }

    pub fn connection_failed(&mut self, code: &str) {
        count(&mut self.connection_failures, code);
    }

    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    fn merge(&mut self, other: &Self) {
        for (mine, others) in [
            (&mut self.sent, &other.sent),
            (&mut self.accepted, &other.accepted),
            (&mut self.delivered, &other.delivered),
        ] {
            mine.total += others.total;
            mine.measured += others.measured;
        }
        for (mine, others) in [
            (&mut self.failures, &other.failures),
            (&mut self.connection_failures, &other.connection_failures),
        ] {
            for (code, number) in others {
                *mine.entry(code.clone()).or_default() += number;
            }
        }
        self.expected += other.expected;
        self.joined += other.joined;
        self.foreign += other.foreign;
        self.reconnects += other.reconnects;
        self.handshake_redirects += other.handshake_redirects;
        self.moves += other.moves;
        self.receipt.merge(&other.receipt);
        self.delivery.merge(&other.delivery);
        self.lag.merge(&other.lag);
    }
}

/// Counts one more of a code.
pub fn count(codes: &mut BTreeMap<String, u64>, code: &str) {
    match codes.get_mut(code) {
        Some(number) => *number += 1,
        None => {
            codes.insert(code.to_owned(), 1);
        }
    }
}

/// Statistics in as many parts as there are processors, so that sessions seldom wait for each
/// other.
#[derive(Debug)]
pub struct Shards(Vec<Mutex<Stats>>);

impl Shards {
    pub fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self((0..processors).map(|_| Mutex::default()).collect())
    }

    /// The part of a session.
    pub fn of(&self, session: usize) -> MutexGuard<'_, Stats> {
        lock(&self.0[session % self.0.len()])
    }

    /// All parts together.
    pub fn merged(&self) -> Stats {
        let mut all = Stats::default();
        for part in &self.0 {
            all.merge(&lock(part));
        }
        all
    }

    /// What there was so far.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for part in &self.0 {
            let part = lock(part);
            totals.sent += part.sent.total;
            totals.accepted += part.accepted.total;
            totals.delivered += part.delivered.total;
            totals.expected += part.expected;
            totals.joined += part.joined;
            totals.failed += part.failed();
            totals.unsupported += part.failures.get("unsupported").copied().unwrap_or(0);
        }
        totals
    }
}

/// See [`Shards::totals`].
#[derive(Debug, Default, Clone, Copy)]
pub struct Totals {
    pub sent: u64,
    pub accepted: u64,
    pub delivered: u64,
    pub expected: u64,
    pub joined: u64,
    pub failed: u64,
    /// Of the failed ones, those with this code.
    pub unsupported: u64,
}

/// A panic elsewhere leaves counters behind that are as good as they were.
fn lock(part: &Mutex<Stats>) -> MutexGuard<'_, Stats> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentiles().max, 0);
        for us in 1..=1000 {
            latencies.record(us);
        }
        let Percentiles {
            count,
            p50,
            p90,
            p99,
            p99_9,
            max,
        } = latencies.percentiles();
        assert_eq!(
            [count, p50, p90, p99, p99_9, max],
            [1000, 500, 900, 990, 999, 1000]
        );
        latencies.record(u64::MAX);
        assert!(latencies.percentiles().max >= 600_000_000);
    }

    #[test]
    fn merged_statistics_are_the_sum_of_the_parts() {
        let shards = Shards::new();
        for session in 0..10 {
            let mut stats = shards.of(session);
            stats.sent.add(session % 2 == 0);
            stats.fail("offline");
            stats.receipt.record(5);
        }
        let all = shards.merged();
        let expected = Count {
            total: 10,
            measured: 5,
        };
        assert_eq!(all.sent, expected);
        assert_eq!(all.failures, BTreeMap::from([("offline".to_owned(), 10)]));
        assert_eq!(all.receipt.percentiles().count, 10);
        let totals = shards.totals();
        assert_eq!((totals.sent, totals.failed), (10, 10));
    }
}
