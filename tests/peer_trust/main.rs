//! Who is a node and who is not, on clusters of real processes.

mod certificates;
mod files;
mod floods;
mod links;
mod networks;
mod peer;
mod rolling;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
mod talk;

use std::time::Duration;

use support::{Cluster, Node, holds_for};

/// Longer than the nodes need to try each other a few times.
const A_WHILE: Duration = Duration::from_secs(2);

/// The ids that a node has in its list of members.
fn members(node: &Node) -> Vec<String> {
    let view = node.view().expect("it answers");
    let members = view.0["members"].as_array().expect("a list").iter();
    let ids = members.map(|member| member["id"].as_str().expect("an id").to_owned());
    ids.collect()
}

/// Asserts that this node and the others of the cluster have nothing to do with each other.
#[track_caller]
fn assert_apart(cluster: &Cluster, stranger: usize) {
    let id = &cluster.nodes[stranger].id;
    holds_for(A_WHILE, &format!("{id} is no member and sees none"), || {
        cluster.running().all(|node| {
            let members = members(node);
            if node.id == *id {
                members == [id.clone()]
            } else {
                !members.contains(id)
            }
        })
    });
}
