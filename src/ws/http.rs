//! The HTTP side of `--listen`: the WebSocket handshake, `/locate` and `/healthz`.

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::Instrument as _;

use super::admitted::Admitted;
use super::{Server, close, pump};
use crate::config::RedirectLocation;
use crate::core::handshake::query::Query;
use crate::core::handshake::redirect::RedirectMode;
use crate::core::handshake::{self, Head, Rejection, origin, redirect};
use crate::core::protocol::{Reason, Reply};
use crate::dispatch::{Protocol, Session, SessionConfig};
use crate::error::{CloseCode, ErrorCode};
use crate::handler::Program;
use crate::id::{NodeId, UserId};

const NO_USER: &str = "no user: this node takes it from ?user=";

const STOPPING: &str = "this node is about to stop: try another";

const STARTING: &str = "this node has not found its cluster yet: try another, or again in a second";

type Body = Full<Bytes>;

/// A handshake that was answered with 101: what the connection becomes.
enum Accepted {
    Session(SessionConfig),
    /// Nothing but this frame and a Close frame.
    Goodbye {
        reply: Bytes,
        code: CloseCode,
        reason: &'static str,
    },
}

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
                user = %session.0.user(), session = %session.0.id(), remote = %client.remote);
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

struct Answer<'a> {
    server: &'a Arc<Server>,
    client: &'a Admitted,
}

impl Answer<'_> {
    fn answer(&self, request: &Request<Incoming>) -> (Response<Body>, Option<Accepted>) {
        let uri = request.uri();
        let head = Head {
            method: request.method().as_str(),
            http11: request.version() == Version::HTTP_11,
            path_and_query: uri.path_and_query().map_or("/", |target| target.as_str()),
            headers: request.headers(),
        };
        let answered = match head.path() {
            "/ws" => self.websocket(&head),
            "/locate" => Ok((self.locate(&head), None)),
            "/healthz" => Ok((text(StatusCode::OK, "ok\n"), None)),
            _ => Ok((
                text(
                    StatusCode::NOT_FOUND,
                    "there are /ws, /locate and /healthz\n",
                ),
                None,
            )),
        };
        answered.unwrap_or_else(|rejection| {
            self.server.dispatch.counters().handshakes_refused.add();
            tracing::debug!(status = rejection.status, reason = %rejection.message, "refused");
            (rejected(&rejection), None)
        })
    }

    fn websocket(&self, head: &Head<'_>) -> Result<(Response<Body>, Option<Accepted>), Rejection> {
        let upgrade = handshake::check_upgrade(head)?;
        let query = Query::parse(head.query())?;
        let mode = redirect::mode(query.redirect, head.headers);
        let encoding = upgrade.encoding();
        let error = |code, message| Reply::Error { code, message }.frame(encoding);
        let switched = |promised| {
            let response = switching(&upgrade.accept, upgrade.subprotocol);
            Ok((response, Some(promised)))
        };
        if let Some(too_many) = self.client.handshake() {
            return if mode == RedirectMode::Frame {
                switched(Accepted::Goodbye {
                    reply: error(too_many.code, too_many.message),
                    code: CloseCode::TryLater,
                    reason: too_many.message,
                })
            } else {
                Err(too_many.into())
            };
        }
        if let Err(refused) = self.check_origin(head) {
            if mode == RedirectMode::Frame && query.redirect.is_some() {
                return switched(Accepted::Goodbye {
                    reply: error(ErrorCode::NotAllowed, &refused.message),
                    code: CloseCode::NotAllowed,
                    reason: "origin not allowed",
                });
            }
            return Err(refused);
        }
        let Some(user) = query.user.clone() else {
            if mode == RedirectMode::Frame {
                return switched(Accepted::Goodbye {
                    reply: error(ErrorCode::NotAllowed, NO_USER),
                    code: CloseCode::Unauthorized,
                    reason: "no user",
                });
            }
            return Err(no_user());
        };
        let onward = Query::onward(head.query());
        if let (Some((node, url)), true) = (
            self.owner_to_go_to(&user, &onward),
            may_redirect(&query, mode),
        ) {
            self.server.dispatch.counters().redirects.add();
            return if mode == RedirectMode::Frame {
                let redirect = Reply::Redirect {
                    url: &url,
                    reason: Reason::NotOwner,
                    after_ms: None,
                };
                switched(Accepted::Goodbye {
                    reply: redirect.frame(encoding),
                    code: CloseCode::Redirect,
                    reason: "not the owner",
                })
            } else {
                Ok((
                    redirected(&node, &url, self.server.config.redirect_location),
                    None,
                ))
            };
        }
        let dispatch = &self.server.dispatch;
        let not_serving = if dispatch.is_draining() {
            Some(STOPPING)
        } else if dispatch.has_joined() {
            None
        } else {
            Some(STARTING)
        };
        if let Some(reason) = not_serving {
            return if mode == RedirectMode::Frame {
                switched(Accepted::Goodbye {
                    reply: error(ErrorCode::Unreachable, reason),
                    code: CloseCode::TryLater,
                    reason,
                })
            } else {
                Err(Rejection::new(503, reason))
            };
        }
        let raw = matches!(self.server.program, Some(Program::Frames(_)));
        switched(Accepted::Session(SessionConfig {
            user,
            onward: Query::onward_later(head.query()).into_boxed_str(),
            resume: query.resume,
            protocol: if raw {
                Protocol::Raw
            } else {
                Protocol::of(encoding, Arc::clone(&self.server.greeting))
            },
            may_move: mode != RedirectMode::Never,
            outbound_bytes_max: self.server.config.limits.outbound_bytes_max,
        }))
    }

    /// The owner of the user and the URL there, if that is another node that can be reached.
    fn owner_to_go_to(&self, user: &UserId, onward: &str) -> Option<(NodeId, String)> {
        let topology = self.server.dispatch.topology();
        let owner = topology.owner_elsewhere(user.as_str())?;
        topology.is_reachable(&owner.id).then(|| {
            let url = redirect::target_url(&owner.url, onward);
            (owner.id.clone(), url)
        })
    }

    fn check_origin(&self, head: &Head<'_>) -> Result<Option<String>, Rejection> {
        let topology = self.server.dispatch.topology();
        let urls = topology.view.members.iter().map(|member| &*member.url);
        let allowed = &self.server.allowed_origins;
        origin::allowed(allowed, head.host(), urls, head.headers).map_err(Rejection::from)
    }

    fn locate(&self, head: &Head<'_>) -> Response<Body> {
        let origin = match self.check_origin(head) {
            Ok(origin) => origin,
            Err(refused) => return no_store(rejected(&refused)),
        };
        let response = match (self.client.handshake(), head.method) {
            (Some(too_many), _) => rejected(&too_many.into()),
            (None, "OPTIONS") => preflight(),
            (None, "GET" | "HEAD") => self
                .located(head)
                .unwrap_or_else(|rejection| rejected(&rejection)),
            (None, _) => {
                let mut response =
                    text(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed here\n");
                put(&mut response, header::ALLOW, "GET, HEAD, OPTIONS");
                response
            }
        };
        let mut response = no_store(response);
        if let Some(origin) = origin {
            put(&mut response, header::ACCESS_CONTROL_ALLOW_ORIGIN, &origin);
            put(&mut response, header::VARY, "Origin");
        }
        response
    }

    fn located(&self, head: &Head<'_>) -> Result<Response<Body>, Rejection> {
        let pass = {
            let bucket = &self.server.locate_bucket;
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            bucket.take(Instant::now())
        };
        if !pass {
            self.server.dispatch.counters().locates_over_rate.add();
            let mut response = text(StatusCode::TOO_MANY_REQUESTS, "too many lookups\n");
            put(&mut response, header::RETRY_AFTER, "1");
            return Ok(response);
        }
        let query = Query::parse(head.query())?;
        let user = query.user.ok_or_else(no_user)?;
        if !self.server.dispatch.has_joined() {
            return Err(Rejection::new(503, STARTING));
        }
        let topology = self.server.dispatch.topology();
        let view = &topology.view;
        let owner = topology
            .owner_elsewhere(user.as_str())
            .or_else(|| view.me());
        let owner = owner.ok_or_else(|| Rejection::new(503, "this node is not in its view"))?;
        let url = redirect::target_url(&owner.url, &Query::onward(head.query()));
        let digest = view.digest().to_string();
        let body = redirect::locate_body(&user, &owner.id, &url, &digest);
        Ok(json(StatusCode::OK, body))
    }
}

