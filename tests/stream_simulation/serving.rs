//! Who serves what while it all goes on: two nodes that see each other alive never both serve a key.

use std::collections::BTreeMap;

use ringpost::core::stream::Part;
use ringpost::id::StreamKey;

use super::scenario::{MS, SECOND};
use super::world::{Pid, World};

/// Who serves what is looked at this often …
const LOOK_EVERY: u64 = 100 * MS;
/// … until no view has changed for this long.
const LOOK_FOR: u64 = 3 * SECOND;

/// When it was last looked, and when the last view was published.
#[derive(Default)]
pub struct Looks {
    looked: u64,
    pub published: u64,
}

impl World {
    /// Time has passed: looks whether two nodes serve the same, now and then.
    pub fn look_who_serves(&mut self) {
        let Looks { looked, published } = self.looks;
        if self.now < looked + LOOK_EVERY || self.now > published + LOOK_FOR {
            return;
        }
        self.looks.looked = self.now;
        if let Some((key, one, other)) = self.served_twice() {
            let text = format!("{one:?} and {other:?} both serve {key}, and see each other");
            self.ledger.fail(text);
        }
    }

    fn served_twice(&self) -> Option<(StreamKey, Pid, Pid)> {
        let mut serving: BTreeMap<StreamKey, Vec<Pid>> = BTreeMap::new();
        for pid in self.pids() {
            let reports = self.process(pid)?.dispatch.reports();
            for report in reports.into_iter().filter(|r| r.part == Part::Owner) {
                let others = serving.entry(report.key.clone()).or_default();
                let other = others
                    .iter()
                    .find(|other| self.sees(pid, **other) && self.sees(**other, pid));
                if let Some(other) = other {
                    return Some((report.key, *other, pid));
                }
                others.push(pid);
            }
        }
        None
    }

    /// Whether one node takes another for alive.
    pub fn sees(&self, one: Pid, other: Pid) -> bool {
        let known = self.process(one).and_then(|p| p.known.get(&other.machine));
        known.is_some_and(|record| !record.down && record.is_of(other))
    }
}
