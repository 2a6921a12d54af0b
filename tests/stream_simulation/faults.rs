//! What goes wrong.

use rand::RngExt as _;

use super::scenario::{Fault, MS, SECOND};
use super::world::{Event, Pid, World};

/// Nodes that have to be left on the ring.
const LEFT_MIN: usize = 2;

impl World {
    pub fn strike(&mut self, fault: Fault) {
        if self.calm {
            return;
        }
        if self.wounded && self.is_whole() {
            self.wounded = false;
        }
        match fault.clone() {
            Fault::Crash {
                machine,
                silent,
                restart,
            } => self.crash(fault, machine, silent, restart),
            Fault::Pause { machine, time } => {
                if let Some(pid) = self.pid_of(machine) {
                    self.trace.say(format_args!("== {fault}"));
                    self.pause_for(pid, time);
                }
            }
            Fault::Break { from, to } => {
                let broken: Vec<usize> = self.streams_between(|a, b| (a, b) == (from, to));
                for stream in broken {
                    self.trace.say(format_args!("== {fault}"));
                    self.end_stream(stream);
                }
            }
            Fault::Slow {
                from,
                to,
                latency,
                time,
            } => {
                self.trace.say(format_args!("== {fault}"));
                self.slow.push(((from, to), latency));
                self.after(time, Event::Quicken(from, to));
            }
            Fault::Block { ways, time } => {
                self.trace.say(format_args!("== {fault}"));
                self.block(ways, time);
            }
            Fault::FalseDown { machine } => self.slander(machine),
            Fault::Start { machine } => self.start(machine),
            Fault::Drain { machine, restart } => {
                if self.may_lose(machine)
                    && let Some(pid) = self.pid_of(machine)
                {
                    self.trace.say(format_args!("== {fault}"));
                    self.drain(pid, restart);
                }
            }
            Fault::Late { machine, by, time } => {
                self.trace.say(format_args!("== {fault}"));
                self.late.push((machine, by));
                self.after(time, Event::Punctual(machine));
            }
        }
    }

    fn pid_of(&self, machine: usize) -> Option<Pid> {
        self.machines[machine].process.as_ref().map(|p| p.pid)
    }

    /// Whether enough nodes are left without it.
    fn may_lose(&self, machine: usize) -> bool {
        let stays = |pid: &Pid| {
            let process = self.process(*pid);
            pid.machine != machine && process.is_some_and(|p| p.drain_until.is_none() && p.joined)
        };
        self.pids().iter().filter(|pid| stays(pid)).count() >= LEFT_MIN
    }

    fn crash(&mut self, fault: Fault, machine: usize, silent: bool, restart: Option<u64>) {
        let Some(pid) = self.pid_of(machine) else {
            return;
        };
        if !self.may_lose(machine) {
            return;
        }
        if self.scenario.careful {
            if self.is_whole() {
                self.budget = self.scenario.replicas - 1;
            } else if self.scenario.may_fork() {
                // What was accepted since may have fewer copies, and said so.
                self.budget = 0;
            }
            if self.budget == 0 {
                // Not yet.
                if self.scenario.replicas > 1 {
                    self.after(250 * MS, Event::Fault(fault));
                }
                return;
            }
            self.budget -= 1;
        }
        self.trace.say(format_args!("== {fault}"));
        self.wounded = true;
        self.ledger.torn |= self.scenario.may_fork() && !self.is_whole();
        self.ledger.acks_are_lost(pid, self.now);
        self.end_process(pid, silent);
        let noticed = self.rng.random_range(1500 * MS..3500 * MS);
        self.after(noticed, Event::Detect(machine));
        if let Some(after) = restart {
            self.after(after, Event::Start(machine));
        }
    }

    /// What an operator looks at before a node is killed: all see all, and nothing waits for a copy.
    /// That somebody pauses, or hears nothing, is not to be seen for a while, and must not matter.
    pub fn is_whole(&self) -> bool {
        let well = |pid: &Pid| {
            let process = self.process(*pid);
            process.is_some_and(|p| p.dispatch.under_replicated() == 0)
        };
        self.all_see_all() && self.pids().iter().all(well)
    }

