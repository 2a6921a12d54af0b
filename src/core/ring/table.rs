//! The table: the arcs of a ring, laid out so that a lookup touches two cache lines.

use super::placement::Arc;
use super::{KeyHash, NodeIndex, PREFERENCE_MAX};

/// Arcs in ascending order, each with its whole preference list, and an index into them by the top
/// bits of a key.
///
/// There are at least twice as many buckets as arcs, so that most keys find their arc at the first
/// comparison, and less than four times as many.
pub(super) struct Table {
    /// The arc that holds the first key of each bucket.
    buckets: Vec<u32>,
    /// How far a key is shifted to give its bucket.
    shift: u32,
    /// The arcs, and one more that ends with the last key of all and repeats the first arc's list: it
    /// closes the circle and ends every search.
    entries: Vec<Entry>,
    /// Length of all preference lists: the number of owners, at most [`PREFERENCE_MAX`].
    preference_len: usize,
}

#[derive(Clone, Copy)]
struct Entry {
    /// The last key of the arc.
    end: u64,
    /// The owner, then the next distinct owners clockwise; unused places are zero.
    preference: [NodeIndex; PREFERENCE_MAX],
}

impl Table {
    /// Lays out arcs that are in ascending order.
    pub fn compile(arcs: &[Arc]) -> Self {
        let (entries, preference_len) = entries(arcs);
        let bits = (2 * entries.len()).next_power_of_two().trailing_zeros();
        let shift = u64::BITS - bits;
        let mut at = 0;
        let buckets = (0..1_u64 << bits)
            .map(|bucket| {
                while entries[at].end < bucket << shift {
                    at += 1;
                }
                u32::try_from(at).expect("a ring has at most 2^31 points")
            })
            .collect();
        let table = Self {
            buckets,
            shift,
            entries,
            preference_len,
        };
        table.debug_check();
        table
    }

    /// The preference list of a key; empty if there are no arcs.
    #[inline]
    pub fn preference(&self, key: KeyHash) -> &[NodeIndex] {
        let bucket = usize::try_from(key.0 >> self.shift).unwrap_or(usize::MAX);
        let mut at = self.buckets[bucket] as usize;
        while self.entries[at].end < key.0 {
            at += 1;
        }
        &self.entries[at].preference[..self.preference_len]
    }

    /// Whether there are no arcs.
    pub fn is_empty(&self) -> bool {
        self.preference_len == 0
    }

    /// What every table holds; costs as much as compiling, so debug builds only.
    fn debug_check(&self) {
        if !cfg!(debug_assertions) {
            return;
        }
        let (closing, arcs) = self
            .entries
            .split_last()
            .expect("a table has a closing entry");
        assert!(
            closing.end == u64::MAX,
            "the closing entry ends with the last key"
        );
        assert!(
            arcs.is_sorted_by(|a, b| a.end < b.end),
            "arcs ascend, no two with one end"
        );
        for (bucket, &at) in (0_u64..).zip(&self.buckets) {
            let (at, first_key) = (at as usize, bucket << self.shift);
            assert!(
                self.entries[at].end >= first_key,
                "a bucket begins no later than its arc ends"
            );
            assert!(
                at == 0 || self.entries[at - 1].end < first_key,
                "a bucket begins after the arc before"
            );
        }
        for entry in &self.entries {
            let list = &entry.preference[..self.preference_len];
            let distinct = list
                .iter()
                .enumerate()
                .all(|(i, node)| !list[..i].contains(node));
            assert!(distinct, "a preference list has no node twice");
        }
    }
}

/// The arcs with their preference lists and the closing entry, and the length of the lists.
///
/// From the last arc to the first: a list is the arc's owner, then the list of the arc after it
/// without that owner. That is at most eight steps an arc, where a walk from each arc to the eighth
/// owner would be as long as the rarest owner makes it.
fn entries(arcs: &[Arc]) -> (Vec<Entry>, usize) {
    let (first, preference_len) = first_preference(arcs);
    let mut after = first;
    let mut entries = Vec::with_capacity(arcs.len() + 1);
    entries.push(Entry {
        end: u64::MAX,
        preference: first,
    });
    for arc in arcs.iter().rev() {
        move_to_front(&mut after[..preference_len], arc.owner);
        entries.push(Entry {
            end: arc.end,
            preference: after,
        });
    }
    debug_assert!(
        after == first,
        "one turn ends with the list that it began with"
    );
    entries.reverse();
    (entries, preference_len)
}

/// The preference list of the first arc, by a walk from it, and how many nodes it has.
fn first_preference(arcs: &[Arc]) -> ([NodeIndex; PREFERENCE_MAX], usize) {
    let mut preference = [NodeIndex::default(); PREFERENCE_MAX];
    let mut len = 0;
    for arc in arcs {
        if len == PREFERENCE_MAX {
            break;
        }
        if !preference[..len].contains(&arc.owner) {
            preference[len] = arc.owner;
            len += 1;
        }
    }
    (preference, len)
}

/// Puts `owner` first and leaves the others behind it in their order; the last one falls out if
/// `owner` was not there before.
fn move_to_front(list: &mut [NodeIndex], owner: NodeIndex) {
    let place = list
        .iter()
        .position(|&node| node == owner)
        .unwrap_or(list.len() - 1);
    list[..=place].rotate_right(1);
    list[0] = owner;
}
