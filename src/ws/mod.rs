//! The shell towards clients: sockets, the HTTP handshake, WebSocket frames.

mod close;
mod heartbeat;
mod http;
mod pump;
mod scratch;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::accept_all;
use crate::config::Config;
use crate::core::frame::FrameLimits;
use crate::core::handshake::origin::AllowedOrigin;
use crate::core::rate::TokenBucket;
use crate::dispatch::{Dispatch, Greeting};
use crate::handler::{Handle, Program};

/// What all connections of a node share.
pub(crate) struct Server {
    pub dispatch: Arc<Dispatch>,
    pub config: Arc<Config>,
    pub greeting: Arc<Greeting>,
    pub program: Option<Program>,
    pub handle: Handle,
    pub frames: FrameLimits,
    pub allowed_origins: Vec<AllowedOrigin>,
    pub locate_bucket: std::sync::Mutex<TokenBucket>,
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

    fn accept(self: &Arc<Self>, stream: TcpStream, remote: SocketAddr) {
        self.dispatch.counters().connections.add();
        let server = Arc::clone(self);
        self.tasks.spawn(async move {
            let stop = server.stop.clone();
            tokio::select! {
                () = http::serve(server, stream, remote) => {}
                () = stop.cancelled() => {}
            }
        });
    }
}
