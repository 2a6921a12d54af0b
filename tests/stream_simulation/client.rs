//! Clients, as DESIGN 4.2 wants them: they resume, drop repeats, and send again what has no receipt,
//! in its order, before anything new.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use rand::RngExt as _;
use ringpost::dispatch::Session;

use super::ledger::{Sent, Target};
use super::rooms::{Membership, Place};
use super::scenario::{MS, SECOND};
use super::world::{Event, Pid, World};

/// A client that is not welcome after this tries elsewhere.
const PATIENCE: u64 = 8 * SECOND;
/// A client that came without a position has by then what waited for it: what is acked meanwhile is not
/// sent to it any more.
const CAUGHT_UP: u64 = 10 * SECOND;

/// One device of a user.
#[expect(clippy::struct_excessive_bools, reason = "its habits are independent")]
pub struct Client {
    pub user: usize,
    /// It says where it was when it comes back.
    pub resumes: bool,
    /// It acks what it has, now and then.
    pub acks: bool,
    /// It goes where it is told to.
    pub moves: bool,
    /// Messages of its own that may be without a receipt.
    pub window: usize,
    /// How long it reads nothing after it has read.
    pub reads_every: u64,
    /// How often it does something.
    pub rhythm: u64,
    pub position: Option<(String, u64)>,
    /// Messages it was told of; by their numbers in the ledger.
    pub seen: BTreeSet<usize>,
    /// Of each sending client, to this user and to each room, the last message that came.
    pub last_of: BTreeMap<(usize, Target), usize>,
    /// When it comes back to a room it says where it was.
    pub catches_up: bool,
    /// The rooms where it wants to be.
    pub rooms: BTreeMap<usize, Membership>,
    /// Rooms that it has left, and when it last did.
    pub has_left: BTreeMap<usize, u64>,
    /// Messages without a receipt, in their order.
    pub pending: VecDeque<usize>,
    pub connection: Option<usize>,
    /// When it comes back.
    pub back_at: u64,
    /// What it was told that it may miss: all up to that number.
    pub excused: usize,
    /// When it last came without a position, and how many messages there were then: of those it may
    /// miss what others of its user have acked.
    pub fresh: (u64, usize),
    pub said_last: bool,
}

impl Client {
    /// Whether it need not have a message to its user.
    pub fn may_miss(&self, number: usize, message: &Sent) -> bool {
        let (at, before) = self.fresh;
        let acked = message.acked_at.is_some_and(|acked| acked < at + CAUGHT_UP);
        number < self.excused || number < before && acked
    }
}

/// A room to be joined, and where to go on in it.
pub type Wanted = (usize, Option<(String, u64)>);

/// A connection of a client to a node.
pub struct Connection {
    pub client: usize,
    pub pid: Pid,
    pub made_at: u64,
    /// At the node.
    pub session: Option<Arc<Session>>,
    says: VecDeque<Say>,
    said_at: u64,
    /// What is on its way to it; each with the time after which it was said.
    pub hears: VecDeque<(u64, Vec<Bytes>)>,
    /// When its node last had nothing more for it.
    pub silent_at: u64,
    /// What it hears was said after this.
    pub since: u64,
    pub heard_at: u64,
    pub next_read: u64,
    /// The client has gone.
    pub left: bool,
    pub welcomed: bool,
    /// The position it came with.
    pub came_with: Option<(String, u64)>,
    /// The last message here.
    pub last: Option<(String, u64)>,
    /// Sends without a receipt.
    pub waiting: BTreeMap<String, u32>,
    /// Requests about rooms.
    pub requests: u32,
    /// The rooms of each `join` without a reply, and where it wanted to go on.
    pub joins: BTreeMap<String, Vec<Wanted>>,
    pub leaves: BTreeMap<String, usize>,
    pub places: BTreeMap<usize, Place>,
}

/// What a client sends.
#[derive(Debug, Clone)]
pub enum Say {
    Hello,
    Send(usize),
    Ack(String, u64),
    Join(String, Vec<Wanted>),
    Leave(String, usize),
    Bye,
}

