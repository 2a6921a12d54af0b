use super::tests::{all_refused, read, room};
use super::*;
use crate::core::stream::Epoch;

#[test]
fn a_message_may_go_to_a_room_or_to_everyone() {
    for (fields, to, qos, echo) in [
        (
            r#""to":{"room":"lobby"}"#,
            Recipient::Stream(StreamKey::Room(room("lobby"))),
            Qos::AtLeastOnce,
            true,
        ),
        (
            r#""to":{"room":"lobby"},"qos":0,"echo":false"#,
            Recipient::Stream(StreamKey::Room(room("lobby"))),
            Qos::AtMostOnce,
            false,
        ),
        (
            r#""to":"everyone""#,
            Recipient::Everyone,
            Qos::AtMostOnce,
            true,
        ),
    ] {
        let text = format!(r#"{{"type":"send","id":"a","body":1,{fields}}}"#);
        let Ok(Request::Send(send)) = read(&text) else {
            panic!("{text}: {:?}", read(&text));
        };
        assert_eq!((send.to, send.qos, send.echo), (to, qos, echo), "{text}");
    }
    let fields = [
        r#""to":"everyone","body":1,"qos":1"#,
        r#""to":{"room":"b"},"body":1,"notify":true"#,
        r#""to":{"room":"b"},"body":1,"echo":0"#,
        r#""to":{"room":""},"body":1"#,
    ];
    all_refused("send", ErrorCode::BadRequest, &fields);
}

#[test]
fn one_room_or_several_are_joined_and_left() {
    let at = |offset| {
        Some(Resume::At(Position {
            epoch: Epoch::ROOT,
            offset,
        }))
    };
    let join = |name, since| JoinRoom {
        room: room(name),
        since,
    };
    for (fields, rooms, single) in [
        (r#""room":"a""#, vec![join("a", None)], true),
        (
            r#""room":"a","since":{"offset":4,"epoch":"0","x":1}"#,
            vec![join("a", at(4))],
            true,
        ),
        (
            r#""rooms":[{"room":"a"},{"room":"b","since":{"epoch":"0","offset":1}}]"#,
            vec![join("a", None), join("b", at(1))],
            false,
        ),
        (
            r#""rooms":[{"room":"a","since":{"epoch":"theirs","offset":1}}]"#,
            vec![join("a", Some(Resume::Unknown))],
            false,
        ),
    ] {
        let text = format!(r#"{{"type":"join","id":"j",{fields}}}"#);
        let id = "j".into();
        let expected = Request::Join(Join { id, rooms, single });
        assert_eq!(read(&text), Ok(expected), "{text}");
    }
    let leave = r#"{"type":"leave","id":"l","room":"a"}"#;
    let (id, room) = ("l".into(), room("a"));
    assert_eq!(read(leave), Ok(Request::Leave { id, room }));
    all_refused("leave", ErrorCode::BadRequest, &[r#""x":1"#]);
}

#[test]
fn a_wrong_join_is_refused_by_its_id() {
    let fields = [
        r#""x":1"#,
        r#""room":7"#,
        r#""room":"""#,
        r#""room":"a","since":null"#,
        r#""room":"a","since":["0",1]"#,
        r#""room":"a","since":{"epoch":"0"}"#,
        r#""room":"a","since":{"epoch":"0","offset":-1}"#,
        r#""room":"a","rooms":[]"#,
        r#""rooms":[{"room":"a"}],"since":{"epoch":"0","offset":1}"#,
        r#""rooms":[]"#,
        r#""rooms":["a"]"#,
        r#""rooms":[["a"]]"#,
        r#""rooms":[{"room":"a"},{"room":"a"}]"#,
        r#""rooms":[{"since":{"epoch":"0","offset":1}}]"#,
    ];
    all_refused("join", ErrorCode::BadRequest, &fields);
    let too_many = [r#""rooms":[{"room":"a"},{"room":"b"},{"room":"c"},{"room":"d"}]"#];
    all_refused("join", ErrorCode::TooLarge, &too_many);
}

#[test]
fn presence_of_a_room_is_read_page_by_page() {
    let text = r#"{"type":"presence","id":"p","room":"a","after":"bob"}"#;
    let expected = Request::RoomPresence {
        id: "p".into(),
        room: room("a"),
        after: Some(UserId::new("bob").unwrap()),
        subscribe: None,
    };
    assert_eq!(read(text), Ok(expected));
    let fields = [r#""room":"a","after":1"#, r#""room":"a","after":"""#];
    all_refused("presence", ErrorCode::BadRequest, &fields);
}
