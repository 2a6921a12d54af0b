//! Everything a node can be told, with its defaults, and what makes a configuration unusable.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::id::NodeId;

pub(crate) mod address;
mod check;
mod traces;
mod trust;
mod warnings;
mod webhook;

pub use self::traces::TraceConfig;
pub use self::trust::{PeerTrust, TlsConfig, UserTrust};
pub(crate) use self::webhook::http_url;
pub use self::webhook::{Secret, WebhookConfig, WebhookEvent};

/// The configuration of one node. [`Config::new`] fills in the defaults; [`Config::check`] refuses
/// what cannot work.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's name, unique in the cluster.
    pub id: NodeId,
    /// The cluster's name. Nodes of another name are refused; the ring's hash seed comes from it.
    pub cluster: String,
    /// Where clients connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where other nodes connect (gRPC). Port 0 takes a free one.
    pub peer_listen: SocketAddr,
    /// Where operators and backends connect (HTTP, gRPC). Port 0 takes a free one.
    pub admin_listen: SocketAddr,
    /// `host:port` peer addresses to start from, the same list on every node, its own included. A
    /// host name may resolve to many addresses.
    pub seeds: Vec<String>,
    /// Live members, this node included, that it must have seen at once before it says that it is ready; 1
    /// to [`Config::MIN_MEMBERS_MAX`].
    pub min_members: u16,
    /// What clients are sent to, `ws://host:port` or `wss://…`; `None`: `listen`, as bound.
    pub advertise_url: Option<String>,
    /// What other nodes dial, `host:port`; `None`: `peer_listen`, as bound.
    pub advertise_peer: Option<String>,
    /// Share of the ring relative to other nodes, 1 to [`Config::WEIGHT_MAX`].
    pub weight: u16,
    /// Take the user from `?user=` and believe it. Either this or keys in [`Config::users`].
    pub insecure_users: bool,
    /// How users prove who they are.
    pub users: UserTrust,
    /// How nodes do.
    pub peers: PeerTrust,
    /// A file with the keys of backends, one a line, all accepted; `None`: whoever reaches the admin
    /// address may use the API.
    pub api_keys: Option<PathBuf>,
    /// TLS for clients.
    pub tls: TlsConfig,
    /// Allow peers without authentication although addresses are not loopback.
    pub insecure_peers: bool,
    /// Origins whose pages may connect, `scheme://host[:port]`, and `https://*.example.com` for all
    /// below a domain. Empty: the host of `Host` or of a member's advertised URL, whatever the port.
    pub allowed_origins: Vec<String>,
    /// The form of `Location` in a 307.
    pub redirect_location: RedirectLocation,
    /// How long a node that is asked to stop may take to send its clients away.
    pub drain_timeout: Duration,
    /// How many sessions a second are told to move when the ring changed, or sent away by a drain, 1 or more.
    pub rebalance_rate: u32,
    /// Nodes that hold each stream, its owner included, 1 to [`Config::REPLICAS_MAX`]. What was
    /// accepted survives the crash of all of them but one. The same on every node.
    pub replicas: u8,
    /// Nodes that must hold a message before it is accepted, where fewer than [`Config::replicas`]
    /// are alive; 1 to that number. With 1 the last live node still accepts.
    pub min_copies: u8,
    /// The bounds of what is kept for users.
    pub inbox: InboxConfig,
    /// The bounds of rooms, and what their members are told.
    pub room: RoomConfig,
    /// Clients may send to everyone; backends may in any case.
    pub clients_may_broadcast: bool,
    /// What is told by webhooks, and where; off unless there is a URL.
    pub webhook: WebhookConfig,
    /// Traces of messages; off unless there is a collector.
    pub traces: TraceConfig,
    /// The failure detector.
    pub gossip: GossipConfig,
    /// Bounds of everything a client or a peer can make grow.
    pub limits: Limits,
}

impl Config {
    /// Largest [`Config::weight`]: a node of this weight has 64 times the ring points of the
    /// smallest.
    pub const WEIGHT_MAX: u16 = 64;
    /// Most [`Config::replicas`]. Every accepted message waits for all of them.
    pub const REPLICAS_MAX: u8 = 5;

    /// Most [`Config::min_members`].
    pub const MIN_MEMBERS_MAX: u16 = 1024;

