//! The simulated world: machines, the network between them, and a queue of what will happen.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ringpost::core::membership::{Exchange, ExchangeReply, Input, Output, Target};
use ringpost::core::view::{MemberState, View};
use ringpost::id::{Generation, NodeId};

use super::process::{Birth, Process, peer};

/// The simulated epoch, in milliseconds: generations count from it.
const BOOT_MS: u64 = 1_000_000_000;
/// An answer that takes longer than this finds nobody waiting.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Something on its way to one process.
enum Event {
    Packet(Bytes),
    Asked {
        from: Place,
        target: Target,
        exchange: Exchange,
        sent: Duration,
    },
    Answered {
        target: Target,
        answer: ExchangeReply,
        sent: Duration,
    },
    Timer,
}

/// A machine, and which of the processes that ran on it one after the other; `None`: whichever runs.
#[derive(Clone, Copy)]
struct Place {
    machine: usize,
    life: Option<u32>,
}

struct Entry {
    at: Duration,
    number: u64,
    to: Place,
    event: Event,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[derive(Default)]
struct Machine {
    process: Option<Process>,
    life: u32,
    /// Set while the process is stopped; what comes in waits here.
    paused: Option<Vec<(Place, Event)>>,
}

/// A view said that a node is down which was running.
pub struct FalseDown {
    at: Duration,
    by: usize,
    about: NodeId,
}

impl fmt::Display for FalseDown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{} about {} at {:?}", self.by, self.about, self.at)
    }
}

pub struct World {
    pub now: Duration,
    /// Part of all packets, questions and answers that is lost, 0 to 1.
    pub loss: f64,
    /// Ways, from one machine to another, on which nothing passes.
    pub blocked: BTreeSet<(usize, usize)>,
    pub false_downs: Vec<FalseDown>,
    /// Answers to exchanges that carried members.
    pub full_answers: u64,
    /// Processes that were told that another has taken their place.
    pub replaced: u32,
    seeds: Vec<usize>,
    machines: Vec<Machine>,
    by_address: BTreeMap<String, usize>,
    queue: BinaryHeap<Reverse<Entry>>,
    next_number: u64,
    /// Counts the changes of who runs and how: verdicts on views are good for one state.
    state: u64,
    changed: bool,
    rng: StdRng,
}

impl World {
    /// Machines without processes; the first `seeds` are everybody's seeds.
    pub fn new(machines: usize, seeds: usize, random: u64) -> Self {
        Self {
            now: Duration::ZERO,
            loss: 0.0,
            blocked: BTreeSet::new(),
            false_downs: Vec::new(),
            full_answers: 0,
            replaced: 0,
            seeds: (0..seeds).collect(),
            machines: (0..machines).map(|_| Machine::default()).collect(),
            by_address: (0..machines).map(|m| (peer(m), m)).collect(),
            queue: BinaryHeap::new(),
            next_number: 0,
            state: 1,
            changed: true,
            rng: StdRng::seed_from_u64(random),
        }
    }

    // ---- what is done to it ---------------------------------------------------------------------

    /// Starts a process, under its machine's own name or another's; `behind` puts its clock back.
    pub fn start(&mut self, machine: usize, named: usize, behind: Duration) {
        let ms = |time: Duration| u64::try_from(time.as_millis()).expect("a short simulation");
        let generation = BOOT_MS + ms(self.now) - ms(behind);
        let birth = Birth {
            id: id_of(named),
            machine,
            generation,
            seeds: self.seeds.len(),
            random: self.rng.random(),
        };
        let slot = &mut self.machines[machine];
        slot.life += 1;
        slot.paused = None;
        slot.process = Some(Process::new(self.now, &birth));
        self.change();
        self.settle(machine);
    }

    pub fn crash(&mut self, machine: usize) {
        self.machines[machine].process = None;
        self.machines[machine].paused = None;
        self.change();
    }

    /// Asks a process to leave; it ends once its farewells are sent.
    pub fn leave(&mut self, machine: usize) {
        let now = self.now;
        let Some(process) = &mut self.machines[machine].process else {
            return;
        };
        process.over = true;
        process
            .membership
            .handle(process.own_time(now), Input::Leave);
        self.change();
        self.settle(machine);
    }

    pub fn drain(&mut self, machine: usize) {
        let now = self.now;
        let Some(process) = &mut self.machines[machine].process else {
            return;
        };
        process.draining = true;
        let own_now = process.own_time(now);
        process.membership.handle(own_now, Input::SetDraining);
        self.change();
        self.settle(machine);
    }

    pub fn pause(&mut self, machine: usize) {
        self.machines[machine].paused.get_or_insert_default();
    }

