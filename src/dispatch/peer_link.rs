//! The link to one peer, shared between those who send over it and the task that carries it, and
//! the way back for its answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use super::backend::Pending;
use super::counters::Counters;
use super::presence::Gather;
use super::session::Session;
use super::spans::OpenSpan;
use crate::core::consent::Question;
use crate::core::lane::Ticket;
use crate::core::link::{Full, Link, LinkLimits};
use crate::core::peer::{Answer, Outcome, Reply, Request};
use crate::core::stream::{About, Position};
use crate::core::trust::TicketKey;
use crate::id::{Generation, NodeId, RoomName, SessionId, StreamKey, UserId};

/// Who wants to know what became of a request.
#[derive(Debug)]
pub enum Origin {
    /// A client, for its `send`.
    Session {
        /// The client.
        session: Arc<Session>,
        /// The `id` of its `send`.
        id: Box<str>,
        /// When its message was taken.
        taken: Instant,
    },
    /// A backend, for a message that is not kept.
    Backend {
        /// The backend.
        pending: Box<Pending>,
        /// When its message was taken.
        taken: Instant,
    },
    /// One of them, for a message that is traced.
    Traced {
        /// Who.
        origin: Box<Self>,
        /// From taking the message to its receipt.
        span: Box<OpenSpan>,
    },
    /// A node, for a request of its own.
    Peer {
        /// The way back.
        replies: Arc<ReplyQueue>,
        /// The request's number there.
        seq: u64,
    },
    /// One of several nodes where the user is a guest.
    Guests(Arc<GuestCopies>),
    /// This node, which makes a guest known to its owner.
    Registration {
        /// The guest's stream.
        key: StreamKey,
        /// The guest.
        session: SessionId,
        /// That of the registration.
        nonce: u64,
    },
    /// A session of this node, for a message that is kept.
    Append(Ticket),
    /// The streams of this node.
    Stream {
        /// What they have asked.
        about: About,
        /// Of a copy of messages, when it was sent.
        sent: Option<Instant>,
    },
    /// A guest that something was sent to.
    Delivery {
        /// The guest's stream.
        key: StreamKey,
        /// The guest.
        session: SessionId,
        /// That of its registration.
        nonce: u64,
        /// Where it is when it has that.
        position: Position,
        /// When it was sent.
        sent: Instant,
    },
    /// A member of a room that was to be given what it has missed.
    History {
        /// The room.
        key: StreamKey,
        /// The member.
        session: SessionId,
        /// The fetch's number.
        number: u64,
    },
    /// This node, which tells a holder who is in a room.
    Members {
        /// The room.
        room: RoomName,
        /// The update's number.
        number: u64,
    },
    /// This node, which wants to hear of changes of presence.
    Watch {
        /// Whose.
        key: StreamKey,
        /// The question's number.
        number: u64,
    },
    /// A client that asked who is in a room.
    Roster {
        /// The client.
        session: Arc<Session>,
        /// The request's `id`.
        id: Box<str>,
        /// The room.
        room: RoomName,
    },
    /// This node, which wants to serve what its ring gives it.
    Consent(Question),
    /// A task of this node.
    Task(oneshot::Sender<(Outcome, Answer)>),
    /// A client's presence request, for the users of one owner.
    Presence {
        /// Where the answers come together.
        gather: Arc<Gather>,
        /// The users asked for.
        users: Vec<UserId>,
    },
}

/// A message that went to several nodes where the user is a guest: `Done` if any of them took it,
/// and else, once all have answered, the least certain of their answers.
#[derive(Debug)]
pub struct GuestCopies {
    state: Mutex<(usize, Outcome, Option<Origin>)>,
    /// When they were sent.
    pub(super) sent: Instant,
}

impl GuestCopies {
    /// For `count` copies of a message from `origin`, sent at that time.
    #[must_use]
    pub fn new(count: usize, origin: Origin, sent: Instant) -> Self {
        Self {
            sent,
            state: Mutex::new((count, Outcome::Offline, Some(origin))),
        }
    }

    /// One more answer. Returns what to tell whom, once that is settled.
    pub fn answered(&self, outcome: Outcome) -> Option<(Origin, Outcome)> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, worst, origin) = &mut *state;
        *left -= 1;
        match outcome {
            Outcome::Done => *worst = Outcome::Done,
            Outcome::Unknown if *worst != Outcome::Done => *worst = Outcome::Unknown,
            Outcome::Unreachable if *worst == Outcome::Offline => *worst = Outcome::Unreachable,
            _ => {}
        }
        if *worst == Outcome::Done || *left == 0 {
            let worst = *worst;
            origin.take().map(|origin| (origin, worst))
        } else {
            None
        }
    }
}

