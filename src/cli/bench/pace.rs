//! When a sender sends: as its window allows, or by a schedule.

/// Most messages of one sender that may be without a receipt in the open loop. Past it the sender
/// waits, which shows as latency, since that counts from the schedule.
const UNANSWERED_MAX: usize = 65_536;

/// How a sender decides to send its next message.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// Closed loop: so many may be without a receipt.
    Window(usize),
    /// Open loop: at times that do not depend on any answer.
    Schedule(Schedule),
}

impl Pace {
    /// When the message of this number is, or was, to be sent, in microseconds from the begin, if
    /// it may be sent now.
    pub fn due(&self, number: u64, unanswered: usize, now_us: u64) -> Option<u64> {
        match self {
            Self::Window(window) => (unanswered < *window).then_some(now_us),
            Self::Schedule(schedule) => {
                let time = schedule.time_us(number);
                (time <= now_us && unanswered < UNANSWERED_MAX).then_some(time)
            }
        }
    }
}

/// One sender's part of a schedule: messages at a fixed total rate, the senders taking turns.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    /// Messages a second of all senders together, 1 or more.
    pub rate: u64,
    pub senders: u64,
    pub sender: u64,
}

impl Schedule {
    /// When the sender's message of this number is to be sent.
    pub fn time_us(&self, number: u64) -> u64 {
        turn_us(self.rate, number * self.senders + self.sender)
    }

    /// How many of the sender's messages are to be sent before this moment.
    pub fn before(&self, end_us: u64) -> u64 {
        let turns = turns_before(self.rate, end_us);
        turns.saturating_sub(self.sender).div_ceil(self.senders)
    }
}

/// When a turn comes, counted over all senders, in microseconds from the begin.
pub fn turn_us(rate: u64, turn: u64) -> u64 {
    let us = u128::from(turn) * 1_000_000 / u128::from(rate);
    u64::try_from(us).unwrap_or(u64::MAX)
}

/// How many turns come before a moment.
fn turns_before(rate: u64, end_us: u64) -> u64 {
    let turns = (u128::from(end_us) * u128::from(rate)).div_ceil(1_000_000);
    u64::try_from(turns).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_is_closed_when_it_is_full() {
        let pace = Pace::Window(2);
        assert_eq!(pace.due(7, 1, 100), Some(100));
        assert_eq!(pace.due(7, 2, 100), None);
    }

    #[test]
    fn a_late_message_keeps_the_time_it_was_meant_for() {
        let schedule = Schedule {
            rate: 1000,
            senders: 10,
            sender: 3,
        };
        let pace = Pace::Schedule(schedule);
        assert_eq!(pace.due(0, 0, 2_999), None);
        assert_eq!(pace.due(0, 0, 3_000), Some(3_000));
        assert_eq!(pace.due(1, 0, 999_999), Some(13_000));
        assert_eq!(pace.due(1, UNANSWERED_MAX, 999_999), None);
    }

    proptest! {
        #[test]
        fn the_senders_together_hold_the_rate(
            rate in 1_u64..2_000_000, senders in 1_u64..100, end_us in 0_u64..5_000_000
        ) {
            let part = |sender| Schedule { rate, senders, sender };
            let total: u64 = (0..senders).map(|sender| part(sender).before(end_us)).sum();
            prop_assert_eq!(total, turns_before(rate, end_us));
            let exact = u128::from(end_us) * u128::from(rate) / 1_000_000;
            prop_assert!(u128::from(total).abs_diff(exact) <= 1);
        }

        #[test]
        fn what_is_before_a_moment_is_due_before_it(
            rate in 1_u64..2_000_000, senders in 1_u64..100, sender: u64, end_us in 0_u64..5_000_000
        ) {
            let schedule = Schedule { rate, senders, sender: sender % senders };
            let before = schedule.before(end_us);
            prop_assert!(before == 0 || schedule.time_us(before - 1) < end_us);
            prop_assert!(schedule.time_us(before) >= end_us);
        }
    }
}
