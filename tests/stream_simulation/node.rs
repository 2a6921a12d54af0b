//! A machine and the node that runs on it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use ringpost::config::{AtSessionLimit, RoomConfig};
use ringpost::core::link::LinkLimits;
use ringpost::core::stream::{LogLimits, StreamConfig};
use ringpost::dispatch::{Dispatch, DispatchConfig, Greeting, PeerLink, TICK};

use super::gossip::{Known, Record, node_id};
use super::scenario::{MS, SECOND, Scenario};
use super::world::{Event, Pid, World};

/// How long a node that found nobody waits before it serves alone.
const BOOTSTRAP_GRACE: u64 = 5 * SECOND;
/// How long a drain may take.
const DRAIN_TIMEOUT: u64 = 30 * SECOND;

#[derive(Default)]
pub struct Machine {
    pub process: Option<Process>,
    pub starts: u32,
    /// When its last node ended.
    pub ended: u64,
}

/// A node from its start to its end.
pub struct Process {
    pub pid: Pid,
    pub dispatch: Arc<Dispatch>,
    pub greeting: Arc<Greeting>,
    pub known: Known,
    /// When it last heard something new of another machine.
    pub heard_at: BTreeMap<usize, u64>,
    pub joined: bool,
    /// It does nothing; what happens meanwhile is kept.
    pub paused: bool,
    pub deferred: Vec<Event>,
    /// Something may wait to be sent, and will be looked for.
    pub flushing: bool,
    pub carriers: Vec<Carrier>,
    /// Streams that others have opened here.
    pub incoming: Vec<usize>,
    /// For each machine, how many streams came from there.
    pub newest: BTreeMap<usize, u64>,
    pub connections: Vec<usize>,
    pub drain_until: Option<u64>,
    /// Once it has gone another one starts after this.
    pub restart: Option<u64>,
}

/// What carries one link.
pub struct Carrier {
    pub link: Arc<PeerLink>,
    pub machine: usize,
    /// The stream that is open or being opened.
    pub stream: Option<usize>,
    pub failures: u32,
}

impl Process {
    pub fn me(&self) -> Record {
        self.known[&self.pid.machine]
    }

    pub fn carrier(&mut self, link: &Arc<PeerLink>) -> Option<&mut Carrier> {
        let mut carriers = self.carriers.iter_mut();
        carriers.find(|carrier| Arc::ptr_eq(&carrier.link, link))
    }
}

fn config(scenario: &Scenario) -> DispatchConfig {
    DispatchConfig {
        request_timeout: Duration::from_micros(scenario.request_timeout),
        copy_timeout: Duration::from_millis(1500),
        link: LinkLimits {
            window: 8192,
            queue_bytes_max: 16 * 1024 * 1024,
        },
        streams: StreamConfig {
            replicas: scenario.replicas,
            min_copies: 1,
            rooms: LogLimits {
                entries_max: if scenario.rooms_forget() { 30 } else { 1000 },
                bytes_max: 4 * 1024 * 1024,
                kept_entries_max: scenario.room_max,
                kept_bytes_max: 4 * 1024 * 1024,
                age_max: Duration::from_secs(3600),
                seen_max: 100_000,
                seen_age: Duration::from_secs(600),
            },
            inboxes: LogLimits {
                entries_max: scenario.inbox_max,
                bytes_max: 4 * 1024 * 1024,
                kept_entries_max: scenario.inbox_max,
                kept_bytes_max: 4 * 1024 * 1024,
                age_max: Duration::from_secs(3600),
                seen_max: 100_000,
                seen_age: Duration::from_secs(600),
            },
            shard_bytes_max: 64 * 1024 * 1024,
        },
        rebalance_rate: 100,
        sessions_per_user: (100, AtSessionLimit::default()),
        rooms: RoomConfig::default(),
        clients_may_broadcast: false,
        min_members: 1,
    }
}

