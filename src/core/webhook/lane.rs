//! The events of one part of the users, in their order, until the receiver has them.
//!
//! *Invariant:* an event leaves from the head only, and no later one is sent before it has left.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::{Event, What};
use crate::core::backoff::Backoff;
use crate::core::map::Map;
use crate::id::UserId;

/// Events in one request at most.
const BATCH_EVENTS: usize = 100;
/// Bytes of the events in one request, about; one event may exceed it.
const BATCH_BYTES: usize = 256 * 1024;
/// The first waits after a failure are from this …
const RETRY_MIN: Duration = Duration::from_millis(50);
/// … to this, and are doubled with each …
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// … up to this. Also the most that a `Retry-After` is granted.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A user whose inbox is full is told of once in this time: senders try again and again.
const FULL_EVERY: Duration = Duration::from_secs(10);
/// Users with a full inbox that are remembered; of more each refusal is told. A guess.
const FULL_USERS: usize = 1024;

/// Bounds of a lane.
#[derive(Debug, Clone, Copy)]
pub struct LaneConfig {
    /// Bytes of the events that wait or are under way; past it new ones are dropped.
    pub bytes_max: usize,
    /// An event that is older goes with the next request that fails.
    pub retry_for: Duration,
}

/// See the module's description.
#[derive(Debug)]
pub struct Lane {
    config: LaneConfig,
    events: VecDeque<(Instant, Arc<Event>)>,
    bytes: usize,
    /// So many at the head are under way.
    sending: usize,
    /// So many at the head were refused together: they go one by one, so that the receiver refuses
    /// no more than the one that it does not like.
    apart: usize,
    backoff: Backoff,
    retry_at: Option<Instant>,
    /// When an inbox was last told to be full.
    full: Map<UserId, Instant>,
}

/// What became of an event that was to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits for its turn.
    Queued,
    /// It is like one of a moment ago, and is not told.
    Like,
    /// There is no room, and it is gone.
    NoRoom,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Send these, and say what became of them.
    Send(Vec<Arc<Event>>),
    /// Look again at that time.
    Wait(Instant),
    /// There is nothing.
    Nothing,
}

/// What the receiver says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has the events.
    Taken,
    /// It does not want them.
    Refused,
    /// Nothing that counts: to be sent again, not before this time has passed.
    Again(Duration),
}

impl Verdict {
    /// That of a status and, in seconds, a `Retry-After`.
    #[must_use]
    pub fn of(status: u16, retry_after: Option<&str>) -> Self {
        match status {
            200..300 => Self::Taken,
            408 | 429 | 500.. => {
                let seconds = retry_after.and_then(|text| text.trim().parse().ok());
                let wait = seconds.map_or(Duration::ZERO, Duration::from_secs);
                Self::Again(wait.min(RETRY_MAX))
            }
            // Redirects are not followed.
            _ => Self::Refused,
        }
    }
}

/// What became of the events that were under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// Events that the receiver has.
    pub sent: usize,
    /// Events that are given up.
    pub dropped: usize,
    /// Some are sent again.
    pub again: bool,
}

impl Lane {
    /// Nothing waits.
    #[must_use]
    pub fn new(config: LaneConfig) -> Self {
        Self {
            config,
            events: VecDeque::new(),
            bytes: 0,
            sending: 0,
            apart: 0,
            backoff: Backoff::spread(RETRY_MIN, RETRY_FIRST, RETRY_MAX),
            retry_at: None,
            full: Map::default(),
        }
    }

    /// Events that wait or are under way.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether nothing waits and nothing is under way.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Puts an event behind the others.
    pub fn push(&mut self, now: Instant, event: Event) -> Pushed {
        if matches!(event.what, What::InboxFull(_)) && self.is_known_full(now, &event.user) {
            return Pushed::Like;
        }
        let bytes = event.size();
        if self.bytes + bytes > self.config.bytes_max {
            return Pushed::NoRoom;
        }
        self.bytes += bytes;
        self.events.push_back((now, Arc::new(event)));
        Pushed::Queued
    }

    fn is_known_full(&mut self, now: Instant, user: &UserId) -> bool {
        let recent = |at: &Instant| now < *at + FULL_EVERY;
        if self.full.get(user).is_some_and(recent) {
            return true;
        }
        if self.full.len() >= FULL_USERS {
            self.full.retain(|_, at| recent(at));
        }
        if self.full.len() < FULL_USERS {
            self.full.insert(user.clone(), now);
        }
        false
    }

    /// What to send now. Nothing may be under way.
    pub fn next(&mut self, now: Instant) -> Next {
        assert_eq!(self.sending, 0, "one batch at a time keeps the order");
        if let Some(at) = self.retry_at
            && now < at
        {
            return Next::Wait(at);
        }
        let most = if self.apart > 0 { 1 } else { BATCH_EVENTS };
        let mut bytes = 0;
        let batch: Vec<_> = (self.events.iter().take(most))
            .map(|(_, event)| event)
            .take_while(|event| {
                bytes += event.size();
                // The first one goes in any case.
                bytes == event.size() || bytes <= BATCH_BYTES
            })
            .cloned()
            .collect();
        if batch.is_empty() {
            return Next::Nothing;
        }
        self.sending = batch.len();
        Next::Send(batch)
    }

    /// The batch under way has an answer, or will have none. `random` is uniform over all `u32`.
    pub fn settle(&mut self, now: Instant, verdict: Verdict, random: u32) -> Settled {
        let sending = std::mem::take(&mut self.sending);
        match verdict {
            Verdict::Taken => {
                self.alive_again();
                self.forget(sending);
                Settled {
                    sent: sending,
                    ..Settled::default()
                }
            }
            Verdict::Refused if sending > 1 => {
                self.alive_again();
                self.apart = sending;
                Settled {
                    again: true,
                    ..Settled::default()
                }
            }
            Verdict::Refused => {
                self.alive_again();
                self.forget(sending);
                Settled {
                    dropped: sending,
                    ..Settled::default()
                }
            }
            Verdict::Again(wait) => {
                let old = |(at, _): &&(Instant, Arc<Event>)| now >= *at + self.config.retry_for;
                let dropped = self.events.iter().take_while(old).count();
                self.forget(dropped);
                self.retry_at = Some(now + self.backoff.next(random).max(wait));
                Settled {
                    dropped,
                    again: dropped < sending,
                    ..Settled::default()
                }
            }
        }
    }

    fn alive_again(&mut self) {
        self.backoff.reset();
        self.retry_at = None;
    }

    fn forget(&mut self, count: usize) {
        for (_, event) in self.events.drain(..count) {
            self.bytes -= event.size();
        }
        self.apart = self.apart.saturating_sub(count);
    }

    /// There is not much time left: what waits for another try gets it now.
    pub fn hurry(&mut self) {
        self.alive_again();
    }

    /// Gives up all that is left, and says how much that was.
    pub fn give_up(&mut self) -> usize {
        let left = self.events.len();
        self.forget(left);
        self.sending = 0;
        left
    }
}

#[cfg(test)]
#[path = "lane_tests.rs"]
mod tests;
