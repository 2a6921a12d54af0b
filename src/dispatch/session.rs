//! One client connection, as the rest of the node sees it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::outbox::Outbox;
use crate::core::map::Set;
use crate::core::protocol::{Encoded, Encoding, Reply, Welcome};
use crate::core::stream::{Position, Resume};
use crate::core::trust::{Claims, Principal};
use crate::error::{CloseCode, ErrorCode};
use crate::id::{RoomName, SessionId, StreamKey, UserId};

/// Sends of a session by which it is found out that an id is used for two recipients: as many as a
/// client will have under way. A guess.
const RECENT_MAX: usize = 64;

/// Messages that a session does not want to receive itself and that may still come. A guess: as many as
/// may have no receipt yet.
const MUTED_MAX: usize = 1024;

/// The end of a session whose user is believed for good.
const NEVER: u64 = u64::MAX;

/// A client connection after its handshake.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    user: UserId,
    inbox: StreamKey,
    /// When its token expires, in milliseconds since the Unix epoch.
    expires_at: AtomicU64,
    /// What its token says, where a handler may want to know.
    claims: Mutex<Option<Arc<Claims>>>,
    /// The query with which the client goes on to another node, without a position.
    onward: Box<str>,
    protocol: Protocol,
    /// Whether it may be told to move to the user's owner (`redirect=never` forbids it).
    may_move: bool,
    welcomed: AtomicBool,
    /// Its connection has ended.
    gone: AtomicBool,
    /// Webhooks were told that it is there.
    told: AtomicBool,
    /// Its stream waits for it to read.
    hungry: AtomicBool,
    /// Sends that are kept and have no receipt yet.
    pending: AtomicUsize,
    /// The last sends that were kept, each as hashes of its id and of its recipient.
    recent: Mutex<VecDeque<(u64, u64)>>,
    /// Absent until it first wants something of that.
    rooms: Mutex<Option<Box<SessionRooms>>>,
    outbox: Outbox,
    outbound_bytes_max: usize,
}

/// What a session has to do with rooms and presence.
#[derive(Debug, Default)]
struct SessionRooms {
    /// Where it is, or is about to be.
    names: Set<RoomName>,
    /// Whose presence it wants to hear of.
    watched: Set<StreamKey>,
    /// Hashes of the ids of its last messages that it does not want to receive itself.
    muted: VecDeque<u64>,
}

/// What a session's frames are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// `ringpost.v1.json`, with the welcome that opens it.
    Json(Arc<Greeting>),
    /// `ringpost.v1.proto`, likewise.
    Proto(Arc<Greeting>),
    /// Whatever the program's handler makes of them.
    Raw,
}

impl Protocol {
    /// The client protocol in one of its forms.
    #[must_use]
    pub fn of(encoding: Encoding, greeting: Arc<Greeting>) -> Self {
        match encoding {
            Encoding::Json => Self::Json(greeting),
            Encoding::Proto => Self::Proto(greeting),
        }
    }

    fn spoken(&self) -> Option<(Encoding, &Greeting)> {
        match self {
            Self::Json(greeting) => Some((Encoding::Json, greeting)),
            Self::Proto(greeting) => Some((Encoding::Proto, greeting)),
            Self::Raw => None,
        }
    }
}

/// What every welcome of a node says.
#[derive(Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The node.
    pub node: crate::id::NodeId,
    /// How often the server pings, in milliseconds.
    pub heartbeat_ms: u64,
    /// The largest message it takes, in bytes.
    pub max_message_bytes: usize,
}

/// What a session is made of.
#[derive(Debug)]
pub struct SessionConfig {
    /// Its user, and how long that is believed.
    pub principal: Principal,
    /// The query with which the client goes on to another node, without a position.
    pub onward: Box<str>,
    /// What its frames are.
    pub protocol: Protocol,
    /// From where it goes on in its user's stream.
    pub resume: Resume,
    /// Whether it may be told to move.
    pub may_move: bool,
    /// Bytes that may wait to be written to it.
    pub outbound_bytes_max: usize,
}

impl Session {
    pub(super) fn new(id: SessionId, config: SessionConfig) -> Self {
        Self {
            id,
            inbox: StreamKey::from(&config.principal.user),
            user: config.principal.user,
            expires_at: AtomicU64::new(config.principal.expires_at.unwrap_or(NEVER)),
            claims: Mutex::new(config.principal.claims),
            onward: config.onward,
            protocol: config.protocol,
            may_move: config.may_move,
            welcomed: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            told: AtomicBool::new(false),
            hungry: AtomicBool::new(false),
            pending: AtomicUsize::new(0),
            recent: Mutex::default(),
            rooms: Mutex::default(),
            outbox: Outbox::new(),
            outbound_bytes_max: config.outbound_bytes_max,
        }
    }

