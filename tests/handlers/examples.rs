//! The examples that people copy, run as they are.

#[allow(dead_code)]
#[path = "../../examples/chat.rs"]
mod chat;
#[allow(dead_code)]
#[path = "../../examples/notify.rs"]
mod notify;

use serde_json::{Value, json};
use tokio::net::TcpListener;

use self::chat::Chat;
use crate::ring::Ring;
use crate::script::{say, user};
use crate::support::{Client, PATIENCE, http};

/// What the chat's host says next to a client.
#[track_caller]
fn host(client: &mut Client) -> String {
    let message = client.find(PATIENCE, |m| m["from"] == "the host");
    message.expect("a word")["body"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[track_caller]
fn find(client: &mut Client, fits: &Value) -> Value {
    let fields = fits.as_object().unwrap();
    // Who has lost its connection has left after five seconds.
    let found = client.find(2 * PATIENCE, |m| {
        fields.iter().all(|(name, value)| m[name] == *value)
    });
    found.unwrap_or_else(|| panic!("not seen: {fits}"))
}

fn chat_on(nodes: usize) {
    let ring = Ring::start(nodes, || Chat::new().unwrap());
    let alice = ring.user_of(0, "alice");
    let bob = ring.user_of(nodes - 1, "bob");
    let (mut a, welcome) = Client::welcomed(&format!("{}/ws?user={alice}", ring.url(0)));
    let id = welcome["session"].as_str().unwrap();
    assert_eq!(host(&mut a), format!("welcome, {alice}, your id is {id}"));
    // Nobody is read before it is in the lobby.
    a.assert_quiet_and_alive();
    let mut b = ring.client(&bob);
    assert!(host(&mut b).starts_with(&format!("welcome, {bob}, ")));
    b.assert_quiet_and_alive();
    find(
        &mut a,
        &json!({"type": "joined", "room": "lobby", "user": bob}),
    );
    // Broadcast: to all who are there, the sender too.
    a.send_json(&say(&json!({"room": "lobby"}), "1", "hello, all"));
    for client in [&mut a, &mut b] {
        let message = find(client, &json!({"type": "message", "stream": "room:lobby"}));
        assert_eq!(
            (&message["from"], &message["body"]),
            (&json!(alice), &json!("hello, all"))
        );
    }
    // Direct messages, both ways to write them.
    a.send_json(&say(
        &json!({"room": "lobby"}),
        "2",
        &format!("/msg {bob} hello, you"),
    ));
    a.send_json(&say(&json!({"user": bob}), "3", "the same"));
    for (id, body) in [("2", "hello, you"), ("3", "the same")] {
        assert_eq!(a.reply_to(id, PATIENCE)["status"], "accepted");
        let message = find(
            &mut b,
            &json!({"type": "message", "stream": "inbox", "id": id}),
        );
        assert_eq!(message["body"], body);
    }
    a.send_json(&say(&json!({"room": "lobby"}), "4", "/who"));
    assert_eq!(a.reply_to("4", PATIENCE)["status"], "sent");
    assert_eq!(host(&mut a), format!("{alice}, {bob}"));
    a.send_json(&json!({"type": "send", "id": "5", "to": {"user": bob}, "body": 7}));
    assert_eq!(a.reply_to("5", PATIENCE)["error"]["code"], "not_allowed");
    b.close();
    find(
        &mut a,
        &json!({"type": "left", "room": "lobby", "user": bob}),
    );
}

#[test]
fn the_chat_works_on_one_node() {
    chat_on(1);
}

#[test]
fn the_chat_works_on_three_nodes() {
    chat_on(3);
}

#[test]
fn the_notifier_reaches_users_on_every_node_now_or_later() {
    let ring = Ring::plain(3);
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = ring.runtime.block_on(TcpListener::bind(any)).unwrap();
    let address = listener.local_addr().unwrap();
    let serving = notify::serve(listener, user("shop"), ring.handle(0));
    ring.runtime.spawn(serving);
    let post = |target: &str, body: &[u8]| {
        http::call(address, ("POST", target), &[], body)
            .unwrap()
            .status
    };
    for node in 0..3 {
        let name = ring.user_of(node, "bob");
        let mut here = ring.client(&name);
        assert_eq!(
            post(&format!("/notify/{name}"), br#"{"text": "a parcel"}"#),
            202
        );
        let message = here.expect("message");
        let expected = (&json!("shop"), &json!({"text": "a parcel"}));
        assert_eq!((&message["from"], &message["body"]), expected);
    }
    assert_eq!(post("/notify/J%C3%BCrgen", b"\"later\""), 202);
    assert_eq!(
        ring.client("J%C3%BCrgen").expect("message")["body"],
        "later"
    );
    assert_eq!(post("/notify/bob", b"no JSON"), 400);
    assert_eq!(post("/notify/", b"1"), 400);
    assert_eq!(post("/elsewhere", b"1"), 404);
}
