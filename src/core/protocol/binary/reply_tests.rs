use prost::Message as _;
use serde_json::{Map, Value, json};

use super::*;
use crate::core::protocol::{Encoding, Reason};
use crate::core::roster::RosterPage;
use crate::core::stream::Epoch;
use crate::id::{Generation, NodeId, RoomName, SessionId};
use crate::proto::presence_change::About;
use crate::proto::target::To;

/// A reply as the JSON form has it, made of what the binary one says.
fn json_of(frame: &Bytes) -> Value {
    assert_eq!(frame[0], 0x82, "a whole binary message");
    let head = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    let message = ServerMessage::decode(&frame[head..]).expect("it is one");
    match message.reply.expect("it says something") {
        Told::Welcome(it) => object("welcome")
            .put("user", it.user)
            .put("session", it.session)
            .put("node", it.node)
            .place(it.epoch, it.offset)
            .maybe("recovered", it.recovered)
            .put("heartbeat_ms", it.heartbeat_ms)
            .put("max_message_bytes", it.max_message_bytes),
        Told::Message(it) => object("message")
            .put("stream", it.stream)
            .place(it.epoch, it.offset)
            .put("id", it.id)
            .put("from", it.from)
            .put(
                "to",
                match it.to.and_then(|target| target.to).expect("a recipient") {
                    To::User(user) => json!({ "user": user }),
                    To::Room(room) => json!({ "room": room }),
                    To::Everyone(_) => json!("everyone"),
                },
            )
            .put(
                "body",
                serde_json::from_slice::<Value>(&it.body).expect("JSON"),
            )
            .put("ts", it.ts),
        Told::Receipt(it) => receipt_json(it),
        Told::Delivered(it) => object("delivered").put("id", it.id).put("user", it.user),
        Told::Joined(it) => object("joined").put("room", it.room).put("user", it.user),
        Told::Left(it) => object("left").put("room", it.room).put("user", it.user),
        Told::Presence(it) if it.room.is_empty() => object("presence")
            .put("id", it.id)
            .put("online", serde_json::to_value(it.online).expect("JSON")),
        Told::Presence(it) => object("presence")
            .put("id", it.id)
            .put("room", it.room)
            .put("count", it.count)
            .put("users", it.users)
            .text("next", it.next),
        Told::Redirect(it) => object("redirect")
            .put("url", it.url)
            .put("reason", it.reason)
            .maybe("after_ms", it.after_ms),
        Told::Error(it) => error_json(object("error"), it),
        Told::Pong(it) => object("pong").text("id", it.id),
        Told::PresenceChange(it) => {
            let object = object("presence_change");
            match it.about.expect("somebody") {
                About::User(it) => object.put("user", it.user).put("online", it.online),
                About::Room(it) => object
                    .put("room", it.room)
                    .put("count", it.count)
                    .put("joined", it.joined)
                    .put("left", it.left),
            }
        }
        Told::TokenExpiring(it) => object("token_expiring").put("in_ms", it.in_ms),
    }
    .0
    .into()
}

fn receipt_json(it: proto::Receipt) -> Object {
    let status = it.status();
    let object = object("receipt").put("id", it.id);
    match status {
        proto::Status::Sent => object.put("status", "sent"),
        proto::Status::Accepted => object
            .put("status", "accepted")
            .maybe("copies", (it.copies > 0).then_some(it.copies))
            .maybe("duplicate", it.duplicate.then_some(true)),
        proto::Status::Failed => {
            let error = error_json(Object(Map::new()), it.error.expect("a reason"));
            object.put("status", "failed").put("error", error.0)
        }
        proto::Status::Joined if it.rooms.is_empty() => object
            .put("status", "joined")
            .place(it.epoch, it.offset)
            .maybe("recovered", it.recovered),
        proto::Status::Joined => {
            let room = |it: proto::RoomReceipt| {
                let object = Object(Map::new()).put("room", it.room);
                let object = object
                    .place(it.epoch, it.offset)
                    .maybe("recovered", it.recovered);
                let error = it.error.map(|it| error_json(Object(Map::new()), it).0);
                Value::from(object.maybe("error", error).0)
            };
            let rooms: Vec<_> = it.rooms.into_iter().map(room).collect();
            object.put("status", "joined").put("rooms", rooms)
        }
        proto::Status::Left => object.put("status", "left"),
        proto::Status::Unspecified => panic!("no status"),
    }
}

fn error_json(object: Object, it: proto::Error) -> Object {
    object
        .put("code", it.code)
        .put("message", it.message)
        .put("retry", it.retry)
        .text("room", it.room)
}

struct Object(Map<String, Value>);

fn object(kind: &str) -> Object {
    Object(Map::new()).put("type", kind)
}

impl Object {
    fn put(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.put(name, value),
            None => self,
        }
    }

    fn text(self, name: &str, value: String) -> Self {
        self.maybe(name, Some(value).filter(|value| !value.is_empty()))
    }

    fn place(self, epoch: String, offset: u64) -> Self {
        if epoch.is_empty() {
            assert_eq!(offset, 0);
            return self;
        }
        self.put("epoch", epoch).put("offset", offset)
    }
}

