//! What the integration tests are written with: clusters of real processes, plain HTTP, a
//! WebSocket client that hides nothing, and waiting for conditions.
//!
//! Everything here is blocking and built on `std` alone, so that it shares no code, and no
//! mistakes, with what it tests.

// Every test binary compiles this module and uses its own part of it.
#![allow(dead_code, unused_imports)]
// `write!` to a string can fail only in name.
#![allow(clippy::format_push_string)]

pub mod client;
pub mod cluster;
pub mod frames;
pub mod herd;
pub mod http;
pub mod kept;
pub mod namespaces;
pub mod node;
pub mod process;
pub mod python;
pub mod view;
pub mod wait;

pub use client::{Client, Event, Handshake};
pub use cluster::Cluster;
pub use http::Response;
pub use kept::Position;
pub use node::{Node, Signal};
pub use process::Killed;
pub use view::View;
pub use wait::{PATIENCE, holds_for, promised, turn, wait_until, within};

/// Whether a test that cannot run here must fail rather than be skipped (`RINGPOST_INSIST=1`).
pub fn insisting() -> bool {
    std::env::var("RINGPOST_INSIST").is_ok_and(|value| value == "1")
}

/// Says that a test did not run, and why.
///
/// # Panics
/// When skipping is not allowed ([`insisting`]).
pub fn skipped(why: &str) {
    assert!(!insisting(), "must not be skipped here, but: {why}");
    println!("skipped: {why}");
}
