//! One of each kind of request and reply, for the tests.

use std::time::Duration;

use crate::core::peer::{
    Answer, Append, Broadcast, Content, Delivery, Envelope, InboxReport, Install, Offer, Operation,
    Outcome, Pulled, Reply, Request, UserReport, UserSession,
};
use crate::core::ring::{Digest, RingNode};
use crate::core::roster::{RosterPage, Standing};
use crate::core::stream::{
    ConfigId, Epoch, History, Holder, Message, MessageKey, Position, Resume, Snapshot,
    SnapshotBranch, SnapshotEntry, SnapshotSeen,
};
use crate::core::trace::TraceContext;
use crate::id::{Generation, NodeId, RoomName, SessionId, StreamKey, UserId};

const SESSION: SessionId = SessionId(0x0123_4567_89ab_cdef);

pub fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

pub fn inbox(name: &str) -> StreamKey {
    StreamKey::Inbox(user(name))
}

pub fn room(name: &str) -> StreamKey {
    StreamKey::Room(RoomName::new(name).unwrap())
}

pub fn holder(node: &str) -> Holder {
    Holder {
        node: NodeId::new(node).unwrap(),
        generation: Generation(1_732_350_000_123),
    }
}

pub fn position(offset: u64) -> Position {
    Position {
        epoch: Epoch::from_parts(3, 0xfedc_ba98_7654_3210),
        offset,
    }
}

pub fn message() -> Message {
    let body = "{ \"a\" : 1e400 }";
    Message::new(&user("alice"), "m1", body, 1_732_350_000_123, true)
}

pub fn entry(offset: u64) -> SnapshotEntry {
    SnapshotEntry {
        offset,
        age: Duration::from_millis(1500),
        acked: false,
        origins: Vec::new(),
        message: message(),
    }
}

fn config() -> ConfigId {
    ConfigId {
        number: 7,
        owner: holder("n1"),
    }
}

pub fn snapshot() -> Snapshot {
    let root = SnapshotBranch {
        epoch: Epoch::ROOT,
        shared: 0,
        merged: None,
    };
    let merged = SnapshotBranch {
        epoch: Epoch::from_parts(2, 9),
        shared: 17,
        merged: Some(Position {
            epoch: Epoch::from_parts(2, 10),
            offset: 18,
        }),
    };
    let acked = SnapshotEntry {
        acked: true,
        origins: vec![position(4)],
        ..entry(18)
    };
    let seen = |offset, age_ms| SnapshotSeen {
        key: MessageKey::new("bob", "m0"),
        offset,
        age: Duration::from_millis(age_ms),
    };
    Snapshot {
        epoch: position(0).epoch,
        branches: vec![root, merged],
        entries: vec![acked, entry(20)],
        next: 21,
        acked: 17,
        floor: 18,
        seen: vec![seen(17, 90_000), seen(0, 0)],
    }
}

pub fn install() -> Install {
    Install {
        key: inbox("bob"),
        number: 7,
        holders: vec![holder("n1"), holder("n2")],
        seq: 300,
        snapshot: snapshot(),
    }
}

pub fn offer() -> Offer {
    Offer {
        key: inbox("bob"),
        config: config(),
        seq: 300,
        tip: position(20),
    }
}

pub fn replicate(operations: Vec<Operation>) -> Request {
    Request::Replicate {
        key: inbox("bob"),
        number: 7,
        seq: 301,
        operations,
    }
}

pub fn delivery() -> Delivery {
    Delivery {
        key: inbox("bob"),
        session: SESSION,
        nonce: 300,
        after: position(17),
        position: position(20),
        entries: vec![entry(18), entry(20)],
    }
}

pub fn user_session() -> UserSession {
    UserSession {
        node: NodeId::new("n1").unwrap(),
        session: SESSION,
        since_ms: 1_732_350_000_123,
    }
}

pub fn inbox_report() -> InboxReport {
    InboxReport {
        position: position(20),
        acked: 17,
        waiting: 2,
    }
}

