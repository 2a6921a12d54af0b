//! From settings to the configuration of the library.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use ringpost::Config;
use ringpost::config::{
    ConfigError, GossipConfig, InboxConfig, Limits, PeerTrust, RoomConfig, TlsConfig, TraceConfig,
    UserTrust, WebhookConfig,
};
use ringpost::id::NodeId;

use super::settings::Settings;
use super::values::{Address, Count, List, LogFormat, Ratio, Span, Switch, Text};

impl Settings {
    /// The configuration these settings ask for, not yet checked as a whole.
    pub fn into_config(self) -> Result<(Config, LogFormat), ConfigError> {
        let refuse = |value: String, reason: String| ConfigError {
            key: "id",
            value,
            reason,
        };
        let Some(Text(id)) = &self.id else {
            let reason = "it is required; give the node a name that no other node of the cluster \
                          has, such as n1";
            return Err(refuse(String::new(), reason.to_owned()));
        };
        let id = NodeId::new(id).map_err(|error| {
            refuse(
                format!("{id:?}"),
                format!("{error}; 1 to 64 of A-Z a-z 0-9 . _ - would do"),
            )
        })?;
        let default = Config::new(id);
        let inbox = self.inbox(&default.inbox)?;
        let limits = self.limits(&default.limits)?;
        let room = self.room(&default.room)?;
        let webhook = self.webhook(default.webhook)?;
        let users = self.users(&default.users);
        let peers = self.peers()?;
        let texts = |list: Option<List>| list.map_or_else(Vec::new, |List(list)| list);
        let config = Config {
            id: default.id,
            cluster: self.cluster.map_or(default.cluster, |Text(name)| name),
            listen: address(self.listen, default.listen),
            peer_listen: address(self.peer_listen, default.peer_listen),
            admin_listen: address(self.admin_listen, default.admin_listen),
            seeds: texts(self.seeds),
            min_members: count("min-members", self.min_members, default.min_members)?,
            advertise_url: self.advertise_url.map(|Text(url)| url),
            advertise_peer: self.advertise_peer.map(|Text(peer)| peer),
            weight: count("weight", self.weight, default.weight)?,
            insecure_users: self.insecure_users.is_some_and(|Switch(on)| on),
            users,
            peers,
            api_keys: file(self.api_keys_file),
            tls: TlsConfig {
                cert: file(self.tls_cert),
                key: file(self.tls_key),
            },
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
            replicas: count("replicas", self.replicas, default.replicas)?,
            min_copies: count("min-copies", self.min_copies, default.min_copies)?,
            inbox,
            room,
            clients_may_broadcast: self.clients_may_broadcast.is_some_and(|Switch(on)| on),
            webhook,
            traces: TraceConfig {
                endpoint: self.otel_endpoint.map(|Text(url)| url),
                sampled_ppm: (self.otel_sample_ratio)
                    .map_or(default.traces.sampled_ppm, |Ratio(ppm)| ppm),
            },
            gossip: GossipConfig {
                probe_period: span(self.probe_period, default.gossip.probe_period),
                probe_timeout: span(self.probe_timeout, default.gossip.probe_timeout),
                suspicion_timeout: span(self.suspicion_timeout, default.gossip.suspicion_timeout),
                exchange_interval: span(self.exchange_interval, default.gossip.exchange_interval),
            },
            limits,
        };
        Ok((config, self.log_format.unwrap_or(LogFormat::Text)))
    }

    fn users(&self, default: &UserTrust) -> UserTrust {
        let list = |said: &Option<List>| said.clone().map_or_else(Vec::new, |List(list)| list);
        let files = |said| list(said).into_iter().map(PathBuf::from).collect();
        UserTrust {
            jwt_keys: files(&self.jwt_keys),
            jwt_secrets: files(&self.jwt_secret_file),
            audiences: list(&self.jwt_audience),
            issuers: list(&self.jwt_issuer),
            leeway: span(self.jwt_leeway, default.leeway),
            expiry_warning: span(self.token_warning, default.expiry_warning),
        }
    }

    fn peers(&self) -> Result<PeerTrust, ConfigError> {
        Ok(PeerTrust {
            ca: file(self.peer_ca.clone()),
            cert: file(self.peer_cert.clone()),
            key: file(self.peer_key.clone()),
            secret: file(self.cluster_secret_file.clone()),
            networks: networks("peer-networks", self.peer_networks.as_ref(), Vec::new())?,
        })
    }

    fn inbox(&self, default: &InboxConfig) -> Result<InboxConfig, ConfigError> {
        Ok(InboxConfig {
            messages_max: count(
                "max-inbox-messages",
                self.max_inbox_messages,
                default.messages_max,
            )?,
            bytes_max: count("max-inbox-bytes", self.max_inbox_bytes, default.bytes_max)?,
            age_max: span(self.inbox_age, default.age_max),
            dedupe_window: span(self.dedupe_window, default.dedupe_window),
            dedupe_ids_max: count(
                "max-dedupe-ids",
                self.max_dedupe_ids,
                default.dedupe_ids_max,
            )?,
            node_bytes_max: count(
                "max-node-inbox-bytes",
                self.max_node_inbox_bytes,
                default.node_bytes_max,
            )?,
        })
    }

