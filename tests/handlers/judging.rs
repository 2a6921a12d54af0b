//! What a handler says of messages and rooms, and what it does with its session.

use serde_json::json;

use crate::script::{Script, say};
use crate::support::{Client, PATIENCE};

/// What the host has said to this session.
#[track_caller]
fn heard(client: &mut Client) -> String {
    let message = client.find(PATIENCE, |m| m["type"] == "message" && m["from"] == "host");
    let message = message.expect("the host says something");
    assert_eq!(message["stream"], "inbox");
    assert!(message["offset"].is_null(), "it is not kept: {message}");
    message["body"].as_str().unwrap().to_owned()
}

#[track_caller]
fn ask(client: &mut Client, id: &str, order: &str) -> String {
    client.send_json(&say(&json!({"user": "host"}), id, order));
    let receipt = client.reply_to(id, PATIENCE);
    assert_eq!(receipt["status"], "sent", "{receipt}");
    heard(client)
}

#[test]
fn what_a_handler_lets_pass_arrives_as_it_was_sent() {
    let (ring, ..) = Script::start(3);
    let (mut alice, mut bob) = (ring.client("alice"), ring.client("bob"));
    alice.send_text(r#"{"type":"send","id":"1","to":{"user":"bob"},"body":{"a": 1.0 }}"#);
    assert_eq!(alice.reply_to("1", PATIENCE)["status"], "accepted");
    let text = bob.text(PATIENCE).unwrap();
    assert!(text.contains(r#""body":{"a": 1.0 }"#), "{text}");
}

#[test]
fn a_refused_message_fails_with_the_code_of_the_handler_and_goes_nowhere() {
    let (ring, ..) = Script::start(1);
    let (mut alice, mut bob) = (ring.client("alice"), ring.client("bob"));
    alice.send_json(&say(&json!({"user": "bob"}), "1", "refuse"));
    let error = &alice.reply_to("1", PATIENCE)["error"];
    let expected = json!({"code": "not_allowed", "message": "not that", "retry": false});
    assert_eq!(error, &expected);
    alice.send_json(&say(&json!({"user": "bob"}), "2", "limit"));
    let error = &alice.reply_to("2", PATIENCE)["error"];
    assert_eq!(
        (&error["code"], &error["retry"]),
        (&json!("rate_limited"), &json!(true))
    );
    // Its id is free.
    alice.send_json(&say(&json!({"user": "bob"}), "1", "hello"));
    assert_eq!(alice.reply_to("1", PATIENCE)["status"], "accepted");
    assert_eq!(bob.expect("message")["body"], "hello");
}

#[test]
fn a_rewritten_message_goes_where_the_handler_says_under_its_id() {
    let (ring, ..) = Script::start(3);
    let [from, to] = [ring.user_of(0, "from"), ring.user_of(1, "to")];
    let other = ring.user_of(2, "other");
    let mut clients = [&from, &to, &other].map(|user| ring.client(user));
    let [sender, receiver, bystander] = &mut clients;
    sender.send_json(&say(&json!({"user": other}), "1", &format!("to {to}")));
    let receipt = sender.reply_to("1", PATIENCE);
    assert_eq!(
        (&receipt["status"], &receipt["copies"]),
        (&json!("accepted"), &json!(2))
    );
    let message = receiver.expect("message");
    assert_eq!(
        (&message["body"], &message["id"]),
        (&json!("for you"), &json!("1"))
    );
    assert_eq!(message["from"], json!(from));
    bystander.assert_quiet_and_alive();
}

#[test]
fn a_message_that_a_handler_makes_too_large_fails() {
    let (ring, ..) = Script::start(1);
    let (mut alice, mut bob) = (ring.client("alice"), ring.client("bob"));
    // With its quotes it is one byte over the limit, and then as large as is allowed.
    for (id, length) in [("1", 65_535), ("2", 65_534)] {
        alice.send_json(&say(&json!({"user": "bob"}), id, &format!("long {length}")));
    }
    let error = &alice.reply_to("1", PATIENCE)["error"];
    assert_eq!(
        (&error["code"], &error["retry"]),
        (&json!("too_large"), &json!(false))
    );
    assert_eq!(alice.reply_to("2", PATIENCE)["status"], "accepted");
    assert_eq!(bob.expect("message")["id"], "2");
}

#[test]
fn a_handler_may_send_to_everyone_what_its_clients_may_not() {
    let (ring, ..) = Script::start(3);
    let mut all: Vec<_> = (0..3)
        .map(|node| ring.client(&ring.user_of(node, "u")))
        .collect();
    all[0].send_json(&json!({"type": "send", "id": "1", "to": "everyone", "body": "hello"}));
    assert_eq!(
        all[0].reply_to("1", PATIENCE)["error"]["code"],
        "not_allowed"
    );
    all[0].send_json(&say(&json!({"user": "nobody"}), "2", "all"));
    assert_eq!(all[0].reply_to("2", PATIENCE)["status"], "sent");
    for client in &mut all {
        let message = client.find(PATIENCE, |m| m["type"] == "message").unwrap();
        assert_eq!(
            (&message["stream"], &message["id"]),
            (&json!("everyone"), &json!("2"))
        );
    }
}

#[test]
fn an_answer_of_the_handler_comes_to_that_session_alone() {
    let (ring, ..) = Script::start(1);
    let (mut phone, mut laptop) = (ring.client("alice"), ring.client("alice"));
    assert_eq!(ask(&mut phone, "1", "count"), "1");
    laptop.assert_quiet_and_alive();
}

#[test]
fn a_session_keeps_values_of_its_own() {
    let (ring, ..) = Script::start(1);
    let (mut phone, mut laptop) = (ring.client("alice"), ring.client("alice"));
    for expected in 1..=3 {
        assert_eq!(
            ask(&mut phone, &expected.to_string(), "count"),
            expected.to_string()
        );
    }
    assert_eq!(ask(&mut laptop, "l1", "count"), "1");
    let address = ask(&mut phone, "w", "where");
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    assert_eq!(ask(&mut phone, "c", "claims"), "None");
}

#[test]
fn a_handler_puts_a_session_into_a_room_and_takes_it_out() {
    let (ring, ..) = Script::start(3);
    let [alice, bob] = [ring.user_of(0, "alice"), ring.user_of(1, "bob")];
    let (mut alice, mut bob) = (ring.client(&alice), ring.client(&bob));
    assert_eq!(ask(&mut alice, "1", "join lobby"), "Ok(())");
    bob.send_json(&say(&json!({"room": "lobby"}), "m1", "hello"));
    assert_eq!(bob.reply_to("m1", PATIENCE)["status"], "accepted");
    let message = alice
        .find(PATIENCE, |m| m["stream"] == "room:lobby")
        .unwrap();
    assert_eq!(message["body"], "hello");
    assert_eq!(ask(&mut alice, "2", "leave lobby"), "true");
    assert_eq!(ask(&mut alice, "3", "leave lobby"), "false");
    bob.send_json(&say(&json!({"room": "lobby"}), "m2", "anybody?"));
    assert_eq!(bob.reply_to("m2", PATIENCE)["status"], "accepted");
    alice.assert_quiet_and_alive();
}

#[test]
fn a_room_that_the_handler_refuses_is_not_joined() {
    let (ring, ..) = Script::start(1);
    let (mut alice, mut boss) = (ring.client("alice"), ring.client("boss"));
    let join = json!({"type": "join", "id": "1", "room": "staff"});
    alice.send_json(&join);
    let error = &alice.reply_to("1", PATIENCE)["error"];
    assert_eq!(
        (&error["code"], &error["message"]),
        (&json!("not_allowed"), &json!("for staff"))
    );
    boss.send_json(&join);
    assert_eq!(boss.reply_to("1", PATIENCE)["status"], "joined");
    // Of a list, those that are allowed.
    let rooms = json!([{"room": "staff"}, {"room": "lobby"}]);
    alice.send_json(&json!({"type": "join", "id": "2", "rooms": rooms}));
    let receipt = alice.reply_to("2", PATIENCE);
    assert_eq!(
        receipt["rooms"][0]["error"]["code"], "not_allowed",
        "{receipt}"
    );
    assert!(receipt["rooms"][1]["offset"].is_u64(), "{receipt}");
    alice.send_json(&json!({"type": "join", "id": "3", "rooms": [{"room": "staff"}]}));
    let receipt = alice.reply_to("3", PATIENCE);
    assert_eq!(receipt["status"], "joined", "{receipt}");
    assert_eq!(receipt["rooms"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        receipt["rooms"][0]["error"]["code"], "not_allowed",
        "a list has an outcome for each room, also if all are refused: {receipt}"
    );
    for (id, room) in [("s", "staff"), ("l", "lobby")] {
        boss.send_json(&say(&json!({"room": room}), id, "hello"));
        assert_eq!(boss.reply_to(id, PATIENCE)["status"], "accepted");
    }
    let message = alice.find(PATIENCE, |m| m["type"] == "message").unwrap();
    assert_eq!(message["stream"], "room:lobby");
}
