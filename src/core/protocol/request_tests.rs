use proptest::prelude::*;

use super::super::body::{BODY_DEPTH_MAX, check_body};
use super::*;
use crate::core::stream::Epoch;
use crate::id::{Generation, NodeId};

pub(super) fn read(text: &str) -> Result<Request<'_>, Refusal> {
    let limits = RequestLimits {
        presence_users_max: 3,
        rooms_max: 3,
    };
    parse(text, &limits)
}

fn inbox(user: &str) -> Recipient {
    Recipient::Stream(StreamKey::Inbox(UserId::new(user).unwrap()))
}

pub(super) fn room(name: &str) -> RoomName {
    RoomName::new(name).unwrap()
}

fn failed(text: &str) -> (String, ErrorCode) {
    match read(text) {
        Err(Refusal::Failed { id, code, .. }) => (id, code),
        other => panic!("{text}: {other:?}"),
    }
}

fn nameless(text: &str) -> ErrorCode {
    match read(text) {
        Err(Refusal::Error { code, .. }) => code,
        other => panic!("{text}: {other:?}"),
    }
}

fn body(text: &str) -> &str {
    match read(text) {
        Ok(Request::Send(send)) => send.body,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_send_gives_id_recipient_and_the_body_as_it_stands() {
    let text = r#" {"type":"send","id":"m1","to":{"user":"bob"},"body": { "a" : [1.0, 1e400] } } "#;
    let Ok(Request::Send(send)) = read(text) else {
        panic!("{:?}", read(text));
    };
    assert_eq!(send.id, "m1");
    assert_eq!(send.to, inbox("bob"));
    assert_eq!(send.body, r#"{ "a" : [1.0, 1e400] }"#);
    assert_eq!((send.qos, send.notify), (Qos::AtLeastOnce, false));
    assert!(matches!(send.id, Cow::Borrowed(_)));
}

#[test]
fn a_sender_is_read_from_backends_and_passed_over_from_clients() {
    let text = r#"{"from":"sh\u006fp","to":{"user":"bob"},"id":"m1","body":1,"notify":true}"#;
    let (from, send) = parse_of_backend(text).unwrap();
    assert_eq!((from.as_str(), send.to), ("shop", inbox("bob")));
    assert!(send.notify);
    // Any unknown field may stand there twice.
    let text = r#"{"type":"send","from":1,"from":2,"to":{"user":"bob"},"id":"m1","body":1}"#;
    assert!(matches!(read(text), Ok(Request::Send(_))));
    let twice = parse_of_backend(text).unwrap_err();
    assert!(matches!(twice, Refusal::Failed { code, .. } if code == ErrorCode::BadRequest));
}

#[test]
fn a_body_by_itself_is_one_value_of_bounded_depth() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(check_body(" { \"a\" : 1e400 } "), Ok("{ \"a\" : 1e400 }"));
    assert!(check_body(&nested(BODY_DEPTH_MAX)).is_ok());
    assert!(check_body(&nested(BODY_DEPTH_MAX + 1)).is_err());
    for wrong in ["", "{", "1 2", "nul", "'x'"] {
        assert!(check_body(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn order_escapes_and_unknown_fields_make_no_difference() {
    let text = r#"{"x":[{}],"body":null,"to":{"user":"b\u006fb","y":1},"x":2,"qos":0,
        "notify":false,"\u0069d":"m\n1","y":7,"type":"s\u0065nd"}"#;
    let Ok(Request::Send(send)) = read(text) else {
        panic!("{:?}", read(text));
    };
    assert_eq!(send.id, "m\n1");
    assert_eq!(send.to, inbox("bob"));
    assert_eq!(send.body, "null");
    assert_eq!((send.qos, send.notify), (Qos::AtMostOnce, false));
}

#[test]
fn what_is_no_object_with_a_string_type_is_not_the_protocol() {
    for text in [
        "",
        " ",
        "hello",
        "[]",
        "null",
        "\"send\"",
        "{",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":null,"id":"a"}"#,
        r#"{"type":"ping"} x"#,
        r#"{"type":"ping"}{}"#,
        r#"{"type":"ping",}"#,
        r"{'type':'ping'}",
        r#"["type","ping"]"#,
        "{\"type\":\"ping\",\"x\":\"\n\"}",
        "\u{feff}{\"type\":\"ping\"}",
        r#"{"type":"send","id":"a","to":{"user":"b"},"body":nul}"#,
        r#"{"type":"send","id":"a","to":{"user":"b"},"body":01}"#,
    ] {
        let refusal = read(text);
        assert!(
            matches!(refusal, Err(Refusal::NotTheProtocol { .. })),
            "{text}: {refusal:?}"
        );
    }
}

/// Each has the id `a` in front of it, and is refused by that name.
pub(super) fn all_refused(kind: &str, code: ErrorCode, fields: &[&str]) {
    for fields in fields {
        let text = format!(r#"{{"type":"{kind}","id":"a",{fields}}}"#);
        assert_eq!(failed(&text), ("a".to_owned(), code), "{text}");
    }
}

#[test]
fn a_wrong_send_is_refused_by_its_id() {
    let fields = [
        r#""to":{"user":"b"}"#,
        r#""body":1"#,
        r#""to":null,"body":1"#,
        r#""to":"bob","body":1"#,
        r#""to":["bob"],"body":1"#,
        r#""to":{},"body":1"#,
        r#""to":{"user":7},"body":1"#,
        r#""to":{"user":null},"body":1"#,
        r#""to":{"user":""},"body":1"#,
        r#""to":{"user":"b\n"},"body":1"#,
        r#""to":{"room":7},"body":1"#,
        r#""to":{"user":"b","room":"c"},"body":1"#,
        r#""to":{"user":"b","room":null},"body":1"#,
        r#""to":{"user":"b","user":"b"},"body":1"#,
        r#""to":{"user":"b"},"body":1,"body":1"#,
        r#""to":{"user":"b"},"to":{"user":"b"},"body":1"#,
        r#""to":{"user":"b"},"body":1,"type":"send""#,
        r#""to":{"user":"b"},"body":1,"qos":2"#,
        r#""to":{"user":"b"},"body":1,"qos":"0""#,
        r#""to":{"user":"b"},"body":1,"qos":null"#,
        r#""to":{"user":"b"},"body":1,"notify":1"#,
        r#""to":{"user":"b"},"body":1,"notify":null"#,
        r#""to":{"user":"b"},"body":1,"notify":true,"qos":0"#,
    ];
    all_refused("send", ErrorCode::BadRequest, &fields);
}

#[test]
fn a_wrong_presence_is_refused_by_its_id() {
    let fields = [
        r#""x":1"#,
        r#""users":"bob""#,
        r#""users":["bob",1]"#,
        r#""users":[""]"#,
        r#""users":null"#,
        r#""users":[],"room":"x""#,
        r#""room":1"#,
        r#""users":[],"subscribe":"yes""#,
    ];
    all_refused("presence", ErrorCode::BadRequest, &fields);
    let too_many = [r#""users":["a","b","c","d"]"#];
    all_refused("presence", ErrorCode::TooLarge, &too_many);
}

#[test]
fn a_fresh_token_is_passed_on_as_it_is() {
    let token = Hidden::new("a.b");
    let id = "i".into();
    assert_eq!(
        read(r#"{"type":"auth","id":"i","token":"a\u002eb"}"#),
        Ok(Request::Auth { id, token })
    );
    let fields = [r#""room":"x""#, r#""token":null"#, r#""token":["x"]"#];
    all_refused("auth", ErrorCode::BadRequest, &fields);
}

#[test]
fn a_type_that_is_not_known_is_refused_by_its_id() {
    for kind in ["", "Send", "dance"] {
        all_refused(kind, ErrorCode::BadRequest, &[r#""room":"x""#]);
    }
}

#[test]
fn without_a_usable_id_the_refusal_has_no_name() {
    use ErrorCode::BadRequest;
    let long = format!(r#"{{"type":"ping","id":"{}"}}"#, "i".repeat(65));
    for (text, code) in [
        (r#"{"type":"send","to":{"user":"b"},"body":1}"#, BadRequest),
        (
            r#"{"type":"send","id":"","to":{"user":"b"},"body":1}"#,
            BadRequest,
        ),
        (
            r#"{"type":"send","id":1,"to":{"user":"b"},"body":1}"#,
            BadRequest,
        ),
        (
            r#"{"type":"send","id":null,"to":{"user":"b"},"body":1}"#,
            BadRequest,
        ),
        (
            r#"{"type":"send","id":"\ud800","to":{"user":"b"},"body":1}"#,
            BadRequest,
        ),
        (
            r#"{"type":"send","id":"a","id":"b","to":{"user":"b"},"body":1}"#,
            BadRequest,
        ),
        (
            r#"{"type":"ping","body":1,"body":1,"id":"a","id":"b"}"#,
            BadRequest,
        ),
        (r#"{"type":"presence","users":[]}"#, BadRequest),
        (r#"{"type":"ping","id":1}"#, BadRequest),
        (r#"{"type":"ping","id":null}"#, BadRequest),
        (r#"{"type":"dance"}"#, BadRequest),
        (
            r#"{"type":"ack","stream":"inbox","epoch":"e.","offset":17}"#,
            BadRequest,
        ),
        (
            r#"{"type":"ack","stream":"room:x","epoch":"e","offset":17}"#,
            BadRequest,
        ),
        (r#"{"type":"join","room":"x"}"#, BadRequest),
        (r#"{"type":"auth","token":"x"}"#, BadRequest),
        (&long, BadRequest),
    ] {
        assert_eq!(nameless(text), code, "{text}");
    }
}

#[test]
fn qos_is_1_unless_it_is_0_and_only_then_is_there_a_notice() {
    for (fields, qos, notify) in [
        ("", Qos::AtLeastOnce, false),
        (r#","qos":1"#, Qos::AtLeastOnce, false),
        (r#","qos":0"#, Qos::AtMostOnce, false),
        (r#","qos":0,"notify":false"#, Qos::AtMostOnce, false),
        (r#","notify":true"#, Qos::AtLeastOnce, true),
        (r#","notify":true,"qos":1"#, Qos::AtLeastOnce, true),
    ] {
        let text = format!(r#"{{"type":"send","id":"a","to":{{"user":"b"}},"body":1{fields}}}"#);
        let Ok(Request::Send(send)) = read(&text) else {
            panic!("{text}: {:?}", read(&text));
        };
        assert_eq!((send.qos, send.notify), (qos, notify), "{text}");
    }
    let text = r#"{"type":"send","id":"a","to":{"user":"b"},"body":1,"qos":0,"notify":true}"#;
    let Err(Refusal::Failed { message, .. }) = read(text) else {
        panic!("{:?}", read(text));
    };
    assert_eq!(message, "a notice needs qos 1");
}

fn ack(epoch: &str, offset: &str) -> String {
    format!(r#"{{"type":"ack","stream":"inbox","epoch":"{epoch}","offset":{offset}}}"#)
}

#[test]
fn an_ack_gives_the_position_unless_its_epoch_is_none_of_ours() {
    let last = OFFSET_END - 1;
    let root = |offset| Position {
        epoch: Epoch::ROOT,
        offset,
    };
    for (epoch, offset, position) in [
        ("0", 0, Some(root(0))),
        (r"\u0030", last, Some(root(last))),
        ("of-another_cluster", 17, None),
    ] {
        let text = ack(epoch, &offset.to_string());
        assert_eq!(read(&text), Ok(Request::Ack { position }), "{text}");
    }
    let named = r#"{"offset":1,"id":"a","epoch":"0","type":"ack","stream":"inb\u006fx"}"#;
    let position = Some(root(1));
    assert_eq!(read(named), Ok(Request::Ack { position }));
}

#[test]
fn a_wrong_ack_is_refused() {
    let fields = [
        r#""room":"x""#,
        r#""epoch":"0","offset":1"#,
        r#""stream":null,"epoch":"0","offset":1"#,
        r#""stream":"Inbox","epoch":"0","offset":1"#,
        r#""stream":"everyone","epoch":"0","offset":1"#,
        r#""stream":"inbox","offset":1"#,
        r#""stream":"inbox","epoch":0,"offset":1"#,
        r#""stream":"inbox","epoch":"","offset":1"#,
        r#""stream":"inbox","epoch":"a.b","offset":1"#,
        r#""stream":"inbox","epoch":"0""#,
        r#""stream":"inbox","epoch":"0","offset":null"#,
        r#""stream":"inbox","epoch":"0","offset":"1""#,
        r#""stream":"inbox","epoch":"0","offset":-1"#,
        r#""stream":"inbox","epoch":"0","offset":1.5"#,
        r#""stream":"inbox","epoch":"0","offset":9007199254740992"#,
        r#""stream":"inbox","epoch":"0","offset":99999999999999999999999"#,
        r#""stream":"inbox","epoch":"0","offset":1,"offset":1"#,
    ];
    all_refused("ack", ErrorCode::BadRequest, &fields);
    let long = "e".repeat(65);
    assert_eq!(nameless(&ack(&long, "1")), ErrorCode::BadRequest);
    assert_eq!(nameless(&ack("0", "true")), ErrorCode::BadRequest);
}

#[test]
fn ids_are_counted_in_bytes_after_unescaping() {
    let ping = |id: &str| format!(r#"{{"type":"ping","id":"{id}"}}"#);
    assert!(read(&ping(&"é".repeat(32))).is_ok());
    assert!(read(&ping(&r"\u0061".repeat(64))).is_ok());
    assert!(read(&ping(&r"\u0061".repeat(65))).is_err());
    assert!(read(&ping(&format!("{}a", "é".repeat(32)))).is_err());
}

#[test]
fn pings_and_presence_of_users_are_read() {
    assert_eq!(read(r#"{"type":"ping"}"#), Ok(Request::Ping { id: None }));
    assert_eq!(
        read(r#"{"type":"ping","id":"x","body":{}}"#),
        Ok(Request::Ping {
            id: Some("x".into())
        })
    );
    let text = r#"{"type":"presence","id":"p","users":["b","a","b"],"subscribe":false}"#;
    let users = ["b", "a", "b"].map(|user| UserId::new(user).unwrap());
    assert_eq!(
        read(text),
        Ok(Request::Presence {
            id: "p".into(),
            users: users.to_vec(),
            subscribe: Some(false),
        })
    );
}

#[test]
fn a_body_may_be_as_deep_as_a_reader_of_the_message_can_follow() {
    let nested = |depth: usize| {
        let body = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"type":"send","id":"a","to":{{"user":"b"}},"body":{body}}}"#)
    };
    let deepest = nested(BODY_DEPTH_MAX);
    let message = format!(r#"{{"body":{}}}"#, body(&deepest));
    assert!(serde_json::from_str::<serde_json::Value>(&message).is_ok());
    let message = format!("[{message}]");
    assert!(serde_json::from_str::<serde_json::Value>(&message).is_err());
    let too_deep = nested(BODY_DEPTH_MAX + 1);
    assert_eq!(failed(&too_deep), ("a".to_owned(), ErrorCode::BadRequest));
    assert_eq!(failed(&nested(1_000_000)).1, ErrorCode::BadRequest);
}

#[test]
fn depth_anywhere_else_costs_no_stack() {
    let deep = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    let ping = format!(r#"{{"type":"ping","x":{deep}}}"#);
    assert!(read(&ping).is_ok());
    for field in [
        "type", "id", "to", "qos", "users", "room", "stream", "offset",
    ] {
        for kind in ["send", "presence", "ack"] {
            let text = format!(r#"{{"{field}":{deep},"type":"{kind}","id":"a"}}"#);
            assert!(read(&text).is_err(), "{kind} {field}");
        }
    }
    let to = format!(r#"{{"type":"send","id":"a","to":{{"x":{deep},"user":"b"}},"body":1}}"#);
    assert!(read(&to).is_ok());
    assert!(read(&"[".repeat(1_000_000)).is_err());
    assert!(read(&"{\"type\":".repeat(1_000_000)).is_err());
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in ".{0,200}") {
        let _ = read(&text);
    }

    #[test]
    fn no_near_miss_makes_it_panic(
        pieces in prop::collection::vec(prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"type\"", "\"id\"", "\"to\"", "\"body\"", "\"send\"",
            "\"ping\"", "\"user\"", "\"everyone\"", "null", "1", "\"", "\\", "\\u", " ",
            "\"ack\"", "\"stream\"", "\"inbox\"", "\"epoch\"", "\"offset\"",
        ]), 0..40)
    ) {
        let _ = read(&pieces.concat());
    }

    #[test]
    fn any_wrong_value_in_any_field_still_gets_one_answer_by_name(
        field in prop::sample::select(vec![
            "to", "body", "qos", "notify", "users", "room", "subscribe", "stream", "epoch", "offset",
            "rooms", "since", "echo", "after",
        ]),
        value in prop::sample::select(vec!["null", "1", "[]", "{}", "\"x\"", "true", "[[\"\"]]"]),
        kind in prop::sample::select(vec!["send", "presence", "join", "ack", "auth", "nonsense"]),
    ) {
        let text = format!(r#"{{"type":"{kind}","{field}":{value},"id":"the id"}}"#);
        match read(&text) {
            Ok(Request::Presence { id, .. } | Request::RoomPresence { id, .. }) => {
                prop_assert_eq!(id, "the id");
            }
            Ok(Request::Join(join)) => prop_assert_eq!(join.id, "the id"),
            Err(Refusal::Failed { id, .. }) => prop_assert_eq!(id, "the id"),
            other => prop_assert!(false, "{}: {:?}", text, other),
        }
    }

    #[test]
    fn an_ack_of_any_position_that_was_given_out_is_that_position(
        number in 1_u64.., generation in any::<u64>(), offset in 0..OFFSET_END,
    ) {
        let node = NodeId::new("n1").unwrap();
        let epoch = Epoch::opened(number, &node, Generation(generation));
        let text = ack(&epoch.to_string(), &offset.to_string());
        let position = Some(Position { epoch, offset });
        prop_assert_eq!(read(&text), Ok(Request::Ack { position }));
    }
}
