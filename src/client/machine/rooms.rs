//! The rooms that the program is in, and how far it has come in each.
//!
//! Membership ends with the connection, so on each new one all rooms are asked for again, each from
//! where its messages had come to.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use super::seen::Seen;
use crate::client::event::{Joined, Message, Position};
use crate::client::messages;
use crate::core::backoff::Backoff;

/// Between tries to join again what could not be joined, with full jitter. A guess: whoever takes a
/// room over needs about a second.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// What a list of rooms takes beside the rooms, in bytes, at most.
const LIST_BYTES: usize = 128;

/// All of them. How many there may be is for the nodes to say.
#[derive(Debug)]
pub(super) struct Rooms {
    by_name: BTreeMap<String, Room>,
    /// Lists that were asked for on the current connection and not answered, by the id of the join.
    asked: HashMap<String, Vec<String>>,
    backoff: Backoff,
    /// When those that could not be joined are asked for again.
    retry_at: Option<Instant>,
    seen_max: usize,
}

/// A room that was joined, on whichever connection.
#[derive(Debug)]
struct Room {
    stage: Stage,
    seen: Seen,
    arrived: Position,
    handed: Position,
    /// Its messages with a position that wait in the queue.
    waiting: usize,
}

/// How the current connection stands to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Out,
    /// Asked for; `came`: messages with a position have come since.
    Asked {
        came: bool,
    },
    In,
}

impl Rooms {
    pub fn new(seen_max: usize) -> Self {
        Self {
            by_name: BTreeMap::new(),
            asked: HashMap::new(),
            backoff: Backoff::new(RETRY_MIN, RETRY_MAX),
            retry_at: None,
            seen_max,
        }
    }

    pub fn has(&self, room: &str) -> bool {
        self.by_name.contains_key(room)
    }

    /// Whether what others do in it is told by the current connection.
    pub fn is_in(&self, room: &str) -> bool {
        let room = self.by_name.get(room);
        room.is_some_and(|room| room.stage == Stage::In)
    }

    /// Where a join has to go on. What waits in the queue is not needed again.
    pub fn arrived(&self, room: &str) -> Option<&Position> {
        self.by_name.get(room).map(|room| &room.arrived)
    }

    /// What the program has been given.
    pub fn handed(&self, room: &str) -> Option<&Position> {
        self.by_name.get(room).map(|room| &room.handed)
    }

    /// The program has joined a room. One that it is in already goes on, unless it `rewinds`.
    pub fn join(&mut self, name: &str, position: Position, rewinds: bool) {
        if !rewinds && let Some(room) = self.by_name.get_mut(name) {
            room.stage = Stage::In;
            room.reach(position);
            return;
        }
        let room = Room {
            stage: Stage::In,
            seen: Seen::new(self.seen_max),
            arrived: position.clone(),
            handed: position,
            waiting: 0,
        };
        self.by_name.insert(name.to_owned(), room);
    }

    /// The program is not in it any more; says whether it was.
    pub fn leave(&mut self, room: &str) -> bool {
        self.by_name.remove(room).is_some()
    }

    /// A message of a room that the program is in; `false` if it had been seen. Its position counts
    /// in any case.
    pub fn message(&mut self, name: &str, message: &Message) -> bool {
        let Some(room) = self.by_name.get_mut(name) else {
            return false;
        };
        let new = room.seen.insert(&message.from, &message.id);
        if let Some(position) = &message.position {
            room.waiting += usize::from(new);
            room.reach(position.clone());
            if let Stage::Asked { came } = &mut room.stage {
                *came = true;
            }
        }
        new
    }

    /// The program has been given a message with that position.
    pub fn hand(&mut self, name: &str, position: &Position) {
        if let Some(room) = self.by_name.get_mut(name) {
            room.waiting = room.waiting.saturating_sub(1);
            room.handed = if room.waiting == 0 {
                room.arrived.clone()
            } else {
                position.clone()
            };
        }
    }

    /// There is another connection, or none.
    pub fn disconnected(&mut self) {
        for room in self.by_name.values_mut() {
            room.stage = Stage::Out;
        }
        self.asked.clear();
        self.retry_at = None;
    }

    /// The next list of rooms to be asked for on the current connection, with all that fit into so
    /// many bytes; `None` if all are asked for.
    pub fn ask(&mut self, id: &str, bytes_max: usize) -> Option<String> {
        self.retry_at = None;
        let out = self.by_name.iter_mut();
        let out = out.filter(|(_, room)| room.stage == Stage::Out);
        let (mut names, mut items, mut bytes) = (Vec::new(), Vec::new(), LIST_BYTES);
        for (name, room) in out {
            let item = messages::room_to_join(name, Some(&room.arrived));
            bytes += item.len() + 1;
            if bytes > bytes_max && !items.is_empty() {
                break;
            }
            room.stage = Stage::Asked { came: false };
            names.push(name.clone());
            items.push(item);
        }
        if items.is_empty() {
            return None;
        }
        self.asked.insert(id.to_owned(), names);
        Some(messages::join_all(id, &items))
    }

    /// Whether some were asked for that have no answer.
    pub fn is_asking(&self) -> bool {
        !self.asked.is_empty()
    }

    /// A list has its answer: the rooms in it.
    pub fn answered(&mut self, id: &str) -> Option<Vec<String>> {
        self.asked.remove(id)
    }

    /// A room that was asked for is joined; says whether it waited for that.
    pub fn rejoined(&mut self, name: &str, joined: &Joined) -> bool {
        let Some((room, came)) = self.asked_room(name) else {
            return false;
        };
        room.stage = Stage::In;
        // Messages have come further, perhaps into another epoch.
        if !came {
            room.reach(joined.position.clone());
        }
        self.backoff.reset();
        true
    }

    /// A room that was asked for could not be joined: it is asked for again, or forgotten; says
    /// whether it waited for that.
    pub fn not_rejoined(&mut self, name: &str, again_at: Option<Instant>) -> bool {
        let Some((room, _)) = self.asked_room(name) else {
            return false;
        };
        room.stage = Stage::Out;
        match again_at {
            Some(at) => self.retry_at = Some(self.retry_at.map_or(at, |earlier| earlier.min(at))),
            None => {
                self.leave(name);
            }
        }
        true
    }

    fn asked_room(&mut self, name: &str) -> Option<(&mut Room, bool)> {
        let room = self.by_name.get_mut(name)?;
        match room.stage {
            Stage::Asked { came } => Some((room, came)),
            Stage::Out | Stage::In => None,
        }
    }

    /// The node does not have the client in it any more, as it says when a join fails.
    pub fn fell_out(&mut self, name: &str, again_at: Instant) {
        if let Some(room) = self.by_name.get_mut(name) {
            room.stage = Stage::Out;
            self.retry_at = Some(self.retry_at.map_or(again_at, |at| at.min(again_at)));
        }
    }

    /// How long to wait before the next try.
    pub fn backoff(&mut self, random: u32) -> Duration {
        self.backoff.next(random)
    }

    /// When some are to be asked for again.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }
}

impl Room {
    /// Everything up to there has come.
    fn reach(&mut self, position: Position) {
        self.arrived = self.arrived.clone().or_further(position);
        if self.waiting == 0 {
            self.handed = self.arrived.clone();
        }
    }
}
