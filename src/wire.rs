//! The wire between nodes: the generated types, and their only way to and from the core's.
//!
//! Whatever comes in is checked here, once: ids, weights, generations, offsets and lengths.

mod check;
mod copies;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod golden;
mod gossip;
mod link;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod refusals;
mod reply;
mod rooms;
mod stats;
mod stream;
#[cfg(test)]
mod tests;

/// The generated types of `proto/peer.proto`.
#[allow(missing_docs, clippy::pedantic, reason = "generated")]
pub mod proto {
    tonic::include_proto!("ringpost.peer.v1");
}

pub use self::gossip::GossipCodec;
pub(crate) use self::gossip::sender;
pub use self::stats::Told;

/// The version of the protocol that this node speaks. It grows with every change that an older node
/// could misunderstand.
pub const PROTOCOL_VERSION: u32 = 1;

/// The versions that this node understands: its own and its neighbours', so that a cluster can be
/// upgraded node by node.
pub const PROTOCOL_VERSIONS: std::ops::RangeInclusive<u32> = 1..=2;

/// What a peer sent cannot be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WireError(pub &'static str);
