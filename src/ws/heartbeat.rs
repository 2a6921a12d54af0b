//! When to ping a client, and when to give it up.

use std::time::Duration;

use tokio::time::Instant;

use super::Server;
use crate::config::Limits;
use crate::dispatch::Session;

/// A token is looked at this often at least: the machine's clock may be set.
const TOKEN_LOOK_MAX: Duration = Duration::from_secs(3600);

/// The heartbeat of one session.
pub(super) struct Heartbeat {
    next_ping: Instant,
    /// The ping that is not answered yet: when it was sent, and by when it must be answered.
    pinged: Option<(Instant, Instant)>,
    last_alive: Instant,
    /// By when the session must be welcomed; `None` once it was.
    welcome_by: Option<Instant>,
    /// When to look at the session's token next; `None`: it is good for ever.
    token_at: Option<Instant>,
    /// The client has been told that its token expires.
    warned: bool,
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
    /// Its token is good for so many milliseconds more.
    TokenExpiring(u64),
    /// Its token has expired.
    TokenExpired,
}

/// What is looked at when a deadline has come.
pub(super) struct Looks<'a> {
    pub limits: &'a Limits,
    pub welcomed: bool,
    /// How long its token is still good, in milliseconds; `None`: for ever.
    pub token_left_ms: Option<u64>,
    /// How long before that it is told.
    pub warning_ms: u64,
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
            token_at: session.expires_at().map(|_| now),
            warned: false,
        }
    }

    /// Something was heard of the client.
    pub(super) fn alive(&mut self) {
        self.last_alive = Instant::now();
    }

    /// When [`Self::beat`] wants to be called next.
    pub(super) fn deadline(&self) -> Instant {
        let answer_by = self.pinged.map(|(_, by)| by);
        [answer_by, self.welcome_by, self.token_at]
            .into_iter()
            .flatten()
            .fold(self.next_ping, Instant::min)
    }

    /// The session has another token.
    pub(super) fn token_changed(&mut self) {
        self.token_at = Some(Instant::now());
        self.warned = false;
    }

    /// A deadline may have come.
    pub(super) fn beat(&mut self, now: Instant, looks: &Looks<'_>) -> Beat {
        let &Looks {
            limits, welcomed, ..
        } = looks;
        if let Some(beat) = self.look_at_token(now, looks) {
            return beat;
        }
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

impl Heartbeat {
    fn look_at_token(&mut self, now: Instant, looks: &Looks<'_>) -> Option<Beat> {
        self.token_at.filter(|at| now >= *at)?;
        let Some(left) = looks.token_left_ms else {
            self.token_at = None;
            return None;
        };
        let again_in = |ms: u64| now + TOKEN_LOOK_MAX.min(Duration::from_millis(ms));
        if left == 0 {
            self.token_at = None;
            return Some(Beat::TokenExpired);
        }
        if left > looks.warning_ms {
            self.token_at = Some(again_in(left - looks.warning_ms));
            return None;
        }
        self.token_at = Some(again_in(left));
        // Nothing is written before the welcome.
        let warns = looks.welcomed && !self.warned;
        self.warned |= warns;
        warns.then_some(Beat::TokenExpiring(left))
    }
}

/// A tenth more or less, so that clients that came together are not pinged together for ever.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::random_range(0.9..=1.1))
}
