//! Joining with a position: what came behind it comes first, and what is new after that.

use std::thread;

use serde_json::{Value, json};

use crate::support::client::outcome;
use crate::support::kept::RECEIPT;
use crate::support::{Client, Cluster, PATIENCE, Position, wait_until};
use crate::{
    assert_no_message, beginning, expect_messages, join, join_request, join_since, leave, message,
    send, session_at, to_room,
};

/// Sends messages `m1`, `m2`, … to a room and returns them as a member has them.
fn history(cluster: &Cluster, room: &str, count: usize) -> Vec<Value> {
    let mut member = session_at(cluster, cluster.owner(room), "member");
    join(&mut member, room);
    for number in 1..=count {
        send(&mut member, room, &format!("m{number}"));
    }
    (0..count).map(|_| message(&mut member)).collect()
}

#[test]
fn who_comes_back_with_a_position_gets_what_came_behind_it_at_any_node() {
    let cluster = Cluster::of(3, &[]);
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        let messages = history(&cluster, &room, 6);
        let mut sender = session_at(&cluster, 0, "eve");
        for index in 0..3 {
            for known in [1, 4, 6] {
                let mut client = session_at(&cluster, index, "ann");
                let since = Position::of(&messages[known - 1]);
                assert_eq!(join_since(&mut client, &room, &since), (since, true));
                for expected in &messages[known..] {
                    assert_eq!(&message(&mut client), expected);
                }
                let mut passing = to_room(&room, &format!("{owner}-{index}-{known}"), &json!(1));
                passing["qos"] = json!(0);
                sender.send_json(&passing);
                assert_eq!(message(&mut client)["id"], passing["id"]);
            }
            let mut client = session_at(&cluster, index, "ann");
            let (position, recovered) = join_since(&mut client, &room, &beginning());
            assert_eq!((position.offset, recovered), (0, true));
            for expected in &messages {
                assert_eq!(&message(&mut client), expected);
            }
            assert_no_message(&mut client);
        }
    }
}

#[test]
fn who_was_told_a_position_and_nothing_else_comes_back_from_there() {
    let cluster = Cluster::of(3, &[]);
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        let mut sender = session_at(&cluster, 0, "eve");
        for round in 0..2 {
            let mut client = session_at(&cluster, round, "ann");
            let since = join(&mut client, &room);
            leave(&mut client, &room);
            let ids = [1, 2, 3].map(|number| format!("{owner}-{round}-{number}"));
            send(&mut sender, &room, &ids[0]);
            send(&mut sender, &room, &ids[1]);
            drop(client);
            let mut client = session_at(&cluster, 2, "ann");
            assert!(join_since(&mut client, &room, &since).1);
            expect_messages(&mut client, &ids[..2]);
            send(&mut sender, &room, &ids[2]);
            expect_messages(&mut client, &ids[2..]);
            assert_no_message(&mut client);
        }
    }
}

#[test]
fn a_room_that_nobody_has_used_is_caught_up_with_from_its_beginning() {
    let cluster = Cluster::of(3, &[]);
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        for index in 0..3 {
            let mut client = session_at(&cluster, index, "ann");
            let joined = join_since(&mut client, &room, &beginning());
            assert_eq!(joined, (beginning(), true));
        }
        let mut client = session_at(&cluster, 1, "ann");
        join_since(&mut client, &room, &beginning());
        send(&mut client, &room, "first");
        expect_messages(&mut client, &["first"]);
    }
}

#[test]
fn a_position_that_nobody_knows_gets_all_that_is_there_and_is_told_so() {
    let cluster = Cluster::of(3, &[]);
    let room = cluster.user_of(1, "room");
    let messages = history(&cluster, &room, 3);
    let tip = Position::of(&messages[2]);
    for index in 0..3 {
        let unknown = Position {
            epoch: "somebody_elses-1".to_owned(),
            offset: 2,
        };
        let mut client = session_at(&cluster, index, "ann");
        assert!(!join_since(&mut client, &room, &unknown).1);
        expect_messages(&mut client, &["m1", "m2", "m3"]);
        assert_no_message(&mut client);
        let beyond = Position {
            offset: tip.offset + 1,
            ..tip.clone()
        };
        let mut client = session_at(&cluster, index, "ann");
        assert!(!join_since(&mut client, &room, &beyond).1);
    }
}

