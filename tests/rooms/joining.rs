//! Joining, one room or many, and how many.

use serde_json::{Value, json};

use crate::support::client::outcome;
use crate::support::{Client, Cluster, Position};
use crate::{
    ask, assert_no_message, beginning, expect_messages, join, leave, message, present, send,
    session_at, to_room,
};

#[track_caller]
fn join_many(client: &mut Client, rooms: &[Value]) -> Value {
    ask(client, json!({"type":"join","rooms":rooms}))
}

fn named(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"room":name})).collect()
}

#[test]
fn many_rooms_are_joined_at_once_with_one_reply() {
    let cluster = Cluster::of(3, &[]);
    let rooms: Vec<_> = (0..60).map(|number| format!("room{number}")).collect();
    let mut sender = session_at(&cluster, 0, "eve");
    for room in &rooms[..20] {
        send(&mut sender, room, &format!("before-{room}"));
    }
    let mut clients = [0, 1, 2].map(|index| session_at(&cluster, index, &format!("u{index}")));
    for client in &mut clients {
        let wanted = rooms.iter().enumerate().map(|(number, room)| {
            let since = beginning();
            if number < 10 {
                json!({"room":room,"since":{"epoch":since.epoch,"offset":since.offset}})
            } else {
                json!({"room":room})
            }
        });
        let wanted: Vec<_> = wanted.collect();
        let receipt = join_many(client, &wanted);
        assert_eq!(outcome(&receipt), "joined", "{receipt}");
        let answers = receipt["rooms"].as_array().expect("a list");
        assert_eq!(answers.len(), rooms.len(), "{receipt}");
        for (number, (answer, room)) in answers.iter().zip(&rooms).enumerate() {
            assert_eq!(answer["room"], room.as_str(), "{receipt}");
            assert_eq!(
                answer["recovered"].as_bool(),
                (number < 10).then_some(true),
                "{answer}"
            );
            Position::of(answer);
        }
        let mut before: Vec<_> = (0..10).map(|_| crate::message(client)).collect();
        before.sort_by_key(|m| m["id"].as_str().map(str::to_owned));
        let mut ids: Vec<_> = rooms[..10]
            .iter()
            .map(|room| format!("before-{room}"))
            .collect();
        ids.sort();
        assert!(before.iter().map(|m| &m["id"]).eq(ids.iter()), "{before:?}");
    }
    for room in &rooms {
        let id = format!("to-{room}");
        send(&mut sender, room, &id);
        for client in &mut clients {
            expect_messages(client, &[&id]);
        }
    }
}

#[test]
fn a_session_may_be_in_so_many_rooms() {
    let cluster = Cluster::of(2, &["--max-rooms-per-session", "3"]);
    let mut client = session_at(&cluster, 0, "ann");
    join(&mut client, "a");
    join(&mut client, "b");
    let refused = join_many(&mut client, &named(&["c", "d"]));
    assert_eq!(outcome(&refused), "not_allowed", "{refused}");
    // All or none, and one that it is in does not count twice.
    assert!(present(&mut client, "c").is_empty());
    let receipt = join_many(&mut client, &named(&["a", "b", "c"]));
    assert_eq!(outcome(&receipt), "joined", "{receipt}");
    let refused = ask(&mut client, json!({"type":"join","room":"d"}));
    assert_eq!(outcome(&refused), "not_allowed", "{refused}");
    leave(&mut client, "b");
    join(&mut client, "d");
    for (room, there) in [("a", true), ("b", false), ("c", true), ("d", true)] {
        assert_eq!(!present(&mut client, room).is_empty(), there, "{room}");
    }
    // Others have rooms of their own.
    join(&mut session_at(&cluster, 0, "ann"), "e");
    let refused = join_many(&mut client, &named(&["a", "b", "c", "d"]));
    assert_eq!(outcome(&refused), "too_large", "{refused}");
}

#[test]
fn a_session_is_in_a_thousand_rooms_if_nothing_else_is_said() {
    let cluster = Cluster::of(3, &[]);
    let rooms: Vec<_> = (0..1000).map(|number| format!("room{number}")).collect();
    let mut client = session_at(&cluster, 0, "ann");
    let mut at_once = join_many(
        &mut client,
        &rooms
            .iter()
            .map(|room| json!({"room":room}))
            .collect::<Vec<_>>(),
    );
    let joined = at_once["rooms"].take();
    assert_eq!(joined.as_array().map(Vec::len), Some(1000));
    assert!(
        joined
            .as_array()
            .into_iter()
            .flatten()
            .all(|room| room["offset"].is_u64()),
        "{joined}"
    );
    let refused = ask(&mut client, json!({"type":"join","room":"one more"}));
    assert_eq!(outcome(&refused), "not_allowed", "{refused}");
    let mut sender = session_at(&cluster, 1, "eve");
    for room in &rooms {
        sender.send_json(&to_room(room, room, &json!(1)));
    }
    let messages = rooms.iter().map(|_| message(&mut client)["id"].clone());
    let mut received: Vec<_> = messages
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect();
    received.sort();
    let mut sent = rooms.clone();
    sent.sort();
    assert_eq!(received, sent);
}

#[test]
fn what_is_no_join_is_refused_and_changes_nothing() {
    let cluster = Cluster::of(1, &[]);
    let mut client = session_at(&cluster, 0, "ann");
    let long = "x".repeat(257);
    let requests = [
        json!({"type":"join"}),
        json!({"type":"join","room":""}),
        json!({"type":"join","room":"a\n"}),
        json!({"type":"join","room":long}),
        json!({"type":"join","room":1}),
        json!({"type":"join","room":"a","since":{"epoch":"0"}}),
        json!({"type":"join","room":"a","since":{"epoch":"a b","offset":1}}),
        json!({"type":"join","room":"a","rooms":[{"room":"b"}]}),
        json!({"type":"join","rooms":[]}),
        json!({"type":"join","rooms":["a"]}),
        json!({"type":"join","rooms":[{"room":"a"},{"room":"a"}]}),
        json!({"type":"join","rooms":[{"room":"a"},{"room":""}]}),
        json!({"type":"leave"}),
    ];
    for request in requests {
        let refused = ask(&mut client, request);
        assert_eq!(outcome(&refused), "bad_request", "{refused}");
    }
    assert!(present(&mut client, "a").is_empty());
    join(&mut client, &long[1..]);
}

#[test]
fn who_joins_again_is_in_once() {
    let cluster = Cluster::of(3, &[]);
    for owner in 0..3 {
        let room = cluster.user_of(owner, "room");
        let mut client = session_at(&cluster, 0, "ann");
        let first = join(&mut client, &room);
        send(&mut client, &room, &format!("1-{owner}"));
        expect_messages(&mut client, &[format!("1-{owner}")]);
        assert!(join(&mut client, &room).offset > first.offset);
        send(&mut client, &room, &format!("2-{owner}"));
        expect_messages(&mut client, &[format!("2-{owner}")]);
        assert_no_message(&mut client);
        leave(&mut client, &room);
        send(&mut client, &room, &format!("3-{owner}"));
        assert_no_message(&mut client);
    }
}
