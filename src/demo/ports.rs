//! Which ports the nodes get.
//!
//! Not those that the system gives out for port 0: a node keeps its ports while it is stopped, and
//! the system would give them to some other connection meanwhile (even to one that looks for the
//! stopped node, which then talks to itself). So they lie below 32768, where Linux, macOS and
//! Windows begin to give out ports or later.

use std::iter;
use std::net::{Ipv4Addr, TcpListener};

/// The ports of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub client: u16,
    pub peer: u16,
    pub admin: u16,
}

/// Where `ringpost serve` has its defaults.
const FIRST_BASE: u16 = 7000;
/// Where else to look, each base [`BLOCK`] ports after the one before.
const OTHER_BASE: u16 = 10_000;
const OTHER_BASES: u16 = 70;
/// One base takes so many ports: a hundred for each kind.
const BLOCK: u16 = 300;
/// So many other bases are tried.
const TRIES: usize = 20;

/// Sets of ports, one entry a node, that were free a moment ago.
pub fn candidates(nodes: u8) -> impl Iterator<Item = Vec<Ports>> {
    let other = || OTHER_BASE + BLOCK * rand::random_range(0..OTHER_BASES);
    iter::once(FIRST_BASE)
        .chain(iter::repeat_with(other).take(TRIES))
        .map(move |base| block(base, nodes))
        .filter(|ports| are_free(ports))
}

fn block(base: u16, nodes: u8) -> Vec<Ports> {
    let ports = |number: u16| Ports {
        client: base + number,
        peer: base + BLOCK / 3 + number,
        admin: base + BLOCK / 3 * 2 + number,
    };
    (1..=u16::from(nodes)).map(ports).collect()
}

fn are_free(ports: &[Ports]) -> bool {
    // All are held until the last one is tried.
    let held: Result<Vec<_>, _> = (ports.iter())
        .flat_map(|ports| [ports.client, ports.peer, ports.admin])
        .map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)))
        .collect();
    held.is_ok()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_block_has_distinct_ports_below_those_that_systems_give_out() {
        let last = OTHER_BASE + BLOCK * (OTHER_BASES - 1);
        for base in [FIRST_BASE, OTHER_BASE, last] {
            let ports: Vec<_> = block(base, 16)
                .iter()
                .flat_map(|ports| [ports.client, ports.peer, ports.admin])
                .collect();
            assert_eq!(ports.iter().collect::<HashSet<_>>().len(), 48);
            assert!(ports.iter().all(|port| *port < 32_768), "{ports:?}");
        }
    }

    #[test]
    fn a_block_with_a_taken_port_is_passed_over() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let ports = Ports {
            client: port,
            peer: port - 1,
            admin: port - 2,
        };
        assert!(!are_free(&[ports]));
    }
}
