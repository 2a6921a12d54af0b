//! What a node counts. Every counter only grows, and starts from zero with the process.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[doc = $help:literal])+ $name:ident),* $(,)?) => {
        /// The counters of one node.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $help])+ pub $name: Counter,)*
        }

        impl Counters {
            /// Each counter's name, help text and value.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($help),+).trim_ascii(), self.$name.get()),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Client connections accepted.
    connections,
    /// Handshakes that ended in a session.
    sessions_opened,
    /// Sessions that ended.
    sessions_closed,
    /// Handshakes answered with a redirect to the user's owner.
    redirects,
    /// Handshakes refused with an error status or, in `frame` mode, in frames, and sessions that were never let in.
    handshakes_refused,
    /// Sessions told to move after the ring changed or for a drain.
    moves,
    /// Messages taken from clients.
    messages_in,
    /// Messages taken from backends.
    messages_of_backends,
    /// Messages handed to sessions, once for each session; notices of delivery are none.
    messages_out,
    /// Messages put into the queue to another node, without copies, batches for guests and notices of delivery.
    forwarded,
    /// Bytes of the bodies of messages taken from clients and backends.
    received_bytes,
    /// Bytes of the bodies of messages handed to sessions, once for each session.
    delivered_bytes,
    /// Bytes of the bodies of messages sent to another node; not those of copies and of batches for guests.
    forwarded_bytes,
    /// Batches of kept messages sent to another node, for a guest or all members of a room there.
    deliveries,
    /// Messages that arrived from another node although a third one owns the user.
    strays,
    /// Times that the members of a room were told who has come or gone.
    announcements,
    /// Times that the members of a room were told that messages may be missing.
    room_gaps,
    /// Messages that were accepted: all holders have them.
    accepted,
    /// Messages that were accepted before, and recognised.
    repeats,
    /// Messages refused because the recipient's inbox was full.
    messages_inbox_full,
    /// Messages refused because too many had come to the room within the dedupe window.
    messages_over_room_rate,
    /// Kept messages that nobody acked, dropped for their age.
    expired,
    /// Copies of streams that a drained node still held at its end.
    left_behind,
    /// Sessions closed because a backend disconnected their user.
    disconnected,
    /// Sessions refused because their user had as many as are allowed.
    sessions_over_limit,
    /// Sessions closed because a newer one of their user took their place.
    sessions_replaced,
    /// Holders passed over because they did not acknowledge.
    holders_passed_over,
    /// Live members passed over because they did not agree about the ring.
    members_passed_over,
    /// Messages whose user had no session.
    offline,
    /// Messages without a way to the user's node, or past their hops or time.
    unreachable,
    /// Messages whose outcome is not known.
    unknown,
    /// Requests that the queue to a peer had no room for, once for each try; a kept message is tried again.
    peer_queue_full,
    /// Times that messages began to wait because a peer had as many unanswered ones as it may.
    peer_window_full,
    /// Times that members became suspect to this node.
    suspicions,
    /// Requests refused because they named more users or rooms than one may.
    requests_too_large,
    /// Joins refused because the session was in as many rooms as it may be.
    rooms_over_limit,
    /// Times that a session was not read because it had as many messages without a receipt as it may.
    sends_paused,
    /// Sessions closed because they read too slowly.
    slow_readers,
    /// Sessions closed because nothing was heard of them.
    heartbeats_missed,
    /// Sessions closed because they broke the WebSocket protocol.
    protocol_errors,
    /// Calls of the program's handler that panicked.
    handler_panics,
    /// Handshakes and lookups refused for their token or ticket, or for the lack of one.
    unauthorized,
    /// Handshakes refused because the node had as many connections as it may.
    connections_over_limit,
    /// Handshakes and lookups refused because their address had too many connections.
    connections_over_address_limit,
    /// Handshakes and lookups refused because their address made too many in a short time.
    handshakes_over_rate,
    /// Lookups refused because the node had too many in a short time.
    locates_over_rate,
    /// Connections of clients that ended in their TLS handshake.
    tls_errors,
    /// Messages refused because their session sent too many in a short time.
    rate_limited,
    /// Sessions closed because they went on to send too many messages.
    sessions_over_rate,
    /// Sessions closed because their token expired.
    tokens_expired,
    /// Calls of the API refused for their key, or for the lack of one.
    api_unauthorized,
    /// Connections to the admin address that were closed at once, since there were too many.
    admin_connections_over_limit,
    /// Connections of peers that ended in their TLS handshake.
    peer_tls_errors,
    /// Records of members that were not believed: an address, a weight or a generation that cannot be.
    records_refused,
    /// Times that keys, secrets or certificates were read again.
    key_reloads,
    /// Times that keys, secrets or certificates could not be read again, and those from before stayed.
    key_reload_errors,
    /// Gossip packets dropped because too many were under way.
    gossip_dropped,
    /// Peers refused: another cluster's name, an unknown protocol version, an id that their certificate is not for, an
    /// address outside the networks, too many connections, or none of HTTP/2.
    peers_refused,
    /// Webhook events that the receiver has taken.
    webhook_sent,
    /// Webhook requests that the receiver has not taken and that are sent again.
    webhook_requests_retried,
    /// Webhook events dropped: refused, too old, or no room for them.
    webhook_dropped,
    /// Failures to accept a connection.
    accept_errors,
}

impl Counters {
    /// A message with a body of so many bytes was handed to so many sessions.
    pub(super) fn handed(&self, sessions: u64, bytes: usize) {
        self.messages_out.add_many(sessions);
        self.delivered_bytes.add_many(sessions * bytes as u64);
    }

    /// A message with a body of so many bytes stands in the queue to another node.
    pub(super) fn sent_on(&self, bytes: usize) {
        self.forwarded.add();
        self.forwarded_bytes.add_many(bytes as u64);
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.add_many(1);
    }

    /// That many more.
    pub fn add_many(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// How many so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
