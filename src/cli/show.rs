//! The configuration in effect, as text.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use ringpost::Config;
use ringpost::config::{AtSessionLimit, Limits, RedirectLocation, WebhookConfig};

use super::merge::{Effective, Source};
use super::values::{LogFormat, Ratio, Span};

impl Effective {
    /// The whole configuration as a TOML file that says the same.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (key, value) in self.values() {
            let place = match self.sources.get(key) {
                None => String::new(),
                Some(Source::Flag) => "  # flag".to_owned(),
                Some(Source::Environment) => {
                    format!("  # RINGPOST_{}", key.to_uppercase())
                }
                Some(Source::File(path)) => format!("  # {}", path.display()),
            };
            let place = place.replace(char::is_control, "?");
            // Writing to a String cannot fail.
            let _ = match value {
                Some(value) => writeln!(text, "{key} = {value}{place}"),
                None if key.starts_with("advertise") => writeln!(text, "# {key}: as bound"),
                None => writeln!(text, "# {key}: none"),
            };
        }
        text
    }

    /// Every key with its value in TOML, in the order of [`keys`](super::merge::keys).
    pub fn values(&self) -> Vec<KeyValue> {
        let Config {
            gossip,
            inbox,
            limits,
            room,
            ..
        } = &self.config;
        let config = &self.config;
        let text = |value: &dyn ToString| Some(toml::Value::String(value.to_string()));
        let list = |list: &[String]| Some(toml::Value::from(list.to_vec()));
        let time = |time: Duration| Some(toml::Value::String(Span(time).to_string()));
        let location = match config.redirect_location {
            RedirectLocation::SchemeRelative => "scheme-relative",
            RedirectLocation::Absolute => "absolute",
        };
        let log_format = match self.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let mut all = vec![
            ("id", text(&config.id)),
            ("cluster", text(&config.cluster)),
            ("listen", text(&config.listen)),
            ("peer_listen", text(&config.peer_listen)),
            ("admin_listen", text(&config.admin_listen)),
            ("seeds", list(&config.seeds)),
            ("min_members", Some(number(config.min_members))),
            (
                "advertise_url",
                config.advertise_url.clone().map(toml::Value::String),
            ),
            (
                "advertise_peer",
                config.advertise_peer.clone().map(toml::Value::String),
            ),
            ("weight", Some(number(config.weight))),
            ("insecure_users", Some(config.insecure_users.into())),
        ];
        all.extend(trust_values(config));
        all.extend([
            ("insecure_peers", Some(config.insecure_peers.into())),
            ("allowed_origins", list(&config.allowed_origins)),
            ("redirect_location", text(&location)),
            ("drain_timeout", time(config.drain_timeout)),
            ("rebalance_rate", Some(number(config.rebalance_rate))),
            ("replicas", Some(number(config.replicas))),
            ("min_copies", Some(number(config.min_copies))),
            ("max_inbox_messages", Some(number(inbox.messages_max))),
            ("max_inbox_bytes", Some(number(inbox.bytes_max))),
            ("inbox_age", time(inbox.age_max)),
            ("dedupe_window", time(inbox.dedupe_window)),
            ("max_dedupe_ids", Some(number(inbox.dedupe_ids_max))),
            ("max_node_inbox_bytes", Some(number(inbox.node_bytes_max))),
            ("max_room_messages", Some(number(room.messages_max))),
            ("max_room_bytes", Some(number(room.bytes_max))),
            ("room_age", time(room.age_max)),
            ("max_room_dedupe_ids", Some(number(room.dedupe_ids_max))),
            ("max_rooms_per_session", Some(number(room.per_session_max))),
            ("announced_rooms", list(&room.announced)),
            (
                "clients_may_broadcast",
                Some(config.clients_may_broadcast.into()),
            ),
        ]);
        all.extend(webhook_values(&config.webhook));
        all.extend([
            ("probe_period", time(gossip.probe_period)),
            ("probe_timeout", time(gossip.probe_timeout)),
            ("suspicion_timeout", time(gossip.suspicion_timeout)),
            ("exchange_interval", time(gossip.exchange_interval)),
        ]);
        all.extend(limit_values(limits));
        all.extend([
            ("log_format", text(&log_format)),
            (
                "otel_endpoint",
                config.traces.endpoint.clone().map(toml::Value::String),
            ),
            (
                "otel_sample_ratio",
                Some(Ratio(config.traces.sampled_ppm).value().into()),
            ),
        ]);
        all
    }
}

type KeyValue = (&'static str, Option<toml::Value>);

/// A list of whatever has a text; `None` where it is empty.
fn shown<T: ToString>(list: &[T]) -> Option<toml::Value> {
    let texts: Vec<String> = list.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| texts.into())
}

