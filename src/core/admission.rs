//! Which connections and handshakes of clients a node takes on: so many in all, so many of one address, and
//! so many of it in a time.
//!
//! An address is one of IPv4, or a /64 of IPv6, which is what one customer has. Those are remembered that
//! have a connection, or that have made a handshake of late.

mod addresses;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ipnet::IpNet;

use self::addresses::Addresses;
use super::rate::Rate;

/// Connections over a limit that are taken on for the sake of an answer. A guess: to how many a node can say
/// no at a time without anybody noticing.
const OVER_MAX: usize = 1_000;

/// What a node takes on.
#[derive(Debug, Clone)]
pub struct AdmissionLimits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Those of one address.
    pub per_address_max: usize,
    /// Handshakes of one address.
    pub handshakes: Rate,
    /// Connections of one address in a time. Past this they get no answer, so that it is cheap to have them.
    pub connects: Rate,
    /// Networks of which no address is bounded for itself.
    pub exempt: Vec<IpNet>,
}

/// Connections under way, and what their addresses have done of late. Times count from anywhere.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    connections: usize,
    over: usize,
    addresses: Addresses,
}

/// What becomes of a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is served.
    Admitted,
    /// It is told that there are too many.
    Over(Limit),
    /// It is closed without a word, and does not count.
    Dropped(Limit),
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Connections of the node.
    Node,
    /// Connections of the address.
    Address,
    /// What the address does in a time.
    Rate,
}

impl Admission {
    /// Nobody is there yet.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Self {
        Self {
            limits,
            connections: 0,
            over: 0,
            addresses: Addresses::default(),
        }
    }

    /// A connection has come. Unless it is dropped its end must be told to [`Self::close`], once.
    pub fn open(&mut self, from: IpAddr, now: Duration) -> Verdict {
        let room = self.connections < self.limits.connections_max;
        let limit = match self.bounded(from) {
            Some(address) => self.open_of(address, room, now),
            None => None,
        };
        match limit.or((!room).then_some(Limit::Node)) {
            None => {
                self.connections += 1;
                Verdict::Admitted
            }
            Some(limit) if limit == Limit::Rate || self.over >= OVER_MAX => Verdict::Dropped(limit),
            Some(limit) => {
                self.over += 1;
                Verdict::Over(limit)
            }
        }
    }

    /// The limit that a connection of this address has reached; without one, and if there is room for it, it
    /// counts.
    fn open_of(&mut self, address: IpAddr, room: bool, now: Duration) -> Option<Limit> {
        let (rate, max) = (self.limits.connects, self.limits.per_address_max);
        self.addresses.with(address, now, |address| {
            if !rate.take(&mut address.connects, now) {
                return Some(Limit::Rate);
            }
            if address.connections >= max {
                return Some(Limit::Address);
            }
            address.connections += usize::from(room);
            None
        })
    }

    /// A connection has ended, of which this was said when it came.
    pub fn close(&mut self, from: IpAddr, verdict: Verdict, now: Duration) {
        match verdict {
            Verdict::Dropped(_) => {}
            Verdict::Over(_) => self.over -= 1,
            Verdict::Admitted => {
                self.connections -= 1;
                if let Some(address) = self.bounded(from) {
                    (self.addresses).with(address, now, |address| address.connections -= 1);
                }
            }
        }
    }

    /// Whether an address may make one more handshake now.
    pub fn handshake(&mut self, from: IpAddr, now: Duration) -> bool {
        let rate = self.limits.handshakes;
        self.bounded(from).is_none_or(|address| {
            (self.addresses).with(address, now, |address| {
                rate.take(&mut address.handshakes, now)
            })
        })
    }

    /// Connections that were admitted and have not ended.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections
    }

    /// What an address is remembered as; `None` if it is not bounded for itself.
    fn bounded(&self, from: IpAddr) -> Option<IpAddr> {
        const NETWORK: u128 = !0 << 64;
        let from = from.to_canonical();
        let exempt = |network: &IpNet| network.contains(&from);
        if self.limits.exempt.iter().any(exempt) {
            return None;
        }
        Some(match from {
            IpAddr::V4(_) => from,
            IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & NETWORK).into(),
        })
    }
}

#[cfg(test)]
mod tests;