    /// The defaults: a cluster of one, named `ringpost`, on the loopback ports 7001 (clients), 7101
    /// (peers) and 7201 (admin).
    ///
    /// [`Config::insecure_users`] is off, so this alone does not pass [`Config::check`].
    #[must_use]
    pub fn new(id: NodeId) -> Self {
        let loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            id,
            cluster: "ringpost".to_owned(),
            listen: loopback(7001),
            peer_listen: loopback(7101),
            admin_listen: loopback(7201),
            seeds: Vec::new(),
            min_members: 1,
            advertise_url: None,
            advertise_peer: None,
            weight: 1,
            insecure_users: false,
            users: UserTrust::default(),
            peers: PeerTrust::default(),
            api_keys: None,
            tls: TlsConfig::default(),
            insecure_peers: false,
            allowed_origins: Vec::new(),
            redirect_location: RedirectLocation::default(),
            drain_timeout: Duration::from_secs(30),
            rebalance_rate: 100,
            replicas: 2,
            min_copies: 1,
            inbox: InboxConfig::default(),
            room: RoomConfig::default(),
            clients_may_broadcast: false,
            webhook: WebhookConfig::default(),
            traces: TraceConfig::default(),
            gossip: GossipConfig::default(),
            limits: Limits::default(),
        }
    }
}

/// The form of `Location` in a 307.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedirectLocation {
    /// `//host:port/ws?…`: followed by clients that want `ws://` and by those that want `http://`.
    #[default]
    SchemeRelative,
    /// `ws://host:port/ws?…`.
    Absolute,
}

/// Bounds of the messages that are kept for users (qos 1). At each of them new messages are refused;
/// what was accepted and is not acked goes by age alone. The same on every node, since any may come
/// to own a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InboxConfig {
    /// Messages of one user that are not acked; past it `inbox_full`. As many acked ones may be
    /// kept beside them, for clients that resume.
    pub messages_max: usize,
    /// Bytes of the same, [`Limits::message_bytes_max`] or more; past it `inbox_full`.
    pub bytes_max: usize,
    /// A message that is older is dropped, acked or not. At most 30 days.
    pub age_max: Duration,
    /// How long a repeat of a message is recognised. At least two [`Limits::request_timeout`], so
    /// that it outlasts the retries of a client whose first answer was `unknown`; at most 30 days.
    pub dedupe_window: Duration,
    /// Messages of one user within [`Self::dedupe_window`], kept or not; past it `inbox_full`.
    /// At most [`Self::DEDUPE_IDS_MAX`]. Each costs about 100 bytes.
    pub dedupe_ids_max: usize,
    /// Bytes of all that one node keeps, copies for others included; past it `inbox_full`.
    /// [`Self::bytes_max`] or more.
    pub node_bytes_max: usize,
}

impl InboxConfig {
    /// Largest [`Self::bytes_max`].
    pub const BYTES_MAX: usize = 16 * 1024 * 1024;
    /// Largest [`Self::dedupe_ids_max`]: all go to another node in one message, with 23 bytes each, and
    /// after a split those of both sides.
    pub const DEDUPE_IDS_MAX: usize = 1_000_000;
}

impl Default for InboxConfig {
    fn default() -> Self {
        Self {
            messages_max: 1000,
            bytes_max: 1024 * 1024,
            age_max: Duration::from_secs(24 * 60 * 60),
            dedupe_window: Duration::from_secs(10 * 60),
            dedupe_ids_max: 65_536,
            node_bytes_max: 1024 * 1024 * 1024,
        }
    }
}

/// Bounds of rooms. The same on every node, since any may come to own a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomConfig {
    /// Messages of one room that are kept for those who catch up; the oldest go first.
    pub messages_max: usize,
    /// Bytes of the same, at most [`InboxConfig::BYTES_MAX`].
    pub bytes_max: usize,
    /// A message that is older is dropped. At most 30 days.
    pub age_max: Duration,
    /// Messages of one room within [`InboxConfig::dedupe_window`], kept or not; past it
    /// `rate_limited`. At most [`InboxConfig::DEDUPE_IDS_MAX`]. Each costs 60 to 110 bytes, on every
    /// holder: a hash table with 48 bytes in an entry and 9 in a slot, which doubles as it grows.
    pub dedupe_ids_max: usize,
    /// Rooms of one session.
    pub per_session_max: usize,
    /// Rooms whose members are told who comes and goes: names, or the beginnings of names with a `*`
    /// behind them.
    pub announced: Vec<String>,
}

impl Default for RoomConfig {
    fn default() -> Self {
        Self {
            messages_max: 1000,
            bytes_max: 1024 * 1024,
            age_max: Duration::from_secs(3600),
            // 1,500 a second for ten minutes. What fills a table just before it doubles.
            dedupe_ids_max: 900_000,
            per_session_max: 1000,
            announced: vec!["*".to_owned()],
        }
    }
}

impl RoomConfig {
    /// In a room of more users nobody is told who comes and goes: each time all of them would be. A
    /// guess at how many still look at that.
    pub const ANNOUNCED_USERS_MAX: u64 = 1000;

    /// Whether the members of a room with so many users are told who comes and goes.
    #[must_use]
    pub fn announces(&self, room: &str, users: u64) -> bool {
        users <= Self::ANNOUNCED_USERS_MAX && self.is_listed(room)
    }

    fn is_listed(&self, room: &str) -> bool {
        self.announced
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(beginning) => room.starts_with(beginning),
                None => room == pattern,
            })
    }
}

