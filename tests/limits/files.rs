//! A node that has no file descriptors left.

use std::net::TcpStream;
use std::time::Duration;

use crate::support::{Client, Cluster, Handshake, PATIENCE, holds_for, wait_until};

#[test]
fn a_node_without_file_descriptors_keeps_its_links_and_recovers() {
    if cfg!(not(target_os = "linux")) {
        return;
    }
    let mut cluster = Cluster::reserve(2).with(&["--handshake-timeout", "30s"]);
    let limited = r#"ulimit -n 64; exec "$0" "$@""#;
    cluster.nodes[0].runner = ["bash", "-c", limited].map(str::to_owned).into();
    let cluster = cluster.started();
    let [node, other] = &cluster.nodes[..] else {
        panic!("there are two");
    };
    assert!(node.log_text().contains("fewer open files than"));
    let url = |user: &str| format!("{}&hop=1", node.url(user));
    let (mut client, _) = Client::welcomed(&url("first"));
    let is_seen = || {
        let view = other.view();
        view.is_some_and(|view| view.state(&node.id) != "down")
    };
    // Until each has probed the other, and has the connections for it.
    holds_for(Duration::from_secs(1), "the other node sees it", is_seen);
    let mut taken: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(node.listen).expect("the kernel takes it"))
        .collect();
    // Nobody can be answered now, not even who wants to know why.
    let out_of_files = || node.log_text().contains("cannot accept connections");
    wait_until(PATIENCE, "it is said", out_of_files);
    client.assert_quiet_and_alive();
    holds_for(Duration::from_secs(3), "the other node sees it", is_seen);
    // Links go on: a message to the other node, and back.
    let mut names = (0..100).map(|n| format!("far{n}"));
    let far = names.find(|user| other.locate(user) == other.id);
    let far = far.expect("it owns somebody");
    let (mut fars, _) = Client::welcomed(&other.url(&far));
    assert_eq!(client.deliver(&far, "m", "1"), "sent");
    fars.expect("message");
    taken.clear();
    let connected = || matches!(Handshake::to(&url("second")).try_connect(), Ok(Ok(_)));
    wait_until(PATIENCE, "it serves again", connected);
    assert!(node.metric("ringpost_accept_errors_total") > 0);
    let said = node.log_text().matches("cannot accept connections").count();
    assert!(said <= 6, "said {said} times in a few seconds");
    assert_eq!(node.metric("ringpost_links_connected"), 1);
    client.assert_quiet_and_alive();
}
