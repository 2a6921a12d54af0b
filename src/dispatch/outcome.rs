//! Telling those who asked what became of it.

use super::{Dispatch, Origin, Path};
use crate::core::peer::{Answer, Outcome, Reply};
use crate::core::protocol::{Receipt, Reply as Told};
use crate::error::ErrorCode;
use crate::id::{NodeId, RoomName};

impl Dispatch {
    /// Tells whoever wants to know what became of a request.
    pub(super) fn settle(&self, origin: Option<Origin>, outcome: Outcome) {
        if let Some(origin) = origin {
            self.settle_with(origin, outcome, Answer::None, None);
        }
    }

    /// As [`Self::settle`], of a request that went, or was to go, to that node.
    pub(super) fn settle_by(&self, origin: Option<Origin>, outcome: Outcome, by: &NodeId) {
        if let Some(origin) = origin {
            self.settle_with(origin, outcome, Answer::None, Some(by));
        }
    }

    /// As [`Self::settle`], with what goes with the outcome, and the node that was asked. No shard's
    /// lock is held.
    pub(super) fn settle_with(
        &self,
        origin: Origin,
        outcome: Outcome,
        answer: Answer,
        by: Option<&NodeId>,
    ) {
        let path = by.map_or(Path::Local, |_| Path::Hop);
        self.settle_on(Some(path), origin, outcome, answer, by);
    }

    /// As [`Self::settle_with`], of a message that has taken that path; `None` if it was counted
    /// before.
    fn settle_on(
        &self,
        path: Option<Path>,
        origin: Origin,
        outcome: Outcome,
        answer: Answer,
        by: Option<&NodeId>,
    ) {
        match origin {
            Origin::Session { session, id, taken } => {
                let code = self.error_of(outcome);
                self.unkept_settled(taken, path.filter(|_| code.is_none()));
                session.tell(&Told::Receipt {
                    id: &id,
                    receipt: &code.map_or(Receipt::Sent, Into::into),
                });
            }
            Origin::Backend { pending, taken } => {
                let code = self.error_of(outcome);
                self.unkept_settled(taken, path.filter(|_| code.is_none()));
                pending.settle(code.map_or(Receipt::Sent, Into::into));
            }
            Origin::Traced { origin, span } => {
                self.trace_end(Some(span), outcome);
                self.settle_on(path, *origin, outcome, answer, by);
            }
            Origin::Peer { replies, seq } => replies.push(Reply {
                seq,
                outcome,
                answer,
            }),
            Origin::Guests(copies) => {
                if outcome == Outcome::Done {
                    (self.timings).delivered(Path::Guest, self.since(copies.sent));
                }
                if let Some((origin, outcome)) = copies.answered(outcome) {
                    self.settle_on(None, origin, outcome, Answer::None, by);
                }
            }
            Origin::Registration {
                key,
                session,
                nonce,
            } => self.registration_answered(&key, (session, nonce), by, outcome, &answer),
            Origin::Append(ticket) => {
                let now = self.since_start();
                let settled =
                    (self.shard(&ticket.to).lanes).outcome(now, &ticket, outcome, &answer);
                self.tell_sender(settled, Some(Path::Hop));
            }
            Origin::Stream { about, sent } => {
                if let (Some(sent), Outcome::Done) = (sent, outcome) {
                    self.timings.replication.record(self.since(sent));
                }
                if let Some(by) = by {
                    self.stream_settled(by, about, outcome, answer);
                }
            }
            Origin::Delivery {
                key,
                session,
                nonce,
                position,
                sent,
            } => {
                if outcome == Outcome::Done {
                    (self.timings).delivered(Path::Guest, self.since(sent));
                }
                if let Some(by) = by {
                    self.delivery_answered(by, &key, (session, nonce), position, outcome);
                }
            }
            Origin::History {
                key,
                session,
                number,
            } => {
                let history = match answer {
                    Answer::History(history) => Some(*history),
                    _ => None,
                };
                self.history_answered(&key, (session, number), history);
            }
            Origin::Members { room, number } => {
                if let Some(by) = by {
                    self.members_answered(by, &room, number, outcome);
                }
            }
            Origin::Watch { key, number } => {
                let count = match answer {
                    Answer::Count(count) => Some(count),
                    _ => None,
                };
                self.watch_answered(&key, number, count);
            }
            Origin::Roster { session, id, room } => {
                session.tell(&roster_told(&id, &room, &answer));
            }
            Origin::Consent(question) => self.consent_answered(&question, outcome, answer),
            // It may have given up.
            Origin::Task(asker) => drop(asker.send((outcome, answer))),
            Origin::Presence { gather, users } => match (outcome, answer) {
                (Outcome::Done, Answer::Online(online)) => gather.answered(&users, Some(&online)),
                _ => gather.answered(&users, None),
            },
        }
    }

    /// What a client is told of an outcome; `None` for success.
    pub(super) fn error_of(&self, outcome: Outcome) -> Option<ErrorCode> {
        let (code, counter) = match outcome {
            Outcome::Done => return None,
            Outcome::Offline => (ErrorCode::Offline, &self.counters.offline),
            Outcome::Unknown => (ErrorCode::Unknown, &self.counters.unknown),
            Outcome::InboxFull => (ErrorCode::InboxFull, &self.counters.messages_inbox_full),
            Outcome::RateLimited => (
                ErrorCode::RateLimited,
                &self.counters.messages_over_room_rate,
            ),
            Outcome::Unreachable
            | Outcome::TooMany
            | Outcome::NotOwner
            | Outcome::Busy
            | Outcome::OutOfOrder
            | Outcome::Outdated
            | Outcome::Diverged => (ErrorCode::Unreachable, &self.counters.unreachable),
        };
        counter.add();
        Some(code)
    }
}

/// What a client is told that asked who is in a room.
fn roster_told<'a>(id: &'a str, room: &'a RoomName, answer: &'a Answer) -> Told<'a> {
    if let Answer::Roster(page) = answer {
        Told::RoomPresence { id, room, page }
    } else {
        Told::Failed {
            id,
            code: ErrorCode::Unreachable,
            message: "the room's node did not answer",
        }
    }
}
