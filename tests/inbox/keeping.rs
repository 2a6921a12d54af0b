//! What is kept, how often, and how it looks.

use serde_json::Value;

use crate::session_at;
use crate::support::client::outcome;
use crate::support::{Client, Cluster, PATIENCE, Position, Signal, wait_until};

#[test]
fn a_message_is_kept_unless_it_says_qos_0() {
    let cluster = Cluster::of(2, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = Client::welcomed(&cluster.nodes[0].url("alice")).0;
    let mut devices = [0, 1].map(|index| session_at(&cluster, index, &bob, "").0);
    alice.send_kept(&bob, "kept", "[1, 2]");
    let receipt = alice.text(PATIENCE).expect("a receipt");
    let expected = r#"{"type":"receipt","id":"kept","status":"accepted","copies":2}"#;
    assert_eq!(receipt, expected);
    let mut seen = Vec::new();
    for device in &mut devices {
        let text = device.text(PATIENCE).expect("a message");
        let message: Value = serde_json::from_str(&text).expect("it is JSON");
        let Position { epoch, offset } = Position::of(&message);
        assert!((1..=64).contains(&epoch.len()), "{text}");
        let start = format!(
            r#"{{"type":"message","stream":"inbox","epoch":"{epoch}","offset":{offset},"id":"kept","from":"alice","to":{{"user":"{bob}"}},"body":[1, 2],"ts":"#
        );
        assert!(text.starts_with(&start), "{text}");
        assert!(offset >= 1, "{text}");
        seen.push(text);
    }
    assert_eq!(seen[0], seen[1], "every device gets the same text");

    assert_eq!(alice.deliver(&bob, "passing", "3"), "sent");
    for device in &mut devices {
        let message = device.expect("message");
        assert_eq!(message["id"], "passing");
        assert_eq!(
            (&message["epoch"], &message["offset"]),
            (&Value::Null, &Value::Null)
        );
    }
    drop(devices);
    let (mut later, _) = session_at(&cluster, 0, &bob, "");
    later.expect_messages(&["kept"]);
    later.assert_quiet_and_alive();
}

#[test]
fn what_came_while_the_user_was_away_is_there_until_it_is_acked() {
    let cluster = Cluster::of(3, &[]);
    for (index, at) in [(0, 1), (1, 1), (2, 0)] {
        let bob = cluster.user_of(index, "bob");
        let mut alice = session_at(&cluster, 1, "alice", "").0;
        for id in ["m1", "m2", "m3"] {
            assert_eq!(alice.keep_accepted(&bob, id, "1"), 2);
        }
        let (mut first, welcome) = session_at(&cluster, at, &bob, "");
        assert_eq!(welcome.get("recovered"), None, "{welcome}");
        let messages = first.expect_messages(&["m1", "m2", "m3"]);
        first.assert_quiet_and_alive();
        let offsets = messages.iter().map(|m| Position::of(m).offset);
        assert!(offsets.is_sorted_by(|a, b| a < b), "{messages:?}");
        first.ack(&messages[1]);
        // The pong comes after the ack was taken; the owner has it when it is replayed no more.
        first.assert_quiet_and_alive();
        first.close();
        wait_until(PATIENCE, "the ack has reached the owner", || {
            let (_, welcome) = session_at(&cluster, at, &bob, "");
            Position::of(&welcome).offset == Position::of(&messages[1]).offset
        });
        let (mut second, welcome) = session_at(&cluster, at, &bob, "");
        assert_eq!(welcome.get("recovered"), None, "{welcome}");
        second.expect_messages(&["m3"]);
        second.assert_quiet_and_alive();
    }
}

#[test]
fn a_receipt_counts_the_copies_and_min_copies_refuses_too_few() {
    let mut cluster = Cluster::reserve(3).with(&["--replicas", "3", "--min-copies", "2"]);
    cluster.start_in_order(&[0, 1]);
    cluster.wait_settled(3 * PATIENCE);
    let (mut alice, _) = session_at(&cluster, 0, "alice", "");
    assert_eq!(alice.keep_accepted("bob", "m1", "1"), 2);
    cluster.start_in_order(&[2]);
    cluster.wait_settled(3 * PATIENCE);
    assert_eq!(alice.keep_accepted("bob", "m2", "1"), 3);
    for index in [1, 2] {
        cluster.nodes[index].signal(Signal::Kill);
    }
    for id in ["n2", "n3"] {
        cluster.wait_down(id, PATIENCE);
    }
    let refused = alice.keep("bob", "m3", "1");
    assert_eq!(outcome(&refused), "unreachable", "{refused}");
    assert_eq!(refused["error"]["retry"], true, "{refused}");
    cluster.start_in_order(&[1]);
    cluster.wait_settled(3 * PATIENCE);
    assert_eq!(alice.keep_accepted("bob", "m3", "1"), 2);
    let (mut bob, _) = session_at(&cluster, 1, "bob", "");
    bob.expect_messages(&["m1", "m2", "m3"]);
}

#[test]
fn a_message_that_is_on_its_way_when_too_few_are_left_is_not_accepted() {
    let flags = ["--min-copies", "2", "--request-timeout", "6s"];
    let mut cluster = Cluster::of(2, &flags);
    let bob = cluster.user_of(0, "bob");
    let (mut alice, _) = session_at(&cluster, 0, "alice", "");
    assert_eq!(alice.keep_accepted(&bob, "m1", "1"), 2);
    // It is there, and says nothing.
    cluster.nodes[1].signal(Signal::Stop);
    alice.send_kept(&bob, "m2", "1");
    cluster.wait_down("n2", PATIENCE);
    let (mut bobs, _) = session_at(&cluster, 0, &bob, "");
    bobs.expect_messages(&["m1", "m2"]);
    let receipt = alice.reply_to("m2", PATIENCE);
    assert_eq!(outcome(&receipt), "unknown", "{receipt}");
    cluster.nodes[1].signal(Signal::Continue);
    cluster.wait_settled(3 * PATIENCE);
    let again = alice.keep(&bob, "m2", "1");
    assert_eq!(again["copies"], 2, "{again}");
    bobs.assert_quiet_and_alive();
}

#[test]
fn the_last_node_keeps_one_copy_and_shares_it_again() {
    let mut cluster = Cluster::of(2, &[]);
    let bob = cluster.user_of(1, "bob");
    let (mut alice, _) = session_at(&cluster, 0, "alice", "");
    assert_eq!(alice.keep_accepted(&bob, "m1", "1"), 2);
    cluster.nodes[1].signal(Signal::Kill);
    cluster.wait_down("n2", PATIENCE);
    assert_eq!(alice.keep_accepted(&bob, "m2", "1"), 1);
    cluster.nodes[1].start();
    cluster.wait_settled(3 * PATIENCE);
    cluster.nodes[0].signal(Signal::Kill);
    let (mut bobs, _) = session_at(&cluster, 1, &bob, "");
    bobs.expect_messages(&["m1", "m2"]);
}

#[test]
fn a_body_passes_byte_for_byte_through_the_inbox_its_copy_and_a_take_over() {
    let mut cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    let deep = "[".repeat(100) + &"]".repeat(100);
    let bodies = [
        "null",
        "-0.0",
        "1e400",
        "123456789012345678901234567890.10",
        "{ \"a\" : 1.0 ,\t\"b\":[ ],\n\"a\" : 2 }",
        r#""\u0041\/\ud83e\udd80\"\\\n""#,
        r#""\ud800""#,
        "\"🦀 \u{2028} \u{7f}\"",
        r#"{"body":"\"body\":1","type":"x"}"#,
        &deep,
    ];
    for (number, body) in bodies.iter().enumerate() {
        alice.keep_accepted(&bob, &number.to_string(), body);
    }
    let read_all = |cluster: &Cluster, index: usize| {
        let (mut client, _) = session_at(cluster, index, &bob, "");
        for body in bodies {
            let text = client.text(PATIENCE).expect("a message");
            let expected = format!("\"body\":{body},\"ts\":");
            assert!(text.contains(&expected), "{body} came as {text}");
        }
    };
    read_all(&cluster, 1);
    read_all(&cluster, 2);
    cluster.nodes[1].signal(Signal::Kill);
    cluster.wait_down("n2", PATIENCE);
    read_all(&cluster, 0);
    read_all(&cluster, 2);
}
