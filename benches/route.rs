//! The path of a message through a node without its sockets: the owner of a key, the parts of a
//! request, the frame for its recipient, and the wire between nodes.

use std::hint::black_box;
use std::sync::Arc;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use prost::Message as _;
use ringpost::core::frame::{Decoder, FrameLimits, encode};
use ringpost::core::peer::{Content, Envelope, Request};
use ringpost::core::protocol::{self, RequestLimits, reply};
use ringpost::core::ring::Seed;
use ringpost::core::view::{Member, MemberState, View};
use ringpost::id::{Generation, NodeId, StreamKey, UserId};
use ringpost::wire::proto;

const NODES: usize = 100;
const LIMITS: RequestLimits = RequestLimits {
    presence_users_max: 256,
    rooms_max: 1000,
};
const REQUEST: &str = r#"{"type":"send","id":"0d7f9a62-5b0e-4f0a-9d50-8f1f6a2f5d11","to":{"user":"user-123456"},"body":{"text":"hello there, this is a message of usual size","n":42},"qos":0}"#;

fn view() -> View {
    let members = (0..NODES).map(|n| Member {
        revision: 0,
        id: NodeId::new(&format!("node-{n}")).expect("a good id"),
        generation: Generation(1),
        peer: Arc::from("127.0.0.1:7101"),
        url: Arc::from("ws://127.0.0.1:7001"),
        weight: 1,
        draining: false,
        state: MemberState::Alive,
    });
    let me = NodeId::new("node-0").expect("a good id");
    View::new(me, Seed::of_cluster("bench"), members.collect(), None)
}

fn envelope() -> Envelope {
    Envelope {
        to: StreamKey::Inbox(UserId::new("user-123456").expect("a good id")),
        from: UserId::new("user-654321").expect("a good id"),
        id: "0d7f9a62-5b0e-4f0a-9d50-8f1f6a2f5d11".into(),
        content: Content::Body(Bytes::from_static(
            br#"{"text":"hello there, this is a message of usual size"}"#,
        )),
        ts_ms: 1_732_350_000_123,
        hops: 1,
        to_guests: false,
        trace: None,
    }
}

fn decide(c: &mut Criterion) {
    let view = view();
    let users: Vec<String> = (0..1024).map(|n| format!("user-{n:011}")).collect();
    let mut next = users.iter().cycle();
    c.bench_function("owner of a user, 100 nodes", |b| {
        b.iter(|| view.owner(black_box(next.next().expect("a cycle"))));
    });
}

fn client_side(c: &mut Criterion) {
    c.bench_function("parse a send", |b| {
        b.iter(|| protocol::parse(black_box(REQUEST), &LIMITS).is_ok());
    });
    let limits = FrameLimits {
        message_bytes_max: 65_536,
        fragments_max: 1024,
    };
    let mut frame = vec![0x81, 0x80 | 0x7e];
    frame.extend_from_slice(&u16::try_from(REQUEST.len()).expect("short").to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(REQUEST.as_bytes());
    c.bench_function("decode its frame", |b| {
        b.iter(|| {
            Decoder::new()
                .decode(&limits, black_box(&mut frame))
                .is_ok()
        });
    });
    let envelope = envelope();
    let Content::Body(body) = &envelope.content else {
        unreachable!("it was made with a body");
    };
    let body = std::str::from_utf8(body).expect("JSON");
    c.bench_function("encode the frame for its recipient", |b| {
        b.iter(|| {
            encode::text(&reply::message(&reply::Message {
                position: None,
                id: &envelope.id,
                from: envelope.from.as_str(),
                to: Some(&envelope.to),
                body: black_box(body),
                ts: envelope.ts_ms,
            }))
        });
    });
}

fn between_nodes(c: &mut Criterion) {
    let request = Request::Envelope(envelope());
    c.bench_function("encode an envelope", |b| {
        b.iter(|| proto::Request::from((7, black_box(request.clone()))).encode_to_vec());
    });
    let wire = Bytes::from(proto::Request::from((7, request)).encode_to_vec());
    c.bench_function("decode an envelope", |b| {
        b.iter(|| {
            let request = proto::Request::decode(black_box(wire.clone())).expect("as encoded");
            <(u64, Request)>::try_from(request).is_ok()
        });
    });
}

criterion_group!(benches, decide, client_side, between_nodes);
criterion_main!(benches);
