//! Traces of messages over nodes of real processes, as a collector gets them. Needs the feature `otel`.

mod support;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;
use support::{Client, Cluster, http, wait_until};
use tokio::runtime::Runtime;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Spans go in batches, every five seconds.
const EXPORTED: Duration = Duration::from_secs(20);

/// Every span with the node that sent it.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<(String, Span)>>>);

impl Spans {
    fn all(&self) -> MutexGuard<'_, Vec<(String, Span)>> {
        self.0.lock().expect("nobody has panicked with it")
    }
}

/// Takes spans until it is dropped.
struct Collector {
    spans: Spans,
    url: String,
    _runtime: Runtime,
}

struct Service(Spans);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.all();
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.expect("a resource").attributes;
            let mut named = attributes.into_iter();
            let node = named.find(|attribute| attribute.key == "service.instance.id");
            let node = node.and_then(|node| node.value?.value);
            let Some(Any::StringValue(node)) = node else {
                panic!("no node: {node:?}");
            };
            let all = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            spans.extend(all.map(|span| (node.clone(), span)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    fn start() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let spans = Spans::default();
        let service = TraceServiceServer::new(Service(spans.clone()));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a port");
        let address = listener.local_addr().expect("its address");
        let url = format!("http://{address}");
        let incoming = TcpIncoming::from(listener);
        let server = tonic::transport::Server::builder().add_service(service);
        runtime.spawn(server.serve_with_incoming(incoming));
        Self {
            spans,
            url,
            _runtime: runtime,
        }
    }

    /// Two nodes that send their spans here.
    fn cluster(&self, ratio: &str) -> Cluster {
        let flags = ["--otel-endpoint", &self.url, "--otel-sample-ratio", ratio];
        Cluster::of(2, &flags)
    }

    /// All spans, by name, once there are so many.
    #[track_caller]
    fn wait_for(&self, count: usize) -> Vec<(String, Span)> {
        wait_until(EXPORTED, "the spans have come", || {
            self.spans.all().len() >= count
        });
        let mut spans = self.spans.all().clone();
        spans.sort_by(|(_, one), (_, other)| one.name.cmp(&other.name));
        spans
    }
}

#[track_caller]
fn session_at(cluster: &Cluster, index: usize, user: &str) -> Client {
    let url = format!("{}&redirect=never", cluster.nodes[index].url(user));
    let mut client = Client::connect(&url).expect("101");
    client.expect("welcome");
    client
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

#[test]
fn one_trace_follows_a_kept_message_from_its_sender_to_the_owner() {
    let collector = Collector::start();
    let cluster = collector.cluster("1");
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice");
    let mut session = session_at(&cluster, 1, &bob);
    alice.keep_accepted(&bob, "m1", "1");
    session.expect_messages(&["m1"]);
    let spans = collector.wait_for(2);
    let [(owner, append), (taker, send)] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!((&*append.name, &**owner), ("ringpost append", "n2"));
    assert_eq!((&*send.name, &**taker), ("ringpost send", "n1"));
    assert_eq!(append.trace_id, send.trace_id);
    assert_eq!(append.parent_span_id, send.span_id);
    assert!(send.parent_span_id.is_empty(), "the trace starts there");
    assert!(send.end_time_unix_nano > send.start_time_unix_nano);
    let ids = send.attributes.iter().map(|a| (&*a.key, a.value.clone()));
    let id = ids
        .into_iter()
        .find(|(key, _)| *key == "messaging.message.id");
    let id = id.and_then(|(_, value)| value?.value);
    assert_eq!(id, Some(Any::StringValue("m1".to_owned())));
}

#[test]
fn a_backend_goes_on_with_its_trace_and_nothing_else_is_traced() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let collector = Collector::start();
    let cluster = collector.cluster("0");
    let bob = cluster.user_of(1, "bob");
    // A guest: the owner passes the message on.
    let mut session = session_at(&cluster, 0, &bob);
    let post = |id: &str, traceparent: &[(&str, &str)]| {
        let headers = [&[("Content-Type", "application/json")], traceparent].concat();
        let message = json!({"from": "shop", "to": {"user": bob}, "id": id, "qos": 0, "body": 1});
        let body = message.to_string();
        let admin = cluster.nodes[0].admin;
        let response = http::call(admin, ("POST", "/v1/send"), &headers, body.as_bytes());
        assert_eq!(response.expect("an answer").status, 200);
    };
    post("untraced", &[]);
    let not_sampled = format!("00-{TRACE}-b7ad6b7169203331-00");
    post("not-sampled", &[("traceparent", &not_sampled)]);
    let sampled = format!("00-{TRACE}-b7ad6b7169203331-01");
    post("traced", &[("traceparent", &sampled)]);
    session.expect_messages(&["untraced", "not-sampled", "traced"]);
    let spans = collector.wait_for(3);
    let told: Vec<(&str, &str)> = (spans.iter())
        .map(|(node, span)| (&*span.name, &**node))
        .collect();
    let deliver = "ringpost deliver";
    let mut nodes: Vec<&str> = told
        .iter()
        .filter(|(name, _)| *name == deliver)
        .map(|t| t.1)
        .collect();
    nodes.sort_unstable();
    assert_eq!(nodes, ["n1", "n2"], "{told:?}");
    assert_eq!(told[2], ("ringpost send", "n1"));
    for (_, span) in &spans {
        assert_eq!(hex(&span.trace_id), TRACE);
    }
    let by = |node: &str, name: &str| {
        let mut all = spans
            .iter()
            .filter(|(n, span)| n == node && span.name == name);
        &all.next().expect("it is there").1
    };
    let send = by("n1", "ringpost send");
    assert_eq!(hex(&send.parent_span_id), "b7ad6b7169203331");
    let owner = by("n2", deliver);
    assert_eq!(owner.parent_span_id, send.span_id);
    assert_eq!(by("n1", deliver).parent_span_id, owner.span_id);
}
