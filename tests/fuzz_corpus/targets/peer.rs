//! A node among peers that ask and answer anything, with clients that do so, too.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use prost::Message as _;
use ringpost::config::{AtSessionLimit, RoomConfig};
use ringpost::core::link::LinkLimits;
use ringpost::core::peer::{Reply, Request};
use ringpost::core::protocol::{Request as Asked, RequestLimits, parse};
use ringpost::core::ring::Seed;
use ringpost::core::stream::{Holder, LogLimits, Resume, StreamConfig};
use ringpost::core::trust::Principal;
use ringpost::core::view::{Member, MemberState, View};
use ringpost::dispatch::{
    Clock, Dispatch, DispatchConfig, Greeting, PeerLink, Protocol, ReplyQueue, Session,
    SessionConfig, Taken,
};
use ringpost::id::{Generation, NodeId, StreamKey, UserId};
use ringpost::wire::proto;

const OUTBOUND_BYTES_MAX: usize = 64 * 1024;
const SESSIONS_MAX: usize = 3;
const START_MS: u64 = 1_732_350_000_123;

/// Of this size are the logs, so that some get full.
const LIMITS: LogLimits = LogLimits {
    entries_max: 4,
    bytes_max: 4096,
    kept_entries_max: 4,
    kept_bytes_max: 4096,
    age_max: Duration::from_secs(60),
    seen_max: 8,
    seen_age: Duration::from_secs(60),
};

/// All three nodes, and without the last: their rings take the longest.
static VIEWS: LazyLock<[Arc<View>; 2]> = LazyLock::new(|| [view(3), view(2)]);

/// Steps: one byte for what happens, two for the length of what follows, big-endian, and that.
pub fn peer(data: &[u8]) {
    let mut node = Node::new();
    let mut rest = data;
    while let [kind, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (bytes, next) = after.split_at(length);
        rest = next;
        node.step(*kind, bytes);
        node.carry_out();
    }
}

#[derive(Debug, Default)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn now(&self) -> Instant {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        *START + Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn unix_ms(&self) -> u64 {
        START_MS + self.0.load(Ordering::Relaxed)
    }
}

struct Node {
    dispatch: Dispatch,
    clock: Arc<Hands>,
    replies: Arc<ReplyQueue>,
    sessions: VecDeque<Arc<Session>>,
    greeting: Arc<Greeting>,
    /// The links that are up: there is one connection to a peer at a time.
    connected: Vec<Arc<PeerLink>>,
}

impl Node {
    fn new() -> Self {
        let clock = Arc::new(Hands::default());
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let dispatch = Dispatch::new(Arc::clone(&VIEWS[0]), config(), 1, shared);
        dispatch.publish(Arc::clone(&VIEWS[0]));
        dispatch.join();
        Self {
            dispatch,
            clock,
            connected: Vec::new(),
            replies: Arc::default(),
            sessions: VecDeque::new(),
            greeting: Arc::new(Greeting {
                node: node_id(1),
                heartbeat_ms: 25_000,
                max_message_bytes: 65_536,
            }),
        }
    }

    fn step(&mut self, kind: u8, bytes: &[u8]) {
        let peer = Holder {
            node: node_id(2 + usize::from(kind >> 7)),
            generation: Generation(START_MS),
        };
        match kind & 0xf {
            0..=4 => {
                let request = proto::Request::decode(bytes).ok();
                if let Some(Ok((seq, request))) = request.map(<(u64, Request)>::try_from) {
                    self.dispatch
                        .peer_request(&peer, seq, request, &self.replies);
                }
            }
            5..=7 => {
                let reply = proto::Reply::decode(bytes).ok();
                let topology = self.dispatch.topology();
                if let (Some(Ok(reply)), Some(link)) =
                    (reply.map(Reply::try_from), topology.link(&peer.node))
                {
                    self.dispatch.link_reply(link, reply);
                }
            }
            8 => self.pass(u64::try_from(bytes.len()).unwrap_or(0) * 50),
            9 => self.pass(100),
            10 => self.open(bytes),
            11 => self.ask(bytes),
            12 => {
                if let Some(session) = self.sessions.pop_front() {
                    self.dispatch.close(&session);
                }
            }
            13 => self.dispatch.peer_opened(&peer.node),
            14 => self.connect_or_break(&peer.node),
            _ => {
                self.dispatch.publish(Arc::clone(&VIEWS[bytes.len() % 2]));
            }
        }
    }

    fn connect_or_break(&mut self, peer: &NodeId) {
        let topology = self.dispatch.topology().clone();
        let Some(link) = topology.link(peer) else {
            return;
        };
        let up = self.connected.iter().position(|up| Arc::ptr_eq(up, link));
        if let Some(at) = up {
            self.connected.swap_remove(at);
            self.dispatch.link_disconnected(link);
        } else {
            self.connected.push(Arc::clone(link));
            self.dispatch.link_connected(link);
        }
    }

