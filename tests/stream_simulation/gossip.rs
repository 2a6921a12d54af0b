//! Membership as an oracle would have it: every node learns of every change, each after a time of
//! its own. A node that is taken for dead denies that as soon as it hears of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use rand::RngExt as _;
use ringpost::core::ring::Seed;
use ringpost::core::view::{Member, MemberState, View};
use ringpost::id::{Generation, NodeId};

use super::scenario::{MS, SECOND};
use super::world::{Event, Pid, World};

const SEED: Seed = Seed(7);

/// The generations of two starts of a machine differ by about this: more milliseconds than a run has.
const STARTS_APART: u64 = 1_000_000;

/// What is known of one machine's node. Of two the greater is the newer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub generation: u64,
    pub revision: u32,
    pub down: bool,
    pub draining: bool,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let down = if self.down { " down" } else { "" };
        let draining = if self.draining { " draining" } else { "" };
        write!(f, "{}+{}{down}{draining}", self.generation, self.revision)
    }
}

impl Record {
    /// A node as it starts.
    pub fn new(pid: Pid, now: u64) -> Self {
        Self {
            generation: STARTS_APART * u64::from(pid.start) + now / MS,
            revision: 0,
            down: false,
            draining: false,
        }
    }

    /// Whether it is about that start of its machine.
    pub fn is_of(self, pid: Pid) -> bool {
        self.generation / STARTS_APART == u64::from(pid.start)
    }
}

/// What one node knows.
pub type Known = BTreeMap<usize, Record>;

/// Views by the nodes on their ring, so that each ring is built once.
#[derive(Default)]
pub struct Rings(BTreeMap<Vec<usize>, Arc<View>>);

pub fn node_id(machine: usize) -> NodeId {
    NodeId::new(&format!("m{machine}")).expect("a name")
}

impl Rings {
    pub fn view(&mut self, me: usize, known: &Known, accepted: bool) -> Arc<View> {
        let members = known.iter().map(|(machine, record)| Member {
            id: node_id(*machine),
            generation: Generation(record.generation),
            revision: record.revision,
            peer: format!("m{machine}:1").into(),
            url: format!("ws://m{machine}:2").into(),
            weight: 1,
            draining: record.draining,
            state: if record.down {
                MemberState::Down
            } else {
                MemberState::Alive
            },
        });
        let on_ring: Vec<usize> = (known.iter())
            .filter(|(_, record)| !record.down && !record.draining)
            .map(|(machine, _)| *machine)
            .collect();
        let before = self.0.get(&on_ring).map(|view| &**view);
        let mut view = View::new(node_id(me), SEED, members.collect(), before);
        view.accepted = accepted;
        let view = Arc::new(view);
        self.0.entry(on_ring).or_insert_with(|| Arc::clone(&view));
        view
    }
}

impl World {
    /// Tells every other node, each after a while.
    pub fn spread(&mut self, from: usize, machine: usize, record: Record) {
        for pid in self.pids() {
            if pid.machine == from {
                continue;
            }
            let quick = self.rng.random_bool(0.6);
            let longest = if quick { 300 * MS } else { 2 * SECOND };
            let after = self.rng.random_range(MS..longest);
            self.tell(after, from, pid, machine, record);
        }
    }

    fn tell(&mut self, after: u64, from: usize, to: Pid, machine: usize, record: Record) {
        let event = Event::Gossip {
            to,
            from,
            machine,
            record,
        };
        let late = self.late.iter().find(|(late, _)| *late == to.machine);
        let later = late.map_or(0, |(_, by)| *by);
        self.after(after + later, event);
    }

    /// Something has reached a node; whether it could is asked by the caller.
    pub fn hear(&mut self, pid: Pid, machine: usize, record: Record) {
        let now = self.now;
        let Some(process) = self.process_mut(pid) else {
            return;
        };
        if machine == pid.machine {
            let me = process.me();
            if record.generation == me.generation && record.down && record.revision >= me.revision {
                let denial = Record {
                    revision: record.revision + 1,
                    ..me
                };
                process.known.insert(machine, denial);
                self.publish(pid);
                self.spread(machine, machine, denial);
            }
            return;
        }
        if process
            .known
            .get(&machine)
            .is_some_and(|known| *known >= record)
        {
            return;
        }
        process.known.insert(machine, record);
        process.heard_at.insert(machine, now);
        self.publish(pid);
    }

    /// A node compares what it knows with another one.
    pub fn exchange(&mut self, pid: Pid) {
        let others: Vec<Pid> = self.pids().into_iter().filter(|p| *p != pid).collect();
        if others.is_empty() {
            return;
        }
        let other = others[self.rng.random_range(0..others.len())];
        let knows = |world: &Self, pid| world.process(pid).map(|p| p.known.clone());
        let (Some(mine), Some(theirs)) = (knows(self, pid), knows(self, other)) else {
            return;
        };
        for (machine, record) in theirs {
            if mine.get(&machine) != Some(&record) {
                self.tell(5 * MS, other.machine, pid, machine, record);
            }
        }
        for (machine, record) in mine {
            self.tell(5 * MS, pid.machine, other, machine, record);
        }
    }

    /// Whether what one machine sends reaches the other, over others if need be.
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        let mut reached = vec![from];
        let mut next = 0;
        while let Some(at) = reached.get(next).copied() {
            next += 1;
            if at == to {
                return true;
            }
            for pid in self.pids() {
                let far = pid.machine;
                if !reached.contains(&far) && !self.blocked.contains(&(at, far)) {
                    reached.push(far);
                }
            }
        }
        false
    }

    /// Those who cannot talk with a machine any more take its node for dead, one of them first.
    pub fn detect(&mut self, machine: usize) {
        let alive = self.pids().into_iter().find(|pid| pid.machine == machine);
        // Where all hear each other nobody pauses for so long that it is noticed.
        let splits = self.scenario.splits;
        let silent = alive.is_none_or(|pid| splits && self.is_paused(pid));
        for pid in self.pids() {
            if pid.machine == machine || self.is_paused(pid) {
                continue;
            }
            let unheard =
                !self.reaches(pid.machine, machine) || !self.reaches(machine, pid.machine);
            let cut = silent || splits && unheard;
            let known = self
                .process(pid)
                .and_then(|p| p.known.get(&machine).copied());
            let newer = self.machines[machine].process.as_ref();
            let newer = newer.map(|process| process.me().generation);
            if let Some(known) = known
                && (cut || newer.is_some_and(|newer| newer > known.generation))
            {
                self.declare_down(pid, machine, known);
            }
        }
    }

    pub fn declare_down(&mut self, by: Pid, machine: usize, known: Record) {
        let down = Record {
            down: true,
            ..known
        };
        self.hear(by, machine, down);
        self.spread(by.machine, machine, down);
    }

    /// Whether every node sees exactly those that run, as they are.
    pub fn all_see_all(&self) -> bool {
        let live: Vec<(usize, Record)> = (self.pids().into_iter())
            .filter_map(|pid| Some((pid.machine, self.process(pid)?.me())))
            .collect();
        self.pids().into_iter().all(|pid| {
            let Some(process) = self.process(pid) else {
                return false;
            };
            let seen = process.known.iter().filter(|(_, record)| !record.down);
            seen.map(|(machine, record)| (*machine, *record))
                .eq(live.iter().copied())
        })
    }
}
