//! Accepting connections until the node stops, whatever goes wrong in between.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::dispatch::Counters;

/// How long to wait after `accept` failed: most likely there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(50);
/// How often that is logged at most.
const LOG_PAUSE: Duration = Duration::from_secs(10);

/// Hands every connection to `take`; a failure is counted, now and then logged, and waited out.
pub(crate) async fn accept_all(
    listener: TcpListener,
    counters: &Counters,
    stop: &CancellationToken,
    mut take: impl FnMut(TcpStream, SocketAddr),
) {
    let (mut logged, mut failures) = (None::<Instant>, 0_u64);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        match accepted {
            Ok((stream, remote)) => {
                // Answers are small and should leave at once.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%remote, %error, "cannot set TCP_NODELAY");
                }
                take(stream, remote);
            }
            Err(error) => {
                counters.accept_errors.add();
                failures += 1;
                if logged.is_none_or(|logged| logged.elapsed() >= LOG_PAUSE) {
                    logged = Some(Instant::now());
                    let at = listener.local_addr().ok();
                    tracing::warn!(?at, %error, failures, "cannot accept connections");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
