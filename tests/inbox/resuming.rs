//! Coming back with a position, to any node.

use serde_json::{Value, json};

use crate::session_at;
use crate::support::{Client, Cluster, PATIENCE, Position, wait_until};

/// Sends messages `m1`, `m2`, … and returns them as the user's session gets them.
fn sent_and_seen(sender: &mut Client, reader: &mut Client, user: &str, count: u64) -> Vec<Value> {
    for number in 1..=count {
        sender.keep_accepted(user, &format!("m{number}"), &number.to_string());
    }
    (0..count).map(|_| reader.expect("message")).collect()
}

#[test]
fn a_client_with_a_position_gets_what_came_after_it_at_any_node() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    let mut reader = session_at(&cluster, 1, &bob, "").0;
    let messages = sent_and_seen(&mut alice, &mut reader, &bob, 5);
    for index in 0..3 {
        for known in [1, 3, 5] {
            let query = Position::of(&messages[known - 1]).query();
            let (mut client, welcome) = session_at(&cluster, index, &bob, &query);
            assert_eq!(welcome["recovered"], true, "{welcome}");
            assert_eq!(Position::of(&welcome), Position::of(&messages[known - 1]));
            for message in &messages[known..] {
                assert_eq!(&client.expect("message"), message);
            }
            client.assert_quiet_and_alive();
        }
    }
    // A redirect carries the position along.
    let query = Position::of(&messages[3]).query();
    let url = cluster.nodes[0].url(&bob) + &query;
    let (mut client, welcome) = Client::welcomed(&url);
    assert_eq!(
        (&welcome["node"], &welcome["recovered"]),
        (&json!("n2"), &json!(true))
    );
    client.expect_messages(&["m5"]);
    client.assert_quiet_and_alive();
}

#[test]
fn a_client_that_has_received_nothing_yet_resumes_from_its_welcome() {
    let cluster = Cluster::of(2, &[]);
    for index in [1, 0] {
        let mut alice = session_at(&cluster, 0, "alice", "").0;
        // One inbox that is new, and one where something had been acked before.
        let bob = cluster.user_of(1, &format!("bob{index}-"));
        let (client, welcome) = session_at(&cluster, index, &bob, "");
        drop(client);
        alice.keep_accepted(&bob, "m1", "1");
        let query = Position::of(&welcome).query();
        let (mut client, welcome) = session_at(&cluster, index, &bob, &query);
        assert_eq!(welcome["recovered"], true, "{welcome}");
        let message = client.expect_messages(&["m1"]).remove(0);
        client.ack(&message);
        client.assert_quiet_and_alive();
        drop(client);
        let mut position = Position::of(&welcome);
        wait_until(PATIENCE, "the ack has reached the owner", || {
            position = Position::of(&session_at(&cluster, index, &bob, "").1);
            position == Position::of(&message)
        });
        alice.keep_accepted(&bob, "m2", "2");
        let (mut client, welcome) = session_at(&cluster, index, &bob, &position.query());
        assert_eq!(welcome["recovered"], true, "{welcome}");
        client.expect_messages(&["m2"]);
        client.assert_quiet_and_alive();
    }
}

#[test]
fn a_position_of_an_unknown_epoch_replays_what_is_there_and_says_so() {
    let cluster = Cluster::of(2, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    let mut reader = session_at(&cluster, 1, &bob, "").0;
    let messages = sent_and_seen(&mut alice, &mut reader, &bob, 3);
    let tip = Position::of(&messages[2]);
    let unknown = [
        Position {
            epoch: "somebody_elses-1".to_owned(),
            ..tip.clone()
        },
        // Looks like one of ours, but is none.
        Position {
            epoch: tip.epoch.chars().rev().collect(),
            ..tip.clone()
        },
    ];
    for (position, index) in unknown.iter().zip([1, 0]) {
        let (mut client, welcome) = session_at(&cluster, index, &bob, &position.query());
        assert_eq!(welcome["recovered"], false, "{welcome}");
        assert_eq!(Position::of(&welcome).epoch, tip.epoch, "{welcome}");
        client.expect_messages(&["m1", "m2", "m3"]);
        client.assert_quiet_and_alive();
    }
    // More than there ever was of an epoch that is known.
    let beyond = Position {
        offset: tip.offset + 1,
        ..tip
    };
    let (mut client, welcome) = session_at(&cluster, 1, &bob, &beyond.query());
    assert_eq!(welcome["recovered"], false, "{welcome}");
    client.assert_quiet_and_alive();
}

#[test]
fn a_position_that_is_too_old_replays_what_is_left_and_says_so() {
    let cluster = Cluster::of(2, &["--max-inbox-messages", "5"]);
    let bob = cluster.user_of(1, "bob");
    let mut alice = session_at(&cluster, 0, "alice", "").0;
    let mut reader = session_at(&cluster, 1, &bob, "").0;
    let mut messages = Vec::new();
    for number in 1..=12 {
        alice.keep_accepted(&bob, &format!("m{number}"), "1");
        let message = reader.expect("message");
        reader.ack(&message);
        reader.assert_quiet_and_alive();
        messages.push(message);
    }
    // Acked messages are kept as far as the inbox's bounds go.
    let at = |number: usize| Position::of(&messages[number - 1]).query();
    for index in 0..2 {
        let (mut client, welcome) = session_at(&cluster, index, &bob, &at(7));
        assert_eq!(welcome["recovered"], true, "{welcome}");
        client.expect_messages(&["m8", "m9", "m10", "m11", "m12"]);
        client.assert_quiet_and_alive();
        let (mut client, welcome) = session_at(&cluster, index, &bob, &at(6));
        assert_eq!(welcome["recovered"], false, "{welcome}");
        client.expect_messages(&["m8", "m9", "m10", "m11", "m12"]);
        client.assert_quiet_and_alive();
    }
}

#[test]
fn devices_stand_at_positions_of_their_own_in_one_order() {
    let cluster = Cluster::of(3, &[]);
    let bob = cluster.user_of(1, "bob");
    let mut senders = [0, 1, 2].map(|index| session_at(&cluster, index, "alice", "").0);
    let mut early = session_at(&cluster, 0, &bob, "").0;
    for round in 0..10 {
        for (index, sender) in senders.iter_mut().enumerate() {
            sender.send_kept(&bob, &format!("m{index}-{round}"), "1");
        }
    }
    let order: Vec<_> = (0..30).map(|_| early.expect("message")).collect();
    let offsets = order.iter().map(|m| Position::of(m).offset);
    assert!(offsets.is_sorted_by(|a, b| a < b), "{order:?}");
    let mut devices: Vec<_> = [(0, 7), (1, 15), (2, 23), (1, 29)]
        .map(|(index, known)| {
            let query = Position::of(&order[known]).query();
            (session_at(&cluster, index, &bob, &query).0, known)
        })
        .into();
    senders[0].keep_accepted(&bob, "last", "1");
    let last = early.expect("message");
    for (device, known) in &mut devices {
        for expected in order[*known + 1..].iter().chain([&last]) {
            assert_eq!(&device.expect("message"), expected);
        }
        device.assert_quiet_and_alive();
    }
}
