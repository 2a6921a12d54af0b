//! What is watched of the cluster: this node's numbers, what the other nodes told of theirs, and what
//! happened lately.
//!
//! Nobody is asked for anything while nobody looks: whoever does says so again and again, and the
//! shell towards peers asks them once a second for as long as that is not too long ago.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Dispatch, Topology, locked};
use crate::core::stats::NodeStats;
use crate::core::timeline::{Moment, Timeline};
use crate::id::{Generation, NodeId};

/// How long somebody counts as watching who has looked.
const WATCHED_FOR: Duration = Duration::from_secs(3);
/// Numbers that are older than this are stale: two rounds were missed.
const STALE_AFTER: Duration = Duration::from_millis(2500);
/// What the first round after a pause may take.
const FIRST_ROUND: Duration = Duration::from_secs(1);

/// What a node has told of itself.
#[derive(Debug, Clone)]
pub struct Heard {
    generation: Generation,
    at: Instant,
    /// Its numbers then.
    pub stats: NodeStats,
}

/// See the module's description.
#[derive(Debug)]
pub struct Overview {
    timeline: Mutex<Timeline>,
    heard: Mutex<BTreeMap<NodeId, Heard>>,
    /// Until when somebody watches.
    watched_until: watch::Sender<Instant>,
    /// Rounds of questions so far.
    rounds: watch::Sender<u64>,
}

impl Overview {
    pub(super) fn new(me: NodeId, now: Instant) -> Self {
        Self {
            timeline: Timeline::new(me).into(),
            heard: Mutex::default(),
            watched_until: watch::Sender::new(now),
            rounds: watch::Sender::new(0),
        }
    }

    /// Changes when a round of questions is over: most have answered by then.
    #[must_use]
    pub fn rounds(&self) -> watch::Receiver<u64> {
        self.rounds.subscribe()
    }

    /// A round is over.
    pub fn round_over(&self) {
        self.rounds.send_modify(|rounds| *rounds += 1);
    }
}

impl Dispatch {
    /// What is watched of the cluster.
    #[must_use]
    pub fn overview(&self) -> &Overview {
        &self.overview
    }

    /// Somebody looks, and is told something that is not too old: waits for the first round if nobody
    /// has looked for a while.
    pub async fn look(&self) {
        let mut rounds = self.overview.rounds();
        if !self.look_again() {
            // Whoever does not answer is stale.
            let _ = tokio::time::timeout(FIRST_ROUND, rounds.changed()).await;
        }
    }

    /// Somebody still looks. Says whether the members are being asked already.
    pub fn look_again(&self) -> bool {
        let until = self.clock.now() + WATCHED_FOR;
        self.overview.watched_until.send_replace(until) > self.clock.now()
    }

    /// Whether somebody watches the cluster at this node.
    #[must_use]
    pub fn is_watched(&self) -> bool {
        *self.overview.watched_until.borrow() > self.clock.now()
    }

    /// Waits for somebody who looks.
    pub async fn until_watched(&self) {
        let mut until = self.overview.watched_until.subscribe();
        // The sender lives as long as this.
        let _ = until.wait_for(|until| *until > self.clock.now()).await;
    }

    /// This node's numbers.
    #[must_use]
    pub fn node_stats(&self) -> NodeStats {
        let done = self.stats();
        let (held, owned, bytes) = self.stream_counts();
        let (waiting, unanswered) = self.topology.load().links().fold((0, 0), |sum, link| {
            let depth = link.depth();
            (sum.0 + depth.0, sum.1 + depth.1)
        });
        let uptime = self.clock.now().saturating_duration_since(self.started);
        NodeStats {
            uptime_ms: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            sessions: done.sessions,
            guests: done.guests,
            streams_held: held as u64,
            streams_owned: owned as u64,
            inbox_bytes: bytes as u64,
            messages_in: done.messages_in,
            messages_out: done.messages_out,
            messages_forwarded: done.forwarded,
            messages_accepted: done.accepted,
            bytes_in: done.bytes_in,
            bytes_out: done.bytes_out,
            bytes_forwarded: done.bytes_forwarded,
            link_waiting: waiting as u64,
            link_unanswered: unanswered as u64,
            lanes_waiting: self.unresolved() as u64,
            webhooks_queued: self.webhooks_queued() as u64,
            delivery_buckets: done.delivery.all().buckets,
            receipt_buckets: done.receipt_qos1.buckets,
            replication_buckets: done.replication.buckets,
        }
    }

    /// What a member has told of itself, and whether that is stale; this node tells it now.
    #[must_use]
    pub fn stats_of(&self, node: &NodeId, generation: Generation) -> (Option<NodeStats>, bool) {
        if *node == self.me {
            return (Some(self.node_stats()), false);
        }
        let heard = locked(&self.overview.heard).get(node).cloned();
        match heard.filter(|heard| heard.generation == generation) {
            None => (None, true),
            Some(heard) => {
                let age = self.clock.now().saturating_duration_since(heard.at);
                (Some(heard.stats), age > STALE_AFTER)
            }
        }
    }

    /// A member has told of itself.
    pub fn heard_stats(
        &self,
        (node, generation): (&NodeId, Generation),
        stats: NodeStats,
        moments: Vec<Moment>,
    ) {
        let at = self.clock.now();
        let heard = Heard {
            generation,
            at,
            stats,
        };
        locked(&self.overview.heard).insert(node.clone(), heard);
        locked(&self.overview.timeline).heard(node, generation, moments);
    }

    /// The last of its moments that a member has told.
    #[must_use]
    pub fn moments_heard_of(&self, node: &NodeId, generation: Generation) -> u64 {
        locked(&self.overview.timeline).heard_of(node, generation)
    }

    /// What happened to the streams of this node behind a moment.
    #[must_use]
    pub fn moments_of_streams(&self, after: u64) -> Vec<Moment> {
        locked(&self.overview.timeline).of_streams(after)
    }

    /// What happened in the cluster behind a moment, by time.
    #[must_use]
    pub fn moments(&self, after: u64) -> Vec<Moment> {
        locked(&self.overview.timeline).after(after)
    }

    /// Streams that this node has taken over so far.
    pub(super) fn taken_over(&self) -> u64 {
        let shards = self.shards.iter();
        shards.map(|s| locked(s).streams.taken_over()).sum()
    }

    pub(super) fn note_view(&self, old: &Topology, new: &Topology, before: (Duration, u64)) {
        let views = (&*old.view, &*new.view);
        let (at_ms, (since, taken)) = (self.unix_ms(), before);
        let is_member = |node: &NodeId| new.view.member(node).is_some();
        let mut timeline = locked(&self.overview.timeline);
        timeline.on_view(since, at_ms, views, taken);
        timeline.retain(is_member);
        drop(timeline);
        locked(&self.overview.heard).retain(|node, _| is_member(node));
    }

    /// So many streams wait, one more included while not everybody agrees about the ring.
    pub(super) fn note_waiting(&self, waiting: u64, is_settled: bool) {
        if !locked(&self.overview.timeline).is_moving() {
            return;
        }
        let (now, at_ms, taken) = (self.since_start(), self.unix_ms(), self.taken_over());
        let mut timeline = locked(&self.overview.timeline);
        timeline.on_waiting(now, at_ms, waiting, taken, is_settled);
    }
}
