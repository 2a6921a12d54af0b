//! The messages that a stream has seen, by which repeats are recognised.

use std::time::Duration;

use indexmap::map::Entry;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128_with_seed};

use crate::core::map::Map;

/// What names a message everywhere, its sender and the sender's id for it, as 128 bits.
///
/// xxh3-128 is no cryptographic hash: who can choose its own user id and message ids could make two
/// messages look like one, and would lose one of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey(u128);

impl MessageKey {
    /// How many bytes it has.
    pub(crate) const BYTES: usize = 16;

    /// The key of a sender's message.
    #[must_use]
    pub fn new(from: &str, id: &str) -> Self {
        Self::of_bytes(from.as_bytes(), id.as_bytes())
    }

    pub(super) fn of_bytes(from: &[u8], id: &[u8]) -> Self {
        // Both one-shot: the streaming hasher is ten times as slow for so little.
        let sender = xxh3_64(from);
        Self(xxh3_128_with_seed(id, sender))
    }

    /// The key as it goes to other nodes, little-endian.
    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0.to_le_bytes()
    }

    /// The key that [`Self::to_bytes`] wrote.
    pub(crate) fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(u128::from_le_bytes(bytes))
    }
}

/// What is known of a message that was appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its offset; 0 if it came by a merge and was gone by then.
    pub offset: u64,
    /// When, in the time of this node.
    pub at: Duration,
}

/// Message keys, each kept for a time from when it was first seen. Acks and expiry of the messages
/// do not touch them.
#[derive(Debug, Clone, Default)]
pub(super) struct SeenIds {
    /// Oldest first, but for what came by a merge.
    seen: Map<MessageKey, Seen>,
}

impl SeenIds {
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    pub fn get(&self, key: MessageKey) -> Option<Seen> {
        self.seen.get(&key).copied()
    }

    /// Adds a key, unless it is there.
    pub fn insert(&mut self, key: MessageKey, seen: Seen) {
        self.seen.entry(key).or_insert(seen);
    }

    pub fn iter(&self) -> impl Iterator<Item = (MessageKey, Seen)> {
        self.seen.iter().map(|(key, seen)| (*key, *seen))
    }

    /// Adds a key as it is now, whatever was known of it.
    pub fn replace(&mut self, key: MessageKey, seen: Seen) {
        match self.seen.entry(key) {
            Entry::Vacant(entry) => {
                entry.insert(seen);
            }
            Entry::Occupied(entry) => {
                entry.shift_remove();
                self.seen.insert(key, seen);
            }
        }
    }

    /// Forgets what was seen at or before that time, unless `needed` says that its offset is still
    /// in the log. What came by a merge may stay longer: it waits for the first one.
    pub fn forget_until(&mut self, until: Duration, needed: impl Fn(u64) -> bool) {
        let is_old = |(_, seen): (_, &Seen)| seen.at <= until;
        if self.seen.first().is_some_and(is_old) {
            self.seen
                .retain(|_, seen| seen.at > until || needed(seen.offset));
        }
        if self.seen.is_empty() {
            // An idle stream keeps no buffers.
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_sender_and_id_apart() {
        assert_ne!(MessageKey::new("a", "bc"), MessageKey::new("ab", "c"));
        assert_ne!(MessageKey::new("a", "1"), MessageKey::new("a", "2"));
        assert_eq!(MessageKey::new("a", "1"), MessageKey::new("a", "1"));
    }

    #[test]
    fn keys_are_forgotten_in_the_order_of_their_age() {
        let mut ids = SeenIds::default();
        for second in 1..=5 {
            let at = Duration::from_secs(second);
            let key = MessageKey::new("a", &second.to_string());
            ids.insert(key, Seen { offset: second, at });
            ids.insert(key, Seen { offset: 99, at });
        }
        ids.forget_until(Duration::from_secs(3), |_| false);
        assert_eq!(ids.len(), 2);
        let left: Vec<u64> = ids.iter().map(|(_, seen)| seen.offset).collect();
        assert_eq!(left, [4, 5]);
        ids.forget_until(Duration::from_secs(9), |offset| offset == 5);
        assert_eq!(ids.len(), 1);
        ids.forget_until(Duration::from_secs(9), |_| false);
        assert_eq!((ids.len(), ids.seen.capacity()), (0, 0));
    }
}
