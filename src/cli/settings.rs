//! The settings of a node: one table for flags, environment variables and the keys of a TOML file.

// The documentation here is help on a terminal, where marks of Markdown would only disturb.
#![allow(clippy::doc_markdown)]

use clap::Args;
use serde::Deserialize;

use super::values::{
    Address, Count, List, Location, LogFormat, Ratio, SessionLimit, Span, Switch, Text,
};

/// What was said of each setting in one place; `None` where nothing was.
///
/// clap fills one from flags and environment, serde another from the file. The documentation of a
/// field is its help; each names the unit, the default and the use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// This node's name, unique in the cluster: 1 to 64 of A-Z a-z 0-9 . _ -
    ///
    /// The node's place on the ring comes from this name alone, so keep it over restarts.
    /// Required.
    #[arg(long, env = "RINGPOST_ID", value_name = "NAME", help_heading = NODE)]
    pub id: Option<Text>,

    /// The cluster's name; nodes of another name are refused. Default: ringpost
    ///
    /// The same on every node: the ring's hash seed comes from it, too.
    #[arg(long, env = "RINGPOST_CLUSTER", value_name = "NAME", help_heading = NODE)]
    pub cluster: Option<Text>,

    /// Where clients connect. Port 0 takes a free one. Default: 127.0.0.1:7001
    #[arg(long, env = "RINGPOST_LISTEN", value_name = "IP:PORT", help_heading = NODE)]
    pub listen: Option<Address>,

    /// Where other nodes connect (gRPC). Port 0 takes a free one. Default: 127.0.0.1:7101
    #[arg(long, env = "RINGPOST_PEER_LISTEN", value_name = "IP:PORT", help_heading = NODE)]
    pub peer_listen: Option<Address>,

    /// Where operators and backends connect (HTTP, gRPC). Port 0 takes a free one. Default:
    /// 127.0.0.1:7201
    #[arg(long, env = "RINGPOST_ADMIN_LISTEN", value_name = "IP:PORT", help_heading = NODE)]
    pub admin_listen: Option<Address>,

    /// Peer addresses to find the cluster by, with commas in between. Default: none, a cluster
    /// of one
    ///
    /// Give every node the same list, its own address included. A host name may resolve to many
    /// addresses. Unreachable seeds are retried for ever, so nodes may start in any order.
    #[arg(long, env = "RINGPOST_SEEDS", value_name = "HOST:PORT,...", help_heading = NODE)]
    pub seeds: Option<List>,

    /// Live members, this one included, that a node must have seen before it is ready. Default: 1
    ///
    /// For /readyz, where a restart of node after node waits for each: with 2 a node that comes
    /// back and finds nobody stops the restart. It serves clients that come nevertheless.
    #[arg(long, env = "RINGPOST_MIN_MEMBERS", value_name = "N", help_heading = NODE)]
    pub min_members: Option<Count>,

    /// The URL clients are sent to, ws://host:port or wss://host. Default: the address of
    /// --listen
    ///
    /// Needed when --listen is a wildcard (0.0.0.0 or [::]), since nobody can be redirected
    /// there, and when clients reach this node by another name or through TLS in front of it.
    /// /ws is appended.
    #[arg(long, env = "RINGPOST_ADVERTISE_URL", value_name = "URL", help_heading = NODE)]
    pub advertise_url: Option<Text>,

    /// What other nodes dial. Default: the address of --peer-listen
    ///
    /// Needed when --peer-listen is a wildcard.
    #[arg(long, env = "RINGPOST_ADVERTISE_PEER", value_name = "HOST:PORT", help_heading = NODE)]
    pub advertise_peer: Option<Text>,

    /// This node's share of the users relative to the others', 1 to 64. Default: 1
    #[arg(long, env = "RINGPOST_WEIGHT", value_name = "N", help_heading = NODE)]
    pub weight: Option<Count>,

    /// Take the user from ?user= and believe it. Default: false
    ///
    /// Anybody can then be any user: for development and for trusted networks. Without it users
    /// come with tokens, and --jwt-keys or --jwt-secret-file is required.
    #[arg(long, env = "RINGPOST_INSECURE_USERS", value_name = "BOOL", help_heading = TRUST,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub insecure_users: Option<Switch>,

    /// Files with the public keys that sign users' tokens, PEM or JWKS. Default: none
    ///
    /// RS256, ES256 and EdDSA; the key named by a token's kid is used, where it names one. Each file
    /// is read again when it changes.
    #[arg(long, env = "RINGPOST_JWT_KEYS", value_name = "FILE,...", help_heading = TRUST)]
    pub jwt_keys: Option<List>,

    /// Files with a secret each that signs users' tokens (HS256). Default: none
    ///
    /// White space at its end does not count. Each file is read again when it changes.
    #[arg(long, env = "RINGPOST_JWT_SECRET_FILE", value_name = "FILE,...", help_heading = TRUST)]
    pub jwt_secret_file: Option<List>,

    /// Whom a token must be for (aud), one of these. Default: anybody
    #[arg(long, env = "RINGPOST_JWT_AUDIENCE", value_name = "NAME,...", help_heading = TRUST)]
    pub jwt_audience: Option<List>,

    /// Who must have issued a token (iss), one of these. Default: anybody
    #[arg(long, env = "RINGPOST_JWT_ISSUER", value_name = "NAME,...", help_heading = TRUST)]
    pub jwt_issuer: Option<List>,

    /// By how much the issuers' clocks may be off. At most 5m. Default: 10s
    #[arg(long, env = "RINGPOST_JWT_LEEWAY", value_name = "TIME", help_heading = TRUST)]
    pub jwt_leeway: Option<Span>,

    /// How long before its token expires a client is told. Default: 1m
    #[arg(long, env = "RINGPOST_TOKEN_WARNING", value_name = "TIME", help_heading = TRUST)]
    pub token_warning: Option<Span>,

    /// Certificates that sign those of nodes, PEM: nodes without one are refused. Default: none
    ///
    /// Several may stand in the file while one takes the place of another. Read again when it changes.
    #[arg(long, env = "RINGPOST_PEER_CA", value_name = "FILE", help_heading = TRUST)]
    pub peer_ca: Option<Text>,

    /// This node's certificate towards other nodes, PEM. Default: none
    ///
    /// The node's id must be its common name, a DNS name of it, or the first label of one. Read
    /// again when it changes.
    #[arg(long, env = "RINGPOST_PEER_CERT", value_name = "FILE", help_heading = TRUST)]
    pub peer_cert: Option<Text>,

    /// Its private key, PEM. Default: none
    #[arg(long, env = "RINGPOST_PEER_KEY", value_name = "FILE", help_heading = TRUST)]
    pub peer_key: Option<Text>,

    /// A file with the secret that all nodes of the cluster share. Default: none
    ///
    /// At least 32 characters a line. The first line is this node's, all lines are accepted, so
    /// that one can take the place of another. Read again when it changes.
    #[arg(long, env = "RINGPOST_CLUSTER_SECRET_FILE", value_name = "FILE", help_heading = TRUST)]
    pub cluster_secret_file: Option<Text>,

    /// Networks in which nodes may be, as 10.0.0.0/8; others are not believed. Default: all
    #[arg(long, env = "RINGPOST_PEER_NETWORKS", value_name = "NET,...", help_heading = TRUST)]
    pub peer_networks: Option<List>,

    /// A file with the keys of backends, one a line, for the API. Default: none
    ///
    /// At least 16 characters a line. A call then needs "Authorization: Bearer KEY". Required when --admin-listen is
    /// not a loopback address. Read again when it changes.
    #[arg(long, env = "RINGPOST_API_KEYS_FILE", value_name = "FILE", help_heading = TRUST)]
    pub api_keys_file: Option<Text>,

    /// The certificate for clients (TLS), PEM. Default: none, TLS off
    ///
    /// Read again when it changes. Set --advertise-url to wss://NAME:PORT as in the certificate.
    #[arg(long, env = "RINGPOST_TLS_CERT", value_name = "FILE", help_heading = TRUST)]
    pub tls_cert: Option<Text>,

    /// Its private key, PEM. Default: none
    #[arg(long, env = "RINGPOST_TLS_KEY", value_name = "FILE", help_heading = TRUST)]
    pub tls_key: Option<Text>,

    /// Allow peer and admin addresses off loopback, without authentication. Default: false
    ///
    /// Whoever reaches such a peer address can join the ring and read messages: for networks
    /// that only the cluster is on.
    #[arg(long, env = "RINGPOST_INSECURE_PEERS", value_name = "BOOL", help_heading = TRUST,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub insecure_peers: Option<Switch>,

    /// Origins whose pages may connect, with commas in between. Default: the node's own hosts
    ///
    /// scheme://host[:port], matched exactly, or https://*.example.com for every name below
    /// example.com, but not for that itself; any other Origin gets 403. Without a list an
    /// origin's host must be that of the Host header or of a member's advertised URL, whatever
    /// the port. Clients that send no Origin, as programs do, are not concerned.
    #[arg(long, env = "RINGPOST_ALLOWED_ORIGINS", value_name = "ORIGIN,...", help_heading = TRUST)]
    pub allowed_origins: Option<List>,

    /// The form of Location in a 307: scheme-relative or absolute. Default: scheme-relative
    ///
    /// Clients that follow redirects want either ws:// or http://; //host:port/... suits both.
    /// absolute gives ws://host:port/... for clients that want nothing else.
    #[arg(long, env = "RINGPOST_REDIRECT_LOCATION", value_name = "FORM", help_heading = MOVES)]
    pub redirect_location: Option<Location>,

    /// How long a stop may take to send clients elsewhere. Default: 30s
    #[arg(long, env = "RINGPOST_DRAIN_TIMEOUT", value_name = "TIME", help_heading = MOVES)]
    pub drain_timeout: Option<Span>,

    /// Sessions a second that are told to move to their owner. Default: 100
    ///
    /// When the ring has changed, or when they are still guests after two seconds. A drain sends its clients
    /// away at the same rate.
    #[arg(long, env = "RINGPOST_REBALANCE_RATE", value_name = "N", help_heading = MOVES)]
    pub rebalance_rate: Option<Count>,

    /// Nodes that hold each user's messages, the user's own included, 1 to 5. Default: 2
    ///
    /// What was accepted survives the crash of all of them but one. Every message waits for all
    /// that are alive. The same on every node.
    #[arg(long, env = "RINGPOST_REPLICAS", value_name = "N", help_heading = KEEPING)]
    pub replicas: Option<Count>,

    /// Nodes that must hold a message before it is accepted, 1 to --replicas. Default: 1
    ///
    /// It matters where fewer than --replicas are alive: with 1 the last node still accepts, and
    /// the receipt says copies 1; with more, senders are told unreachable.
    #[arg(long, env = "RINGPOST_MIN_COPIES", value_name = "N", help_heading = KEEPING)]
    pub min_copies: Option<Count>,

    /// Messages of one user that wait to be acked; past it senders are told inbox_full. Default:
    /// 1000
    ///
    /// As many acked ones may be kept beside them, for clients that resume.
    #[arg(long, env = "RINGPOST_MAX_INBOX_MESSAGES", value_name = "N", help_heading = KEEPING)]
    pub max_inbox_messages: Option<Count>,

    /// Bytes of one user's messages that wait to be acked; past it inbox_full. Default: 1048576
    ///
    /// At least --max-message-bytes.
    #[arg(long, env = "RINGPOST_MAX_INBOX_BYTES", value_name = "BYTES", help_heading = KEEPING)]
    pub max_inbox_bytes: Option<Count>,

    /// How long a message is kept; then it is dropped, acked or not. At most 720h. Default: 24h
    #[arg(long, env = "RINGPOST_INBOX_AGE", value_name = "TIME", help_heading = KEEPING)]
    pub inbox_age: Option<Span>,

    /// How long a repeat of a message is recognised by its id. At most 720h. Default: 10m
    ///
    /// At least two of --request-timeout, so that it outlasts the retries of clients.
    #[arg(long, env = "RINGPOST_DEDUPE_WINDOW", value_name = "TIME", help_heading = KEEPING)]
    pub dedupe_window: Option<Span>,

    /// Messages to one user within --dedupe-window; past it inbox_full. Default: 65536
    ///
    /// The id of each is remembered for so long, whether the message is still there or not. At most
    /// 1000000.
    #[arg(long, env = "RINGPOST_MAX_DEDUPE_IDS", value_name = "N", help_heading = KEEPING)]
    pub max_dedupe_ids: Option<Count>,

    /// Bytes of all that this node keeps, copies for others included; past it inbox_full.
    /// Default: 1073741824
    ///
    /// At least --max-inbox-bytes.
    #[arg(long, env = "RINGPOST_MAX_NODE_INBOX_BYTES", value_name = "BYTES",
          help_heading = KEEPING)]
    pub max_node_inbox_bytes: Option<Count>,

    /// Messages of one room that are kept for those who come later. Default: 1000
    #[arg(long, env = "RINGPOST_MAX_ROOM_MESSAGES", value_name = "N", help_heading = ROOMS)]
    pub max_room_messages: Option<Count>,

    /// Bytes of the same. Default: 1048576
    #[arg(long, env = "RINGPOST_MAX_ROOM_BYTES", value_name = "BYTES", help_heading = ROOMS)]
    pub max_room_bytes: Option<Count>,

    /// How long they are kept. At most 720h. Default: 1h
    #[arg(long, env = "RINGPOST_ROOM_AGE", value_name = "TIME", help_heading = ROOMS)]
    pub room_age: Option<Span>,

    /// Messages to one room within --dedupe-window; past it rate_limited. Default: 900000
    ///
    /// The id of each is remembered for so long, whether the message is still there or not. At most
    /// 1000000.
    #[arg(long, env = "RINGPOST_MAX_ROOM_DEDUPE_IDS", value_name = "N", help_heading = ROOMS)]
    pub max_room_dedupe_ids: Option<Count>,

    /// Rooms that one session may be in. Default: 1000
    #[arg(long, env = "RINGPOST_MAX_ROOMS_PER_SESSION", value_name = "N", help_heading = ROOMS)]
    pub max_rooms_per_session: Option<Count>,

    /// Rooms whose members are told who joins and leaves, with commas in between. Default: *
    ///
    /// Names, or the beginnings of names with a * behind them; an empty list: none. While more than
    /// 1000 users are in a room they are not told: each time all of them would be.
    #[arg(long, env = "RINGPOST_ANNOUNCED_ROOMS", value_name = "ROOM,...", help_heading = ROOMS)]
    pub announced_rooms: Option<List>,

    /// Let clients send to everyone; backends may in any case. Default: false
    #[arg(long, env = "RINGPOST_CLIENTS_MAY_BROADCAST", value_name = "BOOL", help_heading = ROOMS,
          num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub clients_may_broadcast: Option<Switch>,

    /// Where events of users are sent by HTTP, http://host:port/path. Default: none, no webhooks
    ///
    /// Each request is signed, sent again until it is taken or --webhook-retry-for is over, and
    /// never waited for. No TLS yet.
    #[arg(long, env = "RINGPOST_WEBHOOK_URL", value_name = "URL", help_heading = WEBHOOKS)]
    pub webhook_url: Option<Text>,

    /// A file with the secret that signs the requests; needed with --webhook-url. Default: none
    ///
    /// White space at its end does not count.
    #[arg(long, env = "RINGPOST_WEBHOOK_SECRET_FILE", value_name = "FILE",
          help_heading = WEBHOOKS)]
    pub webhook_secret_file: Option<Text>,

    /// What is told: some of connected, disconnected, offline_message, inbox_full. Default: all
    #[arg(long, env = "RINGPOST_WEBHOOK_EVENTS", value_name = "EVENT,...",
          help_heading = WEBHOOKS)]
    pub webhook_events: Option<List>,

    /// Bytes of events that wait; past it new ones are dropped. Default: 67108864
    ///
    /// At least --max-message-bytes. A sixteenth of it is for each sixteenth of the users.
    #[arg(long, env = "RINGPOST_WEBHOOK_QUEUE_BYTES", value_name = "BYTES",
          help_heading = WEBHOOKS)]
    pub webhook_queue_bytes: Option<Count>,

    /// How long the receiver may take for one request. Default: 5s
    #[arg(long, env = "RINGPOST_WEBHOOK_TIMEOUT", value_name = "TIME", help_heading = WEBHOOKS)]
    pub webhook_timeout: Option<Span>,

    /// An event that is older and cannot be delivered is dropped. Default: 10m
    #[arg(long, env = "RINGPOST_WEBHOOK_RETRY_FOR", value_name = "TIME",
          help_heading = WEBHOOKS)]
    pub webhook_retry_for: Option<Span>,

    /// How often one member, picked at random, is probed. Default: 250ms
    #[arg(long, env = "RINGPOST_PROBE_PERIOD", value_name = "TIME", help_heading = GOSSIP)]
    pub probe_period: Option<Span>,

    /// How long it may take to answer before others probe it, too. Default: 150ms
    ///
    /// Shorter than --probe-period, and longer than the slowest round trip between nodes.
    #[arg(long, env = "RINGPOST_PROBE_TIMEOUT", value_name = "TIME", help_heading = GOSSIP)]
    pub probe_timeout: Option<Span>,

    /// How long a suspect may take to speak up before it is down. Default: 1.5s
    ///
    /// At least two probe periods. A pause of a node that is shorter changes nothing; a dead
    /// node is down everywhere about two probe periods after this time.
    #[arg(long, env = "RINGPOST_SUSPICION_TIMEOUT", value_name = "TIME", help_heading = GOSSIP)]
    pub suspicion_timeout: Option<Span>,

    /// How often a node compares all it knows with one member, and tries seeds and lost members.
    /// Default: 2s
    ///
    /// It bounds how long a healed partition takes to be noticed.
    #[arg(long, env = "RINGPOST_EXCHANGE_INTERVAL", value_name = "TIME", help_heading = GOSSIP)]
    pub exchange_interval: Option<Span>,

    /// Bytes of one message, its fragments together. Default: 65536
    ///
    /// One of exactly this size passes; a larger one closes the connection with 1009.
    #[arg(long, env = "RINGPOST_MAX_MESSAGE_BYTES", value_name = "BYTES", help_heading = CLIENTS)]
    pub max_message_bytes: Option<Count>,

    /// Frames of one fragmented message; more close with 1009. Default: 1024
    #[arg(long, env = "RINGPOST_MAX_FRAGMENTS", value_name = "N", help_heading = CLIENTS)]
    pub max_fragments: Option<Count>,

    /// Bytes queued for a client that does not read, before it is cut off with 4413. Default:
    /// 1048576
    #[arg(long, env = "RINGPOST_MAX_OUTBOUND_BYTES", value_name = "BYTES", help_heading = CLIENTS)]
    pub max_outbound_bytes: Option<Count>,

    /// From a connection's first byte to the end of its handshake. Default: 10s
    #[arg(long, env = "RINGPOST_HANDSHAKE_TIMEOUT", value_name = "TIME", help_heading = CLIENTS)]
    pub handshake_timeout: Option<Span>,

    /// Bytes of a request's head, 8192 or more; a longer one gets 431. Default: 16384
    #[arg(long, env = "RINGPOST_MAX_HEADER_BYTES", value_name = "BYTES", help_heading = CLIENTS)]
    pub max_header_bytes: Option<Count>,

    /// Header fields of a request, 16 or more; one with more gets 431. Default: 64
    #[arg(long, env = "RINGPOST_MAX_HEADERS", value_name = "N", help_heading = CLIENTS)]
    pub max_headers: Option<Count>,

    /// Every client is pinged this often, give or take a tenth. Default: 25s
    ///
    /// Shorter than the idle time-out of any proxy in between.
    #[arg(long, env = "RINGPOST_HEARTBEAT_INTERVAL", value_name = "TIME", help_heading = CLIENTS)]
    pub heartbeat_interval: Option<Span>,

    /// How long it may take to answer before it is cut off with 4408. Default: 10s
    #[arg(long, env = "RINGPOST_HEARTBEAT_TIMEOUT", value_name = "TIME", help_heading = CLIENTS)]
    pub heartbeat_timeout: Option<Span>,

    /// After this a request without an outcome is answered unknown or unreachable. Default: 15s
    #[arg(long, env = "RINGPOST_REQUEST_TIMEOUT", value_name = "TIME", help_heading = CLIENTS)]
    pub request_timeout: Option<Span>,

    /// Sessions of one user in the whole cluster. Default: 100
    #[arg(long, env = "RINGPOST_MAX_SESSIONS_PER_USER", value_name = "N", help_heading = CLIENTS)]
    pub max_sessions_per_user: Option<Count>,

    /// What to do with one more: refuse-newest (4509) or replace-oldest (4511). Default: refuse-newest
    #[arg(long, env = "RINGPOST_AT_SESSION_LIMIT", value_name = "WHAT", help_heading = CLIENTS)]
    pub at_session_limit: Option<SessionLimit>,

    /// Users in one presence request. Default: 256
    #[arg(long, env = "RINGPOST_MAX_PRESENCE_USERS", value_name = "N", help_heading = CLIENTS)]
    pub max_presence_users: Option<Count>,

    /// qos 1 sends of one client without a receipt; at this number it is not read. Default: 1024
    #[arg(long, env = "RINGPOST_MAX_PENDING_SENDS", value_name = "N", help_heading = CLIENTS)]
    pub max_pending_sends: Option<Count>,

    /// Requests to /locate a second, and in one burst; more get 429. Default: 10000
    #[arg(long, env = "RINGPOST_LOCATE_RATE", value_name = "N", help_heading = CLIENTS)]
    pub locate_rate: Option<Count>,

    /// Messages a second of one client; more are refused with rate_limited. Default: 200
    ///
    /// Acks and pings do not count. Who goes on in spite of that is closed with 4429.
    #[arg(long, env = "RINGPOST_MESSAGE_RATE", value_name = "N", help_heading = CLIENTS)]
    pub message_rate: Option<Count>,

    /// Messages that one client may send at once, after a pause. Default: 1000
    #[arg(long, env = "RINGPOST_MESSAGE_BURST", value_name = "N", help_heading = CLIENTS)]
    pub message_burst: Option<Count>,

    /// Client connections of this node; more get 503. Default: 200000
    #[arg(long, env = "RINGPOST_MAX_CONNECTIONS", value_name = "N", help_heading = CLIENTS)]
    pub max_connections: Option<Count>,

    /// Connections of one address; more get 429. Default: 5000
    ///
    /// Of IPv6 a /64 counts as one. See --exempt-networks.
    #[arg(long, env = "RINGPOST_MAX_CONNECTIONS_PER_ADDRESS", value_name = "N",
          help_heading = CLIENTS)]
    pub max_connections_per_address: Option<Count>,

    /// Handshakes and lookups a second of one address; more get 429. Default: 200
    #[arg(long, env = "RINGPOST_HANDSHAKE_RATE", value_name = "N", help_heading = CLIENTS)]
    pub handshake_rate: Option<Count>,

    /// Handshakes that one address may make at once, after a pause. Default: 2000
    #[arg(long, env = "RINGPOST_HANDSHAKE_BURST", value_name = "N", help_heading = CLIENTS)]
    pub handshake_burst: Option<Count>,

    /// Networks whose addresses stand for many clients. Default: 127.0.0.0/8,::1/128
    ///
    /// Proxies and load balancers: what is bounded per address is not bounded for them.
    #[arg(long, env = "RINGPOST_EXEMPT_NETWORKS", value_name = "NET,...", help_heading = CLIENTS)]
    pub exempt_networks: Option<List>,

    /// Requests on their way to one peer, sent and not yet answered. Default: 8192
    #[arg(long, env = "RINGPOST_PEER_WINDOW", value_name = "N", help_heading = PEERS)]
    pub peer_window: Option<Count>,

    /// Bytes that wait for one peer; senders beyond are told unreachable. Default: 16777216
    #[arg(long, env = "RINGPOST_MAX_PEER_QUEUE_BYTES", value_name = "BYTES", help_heading = PEERS)]
    pub max_peer_queue_bytes: Option<Count>,

    /// The form of the log on standard error: text or json. Default: text
    ///
    /// What is logged is chosen by RUST_LOG, info without it.
    #[arg(long, env = "RINGPOST_LOG_FORMAT", value_name = "FORM", help_heading = LOG)]
    pub log_format: Option<LogFormat>,

    /// A collector for traces of messages (OTLP over gRPC), http://host:port. Default: none
    ///
    /// Needs a build with the feature otel.
    #[arg(long, env = "RINGPOST_OTEL_ENDPOINT", value_name = "URL", help_heading = TRACES)]
    pub otel_endpoint: Option<Text>,

    /// The part of messages that get a trace, 0 to 1, unless they have one. Default: 0.01
    #[arg(long, env = "RINGPOST_OTEL_SAMPLE_RATIO", value_name = "RATIO", help_heading = TRACES)]
    pub otel_sample_ratio: Option<Ratio>,
}

const NODE: &str = "The node and its addresses";
const TRUST: &str = "Trust";
const MOVES: &str = "Sending clients elsewhere";
const KEEPING: &str = "Keeping messages";
const ROOMS: &str = "Rooms";
const WEBHOOKS: &str = "Webhooks";
const GOSSIP: &str = "Failure detector";
const CLIENTS: &str = "Limits of clients";
const PEERS: &str = "Limits between nodes";
const LOG: &str = "Log";
const TRACES: &str = "Traces";
