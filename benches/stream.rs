//! One kept message in the core: appended by the owner, copied to the holder, committed. Beside it
//! the floor: the log alone, without anybody who holds a copy.

use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ringpost::core::consent::Consents;
use ringpost::core::peer::{Answer, Outcome, Request};
use ringpost::core::ring::Seed;
use ringpost::core::stream::{
    About, Context, Epoch, Holder, Log, LogLimits, Message, Output, Position, Room, StreamConfig,
    Streams,
};
use ringpost::core::view::{Member, MemberState, View};
use ringpost::id::{Generation, NodeId, StreamKey, UserId};

/// Messages to one user, of which all are acked at the end.
const MESSAGES: u64 = 512;

const LIMITS: LogLimits = LogLimits {
    entries_max: 1000,
    bytes_max: 1 << 20,
    kept_entries_max: 1000,
    kept_bytes_max: 1 << 20,
    age_max: Duration::from_secs(3600),
    seen_max: 65_536,
    seen_age: Duration::from_secs(600),
};

const CONFIG: StreamConfig = StreamConfig {
    replicas: 2,
    min_copies: 1,
    inboxes: LIMITS,
    rooms: LIMITS,
    shard_bytes_max: 1 << 30,
};

/// One of two nodes that agree.
struct Node {
    me: Holder,
    view: Arc<View>,
    consents: Consents,
    streams: Streams<u64>,
}

impl Node {
    fn new(name: &str) -> Self {
        let member = |id| Member {
            id: NodeId::new(id).expect("a node id"),
            generation: Generation(1),
            revision: 0,
            peer: "127.0.0.1:7101".into(),
            url: "ws://127.0.0.1:7001".into(),
            weight: 1,
            draining: false,
            state: MemberState::Alive,
        };
        let me = NodeId::new(name).expect("a node id");
        let seed = Seed::of_cluster("bench");
        let members = vec![member("n1"), member("n2")];
        let alone = View::new(me.clone(), seed, vec![member(name)], None);
        let mut consents = Consents::new(&alone);
        consents.join();
        let me = Holder {
            node: me,
            generation: Generation(1),
        };
        Self {
            view: Arc::new(View::new(me.node.clone(), seed, members, None)),
            consents,
            streams: Streams::new(me.clone()),
            me,
        }
    }

    fn with<R>(&mut self, f: impl FnOnce(&mut Streams<u64>, &Context<'_>) -> R) -> R {
        let room = |_: &NodeId| Room::Free;
        let ctx = Context {
            now: Duration::from_secs(1),
            view: &self.view,
            number: 1,
            consents: &self.consents,
            config: &CONFIG,
            room: &room,
        };
        f(&mut self.streams, &ctx)
    }
}

/// An owner and its successor, and an inbox of the owner's.
fn pair() -> (Node, Node, StreamKey) {
    let (owner, holder) = (Node::new("n1"), Node::new("n2"));
    let users = (0..).map(|n| UserId::new(&format!("user-{n}")).expect("a user id"));
    let inboxes = users.map(StreamKey::Inbox);
    let mine = |key: &StreamKey| {
        let first = owner.view.owner(key.as_str());
        first.is_some_and(|member| member.id == owner.me.node)
    };
    let inbox = inboxes
        .into_iter()
        .find(mine)
        .expect("it owns half of them");
    (owner, holder, inbox)
}

fn message(number: u64) -> Message {
    let from = UserId::new("alice").expect("a user id");
    let (id, body) = (format!("{number:032x}"), "1".repeat(128));
    Message::new(&from, &id, &body, 1_732_350_000_123, false)
}

/// Carries what the owner wants to its holder and back, until it wants no more. Says how many
/// messages were accepted.
fn settle(owner: &mut Node, holder: &mut Node) -> u64 {
    let mut accepted = 0;
    while let Some(output) = owner.streams.poll_output() {
        match output {
            Output::Ask { request, about, .. } => {
                let from = owner.me.clone();
                let (outcome, answer) = holder.with(|streams, ctx| match request {
                    Request::Install(install) => streams.install(ctx, &from, *install),
                    Request::Replicate {
                        key,
                        number,
                        seq,
                        operations,
                    } => {
                        let about = (&key, number, seq);
                        let outcome = streams.replicate(ctx, &from, about, operations);
                        (outcome, Answer::None)
                    }
                    other => panic!("{other:?} is not asked here"),
                });
                let About::Copy { key, number, seq } = about else {
                    panic!("{about:?} is not asked here");
                };
                let node = holder.me.node.clone();
                owner.with(|streams, ctx| {
                    streams.copy_answered(ctx, &node, (&key, number, seq), outcome, &answer);
                });
            }
            Output::Answer { outcome, .. } => {
                assert_eq!(outcome, Outcome::Done);
                accepted += 1;
            }
            _ => {}
        }
    }
    accepted
}

fn kept(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a kept message of 128 bytes");
    group.throughput(Throughput::Elements(MESSAGES));
    group.bench_function("append, copy, commit, ack", |bencher| {
        bencher.iter_batched(
            pair,
            |(mut owner, mut holder, user)| {
                for number in 0..MESSAGES {
                    owner.with(|streams, ctx| {
                        streams.append(ctx, &user, message(number), None, number);
                    });
                    assert_eq!(settle(&mut owner, &mut holder), 1);
                }
                let (log, visible) = owner.streams.shown(&user).expect("it is served");
                let position = Position {
                    epoch: log.tip().epoch,
                    offset: visible,
                };
                owner.with(|streams, ctx| streams.ack(ctx, &user, position));
                settle(&mut owner, &mut holder);
                (owner, holder)
            },
            BatchSize::SmallInput,
        );
    });
    group.bench_function("floor: a log alone", |bencher| {
        bencher.iter_batched(
            || {
                Log::new(Epoch::opened(
                    1,
                    &NodeId::new("n1").expect("a node id"),
                    Generation(1),
                ))
            },
            |mut log| {
                for number in 0..MESSAGES {
                    let appended = log.append(Duration::from_secs(1), message(number), &LIMITS);
                    assert!(appended.is_ok());
                }
                log.ack(log.tip(), &LIMITS);
                log
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, kept);
criterion_main!(benches);
