//! What is not of the protocol, and requests that are refused.

use prost::Message as _;
use ringpost::proto::client_message::Request;
use ringpost::proto::server_message::Reply;
use ringpost::proto::{Auth, ClientMessage, Leave, Ping, Receipt, Send, Status};

use crate::client::{Binary, kept, to_user, unkept};
use crate::support::Cluster;

#[test]
fn ten_frames_in_a_row_that_are_not_the_protocol_s_close_with_4500() {
    let cluster = Cluster::of(1, &[]);
    let mut client = Binary::at(&cluster, 0, "alice", "").0;
    let strange = |client: &mut Binary, number: usize| match number % 4 {
        0 => client.send_bytes(b""),
        1 => client.send_bytes(b"{\"type\":\"ping\"}"),
        2 => client.send_text(r#"{"type":"ping"}"#),
        _ => client.send_bytes(b"\x0a\x01x"),
    };
    // Nine, and a good one between, do not.
    for _ in 0..3 {
        for number in 0..9 {
            strange(&mut client, number);
            let Reply::Error(error) = client.next() else {
                panic!("no error");
            };
            assert_eq!((&*error.code, error.retry), ("bad_request", false));
        }
        client.assert_quiet_and_alive();
    }
    for number in 0..10 {
        strange(&mut client, number);
    }
    let (replies, code) = client.read_to_close();
    assert_eq!(code, Some(4500), "{replies:?}");
}

#[test]
fn a_request_that_is_refused_is_named() {
    let cluster = Cluster::of(1, &[]);
    let mut client = Binary::at(&cluster, 0, "alice", "").0;
    let code = |receipt: Receipt| {
        assert_eq!(receipt.status(), Status::Failed, "{receipt:?}");
        let error = receipt.error.expect("a reason");
        assert!(!error.message.is_empty(), "{error:?}");
        (error.code, error.retry)
    };
    for (request, expected, retry) in [
        (
            Request::Send(unkept(to_user("nobody"), "1")),
            "offline",
            true,
        ),
        (
            Request::Send(kept(to_user("bob"), "{")),
            "bad_request",
            false,
        ),
        (Request::Send(Send::default()), "bad_request", false),
        (Request::Leave(Leave::default()), "bad_request", false),
        (
            Request::Auth(Auth {
                token: "t".to_owned(),
            }),
            "unsupported",
            false,
        ),
    ] {
        let receipt = client.ask("r", request.clone());
        assert_eq!(code(receipt), (expected.to_owned(), retry), "{request:?}");
    }
    // Ten in a row, and more: they are of the protocol.
    let mut later = ClientMessage {
        id: "later".to_owned(),
        request: None,
    }
    .encode_to_vec();
    later.extend(b"\xa2\x06\x00");
    for _ in 0..12 {
        client.send_bytes(&later);
        let receipt = client.receipt("later");
        assert_eq!(code(receipt), ("bad_request".to_owned(), false));
    }
    client.send("", Request::Leave(Leave::default()));
    assert!(matches!(client.next(), Reply::Error(_)));
    client.send("", Request::Ping(Ping {}));
    let Reply::Pong(pong) = client.next() else {
        panic!("no pong");
    };
    assert_eq!(pong.id, "");
}

#[test]
fn a_frame_over_the_limit_closes_with_1009_and_the_limit_itself_passes() {
    let cluster = Cluster::of(1, &["--max-message-bytes", "1000"]);
    let (mut client, welcome) = Binary::at(&cluster, 0, "alice", "");
    assert_eq!(welcome.max_message_bytes, 1000);
    let message_of = |bytes: usize| {
        let message = |body: &str| ClientMessage {
            id: "m".to_owned(),
            request: Some(Request::Send(kept(to_user("alice"), body))),
        };
        // The lengths before a body take one byte more each from 128 on.
        let around = message(&"1".repeat(200)).encoded_len() - 200;
        let message = message(&"1".repeat(bytes - around)).encode_to_vec();
        assert_eq!(message.len(), bytes);
        message
    };
    client.send_bytes(&message_of(1000));
    let receipt = client.receipt("m");
    assert_eq!(receipt.status(), Status::Accepted, "{receipt:?}");
    client.send_bytes(&message_of(1001));
    assert_eq!(client.read_to_close().1, Some(1009));
}
