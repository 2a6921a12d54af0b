//! What a node has done so far, as numbers that can be added up over the nodes of a cluster.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Dispatch;
use super::histogram::{Durations, Histogram};
use crate::core::protocol::Qos;

/// How long messages took. Each duration begins and ends at the same node, so no two clocks are
/// compared.
#[derive(Debug, Default)]
pub struct Timings {
    local: Histogram,
    hop: Histogram,
    guest: Histogram,
    /// Receipts with qos 0 and with qos 1.
    receipts: [Histogram; 2],
    pub(super) replication: Histogram,
}

/// The way that a message has taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// From its sender here to sessions here: from when it was taken until it stood in their queues.
    /// A message that is kept for a user who is away counts when it is kept.
    Local,
    /// From its sender here to an owner elsewhere: from when it was taken until the owner had said
    /// that it stands in its sessions' queues, or is kept. The way back of that word is a part of it.
    Hop,
    /// From the owner here to a guest elsewhere: from when the owner had sent it until the guest's
    /// node had said that it stands in the guest's queue. Kept messages count once a batch.
    Guest,
}

impl Timings {
    /// A message was delivered.
    pub(super) fn delivered(&self, path: Path, took: Duration) {
        self.of(path).record(took);
    }

    /// A sender was told what became of its message, be it good or bad. What is refused before it is
    /// sent (for its rate, its rights or its id) does not count, nor do messages to everyone.
    pub(super) fn receipt(&self, qos: Qos, took: Duration) {
        self.receipts[usize::from(qos == Qos::AtLeastOnce)].record(took);
    }

    fn of(&self, path: Path) -> &Histogram {
        match path {
            Path::Local => &self.local,
            Path::Hop => &self.hop,
            Path::Guest => &self.guest,
        }
    }
}

/// What a node has done since its start, and has now. All numbers of several nodes can be added up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Sessions of the node.
    pub sessions: u64,
    /// Sessions elsewhere of users that the node owns.
    pub guests: u64,
    /// Messages taken from clients and backends.
    pub messages_in: u64,
    /// Messages handed to sessions.
    pub messages_out: u64,
    /// Messages sent to another node.
    pub forwarded: u64,
    /// Bytes of the bodies of messages taken.
    pub bytes_in: u64,
    /// Bytes of the bodies of messages handed to sessions, once for each.
    pub bytes_out: u64,
    /// Bytes of the bodies of messages sent to another node.
    pub bytes_forwarded: u64,
    /// Messages to be kept that were accepted.
    pub accepted: u64,
    /// Messages whose user had no session.
    pub offline: u64,
    /// Messages without a way to the user's node.
    pub unreachable: u64,
    /// Messages whose outcome is not known.
    pub unknown: u64,
    /// Sessions closed because they read too slowly.
    pub slow_readers: u64,
    /// Deliveries by [`Path`].
    pub delivery: Deliveries,
    /// From taking a message that is not kept (qos 0) to its receipt.
    pub receipt_qos0: Durations,
    /// From taking a message that is kept (qos 1) to its receipt.
    pub receipt_qos1: Durations,
    /// From sending a copy of messages to a holder to its acknowledgement.
    pub replication: Durations,
}

/// Deliveries by [`Path`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// [`Path::Local`].
    pub local: Durations,
    /// [`Path::Hop`].
    pub hop: Durations,
    /// [`Path::Guest`].
    pub guest: Durations,
}

impl Deliveries {
    /// On all paths together.
    #[must_use]
    pub fn all(&self) -> Durations {
        let mut all = self.local.clone();
        all.add(&self.hop);
        all.add(&self.guest);
        all
    }
}

impl Stats {
    /// With those of another node.
    pub fn add(&mut self, other: &Self) {
        for (number, more) in self
            .numbers_mut()
            .into_iter()
            .zip(other.clone().numbers_mut())
        {
            *number = number.saturating_add(*more);
        }
        for (durations, more) in self
            .durations_mut()
            .into_iter()
            .zip(other.clone().durations_mut())
        {
            durations.add(more);
        }
    }

