//! The machine against a server that does anything at any time, from a seed.
//!
//! Whatever breaks, the program gets every kept message once and in order, those of its inbox and those
//! of a room that it is in, every request has one outcome, qos 1 reaches the server in order, qos 0 at
//! most once, and nothing is acked that the program was not given. What is said to have failed for certain
//! the server has taken on no connection.

use std::collections::{BTreeMap, HashMap, HashSet};

use rand::RngExt as _;

use super::*;

/// Seeds to try.
const RUNS: u64 = 400;
/// Things that happen in each.
const STEPS: u32 = 400;

/// What the server knows of one connection.
#[derive(Default)]
struct Peer {
    welcomed: bool,
    /// The last offset sent on it.
    cursor: u64,
    /// The same for the room, once it was joined.
    in_room: Option<u64>,
    /// Written by the client and not read yet.
    unread: VecDeque<String>,
}

struct World {
    script: Script,
    random: StdRng,
    peers: BTreeMap<ConnectionId, Peer>,
    /// Messages in the inbox; their ids are their offsets.
    kept: u64,
    /// Offsets that the program was given.
    given: Vec<u64>,
    /// Messages in the room; their ids are their offsets.
    said: u64,
    /// Those that the program was given.
    heard: Vec<u64>,
    /// Requests by number: the id, and whether it is repeatable.
    requests: HashMap<RequestNumber, (u32, bool)>,
    made: u32,
    settled: HashSet<RequestNumber>,
    /// Ids of requests in the order in which the server first read them.
    first_read: Vec<u32>,
    read_once: HashSet<u32>,
    /// Ids of requests that the server has taken, whether the client heard of it or not.
    taken: HashSet<u32>,
    /// Those that it has refused, once at least.
    refused: HashSet<u32>,
    /// Those of which the client says that nothing was delivered.
    definite: HashSet<u32>,
}

impl World {
    fn new(seed: u64) -> Self {
        let script = Script::of(&["a:1", "b:2"], |options| {
            options.keep_trying = true;
            options.events_ahead = 5;
        });
        let mut world = Self {
            script,
            random: StdRng::seed_from_u64(seed),
            peers: BTreeMap::new(),
            kept: 0,
            given: Vec::new(),
            said: 0,
            heard: Vec::new(),
            requests: HashMap::new(),
            made: 0,
            settled: HashSet::new(),
            first_read: Vec::new(),
            read_once: HashSet::new(),
            taken: HashSet::new(),
            refused: HashSet::new(),
            definite: HashSet::new(),
        };
        let number = world.script.join("join", "r", Some(0));
        world.requests.insert(number, (0, true));
        world.look();
        world
    }

