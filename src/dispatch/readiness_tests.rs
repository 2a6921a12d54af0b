//! When a node is ready whose peer is slow.

use std::collections::VecDeque;

use super::counting_tests::{link, message};
use super::tests::{Hand, doubtful, session, user_of};
use super::*;
use crate::core::peer::{Answer, Offer, Pulled, Reply as Said};
use crate::core::stream::{ConfigId, Epoch, Holder, Log, Message, Part};

const STEP: Duration = Duration::from_millis(10);
/// What the other node takes for an answer.
const ANSWER_AFTER: Duration = Duration::from_millis(300);

/// A node that finds another one, which holds one of its streams and answers slowly, and whose users
/// get their first messages all the time.
struct Node {
    dispatch: Dispatch,
    clock: Arc<Hand>,
    link: Arc<PeerLink>,
    sender: Arc<Session>,
    /// Answers of the other node that are on their way.
    answers: VecDeque<(u64, Said)>,
    is_silent: bool,
    steps: u64,
    /// Users without a message, this node's.
    users: VecDeque<UserId>,
    /// The stream that the other node holds.
    held: Offer,
    log: Log,
}

impl Node {
    fn new() -> Self {
        let (dispatch, clock) = doubtful();
        let link = link(&dispatch);
        dispatch.link_connected(&link);
        let sender = session(&dispatch, &user_of(&dispatch));
        let users = (100..2000).map(|n| UserId::new(&format!("u{n}")).unwrap());
        let mut users: VecDeque<_> = users
            .filter(|user| dispatch.topology().is_mine(user.as_str()))
            .collect();
        let owner = Holder {
            node: link.node().clone(),
            generation: Generation(1),
        };
        let mut log = Log::new(Epoch::opened(1, &owner.node, owner.generation));
        let old = Message::new(sender.user(), "old", "1", 0, false);
        log.append(Duration::ZERO, old, &dispatch.config.streams.inboxes)
            .unwrap();
        let held = Offer {
            key: StreamKey::Inbox(users.pop_front().unwrap()),
            config: ConfigId { number: 1, owner },
            seq: 2,
            tip: log.tip(),
        };
        Self {
            dispatch,
            clock,
            link,
            sender,
            answers: VecDeque::new(),
            is_silent: false,
            steps: 0,
            users,
            held,
            log,
        }
    }

    fn answer(&self, request: &Request) -> Answer {
        match request {
            Request::Consent { .. } => Answer::Consented {
                ring: None,
                members: Vec::new(),
                offers: vec![self.held.clone()],
                under_replicated: 0,
            },
            Request::Pull { .. } => Answer::Pulled(Some(Box::new(Pulled {
                config: self.held.config.clone(),
                seq: self.held.seq,
                snapshot: self.log.snapshot(Duration::ZERO),
            }))),
            _ => Answer::None,
        }
    }

    /// Time goes on: 50 new users a second get a message, and the node does what is due.
    fn run(&mut self, time: Duration) {
        let steps = u64::try_from(time.as_millis() / STEP.as_millis()).unwrap();
        let takes = u64::try_from(ANSWER_AFTER.as_millis() / STEP.as_millis()).unwrap();
        for _ in 0..steps {
            self.steps += 1;
            *locked(&self.clock.1) += STEP;
            if self.steps.is_multiple_of(2) {
                let to = Recipient::Stream(StreamKey::Inbox(self.users.pop_front().unwrap()));
                let id = format!("m{}", self.steps);
                let send = message(&id, to, Qos::AtLeastOnce);
                self.dispatch.send(&self.sender, &send);
            }
            if self.steps.is_multiple_of(5) {
                self.dispatch.tick();
            }
            for (seq, request) in self.link.take_batch(100, 1 << 20) {
                let said = Said {
                    seq,
                    outcome: Outcome::Done,
                    answer: self.answer(&request),
                };
                if !self.is_silent {
                    self.answers.push_back((self.steps + takes, said));
                }
            }
            while (self.answers.front()).is_some_and(|(due, _)| *due <= self.steps)
                && let Some((_, said)) = self.answers.pop_front()
            {
                self.dispatch.link_reply(&self.link, said);
            }
        }
    }

    fn count(&self, part: Part) -> usize {
        let reports = self.dispatch.reports();
        reports.iter().filter(|report| report.part == part).count()
    }
}

#[test]
fn new_streams_whose_holder_is_slow_keep_no_node_from_being_ready() {
    let mut node = Node::new();
    node.run(Duration::from_millis(500));
    assert_eq!(node.count(Part::Taking), 1);
    let why = node.dispatch.why_not_ready();
    assert_eq!(why, Some("streams are being taken over"));
    // The consent, the stream, and its copy again: three answers.
    node.run(Duration::from_millis(600));
    assert_eq!(node.count(Part::Taking), 0);
    assert_eq!(node.dispatch.why_not_ready(), None);
    for _ in 0..100 {
        node.run(Duration::from_millis(20));
        assert_eq!(node.dispatch.under_replicated(), 0);
        assert!(node.count(Part::Opening) >= 10);
    }
    assert!(node.count(Part::Owner) > 50);
}

#[test]
fn new_streams_whose_holder_falls_silent_count_before_it_is_passed_over() {
    let mut node = Node::new();
    node.run(Duration::from_secs(2));
    assert_eq!(node.dispatch.under_replicated(), 0);
    node.is_silent = true;
    node.run(Duration::from_millis(1500));
    assert!(node.dispatch.under_replicated() > 10);
}
