//! Which streams count as ones that lack a copy.

use std::time::Duration;

use super::fixtures::{LIMITS, Moment, epoch, holder, message, node};
use super::*;
use crate::core::peer::{Answer, Install, Outcome, Request};
use crate::id::{NodeId, StreamKey, UserId};

const START: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(50);

/// A node with one stream, which the test's own hand answers for the others.
struct Node {
    streams: Streams<()>,
    moment: Moment,
    key: StreamKey,
    /// Copies that were sent and are not answered: to whom, and about what.
    sent: Vec<(NodeId, u64, u64)>,
    /// What senders were told.
    told: Vec<Outcome>,
}

impl Node {
    /// `n1` with `n2`, and a key that is `owner`'s there, and `n1`'s where there is `n3` instead.
    fn new(owner: &str) -> Self {
        let (both, later) = (Moment::of(&["n1", "n2"], 1), Moment::of(&["n1", "n3"], 2));
        let is_owned = |moment: &Moment, key: &StreamKey, by: &str| {
            moment.view.owner(key.as_str()).unwrap().id == node(by)
        };
        let mut keys = (0..).map(|n| StreamKey::Inbox(UserId::new(&format!("u{n}")).unwrap()));
        let key = keys.find(|key| is_owned(&both, key, owner) && is_owned(&later, key, "n1"));
        let mut node = Self {
            streams: Streams::new(holder("n1")),
            moment: both,
            key: key.unwrap(),
            sent: Vec::new(),
            told: Vec::new(),
        };
        // The first one would look like the end of a pause.
        node.wait(Duration::ZERO);
        node
    }

    fn act<R>(&mut self, act: impl FnOnce(&mut Streams<()>, &Context<'_>, &StreamKey) -> R) -> R {
        let (streams, key) = (&mut self.streams, &self.key);
        let result = self.moment.with(|ctx| act(streams, ctx, key));
        while let Some(output) = self.streams.poll_output() {
            match output {
                Output::Ask {
                    to,
                    request: Request::Install(_) | Request::Replicate { .. },
                    about: About::Copy { number, seq, .. },
                } => self.sent.push((to, number, seq)),
                Output::Answer { outcome, .. } => self.told.push(outcome),
                _ => {}
            }
        }
        result
    }

    fn append(&mut self, id: &str) {
        self.act(|streams, ctx, key| streams.append(ctx, key, message(id, 1), None, ()));
    }

    /// The only copy that is under way is answered.
    fn answer(&mut self, from: &str, outcome: Outcome) {
        let (to, number, seq) = self.sent.pop().unwrap();
        assert_eq!((to, self.sent.len()), (node(from), 0));
        self.act(|streams, ctx, key| {
            let about = (key, number, seq);
            streams.copy_answered(ctx, &node(from), about, outcome, &Answer::None);
        });
    }

    /// All is answered, with what is sent because of that.
    fn settle(&mut self) {
        while !self.sent.is_empty() {
            self.answer("n2", Outcome::Done);
        }
    }

    fn wait(&mut self, time: Duration) {
        let end = self.moment.now + time;
        loop {
            self.act(|streams, ctx, _| streams.tick(ctx, |_| false));
            if self.moment.now == end {
                return;
            }
            self.moment.now = end.min(self.moment.now + TICK);
        }
    }

    /// In place of `n2` there is another node.
    fn change_view(&mut self) {
        self.moment = Moment {
            now: self.moment.now,
            ..Moment::of(&["n1", "n3"], 2)
        };
        self.sent.clear();
        self.act(|streams, ctx, _| streams.on_view(ctx));
    }

    fn counted(&self) -> usize {
        self.streams.under_replicated(self.moment.now)
    }
}

#[test]
fn a_new_stream_whose_first_copy_is_on_its_way_does_not_count() {
    let mut node = Node::new("n1");
    node.append("m1");
    assert_eq!(node.counted(), 0);
    node.wait(Duration::from_millis(300));
    assert_eq!((node.counted(), node.sent.len()), (0, 1));
    assert!(node.told.is_empty(), "nothing is accepted yet");
    node.settle();
    assert_eq!((node.counted(), &node.told[..]), (0, &[Outcome::Done][..]));
}

#[test]
fn a_new_stream_whose_holder_does_not_answer_counts_after_a_second() {
    let mut node = Node::new("n1");
    node.append("m1");
    node.wait(Duration::from_millis(950));
    assert_eq!(node.counted(), 0);
    node.wait(Duration::from_millis(50));
    assert_eq!(node.counted(), 1);
    node.answer("n2", Outcome::Done);
    assert_eq!(node.counted(), 0);
}

#[test]
fn a_new_stream_whose_holder_fails_counts_until_it_has_a_copy() {
    for outcome in [Outcome::Unknown, Outcome::Unreachable, Outcome::NotOwner] {
        let mut node = Node::new("n1");
        node.append("m1");
        node.answer("n2", outcome);
        assert_eq!(node.counted(), 1, "{outcome:?}");
        node.wait(Duration::from_millis(100));
        assert_eq!((node.counted(), node.sent.len()), (1, 1), "sent again");
        node.settle();
        assert_eq!((node.counted(), &node.told[..]), (0, &[Outcome::Done][..]));
    }
}

#[test]
fn a_new_stream_whose_first_copy_cannot_be_sent_counts() {
    for room in [Room::Unconnected, Room::Full] {
        let mut node = Node::new("n1");
        node.act(|streams, ctx, key| {
            let ctx = Context {
                room: &|_| room,
                ..*ctx
            };
            streams.append(&ctx, key, message("m1", 1), None, ());
        });
        assert_eq!((node.counted(), node.sent.len()), (1, 0), "{room:?}");
    }
}

#[test]
fn a_stream_with_something_accepted_counts_at_once_however_young() {
    let mut node = Node::new("n1");
    node.append("m1");
    node.settle();
    assert_eq!(node.told, [Outcome::Done]);
    node.append("m2");
    assert_eq!(node.counted(), 0, "its holder follows");
    node.answer("n2", Outcome::Unknown);
    assert_eq!(node.counted(), 1);
    node.wait(Duration::from_millis(50));
    assert_eq!((node.counted(), node.sent.len()), (1, 1));
    node.answer("n2", Outcome::Done);
    assert_eq!(node.counted(), 0);
}

#[test]
fn a_stream_that_is_reconfigured_counts_until_the_new_holder_has_it() {
    for is_accepted in [true, false] {
        let mut node = Node::new("n1");
        node.append("m1");
        if is_accepted {
            node.settle();
        }
        node.change_view();
        assert_eq!((node.counted(), node.sent.len()), (1, 1), "{is_accepted}");
        node.answer("n3", Outcome::Done);
        assert_eq!(node.counted(), 0);
    }
}

#[test]
fn a_stream_that_is_taken_over_counts_until_the_new_holder_has_it() {
    let mut node = Node::new("n2");
    let mut log = Log::new(epoch(9));
    log.append(START, message("m1", 1), &LIMITS).unwrap();
    let install = Install {
        key: node.key.clone(),
        number: 1,
        holders: vec![holder("n2"), holder("n1")],
        seq: 2,
        snapshot: log.snapshot(START),
    };
    let held = node.act(|streams, ctx, _| streams.install(ctx, &holder("n2"), install));
    assert_eq!((held.0, node.counted()), (Outcome::Done, 0));
    node.change_view();
    assert_eq!((node.counted(), node.sent.len()), (1, 1));
    assert_eq!(node.streams.taken_over(), 1);
    node.answer("n3", Outcome::Done);
    assert_eq!(node.counted(), 0);
}
