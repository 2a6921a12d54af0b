use proptest::prelude::*;

use super::*;
use crate::core::protocol::{Message, Reply, binary, parse};
use crate::proto::client_message::Request as Asked;
use crate::proto::server_message::Reply as Told;
use crate::proto::target::To;

const LIMITS: RequestLimits = RequestLimits {
    presence_users_max: 3,
    rooms_max: 3,
};

fn message(id: &str, asked: Asked) -> ClientMessage {
    ClientMessage {
        id: id.to_owned(),
        request: Some(asked),
    }
}

fn target(to: To) -> proto::Target {
    proto::Target { to: Some(to) }
}

fn to_bob() -> proto::Send {
    proto::Send {
        to: Some(target(To::User("bob".into()))),
        body: Bytes::from_static(b"{ \"a\" : 1e400 }"),
        ..proto::Send::default()
    }
}

fn room(name: &str, since: Option<(&str, u64)>) -> proto::RoomToJoin {
    proto::RoomToJoin {
        room: name.into(),
        since: since.map(position),
    }
}

fn position((epoch, offset): (&str, u64)) -> proto::Position {
    proto::Position {
        epoch: epoch.into(),
        offset,
    }
}

fn join(name: &str, since: Option<(&str, u64)>) -> Asked {
    Asked::Join(proto::Join {
        room: name.into(),
        since: since.map(position),
        rooms: Vec::new(),
    })
}

fn join_all(rooms: &[proto::RoomToJoin]) -> Asked {
    Asked::Join(proto::Join {
        rooms: rooms.to_vec(),
        ..Default::default()
    })
}

fn ack(stream: &str, epoch: &str, offset: u64) -> Asked {
    Asked::Ack(proto::Ack {
        stream: stream.into(),
        epoch: epoch.into(),
        offset,
    })
}

fn presence(users: &[&str], room: &str, after: &str) -> proto::PresenceRequest {
    proto::PresenceRequest {
        users: users.iter().map(ToString::to_string).collect(),
        room: room.into(),
        after: after.into(),
        subscribe: None,
    }
}

fn leave(room: &str) -> Asked {
    Asked::Leave(proto::Leave { room: room.into() })
}

/// Checks that both forms of a request come to the same, and that it is taken, or refused.
fn assert_same(json: &str, message: &ClientMessage, taken: bool) {
    let frame = Bytes::from(message.encode_to_vec());
    let message = decode(&frame).expect("it is of the protocol");
    let (of_json, of_proto) = (parse(json, &LIMITS), request(&message, &LIMITS));
    assert_eq!(of_proto.is_ok(), taken, "{json}: {of_proto:?}");
    match (of_json, of_proto) {
        // What is said to humans may differ.
        (Err(of_json), Err(of_proto)) => assert_eq!(named(of_json), named(of_proto), "{json}"),
        (of_json, of_proto) => assert_eq!(of_json, of_proto, "{json}"),
    }
}

fn named(refusal: Refusal) -> (Option<String>, ErrorCode) {
    match refusal {
        Refusal::NotTheProtocol { message } => panic!("{message}"),
        Refusal::Failed { id, code, .. } => (Some(id), code),
        Refusal::Error { code, .. } => (None, code),
    }
}

#[test]
fn a_send_means_the_same_in_both_forms() {
    let send = |change: &dyn Fn(&mut proto::Send)| {
        let mut send = to_bob();
        change(&mut send);
        message("m1", Asked::Send(send))
    };
    let to = |to: To| move |send: &mut proto::Send| send.to = Some(target(to.clone()));
    for (json, message) in [
        (
            r#"{"type":"send","id":"m1","to":{"user":"bob"},"body":{ "a" : 1e400 }}"#,
            send(&|_| {}),
        ),
        (
            r#"{"type":"send","id":"m1","to":{"user":"bob"},"body":1,"qos":0,"echo":true}"#,
            send(&|send| {
                send.body = Bytes::from_static(b" 1\n");
                send.qos = proto::Qos::AtMostOnce.into();
                send.echo = Some(true);
            }),
        ),
        (
            r#"{"type":"send","id":"m1","to":{"user":"bob"},"body":null,"qos":1,"notify":true}"#,
            send(&|send| {
                send.body = Bytes::from_static(b"null");
                send.qos = proto::Qos::AtLeastOnce.into();
                send.notify = true;
            }),
        ),
        (
            r#"{"type":"send","id":"m1","to":{"room":"lobby"},"body":{ "a" : 1e400 },"echo":false}"#,
            send(&|send| {
                to(To::Room("lobby".into()))(send);
                send.echo = Some(false);
            }),
        ),
        (
            r#"{"type":"send","id":"m1","to":"everyone","body":{ "a" : 1e400 }}"#,
            send(&to(To::Everyone(proto::Everyone {}))),
        ),
    ] {
        assert_same(json, &message, true);
    }
}

