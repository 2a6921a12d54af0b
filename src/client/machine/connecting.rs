//! Making connections, following redirects, and trying again.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::liveness::{Beat, Liveness};
use super::{ConnectionId, Machine, Output, WAIT_MAX, after};
use crate::client::address::{Target, encoded};
use crate::client::error::Error;
use crate::client::event::{Event, Position};
use crate::client::messages;
use crate::client::options::Options;
use crate::core::backoff::Backoff;

/// Redirects that are followed in a row. One is usual: whoever comes with `hop` is not sent on.
const REDIRECTS_MAX: u8 = 5;
/// A connection that held for so long was a good one: the backoff starts over.
const STABLE: Duration = Duration::from_secs(10);
/// After a move the old connection is read for so long, for what was on its way to it.
const LINGER_MIN: Duration = Duration::from_millis(500);
/// Then it is kept as long as receipts are missing that can come nowhere else, or the new connection
/// is not in the rooms yet, up to this.
const LINGER_MAX: Duration = Duration::from_secs(5);

/// The nodes that were given, and how far they have been tried.
#[derive(Debug)]
pub(super) struct Route {
    nodes: Vec<Target>,
    next: usize,
    /// Tries in this round, of one for each node.
    tried: usize,
    /// Refusals in a row that will not change by themselves.
    definite: usize,
    backoff: Backoff,
}

/// The connection that is used.
#[derive(Debug)]
pub(super) struct Current {
    pub connection: ConnectionId,
    pub target: Target,
    pub since: Instant,
    pub liveness: Liveness,
    pub message_bytes_max: usize,
    /// Where the node wants the client to be, and when it is to go.
    pub moving: Option<Move>,
}

/// A redirect that is to be followed later.
#[derive(Debug)]
pub(super) struct Move {
    pub at: Instant,
    /// Who says so.
    pub from: Target,
    pub url: String,
    pub reason: String,
}

/// What is being done to get a connection.
#[derive(Debug)]
pub(super) enum Attempt {
    None,
    /// The next node is tried then.
    Waiting(Instant),
    Running(Box<Trial>),
}

/// A connection that is being made.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub connection: ConnectionId,
    pub target: Target,
    /// By when it must be welcomed.
    by: Instant,
    /// Redirects behind it.
    redirects: u8,
    /// The node that was given, if it was that which led here.
    origin: Target,
    /// An `error` that came instead of the welcome, until the Close behind it says how bad it is.
    pub rejected: Option<Error>,
}

/// The connection before the current one.
#[derive(Debug)]
pub(super) struct Leaving {
    pub connection: ConnectionId,
    pub target: Target,
    not_before: Instant,
    by: Instant,
}

impl Route {
    pub fn new(nodes: Vec<Target>, options: &Options) -> Self {
        let min = options.backoff_min.min(WAIT_MAX);
        let first = options.backoff_first.clamp(min, WAIT_MAX);
        let max = options.backoff_max.clamp(first, WAIT_MAX);
        Self {
            nodes,
            next: 0,
            tried: 0,
            definite: 0,
            backoff: Backoff::spread(min, first, max),
        }
    }
}

impl Machine {
    pub(super) fn is_current(&self, connection: ConnectionId) -> bool {
        (self.current.as_ref()).is_some_and(|current| current.connection == connection)
    }

    pub(super) fn is_leaving(&self, connection: ConnectionId) -> bool {
        (self.leaving.as_ref()).is_some_and(|leaving| leaving.connection == connection)
    }

    /// Whether something can come on a connection that is leaving and on no other: receipts, and what
    /// is not kept of rooms that the current one does not have yet.
    fn depends_on(&self, leaving: &Leaving) -> bool {
        self.requests.depends_on(leaving.connection) || self.rooms.is_asking()
    }

    pub(super) fn connections_deadline(&self) -> Option<Instant> {
        let attempt = match &self.attempt {
            Attempt::None => None,
            Attempt::Waiting(until) => Some(*until),
            Attempt::Running(trial) => Some(trial.by),
        };
        let current = self.current.as_ref();
        let moving = current.and_then(|current| current.moving.as_ref());
        let leaving = self.leaving.as_ref().map(|leaving| {
            if self.depends_on(leaving) {
                leaving.by
            } else {
                leaving.not_before
            }
        });
        let deadlines = [
            attempt,
            current.map(|current| current.liveness.deadline(self.reads())),
            moving.map(|moving| moving.at),
            leaving,
        ];
        deadlines.into_iter().flatten().min()
    }

