//! The same over gRPC, on the same port.

use std::time::{Duration, Instant};

use ringpost::api::api_client::ApiClient;
use ringpost::api::{self, DisconnectRequest, GetUserRequest, SendBatchRequest, SendRequest};
use tokio::runtime::Runtime;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::support::{Cluster, Node, PATIENCE, Signal, wait_until, within};
use crate::{GRACE, look_up, message, send, session_at};

fn runtime() -> Runtime {
    Runtime::new().expect("a runtime")
}

pub async fn channel(node: &Node) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{}", node.admin));
    let endpoint = endpoint.expect("a URL").timeout(Duration::from_secs(20));
    endpoint.connect().await.expect("it listens")
}

fn request(to: &str, id: &str, body: &str) -> SendRequest {
    SendRequest {
        from: "shop".to_owned(),
        to: Some(api::Target {
            to: Some(api::target::To::User(to.to_owned())),
        }),
        id: id.to_owned(),
        body: body.to_owned().into(),
        ..SendRequest::default()
    }
}

#[test]
fn messages_are_sent_and_answered_as_over_http() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut session = session_at(&cluster, 2, &bob).0;
    runtime().block_on(async {
        for (index, node) in cluster.nodes.iter().enumerate() {
            let mut client = ApiClient::new(channel(node).await);
            let id = format!("m{index}");
            let order = request(&bob, &id, "{ \"n\" : 1.0 }");
            let receipt = client.send(order).await.expect("a receipt").into_inner();
            assert_eq!(
                (&receipt.id, receipt.status()),
                (&id, api::Status::Accepted)
            );
            assert_eq!((receipt.copies, receipt.duplicate), (2, false));
            let unkept = SendRequest {
                qos: api::Qos::AtMostOnce.into(),
                ..request(&bob, "now", "1")
            };
            let receipt = client.send(unkept).await.expect("a receipt").into_inner();
            assert_eq!(receipt.status(), api::Status::Sent);
        }
    });
    let text = session.text(PATIENCE).expect("a message");
    assert!(text.contains("\"body\":{ \"n\" : 1.0 },"), "{text}");
    // The two ways are one.
    let (_, receipt) = send(&cluster.nodes[0], &message("shop", &bob, "m2", &1.into()));
    assert_eq!(receipt["duplicate"], true, "{receipt}");
}

#[test]
fn a_list_is_answered_in_its_order() {
    let cluster = Cluster::of(2, &[]);
    let users = [0, 1].map(|index| cluster.user_of(index, "u"));
    let mut messages: Vec<_> = (0..100)
        .map(|n| request(&users[n % 2], &format!("m{n}"), &n.to_string()))
        .collect();
    messages[7].body = "{".into();
    messages[8].id = String::new();
    messages[9].qos = api::Qos::AtMostOnce.into();
    let receipts = runtime().block_on(async {
        let mut client = ApiClient::new(channel(&cluster.nodes[0]).await);
        let sent = client.send_batch(SendBatchRequest { messages }).await;
        let too_many = SendBatchRequest {
            messages: vec![SendRequest::default(); 1001],
        };
        let refused = client.send_batch(too_many).await.expect_err("too many");
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");
        sent.expect("receipts").into_inner().receipts
    });
    assert_eq!(receipts.len(), 100);
    for (number, receipt) in receipts.iter().enumerate() {
        let code = receipt.error.as_ref().map(|error| error.code.as_str());
        match number {
            7 => assert_eq!((&*receipt.id, code), ("m7", Some("bad_request"))),
            8 => assert_eq!((&*receipt.id, code), ("", Some("bad_request"))),
            9 => assert_eq!((&*receipt.id, code), ("m9", Some("offline"))),
            _ => {
                assert_eq!(receipt.id, format!("m{number}"));
                assert_eq!(receipt.status(), api::Status::Accepted, "{receipt:?}");
            }
        }
    }
    let mut session = session_at(&cluster, 0, &users[0]).0;
    for number in (0..100).step_by(2).filter(|number| *number != 8) {
        assert_eq!(session.expect("message")["body"], number);
    }
}