    /// Lets a process go on. It finds all that it missed at once, its timers and its packets, and
    /// nobody says which first.
    pub fn resume(&mut self, machine: usize) {
        let mut missed = Duration::ZERO;
        for (to, event) in self.machines[machine].paused.take().unwrap_or_default() {
            let delay = if matches!(event, Event::Timer) {
                self.jitter(0, 5)
            } else {
                // What came over one connection is read in its order.
                missed += self.jitter(0, 1) / 4;
                missed
            };
            self.push(delay, to, event);
        }
    }

    /// Lets the world go on until then.
    pub fn run_until(&mut self, until: Duration) {
        while self.step(until) {}
        self.now = until;
    }

    /// Whether any view or any process changed since this was asked last.
    pub fn has_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    fn change(&mut self) {
        self.state += 1;
        self.changed = true;
    }

    /// Handles the next event, if there is one until then.
    pub fn step(&mut self, until: Duration) -> bool {
        if self.queue.peek().is_none_or(|next| next.0.at > until) {
            return false;
        }
        let Some(Reverse(Entry { at, to, event, .. })) = self.queue.pop() else {
            return false;
        };
        self.now = at;
        self.arrive(to, event);
        true
    }

    // ---- what is seen of it ---------------------------------------------------------------------

    /// The machines whose processes run and want to be members.
    pub fn running(&self) -> impl Iterator<Item = (usize, &Process)> {
        self.machines.iter().enumerate().filter_map(|(at, slot)| {
            let process = slot.process.as_ref()?;
            (!process.over).then_some((at, process))
        })
    }

    /// Whether every running process sees exactly the running processes; else the first that
    /// does not.
    pub fn all_agree(&mut self) -> Result<(), String> {
        for at in 0..self.machines.len() {
            let Some(process) = &self.machines[at].process else {
                continue;
            };
            if process.over {
                continue;
            }
            let agrees = match process.agrees {
                Some((state, agrees)) if state == self.state => agrees,
                _ => self.wrong_with(&process.view).is_none(),
            };
            let state = self.state;
            if let Some(process) = &mut self.machines[at].process {
                process.agrees = Some((state, agrees));
            }
            let process = self.machines[at].process.as_ref();
            if let (false, Some(Process { view, .. })) = (agrees, process) {
                let wrong = self.wrong_with(view).unwrap_or_default();
                return Err(format!("m{at} ({}) {wrong}", view.me));
            }
        }
        Ok(())
    }

    fn wrong_with(&self, view: &View) -> Option<String> {
        let mut truth: BTreeMap<&NodeId, (Generation, bool)> = self
            .running()
            .map(|(_, process)| {
                let identity = process.membership.identity();
                (&identity.id, (identity.generation, identity.draining))
            })
            .collect();
        for member in view.members.iter().filter(|m| m.state != MemberState::Down) {
            match truth.remove(&member.id) {
                None => return Some(format!("sees {}, which does not run", member.id)),
                Some(there) if there != (member.generation, member.draining) => {
                    return Some(format!("has old news of {}", member.id));
                }
                Some(_) => {}
            }
        }
        truth.keys().next().map(|id| format!("does not see {id}"))
    }

    /// How many different fingerprints of all knowledge there are.
    pub fn fingerprints(&self) -> usize {
        let all: BTreeSet<u64> = self.running().map(|(_, p)| p.membership.digest()).collect();
        all.len()
    }

    /// The revision of every running node.
    pub fn revisions(&self) -> Vec<(NodeId, Generation, u32)> {
        self.running()
            .map(|(_, p)| (p.view.me.clone(), p.generation(), p.revision()))
            .collect()
    }

    // ---- how it works ---------------------------------------------------------------------------

    fn arrive(&mut self, to: Place, event: Event) {
        let slot = &mut self.machines[to.machine];
        if slot.process.is_none() || to.life.is_some_and(|life| life != slot.life) {
            return;
        }
        if let Some(missed) = &mut slot.paused {
            missed.push((to, event));
            return;
        }
        let now = self.now;
        let Some(process) = &mut slot.process else {
            return;
        };
        let own_now = process.own_time(now);
        match event {
            Event::Packet(packet) => process.membership.handle(own_now, Input::Packet(packet)),
            Event::Asked {
                from,
                target,
                exchange,
                sent,
            } => {
                let answer = process.membership.exchange_asked(own_now, exchange);
                if process.over {
                    // Its server is closed.
                    return;
                }
                self.full_answers += u64::from(!answer.members.is_empty());
                let answered = Event::Answered {
                    target,
                    answer,
                    sent,
                };
                self.transmit(to.machine, from, answered);
            }
            Event::Answered {
                target,
                answer,
                sent,
            } => {
                if now.abs_diff(sent) <= ANSWER_TIMEOUT {
                    let input = Input::ExchangeAnswered { target, answer };
                    process.membership.handle(own_now, input);
                }
            }
            Event::Timer => {
                process.timer = None;
                if process.deadline().is_some_and(|deadline| deadline <= now) {
                    process.membership.on_timeout(own_now);
                }
            }
        }
        self.settle(to.machine);
    }

