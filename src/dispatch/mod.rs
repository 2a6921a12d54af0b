//! The node between its shells: who is connected here, where every message goes, and what its
//! sender is told.
//!
//! The control plane publishes an immutable [`Topology`]; messages read a snapshot of it and never
//! wait for it. What is kept by key stands in shards, each under a lock of its own;
//! what is under way to a peer stands in its [`PeerLink`]. No lock is held while another shard's is
//! taken.

mod agreement;
mod backend;
mod broadcast;
mod clock;
mod counters;
mod feeding;
mod guests;
mod histogram;
mod inbox;
mod joining;
mod outbox;
mod outcome;
mod overview;
mod peer_link;
mod peers;
mod presence;
mod program;
mod rebalance;
mod room_report;
mod rooms;
mod rosters;
mod session;
mod sessions;
mod shard;
mod spans;
mod stats;
mod tickets;
mod topology;
mod watching;
mod webhooks;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use tokio::sync::Semaphore;

pub use self::backend::Pending;
pub use self::clock::{Clock, SystemClock};
pub use self::counters::Counters;
pub use self::feeding::FEED_BYTES;
pub use self::histogram::{BOUNDS, Durations};
pub use self::outbox::{Outbox, Taken};
pub use self::peer_link::{Origin, PeerLink, ReplyQueue};
pub use self::rebalance::TICK;
pub use self::room_report::RoomReport;
pub use self::session::{Greeting, Protocol, Session, SessionConfig};
pub use self::shard::Waiter;
pub use self::spans::{OpenSpan, Span, SpanSink, Step, Tracing};
pub use self::stats::{Deliveries, Path, Stats};
pub use self::topology::Topology;
pub use self::watching::WATCHED_MAX;
pub use self::webhooks::{Watched, Webhooks};

use self::backend::RecentIds;
use self::overview::Overview;
use self::peer_link::GuestCopies;
use self::shard::{Locked, Shard, Subscriber};
use self::stats::Timings;
use self::tickets::Tickets;
use crate::config::{AtSessionLimit, RoomConfig};
use crate::core::consent::Consents;
use crate::core::link::LinkLimits;
use crate::core::peer::{Content, Envelope, HOPS_MAX, Outcome, Request};
use crate::core::protocol::{self, Encoded, Qos, Receipt, Recipient, Reply, Send};
use crate::core::rate::TokenBucket;
use crate::core::stream::{Holder, Report, StreamConfig};
use crate::core::trace::TraceContext;
use crate::core::view::View;
use crate::error::ErrorCode;
use crate::id::{Generation, NodeId, StreamKey, UserId};

/// Shards of the users: enough that two threads seldom want the same one.
const SHARDS: usize = 64;

/// What the dispatcher needs to know of the node's configuration.
#[derive(Debug, Clone)]
pub struct DispatchConfig {
    /// After this a request without an outcome is given up.
    pub request_timeout: Duration,
    /// After this a holder counts as one that did not answer.
    pub copy_timeout: Duration,
    /// Bounds of every link.
    pub link: LinkLimits,
    /// The streams of each shard.
    pub streams: StreamConfig,
    /// Sessions a second that are told to move.
    pub rebalance_rate: u32,
    /// Sessions of one user, and what is done past that.
    pub sessions_per_user: (usize, AtSessionLimit),
    /// Bounds of rooms, and which are announced.
    pub rooms: RoomConfig,
    /// Clients may send to everyone.
    pub clients_may_broadcast: bool,
    /// Live members, this node included, that are there when it becomes ready.
    pub min_members: usize,
}

