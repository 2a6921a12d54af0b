//! What happens to a cluster, as data, and what is expected of it.

use std::fmt;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use ringpost::id::{Generation, NodeId};

use super::world::World;

/// One step. Steps follow each other; a node is named by the number of its machine.
#[derive(Debug, Clone)]
pub enum Op {
    /// A node is started; if its machine runs one, that is killed first.
    Start(usize),
    /// The same, and the clock shows less than at its last start.
    StartBehind(usize, Duration),
    /// A second process is started on that machine under another's name.
    StartTwin { on: usize, of: usize },
    /// Killed without a word.
    Crash(usize),
    /// Leaves the cluster.
    Leave(usize),
    /// Leaves the ring.
    Drain(usize),
    /// Does nothing from now on …
    Stop(usize),
    /// … until now.
    Continue(usize),
    /// So much of all that is sent is lost, in percent.
    Loss(u32),
    /// Nothing passes between these groups.
    Split(Vec<Vec<usize>>),
    /// Nothing passes from the first to the second.
    OneWay(Vec<usize>, Vec<usize>),
    /// Everything passes again.
    Heal,
    /// Time passes.
    Wait(Duration),
    /// From now on false alarms, rejoins and generations are watched.
    Watch,
    /// No running node has been down anywhere, and none had to rejoin, since [`Op::Watch`].
    ExpectNoFalseAlarm,
    /// No generation has changed since [`Op::Watch`].
    ExpectSameGenerations,
    /// All see all, and nothing else, so soon after the step before, and from then on to the end of
    /// that time. The name is for the table of the longest times.
    ExpectAgreement(&'static str, Duration),
    /// All fingerprints are equal, and during that time nobody has anything to tell anybody.
    ExpectQuiet(Duration),
    /// So many processes have been told that another took their place.
    ExpectReplaced(u32),
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(node) => write!(f, "start {node}"),
            Self::StartBehind(node, by) => write!(f, "start {node}, its clock {by:?} behind"),
            Self::StartTwin { on, of } => write!(f, "start a twin of {of} on {on}"),
            Self::Crash(node) => write!(f, "crash {node}"),
            Self::Leave(node) => write!(f, "{node} leaves"),
            Self::Drain(node) => write!(f, "{node} drains"),
            Self::Stop(node) => write!(f, "stop {node}"),
            Self::Continue(node) => write!(f, "continue {node}"),
            Self::Loss(percent) => write!(f, "lose {percent} %"),
            Self::Split(groups) => write!(f, "split into {groups:?}"),
            Self::OneWay(from, to) => write!(f, "block the way from {from:?} to {to:?}"),
            Self::Heal => write!(f, "heal"),
            Self::Wait(time) => write!(f, "wait {time:?}"),
            Self::Watch => write!(f, "watch"),
            Self::ExpectNoFalseAlarm => write!(f, "expect no false alarm"),
            Self::ExpectSameGenerations => write!(f, "expect the same generations"),
            Self::ExpectAgreement(name, within) => {
                write!(f, "expect agreement within {within:?} ({name})")
            }
            Self::ExpectQuiet(time) => write!(f, "expect quiet for {time:?}"),
            Self::ExpectReplaced(count) => write!(f, "expect {count} replaced"),
        }
    }
}

/// A cluster and what happens to it.
#[derive(Debug, Clone)]
pub struct Scenario {
    pub machines: usize,
    /// The first so many machines are everybody's seeds.
    pub seeds: usize,
    pub ops: Vec<Op>,
}

impl Scenario {
    pub fn new(machines: usize, seeds: usize) -> Self {
        Self {
            machines,
            seeds,
            ops: Vec::new(),
        }
    }

    #[must_use]
    pub fn then(mut self, ops: impl IntoIterator<Item = Op>) -> Self {
        self.ops.extend(ops);
        self
    }

    /// The first so many nodes are started at once, and given the time to settle.
    #[must_use]
    pub fn started(self, nodes: usize) -> Self {
        let settle = Duration::from_secs(5);
        self.then((0..nodes).map(Op::Start))
            .then([Op::ExpectAgreement("all see all", settle)])
    }
}

/// Tests of fewer than this many runs in a thousand are too slow for an everyday run …
const RARE: u64 = 10;
/// … which is one of fewer runs than this.
const EVERYDAY_RUNS: u64 = 100;

/// Runs a scenario with several seeds: `share` of every thousand that `RINGPOST_SIM_RUNS` asks for
/// (2), and at least one. `RINGPOST_SIM_SEED` runs that seed alone.
///
/// # Panics
/// When an expectation is not met: says which, and how to see it again.
pub fn simulate(test: &str, share: u64, scenario: impl Fn(&mut StdRng) -> Scenario) {
    let number = |name| {
        let value: Option<String> = std::env::var(name).ok();
        value.map(|value| value.parse::<u64>().expect("a number"))
    };
    let runs = number("RINGPOST_SIM_RUNS").unwrap_or(2);
    let seeds = match number("RINGPOST_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None if share < RARE && runs < EVERYDAY_RUNS => {
            println!("skipped: {test} runs with RINGPOST_SIM_RUNS={EVERYDAY_RUNS} or more");
            return;
        }
        None => 1..1 + (runs * share).div_ceil(1000),
    };
    let count = seeds.end - seeds.start;
    let mut longest: Vec<(&'static str, Duration, u64)> = Vec::new();
    for seed in seeds {
        let mut rng = StdRng::seed_from_u64(seed);
        let scenario = scenario(&mut rng);
        let mut run = Run::new(&scenario, seed);
        for (at, op) in scenario.ops.iter().enumerate() {
            if let Err(wrong) = run.take(op) {
                let ops: Vec<String> = scenario.ops[..=at].iter().map(Op::to_string).collect();
                panic!(
                    "{wrong}\n  with {} machines, {} seeds: {}\n  at {:?} of seed {seed}; again: \
                     RINGPOST_SIM_SEED={seed} cargo test --test membership_simulation {test} \
                     -- --exact --nocapture",
                    scenario.machines,
                    scenario.seeds,
                    ops.join("; "),
                    run.world.now,
                );
            }
        }
        for (name, time) in run.times {
            match longest.iter_mut().find(|(known, ..)| *known == name) {
                Some(known) if known.1 < time => *known = (name, time, seed),
                Some(_) => {}
                None => longest.push((name, time, seed)),
            }
        }
    }
    for (name, time, seed) in longest {
        println!("{test}: {name}: longest {time:?} of {count} runs (seed {seed})");
    }
}

