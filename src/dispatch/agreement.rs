//! Asking the other members for their consent, and giving it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Dispatch, Origin, Topology, locked};
use crate::core::consent::{Consents, Question};
use crate::core::peer::{Answer, Offer, Outcome, Request};
use crate::core::ring::Digest;
use crate::core::stream::Holder;
use crate::core::view::{MemberState, View};
use crate::id::NodeId;

/// How often a node says how many of its streams wait for a copy, though that has not changed.
const REPORT_EVERY: Duration = Duration::from_secs(2);
/// After this a question counts as not answered.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

impl Dispatch {
    /// The node is the first of its cluster, as far as can be known: from now on it serves. One to
    /// which another has told all that it knows joins by that.
    pub fn join(&self) {
        self.change_consents(|consents, _| consents.join());
        self.advance();
    }

    /// Whether this node serves: it has joined, and everybody agrees about every key.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.topology.load().consents.is_settled()
    }

    /// Whether the node has joined.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        self.topology.load().consents.has_joined()
    }

    /// Why the node is not ready for clients; `None` when it is. Once it has taken over what its ring
    /// gave it, it stays ready until it drains: what others go through is no reason to avoid it.
    #[must_use]
    pub fn why_not_ready(&self) -> Option<&'static str> {
        if self.is_draining() {
            Some("draining")
        } else if !self.has_joined() {
            Some("no other node has answered yet")
        } else if self.taken_over.load(Ordering::Relaxed) {
            None
        } else if !self.has_company() {
            Some("fewer members are there than --min-members")
        } else {
            Some("streams are being taken over")
        }
    }

    /// Whether as many members are alive as are needed to become ready.
    fn has_company(&self) -> bool {
        let topology = self.topology.load();
        let members = topology.view.members.iter();
        let alive = members.filter(|member| member.state == MemberState::Alive);
        alive.count() >= self.config.min_members
    }

    fn change_consents(&self, change: impl FnOnce(&mut Consents, &View)) {
        let mut consents = locked(&self.consents);
        let old = self.topology.load_full();
        change(&mut consents, &old.view);
        let new = old.with_consents(Arc::new(consents.clone()));
        self.topology.store(Arc::new(new));
    }

    /// Streams that may be served now are taken over, and what waits for that goes on.
    fn advance(&self) {
        self.with_each_shard(|shard, ctx, topology| {
            shard.streams.advance(ctx);
            self.retry_sessions(shard, ctx, topology);
            self.retry_lanes(shard, ctx, topology, true);
        });
    }

    /// Asks those whose consent is missing, and passes over those who have taken too long.
    pub(super) fn ask_for_consent(&self) {
        let now = self.since_start();
        let (questions, lost) = {
            let mut consents = locked(&self.consents);
            (consents.questions(now), consents.lose_patience(now))
        };
        let topology = self.topology.load();
        let generation = self.generation();
        for question in questions {
            let request = Request::Consent {
                generation,
                digest: question.digest,
            };
            let link = topology.link(&question.member.node);
            let deadline = self.clock.now() + ANSWER_TIMEOUT;
            let member = question.member.clone();
            let asked = link.filter(|link| link.is_connected()).is_some_and(|link| {
                link.push(request, Some(Origin::Consent(question)), deadline)
                    .is_ok()
            });
            if !asked {
                locked(&self.consents).failed(now, &member);
            }
        }
        drop(topology);
        if !lost.is_empty() {
            for peer in &lost {
                self.counters.members_passed_over.add();
                tracing::warn!(node = %self.me, %peer,
                    "a member that counts as alive does not agree about the ring and is passed over");
            }
            self.change_consents(|_, _| {});
            self.advance();
        }
    }

    /// A peer wants to serve what its ring gives it.
    pub(super) fn give_consent(&self, asker: &Holder, digest: Digest) -> (Outcome, Answer) {
        let topology = self.topology.load_full();
        let known = topology.view.member(&asker.node);
        if !topology.consents.has_joined() || known.is_none_or(|member| !asker.is(member)) {
            return (Outcome::Busy, Answer::None);
        }
        let mut offers = Vec::new();
        let mut steady = true;
        self.with_each_shard(|shard, ctx, now| {
            // A shard that has not seen the view of which the answer speaks might go on serving.
            steady &= Arc::ptr_eq(&now.view, &topology.view);
            offers.append(&mut shard.streams.consent(ctx, asker));
        });
        if !steady {
            return (Outcome::Busy, Answer::None);
        }
        let view = &topology.view;
        let same = view.digest() == digest;
        let live = view.members.iter().filter(|m| m.state != MemberState::Down);
        let answer = Answer::Consented {
            ring: (!same).then(|| view.ring.nodes().to_vec()),
            members: live.map(Holder::from).collect(),
            offers,
            under_replicated: self.under_replicated(),
        };
        (Outcome::Done, answer)
    }

    /// A member has answered.
    pub(super) fn consent_answered(&self, question: &Question, outcome: Outcome, answer: Answer) {
        let now = self.since_start();
        let (
            Outcome::Done,
            Answer::Consented {
                ring,
                members,
                offers,
                under_replicated,
            },
        ) = (outcome, answer)
        else {
            return locked(&self.consents).failed(now, &question.member);
        };
        // What it holds has to be known before its consent counts.
        self.take_offers(&question.member, offers);
        self.set_waiting(&question.member.node, under_replicated);
        self.change_consents(|consents, view| {
            consents.answered(now, question, (ring, &members), view);
        });
        self.advance();
    }

    fn take_offers(&self, from: &Holder, offers: Vec<Offer>) {
        for offer in offers {
            self.with_shard(&offer.key, |shard, ctx, _| {
                shard
                    .streams
                    .offered(ctx, from, std::slice::from_ref(&offer));
            });
        }
    }

    // ---- streams that wait for a copy ----------------------------------------------------------

    /// Streams of this node that have fewer copies than they should or are being taken over; while
    /// not everybody agrees about the ring, one more.
    #[must_use]
    pub fn under_replicated(&self) -> u64 {
        self.streams_waiting() + u64::from(!self.is_settled())
    }

    fn streams_waiting(&self) -> u64 {
        let now = self.since_start();
        let shards = self.shards.iter();
        let streams = shards.map(|shard| locked(shard).streams.under_replicated(now));
        streams.sum::<usize>() as u64
    }

    /// As [`Self::under_replicated`], of any member, as it was last heard.
    #[must_use]
    pub fn under_replicated_at(&self, node: &NodeId) -> u64 {
        if *node == self.me {
            return self.under_replicated();
        }
        if self.topology.load().link(node).is_none() {
            // It is down, and its streams are others' by now.
            return 0;
        }
        locked(&self.waiting).get(node).copied().unwrap_or(0)
    }

    /// Another ring: every other node counts as one that waits, until it has said otherwise.
    pub(super) fn expect_reports(&self, old: &Topology, new: &Topology) {
        let mut waiting = locked(&self.waiting);
        waiting.retain(|node, _| new.link(node).is_some());
        if old.view.digest() != new.view.digest() {
            for link in new.links() {
                let streams = waiting.entry(link.node().clone()).or_default();
                *streams = (*streams).max(1);
            }
        }
    }

    pub(super) fn set_waiting(&self, node: &NodeId, streams: u64) {
        locked(&self.waiting).insert(node.clone(), streams);
    }

    /// Tells the others how many streams of this node wait for a copy, when that has changed, and
    /// every now and then: what was told may be lost, or overtaken by an older answer.
    pub(super) fn report_waiting(&self, topology: &Topology) {
        let is_settled = self.is_settled();
        let waiting = self.streams_waiting();
        self.note_waiting(waiting, is_settled);
        let streams = waiting + u64::from(!is_settled);
        if streams == 0 && self.has_company() {
            self.taken_over.store(true, Ordering::Relaxed);
        }
        let now = self.clock.now();
        {
            let mut reported = locked(&self.reported);
            if reported.is_some_and(|(said, at)| said == streams && now < at + REPORT_EVERY) {
                return;
            }
            *reported = Some((streams, now));
        }
        for link in topology.links().filter(|link| link.is_connected()) {
            let _ = link.push(Request::UnderReplicated(streams), None, self.deadline());
        }
    }

    /// Copies of streams on this node, those of them that it owns, and bytes of messages in all.
    #[must_use]
    pub fn stream_counts(&self) -> (usize, usize, usize) {
        self.shards.iter().fold((0, 0, 0), |sum, shard| {
            let streams = &locked(shard).streams;
            let (copies, owned) = streams.counts();
            (sum.0 + copies, sum.1 + owned, sum.2 + streams.bytes())
        })
    }

    /// Copies that this node holds, empty ones left out.
    #[must_use]
    pub fn holds(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| locked(shard).streams.held())
            .sum()
    }
}