/// The dispatcher of one node.
#[derive(Debug)]
pub struct Dispatch {
    me: NodeId,
    config: DispatchConfig,
    clock: Arc<dyn Clock>,
    started: Instant,
    topology: ArcSwap<Topology>,
    /// What the topology's consents are copied from. Whoever stores a topology holds this.
    consents: Mutex<Consents>,
    shards: Box<[Locked]>,
    /// Streams of other nodes that wait for a copy, as they have said.
    waiting: Mutex<BTreeMap<NodeId, u64>>,
    /// What this node has said of its own, and when.
    reported: Mutex<Option<(u64, Instant)>>,
    /// Enough members were there and nothing waited for a copy, at some time since the node has joined.
    taken_over: AtomicBool,
    next_session: AtomicU64,
    counters: Arc<Counters>,
    timings: Timings,
    /// Sessions to be told to move, oldest change first.
    moving: Mutex<VecDeque<Weak<Session>>>,
    /// Sessions that came as guests, and since when; oldest first.
    guests: Mutex<VecDeque<(Instant, Weak<Session>)>>,
    move_bucket: Mutex<TokenBucket>,
    /// The node is on its way out: it sends its sessions away itself.
    draining: AtomicBool,
    /// Bytes of backends' messages that may still come in.
    backend_room: Arc<Semaphore>,
    backend_ids: Mutex<RecentIds>,
    webhooks: Option<Arc<Webhooks>>,
    /// Absent where nothing is traced.
    tracing: Option<Tracing>,
    /// Absent where users are believed.
    tickets: Option<Tickets>,
    /// Keys and certificates that are older than their files, which cannot be used.
    stale_keys: AtomicU64,
    /// Since when it runs, in milliseconds since the Unix epoch.
    started_unix_ms: u64,
    overview: Overview,
}

impl Dispatch {
    /// Parts of the keys, each under a lock of its own.
    pub const SHARDS: usize = SHARDS;

    /// The dispatcher of a node that knows nobody but itself. `first_session` is where its session
    /// ids start: a random number, so that they tell nothing.
    #[must_use]
    pub fn new(
        view: Arc<View>,
        config: DispatchConfig,
        first_session: u64,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let me = Holder {
            node: view.me.clone(),
            generation: view.me().map_or_else(Default::default, |me| me.generation),
        };
        let shard = || Mutex::new(Shard::new(me.clone()));
        let now = clock.now();
        Self {
            move_bucket: TokenBucket::new(config.rebalance_rate, now).into(),
            config,
            started: now,
            started_unix_ms: clock.unix_ms(),
            clock,
            consents: Mutex::new(Consents::new(&view)),
            topology: ArcSwap::from_pointee(Topology::alone(view)),
            shards: (0..SHARDS).map(|_| shard()).collect(),
            overview: Overview::new(me.node.clone(), now),
            me: me.node,
            waiting: Mutex::default(),
            reported: Mutex::default(),
            taken_over: AtomicBool::new(false),
            next_session: AtomicU64::new(first_session),
            counters: Arc::default(),
            timings: Timings::default(),
            moving: Mutex::default(),
            guests: Mutex::default(),
            draining: AtomicBool::new(false),
            backend_room: Arc::new(Semaphore::new(backend::ROOM_BYTES)),
            backend_ids: Mutex::default(),
            webhooks: None,
            tracing: None,
            tickets: None,
            stale_keys: AtomicU64::new(0),
        }
    }

    /// This node.
    #[must_use]
    pub fn me(&self) -> &NodeId {
        &self.me
    }

    /// The start of this node, as it is known to the others.
    #[must_use]
    pub fn generation(&self) -> Generation {
        let topology = self.topology.load();
        let me = topology.view.me();
        me.map_or_else(Default::default, |me| me.generation)
    }

