//! Rooms, as clients see them: they join, come back with the position that they have reached, or
//! start anew, send, and leave.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt as _;
use ringpost::core::protocol::{Join, JoinRoom};
use ringpost::core::stream::Resume;
use ringpost::dispatch::Dispatch;
use ringpost::id::{NodeId, RoomName, SessionId, UserId};
use serde_json::Value;

use super::client::{Client, Say, Wanted};
use super::gossip::node_id;
use super::ledger::Target;
use super::reader::position_of;
use super::scenario::SECOND;
use super::server::user_id;
use super::world::World;

/// Whoever has been in a room for longer than this, on one connection, has not left it.
const SURELY_THERE: u64 = 8 * SECOND;

/// A node that has just come to own a room may not know all devices of a user: if one leaves at will, it
/// says within this time that the user has left.
const HASTY: u64 = 4 * SECOND;

/// A room where a client wants to be.
#[derive(Debug)]
pub struct Membership {
    /// Where it goes on; `None`: it wants what comes from now on.
    pub position: Option<(String, u64)>,
    /// What was made from that number on has to come.
    pub from: usize,
}

/// A room in which a connection is, or is about to be.
#[derive(Debug)]
pub enum Place {
    /// Nothing of it comes before the receipt.
    Asked,
    In {
        since: u64,
        /// The last message here, or where it started.
        last: (String, u64),
    },
    Leaving,
}

pub fn room_name(room: usize) -> RoomName {
    RoomName::new(&format!("r{room}")).expect("a name")
}

fn room_of(value: &Value) -> Option<usize> {
    value["room"].as_str()?.strip_prefix('r')?.parse().ok()
}

impl World {
    /// A client joins and leaves rooms, and sends to some.
    pub fn visit_rooms(&mut self, client: usize, id: usize) {
        let rooms = self.scenario.rooms;
        if rooms == 0 {
            return;
        }
        if !self.quiet {
            let room = self.rng.random_range(0..rooms);
            let wanted = self.clients[client].rooms.contains_key(&room);
            let is_in = matches!(
                self.connections[id].places.get(&room),
                Some(Place::In { .. })
            );
            if !wanted && self.rng.random_bool(0.15) {
                let new = !self.clients[client].has_left.contains_key(&room);
                let all = new && self.clients[client].catches_up && self.rng.random_bool(0.4);
                let membership = Membership {
                    position: all.then(|| ("0".to_owned(), 0)),
                    from: if all { 0 } else { usize::MAX },
                };
                self.clients[client].rooms.insert(room, membership);
            } else if is_in && self.rng.random_bool(0.03) {
                self.leave_room(client, id, room);
            }
            let max = self.clients[client].window;
            if self.clients[client].pending.len() < max && self.rng.random_bool(0.2) {
                self.send_new(client, id, Target::Room(room));
            }
        }
        self.join_again(client, id);
    }

    /// A client joins the rooms where it wants to be and its connection is not.
    pub fn join_again(&mut self, client: usize, id: usize) {
        let places = &self.connections[id].places;
        let wanted = self.clients[client].rooms.iter();
        let mut missing: Vec<_> = wanted
            .filter(|(room, _)| !places.contains_key(room))
            .map(|(room, membership)| (*room, membership.position.clone()))
            .collect();
        if !self.clients[client].catches_up {
            for (_, since) in &mut missing {
                *since = None;
            }
        }
        if missing.is_empty() {
            return;
        }
        if self.rng.random_bool(0.5) {
            self.join(id, missing);
        } else {
            for room in missing {
                self.join(id, vec![room]);
            }
        }
    }

    fn join(&mut self, id: usize, rooms: Vec<Wanted>) {
        let connection = &mut self.connections[id];
        connection.requests += 1;
        let name = format!("join{}", connection.requests);
        for (room, _) in &rooms {
            connection.places.insert(*room, Place::Asked);
        }
        connection.joins.insert(name.clone(), rooms.clone());
        self.say(id, Say::Join(name, rooms));
    }

    fn leave_room(&mut self, client: usize, id: usize, room: usize) {
        self.clients[client].rooms.remove(&room);
        self.clients[client].has_left.insert(room, self.now);
        let connection = &mut self.connections[id];
        connection.requests += 1;
        let name = format!("leave{}", connection.requests);
        connection.places.insert(room, Place::Leaving);
        connection.leaves.insert(name.clone(), room);
        self.say(id, Say::Leave(name, room));
    }

