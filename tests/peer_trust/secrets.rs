//! The cluster's secret.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::files::{give_secrets, secret};
use crate::peer::{self, Caller};
use crate::support::{Cluster, PATIENCE, wait_until};
use crate::talk::Talk;
use crate::{assert_apart, members};

/// Nodes with one secret, and one more that is not started.
fn cluster_and_stranger(count: usize) -> Cluster {
    let mut cluster = Cluster::reserve(count + 1);
    for index in 0..count {
        give_secrets(&mut cluster, index, &[secret("ours")]);
    }
    let members: Vec<usize> = (0..count).collect();
    cluster.start_in_order(&members);
    cluster.wait_settled(3 * PATIENCE);
    cluster
}

#[test]
fn nodes_with_one_secret_are_a_cluster_and_messages_flow() {
    let cluster = cluster_and_stranger(3);
    let talk = Talk::begin(&cluster, 0, 1);
    talk.goes_on();
    let (sent, _) = talk.end();
    assert!(sent > 0);
    for node in cluster.running() {
        assert_eq!(node.metric("ringpost_links_connected"), 2, "{}", node.id);
        assert_eq!(
            node.metric("ringpost_peers_refused_total"),
            0,
            "{}",
            node.id
        );
        // On a busy machine a caller may give up in the middle; then it is said so.
        let errors = node.metric("ringpost_peer_tls_errors_total");
        let log = node.log_text();
        let given_up = ["tls handshake eof", "reset by peer"];
        assert!(
            errors == 0 || given_up.iter().any(|why| log.contains(why)),
            "{}: {errors}",
            node.id
        );
    }
}

#[test]
fn a_node_with_another_secret_stays_alone_and_learns_nothing() {
    let mut cluster = cluster_and_stranger(2);
    give_secrets(&mut cluster, 2, &[secret("theirs")]);
    cluster.nodes[2].start();
    wait_until(PATIENCE, "both sides have tried and failed", || {
        let failed = |index: usize| cluster.nodes[index].metric("ringpost_peer_tls_errors_total");
        failed(0) > 0 && failed(2) > 0
    });
    assert_apart(&cluster, 2);
    let log = cluster.nodes[0].log_text();
    assert!(log.contains("no TLS with a peer"), "{log}");
    assert!(!log.contains(&secret("ours")), "{log}");
}

#[test]
fn a_node_without_a_secret_stays_alone_and_learns_nothing() {
    let mut cluster = cluster_and_stranger(2);
    cluster.nodes[2].start();
    wait_until(PATIENCE, "it was refused", || {
        cluster.nodes[0].metric("ringpost_peer_tls_errors_total") > 0
    });
    assert_apart(&cluster, 2);
    assert!(!cluster.nodes[2].log_text().contains("n1\""));
}

#[test]
fn a_node_with_a_secret_says_nothing_to_one_without() {
    let mut cluster = Cluster::reserve(2);
    give_secrets(&mut cluster, 0, &[secret("ours")]);
    cluster.start_in_order(&[0, 1]);
    wait_until(PATIENCE, "each has refused the other", || {
        cluster.nodes[0].metric("ringpost_peer_tls_errors_total") > 0
            && cluster.nodes[1].metric("ringpost_peers_refused_total") > 0
    });
    assert_apart(&cluster, 1);
    let log = cluster.nodes[1].log_text();
    assert!(log.contains("it speaks TLS"), "{log}");
}

#[test]
fn plain_grpc_gets_nothing_from_a_port_with_tls() {
    let cluster = cluster_and_stranger(1);
    let node = &cluster.nodes[0];
    let refused = peer::runtime().block_on(async {
        let mut client = peer::plain(node).await?;
        client.exchange(Caller::new("n9").exchange("n9")).await
    });
    assert!(refused.is_err(), "no TLS, no answer");
    let mut stream = TcpStream::connect(node.peer).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .expect("it reads");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    // An alert of TLS, of type 21, and nothing of HTTP/2.
    assert!(
        answer.len() <= 7 && answer.first().is_none_or(|kind| *kind == 21),
        "{answer:?}"
    );
    assert_eq!(members(node), ["n1"]);
}
