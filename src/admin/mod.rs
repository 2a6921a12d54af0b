//! The shell towards operators and backends: HTTP and gRPC on the admin address.

mod api;
mod cluster;
mod events;
mod exposition;
mod grpc;
mod guard;
mod metrics;
mod overview;
mod page;
mod process;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, ORIGIN, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::accept_all;
use crate::core::api::Fault;
use crate::core::api::reply;
use crate::core::api::route::{Call, route};
use crate::dispatch::Dispatch;
use crate::error::ErrorCode;
use crate::trust::{ApiKeys, Reloaded};

pub(crate) use self::events::Watchers;

type Body = tonic::body::Body;

/// What needs no key: probes, which tell nothing of the cluster.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// How long the head of a request may take, from the connection's first byte or the last answer.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may go without taking any of what is written to it. Who asks and does not read
/// would keep its place for ever.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at a time; more are closed at once. Backends keep a few each.
const CONNECTIONS_MAX: usize = 1024;
/// Requests at a time on one connection of HTTP/2.
const STREAMS_MAX: u32 = 256;
/// Bytes of the header fields of one request.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Header fields of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of HTTP/1.1 that are read ahead, and so of a request's head.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Requests of one connection of HTTP/2 that were reset before anybody looked at them; more end it.
const RESETS_MAX: usize = 32;
/// A silent connection of HTTP/2 is asked for a sign of life this often …
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// … and closed without one after this.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The admin server of one node.
pub(crate) struct Admin {
    pub dispatch: Arc<Dispatch>,
    /// Who may use it; `None`: whoever reaches it.
    pub api_keys: Option<Arc<Reloaded<ApiKeys>>>,
    /// The largest message of a client, and so of a backend.
    pub message_bytes_max: usize,
    /// Who watches the cluster.
    pub watchers: Watchers,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

impl Admin {
    /// Serves until the node stops.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        let grpc = grpc::service(&self);
        let counters = self.dispatch.counters();
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let is_loopback = listener
            .local_addr()
            .is_ok_and(|at| at.ip().to_canonical().is_loopback());
        accept_all(listener, counters, &self.stop, |stream, remote| {
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                counters.admin_connections_over_limit.add();
                tracing::debug!(%remote, "there are too many connections to the admin address");
                return;
            };
            let connection = Connection {
                admin: Arc::clone(&self),
                grpc: grpc.clone(),
                is_loopback,
            };
            self.spawn(async move {
                connection.serve(stream).await;
                drop(place);
            });
        })
        .await;
    }

    /// Runs a task until its end or the node's.
    fn spawn<F: Future<Output: Send> + Send + 'static>(&self, task: F) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                _ = task => {}
                () = stop.cancelled() => {}
            }
        });
    }
}

/// What HTTP/2 needs to run its requests.
#[derive(Clone)]
struct Executor(Arc<Admin>);

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// One connection, of whichever version of HTTP.
#[derive(Clone)]
struct Connection {
    admin: Arc<Admin>,
    grpc: grpc::Service,
    /// It is to be reached from this machine only, where any web site can try to.
    is_loopback: bool,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let asked = AtomicBool::new(false);
        let service = service_fn(|request| {
            asked.store(true, Ordering::Relaxed);
            let connection = self.clone();
            async move { Ok::<_, Infallible>(connection.answer(request).await) }
        });
        let mut builder = auto::Builder::new(Executor(Arc::clone(&self.admin)));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_headers(HEADERS_MAX)
            .max_buf_size(READ_BYTES_MAX)
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_BYTES_MAX)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_local_error_reset_streams(RESETS_MAX);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let stream = TokioIo::new(Box::pin(stream));
        let mut serving = pin!(builder.serve_connection(stream, service));
        // As long as nothing is asked for, nobody else gives up.
        let served = match tokio::time::timeout(HEADER_TIMEOUT, serving.as_mut()).await {
            Ok(served) => served,
            Err(_) if asked.load(Ordering::Relaxed) => serving.await,
            Err(_) => return,
        };
        if let Err(error) = served {
            tracing::debug!(%error, "an admin connection ended badly");
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        if self.is_loopback
            && self.admin.api_keys.is_none()
            && let Err(fault) = guard::refuse_strange_names(&request)
        {
            return refusal(&fault);
        }
        if let Some(page) = page::answer(request.method(), request.uri().path()) {
            return page;
        }
        if !self.admin.admits(&request) {
            self.admin.dispatch.counters().api_unauthorized.add();
            return if grpc::is_grpc(&request) {
                grpc::unauthorized()
            } else {
                refusal(&unauthorized())
            };
        }
        let answered = if grpc::is_grpc(&request) {
            match refuse_browsers(&request) {
                Ok(()) => Ok(grpc::call(self.grpc, request).await),
                Err(fault) => Err(fault),
            }
        } else {
            self.admin.call(request).await
        };
        answered.unwrap_or_else(|fault| refusal(&fault))
    }
}

