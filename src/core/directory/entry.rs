//! What a directory knows of one session or guest.

use std::time::Duration;

use crate::core::feed::Feed;
use crate::core::protocol::Reason;
use crate::core::stream::{Position, Resume};
use crate::id::{NodeId, SessionId, StreamKey};

/// A guest's node that has no room is tried again after this, and then after twice as long.
const BUSY_MIN: Duration = Duration::from_millis(50);
/// The longest of these times.
const BUSY_MAX: Duration = Duration::from_secs(1);
/// It is reached after so many.
const BUSY_COUNTED: u32 = 5;

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
    /// No owner has let it in yet.
    pub new: bool,
    /// From where it goes on wherever it is subscribed next; `None` if it takes nothing from
    /// streams.
    pub resume: Option<Resume>,
    /// How far it is, while it is at home and subscribed.
    pub feed: Option<Feed>,
    /// It is to go to its user's owner, and is told so once that knows.
    pub leaving: Option<Box<Leaving>>,
    /// That of its last registration.
    pub(super) nonce: u64,
}

/// That a session is to go to its user's owner. It does not count against the limit of sessions there
/// for a while, since the one that takes its place comes before it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Why.
    pub reason: Reason,
    /// When, in milliseconds from when it is told.
    pub after_ms: u64,
    /// The latest that any session is told, of those that leave with it.
    pub within_ms: u64,
    /// It was told.
    pub told: bool,
}

/// What a client that is told to move has for that, behind [`Leaving::within_ms`]. A guess at a slow handshake
/// and another try.
const MOVE_TIME_MS: u64 = 10_000;

impl Leaving {
    /// For how long it does not count.
    #[must_use]
    pub fn time_ms(&self) -> u64 {
        self.within_ms + MOVE_TIME_MS
    }
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
    /// Until then it does not count against the limit of sessions: it was told to come here.
    pub leaving_until: Option<Duration>,
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
    /// Its node had no room so often in a row.
    busy: u32,
    /// Nothing is sent before that.
    wait_until: Duration,
}

impl Progress {
    /// Of a guest that has that, and has to be given what comes next.
    #[must_use]
    pub fn new(feed: Feed, confirmed: Position) -> Self {
        Self {
            feed: Some(feed),
            confirmed,
            in_flight: false,
            busy: 0,
            wait_until: Duration::ZERO,
        }
    }

    /// Whether nothing is to be sent yet, since there was no room for it.
    #[must_use]
    pub fn is_waiting(&self, now: Duration) -> bool {
        now < self.wait_until
    }

    /// Its node has no room, for its client reads slowly: each time it is left alone for longer.
    pub fn wait(&mut self, now: Duration) {
        self.wait_until = now + BUSY_MIN.saturating_mul(1 << self.busy).min(BUSY_MAX);
        self.busy = (self.busy + 1).min(BUSY_COUNTED);
    }

    /// Its node has taken what was sent.
    pub fn confirm(&mut self, position: Position) {
        self.confirmed = position;
        self.busy = 0;
    }
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
    /// For so long it does not count against the limit of sessions: [`Leaving::time_ms`], or 0.
    pub leaving_ms: u64,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::stream::{Epoch, Log};

    #[test]
    fn a_guest_whose_node_has_no_room_is_left_alone_for_longer_and_longer() {
        let log = Log::new(Epoch::ROOT);
        let resumed = log.resume(crate::core::stream::Resume::At(log.tip()));
        let mut progress = Progress::new(Feed::new(&resumed, Some(&log)), log.tip());
        let mut now = Duration::from_secs(1);
        let mut waits = Vec::new();
        for _ in 0..7 {
            assert!(!progress.is_waiting(now));
            progress.wait(now);
            let started = now;
            while progress.is_waiting(now) {
                now += Duration::from_millis(10);
            }
            waits.push(now.saturating_sub(started).as_millis());
        }
        assert_eq!(waits, [50, 100, 200, 400, 800, 1000, 1000]);
        progress.confirm(log.tip());
        progress.wait(now);
        assert!(!progress.is_waiting(now + BUSY_MIN), "it begins anew");
    }
}
