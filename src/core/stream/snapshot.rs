//! A whole log on its way to another node. Times travel as ages: clocks of nodes differ.

use std::time::Duration;

use super::ids::{MessageKey, Seen};
use super::log::{Branch, Entry, Log};
use super::message::Message;
use super::position::{Epoch, Position};

/// All that makes a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The log's epoch.
    pub epoch: Epoch,
    /// The epochs that led here.
    pub branches: Vec<SnapshotBranch>,
    /// The entries that are still there, in their order.
    pub entries: Vec<SnapshotEntry>,
    /// The next offset.
    pub next: u64,
    /// All entries up to this offset are acked.
    pub acked: u64,
    /// Every entry from this offset on is there.
    pub floor: u64,
    /// Messages seen whose entries have gone.
    pub seen: Vec<SnapshotSeen>,
}

/// See [`Snapshot::branches`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotBranch {
    /// An earlier epoch.
    pub epoch: Epoch,
    /// The last offset of it that means the same in the log.
    pub shared: u64,
    /// Up to where the rest of it was merged.
    pub merged: Option<Position>,
}

/// See [`Snapshot::entries`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// Its offset.
    pub offset: u64,
    /// Since it was appended.
    pub age: Duration,
    /// The user has acked it.
    pub acked: bool,
    /// Where it stood in logs that were merged.
    pub origins: Vec<Position>,
    /// The message.
    pub message: Message,
}

/// See [`Snapshot::seen`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotSeen {
    /// The message.
    pub key: MessageKey,
    /// Its offset, as [`Seen::offset`].
    pub offset: u64,
    /// Since it was seen.
    pub age: Duration,
}

impl SnapshotEntry {
    /// An entry on its way.
    #[must_use]
    pub fn new(now: Duration, entry: &Entry) -> Self {
        Self {
            offset: entry.offset,
            age: now.saturating_sub(entry.at),
            acked: entry.acked,
            origins: entry.origins.as_deref().unwrap_or_default().to_vec(),
            message: entry.message.clone(),
        }
    }

    pub(super) fn into_entry(self, now: Duration) -> Entry {
        Entry {
            offset: self.offset,
            at: now.saturating_sub(self.age),
            acked: self.acked,
            origins: (!self.origins.is_empty()).then(|| self.origins.into()),
            message: self.message,
        }
    }
}

impl Snapshot {
    /// Roughly what it takes in memory and on the wire, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 64;
        const EACH: usize = 32;
        let entries = self.entries.iter().map(|e| EACH + e.message.size());
        FIXED + entries.sum::<usize>() + EACH * (self.seen.len() + self.branches.len())
    }
}

impl Log {
    /// The log as it is now, to be sent.
    #[must_use]
    pub fn snapshot(&self, now: Duration) -> Snapshot {
        let branches = self.branches.iter().map(|branch| SnapshotBranch {
            epoch: branch.epoch,
            shared: branch.shared,
            merged: branch.merged,
        });
        let seen = self.seen.iter().filter(|(key, _)| !self.has(*key));
        Snapshot {
            epoch: self.epoch,
            branches: branches.collect(),
            entries: (self.entries.iter())
                .map(|entry| SnapshotEntry::new(now, entry))
                .collect(),
            next: self.next,
            acked: self.acked,
            floor: self.floor,
            seen: seen
                .map(|(key, seen)| SnapshotSeen {
                    key,
                    offset: seen.offset,
                    age: now.saturating_sub(seen.at),
                })
                .collect(),
        }
    }

    /// The log that a snapshot was made of; `None` if it cannot be one: offsets that do not grow,
    /// or lie past the next one.
    #[must_use]
    pub fn from_snapshot(now: Duration, snapshot: Snapshot) -> Option<Self> {
        let mut log = Self::new(snapshot.epoch);
        log.branches = (snapshot.branches.into_iter())
            .map(|branch| Branch {
                epoch: branch.epoch,
                shared: branch.shared,
                merged: branch.merged,
            })
            .collect();
        // Their order is that of their age, by which they will be forgotten.
        for seen in snapshot.seen {
            let at = now.saturating_sub(seen.age);
            let offset = seen.offset;
            log.seen.insert(seen.key, Seen { offset, at });
        }
        for entry in snapshot.entries {
            if entry.offset < log.next {
                return None;
            }
            log.push(entry.into_entry(now));
        }
        if log.next > snapshot.next || snapshot.next == 0 || snapshot.acked >= snapshot.next {
            return None;
        }
        log.next = snapshot.next;
        log.acked = snapshot.acked;
        log.floor = snapshot.floor;
        Some(log)
    }
}