    pub(super) fn tick_connections(&mut self, now: Instant) {
        let waits = (self.leaving.as_ref()).is_some_and(|leaving| self.depends_on(leaving));
        let due = self
            .leaving
            .take_if(|leaving| leaving.by <= now || leaving.not_before <= now && !waits);
        if let Some(leaving) = due {
            self.let_go(&leaving);
        }
        self.beat(now);
        let moving = (self.current.as_mut())
            .and_then(|current| current.moving.take_if(|moving| moving.at <= now));
        match (moving, &self.attempt) {
            (Some(moving), Attempt::None | Attempt::Waiting(_)) => {
                self.start_move(now, &moving);
            }
            // Another connection is being made already; its node knows where the client belongs.
            (Some(_), Attempt::Running(_)) | (None, _) => {}
        }
        match &self.attempt {
            Attempt::Waiting(until) if *until <= now => self.try_next(now),
            Attempt::Running(trial) if trial.by <= now => {
                let trial = trial.clone();
                self.outputs.push_back(Output::Drop(trial.connection));
                let error = Error::Timeout {
                    node: trial.target.clone(),
                    after: self.options.connect_timeout,
                };
                self.trial_failed(now, &trial, error, false);
            }
            Attempt::None | Attempt::Waiting(_) | Attempt::Running(_) => {}
        }
    }

    fn beat(&mut self, now: Instant) {
        let reads = self.reads();
        let Some(current) = &mut self.current else {
            return;
        };
        let connection = current.connection;
        match current.liveness.beat(now, reads) {
            Beat::Idle => {}
            Beat::Ping => {
                let ping = Output::Write(connection, messages::ping().into());
                self.outputs.push_back(ping);
            }
            Beat::Pong => self.outputs.push_back(Output::Pong(connection)),
            Beat::Dead => {
                let reason = "nothing was heard of it".to_owned();
                let node = current.target.clone();
                self.outputs.push_back(Output::Drop(connection));
                self.lost(now, Error::Broken { node, reason }, true);
            }
        }
    }

    /// Tries the next of the nodes that were given.
    fn try_next(&mut self, now: Instant) {
        let target = self.route.nodes[self.route.next].clone();
        self.route.tried += 1;
        let mut path = "/ws?".to_owned();
        if let Some(user) = &self.options.user {
            // Writing to a String cannot fail.
            let _ = write!(path, "user={}&", encoded(user));
        }
        path.push_str(if self.options.follow_redirects {
            "redirect=http"
        } else {
            "redirect=never"
        });
        let origin = target.clone();
        self.connect(now, target, &path, 0, origin);
    }

    fn connect(&mut self, now: Instant, target: Target, path: &str, redirects: u8, origin: Target) {
        self.connections += 1;
        let connection = ConnectionId(self.connections);
        self.outputs.push_back(Output::Connect {
            connection,
            target: target.clone(),
            path: with_position(path, self.events.arrived()),
            given: redirects == 0,
        });
        self.attempt = Attempt::Running(Box::new(Trial {
            connection,
            target,
            by: after(now, self.options.connect_timeout),
            redirects,
            origin,
            rejected: None,
        }));
    }

    /// Where the node that is being connected to says to go instead.
    pub(super) fn follow(&mut self, now: Instant, trial: &Trial, url: &str, reason: &str) {
        let Some((target, path)) = trial.target.resolve(url) else {
            return self.trial_failed(now, trial, bad_redirect(url), false);
        };
        if trial.redirects >= REDIRECTS_MAX {
            let error = Error::TooManyRedirects {
                node: trial.origin.clone(),
                redirects: REDIRECTS_MAX,
            };
            return self.trial_failed(now, trial, error, false);
        }
        self.tell_redirect(&target, reason);
        let origin = trial.origin.clone();
        self.connect(now, target, &path, trial.redirects + 1, origin);
    }

    /// Connects where the current node says that the client belongs.
    fn start_move(&mut self, now: Instant, moving: &Move) {
        self.route.tried = 0;
        match moving.from.resolve(&moving.url) {
            Some((target, path)) => {
                self.tell_redirect(&target, &moving.reason);
                self.connect(now, target, &path, 1, moving.from.clone());
            }
            // The nodes that were given know better.
            None => self.attempt = Attempt::Waiting(now),
        }
    }

    fn tell_redirect(&mut self, target: &Target, reason: &str) {
        self.stats.redirects += 1;
        self.events.notice(Event::Redirected {
            to: target.to_string(),
            reason: reason.to_owned(),
        });
    }