    /// Takes what the machine has put out.
    fn look(&mut self) {
        for output in self.script.outputs() {
            match output {
                Output::Connect {
                    connection, path, ..
                } => {
                    let offset = path.split("offset=").nth(1);
                    let cursor = offset.map_or(0, |offset| offset.parse().unwrap());
                    let peer = Peer {
                        cursor,
                        ..Peer::default()
                    };
                    self.peers.insert(connection, peer);
                }
                Output::Write(connection, text) => {
                    if text.contains(r#""type":"ack""#)
                        && let Some((_, offset)) = text.split_once(r#""offset":"#)
                    {
                        let acked: u64 = offset.trim_end_matches('}').parse().unwrap();
                        assert!(self.given.last().is_some_and(|given| acked <= *given));
                    }
                    // What is written to a connection that has just broken is lost.
                    if let Some(peer) = self.peers.get_mut(&connection) {
                        assert!(peer.welcomed, "{text} before the welcome");
                        peer.unread.push_back(text.to_string());
                    }
                }
                Output::Settle(number, outcome) => {
                    assert!(self.settled.insert(number), "settled twice");
                    let (id, repeatable) = self.requests[&number];
                    let excused = !repeatable || self.refused.contains(&id);
                    assert!(outcome.is_ok() || excused, "{id}: {outcome:?}");
                    if outcome.is_err_and(|error| error.is_definite()) {
                        self.definite.insert(id);
                    }
                }
                Output::Close(connection) | Output::Drop(connection) => {
                    self.peers.remove(&connection);
                }
                Output::Pong(_) => {}
            }
        }
        assert_eq!(self.script.machine.end(), None);
    }

    fn any(&mut self, welcomed: bool) -> Option<ConnectionId> {
        let peers = self.peers.iter();
        let fitting: Vec<_> = peers
            .filter(|(_, peer)| peer.welcomed == welcomed)
            .collect();
        let index = self.random.random_range(0..fitting.len().max(1));
        fitting.get(index).map(|(connection, _)| **connection)
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..12 => self.kept += 1,
            12..20 => self.said += 1,
            20..33 => self.deliver(),
            33..40 => self.deliver_in_room(),
            40..55 => self.take(),
            55..65 => self.ask(),
            65..78 => self.read(),
            78..84 => self.answer_attempt(),
            84..88 => self.tell_to_move(),
            88..91 => self.end(),
            _ => {
                let time = self.random.random_range(0..2000);
                self.script.pass(Duration::from_millis(time));
            }
        }
        self.look();
    }

    fn deliver(&mut self) {
        if let Some(connection) = self.any(true)
            && self.script.machine.reads()
            && let Some(peer) = self.peers.get_mut(&connection)
            && peer.cursor < self.kept
        {
            peer.cursor += 1;
            let offset = peer.cursor;
            let id = offset.to_string();
            self.script.input(connection, Input::Heard);
            self.script.message(connection, &id, Some(offset));
        }
    }

    fn deliver_in_room(&mut self) {
        if let Some(connection) = self.any(true)
            && self.script.machine.reads()
            && let Some(peer) = self.peers.get_mut(&connection)
            && let Some(cursor) = &mut peer.in_room
            && *cursor < self.said
        {
            *cursor += 1;
            let offset = *cursor;
            self.script.input(connection, Input::Heard);
            let id = offset.to_string();
            self.script.in_room(connection, "r", &id, Some(offset));
        }
    }

    fn take(&mut self) {
        match self.script.event() {
            Some(Event::Message(message)) => {
                let id = message.id.parse().unwrap();
                match message.room() {
                    Some(_) => self.heard.push(id),
                    None => self.given.push(id),
                }
            }
            Some(Event::RoomGap { .. }) => panic!("there is no gap"),
            _ => {}
        }
    }

    /// The server lets a connection into the room, or not now.
    fn let_in(&mut self, connection: ConnectionId, join: &str) {
        let join: serde_json::Value = serde_json::from_str(join).unwrap();
        let id = join["id"].as_str().unwrap();
        let lets = self.random.random_bool(0.7);
        let room = join.pointer("/rooms/0").unwrap_or(&join);
        let since = room["since"]["offset"].as_u64().unwrap();
        if join["rooms"].is_null() {
            self.script.joined(connection, id, since);
        } else {
            let room = if lets {
                format!(r#""epoch":"e","offset":{since},"recovered":true"#)
            } else {
                r#""error":{"code":"unreachable","message":"x","retry":true}"#.to_owned()
            };
            let text = format!(
                r#"{{"type":"receipt","id":"{id}","status":"joined","rooms":[{{"room":"r",{room}}}]}}"#
            );
            self.script.text(connection, &text);
            if !lets {
                return;
            }
        }
        if let Some(peer) = self.peers.get_mut(&connection) {
            peer.in_room = Some(since);
        }
    }

    fn ask(&mut self) {
        self.made += 1;
        let repeatable = self.random.random_bool(0.5);
        let number = self.script.request(&self.made.to_string(), repeatable);
        self.requests.insert(number, (self.made, repeatable));
    }

    fn read(&mut self) {
        let Some(connection) = self.any(true).filter(|_| self.script.machine.reads()) else {
            return;
        };
        let peer = self.peers.get_mut(&connection).unwrap();
        let Some(text) = peer.unread.pop_front() else {
            return;
        };
        self.script.input(connection, Input::Heard);
        let Ok(id) = text.parse::<u32>() else {
            if text.contains(r#""type":"join""#) {
                self.let_in(connection, &text);
            }
            return;
        };
        let first = self.read_once.insert(id);
        let mut made = self.requests.values();
        let repeatable = made.any(|(made, repeatable)| *made == id && *repeatable);
        assert!(first || repeatable, "qos 0 came twice");
        if first && repeatable {
            self.first_read.push(id);
        }
        if self.random.random_bool(0.1) {
            self.refused.insert(id);
            self.script
                .failed(connection, &id.to_string(), "unreachable");
            return;
        }
        self.taken.insert(id);
        // A receipt may get lost with its connection.
        if self.random.random_bool(0.1) {
            self.peers.remove(&connection);
            self.script.broken(connection);
        } else {
            self.script.sent(connection, &id.to_string());
        }
    }

    fn answer_attempt(&mut self) {
        let Some(connection) = self.any(false) else {
            return;
        };
        match self.random.random_range(0..10) {
            0..6 => self.welcome(connection),
            6..8 => {
                self.peers.remove(&connection);
                let url = "//c:3/ws?user=alice&hop=1".to_owned();
                self.script.input(connection, Input::Redirected(url));
            }
            _ => {
                self.peers.remove(&connection);
                self.script
                    .input(connection, Input::Failed(connect_error()));
            }
        }
    }

    fn welcome(&mut self, connection: ConnectionId) {
        let peer = self.peers.get_mut(&connection).unwrap();
        peer.welcomed = true;
        let cursor = peer.cursor;
        self.script.welcome_at(connection, "e", cursor);
    }

    fn tell_to_move(&mut self) {
        if let Some(connection) = self.any(true) {
            let after_ms = self.random.random_range(0..1000);
            let text = format!(
                r#"{{"type":"redirect","url":"ws://c:3/ws","reason":"moved","after_ms":{after_ms}}}"#
            );
            self.script.text(connection, &text);
        }
    }

    fn end(&mut self) {
        let welcomed = self.random.random_bool(0.7);
        if let Some(connection) = self.any(welcomed) {
            self.peers.remove(&connection);
            if self.random.random_bool(0.5) {
                self.script.broken(connection);
            } else {
                self.script.closed(connection, 4307);
            }
        }
    }

    /// Nothing breaks any more: all has to arrive.
    fn settle(&mut self) {
        for _ in 0..20_000 {
            if self.settled.len() == self.requests.len()
                && self.given.len() as u64 == self.kept
                && self.heard.len() as u64 == self.said
            {
                return;
            }
            match self.random.random_range(0..8) {
                0..2 => self.deliver(),
                2 => self.deliver_in_room(),
                3..5 => self.take(),
                5 => self.read(),
                6 => {
                    if let Some(connection) = self.any(false) {
                        self.welcome(connection);
                    }
                }
                _ => self.script.pass(Duration::from_millis(100)),
            }
            self.look();
        }
        panic!(
            "{} of {} requests settled, {} of {} messages given, {} of {} of the room",
            self.settled.len(),
            self.requests.len(),
            self.given.len(),
            self.kept,
            self.heard.len(),
            self.said
        );
    }
}

#[test]
fn whatever_breaks_nothing_is_lost_repeated_or_out_of_order() {
    let mut definite = 0;
    for seed in 0..RUNS {
        println!("seed {seed}");
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        world.settle();
        assert!(world.given.iter().copied().eq(1..=world.kept));
        assert!(world.heard.iter().copied().eq(1..=world.said));
        assert!(world.first_read.is_sorted(), "{:?}", world.first_read);
        let wrong: Vec<_> = world.definite.intersection(&world.taken).collect();
        assert!(wrong.is_empty(), "said to have failed: {wrong:?}");
        definite += world.definite.len();
    }
    assert!(definite > 0, "nothing failed");
}
