//! The page and its small API, over HTTP/1.1.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use ringpost::client::Target;
use ringpost::client::http;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::assets::{self, Asset};
use super::cluster::Cluster;
use super::guard::Guard;
use super::machine::{Machine, Refused, State};
use super::ring::Drawn;

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after `accept` failed: most likely there are no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A node that does not say how it is within this time is shown without it.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(1);

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

type Answer = Response<Full<Bytes>>;

/// What is served, and the nodes it is about.
pub struct Page {
    cluster: Cluster,
    guard: Guard,
    policy: HeaderValue,
    ring: Drawn,
}

impl Page {
    pub fn new(cluster: Cluster, guard: Guard) -> Self {
        let policy = policy(cluster.places());
        Self {
            cluster,
            guard,
            policy,
            ring: Drawn::default(),
        }
    }

    /// Serves for ever.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(Arc::clone(&self).serve_connection(stream));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for the page");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve_connection(self: Arc<Self>, stream: TcpStream) {
        let service = service_fn(|request| {
            let page = Arc::clone(&self);
            async move { Ok::<_, Infallible>(page.answer(&request).await) }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "a connection for the page ended badly");
        }
    }

    /// Ends all nodes at once.
    pub async fn end(&self) {
        self.cluster.end().await;
    }

    async fn answer<B>(&self, request: &Request<B>) -> Answer {
        let mut answer = match self.guard.may_read(request.headers()) {
            Ok(()) => self.route(request).await,
            Err(why) => sentence(StatusCode::FORBIDDEN, why),
        };
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        for (name, value) in [
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "same-origin"),
            (
                HeaderName::from_static("cross-origin-opener-policy"),
                "same-origin",
            ),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
    }

    async fn route<B>(&self, request: &Request<B>) -> Answer {
        let (path, query) = (request.uri().path(), request.uri().query());
        let order = path
            .strip_prefix("/api/nodes/")
            .and_then(|rest| rest.split_once('/'));
        let adds = path == "/api/nodes" && request.method() == Method::POST;
        if adds || order.is_some() {
            if request.method() != Method::POST {
                return only_allowed("POST");
            }
            return match (self.guard.may_change(request.headers()), order) {
                (Ok(()), Some((id, order))) => self.order(id, order).await,
                (Ok(()), None) => done(self.cluster.add().await),
                (Err(why), _) => sentence(StatusCode::FORBIDDEN, why),
            };
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return only_allowed("GET, HEAD");
        }
        match path {
            "/api/nodes" => respond(JSON, self.nodes().await.to_string()),
            "/api/cluster" => match self.seen().await {
                Some(said) => respond(JSON, said),
                None => nobody(),
            },
            "/api/ring" => self.draw(query.unwrap_or_default()).await,
            "/api/addresses" => respond(JSON, self.addresses().to_string()),
            _ => match assets::find(path) {
                Some(Asset { kind, text, .. }) => respond(kind, *text),
                None => sentence(StatusCode::NOT_FOUND, "there is nothing here"),
            },
        }
    }

    async fn order(&self, id: &str, order: &str) -> Answer {
        let Some(machine) = self.cluster.find(id) else {
            return sentence(StatusCode::NOT_FOUND, "there is no such node");
        };
        let obeyed = match order {
            "start" => self.cluster.restart(machine).await,
            "stop" => machine.stop().await,
            "kill" => machine.kill().await,
            _ => return sentence(StatusCode::NOT_FOUND, "a node can start, stop and kill"),
        };
        done(obeyed.map(|()| machine))
    }

    /// Every node, with what it says about itself if it runs.
    async fn nodes(&self) -> Value {
        let mut nodes = Vec::new();
        for machine in self.cluster.machines() {
            let said = match machine.state() {
                State::Running | State::Stopping => ask(machine).await,
                State::Stopped => None,
            };
            let said = said.and_then(|text| serde_json::from_slice(&text).ok());
            nodes.push(describe(machine, said.as_ref()));
        }
        nodes.into()
    }

    /// The cluster as the first running node sees it, in its own words.
    async fn seen(&self) -> Option<Bytes> {
        for state in [State::Running, State::Stopping] {
            let machines = self.cluster.machines().iter();
            for machine in machines.filter(|machine| machine.state() == state) {
                if let Some(said) = ask(machine).await {
                    return Some(said);
                }
            }
        }
        None
    }

    /// The ring as that node sees it.
    async fn draw(&self, query: &str) -> Answer {
        let seen = self.seen().await;
        match seen.and_then(|seen| self.ring.describe(&seen, query)) {
            Some(ring) => respond(JSON, ring.to_string()),
            None => nobody(),
        }
    }

    /// Where clients may find a node now or later. Most listen; for those that do not yet, clients
    /// that are refused try the next.
    fn addresses(&self) -> Value {
        let urls = self.cluster.places().iter().map(Machine::url);
        urls.collect::<Vec<_>>().into()
    }
}

/// What became of an order.
fn done(done: Result<&Machine, Refused>) -> Answer {
    match done {
        Ok(machine) => respond(JSON, describe(machine, None).to_string()),
        Err(refused @ (Refused::State { .. } | Refused::Full(_))) => {
            sentence(StatusCode::CONFLICT, &refused.to_string())
        }
        Err(refused @ Refused::Failed(_)) => {
            sentence(StatusCode::INTERNAL_SERVER_ERROR, &refused.to_string())
        }
    }
}

fn nobody() -> Answer {
    sentence(StatusCode::SERVICE_UNAVAILABLE, "no node is running")
}

fn describe(machine: &Machine, said: Option<&Value>) -> Value {
    let field = |name: &str| said.and_then(|said| said.get(name));
    json!({
        "id": machine.id(),
        "url": machine.url(),
        "peer": machine.peer().to_string(),
        "admin": format!("http://{}", machine.admin()),
        "state": machine.state().as_str(),
        "sessions": field("sessions"),
        "guests": field("guests"),
        "digest": field("digest"),
    })
}

/// A node's `/v1/cluster`.
async fn ask(machine: &Machine) -> Option<Bytes> {
    let admin: Target = machine.admin().to_string().parse().ok()?;
    let answer = http::get(&admin, "/v1/cluster");
    let answer = tokio::time::timeout(ADMIN_TIMEOUT, answer)
        .await
        .ok()?
        .ok()?;
    (answer.status == StatusCode::OK).then_some(answer.body)
}

/// Everything from here, and connections to the nodes and nowhere else.
fn policy(machines: &[Machine]) -> HeaderValue {
    let mut policy = "default-src 'self'; base-uri 'none'; form-action 'none'; object-src 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; connect-src 'self'"
        .to_owned();
    for machine in machines {
        let at = machine.client();
        // Writing to a String cannot fail.
        let _ = write!(policy, " ws://{at} http://{at}");
    }
    HeaderValue::try_from(policy).expect("words and addresses are visible ASCII")
}

fn only_allowed(methods: &'static str) -> Answer {
    let mut answer = sentence(StatusCode::METHOD_NOT_ALLOWED, "not with this method");
    let methods = HeaderValue::from_static(methods);
    answer.headers_mut().insert(header::ALLOW, methods);
    answer
}

fn sentence(status: StatusCode, text: &str) -> Answer {
    let mut answer = respond(TEXT, format!("{text}\n"));
    *answer.status_mut() = status;
    answer
}

fn respond(kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
