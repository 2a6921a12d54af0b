//! The client as a state machine, with no clock and no socket.
//!
//! Inputs are what the program asks for, what connections say, and the time. Outputs are what is to
//! be done with connections, and replies; events wait in a queue until the program takes them.
//!
//! There are up to three connections: the *current* one; one that is being made by the *attempt*,
//! instead of the current one or beside it; and one that is *leaving*, on which only receipts are
//! waited for. The attempt becomes the current connection with its `welcome`, and no sooner.

mod acks;
mod connecting;
mod events;
mod incoming;
mod joining;
mod liveness;
mod requests;
mod rooms;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::address::Target;
use super::error::{Error, SendError};
use super::event::{Event, Joined, Position, Receipt, RoomPage, Stats};
use super::messages;
use super::options::Options;
use acks::Acks;
use connecting::{Attempt, Current, Leaving, Route};
use events::Events;
pub(super) use requests::RequestNumber;
use requests::{Kind, Requests};
use rooms::Rooms;

/// One connection of this client; a number is used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ConnectionId(u64);

/// What a connection says.
#[derive(Debug)]
pub(super) enum Input<'a> {
    /// It was not made: an answer with 307, and where to.
    Redirected(String),
    /// It was not made.
    Failed(Error),
    /// Bytes have come.
    Heard,
    /// A text message.
    Text(&'a str),
    /// The server closed it, with this code and reason.
    Closed(u16, String),
    /// It has ended in any other way.
    Broken(String),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    /// Make a connection.
    Connect {
        connection: ConnectionId,
        target: Target,
        /// With the query.
        path: String,
        /// Whether this node was given by the program, and may see its token.
        given: bool,
    },
    /// Send a text message.
    Write(ConnectionId, Arc<str>),
    /// Send an unasked pong.
    Pong(ConnectionId),
    /// Close with 1000, after what was written. Nothing it says matters any more.
    Close(ConnectionId),
    /// Drop it as it is.
    Drop(ConnectionId),
    /// A request has its outcome.
    Settle(RequestNumber, Result<Reply, SendError>),
}

/// What a request is answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    Receipt(Receipt),
    Joined(Joined),
    Left,
    Presence(HashMap<String, bool>),
    RoomPage(RoomPage),
}

/// No wait is longer, so that no time that somebody names can overflow.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// So much later.
fn after(now: Instant, wait: Duration) -> Instant {
    now + wait.min(WAIT_MAX)
}

/// Whether the client goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    Running,
    /// The program wants it closed: no new requests, and at the latest by then.
    Closing(Instant),
    Ended(Error),
}

/// The client.
#[derive(Debug)]
pub(super) struct Machine {
    options: Options,
    random: StdRng,
    phase: Phase,
    route: Route,
    current: Option<Current>,
    attempt: Attempt,
    leaving: Option<Leaving>,
    connections: u64,
    welcomed: bool,
    requests: Requests,
    events: Events,
    rooms: Rooms,
    acks: Acks,
    stats: Stats,
    outputs: VecDeque<Output>,
}

impl Machine {
    /// A client of these nodes, which begins to connect with the next [`Self::tick`].
    pub fn new(now: Instant, nodes: Vec<Target>, options: Options, seed: u64) -> Self {
        assert!(!nodes.is_empty(), "a client knows a node at least");
        Self {
            random: StdRng::seed_from_u64(seed),
            phase: Phase::Running,
            route: Route::new(nodes, &options),
            current: None,
            attempt: Attempt::Waiting(now),
            leaving: None,
            connections: 0,
            welcomed: false,
            requests: Requests::default(),
            events: Events::new(
                options.events_ahead,
                options.seen_max,
                options.resume.clone(),
            ),
            rooms: Rooms::new(options.seen_max),
            acks: Acks::default(),
            stats: Stats::default(),
            outputs: VecDeque::new(),
            options,
        }
    }

    /// Sends a request, or keeps it until there is a connection. `repeatable`: it may be sent again
    /// after a break.
    pub fn request(
        &mut self,
        id: &str,
        text: Arc<str>,
        repeatable: bool,
    ) -> Result<RequestNumber, SendError> {
        self.add(id, text, repeatable, Kind::Other)
    }

    fn add(
        &mut self,
        id: &str,
        text: Arc<str>,
        repeatable: bool,
        kind: Kind,
    ) -> Result<RequestNumber, SendError> {
        match &self.phase {
            Phase::Running => {}
            Phase::Closing(_) => return Err(SendError::NotSent(Error::ByProgram)),
            Phase::Ended(error) => return Err(SendError::NotSent(error.clone())),
        }
        let number = self.requests.add(id, text, repeatable, kind);
        let number = number.ok_or(SendError::IdInUse)?;
        self.write(number);
        Ok(number)
    }

    /// Hands the next event over.
    pub fn take_event(&mut self, now: Instant) -> Option<Event> {
        let taken = self.events.take()?;
        self.read_again(now, taken.made_room);
        self.room_message_taken(&taken.event);
        self.ack_handed(now);
        Some(taken.event)
    }

    /// Who has not read has not heard either.
    fn read_again(&mut self, now: Instant, made_room: bool) {
        if made_room && let Some(current) = &mut self.current {
            current.liveness.heard(now);
        }
    }

