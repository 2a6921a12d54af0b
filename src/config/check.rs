//! What makes a configuration unusable.

use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Config, ConfigError, GossipConfig, InboxConfig, Limits, RoomConfig, address};

/// Longest cluster name, in bytes.
const CLUSTER_BYTES_MAX: usize = 64;
/// Longest seed list. A guess; a seed that is a host name stands for many addresses.
const SEEDS_MAX: usize = 1024;
/// Longest duration of most settings.
const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest time that something is kept for.
const KEEPING_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// hyper's smallest read buffer, which bounds a request head.
const HEADER_BYTES_MIN: usize = 8192;
/// The fields that RFC 6455 wants in a handshake, with room for a browser's few.
const HEADERS_MIN: usize = 16;

pub(super) type Checked = Result<(), ConfigError>;

impl Config {
    /// Refuses what cannot work, or what would be unsafe without having been asked for.
    ///
    /// # Errors
    /// The first setting that cannot stay as it is; the configuration is as it was.
    pub fn check(&self) -> Checked {
        self.check_identity()?;
        self.check_addresses()?;
        self.check_seeds()?;
        self.check_trust()?;
        within("drain-timeout", self.drain_timeout, Duration::ZERO)?;
        at_least("rebalance-rate", self.rebalance_rate, 1)?;
        self.check_copies()?;
        self.gossip.check()?;
        self.limits.check()?;
        self.inbox.check(&self.limits)?;
        self.room.check()?;
        self.webhook.check(&self.limits)?;
        self.traces.check()
    }

    fn check_copies(&self) -> Checked {
        let Self {
            replicas,
            min_copies,
            ..
        } = *self;
        if replicas == 0 || replicas > Self::REPLICAS_MAX {
            let reason = format!("it must be 1 to {}", Self::REPLICAS_MAX);
            return refuse("replicas", replicas, reason);
        }
        if min_copies == 0 || min_copies > replicas {
            let reason = format!("it must be 1 to --replicas, {replicas}");
            return refuse("min-copies", min_copies, reason);
        }
        Ok(())
    }

    fn check_identity(&self) -> Checked {
        let bytes = self.cluster.len();
        if bytes == 0 || bytes > CLUSTER_BYTES_MAX || self.cluster.contains(char::is_control) {
            return refuse(
                "cluster",
                format_args!("{:?}", self.cluster),
                format!("it must be 1 to {CLUSTER_BYTES_MAX} bytes without control characters"),
            );
        }
        if self.weight == 0 || self.weight > Self::WEIGHT_MAX {
            let reason = format!("it must be 1 to {}", Self::WEIGHT_MAX);
            return refuse("weight", self.weight, reason);
        }
        Ok(())
    }

    fn check_addresses(&self) -> Checked {
        match &self.advertise_url {
            Some(url) => or_refuse("advertise-url", url, address::client_url(url))?,
            None if self.listen.ip().is_unspecified() => refuse(
                "listen",
                self.listen,
                "clients cannot be redirected to a wildcard address; set --advertise-url to what \
                 clients reach this node at, such as ws://n1.example:7001",
            )?,
            None => {}
        }
        match &self.advertise_peer {
            Some(peer) => or_refuse("advertise-peer", peer, address::dialable(peer).map(drop))?,
            None if self.peer_listen.ip().is_unspecified() => refuse(
                "peer-listen",
                self.peer_listen,
                "other nodes cannot dial a wildcard address; set --advertise-peer to what they \
                 reach this node at, such as 10.0.0.1:7101",
            )?,
            None => {}
        }
        distinct("peer-listen", self.peer_listen, "listen", self.listen)?;
        distinct("admin-listen", self.admin_listen, "listen", self.listen)?;
        distinct(
            "admin-listen",
            self.admin_listen,
            "peer-listen",
            self.peer_listen,
        )
    }

