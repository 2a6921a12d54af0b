//! Everything that is kept by key, for one part of the keys: who is where, the streams, and what is
//! under way to them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::backend::Pending;
use super::peer_link::ReplyQueue;
use super::rooms::LocalRooms;
use super::session::Session;
use super::spans::OpenSpan;
use super::webhooks::Watched;
use crate::core::directory::Directory;
use crate::core::lane::{Lanes, Ticket};
use crate::core::map::{Map, Set};
use crate::core::peer::Envelope;
use crate::core::roster::Rosters;
use crate::core::stream::{Holder, Streams};
use crate::core::watch::{Watchers, Watches};
use crate::id::StreamKey;

/// What a node takes to register its members of a room anew, after it was told to or has opened a
/// connection. A guess: many ticks.
const REGISTER_TIME: Duration = Duration::from_secs(1);

/// One shard, under its lock.
pub(super) type Locked = Mutex<Shard>;

/// One shard of the keys.
#[derive(Debug)]
pub(super) struct Shard {
    /// Who takes from the streams, here and elsewhere.
    pub directory: Directory<Subscriber>,
    /// Inboxes and rooms.
    pub streams: Streams<Waiter>,
    /// What sessions of this node, and backends at it, have sent to them.
    pub lanes: Lanes<Sender>,
    /// Sessions of this node in rooms.
    pub rooms: LocalRooms,
    /// Who is in the rooms that this node holds.
    pub rosters: Rosters,
    /// What sessions of this node want to hear of the presence of others.
    pub watches: Watches<Arc<Session>>,
    /// The nodes that want to hear of what this one owns.
    pub watchers: Watchers,
    /// Streams with a guest that something could not be sent to, and rooms that have lost one.
    pub hungry: Set<StreamKey>,
    /// Rooms whose nodes with members are about to register anew, and until when that is waited for:
    /// what they have not got is no history before.
    pub awaited: Map<StreamKey, Duration>,
    /// What has to be done once the lock is free: notices to users of other shards.
    pub notices: Vec<Envelope>,
}

/// Who takes from a stream at this node.
#[derive(Debug, Clone)]
pub(super) enum Subscriber {
    /// A session, from its user's inbox.
    Session(Arc<Session>),
    /// All members of a room together.
    Members,
}

impl Subscriber {
    /// The session, unless it is a room's members.
    pub fn session(&self) -> Option<&Arc<Session>> {
        match self {
            Self::Session(session) => Some(session),
            Self::Members => None,
        }
    }
}

/// Who waits for what becomes of a message.
#[derive(Debug)]
pub enum Waiter {
    /// A sender at this node, by its lane.
    Lane(Ticket),
    /// Another node.
    Peer {
        /// The way back.
        replies: Arc<ReplyQueue>,
        /// The request's number there.
        seq: u64,
    },
    /// One of them, and the webhooks.
    Watched(Box<Watched>),
    /// One of them, and the trace.
    Traced(Box<Self>, Box<OpenSpan>),
}

/// Who gets the receipt of a message that is kept.
#[derive(Debug)]
pub(super) enum Sender {
    /// A client of this node.
    Session(Arc<Session>),
    /// A backend, for this one message.
    Backend(Box<Pending>),
    /// One of them, and the trace.
    Traced(Box<Self>, Box<OpenSpan>),
}

impl Sender {
    /// Whether nobody wants the receipt, and the message is sent again from elsewhere. A backend that
    /// has hung up may have hoped for the best.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Session(session) => session.is_gone(),
            Self::Backend(_) => false,
            Self::Traced(sender, _) => sender.is_gone(),
        }
    }
}

impl Shard {
    pub fn new(me: Holder) -> Self {
        Self {
            directory: Directory::default(),
            streams: Streams::new(me),
            lanes: Lanes::default(),
            rooms: LocalRooms::default(),
            rosters: Rosters::default(),
            watches: Watches::default(),
            watchers: Watchers::default(),
            hungry: Set::default(),
            awaited: Map::default(),
            notices: Vec::new(),
        }
    }

    /// A room has lost a guest, whose node may register it anew at once.
    pub fn await_members(&mut self, now: Duration, room: StreamKey) {
        self.hungry.insert(room.clone());
        self.awaited.insert(room, now + REGISTER_TIME);
    }
}
