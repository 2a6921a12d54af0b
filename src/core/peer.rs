//! What nodes say to each other about users: requests and their outcomes.

mod answer;

use bytes::Bytes;

pub use self::answer::{Answer, Outcome, Reply};

use super::ring::Digest;
use super::roster::Standing;
use super::stream::{
    ConfigId, Holder, Message, MessageKey, Position, Resume, Snapshot, SnapshotEntry,
};
use super::trace::TraceContext;
use crate::id::{Generation, NodeId, RoomName, SessionId, StreamKey, UserId};

/// Most node-to-node steps of one envelope. Two are enough while all views agree (to the owner, to
/// the node of a guest); the rest is for views that differ.
pub const HOPS_MAX: u8 = 4;

/// A message that is not kept, on its way to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The recipient.
    pub to: StreamKey,
    /// The sender; of a notice, the user who has the message now.
    pub from: UserId,
    /// The sender's name for it, 1 to 64 bytes.
    pub id: Box<str>,
    /// What it carries.
    pub content: Content,
    /// Milliseconds since the Unix epoch, set by the node that took it from its sender.
    pub ts_ms: u64,
    /// Node-to-node steps so far, at most [`HOPS_MAX`].
    pub hops: u8,
    /// Sent by the owner to a node where the user is a guest: deliver it there and go no further.
    pub to_guests: bool,
    /// The trace that it belongs to; mostly none.
    pub trace: Option<Box<TraceContext>>,
}

/// What an envelope carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A message: JSON text, and so UTF-8, passed on byte for byte.
    Body(Bytes),
    /// The notice that a message with this id was acked.
    Delivered,
}

impl Envelope {
    /// Roughly what it takes in memory and on the wire, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 64;
        let names = self.to.as_str().len() + self.from.as_str().len() + self.id.len();
        FIXED + names + self.body_len()
    }

    /// Whether it is a message of somebody, and not a notice of a delivery.
    #[must_use]
    pub fn is_message(&self) -> bool {
        matches!(self.content, Content::Body(_))
    }

    /// The bytes of the body; a notice has none.
    #[must_use]
    pub fn body_len(&self) -> usize {
        match &self.content {
            Content::Body(body) => body.len(),
            Content::Delivered => 0,
        }
    }
}

/// A message for every session of the cluster, on its way to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broadcast {
    /// The sender.
    pub from: UserId,
    /// The sender's name for it, 1 to 64 bytes.
    pub id: Box<str>,
    /// JSON text, passed on byte for byte.
    pub body: Bytes,
    /// Milliseconds since the Unix epoch, set by the node that took it from its sender.
    pub ts_ms: u64,
}

/// A message for a stream, on its way to the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The recipient.
    pub to: StreamKey,
    /// The message.
    pub message: Message,
    /// The message of the same session before it, if that had no outcome yet: this one is taken
    /// only behind it.
    pub previous: Option<MessageKey>,
    /// The trace that it belongs to; mostly none.
    pub trace: Option<Box<TraceContext>>,
}

/// One change of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// An entry at the end.
    Append(SnapshotEntry),
    /// The user has everything up to there.
    Ack(Position),
}

impl Operation {
    /// Roughly what it takes in memory and on the wire, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 24;
        match self {
            Self::Append(entry) => FIXED + entry.message.size(),
            Self::Ack(_) => FIXED,
        }
    }
}

/// A configuration opens at a holder, with all that is in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// The stream.
    pub key: StreamKey,
    /// Its number; its owner is the caller.
    pub number: u64,
    /// All holders, the owner first.
    pub holders: Vec<Holder>,
    /// The last operation in the snapshot.
    pub seq: u64,
    /// The stream.
    pub snapshot: Snapshot,
}

/// A copy that its holder would give to the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The stream.
    pub key: StreamKey,
    /// The copy's configuration.
    pub config: ConfigId,
    /// Its last operation.
    pub seq: u64,
    /// Its end.
    pub tip: Position,
}

