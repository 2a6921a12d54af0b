//! Webhooks of real clusters: what a receiver is told, and what happens when there is none, when it
//! fails, refuses, hangs, or comes back.

mod failing;
mod receiver;
#[path = "../support/mod.rs"]
mod support;
mod telling;

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use receiver::{Receiver, Request};
use support::{Client, Cluster, Node, wait_until};

const SECRET: &str = "correct horse battery staple";
/// Longer than a sender that waits for its next try may take.
const DELIVERY: Duration = Duration::from_secs(45);

/// A cluster, and a receiver that says what `answer` makes of each request.
fn cluster_and_receiver(
    count: usize,
    flags: &[&str],
    answer: impl Fn(&Request) -> u16 + Send + Sync + 'static,
) -> (Cluster, Receiver) {
    let cluster = Cluster::reserve(count);
    let receiver = Receiver::start(SocketAddr::new(cluster.ip, 0), answer);
    (hooked(cluster, receiver.address, flags), receiver)
}

/// A cluster whose receiver is dead, and where it will be.
fn cluster_and_dead_receiver(count: usize, flags: &[&str]) -> (Cluster, SocketAddr) {
    let (cluster, receiver) = cluster_and_receiver(count, flags, |_| 204);
    let address = receiver.address;
    drop(receiver);
    (cluster, address)
}

fn hooked(cluster: Cluster, address: SocketAddr, flags: &[&str]) -> Cluster {
    let file = cluster.directory.join("secret");
    fs::write(&file, format!("{SECRET}\n")).expect("the directory can be written to");
    let url = format!("http://{address}/hooks/ringpost?of=test");
    let file = file.to_str().expect("it is UTF-8").to_owned();
    let all = ["--webhook-url", &url, "--webhook-secret-file", &file];
    cluster.with(&all).with(flags).started()
}

/// A session at the user's owner, or as a guest (`redirect=never`) wherever the node is not. Returns
/// its id, too.
#[track_caller]
fn session_at(node: &Node, user: &str) -> (Client, String) {
    let url = format!("{}&redirect=never", node.url(user));
    let mut client = Client::connect(&url).expect("101");
    let welcome = client.expect("welcome");
    let session = welcome["session"].as_str().expect("a session").to_owned();
    (client, session)
}

/// Events that the node has told, or will tell. What was sent is read first: none counts twice.
fn told(node: &Node) -> u64 {
    let sent = node.metric("ringpost_webhook_sent_total");
    sent + node.metric("ringpost_webhook_queued")
}

/// A session that comes and goes, as its node has noticed on return. Returns its id.
#[track_caller]
fn come_and_go(node: &Node, user: &str) -> String {
    let ended = || node.metric("ringpost_sessions_closed_total");
    let before = ended();
    let (client, session) = session_at(node, user);
    client.close();
    wait_until(DELIVERY, "the node has noticed", || ended() > before);
    session
}