/// Settings of the failure detector. With the defaults a killed node is down everywhere after 2.0 s
/// (the median of 330 simulated crashes; the longest took 2.8 s), and a pause of one second changes
/// nothing.
///
/// Whom a node probes is left to chance, so it is the probe period that decides how long a dead one
/// can go unnoticed: with 500 ms one death in 330 took over 5 s to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GossipConfig {
    /// Every so often one member, picked at random, is probed. Over [`Self::probe_timeout`].
    pub probe_period: Duration,
    /// How long the probed member may take before others are asked to probe it, too.
    pub probe_timeout: Duration,
    /// How long a suspect may take to speak up before it is down. At least two probe periods.
    pub suspicion_timeout: Duration,
    /// Every so often a node compares what it knows with one live member, and tries the seeds and
    /// the members it has lost.
    pub exchange_interval: Duration,
}

impl Default for GossipConfig {
    fn default() -> Self {
        Self {
            probe_period: Duration::from_millis(250),
            probe_timeout: Duration::from_millis(150),
            suspicion_timeout: Duration::from_millis(1500),
            exchange_interval: Duration::from_secs(2),
        }
    }
}

/// Bounds of everything a client or a peer can make grow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one message, reassembled; the limit itself passes.
    pub message_bytes_max: usize,
    /// Frames of one fragmented message.
    pub fragments_max: usize,
    /// Bytes queued for one session before it is cut off (4413).
    pub outbound_bytes_max: usize,
    /// From the connection's first byte to the end of its handshake.
    pub handshake_timeout: Duration,
    /// Bytes of a request head, 8 KiB or more.
    pub header_bytes_max: usize,
    /// Header fields of a request.
    pub headers_max: usize,
    /// Every client is pinged this often, give or take a tenth.
    pub heartbeat_interval: Duration,
    /// How long it may take to answer before it is cut off (4408).
    pub heartbeat_timeout: Duration,
    /// After this a request without an outcome is answered `unknown` or `unreachable`.
    pub request_timeout: Duration,
    /// Requests on their way to one peer, sent and not yet answered.
    pub peer_window: usize,
    /// Bytes that wait for one peer.
    pub peer_queue_bytes_max: usize,
    /// Sessions of one user, counted in the whole cluster.
    pub sessions_per_user_max: usize,
    /// What is done past it.
    pub at_session_limit: AtSessionLimit,
    /// Users in one presence request.
    pub presence_users_max: usize,
    /// qos 1 sends of one session without a receipt; at this number the session is not read.
    pub pending_sends_max: usize,
    /// `/locate` requests a second, with bursts of the same number.
    pub locate_rate: u32,
    /// Messages a second of one session; acks, pings and control frames do not count. Past it (and
    /// [`Self::message_burst`]) `rate_limited`, and for those who go on 4429.
    pub message_rate: u32,
    /// Messages that one session may send at once, after a pause.
    pub message_burst: u32,
    /// Client connections of the node, handshakes under way included; past it 503.
    pub connections_max: usize,
    /// Those of one address (of IPv6: of one /64); past it 429.
    pub connections_per_address_max: usize,
    /// Handshakes a second of one address, `/locate` included; past it (and
    /// [`Self::handshake_burst`]) 429.
    pub handshake_rate: u32,
    /// Handshakes that one address may make at once, after a pause.
    pub handshake_burst: u32,
    /// Networks whose addresses stand for many clients, such as proxies: what is bounded per address is not
    /// bounded for them.
    pub exempt_networks: Vec<IpNet>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes_max: 64 * 1024,
            fragments_max: 1024,
            outbound_bytes_max: 1024 * 1024,
            handshake_timeout: Duration::from_secs(10),
            header_bytes_max: 16 * 1024,
            headers_max: 64,
            heartbeat_interval: Duration::from_secs(25),
            heartbeat_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(15),
            peer_window: 8192,
            peer_queue_bytes_max: 16 * 1024 * 1024,
            sessions_per_user_max: 100,
            at_session_limit: AtSessionLimit::default(),
            presence_users_max: 256,
            pending_sends_max: 1024,
            locate_rate: 10_000,
            message_rate: 200,
            message_burst: 1000,
            connections_max: 200_000,
            connections_per_address_max: 5000,
            handshake_rate: 200,
            handshake_burst: 2000,
            exempt_networks: ["127.0.0.0/8", "::1/128"].map(network).to_vec(),
        }
    }
}

fn network(text: &str) -> IpNet {
    text.parse().expect("it is a network")
}

/// What is done with one session too many of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AtSessionLimit {
    /// The new one is closed, with 4509.
    #[default]
    RefuseNewest,
    /// The oldest one is closed, with 4511.
    ReplaceOldest,
}

/// Why a configuration cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {reason}")]
pub struct ConfigError {
    /// The setting, by the name of its flag, without dashes in front.
    pub key: &'static str,
    /// What it was set to.
    pub value: String,
    /// What is wrong with it and what would do.
    pub reason: String,
}
