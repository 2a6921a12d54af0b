//! Who may talk with this node at all: what both ends of every connection between nodes have in common.

use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use ipnet::IpNet;

use super::Refused;
use crate::core::membership::is_in;
use crate::dispatch::Dispatch;
use crate::trust::PeerTls;

/// What is wanted of peers before anything is said to them.
pub(crate) struct Gate {
    tls: Option<Arc<PeerTls>>,
    networks: Vec<IpNet>,
    dispatch: Arc<Dispatch>,
    refused: Mutex<Refused>,
    failed: Mutex<Refused>,
    doubted: Mutex<Refused>,
}

impl Gate {
    /// With `None` nobody has to prove anything; without networks peers may be anywhere.
    pub fn new(tls: Option<Arc<PeerTls>>, networks: Vec<IpNet>, dispatch: Arc<Dispatch>) -> Self {
        Self {
            tls,
            networks,
            dispatch,
            refused: Mutex::default(),
            failed: Mutex::default(),
            doubted: Mutex::default(),
        }
    }

    pub(super) fn tls(&self) -> Option<&Arc<PeerTls>> {
        self.tls.as_ref()
    }

    pub(super) fn dispatch(&self) -> &Arc<Dispatch> {
        &self.dispatch
    }

    /// Whether a peer may be there.
    pub(super) fn is_open_to(&self, ip: IpAddr) -> bool {
        is_in(&self.networks, ip)
    }

    /// A peer is refused, or not called.
    pub(super) fn refuse(&self, peer: impl Display, reason: impl Display) {
        self.dispatch.counters().peers_refused.add();
        if super::lock(&self.refused).due() {
            tracing::warn!(%peer, %reason, "a peer is refused");
        }
    }

    /// A handshake failed, or was refused afterwards.
    pub(super) fn tls_failed(&self, peer: impl Display, error: &io::Error) {
        self.dispatch.counters().peer_tls_errors.add();
        if super::lock(&self.failed).due() {
            tracing::warn!(%peer, reason = %error, "no TLS with a peer");
        }
    }

    /// Records of members were not believed.
    pub(super) fn doubt(&self, count: u64, node: impl Display, reason: impl Display) {
        self.dispatch.counters().records_refused.add_many(count);
        if super::lock(&self.doubted).due() {
            tracing::warn!(%node, %reason, "what is told of a member is not believed");
        }
    }
}
