//! The binary protocol `ringpost.v1.proto` on clusters of real processes: it says what the JSON one
//! says, clients of both understand each other, and what is not of it is told so.

mod client;
mod handshakes;
mod messages;
mod rooms;
mod strange;
#[path = "../support/mod.rs"]
mod support;

use support::{Client, Cluster};

/// A JSON session at this node, whoever owns its user.
#[track_caller]
fn json_at(cluster: &Cluster, index: usize, user: &str) -> Client {
    let url = format!("{}&redirect=never", cluster.nodes[index].url(user));
    let mut client = Client::connect(&url).expect("101");
    client.expect("welcome");
    client
}