    /// A `join` has arrived at the node.
    pub fn ask_to_join(&mut self, id: usize, dispatch: &Dispatch, name: &str, rooms: Vec<Wanted>) {
        let Some(session) = self.connections[id].session.clone() else {
            return;
        };
        if session.outbox().is_closing() {
            return;
        }
        let single = rooms.len() == 1;
        let rooms = rooms.into_iter().map(|(room, since)| JoinRoom {
            room: room_name(room),
            since: since.map(|(epoch, offset)| Resume::given(&epoch, offset)),
        });
        let join = Join {
            id: Cow::Borrowed(name),
            rooms: rooms.collect(),
            single,
        };
        dispatch.join_rooms(&session, join);
    }

    /// Says whether it is a receipt of a `join` or a `leave`.
    pub fn room_receipt(&mut self, id: usize, name: &str, value: &Value) -> bool {
        if let Some(room) = self.connections[id].leaves.remove(name) {
            if value["status"] != "left" {
                self.wrong(id, "a strange receipt of a leave", value);
            }
            self.connections[id].places.remove(&room);
            return true;
        }
        let Some(rooms) = self.connections[id].joins.remove(name) else {
            return false;
        };
        if let [(room, since)] = &rooms[..] {
            self.joined(id, *room, since.as_ref(), value);
        } else {
            for (index, (room, since)) in rooms.iter().enumerate() {
                self.joined(id, *room, since.as_ref(), &value["rooms"][index]);
            }
        }
        true
    }

    fn joined(&mut self, id: usize, room: usize, since: Option<&(String, u64)>, value: &Value) {
        let client = self.connections[id].client;
        if let Some(code) = value["error"]["code"].as_str() {
            if !matches!(code, "unreachable" | "unknown") {
                self.wrong(id, "a join that failed", value);
            }
            // It is tried again.
            self.connections[id].places.remove(&room);
            return;
        }
        let recovered = value["recovered"].as_bool();
        let (Some(position), true) = (position_of(value), recovered.is_some() == since.is_some())
        else {
            return self.wrong(id, "a strange receipt of a join", value);
        };
        let place = Place::In {
            since: self.now,
            last: position.clone(),
        };
        self.connections[id].places.insert(room, place);
        let next = self.ledger.messages.len();
        if let Some(membership) = self.clients[client].rooms.get_mut(&room) {
            membership.position = Some(position);
            if since.is_none() {
                membership.from = next;
            }
        }
        if recovered == Some(false) {
            self.misses(id, room, value);
        }
    }

    /// A client is told that it may miss something of a room.
    fn misses(&mut self, id: usize, room: usize, value: &Value) {
        let client = self.connections[id].client;
        if !self.scenario.careful || self.scenario.rooms_forget() {
            let next = self.ledger.messages.len();
            if let Some(membership) = self.clients[client].rooms.get_mut(&room) {
                membership.from = membership.from.max(next);
            }
        } else if !self.scenario.may_fork() {
            // After a split it is all there again.
            self.wrong(id, "what was accepted in a room is lost", value);
        }
        // All that there is comes, also what is older than what the client has had.
        let last_of = &mut self.clients[client].last_of;
        last_of.retain(|(_, to), _| *to != Target::Room(room));
    }

    /// A client hears an `error`: that is how members of a room are told that something is missing.
    pub fn miss_in_room(&mut self, id: usize, value: &Value) {
        let room = room_of(value);
        match room {
            Some(room) if value["code"] == "unknown" => self.misses(id, room, value),
            _ => self.wrong(id, "a strange error", value),
        }
    }

    /// A message of a room.
    pub fn receive_in_room(
        &mut self,
        id: usize,
        (room, number): (usize, usize),
        position: (String, u64),
        value: &Value,
    ) {
        let client = self.connections[id].client;
        if value["stream"].as_str() != Some(&format!("room:r{room}")) {
            return self.wrong(id, "a message of another room", value);
        }
        match self.connections[id].places.get_mut(&room) {
            Some(Place::In { last, .. }) => {
                if last.0 == position.0 && last.1 >= position.1 {
                    return self.wrong(id, "an offset in a room that does not grow", value);
                }
                *last = position.clone();
            }
            Some(Place::Leaving) => {}
            Some(Place::Asked) | None => {
                return self.wrong(id, "a message of a room where it is not", value);
            }
        }
        let message = &self.ledger.messages[number];
        let own = self.connections[id].waiting.contains_key(&message.id);
        if !message.echo && own && message.attempts == 1 {
            return self.wrong(id, "an echo", value);
        }
        let user = self.clients[client].user;
        let body = value["body"]["n"].as_u64().unwrap_or(u64::MAX);
        let body = usize::try_from(body).unwrap_or(usize::MAX);
        let news = self.ledger.is_received(number, client, user, body);
        if news {
            self.check_order(id, number, value);
        } else if self.scenario.careful
            && !self.scenario.may_fork()
            && self.clients[client].catches_up
            && !self.clients[client].has_left.contains_key(&room)
        {
            self.wrong(id, "a repeat in a room", value);
        }
        if let Some(membership) = self.clients[client].rooms.get_mut(&room) {
            membership.position = Some(position);
        }
    }

