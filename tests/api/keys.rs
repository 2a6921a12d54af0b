//! Keys of backends.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use ringpost::api::GetUserRequest;
use ringpost::api::api_client::ApiClient;
use serde_json::json;
use tonic::Code;
use tonic::metadata::MetadataValue;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::message;
use crate::support::node::{self, BINARY};
use crate::support::{Cluster, Node, PATIENCE, Response, http, wait_until};

const KEY: &str = "first-key-0123456789abcdef";
const OTHER: &str = "other-key-0123456789abcdef";

/// A node that wants one of these keys, and the file that they are in.
fn node_with(keys: &str) -> (Cluster, PathBuf) {
    let mut cluster = Cluster::reserve(1);
    let file = cluster.directory.join("keys");
    fs::write(&file, keys).expect("the directory can be written to");
    let args = ["--api-keys-file".to_owned(), file.display().to_string()];
    cluster.nodes[0].args.extend(args);
    cluster.start_in_order(&[0]);
    wait_until(
        PATIENCE,
        "the node is ready, which it says without a key",
        || cluster.nodes[0].get_admin("/readyz").status == 200,
    );
    (cluster, file)
}

/// Puts something else into the file, at once: whoever reads it finds no half of it.
fn replace(file: &Path, keys: &str) {
    let new = file.with_extension("new");
    fs::write(&new, keys).expect("the directory can be written to");
    fs::rename(&new, file).expect("it is there");
}

fn ask(node: &Node, call: (&str, &str), authorization: &[&str], body: &str) -> Response {
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(authorization.iter().map(|value| ("Authorization", *value)));
    http::call(node.admin, call, &headers, body.as_bytes()).expect("an answer")
}

fn bearer(key: &str) -> String {
    format!("Bearer {key}")
}

/// The value of a counter, asked for with the key.
fn counted(node: &Node, name: &str) -> u64 {
    let metrics = ask(node, ("GET", "/metrics"), &[&bearer(KEY)], "").text();
    let line = format!("ringpost_{name}_total ");
    let value = metrics.lines().find_map(|text| text.strip_prefix(&line));
    value.expect("it is counted").parse().expect("a number")
}

#[test]
fn every_call_wants_a_key_but_those_that_tell_nothing() {
    let (cluster, _) = node_with(&format!("{KEY}\n{OTHER}\n"));
    let node = &cluster.nodes[0];
    let send = message("shop", "bob", "o1", &json!(1)).to_string();
    let calls = [
        ("POST", "/v1/send"),
        ("GET", "/v1/users/bob"),
        ("DELETE", "/v1/users/bob/sessions"),
        ("GET", "/v1/rooms/lobby"),
        ("GET", "/v1/cluster"),
        ("GET", "/metrics"),
        ("GET", "/v1/cluster/stats"),
        ("GET", "/v1/cluster/events"),
        ("GET", "/healthz/../metrics"),
    ];
    let wrong = bearer("wrong-key-0123456789abcdef");
    let (good, basic) = (bearer(KEY), format!("Basic {KEY}"));
    let mut refused = 0;
    for call in calls {
        for keys in [
            &[][..],
            &[wrong.as_str()],
            &[basic.as_str()],
            &[&good, &good],
            &[KEY],
        ] {
            let response = ask(node, call, keys, &send);
            assert_eq!(response.status, 401, "{call:?} {keys:?}");
            assert_eq!(response.header("www-authenticate"), Some("Bearer"));
            assert_eq!(response.header("cache-control"), Some("no-store"));
            assert_eq!(response.json()["error"]["code"], "not_allowed");
            assert!(!response.text().contains(KEY), "{response:?}");
            refused += 1;
        }
        for key in [KEY, OTHER] {
            let response = ask(node, call, &[&bearer(key)], &send);
            assert_ne!(response.status, 401, "{call:?}");
        }
    }
    for open in ["/healthz", "/readyz", "/"] {
        assert_eq!(ask(node, ("GET", open), &[], "").status, 200, "{open}");
        assert_eq!(
            ask(node, ("GET", open), &[&wrong], "").status,
            200,
            "{open}"
        );
    }
    assert_eq!(counted(node, "api_unauthorized"), refused);
    assert!(!node.log_text().contains(KEY));
}

