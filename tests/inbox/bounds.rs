//! What an inbox holds at most, for how long, and what happens past that.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::session_at;
use crate::support::client::outcome;
use crate::support::kept::RECEIPT;
use crate::support::{Client, Cluster, PATIENCE, Position, Signal, promised, wait_until};

#[test]
fn an_inbox_takes_so_many_messages_until_some_are_acked() {
    let cluster = Cluster::of(2, &["--max-inbox-messages", "10"]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    for number in 0..10 {
        alice.keep_accepted(&bob, &format!("m{number}"), "1");
    }
    let refused = alice.keep(&bob, "over", "1");
    assert_eq!(outcome(&refused), "inbox_full", "{refused}");
    assert_eq!(refused["error"]["retry"], true, "{refused}");
    // Counted by the node that tells the sender.
    assert_eq!(
        cluster.nodes[0].metric("ringpost_messages_inbox_full_total"),
        1
    );
    // Nobody else is concerned, nor is what is not kept.
    let carol = cluster.user_of(1, "carol");
    alice.keep_accepted(&carol, "m", "1");
    let (mut bobs, _) = session_at(&cluster, 1, &bob, "");
    let messages: Vec<_> = (0..10).map(|_| bobs.expect("message")).collect();
    assert_eq!(alice.deliver(&bob, "passing", "1"), "sent");
    bobs.expect_messages(&["passing"]);
    bobs.ack(&messages[3]);
    bobs.assert_quiet_and_alive();
    for number in 10..14 {
        alice.keep_accepted(&bob, &format!("m{number}"), "1");
    }
    assert_eq!(outcome(&alice.keep(&bob, "over", "1")), "inbox_full");
    bobs.expect_messages(&["m10", "m11", "m12", "m13"]);
    bobs.assert_quiet_and_alive();
}

#[test]
fn of_messages_sent_without_waiting_each_hears_at_once_that_the_inbox_is_full() {
    let cluster = Cluster::of(3, &["--max-inbox-messages", "10"]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    let began = Instant::now();
    for number in 0..200 {
        alice.send_kept(&bob, &format!("m{number}"), &number.to_string());
    }
    for number in 0..200 {
        let receipt = alice.reply_to(&format!("m{number}"), RECEIPT);
        let expected = if number < 10 {
            "accepted"
        } else {
            "inbox_full"
        };
        assert_eq!(outcome(&receipt), expected, "{receipt}");
    }
    let took = began.elapsed();
    assert!(took < promised(Duration::from_secs(2)), "{took:?}");
    let (mut bobs, _) = session_at(&cluster, 1, &bob, "");
    for number in 0..10 {
        assert_eq!(bobs.expect("message")["body"], number);
    }
    bobs.assert_quiet_and_alive();
}

#[test]
fn an_inbox_takes_so_many_bytes_until_some_are_acked() {
    let flags = ["--max-inbox-bytes", "20000", "--max-message-bytes", "8000"];
    let cluster = Cluster::of(2, &flags);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    let body = format!("\"{}\"", "x".repeat(6_000));
    for id in ["m1", "m2", "m3"] {
        alice.keep_accepted(&bob, id, &body);
    }
    assert_eq!(outcome(&alice.keep(&bob, "over", &body)), "inbox_full");
    alice.keep_accepted(&bob, "small", "1");
    let (mut bobs, _) = session_at(&cluster, 0, &bob, "");
    let messages = bobs.expect_messages(&["m1", "m2", "m3", "small"]);
    bobs.ack(&messages[0]);
    wait_until(PATIENCE, "the ack makes room", || {
        outcome(&alice.keep(&bob, "over", &body)) == "accepted"
    });
    bobs.expect_messages(&["over"]);
}

#[test]
fn what_nobody_acked_goes_at_its_age_and_the_next_reader_hears_of_it() {
    let cluster = Cluster::of(2, &["--inbox-age", "5s"]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    let (first, start) = session_at(&cluster, 1, &bob, "");
    first.close();
    let kept = Instant::now();
    for id in ["m1", "m2", "m3"] {
        alice.keep_accepted(&bob, id, "1");
    }
    let dropped = || cluster.nodes[1].metric("ringpost_expired_total");
    let early = dropped();
    assert!(early == 0 || kept.elapsed() >= Duration::from_secs(5));
    wait_until(2 * PATIENCE, "all three are dropped", || dropped() == 3);
    assert_eq!(
        cluster.nodes[0].metric("ringpost_expired_total"),
        0,
        "counted once"
    );
    for index in 0..2 {
        let query = Position::of(&start).query();
        let (mut client, welcome) = session_at(&cluster, index, &bob, &query);
        assert_eq!(welcome["recovered"], false, "{welcome}");
        client.assert_quiet_and_alive();
    }
    // From here on nothing is missing.
    let (mut client, _) = session_at(&cluster, 1, &bob, "");
    alice.keep_accepted(&bob, "m4", "1");
    let message = client.expect_messages(&["m4"]).remove(0);
    assert!(Position::of(&message).offset > 3, "{message}");
    let query = Position::of(&message).query();
    let (_, welcome) = session_at(&cluster, 1, &bob, &query);
    assert_eq!(welcome["recovered"], true, "{welcome}");
}

#[test]
fn a_full_inbox_is_replayed_whole_and_in_order_to_a_slow_reader() {
    let cluster = Cluster::of(2, &["--max-inbox-bytes", "2000000"]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    let text = "x".repeat(1_024);
    for number in 0..1_000 {
        alice.send_kept(
            &bob,
            &format!("m{number}"),
            &format!("[{number},\"{text}\"]"),
        );
    }
    for number in 0..1_000 {
        let receipt = alice.reply_to(&format!("m{number}"), RECEIPT);
        assert_eq!(outcome(&receipt), "accepted", "{receipt}");
    }
    for index in 0..2 {
        let (mut client, _) = session_at(&cluster, index, &bob, "");
        for number in 0..1_000 {
            if number % 100 == 50 {
                // Slowly: what comes meanwhile fills the kernel's buffers and the server's queue.
                let sent = || cluster.nodes[index].metric("ringpost_messages_out_total");
                let mut before = None;
                wait_until(PATIENCE, "nothing more comes", || {
                    let now = sent();
                    before.replace(now) == Some(now)
                });
            }
            let message = client.expect("message");
            assert_eq!(message["body"], json!([number, text]));
        }
        client.assert_quiet_and_alive();
    }
}

#[test]
fn past_max_pending_sends_a_session_is_read_no_further_and_nothing_fails() {
    let cluster = Cluster::of(2, &["--max-pending-sends", "4"]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    for number in 0..200 {
        alice.send_kept(&bob, &format!("m{number}"), &number.to_string());
    }
    for number in 0..200 {
        let receipt = alice.expect("receipt");
        assert_eq!(receipt["id"], format!("m{number}"), "{receipt}");
        assert_eq!(outcome(&receipt), "accepted", "{receipt}");
    }
    alice.assert_quiet_and_alive();
    let paused = cluster.nodes[0].metric("ringpost_sends_paused_total");
    assert!((1..=200).contains(&paused), "{paused}");
    let (mut bobs, _) = session_at(&cluster, 1, &bob, "");
    for number in 0..200 {
        assert_eq!(bobs.expect("message")["body"], number);
    }
}

#[test]
fn a_session_with_max_pending_sends_waits_while_the_owner_is_away() {
    let mut cluster = Cluster::of(3, &["--max-pending-sends", "4"]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    alice.keep_accepted(&bob, "before", "0");
    cluster.nodes[1].signal(Signal::Kill);
    // More than a node takes in one read, which is where it stops.
    let body = format!("\"{}\"", "x".repeat(8 * 1024));
    for number in 0..20 {
        alice.send_kept(&bob, &format!("m{number}"), &body);
    }
    alice.send_text(r#"{"type":"ping","id":"behind"}"#);
    let answer = alice.find(RECEIPT, |m| m["type"] == "pong" || m["id"] == "m0");
    let answer = answer.expect("an answer");
    assert_eq!(answer["type"], "receipt", "{answer}");
    let (mut bobs, _) = Client::welcomed(&cluster.nodes[2].url(&bob));
    bobs.expect_messages(&["before"]);
    for number in 0..20 {
        bobs.expect_messages(&[&format!("m{number}")]);
    }
    alice
        .find(RECEIPT, |m| m["type"] == "pong")
        .expect("a pong");
}
