//! Messages of this node's senders that have no outcome yet, in the order in which they came.
//!
//! A lane is what one session, or all backends in one user's name, send to one recipient. Each message
//! names the one before it that has no outcome either, and the owner takes it only behind that one: so the order holds however often
//! the owner changes. A message that was refused for now makes its lane wait a moment and then send
//! everything again, in order and under the same ids, as another *attempt*. To send a message twice
//! is safe: its id is recognised.

use std::collections::VecDeque;
use std::time::Duration;

use crate::core::map::Map;
use crate::core::peer::{Answer, Append, Outcome};
use crate::core::stream::{Message, MessageKey};
use crate::core::trace::TraceContext;
use crate::id::{SessionId, StreamKey};

/// How long a lane waits before it sends again, unless the view changes first.
const RETRY_AFTER: Duration = Duration::from_millis(50);

/// The lanes to some recipients; `S` is how a sender is reached.
#[derive(Debug)]
pub struct Lanes<S> {
    lanes: Map<(StreamKey, SessionId), Lane<S>>,
    /// That of the last message that came.
    number: u64,
}

#[derive(Debug)]
struct Lane<S> {
    /// In the order of their numbers.
    items: VecDeque<Item<S>>,
    attempt: u32,
    /// When everything is to be sent again.
    retry_at: Option<Duration>,
}

#[derive(Debug)]
struct Item<S> {
    number: u64,
    key: MessageKey,
    /// Who gets the receipt.
    sender: S,
    message: Message,
    /// The trace that it belongs to.
    trace: Option<Box<TraceContext>>,
    deadline: Duration,
    /// Attempts that are not answered yet.
    in_flight: u32,
    /// An attempt has ended without an answer: an owner may have appended it.
    maybe: bool,
}

/// A message on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// What to send.
    pub append: Append,
    /// Comes back with the outcome.
    pub ticket: Ticket,
}

/// Names an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The recipient.
    pub to: StreamKey,
    /// The sender.
    pub session: SessionId,
    /// That of the message: the same id may come again.
    number: u64,
    attempt: u32,
}

/// A message that has an outcome.
#[derive(Debug, PartialEq, Eq)]
pub struct Settled<S> {
    /// Its sender.
    pub sender: S,
    /// The message.
    pub message: Message,
    /// When it would have been given up.
    pub deadline: Duration,
    /// What became of it.
    pub receipt: Receipt,
}

/// What the sender of a message is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// All holders have it.
    Accepted {
        /// How many.
        copies: u8,
        /// It was there before.
        duplicate: bool,
    },
    /// It was not accepted, or nobody knows ([`Outcome::Unknown`]).
    Failed(Outcome),
}

impl<S> Default for Lanes<S> {
    fn default() -> Self {
        Self {
            lanes: Map::default(),
            number: 0,
        }
    }
}

impl<S> Lanes<S> {
    /// Takes a message. Returns what to send now, if its lane is not waiting.
    pub fn push(
        &mut self,
        to: &StreamKey,
        (session, sender): (SessionId, S),
        (message, trace): (Message, Option<Box<TraceContext>>),
        deadline: Duration,
    ) -> Option<Attempt> {
        let lane = (self.lanes.entry((to.clone(), session))).or_insert_with(|| Lane {
            items: VecDeque::with_capacity(1),
            attempt: 1,
            retry_at: None,
        });
        let previous = lane.items.back().map(|item| item.key);
        let now = lane.retry_at.is_none();
        self.number += 1;
        let item = Item {
            number: self.number,
            key: message.key(),
            sender,
            message,
            trace,
            deadline,
            in_flight: u32::from(now),
            maybe: false,
        };
        let attempt = now.then(|| item.attempt(to, session, lane.attempt, previous));
        lane.items.push_back(item);
        attempt
    }

