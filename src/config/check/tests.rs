use super::*;
use crate::id::NodeId;

fn config() -> Config {
    let mut config = Config::new(NodeId::new("n1").unwrap());
    config.insecure_users = true;
    config
}

/// Asserts that the changed configuration is refused for `key`, with these words in the sentence.
fn refused(key: &str, words: &str, change: impl FnOnce(&mut Config)) {
    let mut config = config();
    change(&mut config);
    let error = config.check().expect_err(key);
    assert_eq!(error.key, key, "{error}");
    assert!(error.to_string().contains(words), "{error}");
}

fn accepted(change: impl FnOnce(&mut Config)) {
    let mut config = config();
    change(&mut config);
    assert_eq!(config.check(), Ok(()));
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn users_are_believed_or_have_tokens_and_never_both() {
    accepted(|_| {});
    refused("insecure-users", "--jwt-keys", |c| c.insecure_users = false);
    refused("insecure-users", "keys", |c| {
        c.users.jwt_keys = vec!["keys.json".into()];
    });
    accepted(|c| {
        c.insecure_users = false;
        c.users.jwt_secrets = vec!["secret".into()];
    });
    refused("jwt-leeway", "300", |c| {
        c.users.leeway = Duration::from_secs(301);
    });
}

#[test]
fn identity_is_bounded() {
    refused("cluster", "1 to 64", |c| c.cluster.clear());
    refused("cluster", "control", |c| c.cluster = "a\nb".into());
    refused("weight", "1 to 64", |c| c.weight = 0);
    refused("weight", "1 to 64", |c| c.weight = 65);
    accepted(|c| c.weight = Config::WEIGHT_MAX);
}

#[test]
fn a_wildcard_address_needs_an_advertised_one() {
    refused("listen", "--advertise-url", |c| {
        c.listen = address("0.0.0.0:1");
    });
    refused("listen", "--advertise-url", |c| {
        c.listen = address("[::]:1");
    });
    refused("peer-listen", "--advertise-peer", |c| {
        c.insecure_peers = true;
        c.peer_listen = address("0.0.0.0:1");
    });
    refused("advertise-url", "wildcard", |c| {
        c.advertise_url = Some("ws://0.0.0.0:1".into());
    });
    refused("advertise-peer", "wildcard", |c| {
        c.advertise_peer = Some("0.0.0.0:1".into());
    });
    refused("advertise-peer", "port", |c| {
        c.advertise_peer = Some("127.0.0.1:0".into());
    });
    accepted(|c| {
        c.listen = address("0.0.0.0:0");
        c.peer_listen = address("[::]:0");
        c.advertise_url = Some("wss://n1.example".into());
        c.advertise_peer = Some("n1.example:7101".into());
        c.insecure_peers = true;
    });
}

#[test]
fn listeners_do_not_share_a_port() {
    refused("peer-listen", "--listen", |c| c.peer_listen = c.listen);
    refused("admin-listen", "--peer-listen", |c| {
        c.admin_listen = c.peer_listen;
    });
    accepted(|c| {
        c.listen = address("127.0.0.1:0");
        c.peer_listen = c.listen;
        c.admin_listen = c.listen;
    });
    accepted(|c| c.peer_listen = address("127.0.0.2:7001"));
}

#[test]
fn seeds_are_host_and_port() {
    refused("seeds", "port is missing", |c| {
        c.seeds = vec!["127.0.0.1".into()];
    });
    refused("seeds", "host:port", |c| {
        c.seeds = vec!["http://a:1".into()];
    });
    refused("seeds", "--insecure-peers", |c| {
        c.seeds = vec!["10.0.0.1:7101".into()];
    });
    refused("seeds", "1025 of them", |c| {
        c.seeds = vec!["a:1".into(); 1025];
    });
    accepted(|c| c.seeds = vec!["localhost:7101".into(), "ringpost.svc:7101".into()]);
}

#[test]
fn nothing_unauthenticated_leaves_the_machine_unless_asked_for() {
    refused("peer-listen", "--insecure-peers", |c| {
        c.peer_listen = address("10.0.0.1:1");
    });
    refused("advertise-peer", "--insecure-peers", |c| {
        c.advertise_peer = Some("n1:1".into());
    });
    refused("admin-listen", "--insecure-peers", |c| {
        c.admin_listen = address("0.0.0.0:1");
    });
    accepted(|c| {
        c.insecure_peers = true;
        c.peer_listen = address("10.0.0.1:1");
        c.admin_listen = address("0.0.0.0:2");
    });
    refused("allowed-origins", "scheme://host", |c| {
        c.allowed_origins = vec!["*".into()];
    });
}

#[test]
fn the_failure_detector_has_time_to_hear_an_answer() {
    let ms = Duration::from_millis;
    refused("probe-timeout", "--probe-period", |c| {
        c.gossip.probe_timeout = ms(250);
    });
    refused("suspicion-timeout", "two probe periods, 500ms", |c| {
        c.gossip.suspicion_timeout = ms(499);
    });
    accepted(|c| c.gossip.suspicion_timeout = ms(500));
    refused("probe-period", "1ms", |c| {
        c.gossip.probe_period = Duration::ZERO;
    });
    refused("exchange-interval", "24h", |c| {
        c.gossip.exchange_interval = Duration::MAX;
    });
}

#[test]
fn a_node_waits_for_as_many_members_as_there_can_be() {
    refused("min-members", "1 to 1024", |c| c.min_members = 0);
    refused("min-members", "1 to 1024", |c| c.min_members = 1025);
    accepted(|c| c.min_members = 3);
}

#[test]
fn copies_are_as_many_as_there_can_be() {
    refused("replicas", "1 to 5", |c| c.replicas = 0);
    refused("replicas", "1 to 5", |c| c.replicas = 6);
    refused("min-copies", "1 to --replicas, 2", |c| c.min_copies = 0);
    refused("min-copies", "1 to --replicas, 2", |c| c.min_copies = 3);
    refused("min-copies", "--replicas, 1", |c| {
        c.replicas = 1;
        c.min_copies = 2;
    });
    accepted(|c| c.min_copies = 2);
    accepted(|c| {
        c.replicas = Config::REPLICAS_MAX;
        c.min_copies = Config::REPLICAS_MAX;
    });
}

#[test]
fn an_inbox_holds_at_least_one_message_and_a_node_at_least_one_inbox() {
    refused("max-inbox-messages", "at least 1", |c| {
        c.inbox.messages_max = 0;
    });
    refused("max-inbox-bytes", "--max-message-bytes, 65536", |c| {
        c.inbox.bytes_max = 65535;
    });
    refused("max-node-inbox-bytes", "--max-inbox-bytes, 70000", |c| {
        c.inbox.bytes_max = 70_000;
        c.inbox.node_bytes_max = 69_999;
    });
    accepted(|c| {
        c.inbox.bytes_max = 65536;
        c.inbox.node_bytes_max = 65536;
        c.inbox.messages_max = 1;
        c.inbox.dedupe_ids_max = 1;
    });
    refused("max-dedupe-ids", "at least 1", |c| {
        c.inbox.dedupe_ids_max = 0;
    });
    for key in ["max-dedupe-ids", "max-room-dedupe-ids"] {
        let set = |c: &mut Config, ids| {
            c.inbox.dedupe_ids_max = if key == "max-dedupe-ids" { ids } else { 1 };
            c.room.dedupe_ids_max = if key == "max-dedupe-ids" { 1 } else { ids };
        };
        refused(key, "at least 1", |c| set(c, 0));
        refused(key, "at most 1000000", |c| set(c, 1_000_001));
        accepted(|c| set(c, 1_000_000));
    }
}

#[test]
fn repeats_are_recognised_for_longer_than_a_client_repeats() {
    let secs = Duration::from_secs;
    refused(
        "dedupe-window",
        "two request time-outs, 30s with a --request-timeout of 15s",
        |c| c.inbox.dedupe_window = secs(29),
    );
    accepted(|c| c.inbox.dedupe_window = secs(30));
    refused("dedupe-window", "two request time-outs, 602s", |c| {
        c.limits.request_timeout = secs(301);
    });
}

#[test]
fn messages_may_be_kept_for_thirty_days_and_no_longer() {
    let month = Duration::from_secs(30 * 24 * 60 * 60);
    for (key, field) in [
        (
            "inbox-age",
            (|i| &mut i.age_max) as fn(&mut InboxConfig) -> &mut Duration,
        ),
        ("dedupe-window", |i| &mut i.dedupe_window),
    ] {
        for wrong in [Duration::ZERO, month + Duration::from_millis(1)] {
            refused(key, "1ms to 720h, which is 30 days", |c| {
                *field(&mut c.inbox) = wrong;
            });
        }
        accepted(|c| *field(&mut c.inbox) = month);
    }
    refused("request-timeout", "24h", |c| {
        c.limits.request_timeout = month;
    });
}

#[test]
fn no_limit_is_zero() {
    refused("rebalance-rate", "at least 1", |c| c.rebalance_rate = 0);
    refused("max-message-bytes", "at least 1", |c| {
        c.limits.message_bytes_max = 0;
    });
    refused("max-fragments", "at least 1", |c| {
        c.limits.fragments_max = 0;
    });
    refused("max-outbound-bytes", "at least 1", |c| {
        c.limits.outbound_bytes_max = 0;
    });
    refused("max-headers", "at least 16", |c| c.limits.headers_max = 0);
    refused("peer-window", "at least 1", |c| c.limits.peer_window = 0);
    refused("max-peer-queue-bytes", "at least 1", |c| {
        c.limits.peer_queue_bytes_max = 0;
    });
    refused("max-presence-users", "at least 1", |c| {
        c.limits.presence_users_max = 0;
    });
    refused("max-pending-sends", "at least 1", |c| {
        c.limits.pending_sends_max = 0;
    });
    refused("locate-rate", "at least 1", |c| c.limits.locate_rate = 0);
    for (key, field) in [
        (
            "handshake-timeout",
            (|l| &mut l.handshake_timeout) as fn(&mut Limits) -> &mut Duration,
        ),
        ("heartbeat-interval", |l| &mut l.heartbeat_interval),
        ("heartbeat-timeout", |l| &mut l.heartbeat_timeout),
        ("request-timeout", |l| &mut l.request_timeout),
    ] {
        refused(key, "1ms to 24h", |c| {
            *field(&mut c.limits) = Duration::ZERO;
        });
    }
    refused("max-header-bytes", "8192", |c| {
        c.limits.header_bytes_max = 8191;
    });
    accepted(|c| c.drain_timeout = Duration::ZERO);
}

#[test]
fn a_queue_holds_at_least_one_message() {
    refused("max-outbound-bytes", "--max-message-bytes, 65536", |c| {
        c.limits.outbound_bytes_max = 65535;
    });
    refused("max-peer-queue-bytes", "--max-message-bytes", |c| {
        c.limits.peer_queue_bytes_max = 1;
    });
}

#[test]
fn rooms_are_announced_by_their_names_and_while_they_are_small() {
    let room = |patterns: &[&str]| RoomConfig {
        announced: patterns.iter().map(|&p| p.to_owned()).collect(),
        ..RoomConfig::default()
    };
    assert!(room(&["*"]).announces("lobby", 1000));
    assert!(!room(&["*"]).announces("lobby", 1001));
    assert!(!room(&[]).announces("lobby", 1));
    let some = room(&["team-*", "lobby"]);
    for (name, announced) in [
        ("team-", true),
        ("team-a", true),
        ("team", false),
        ("lobby", true),
        ("lobby2", false),
    ] {
        assert_eq!(some.announces(name, 1), announced, "{name}");
    }
}

#[test]
fn without_a_proof_nodes_are_on_this_machine_alone_unless_that_was_asked_for() {
    let of = |change: &dyn Fn(&mut Config)| {
        let mut config = Config::new(NodeId::new("n1").unwrap());
        change(&mut config);
        let networks = config.peer_networks();
        networks.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    // A seed may be a name, and a member may name any address.
    assert_eq!(of(&|_| {}), ["127.0.0.0/8", "::1/128"]);
    let networks = |c: &mut Config| {
        let given = ["10.0.0.0/8", "127.0.0.1/32"].map(|net| net.parse().unwrap());
        c.peers.networks = given.to_vec();
    };
    assert_eq!(of(&networks), ["127.0.0.1/32"]);
    assert!(of(&|c| c.insecure_peers = true).is_empty());
    assert!(of(&|c| c.peers.secret = Some("secret".into())).is_empty());
}

#[test]
fn a_node_and_its_seeds_are_in_the_networks_of_the_cluster() {
    let networks = |c: &mut Config| c.peers.networks = vec!["127.0.0.0/8".parse().unwrap()];
    accepted(|c| {
        networks(c);
        c.seeds = vec!["127.0.0.2:1".into(), "n1.example:1".into()];
    });
    accepted(|c| {
        networks(c);
        c.peer_listen = address("[::]:7101");
        c.advertise_peer = Some("n1.example:7101".into());
        c.peers.secret = Some("file".into());
    });
    refused("peer-networks", "own address, ::1", |c| {
        networks(c);
        c.peer_listen = address("[::1]:7101");
    });
    refused("peer-networks", "own address, 10.0.0.1", |c| {
        networks(c);
        c.advertise_peer = Some("10.0.0.1:7101".into());
    });
    refused("seeds", "not in --peer-networks", |c| {
        networks(c);
        c.seeds = vec!["10.0.0.1:7101".into()];
    });
}
