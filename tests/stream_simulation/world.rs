//! Everything there is, and the one queue of what happens next.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fmt;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use ringpost::dispatch::PeerLink;

use super::client::{Client, Connection};
use super::clock::VirtualClock;
use super::gossip::{Record, Rings};
use super::ledger::Ledger;
use super::network::Stream;
use super::node::{Machine, Process};
use super::promises::Promises;
use super::receipts::Copies;
use super::scenario::{Fault, MS, SECOND, Scenario};
use super::serving::Looks;
use super::trace::Trace;

/// One start of one machine's node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pid {
    pub machine: usize,
    pub start: u32,
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}.{}", self.machine, self.start)
    }
}

/// What happens.
#[derive(Debug, Clone)]
pub enum Event {
    // The cluster.
    Fault(Fault),
    Start(usize),
    Unblock(Vec<(usize, usize)>),
    Quicken(usize, usize),
    Punctual(usize),
    Detect(usize),
    // A node.
    Tick(Pid),
    Flush(Pid),
    Join(Pid),
    Alone(Pid),
    Exchange(Pid),
    Resume(Pid),
    Drained(Pid),
    Gossip {
        to: Pid,
        from: usize,
        machine: usize,
        record: Record,
    },
    // Streams between nodes.
    Dial(Pid, Arc<PeerLink>),
    Requests(usize),
    Replies(usize),
    GiveUp(usize),
    Silent(usize),
    Lost(usize),
    // Clients.
    Wake(usize),
    Leave(usize),
    Said(usize),
    Heard(usize),
    Dropped(usize),
}

#[derive(Debug)]
struct Queued {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

pub struct World {
    pub now: u64,
    pub clock: Arc<VirtualClock>,
    pub rng: StdRng,
    pub scenario: Scenario,
    pub trace: Trace,
    pub machines: Vec<Machine>,
    pub rings: Rings,
    /// Ways on which nothing passes.
    pub blocked: BTreeSet<(usize, usize)>,
    /// Ways on which all takes long.
    pub slow: Vec<((usize, usize), u64)>,
    /// Machines to which news take longer.
    pub late: Vec<(usize, u64)>,
    pub streams: Vec<Stream>,
    pub clients: Vec<Client>,
    pub connections: Vec<Connection>,
    pub ledger: Ledger,
    pub promises: Promises,
    pub copies: Copies,
    pub looks: Looks,
    /// Nodes that may still be killed before copies have to be made.
    pub budget: usize,
    /// A node was killed, and not all its copies have been made again.
    pub wounded: bool,
    /// Clients stay where they are, and nothing breaks.
    pub calm: bool,
    /// Clients send nothing new.
    pub quiet: bool,
    queue: BinaryHeap<Reverse<Queued>>,
    number: u64,
}

impl World {
    pub fn new(scenario: Scenario, seed: u64, trace: Trace) -> Self {
        let clock = Arc::new(VirtualClock::new());
        let machines = 0..scenario.machines;
        let mut world = Self {
            now: 0,
            clock,
            rng: StdRng::seed_from_u64(seed ^ 0x5eed),
            trace,
            machines: machines.map(|_| Machine::default()).collect(),
            rings: Rings::default(),
            blocked: BTreeSet::new(),
            slow: Vec::new(),
            late: Vec::new(),
            streams: Vec::new(),
            clients: Vec::new(),
            connections: Vec::new(),
            ledger: Ledger::default(),
            promises: Promises::default(),
            copies: Copies::default(),
            looks: Looks::default(),
            budget: 0,
            wounded: false,
            calm: false,
            quiet: false,
            queue: BinaryHeap::new(),
            number: 0,
            scenario,
        };
        for machine in 0..world.scenario.nodes {
            let after = world.rng.random_range(0..500 * MS);
            world.after(after, Event::Start(machine));
        }
        for (at, fault) in world.scenario.faults.clone() {
            world.after(at, Event::Fault(fault));
        }
        world.make_clients();
        world
    }

    /// Does that after a time.
    pub fn after(&mut self, time: u64, event: Event) {
        self.number += 1;
        self.queue.push(Reverse(Queued {
            at: self.now + time,
            number: self.number,
            event,
        }));
    }

