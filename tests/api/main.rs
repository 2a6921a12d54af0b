//! The API for backends, over HTTP and over gRPC, on clusters of real processes.

mod disconnecting;
mod grpc;
mod keys;
mod openapi;
mod refusing;
mod rooms;
mod sending;
#[path = "../support/mod.rs"]
mod support;
mod users;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Client, Cluster, Node, Response, http};

/// A node that finds nobody takes itself for the first of its cluster after this.
const GRACE: Duration = Duration::from_secs(5);

/// One call with a JSON body.
#[track_caller]
fn call(node: &Node, method: &str, target: &str, body: &str) -> Response {
    let headers = [("Content-Type", "application/json")];
    let response = http::call(node.admin, (method, target), &headers, body.as_bytes());
    response.unwrap_or_else(|e| panic!("{} {method} {target}: {e}", node.id))
}

/// `POST /v1/send`: the status and the answer.
#[track_caller]
fn send(node: &Node, message: &Value) -> (u16, Value) {
    let response = call(node, "POST", "/v1/send", &message.to_string());
    (response.status, response.json())
}

fn message(from: &str, to: &str, id: &str, body: &Value) -> Value {
    json!({"from": from, "to": {"user": to}, "id": id, "body": body})
}

/// `GET /v1/users/ID`: the answer.
#[track_caller]
fn look_up(node: &Node, user: &str) -> Value {
    let response = call(node, "GET", &format!("/v1/users/{user}"), "");
    assert_eq!(response.status, 200, "{response:?}");
    response.json()
}

/// A session at the user's owner, or as a guest (`redirect=never`) wherever the node is not. Returns
/// the welcome, too.
#[track_caller]
fn session_at(cluster: &Cluster, index: usize, user: &str) -> (Client, Value) {
    let url = format!("{}&redirect=never", cluster.nodes[index].url(user));
    let mut client = Client::connect(&url).expect("101");
    let welcome = client.expect("welcome");
    (client, welcome)
}
