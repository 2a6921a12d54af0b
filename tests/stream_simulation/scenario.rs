//! What happens to a cluster, as data.

use std::fmt;

use rand::RngExt as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

/// A microsecond; all times of the simulation are in these.
pub const MS: u64 = 1_000;
/// A second.
pub const SECOND: u64 = 1_000 * MS;

/// One thing that goes wrong, or is done to the cluster. A node is named by the number of its
/// machine.
#[derive(Debug, Clone)]
pub enum Fault {
    /// A node ends without a word, and starts again after a while, or never.
    Crash {
        machine: usize,
        /// Others hear nothing of its connections' end: it lost its power.
        silent: bool,
        restart: Option<u64>,
    },
    /// A node does nothing for a while.
    Pause { machine: usize, time: u64 },
    /// The streams from one node to another break.
    Break { from: usize, to: usize },
    /// Everything from one node to another takes that long for a while.
    Slow {
        from: usize,
        to: usize,
        latency: u64,
        time: u64,
    },
    /// Nothing passes from these nodes to those for a while.
    Block {
        ways: Vec<(usize, usize)>,
        time: u64,
    },
    /// Somebody takes a node for dead that is not.
    FalseDown { machine: usize },
    /// A node starts on a machine that has none.
    Start { machine: usize },
    /// A node is asked to stop; another may start there after a while.
    Drain {
        machine: usize,
        restart: Option<u64>,
    },
    /// News take that much longer to a node for a while.
    Late { machine: usize, by: u64, time: u64 },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crash {
                machine,
                silent,
                restart,
            } => {
                let how = if *silent {
                    "loses its power"
                } else {
                    "crashes"
                };
                write!(f, "m{machine} {how}")?;
                restart.map_or(Ok(()), |after| {
                    write!(f, ", and starts again after {} ms", after / MS)
                })
            }
            Self::Pause { machine, time } => write!(f, "m{machine} pauses for {} ms", time / MS),
            Self::Break { from, to } => write!(f, "the stream from m{from} to m{to} breaks"),
            Self::Slow {
                from,
                to,
                latency,
                time,
            } => write!(
                f,
                "from m{from} to m{to} all takes {} ms, for {} ms",
                latency / MS,
                time / MS
            ),
            Self::Block { ways, time } => write!(f, "{ways:?} are cut for {} ms", time / MS),
            Self::FalseDown { machine } => write!(f, "m{machine} is taken for dead"),
            Self::Start { machine } => write!(f, "m{machine} starts"),
            Self::Drain { machine, restart } => {
                write!(f, "m{machine} drains")?;
                restart.map_or(Ok(()), |after| {
                    write!(f, ", and starts again {} ms later", after / MS)
                })
            }
            Self::Late { machine, by, time } => write!(
                f,
                "m{machine} hears all {} ms later, for {} ms",
                by / MS,
                time / MS
            ),
        }
    }
}

impl Fault {
    /// How long copies may take because of it, if it is none that is noticed at once.
    fn hinders_for(&self) -> Option<u64> {
        match self {
            Self::Pause { time, .. } | Self::Slow { time, .. } | Self::Block { time, .. } => {
                Some((*time).max(MS))
            }
            Self::Crash { .. }
            | Self::Break { .. }
            | Self::FalseDown { .. }
            | Self::Start { .. }
            | Self::Drain { .. }
            | Self::Late { .. } => None,
        }
    }
}

/// A cluster, its clients, and what happens to them.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Machines that run a node from the start; others may join.
    pub nodes: usize,
    pub machines: usize,
    pub replicas: usize,
    pub users: usize,
    /// Entries of one inbox.
    pub inbox_max: usize,
    /// Rooms, in which some clients are.
    pub rooms: usize,
    /// Entries of one room.
    pub room_max: usize,
    /// After this a message without an outcome is given up.
    pub request_timeout: u64,
    /// A node is killed only when nothing is lost with it.
    pub careful: bool,
    /// Nodes may be taken for dead that are not, and sides may not hear of each other.
    pub splits: bool,
    /// A node may be taken for dead that is not, but all can hear each other, never two at a time,
    /// and only when all copies are there.
    pub slander: bool,
    /// When the last fault is over, at the latest.
    pub end: u64,
    pub faults: Vec<(u64, Fault)>,
}

