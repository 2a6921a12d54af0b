//! Messages that are kept, on clusters of real processes: what a user finds who was away, who comes
//! back with a position or with several devices, and what senders are told.

mod acking;
mod bounds;
mod guests;
mod keeping;
mod ordering;
mod repeating;
mod resuming;
#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use support::{Client, Cluster};

/// A session at the user's owner, or as a guest (`redirect=never`) wherever the node is not. `query`
/// is added to the URL. Returns the welcome, too.
#[track_caller]
fn session_at(cluster: &Cluster, index: usize, user: &str, query: &str) -> (Client, Value) {
    let url = format!("{}&redirect=never{query}", cluster.nodes[index].url(user));
    let mut client = Client::connect(&url).expect("101");
    let welcome = client.expect("welcome");
    assert_eq!(welcome["node"], cluster.nodes[index].id.as_str());
    (client, welcome)
}