impl World {
    pub fn make_clients(&mut self) {
        for user in 0..self.scenario.users {
            for _ in 0..*[1, 1, 2, 3].get(self.rng.random_range(0..4)).unwrap_or(&1) {
                let rng = &mut self.rng;
                let client = Client {
                    user,
                    resumes: rng.random_bool(0.8),
                    acks: rng.random_bool(0.7),
                    moves: rng.random_bool(0.7),
                    window: rng.random_range(1..=8),
                    reads_every: if rng.random_bool(0.1) {
                        rng.random_range(50 * MS..600 * MS)
                    } else {
                        0
                    },
                    rhythm: rng.random_range(200 * MS..2 * SECOND),
                    position: None,
                    seen: BTreeSet::new(),
                    last_of: BTreeMap::new(),
                    catches_up: rng.random_bool(0.7),
                    rooms: BTreeMap::new(),
                    has_left: BTreeMap::new(),
                    pending: VecDeque::new(),
                    connection: None,
                    back_at: 0,
                    excused: 0,
                    fresh: (0, 0),
                    said_last: false,
                };
                let first = rng.random_range(0..3 * SECOND);
                self.clients.push(client);
                self.after(first, Event::Wake(self.clients.len() - 1));
            }
        }
    }

    /// A client does whatever comes next.
    pub fn wake(&mut self, client: usize) {
        let rhythm = self.clients[client].rhythm;
        let next = self.rng.random_range(rhythm / 4..rhythm * 2);
        self.after(next, Event::Wake(client));
        let Some(id) = self.clients[client].connection else {
            if self.clients[client].back_at <= self.now {
                self.connect(client);
            }
            return;
        };
        let connection = &self.connections[id];
        if !connection.welcomed {
            if self.now > connection.made_at + PATIENCE {
                self.cut(client);
            }
            return;
        }
        if !self.calm && self.rng.random_bool(0.02) {
            self.cut(client);
            return;
        }
        self.write_something(client, id);
    }

    fn write_something(&mut self, client: usize, id: usize) {
        let max = self.clients[client].window;
        let mut burst = if self.quiet {
            0
        } else {
            self.rng.random_range(0..=3)
        };
        while burst > 0 && self.clients[client].pending.len() < max {
            burst -= 1;
            let users = self.scenario.users;
            // Some users hear more than others.
            let to = self
                .rng
                .random_range(0..users)
                .min(self.rng.random_range(0..users));
            self.send_new(client, id, Target::User(to));
        }
        self.visit_rooms(client, id);
        if !self.quiet && self.rng.random_bool(0.4) {
            let repeat = self.clients[client].pending.back().copied();
            if let Some(number) = repeat {
                self.send_again(id, number);
            }
        }
        if !self.quiet
            && self.clients[client].acks
            && self.rng.random_bool(0.3)
            && let Some((epoch, offset)) = self.clients[client].position.clone()
        {
            // All that it has, and that its user was sent, is acked with that.
            for number in self.clients[client].seen.clone() {
                let message = &mut self.ledger.messages[number];
                if matches!(message.to, Target::User(_)) {
                    message.acked_at.get_or_insert(self.now);
                }
            }
            self.say(id, Say::Ack(epoch, offset));
        }
    }

    pub fn send_new(&mut self, client: usize, id: usize, to: Target) {
        let notify = matches!(to, Target::User(_)) && self.rng.random_bool(0.2);
        let from = self.clients[client].user;
        let number = self.ledger.make(client, from, to, notify);
        (self.copies).made(number, from, &self.ledger.messages[number].id);
        if matches!(to, Target::Room(_)) {
            self.ledger.messages[number].echo = self.rng.random_bool(0.8);
        }
        self.clients[client].pending.push_back(number);
        self.send_again(id, number);
    }

    pub fn send_again(&mut self, id: usize, number: usize) {
        self.ledger.is_sent(number);
        let name = self.ledger.messages[number].id.clone();
        *self.connections[id].waiting.entry(name).or_default() += 1;
        self.say(id, Say::Send(number));
    }