    /// Somebody has come to a room, or left it.
    pub fn hear_who_is_there(&mut self, id: usize, joined: bool, value: &Value) {
        let me = self.clients[self.connections[id].client].user;
        let user: Option<usize> = value["user"]
            .as_str()
            .and_then(|u| u.strip_prefix('u')?.parse().ok());
        let (Some(room), Some(user)) = (room_of(value), user) else {
            return self.wrong(id, "strange news of a room", value);
        };
        if user == me || !self.connections[id].places.contains_key(&room) {
            return self.wrong(id, "news of a room that are not for it", value);
        }
        let there = |client: &Client| {
            let connection = client.connection.filter(|_| client.user == user);
            let place = connection.and_then(|id| self.connections[id].places.get(&room));
            matches!(place, Some(Place::In { since, .. }) if since + SURELY_THERE < self.now)
        };
        let leaves = |client: &Client| {
            let left = client.has_left.get(&room).filter(|_| client.user == user);
            left.is_some_and(|at| at + HASTY > self.now)
        };
        if !joined
            && !self.clients.iter().any(leaves)
            && self.scenario.careful
            && !self.scenario.may_fork()
            && self.clients.iter().any(there)
        {
            self.wrong(id, "somebody has left who is there", value);
        }
    }

    /// A client that has not what it should have of a room.
    pub fn who_misses(&self, room: usize, number: usize) -> Option<String> {
        let message = &self.ledger.messages[number];
        let mut clients = self.clients.iter().enumerate();
        let missing = clients.find(|(id, client)| {
            let wants = client.rooms.get(&room).is_some_and(|m| m.from <= number);
            let own = *id == message.client && !message.echo;
            wants && !own && !message.received.contains(id)
        });
        missing.map(|(id, client)| format!("client {id}, whose membership is {:?}", client.rooms))
    }

    /// Who is in which room is what its holders know, and nothing is left over.
    pub fn wrong_rooms(&self) -> Option<String> {
        let mut there: BTreeMap<RoomName, BTreeMap<UserId, BTreeSet<NodeId>>> = BTreeMap::new();
        let mut view = None;
        for pid in self.pids() {
            let process = self.process(pid)?;
            view.get_or_insert_with(|| process.dispatch.topology().view.clone());
            let reports = process.dispatch.room_reports();
            let mut members: BTreeMap<RoomName, BTreeSet<SessionId>> = BTreeMap::new();
            for id in &process.connections {
                let connection = &self.connections[*id];
                let client = &self.clients[connection.client];
                if connection.places.len() != client.rooms.len() {
                    return Some(format!(
                        "client {} is not where it wants to be",
                        connection.client
                    ));
                }
                for (room, place) in &connection.places {
                    if !matches!(place, Place::In { .. }) {
                        return Some(format!("connection {id} waits: {place:?} in r{room}"));
                    }
                    let name = room_name(*room);
                    let session = connection.session.as_ref()?.id();
                    members.entry(name.clone()).or_default().insert(session);
                    let users = there.entry(name).or_default();
                    let nodes = users.entry(user_id(client.user)).or_default();
                    nodes.insert(node_id(pid.machine));
                }
            }
            for (room, report) in &reports {
                let known: BTreeSet<_> = report.members.iter().copied().collect();
                let members = members.remove(room).unwrap_or_default();
                if known != members || report.restless {
                    return Some(format!(
                        "{pid:?} has of {room}, with {members:?}: {report:?}"
                    ));
                }
            }
            if !members.is_empty() {
                return Some(format!("{pid:?} knows nothing of {members:?}"));
            }
        }
        let view = view?;
        for pid in self.pids() {
            let mut reports = self.process(pid)?.dispatch.room_reports();
            for room in (0..self.scenario.rooms).map(room_name) {
                let mut holders = view.preference(room.as_str()).take(self.scenario.replicas);
                let holds = holders.any(|member| member.id == node_id(pid.machine));
                let known = reports.remove(&room).unwrap_or_default().roster.into_iter();
                let known: BTreeMap<_, BTreeSet<_>> = known
                    .map(|(user, nodes)| (user, nodes.into_iter().collect()))
                    .collect();
                let there = there.get(&room).cloned().unwrap_or_default();
                let wanted = if holds { there } else { BTreeMap::new() };
                if known != wanted {
                    return Some(format!(
                        "{pid:?} (holds it: {holds}) takes for {room} {known:?}, but {wanted:?} \
                         are there"
                    ));
                }
            }
        }
        None
    }
}