/// A whole copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The copy's configuration.
    pub config: ConfigId,
    /// Its last operation.
    pub seq: u64,
    /// The stream.
    pub snapshot: Snapshot,
}

/// Some of a stream, for one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The guest's stream.
    pub key: StreamKey,
    /// The guest.
    pub session: SessionId,
    /// That of its registration.
    pub nonce: u64,
    /// Where the guest is, as far as the owner knows.
    pub after: Position,
    /// The position behind the last entry; the entries are of its epoch.
    pub position: Position,
    /// In their order; at least one.
    pub entries: Vec<SnapshotEntry>,
}

/// A session of a user, wherever it lives.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserSession {
    /// Where it lives.
    pub node: NodeId,
    /// Its id there.
    pub session: SessionId,
    /// When it began, in milliseconds since the Unix epoch; 0 if that is not known.
    pub since_ms: u64,
}

/// What the owner of a user knows of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UserReport {
    /// All sessions, in the order of their nodes.
    pub sessions: Vec<UserSession>,
    /// Absent where nothing was ever kept.
    pub inbox: Option<InboxReport>,
}

/// How far an inbox is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxReport {
    /// The last message that may be shown.
    pub position: Position,
    /// Everything up to this offset is acked.
    pub acked: u64,
    /// Messages that are kept and not acked.
    pub waiting: u64,
}

/// What one node asks of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Deliver this, or pass it on.
    Envelope(Envelope),
    /// Append this to the stream that you own.
    Append(Append),
    /// Hold this.
    Install(Box<Install>),
    /// Follow the stream that you hold.
    Replicate {
        /// The stream.
        key: StreamKey,
        /// The number of the configuration, whose owner is the caller.
        number: u64,
        /// The first operation's number; the others follow it without a gap.
        seq: u64,
        /// In their order; at least one.
        operations: Vec<Operation>,
    },
    /// Let me serve what my ring gives me, and say what you hold of it.
    Consent {
        /// The start of the caller.
        generation: Generation,
        /// Its ring.
        digest: Digest,
    },
    /// I have these copies, which I need not have: may they go?
    Offer(Vec<Offer>),
    /// Give me your copy.
    Pull {
        /// The stream.
        key: StreamKey,
    },
    /// I have a session of a user whose owner you are.
    Register {
        /// The guest's stream.
        key: StreamKey,
        /// The guest.
        session: SessionId,
        /// Tells this registration from others of the same session: what is delivered names it.
        nonce: u64,
        /// When the guest's session began, in milliseconds since the Unix epoch.
        since_ms: u64,
        /// What it wants to receive; `None` if it takes nothing from streams.
        resume: Option<Resume>,
        /// Nobody has let it in before: it counts against the limit of sessions.
        new: bool,
        /// It is told to come to you, and for so long, in milliseconds, it does not count against that
        /// limit; 0: it does.
        leaving_ms: u64,
    },
    /// That session is gone. Wants no reply.
    Unregister {
        /// The guest's stream.
        key: StreamKey,
        /// The guest.
        session: SessionId,
    },
    /// These are for your guest.
    Deliver(Delivery),
    /// The user, whose owner you are, has everything up to there. Wants no reply.
    Ack {
        /// The user.
        user: UserId,
        /// Behind the last message that it has.
        position: Position,
    },
    /// So many streams of the caller wait for a copy. Wants no reply.
    UnderReplicated(u64),
    /// Which of these users, all yours, have a session?
    Online {
        /// In the order of the answer.
        users: Vec<UserId>,
    },
    /// Which sessions has this user, whose owner you are?
    Sessions {
        /// The user.
        user: UserId,
    },
    /// What stands in the stream, which you own, behind there?
    History {
        /// The stream.
        key: StreamKey,
        /// A position, if it is one that a node gave out.
        at: Option<Position>,
    },
    /// Users that I have in a room whose holder you are.
    Members {
        /// The room.
        room: RoomName,
        /// What I have said of the room before does not count any more.
        whole: bool,
        /// Of the whole, those that are there.
        users: Vec<(UserId, Standing)>,
    },
    /// Tell your members of the room, which I own, that somebody has come or gone. Wants no reply.
    Announce {
        /// The room.
        room: RoomName,
        /// Who.
        user: UserId,
        /// Whether the user has come.
        joined: bool,
        /// How many users are there now.
        count: u64,
    },
    /// Who is in the room, which you own?
    Roster {
        /// The room.
        room: RoomName,
        /// Only those behind this one.
        after: Option<UserId>,
        /// At most as many.
        max: u32,
    },
    /// Tell me how many are there, of a user's or room's whom you own, and whenever that changes.
    Watch {
        /// The inbox or room.
        key: StreamKey,
    },
    /// That is not wanted any more. Wants no reply.
    Unwatch {
        /// The inbox or room.
        key: StreamKey,
    },
    /// So many are there now, as you wanted to know. Wants no reply.
    Presence {
        /// The inbox or room.
        key: StreamKey,
        /// Of a room its users, of a user 1 or 0.
        count: u64,
    },
    /// A message for all your sessions. Wants no reply.
    Broadcast(Broadcast),
    /// Close this session of yours: a newer one takes its place. Wants no reply.
    Replace {
        /// Its user.
        user: UserId,
        /// The session.
        session: SessionId,
    },
    /// Close the sessions of this user that you have, whoever owns the user.
    Disconnect {
        /// The user.
        user: UserId,
    },
}