    fn numbers_mut(&mut self) -> [&mut u64; 13] {
        [
            &mut self.sessions,
            &mut self.guests,
            &mut self.messages_in,
            &mut self.messages_out,
            &mut self.forwarded,
            &mut self.bytes_in,
            &mut self.bytes_out,
            &mut self.bytes_forwarded,
            &mut self.accepted,
            &mut self.offline,
            &mut self.unreachable,
            &mut self.unknown,
            &mut self.slow_readers,
        ]
    }

    fn durations_mut(&mut self) -> [&mut Durations; 6] {
        [
            &mut self.delivery.local,
            &mut self.delivery.hop,
            &mut self.delivery.guest,
            &mut self.receipt_qos0,
            &mut self.receipt_qos1,
            &mut self.replication,
        ]
    }
}

impl Dispatch {
    /// What this node has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (sessions, guests) = self.counts();
        let (counters, timings) = (&self.counters, &self.timings);
        let [qos0, qos1] = &timings.receipts;
        Stats {
            sessions: sessions as u64,
            guests: guests as u64,
            messages_in: counters.messages_in.get() + counters.messages_of_backends.get(),
            messages_out: counters.messages_out.get(),
            forwarded: counters.forwarded.get(),
            bytes_in: counters.received_bytes.get(),
            bytes_out: counters.delivered_bytes.get(),
            bytes_forwarded: counters.forwarded_bytes.get(),
            accepted: counters.accepted.get(),
            offline: counters.offline.get(),
            unreachable: counters.unreachable.get(),
            unknown: counters.unknown.get(),
            slow_readers: counters.slow_readers.get(),
            delivery: Deliveries {
                local: timings.local.get(),
                hop: timings.hop.get(),
                guest: timings.guest.get(),
            },
            receipt_qos0: qos0.get(),
            receipt_qos1: qos1.get(),
            replication: timings.replication.get(),
        }
    }

    /// Keys, secrets and certificates in use that are older than their files, which cannot be used.
    #[must_use]
    pub fn stale_keys(&self) -> u64 {
        self.stale_keys.load(Ordering::Relaxed)
    }

    /// One of them has become stale, or is fresh again.
    pub fn count_stale_keys(&self, was_stale: bool, is_stale: bool) {
        match (was_stale, is_stale) {
            (false, true) => self.stale_keys.fetch_add(1, Ordering::Relaxed),
            (true, false) => self.stale_keys.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => 0,
        };
    }

    /// How long it is since then.
    pub(super) fn since(&self, then: Instant) -> Duration {
        self.clock.now().saturating_duration_since(then)
    }

    /// The sender of a message that is not kept is told that it has gone that way, or that it failed.
    pub(super) fn unkept_settled(&self, taken: Instant, delivered: Option<Path>) {
        let took = self.since(taken);
        self.timings.receipt(Qos::AtMostOnce, took);
        if let Some(path) = delivered {
            self.timings.delivered(path, took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_numbers_of_two_nodes_are_added_up() {
        let numbered = |from: u64| {
            let mut stats = Stats::default();
            for (number, value) in stats.numbers_mut().into_iter().zip(from..) {
                *number = value;
            }
            for (durations, value) in stats.durations_mut().into_iter().zip(from..) {
                durations.buckets = vec![value];
                durations.sum_ns = value;
            }
            stats
        };
        let mut sum = numbered(1);
        sum.add(&numbered(1));
        for (twice, once) in sum.numbers_mut().into_iter().zip(numbered(1).numbers_mut()) {
            assert_eq!(*twice, 2 * *once);
        }
        // What is not in the two lists would still be zero.
        let json = serde_json::to_value(&sum).unwrap();
        let values = |json: &serde_json::Value| json.to_string().matches(":0").count();
        assert_eq!(values(&json), 0, "{json}");
    }
}