    /// Runs until then, or until something is wrong.
    pub fn run_until(&mut self, end: u64) {
        while let Some(Reverse(next)) = self.queue.pop() {
            if next.at > end {
                self.queue.push(Reverse(next));
                break;
            }
            self.now = self.now.max(next.at);
            self.clock.set(self.now);
            self.trace.step(self.now);
            self.happen(next.event);
            if self.ledger.wrong.is_some() {
                return;
            }
        }
        self.now = end;
        self.clock.set(end);
    }

    fn happen(&mut self, event: Event) {
        if let Some(pid) = self.runs_at(&event) {
            match self.process_mut(pid) {
                None => return,
                Some(process) if process.paused && !matches!(event, Event::Resume(_)) => {
                    process.deferred.push(event);
                    return;
                }
                Some(_) => {}
            }
        }
        match event {
            Event::Fault(fault) => self.strike(fault),
            Event::Start(machine) => self.start(machine),
            Event::Unblock(ways) => self.unblock(&ways),
            Event::Quicken(from, to) => self.slow.retain(|(way, _)| *way != (from, to)),
            Event::Punctual(machine) => self.late.retain(|(late, _)| *late != machine),
            Event::Detect(machine) => self.detect(machine),
            Event::Tick(pid) => self.tick(pid),
            Event::Flush(pid) => self.flush(pid),
            Event::Join(pid) => self.find_seed(pid),
            Event::Alone(pid) => self.serve_alone(pid),
            Event::Exchange(pid) => {
                self.exchange(pid);
                let after = self.rng.random_range(SECOND..2 * SECOND);
                self.after(after, Event::Exchange(pid));
            }
            Event::Resume(pid) => self.resume(pid),
            Event::Drained(pid) => self.leave_if_drained(pid),
            Event::Gossip {
                to,
                from,
                machine,
                record,
            } => {
                if self.reaches(from, to.machine) {
                    self.hear(to, machine, record);
                }
            }
            Event::Dial(pid, link) => self.dial(pid, &link),
            Event::Requests(stream) => self.requests(stream),
            Event::Replies(stream) => self.replies(stream),
            Event::GiveUp(stream) => self.give_up(stream),
            Event::Silent(stream) => self.is_it_silent(stream),
            Event::Lost(stream) => self.stream_lost(stream),
            Event::Wake(client) => self.wake(client),
            Event::Leave(connection) => self.leave_connection(connection),
            Event::Said(connection) => self.said(connection),
            Event::Heard(connection) => self.heard(connection),
            Event::Dropped(connection) => self.dropped(connection),
        }
    }

    /// The node that something happens at; nothing does while that is paused.
    fn runs_at(&self, event: &Event) -> Option<Pid> {
        match event {
            Event::Tick(pid)
            | Event::Flush(pid)
            | Event::Join(pid)
            | Event::Alone(pid)
            | Event::Exchange(pid)
            | Event::Resume(pid)
            | Event::Drained(pid)
            | Event::Dial(pid, _) => Some(*pid),
            Event::Gossip { to, .. } => Some(*to),
            Event::Requests(stream) => Some(self.streams[*stream].to),
            Event::Replies(stream) | Event::GiveUp(stream) | Event::Lost(stream) => {
                Some(self.streams[*stream].from)
            }
            // That of a node that is gone is noticed there.
            Event::Said(connection) => {
                Some(self.connections[*connection].pid).filter(|pid| self.process(*pid).is_some())
            }
            Event::Fault(_)
            | Event::Start(_)
            | Event::Unblock(_)
            | Event::Quicken(..)
            | Event::Punctual(_)
            | Event::Detect(_)
            | Event::Silent(_)
            | Event::Wake(_)
            | Event::Leave(_)
            | Event::Heard(_)
            | Event::Dropped(_) => None,
        }
    }

    pub fn process(&self, pid: Pid) -> Option<&Process> {
        let process = self.machines[pid.machine].process.as_ref();
        process.filter(|process| process.pid == pid)
    }

    pub fn process_mut(&mut self, pid: Pid) -> Option<&mut Process> {
        let process = self.machines[pid.machine].process.as_mut();
        process.filter(|process| process.pid == pid)
    }

    pub fn is_paused(&self, pid: Pid) -> bool {
        self.process(pid).is_some_and(|process| process.paused)
    }

    /// All nodes that run.
    pub fn pids(&self) -> Vec<Pid> {
        let processes = self.machines.iter().filter_map(|m| m.process.as_ref());
        processes.map(|process| process.pid).collect()
    }
}