    /// There will be no connection of this. `definite`: the same again would be refused again.
    pub(super) fn trial_failed(
        &mut self,
        now: Instant,
        trial: &Trial,
        error: Error,
        definite: bool,
    ) {
        // What a redirect led to says nothing about the nodes that were given: a ticket is spent,
        // a view was old.
        let definite = definite && trial.redirects == 0;
        self.route.definite = if definite { self.route.definite + 1 } else { 0 };
        let nodes = self.route.nodes.len();
        let hopeless = self.route.definite >= nodes;
        let first_round = !self.welcomed && !self.options.keep_trying;
        if self.current.is_none() && (hopeless || first_round && self.route.tried >= nodes) {
            self.attempt = Attempt::None;
            return self.finish(error);
        }
        self.route.next = (self.route.next + 1) % nodes;
        let until = if self.route.tried < nodes {
            now
        } else {
            self.route.tried = 0;
            after(now, self.backoff())
        };
        self.attempt = Attempt::Waiting(until);
    }

    fn backoff(&mut self) -> Duration {
        self.route.backoff.next(self.random.random())
    }

    /// The current connection is gone.
    pub(super) fn lost(&mut self, now: Instant, error: Error, reconnect: bool) {
        let Some(current) = self.current.take() else {
            return;
        };
        self.settle_lost(current.connection, &error);
        self.rooms.disconnected();
        if !reconnect {
            return self.finish(error);
        }
        if now.saturating_duration_since(current.since) >= STABLE {
            self.route.backoff.reset();
        }
        let mut retry_in = Duration::ZERO;
        match (&self.attempt, current.moving) {
            (Attempt::None | Attempt::Waiting(_), Some(moving)) => {
                self.start_move(now, &moving);
            }
            (Attempt::None, None) => {
                self.route.tried = 0;
                retry_in = self.backoff();
                self.attempt = Attempt::Waiting(after(now, retry_in));
            }
            (Attempt::Waiting(until), None) => retry_in = until.saturating_duration_since(now),
            (Attempt::Running(_), _) => {}
        }
        self.events.notice(Event::Disconnected { error, retry_in });
    }

    /// The trial is the current connection from here on, and the one before it leaves.
    pub(super) fn take_over(
        &mut self,
        now: Instant,
        trial: &Trial,
        heartbeat: Duration,
        message_bytes_max: usize,
    ) {
        let current = Current {
            connection: trial.connection,
            target: trial.target.clone(),
            since: now,
            liveness: Liveness::new(now, heartbeat),
            message_bytes_max,
            moving: None,
        };
        self.attempt = Attempt::None;
        self.route.tried = 0;
        self.route.definite = 0;
        self.rooms.disconnected();
        if let Some(before) = self.current.replace(current) {
            let leaving = Leaving {
                connection: before.connection,
                target: before.target,
                not_before: now + LINGER_MIN,
                by: now + LINGER_MAX,
            };
            if let Some(earlier) = self.leaving.replace(leaving) {
                self.let_go(&earlier);
            }
        }
    }

    fn let_go(&mut self, leaving: &Leaving) {
        self.outputs.push_back(Output::Close(leaving.connection));
        let error = Error::Broken {
            node: leaving.target.clone(),
            reason: "the client moved to another node".to_owned(),
        };
        self.settle_lost(leaving.connection, &error);
    }
}

fn bad_redirect(url: &str) -> Error {
    let url = url.split('?').next().unwrap_or_default().to_owned();
    Error::BadRedirect { url }
}

/// The path, with this position instead of any other.
fn with_position(path: &str, position: Option<&Position>) -> String {
    let Some(Position { epoch, offset }) = position else {
        return path.to_owned();
    };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let others = query.split('&').filter(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        !pair.is_empty() && name != "epoch" && name != "offset"
    });
    let mut parts: Vec<String> = others.map(str::to_owned).collect();
    parts.push(format!("epoch={}&offset={offset}", encoded(epoch)));
    format!("{path}?{}", parts.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_takes_the_place_of_an_older_one() {
        let position = Position::new("e-2", 7);
        for (path, expected) in [
            ("/ws?user=a", "/ws?user=a&epoch=e-2&offset=7"),
            ("/ws", "/ws?epoch=e-2&offset=7"),
            (
                "/ws?epoch=e-1&user=a&offset=3&hop=1&ticket=x",
                "/ws?user=a&hop=1&ticket=x&epoch=e-2&offset=7",
            ),
        ] {
            assert_eq!(with_position(path, Some(&position)), expected);
            assert_eq!(with_position(path, None), path);
        }
    }

    #[test]
    fn a_bad_redirect_does_not_show_its_ticket() {
        let error = bad_redirect("wss://b/ws?ticket=secret").to_string();
        assert!(error.contains("wss://b/ws") && !error.contains("secret"));
    }
}
