//! Whether the other end still lives.

use std::time::{Duration, Instant};

/// After a ping, how long the server may go on being silent.
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The heartbeat of one connection, from the client's side.
#[derive(Debug)]
pub(super) struct Liveness {
    /// What the server says its pings are apart.
    heartbeat: Duration,
    /// When something was last heard, or nobody listened.
    heard: Instant,
    /// By when the ping must be answered.
    answer_by: Option<Instant>,
}

/// What a deadline means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    Idle,
    /// Ask the server.
    Ping,
    /// The client does not read; the server has to hear that it lives.
    Pong,
    /// It did not answer.
    Dead,
}

impl Liveness {
    pub fn new(now: Instant, heartbeat: Duration) -> Self {
        Self {
            heartbeat,
            heard: now,
            answer_by: None,
        }
    }

    /// Something was heard, or is going to be listened for from now on.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.answer_by = None;
    }

    /// When [`Self::beat`] wants to be called next.
    pub fn deadline(&self, reading: bool) -> Instant {
        match self.answer_by {
            Some(answer_by) if reading => answer_by,
            _ if reading => self.heard + self.heartbeat.mul_f64(1.5),
            _ => self.heard + self.heartbeat,
        }
    }

    /// A deadline may have come. Who does not read hears nothing, so then silence means nothing.
    pub fn beat(&mut self, now: Instant, reading: bool) -> Beat {
        if now < self.deadline(reading) {
            Beat::Idle
        } else if !reading {
            self.heard(now);
            Beat::Pong
        } else if self.answer_by.is_some() {
            Beat::Dead
        } else {
            self.answer_by = Some(now + PING_TIMEOUT);
            Beat::Ping
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARTBEAT: Duration = Duration::from_secs(20);

    #[test]
    fn silence_is_asked_about_and_then_taken_for_death() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, HEARTBEAT);
        let asked = start + Duration::from_secs(30);
        assert_eq!(liveness.deadline(true), asked);
        assert_eq!(liveness.beat(asked, true), Beat::Ping);
        assert_eq!(liveness.deadline(true), asked + PING_TIMEOUT);
        assert_eq!(liveness.beat(asked + PING_TIMEOUT / 2, true), Beat::Idle);
        assert_eq!(liveness.beat(asked + PING_TIMEOUT, true), Beat::Dead);
    }

    #[test]
    fn whatever_is_heard_is_an_answer() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, HEARTBEAT);
        let asked = liveness.deadline(true);
        assert_eq!(liveness.beat(asked, true), Beat::Ping);
        liveness.heard(asked + PING_TIMEOUT / 2);
        assert_eq!(liveness.beat(asked + PING_TIMEOUT, true), Beat::Idle);
    }

    #[test]
    fn who_does_not_read_says_that_it_lives_and_suspects_nobody() {
        let start = Instant::now();
        let mut liveness = Liveness::new(start, HEARTBEAT);
        let asked = liveness.deadline(true);
        assert_eq!(liveness.beat(asked, true), Beat::Ping);
        assert_eq!(liveness.beat(asked + PING_TIMEOUT, false), Beat::Pong);
        let later = asked + PING_TIMEOUT + HEARTBEAT;
        let before = asked + PING_TIMEOUT + HEARTBEAT / 2;
        assert_eq!(liveness.beat(before, false), Beat::Idle);
        assert_eq!(liveness.beat(later, false), Beat::Pong);
        assert_eq!(liveness.beat(later, true), Beat::Idle);
    }
}