    /// An attempt has an outcome. Returns the message if that settles it.
    pub fn outcome(
        &mut self,
        now: Duration,
        ticket: &Ticket,
        outcome: Outcome,
        answer: &Answer,
    ) -> Option<Settled<S>> {
        let key = (ticket.to.clone(), ticket.session);
        let (place, _, lane) = self.lanes.get_full_mut(&key)?;
        let number = |item: &Item<S>| item.number;
        let index = lane.items.binary_search_by_key(&ticket.number, number);
        let index = index.ok()?;
        let current = ticket.attempt == lane.attempt;
        let item = &mut lane.items[index];
        item.in_flight = item.in_flight.saturating_sub(1);
        let receipt = match (outcome, answer) {
            (Outcome::Done, Answer::Accepted { copies, duplicate }) => Receipt::Accepted {
                copies: *copies,
                duplicate: *duplicate,
            },
            // Only if no owner can have it from another attempt is that the end of it.
            (Outcome::InboxFull | Outcome::RateLimited | Outcome::Unreachable, _)
                if current && !item.maybe && item.in_flight == 0 =>
            {
                Receipt::Failed(outcome)
            }
            _ => {
                item.maybe |= outcome == Outcome::Unknown;
                if current {
                    lane.retry_at.get_or_insert(now + RETRY_AFTER);
                }
                return None;
            }
        };
        let item = lane.items.remove(index)?;
        if lane.items.is_empty() {
            self.lanes.swap_remove_index(place);
        }
        Some(Settled {
            sender: item.sender,
            message: item.message,
            deadline: item.deadline,
            receipt,
        })
    }

    /// Sends again what is to be sent now: of the lanes that have waited, or of all that wait if there
    /// is `news`. Lanes whose sender is `gone` are dropped: the client sends again from elsewhere.
    ///
    /// `send` says whether it could send. If not, the rest of that lane would arrive out of order: the
    /// lane waits again.
    pub fn retry(
        &mut self,
        now: Duration,
        news: bool,
        gone: impl Fn(&S) -> bool,
        mut send: impl FnMut(Attempt) -> bool,
    ) {
        self.lanes.retain(|(to, session), lane| {
            // They are all of one session, or of backends, which are never gone.
            if lane.items.front().is_some_and(|item| gone(&item.sender)) {
                return false;
            }
            if lane.retry_at.is_none_or(|at| at > now && !news) {
                return true;
            }
            lane.retry_at = None;
            lane.attempt += 1;
            let mut previous = None;
            for item in &mut lane.items {
                if !send(item.attempt(to, *session, lane.attempt, previous)) {
                    lane.retry_at = Some(now + RETRY_AFTER);
                    break;
                }
                item.in_flight += 1;
                previous = Some(item.key);
            }
            true
        });
    }

    /// Gives up what has passed its deadline.
    pub fn expire(&mut self, now: Duration) -> Vec<Settled<S>> {
        let mut expired = Vec::new();
        self.lanes.retain(|_, lane| {
            // In the order of arrival, and so in that of the deadlines.
            while lane.items.front().is_some_and(|item| item.deadline <= now)
                && let Some(item) = lane.items.pop_front()
            {
                let outcome = if item.maybe || item.in_flight > 0 {
                    Outcome::Unknown
                } else {
                    Outcome::Unreachable
                };
                expired.push(Settled {
                    sender: item.sender,
                    message: item.message,
                    deadline: item.deadline,
                    receipt: Receipt::Failed(outcome),
                });
            }
            !lane.items.is_empty()
        });
        expired
    }

    /// Messages without an outcome.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lanes.values().map(|lane| lane.items.len()).sum()
    }

    /// Whether every message has an outcome.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

impl<S> Item<S> {
    fn attempt(
        &self,
        to: &StreamKey,
        session: SessionId,
        attempt: u32,
        previous: Option<MessageKey>,
    ) -> Attempt {
        Attempt {
            ticket: Ticket {
                to: to.clone(),
                session,
                number: self.number,
                attempt,
            },
            append: Append {
                to: to.clone(),
                message: self.message.clone(),
                previous,
                trace: self.trace.clone(),
            },
        }
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
