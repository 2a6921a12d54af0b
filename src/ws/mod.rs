//! The shell towards clients: sockets, the HTTP handshake, WebSocket frames.

mod admitted;
mod answer;
mod close;
mod heartbeat;
mod http;
mod pump;
mod responses;
mod scratch;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::admitted::Admitted;
use crate::accept::accept_all;
use crate::config::{Config, Limits};
use crate::core::admission::{Admission, AdmissionLimits};
use crate::core::frame::FrameLimits;
use crate::core::handshake::origin::AllowedOrigin;
use crate::core::rate::{Rate, TokenBucket};
use crate::core::trust::Principal;
use crate::dispatch::{Dispatch, Greeting};
use crate::handler::{Handle, Program};
use crate::trust::{ClientTls, Tokens};

/// What all connections of a node share.
pub(crate) struct Server {
    pub dispatch: Arc<Dispatch>,
    pub config: Arc<Config>,
    pub greeting: Arc<Greeting>,
    pub program: Option<Program>,
    pub handle: Handle,
    pub frames: FrameLimits,
    /// `None`: users are believed without tokens.
    pub tokens: Option<Tokens>,
    pub allowed_origins: Vec<AllowedOrigin>,
    pub locate_bucket: Mutex<TokenBucket>,
    /// Connections, and what their addresses do.
    pub admission: Mutex<Admission>,
    /// What each session may send.
    pub message_rate: Rate,
    /// `None`: clients speak plain HTTP.
    pub tls: Option<ClientTls>,
    /// From when on the limits count their time.
    pub started: Instant,
    /// Connections and sessions under way.
    pub tasks: TaskTracker,
    /// Ends everything at once.
    pub stop: CancellationToken,
}

impl Server {
    /// Accepts clients until the node stops.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        let counters = self.dispatch.counters();
        accept_all(listener, counters, &self.stop, |stream, remote| {
            self.accept(stream, remote);
        })
        .await;
    }

    /// What a session keeps of its user's proof: what the token says is for handlers alone.
    fn kept(&self, mut principal: Principal) -> Principal {
        if self.program.is_none() {
            principal.claims = None;
        }
        principal
    }

    fn accept(self: &Arc<Self>, stream: TcpStream, remote: SocketAddr) {
        self.dispatch.counters().connections.add();
        let Some(client) = Admitted::new(self, remote) else {
            return;
        };
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = client.serve(stream) => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// The time by which limits are kept.
    fn since_start(&self) -> Duration {
        self.started.elapsed()
    }
}

/// What a node with these limits takes on.
pub(crate) fn admission(limits: &Limits) -> Admission {
    let (rate, burst) = (limits.handshake_rate, limits.handshake_burst);
    Admission::new(AdmissionLimits {
        connections_max: limits.connections_max,
        per_address_max: limits.connections_per_address_max,
        handshakes: Rate::new(rate, burst),
        // Who makes twice as many has been told often enough.
        connects: Rate::new(rate.saturating_mul(2), burst.saturating_mul(2)),
        exempt: limits.exempt_networks.clone(),
    })
}