    fn check_seeds(&self) -> Checked {
        if self.min_members == 0 || self.min_members > Self::MIN_MEMBERS_MAX {
            let reason = format!("it must be 1 to {}", Self::MIN_MEMBERS_MAX);
            return refuse("min-members", self.min_members, reason);
        }
        if self.seeds.len() > SEEDS_MAX {
            let reason =
                format!("at most {SEEDS_MAX} will do; a host name may stand for many addresses");
            return refuse(
                "seeds",
                format_args!("{} of them", self.seeds.len()),
                reason,
            );
        }
        for seed in &self.seeds {
            or_refuse("seeds", seed, address::dialable(seed).map(drop))?;
        }
        Ok(())
    }
}

impl RoomConfig {
    fn check(&self) -> Checked {
        if self.bytes_max > InboxConfig::BYTES_MAX {
            let reason = format!(
                "it must be at most {}: a whole room goes to another node in one message",
                InboxConfig::BYTES_MAX
            );
            return refuse("max-room-bytes", self.bytes_max, reason);
        }
        keeping("room-age", self.age_max)?;
        dedupe_ids("max-room-dedupe-ids", self.dedupe_ids_max)?;
        at_least("max-rooms-per-session", self.per_session_max, 1)
    }
}

impl InboxConfig {
    fn check(&self, limits: &Limits) -> Checked {
        at_least("max-inbox-messages", self.messages_max, 1)?;
        limits.holds_one_message("max-inbox-bytes", self.bytes_max)?;
        if self.bytes_max > InboxConfig::BYTES_MAX {
            let reason = format!(
                "it must be at most {}: a whole inbox, and as much that is acked, goes to another \
                 node in one message",
                InboxConfig::BYTES_MAX
            );
            return refuse("max-inbox-bytes", self.bytes_max, reason);
        }
        keeping("inbox-age", self.age_max)?;
        keeping("dedupe-window", self.dedupe_window)?;
        dedupe_ids("max-dedupe-ids", self.dedupe_ids_max)?;
        if self.node_bytes_max < self.bytes_max {
            let reason = format!("it must be at least --max-inbox-bytes, {}", self.bytes_max);
            return refuse("max-node-inbox-bytes", self.node_bytes_max, reason);
        }
        let horizon = limits.request_timeout * 2;
        if self.dedupe_window < horizon {
            return refuse(
                "dedupe-window",
                format_args!("{:?}", self.dedupe_window),
                format!(
                    "it must be at least two request time-outs, {horizon:?} with a \
                     --request-timeout of {:?}, or a client that was told unknown could not \
                     repeat its message without sending it twice",
                    limits.request_timeout
                ),
            );
        }
        Ok(())
    }
}

impl GossipConfig {
    fn check(&self) -> Checked {
        let least = Duration::from_millis(1);
        within("probe-period", self.probe_period, least)?;
        within("probe-timeout", self.probe_timeout, least)?;
        within("suspicion-timeout", self.suspicion_timeout, least)?;
        within("exchange-interval", self.exchange_interval, least)?;
        if self.probe_timeout >= self.probe_period {
            return refuse(
                "probe-timeout",
                format_args!("{:?}", self.probe_timeout),
                format!(
                    "it must be shorter than --probe-period, {:?}",
                    self.probe_period
                ),
            );
        }
        if self.suspicion_timeout < self.probe_period * 2 {
            return refuse(
                "suspicion-timeout",
                format_args!("{:?}", self.suspicion_timeout),
                format!(
                    "it must be at least two probe periods, {:?} with a --probe-period of {:?}",
                    self.probe_period * 2,
                    self.probe_period
                ),
            );
        }
        Ok(())
    }
}

