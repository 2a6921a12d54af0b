//! Whether a node is ready for clients: on the ring, and not on its way out.

use std::sync::atomic::{AtomicBool, Ordering};

/// Shared between the node and whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Readiness {
    joined: AtomicBool,
    draining: AtomicBool,
}

impl Readiness {
    /// Another node is known, or there is none to wait for.
    pub fn joined(&self) {
        self.joined.store(true, Ordering::Relaxed);
    }

    /// The node was asked to stop.
    pub fn draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// What is missing; `None` when the node is ready.
    pub fn why_not(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Relaxed) {
            Some("draining")
        } else if self.joined.load(Ordering::Relaxed) {
            None
        } else {
            Some("no other node is known yet")
        }
    }
}
