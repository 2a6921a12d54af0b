//! A client connection that counts for the node's limits, from its first byte to its last.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{Server, http};
use crate::core::admission::{Admission, Limit, Verdict};
use crate::core::handshake::Rejection;
use crate::error::ErrorCode;

/// What is left at least of the handshake's time after that of TLS.
const HEAD_TIMEOUT_MIN: Duration = Duration::from_millis(1);

/// A connection that was taken on. It counts for as long as this lives.
pub(super) struct Admitted {
    pub server: Arc<Server>,
    pub remote: SocketAddr,
    verdict: Verdict,
}

impl Admitted {
    /// Takes a connection on, be it to say that there are too many; `None`: not even that. Boxed, since a task
    /// has room for each place through which a value goes.
    pub fn new(server: &Arc<Server>, remote: SocketAddr) -> Option<Box<Self>> {
        let verdict = server.admission(|admission, now| admission.open(remote.ip(), now));
        if let Verdict::Dropped(limit) = verdict {
            server.count_over(limit);
            return None;
        }
        Some(Box::new(Self {
            server: Arc::clone(server),
            remote,
            verdict,
        }))
    }

    /// Serves it to its end.
    pub async fn serve(self: Box<Self>, stream: TcpStream) {
        let head_timeout = self.server.config.limits.handshake_timeout;
        let Some(tls) = &self.server.tls else {
            return http::serve(self, stream, head_timeout).await;
        };
        let begun = Instant::now();
        let error = match timeout(head_timeout, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let left = head_timeout.saturating_sub(begun.elapsed());
                // A session keeps its socket in its task.
                let stream = Box::new(stream);
                return http::serve(self, stream, left.max(HEAD_TIMEOUT_MIN)).await;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("not done in {head_timeout:?}"),
        };
        self.server.dispatch.counters().tls_errors.add();
        tracing::debug!(remote = %self.remote, error, "a TLS handshake ended badly");
    }

    /// Counts a handshake, or a lookup. The limit that it is over, if there is one.
    pub fn handshake(&self) -> Option<TooMany> {
        let limit = match self.verdict {
            Verdict::Over(limit) | Verdict::Dropped(limit) => Some(limit),
            Verdict::Admitted => {
                let pass = self
                    .server
                    .admission(|admission, now| admission.handshake(self.remote.ip(), now));
                (!pass).then_some(Limit::Rate)
            }
        }?;
        self.server.count_over(limit);
        Some(TooMany::of(limit))
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let (from, verdict) = (self.remote.ip(), self.verdict);
        (self.server).admission(|admission, now| admission.close(from, verdict, now));
    }
}

/// What a client is told that comes when there are too many.
pub(super) struct TooMany {
    pub status: u16,
    pub code: ErrorCode,
    pub message: &'static str,
}

impl TooMany {
    fn of(limit: Limit) -> Self {
        match limit {
            Limit::Node => Self {
                status: 503,
                code: ErrorCode::Unreachable,
                message: "this node has as many connections as it may: try another, or again later",
            },
            Limit::Address => Self {
                status: 429,
                code: ErrorCode::RateLimited,
                message: "this address has as many connections as it may: try again later",
            },
            Limit::Rate => Self {
                status: 429,
                code: ErrorCode::RateLimited,
                message: "too many handshakes or lookups of this address: try again in a second",
            },
        }
    }
}

impl From<TooMany> for Rejection {
    fn from(too_many: TooMany) -> Self {
        Self::new(too_many.status, too_many.message)
    }
}

impl Server {
    fn admission<R>(&self, act: impl FnOnce(&mut Admission, Duration) -> R) -> R {
        let mut admission = self
            .admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        act(&mut admission, self.since_start())
    }

    fn count_over(&self, limit: Limit) {
        let counters = self.dispatch.counters();
        match limit {
            Limit::Node => counters.connections_over_limit.add(),
            Limit::Address => counters.connections_over_address_limit.add(),
            Limit::Rate => counters.handshakes_over_rate.add(),
        }
    }
}