#[test]
fn other_requests_mean_the_same_in_both_forms() {
    let epoch = "a-0000000000000007";
    let subscribe = |wanted, asked| proto::PresenceRequest {
        subscribe: Some(wanted),
        ..asked
    };
    for (json, message) in [
        (
            r#"{"type":"join","id":"j1","room":"lobby"}"#,
            message("j1", join("lobby", None)),
        ),
        (
            r#"{"type":"join","id":"j1","room":"lobby","since":{"epoch":"a-0000000000000007","offset":4}}"#,
            message("j1", join("lobby", Some((epoch, 4)))),
        ),
        (
            r#"{"type":"join","id":"j1","rooms":[{"room":"a"},{"room":"b","since":{"epoch":"x","offset":0}}]}"#,
            message(
                "j1",
                join_all(&[room("a", None), room("b", Some(("x", 0)))]),
            ),
        ),
        (
            r#"{"type":"leave","id":"l1","room":"lobby"}"#,
            message("l1", leave("lobby")),
        ),
        (
            r#"{"type":"ack","stream":"inbox","epoch":"a-0000000000000007","offset":17}"#,
            message("", ack("inbox", epoch, 17)),
        ),
        (
            r#"{"type":"ack","stream":"inbox","epoch":"not-ours","offset":17}"#,
            message("", ack("inbox", "not-ours", 17)),
        ),
        (
            r#"{"type":"presence","id":"p1","users":["bob","carol","bob"]}"#,
            message(
                "p1",
                Asked::Presence(presence(&["bob", "carol", "bob"], "", "")),
            ),
        ),
        (
            r#"{"type":"presence","id":"p1","room":"lobby"}"#,
            message("p1", Asked::Presence(presence(&[], "lobby", ""))),
        ),
        (
            r#"{"type":"presence","id":"p1","room":"lobby","after":"bob"}"#,
            message("p1", Asked::Presence(presence(&[], "lobby", "bob"))),
        ),
        (
            r#"{"type":"presence","id":"p","users":["a"],"subscribe":true}"#,
            message(
                "p",
                Asked::Presence(subscribe(true, presence(&["a"], "", ""))),
            ),
        ),
        (
            r#"{"type":"presence","id":"p","room":"a","subscribe":false}"#,
            message(
                "p",
                Asked::Presence(subscribe(false, presence(&[], "a", ""))),
            ),
        ),
        (
            r#"{"type":"auth","id":"a","token":"t"}"#,
            message("a", Asked::Auth(proto::Auth { token: "t".into() })),
        ),
        (
            r#"{"type":"ping","id":"x"}"#,
            message("x", Asked::Ping(proto::Ping {})),
        ),
        (
            r#"{"type":"ping"}"#,
            message("", Asked::Ping(proto::Ping {})),
        ),
    ] {
        assert_same(json, &message, true);
    }
}

