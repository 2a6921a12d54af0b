//! Messages on their way from session to session.

use serde_json::{Value, json};

use crate::support::client::{outcome, send_text};
use crate::support::{Client, Cluster, PATIENCE};
use crate::{RECEIPT, kept_at};

/// Asserts that the text has these keys in this order, compact, and none of the others.
#[track_caller]
fn assert_keys(text: &str, keys: &[&str], absent: &[&str]) {
    let mut from = 0;
    for key in keys {
        let key = format!("\"{key}\":");
        let at = text[from..].find(&key);
        from += at.unwrap_or_else(|| panic!("{key} is not there in its place: {text}"));
    }
    assert!(text.starts_with("{\"type\":\""), "{text}");
    let value: Value = serde_json::from_str(text).expect("it is JSON");
    assert_eq!(value.to_string().len(), text.len(), "not compact: {text}");
    for key in absent {
        assert!(value.get(key).is_none(), "{key} is there: {text}");
    }
}

#[test]
fn welcome_comes_first_and_says_where_the_client_is() {
    let cluster = Cluster::of(2, &[]);
    let mut client = Client::connect_following(&cluster.nodes[0].url("alice"));
    let text = client.text(PATIENCE).expect("a message");
    let keys = [
        "type",
        "user",
        "session",
        "node",
        "epoch",
        "offset",
        "heartbeat_ms",
        "max_message_bytes",
    ];
    assert_keys(&text, &keys, &["recovered"]);
    let welcome: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(welcome["user"], "alice");
    assert_eq!(welcome["heartbeat_ms"], 25_000);
    assert_eq!(welcome["max_message_bytes"], 65_536);
    let (_, other) = Client::welcomed(&cluster.nodes[1].url("alice"));
    assert!(welcome["session"].is_string(), "{welcome}");
    assert_ne!(welcome["session"], other["session"]);
}

#[test]
fn messages_travel_between_users_of_every_pair_of_nodes() {
    let cluster = Cluster::of(3, &[]);
    let mut users: Vec<_> = (0..3)
        .map(|index| {
            let user = cluster.user_of(index, "u");
            let (client, welcome) = Client::welcomed(&cluster.nodes[2 - index].url(&user));
            assert_eq!(welcome["node"], cluster.nodes[index].id.as_str());
            (user, client)
        })
        .collect();
    for from in 0..3 {
        for to in 0..3 {
            let (recipient, id) = (users[to].0.clone(), format!("m-{from}-{to}"));
            let sender = &mut users[from].1;
            assert_eq!(sender.deliver(&recipient, &id, "[1, 2]"), "sent");
            let name = users[from].0.clone();
            let client = &mut users[to].1;
            let text = client.text(PATIENCE).expect("a message");
            let parsed: Value = serde_json::from_str(&text).expect("it is JSON");
            assert_eq!(parsed["type"], "message");
            assert_eq!(parsed["stream"], "inbox");
            assert_eq!(parsed["id"], id.as_str());
            assert_eq!(parsed["from"], name.as_str());
            assert_eq!(parsed["to"], json!({ "user": recipient }));
            assert!(
                parsed["ts"]
                    .as_u64()
                    .is_some_and(|ts| ts > 1_700_000_000_000)
            );
            let compact = text.replace("[1, 2]", "[1,2]");
            let keys = ["type", "stream", "id", "from", "to", "body", "ts"];
            assert_keys(&compact, &keys, &["epoch", "offset"]);
            assert!(text.contains(r#""body":[1, 2],"#), "{text}");
        }
    }
    for (_, client) in &mut users {
        client.assert_quiet_and_alive();
    }
}

#[test]
fn every_session_of_a_user_gets_the_message_once_wherever_it_is() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut sessions: Vec<_> = [0, 0, 1, 1, 2]
        .map(|index| kept_at(&cluster, index, &bob))
        .into();
    for index in 0..3 {
        let alice = cluster.user_of(index, "alice");
        let mut alice = Client::welcomed(&cluster.nodes[index].url(&alice)).0;
        assert_eq!(alice.deliver(&bob, "m1", "\"hi\""), "sent");
        for session in &mut sessions {
            assert_eq!(session.expect("message")["body"], "hi");
            session.assert_quiet_and_alive();
        }
    }
}

#[test]
fn a_guest_sends_and_gets_messages() {
    let cluster = Cluster::of(3, &[]);
    let (bob, alice) = (cluster.user_of(1, "bob"), cluster.user_of(2, "alice"));
    let mut bobs = kept_at(&cluster, 0, &bob);
    for index in 0..3 {
        let mut alices = kept_at(&cluster, index, &alice);
        assert_eq!(alices.deliver(&bob, "to-bob", "1"), "sent");
        assert_eq!(bobs.expect("message")["from"], alice.as_str());
        assert_eq!(bobs.deliver(&alice, "to-alice", "2"), "sent");
        assert_eq!(alices.expect("message")["from"], bob.as_str());
        alices.close();
    }
}

#[test]
fn messages_of_one_sender_arrive_in_their_order() {
    let cluster = Cluster::of(3, &[]);
    let (alice, bob) = (cluster.user_of(0, "alice"), cluster.user_of(1, "bob"));
    let mut alices = Client::welcomed(&cluster.nodes[0].url(&alice)).0;
    let (mut at_owner, mut guest) = (kept_at(&cluster, 1, &bob), kept_at(&cluster, 2, &bob));
    for number in 0..500 {
        alices.send_to(&bob, &format!("m{number}"), &number.to_string());
    }
    for client in [&mut at_owner, &mut guest] {
        for number in 0..500 {
            assert_eq!(client.expect("message")["body"], number);
        }
    }
    for number in 0..500 {
        let receipt = alices.reply_to(&format!("m{number}"), RECEIPT);
        assert_eq!(outcome(&receipt), "sent");
    }
    alices.assert_quiet_and_alive();
}

#[test]
fn a_body_passes_byte_for_byte() {
    let cluster = Cluster::of(3, &[]);
    let (alice, bob) = (cluster.user_of(0, "alice"), cluster.user_of(1, "bob"));
    let mut alices = Client::welcomed(&cluster.nodes[0].url(&alice)).0;
    let mut sessions = [
        kept_at(&cluster, 1, &bob),
        kept_at(&cluster, 2, &bob),
        kept_at(&cluster, 0, &bob),
    ];
    let deep = "[".repeat(100) + &"]".repeat(100);
    let bodies = [
        "null",
        "true",
        "0",
        "-0",
        "-0.0",
        "1.0",
        "1e400",
        "1E+2",
        "123456789012345678901234567890.10",
        "{ \"a\" : 1.0 ,\t\"b\":[ ],\n\"a\" : 2 }",
        r#""\u0041\/\ud83e\udd80\"\\\n""#,
        r#""\ud800""#,
        "\"🦀 \u{2028} \u{7f}\"",
        "\"\"",
        r#"{"body":"\"body\":1","type":"x"}"#,
        &deep,
    ];
    for body in bodies {
        let messages = [
            send_text(&bob, "m", body),
            format!(
                r#"{{ "body" : {body} , "to" : {{"user":"{bob}"}}, "qos":0, "id":"m", "type":"send" }}"#
            ),
        ];
        for message in messages {
            alices.send_text(&message);
            let receipt = alices.reply_to("m", RECEIPT);
            assert_eq!(outcome(&receipt), "sent", "{body}");
            for session in &mut sessions {
                let text = session.text(PATIENCE).expect("a message");
                let expected = format!("\"body\":{body},\"ts\":");
                assert!(text.contains(&expected), "{body} came as {text}");
            }
        }
    }
}