impl Limits {
    fn check(&self) -> Checked {
        let least = Duration::from_millis(1);
        at_least("max-message-bytes", self.message_bytes_max, 1)?;
        at_least("max-fragments", self.fragments_max, 1)?;
        at_least("max-outbound-bytes", self.outbound_bytes_max, 1)?;
        within("handshake-timeout", self.handshake_timeout, least)?;
        at_least("max-header-bytes", self.header_bytes_max, HEADER_BYTES_MIN)?;
        at_least("max-headers", self.headers_max, HEADERS_MIN)?;
        within("heartbeat-interval", self.heartbeat_interval, least)?;
        within("heartbeat-timeout", self.heartbeat_timeout, least)?;
        within("request-timeout", self.request_timeout, least)?;
        at_least("peer-window", self.peer_window, 1)?;
        at_least("max-peer-queue-bytes", self.peer_queue_bytes_max, 1)?;
        at_least("max-sessions-per-user", self.sessions_per_user_max, 1)?;
        at_least("max-presence-users", self.presence_users_max, 1)?;
        at_least("max-pending-sends", self.pending_sends_max, 1)?;
        at_least("locate-rate", self.locate_rate, 1)?;
        at_least("message-rate", self.message_rate, 1)?;
        at_least("message-burst", self.message_burst, 1)?;
        at_least("max-connections", self.connections_max, 1)?;
        at_least(
            "max-connections-per-address",
            self.connections_per_address_max,
            1,
        )?;
        at_least("handshake-rate", self.handshake_rate, 1)?;
        at_least("handshake-burst", self.handshake_burst, 1)?;
        self.holds_one_message("max-outbound-bytes", self.outbound_bytes_max)?;
        self.holds_one_message("max-peer-queue-bytes", self.peer_queue_bytes_max)
    }

    /// A queue that is smaller than a message could never pass the largest one on.
    pub(super) fn holds_one_message(&self, key: &'static str, queue_bytes: usize) -> Checked {
        if queue_bytes >= self.message_bytes_max {
            return Ok(());
        }
        let reason = format!(
            "it must be at least --max-message-bytes, {}",
            self.message_bytes_max
        );
        refuse(key, queue_bytes, reason)
    }
}

pub(super) fn refuse(key: &'static str, value: impl Display, reason: impl Into<String>) -> Checked {
    Err(ConfigError {
        key,
        value: value.to_string(),
        reason: reason.into(),
    })
}

pub(super) fn or_refuse(key: &'static str, value: &str, result: Result<(), String>) -> Checked {
    result.or_else(|reason| refuse(key, value, reason))
}

fn at_least<T: Copy + PartialOrd + Display>(key: &'static str, value: T, least: T) -> Checked {
    if value >= least {
        return Ok(());
    }
    refuse(key, value, format!("it must be at least {least}"))
}

fn dedupe_ids(key: &'static str, value: usize) -> Checked {
    at_least(key, value, 1)?;
    if value <= InboxConfig::DEDUPE_IDS_MAX {
        return Ok(());
    }
    let reason = format!(
        "it must be at most {}: all go to another node in one message",
        InboxConfig::DEDUPE_IDS_MAX
    );
    refuse(key, value, reason)
}

pub(super) fn within(key: &'static str, value: Duration, least: Duration) -> Checked {
    bounded(key, value, least..=DURATION_MAX, "24h")
}

fn keeping(key: &'static str, value: Duration) -> Checked {
    let least = Duration::from_millis(1);
    bounded(key, value, least..=KEEPING_MAX, "720h, which is 30 days")
}

fn bounded(
    key: &'static str,
    value: Duration,
    bounds: RangeInclusive<Duration>,
    most: &str,
) -> Checked {
    if bounds.contains(&value) {
        return Ok(());
    }
    let reason = format!("it must be {:?} to {most}", bounds.start());
    refuse(key, format_args!("{value:?}"), reason)
}

/// Two listeners cannot have one port; port 0 is a free one for each.
fn distinct(key: &'static str, address: SocketAddr, other_key: &str, other: SocketAddr) -> Checked {
    let overlap =
        address.ip() == other.ip() || address.ip().is_unspecified() || other.ip().is_unspecified();
    if address.port() == 0 || address.port() != other.port() || !overlap {
        return Ok(());
    }
    refuse(
        key,
        address,
        format!("--{other_key} is on that port, too; give each its own"),
    )
}

#[cfg(test)]
mod tests;