/// A client that comes by a redirect is never sent on, and one that wants to stay is not sent.
fn may_redirect(query: &Query, mode: RedirectMode) -> bool {
    !query.hop && mode != RedirectMode::Never
}

fn no_user() -> Rejection {
    Rejection::new(401, NO_USER)
}

fn switching(accept: &str, subprotocol: Option<&'static str>) -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    put(&mut response, header::UPGRADE, "websocket");
    put(&mut response, header::CONNECTION, "Upgrade");
    put(&mut response, header::SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = subprotocol {
        put(&mut response, header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    response
}

fn redirected(node: &NodeId, url: &str, form: RedirectLocation) -> Response<Body> {
    let body = redirect::redirect_body(node, url);
    let mut response = no_store(json(StatusCode::TEMPORARY_REDIRECT, body));
    put(
        &mut response,
        header::LOCATION,
        &redirect::location(url, form),
    );
    // The client goes elsewhere: it has no more use for this connection.
    put(&mut response, header::CONNECTION, "close");
    response
}

fn rejected(rejection: &Rejection) -> Response<Body> {
    let status = StatusCode::from_u16(rejection.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut response = text(status, &format!("{}\n", rejection.message));
    for (name, value) in rejection.headers {
        put(&mut response, HeaderName::from_static(name), value);
    }
    if matches!(rejection.status, 429 | 503) {
        put(&mut response, header::RETRY_AFTER, "1");
    }
    // Whatever follows a bad handshake is not worth reading.
    if !response.headers().contains_key(header::CONNECTION) {
        put(&mut response, header::CONNECTION, "close");
    }
    response
}

fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    put(&mut response, header::ACCESS_CONTROL_ALLOW_METHODS, "GET");
    put(
        &mut response,
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Authorization",
    );
    put(&mut response, header::ACCESS_CONTROL_MAX_AGE, "600");
    response
}

fn no_store(mut response: Response<Body>) -> Response<Body> {
    put(&mut response, header::CACHE_CONTROL, "no-store");
    response
}

fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    put(&mut response, header::CONTENT_TYPE, "application/json");
    response
}

fn text(status: StatusCode, body: &str) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = status;
    put(
        &mut response,
        header::CONTENT_TYPE,
        "text/plain; charset=utf-8",
    );
    response
}

/// Sets a header; a value that cannot stand in one is left out.
fn put(response: &mut Response<Body>, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
