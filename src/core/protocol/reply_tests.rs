use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use super::*;
use crate::core::protocol::{Reply, Request, RequestLimits, parse};
use crate::core::stream::Epoch;
use crate::id::Generation;

const LIMITS: RequestLimits = RequestLimits {
    presence_users_max: 1,
    rooms_max: 1,
};

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

fn text(reply: &[u8]) -> &str {
    let text = std::str::from_utf8(reply).unwrap();
    let value: Value = serde_json::from_str(text).unwrap();
    assert!(value["type"].is_string(), "{text}");
    text
}

#[test]
fn a_gap_in_a_room_names_the_room() {
    let room = RoomName::new("a\"b").unwrap();
    let expected = r#"{"type":"error","code":"unknown","message":"messages of the room a\"b may be missing","retry":true,"room":"a\"b"}"#;
    assert_eq!(String::from_utf8(room_gap(&room)).unwrap(), expected);
}

#[test]
fn a_receipt_names_its_message_if_that_has_a_name() {
    let accepted = Receipt::Accepted {
        copies: 2,
        duplicate: false,
    };
    let told = receipt(Some("m1"), &accepted);
    let expected = r#"{"type":"receipt","id":"m1","status":"accepted","copies":2}"#;
    assert_eq!(text(&told), expected);
    let told = receipt(None, &ErrorCode::Offline.into());
    let expected = r#"{"type":"receipt","status":"failed","error":{"code":"offline","message":"the user has no session","retry":true}}"#;
    assert_eq!(text(&told), expected);
}

