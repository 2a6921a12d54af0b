//! What comes in and cannot be right is refused.

use bytes::Bytes;

use super::examples::{
    delivery, envelope, holder, inbox, install, message, offer, position, replicate, snapshot,
};
use super::{WireError, proto};
use crate::core::peer::{
    Answer, Append, Content, Delivery, Envelope, Install, Offer, Operation, Pulled, Reply, Request,
};
use crate::core::stream::{ConfigId, Message, Snapshot};

/// What becomes of a value when something was changed on its way.
fn changed<T, W>(value: T, change: impl FnOnce(&mut W)) -> Result<T, WireError>
where
    W: From<T>,
    T: TryFrom<W, Error = WireError>,
{
    let mut wire = W::from(value);
    change(&mut wire);
    T::try_from(wire)
}

#[test]
fn an_envelope_that_cannot_be_right_is_refused() {
    let body = || envelope(Content::Body(message().slices()[2].clone()));
    let with = |change: fn(&mut proto::Envelope)| changed::<Envelope, _>(body(), change);
    assert!(with(|_| {}).is_ok());
    assert!(with(|e| e.from = "eve\n".into()).is_err());
    assert!(with(|e| e.to = String::new()).is_err());
    assert!(with(|e| e.id = String::new()).is_err());
    assert!(with(|e| e.id = "m".repeat(65)).is_err());
    assert!(with(|e| e.content = None).is_err());
    let not_text = |e: &mut proto::Envelope| {
        let bytes = Bytes::from_static(b"\xff");
        e.content = Some(proto::envelope::Content::Body(bytes));
    };
    assert!(with(not_text).is_err());
}

#[test]
fn an_append_that_cannot_be_right_is_refused() {
    let append = || Append {
        trace: None,
        to: inbox("bob"),
        message: message(),
        previous: Some(message().key()),
    };
    let with = |change: fn(&mut proto::Append)| changed::<Append, _>(append(), change);
    assert!(with(|_| {}).is_ok());
    assert!(with(|a| a.to = Bytes::new()).is_err());
    assert!(with(|a| a.message = None).is_err());
    assert!(with(|a| a.previous = Bytes::from_static(&[0; 15])).is_err());
    assert!(with(|a| a.previous = Bytes::from_static(&[0; 17])).is_err());

    let with = |change: fn(&mut proto::Message)| changed::<Message, _>(message(), change);
    assert!(with(|_| {}).is_ok());
    assert!(with(|m| m.from = "e\u{85}".into()).is_err());
    assert!(with(|m| m.id = "m".repeat(65).into()).is_err());
    assert!(with(|m| m.body = Bytes::from_static(b"\xff")).is_err());
}

#[test]
fn a_snapshot_that_cannot_be_right_is_refused() {
    let with = |change: fn(&mut proto::Snapshot)| changed::<Snapshot, _>(snapshot(), change);
    assert!(with(|_| {}).is_ok());
    assert!(with(|s| s.epoch = None).is_err());
    assert!(with(|s| s.next = 0).is_err());
    assert!(with(|s| s.next = 20).is_err(), "the last entry's offset");
    assert!(with(|s| s.next = 1 << 53).is_err());
    assert!(with(|s| s.acked = s.next).is_err());
    assert!(with(|s| s.floor = 0).is_err());
    assert!(with(|s| s.floor = s.next + 1).is_err());
    assert!(with(|s| s.entries.reverse()).is_err());
    assert!(with(|s| s.entries[0].offset = 0).is_err());
    assert!(with(|s| s.entries[0].message = None).is_err());
    assert!(with(|s| s.entries[0].origins[0].epoch = None).is_err());
    assert!(with(|s| s.entries[0].origins[0].offset = 1 << 53).is_err());
    assert!(with(|s| s.branches[0].epoch = None).is_err());
    assert!(with(|s| s.branches[0].shared = 1 << 53).is_err());
    assert!(with(|s| s.seen_ages_ms.truncate(1)).is_err());
    assert!(with(|s| s.seen_offsets.truncate(1)).is_err());
    assert!(with(|s| s.seen_offsets[0] = 1 << 53).is_err());
    assert!(with(|s| s.seen_keys.truncate(16)).is_err());
    assert!(with(|s| s.seen_keys.truncate(31)).is_err());
    let branch = proto::Branch::from(snapshot().branches[0]);
    let too_many = |s: &mut proto::Snapshot| s.branches = vec![branch; 1025];
    assert!(changed::<Snapshot, _>(snapshot(), too_many).is_err());
    let origin = proto::Position::from(position(1));
    let too_many = |s: &mut proto::Snapshot| s.entries[0].origins = vec![origin; 4097];
    assert!(changed::<Snapshot, _>(snapshot(), too_many).is_err());
}

#[test]
fn a_configuration_that_cannot_be_right_is_refused() {
    let with = |change: fn(&mut proto::Install)| changed::<Install, _>(install(), change);
    assert!(with(|_| {}).is_ok());
    assert!(with(|i| i.number = 0).is_err());
    assert!(with(|i| i.snapshot = None).is_err());
    assert!(with(|i| i.holders.clear()).is_err());
    assert!(with(|i| i.holders[0].node = "n 1".into()).is_err());
    assert!(with(|i| i.holders[0].generation = 1 << 53).is_err());
    assert!(with(|i| i.holders[1].node = "n1".into()).is_err());
    let of = |count: usize| {
        move |i: &mut proto::Install| {
            let each = |n| proto::Holder::from(holder(&format!("n{n}")));
            i.holders = (0..count).map(each).collect();
        }
    };
    assert!(changed::<Install, _>(install(), of(8)).is_ok());
    assert!(changed::<Install, _>(install(), of(9)).is_err());
}

