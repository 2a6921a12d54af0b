//! What the streams are told, what they want done, and their settings.

use std::time::Duration;

use super::configuration::{ConfigId, Holder};
use super::log::LogLimits;
use super::position::Position;
use super::replay::Resumed;
use super::snapshot::SnapshotEntry;
use crate::core::consent::Consents;
use crate::core::peer::{Answer, Outcome, Request};
use crate::core::view::{Member, View};
use crate::id::{NodeId, StreamKey, UserId};

/// Settings of the streams of one shard.
#[derive(Debug, Clone, Copy)]
pub struct StreamConfig {
    /// Nodes that hold a stream, its owner included.
    pub replicas: usize,
    /// Fewer holders than this refuse to append, and of what they have nobody hears that it is accepted.
    pub min_copies: usize,
    /// Bounds of an inbox.
    pub inboxes: LogLimits,
    /// Bounds of a room. What is not acked there is on its way to a node with members.
    pub rooms: LogLimits,
    /// Bytes of all logs of the shard; past it nothing is appended.
    pub shard_bytes_max: usize,
}

impl StreamConfig {
    /// The bounds of one log.
    #[must_use]
    pub fn limits(&self, key: &StreamKey) -> &LogLimits {
        match key {
            StreamKey::Inbox(_) => &self.inboxes,
            StreamKey::Room(_) => &self.rooms,
        }
    }
}

/// What the rest of the node knows at this moment.
pub struct Context<'a> {
    /// The time of this node.
    pub now: Duration,
    /// The members and the ring.
    pub view: &'a View,
    /// Tells this view from the others of this node: it grows with each, from 1.
    pub number: u64,
    /// What the others have agreed to.
    pub consents: &'a Consents,
    /// The settings.
    pub config: &'a StreamConfig,
    /// What the queue to a node takes.
    pub room: &'a dyn Fn(&NodeId) -> Room,
}

/// Whether more than the most urgent may be queued for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is no connection.
    Unconnected,
    /// Much waits already.
    Full,
    /// It may.
    Free,
}

impl Context<'_> {
    /// The node that should own a key; `None` on an empty ring, where everybody serves whoever comes.
    pub fn first(&self, key: &StreamKey) -> Option<&Member> {
        self.view.owner(key.as_str())
    }

    /// Whether more than the most urgent may be queued for a node.
    #[must_use]
    pub fn has_room(&self, node: &NodeId) -> bool {
        (self.room)(node) == Room::Free
    }

    /// Whether this node should own the key.
    #[must_use]
    pub fn is_mine(&self, key: &StreamKey) -> bool {
        self.first(key).is_none_or(|owner| owner.id == self.view.me)
    }

    /// Whether this node should own the key, and nobody else serves it.
    #[must_use]
    pub fn may_serve(&self, key: &StreamKey) -> bool {
        self.is_mine(key) && {
            let hash = self.view.ring.hash(key.as_str().as_bytes());
            self.consents.given(hash)
        }
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Output<T> {
    /// Ask another node; its answer comes back with `about`.
    Ask {
        /// Whom.
        to: NodeId,
        /// What.
        request: Request,
        /// Comes back with the answer.
        about: About,
    },
    /// Tell whoever sent a message what became of it.
    Answer {
        /// Who.
        to: T,
        /// What became of it.
        outcome: Outcome,
        /// What goes with that.
        answer: Answer,
    },
    /// There is more to show to the sessions of this key.
    Committed(StreamKey),
    /// This node serves this key from now on, or serves it from another log than before: sessions
    /// subscribe anew.
    Serving(StreamKey),
    /// A message whose sender wanted to hear of it was acked by the user of `by`.
    Acked {
        /// Its sender.
        sender: UserId,
        /// The sender's id for it.
        id: Box<str>,
        /// Its stream.
        by: StreamKey,
    },
    /// Entries that nobody acked grew too old.
    Expired(usize),
    /// A holder was passed over because it does not acknowledge.
    Slow(NodeId),
}

/// What a question to another node was about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// An operation, or an installation that ended with it.
    Copy {
        /// The stream.
        key: StreamKey,
        /// The configuration's number.
        number: u64,
        /// The operation's number.
        seq: u64,
    },
    /// A copy of that node's.
    Pull {
        /// The stream.
        key: StreamKey,
        /// Whose.
        from: Holder,
    },
    /// Whether copies may go.
    Offer(Vec<(StreamKey, ConfigId, u64)>),
}

/// Where a session starts, as its owner says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subscription {
    /// Another node owns the stream.
    NotOwner,
    /// Not yet.
    Busy,
    /// Here.
    From(Box<Resumed>),
}

/// Some of what stands behind a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct History {
    /// What the position means in this log.
    pub position: Position,
    /// Whether everything behind it is there.
    pub recovered: bool,
    /// In their order, of the epoch of [`Self::upto`].
    pub entries: Vec<SnapshotEntry>,
    /// Nothing before that is missing now.
    pub upto: Position,
}