impl Admin {
    /// Whether a request has a key, or needs none.
    fn admits<B>(&self, request: &Request<B>) -> bool {
        let path = request.uri().path();
        let is_open = if grpc::is_grpc(request) {
            grpc::is_open(path)
        } else {
            OPEN_PATHS.contains(&path)
        };
        let mut given = request.headers().get_all(AUTHORIZATION).iter();
        let one = given.next().filter(|_| given.next().is_none());
        is_open || self.admits_key(one)
    }

    /// Whether this is a key, as a header has it, or none is needed.
    fn admits_key(&self, given: Option<&HeaderValue>) -> bool {
        let Some(keys) = &self.api_keys else {
            return true;
        };
        given.is_some_and(|given| keys.now().admit(given.as_bytes()))
    }

    async fn call(self: &Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Fault> {
        let call = route(
            request.method().as_str(),
            request.uri().path(),
            request.uri().query().unwrap_or_default(),
        )?;
        if let Call::Send | Call::Sessions(_) | Call::Disconnect(_) | Call::Room(_) = &call {
            refuse_browsers(&request)?;
            self.has_cluster()?;
        }
        Ok(match call {
            Call::Cluster => json(StatusCode::OK, cluster::describe(&self.dispatch).into()),
            Call::Stats => {
                self.dispatch.look().await;
                json(StatusCode::OK, overview::all(&self.dispatch).into())
            }
            Call::Events => events::watch(self, request.headers())?,
            Call::Alive => text(StatusCode::OK, "ok\n".to_owned()),
            Call::Ready => match self.dispatch.why_not_ready() {
                None => text(StatusCode::OK, "ready\n".to_owned()),
                Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
            },
            Call::Metrics => {
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                let metrics = metrics::render(&self.dispatch);
                respond(StatusCode::OK, kind, metrics.into())
            }
            Call::Send => self.send(request).await?,
            Call::Sessions(user) => self.sessions(&user).await?,
            Call::Disconnect(user) => self.disconnect(&user).await?,
            Call::Room(query) => self.room(&query).await?,
        })
    }

    /// A node that knows nobody yet would take itself for everybody's owner.
    fn has_cluster(&self) -> Result<(), Fault> {
        if self.dispatch.has_joined() {
            return Ok(());
        }
        let message = "this node has not found its cluster yet: try another, or again in a second";
        Err(Fault::new(ErrorCode::Unreachable, message))
    }
}

fn unauthorized() -> Fault {
    let message = "a key of --api-keys-file is needed, as \"Authorization: Bearer KEY\"";
    Fault::with_status(401, ErrorCode::NotAllowed, message)
}

/// Any web site can make a browser ask loopback addresses for something, and even give them a name of
/// its own. Then there is an `Origin`, which backends have no reason to send.
fn refuse_browsers<B>(request: &Request<B>) -> Result<(), Fault> {
    if request.headers().contains_key(ORIGIN) {
        let message = "this is for backends, not for pages: a request with an Origin is refused";
        return Err(Fault::new(ErrorCode::NotAllowed, message));
    }
    Ok(())
}

fn refusal(fault: &Fault) -> Response<Body> {
    let status = status(fault.status);
    let mut response = json(status, reply::error(fault.code, &fault.message));
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    if let Some(allow) = fault.allow {
        let allow = HeaderValue::from_static(allow);
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    respond(status, "text/plain; charset=utf-8", text.into())
}

fn json(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = respond(status, "application/json", body);
    if matches!(status.as_u16(), 429 | 503) {
        let soon = HeaderValue::from_static("1");
        response.headers_mut().insert(RETRY_AFTER, soon);
    }
    response
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn status(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