pub fn envelope(content: Content) -> Envelope {
    Envelope {
        to: inbox("bob"),
        from: user("alice"),
        id: "m1".into(),
        content,
        ts_ms: 1_732_350_000_123,
        hops: 2,
        to_guests: true,
        trace: None,
    }
}

fn trace() -> Option<Box<TraceContext>> {
    TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").map(Box::new)
}

/// Each with a name; every kind at least once.
pub fn requests() -> Vec<(&'static str, Request)> {
    let mut all = requests_of_users();
    all.extend(requests_of_rooms());
    all
}

fn requests_of_rooms() -> Vec<(&'static str, Request)> {
    let bob = || user("bob");
    let lobby = || RoomName::new("lobby").unwrap();
    vec![
        (
            "history",
            Request::History {
                key: room("lobby"),
                at: Some(position(17)),
            },
        ),
        (
            "members",
            Request::Members {
                room: lobby(),
                whole: true,
                users: vec![
                    (bob(), Standing::Came),
                    (user("carol"), Standing::There),
                    (user("dave"), Standing::Gone),
                    (user("eve"), Standing::Left),
                ],
            },
        ),
        (
            "announcement",
            Request::Announce {
                room: lobby(),
                user: bob(),
                joined: true,
                count: 300,
            },
        ),
        (
            "roster",
            Request::Roster {
                room: lobby(),
                after: Some(bob()),
                max: 1000,
            },
        ),
        ("watch", Request::Watch { key: inbox("bob") }),
        ("unwatch", Request::Unwatch { key: room("lobby") }),
        (
            "presence change",
            Request::Presence {
                key: room("lobby"),
                count: 300,
            },
        ),
        (
            "broadcast",
            Request::Broadcast(Broadcast {
                from: user("alice"),
                id: "m1".into(),
                body: message().slices()[2].clone(),
                ts_ms: 1_732_350_000_123,
            }),
        ),
    ]
}

fn register(resume: Option<Resume>, new: bool, leaving_ms: u64) -> Request {
    Request::Register {
        key: inbox("bob"),
        session: SESSION,
        nonce: 300,
        since_ms: 1_732_350_000_123,
        resume,
        new,
        leaving_ms,
    }
}

fn requests_of_users() -> Vec<(&'static str, Request)> {
    let bob = || user("bob");
    let inbox = || inbox("bob");
    let append = |previous| {
        Request::Append(Append {
            to: inbox(),
            message: message(),
            previous,
            trace: None,
        })
    };
    let traced_envelope = Envelope {
        trace: trace(),
        ..envelope(Content::Delivered)
    };
    let traced_append = Append {
        to: inbox(),
        message: message(),
        previous: None,
        trace: trace(),
    };
    let register = |resume| register(resume, false, 0);
    let body = Content::Body(message().slices()[2].clone());
    vec![
        ("envelope", Request::Envelope(envelope(body))),
        ("notice", Request::Envelope(envelope(Content::Delivered))),
        ("traced envelope", Request::Envelope(traced_envelope)),
        ("traced append", Request::Append(traced_append)),
        ("append", append(None)),
        ("append behind", append(Some(message().key()))),
        ("install", Request::Install(Box::new(install()))),
        (
            "replicate append",
            replicate(vec![Operation::Append(entry(21))]),
        ),
        (
            "replicate both",
            replicate(vec![
                Operation::Ack(position(20)),
                Operation::Append(entry(21)),
            ]),
        ),
        (
            "consent",
            Request::Consent {
                generation: Generation(1_732_350_000_123),
                digest: Digest(0xab),
            },
        ),
        ("offer", Request::Offer(vec![offer()])),
        ("pull of a room", Request::Pull { key: room("lobby") }),
        ("pull", Request::Pull { key: inbox() }),
        (
            "offer of a room",
            Request::Offer(vec![Offer {
                key: room("lobby"),
                ..offer()
            }]),
        ),
        ("register from now", register(Some(Resume::Now))),
        ("register new", self::register(None, true, 0)),
        ("register leaving", self::register(None, false, 10_350)),
        (
            "replace",
            Request::Replace {
                user: bob(),
                session: SESSION,
            },
        ),
        ("register fresh", register(Some(Resume::Fresh))),
        ("register at", register(Some(Resume::At(position(17))))),
        ("register unknown", register(Some(Resume::Unknown))),
        (
            "unregister",
            Request::Unregister {
                key: inbox(),
                session: SESSION,
            },
        ),
        ("deliver", Request::Deliver(delivery())),
        (
            "ack",
            Request::Ack {
                user: bob(),
                position: position(20),
            },
        ),
        ("under-replicated", Request::UnderReplicated(300)),
        (
            "presence",
            Request::Online {
                users: vec![user("alice"), bob()],
            },
        ),
        ("sessions", Request::Sessions { user: bob() }),
        ("disconnect", Request::Disconnect { user: bob() }),
    ]
}