    /// Its id, unique on this node.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Its user.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.user
    }

    /// Its user, as proved and for as long.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal {
            user: self.user.clone(),
            expires_at: self.expires_at(),
            claims: self.claims(),
        }
    }

    /// When its token expires, in milliseconds since the Unix epoch; `None`: never.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        Some(self.expires_at.load(Ordering::Relaxed)).filter(|at| *at != NEVER)
    }

    /// What its token says.
    #[must_use]
    pub fn claims(&self) -> Option<Arc<Claims>> {
        super::locked(&self.claims).clone()
    }

    /// Its user has proved anew who it is; `None` if that is another user.
    #[must_use]
    pub fn renew(&self, principal: Principal) -> Option<()> {
        if principal.user != self.user {
            return None;
        }
        let expires_at = principal.expires_at.unwrap_or(NEVER);
        self.expires_at.store(expires_at, Ordering::Relaxed);
        *super::locked(&self.claims) = principal.claims;
        Some(())
    }

    /// Its user's inbox.
    pub(super) fn inbox(&self) -> &StreamKey {
        &self.inbox
    }

    /// Whether its frames are a handler's.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.protocol == Protocol::Raw
    }

    /// What its frames are; `None` if they are a handler's.
    #[must_use]
    pub fn encoding(&self) -> Option<Encoding> {
        self.protocol.spoken().map(|(encoding, _)| encoding)
    }

    /// Whether it has been told that it is welcome, which happens once its user's owner knows it.
    #[must_use]
    pub fn is_welcomed(&self) -> bool {
        self.welcomed.load(Ordering::Acquire)
    }

    /// What waits to be written to it.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    pub(super) fn may_move(&self) -> bool {
        self.may_move
    }

    pub(super) fn onward(&self) -> &str {
        &self.onward
    }

    /// Whether its connection has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Says whether it had not ended before.
    pub(super) fn set_gone(&self) -> bool {
        !self.gone.swap(true, Ordering::Relaxed)
    }

    /// Under the lock of its shard, as all that is told of it before its end.
    pub(super) fn set_told(&self) {
        self.told.store(true, Ordering::Relaxed);
    }

    pub(super) fn was_told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    pub(super) fn set_hungry(&self) {
        self.hungry.store(true, Ordering::Relaxed);
    }

    /// Whether its stream waits for it to read. Asked once, it does not any more.
    #[must_use]
    pub fn take_hungry(&self) -> bool {
        self.hungry.load(Ordering::Relaxed) && self.hungry.swap(false, Ordering::Relaxed)
    }

    /// Sends that are kept and have no receipt yet.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    pub(super) fn add_pending(&self, count: usize) {
        self.pending.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn take_pending(&self, count: usize) {
        self.pending.fetch_sub(count, Ordering::Relaxed);
    }

    /// Whether an id is new, or was used for the same recipient before.
    pub(super) fn may_use(&self, id: &str, to: &StreamKey) -> bool {
        let (id, to) = (xxh3_64(id.as_bytes()), key_hash(to));
        let mut recent = super::locked(&self.recent);
        if let Some((_, before)) = recent.iter().find(|(known, _)| *known == id) {
            return *before == to;
        }
        if recent.len() >= RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back((id, to));
        true
    }

    /// The message of that id was not taken: the id is free.
    pub(super) fn free(&self, id: &str) {
        let id = xxh3_64(id.as_bytes());
        super::locked(&self.recent).retain(|(known, _)| *known != id);
    }

    /// It joins these rooms. Says whether it may: all or none, and at most `max` together.
    pub(super) fn enter(&self, rooms: &[RoomName], max: usize) -> bool {
        let mut all = super::locked(&self.rooms);
        let names = &mut all.get_or_insert_default().names;
        let new = rooms.iter().filter(|room| !names.contains(*room)).count();
        let may = names.len() + new <= max;
        if may {
            names.extend(rooms.iter().cloned());
        }
        may
    }

    /// Whether it is in a room, or is about to be. One that has ended is in none.
    pub(super) fn is_in(&self, room: &RoomName) -> bool {
        let all = super::locked(&self.rooms);
        // In this order: a name may still come after the end.
        (all.as_ref()).is_some_and(|rooms| rooms.names.contains(room)) && !self.is_gone()
    }

    /// It leaves a room; says whether it was there.
    pub(super) fn leave(&self, room: &RoomName) -> bool {
        let mut all = super::locked(&self.rooms);
        (all.as_mut()).is_some_and(|rooms| rooms.names.swap_remove(room))
    }

    /// It leaves all rooms, and wants to hear of nothing any more. Both are returned.
    pub(super) fn take_rooms(&self) -> (Set<RoomName>, Set<StreamKey>) {
        let rooms = super::locked(&self.rooms).take();
        rooms.map_or_else(Default::default, |rooms| (rooms.names, rooms.watched))
    }

    /// It wants to hear of these. Says whether it may: all or none, and at most `max` together.
    pub(super) fn watch(&self, keys: &[StreamKey], max: usize) -> bool {
        let mut all = super::locked(&self.rooms);
        let watched = &mut all.get_or_insert_default().watched;
        let new = keys.iter().filter(|key| !watched.contains(*key)).count();
        let may = watched.len() + new <= max;
        if may {
            watched.extend(keys.iter().cloned());
        }
        may
    }

    /// It does not want to hear of a key any more; says whether it did.
    pub(super) fn unwatch(&self, key: &StreamKey) -> bool {
        let mut all = super::locked(&self.rooms);
        (all.as_mut()).is_some_and(|rooms| rooms.watched.swap_remove(key))
    }

    /// It does not want to receive its own message of that id.
    pub(super) fn mute(&self, id: &str) {
        let mut all = super::locked(&self.rooms);
        let muted = &mut all.get_or_insert_default().muted;
        if muted.len() >= MUTED_MAX {
            muted.pop_front();
        }
        muted.push_back(xxh3_64(id.as_bytes()));
    }

    /// Whether it does not want to receive its own message of that id.
    pub(super) fn is_muted(&self, id: &str) -> bool {
        let all = super::locked(&self.rooms);
        let muted = all.as_ref().filter(|rooms| !rooms.muted.is_empty());
        muted.is_some_and(|rooms| rooms.muted.contains(&xxh3_64(id.as_bytes())))
    }

    /// Lets it in, at that position in its user's stream, which is what the position it came with
    /// means, and says whether that is news.
    pub(super) fn welcome(&self, start: Option<(Position, Option<bool>)>) -> bool {
        if self.welcomed.swap(true, Ordering::AcqRel) {
            return false;
        }
        let first = self.protocol.spoken().map(|(encoding, greeting)| {
            let welcome = Reply::Welcome(Welcome {
                user: &self.user,
                session: self.id,
                node: &greeting.node,
                position: start.map(|(position, _)| position),
                recovered: start.and_then(|(_, recovered)| recovered),
                heartbeat_ms: greeting.heartbeat_ms,
                max_message_bytes: greeting.max_message_bytes,
            });
            welcome.frame(encoding)
        });
        self.outbox.open(first);
        true
    }

    /// Queues a whole frame. Says whether it was taken.
    pub fn push(&self, frame: Bytes) -> bool {
        self.outbox.push(frame, self.outbound_bytes_max)
    }

    /// Queues a reply. Says whether it was taken: a handler's session takes none.
    pub(crate) fn tell(&self, reply: &Reply<'_>) -> bool {
        (self.encoding()).is_some_and(|encoding| self.push(reply.frame(encoding)))
    }

    /// As [`Self::tell`], of a reply that others get, too.
    pub(super) fn tell_as<'a>(
        &self,
        encoded: &mut Encoded,
        reply: impl FnOnce() -> Reply<'a>,
    ) -> bool {
        (self.encoding()).is_some_and(|encoding| self.push(encoded.frame(encoding, reply)))
    }

    /// Ends it because a backend wants that; says whether it was not ending already.
    pub(super) fn disconnect(&self) -> bool {
        // Nothing comes behind the Close frame, nor a welcome before it.
        self.welcomed.store(true, Ordering::Release);
        let code = CloseCode::Disconnected;
        self.outbox.finish(code, "disconnected by a backend")
    }

    /// Ends it because the program wants that; says whether it was not ending already.
    pub(crate) fn close_as(&self, code: u16, reason: &str) -> bool {
        // As above.
        self.welcomed.store(true, Ordering::Release);
        self.outbox.finish_as(code, reason)
    }

    /// Ends it because a newer session of its user takes its place.
    pub(super) fn replace(&self) {
        // As above.
        self.welcomed.store(true, Ordering::Release);
        let reason = "replaced by a newer session";
        self.outbox.finish(CloseCode::Replaced, reason);
    }

    /// Sends it away because of `code`, with an `error` before the Close frame.
    pub fn refuse(&self, code: ErrorCode, message: &str, close: CloseCode) {
        // As above.
        self.welcomed.store(true, Ordering::Release);
        let encoding = self.encoding();
        let error = encoding.map(|encoding| Reply::Error { code, message }.frame(encoding));
        self.outbox.refuse(error, close, message);
    }
}

/// A hash of a key, by which recipients are told apart.
pub(super) fn key_hash(key: &StreamKey) -> u64 {
    xxh3_64_with_seed(key.as_str().as_bytes(), u64::from(key.is_room()))
}
