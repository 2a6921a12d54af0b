//! The shell towards operators: HTTP on the admin address.

mod cluster;
mod metrics;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept::accept_all;
use crate::dispatch::Dispatch;

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// The admin server of one node.
pub(crate) struct Admin {
    pub dispatch: Arc<Dispatch>,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

impl Admin {
    /// Serves until the node stops.
    pub async fn run(self: Arc<Self>, listener: TcpListener) {
        let counters = self.dispatch.counters();
        accept_all(listener, counters, &self.stop, |stream, _| {
            let (admin, stop) = (Arc::clone(&self), self.stop.clone());
            self.tasks.spawn(async move {
                tokio::select! {
                    () = admin.serve(stream) => {}
                    () = stop.cancelled() => {}
                }
            });
        })
        .await;
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request| {
            let response = self.answer(&request);
            async move { Ok::<_, Infallible>(response) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "an admin connection ended badly");
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is allowed here\n");
            response
                .headers_mut()
                .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/v1/cluster" => {
                let state = cluster::describe(&self.dispatch);
                respond(StatusCode::OK, "application/json", state)
            }
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => match self.dispatch.why_not_ready() {
                None => text(StatusCode::OK, "ready\n"),
                Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n")),
            },
            "/metrics" => {
                let kind = "text/plain; version=0.0.4; charset=utf-8";
                respond(StatusCode::OK, kind, metrics::render(&self.dispatch))
            }
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /v1/cluster, /healthz, /readyz and /metrics\n",
            ),
        }
    }
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", text.to_owned())
}

fn respond(status: StatusCode, kind: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    headers.insert(
        CACHE_CONTROL,
        hyper::header::HeaderValue::from_static("no-store"),
    );
    response
}
