//! Whatever a stream can be arrives as it went, and whatever bytes come in end in a value or in an
//! error.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use super::examples::{holder, replies, requests};
use super::proto;
use crate::core::peer::{Answer, Install, Operation, Outcome, Pulled, Reply, Request};
use crate::core::stream::{
    ConfigId, Epoch, Message, MessageKey, Position, Snapshot, SnapshotBranch, SnapshotEntry,
    SnapshotSeen,
};
use crate::id::{RoomName, StreamKey, UserId};

const EXACT_MAX: u64 = (1 << 53) - 1;

prop_compose! {
    fn key()(name in "[^\\p{Cc}]{1,64}", room in any::<bool>()) -> StreamKey {
        if room {
            StreamKey::Room(RoomName::new(&name).unwrap())
        } else {
            StreamKey::Inbox(UserId::new(&name).unwrap())
        }
    }
}

prop_compose! {
    fn user()(name in "[^\\p{Cc}]{1,64}") -> UserId {
        UserId::new(&name).unwrap()
    }
}

prop_compose! {
    fn position()(
        number in any::<u64>(), opener in any::<u64>(), offset in 0..=EXACT_MAX,
    ) -> Position {
        Position { epoch: Epoch::from_parts(number, opener), offset }
    }
}

prop_compose! {
    fn entry(offset: u64)(
        from in user(), id in "[ -~]{1,64}", body in ".{0,200}", ts_ms in any::<u64>(),
        age_ms in any::<u64>(), origins in prop::collection::vec(position(), 0..4),
        (acked, notify) in any::<(bool, bool)>(),
    ) -> SnapshotEntry {
        SnapshotEntry {
            offset,
            age: Duration::from_millis(age_ms),
            acked,
            origins,
            message: Message::new(&from, &id, &body, ts_ms, notify),
        }
    }
}

prop_compose! {
    fn branch()(at in position(), merged in prop::option::of(position())) -> SnapshotBranch {
        SnapshotBranch { epoch: at.epoch, shared: at.offset, merged }
    }
}

prop_compose! {
    fn seen()(
        key in any::<[u8; 16]>(), offset in 0..=EXACT_MAX, age_ms in any::<u64>(),
    ) -> SnapshotSeen {
        let age = Duration::from_millis(age_ms);
        SnapshotSeen { key: MessageKey::from_bytes(key), offset, age }
    }
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let offsets = prop::collection::btree_set(1..EXACT_MAX, 0..6);
    let entries =
        offsets.prop_flat_map(|offsets| offsets.into_iter().map(entry).collect::<Vec<_>>());
    let branches = prop::collection::vec(branch(), 0..5);
    let seen = prop::collection::vec(seen(), 0..9);
    let places = any::<[prop::sample::Index; 3]>();
    (position(), entries, branches, seen, places).prop_map(
        |(at, entries, branches, seen, [next, acked, floor])| {
            let end = entries.last().map_or(0, |last| last.offset);
            let between = |index: prop::sample::Index, from: u64, to: u64| {
                from + index.index(usize::try_from(to - from + 1).unwrap()) as u64
            };
            let next = between(next, end + 1, EXACT_MAX);
            Snapshot {
                epoch: at.epoch,
                branches,
                entries,
                next,
                acked: between(acked, 0, next - 1),
                floor: between(floor, 1, next),
                seen,
            }
        },
    )
}

fn over_the_wire(request: Request) -> Request {
    let bytes = proto::Request::from((1, request)).encode_to_vec();
    let request = proto::Request::decode(Bytes::from(bytes)).unwrap();
    <(u64, Request)>::try_from(request).unwrap().1
}

proptest! {
    #[test]
    fn a_stream_that_is_installed_or_pulled_arrives_as_it_went(
        key in key(), (number, seq) in (1..=u64::MAX, any::<u64>()), snapshot in snapshot(),
        count in 1..=8_usize,
    ) {
        let holders: Vec<_> = (0..count).map(|n| holder(&format!("n{n}"))).collect();
        let config = ConfigId { number, owner: holders[0].clone() };
        let pulled = Pulled { config, seq, snapshot: snapshot.clone() };
        let install = Request::Install(Box::new(Install { key, number, holders, seq, snapshot }));
        prop_assert_eq!(over_the_wire(install.clone()), install);

        let answer = Answer::Pulled(Some(Box::new(pulled)));
        let reply = Reply { seq, outcome: Outcome::Done, answer };
        let bytes = proto::Reply::from(reply.clone()).encode_to_vec();
        let received = proto::Reply::decode(Bytes::from(bytes)).unwrap();
        prop_assert_eq!(Reply::try_from(received), Ok(reply));
    }

    #[test]
    fn operations_arrive_as_they_went(
        key in key(), number in 1..=u64::MAX, seq in 1..=u64::MAX,
        operations in prop::collection::vec(
            prop_oneof![
                (1..=EXACT_MAX).prop_flat_map(entry).prop_map(Operation::Append),
                position().prop_map(Operation::Ack),
            ],
            1..4,
        ),
    ) {
        let request = Request::Replicate { key, number, seq, operations };
        prop_assert_eq!(over_the_wire(request.clone()), request);
    }

    #[test]
    fn a_damaged_request_or_reply_is_refused_or_read_but_never_worse(
        which in any::<prop::sample::Index>(), at in any::<prop::sample::Index>(),
        byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let damage = |mut bytes: Vec<u8>| {
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if cut {
                bytes.truncate(at + 1);
            }
            Bytes::from(bytes)
        };
        let request = which.get(&requests()).1.clone();
        let bytes = damage(proto::Request::from((1, request)).encode_to_vec());
        if let Ok(request) = proto::Request::decode(bytes)
            && let Ok((_, request)) = <(u64, Request)>::try_from(request)
        {
            // What was taken for right is so when it is passed on.
            prop_assert_eq!(over_the_wire(request.clone()), request);
        }
        let reply = which.get(&replies()).1.clone();
        let bytes = damage(proto::Reply::from(reply).encode_to_vec());
        if let Ok(reply) = proto::Reply::decode(bytes) && let Ok(reply) = Reply::try_from(reply) {
            let again = Reply::try_from(proto::Reply::from(reply.clone()));
            prop_assert_eq!(again, Ok(reply));
        }
    }
}
