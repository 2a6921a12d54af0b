//! What clients ask for, in both encodings.

use bytes::Bytes;
use ringpost::core::protocol::request::REQUEST_ID_BYTES_MAX;
use ringpost::core::protocol::{
    Encoding, Refusal, Reply, Request, RequestLimits, binary, check_body, parse,
};
use ringpost::core::protocol::{Qos, Recipient, Send};

const LIMITS: RequestLimits = RequestLimits {
    presence_users_max: 5,
    rooms_max: 5,
};

/// What an answer says besides an id: never the text of a client at length.
const SENTENCE_BYTES_MAX: usize = 300;

/// A text message.
pub fn json_request(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        check(parse(text, &LIMITS));
    }
}

/// A binary message.
pub fn binary_request(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    match binary::decode(&frame) {
        Ok(message) => check(binary::request(&message, &LIMITS)),
        Err(refusal) => check(Err(refusal)),
    }
}

fn check(read: Result<Request<'_>, Refusal>) {
    match read {
        Ok(request) => check_request(&request),
        Err(refusal) => check_refusal(&refusal),
    }
}

fn check_request(request: &Request<'_>) {
    match request {
        Request::Send(send) => check_send(send),
        Request::Join(join) => {
            check_id(&join.id);
            assert!((1..=LIMITS.rooms_max).contains(&join.rooms.len()));
            assert!(!join.single || join.rooms.len() == 1);
        }
        Request::Leave { id, .. }
        | Request::RoomPresence { id, .. }
        | Request::Ping { id: Some(id) } => check_id(id),
        Request::Presence { id, users, .. } => {
            check_id(id);
            assert!(users.len() <= LIMITS.presence_users_max);
        }
        Request::Ack { .. } | Request::Ping { id: None } => {}
    }
}

/// What holds for every message that is taken, whoever sends it.
pub fn check_send(send: &Send<'_>) {
    check_id(&send.id);
    assert_eq!(
        check_body(send.body),
        Ok(send.body),
        "it is passed on as it is"
    );
    assert!(serde_json::from_str::<&serde_json::value::RawValue>(send.body).is_ok());
    let kept = send.qos == Qos::AtLeastOnce;
    assert!(!(kept && send.to == Recipient::Everyone));
    assert!(kept || !send.notify);
}

fn check_refusal(refusal: &Refusal) {
    match refusal {
        Refusal::Failed { id, message, .. } => {
            check_id(id);
            assert!(message.len() <= SENTENCE_BYTES_MAX, "{message}");
        }
        Refusal::Error { message, .. } | Refusal::NotTheProtocol { message } => {
            assert!(message.len() <= SENTENCE_BYTES_MAX, "{message}");
        }
    }
    let reply = Reply::from(refusal);
    assert!(serde_json::from_slice::<serde_json::Value>(&reply.json()).is_ok());
    assert!(!reply.frame(Encoding::Proto).is_empty());
}

fn check_id(id: &str) {
    assert!((1..=REQUEST_ID_BYTES_MAX).contains(&id.len()));
}