    fn ack_handed(&mut self, now: Instant) {
        if self.options.auto_ack
            && let Some(position) = self.events.take_to_ack()
        {
            self.acks.want(now, position);
        }
    }

    /// The program is done with everything up to here.
    pub fn ack(&mut self, now: Instant, position: Position) {
        self.acks.want(now, position);
    }

    /// Ends the client once all requests have their replies, or the time for that is over.
    pub fn close(&mut self, now: Instant) {
        if self.phase == Phase::Running {
            self.phase = Phase::Closing(after(now, self.options.close_timeout));
            self.close_if_done();
        }
    }

    /// Something about a connection. What is said of one that is not wanted any more is ignored.
    pub fn handle(&mut self, now: Instant, connection: ConnectionId, input: Input<'_>) {
        if self.is_current(connection) {
            self.current_says(now, input);
        } else if let Attempt::Running(trial) = &self.attempt
            && trial.connection == connection
        {
            let trial = trial.clone();
            self.trial_says(now, trial, input);
        } else if self.is_leaving(connection) {
            self.leaving_says(now, input);
        }
        self.close_if_done();
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        match self.phase {
            Phase::Ended(_) => return,
            Phase::Closing(by) if by <= now => return self.finish(Error::ByProgram),
            Phase::Running | Phase::Closing(_) => {}
        }
        self.tick_connections(now);
        if self.rooms_due().is_some_and(|due| due <= now) {
            self.ask_for_rooms();
        }
        self.write_due_ack(now);
        self.close_if_done();
    }

    /// When [`Self::tick`] has something to do.
    pub fn next_deadline(&self) -> Option<Instant> {
        let close_by = match self.phase {
            Phase::Ended(_) => return None,
            Phase::Closing(by) => Some(by),
            Phase::Running => None,
        };
        let ack = self.acks.due().filter(|_| self.current.is_some());
        let deadlines = [close_by, ack, self.rooms_due(), self.connections_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// The next thing to do; to be called until there is none.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether connections are to be read from. While the client is being closed nothing is kept
    /// for the program, so receipts can be read however much waits.
    pub fn reads(&self) -> bool {
        self.events.has_room() || matches!(self.phase, Phase::Closing(_))
    }

    /// Whether there is an event to take.
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether there ever was a connection.
    pub fn was_welcomed(&self) -> bool {
        self.welcomed
    }

    /// Why the client has ended, if it has.
    pub fn end(&self) -> Option<&Error> {
        match &self.phase {
            Phase::Ended(error) => Some(error),
            Phase::Running | Phase::Closing(_) => None,
        }
    }

    /// What the program has been given.
    pub fn position(&self) -> Option<&Position> {
        self.events.handed()
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Writes a request to the current connection, if there is one.
    fn write(&mut self, number: RequestNumber) {
        let Some(current) = &self.current else {
            return;
        };
        let Some(request) = self.requests.get_mut(number) else {
            return;
        };
        let (bytes, bytes_max) = (request.text.len(), current.message_bytes_max);
        if bytes > bytes_max {
            // An earlier node, with another limit, may have accepted it.
            let definite = request.written.is_none();
            self.requests.remove(number);
            let error = SendError::TooLarge {
                bytes,
                bytes_max,
                definite,
            };
            self.outputs.push_back(Output::Settle(number, Err(error)));
            return;
        }
        request.repeated = request.written.is_some();
        request.written = Some(current.connection);
        let text = Arc::clone(&request.text);
        let output = Output::Write(current.connection, text);
        self.outputs.push_back(output);
    }

    fn write_due_ack(&mut self, now: Instant) {
        if let Some(current) = &self.current
            && let Some(position) = self.acks.take(now)
        {
            let text = messages::ack(&position).into();
            self.outputs
                .push_back(Output::Write(current.connection, text));
        }
    }

    /// Requests whose only connection is gone have an outcome that nobody knows.
    fn settle_lost(&mut self, connection: ConnectionId, error: &Error) {
        for number in self.requests.lost_with(connection) {
            let outcome = Err(SendError::Unknown(error.clone()));
            self.outputs.push_back(Output::Settle(number, outcome));
        }
    }

    fn close_if_done(&mut self) {
        if matches!(self.phase, Phase::Closing(_)) && self.requests.is_empty() {
            self.finish(Error::ByProgram);
        }
    }

    /// The end: the last ack, all connections closed, all requests settled.
    fn finish(&mut self, error: Error) {
        if let Some(current) = self.current.take() {
            if let Some(position) = self.acks.take_early() {
                let text = messages::ack(&position).into();
                self.outputs
                    .push_back(Output::Write(current.connection, text));
            }
            self.outputs.push_back(Output::Close(current.connection));
        }
        if let Some(leaving) = self.leaving.take() {
            self.outputs.push_back(Output::Close(leaving.connection));
        }
        if let Attempt::Running(trial) = std::mem::replace(&mut self.attempt, Attempt::None) {
            self.outputs.push_back(Output::Drop(trial.connection));
        }
        for (number, written) in self.requests.take_all() {
            let outcome = if written {
                SendError::Unknown(error.clone())
            } else {
                SendError::NotSent(error.clone())
            };
            self.outputs.push_back(Output::Settle(number, Err(outcome)));
        }
        if error != Error::ByProgram {
            self.events.last(Event::Ended(error.clone()));
        }
        self.phase = Phase::Ended(error);
    }
}
