//! What a client is told of what it has sent.

use serde_json::json;

use crate::RECEIPT;
use crate::support::client::{outcome, send_text};
use crate::support::frames::{BINARY, CONTINUATION, PING, TEXT};
use crate::support::{Client, Cluster, Event, PATIENCE};

#[test]
fn every_request_gets_one_reply_that_names_it_and_says_why() {
    let cluster = Cluster::of(2, &[]);
    let (mut client, _) = Client::welcomed(&cluster.nodes[0].url("alice"));
    let to = json!({"user": "alice"});
    let (local, remote) = (cluster.user_of(0, "off"), cluster.user_of(1, "off"));
    let cases = [
        (
            json!({"type":"send","to":{"user":local},"qos":0,"body":1}),
            "offline",
        ),
        (
            json!({"type":"send","to":{"user":remote},"qos":0,"body":1}),
            "offline",
        ),
        (
            json!({"type":"send","to":to,"qos":0,"notify":true,"body":1}),
            "bad_request",
        ),
        (
            json!({"type":"send","to":"everyone","body":1}),
            "not_allowed",
        ),
        (
            json!({"type":"send","to":"everyone","qos":1,"body":1}),
            "bad_request",
        ),
        (json!({"type":"join","room":""}), "bad_request"),
        (json!({"type":"leave"}), "bad_request"),
        (json!({"type":"auth","token":"x"}), "unsupported"),
        (json!({"type":"send","qos":0,"body":1}), "bad_request"),
        (json!({"type":"send","to":to,"qos":0}), "bad_request"),
        (
            json!({"type":"send","to":to,"qos":2,"body":1}),
            "bad_request",
        ),
        (
            json!({"type":"send","to":to,"qos":"0","body":1}),
            "bad_request",
        ),
        (
            json!({"type":"send","to":{"user":""},"qos":0,"body":1}),
            "bad_request",
        ),
        (
            json!({"type":"send","to":{"user":"a\n"},"qos":0,"body":1}),
            "bad_request",
        ),
        (
            json!({"type":"send","to":{"user":7},"qos":0,"body":1}),
            "bad_request",
        ),
        (
            json!({"type":"send","to":"somebody","qos":0,"body":1}),
            "bad_request",
        ),
        (json!({"type":"presence"}), "bad_request"),
        (json!({"type":"presence","users":["a",1]}), "bad_request"),
    ];
    for (number, (mut request, code)) in cases.into_iter().enumerate() {
        let id = format!("r{number}");
        request["id"] = json!(id);
        client.send_json(&request);
        let reply = client.reply_to(&id, RECEIPT);
        assert_eq!(outcome(&reply), code, "{request}: {reply}");
        let retry = code == "offline";
        assert_eq!(reply["error"]["retry"], retry, "{request}: {reply}");
        client.assert_quiet_and_alive();
    }
    let (unnamed, long) = (
        json!({"type":"send","to":to,"qos":0,"body":1}),
        "i".repeat(65),
    );
    for id in [json!(null), json!(7), json!(""), json!(long)] {
        let mut request = unnamed.clone();
        request["id"] = id;
        client.send_json(&request);
        let error = client.expect("error");
        assert_eq!(error["code"], "bad_request", "{request}: {error}");
        assert_eq!(error["retry"], false, "{request}: {error}");
        assert!(error["message"].is_string(), "{request}: {error}");
    }
    let ack = |offset| json!({"type":"ack","stream":"inbox","epoch":"0","offset":offset});
    client.send_json(&ack(json!("1")));
    assert_eq!(client.expect("error")["code"], "bad_request");
    client.send_json(&ack(json!(1)));
    client.assert_quiet_and_alive();
    let mut request = unnamed;
    request["id"] = json!("i".repeat(64));
    request["colour"] = json!("unknown fields are ignored");
    client.send_json(&request);
    client.expect("message");
    assert_eq!(outcome(&client.expect("receipt")), "sent");
}

