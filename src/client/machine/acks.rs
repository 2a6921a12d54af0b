//! When to ack: cumulative, and not for every message.

use std::time::{Duration, Instant};

use crate::client::event::Position;

/// An ack waits this long for more to ack.
const ACK_DELAY: Duration = Duration::from_millis(100);
/// With so many messages it waits no longer.
const ACK_MESSAGES: u32 = 64;

/// The ack that is to be sent, and the last one that was.
#[derive(Debug, Default)]
pub(super) struct Acks {
    wanted: Option<Position>,
    due: Option<Instant>,
    messages: u32,
    sent: Option<Position>,
}

impl Acks {
    /// Everything up to this position is done with, one more message.
    pub fn want(&mut self, now: Instant, position: Position) {
        self.wanted = Some(match self.wanted.take() {
            Some(wanted) => wanted.or_further(position),
            None => position,
        });
        self.messages += 1;
        if self.messages >= ACK_MESSAGES {
            self.due = Some(now);
        } else {
            self.due.get_or_insert(now + ACK_DELAY);
        }
    }

    /// When [`Self::take`] has something.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// What to ack now, on a connection that works.
    pub fn take(&mut self, now: Instant) -> Option<Position> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        self.take_early()
    }

    /// What to ack, due or not.
    pub fn take_early(&mut self) -> Option<Position> {
        let wanted = self.wanted.take()?;
        self.due = None;
        self.messages = 0;
        self.sent = Some(wanted.clone());
        Some(wanted)
    }

    /// The connection that had the last ack is gone, and may not have delivered it.
    pub fn repeat(&mut self, now: Instant) {
        if self.wanted.is_none() {
            self.wanted.clone_from(&self.sent);
        }
        self.due = self.wanted.is_some().then_some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Position {
        Position::new("e", offset)
    }

    #[test]
    fn acks_wait_a_little_and_speak_for_all_before_them() {
        let now = Instant::now();
        let mut acks = Acks::default();
        acks.want(now, at(1));
        acks.want(now + ACK_DELAY / 2, at(3));
        acks.want(now + ACK_DELAY / 2, at(2));
        assert_eq!(acks.take(now), None);
        assert_eq!(acks.due(), Some(now + ACK_DELAY));
        assert_eq!(acks.take(now + ACK_DELAY), Some(at(3)));
        assert_eq!((acks.take(now + ACK_DELAY), acks.due()), (None, None));
    }

    #[test]
    fn many_messages_are_acked_at_once() {
        let now = Instant::now();
        let mut acks = Acks::default();
        for offset in 1..u64::from(ACK_MESSAGES) {
            acks.want(now, at(offset));
        }
        assert_eq!(acks.take(now), None);
        acks.want(now, at(64));
        assert_eq!(acks.take(now), Some(at(64)));
    }

    #[test]
    fn the_last_ack_is_repeated_on_a_new_connection() {
        let now = Instant::now();
        let mut acks = Acks::default();
        acks.repeat(now);
        assert_eq!(acks.take(now), None);
        acks.want(now, at(4));
        assert_eq!(acks.take_early(), Some(at(4)));
        acks.repeat(now);
        assert_eq!(acks.take(now), Some(at(4)));
    }
}
