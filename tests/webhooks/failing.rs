//! A receiver that is dead, fails, refuses or hangs: deliveries go on, and what it is told stays in
//! order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::receiver::{ENDLESS, Receiver, SILENCE};
use crate::support::{Node, PATIENCE, Signal, promised, wait_until};
use crate::{DELIVERY, cluster_and_dead_receiver, cluster_and_receiver, come_and_go, session_at};

/// What the webhooks of a node have counted: sent, retried, dropped, and what is queued.
fn counts(node: &Node) -> [u64; 4] {
    [
        "sent_total",
        "requests_retried_total",
        "dropped_total",
        "queued",
    ]
    .map(|name| node.metric(&format!("ringpost_webhook_{name}")))
}

fn message_ids(events: &[Value]) -> Vec<&str> {
    let ids = events
        .iter()
        .filter_map(|event| event["message_id"].as_str());
    ids.collect()
}

#[test]
fn a_dead_receiver_holds_up_no_message_and_is_told_all_in_order_when_it_is_back() {
    let (cluster, address) = cluster_and_dead_receiver(2, &[]);
    let bob = cluster.user_of(1, "bob");
    let carol = cluster.user_of(1, "carol");
    let (mut alice, _) = session_at(&cluster.nodes[0], "alice");
    let (mut carols, _) = session_at(&cluster.nodes[1], &carol);
    let mut sessions = Vec::new();
    for _ in 0..10 {
        let session = come_and_go(&cluster.nodes[1], &bob);
        sessions.extend([session.clone(), session]);
        // Its end is told a moment after it is noticed. Carol has come, too.
        wait_until(DELIVERY, "its end waits to be told", || {
            counts(&cluster.nodes[1])[3] > sessions.len() as u64
        });
    }
    let failing = || counts(&cluster.nodes[1])[1] >= 2;
    wait_until(DELIVERY, "the node has tried again", failing);
    let start = Instant::now();
    for number in 0..50 {
        let [id, kept, passing] = ["m", "k", "p"].map(|kind| format!("{kind}{number}"));
        assert_eq!(alice.keep_accepted(&bob, &id, "1"), 2);
        assert_eq!(alice.keep_accepted(&carol, &kept, "1"), 2);
        assert_eq!(alice.deliver(&carol, &passing, "1"), "sent");
        carols.expect_messages(&[&kept, &passing]);
    }
    let took = start.elapsed();
    assert!(took < promised(PATIENCE), "150 messages took {took:?}");
    assert_eq!(counts(&cluster.nodes[1])[0], 0, "nothing could be sent");
    assert_eq!(counts(&cluster.nodes[1])[3], 71);
    assert_eq!(counts(&cluster.nodes[0])[3], 1, "alice is there");
    let log = cluster.nodes[1].log_text();
    assert!(log.contains("the webhook receiver has not taken"), "{log}");

    let receiver = Receiver::start(address, |_| 200);
    let events = receiver.wait_for(&bob, 70);
    let told: Vec<_> = (events.iter())
        .filter_map(|event| event["session"].as_str())
        .collect();
    assert_eq!(told, sessions);
    let wanted: Vec<_> = (0..50).map(|number| format!("m{number}")).collect();
    assert_eq!(message_ids(&events), wanted);
    receiver.wait_for(&carol, 1);
    receiver.wait_for("alice", 1);
    for node in &cluster.nodes {
        wait_until(DELIVERY, "nothing is left", || counts(node)[3] == 0);
        assert_eq!(counts(node)[2], 0, "nothing was dropped");
    }
    receiver.verify();
}

