//! Who has which message, as what nodes say to each other tells: a receipt names no more copies than
//! there are.

use std::collections::{BTreeMap, BTreeSet};

use ringpost::core::peer::{Answer, Operation, Request};
use ringpost::core::stream::MessageKey;

use super::world::{Pid, World};

/// What nodes have taken from each other, and told each other of it.
#[derive(Default)]
pub struct Copies {
    by_key: BTreeMap<MessageKey, usize>,
    /// Of each message, by its number in the ledger, the nodes that have it in a log or have had it there.
    holders: Vec<Vec<Pid>>,
    /// The nodes that another one has told that a message is accepted.
    told: BTreeSet<(Pid, usize)>,
}

impl Copies {
    /// There is a new message.
    pub fn made(&mut self, number: usize, from: usize, id: &str) {
        let key = MessageKey::new(&format!("u{from}"), id);
        self.by_key.insert(key, number);
        self.holders.push(Vec::new());
    }

    pub fn number(&self, key: MessageKey) -> Option<usize> {
        self.by_key.get(&key).copied()
    }

    /// The messages that an owner hands to a holder with a request.
    pub fn carried(&self, request: &Request) -> Vec<usize> {
        let keys: Vec<MessageKey> = match request {
            Request::Install(install) => {
                let entries = install.snapshot.entries.iter().map(|e| e.message.key());
                let seen = install.snapshot.seen.iter().map(|seen| seen.key);
                entries.chain(seen).collect()
            }
            Request::Replicate { operations, .. } => (operations.iter())
                .filter_map(|operation| match operation {
                    Operation::Append(entry) => Some(entry.message.key()),
                    Operation::Ack(_) => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        keys.into_iter()
            .filter_map(|key| self.number(key))
            .collect()
    }

    /// These nodes, an owner and a holder, have these messages.
    pub fn taken(&mut self, numbers: &[usize], by: [Pid; 2]) {
        for number in numbers {
            let holders = &mut self.holders[*number];
            for pid in by {
                if !holders.contains(&pid) {
                    holders.push(pid);
                }
            }
        }
    }
}

impl World {
    /// An owner has told another node, after `since`, what became of a message of that one's client.
    pub fn check_answer(
        &mut self,
        (owner, to): (Pid, Pid),
        number: usize,
        answer: &Answer,
        since: u64,
    ) {
        if let Answer::Accepted { copies, .. } = answer {
            self.copies.told.insert((to, number));
            self.check_copies(owner, number, (*copies).into(), since);
        }
    }

    /// A client has the receipt of a message, which its node wrote after `since`.
    pub fn check_receipt(&mut self, id: usize, number: usize, copies: u64) {
        let (pid, since) = (self.connections[id].pid, self.connections[id].since);
        // What another one has said was looked at when it was said.
        if !self.copies.told.contains(&(pid, number)) {
            self.check_copies(pid, number, copies, since);
        }
    }

    /// Whether that many nodes had a message when its owner said so, at some time after `since`. One
    /// that was killed and not yet missed by it counts.
    fn check_copies(&mut self, owner: Pid, number: usize, copies: u64, since: u64) {
        let Some(process) = self.process(owner) else {
            return;
        };
        let heard_after = |pid: Pid| {
            let at = process.heard_at.get(&pid.machine);
            at.is_some_and(|at| *at >= since)
        };
        let holders = &self.copies.holders[number];
        let known = holders.iter().copied().filter(|pid| {
            self.process(*pid).is_some() || self.sees(owner, *pid) || heard_after(*pid)
        });
        let count = known.count() as u64;
        // Of one that an owner has alone nobody else knows.
        if copies > 1 && count < copies {
            let text = format!(
                "{owner:?} says that {copies} have {}, and {count} do: {holders:?}",
                self.ledger.messages[number].id
            );
            self.ledger.fail(text);
        }
    }
}