impl World {
    pub fn start(&mut self, number: usize) {
        if self.machines[number].process.is_some() {
            return;
        }
        let machine = &mut self.machines[number];
        machine.starts += 1;
        let pid = Pid {
            machine: number,
            start: machine.starts,
        };
        let me = Record::new(pid, self.now);
        let known = Known::from([(number, me)]);
        let view = self.rings.view(number, &known, false);
        let first_session = self.rng.random_range(0..1 << 40);
        let clock = Arc::clone(&self.clock);
        let config = config(&self.scenario);
        let dispatch = Dispatch::new(view, config, first_session, clock);
        self.machines[number].process = Some(Process {
            pid,
            dispatch: Arc::new(dispatch),
            greeting: Arc::new(Greeting {
                node: node_id(number),
                heartbeat_ms: 25_000,
                max_message_bytes: 65_536,
            }),
            known,
            heard_at: BTreeMap::new(),
            joined: false,
            paused: false,
            deferred: Vec::new(),
            flushing: false,
            carriers: Vec::new(),
            incoming: Vec::new(),
            newest: BTreeMap::new(),
            connections: Vec::new(),
            drain_until: None,
            restart: None,
        });
        self.trace.say(format_args!("{pid:?} starts"));
        let first_tick = self.rng.random_range(0..50 * MS);
        self.after(first_tick, Event::Tick(pid));
        let first_word = self.rng.random_range(10 * MS..600 * MS);
        self.after(first_word, Event::Join(pid));
        self.after(BOOTSTRAP_GRACE, Event::Alone(pid));
        self.after(SECOND, Event::Exchange(pid));
    }

    /// A new node asks another what it knows, and tells all of itself.
    pub fn find_seed(&mut self, pid: Pid) {
        let mut seeds: Vec<Pid> = (self.pids().into_iter())
            .filter(|seed| seed.machine != pid.machine && !self.is_paused(*seed))
            .filter(|seed| self.reaches(pid.machine, seed.machine))
            .filter(|seed| self.reaches(seed.machine, pid.machine))
            .collect();
        // All seeds are asked: somebody who serves is among them, if anybody does.
        let serves = |seed: &Pid| self.process(*seed).is_some_and(|process| process.joined);
        if seeds.iter().any(serves) {
            seeds.retain(serves);
        }
        let trusted = |seed: &Pid| self.is_trusted(*seed);
        if self.scenario.slander && seeds.iter().any(trusted) {
            seeds.retain(trusted);
        }
        if seeds.is_empty() {
            self.after(300 * MS, Event::Join(pid));
            return;
        }
        let seed = seeds[self.rng.random_range(0..seeds.len())];
        let Some(mut theirs) = self.process(seed).map(|seed| seed.known.clone()) else {
            return;
        };
        let Some(process) = self.process_mut(pid) else {
            return;
        };
        let me = process.me();
        theirs.insert(pid.machine, me);
        for (machine, record) in &mut process.known {
            let other = theirs.entry(*machine).or_insert(*record);
            *other = (*other).max(*record);
        }
        process.known = theirs;
        process.joined = true;
        self.publish(pid);
        self.hear(seed, pid.machine, me);
        self.spread(pid.machine, pid.machine, me);
    }

    /// Whether nobody takes a node for dead.
    fn is_trusted(&self, pid: Pid) -> bool {
        let Some(me) = self.process(pid).map(Process::me) else {
            return false;
        };
        let processes = self.machines.iter().filter_map(|m| m.process.as_ref());
        let mut records = processes.filter_map(|process| process.known.get(&pid.machine));
        records.all(|record| !record.down || record.generation != me.generation)
    }

    /// A node has found nobody.
    pub fn serve_alone(&mut self, pid: Pid) {
        if let Some(process) = self.process_mut(pid)
            && !process.joined
        {
            process.joined = true;
            process.dispatch.join();
            self.touch(pid);
        }
    }

    /// What a node knows has changed.
    pub fn publish(&mut self, pid: Pid) {
        let Some(process) = self.machines[pid.machine].process.as_mut() else {
            return;
        };
        let view = self.rings.view(pid.machine, &process.known, process.joined);
        self.looks.published = self.now;
        self.trace
            .say(format_args!("{pid:?} sees {:?}", process.known));
        let topology = process.dispatch.publish(view);
        let mut ended = Vec::new();
        process.carriers.retain(|carrier| {
            let gone = carrier.link.gone().is_cancelled();
            ended.extend(carrier.stream.filter(|_| gone));
            !gone
        });
        let mut dials = Vec::new();
        for link in topology.links() {
            if process.carrier(link).is_none() {
                let machine = link.node().as_str()[1..].parse().expect("a number");
                process.carriers.push(Carrier {
                    link: Arc::clone(link),
                    machine,
                    stream: None,
                    failures: 0,
                });
                dials.push(Arc::clone(link));
            }
        }
        for link in dials {
            let after = self.rng.random_range(0..10 * MS);
            self.after(after, Event::Dial(pid, link));
        }
        for stream in ended {
            self.end_stream(stream);
        }
        self.touch(pid);
    }