/// An inbox that is full now and then.
const INBOX_SMALL: usize = 8;
/// A room that forgets soon.
const ROOM_SMALL: usize = 8;

impl Scenario {
    /// Whether inboxes are full now and then.
    pub fn may_fill(&self) -> bool {
        self.inbox_max == INBOX_SMALL
    }

    /// Whether rooms forget what somebody may want.
    pub fn rooms_forget(&self) -> bool {
        self.room_max == ROOM_SMALL
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} nodes, {} replicas, {} users, inboxes of {}, {} rooms of {}, careful: {}, splits: {}, \
             slander: {}",
            self.nodes,
            self.replicas,
            self.users,
            self.inbox_max,
            self.rooms,
            self.room_max,
            self.careful,
            self.splits,
            self.slander
        )?;
        for (at, fault) in &self.faults {
            write!(f, "\n    {:>6} ms: {fault}", at / MS)?;
        }
        Ok(())
    }
}

impl Scenario {
    /// Whether two nodes may number the same stream. One that is taken for dead commits no more, but
    /// does not know that: when it comes back what it has numbered stands first, and whoever has what
    /// others have committed meanwhile may get it again.
    pub fn may_fork(&self) -> bool {
        self.splits || self.slander
    }

    /// Any.
    pub fn random(rng: &mut StdRng) -> Self {
        let nodes = rng.random_range(3..=7);
        let machines = nodes + rng.random_range(0..=2);
        let splits = rng.random_bool(0.4);
        let careful = rng.random_bool(0.8);
        let end = rng.random_range(12..=40) * SECOND;
        let mut scenario = Self {
            nodes,
            machines,
            replicas: *[1, 2, 2, 2, 2, 2, 2, 3, 3].choose(rng).unwrap_or(&2),
            users: rng.random_range(8..=30),
            inbox_max: if rng.random_bool(0.15) {
                INBOX_SMALL
            } else {
                10_000
            },
            rooms: 0,
            room_max: 10_000,
            request_timeout: *[15, 15, 5].choose(rng).unwrap_or(&15) * SECOND,
            careful,
            splits,
            slander: false,
            end,
            faults: Vec::new(),
        };
        // An owner that is alone commits what it likes, whatever others think of it.
        scenario.slander = !splits && scenario.replicas > 1 && rng.random_bool(0.4);
        let mut at = rng.random_range(2 * SECOND..5 * SECOND);
        for machine in nodes..machines {
            let at = rng.random_range(2 * SECOND..end);
            scenario.faults.push((at, Fault::Start { machine }));
        }
        // Faults come in groups: what is hard is what happens at once. Sometimes nodes only come and
        // go, and the next one before what the last one left behind has been put away.
        let churn = rng.random_bool(0.25);
        let (within, between) = if churn { (600, 1500) } else { (1500, 6000) };
        while at < end {
            if scenario.slander && rng.random_bool(0.5) {
                let group = scenario.slander(rng);
                let group = group.into_iter().map(|(after, fault)| (at + after, fault));
                scenario.faults.extend(group);
            }
            for _ in 0..rng.random_range(1..=3) {
                let fault = scenario.fault(rng, churn);
                if let Some(time) = fault.hinders_for()
                    && rng.random_bool(0.4)
                {
                    // Somebody dies who waits for that.
                    let crash = scenario.crash(rng);
                    scenario
                        .faults
                        .push((at + rng.random_range(0..time), crash));
                }
                scenario.faults.push((at, fault));
                at += rng.random_range(0..within * MS);
            }
            at += rng.random_range(0..between * MS);
        }
        if rng.random_bool(0.2) {
            scenario.flap(rng);
        }
        if rng.random_bool(0.6) {
            scenario.rooms = rng.random_range(1..=3);
            if rng.random_bool(0.25) {
                scenario.room_max = ROOM_SMALL;
            }
        }
        scenario.faults.sort_by_key(|(at, _)| *at);
        scenario.faults.retain(|(at, _)| *at < end);
        scenario
    }

