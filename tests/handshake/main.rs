//! How a client gets in: welcomed by the owner, redirected in one of three ways, or refused with a
//! status, and what `/locate` says.

mod locating;
mod redirecting;
mod refusing;
#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;

use support::Cluster;
use support::client::KEY;

/// A node that does not own the user, and one user of another node.
fn stranger(cluster: &Cluster) -> (usize, usize, String) {
    let user = cluster.user_of(1, "u");
    (0, 1, user)
}

#[track_caller]
fn assert_is_owners_url(url: &str, owner: SocketAddr, user: &str) {
    let query = url.strip_prefix(&format!("ws://{owner}/ws?"));
    let query = query.unwrap_or_else(|| panic!("{url} does not lead to {owner}"));
    let parameters: Vec<_> = query.split('&').collect();
    assert!(parameters.contains(&"hop=1"), "{url}");
    let user = format!("user={user}");
    assert!(parameters.contains(&user.as_str()), "{url}");
    assert!(!query.contains("redirect="), "{url}");
}

/// A good handshake for alice, as text to be spoiled.
fn upgrade(cluster: &Cluster, at: usize) -> String {
    format!(
        "GET /ws?user=alice&hop=1 HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n",
        cluster.nodes[at].listen
    )
}