#[test]
fn what_is_answered_500_or_not_at_all_is_sent_again_before_anything_later() {
    let tries = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&tries);
    let flags = ["--webhook-timeout", "5s"];
    let (cluster, receiver) = cluster_and_receiver(1, &flags, move |_| {
        // From the fourth on all is well.
        let answers = [500, SILENCE, 429];
        let number = counter.fetch_add(1, Ordering::SeqCst);
        answers.get(number).copied().unwrap_or(200)
    });
    let (mut alice, session) = session_at(&cluster.nodes[0], "alice");
    // In the same lane, of the same user: while the first event is being tried.
    for id in ["m1", "m2"] {
        alice.keep_accepted("alice", id, "1");
    }
    alice.close();
    let events = receiver.wait_for("alice", 2);
    assert_eq!(events[0]["type"], "connected");
    assert_eq!(events[1]["type"], "disconnected");
    assert_eq!(events[1]["session"], session);
    let requests = receiver.requests();
    assert!(tries.load(Ordering::SeqCst) >= 4);
    for request in &requests[..4] {
        assert_eq!(
            request.events()[0],
            events[0],
            "the same event, the same id"
        );
    }
    receiver.verify();
    let node = &cluster.nodes[0];
    wait_until(DELIVERY, "all is counted", || counts(node) == [2, 3, 0, 0]);
}

#[test]
fn what_is_answered_200_is_taken_even_if_the_answer_does_not_end() {
    let flags = ["--webhook-timeout", "3s"];
    let (cluster, receiver) = cluster_and_receiver(1, &flags, |_| ENDLESS);
    let node = &cluster.nodes[0];
    let session = come_and_go(node, "alice");
    let events = receiver.wait_for("alice", 2);
    assert_eq!(events[0]["type"], "connected");
    assert_eq!(events[1]["type"], "disconnected");
    assert_eq!(events[1]["session"], session);
    wait_until(DELIVERY, "all is counted", || counts(node) == [2, 0, 0, 0]);
    receiver.verify();
}

#[test]
fn what_is_answered_200_is_counted_before_the_answer_ends() {
    // Longer than it is waited for.
    let flags = ["--webhook-timeout", "5m"];
    let (cluster, _receiver) = cluster_and_receiver(1, &flags, |_| ENDLESS);
    let (alice, _) = session_at(&cluster.nodes[0], "alice");
    wait_until(DELIVERY, "it is counted", || {
        counts(&cluster.nodes[0]) == [1, 0, 0, 0]
    });
    alice.close();
}

#[test]
fn a_user_whose_events_get_no_answer_holds_up_few_others() {
    let flags = ["--webhook-timeout", "60s"];
    let (cluster, receiver) = cluster_and_receiver(1, &flags, |request| {
        let stuck = |event: &Value| event["user"] == "stuck";
        if request.events().iter().any(stuck) {
            SILENCE
        } else {
            200
        }
    });
    let (stuck, _) = session_at(&cluster.nodes[0], "stuck");
    let users: Vec<_> = (0..32).map(|number| format!("user{number}")).collect();
    for user in &users {
        come_and_go(&cluster.nodes[0], user);
    }
    // Two of 32 are expected in that sixteenth of the users.
    wait_until(Duration::from_secs(20), "most users are told of", || {
        let told = users
            .iter()
            .filter(|user| receiver.events_of(user).len() == 2);
        told.count() >= 24
    });
    stuck.close();
}

#[test]
fn what_is_answered_400_is_dropped_and_counted_and_the_rest_is_told() {
    let held = Arc::new(AtomicBool::new(true));
    let holding = Arc::clone(&held);
    let (cluster, receiver) = cluster_and_receiver(2, &[], move |request| {
        if holding.load(Ordering::SeqCst) {
            return 503;
        }
        let bad = |event: &Value| event["message_id"] == "bad";
        if request.events().iter().any(bad) {
            400
        } else {
            200
        }
    });
    let bob = cluster.user_of(1, "bob");
    let (mut alice, _) = session_at(&cluster.nodes[0], "alice");
    for id in ["m1", "bad", "m2", "m3"] {
        alice.keep_accepted(&bob, id, "1");
    }
    held.store(false, Ordering::SeqCst);
    let events = receiver.wait_for(&bob, 3);
    assert_eq!(message_ids(&events), ["m1", "m2", "m3"]);
    let node = &cluster.nodes[1];
    wait_until(DELIVERY, "all is counted", || {
        let [sent, _, dropped, queued] = counts(node);
        (sent, dropped, queued) == (3, 1, 0)
    });
}

