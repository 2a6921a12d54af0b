//! When to ping a client, and when to give it up.

use std::time::Duration;

use tokio::time::Instant;

use super::Server;
use crate::config::Limits;
use crate::dispatch::Session;

/// The heartbeat of one session.
pub(super) struct Heartbeat {
    next_ping: Instant,
    /// The ping that is not answered yet: when it was sent, and by when it must be answered.
    pinged: Option<(Instant, Instant)>,
    last_alive: Instant,
    /// By when the session must be welcomed; `None` once it was.
    welcome_by: Option<Instant>,
}

/// What a deadline means.
pub(super) enum Beat {
    /// Nothing to do.
    Idle,
    /// The user's owner has not taken the session in time.
    NotWelcome,
    /// Ping the client.
    Ping,
    /// It has not answered the last ping.
    Missed,
}

impl Heartbeat {
    pub(super) fn new(server: &Server, session: &Session) -> Self {
        let now = Instant::now();
        let limits = &server.config.limits;
        Self {
            next_ping: now + jittered(limits.heartbeat_interval),
            pinged: None,
            last_alive: now,
            welcome_by: (!session.is_welcomed()).then(|| now + limits.handshake_timeout),
        }
    }

    /// Something was heard of the client.
    pub(super) fn alive(&mut self) {
        self.last_alive = Instant::now();
    }

    /// When [`Self::beat`] wants to be called next.
    pub(super) fn deadline(&self) -> Instant {
        let answer_by = self.pinged.map(|(_, by)| by);
        [answer_by, self.welcome_by]
            .into_iter()
            .flatten()
            .fold(self.next_ping, Instant::min)
    }

    /// A deadline may have come.
    pub(super) fn beat(&mut self, now: Instant, limits: &Limits, welcomed: bool) -> Beat {
        if welcomed {
            self.welcome_by = None;
        } else if let Some(welcome_by) = self.welcome_by {
            // Nothing is written before the welcome, so no ping either.
            self.next_ping = now + jittered(limits.heartbeat_interval);
            return if now < welcome_by {
                Beat::Idle
            } else {
                Beat::NotWelcome
            };
        }
        if let Some((sent, answer_by)) = self.pinged {
            if self.last_alive > sent {
                self.pinged = None;
            } else if now >= answer_by {
                return Beat::Missed;
            }
        }
        if now < self.next_ping {
            return Beat::Idle;
        }
        self.next_ping = now + jittered(limits.heartbeat_interval);
        self.pinged
            .get_or_insert((now, now + limits.heartbeat_timeout));
        Beat::Ping
    }
}

/// A tenth more or less, so that clients that came together are not pinged together for ever.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::random_range(0.9..=1.1))
}
