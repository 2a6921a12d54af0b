//! Merging: what another node wrote to the same stream, while neither knew of the other, becomes
//! part of this log.

use super::ids::{MessageKey, Seen};
use super::log::{Branch, Entry, Log};
use super::position::{Epoch, Position};

impl Log {
    /// Whether everything in `other` is in this log, or was.
    #[must_use]
    pub fn includes(&self, other: &Self) -> bool {
        self.resolve(other.tip()).known
    }

    /// Takes over what `other` has and this log has not, in the order it has there, behind all that
    /// is here, in an epoch that nobody has used. Messages that are known are not repeated. What was
    /// acked in either is acked. Does nothing if [`Self::includes`] holds.
    ///
    /// A client that has seen any of `other` is replayed what it has not: its entries remember where
    /// they stood.
    pub fn merge(&mut self, other: &Self, epoch: Epoch) {
        if self.includes(other) {
            return;
        }
        let fork = self.fork(other);
        let gone = other.floor > fork + 1 && !self.has_offset_of(other, other.floor - 1);
        let known: Vec<bool> = (other.after(fork))
            .map(|entry| self.has_offset_of(other, entry.offset))
            .collect();
        self.open_epoch(epoch);
        self.learn_branches(other, fork);
        self.next = self.next.max(other.next);
        if gone {
            // What `other` no longer has cannot be replayed to those who have not seen it. It takes
            // one offset, which nobody's position is past.
            self.next += 1;
            self.floor = self.next;
        }
        for (entry, known) in other.after(fork).zip(known) {
            let origin = Position {
                epoch: other.epoch,
                offset: entry.offset,
            };
            self.take(entry, origin, known);
        }
        for (key, there) in other.seen.iter() {
            if there.offset <= other.acked
                && let Some(index) = self.index_of(key)
            {
                self.set_acked(index);
            }
            // Those of the entries just taken are known by now. What has gone keeps no place.
            self.seen.insert(key, Seen { offset: 0, ..there });
        }
        let acked = other.acked.min(fork);
        for index in 0..self.index_after(acked) {
            self.set_acked(index);
        }
        self.acked = self.acked.max(acked);
    }

    /// The last offset up to which both are the same.
    fn fork(&self, other: &Self) -> u64 {
        let shared_here = |epoch: Epoch| {
            if epoch == self.epoch {
                Some(self.next - 1)
            } else {
                self.branch(epoch).map(|branch| branch.shared)
            }
        };
        other
            .branches
            .iter()
            .map(|branch| (branch.epoch, branch.shared))
            .chain([(other.epoch, other.next - 1)])
            .filter_map(|(epoch, end)| Some(end.min(shared_here(epoch)?)))
            .max()
            .unwrap_or(0)
    }

    /// From now on positions in the epochs of `other` mean something here.
    fn learn_branches(&mut self, other: &Self, fork: u64) {
        let tip = Branch {
            epoch: other.epoch,
            shared: other.next - 1,
            merged: None,
        };
        for branch in other.branches.iter().chain([&tip]) {
            let learned = Branch {
                epoch: branch.epoch,
                shared: branch.shared.min(fork),
                // Above the fork its entries are in `other` under the same offsets. Where `other`
                // had merged more of it, this would need two origins at once: it stays known up to
                // there, and who comes from behind gets some of it again.
                merged: if branch.shared > fork {
                    Some(Position {
                        epoch: other.epoch,
                        offset: branch.shared,
                    })
                } else {
                    branch.merged
                },
            };
            match self.branches.iter_mut().find(|b| b.epoch == branch.epoch) {
                None => self.remember(learned),
                // Merged before, and written on since; or known by hearsay until now.
                Some(known) if learned.reach() > known.reach() => *known = learned,
                Some(_) => {}
            }
        }
    }

    /// Whether what `other` has at that offset came here before, under one of its epochs.
    fn has_offset_of(&self, other: &Self, offset: u64) -> bool {
        let lineage = other.branches.iter();
        let mut epochs = lineage
            .filter(|branch| branch.shared >= offset)
            .map(|branch| branch.epoch)
            .chain([other.epoch]);
        epochs.any(|epoch| self.resolve(Position { epoch, offset }).known)
    }

    /// `known`: it came here before, and is to be found or has gone.
    fn take(&mut self, entry: &Entry, origin: Position, known: bool) {
        let key = entry.message.key();
        let origins = entry.origins.as_deref().unwrap_or_default();
        if let Some(index) = self.index_of(key) {
            let here = &mut self.entries[index];
            let before = here.origins.as_deref().unwrap_or_default();
            here.origins = Some(union(before, origins, origin));
            if entry.acked {
                self.set_acked(index);
            }
        } else if !known && self.seen.get(key).is_none() {
            self.push(Entry {
                offset: self.next,
                origins: Some(union(&[], origins, origin)),
                ..entry.clone()
            });
        }
    }

    /// Whether the entry of that message is still there.
    pub(super) fn has(&self, key: MessageKey) -> bool {
        self.index_of(key).is_some()
    }

    /// Where the entry of that message stands, if it is still there.
    fn index_of(&self, key: MessageKey) -> Option<usize> {
        let offset = self.seen.get(key)?.offset;
        let index = self.entries.partition_point(|entry| entry.offset < offset);
        let entry = self.entries.get(index)?;
        (entry.offset == offset).then_some(index)
    }
}

fn union(known: &[Position], more: &[Position], origin: Position) -> Box<[Position]> {
    let mut all = known.to_vec();
    for position in more.iter().chain([&origin]) {
        if !all.contains(position) {
            all.push(*position);
        }
    }
    all.into()
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
