//! Ringpost: a WebSocket cluster on a consistent hash ring, with no broker.
//!
//! Every node is equal. Nodes gossip who is alive, build the same ring over user ids, send each
//! client to the node that owns its user, and pass every message to the node that can deliver it.
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let mut config = ringpost::Config::new(ringpost::id::NodeId::new("n1")?);
//! config.insecure_users = true;
//! let node = ringpost::Node::start(config).await?;
//! println!("clients connect to {}/ws?user=…", node.ready().url);
//! node.drain().await;
//! # Ok(())
//! # }
//! ```
//!
//! [`core`] is pure: state machines without sockets and clocks. The shells around it move bytes: one
//! for clients, one for peers, one for operators. [`dispatch`] stands between them.

mod accept;
mod admin;
pub mod api;
pub mod client;
pub mod config;
pub mod core;
pub mod dispatch;
pub mod error;
pub mod handler;
pub mod id;
mod node;
pub mod proto;
mod rpc;
mod traces;
mod trust;
mod webhook;
pub mod wire;
mod ws;

pub use async_trait::async_trait;
pub use config::Config;
pub use error::RunError;
pub use handler::{
    Body, Handle, Handler, Incoming, Message, RawHandler, RawSession, Recipient, Refusal, Session,
    Verdict,
};
pub use node::{Node, Ready, StartError};

/// So that the Rust in that document compiles.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
struct LibraryDocument;
