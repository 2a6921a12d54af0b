//! Sends every message back as it came: a server for WebSocket conformance suites.
//!
//! ```text
//! cargo run --release --example echo -- --listen 127.0.0.1:9001 --max-message-bytes 16777216
//! ```
//!
//! Connect to `/ws?user=anybody`.

use std::net::SocketAddr;

use clap::Parser;
use ringpost::id::NodeId;
use ringpost::{Config, Message, Node, RawHandler, RawSession};

/// A WebSocket echo server on Ringpost.
#[derive(Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9001")]
    listen: SocketAddr,
    /// The largest message that is taken, in bytes.
    #[arg(long, default_value_t = 16 * 1024 * 1024)]
    max_message_bytes: usize,
}

struct Echo;

#[ringpost::async_trait]
impl RawHandler for Echo {
    async fn on_message(&self, session: &RawSession, message: Message) {
        // A session that does not read is closed by the node; there is nothing to do about it here.
        session.send(&message);
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = Config::new(NodeId::new("echo")?);
    config.listen = args.listen;
    config.peer_listen = any_port;
    config.admin_listen = any_port;
    config.insecure_users = true;
    config.limits.message_bytes_max = args.max_message_bytes;
    // A suite sends as fast as it can, and what it sends cannot be refused by name.
    config.limits.message_rate = 1_000_000;
    config.limits.message_burst = 1_000_000;
    // A suite may send its largest message in fragments of a few bytes.
    config.limits.fragments_max = (args.max_message_bytes / 16).max(1024);
    // Room for the largest answer on top of the one before it.
    config.limits.outbound_bytes_max = 1024 * 1024 + 2 * args.max_message_bytes;
    config.limits.peer_queue_bytes_max = config
        .limits
        .peer_queue_bytes_max
        .max(args.max_message_bytes);
    // Nothing is kept here, but an inbox that holds no message is refused.
    let inbox = &mut config.inbox;
    inbox.bytes_max = inbox.bytes_max.max(args.max_message_bytes);
    inbox.node_bytes_max = inbox.node_bytes_max.max(inbox.bytes_max);
    let node = Node::start_raw(config, Echo).await?;
    let ready = node.ready();
    let (id, url, peer, admin) = (&ready.id, &ready.url, &ready.peer, &ready.admin);
    println!(r#"{{"ready":true,"id":"{id}","url":"{url}","peer":"{peer}","admin":"{admin}"}}"#);
    tokio::signal::ctrl_c().await?;
    node.drain().await;
    Ok(())
}
