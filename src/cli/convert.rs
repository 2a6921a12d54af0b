//! From settings to the configuration of the library.

use std::net::SocketAddr;
use std::time::Duration;

use ringpost::Config;
use ringpost::config::{ConfigError, GossipConfig, Limits};
use ringpost::id::NodeId;

use super::settings::Settings;
use super::values::{Address, Count, List, LogFormat, Span, Switch, Text};

impl Settings {
    /// The configuration these settings ask for, not yet checked as a whole.
    pub fn into_config(self) -> Result<(Config, LogFormat), ConfigError> {
        let refuse = |value: String, reason: String| ConfigError {
            key: "id",
            value,
            reason,
        };
        let Some(Text(id)) = self.id else {
            let reason = "it is required; give the node a name that no other node of the cluster \
                          has, such as n1";
            return Err(refuse(String::new(), reason.to_owned()));
        };
        let id = NodeId::new(&id).map_err(|error| {
            refuse(
                format!("{id:?}"),
                format!("{error}; 1 to 64 of A-Z a-z 0-9 . _ - would do"),
            )
        })?;
        let default = Config::new(id);
        let texts = |list: Option<List>| list.map_or_else(Vec::new, |List(list)| list);
        let config = Config {
            id: default.id,
            cluster: self.cluster.map_or(default.cluster, |Text(name)| name),
            listen: address(self.listen, default.listen),
            peer_listen: address(self.peer_listen, default.peer_listen),
            admin_listen: address(self.admin_listen, default.admin_listen),
            seeds: texts(self.seeds),
            advertise_url: self.advertise_url.map(|Text(url)| url),
            advertise_peer: self.advertise_peer.map(|Text(peer)| peer),
            weight: count("weight", self.weight, default.weight)?,
            insecure_users: self.insecure_users.is_some_and(|Switch(on)| on),
            insecure_peers: self.insecure_peers.is_some_and(|Switch(on)| on),
            allowed_origins: texts(self.allowed_origins),
            redirect_location: self
                .redirect_location
                .map_or(default.redirect_location, |form| form.0),
            drain_timeout: span(self.drain_timeout, default.drain_timeout),
            rebalance_rate: count(
                "rebalance-rate",
                self.rebalance_rate,
                default.rebalance_rate,
            )?,
            gossip: GossipConfig {
                probe_period: span(self.probe_period, default.gossip.probe_period),
                probe_timeout: span(self.probe_timeout, default.gossip.probe_timeout),
                suspicion_timeout: span(self.suspicion_timeout, default.gossip.suspicion_timeout),
                exchange_interval: span(self.exchange_interval, default.gossip.exchange_interval),
            },
            limits: Limits {
                message_bytes_max: count(
                    "max-message-bytes",
                    self.max_message_bytes,
                    default.limits.message_bytes_max,
                )?,
                fragments_max: count(
                    "max-fragments",
                    self.max_fragments,
                    default.limits.fragments_max,
                )?,
                outbound_bytes_max: count(
                    "max-outbound-bytes",
                    self.max_outbound_bytes,
                    default.limits.outbound_bytes_max,
                )?,
                handshake_timeout: span(self.handshake_timeout, default.limits.handshake_timeout),
                header_bytes_max: count(
                    "max-header-bytes",
                    self.max_header_bytes,
                    default.limits.header_bytes_max,
                )?,
                headers_max: count("max-headers", self.max_headers, default.limits.headers_max)?,
                heartbeat_interval: span(
                    self.heartbeat_interval,
                    default.limits.heartbeat_interval,
                ),
                heartbeat_timeout: span(self.heartbeat_timeout, default.limits.heartbeat_timeout),
                request_timeout: span(self.request_timeout, default.limits.request_timeout),
                peer_window: count("peer-window", self.peer_window, default.limits.peer_window)?,
                peer_queue_bytes_max: count(
                    "max-peer-queue-bytes",
                    self.max_peer_queue_bytes,
                    default.limits.peer_queue_bytes_max,
                )?,
                presence_users_max: count(
                    "max-presence-users",
                    self.max_presence_users,
                    default.limits.presence_users_max,
                )?,
                locate_rate: count("locate-rate", self.locate_rate, default.limits.locate_rate)?,
            },
        };
        Ok((config, self.log_format.unwrap_or(LogFormat::Text)))
    }
}

fn address(said: Option<Address>, default: SocketAddr) -> SocketAddr {
    said.map_or(default, |Address(address)| address)
}

fn span(said: Option<Span>, default: Duration) -> Duration {
    said.map_or(default, |Span(span)| span)
}

fn count<T: TryFrom<u64>>(
    key: &'static str,
    said: Option<Count>,
    default: T,
) -> Result<T, ConfigError> {
    let Some(Count(count)) = said else {
        return Ok(default);
    };
    T::try_from(count).map_err(|_| {
        let bits = 8 * size_of::<T>();
        let reason = format!("it is too large; at most 2^{bits} - 1 would fit");
        ConfigError {
            key,
            value: count.to_string(),
            reason,
        }
    })
}
