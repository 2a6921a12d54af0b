//! What is told, in which order, and how it is signed.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::client::outcome;
use crate::support::{Client, wait_until};
use crate::{DELIVERY, SECRET, cluster_and_receiver, come_and_go, session_at, told};

fn field<'a>(events: &'a [Value], name: &str) -> Vec<&'a str> {
    let text = |event: &'a Value| event[name].as_str().unwrap_or_default();
    events.iter().map(text).collect()
}

#[test]
fn sessions_are_told_in_their_order_by_the_node_that_has_them() {
    let (cluster, receiver) = cluster_and_receiver(2, &[], |_| 200);
    let bob = cluster.user_of(1, "bob");
    let mut expected = Vec::new();
    for _ in 0..20 {
        let session = come_and_go(&cluster.nodes[1], &bob);
        expected.extend([("connected", session.clone()), ("disconnected", session)]);
        // Its end is told a moment after it is noticed.
        wait_until(DELIVERY, "its end waits to be told", || {
            told(&cluster.nodes[1]) >= expected.len() as u64
        });
    }
    let events = receiver.wait_for(&bob, 40);
    let told: Vec<_> = (events.iter())
        .map(|event| (event["type"].as_str().expect("a type"), &event["session"]))
        .collect();
    let wanted: Vec<_> = (expected.iter())
        .map(|(kind, session)| (*kind, json!(session)))
        .collect();
    let wanted: Vec<_> = wanted.iter().map(|(kind, id)| (*kind, id)).collect();
    assert_eq!(told, wanted);
    assert!(events.iter().all(|event| event["node"] == "n2"));
    // A redirected client is no session; a guest is one of the node where it is.
    assert_eq!(
        Client::connect(&cluster.nodes[0].url(&bob))
            .expect_err("a redirect")
            .status,
        307
    );
    let (guest, session) = session_at(&cluster.nodes[0], &bob);
    // A connection that breaks is one that ends.
    drop(guest);
    let events = receiver.wait_for(&bob, 42);
    assert_eq!(field(&events[40..], "node"), ["n1", "n1"]);
    assert_eq!(field(&events[40..], "session"), [&session, &session]);
    assert_eq!(field(&events[40..], "type"), ["connected", "disconnected"]);
    let ids: BTreeSet<_> = field(&events, "id").into_iter().collect();
    assert_eq!(ids.len(), 42, "ids are unique: {ids:?}");
    for request in receiver.requests() {
        assert_eq!(request.line, "POST /hooks/ringpost?of=test HTTP/1.1");
        assert_eq!(request.header("content-type"), "application/json");
        assert_eq!(request.header("host"), receiver.address.to_string());
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.expect("after 1970").as_secs();
        let signed = request.verified(SECRET);
        assert!((now - 60..=now + 1).contains(&signed), "{signed} at {now}");
    }
    // Of one user, so one lane of each node, whose connection is kept.
    assert_eq!(receiver.connections(), 2);
}

#[test]
fn a_message_is_told_once_and_only_if_its_user_has_no_session_anywhere() {
    let flags = ["--webhook-events", "offline_message,inbox_full"];
    let (cluster, receiver) = cluster_and_receiver(2, &flags, |_| 204);
    let bob = cluster.user_of(1, "bob");
    let (mut alice, _) = session_at(&cluster.nodes[0], "alice");
    let body = r#"{"text" : "gut\u0065n Tag", "n":1.0}"#;
    alice.keep_accepted(&bob, "m1", body);
    let repeated = alice.keep(&bob, "m1", body);
    assert_eq!(repeated["duplicate"], true, "{repeated}");
    assert_eq!(alice.deliver(&bob, "unkept", "1"), "offline");
    let (mut guest, _) = session_at(&cluster.nodes[0], &bob);
    alice.keep_accepted(&bob, "m2", "2");
    guest.expect_messages(&["m1", "m2"]);
    guest.close();
    wait_until(DELIVERY, "the owner has forgotten the guest", || {
        cluster.nodes[1].metric("ringpost_guests") == 0
    });
    alice.keep_accepted(&bob, "m3", "3");
    let events = receiver.wait_for(&bob, 2);
    assert_eq!(field(&events, "type"), ["offline_message"; 2]);
    assert_eq!(field(&events, "message_id"), ["m1", "m3"]);
    assert_eq!(field(&events, "from"), ["alice"; 2]);
    assert_eq!(field(&events, "node"), ["n2"; 2], "the owner tells");
    assert_eq!(receiver.events(), events, "and nothing else is told");
    // Byte for byte.
    let first = receiver.requests().remove(0);
    assert!(
        first.body.contains(&format!("\"body\":{body}")),
        "{first:?}"
    );
    receiver.verify();
}

#[test]
fn a_full_inbox_is_told_once_in_a_while_with_the_message_that_was_refused() {
    let flags = ["--max-inbox-messages", "2"];
    let (cluster, receiver) = cluster_and_receiver(2, &flags, |_| 200);
    let bob = cluster.user_of(1, "bob");
    let (mut alice, _) = session_at(&cluster.nodes[0], "alice");
    for id in ["m1", "m2"] {
        alice.keep_accepted(&bob, id, "1");
    }
    for id in ["m3", "m4", "m5"] {
        assert_eq!(outcome(&alice.keep(&bob, id, "1")), "inbox_full");
    }
    // Behind all that is told of bob.
    let (bobs, _) = session_at(&cluster.nodes[1], &bob);
    let events = receiver.wait_for(&bob, 4);
    assert_eq!(
        field(&events, "type"),
        [
            "offline_message",
            "offline_message",
            "inbox_full",
            "connected"
        ]
    );
    assert_eq!(events[2]["message_id"], "m3");
    assert_eq!(events[2]["from"], "alice");
    assert_eq!(events[2].get("body"), None);
    bobs.close();
}