    fn streams_between(&self, mut wanted: impl FnMut(usize, usize) -> bool) -> Vec<usize> {
        let streams = self.streams.iter().enumerate();
        streams
            .filter(|(_, s)| !s.dead && wanted(s.from.machine, s.to.machine))
            .map(|(id, _)| id)
            .collect()
    }

    fn pause_for(&mut self, pid: Pid, time: u64) {
        self.pause(pid, time);
        if time < 2 * SECOND {
            return;
        }
        let noticed = self.rng.random_range(2 * SECOND..4 * SECOND);
        self.after(noticed, Event::Detect(pid.machine));
        self.watch_streams(|a, b| a == pid.machine || b == pid.machine);
    }

    fn watch_streams(&mut self, wanted: impl FnMut(usize, usize) -> bool) {
        for stream in self.streams_between(wanted) {
            let after = self.rng.random_range(2 * SECOND..5 * SECOND);
            self.after(after, Event::Silent(stream));
        }
    }

    fn block(&mut self, ways: Vec<(usize, usize)>, time: u64) {
        self.blocked.extend(ways.iter().copied());
        let touched = ways.clone();
        self.watch_streams(|a, b| touched.contains(&(a, b)) || touched.contains(&(b, a)));
        if self.scenario.splits {
            for machine in 0..self.machines.len() {
                for _ in 0..2 {
                    let after = self.rng.random_range(2 * SECOND..4 * SECOND);
                    self.after(after, Event::Detect(machine));
                }
            }
        }
        self.after(time, Event::Unblock(ways));
    }

    pub fn unblock(&mut self, ways: &[(usize, usize)]) {
        self.blocked.retain(|way| !ways.contains(way));
    }

    fn slander(&mut self, machine: usize) {
        let others: Vec<Pid> = self
            .pids()
            .into_iter()
            .filter(|p| p.machine != machine)
            .collect();
        if others.is_empty() {
            return;
        }
        let by = others[self.rng.random_range(0..others.len())];
        let known = self
            .process(by)
            .and_then(|p| p.known.get(&machine).copied());
        if let Some(known) = known.filter(|known| !known.down)
            && !self.is_paused(by)
            && (self.scenario.splits || self.may_lose(machine) && self.is_nobody_mistaken())
        {
            self.trace
                .say(format_args!("== {by:?} takes m{machine} for dead"));
            self.declare_down(by, machine, known);
            if self.scenario.slander {
                self.leave(machine);
            }
        }
    }

    /// Whether there are copies enough that one node may be taken for dead: all know who lives, and
    /// nothing has been missing since somebody died.
    fn is_nobody_mistaken(&self) -> bool {
        let lives = |machine: usize, generation: u64| {
            let process = self.machines[machine].process.as_ref();
            process.is_some_and(|process| process.me().generation == generation)
        };
        let processes = self.machines.iter().filter_map(|m| m.process.as_ref());
        let mut records = processes.flat_map(|process| &process.known);
        !self.wounded && records.all(|(m, record)| record.down != lives(*m, record.generation))
    }

    /// Some clients of a node that is taken for dead go elsewhere, before it hears of that.
    fn leave(&mut self, machine: usize) {
        let connections = self.clients.iter().filter_map(|client| client.connection);
        let here: Vec<usize> = connections
            .filter(|id| self.connections[*id].pid.machine == machine)
            .collect();
        for id in here {
            if self.rng.random_bool(0.5) {
                let after = self.rng.random_range(0..3 * SECOND);
                self.after(after, Event::Leave(id));
            }
        }
    }

    /// No more faults: what was cut heals, who does nothing goes on.
    pub fn calm_down(&mut self) {
        self.calm = true;
        self.blocked.clear();
        self.slow.clear();
        self.late.clear();
        for pid in self.pids() {
            if self.is_paused(pid) {
                self.resume(pid);
            }
        }
    }
}
