//! Rooms and messages to everyone.

use ringpost::proto::client_message::Request;
use ringpost::proto::server_message::Reply;
use ringpost::proto::target::To;
use ringpost::proto::{
    Everyone, Join, Leave, Position, PresenceRequest, RoomToJoin, Send, Status, Target,
};
use serde_json::json;

use crate::client::{Binary, kept, position, to_room, unkept};
use crate::json_at;
use crate::support::client::outcome;
use crate::support::{Cluster, PATIENCE};

fn join(room: &str, since: Option<Position>) -> Request {
    Request::Join(Join {
        room: room.to_owned(),
        since,
        rooms: Vec::new(),
    })
}

#[test]
fn members_of_both_forms_hear_each_other_over_nodes() {
    let cluster = Cluster::of(3, &["--announced-rooms", "none"]);
    let mut binary = [0, 1].map(|index| Binary::at(&cluster, index, &format!("b{index}"), "").0);
    let mut json = json_at(&cluster, 2, "carol");
    let mut places = Vec::new();
    for member in &mut binary {
        let receipt = member.ask("j1", join("lobby", None));
        assert_eq!(receipt.status(), Status::Joined, "{receipt:?}");
        assert_eq!(receipt.recovered, None);
        places.push(position(&receipt.epoch, receipt.offset));
    }
    json.send_json(&json!({"type":"join","id":"j1","room":"lobby"}));
    assert_eq!(outcome(&json.reply_to("j1", PATIENCE)), "joined");

    let text = r#"{"type":"send","id":"m1","to":{"room":"lobby"},"body":{ "n" : 1.0 }}"#;
    json.send_text(text);
    assert_eq!(outcome(&json.reply_to("m1", PATIENCE)), "accepted");
    let mut last = position("", 0);
    for member in &mut binary {
        let message = member.message();
        assert_eq!((&*message.stream, &*message.from), ("room:lobby", "carol"));
        assert_eq!(message.to, Some(to_room("lobby")));
        assert_eq!(message.body, "{ \"n\" : 1.0 }");
        last = position(&message.epoch, message.offset);
    }
    json.expect("message");

    let quiet = Send {
        echo: Some(false),
        ..kept(to_room("lobby"), "2")
    };
    let receipt = binary[0].ask("m2", Request::Send(quiet));
    assert_eq!(receipt.status(), Status::Accepted, "{receipt:?}");
    assert_eq!(binary[1].message().id, "m2");
    assert_eq!(json.expect("message")["body"], 2);
    let receipt = binary[0].ask("m3", Request::Send(unkept(to_room("lobby"), "3")));
    assert_eq!(receipt.status(), Status::Sent, "{receipt:?}");
    for member in &mut binary {
        let message = member.message();
        assert_eq!((&*message.id, &*message.epoch), ("m3", ""));
    }
    assert_eq!(json.expect("message")["id"], "m3");

    // Who comes later and knows where it was gets what it has missed.
    let mut late = Binary::at(&cluster, 0, "late", "").0;
    let wanted = vec![
        RoomToJoin {
            room: "lobby".to_owned(),
            since: Some(last),
        },
        RoomToJoin {
            room: "other".to_owned(),
            since: None,
        },
    ];
    let all = Request::Join(Join {
        rooms: wanted,
        ..Join::default()
    });
    let receipt = late.ask("j2", all);
    assert_eq!(receipt.status(), Status::Joined, "{receipt:?}");
    let rooms: Vec<_> = (receipt.rooms.iter())
        .map(|room| (&*room.room, room.recovered, room.error.is_none()))
        .collect();
    assert_eq!(
        rooms,
        [("lobby", Some(true), true), ("other", None, true)],
        "{receipt:?}"
    );
    assert_eq!(late.message().id, "m2");

    let receipt = binary[1].ask(
        "l1",
        Request::Leave(Leave {
            room: "lobby".to_owned(),
        }),
    );
    assert_eq!(receipt.status(), Status::Left, "{receipt:?}");
    let receipt = binary[1].ask("m4", Request::Send(kept(to_room("lobby"), "4")));
    assert_eq!(receipt.status(), Status::Accepted, "{receipt:?}");
    assert_eq!(late.message().id, "m4");
    binary[1].assert_quiet_and_alive();
}

#[test]
fn members_are_told_who_comes_and_goes_and_who_is_there() {
    let cluster = Cluster::of(2, &[]);
    let mut first = Binary::at(&cluster, 0, "first", "").0;
    first.ask("j1", join("lobby", None));
    let mut json = json_at(&cluster, 1, "second");
    json.send_json(&json!({"type":"join","id":"j1","room":"lobby"}));
    let Reply::Joined(joined) = first.next() else {
        panic!("nobody came");
    };
    assert_eq!((&*joined.room, &*joined.user), ("lobby", "second"));
    let asked = PresenceRequest {
        room: "lobby".to_owned(),
        ..PresenceRequest::default()
    };
    first.send("p1", Request::Presence(asked));
    let Reply::Presence(presence) = first.next() else {
        panic!("no presence");
    };
    assert_eq!((&*presence.id, &*presence.room), ("p1", "lobby"));
    assert_eq!((presence.count, &*presence.next), (2, ""));
    assert_eq!(presence.users, ["first", "second"]);
    json.send_json(&json!({"type":"leave","id":"l1","room":"lobby"}));
    let Reply::Left(left) = first.next() else {
        panic!("nobody left");
    };
    assert_eq!((&*left.room, &*left.user), ("lobby", "second"));
}

#[test]
fn everyone_gets_a_message_in_the_form_of_each() {
    let cluster = Cluster::of(2, &["--clients-may-broadcast"]);
    let mut binary = [0, 1].map(|index| Binary::at(&cluster, index, &format!("b{index}"), "").0);
    let mut json = json_at(&cluster, 1, "carol");
    let everyone = Target {
        to: Some(To::Everyone(Everyone {})),
    };
    // Its qos may be left out.
    let receipt = binary[0].ask("m1", Request::Send(kept(everyone.clone(), "1")));
    assert_eq!(receipt.status(), Status::Sent, "{receipt:?}");
    for session in &mut binary {
        let message = session.message();
        assert_eq!((&*message.stream, &*message.id), ("everyone", "m1"));
        assert_eq!(message.to, Some(everyone.clone()));
    }
    assert_eq!(json.expect("message")["to"], "everyone");
}
