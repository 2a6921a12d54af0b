//! The addresses that are remembered.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use crate::core::map::Map;
use crate::core::rate::Used;

/// Addresses without a connection that are remembered; past it those go that were idle for the longest time.
/// Together they cost about 8 MiB.
pub(super) const IDLE_MAX: usize = 65_536;

/// What is remembered of each address.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: Map<IpAddr, Address>,
    /// Those without a connection, the one that was idle for the longest time first.
    idle: BTreeMap<u64, IpAddr>,
    next_idle: u64,
}

/// What is remembered of an address.
#[derive(Debug, Default)]
pub(super) struct Address {
    /// Connections that were admitted and have not ended.
    pub connections: usize,
    pub handshakes: Used,
    pub connects: Used,
    /// Its place among the idle ones, if it is one.
    idle: Option<u64>,
}

impl Addresses {
    /// Changes what is known of an address.
    pub fn with<R>(
        &mut self,
        key: IpAddr,
        now: Duration,
        change: impl FnOnce(&mut Address) -> R,
    ) -> R {
        let address = self.known.entry(key).or_default();
        let result = change(address);
        if let Some(place) = address.idle.take() {
            self.idle.remove(&place);
        }
        if address.connections == 0 {
            address.idle = Some(self.next_idle);
            self.idle.insert(self.next_idle, key);
            self.next_idle += 1;
        }
        self.forget(now);
        result
    }

    /// Forgets those of which there is nothing to remember, and those that are too many.
    fn forget(&mut self, now: Duration) {
        while let Some(longest) = self.idle.first_entry() {
            let nothing = self.known.get(longest.get()).is_none_or(|address| {
                address.handshakes.is_nothing(now) && address.connects.is_nothing(now)
            });
            if !nothing && self.idle.len() <= IDLE_MAX {
                return;
            }
            if let Some((_, key)) = self.idle.pop_first() {
                self.known.swap_remove(&key);
            }
        }
    }

    /// How many are remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.known.len()
    }
}