#[test]
fn what_a_room_no_longer_keeps_is_not_recovered() {
    let cluster = Cluster::of(3, &["--max-room-messages", "5"]);
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        let messages = history(&cluster, &room, 12);
        for index in 0..3 {
            for (known, recovered) in [(7, true), (6, false), (1, false), (12, true)] {
                let mut client = session_at(&cluster, index, "ann");
                let since = Position::of(&messages[known - 1]);
                assert_eq!(
                    join_since(&mut client, &room, &since).1,
                    recovered,
                    "m{known}"
                );
                for expected in &messages[known.max(7)..] {
                    assert_eq!(&message(&mut client), expected);
                }
                assert_no_message(&mut client);
            }
        }
    }
}

#[test]
fn many_pages_are_caught_up_with_while_more_is_sent() {
    const BEFORE: usize = 120;
    const MEANWHILE: usize = 200;
    let cluster = Cluster::of(3, &["--max-room-bytes", "16777216"]);
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        // Some twenty pages.
        let body = json!("x".repeat(10_000));
        let mut sender = session_at(&cluster, 0, "eve");
        let ids: Vec<_> = (0..BEFORE + MEANWHILE)
            .map(|n| format!("{owner}-{n}"))
            .collect();
        let (before, meanwhile) = ids.split_at(BEFORE);
        let take_receipts = |sender: &mut Client, ids: &[String]| {
            for id in ids {
                assert_eq!(outcome(&sender.reply_to(id, RECEIPT)), "accepted");
            }
        };
        for part in before.chunks(40) {
            for id in part {
                sender.send_json(&to_room(&room, id, &body));
            }
            take_receipts(&mut sender, part);
        }
        let mut clients = [0, 1, 2].map(|index| session_at(&cluster, index, "ann"));
        thread::scope(|scope| {
            scope.spawn(|| {
                for part in meanwhile.chunks(20) {
                    for id in part {
                        sender.send_json(&to_room(&room, id, &body));
                    }
                    take_receipts(&mut sender, part);
                }
            });
            for client in &mut clients {
                scope.spawn(|| {
                    let request = join_request(&room, &beginning());
                    let receipt = crate::ask(client, request);
                    assert_eq!(receipt["recovered"], true, "{receipt}");
                    let mut last = 0;
                    for message in expect_messages(client, &ids) {
                        let offset = Position::of(&message).offset;
                        assert!(offset > last, "{message}");
                        last = offset;
                    }
                    assert_no_message(client);
                });
            }
        });
    }
}

#[test]
fn a_member_that_catches_up_too_slowly_is_told_what_it_misses() {
    // Sessions that are not read answer no ping.
    let flags = ["--max-room-messages", "30", "--heartbeat-interval", "10m"];
    let cluster = Cluster::of(2, &flags);
    for owner in 0..2 {
        let room = cluster.user_of(owner, "room");
        let body = json!("x".repeat(30_000));
        let mut sender = session_at(&cluster, 0, "eve");
        let mut accepted = |number: usize| {
            let id = format!("{owner}-{number}");
            sender.send_json(&to_room(&room, &id, &body));
            assert_eq!(outcome(&sender.reply_to(&id, RECEIPT)), "accepted");
        };
        (0..30).for_each(&mut accepted);
        // Once it has been let in it reads nothing while all is sent that pushes out what it has still to get.
        let mut slow = session_at(&cluster, 0, "ann");
        let mut request = join_request(&room, &beginning());
        request["id"] = json!("join");
        slow.send_json(&request);
        let mut member = session_at(&cluster, 1, "bob");
        wait_until(PATIENCE, "the slow one has joined", || {
            crate::present(&mut member, &room) == ["ann"]
        });
        assert_eq!(slow.reply_to("join", PATIENCE)["recovered"], true);
        (30..400).for_each(&mut accepted);
        let mut next = 0;
        let mut told = false;
        while next < 400 {
            let frame = slow.find(PATIENCE, |m| m["type"] == "message" || m["type"] == "error");
            let frame = frame.expect("all that is there");
            if frame["type"] == "error" {
                assert_eq!(frame["room"], room.as_str(), "{frame}");
                told = true;
                continue;
            }
            let id = frame["id"].as_str().expect("an id");
            let number: usize = id
                .rsplit('-')
                .next()
                .and_then(|n| n.parse().ok())
                .expect("ours");
            assert!(
                number == next || told && number > next,
                "{number} instead of {next}"
            );
            told &= number == next;
            next = number + 1;
        }
    }
}