fn trust_values(config: &Config) -> [KeyValue; 14] {
    let time = |time: Duration| Some(toml::Value::String(Span(time).to_string()));
    let file = |file: &Option<PathBuf>| {
        let file = file.as_ref()?;
        Some(toml::Value::String(file.display().to_string()))
    };
    let files = |files: &[PathBuf]| {
        let names: Vec<_> = files.iter().map(|file| file.display()).collect();
        shown(&names)
    };
    let (users, peers) = (&config.users, &config.peers);
    [
        ("jwt_keys", files(&users.jwt_keys)),
        ("jwt_secret_file", files(&users.jwt_secrets)),
        ("jwt_audience", shown(&users.audiences)),
        ("jwt_issuer", shown(&users.issuers)),
        ("jwt_leeway", time(users.leeway)),
        ("token_warning", time(users.expiry_warning)),
        ("peer_ca", file(&peers.ca)),
        ("peer_cert", file(&peers.cert)),
        ("peer_key", file(&peers.key)),
        ("cluster_secret_file", file(&peers.secret)),
        ("peer_networks", shown(&peers.networks)),
        ("api_keys_file", file(&config.api_keys)),
        ("tls_cert", file(&config.tls.cert)),
        ("tls_key", file(&config.tls.key)),
    ]
}

fn limit_values(limits: &Limits) -> [KeyValue; 23] {
    let time = |time: Duration| Some(toml::Value::String(Span(time).to_string()));
    let at_session_limit = match limits.at_session_limit {
        AtSessionLimit::RefuseNewest => "refuse-newest",
        AtSessionLimit::ReplaceOldest => "replace-oldest",
    };
    [
        ("max_message_bytes", Some(number(limits.message_bytes_max))),
        ("max_fragments", Some(number(limits.fragments_max))),
        (
            "max_outbound_bytes",
            Some(number(limits.outbound_bytes_max)),
        ),
        ("handshake_timeout", time(limits.handshake_timeout)),
        ("max_header_bytes", Some(number(limits.header_bytes_max))),
        ("max_headers", Some(number(limits.headers_max))),
        ("heartbeat_interval", time(limits.heartbeat_interval)),
        ("heartbeat_timeout", time(limits.heartbeat_timeout)),
        ("request_timeout", time(limits.request_timeout)),
        (
            "max_sessions_per_user",
            Some(number(limits.sessions_per_user_max)),
        ),
        ("at_session_limit", Some(at_session_limit.into())),
        (
            "max_presence_users",
            Some(number(limits.presence_users_max)),
        ),
        ("max_pending_sends", Some(number(limits.pending_sends_max))),
        ("locate_rate", Some(number(limits.locate_rate))),
        ("message_rate", Some(number(limits.message_rate))),
        ("message_burst", Some(number(limits.message_burst))),
        ("max_connections", Some(number(limits.connections_max))),
        (
            "max_connections_per_address",
            Some(number(limits.connections_per_address_max)),
        ),
        ("handshake_rate", Some(number(limits.handshake_rate))),
        ("handshake_burst", Some(number(limits.handshake_burst))),
        ("exempt_networks", shown(&limits.exempt_networks)),
        ("peer_window", Some(number(limits.peer_window))),
        (
            "max_peer_queue_bytes",
            Some(number(limits.peer_queue_bytes_max)),
        ),
    ]
}

fn webhook_values(webhook: &WebhookConfig) -> [KeyValue; 6] {
    let text = |value: &dyn ToString| Some(toml::Value::String(value.to_string()));
    let list = |list: &[String]| Some(toml::Value::from(list.to_vec()));
    let time = |time: Duration| Some(toml::Value::String(Span(time).to_string()));
    let secret_file = webhook.secret_file.as_ref();
    let events: Vec<String> = (webhook.events.iter())
        .map(|event| event.as_str().to_owned())
        .collect();
    [
        ("webhook_url", webhook.url.clone().map(toml::Value::String)),
        (
            "webhook_secret_file",
            secret_file.and_then(|file| text(&file.display())),
        ),
        ("webhook_events", list(&events)),
        ("webhook_queue_bytes", Some(number(webhook.queue_bytes_max))),
        ("webhook_timeout", time(webhook.timeout)),
        ("webhook_retry_for", time(webhook.retry_for)),
    ]
}

/// A number in TOML, which has no more than 63 bits of them.
fn number(value: impl TryInto<i64>) -> toml::Value {
    toml::Value::Integer(value.try_into().unwrap_or(i64::MAX))
}
