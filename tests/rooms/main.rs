//! Rooms and messages to everyone, on clusters of real processes: who gets what, who is told of whom,
//! and what crashes, restarts and joins of nodes change of that.

mod bounds;
mod catching_up;
mod events;
mod everyone;
mod joining;
mod presence;
mod sending;
#[path = "../support/mod.rs"]
mod support;
mod surviving;
mod wanderer;

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use support::client::outcome;
use support::kept::RECEIPT;
use support::{Client, Cluster, PATIENCE, Position};

/// Where every stream starts.
fn beginning() -> Position {
    Position {
        epoch: "0".to_owned(),
        offset: 0,
    }
}

/// A session at this node, whoever owns its user.
#[track_caller]
fn session_at(cluster: &Cluster, index: usize, user: &str) -> Client {
    let url = format!("{}&redirect=never", cluster.nodes[index].url(user));
    let mut client = Client::connect(&url).expect("101");
    let welcome = client.expect("welcome");
    assert_eq!(welcome["node"], cluster.nodes[index].id.as_str());
    client
}

/// Sends a request under an id of its own and returns the reply.
#[track_caller]
fn ask(client: &mut Client, mut request: Value) -> Value {
    static REQUESTS: AtomicU64 = AtomicU64::new(0);
    let id = format!("request{}", REQUESTS.fetch_add(1, Ordering::Relaxed));
    request["id"] = json!(id);
    client.send_json(&request);
    client.reply_to(&id, RECEIPT)
}

/// Joins a room from now on. Returns where that is.
#[track_caller]
fn join(client: &mut Client, room: &str) -> Position {
    let receipt = ask(client, json!({"type":"join","room":room}));
    assert_eq!(outcome(&receipt), "joined", "{receipt}");
    assert!(receipt.get("recovered").is_none(), "{receipt}");
    Position::of(&receipt)
}

/// Joins a room to have what came behind a position. Returns where that is, and whether everything
/// behind it is there.
#[track_caller]
fn join_since(client: &mut Client, room: &str, since: &Position) -> (Position, bool) {
    let receipt = ask(client, join_request(room, since));
    assert_eq!(outcome(&receipt), "joined", "{receipt}");
    let recovered = receipt["recovered"].as_bool();
    (
        Position::of(&receipt),
        recovered.expect("a position was given"),
    )
}

fn join_request(room: &str, since: &Position) -> Value {
    let since = json!({"epoch":since.epoch,"offset":since.offset});
    json!({"type":"join","room":room,"since":since})
}

#[track_caller]
fn leave(client: &mut Client, room: &str) {
    let receipt = ask(client, json!({"type":"leave","room":room}));
    assert_eq!(outcome(&receipt), "left", "{receipt}");
}

/// A `send` to a room.
fn to_room(room: &str, id: &str, body: &Value) -> Value {
    json!({"type":"send","id":id,"to":{"room":room},"body":body})
}

/// Sends a message to a room; it must be accepted.
#[track_caller]
fn send(client: &mut Client, room: &str, id: &str) {
    client.send_json(&to_room(room, id, &json!(1)));
    let receipt = client.reply_to(id, RECEIPT);
    assert_eq!(outcome(&receipt), "accepted", "{receipt}");
}

/// The next message, whatever else comes.
#[track_caller]
fn message(client: &mut Client) -> Value {
    let message = client.find(PATIENCE, |m| m["type"] == "message");
    message.unwrap_or_else(|| panic!("{}: no message", client.url))
}

/// The next messages have these ids.
#[track_caller]
fn expect_messages<T: AsRef<str>>(client: &mut Client, ids: &[T]) -> Vec<Value> {
    let messages = ids.iter().map(|id| {
        let message = message(client);
        assert_eq!(message["id"], id.as_ref(), "{}: {message}", client.url);
        message
    });
    messages.collect()
}

/// Who is in a room, page by page.
#[track_caller]
fn present(client: &mut Client, room: &str) -> Vec<String> {
    let mut users = Vec::new();
    let mut after = Value::Null;
    loop {
        let mut request = json!({"type":"presence","room":room});
        if !after.is_null() {
            request["after"] = after;
        }
        let page = ask(client, request);
        assert_eq!(
            (&page["type"], &page["room"]),
            (&json!("presence"), &json!(room)),
            "{page}"
        );
        let named = page["users"].as_array().expect("a list");
        users.extend(named.iter().filter_map(Value::as_str).map(str::to_owned));
        after = page["next"].clone();
        if after.is_null() {
            assert_eq!(page["count"], users.len(), "{page}");
            return users;
        }
    }
}

/// Everything but `joined` and `left` that a session was sent and that nobody has taken: nothing, and
/// it still works.
#[track_caller]
fn assert_no_message(client: &mut Client) {
    client.send_json(&json!({"type":"ping","id":"alive?"}));
    let next = client.find(PATIENCE, |m| m["type"] == "message" || m["id"] == "alive?");
    assert_eq!(next.expect("a pong")["type"], "pong");
}
