//! The shell towards other nodes: gossip and links over gRPC.
//!
//! Gossip has connections of its own, so that a full link never makes a healthy node look dead.

mod connector;
mod gate;
mod gossip;
mod gossip_pool;
mod incoming;
mod links;
mod server;
mod stats;
mod stream;

use std::error::Error as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::gate::Gate;
pub(crate) use self::gossip::{Command, Driver, SeedList, membership};
pub(crate) use self::server::serve;

use crate::dispatch::Topology;
use crate::id::{Generation, NodeId, Shown};
use crate::wire::{PROTOCOL_VERSION, proto};

/// Characters of what a peer says of itself or of an error, in a log.
const REASON_CHARS_MAX: usize = 300;

/// Who this node is, as it says on every call.
#[derive(Debug)]
pub(crate) struct Identified {
    /// The cluster's name.
    pub cluster: String,
    /// This node.
    pub node: NodeId,
}

impl Identified {
    /// `generation` is the node's start, which it may learn only after it has started: if the clock
    /// went back, another one than it first took.
    fn caller(&self, generation: Generation) -> proto::Caller {
        proto::Caller {
            cluster: self.cluster.clone(),
            protocol_version: PROTOCOL_VERSION,
            node: self.node.as_str().to_owned(),
            generation: generation.0,
        }
    }
}

/// Carries the links of a node until it stops, and asks the members for their numbers while somebody watches.
pub(crate) fn spawn_links(
    gate: Arc<Gate>,
    me: Arc<Identified>,
    topologies: watch::Receiver<Arc<Topology>>,
    tasks: &TaskTracker,
    stop: CancellationToken,
) {
    let watcher = stats::Watcher::new(Arc::clone(&me), Arc::clone(&gate));
    tasks.spawn(watcher.run(stop.clone()));
    let tracker = tasks.clone();
    tasks.spawn(links::keep_links(gate, me, topologies, tracker, stop));
}

/// What the gossip service hands to the driver.
pub(crate) type Commands = mpsc::Sender<Command>;

/// Settings of HTTP/2, the same on both sides.
///
/// A stream window of 1 MiB and a connection window of 16 MiB, never adaptive: h2 takes many small
/// DATA frames that lie unread for an attack, and its budget is half the connection's window.
mod http2 {
    use std::time::Duration;

    use tonic::transport::{Endpoint, Server};

    pub(super) const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
    const STREAM_WINDOW: u32 = 1024 * 1024;
    const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
    /// A silent connection is asked for a sign of life this often …
    const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
    /// … and closed without one after this.
    const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(3);
    /// Calls under way on one connection: a link, packets and exchanges.
    const STREAMS_MAX: u32 = 256;
    /// Bytes of the header fields of one call: ours have some hundred.
    const HEADER_BYTES_MAX: u32 = 16 * 1024;
    /// Calls that were reset before anybody looked at them; more end the connection.
    const RESETS_MAX: usize = 32;

    pub(super) fn client(endpoint: Endpoint) -> Endpoint {
        endpoint
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true)
    }

    pub(super) fn server() -> Server {
        Server::builder()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .max_concurrent_streams(STREAMS_MAX)
            .http2_max_header_list_size(HEADER_BYTES_MAX)
            .http2_max_pending_accept_reset_streams(Some(RESETS_MAX))
            .http2_max_local_error_reset_streams(Some(RESETS_MAX))
    }
}

/// Says in the log that a peer refuses us, or is refused, at most every so often.
#[derive(Debug, Default)]
struct Refused {
    last: Option<Instant>,
}

impl Refused {
    const PAUSE: Duration = Duration::from_secs(10);

    fn log(&mut self, peer: &str, error: &tonic::Status) {
        let refused = [
            tonic::Code::FailedPrecondition,
            tonic::Code::PermissionDenied,
        ];
        if !refused.contains(&error.code()) {
            tracing::debug!(peer, error = %short(error), "cannot reach a peer");
            return;
        }
        if self.due() {
            tracing::warn!(peer, reason = %Shown::up_to(REASON_CHARS_MAX, error.message()), "a peer refuses this node");
        }
    }

    fn due(&mut self) -> bool {
        let now = Instant::now();
        let due = self.last.is_none_or(|last| now >= last + Self::PAUSE);
        if due {
            self.last = Some(now);
        }
        due
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What stands under these locks is changed in single steps: a panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a peer answered, for the log: its words are cut.
fn short(status: &tonic::Status) -> String {
    let message = Shown::up_to(REASON_CHARS_MAX, status.message());
    format!("{:?}: {message}", status.code())
}

fn with_causes(error: &tonic::transport::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
