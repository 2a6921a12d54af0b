//! From the configuration to what the dispatcher has to know of it.

use super::COPY_TIMEOUT;
use crate::config::Config;
use crate::core::link::LinkLimits;
use crate::core::stream::{LogLimits, StreamConfig};
use crate::dispatch::{Dispatch, DispatchConfig};

/// What the dispatcher has to know.
pub(super) fn dispatch_config(config: &Config) -> DispatchConfig {
    DispatchConfig {
        request_timeout: config.limits.request_timeout,
        link: LinkLimits {
            window: config.limits.peer_window,
            queue_bytes_max: config.limits.peer_queue_bytes_max,
        },
        copy_timeout: COPY_TIMEOUT,
        streams: stream_config(config),
        rebalance_rate: config.rebalance_rate,
        sessions_per_user: (
            config.limits.sessions_per_user_max,
            config.limits.at_session_limit,
        ),
        rooms: config.room.clone(),
        clients_may_broadcast: config.clients_may_broadcast,
        min_members: usize::from(config.min_members),
    }
}

/// Messages of a room that a node with members has not got yet, at most; past it senders wait. A guess:
/// what comes in within the time of a take-over.
const ROOM_UNDELIVERED_MAX: usize = 8192;
/// Bytes of those.
const ROOM_UNDELIVERED_BYTES_MAX: usize = 8 * 1024 * 1024;

fn stream_config(config: &Config) -> StreamConfig {
    let inbox = &config.inbox;
    StreamConfig {
        replicas: usize::from(config.replicas),
        min_copies: usize::from(config.min_copies),
        inboxes: LogLimits {
            entries_max: inbox.messages_max,
            bytes_max: inbox.bytes_max,
            kept_entries_max: inbox.messages_max,
            kept_bytes_max: inbox.bytes_max,
            age_max: inbox.age_max,
            seen_max: inbox.dedupe_ids_max,
            seen_age: inbox.dedupe_window,
        },
        rooms: LogLimits {
            entries_max: ROOM_UNDELIVERED_MAX,
            bytes_max: ROOM_UNDELIVERED_BYTES_MAX,
            kept_entries_max: config.room.messages_max,
            kept_bytes_max: config.room.bytes_max,
            age_max: config.room.age_max,
            seen_max: config.room.dedupe_ids_max,
            seen_age: inbox.dedupe_window,
        },
        // Users are spread evenly over the shards.
        shard_bytes_max: (inbox.node_bytes_max / Dispatch::SHARDS).max(inbox.bytes_max),
    }
}
