//! A wish to be in rooms, on its way to its answer.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::sync::oneshot;

use super::{Dispatch, Session, locked};
use crate::core::protocol::Reply;
use crate::core::protocol::request::{Join, JoinRoom};
use crate::core::rooms;
use crate::error::ErrorCode;
use crate::id::RoomName;

/// Some rooms that are asked for together.
#[derive(Debug)]
struct JoinRequest {
    session: Arc<Session>,
    answer: JoinAnswer,
    rooms: Vec<RoomName>,
    deadline: Instant,
    outcomes: Mutex<Vec<Option<Joined>>>,
}

/// Who is told what became of a `join`.
#[derive(Debug)]
pub(super) enum JoinAnswer {
    /// The client.
    Client {
        /// Of its request.
        id: Box<str>,
        /// The answer is about one room, not a list.
        single: bool,
    },
    /// The program, which asks for one room at a time.
    Program(Mutex<Option<oneshot::Sender<Result<(), ErrorCode>>>>),
}

type Joined = Result<rooms::Joined, ErrorCode>;

/// One room of a `join`. If it is dropped before it is settled nobody knows what became of it.
#[derive(Debug)]
pub(super) struct Ticket {
    request: Arc<JoinRequest>,
    index: usize,
}

impl Ticket {
    /// If it is too late for it, the session leaves the room, and then hears of that: it may join again at
    /// once. Says whether it is.
    pub fn give_up(&self, now: Instant) -> bool {
        let late = self.request.deadline <= now;
        if late {
            self.request.session.leave(&self.request.rooms[self.index]);
            self.settle(Err(ErrorCode::Unreachable));
        }
        late
    }

    /// Gives the room its outcome, if there is one, and says whether all rooms have one and the `join` is
    /// answered by that.
    pub fn let_in(&self, outcome: Option<rooms::Joined>) -> bool {
        if let Some(joined) = outcome {
            self.settle(Ok(joined));
        }
        locked(&self.request.outcomes).iter().all(Option::is_some)
    }

    pub fn settle(&self, outcome: Joined) {
        let JoinRequest {
            session,
            answer,
            rooms,
            ..
        } = &*self.request;
        let mut outcomes = locked(&self.request.outcomes);
        if outcomes[self.index].is_some() {
            return;
        }
        outcomes[self.index] = Some(outcome);
        let done: Vec<_> = rooms
            .iter()
            .zip(outcomes.iter())
            .filter_map(|(room, outcome)| outcome.map(|outcome| (room, outcome)))
            .collect();
        if done.len() < rooms.len() {
            return;
        }
        let (id, single) = match answer {
            JoinAnswer::Client { id, single } => (id, *single),
            JoinAnswer::Program(answer) => {
                if let Some(answer) = locked(answer).take() {
                    // The program may not wait for it.
                    let _ = answer.send(outcome.map(|_| ()));
                }
                return;
            }
        };
        session.tell(&match done[..] {
            [(_, Ok((position, recovered)))] if single => Reply::Joined {
                id,
                position,
                recovered,
            },
            [(_, Err(code))] if single => Reply::Failed {
                id,
                code,
                message: code.message(),
            },
            _ => Reply::JoinedAll { id, rooms: &done },
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.settle(Err(ErrorCode::Unknown));
    }
}

impl Dispatch {
    /// A client wants to be in some rooms. The answer goes to its outbox, now or later.
    pub fn join_rooms(&self, session: &Arc<Session>, join: Join<'_>) {
        self.join_rooms_but(session, join, &[]);
    }

    /// As [`Self::join_rooms`], without those of its rooms that are refused, each in its place.
    pub fn join_rooms_but(
        &self,
        session: &Arc<Session>,
        join: Join<'_>,
        refused: &[Option<ErrorCode>],
    ) {
        if !join.single && !refused.is_empty() && refused.iter().all(Option::is_some) {
            // There is nothing to wait for.
            let outcomes = join.rooms.iter().zip(refused);
            let outcomes = outcomes.filter_map(|(join, code)| Some((&join.room, Err((*code)?))));
            session.tell(&Reply::JoinedAll {
                id: &join.id,
                rooms: &outcomes.collect::<Vec<_>>(),
            });
            return;
        }
        let answer = JoinAnswer::Client {
            id: Box::from(&*join.id),
            single: join.single,
        };
        if let Err(max) = self.join_all(session, join.rooms, answer, refused) {
            session.tell(&Reply::Failed {
                id: &join.id,
                code: ErrorCode::NotAllowed,
                message: &format!("at most {max} rooms in one session"),
            });
        }
    }

    /// Joins all rooms that are not refused, or none: it may be in so many.
    pub(super) fn join_all(
        &self,
        session: &Arc<Session>,
        joins: Vec<JoinRoom>,
        answer: JoinAnswer,
        refused: &[Option<ErrorCode>],
    ) -> Result<(), usize> {
        let refusal = |index: usize| refused.get(index).copied().flatten();
        let max = self.config.rooms.per_session_max;
        let (entered, outcomes): (Vec<_>, Vec<_>) = (joins.iter().enumerate())
            .map(|(index, join)| match refusal(index) {
                Some(code) => (None, Some(Err(code))),
                None => (Some(join.room.clone()), None),
            })
            .unzip();
        let entered: Vec<RoomName> = entered.into_iter().flatten().collect();
        if !session.enter(&entered, max) {
            self.counters.rooms_over_limit.add();
            return Err(max);
        }
        let request = Arc::new(JoinRequest {
            session: Arc::clone(session),
            answer,
            outcomes: Mutex::new(outcomes),
            rooms: joins.iter().map(|join| join.room.clone()).collect(),
            deadline: self.deadline(),
        });
        for (index, join) in joins.into_iter().enumerate() {
            if refusal(index).is_some() {
                continue;
            }
            let ticket = Ticket {
                request: Arc::clone(&request),
                index,
            };
            self.join_room(session, &join.room, join.since, ticket);
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "joining_tests.rs"]
mod tests;
