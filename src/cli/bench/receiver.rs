//! A user who receives.

use std::sync::Arc;

use fastwebsockets::OpCode;

use super::frames;
use super::ledger::{Arrivals, Pairing};
use super::messages::{Incoming, Position, ack};
use super::role::Role;
use super::stats::Stats;
use super::timeline::Timeline;

/// After how many messages they are acknowledged …
const ACK_EVERY: u32 = 64;
/// … or after how long, if fewer come, so that no inbox fills up with what was read.
const ACK_AFTER_US: u64 = 100_000;

/// Takes what comes down, and acknowledges it where it has a position.
#[derive(Debug)]
pub struct Receiver {
    run: u64,
    user: String,
    timeline: Arc<Timeline>,
    arrivals: Arrivals,
    position: Option<Position>,
    /// Messages with a position since the last acknowledgement.
    unacknowledged: u32,
    /// When these are acknowledged at the latest.
    ack_at_us: Option<u64>,
}

impl Receiver {
    pub fn new(run: u64, user: String, pairing: Pairing, timeline: Arc<Timeline>) -> Self {
        Self {
            run,
            user,
            timeline,
            arrivals: Arrivals::new(pairing),
            position: None,
            unacknowledged: 0,
            ack_at_us: None,
        }
    }

    /// What came, at the end of the load test.
    pub fn into_arrivals(self) -> Arrivals {
        self.arrivals
    }

    fn advance(&mut self, epoch: &str, offset: u64) {
        Position::advance(&mut self.position, epoch, offset);
        self.unacknowledged += 1;
    }

    fn acknowledge(&mut self, output: &mut Vec<u8>) {
        if let Some(position) = &self.position {
            let ack = ack(position);
            frames::append(output, OpCode::Text, rand::random(), ack.len(), |output| {
                output.extend_from_slice(ack.as_bytes());
            });
        }
        self.unacknowledged = 0;
        self.ack_at_us = None;
    }
}

impl Role for Receiver {
    fn user(&self) -> &str {
        &self.user
    }

    fn opened(&mut self, position: Option<Position>) {
        self.arrivals.begin_session();
        if position.is_some() {
            self.position = position;
        }
        self.unacknowledged = 0;
        self.ack_at_us = None;
    }

    fn closed(&mut self, _: &mut Stats) {}

    fn handle(
        &mut self,
        incoming: &Incoming<'_>,
        now_us: u64,
        stats: &mut Stats,
        output: &mut Vec<u8>,
    ) {
        let Incoming::Message {
            name,
            time_us,
            position,
        } = incoming
        else {
            return;
        };
        if let Some((epoch, offset)) = position {
            self.advance(epoch, *offset);
            self.ack_at_us.get_or_insert(now_us + ACK_AFTER_US);
            if self.unacknowledged >= ACK_EVERY {
                self.acknowledge(output);
            }
        }
        if name.run != self.run {
            stats.foreign += 1;
            return;
        }
        if self.arrivals.note(name.sender, name.number) {
            stats.delivered.add(self.timeline.is_measured(now_us));
            if self.timeline.is_measured(*time_us) {
                stats.delivery.record(now_us.saturating_sub(*time_us));
            }
        }
    }

    fn fill(&mut self, now_us: u64, _: &mut Stats, output: &mut Vec<u8>) -> bool {
        if self.ack_at_us.is_some_and(|at_us| at_us <= now_us) {
            self.acknowledge(output);
        }
        false
    }

    fn wake_at_us(&self, _: u64) -> Option<u64> {
        self.ack_at_us
    }

    fn is_settled(&self) -> bool {
        true
    }

    fn position(&self) -> Option<&Position> {
        self.position.as_ref()
    }

    fn finish(&mut self, output: &mut Vec<u8>) {
        if self.unacknowledged > 0 {
            self.acknowledge(output);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cli::bench::messages::Name;

    fn receiver() -> Receiver {
        let timeline = Timeline::new(Duration::ZERO);
        timeline.begin(Duration::from_secs(3600));
        let pairing = Pairing::new(1, 1);
        Receiver::new(1, "r0".to_owned(), pairing, Arc::new(timeline))
    }

    fn take(
        receiver: &mut Receiver,
        stats: &mut Stats,
        (run, number): (u64, u64),
        position: Option<(&str, u64)>,
    ) -> Vec<u8> {
        let sender = 0;
        let name = Name {
            run,
            sender,
            number,
        };
        let time_us = receiver.timeline.begin_us();
        let message = Incoming::Message {
            name,
            time_us,
            position,
        };
        let mut output = Vec::new();
        receiver.handle(&message, time_us + 7, stats, &mut output);
        output
    }

    #[test]
    fn what_came_is_acknowledged_after_a_while_even_if_it_was_little() {
        let (mut receiver, mut stats) = (receiver(), Stats::default());
        receiver.opened(None);
        take(&mut receiver, &mut stats, (1, 0), Some(("e", 1)));
        let at_us = receiver.wake_at_us(0).unwrap();
        take(&mut receiver, &mut stats, (1, 1), Some(("e", 2)));
        assert_eq!(receiver.wake_at_us(0), Some(at_us));
        let mut output = Vec::new();
        receiver.fill(at_us - 1, &mut stats, &mut output);
        assert!(output.is_empty());
        receiver.fill(at_us, &mut stats, &mut output);
        assert!(!output.is_empty());
        assert_eq!(receiver.wake_at_us(at_us), None);
    }

    #[test]
    fn every_64th_message_with_a_position_is_acknowledged_and_the_last_at_the_end() {
        let (mut receiver, mut stats) = (receiver(), Stats::default());
        receiver.opened(None);
        let acks: Vec<_> = (0..130)
            .filter(|&number| {
                let position = Some(("e", number + 1));
                !take(&mut receiver, &mut stats, (1, number), position).is_empty()
            })
            .collect();
        assert_eq!(acks, [63, 127]);
        let mut output = Vec::new();
        receiver.finish(&mut output);
        assert!(!output.is_empty());
        let (epoch, offset) = ("e".to_owned(), 130);
        assert_eq!(receiver.position(), Some(&Position { epoch, offset }));
        assert_eq!(stats.delivered.total, 130);
        assert_eq!(stats.delivery.percentiles().max, 7);
    }

    #[test]
    fn without_positions_nothing_is_acknowledged() {
        let (mut receiver, mut stats) = (receiver(), Stats::default());
        receiver.opened(None);
        for number in 0..200 {
            assert!(take(&mut receiver, &mut stats, (1, number), None).is_empty());
        }
        let mut output = Vec::new();
        receiver.finish(&mut output);
        assert!(output.is_empty() && receiver.position().is_none());
    }

    #[test]
    fn messages_of_another_load_test_are_not_counted_as_delivered() {
        let (mut receiver, mut stats) = (receiver(), Stats::default());
        receiver.opened(None);
        take(&mut receiver, &mut stats, (2, 0), None);
        take(&mut receiver, &mut stats, (1, 0), None);
        take(&mut receiver, &mut stats, (1, 0), None);
        assert_eq!((stats.foreign, stats.delivered.total), (1, 1));
        assert_eq!(receiver.into_arrivals().repeated, 1);
    }
}