#[test]
fn a_send_is_refused_by_the_same_name_and_code_in_both_forms() {
    let long = "m".repeat(65);
    let deep = "[".repeat(127) + &"]".repeat(127);
    let nameless_ping = format!(r#"{{"type":"ping","id":"{long}"}}"#);
    let deep_send = format!(r#"{{"type":"send","id":"m","to":{{"user":"bob"}},"body":{deep}}}"#);
    let send = |change: &dyn Fn(&mut proto::Send)| {
        let mut send = to_bob();
        change(&mut send);
        message("m", Asked::Send(send))
    };
    for (json, message) in [
        (
            r#"{"type":"send","id":"","to":{"user":"bob"},"body":1}"#,
            message("", Asked::Send(to_bob())),
        ),
        (&nameless_ping, message(&long, Asked::Ping(proto::Ping {}))),
        (
            r#"{"type":"send","id":"m","body":1}"#,
            send(&|send| send.to = None),
        ),
        (
            r#"{"type":"send","id":"m","to":{},"body":1}"#,
            send(&|send| send.to = Some(proto::Target { to: None })),
        ),
        (
            r#"{"type":"send","id":"m","to":{"user":"a\n"},"body":1}"#,
            send(&|send| send.to = Some(target(To::User("a\n".into())))),
        ),
        (
            r#"{"type":"send","id":"m","to":{"user":"bob"}}"#,
            send(&|send| send.body = Bytes::new()),
        ),
        (&deep_send, send(&|send| send.body = deep.clone().into())),
        (
            r#"{"type":"send","id":"m","to":{"user":"bob"},"body":1,"qos":2}"#,
            send(&|send| send.qos = 7),
        ),
        (
            r#"{"type":"send","id":"m","to":"everyone","body":1,"qos":1}"#,
            send(&|send| {
                send.to = Some(target(To::Everyone(proto::Everyone {})));
                send.qos = proto::Qos::AtLeastOnce.into();
            }),
        ),
        (
            r#"{"type":"send","id":"m","to":{"room":"a"},"body":1,"notify":true}"#,
            send(&|send| {
                send.to = Some(target(To::Room("a".into())));
                send.notify = true;
            }),
        ),
    ] {
        assert_same(json, &message, false);
    }
}

#[test]
fn other_requests_are_refused_by_the_same_name_and_code_in_both_forms() {
    for (json, message) in [
        (
            r#"{"type":"join","id":"j"}"#,
            message("j", Asked::Join(proto::Join::default())),
        ),
        (
            r#"{"type":"join","id":"j","room":"a","rooms":[{"room":"b"}]}"#,
            message(
                "j",
                Asked::Join(proto::Join {
                    room: "a".into(),
                    since: None,
                    rooms: vec![room("b", None)],
                }),
            ),
        ),
        (
            r#"{"type":"join","id":"j","rooms":[{"room":"b"},{"room":"b"}]}"#,
            message("j", join_all(&[room("b", None), room("b", None)])),
        ),
        (
            r#"{"type":"join","id":"j","rooms":[{"room":"a"},{"room":"b"},{"room":"c"},{"room":"d"}]}"#,
            message(
                "j",
                join_all(&["a", "b", "c", "d"].map(|name| room(name, None))),
            ),
        ),
        (
            r#"{"type":"join","id":"j","room":"a","since":{"epoch":"","offset":1}}"#,
            message("j", join("a", Some(("", 1)))),
        ),
        (
            r#"{"type":"join","id":"j","room":"a","since":{"epoch":"x","offset":9007199254740992}}"#,
            message("j", join("a", Some(("x", 1 << 53)))),
        ),
        (
            r#"{"type":"leave","id":"l","room":"\u0000"}"#,
            message("l", leave("\0")),
        ),
        (
            r#"{"type":"ack","stream":"room:a","epoch":"x","offset":1}"#,
            message("", ack("room:a", "x", 1)),
        ),
        (
            r#"{"type":"ack","id":"a","epoch":"x","offset":1}"#,
            message("a", ack("", "x", 1)),
        ),
        (
            r#"{"type":"presence","id":"p"}"#,
            message("p", Asked::Presence(presence(&[], "", ""))),
        ),
        (
            r#"{"type":"presence","id":"p","users":["a"],"room":"b"}"#,
            message("p", Asked::Presence(presence(&["a"], "b", ""))),
        ),
        (
            r#"{"type":"presence","id":"p","users":["a","b","c","d"]}"#,
            message(
                "p",
                Asked::Presence(presence(&["a", "b", "c", "d"], "", "")),
            ),
        ),
    ] {
        assert_same(json, &message, false);
    }
}

#[test]
fn a_body_must_be_one_json_value_in_utf8() {
    for body in [&b"1 2"[..], b"{", b"\xff", b"\"\xff\"", b"nul"] {
        let mut send = to_bob();
        send.body = Bytes::from_static(body);
        let message = message("m", Asked::Send(send));
        let refusal = request(&message, &LIMITS).unwrap_err();
        let expected = (Some("m".to_owned()), ErrorCode::BadRequest);
        assert_eq!(named(refusal), expected, "{body:?}");
    }
}

#[test]
fn what_is_no_client_message_is_not_of_the_protocol() {
    let nothing_but_an_id = b"\x0a\x01x";
    let wrong_type = b"\x12\x01\xff";
    let id_not_utf8 = b"\x0a\x01\xff\x42\x00";
    for frame in [
        &b""[..],
        nothing_but_an_id,
        wrong_type,
        id_not_utf8,
        b"{\"type\":\"ping\"}",
        b"\x42",
        b"\x42\x05",
    ] {
        let decoded = decode(&Bytes::from_static(frame));
        let refused = matches!(decoded, Err(Refusal::NotTheProtocol { .. }));
        assert!(refused, "{frame:?}: {decoded:?}");
    }
}

#[test]
fn a_request_of_a_later_version_is_refused_by_name() {
    // Field 100, which nobody has: an empty message.
    let frame = Bytes::from_static(b"\x0a\x01x\xa2\x06\x00");
    let later = decode(&frame).expect("it is of the protocol");
    let refusal = request(&later, &LIMITS).unwrap_err();
    let expected = (Some("x".to_owned()), ErrorCode::BadRequest);
    assert_eq!(named(refusal), expected);
}

#[test]
fn fields_that_are_not_known_are_ignored() {
    let mut frame = message("x", Asked::Ping(proto::Ping {})).encode_to_vec();
    frame.extend(b"\xa2\x06\x03new\xa8\x06\x07");
    let message = decode(&frame.into()).expect("it is of the protocol");
    let expected = Request::Ping {
        id: Some("x".into()),
    };
    assert_eq!(request(&message, &LIMITS), Ok(expected));
}

#[test]
fn a_body_comes_out_byte_for_byte() {
    let body = "{ \"a\" : 1e400, \"b\":\"\\u0041\" }";
    let mut send = to_bob();
    send.body = body.into();
    let asked = message("m", Asked::Send(send));
    let Ok(Request::Send(send)) = request(&asked, &LIMITS) else {
        panic!("it is refused");
    };
    let told = binary::server_message(&Reply::Message(Message {
        position: None,
        id: &send.id,
        from: "a",
        to: send.to.key(),
        body: send.body,
        ts: 1,
    }));
    let Some(Told::Message(told)) = told.reply else {
        panic!("{told:?}");
    };
    assert_eq!(told.body, body);
}

fn some_message() -> impl Strategy<Value = ClientMessage> {
    let since = prop::option::of(("[a-z0-9-]{0,8}", any::<u64>()));
    let asked = prop_oneof![
        (".{0,8}", ".{0,20}", 0..4, any::<bool>()).prop_map(|(name, body, qos, notify)| {
            Asked::Send(proto::Send {
                to: Some(target(To::Room(name))),
                body: body.into(),
                qos,
                notify,
                echo: None,
            })
        }),
        prop::collection::vec((".{0,4}", since), 0..5).prop_map(|rooms| {
            let rooms = rooms.iter().map(|(name, since)| {
                let since = since.as_ref().map(|(epoch, offset)| (&**epoch, *offset));
                room(name, since)
            });
            join_all(&rooms.collect::<Vec<_>>())
        }),
        (".{0,6}", "[a-z]{0,4}", any::<u64>())
            .prop_map(|(stream, epoch, offset)| ack(&stream, &epoch, offset)),
        prop::collection::vec(".{0,4}", 0..5).prop_map(|users| {
            let users: Vec<_> = users.iter().map(String::as_str).collect();
            Asked::Presence(presence(&users, "", ""))
        }),
    ];
    (".{0,70}", asked).prop_map(|(id, asked)| message(&id, asked))
}

proptest! {
    #[test]
    fn any_bytes_are_a_request_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(message) = decode(&bytes.into()) {
            let _ = request(&message, &LIMITS);
        }
    }

    #[test]
    fn a_damaged_message_is_a_request_or_refused(
        message in some_message(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = message.encode_to_vec();
        prop_assume!(!bytes.is_empty());
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let cut = cut.index(bytes.len());
        for bytes in [&bytes[..], &bytes[..cut]] {
            if let Ok(message) = decode(&Bytes::copy_from_slice(bytes)) {
                let _ = request(&message, &LIMITS);
            }
        }
    }

    #[test]
    fn a_refusal_names_the_id_if_that_can_name_a_reply(message in some_message()) {
        let id = (1..=64).contains(&message.id.len()).then(|| message.id.clone());
        if let Err(refusal) = request(&message, &LIMITS) {
            prop_assert_eq!(named(refusal).0, id);
        }
    }
}
