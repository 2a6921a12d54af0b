//! What must not come out where it does not belong: names and secrets of clients in logs, headers and
//! metrics, and clients at addresses that no node has. Against real processes that log all they can.

#[path = "../support/mod.rs"]
mod support;

mod headers;
mod logs;
mod metrics;
mod origins;
mod peers;
mod redirects;

use support::Cluster;

/// As many nodes as asked for, which log everything.
fn talkative(count: usize, args: &[&str]) -> Cluster {
    let mut cluster = Cluster::reserve(count).with(args);
    for node in &mut cluster.nodes {
        node.runner = ["env", "RUST_LOG=trace"].map(str::to_owned).to_vec();
    }
    cluster.started()
}

/// All that the nodes have logged.
fn logged(cluster: &Cluster) -> String {
    cluster.nodes.iter().map(support::Node::log_text).collect()
}

/// Every byte of it as a percent escape.
fn escaped(text: &str) -> String {
    let bytes = text.bytes().map(|byte| format!("%{byte:02X}"));
    bytes.collect::<Vec<_>>().concat()
}
