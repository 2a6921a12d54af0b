//! Brings events of users to the operator's webhook: a task and a connection for each lane.
//!
//! What to send, when, and what an answer means is decided in [`crate::core::webhook`].

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::HeaderValue;
use hyper::http::response::Parts;
use hyper::{Method, Request, Response, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, ConfigError, Secret, http_url};
use crate::core::webhook::{HEADER, LANES, LaneConfig, Verdict, header as signature};
use crate::dispatch::{Dispatch, Webhooks};
use crate::id::Generation;

/// What is read of an answer, whose status is all that counts; one that is longer, or does not end in the
/// time of its request, costs its connection.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// What an event takes in its lane beside a message, at most.
const EVENT_BYTES_MAX: usize = 1024;

/// The webhooks of one node, before they are started.
pub(crate) struct Webhook {
    receiver: Receiver,
    /// What waits for the receiver.
    pub webhooks: Arc<Webhooks>,
}

struct Receiver {
    host: String,
    port: u16,
    authority: HeaderValue,
    /// Path and query.
    target: Uri,
    secret: Secret,
    timeout: Duration,
}

impl Webhook {
    /// The webhooks that the configuration asks for, if it does.
    pub fn new(config: &Config, generation: Generation) -> Result<Option<Self>, ConfigError> {
        let webhook = &config.webhook;
        let Some(url) = &webhook.url else {
            return Ok(None);
        };
        let unusable = |reason| ConfigError {
            key: "webhook-url",
            value: url.clone(),
            reason,
        };
        let receiver = Receiver::new(url, webhook.secret()?, webhook.timeout).map_err(unusable)?;
        let least = config.limits.message_bytes_max + EVENT_BYTES_MAX;
        let lane = LaneConfig {
            // Users are spread evenly over the lanes.
            bytes_max: (webhook.queue_bytes_max / LANES).max(least),
            retry_for: webhook.retry_for,
        };
        let origin = (config.id.clone(), generation);
        Ok(Some(Self {
            receiver,
            webhooks: Arc::new(Webhooks::new(origin, webhook.events.clone(), lane)),
        }))
    }

    /// Sends what comes until the node stops.
    pub fn spawn(self, dispatch: &Arc<Dispatch>, tasks: &TaskTracker, stop: &CancellationToken) {
        let receiver = Arc::new(self.receiver);
        for lane in 0..LANES {
            let sender = Sender {
                dispatch: Arc::clone(dispatch),
                webhooks: Arc::clone(&self.webhooks),
                receiver: Arc::clone(&receiver),
                lane,
                connection: None,
            };
            let stop = stop.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = sender.run() => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }
}

impl Receiver {
    fn new(url: &str, secret: Secret, timeout: Duration) -> Result<Self, String> {
        let uri = http_url(url)?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let host = uri.host().unwrap_or_default();
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(80),
            authority: HeaderValue::from_str(authority).map_err(|error| error.to_string())?,
            target: target.parse().map_err(|error| format!("{error}"))?,
            secret,
            timeout,
        })
    }

    fn request(&self, body: Bytes) -> Request<Full<Bytes>> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = since.map_or(0, |since| since.as_secs());
        let signature = signature(self.secret.bytes(), seconds, &body);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.target.clone();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.authority.clone());
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        let agent = concat!("ringpost/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        // Digits, letters and punctuation: always a header's value.
        if let Ok(signature) = HeaderValue::from_str(&signature) {
            headers.insert(HEADER, signature);
        }
        request
    }
}

/// One lane on its way.
struct Sender {
    dispatch: Arc<Dispatch>,
    webhooks: Arc<Webhooks>,
    receiver: Arc<Receiver>,
    lane: usize,
    /// It is kept for the next request; its only task drives it, and ends with it.
    connection: Option<(SendRequest<Full<Bytes>>, JoinSet<()>)>,
}