    /// The time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.clock.unix_ms()
    }

    /// When this node started, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn started_unix_ms(&self) -> u64 {
        self.started_unix_ms
    }

    /// The members, the ring and the links as they are now.
    pub fn topology(&self) -> Guard<Arc<Topology>> {
        self.topology.load()
    }

    /// What the node counts.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How many sessions this node has, and how many guests elsewhere it knows as their owner.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        self.shards
            .iter()
            .fold((0, 0), |(sessions, guests), shard| {
                let more = locked(shard).directory.counts();
                (sessions + more.0, guests + more.1)
            })
    }

    /// What this node has of each stream.
    #[must_use]
    pub fn reports(&self) -> Vec<Report> {
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(locked(shard).streams.reports());
        }
        all
    }

    /// Messages of this node's sessions that are to be kept and have no outcome yet.
    #[must_use]
    pub fn unresolved(&self) -> usize {
        let lanes = self.shards.iter().map(|shard| locked(shard).lanes.len());
        lanes.sum()
    }

    fn shard(&self, key: &StreamKey) -> MutexGuard<'_, Shard> {
        locked(&self.shards[self.shard_index(key)])
    }

    fn shard_index(&self, key: &StreamKey) -> usize {
        let hash = self.topology.load().view.ring.hash(key.as_str().as_bytes());
        // The ring orders by the high bits; the low ones are left to tell shards apart.
        usize::try_from(hash.0 % SHARDS as u64).unwrap_or_default()
    }

    /// A client's message. Its receipt goes to the client's outbox, now or later.
    pub fn send(&self, session: &Arc<Session>, send: &Send<'_>) {
        self.counters.messages_in.add();
        self.counters
            .received_bytes
            .add_many(send.body.len() as u64);
        if !send.echo {
            session.mute(&send.id);
        }
        match (&send.to, send.qos) {
            (Recipient::Stream(to), Qos::AtLeastOnce) => self.send_kept(session, to, send),
            (Recipient::Stream(to), Qos::AtMostOnce) => {
                let origin = Origin::Session {
                    session: Arc::clone(session),
                    id: Box::from(&*send.id),
                    taken: self.clock.now(),
                };
                self.send_unkept(origin, session.user(), to, send, None);
            }
            (Recipient::Everyone, _) if !self.config.clients_may_broadcast => {
                session.tell(&Reply::Failed {
                    id: &send.id,
                    code: ErrorCode::NotAllowed,
                    message: "clients may not send to everyone here",
                });
            }
            (Recipient::Everyone, _) => {
                self.broadcast(session.user(), send);
                session.tell(&Reply::Receipt {
                    id: &send.id,
                    receipt: &Receipt::Sent,
                });
            }
        }
    }

    /// A message that is not to be kept.
    fn send_unkept(
        &self,
        origin: Origin,
        from: &UserId,
        to: &StreamKey,
        send: &Send<'_>,
        trace: Option<TraceContext>,
    ) {
        let (span, trace) = self.trace_new(trace, &send.id);
        let origin = match span {
            None => origin,
            Some(span) => Origin::Traced {
                origin: Box::new(origin),
                span,
            },
        };
        let envelope = Envelope {
            to: to.clone(),
            from: from.clone(),
            id: Box::from(&*send.id),
            content: Content::Body(Bytes::copy_from_slice(send.body.as_bytes())),
            ts_ms: self.clock.unix_ms(),
            hops: 0,
            to_guests: false,
            trace,
        };
        self.route(envelope, Some(origin));
    }

    /// Brings an envelope one step further: to the sessions here, or to the next node.
    fn route(&self, envelope: Envelope, origin: Option<Origin>) {
        let topology = self.topology.load();
        if envelope.to_guests {
            self.deliver_to_guests(&envelope, origin);
            return;
        }
        match topology.owner_elsewhere(envelope.to.as_str()) {
            None => self.deliver(&topology, &envelope, origin),
            Some(owner) => {
                if envelope.hops > 0 {
                    self.counters.strays.add();
                }
                self.forward(topology.link(&owner.id), envelope, origin);
            }
        }
    }

    fn forward(
        &self,
        link: Option<&Arc<PeerLink>>,
        mut envelope: Envelope,
        origin: Option<Origin>,
    ) {
        let next = link.filter(|_| envelope.hops < HOPS_MAX);
        let refused = match next {
            None => origin,
            Some(link) => {
                envelope.hops += 1;
                let bytes = envelope.is_message().then(|| envelope.body_len());
                match link.push(Request::Envelope(envelope), origin, self.deadline()) {
                    Ok(()) => {
                        if let Some(bytes) = bytes {
                            self.counters.sent_on(bytes);
                        }
                        return;
                    }
                    Err(full) => full.0.1,
                }
            }
        };
        self.settle(refused, Outcome::Unreachable);
    }

    fn deliver(&self, topology: &Topology, envelope: &Envelope, mut origin: Option<Origin>) {
        let span = self.trace_on(Step::Deliver, envelope.trace.as_deref(), &envelope.id);
        let (handed, nodes) = {
            let shard = self.shard(&envelope.to);
            let handed = hand_over(&shard, envelope);
            (handed, shard.directory.guest_nodes(&envelope.to))
        };
        self.count_handed(envelope, handed);
        // To a room it is sent, whoever is there.
        let sent = handed > 0 || envelope.to.is_room();
        let outcome = if sent || !nodes.is_empty() {
            Outcome::Done
        } else if topology.may_serve(envelope.to.as_str()) {
            Outcome::Offline
        } else {
            // There may be sessions that this node has not heard of yet.
            Outcome::Unreachable
        };
        // Once one session has it, its sender need not wait for the guests.
        if sent || nodes.is_empty() {
            self.settle(origin.take(), outcome);
        }
        let copies = origin.map(|origin| {
            let sent = self.clock.now();
            Arc::new(GuestCopies::new(nodes.len(), origin, sent))
        });
        let onward = span.as_ref().map(|span| span.context);
        for node in &nodes {
            let copy = Envelope {
                to_guests: true,
                trace: onward.map(Box::new).or_else(|| envelope.trace.clone()),
                ..envelope.clone()
            };
            let origin = copies.clone().map(Origin::Guests);
            self.forward(topology.link(node), copy, origin);
        }
        self.trace_end(span, outcome);
    }

    fn count_handed(&self, envelope: &Envelope, sessions: u64) {
        if envelope.is_message() {
            self.counters.handed(sessions, envelope.body_len());
        }
    }

    fn deliver_to_guests(&self, envelope: &Envelope, origin: Option<Origin>) {
        let span = self.trace_on(Step::Deliver, envelope.trace.as_deref(), &envelope.id);
        let handed = hand_over(&self.shard(&envelope.to), envelope);
        self.count_handed(envelope, handed);
        let outcome = if handed > 0 {
            Outcome::Done
        } else {
            Outcome::Offline
        };
        self.trace_end(span, outcome);
        self.settle(origin, outcome);
    }
}

