//! What clients send each other through a cluster of real processes, and what they are told when
//! it cannot be delivered.

mod delivering;
mod failing;
mod moving;
mod presence;
mod replying;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use support::{Client, Cluster};

/// A sender is told the outcome within this, whatever happens to nodes.
const RECEIPT: Duration = Duration::from_secs(20);

/// The other nodes have noticed that a node is dead.
const DETECTED: Duration = Duration::from_secs(5);

/// A session of the user that this node serves as a guest, or as the owner.
#[track_caller]
fn kept_at(cluster: &Cluster, index: usize, user: &str) -> Client {
    let url = format!("{}&redirect=never", cluster.nodes[index].url(user));
    let mut client = Client::connect(&url).expect("101");
    let welcome = client.expect("welcome");
    assert_eq!(welcome["node"], cluster.nodes[index].id.as_str());
    client
}
