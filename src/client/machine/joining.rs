//! Joining rooms and leaving them, and joining them again on each new connection.

use std::time::Instant;

use rand::RngExt as _;

use super::requests::Kind;
use super::{Machine, Output, Phase, Reply, RequestNumber, after};
use crate::client::error::{Failure, SendError};
use crate::client::event::{Event, Message, Position};
use crate::client::messages::{self, JoinReply};

impl Machine {
    /// Joins a room, or says that it is in it still. Without `since` a room that the program is in
    /// already goes on where it was.
    pub fn join(
        &mut self,
        id: &str,
        room: &str,
        since: Option<&Position>,
    ) -> Result<RequestNumber, SendError> {
        let text = messages::join(id, room, since.or_else(|| self.rooms.arrived(room)));
        let kind = Kind::Join {
            room: room.to_owned(),
            rewinds: since.is_some(),
        };
        self.add(id, text.into(), true, kind)
    }

    /// Leaves a room. Nothing of it is handed over from here on.
    pub fn leave(
        &mut self,
        now: Instant,
        id: &str,
        room: &str,
    ) -> Result<RequestNumber, SendError> {
        let text = messages::leave(id, room);
        let kind = Kind::Leave {
            room: room.to_owned(),
        };
        let number = self.add(id, text.into(), true, kind)?;
        if self.rooms.leave(room) {
            self.forget_waiting(now, room);
        }
        Ok(number)
    }

    /// What the program has been given of a room that it is in.
    pub fn room_position(&self, room: &str) -> Option<&Position> {
        self.rooms.handed(room)
    }

    /// Drops what waits for the program of a room.
    fn forget_waiting(&mut self, now: Instant, room: &str) {
        let made_room = self.events.forget_room(room);
        self.read_again(now, made_room);
        self.ack_handed(now);
    }

    /// Asks on the current connection for all rooms in which it does not have the client.
    pub(super) fn ask_for_rooms(&mut self) {
        if self.phase != Phase::Running {
            return;
        }
        while let Some(current) = &self.current {
            let id = format!("{:032x}", self.random.random::<u128>());
            let Some(text) = self.rooms.ask(&id, current.message_bytes_max) else {
                return;
            };
            let output = Output::Write(current.connection, text.into());
            self.outputs.push_back(output);
        }
    }

    pub(super) fn rooms_due(&self) -> Option<Instant> {
        self.rooms.retry_at().filter(|_| self.current.is_some())
    }

    /// The current connection answers a join.
    pub(super) fn joined(&mut self, now: Instant, id: &str, reply: JoinReply, text: &str) {
        if let Some(rooms) = self.rooms.answered(id) {
            return self.rejoined(now, rooms, reply, text);
        }
        let Some((number, request)) = self.requests.settle(id) else {
            return;
        };
        let outcome = match (request.kind, reply) {
            (Kind::Join { room, rewinds }, JoinReply::One(joined)) => {
                if !self.requests.leaves_after(number, &room) {
                    if rewinds && self.rooms.has(&room) {
                        self.forget_waiting(now, &room);
                    }
                    self.rooms.join(&room, joined.position.clone(), rewinds);
                }
                Ok(Reply::Joined(joined))
            }
            (Kind::Join { .. } | Kind::Leave { .. } | Kind::Other, _) => {
                Err(SendError::Failed(Box::new(Failure::odd(text))))
            }
        };
        self.outputs.push_back(Output::Settle(number, outcome));
    }

    fn rejoined(&mut self, now: Instant, rooms: Vec<String>, reply: JoinReply, text: &str) {
        let mut outcomes = match reply {
            JoinReply::All(outcomes) => outcomes,
            JoinReply::One(_) => Vec::new(),
        };
        for room in rooms {
            let place = outcomes.iter().position(|(name, _)| *name == room);
            match place.map(|place| outcomes.swap_remove(place).1) {
                Some(Ok(joined)) => {
                    if self.rooms.rejoined(&room, &joined) && joined.recovered == Some(false) {
                        self.events.tell(Event::RoomGap { room });
                    }
                }
                Some(Err(failure)) => self.not_rejoined(now, room, failure),
                None => self.not_rejoined(now, room, Failure::odd(text)),
            }
        }
    }

    fn not_rejoined(&mut self, now: Instant, room: String, failure: Failure) {
        let again_at = failure.retry.then(|| self.room_backoff(now));
        if self.rooms.not_rejoined(&room, again_at) {
            self.events.tell(Event::NotRejoined { room, failure });
        }
    }

    fn room_backoff(&mut self, now: Instant) -> Instant {
        let random = self.random.random();
        after(now, self.rooms.backoff(random))
    }

    /// The current connection refuses a request; says whether it was a list of rooms.
    pub(super) fn rooms_refused(&mut self, now: Instant, id: &str, failure: &Failure) -> bool {
        let Some(rooms) = self.rooms.answered(id) else {
            return false;
        };
        for room in rooms {
            self.not_rejoined(now, room, failure.clone());
        }
        true
    }

    /// A join of a room was refused. If the client was in it before, it may not be any more.
    pub(super) fn join_refused(&mut self, now: Instant, room: &str, failure: &Failure) {
        if failure.retry && self.rooms.has(room) {
            let again_at = self.room_backoff(now);
            self.rooms.fell_out(room, again_at);
        }
    }

    /// A message of a room; `false` if it had been seen.
    pub(super) fn room_message(&mut self, message: Message) -> bool {
        let room = message.room().unwrap_or_default().to_owned();
        if !self.rooms.has(&room) {
            // Unless it is on its way out of it, a node may have its reasons to have it in the room.
            return self.requests.leaves_after(0, &room) || self.events.other_message(message);
        }
        let new = self.rooms.message(&room, &message);
        if new {
            self.events.tell(Event::Message(message));
        }
        new
    }

    /// A message that was handed over counts for its room.
    pub(super) fn room_message_taken(&mut self, event: &Event) {
        if let Event::Message(message) = event
            && let (Some(room), Some(position)) = (message.room(), &message.position)
        {
            self.rooms.hand(room, position);
        }
    }
}