    fn room(&self, default: &RoomConfig) -> Result<RoomConfig, ConfigError> {
        let announced = self.announced_rooms.as_ref();
        Ok(RoomConfig {
            messages_max: count(
                "max-room-messages",
                self.max_room_messages,
                default.messages_max,
            )?,
            bytes_max: count("max-room-bytes", self.max_room_bytes, default.bytes_max)?,
            age_max: span(self.room_age, default.age_max),
            dedupe_ids_max: count(
                "max-room-dedupe-ids",
                self.max_room_dedupe_ids,
                default.dedupe_ids_max,
            )?,
            per_session_max: count(
                "max-rooms-per-session",
                self.max_rooms_per_session,
                default.per_session_max,
            )?,
            announced: announced.map_or_else(|| default.announced.clone(), |List(l)| l.clone()),
        })
    }

    fn webhook(&self, default: WebhookConfig) -> Result<WebhookConfig, ConfigError> {
        let text = |said: &Option<Text>| said.as_ref().map(|Text(text)| text.clone());
        let events = match &self.webhook_events {
            None => default.events,
            Some(List(names)) => (names.iter())
                .map(|name| {
                    name.parse().map_err(|reason| ConfigError {
                        key: "webhook-events",
                        value: names.join(","),
                        reason,
                    })
                })
                .collect::<Result<_, _>>()?,
        };
        Ok(WebhookConfig {
            url: text(&self.webhook_url),
            secret_file: text(&self.webhook_secret_file).map(Into::into),
            events,
            queue_bytes_max: count(
                "webhook-queue-bytes",
                self.webhook_queue_bytes,
                default.queue_bytes_max,
            )?,
            timeout: span(self.webhook_timeout, default.timeout),
            retry_for: span(self.webhook_retry_for, default.retry_for),
        })
    }

    fn limits(&self, default: &Limits) -> Result<Limits, ConfigError> {
        Ok(Limits {
            message_bytes_max: count(
                "max-message-bytes",
                self.max_message_bytes,
                default.message_bytes_max,
            )?,
            fragments_max: count("max-fragments", self.max_fragments, default.fragments_max)?,
            outbound_bytes_max: count(
                "max-outbound-bytes",
                self.max_outbound_bytes,
                default.outbound_bytes_max,
            )?,
            handshake_timeout: span(self.handshake_timeout, default.handshake_timeout),
            header_bytes_max: count(
                "max-header-bytes",
                self.max_header_bytes,
                default.header_bytes_max,
            )?,
            headers_max: count("max-headers", self.max_headers, default.headers_max)?,
            heartbeat_interval: span(self.heartbeat_interval, default.heartbeat_interval),
            heartbeat_timeout: span(self.heartbeat_timeout, default.heartbeat_timeout),
            request_timeout: span(self.request_timeout, default.request_timeout),
            peer_window: count("peer-window", self.peer_window, default.peer_window)?,
            peer_queue_bytes_max: count(
                "max-peer-queue-bytes",
                self.max_peer_queue_bytes,
                default.peer_queue_bytes_max,
            )?,
            sessions_per_user_max: count(
                "max-sessions-per-user",
                self.max_sessions_per_user,
                default.sessions_per_user_max,
            )?,
            at_session_limit: self
                .at_session_limit
                .map_or(default.at_session_limit, |what| what.0),
            presence_users_max: count(
                "max-presence-users",
                self.max_presence_users,
                default.presence_users_max,
            )?,
            pending_sends_max: count(
                "max-pending-sends",
                self.max_pending_sends,
                default.pending_sends_max,
            )?,
            locate_rate: count("locate-rate", self.locate_rate, default.locate_rate)?,
            message_rate: count("message-rate", self.message_rate, default.message_rate)?,
            message_burst: count("message-burst", self.message_burst, default.message_burst)?,
            connections_max: count(
                "max-connections",
                self.max_connections,
                default.connections_max,
            )?,
            connections_per_address_max: count(
                "max-connections-per-address",
                self.max_connections_per_address,
                default.connections_per_address_max,
            )?,
            handshake_rate: count(
                "handshake-rate",
                self.handshake_rate,
                default.handshake_rate,
            )?,
            handshake_burst: count(
                "handshake-burst",
                self.handshake_burst,
                default.handshake_burst,
            )?,
            exempt_networks: networks(
                "exempt-networks",
                self.exempt_networks.as_ref(),
                default.exempt_networks.clone(),
            )?,
        })
    }
}

fn file(said: Option<Text>) -> Option<PathBuf> {
    said.map(|Text(path)| path.into())
}

fn networks(
    key: &'static str,
    said: Option<&List>,
    default: Vec<IpNet>,
) -> Result<Vec<IpNet>, ConfigError> {
    let Some(List(names)) = said else {
        return Ok(default);
    };
    let one = |name: &String| {
        name.parse().map_err(|_| ConfigError {
            key,
            value: name.clone(),
            reason: "it must be a network, such as 10.0.0.0/8 or fd00::/8".to_owned(),
        })
    };
    names.iter().map(one).collect()
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
