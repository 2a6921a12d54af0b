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
}

#[derive(Debug)]
struct Lane<S> {
    items: VecDeque<Item<S>>,
    attempt: u32,
    /// When everything is to be sent again.
    retry_at: Option<Duration>,
}

#[derive(Debug)]
struct Item<S> {
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
    message: MessageKey,
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
        let key = message.key();
        lane.items.push_back(Item {
            key,
            sender,
            message: message.clone(),
            trace: trace.clone(),
            deadline,
            in_flight: u32::from(now),
            maybe: false,
        });
        let message = (key, message, trace);
        now.then(|| attempt(to, session, lane.attempt, message, previous))
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
        let same = |item: &Item<S>| item.key == ticket.message;
        let index = lane.items.iter().position(same)?;
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

    /// What is to be sent again now: of the lanes that have waited, or of all that wait if there is
    /// `news`. Lanes whose sender is `gone` are dropped: the client sends again from elsewhere.
    pub fn due(&mut self, now: Duration, news: bool, gone: impl Fn(&S) -> bool) -> Vec<Attempt> {
        let mut attempts = Vec::new();
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
                item.in_flight += 1;
                let message = (item.key, item.message.clone(), item.trace.clone());
                attempts.push(attempt(to, *session, lane.attempt, message, previous));
                previous = Some(item.key);
            }
            true
        });
        attempts
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

fn attempt(
    to: &StreamKey,
    session: SessionId,
    number: u32,
    (key, message, trace): (MessageKey, Message, Option<Box<TraceContext>>),
    previous: Option<MessageKey>,
) -> Attempt {
    Attempt {
        ticket: Ticket {
            to: to.clone(),
            session,
            message: key,
            attempt: number,
        },
        append: Append {
            to: to.clone(),
            message,
            previous,
            trace,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UserId;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn inbox(name: &str) -> StreamKey {
        StreamKey::Inbox(user(name))
    }

    fn message(id: &str) -> Message {
        Message::new(&user("a"), id, "1", 0, false)
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn push(lanes: &mut Lanes<char>, id: &str) -> Option<Attempt> {
        let message = (message(id), None);
        lanes.push(&inbox("b"), (SessionId(1), 's'), message, at(1000))
    }

    fn accepted() -> Answer {
        Answer::Accepted {
            copies: 2,
            duplicate: false,
        }
    }

    #[test]
    fn a_message_names_the_one_before_it_that_has_no_outcome() {
        let mut lanes = Lanes::default();
        let first = push(&mut lanes, "1").unwrap();
        assert_eq!(first.append.previous, None);
        let second = push(&mut lanes, "2").unwrap();
        assert_eq!(second.append.previous, Some(message("1").key()));
        for attempt in [first, second] {
            let settled = lanes.outcome(at(1), &attempt.ticket, Outcome::Done, &accepted());
            assert_eq!(settled.unwrap().message, attempt.append.message);
        }
        assert!(lanes.is_empty());
        assert_eq!(push(&mut lanes, "3").unwrap().append.previous, None);
    }

    #[test]
    fn every_message_of_a_lane_has_a_sender_of_its_own() {
        let mut lanes = Lanes::default();
        let mut push = |id, sender| {
            let message = (message(id), None);
            let attempt = lanes.push(&inbox("b"), (SessionId(1), sender), message, at(1000));
            attempt.unwrap().ticket
        };
        // The second is the repeat of the first.
        let tickets = [push("1", 's'), push("1", 't'), push("2", 'u')];
        let senders = tickets.map(|ticket| {
            let settled = lanes.outcome(at(1), &ticket, Outcome::Done, &accepted());
            settled.unwrap().sender
        });
        assert_eq!(senders, ['s', 't', 'u']);
        assert!(lanes.is_empty());
    }

    #[test]
    fn after_a_refusal_everything_is_sent_again_in_order() {
        let mut lanes = Lanes::default();
        let first = push(&mut lanes, "1").unwrap();
        let second = push(&mut lanes, "2").unwrap();
        let refused = |lanes: &mut Lanes<char>, attempt: &Attempt, outcome| {
            lanes.outcome(at(1), &attempt.ticket, outcome, &Answer::None)
        };
        assert_eq!(refused(&mut lanes, &first, Outcome::NotOwner), None);
        assert_eq!(push(&mut lanes, "3"), None, "it waits behind the others");
        assert!(lanes.due(at(2), false, |_| false).is_empty());
        let again = lanes.due(at(60), false, |_| false);
        let ids: Vec<_> = again.iter().map(|a| a.append.message.id()).collect();
        assert_eq!(ids, ["1", "2", "3"]);
        assert_eq!(again[1].append.previous, Some(message("1").key()));
        // What becomes of the former attempt does not count, unless it was accepted.
        assert_eq!(refused(&mut lanes, &second, Outcome::InboxFull), None);
        assert!(lanes.due(at(999), false, |_| false).is_empty());
        let late = lanes.outcome(at(61), &second.ticket, Outcome::Done, &accepted());
        assert_eq!(late.unwrap().message.id(), "2");
        // All former attempts have been answered.
        let full = refused(&mut lanes, &again[0], Outcome::InboxFull);
        assert_eq!(full.unwrap().receipt, Receipt::Failed(Outcome::InboxFull));
    }

    #[test]
    fn a_refusal_is_not_final_while_another_attempt_is_under_way() {
        let mut lanes = Lanes::default();
        push(&mut lanes, "1").unwrap();
        let second = push(&mut lanes, "2").unwrap();
        lanes.outcome(at(1), &second.ticket, Outcome::Busy, &Answer::None);
        let again = lanes.due(at(1), true, |_| false);
        let full = lanes.outcome(at(1), &again[0].ticket, Outcome::InboxFull, &Answer::None);
        assert_eq!(full, None, "the first attempt may still be taken");
    }

    #[test]
    fn a_refusal_is_final_only_if_no_owner_can_have_the_message() {
        let full = |lanes: &mut Lanes<char>, attempt: &Attempt| {
            lanes.outcome(at(1), &attempt.ticket, Outcome::InboxFull, &Answer::None)
        };
        let mut lanes = Lanes::default();
        let first = push(&mut lanes, "1").unwrap();
        let failed = Receipt::Failed(Outcome::InboxFull);
        assert_eq!(full(&mut lanes, &first).unwrap().receipt, failed);
        let second = push(&mut lanes, "2").unwrap();
        let broken = lanes.outcome(at(1), &second.ticket, Outcome::Unknown, &Answer::None);
        assert_eq!(broken, None);
        let again = lanes.due(at(1), true, |_| false);
        assert_eq!(full(&mut lanes, &again[0]), None);
        let expired = lanes.expire(at(1000));
        assert_eq!(expired[0].receipt, Receipt::Failed(Outcome::Unknown));
        assert!(lanes.is_empty());
    }

    #[test]
    fn what_was_never_on_its_way_is_unreachable_at_its_deadline() {
        let mut lanes = Lanes::default();
        let first = push(&mut lanes, "1").unwrap();
        lanes.outcome(at(1), &first.ticket, Outcome::Busy, &Answer::None);
        push(&mut lanes, "2");
        let expired = lanes.expire(at(1000));
        let receipts: Vec<_> = expired.iter().map(|s| s.receipt).collect();
        assert_eq!(receipts, [Receipt::Failed(Outcome::Unreachable); 2]);
    }

    #[test]
    fn a_lane_ends_with_its_session() {
        let mut lanes = Lanes::default();
        push(&mut lanes, "1");
        assert!(lanes.due(at(1), true, |_| true).is_empty());
        assert!(lanes.is_empty());
    }
}