    pub fn tick(&mut self, pid: Pid) {
        if let Some(process) = self.process_mut(pid) {
            process.dispatch.tick();
        }
        self.look_who_serves();
        let late = self.rng.random_range(0..5 * MS);
        let tick = u64::try_from(TICK.as_micros()).unwrap_or(u64::MAX);
        self.after(tick + late, Event::Tick(pid));
        self.touch(pid);
    }

    /// Something may wait to be sent.
    pub fn touch(&mut self, pid: Pid) {
        if let Some(process) = self.process_mut(pid)
            && !process.flushing
        {
            process.flushing = true;
            let after = self.rng.random_range(10..800);
            self.after(after, Event::Flush(pid));
        }
    }

    pub fn flush(&mut self, pid: Pid) {
        let Some(process) = self.process_mut(pid) else {
            return;
        };
        process.flushing = false;
        self.send_requests(pid);
        self.send_replies(pid);
        self.write_clients(pid);
    }

    pub fn pause(&mut self, pid: Pid, time: u64) {
        if let Some(process) = self.process_mut(pid)
            && !process.paused
        {
            process.paused = true;
            self.after(time, Event::Resume(pid));
        }
    }

    /// All that came meanwhile happens now; what is due by the clock does first, or last.
    pub fn resume(&mut self, pid: Pid) {
        let Some(process) = self.process_mut(pid) else {
            return;
        };
        process.paused = false;
        let mut deferred = std::mem::take(&mut process.deferred);
        let ticks_last = self.rng.random_bool(0.5);
        deferred.sort_by_key(|event| matches!(event, Event::Tick(_)) == ticks_last);
        for event in deferred {
            self.after(0, event);
        }
    }

    /// The node ends, and all that it had.
    pub fn end_process(&mut self, pid: Pid, silent: bool) {
        let Some(process) = self.machines[pid.machine].process.take() else {
            return;
        };
        self.machines[pid.machine].ended = self.now;
        self.trace.say(format_args!("{pid:?} ends"));
        let streams = 0..self.streams.len();
        let touched: Vec<usize> = streams
            .filter(|id| {
                let stream = &self.streams[*id];
                !stream.dead && (stream.from == pid || stream.to == pid)
            })
            .collect();
        for stream in touched {
            self.streams[stream].dead = true;
            let notice = if silent {
                self.rng.random_range(2 * SECOND..5 * SECOND)
            } else {
                self.rng.random_range(0..10 * MS)
            };
            self.after(notice, Event::Lost(stream));
        }
        for connection in process.connections {
            let notice = if silent {
                self.rng.random_range(0..3 * SECOND)
            } else {
                self.rng.random_range(0..50 * MS)
            };
            self.connections[connection].session = None;
            self.after(notice, Event::Dropped(connection));
        }
    }

    /// The node is asked to stop: it leaves the ring, and stays until nobody needs it.
    pub fn drain(&mut self, pid: Pid, restart: Option<u64>) {
        let until = self.now + DRAIN_TIMEOUT;
        let Some(process) = self.process_mut(pid) else {
            return;
        };
        if process.drain_until.is_some() {
            return;
        }
        process.drain_until = Some(until);
        process.restart = restart;
        process.dispatch.start_draining();
        let me = Record {
            revision: process.me().revision + 1,
            draining: true,
            ..process.me()
        };
        process.known.insert(pid.machine, me);
        self.publish(pid);
        self.spread(pid.machine, pid.machine, me);
        self.after(200 * MS, Event::Drained(pid));
    }

    pub fn leave_if_drained(&mut self, pid: Pid) {
        let now = self.now;
        let Some(process) = self.process_mut(pid) else {
            return;
        };
        let late = process.drain_until.is_some_and(|until| until <= now);
        let (sessions, held) = (process.dispatch.counts().0, process.dispatch.holds());
        if sessions > 0 {
            self.send_a_client_away(pid);
        }
        if (sessions > 0 || held > 0) && !late {
            self.after(100 * MS, Event::Drained(pid));
            return;
        }
        if late {
            let text = format!("{pid:?} has not drained: {sessions} sessions, {held} copies");
            self.ledger.fail(text);
        }
        let Some(process) = self.process_mut(pid) else {
            return;
        };
        let restart = process.restart;
        process.dispatch.abandon();
        let me = Record {
            down: true,
            ..process.me()
        };
        self.send_replies(pid);
        self.write_clients(pid);
        self.spread(pid.machine, pid.machine, me);
        self.end_process(pid, false);
        if let Some(after) = restart {
            self.after(after, Event::Start(pid.machine));
        }
    }
}
