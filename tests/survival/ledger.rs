//! What every user of a fleet has sent and got, and what must be true of that in the end.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A message: who sent it, and its number among that sender's.
pub type Numbered = (usize, u64);

/// What one user has sent and got.
#[derive(Debug, Default)]
pub struct Record {
    /// Numbers of messages that were accepted, with their recipients.
    pub accepted: Vec<(u64, usize)>,
    /// Those that failed: number, recipient, code, and whether it is certain that nobody gets them.
    pub failed: Vec<(u64, usize, String, bool)>,
    /// Messages without an outcome.
    pub pending: usize,
    /// What came, in its order, repeats left out.
    pub received: Vec<Numbered>,
    /// The same, to look up.
    pub seen: HashSet<Numbered>,
    /// Messages that came again.
    pub repeats: u64,
    /// Receipts that said so of theirs.
    pub duplicates: u64,
    /// Where it stands, and at which node.
    pub last: String,
    pub connects: u64,
    pub redirects: u64,
    /// Welcomes that said `"recovered":false`.
    pub gaps: u64,
    /// Sentences about what must never be.
    pub wrong: Vec<String>,
}

/// The records of all users.
#[derive(Debug)]
pub struct Ledger(Vec<Mutex<Record>>);

/// What is asked of a fleet besides that nothing is lost.
#[derive(Debug, Clone, Copy)]
pub struct Promises {
    /// Every recipient gets each sender's messages in their order.
    pub ordered: bool,
    /// Nobody gets anything twice, even without dropping repeats, or is told `"recovered":false`,
    /// and every message is accepted in the end.
    pub seamless: bool,
}

impl Ledger {
    pub fn new(users: usize) -> Self {
        Self((0..users).map(|_| Mutex::default()).collect())
    }

    pub fn of(&self, user: usize) -> MutexGuard<'_, Record> {
        self.0[user].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn users(&self) -> std::ops::Range<usize> {
        0..self.0.len()
    }

    /// Messages without an outcome.
    pub fn pending(&self) -> usize {
        self.users().map(|user| self.of(user).pending).sum()
    }

    /// For each user the messages to it that were accepted.
    fn accepted(&self) -> Vec<BTreeSet<Numbered>> {
        let mut accepted = vec![BTreeSet::new(); self.0.len()];
        for from in self.users() {
            for (number, to) in &self.of(from).accepted {
                accepted[*to].insert((from, *number));
            }
        }
        accepted
    }

    /// Messages that were accepted and have not come, by their recipients.
    pub fn missing(&self) -> BTreeMap<usize, Vec<Numbered>> {
        let accepted = self.accepted().into_iter().enumerate();
        let missing = accepted.filter_map(|(user, messages)| {
            let record = self.of(user);
            let missing: Vec<_> = (messages.into_iter())
                .filter(|message| !record.seen.contains(message))
                .collect();
            (!missing.is_empty()).then_some((user, missing))
        });
        missing.collect()
    }

    /// Everything that is not as it should be, as sentences.
    pub fn faults(&self, promises: Promises) -> Vec<String> {
        let mut faults = Vec::new();
        for (user, missing) in self.missing() {
            faults.push(format!(
                "u{user} never got {missing:?}, which were accepted"
            ));
        }
        if self.pending() > 0 {
            faults.push(format!("{} sends have no outcome", self.pending()));
        }
        let accepted = self.accepted();
        for (user, accepted) in accepted.iter().enumerate() {
            let record = self.of(user);
            faults.extend(record.wrong.iter().map(|what| format!("u{user}: {what}")));
            let strange: Vec<_> = (record.received.iter().copied())
                .filter(|message| !accepted.contains(message))
                .collect();
            drop(record);
            for (from, number) in strange {
                let sender = self.of(from);
                let mut failed = sender.failed.iter();
                if failed
                    .any(|(failed, to, _, certain)| *failed == number && *to == user && !certain)
                {
                    continue;
                }
                faults.push(format!(
                    "u{user} got message {number} of u{from}, which was not accepted"
                ));
            }
            if promises.ordered {
                faults.extend(self.disorder(user));
            }
            if promises.seamless {
                faults.extend(self.seams(user));
            }
        }
        faults
    }

    fn disorder(&self, user: usize) -> Vec<String> {
        let mut last: HashMap<usize, u64> = HashMap::new();
        let mut faults = Vec::new();
        for (from, number) in &self.of(user).received {
            match last.get(from) {
                Some(before) if before > number => faults.push(format!(
                    "u{user} got message {number} of u{from} after {before}"
                )),
                _ => {
                    last.insert(*from, *number);
                }
            }
        }
        faults
    }

    fn seams(&self, user: usize) -> Vec<String> {
        let record = self.of(user);
        let mut faults = Vec::new();
        if record.repeats > 0 {
            faults.push(format!("u{user} got {} messages twice", record.repeats));
        }
        if record.gaps > 0 {
            faults.push(format!(
                "u{user} was told recovered:false {} times",
                record.gaps
            ));
        }
        if !record.failed.is_empty() {
            faults.push(format!("sends of u{user} failed: {:?}", record.failed));
        }
        faults
    }

    /// One line of figures.
    pub fn summary(&self) -> String {
        let sum = |count: &dyn Fn(&Record) -> u64| -> u64 {
            self.users().map(|user| count(&self.of(user))).sum()
        };
        format!(
            "{} users: {} accepted, {} failed, {} received, {} repeats, {} receipts again, {} \
             connects, {} redirects, {} gaps",
            self.0.len(),
            sum(&|record| record.accepted.len() as u64),
            sum(&|record| record.failed.len() as u64),
            sum(&|record| record.received.len() as u64),
            sum(&|record| record.repeats),
            sum(&|record| record.duplicates),
            sum(&|record| record.connects),
            sum(&|record| record.redirects),
            sum(&|record| record.gaps),
        )
    }
}