#[test]
fn replies_stand_in_the_documented_order_and_compactly() {
    let (alice, bob) = (user("alice"), user("b\"o\\b"));
    let first = Welcome {
        user: &alice,
        session: SessionId(31),
        node: &NodeId::new("n2").unwrap(),
        position: None,
        recovered: None,
        heartbeat_ms: 25_000,
        max_message_bytes: 65_536,
    };
    let inbox = Message {
        position: None,
        id: "m1",
        from: alice.as_str(),
        to: Some(&StreamKey::from(&bob)),
        body: "{ \"a\":1.0 }",
        ts: 1_732_350_000_123,
    };
    for (reply, expected) in [
        (
            welcome(&first),
            r#"{"type":"welcome","user":"alice","session":"000000000000001f","node":"n2","heartbeat_ms":25000,"max_message_bytes":65536}"#,
        ),
        (
            message(&inbox),
            r#"{"type":"message","stream":"inbox","id":"m1","from":"alice","to":{"user":"b\"o\\b"},"body":{ "a":1.0 },"ts":1732350000123}"#,
        ),
        (
            sent("m1"),
            r#"{"type":"receipt","id":"m1","status":"sent"}"#,
        ),
        (
            accepted("m1", 2, false),
            r#"{"type":"receipt","id":"m1","status":"accepted","copies":2}"#,
        ),
        (
            accepted("m\"1", 1, true),
            r#"{"type":"receipt","id":"m\"1","status":"accepted","copies":1,"duplicate":true}"#,
        ),
        (
            delivered("m1", &bob),
            r#"{"type":"delivered","id":"m1","user":"b\"o\\b"}"#,
        ),
        (
            failed("m\n1", ErrorCode::Offline, "gone"),
            r#"{"type":"receipt","id":"m\n1","status":"failed","error":{"code":"offline","message":"gone","retry":true}}"#,
        ),
        (
            presence("p1", [(&bob, true), (&alice, false), (&bob, false)]),
            r#"{"type":"presence","id":"p1","online":{"b\"o\\b":true,"alice":false}}"#,
        ),
        (
            presence("p1", []),
            r#"{"type":"presence","id":"p1","online":{}}"#,
        ),
        (
            redirect("ws://h:1/ws?user=a&hop=1", Reason::NotOwner, None),
            r#"{"type":"redirect","url":"ws://h:1/ws?user=a&hop=1","reason":"not_owner"}"#,
        ),
        (
            redirect("wss://h/ws", Reason::Drain, Some(350)),
            r#"{"type":"redirect","url":"wss://h/ws","reason":"drain","after_ms":350}"#,
        ),
        (
            error(ErrorCode::BadRequest, "no"),
            r#"{"type":"error","code":"bad_request","message":"no","retry":false}"#,
        ),
        (
            renewed("a1"),
            r#"{"type":"receipt","id":"a1","status":"accepted"}"#,
        ),
        (
            token_expiring(60_000),
            r#"{"type":"token_expiring","in_ms":60000}"#,
        ),
        (pong(None), r#"{"type":"pong"}"#),
        (pong(Some("x")), r#"{"type":"pong","id":"x"}"#),
    ] {
        assert_eq!(text(&reply), expected);
    }
}

#[test]
fn a_position_stands_behind_the_node_and_behind_the_stream() {
    let alice = user("alice");
    let node = NodeId::new("n2").unwrap();
    let epoch = Epoch::opened(10, &node, Generation(7));
    let position = Some(Position { epoch, offset: 12 });
    let there = format!(r#""epoch":"{epoch}","offset":12"#);
    for (recovered, said) in [
        (None, ""),
        (Some(true), r#","recovered":true"#),
        (Some(false), r#","recovered":false"#),
    ] {
        let first = Welcome {
            user: &alice,
            session: SessionId(31),
            node: &node,
            position,
            recovered,
            heartbeat_ms: 25_000,
            max_message_bytes: 65_536,
        };
        let expected = format!(r#","node":"n2",{there}{said},"heartbeat_ms":25000,"#);
        let reply = welcome(&first);
        assert!(text(&reply).contains(&expected), "{reply:?}");
    }
    let kept = Message {
        position,
        id: "m1",
        from: alice.as_str(),
        to: Some(&StreamKey::from(&alice)),
        body: "1",
        ts: 1,
    };
    let expected = format!(r#"{{"type":"message","stream":"inbox",{there},"id":"m1","from""#);
    let reply = message(&kept);
    assert!(text(&reply).starts_with(&expected), "{reply:?}");
}

#[test]
fn a_refusal_is_answered_once_by_name_where_there_is_one() {
    for (request, expected) in [
        ("x", r#"{"type":"error","code":"bad_request""#),
        (r#"{"type":"x"}"#, r#"{"type":"error","code":"bad_request""#),
        (
            r#"{"type":"join","id":"j"}"#,
            r#"{"type":"receipt","id":"j","status":"failed","error":{"code":"bad_request""#,
        ),
    ] {
        let answer = Reply::from(&parse(request, &LIMITS).unwrap_err()).json();
        assert!(text(&answer).starts_with(expected), "{answer:?}");
    }
}

/// JSON as no encoder would write it: odd whitespace, escapes, numbers beyond any type.
fn odd_json() -> impl Strategy<Value = String> {
    let space = "[ \t\r\n]{0,2}";
    let string = prop::collection::vec(
        prop_oneof![
            "[^\"\\\\\u{0}-\u{1f}]{1,4}",
            r#"\\["\\/bfnrt]"#,
            r"\\u[0-9a-fA-F]{4}"
        ],
        0..4,
    )
    .prop_map(|pieces| format!("\"{}\"", pieces.concat()));
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,5})?",
        string.clone(),
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        let spaced = (space, inner, space).prop_map(|(a, json, b)| format!("{a}{json}{b}"));
        let member = (space, string.clone(), space, spaced.clone())
            .prop_map(|(a, name, b, json)| format!("{a}{name}{b}:{json}"));
        prop_oneof![
            prop::collection::vec(spaced, 1..4).prop_map(|all| format!("[{}]", all.join(","))),
            prop::collection::vec(member, 1..4).prop_map(|all| format!("{{{}}}", all.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn a_body_goes_from_sender_to_reader_byte_for_byte(body in odd_json(), pad in "[ \t\r\n]{0,3}") {
        #[derive(serde::Deserialize)]
        struct Read<'a> {
            #[serde(borrow)]
            body: &'a RawValue,
        }
        let request = format!(
            r#"{{"type":"send","body":{pad}{body}{pad},"id":"m","to":{{"user":"b"}}}}"#
        );
        let Ok(Request::Send(send)) = parse(&request, &LIMITS) else {
            return Err(TestCaseError::fail(request));
        };
        prop_assert_eq!(send.body, &body);
        let out = message(&Message {
            position: None, id: &send.id, from: "a", to: send.to.key(), body: send.body, ts: 1,
        });
        let read: Read<'_> = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(read.body.get(), &body);
    }

    #[test]
    fn any_text_in_any_field_comes_back(
        id in "\\PC{1,20}|.{1,20}", name in "\\PC{1,20}", message in any::<String>(),
    ) {
        let reply: Value = serde_json::from_slice(&failed(&id, ErrorCode::Unknown, &message)).unwrap();
        prop_assert_eq!(reply["id"].as_str(), Some(&*id));
        prop_assert_eq!(reply["error"]["message"].as_str(), Some(&*message));
        if let Ok(user) = UserId::new(&name) {
            let reply: Value = serde_json::from_slice(&presence(&id, [(&user, true)])).unwrap();
            prop_assert_eq!(&reply["online"][&name], &Value::Bool(true));
        }
        let reply: Value = serde_json::from_slice(&accepted(&id, 2, true)).unwrap();
        prop_assert_eq!(reply["id"].as_str(), Some(&*id));
        let reply: Value = serde_json::from_slice(&pong(Some(&id))).unwrap();
        prop_assert_eq!(reply["id"].as_str(), Some(&*id));
    }
}
