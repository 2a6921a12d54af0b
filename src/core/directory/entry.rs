//! What a directory knows of one session or guest.

use crate::core::feed::Feed;
use crate::core::stream::{Position, Resume};
use crate::id::{NodeId, SessionId, StreamKey};

/// A session of this node.
#[derive(Debug)]
pub struct Local<H> {
    /// Its id.
    pub id: SessionId,
    /// How the shell reaches it.
    pub handle: H,
    /// Where its user belongs.
    pub home: Home,
    /// When it began, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// No owner but this node has let it in yet.
    pub(super) new: bool,
    /// From where it goes on wherever it is subscribed next; `None` if it takes nothing from
    /// streams.
    pub resume: Option<Resume>,
    /// How far it is, while it is at home and subscribed.
    pub feed: Option<Feed>,
    /// That of its last registration.
    pub(super) nonce: u64,
}

/// A session that lives on another node.
#[derive(Debug)]
pub struct Guest {
    /// Where it lives.
    pub node: NodeId,
    /// Its id there.
    pub session: SessionId,
    /// That of its registration; a later one has a greater one.
    pub nonce: u64,
    /// When it began, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// How far it is; `None` if it takes nothing from streams.
    pub progress: Option<Progress>,
}

/// How far a guest is.
#[derive(Debug)]
pub struct Progress {
    /// What comes next for it; `None` while the stream is not served here.
    pub feed: Option<Feed>,
    /// Its node has that.
    pub confirmed: Position,
    /// Something is on its way to it: nothing else is sent before that is answered.
    pub in_flight: bool,
}

/// Where a local session's user belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Home {
    /// This node owns the user.
    Here,
    /// That node owns the user: the session is a guest of this one.
    At {
        /// The owner.
        owner: NodeId,
        /// Whether the owner has said that it knows the session.
        registered: bool,
    },
}

/// A session that has to be made known to its user's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The user's owner.
    pub owner: NodeId,
    /// Its key.
    pub key: StreamKey,
    /// The session.
    pub session: SessionId,
    /// Tells it from other registrations of the session, and is greater than those of the earlier
    /// ones.
    pub nonce: u64,
    /// When the session began, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// From where the session goes on.
    pub resume: Option<Resume>,
    /// Nobody has let the session in before.
    pub new: bool,
}

/// A session whose user has another owner than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved<H> {
    /// The session.
    pub handle: H,
    /// Whether the new owner is this node.
    pub home: bool,
    /// What to take back from the old owner, if that was another node.
    pub left: Option<Registration>,
}