/// Each with a name; every outcome and every kind of answer at least once.
pub fn replies() -> Vec<(&'static str, Reply)> {
    let reply = |outcome, answer| Reply {
        seq: 300,
        outcome,
        answer,
    };
    let done = |answer| reply(Outcome::Done, answer);
    let bare = |outcome| reply(outcome, Answer::None);
    let registered = |recovered| {
        done(Answer::Registered {
            position: position(17),
            recovered,
        })
    };
    let consented = |ring| {
        done(Answer::Consented {
            ring,
            members: vec![holder("n1")],
            offers: vec![offer()],
            under_replicated: 300,
        })
    };
    let node = |id, weight| RingNode {
        id: NodeId::new(id).unwrap(),
        weight,
    };
    let pulled = Pulled {
        config: config(),
        seq: 300,
        snapshot: snapshot(),
    };
    let known = |sessions, inbox| done(Answer::Sessions(UserReport { sessions, inbox }));
    let accepted = Answer::Accepted {
        copies: 2,
        duplicate: true,
    };
    vec![
        ("done", bare(Outcome::Done)),
        ("offline", bare(Outcome::Offline)),
        ("unreachable", bare(Outcome::Unreachable)),
        ("unknown", bare(Outcome::Unknown)),
        ("not owner", bare(Outcome::NotOwner)),
        ("busy", bare(Outcome::Busy)),
        ("out of order", bare(Outcome::OutOfOrder)),
        ("inbox full", bare(Outcome::InboxFull)),
        ("diverged", bare(Outcome::Diverged)),
        ("too many", bare(Outcome::TooMany)),
        ("rate limited", bare(Outcome::RateLimited)),
        ("count", done(Answer::Count(300))),
        ("outdated", reply(Outcome::Outdated, Answer::Number(8))),
        ("online", done(Answer::Online(vec![true, false]))),
        ("accepted", done(accepted)),
        ("registered fresh", registered(None)),
        ("registered with a gap", registered(Some(false))),
        ("consented", consented(None)),
        (
            "consented with a ring",
            consented(Some(vec![node("n1", 1), node("n2", 0)])),
        ),
        ("consented alone", consented(Some(Vec::new()))),
        ("pulled", done(Answer::Pulled(Some(Box::new(pulled))))),
        ("pulled nothing", done(Answer::Pulled(None))),
        ("may go", done(Answer::MayGo(vec![false, true]))),
        ("sessions", known(vec![user_session()], None)),
        ("no sessions", known(Vec::new(), None)),
        (
            "sessions and an inbox",
            known(Vec::new(), Some(inbox_report())),
        ),
        ("closed", done(Answer::Closed(300))),
        (
            "history",
            done(Answer::History(Box::new(History {
                position: position(17),
                recovered: true,
                entries: vec![entry(18)],
                upto: position(20),
            }))),
        ),
        (
            "roster",
            done(Answer::Roster(RosterPage {
                count: 300,
                users: vec![user("alice"), user("bob")],
                more: true,
            })),
        ),
    ]
}
