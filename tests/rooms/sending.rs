//! What is sent to a room, and who gets it.

use serde_json::{Value, json};

use crate::support::client::outcome;
use crate::support::kept::RECEIPT;
use crate::support::{Client, Cluster, PATIENCE, wait_until};
use crate::{
    assert_no_message, beginning, expect_messages, join, join_since, leave, message, send,
    session_at, to_room,
};

/// Members at every node, one of them with two sessions at the first.
fn members(cluster: &Cluster, room: &str) -> Vec<Client> {
    let users = [(0, "ann"), (1, "bob"), (2, "cyd"), (0, "ann"), (1, "dan")];
    let members = users.map(|(index, user)| {
        let mut client = session_at(cluster, index, user);
        join(&mut client, room);
        client
    });
    members.into()
}

#[test]
fn all_members_get_what_anybody_sends_in_one_order_whoever_owns_the_room() {
    let cluster = Cluster::of(3, &[]);
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        let mut members = members(&cluster, &room);
        let mut outsiders = [0, 1, 2].map(|index| session_at(&cluster, index, "eve"));
        let mut sent = 0;
        for round in 0..8 {
            let senders = members.iter_mut().chain(&mut outsiders);
            for (number, sender) in senders.enumerate() {
                let id = format!("{number}-{round}-{owner}");
                sender.send_json(&to_room(&room, &id, &json!([number, round])));
                sent += 1;
            }
        }
        for (number, sender) in members.iter_mut().chain(&mut outsiders).enumerate() {
            for round in 0..8 {
                let receipt = sender.reply_to(&format!("{number}-{round}-{owner}"), RECEIPT);
                assert_eq!(outcome(&receipt), "accepted", "{receipt}");
                assert_eq!(receipt["copies"], 2, "{receipt}");
            }
        }
        let orders = members.iter_mut().map(|member| {
            let messages: Vec<Value> = (0..sent).map(|_| message(member)).collect();
            assert_no_message(member);
            messages
        });
        let orders: Vec<_> = orders.collect();
        for order in &orders {
            assert_eq!(order, &orders[0]);
        }
        let offsets = orders[0]
            .iter()
            .map(|m| m["offset"].as_u64().expect("an offset"));
        assert!(offsets.is_sorted_by(|a, b| a < b), "{:?}", orders[0]);
        for number in 0..8 {
            let of_sender = orders[0].iter().filter(|m| m["body"][0] == number);
            let rounds = of_sender.map(|m| m["body"][1].as_u64().expect("a number"));
            assert!(rounds.eq(0..8), "{:?}", orders[0]);
        }
        for message in &orders[0] {
            assert_eq!(message["stream"], format!("room:{room}"), "{message}");
            assert_eq!(message["to"], json!({"room":room}), "{message}");
            assert_eq!(message["epoch"], orders[0][0]["epoch"], "{message}");
        }
        outsiders.iter_mut().for_each(assert_no_message);
    }
}

#[test]
fn what_is_not_kept_reaches_those_who_are_there_and_nobody_later() {
    let cluster = Cluster::of(3, &[]);
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        let mut eve = session_at(&cluster, 0, "eve");
        let passing = |id: &str| {
            let mut message = to_room(&room, id, &json!("now"));
            message["qos"] = json!(0);
            message
        };
        // Nobody has to be there.
        eve.send_json(&passing("alone"));
        assert_eq!(outcome(&eve.reply_to("alone", RECEIPT)), "sent");
        let mut members = members(&cluster, &room);
        let ids = ["a", "b", "c"].map(|id| format!("{id}{owner}"));
        for id in &ids {
            eve.send_json(&passing(id));
            assert_eq!(outcome(&eve.reply_to(id, RECEIPT)), "sent");
        }
        for member in &mut members {
            for message in expect_messages(member, &ids) {
                assert_eq!(message["stream"], format!("room:{room}"), "{message}");
                assert_eq!(message["body"], "now", "{message}");
                assert!(message.get("offset").is_none(), "{message}");
                assert!(message.get("epoch").is_none(), "{message}");
            }
        }
        send(&mut eve, &room, "kept");
        for index in 0..3 {
            let mut late = session_at(&cluster, index, "late");
            let (_, recovered) = join_since(&mut late, &room, &beginning());
            assert!(recovered, "what is not kept is not missed");
            expect_messages(&mut late, &["kept"]);
            assert_no_message(&mut late);
        }
    }
}