#[test]
fn a_delivery_that_cannot_be_right_is_refused() {
    let with = |change: fn(&mut proto::Delivery)| changed::<Delivery, _>(delivery(), change);
    assert!(with(|_| {}).is_ok());
    assert!(with(|d| d.key = Bytes::new()).is_err());
    assert!(with(|d| d.position = None).is_err());
    assert!(with(|d| d.after = None).is_err());
    assert!(with(|d| d.entries.clear()).is_err());
    assert!(with(|d| d.entries.reverse()).is_err());
    let early = |d: &mut proto::Delivery| {
        d.position = Some(position(19).into());
    };
    assert!(with(early).is_err());
}

#[test]
fn a_request_that_cannot_be_right_is_refused() {
    use proto::request::Kind;
    let with = |change: fn(&mut proto::Replicate)| {
        let request = replicate(vec![Operation::Ack(position(1))]);
        changed::<Request, Kind>(request, |kind| match kind {
            Kind::Replicate(replicate) => change(replicate),
            other => panic!("another kind: {other:?}"),
        })
    };
    assert!(with(|_| {}).is_ok());
    assert!(with(|r| r.number = 0).is_err());
    assert!(with(|r| r.seq = 0).is_err());
    assert!(with(|r| r.operations.clear()).is_err());
    assert!(with(|r| r.operations[0].kind = None).is_err());
    assert!(with(|r| r.key = Bytes::new()).is_err());

    let bob = || "bob".to_owned();
    let wrong = [
        Kind::Pull(proto::Pull::default()),
        Kind::Ack(proto::Ack {
            user: bob(),
            position: None,
        }),
        Kind::Consent(proto::Consent {
            generation: 1 << 53,
            digest: 0,
        }),
        Kind::Register(proto::Register {
            key: bob(),
            session: 1,
            nonce: 1,
            since_ms: 1,
            resume: Some(proto::register::Resume::At(proto::Position::default())),
            new: true,
            leaving_ms: 0,
        }),
        Kind::Register(proto::Register {
            key: bob(),
            leaving_ms: 1 << 53,
            ..Default::default()
        }),
        Kind::Register(proto::Register {
            key: bob(),
            since_ms: 1 << 53,
            ..Default::default()
        }),
        Kind::Unregister(proto::Unregister::default()),
        Kind::Sessions(proto::SessionsQuery::default()),
        Kind::Disconnect(proto::Disconnect::default()),
        Kind::Presence(proto::PresenceQuery {
            users: vec![bob(), String::new()],
        }),
        Kind::Offers(proto::Offers {
            offers: vec![proto::Offer::default()],
        }),
    ];
    for kind in wrong {
        assert!(Request::try_from(kind.clone()).is_err(), "{kind:?}");
    }
    let empty = proto::Request { seq: 7, kind: None };
    assert!(<(u64, Request)>::try_from(empty).is_err());
}

#[test]
fn an_offer_that_cannot_be_right_is_refused() {
    let with = |change: fn(&mut proto::Offer)| changed::<Offer, _>(offer(), change);
    assert!(with(|_| {}).is_ok());
    assert!(with(|o| o.key = String::new()).is_err());
    assert!(with(|o| o.tip = None).is_err());
    assert!(with(|o| o.config = None).is_err());
    let with_config =
        |change: fn(&mut proto::ConfigId)| changed::<ConfigId, _>(offer().config, change).is_err();
    assert!(!with_config(|_| {}));
    assert!(with_config(|c| c.number = 0));
    assert!(with_config(|c| c.owner = None));
}

#[test]
fn an_answer_that_cannot_be_right_is_refused() {
    use proto::reply::Answer as Wire;
    let of = |answer| {
        Reply::try_from(proto::Reply {
            seq: 1,
            outcome: proto::Outcome::Done.into(),
            answer: Some(answer),
        })
    };
    let accepted = |copies| {
        let duplicate = false;
        of(Wire::Accepted(proto::Accepted { copies, duplicate }))
    };
    assert!(accepted(1).is_ok() && accepted(8).is_ok());
    assert!(accepted(0).is_err() && accepted(9).is_err() && accepted(257).is_err());
    assert!(of(Wire::Number(0)).is_err());
    assert!(of(Wire::Registered(proto::Registered::default())).is_err());

    let session = |node: &str, since_ms| {
        let session = proto::UserSession {
            node: node.into(),
            session: 1,
            since_ms,
        };
        of(Wire::Sessions(proto::Sessions {
            sessions: vec![session],
            inbox: None,
        }))
    };
    assert!(session("n1", 0).is_ok());
    assert!(session("n 1", 0).is_err());
    assert!(session("n1", 1 << 53).is_err());

    let ring = |weight, nodes| {
        let node = proto::RingNode {
            id: "n1".into(),
            weight,
        };
        let ring = Some(proto::Ring {
            nodes: vec![node; nodes],
        });
        let offers = Vec::new();
        of(Wire::Consented(proto::Consented {
            ring,
            offers,
            ..Default::default()
        }))
    };
    assert!(ring(0, 1).is_ok() && ring(64, 1).is_ok());
    assert!(ring(65, 1).is_err());
    assert!(ring(1, 65_537).is_err());
    assert!(
        ring(64, 65_536).is_err(),
        "more points than a ring can have"
    );

    let copy = proto::Pulled::default();
    assert!(Pulled::try_from(copy.clone()).is_err());
    assert!(of(Wire::Pulled(proto::PullAnswer { copy: Some(copy) })).is_err());
    let nothing = of(Wire::Pulled(proto::PullAnswer::default())).unwrap();
    assert_eq!(nothing.answer, Answer::Pulled(None));
}