    fn pass(&self, ms: u64) {
        self.clock.0.fetch_add(ms.max(1), Ordering::Relaxed);
        self.dispatch.tick();
    }

    fn open(&mut self, name: &[u8]) {
        let name = std::str::from_utf8(name).ok();
        let Some(Ok(user)) = name.map(UserId::new) else {
            return;
        };
        if self.sessions.len() < SESSIONS_MAX {
            self.sessions.push_back(self.dispatch.open(SessionConfig {
                principal: Principal::believed(user),
                onward: "hop=1".into(),
                protocol: Protocol::Json(Arc::clone(&self.greeting)),
                resume: Resume::Fresh,
                may_move: true,
                outbound_bytes_max: OUTBOUND_BYTES_MAX,
            }));
        }
    }

    /// A client wants something, as `ws::pump` understands it.
    fn ask(&self, text: &[u8]) {
        let limits = RequestLimits {
            presence_users_max: 5,
            rooms_max: 5,
        };
        let (Some(session), Ok(text)) = (self.sessions.back(), std::str::from_utf8(text)) else {
            return;
        };
        let Ok(asked) = parse(text, &limits) else {
            return;
        };
        match asked {
            Asked::Ack { position } => {
                if let Some(position) = position {
                    self.dispatch.ack(session, position);
                }
            }
            Asked::Send(send) => self.dispatch.send(session, &send),
            Asked::Join(join) => self.dispatch.join_rooms(session, join),
            Asked::Leave { id, room } => self.dispatch.leave_room(session, &id, &room),
            Asked::Presence {
                id,
                users,
                subscribe,
            } => {
                let keys: Vec<_> = users.iter().map(StreamKey::from).collect();
                self.dispatch.watch(session, &keys, subscribe == Some(true));
                self.dispatch.presence(session, &id, users);
            }
            Asked::RoomPresence {
                id,
                room,
                after,
                subscribe,
            } => {
                let key = StreamKey::Room(room.clone());
                self.dispatch
                    .watch(session, &[key], subscribe == Some(true));
                self.dispatch.room_presence(session, &id, room, after);
            }
            // Who believes users takes no tokens.
            Asked::Ping { .. } | Asked::Auth { .. } => {}
        }
    }

    /// What goes out to peers is what they can decode; what goes out to clients is within its bounds.
    fn carry_out(&mut self) {
        for reply in self.replies.take() {
            Reply::try_from(proto::Reply::from(reply)).expect("the peer can decode it");
        }
        let topology = self.dispatch.topology();
        for link in topology.links() {
            for request in link.take_batch(256, 256 * 1024) {
                <(u64, Request)>::try_from(proto::Request::from(request))
                    .expect("the peer can decode it");
            }
        }
        let cx = Context::from_waker(Waker::noop());
        let dispatch = &self.dispatch;
        self.sessions.retain(|session| {
            loop {
                let mut batch = VecDeque::new();
                let Poll::Ready(taken) = session.outbox().poll_take(&cx, &mut batch) else {
                    return true;
                };
                let bytes = batch.iter().map(bytes::Bytes::len).sum();
                assert!(bytes <= 2 * OUTBOUND_BYTES_MAX);
                session.outbox().written(bytes);
                if session.take_hungry() {
                    dispatch.feed_session(session);
                }
                if taken == Taken::Last {
                    dispatch.close(session);
                    return false;
                }
            }
        });
    }
}

fn config() -> DispatchConfig {
    DispatchConfig {
        request_timeout: Duration::from_secs(15),
        copy_timeout: Duration::from_millis(1500),
        link: LinkLimits {
            window: 16,
            queue_bytes_max: 16 * 1024,
        },
        streams: StreamConfig {
            replicas: 2,
            min_copies: 1,
            inboxes: LIMITS,
            rooms: LIMITS,
            shard_bytes_max: 64 * 1024,
        },
        rebalance_rate: 100,
        sessions_per_user: (2, AtSessionLimit::default()),
        rooms: RoomConfig::default(),
        clients_may_broadcast: true,
        min_members: 1,
    }
}

fn view(count: usize) -> Arc<View> {
    let member = |number| Member {
        id: node_id(number),
        generation: Generation(START_MS),
        revision: 0,
        peer: format!("n{number}:1").into(),
        url: format!("ws://n{number}:2").into(),
        weight: 1,
        draining: false,
        state: MemberState::Alive,
    };
    let members = (1..=count).map(member).collect();
    let mut view = View::new(node_id(1), Seed(7), members, None);
    view.accepted = true;
    LazyLock::force(&view.ring);
    Arc::new(view)
}

fn node_id(number: usize) -> NodeId {
    NodeId::new(&format!("n{number}")).expect("a good id")
}
