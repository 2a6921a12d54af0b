//! What an ack changes, and for whom.

use std::time::Duration;

use serde_json::{Value, json};

use crate::session_at;
use crate::support::kept::RECEIPT;
use crate::support::{Cluster, PATIENCE, Position, Signal, wait_until};

/// Waits until whoever connects without a position starts behind this message.
#[track_caller]
fn wait_acked(cluster: &Cluster, user: &str, message: &Value) {
    wait_until(PATIENCE, "the ack has reached the owner", || {
        let (_, welcome) = session_at(cluster, 0, user, "");
        Position::of(&welcome) == Position::of(message)
    });
}

#[test]
fn of_acks_that_come_together_the_furthest_counts() {
    let cluster = Cluster::of(2, &[]);
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    for owner in 0..2 {
        let bob = cluster.user_of(owner, "bob");
        let ids = ["m1", "m2", "m3"];
        for id in ids {
            alice.keep_accepted(&bob, &format!("{id}-{owner}"), "1");
        }
        // At home, and as a guest.
        let mut device = session_at(&cluster, 0, &bob, "").0;
        let ids = ids.map(|id| format!("{id}-{owner}"));
        let messages = device.expect_messages(&ids.each_ref().map(String::as_str));
        let acks = [2, 0].map(|index: usize| Position::of(&messages[index]).ack().to_string());
        device.send_texts(&acks);
        wait_acked(&cluster, &bob, &messages[2]);
    }
}

#[test]
fn an_ack_counts_for_all_before_it_and_disturbs_no_other_device() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    let ids: Vec<_> = (0..6).map(|number| format!("m{number}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    for id in &ids {
        alice.keep_accepted(&bob, id, "1");
    }
    let mut devices: Vec<_> = (0..3)
        .map(|index| session_at(&cluster, index, &bob, "").0)
        .collect();
    let messages: Vec<_> = (devices.iter_mut())
        .map(|device| device.expect_messages(&ids))
        .collect();
    // The guest acks more than the owner's session does, and later less.
    devices[0].ack(&messages[0][3]);
    wait_acked(&cluster, &bob, &messages[0][3]);
    devices[1].ack(&messages[1][1]);
    devices[1].assert_quiet_and_alive();
    for device in &mut devices {
        device.assert_quiet_and_alive();
    }
    let (mut fresh, _) = session_at(&cluster, 2, &bob, "");
    fresh.expect_messages(&ids[4..]);
    fresh.assert_quiet_and_alive();
    // Acked or not, a position gets what came after it.
    for index in 0..3 {
        let query = Position::of(&messages[0][0]).query();
        let (mut resumed, welcome) = session_at(&cluster, index, &bob, &query);
        assert_eq!(welcome["recovered"], true, "{welcome}");
        resumed.expect_messages(&ids[1..]);
        resumed.assert_quiet_and_alive();
    }
    alice.keep_accepted(&bob, "later", "1");
    for device in &mut devices {
        device.expect_messages(&["later"]);
    }
}

#[test]
fn an_ack_of_an_epoch_that_nobody_knows_changes_nothing() {
    let cluster = Cluster::of(2, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    alice.keep_accepted(&bob, "m1", "1");
    for index in 0..2 {
        let (mut client, _) = session_at(&cluster, index, &bob, "");
        let message = client.expect_messages(&["m1"]).remove(0);
        client.send_json(&json!({"type":"ack","stream":"inbox","epoch":"nobodys","offset":9}));
        // Nor does one that is ahead of everything that was shown ack what comes later.
        let mut beyond = Position::of(&message);
        beyond.epoch = beyond.epoch.chars().rev().collect();
        client.send_json(&beyond.ack());
        client.assert_quiet_and_alive();
    }
    let (mut client, _) = session_at(&cluster, 1, &bob, "");
    client.expect_messages(&["m1"]);
}

#[test]
fn a_sender_that_asked_hears_of_the_ack_on_all_its_sessions() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let alice = cluster.user_of(2, "alice");
    let mut alices: Vec<_> = (0..3)
        .map(|index| session_at(&cluster, index, &alice, "").0)
        .collect();
    for (round, reads_at) in [0, 1, 2].into_iter().enumerate() {
        let (asked, quiet) = (format!("asked{round}"), format!("quiet{round}"));
        let body = json!({"type":"send","id":asked,"to":{"user":bob},"notify":true,"body":1});
        alices[round].send_json(&body);
        let receipt = alices[round].reply_to(&asked, RECEIPT);
        assert_eq!(receipt["status"], "accepted", "{receipt}");
        alices[round].keep_accepted(&bob, &quiet, "2");
        for session in &mut alices {
            session.assert_quiet_and_alive();
        }
        let (mut bobs, _) = session_at(&cluster, reads_at, &bob, "");
        let messages = bobs.expect_messages(&[&asked, &quiet]);
        assert!(messages[0].get("notify").is_none(), "{}", messages[0]);
        bobs.ack(&messages[1]);
        for session in &mut alices {
            let delivered = session.text(PATIENCE).expect("a message");
            let expected = format!(r#"{{"type":"delivered","id":"{asked}","user":"{bob}"}}"#);
            assert_eq!(delivered, expected);
        }
        // Once, however often it is acked.
        bobs.ack(&messages[1]);
        bobs.assert_quiet_and_alive();
        wait_acked(&cluster, &bob, &messages[1]);
        for session in &mut alices {
            session.assert_quiet_and_alive();
        }
    }
}

#[test]
fn an_ack_outlives_the_owner() {
    let mut cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    for id in ["m1", "m2", "m3"] {
        alice.keep_accepted(&bob, id, "1");
    }
    let (mut bobs, _) = session_at(&cluster, 2, &bob, "");
    let messages = bobs.expect_messages(&["m1", "m2", "m3"]);
    bobs.ack(&messages[1]);
    wait_acked(&cluster, &bob, &messages[1]);
    // What follows in the log is accepted only once the copy has the ack, too.
    alice.keep_accepted(&bob, "m4", "1");
    cluster.nodes[1].signal(Signal::Kill);
    cluster.wait_down("n2", PATIENCE);
    let (mut fresh, _) = session_at(&cluster, 0, &bob, "");
    fresh.expect_messages(&["m3", "m4"]);
    fresh.assert_quiet_and_alive();
    bobs.expect_messages(&["m4"]);
    assert_eq!(
        bobs.text(Duration::from_millis(300)),
        None,
        "nothing comes twice"
    );
}
