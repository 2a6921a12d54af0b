//! What is fuzzed: one function a target, which takes any bytes and panics where a promise breaks.
//!
//! The fuzzer (`fuzz/`) and the replay of its corpus (this test) include this module alike. It uses
//! nothing of the library but what is public.

mod api;
mod config;
mod credentials;
mod frame;
mod handshake;
mod membership;
mod origin;
mod peer;
mod peer_wire;
mod requests;

pub use api::api;
pub use config::config;
pub use credentials::{ticket, token};
pub use frame::frame;
pub use handshake::handshake;
pub use membership::membership;
pub use origin::origin;
pub use peer::peer;
pub use peer_wire::peer_wire;
pub use requests::{binary_request, json_request};

/// A target by the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 12] = [
    ("api", api),
    ("binary_request", binary_request),
    ("config", config),
    ("frame", frame),
    ("handshake", handshake),
    ("json_request", json_request),
    ("membership", membership),
    ("origin", origin),
    ("peer", peer),
    ("peer_wire", peer_wire),
    ("ticket", ticket),
    ("token", token),
];