    fn connect(&mut self, client: usize) {
        let nodes = self.pids();
        if nodes.is_empty() {
            return;
        }
        let any = nodes[self.rng.random_range(0..nodes.len())];
        let owner = self.owner_by(any, self.clients[client].user);
        // In the end all have been told where they belong, and nobody moves any more.
        let pid = if !self.calm && self.rng.random_bool(0.5) {
            any
        } else {
            owner.unwrap_or(any)
        };
        let came_with = self.clients[client].position.clone();
        let came_with = came_with.filter(|_| self.clients[client].resumes);
        let id = self.connections.len();
        self.connections.push(Connection {
            client,
            pid,
            made_at: self.now,
            session: None,
            says: VecDeque::new(),
            said_at: 0,
            hears: VecDeque::new(),
            silent_at: self.now,
            since: self.now,
            heard_at: 0,
            next_read: 0,
            left: false,
            welcomed: false,
            came_with,
            last: None,
            waiting: BTreeMap::new(),
            requests: 0,
            joins: BTreeMap::new(),
            leaves: BTreeMap::new(),
            places: BTreeMap::new(),
        });
        self.clients[client].connection = Some(id);
        self.trace.say(format_args!(
            "client {client} connects to {pid:?} as connection {id}"
        ));
        self.say(id, Say::Hello);
    }

    /// Who owns a user, as a node sees it.
    fn owner_by(&self, pid: Pid, user: usize) -> Option<Pid> {
        let topology = self.process(pid)?.dispatch.topology();
        let owner = topology.view.owner(&format!("u{user}"))?;
        let machine: usize = owner.id.as_str()[1..].parse().ok()?;
        self.machines[machine].process.as_ref().map(|p| p.pid)
    }

    /// A client sends something; what it sends arrives in its order.
    pub fn say(&mut self, id: usize, say: Say) {
        let slow = matches!(say, Say::Bye) && self.rng.random_bool(0.3);
        let longest = if slow { 3 * SECOND } else { 15 * MS };
        let at = self.now + self.rng.random_range(100..longest);
        let connection = &mut self.connections[id];
        connection.said_at = connection.said_at.max(at);
        connection.says.push_back(say);
        let after = connection.said_at - self.now;
        self.after(after, Event::Said(id));
    }

    pub fn next_said(&mut self, id: usize) -> Option<Say> {
        self.connections[id].says.pop_front()
    }

    /// A client leaves a node that others take for dead.
    pub fn leave_connection(&mut self, id: usize) {
        let client = self.connections[id].client;
        if self.clients[client].connection == Some(id) {
            self.cut(client);
            self.connect(client);
        }
    }

    /// A client's connection ends, from its side.
    pub fn cut(&mut self, client: usize) {
        let Some(id) = self.clients[client].connection.take() else {
            return;
        };
        self.trace
            .say(format_args!("client {client} cuts connection {id}"));
        self.connections[id].left = true;
        if self.rng.random_bool(0.5) {
            // What was under way is lost.
            for say in &mut self.connections[id].says {
                *say = Say::Bye;
            }
        }
        self.say(id, Say::Bye);
        self.comes_back(client);
    }

    /// The connection is over, whoever has ended it.
    pub fn dropped(&mut self, id: usize) {
        let client = self.connections[id].client;
        self.connections[id].left = true;
        if self.clients[client].connection == Some(id) {
            self.clients[client].connection = None;
            self.comes_back(client);
        }
    }

    fn comes_back(&mut self, client: usize) {
        let long = !self.calm && self.rng.random_bool(0.15);
        let longest = if long { 9 * SECOND } else { 700 * MS };
        self.clients[client].back_at = self.now + self.rng.random_range(0..longest);
    }

    /// A client of a node that drains goes elsewhere.
    pub fn send_a_client_away(&mut self, pid: Pid) {
        let here: Vec<usize> = (self.clients.iter())
            .filter_map(|client| client.connection)
            .filter(|id| self.connections[*id].pid == pid)
            .collect();
        if !here.is_empty() {
            let id = here[self.rng.random_range(0..here.len())];
            self.cut(self.connections[id].client);
        }
    }
}
