//! Requests that are not acted on, and connections that ask for nothing.

use std::io::Read as _;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Cluster, Node, Response, http};
use crate::{GRACE, call, message};

/// The status and the error's code; checks the error's shape.
#[track_caller]
fn error(response: &Response) -> (u16, String) {
    assert_eq!(response.header("content-type"), Some("application/json"));
    let error = &response.json()["error"];
    assert!(error["message"].is_string(), "{response:?}");
    assert!(error["retry"].is_boolean(), "{response:?}");
    let code = error["code"].as_str().expect("a code");
    (response.status, code.to_owned())
}

#[track_caller]
fn post(node: &Node, headers: &[(&str, &str)], body: &[u8]) -> Response {
    let response = http::call(node.admin, ("POST", "/v1/send"), headers, body);
    response.unwrap_or_else(|e| panic!("{}: {e}", node.id))
}

#[test]
fn what_is_wrong_with_a_request_is_said_in_json() {
    let cluster = Cluster::of(1, &[]);
    let node = &cluster.nodes[0];
    let refused = |status: u16, code: &str| (status, code.to_owned());
    for body in ["", "{", "7", "null", "{} {}", "\"x\"", "{\"from\":"] {
        let response = call(node, "POST", "/v1/send", body);
        assert_eq!(error(&response), refused(400, "bad_request"), "{body}");
    }
    for (method, target) in [
        ("GET", "/v1/nothing"),
        ("POST", "/nothing"),
        ("GET", "/v1/users/"),
    ] {
        let response = call(node, method, target, "");
        let status = if target == "/v1/users/" { 400 } else { 404 };
        assert_eq!(error(&response), refused(status, "bad_request"), "{target}");
    }
    for (method, target, allow) in [
        ("GET", "/v1/send", "POST"),
        ("PUT", "/v1/users/bob", "GET, HEAD"),
        ("GET", "/v1/users/bob/sessions", "DELETE"),
        ("POST", "/v1/cluster", "GET, HEAD"),
    ] {
        let response = call(node, method, target, "");
        assert_eq!(error(&response), refused(405, "bad_request"), "{target}");
        assert_eq!(response.header("allow"), Some(allow), "{target}");
    }
    let wrong = message("shop", "bob", "o1", &json!(1));
    for (field, value, code, status) in [
        ("from", json!(null), "bad_request", 400),
        ("from", json!("a\n"), "bad_request", 400),
        ("to", json!("bob"), "bad_request", 400),
        ("to", json!({"room": ""}), "bad_request", 400),
        ("id", json!(""), "bad_request", 400),
        ("qos", json!(2), "bad_request", 400),
        ("notify", json!(1), "bad_request", 400),
    ] {
        let mut message = wrong.clone();
        message[field] = value;
        let response = call(node, "POST", "/v1/send", &message.to_string());
        assert_eq!(error(&response), refused(status, code), "{message}");
        let receipt = response.json();
        assert_eq!(receipt["status"], "failed", "{receipt}");
        assert_eq!(receipt.get("id").is_some(), field != "id", "{receipt}");
    }
}

#[test]
fn too_much_in_one_request_or_message_is_413() {
    let cluster = Cluster::of(1, &["--max-message-bytes", "2000"]);
    let node = &cluster.nodes[0];
    let too_large = (413, "too_large".to_owned());
    let large = message("shop", "bob", "o1", &json!("x".repeat(2000)));
    let response = call(node, "POST", "/v1/send", &large.to_string());
    assert_eq!(error(&response), too_large);
    assert_eq!(response.json()["id"], "o1");
    let list = format!("[{}]", vec!["{}"; 1001].join(","));
    assert_eq!(error(&call(node, "POST", "/v1/send", &list)), too_large);
    let json = [("Content-Type", "application/json")];
    let response = post(node, &json, &vec![b' '; 4 * 1024 * 1024 + 1]);
    assert_eq!(error(&response), too_large);
    let most = format!("[{}]", vec!["{}"; 1000].join(","));
    assert_eq!(call(node, "POST", "/v1/send", &most).status, 200);
}

#[test]
fn pages_of_a_browser_are_kept_out() {
    let cluster = Cluster::of(1, &[]);
    let node = &cluster.nodes[0];
    let body = message("shop", "bob", "o1", &json!(1)).to_string();
    // What any site's page may send without being asked first.
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let headers = [("Content-Type", kind), ("Sec-Fetch-Site", "cross-site")];
        let response = post(node, &headers, body.as_bytes());
        assert_eq!(error(&response), (415, "bad_request".to_owned()));
    }
    // As curl and others call whatever they post.
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    for headers in [&form[..], &[]] {
        assert_eq!(post(node, headers, body.as_bytes()).status, 200);
    }
    let own = format!("http://{}", node.admin);
    for origin in ["https://evil.example", "null", &own] {
        let headers = [("Origin", origin), ("Content-Type", "application/json")];
        let response = post(node, &headers, body.as_bytes());
        assert_eq!(error(&response), (403, "not_allowed".to_owned()));
        let grpc = [("Origin", origin), ("Content-Type", "application/grpc")];
        let response = post(node, &grpc, b"");
        assert_eq!(error(&response), (403, "not_allowed".to_owned()));
    }
    let kind = "application/json; charset=utf-8";
    let response = post(node, &[("Content-Type", kind)], body.as_bytes());
    assert_eq!(response.status, 200, "{response:?}");
}

#[test]
fn a_node_without_its_cluster_sends_nothing() {
    let body = message("shop", "bob", "o1", &json!(1)).to_string();
    for attempt in 1..=3 {
        let mut cluster = Cluster::reserve(2);
        let begun = Instant::now();
        // The other one never starts.
        cluster.start_in_order(&[0]);
        let node = &cluster.nodes[0];
        let sent = call(node, "POST", "/v1/send", &body);
        let found = call(node, "GET", "/v1/users/bob", "");
        // On a busy machine it may be too late: then it has a cluster.
        if begun.elapsed() < GRACE || attempt == 3 {
            for response in [sent, found] {
                assert_eq!(error(&response), (503, "unreachable".to_owned()));
            }
            return;
        }
    }
}

#[test]
fn a_connection_that_asks_for_nothing_is_closed() {
    let cluster = Cluster::of(1, &[]);
    let mut silent = TcpStream::connect(cluster.nodes[0].admin).expect("it listens");
    let patience = Duration::from_secs(20);
    silent.set_read_timeout(Some(patience)).expect("it is open");
    let read = silent.read(&mut [0; 100]).expect("closed in time");
    assert_eq!(read, 0);
}