/// The link to one generation of one peer.
#[derive(Debug)]
pub struct PeerLink {
    node: NodeId,
    generation: Generation,
    address: Arc<str>,
    link: Mutex<Link<Origin>>,
    counters: Arc<Counters>,
    /// Something waits to be sent.
    wake: Notify,
    /// The last connection broke, or could not be made.
    broken: AtomicBool,
    /// The peer is no longer a member.
    gone: CancellationToken,
    /// That of tickets for the peer, once it has told.
    ticket_key: OnceLock<TicketKey>,
}

impl PeerLink {
    pub(super) fn new(
        node: NodeId,
        generation: Generation,
        address: Arc<str>,
        limits: LinkLimits,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            node,
            generation,
            address,
            link: Mutex::new(Link::new(limits)),
            counters,
            wake: Notify::new(),
            broken: AtomicBool::new(false),
            gone: CancellationToken::new(),
            ticket_key: OnceLock::new(),
        }
    }

    /// The peer's id.
    #[must_use]
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The peer's `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Ends when the peer is no longer a member, or has started anew.
    #[must_use]
    pub fn gone(&self) -> &CancellationToken {
        &self.gone
    }

    /// Whether there is a connection now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.lock().is_connected()
    }

    /// Whether there is a connection, and at least half of the queue is free.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.lock().has_room()
    }

    /// Whether clients may be sent to the peer. A peer of which gossip has just brought news counts
    /// as reachable until a connection to it fails.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        !self.broken.load(Ordering::Relaxed)
    }

    /// A connection was made, or could not be made, or broke.
    pub fn set_reachable(&self, reachable: bool) {
        self.broken.store(!reachable, Ordering::Relaxed);
    }

    /// The key of tickets for the peer, once it has told.
    #[must_use]
    pub fn ticket_key(&self) -> Option<TicketKey> {
        self.ticket_key.get().cloned()
    }

    /// The peer tells its key. It has one for each start, and the link is for one.
    pub fn set_ticket_key(&self, key: TicketKey) {
        let _ = self.ticket_key.set(key);
    }

    /// Requests that wait, and requests sent and not yet answered.
    #[must_use]
    pub fn depth(&self) -> (usize, usize) {
        let link = self.lock();
        (link.waiting(), link.unanswered())
    }

    pub(super) fn is_for(&self, node: &NodeId, generation: Generation, address: &str) -> bool {
        self.node == *node && self.generation == generation && *self.address == *address
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Link<Origin>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts if messages have to wait for the window from now on.
    fn with_window<R>(&self, act: impl FnOnce(&mut Link<Origin>) -> R) -> R {
        let mut link = self.lock();
        let waited = link.waits_for_window();
        let result = act(&mut link);
        if !waited && link.waits_for_window() {
            self.counters.peer_window_full.add();
        }
        result
    }

    /// Queues a request. One that there is no room for is counted, and comes back.
    pub(super) fn push(
        &self,
        request: Request,
        origin: Option<Origin>,
        deadline: Instant,
    ) -> Result<(), Full<Origin>> {
        let pushed = self.with_window(|link| link.push(request, origin, deadline));
        match &pushed {
            Ok(()) => self.wake.notify_one(),
            // A link whose peer is gone has room.
            Err(_) if self.gone.is_cancelled() => {}
            Err(_) => self.counters.peer_queue_full.add(),
        }
        pushed
    }

    /// What may be sent now.
    pub fn take_batch(&self, requests_max: usize, bytes_max: usize) -> Vec<(u64, Request)> {
        self.with_window(|link| link.take_batch(requests_max, bytes_max))
    }

    /// What may be sent now, as soon as there is something.
    pub async fn next_batch(&self, requests_max: usize, bytes_max: usize) -> Vec<(u64, Request)> {
        loop {
            let batch = self.take_batch(requests_max, bytes_max);
            if !batch.is_empty() {
                return batch;
            }
            self.wake.notified().await;
        }
    }

    /// Something may be sent that could not be before.
    pub fn nudge(&self) {
        self.wake.notify_one();
    }
}

/// The answers to the requests of one connection of a peer. It never holds more than the peer has
/// requests under way, which the peer's window bounds.
#[derive(Debug, Default)]
pub struct ReplyQueue {
    replies: Mutex<Vec<Reply>>,
    wake: Notify,
}

impl ReplyQueue {
    /// Queues an answer; number 0 wants none.
    pub fn push(&self, reply: Reply) {
        if reply.seq == 0 {
            return;
        }
        self.replies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(reply);
        self.wake.notify_one();
    }

    /// All that waits.
    #[must_use]
    pub fn take(&self) -> Vec<Reply> {
        std::mem::take(&mut *self.replies.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All that waits, as soon as there is something.
    pub async fn next_batch(&self) -> Vec<Reply> {
        loop {
            let batch = self.take();
            if !batch.is_empty() {
                return batch;
            }
            self.wake.notified().await;
        }
    }
}
