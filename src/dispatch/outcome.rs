//! Telling those who asked what became of it.

use super::{Dispatch, Origin};
use crate::core::peer::{Outcome, Reply};
use crate::core::protocol::reply;
use crate::error::ErrorCode;
use crate::id::NodeId;

impl Dispatch {
    /// Tells whoever wants to know what became of a request.
    pub(super) fn settle(&self, origin: Option<Origin>, outcome: Outcome) {
        if let Some(origin) = origin {
            self.settle_with(origin, outcome, &[], None);
        }
    }

    /// As [`Self::settle`], with the answer of a presence query, and the node that gave it.
    pub(super) fn settle_with(
        &self,
        origin: Origin,
        outcome: Outcome,
        online: &[bool],
        by: Option<&NodeId>,
    ) {
        match origin {
            Origin::Session { session, id } => {
                let receipt = match self.error_of(outcome) {
                    None => reply::sent(&id),
                    Some(code) => reply::failed(&id, code, code.message()),
                };
                session.push_text(&receipt);
            }
            Origin::Peer { replies, seq } => replies.push(Reply {
                seq,
                outcome,
                online: online.to_vec(),
            }),
            Origin::Guests(copies) => {
                if let Some((origin, outcome)) = copies.answered(outcome) {
                    self.settle_with(origin, outcome, &[], by);
                }
            }
            Origin::Registration { user, session } => {
                let mut shard = self.shard(&user);
                let news = if let (Outcome::Done, Some(by)) = (outcome, by) {
                    shard.registered(&user, session, by)
                } else {
                    shard.registration_failed(&user, session);
                    None
                };
                drop(shard);
                if let Some(session) = news {
                    session.welcome();
                }
            }
            Origin::Presence { gather, users } => {
                let online = (outcome == Outcome::Done).then_some(online);
                gather.answered(&users, online);
            }
        }
    }

    /// What a client is told of an outcome; `None` for success.
    fn error_of(&self, outcome: Outcome) -> Option<ErrorCode> {
        let (code, counter) = match outcome {
            Outcome::Done => return None,
            Outcome::Offline => (ErrorCode::Offline, &self.counters.offline),
            Outcome::Unknown => (ErrorCode::Unknown, &self.counters.unknown),
            Outcome::Unreachable | Outcome::NotOwner => {
                (ErrorCode::Unreachable, &self.counters.unreachable)
            }
        };
        counter.add();
        Some(code)
    }
}