#[test]
fn a_user_is_looked_up_and_disconnected() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut home = session_at(&cluster, 1, &bob).0;
    let mut guest = session_at(&cluster, 0, &bob).0;
    let told = look_up(&cluster.nodes[0], &bob);
    let user = || bob.clone();
    runtime().block_on(async {
        let mut client = ApiClient::new(channel(&cluster.nodes[2]).await);
        let found = client.get_user(GetUserRequest { user: user() }).await;
        let found = found.expect("bob").into_inner();
        assert_eq!((found.user.as_str(), found.online), (bob.as_str(), true));
        for (session, told) in found
            .sessions
            .iter()
            .zip(told["sessions"].as_array().expect("two"))
        {
            assert_eq!(told["node"], session.node.as_str());
            assert_eq!(told["session"], session.session.as_str());
            assert_eq!(told["since"], session.since_ms);
        }
        assert_eq!(found.sessions.len(), 2);
        let closed = client.disconnect(DisconnectRequest { user: user() }).await;
        assert_eq!(closed.expect("an answer").into_inner().closed, 2);
        let nobody = client.get_user(GetUserRequest::default()).await;
        assert_eq!(nobody.expect_err("no user").code(), Code::InvalidArgument);
    });
    for session in [&mut home, &mut guest] {
        assert_eq!(session.read_to_close(PATIENCE).1, Some(4510));
    }
}

async fn health(node: &Node, service: &str) -> ServingStatus {
    let mut client = HealthClient::new(channel(node).await);
    let service = service.to_owned();
    let answer = client.check(HealthCheckRequest { service }).await;
    let answer: HealthCheckResponse = answer.expect("an answer").into_inner();
    answer.status()
}

#[test]
fn the_service_is_healthy_when_the_node_is_ready() {
    let mut cluster = Cluster::reserve(2);
    let runtime = runtime();
    let all_are = |node: &Node, expected: ServingStatus| {
        let mut services = ["", "ringpost.v1.Api"].into_iter();
        services.all(|service| runtime.block_on(health(node, service)) == expected)
    };
    for attempt in 1..=3 {
        let begun = Instant::now();
        cluster.start_in_order(&[0]);
        // It knows nobody yet.
        let node = &cluster.nodes[0];
        let told = within(PATIENCE, || all_are(node, ServingStatus::NotServing));
        let refused = runtime.block_on(async {
            let mut client = ApiClient::new(channel(node).await);
            client.send(request("bob", "o1", "1")).await
        });
        // On a busy machine it may be too late: then it has a cluster.
        if begun.elapsed() < GRACE || attempt == 3 {
            assert!(told.is_some(), "it is said not to be ready");
            assert_eq!(refused.expect_err("no cluster").code(), Code::Unavailable);
            break;
        }
        cluster.nodes[0].signal(Signal::Kill);
    }
    // Then it takes itself for the first of its cluster.
    wait_until(PATIENCE, "it is ready", || {
        all_are(&cluster.nodes[0], ServingStatus::Serving)
    });
}

#[test]
fn reflection_tells_what_there_is() {
    let cluster = Cluster::of(1, &[]);
    runtime().block_on(async {
        let mut client = ServerReflectionClient::new(channel(&cluster.nodes[0]).await);
        let ask = |message_request| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(message_request),
        };
        let questions = tokio_stream::iter([
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol(
                "ringpost.v1.Api.Send".into(),
            )),
        ]);
        let answers = client.server_reflection_info(questions).await;
        let mut answers = answers.expect("answers").into_inner();
        let mut next = async || -> ServerReflectionResponse {
            let answer = answers.message().await.expect("no error");
            answer.expect("an answer")
        };
        let Some(MessageResponse::ListServicesResponse(services)) = next().await.message_response
        else {
            panic!("no list of services");
        };
        let names: Vec<_> = services.service.iter().map(|s| s.name.as_str()).collect();
        for name in ["ringpost.v1.Api", "grpc.health.v1.Health"] {
            assert!(names.contains(&name), "{names:?}");
        }
        let found = next().await.message_response;
        assert!(
            matches!(&found, Some(MessageResponse::FileDescriptorResponse(file))
                if !file.file_descriptor_proto.is_empty()),
            "{found:?}"
        );
    });
}