#[test]
fn an_unknown_type_gets_an_error_and_the_connection_stays_open() {
    let cluster = Cluster::of(1, &[]);
    let (mut client, _) = Client::welcomed(&cluster.nodes[0].url("alice"));
    for _ in 0..20 {
        client.send_text(r#"{"type":"dance"}"#);
        let error = client.expect("error");
        assert!(
            error["code"].is_string() && error["message"].is_string(),
            "{error}"
        );
        client.send_text(r#"{"type":"dance","id":"d1"}"#);
        let reply = client.recv_json(PATIENCE);
        assert_eq!(reply["id"], "d1", "{reply}");
    }
    client.assert_quiet_and_alive();
}

#[test]
fn ping_is_answered_with_pong() {
    let cluster = Cluster::of(1, &[]);
    let (mut client, _) = Client::welcomed(&cluster.nodes[0].url("alice"));
    client.send_text(r#"{"type":"ping","id":"x"}"#);
    assert_eq!(
        client.text(PATIENCE).as_deref(),
        Some(r#"{"type":"pong","id":"x"}"#)
    );
    client.send_text(r#" { "type" : "ping" } "#);
    assert_eq!(client.text(PATIENCE).as_deref(), Some(r#"{"type":"pong"}"#));
    client.send_frame(true, PING, b"protocol");
    assert_eq!(
        client.event(PATIENCE),
        Some(Event::Pong(b"protocol".to_vec()))
    );
}

#[test]
fn ten_messages_in_a_row_that_are_not_the_protocols_close_with_4500() {
    let cluster = Cluster::of(1, &[]);
    let (mut client, _) = Client::welcomed(&cluster.nodes[0].url("alice"));
    let wrong = [
        (TEXT, "not JSON"),
        (TEXT, "[1]"),
        (TEXT, "{\"type\":"),
        (BINARY, "{}"),
    ];
    let mut wrong = wrong.iter().cycle();
    // Nine, and a good one between, do not.
    for _ in 0..3 {
        for (opcode, payload) in wrong.by_ref().take(9) {
            client.send_frame(true, *opcode, payload.as_bytes());
            client.expect("error");
        }
        client.assert_quiet_and_alive();
    }
    for (opcode, payload) in wrong.take(10) {
        client.send_frame(true, *opcode, payload.as_bytes());
    }
    let (texts, code) = client.read_to_close(PATIENCE);
    assert_eq!(code, Some(4500), "{texts:?}");
    assert!((9..=10).contains(&texts.len()), "{texts:?}");
}

/// A `send` whose text is exactly this long.
fn send_of(bytes: usize, user: &str) -> String {
    let empty = send_text(user, "big", "\"\"").len();
    send_text(user, "big", &format!("\"{}\"", "x".repeat(bytes - empty)))
}

fn send_in_pieces(client: &mut Client, text: &str, count: usize) {
    let pieces: Vec<_> = text.as_bytes().chunks(text.len().div_ceil(count)).collect();
    for (index, piece) in pieces.iter().enumerate() {
        let opcode = if index == 0 { TEXT } else { CONTINUATION };
        // The server may have heard enough.
        let _ = client.try_send_frame(index + 1 == pieces.len(), opcode, piece);
    }
}

#[test]
fn a_message_of_the_limit_passes_and_one_byte_more_is_1009() {
    let cluster = Cluster::of(2, &[]);
    let (alice, bob) = (cluster.user_of(0, "alice"), cluster.user_of(1, "bob"));
    let (mut bobs, welcome) = Client::welcomed(&cluster.nodes[1].url(&bob));
    let limit = welcome["max_message_bytes"].as_u64().expect("a number");
    let limit = usize::try_from(limit).expect("it fits");
    let (passes, fails) = (send_of(limit, &bob), send_of(limit + 1, &bob));
    for pieces in [1, 3] {
        let mut alices = Client::welcomed(&cluster.nodes[0].url(&alice)).0;
        send_in_pieces(&mut alices, &passes, pieces);
        assert_eq!(outcome(&alices.expect("receipt")), "sent");
        let message = bobs.expect("message");
        assert!(
            message["body"]
                .as_str()
                .is_some_and(|b| b.len() > limit - 200)
        );
        send_in_pieces(&mut alices, &fails, pieces);
        let (texts, code) = alices.read_to_close(PATIENCE);
        assert_eq!((texts.len(), code), (0, Some(1009)), "{texts:?}");
    }
    bobs.assert_quiet_and_alive();
}
