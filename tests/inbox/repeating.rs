//! The same id again: from here, from elsewhere, and after the owner has died.

use serde_json::Value;

use crate::session_at;
use crate::support::client::outcome;
use crate::support::{Client, Cluster, PATIENCE, Signal};

/// Sends the message again; it must be recognised.
#[track_caller]
fn repeat(sender: &mut Client, user: &str, id: &str, body: &str) -> Value {
    let receipt = sender.keep(user, id, body);
    assert_eq!(outcome(&receipt), "accepted", "{receipt}");
    assert_eq!(receipt["duplicate"], true, "{receipt}");
    receipt
}

#[test]
fn a_repeat_gets_the_receipt_again_and_is_kept_once() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut senders: Vec<_> = (0..3)
        .map(|index| session_at(&cluster, index, "alice", "").0)
        .collect();
    let mut other = session_at(&cluster, 0, "carol", "").0;
    let (mut online, _) = session_at(&cluster, 2, &bob, "");
    let receipt = senders[0].keep(&bob, "m1", "1");
    assert!(receipt.get("duplicate").is_none(), "{receipt}");
    for sender in &mut senders {
        let again = repeat(sender, &bob, "m1", "2");
        assert_eq!(again["copies"], receipt["copies"], "{again}");
    }
    // The id is its sender's own.
    other.keep_accepted(&bob, "m1", "3");
    let bodies = [1, 3].map(|_| online.expect("message")["body"].clone());
    assert_eq!(bodies, [1, 3]);
    online.assert_quiet_and_alive();
    // Acked, it is still known.
    let (mut reader, _) = session_at(&cluster, 1, &bob, "");
    let messages = reader.expect_messages(&["m1", "m1"]);
    reader.ack(&messages[1]);
    reader.assert_quiet_and_alive();
    repeat(&mut senders[2], &bob, "m1", "1");
    online.assert_quiet_and_alive();
}

#[test]
fn a_repeat_is_recognised_after_the_owner_has_died_or_left() {
    for signal in [Signal::Kill, Signal::Terminate] {
        let mut cluster = Cluster::of(3, &[]);
        let bob = cluster.user_of(1, "bob");
        let mut alice = session_at(&cluster, 0, "alice", "").0;
        for id in ["m1", "m2"] {
            alice.keep_accepted(&bob, id, "1");
        }
        let (mut online, _) = session_at(&cluster, 2, &bob, "");
        online.expect_messages(&["m1", "m2"]);
        cluster.nodes[1].signal(signal);
        if signal == Signal::Terminate {
            cluster.nodes[1].wait_exit(PATIENCE);
        }
        // The receipts come as soon as another node owns the user.
        for id in ["m2", "m1"] {
            repeat(&mut alice, &bob, id, "1");
        }
        let mut elsewhere = session_at(&cluster, 2, "alice", "").0;
        repeat(&mut elsewhere, &bob, "m1", "1");
        elsewhere.keep_accepted(&bob, "m3", "1");
        online.expect_messages(&["m3"]);
        online.assert_quiet_and_alive();
        let (mut fresh, _) = session_at(&cluster, 0, &bob, "");
        fresh.expect_messages(&["m1", "m2", "m3"]);
        fresh.assert_quiet_and_alive();
    }
}

#[test]
fn a_failed_message_may_be_sent_again_under_its_id() {
    let cluster = Cluster::of(2, &["--max-inbox-messages", "1"]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    alice.keep_accepted(&bob, "m1", "1");
    assert_eq!(outcome(&alice.keep(&bob, "m2", "2")), "inbox_full");
    // A repeat is recognised even when nothing more is taken.
    repeat(&mut alice, &bob, "m1", "1");
    let (mut reader, _) = session_at(&cluster, 1, &bob, "");
    let message = reader.expect_messages(&["m1"]).remove(0);
    reader.ack(&message);
    reader.assert_quiet_and_alive();
    let receipt = alice.keep(&bob, "m2", "2");
    assert_eq!(outcome(&receipt), "accepted", "{receipt}");
    assert!(receipt.get("duplicate").is_none(), "{receipt}");
    reader.expect_messages(&["m2"]);
}

#[test]
fn an_id_that_was_used_for_another_recipient_is_refused() {
    let cluster = Cluster::of(2, &[]);
    let (mut sender, _) = session_at(&cluster, 0, "alice", "");
    sender.keep_accepted("bob", "m1", "1");
    let receipt = sender.keep("carol", "m1", "1");
    assert_eq!(outcome(&receipt), "id_reused", "{receipt}");
    assert_eq!(receipt["error"]["retry"], false, "{receipt}");
    repeat(&mut sender, "bob", "m1", "1");
    sender.keep_accepted("carol", "m2", "1");
}