    /// Some nodes, at the same time, leave as soon as they have come: whoever is first then may have
    /// a copy from before they came.
    fn flap(&mut self, rng: &mut StdRng) {
        let first = rng.random_range(0..self.machines);
        let together = rng.random_range(1..=self.replicas.min(self.machines - 2));
        let mut at = rng.random_range(2 * SECOND..5 * SECOND);
        while at < self.end {
            for next in 0..together {
                let fault = Fault::Drain {
                    machine: (first + next) % self.machines,
                    restart: Some(rng.random_range(0..50 * MS)),
                };
                self.faults.push((at + rng.random_range(0..50 * MS), fault));
            }
            at += rng.random_range(300 * MS..3 * SECOND);
        }
    }

    /// Somebody goes and somebody is taken for dead who hears of neither for a while.
    fn slander(&self, rng: &mut StdRng) -> Vec<(u64, Fault)> {
        let machine = rng.random_range(0..self.machines);
        let late = Fault::Late {
            machine,
            by: rng.random_range(500 * MS..1500 * MS),
            time: rng.random_range(SECOND..4 * SECOND),
        };
        let mut group = vec![
            (0, late),
            (rng.random_range(0..900 * MS), Fault::FalseDown { machine }),
        ];
        let at = rng.random_range(0..600 * MS);
        for _ in 0..rng.random_range(1..=3) {
            let goes = Fault::Drain {
                machine: (machine + rng.random_range(1..self.machines)) % self.machines,
                restart: rng.random_bool(0.7).then(|| rng.random_range(0..SECOND)),
            };
            group.push((at + rng.random_range(0..50 * MS), goes));
        }
        group
    }

    fn fault(&self, rng: &mut StdRng, churn: bool) -> Fault {
        let machine = rng.random_range(0..self.machines);
        let to = (machine + rng.random_range(1..self.machines)) % self.machines;
        let kinds = if self.splits { 13 } else { 8 };
        let kind = if churn {
            *[0, 6, 6, 7].choose(rng).unwrap_or(&0)
        } else {
            rng.random_range(0..kinds)
        };
        match kind {
            0 | 1 => self.crash(rng),
            2 => Fault::Pause {
                machine,
                time: rng.random_range(300 * MS..1500 * MS),
            },
            3 => Fault::Break { from: machine, to },
            4 => Fault::Slow {
                from: machine,
                to,
                latency: rng.random_range(20 * MS..600 * MS),
                time: rng.random_range(0..4 * SECOND),
            },
            5 => Fault::Block {
                ways: vec![(machine, to), (to, machine)],
                time: rng.random_range(0..1500 * MS),
            },
            6 => Fault::Start { machine },
            7 => Fault::Drain {
                machine,
                restart: rng.random_bool(0.4).then(|| rng.random_range(0..SECOND)),
            },
            8 => Fault::Pause {
                machine,
                time: rng.random_range(3 * SECOND..8 * SECOND),
            },
            9 | 10 => Fault::FalseDown { machine },
            _ => self.partition(rng),
        }
    }

    fn crash(&self, rng: &mut StdRng) -> Fault {
        Fault::Crash {
            machine: rng.random_range(0..self.machines),
            silent: rng.random(),
            restart: match rng.random_range(0..4) {
                0 => None,
                1 | 2 => Some(rng.random_range(0..300 * MS)),
                _ => Some(rng.random_range(0..9 * SECOND)),
            },
        }
    }

    fn partition(&self, rng: &mut StdRng) -> Fault {
        let mut order: Vec<usize> = (0..self.machines).collect();
        order.shuffle(rng);
        let (some, others) = order.split_at(rng.random_range(1..self.machines));
        let mut ways: Vec<(usize, usize)> = Vec::new();
        let both = rng.random_bool(0.7);
        for a in some {
            for b in others {
                ways.push((*a, *b));
                if both {
                    ways.push((*b, *a));
                }
            }
        }
        let time = rng.random_range(500 * MS..9 * SECOND);
        Fault::Block { ways, time }
    }
}
