//! The numbers of one node that are worth watching, small enough to be asked for once a second.

use serde::Serialize;

/// Buckets of a histogram of durations, the one for what is longer than all bounds included.
pub const BUCKETS: usize = 18;

/// Counters, which start from zero with the node, and what is there now.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct NodeStats {
    /// Since the node has started, in milliseconds: counters of two moments and this make a rate.
    pub uptime_ms: u64,
    /// Sessions on it.
    pub sessions: u64,
    /// Sessions elsewhere of users that it owns.
    pub guests: u64,
    /// Streams of which it has a copy.
    pub streams_held: u64,
    /// Those of them that it owns.
    pub streams_owned: u64,
    /// Bytes of kept messages, copies included.
    pub inbox_bytes: u64,
    /// Messages taken from clients and backends.
    pub messages_in: u64,
    /// Messages handed to sessions.
    pub messages_out: u64,
    /// Messages sent on to their owner elsewhere; not copies, nor batches for guests and members of rooms.
    pub messages_forwarded: u64,
    /// Messages that all holders have.
    pub messages_accepted: u64,
    /// Bytes of the bodies of messages taken.
    pub bytes_in: u64,
    /// Bytes of the bodies of messages handed to sessions.
    pub bytes_out: u64,
    /// Bytes of the bodies of those sent on.
    pub bytes_forwarded: u64,
    /// Requests that wait for a peer.
    pub link_waiting: u64,
    /// Requests sent to a peer and not answered.
    pub link_unanswered: u64,
    /// Kept messages without an outcome.
    pub lanes_waiting: u64,
    /// Webhook events that the receiver does not have yet.
    pub webhooks_queued: u64,
    /// How many deliveries took how long: one number for each bucket, which do not add up.
    pub delivery_buckets: Vec<u64>,
    /// The same of receipts of messages that are kept.
    pub receipt_buckets: Vec<u64>,
    /// The same of copies of messages, until they are acknowledged.
    pub replication_buckets: Vec<u64>,
}
