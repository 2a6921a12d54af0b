//! What is believed of members.
//!
//! Whoever is admitted may be mistaken, or worse. A record with which nodes could not work, or that would outlive
//! its maker, is not taken in, whoever tells of it.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Identity;
use crate::config::{Config, address};
use crate::id::NodeId;

/// How far a generation, which is the time of a start, may be ahead of this node's clock, in milliseconds: a day.
/// Beyond it a node could not take its name back before that time has come.
const AHEAD_MAX_MS: u64 = 24 * 60 * 60 * 1000;
/// Generations stay exact in JSON and JavaScript.
const GENERATION_END: u64 = 1 << 53;

/// By what records are judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beliefs {
    /// Where members may be; empty: anywhere.
    pub networks: Vec<IpNet>,
    /// The wall clock, in milliseconds since 1970, if it is known.
    pub unix_ms: Option<u64>,
}

/// Why a record is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Its weight is out of bounds.
    #[error("its weight is not 1 to {}", Config::WEIGHT_MAX)]
    Weight,
    /// Its generation is out of bounds.
    #[error("its generation is not 1 to 2^53 - 1")]
    Generation,
    /// Its generation is a time that is yet to come.
    #[error("its generation is more than a day ahead of this node's clock")]
    Ahead,
    /// Its address for nodes is none.
    #[error("its peer address is none: {0}")]
    Peer(String),
    /// Its URL for clients is none.
    #[error("its URL is none: {0}")]
    Url(String),
    /// A packet with it is not understood.
    #[error("a packet is not understood")]
    Unreadable,
    /// It is outside the networks of the cluster.
    #[error("its peer address {0} is not in --peer-networks")]
    Elsewhere(IpAddr),
}

/// A record that was not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubted {
    /// Of which node; of a packet that is not understood the one that got it.
    pub node: NodeId,
    /// Why.
    pub why: Doubt,
}

impl Beliefs {
    /// What is wrong with it, if anything.
    #[must_use]
    pub fn doubt(&self, identity: &Identity) -> Option<Doubt> {
        if identity.weight == 0 || identity.weight > Config::WEIGHT_MAX {
            return Some(Doubt::Weight);
        }
        let of_addresses = || self.doubt_of_addresses(identity).err();
        self.doubt_of_generation(identity).or_else(of_addresses)
    }

    /// What is wrong with its generation, if anything.
    #[must_use]
    pub fn doubt_of_generation(&self, identity: &Identity) -> Option<Doubt> {
        let generation = identity.generation.0;
        if generation == 0 || generation >= GENERATION_END {
            return Some(Doubt::Generation);
        }
        let latest = self.unix_ms?.saturating_add(AHEAD_MAX_MS);
        (generation > latest).then_some(Doubt::Ahead)
    }

    fn doubt_of_addresses(&self, identity: &Identity) -> Result<(), Doubt> {
        let host = address::dialable(&identity.peer).map_err(Doubt::Peer)?;
        address::client_url(&identity.url).map_err(Doubt::Url)?;
        // A name is resolved where it is dialled, and looked at there.
        match host.parse::<IpAddr>() {
            Ok(ip) if !self.is_near(ip) => Err(Doubt::Elsewhere(ip)),
            _ => Ok(()),
        }
    }

    fn is_near(&self, ip: IpAddr) -> bool {
        is_in(&self.networks, ip)
    }
}

/// Whether an address is in one of the networks; in none all are. An IPv4 address may be written as IPv6.
#[must_use]
pub fn is_in(networks: &[IpNet], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    networks.is_empty() || networks.iter().any(|network| network.contains(&ip))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::membership::IdentityParts;
    use crate::core::membership::identity::tests::node;
    use crate::id::Generation;

    const NOW: u64 = 1_732_350_000_123;

    fn beliefs() -> Beliefs {
        Beliefs {
            networks: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            unix_ms: Some(NOW),
        }
    }

    /// The doubt about a good record that was changed.
    fn doubt(change: impl FnOnce(&mut IdentityParts)) -> Option<Doubt> {
        beliefs().doubt(&node("n1", NOW).revised(change))
    }

    #[test]
    fn what_nodes_say_of_themselves_is_believed() {
        assert_eq!(doubt(|_| {}), None);
        for peer in [
            "10.1.2.3:7101",
            "[fd00::1]:7101",
            "[::ffff:10.0.0.1]:1",
            "n1.svc:7101",
        ] {
            assert_eq!(doubt(|it| it.peer = peer.into()), None, "{peer}");
        }
        assert_eq!(doubt(|it| it.url = "wss://n1.example/ring".into()), None);
        assert_eq!(doubt(|it| it.weight = 64), None);
    }

    #[test]
    fn a_weight_out_of_bounds_is_not_believed() {
        for weight in [0, 65, u16::MAX] {
            assert_eq!(doubt(|it| it.weight = weight), Some(Doubt::Weight));
        }
    }

    #[test]
    fn a_generation_is_a_time_that_has_come() {
        let of = |generation| doubt(|it| it.generation = Generation(generation));
        assert_eq!(of(1), None);
        assert_eq!(of(NOW + AHEAD_MAX_MS), None);
        assert_eq!(of(NOW + AHEAD_MAX_MS + 1), Some(Doubt::Ahead));
        assert_eq!(of(0), Some(Doubt::Generation));
        assert_eq!(of(1 << 53), Some(Doubt::Generation));
        let without_a_clock = Beliefs::default();
        assert_eq!(without_a_clock.doubt(&node("n1", (1 << 53) - 1)), None);
    }

    #[test]
    fn addresses_must_be_well_formed() {
        for peer in [
            "",
            "n1",
            "n1:0",
            "0.0.0.0:7101",
            "http://n1:7101",
            "n1/x:1",
            "u@n1:1",
        ] {
            let said = doubt(|it| it.peer = peer.into());
            assert!(matches!(said, Some(Doubt::Peer(_))), "{peer}: {said:?}");
        }
        for url in [
            "",
            "http://n1:7001",
            "ws://",
            "ws://n1/?x",
            "ws://u@n1",
            "ws://n1\r\nx",
        ] {
            let said = doubt(|it| it.url = url.into());
            assert!(matches!(said, Some(Doubt::Url(_))), "{url}: {said:?}");
        }
    }

    #[test]
    fn a_literal_address_must_be_in_one_of_the_networks() {
        for peer in [
            "192.168.0.1:7101",
            "[fe80::1]:7101",
            "[::ffff:11.0.0.1]:7101",
        ] {
            let said = doubt(|it| it.peer = peer.into());
            assert!(
                matches!(said, Some(Doubt::Elsewhere(_))),
                "{peer}: {said:?}"
            );
        }
        let anywhere = Beliefs::default();
        assert_eq!(
            anywhere.doubt(&node("n1", 1).revised(|it| it.peer = "192.168.0.1:1".into())),
            None
        );
    }
}