impl Sender {
    async fn run(mut self) {
        loop {
            let body = Bytes::from(self.webhooks.next_body(self.lane).await);
            let timeout = self.receiver.timeout;
            let deadline = Instant::now() + timeout;
            let asked = timeout_at(deadline, self.post(body)).await;
            match asked.unwrap_or_else(|_| Err(format!("no answer within {timeout:?}"))) {
                Ok(answer) => {
                    let (head, body) = answer.into_parts();
                    self.settle(verdict(&head), &format!("it answered {}", head.status));
                    self.pass_over(body, deadline).await;
                }
                Err(reason) => {
                    // Nobody knows whether the receiver has it.
                    self.connection = None;
                    self.settle(Verdict::Again(Duration::ZERO), &reason);
                }
            }
        }
    }

    fn settle(&self, verdict: Verdict, why: &str) {
        self.dispatch
            .webhook_settled(&self.webhooks, self.lane, verdict, why);
    }

    /// Returns the answer as soon as its head is there.
    async fn post(&mut self, body: Bytes) -> Result<Response<Incoming>, String> {
        let request = self.receiver.request(body);
        (self.connection().await?.send_request(request).await)
            .map_err(|error| format!("the request failed: {error}"))
    }

    /// Reads the body of an answer, so that the connection can be kept.
    async fn pass_over(&mut self, body: Incoming, deadline: Instant) {
        let read = Limited::new(body, ANSWER_BYTES_MAX).collect();
        if !matches!(timeout_at(deadline, read).await, Ok(Ok(_))) {
            self.connection = None;
        }
    }

    /// The connection of the last request, if it still is one, or a new one.
    async fn connection(&mut self) -> Result<&mut SendRequest<Full<Bytes>>, String> {
        let kept = match self.connection.take() {
            None => None,
            Some(mut kept) => kept.0.ready().await.is_ok().then_some(kept),
        };
        let kept = match kept {
            None => self.connect().await?,
            Some(kept) => kept,
        };
        Ok(&mut self.connection.insert(kept).0)
    }

    async fn connect(&self) -> Result<(SendRequest<Full<Bytes>>, JoinSet<()>), String> {
        let Receiver { host, port, .. } = &*self.receiver;
        let failed =
            |error: &dyn std::fmt::Display| format!("no connection to {host}:{port}: {error}");
        let stream = TcpStream::connect((host.as_str(), *port))
            .await
            .map_err(|error| failed(&error))?;
        // A request must not wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let (sender, driven) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(&error))?;
        let mut task = JoinSet::new();
        task.spawn(async move {
            // Whoever sends hears of the error, too.
            let _ = driven.await;
        });
        Ok((sender, task))
    }
}

/// What an answer says of its request.
fn verdict(head: &Parts) -> Verdict {
    let retry_after = head.headers.get(header::RETRY_AFTER);
    let retry_after = retry_after.and_then(|value| value.to_str().ok());
    Verdict::of(head.status.as_u16(), retry_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart_into_where_to_connect_and_what_to_ask_for() {
        let mut config = crate::Config::new(crate::id::NodeId::new("n1").unwrap());
        let dir = std::env::temp_dir();
        let file = dir.join(format!("ringpost-webhook-{}", std::process::id()));
        std::fs::write(&file, "secret\n").unwrap();
        config.webhook.secret_file = Some(file.clone());
        let secret = config.webhook.secret().unwrap();
        std::fs::remove_file(file).unwrap();
        assert_eq!(secret.bytes(), b"secret");
        for (url, host, port, target) in [
            ("http://hooks.example", "hooks.example", 80, "/"),
            ("http://[::1]:8000/a?b=c", "::1", 8000, "/a?b=c"),
            ("http://127.0.0.1:1/", "127.0.0.1", 1, "/"),
        ] {
            let receiver = Receiver::new(url, secret.clone(), Duration::ZERO).unwrap();
            assert_eq!((&*receiver.host, receiver.port), (host, port), "{url}");
            assert_eq!(receiver.target.to_string(), target, "{url}");
        }
    }
}