struct Run {
    world: World,
    times: Vec<(&'static str, Duration)>,
    watched: Vec<(NodeId, Generation, u32)>,
}

impl Run {
    fn new(scenario: &Scenario, seed: u64) -> Self {
        Self {
            world: World::new(scenario.machines, scenario.seeds, seed),
            times: Vec::new(),
            watched: Vec::new(),
        }
    }

    fn take(&mut self, op: &Op) -> Result<(), String> {
        let world = &mut self.world;
        match op {
            Op::Start(node) => world.start(*node, *node, Duration::ZERO),
            Op::StartBehind(node, by) => world.start(*node, *node, *by),
            Op::StartTwin { on, of } => world.start(*on, *of, Duration::ZERO),
            Op::Crash(node) => world.crash(*node),
            Op::Leave(node) => world.leave(*node),
            Op::Drain(node) => world.drain(*node),
            Op::Stop(node) => world.pause(*node),
            Op::Continue(node) => world.resume(*node),
            Op::Loss(percent) => world.loss = f64::from(*percent) / 100.0,
            Op::Split(groups) => split(world, groups),
            Op::OneWay(from, to) => {
                let ways = from.iter().flat_map(|a| to.iter().map(|b| (*a, *b)));
                world.blocked.extend(ways);
            }
            Op::Heal => world.blocked.clear(),
            Op::Wait(time) => world.run_until(world.now + *time),
            Op::Watch => {
                world.false_downs.clear();
                self.watched = world.revisions();
            }
            Op::ExpectNoFalseAlarm => return self.no_false_alarm(),
            Op::ExpectSameGenerations => return self.same_generations(),
            Op::ExpectAgreement(name, within) => return self.agreement(name, *within),
            Op::ExpectQuiet(time) => return self.quiet(*time),
            Op::ExpectReplaced(count) if world.replaced != *count => {
                return Err(format!(
                    "{} were replaced; running: {:?}",
                    world.replaced,
                    world.revisions()
                ));
            }
            Op::ExpectReplaced(_) => {}
        }
        Ok(())
    }

    fn no_false_alarm(&self) -> Result<(), String> {
        if let Some(first) = self.world.false_downs.first() {
            let count = self.world.false_downs.len();
            return Err(format!("{count} false alarms, the first by {first}"));
        }
        let now = self.world.revisions();
        for (id, generation, revision) in &self.watched {
            let differs = now
                .iter()
                .find(|(i, g, r)| i == id && g == generation && r != revision);
            if let Some((.., to)) = differs {
                return Err(format!("{id} had to rejoin, {revision} to {to}"));
            }
        }
        Ok(())
    }

    fn same_generations(&self) -> Result<(), String> {
        let now = self.world.revisions();
        for (id, generation, _) in &self.watched {
            if !now.iter().any(|(i, g, _)| i == id && g == generation) {
                return Err(format!("the generation of {id} changed"));
            }
        }
        Ok(())
    }

    /// Runs to the end of the time, so that what comes apart again is seen, too.
    fn agreement(&mut self, name: &'static str, within: Duration) -> Result<(), String> {
        let world = &mut self.world;
        let start = world.now;
        let deadline = start + within;
        let mut verdict = world.all_agree();
        let mut settled = Duration::ZERO;
        while world.step(deadline) {
            if world.has_changed() {
                let before = verdict.is_ok();
                verdict = world.all_agree();
                if verdict.is_ok() && !before {
                    settled = world.now.abs_diff(start);
                }
            }
        }
        world.run_until(deadline);
        self.times.push((name, settled));
        verdict.map_err(|wrong| format!("{name}: after {within:?} {wrong}"))
    }

    fn quiet(&mut self, time: Duration) -> Result<(), String> {
        let world = &mut self.world;
        let different = world.fingerprints();
        if different != 1 {
            return Err(format!("{different} different fingerprints"));
        }
        let before = world.full_answers;
        world.run_until(world.now + time);
        match world.full_answers - before {
            0 => Ok(()),
            some => Err(format!("{some} answers had something to tell")),
        }
    }
}

fn split(world: &mut World, groups: &[Vec<usize>]) {
    for (at, group) in groups.iter().enumerate() {
        let others = groups.iter().enumerate().filter(|(other, _)| *other != at);
        for other in others.flat_map(|(_, group)| group) {
            world
                .blocked
                .extend(group.iter().map(|node| (*node, *other)));
        }
    }
}
