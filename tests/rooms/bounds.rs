//! What a room keeps, for how long, and what backends may send to it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::client::outcome;
use crate::support::kept::RECEIPT;
use crate::support::{Cluster, PATIENCE, Position, Signal, http, wait_until};
use crate::{
    assert_no_message, beginning, expect_messages, join, join_since, leave, message, send,
    session_at, to_room,
};

#[test]
fn what_is_too_old_goes_and_who_comes_back_is_told_so() {
    let cluster = Cluster::of(2, &["--room-age", "1s"]);
    for owner in 0..2 {
        let room = cluster.user_of(owner, "room");
        let mut sender = session_at(&cluster, 0, "eve");
        send(&mut sender, &room, &format!("old{owner}"));
        let mut client = session_at(&cluster, 1, "ann");
        wait_until(Duration::from_secs(20), "the message is too old", || {
            let recovered = join_since(&mut client, &room, &beginning()).1;
            leave(&mut client, &room);
            !recovered
        });
        while client
            .find(Duration::from_millis(1), |m| m["type"] == "message")
            .is_some()
        {}
        join(&mut client, &room);
        send(&mut sender, &room, &format!("new{owner}"));
        expect_messages(&mut client, &[format!("new{owner}")]);
    }
}

#[test]
fn a_room_in_which_nobody_is_costs_nothing_once_its_history_has_gone() {
    let args = "--room-age 1s --request-timeout 4s --dedupe-window 8s";
    let args: Vec<_> = args.split(' ').collect();
    let cluster = Cluster::of(2, &args);
    let mut sender = session_at(&cluster, 0, "eve");
    let rooms: Vec<_> = (0..20).map(|number| format!("room{number}")).collect();
    for room in &rooms {
        join(&mut sender, room);
        send(&mut sender, room, room);
    }
    let owned = || -> u64 {
        let nodes = cluster.nodes.iter();
        nodes
            .map(|node| node.metric("ringpost_streams_owned"))
            .sum()
    };
    assert!(owned() >= 20, "{}", owned());
    for room in &rooms {
        leave(&mut sender, room);
    }
    sender.close();
    wait_until(Duration::from_secs(40), "nothing is left of them", || {
        let bytes = |node: &crate::support::Node| node.metric("ringpost_inbox_bytes");
        owned() == 0 && cluster.nodes.iter().map(bytes).sum::<u64>() == 0
    });
}

#[test]
fn a_room_is_never_full_however_little_it_keeps() {
    let cluster = Cluster::of(
        3,
        &["--max-room-messages", "3", "--max-room-bytes", "70000"],
    );
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        let mut sender = session_at(&cluster, 0, "eve");
        let mut members = [0, 1, 2].map(|index| session_at(&cluster, index, "ann"));
        for member in &mut members {
            join(member, &room);
        }
        let ids: Vec<_> = (0..50).map(|number| format!("{owner}-{number}")).collect();
        for id in &ids {
            send(&mut sender, &room, id);
        }
        for member in &mut members {
            expect_messages(member, &ids);
        }
        // Once all have them three are left.
        let mut late = session_at(&cluster, 2, "late");
        wait_until(PATIENCE, "the others are gone", || {
            let recovered = join_since(&mut late, &room, &beginning()).1;
            leave(&mut late, &room);
            let mut ids = Vec::new();
            late.send_json(&json!({"type":"ping","id":"end"}));
            loop {
                let next = late.find(PATIENCE, |m| m["type"] == "message" || m["id"] == "end");
                let next = next.expect("a pong at least");
                if next["type"] == "pong" {
                    break;
                }
                ids.push(next["id"].clone());
            }
            !recovered && ids == [47, 48, 49].map(|number| format!("{owner}-{number}"))
        });
    }
}

#[test]
fn more_than_a_room_remembers_is_refused_at_once_and_a_repeat_is_not() {
    let args = ["--max-room-dedupe-ids", "3", "--max-dedupe-ids", "9"];
    let cluster = Cluster::of(2, &args);
    for owner in 0..2 {
        let room = cluster.user_of(owner, "room");
        let mut sender = session_at(&cluster, 0, "eve");
        for id in ["a", "b", "c"] {
            send(&mut sender, &room, id);
        }
        sender.send_json(&to_room(&room, "d", &json!(1)));
        let receipt = sender.reply_to("d", PATIENCE);
        assert_eq!(receipt["error"]["code"], "rate_limited", "{receipt}");
        assert_eq!(receipt["error"]["retry"], true, "{receipt}");
        send(&mut sender, &room, "c");
        // Nor has one of many to wait for those before it.
        let ids: Vec<_> = (0..200).map(|number| format!("m{number}")).collect();
        for id in &ids {
            sender.send_json(&to_room(&room, id, &json!(1)));
        }
        for id in &ids {
            let receipt = sender.reply_to(id, PATIENCE);
            assert_eq!(receipt["error"]["code"], "rate_limited", "{receipt}");
        }
    }
    let refused = cluster.nodes[0].metric("ringpost_messages_over_room_rate_total");
    assert_eq!(refused, 2 * 201);
}

#[test]
fn a_full_room_goes_on_when_the_node_that_held_it_up_is_gone() {
    let mut cluster = Cluster::of(2, &["--replicas", "1"]);
    let room = cluster.user_of(0, "room");
    let mut member = session_at(&cluster, 1, "ann");
    join(&mut member, &room);
    let mut sender = session_at(&cluster, 0, "eve");
    cluster.nodes[1].signal(Signal::Stop);
    // More than 8 MiB that nobody takes.
    let body = json!("x".repeat(60_000));
    let ids: Vec<_> = (0..150).map(|number| format!("m{number}")).collect();
    for id in &ids {
        sender.send_json(&to_room(&room, id, &body));
    }
    for id in &ids {
        assert_eq!(outcome(&sender.reply_to(id, RECEIPT)), "accepted");
    }
    cluster.nodes[1].signal(Signal::Kill);
}

#[test]
fn backends_send_to_rooms_by_any_node() {
    let cluster = Cluster::of(3, &[]);
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        let mut members = [0, 1, 2].map(|index| session_at(&cluster, index, "ann"));
        for member in &mut members {
            join(member, &room);
        }
        let mut last = None;
        for node in &cluster.nodes {
            for qos in [1, 0] {
                let id = format!("{owner}-{}-{qos}", node.id);
                let order = json!({"from":"shop","id":id,"to":{"room":room},"body":[1],"qos":qos});
                let headers = [("Content-Type", "application/json")];
                let text = order.to_string();
                let call = ("POST", "/v1/send");
                let answer = http::call(node.admin, call, &headers, text.as_bytes());
                let answer = answer.expect("an answer");
                let mut receipt = json!({"type":"receipt","id":id,"status":"sent"});
                if qos == 1 {
                    receipt["status"] = json!("accepted");
                    receipt["copies"] = json!(2);
                }
                assert_eq!((answer.status, answer.json()), (200, receipt));
                for member in &mut members {
                    let message = expect_messages(member, &[&id]).remove(0);
                    assert_eq!(message["from"], "shop", "{message}");
                    assert_eq!(message["body"], json!([1]), "{message}");
                    assert_eq!(message.get("offset").is_some(), qos == 1, "{message}");
                    if qos == 1 {
                        last = Some(Position::of(&message));
                    }
                }
            }
        }
        let mut late = session_at(&cluster, 0, "late");
        assert!(join_since(&mut late, &room, &beginning()).1);
        let kept: Vec<Value> = (0..3).map(|_| message(&mut late)).collect();
        assert_eq!(Some(Position::of(&kept[2])), last);
        assert_no_message(&mut late);
    }
}
