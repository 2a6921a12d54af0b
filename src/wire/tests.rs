use bytes::Bytes;
use prost::Message as _;

use super::examples::{entry, envelope, inbox, message, replies, requests, snapshot, user};
use super::proto;
use crate::core::peer::{Content, Envelope, HOPS_MAX, Operation, Outcome, Reply, Request};
use crate::core::stream::{Message, SnapshotEntry};

fn encoded(request: Request) -> Bytes {
    proto::Request::from((7, request)).encode_to_vec().into()
}

fn decoded(bytes: Bytes) -> Request {
    let request = proto::Request::decode(bytes).unwrap();
    <(u64, Request)>::try_from(request).unwrap().1
}

#[test]
fn requests_come_back_as_they_went() {
    for (name, request) in requests() {
        let received = proto::Request::decode(encoded(request.clone())).unwrap();
        let received = <(u64, Request)>::try_from(received);
        assert_eq!(received, Ok((7, request)), "{name}");
    }
}

#[test]
fn replies_come_back_as_they_went() {
    for (name, reply) in replies() {
        let sent = proto::Reply::from(reply.clone()).encode_to_vec();
        let received = proto::Reply::decode(Bytes::from(sent)).unwrap();
        assert_eq!(Reply::try_from(received), Ok(reply), "{name}");
    }
}

/// The bodies that a request carries.
fn bodies(request: &Request) -> Vec<Bytes> {
    let body = |message: &Message| message.slices()[2].clone();
    let of = |entries: &[SnapshotEntry]| entries.iter().map(|e| body(&e.message)).collect();
    match request {
        Request::Append(append) => vec![body(&append.message)],
        Request::Install(install) => of(&install.snapshot.entries),
        Request::Deliver(delivery) => of(&delivery.entries),
        Request::Replicate { operations, .. } => {
            let appended = operations.iter().filter_map(|operation| match operation {
                Operation::Append(entry) => Some(body(&entry.message)),
                Operation::Ack(_) => None,
            });
            appended.collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn a_body_that_is_kept_does_not_keep_what_came_with_it() {
    let lies_in = |body: &Bytes, received: &Bytes| received.as_ptr_range().contains(&body.as_ptr());
    let mut checked = 0;
    for (name, request) in requests() {
        let received = encoded(request);
        for body in bodies(&decoded(received.clone())) {
            assert!(!lies_in(&body, &received), "{name}");
            checked += 1;
        }
    }
    assert_eq!(checked, 9);

    let passed_on = envelope(Content::Body(message().slices()[2].clone()));
    let received = encoded(Request::Envelope(passed_on));
    let Request::Envelope(Envelope { content, .. }) = decoded(received.clone()) else {
        panic!("another kind");
    };
    let Content::Body(body) = content else {
        panic!("a notice");
    };
    assert!(lies_in(&body, &received), "passed on without a copy");
}

#[test]
fn a_copy_of_a_small_message_costs_little_more_than_the_message() {
    let (from, id) = (
        user("user-000000000001"),
        "6f1e0c9a-5b1d-4a7e-9c3f-2d8b7a6e5f40",
    );
    let message = Message::new(&from, id, &"1".repeat(128), message().ts_ms, true);
    let request = Request::Replicate {
        key: inbox("user-000000000002"),
        number: 1000,
        seq: 1_000_000,
        operations: vec![Operation::Append(SnapshotEntry {
            message,
            ..entry(1_000_000)
        })],
    };
    let bytes = encoded(request).len();
    assert!(bytes < 260, "{bytes} bytes");
}

#[test]
fn a_seen_message_costs_its_key_and_a_few_bytes() {
    let mut snapshot = snapshot();
    let few = proto::Snapshot::from(snapshot.clone()).encoded_len();
    let seen = snapshot.seen[0];
    snapshot.seen.resize(snapshot.seen.len() + 1000, seen);
    let many = proto::Snapshot::from(snapshot).encoded_len();
    assert!(many - few < 24 * 1000, "{} bytes", many - few);
}

#[test]
fn excess_hops_are_cut() {
    let wire = proto::Envelope {
        hops: 4_000_000_000,
        ..envelope(Content::Delivered).into()
    };
    assert_eq!(Envelope::try_from(wire).unwrap().hops, HOPS_MAX);
}

#[test]
fn an_outcome_of_a_newer_node_may_mean_anything() {
    let reply = proto::Reply {
        seq: 1,
        outcome: 4711,
        answer: None,
    };
    let reply = Reply::try_from(reply).unwrap();
    assert_eq!(reply.outcome, Outcome::Unknown);
}