fn assert_says_the_same(reply: &Reply<'_>) {
    let json: Value = serde_json::from_slice(&reply.json()).expect("JSON");
    assert_eq!(json_of(&reply.frame(Encoding::Proto)), json);
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

#[test]
fn a_welcome_and_a_message_say_the_same_in_both_forms() {
    let (alice, node) = (user("alice"), NodeId::new("n2").unwrap());
    let at = Position {
        epoch: Epoch::opened(10, &node, Generation(7)),
        offset: 12,
    };
    let root = Position {
        epoch: Epoch::ROOT,
        offset: 0,
    };
    for (position, recovered) in [
        (None, None),
        (Some(root), None),
        (Some(at), Some(true)),
        (Some(at), Some(false)),
    ] {
        assert_says_the_same(&Reply::Welcome(Welcome {
            user: &alice,
            session: SessionId(31),
            node: &node,
            position,
            recovered,
            heartbeat_ms: 25_000,
            max_message_bytes: 65_536,
        }));
        let lobby = StreamKey::Room(RoomName::new("lo\"bby").unwrap());
        for to in [Some(&StreamKey::from(&alice)), Some(&lobby), None] {
            assert_says_the_same(&Reply::Message(Message {
                position,
                id: "m\"1",
                from: alice.as_str(),
                to,
                body: "{ \"a\":1.0 }",
                ts: 1_732_350_000_123,
            }));
        }
    }
}

#[test]
fn receipts_say_the_same_in_both_forms() {
    let lobby = RoomName::new("lobby").unwrap();
    let position = Position {
        epoch: Epoch::ROOT,
        offset: 0,
    };
    let accepted = |copies, duplicate| Receipt::Accepted { copies, duplicate };
    let rooms: [Joined<'_>; 3] = [
        (&lobby, Ok((position, None))),
        (&lobby, Ok((position, Some(false)))),
        (&lobby, Err(ErrorCode::Unreachable)),
    ];
    let id = "m\n1";
    for reply in [
        Reply::Receipt {
            id,
            receipt: &Receipt::Sent,
        },
        Reply::Receipt {
            id,
            receipt: &accepted(2, false),
        },
        Reply::Receipt {
            id,
            receipt: &accepted(1, true),
        },
        Reply::Receipt {
            id,
            receipt: &ErrorCode::Offline.into(),
        },
        Reply::Failed {
            id,
            code: ErrorCode::IdReused,
            message: "so",
        },
        Reply::Joined {
            id,
            position,
            recovered: None,
        },
        Reply::Joined {
            id,
            position,
            recovered: Some(true),
        },
        Reply::JoinedAll { id, rooms: &rooms },
        Reply::Left { id },
    ] {
        assert_says_the_same(&reply);
    }
}

#[test]
fn what_is_told_of_others_says_the_same_in_both_forms() {
    let (bob, carol) = (user("b\"ob"), user("carol"));
    let lobby = RoomName::new("lobby").unwrap();
    let online = [(&bob, true), (&carol, false), (&bob, false)];
    let page = |more| RosterPage {
        count: 7,
        users: vec![bob.clone(), carol.clone()],
        more,
    };
    let id = "m\n1";
    for reply in [
        Reply::Member {
            room: &lobby,
            user: &bob,
            joined: true,
        },
        Reply::Member {
            room: &lobby,
            user: &bob,
            joined: false,
        },
        Reply::Presence {
            id,
            online: &online,
        },
        Reply::Presence { id, online: &[] },
        Reply::RoomPresence {
            id,
            room: &lobby,
            page: &page(false),
        },
        Reply::RoomPresence {
            id,
            room: &lobby,
            page: &page(true),
        },
        Reply::UserChanged {
            user: &bob,
            online: false,
        },
        Reply::RoomChanged {
            room: &lobby,
            count: 0,
            who: None,
        },
        Reply::RoomChanged {
            room: &lobby,
            count: 7,
            who: Some((&bob, true)),
        },
        Reply::RoomChanged {
            room: &lobby,
            count: 6,
            who: Some((&bob, false)),
        },
        Reply::Delivered { id, user: &bob },
        Reply::Redirect {
            url: "ws://h:1/ws?user=a&hop=1",
            reason: Reason::NotOwner,
            after_ms: None,
        },
        Reply::Redirect {
            url: "wss://h/ws",
            reason: Reason::Drain,
            after_ms: Some(0),
        },
        Reply::Error {
            code: ErrorCode::BadRequest,
            message: "no",
        },
        Reply::RoomGap { room: &lobby },
        Reply::Renewed { id },
        Reply::TokenExpiring { in_ms: 59_000 },
        Reply::Pong { id: None },
        Reply::Pong { id: Some("x") },
    ] {
        assert_says_the_same(&reply);
    }
}