    /// Carries out what a process wants done, and sets its timer.
    fn settle(&mut self, machine: usize) {
        let Some(process) = &mut self.machines[machine].process else {
            return;
        };
        for output in process.outputs() {
            self.carry_out(machine, output);
        }
        let life = self.machines[machine].life;
        let Some(process) = &mut self.machines[machine].process else {
            return;
        };
        let Some(deadline) = process.deadline().filter(|_| !process.over) else {
            return;
        };
        if process.timer.is_none_or(|timer| deadline < timer) {
            process.timer = Some(deadline);
            // As late as a scheduler may be.
            let delay = deadline.saturating_sub(self.now) + self.jitter(0, 2);
            let to = Place {
                machine,
                life: Some(life),
            };
            self.push(delay, to, Event::Timer);
        }
    }

    fn carry_out(&mut self, machine: usize, output: Output) {
        match output {
            Output::Send { to, packet } => self.send(machine, &to, Event::Packet(packet)),
            Output::Exchange { target, exchange } => {
                let from = Place {
                    machine,
                    life: Some(self.machines[machine].life),
                };
                let asked = |target| Event::Asked {
                    from,
                    target,
                    exchange,
                    sent: self.now,
                };
                match &target {
                    Target::Seed(seed) => {
                        let address = peer(self.seeds[*seed]);
                        let asked = asked(target);
                        self.send(machine, &address, asked);
                    }
                    Target::Peer(address) | Target::Push(address) => {
                        let address = Arc::clone(address);
                        let asked = asked(target);
                        self.send(machine, &address, asked);
                    }
                }
            }
            Output::ViewChanged(view) => self.see(machine, view),
            Output::Replaced { .. } => {
                if let Some(process) = &mut self.machines[machine].process {
                    let first = !std::mem::replace(&mut process.over, true);
                    self.replaced += u32::from(first);
                    self.change();
                }
            }
        }
    }

    fn see(&mut self, machine: usize, view: Arc<View>) {
        for member in view.members.iter().filter(|m| m.state == MemberState::Down) {
            let Some(observer) = &self.machines[machine].process else {
                return;
            };
            let known = observer.sees(&member.id, member.generation) == Some(MemberState::Down);
            let runs = |(_, process): (usize, &Process)| {
                process.membership.identity().id == member.id
                    && process.generation() == member.generation
            };
            if !known && self.running().any(runs) {
                self.false_downs.push(FalseDown {
                    at: self.now,
                    by: machine,
                    about: member.id.clone(),
                });
            }
        }
        self.changed = true;
        let Some(process) = &mut self.machines[machine].process else {
            return;
        };
        let own = |view: &View| view.me().map(|me| (me.generation, me.draining));
        let own_changed = own(&process.view) != own(&view);
        process.view = view;
        process.agrees = None;
        if own_changed {
            self.change();
        }
    }

    fn send(&mut self, from: usize, address: &str, event: Event) {
        let Some(machine) = self.by_address.get(address) else {
            return;
        };
        let to = Place {
            machine: *machine,
            life: None,
        };
        self.transmit(from, to, event);
    }

    fn transmit(&mut self, from: usize, to: Place, event: Event) {
        let lost = self.rng.random_bool(self.loss);
        if from != to.machine && (lost || self.blocked.contains(&(from, to.machine))) {
            return;
        }
        let mut delay = Duration::from_micros(self.rng.random_range(200..5_000));
        // One in a hundred waits behind something.
        if self.rng.random_bool(0.01) {
            delay += self.jitter(0, 50);
        }
        self.push(delay, to, event);
    }

    fn jitter(&mut self, from_ms: u64, to_ms: u64) -> Duration {
        Duration::from_micros(self.rng.random_range(from_ms * 1000..=to_ms * 1000))
    }

    fn push(&mut self, delay: Duration, to: Place, event: Event) {
        let entry = Entry {
            at: self.now + delay,
            number: self.next_number,
            to,
            event,
        };
        self.next_number += 1;
        self.queue.push(Reverse(entry));
    }
}

/// The name of a machine's node.
pub fn id_of(machine: usize) -> NodeId {
    NodeId::new(&format!("n{machine:03}")).expect("a good name")
}
