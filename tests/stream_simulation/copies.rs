//! All copies of a stream are the same to the last message.

use std::collections::BTreeMap;
use std::time::Duration;

use ringpost::core::stream::Snapshot;
use ringpost::id::StreamKey;

use super::server::copy_at;
use super::world::{Pid, World};

impl World {
    /// Compares the copies of all streams. Nothing may come after this: it seals them.
    pub fn check_copies_are_equal(&mut self) {
        let mut copies: BTreeMap<StreamKey, (Pid, Snapshot)> = BTreeMap::new();
        for pid in self.pids() {
            let Some(dispatch) = self.process(pid).map(|process| &process.dispatch) else {
                continue;
            };
            for report in dispatch.reports() {
                let Some(copy) = copy_at(dispatch, &report.key) else {
                    continue;
                };
                if report.copy.is_none_or(|copy| copy.empty) {
                    continue;
                }
                let copy = without_ages(copy.snapshot);
                let (first, as_there) = copies
                    .entry(report.key.clone())
                    .or_insert_with(|| (pid, copy.clone()));
                if let Some(what) = difference(as_there, &copy) {
                    let text = format!(
                        "{first:?} and {pid:?} have not the same in {}: {what}",
                        report.key
                    );
                    return self.ledger.fail(text);
                }
            }
        }
    }
}

/// What does not depend on the time for which it was under way.
fn without_ages(mut snapshot: Snapshot) -> Snapshot {
    for entry in &mut snapshot.entries {
        entry.age = Duration::ZERO;
    }
    for seen in &mut snapshot.seen {
        seen.age = Duration::ZERO;
    }
    snapshot.seen.sort_by_key(|seen| seen.key);
    snapshot
}

fn difference(one: &Snapshot, other: &Snapshot) -> Option<String> {
    if one == other {
        return None;
    }
    let numbers = |s: &Snapshot| (s.epoch, s.next, s.acked, s.floor);
    if numbers(one) != numbers(other) {
        return Some(format!("{:?}, {:?}", numbers(one), numbers(other)));
    }
    if one.branches != other.branches {
        return Some(format!("{:?}, {:?}", one.branches, other.branches));
    }
    if one.seen != other.seen {
        return Some(format!("{:?}, {:?}", one.seen, other.seen));
    }
    let mut pairs = one.entries.iter().zip(&other.entries);
    Some(match pairs.find(|(one, other)| one != other) {
        Some((one, other)) => format!("{one:?}, {other:?}"),
        None => format!("{} entries, {}", one.entries.len(), other.entries.len()),
    })
}