#[test]
fn a_sender_may_do_without_its_own_messages_but_its_other_devices_do_not() {
    let cluster = Cluster::of(3, &[]);
    for (owner, qos) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)] {
        let room = cluster.user_of(owner, &format!("room{qos}-"));
        let mut sender = session_at(&cluster, 1, "ann");
        let mut others = [(0, "ann"), (1, "ann"), (1, "bob"), (2, "cyd")]
            .map(|(index, user)| session_at(&cluster, index, user));
        join(&mut sender, &room);
        for other in &mut others {
            join(other, &room);
        }
        let ids = ["unechoed", "plain"].map(|id| format!("{id}-{room}"));
        for (id, echo) in ids.iter().zip([false, true]) {
            let mut message = to_room(&room, id, &json!(1));
            message["qos"] = json!(qos);
            message["echo"] = json!(echo);
            sender.send_json(&message);
            let outcome = outcome(&sender.reply_to(id, RECEIPT));
            assert_eq!(outcome, ["sent", "accepted"][qos]);
        }
        expect_messages(&mut sender, &ids[1..]);
        for other in &mut others {
            expect_messages(other, &ids);
        }
    }
}

#[test]
fn who_has_left_gets_nothing_more_and_may_still_send() {
    let cluster = Cluster::of(3, &[]);
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        let mut members = members(&cluster, &room);
        let mut sender = session_at(&cluster, 0, "eve");
        for index in [3, 1] {
            leave(&mut members[index], &room);
            let id = format!("{owner}-{index}");
            send(&mut sender, &room, &id);
            let mut passing = to_room(&room, &format!("{id}-passing"), &json!(1));
            passing["qos"] = json!(0);
            sender.send_json(&passing);
            for stays in (0..5).filter(|member| *member != index && *member != 3) {
                let of_both = |m: &Value| m["id"].as_str().is_some_and(|i| i.starts_with(&id));
                for _ in 0..2 {
                    let found = members[stays].find(PATIENCE, |m| m["type"] == "message");
                    assert!(found.as_ref().is_some_and(of_both), "{found:?}");
                }
            }
            assert_no_message(&mut members[index]);
        }
        send(&mut members[1], &room, &format!("{owner}-outside"));
        expect_messages(&mut members[2], &[format!("{owner}-outside")]);
        assert_no_message(&mut members[1]);
        // To leave again, or where one never was, changes nothing.
        leave(&mut members[1], &room);
        leave(&mut members[1], "elsewhere");
    }
}

#[test]
fn a_repeat_is_recognised_wherever_it_is_sent() {
    let cluster = Cluster::of(3, &[]);
    let room = cluster.user_of(2, "room");
    let mut member = session_at(&cluster, 0, "bob");
    join(&mut member, &room);
    for index in 0..3 {
        let mut ann = session_at(&cluster, index, "ann");
        ann.send_json(&to_room(&room, "m1", &json!(1)));
        let receipt = ann.reply_to("m1", RECEIPT);
        assert_eq!(outcome(&receipt), "accepted", "{receipt}");
        assert_eq!(
            receipt["duplicate"].as_bool(),
            (index > 0).then_some(true),
            "{receipt}"
        );
    }
    // A user of the same name is somebody else.
    let mut ann = session_at(&cluster, 0, "ann");
    ann.keep_accepted(&room, "m2", "1");
    ann.send_json(&to_room(&room, "m2", &json!(1)));
    assert_eq!(outcome(&ann.reply_to("m2", RECEIPT)), "id_reused");
    send(&mut ann, &room, "m3");
    expect_messages(&mut member, &["m1", "m3"]);
    assert_no_message(&mut member);
}

#[test]
fn a_message_goes_once_to_each_node_with_members_however_many_they_are() {
    let cluster = Cluster::of(3, &[]);
    let room = cluster.user_of(0, "room");
    let mut sender = session_at(&cluster, 0, "eve");
    let mut members = Vec::new();
    for (index, node) in cluster.nodes.iter().enumerate().skip(1) {
        for number in 0..30 {
            let mut member = session_at(&cluster, index, &format!("{}-{number}", node.id));
            join(&mut member, &room);
            members.push(member);
        }
    }
    let count = |name: &str| cluster.nodes[0].metric(name);
    let names = ["ringpost_deliveries_total", "ringpost_forwarded_total"];
    for (qos, name) in [1, 0].into_iter().zip(names) {
        let before = count(name);
        for round in 0..10 {
            let id = format!("{qos}-{round}");
            let mut message = to_room(&room, &id, &json!(1));
            message["qos"] = json!(qos);
            sender.send_json(&message);
            // One after the other: none shares its way with another one.
            for member in &mut members {
                expect_messages(member, &[&id]);
            }
        }
        // It is counted once it is on its way.
        wait_until(PATIENCE, "all are counted", || {
            count(name) - before >= 10 * 2
        });
        assert_eq!(count(name) - before, 10 * 2, "qos {qos}");
    }
}