#[test]
fn a_full_queue_drops_what_is_new_and_deliveries_go_on() {
    let flags = ["--max-message-bytes=3000", "--webhook-queue-bytes=3000"];
    let (cluster, address) = cluster_and_dead_receiver(2, &flags);
    let bob = cluster.user_of(1, "bob");
    let (mut alice, _) = session_at(&cluster.nodes[0], "alice");
    let body = format!("\"{}\"", "x".repeat(1_000));
    for number in 0..20 {
        alice.keep_accepted(&bob, &format!("m{number}"), &body);
    }
    // A queue has room for one message of the largest size, and that is three of these.
    assert_eq!(counts(&cluster.nodes[1])[2..], [17, 3]);
    let log = cluster.nodes[1].log_text();
    assert!(log.contains("webhook events are dropped"), "{log}");
    let receiver = Receiver::start(address, |_| 200);
    let events = receiver.wait_for(&bob, 3);
    assert_eq!(message_ids(&events), ["m0", "m1", "m2"]);
    // The node has room when it has the answer.
    wait_until(DELIVERY, "nothing waits any more", || {
        counts(&cluster.nodes[1])[3] == 0
    });
    alice.keep_accepted(&bob, "m20", &body);
    assert_eq!(receiver.wait_for(&bob, 4)[3]["message_id"], "m20");
    let (mut bobs, _) = session_at(&cluster.nodes[1], &bob);
    for number in 0..=20 {
        bobs.expect_messages(&[&format!("m{number}")]);
    }
}

#[test]
fn what_cannot_be_told_in_time_is_given_up_and_counted() {
    let (cluster, address) = cluster_and_dead_receiver(1, &["--webhook-retry-for", "5s"]);
    let (alice, _) = session_at(&cluster.nodes[0], "alice");
    wait_until(DELIVERY, "it is given up", || {
        let [sent, retried, dropped, queued] = counts(&cluster.nodes[0]);
        (sent, dropped, queued) == (0, 1, 0) && retried > 0
    });
    let receiver = Receiver::start(address, |_| 200);
    alice.close();
    let events = receiver.wait_for("alice", 1);
    assert_eq!(events[0]["type"], "disconnected");
}

#[test]
fn a_drain_tells_the_end_of_its_sessions_and_waits_not_long_for_a_dead_receiver() {
    let (mut cluster, receiver) = cluster_and_receiver(2, &["--drain-timeout", "12s"], |_| 200);
    let bob = cluster.user_of(1, "bob");
    let carol = cluster.user_of(0, "carol");
    let (mut bobs, _) = session_at(&cluster.nodes[1], &bob);
    cluster.nodes[1].signal(Signal::Terminate);
    let (_, code) = bobs.read_to_close(DELIVERY);
    assert!(code.is_some());
    assert!(cluster.nodes[1].wait_exit(DELIVERY).success());
    let events = receiver.wait_for(&bob, 2);
    assert_eq!(events[1]["type"], "disconnected");

    drop(receiver);
    let (mut carols, _) = session_at(&cluster.nodes[0], &carol);
    cluster.nodes[0].signal(Signal::Terminate);
    let _ = carols.read_to_close(DELIVERY);
    let status = cluster.nodes[0].wait_exit(Duration::from_secs(13));
    assert!(status.success(), "{status}");
    let log = cluster.nodes[0].log_text();
    let left = log
        .lines()
        .find(|line| line.contains("not taken these events"));
    assert!(left.is_some_and(|line| line.contains("events=2")), "{log}");
}