#[test]
fn calls_of_grpc_want_a_key_and_health_does_not() {
    let (cluster, _) = node_with(KEY);
    let node = &cluster.nodes[0];
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let channel = crate::grpc::channel(node).await;
        let mut api = ApiClient::new(channel.clone());
        let about_bob = || GetUserRequest {
            user: "bob".to_owned(),
        };
        let status = api.get_user(about_bob()).await.expect_err("no key");
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        for (key, good) in [(OTHER, false), (KEY, true)] {
            let mut request = tonic::Request::new(about_bob());
            let value = MetadataValue::try_from(bearer(key)).expect("it is ASCII");
            request.metadata_mut().insert("authorization", value);
            let answer = api.get_user(request).await;
            assert_eq!(answer.is_ok(), good, "{answer:?}");
        }
        let mut reflection = ServerReflectionClient::new(channel.clone());
        let asked = tokio_stream::once(ServerReflectionRequest::default());
        let refused = reflection.server_reflection_info(asked).await;
        assert_eq!(refused.expect_err("no key").code(), Code::Unauthenticated);
        let mut health = HealthClient::new(channel);
        let asked = HealthCheckRequest::default();
        health.check(asked).await.expect("it needs none");
        // What nobody has to prove anything for is small, and over at once.
        let service = "s".repeat(2000);
        let large = health.check(HealthCheckRequest { service }).await;
        assert_eq!(large.expect_err("too large").code(), Code::OutOfRange);
        let endless = health.watch(HealthCheckRequest::default()).await;
        assert_eq!(endless.expect_err("no key").code(), Code::Unauthenticated);
    });
    assert_eq!(counted(node, "api_unauthorized"), 4);
}

#[test]
fn a_key_takes_the_place_of_another_without_a_restart() {
    let (cluster, file) = node_with(KEY);
    let node = &cluster.nodes[0];
    let status = |key: &str| ask(node, ("GET", "/v1/cluster"), &[&bearer(key)], "").status;
    assert_eq!((status(KEY), status(OTHER)), (200, 401));
    replace(&file, &format!("{KEY}\n{OTHER}\n"));
    wait_until(PATIENCE, "both are accepted", || {
        (status(KEY), status(OTHER)) == (200, 200)
    });
    replace(&file, "short");
    wait_until(
        PATIENCE,
        "a file without a good key changes nothing",
        || counted(node, "key_reload_errors") == 1,
    );
    assert_eq!((status(KEY), status(OTHER)), (200, 200));
    replace(&file, OTHER);
    wait_until(PATIENCE, "the old one is refused", || {
        (status(KEY), status(OTHER)) == (401, 200)
    });
}

#[test]
fn status_shows_the_cluster_with_a_key_and_says_that_it_lacks_one() {
    let (cluster, file) = node_with(KEY);
    let url = format!("http://{}", cluster.nodes[0].admin);
    let file = file.display().to_string();
    let (out, good) = node::run(&["status", "--node", &url, "--api-key-file", &file]);
    assert!(good && out.contains("n1"), "{out}");
    let output = Command::new(BINARY)
        .args(["status", "--node", &url])
        .output();
    let output = output.expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--api-key-file"), "{said}");
}

#[test]
fn who_watches_with_a_key_is_told_no_more_when_it_is_withdrawn() {
    let (cluster, file) = node_with(KEY);
    let node = &cluster.nodes[0];
    let mut stream = TcpStream::connect(node.admin).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!(
        "GET /v1/cluster/events HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\n\
         Connection: close\r\n\r\n",
        node.admin,
        bearer(KEY)
    );
    stream.write_all(request.as_bytes()).expect("a request");
    let mut begin = [0; 15];
    stream.read_exact(&mut begin).expect("an answer");
    assert_eq!(&begin, b"HTTP/1.1 200 OK");
    fs::write(&file, OTHER).expect("it is there");
    let mut page = [0; 4096];
    wait_until(PATIENCE, "the stream ends", || {
        stream.read(&mut page).expect("it goes on until then") == 0
    });
}