impl Request {
    /// Whether it is a client's message on its way to the owner of its recipient, whose answer waits
    /// for the answers to other requests.
    #[must_use]
    pub fn is_message(&self) -> bool {
        match self {
            Self::Envelope(envelope) => !envelope.to_guests,
            Self::Append(_) => true,
            _ => false,
        }
    }

    /// Roughly what it takes in memory and on the wire, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 48;
        const OFFER: usize = 64;
        match self {
            Self::Envelope(envelope) => envelope.size(),
            Self::Append(append) => FIXED + append.to.as_str().len() + append.message.size(),
            Self::Install(install) => FIXED + install.key.as_str().len() + install.snapshot.size(),
            Self::Replicate {
                key, operations, ..
            } => {
                let operations = operations.iter().map(Operation::size);
                FIXED + key.as_str().len() + operations.sum::<usize>()
            }
            Self::Offer(offers) => FIXED + OFFER * offers.len(),
            Self::Deliver(delivery) => {
                let entries = delivery.entries.iter().map(|e| FIXED + e.message.size());
                FIXED + entries.sum::<usize>()
            }
            Self::Pull { key }
            | Self::Register { key, .. }
            | Self::Unregister { key, .. }
            | Self::Watch { key }
            | Self::Unwatch { key }
            | Self::Presence { key, .. }
            | Self::History { key, .. } => FIXED + key.as_str().len(),
            Self::Members { room, users, .. } => {
                let users = users.iter().map(|(user, _)| user.as_str().len() + 4);
                FIXED + room.as_str().len() + users.sum::<usize>()
            }
            Self::Announce { room, user, .. } => FIXED + room.as_str().len() + user.as_str().len(),
            Self::Roster { room, .. } => FIXED + room.as_str().len(),
            Self::Broadcast(message) => {
                FIXED + message.from.as_str().len() + message.id.len() + message.body.len()
            }
            Self::Ack { user, .. }
            | Self::Sessions { user }
            | Self::Replace { user, .. }
            | Self::Disconnect { user } => FIXED + user.as_str().len(),
            Self::Consent { .. } | Self::UnderReplicated(_) => FIXED,
            Self::Online { users } => {
                FIXED + users.iter().map(|u| u.as_str().len() + 2).sum::<usize>()
            }
        }
    }
}
