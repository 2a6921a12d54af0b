//! What nodes say to each other about users: requests and their outcomes.

use bytes::Bytes;

use crate::id::{SessionId, UserId};

/// Most node-to-node steps of one envelope. Two are enough while all views agree (to the owner, to
/// the node of a guest); the rest is for views that differ.
pub const HOPS_MAX: u8 = 4;

/// A message on its way to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The recipient.
    pub to: UserId,
    /// The sender.
    pub from: UserId,
    /// The sender's name for it, 1 to 64 bytes.
    pub id: Box<str>,
    /// JSON text, and so UTF-8, passed on byte for byte.
    pub body: Bytes,
    /// Milliseconds since the Unix epoch, set by the node that took it from its sender.
    pub ts_ms: u64,
    /// Node-to-node steps so far, at most [`HOPS_MAX`].
    pub hops: u8,
    /// Sent by the owner to a node where the user is a guest: deliver it there and go no further.
    pub to_guests: bool,
}

impl Envelope {
    /// Roughly what it takes in memory and on the wire, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 64;
        FIXED + self.to.as_str().len() + self.from.as_str().len() + self.id.len() + self.body.len()
    }
}

/// What one node asks of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Deliver this, or pass it on.
    Envelope(Envelope),
    /// I have a session of a user whose owner you are.
    Register {
        /// The guest's user.
        user: UserId,
        /// The guest.
        session: SessionId,
    },
    /// That session is gone. Wants no reply.
    Unregister {
        /// The guest's user.
        user: UserId,
        /// The guest.
        session: SessionId,
    },
    /// Which of these users, all yours, have a session?
    Presence {
        /// In the order of the answer.
        users: Vec<UserId>,
    },
}

impl Request {
    /// Roughly what it takes in memory and on the wire, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 32;
        match self {
            Self::Envelope(envelope) => envelope.size(),
            Self::Register { user, .. } | Self::Unregister { user, .. } => {
                FIXED + user.as_str().len()
            }
            Self::Presence { users } => {
                FIXED + users.iter().map(|u| u.as_str().len() + 2).sum::<usize>()
            }
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Handed to at least one session; registered; answered.
    Done,
    /// The user has no session.
    Offline,
    /// No way to the node that could do it. Definite: nothing was done.
    Unreachable,
    /// It may or may not have been done.
    Unknown,
    /// Another node owns the user. Definite: nothing was done.
    NotOwner,
}

/// The answer to the request of that number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The request's number within its stream.
    pub seq: u64,
    /// What became of it.
    pub outcome: Outcome,
    /// For [`Request::Presence`], in the order of its users; else empty.
    pub online: Vec<bool>,
}
