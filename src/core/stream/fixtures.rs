//! What the tests of this module share.

use std::time::Duration;

use super::{About, Context, Epoch, Holder, LogLimits, Message, Output, Room};
use super::{StreamConfig, Streams};
use crate::core::consent::Consents;
use crate::core::peer::{Answer, Outcome, Request};
use crate::core::ring::Seed;
use crate::core::view::{Member, MemberState, View};
use crate::id::{Generation, NodeId, StreamKey, UserId};

pub const LIMITS: LogLimits = LogLimits {
    entries_max: 9,
    bytes_max: 1000,
    kept_entries_max: 9,
    kept_bytes_max: 1000,
    age_max: Duration::from_secs(100),
    seen_max: 10,
    seen_age: Duration::from_secs(20),
};

/// The epoch of that number, of one node.
pub fn epoch(number: u64) -> Epoch {
    Epoch::opened(number, &NodeId::new("n1").unwrap(), Generation(1))
}

/// A message of one sender with a body of that many bytes.
pub fn message(id: &str, bytes: usize) -> Message {
    let from = UserId::new("a").unwrap();
    Message::new(&from, id, &"1".repeat(bytes), 0, false)
}

pub fn node(name: &str) -> NodeId {
    NodeId::new(name).unwrap()
}

pub fn holder(name: &str) -> Holder {
    Holder {
        node: node(name),
        generation: Generation(1),
    }
}

/// What `n1` knows at a moment: all members agree with it.
pub struct Moment {
    pub now: Duration,
    pub view: View,
    pub number: u64,
    pub config: StreamConfig,
    pub room: Room,
}

impl Moment {
    /// In the view of that number, of these nodes.
    pub fn of(names: &[&str], number: u64) -> Self {
        let members = names.iter().map(|name| Member {
            id: node(name),
            generation: Generation(1),
            revision: 0,
            peer: "127.0.0.1:1".into(),
            url: "ws://127.0.0.1:2".into(),
            weight: 1,
            draining: false,
            state: MemberState::Alive,
        });
        Self {
            now: Duration::from_secs(1),
            view: View::new(node("n1"), Seed(7), members.collect(), None),
            number,
            config: StreamConfig {
                replicas: 2,
                min_copies: 1,
                inboxes: LIMITS,
                rooms: LIMITS,
                shard_bytes_max: 10_000,
            },
            room: Room::Free,
        }
    }

    pub fn with<T>(&self, then: impl FnOnce(&Context<'_>) -> T) -> T {
        let mut consents = Consents::new(&self.view);
        consents.join();
        then(&Context {
            now: self.now,
            view: &self.view,
            number: self.number,
            consents: &consents,
            config: &self.config,
            room: &|_| self.room,
        })
    }

    /// Inboxes that have these holders, the owner first.
    pub fn inboxes_of(&self, holders: &[&str]) -> impl Iterator<Item = StreamKey> {
        let keys = (0..10_000).map(|n| StreamKey::Inbox(UserId::new(&format!("u{n}")).unwrap()));
        keys.filter(move |key| {
            let preferred = self.view.preference(key.as_str());
            let names = preferred.map(|member| member.id.as_str());
            names.take(holders.len()).eq(holders.iter().copied())
        })
    }
}

/// What came of something.
#[derive(Debug, Default)]
pub struct Told {
    /// What senders hear.
    pub answers: Vec<(char, Outcome, Answer)>,
    /// What other nodes are asked.
    pub asked: Vec<(NodeId, Request, About)>,
    /// Holders that are passed over.
    pub slow: Vec<NodeId>,
}

impl Told {
    /// All that waits to be done.
    pub fn by(streams: &mut Streams<char>) -> Self {
        let mut told = Self::default();
        while let Some(output) = streams.poll_output() {
            match output {
                Output::Answer {
                    to,
                    outcome,
                    answer,
                } => told.answers.push((to, outcome, answer)),
                Output::Ask { to, request, about } => told.asked.push((to, request, about)),
                Output::Slow(node) => told.slow.push(node),
                _ => {}
            }
        }
        told
    }

    /// The same, while those who are asked for copies have this to say until they are asked no more.
    pub fn when_all_say(outcome: Outcome, streams: &mut Streams<char>, moment: &Moment) -> Self {
        let mut all = Self::default();
        loop {
            let told = Self::by(streams);
            all.answers.extend(told.answers);
            all.slow.extend(told.slow);
            if told.asked.is_empty() {
                return all;
            }
            settle(streams, moment, told.asked, outcome);
        }
    }
}

/// Those who were asked for copies answer.
pub fn settle(
    streams: &mut Streams<char>,
    moment: &Moment,
    asked: Vec<(NodeId, Request, About)>,
    outcome: Outcome,
) {
    for (from, _, about) in asked {
        let About::Copy { key, number, seq } = about else {
            panic!("{from} is asked for something else: {about:?}");
        };
        moment.with(|ctx| {
            streams.copy_answered(ctx, &from, (&key, number, seq), outcome, &Answer::None);
        });
    }
}

/// Of how many copies the sender of a message hears, which may be a repeat.
pub fn accepted(to: char, copies: u8, duplicate: bool) -> (char, Outcome, Answer) {
    (to, Outcome::Done, Answer::Accepted { copies, duplicate })
}
