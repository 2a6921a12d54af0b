//! What a peer says of itself goes neither into a log as it is, nor to clients as an address.

use std::time::Duration;

use ringpost::wire::proto;
use ringpost::wire::proto::peer_client::PeerClient;
use tokio::runtime::Runtime;
use tonic::Code;
use tonic::transport::Channel;

use crate::logs::assert_is_clean;
use crate::support::Node;
use crate::{logged, talkative};

async fn client(node: &Node) -> PeerClient<Channel> {
    let endpoint = Channel::from_shared(format!("http://{}", node.peer)).expect("a URL");
    let endpoint = endpoint.timeout(Duration::from_secs(20));
    PeerClient::new(endpoint.connect().await.expect("it listens"))
}

fn caller(cluster: &str, node: &str) -> proto::Caller {
    proto::Caller {
        cluster: cluster.to_owned(),
        protocol_version: 1,
        node: node.to_owned(),
        generation: 1,
    }
}

fn member(peer: &str, url: &str) -> proto::Member {
    proto::Member {
        identity: Some(proto::Identity {
            id: "n9".to_owned(),
            generation: 1_732_350_000_123,
            revision: 0,
            peer: peer.to_owned(),
            url: url.to_owned(),
            weight: 1,
            draining: false,
        }),
        incarnation: 0,
        state: 0,
    }
}

#[test]
fn a_peer_of_another_cluster_cannot_write_into_the_log() {
    let cluster = talkative(1, &[]);
    let forged = format!("\nERROR forged \u{1b}[31m{}", "x".repeat(100_000));
    Runtime::new().expect("a runtime").block_on(async {
        let mut client = client(&cluster.nodes[0]).await;
        for caller in [
            caller(&forged, "n9"),
            caller("ringpost", &forged),
            caller(&forged, &forged),
        ] {
            let packet = proto::GossipPacket {
                caller: Some(caller),
                packet: "no packet".into(),
            };
            let refused = client.gossip(packet).await.expect_err("it is refused");
            assert!(refused.message().len() < 2_000, "{refused:?}");
        }
    });
    let log = logged(&cluster);
    assert!(log.contains("a peer is refused"), "{log}");
    assert_is_clean(&log);
}

#[test]
fn what_peers_and_backends_show_to_be_let_in_stays_out_of_logs() {
    const SECRET: &str = "c2VjcmV0LW9mLXRoZS1jbHVzdGVy";
    let cluster = talkative(1, &[]);
    let node = &cluster.nodes[0];
    Runtime::new().expect("a runtime").block_on(async {
        let mut peer = client(node).await;
        let mut call = tonic::Request::new(proto::GossipPacket {
            caller: Some(caller("ringpost", "n9")),
            packet: "no packet".into(),
        });
        for name in ["authorization", "cookie", "x-ringpost-secret"] {
            let value = format!("Bearer {SECRET}").parse().expect("visible ASCII");
            call.metadata_mut().insert(name, value);
        }
        // Whether it is let in with that does not matter.
        let _ = peer.gossip(call).await;
    });
    let log = logged(&cluster);
    assert!(log.contains("h2::"), "it logs what arrives");
    let shown = log.lines().find(|line| line.contains(SECRET));
    assert_eq!(shown, None);
}

#[test]
fn nobody_is_sent_to_what_is_no_address() {
    let cluster = talkative(1, &[]);
    let node = &cluster.nodes[0];
    Runtime::new().expect("a runtime").block_on(async {
        let mut client = client(node).await;
        for (peer, url) in [
            ("127.0.0.1:1", "ws://n9\r\nSet-Cookie: evil=1"),
            ("127.0.0.1:1", "ws://n9\u{1b}[31m"),
            ("127.0.0.1:1", "ws://n9 /"),
            ("127.0.0.1:1", "ws://n9\u{202e}"),
            ("127.0.0.1:1\nERROR forged", "ws://n9"),
        ] {
            let exchange = proto::ExchangeRequest {
                caller: Some(caller("ringpost", "n9")),
                from: Some(member(peer, url)),
                digest: 0,
                members: Vec::new(),
            };
            let refused = client.exchange(exchange).await.expect_err("it is refused");
            assert_eq!(
                refused.code(),
                Code::InvalidArgument,
                "{peer:?} {url:?}: {refused:?}"
            );
        }
    });
    assert_eq!(
        node.view().expect("it answers").state("n9"),
        "down",
        "it is no member"
    );
    assert_is_clean(&logged(&cluster));
}
