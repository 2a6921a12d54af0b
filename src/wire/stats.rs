//! The numbers and moments of a node, to and from their wire form.

use super::check::{at_most, generation};
use super::{WireError, proto};
use crate::core::stats::{BUCKETS, NodeStats};
use crate::core::timeline::{HandOver, Happened, MOMENTS_MAX, Moment};
use crate::id::{Generation, NodeId};

/// The largest number that stays exact in JSON and JavaScript.
const EXACT_MAX: u64 = (1 << 53) - 1;

macro_rules! alike {
    ($($name:ident),* $(,)?) => {
        impl From<NodeStats> for proto::Stats {
            fn from(stats: NodeStats) -> Self {
                Self {
                    $($name: stats.$name,)*
                    delivery_buckets: stats.delivery_buckets,
                    receipt_buckets: stats.receipt_buckets,
                    replication_buckets: stats.replication_buckets,
                }
            }
        }

        impl From<proto::Stats> for NodeStats {
            fn from(stats: proto::Stats) -> Self {
                Self {
                    $($name: stats.$name.min(EXACT_MAX),)*
                    delivery_buckets: buckets(stats.delivery_buckets),
                    receipt_buckets: buckets(stats.receipt_buckets),
                    replication_buckets: buckets(stats.replication_buckets),
                }
            }
        }
    };
}

alike! {
    uptime_ms,
    sessions,
    guests,
    streams_held,
    streams_owned,
    inbox_bytes,
    messages_in,
    messages_out,
    messages_forwarded,
    messages_accepted,
    bytes_in,
    bytes_out,
    bytes_forwarded,
    link_waiting,
    link_unanswered,
    lanes_waiting,
    webhooks_queued,
}

/// Those that mean the same here; none of a node with others.
fn buckets(counts: Vec<u64>) -> Vec<u64> {
    if counts.len() != BUCKETS {
        return Vec::new();
    }
    counts
        .into_iter()
        .map(|count| count.min(EXACT_MAX))
        .collect()
}

/// What a node answers to somebody who watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its start.
    pub generation: Generation,
    /// Its numbers.
    pub stats: NodeStats,
    /// What happened to its streams.
    pub moments: Vec<Moment>,
}

impl From<Told> for proto::StatsReply {
    fn from(told: Told) -> Self {
        Self {
            generation: told.generation.0,
            stats: Some(told.stats.into()),
            moments: told.moments.iter().filter_map(moment_to_wire).collect(),
        }
    }
}

impl Told {
    /// What this node has answered.
    ///
    /// # Errors
    /// A generation that cannot be, or more moments than a node keeps.
    pub fn from_wire(node: &NodeId, reply: proto::StatsReply) -> Result<Self, WireError> {
        let moments = at_most(MOMENTS_MAX, reply.moments)?.into_iter();
        Ok(Self {
            generation: generation(reply.generation)?,
            stats: reply.stats.unwrap_or_default().into(),
            // What this node does not understand is of a newer one.
            moments: moments.filter_map(|it| moment(node, it)).collect(),
        })
    }
}

/// `None` of what all nodes see, and nobody has to be told.
fn moment_to_wire(moment: &Moment) -> Option<proto::Moment> {
    use proto::moment::What;
    let what = match &moment.what {
        Happened::HandOverBegun(streams) => What::HandOverBegun(*streams),
        Happened::HandOverFinished(done) => What::HandOverFinished(proto::HandOverFinished {
            streams: done.streams,
            taken_over: done.taken_over,
            took_ms: done.took_ms,
        }),
        Happened::Up(..)
        | Happened::Suspect(_)
        | Happened::Refuted(_)
        | Happened::Draining(_)
        | Happened::Down(_)
        | Happened::Ring(..) => return None,
    };
    Some(proto::Moment {
        number: moment.number,
        at_ms: moment.at_ms,
        what: Some(what),
    })
}

fn moment(node: &NodeId, moment: proto::Moment) -> Option<Moment> {
    use proto::moment::What;
    let exact = |number: u64| number.min(EXACT_MAX);
    let what = match moment.what? {
        What::HandOverBegun(streams) => Happened::HandOverBegun(exact(streams)),
        What::HandOverFinished(done) => Happened::HandOverFinished(HandOver {
            streams: exact(done.streams),
            taken_over: exact(done.taken_over),
            took_ms: exact(done.took_ms),
        }),
    };
    Some(Moment {
        number: moment.number,
        at_ms: exact(moment.at_ms),
        node: node.clone(),
        what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_back_but_for_what_all_nodes_see() {
        let node = NodeId::new("n2").unwrap();
        let at = |number, what| Moment {
            number,
            at_ms: 1_732_350_000_123,
            node: node.clone(),
            what,
        };
        let done = HandOver {
            streams: 3,
            taken_over: 2,
            took_ms: 400,
        };
        let streams = [
            at(4, Happened::HandOverBegun(3)),
            at(6, Happened::HandOverFinished(done)),
        ];
        let told = Told {
            generation: Generation(9),
            stats: NodeStats {
                uptime_ms: 5,
                webhooks_queued: 7,
                delivery_buckets: (0..BUCKETS as u64).collect(),
                ..NodeStats::default()
            },
            moments: streams.to_vec(),
        };
        let more = at(5, Happened::Down(node.clone()));
        let wire = Told {
            moments: vec![streams[0].clone(), more, streams[1].clone()],
            ..told.clone()
        };
        assert_eq!(Told::from_wire(&node, wire.into()), Ok(told));
    }

    #[test]
    fn numbers_past_what_is_exact_are_cut_and_too_many_moments_refused() {
        let node = NodeId::new("n2").unwrap();
        let stats = proto::Stats {
            sessions: u64::MAX,
            receipt_buckets: vec![1; BUCKETS + 1],
            replication_buckets: vec![1; BUCKETS - 1],
            ..Default::default()
        };
        let reply = |moments| proto::StatsReply {
            generation: 1,
            stats: Some(stats.clone()),
            moments: vec![proto::Moment::default(); moments],
        };
        let told = Told::from_wire(&node, reply(MOMENTS_MAX)).unwrap();
        assert_eq!(told.stats.sessions, EXACT_MAX);
        assert!(told.stats.receipt_buckets.is_empty());
        assert!(told.stats.replication_buckets.is_empty());
        assert!(told.moments.is_empty(), "they say nothing that is known");
        assert!(Told::from_wire(&node, reply(MOMENTS_MAX + 1)).is_err());
    }
}