/// Gives a message to all who take from its stream here; says how many took it.
fn hand_over(shard: &Shard, envelope: &Envelope) -> u64 {
    let mut encoded = Encoded::default();
    let mut handed = 0;
    for subscriber in shard.directory.sessions_of(&envelope.to) {
        let Subscriber::Session(session) = subscriber else {
            handed += rooms::hand_over(&shard.rooms, envelope);
            continue;
        };
        handed += u64::from(session.tell_as(&mut encoded, || unkept(envelope)));
    }
    handed
}

/// What is told of a message that is not kept.
fn unkept(envelope: &Envelope) -> Reply<'_> {
    let body = match &envelope.content {
        Content::Body(body) => body,
        Content::Delivered => {
            return Reply::Delivered {
                id: &envelope.id,
                user: &envelope.from,
            };
        }
    };
    Reply::Message(protocol::Message {
        position: None,
        id: &envelope.id,
        from: envelope.from.as_str(),
        to: Some(&envelope.to),
        // Checked wherever an envelope comes from.
        body: std::str::from_utf8(body).unwrap_or_default(),
        ts: envelope.ts_ms,
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What stands under these locks is changed in single steps: a panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod counting_tests;
#[cfg(test)]
mod readiness_tests;
#[cfg(test)]
mod tests;
