//! Where nodes may be.

use std::net::{IpAddr, SocketAddr};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;

use crate::members;
use crate::peer::{self, Caller};
use crate::support::{Cluster, PATIENCE, wait_until};

/// A loopback address that is no node's.
const ELSEWHERE: &str = "127.66.6.6";

/// Nodes that know of no other address than their own and the one that loopback connections come from.
fn cluster(count: usize) -> Cluster {
    let cluster = Cluster::reserve(count);
    let networks = format!("127.0.0.1/32,{}/32", cluster.ip);
    cluster.with(&["--peer-networks", &networks])
}

#[test]
fn nodes_in_the_networks_are_a_cluster() {
    let cluster = cluster(2).started();
    for node in cluster.running() {
        assert_eq!(node.metric("ringpost_records_refused_total"), 0);
        assert_eq!(node.metric("ringpost_peers_refused_total"), 0);
    }
}

#[test]
fn a_connection_from_elsewhere_is_closed_at_once() {
    let cluster = cluster(1).started();
    let node = &cluster.nodes[0];
    let read = peer::runtime().block_on(async {
        let socket = TcpSocket::new_v4().expect("a socket");
        let from = SocketAddr::new(ELSEWHERE.parse::<IpAddr>().expect("an address"), 0);
        socket.bind(from).expect("it is loopback");
        let mut stream = socket.connect(node.peer).await.expect("it listens");
        let read = stream.read_u8();
        tokio::time::timeout(PATIENCE, read).await
    });
    assert!(read.expect("it is closed").is_err());
    assert_eq!(node.metric("ringpost_peers_refused_total"), 1);
    // For that, and not since its time was over.
    let log = node.log_text();
    assert!(log.contains("it is not in --peer-networks"), "{log}");
}

#[test]
fn a_node_that_says_it_is_elsewhere_is_not_believed() {
    let mut cluster = cluster(2);
    let id = cluster.add();
    let stranger = &mut cluster.nodes[id];
    stranger.peer.set_ip(ELSEWHERE.parse().expect("an address"));
    stranger.args.clear();
    cluster.start_in_order(&[0, 1, id]);
    wait_until(PATIENCE, "it was heard and not believed", || {
        cluster.nodes[0].metric("ringpost_records_refused_total") > 0
    });
    for node in &cluster.nodes[..2] {
        wait_until(PATIENCE, "the others have found each other", || {
            members(node) == ["n1", "n2"]
        });
    }
    // It is counted before it is said.
    wait_until(PATIENCE, "it is said why", || {
        let log = cluster.nodes[0].log_text();
        log.contains("is not in --peer-networks")
    });
}

#[test]
fn a_seed_whose_name_leads_elsewhere_is_not_called() {
    let mut cluster = Cluster::reserve(1);
    let networks = format!("{}/32", cluster.ip);
    let node = &mut cluster.nodes[0];
    node.args = vec!["--peer-networks".to_owned(), networks];
    "localhost:9".clone_into(&mut node.seeds);
    node.start();
    let node = &cluster.nodes[0];
    wait_until(PATIENCE, "it was not called", || {
        node.metric("ringpost_peers_refused_total") > 0
    });
    // It is counted before it is said.
    wait_until(PATIENCE, "it is said why", || {
        node.log_text().contains("not called")
    });
}

/// What an admitted peer tells of members that cannot be.
#[test]
fn records_that_cannot_be_are_dropped_and_the_others_are_taken() {
    let cluster = cluster(1).started();
    let node = &cluster.nodes[0];
    let identity = |change: &dyn Fn(&mut ringpost::wire::proto::Identity)| {
        let mut record = Caller::record("x");
        change(record.identity.as_mut().expect("it is there"));
        record
    };
    let mut exchange = Caller::new("n9").exchange("n9");
    exchange.members = vec![
        identity(&|it| it.weight = 0),
        identity(&|it| it.weight = 65),
        identity(&|it| it.generation = 0),
        identity(&|it| it.generation = 1 << 53),
        identity(&|it| it.generation = (1 << 53) - 1),
        identity(&|it| it.url = "http://x".to_owned()),
        identity(&|it| it.peer = "0.0.0.0:1".to_owned()),
        identity(&|it| it.peer = "192.168.0.1:1".to_owned()),
        identity(&|it| it.id = "x y".to_owned()),
        identity(&|it| it.id = "good".to_owned()),
    ];
    peer::runtime().block_on(async {
        let mut client = peer::plain(node).await.expect("it listens");
        client.exchange(exchange).await.expect("it is answered");
    });
    // The answer may come before the new view is shown.
    wait_until(PATIENCE, "what can be is taken", || {
        members(node) == ["good", "n1", "n9"]
    });
    assert_eq!(node.metric("ringpost_records_refused_total"), 9);
}
