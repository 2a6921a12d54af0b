//! The HTTP side of `--listen`: connections, until they become WebSockets or end.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::Instrument as _;

use super::admitted::Admitted;
use super::answer::{Accepted, Answer};
use super::{Server, close, pump};
use crate::dispatch::{Session, SessionConfig};
use crate::id::Shown;

/// What a client is connected by: TCP, or TLS over it.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

/// Serves one client connection, from the first byte of HTTP to its last. `head_timeout` is what the head of
/// a request may take.
pub(super) async fn serve<S: Stream>(client: Box<Admitted>, stream: S, head_timeout: Duration) {
    // The future of the HTTP part is large, and an idle session should not carry it along.
    let http = Box::pin(shake_hands(&client, stream, head_timeout)).await;
    let Some((stream, already_read, accepted)) = http else {
        return;
    };
    // A task of its own: this one is as large as its largest moment.
    let (stop, tasks) = (client.server.stop.clone(), client.server.tasks.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = run(client, stream, already_read, accepted) => {}
            () = stop.cancelled() => {}
        }
    });
}

async fn run<S: Stream>(client: Box<Admitted>, stream: S, already_read: Bytes, accepted: Accepted) {
    let server = &client.server;
    match accepted {
        Accepted::Session(config) => {
            let session = Opened::new(server, config);
            // At debug level: a span of its own would cost every idle session half a kilobyte.
            let span = tracing::debug_span!("session", node = %server.dispatch.me(),
                user = %Shown::new(session.0.user().as_str()), session = %session.0.id(),
                remote = %client.remote);
            pump::run(server, (&session.0, client.remote), stream, already_read)
                .instrument(span)
                .await;
        }
        Accepted::Goodbye {
            reply,
            code,
            reason,
        } => {
            close::say_goodbye(stream, &server.frames, &reply, code, reason).await;
        }
    }
}

/// A session in the directory, for as long as this lives.
struct Opened<'a>(Arc<Session>, &'a Server);

impl<'a> Opened<'a> {
    fn new(server: &'a Server, config: SessionConfig) -> Self {
        Self(server.dispatch.open(config), server)
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        self.1.dispatch.close(&self.0);
    }
}

/// A connection that has not become a WebSocket ends after so many times what a handshake may take.
const HANDSHAKES: u32 = 6;

/// Answers HTTP requests until one becomes a WebSocket. Returns the socket, what was read behind
/// the handshake, and what was promised.
async fn shake_hands<S: Stream>(
    client: &Admitted,
    stream: S,
    head_timeout: Duration,
) -> Option<(S, Bytes, Accepted)> {
    let server = &client.server;
    let accepted: Arc<Mutex<Option<Accepted>>> = Arc::default();
    let slot = Arc::clone(&accepted);
    let answered = AtomicUsize::new(0);
    let service = service_fn(|request: Request<Incoming>| {
        answered.fetch_add(1, Ordering::Relaxed);
        let (response, promised) = Answer { server, client }.answer(&request);
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = promised;
        async move { Ok::<_, Infallible>(response) }
    });
    let limits = &server.config.limits;
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(limits.headers_max)
        .max_buf_size(limits.header_bytes_max)
        .serve_connection(TokioIo::new(stream), service);
    let connection = Box::pin(connection.without_shutdown());
    let parts = tokio::select! {
        ended = connection => match ended {
            Ok(parts) => parts,
            Err(error) => {
                let first = answered.load(Ordering::Relaxed) == 0;
                if error.is_parse() || error.is_timeout() && first {
                    server.dispatch.counters().handshakes_refused.add();
                }
                tracing::debug!(%error, "a handshake ended badly");
                return None;
            }
        },
        () = stuck(&answered, limits.handshake_timeout * 2) => return None,
        // Nobody keeps a place by asking for something else, again and again.
        () = tokio::time::sleep(limits.handshake_timeout * HANDSHAKES) => return None,
    };
    let promised = accepted
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    let stream = parts.io.into_inner();
    if promised.is_none() {
        close::end_http(stream).await;
        return None;
    }
    // Not the buffer itself: it has 8 KiB, and an idle session would keep them.
    let already_read = Bytes::copy_from_slice(&parts.read_buf);
    promised.map(|promised| (stream, already_read, promised))
}

/// Ends when no request was answered for so long: the client does not read its answers, for how long a
/// request may take to come in is bounded elsewhere.
async fn stuck(answered: &AtomicUsize, time: Duration) {
    let mut before = None;
    loop {
        let now = answered.load(Ordering::Relaxed);
        if before.replace(now) == Some(now) {
            return;
        }
        tokio::time::sleep(time).await;
    }
}
