//! Whose word a node needs before it serves a key that another one may still be serving.
//!
//! Views come from gossip and differ for a while. A node that is first for a key in its own view
//! asks every live member, and waits until each puts it first, too: from then on that member serves
//! the key no more, and has said what it holds. So two nodes that see each other alive never both
//! serve a key.
//!
//! A member's word is its ring. It counts for the keys that this ring gives to the asker, and only
//! as long as the asker's own rings, from the one under which it asked, have given it the key, too:
//! a key that was away in between may have been written elsewhere.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::ring::{Digest, KeyHash, Ring, RingNode, Seed};
use super::stream::Holder;
use super::view::{LazyRing, MemberState, View};
use crate::id::{Generation, NodeId};

/// A member whose ring differs, or that did not answer, is asked again after this.
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A member that has not agreed after this is passed over: it is half dead, or thinks that we are.
/// Longer than a dead node takes to be noticed.
const PATIENCE: Duration = Duration::from_secs(4);
/// Own rings that are remembered for the sake of old answers.
const RINGS_MAX: usize = 16;

/// What the members of one view have agreed to.
#[derive(Debug, Clone)]
pub struct Consents {
    me: NodeId,
    /// The start and the revision of this node.
    identity: (Generation, u32),
    /// Own rings; the last is the present one.
    rings: VecDeque<Arc<LazyRing>>,
    /// The number of the first of them.
    first: u64,
    members: Vec<Asked>,
    /// The node has been told who is there, and somebody is; or it is the first of its cluster. Before
    /// that it serves nothing: what it has heard of by the way may be a few of many.
    joined: bool,
    /// Everybody agrees about everything.
    settled: bool,
}

#[derive(Debug, Clone)]
struct Asked {
    holder: Holder,
    /// Its ring, and the number of ours when it was asked for.
    word: Option<(Arc<LazyRing>, u64)>,
    /// When it is to be asked; `None` while an answer is under way, or when it agrees.
    ask_at: Option<Duration>,
    /// Since when its word is missing.
    since: Duration,
    passed_over: bool,
    /// It agreed with the last view.
    agreed: bool,
}

/// A question to a member; the number comes back with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who is asked.
    pub member: Holder,
    /// The asker's ring.
    pub digest: Digest,
    /// The number of that ring.
    pub number: u64,
    /// The start and the revision of the asker.
    identity: (Generation, u32),
}

impl Consents {
    /// Of a node that is alone.
    #[must_use]
    pub fn new(view: &View) -> Self {
        Self {
            me: view.me.clone(),
            identity: identity_of(view),
            rings: VecDeque::from([Arc::clone(&view.ring)]),
            first: 0,
            members: Vec::new(),
            joined: false,
            settled: false,
        }
    }

    fn latest(&self) -> u64 {
        self.first + self.rings.len() as u64 - 1
    }

    fn ring(&self) -> &Arc<LazyRing> {
        &self.rings[self.rings.len() - 1]
    }

    fn digest(&self) -> Digest {
        LazyLock::force(self.ring()).digest()
    }

    /// There is another view.
    pub fn on_view(&mut self, now: Duration, view: &View) {
        let changed = view.digest() != self.digest();
        let identity = identity_of(view);
        let rejoined = std::mem::replace(&mut self.identity, identity) != identity;
        if changed {
            self.rings.push_back(Arc::clone(&view.ring));
        }
        let mut before = std::mem::take(&mut self.members);
        for member in &view.members {
            if member.id == self.me || member.state == MemberState::Down {
                continue;
            }
            let known = before.iter().position(|asked| asked.holder.is(member));
            let mut asked = known.map_or_else(
                || Asked {
                    holder: Holder::from(member),
                    word: None,
                    ask_at: Some(now),
                    since: now,
                    passed_over: false,
                    agreed: true,
                },
                |index| before.swap_remove(index),
            );
            if rejoined {
                // Somebody took this node for dead, and may have been served by others since.
                asked.word = None;
            }
            if changed || rejoined {
                asked.ask_at = Some(now);
                // Who was silent already is not waited for anew.
                if asked.agreed {
                    asked.since = now;
                    asked.passed_over = false;
                }
                asked.agreed = false;
            }
            self.members.push(asked);
        }
        self.joined |= view.accepted && !self.members.is_empty();
        self.forget_rings();
        self.settle();
    }

    /// Keeps the rings that some member's word still needs.
    fn forget_rings(&mut self) {
        let latest = self.latest();
        let words = self.members.iter().filter_map(|asked| asked.word.as_ref());
        let oldest = words.map(|(_, number)| *number).min().unwrap_or(latest);
        while self.rings.len() > 1 && (self.first < oldest || self.rings.len() > RINGS_MAX) {
            self.rings.pop_front();
            self.first += 1;
        }
        let first = self.first;
        for asked in &mut self.members {
            asked.word.take_if(|(_, number)| *number < first);
        }
    }

    /// Whom to ask now.
    pub fn questions(&mut self, now: Duration) -> Vec<Question> {
        let (digest, number, identity) = (self.digest(), self.latest(), self.identity);
        let due = self.members.iter_mut();
        let due = due.filter(|asked| asked.ask_at.is_some_and(|at| at <= now));
        due.map(|asked| {
            asked.ask_at = None;
            Question {
                member: asked.holder.clone(),
                digest,
                number,
                identity,
            }
        })
        .collect()
    }

    /// A member has answered the question of that number: with its ring's nodes (`None` if its ring
    /// is the one it was asked under), and with the members that it knows. Its word counts once all
    /// of these are known here: one that is not has not been asked what it holds.
    pub fn answered(
        &mut self,
        now: Duration,
        question: &Question,
        (ring, members): (Option<Vec<RingNode>>, &[Holder]),
        view: &View,
    ) {
        let known = |holder: &Holder| {
            let member = view.member(&holder.node);
            member.is_some_and(|member| member.generation >= holder.generation)
        };
        // Asked before this node was taken for dead, it may have been answered before it, too.
        if question.identity != self.identity || !members.iter().all(known) {
            return self.failed(now, &question.member);
        }
        let seed = view.seed;
        let (latest, present) = (self.latest(), self.digest());
        let own = (question.number.checked_sub(self.first))
            .and_then(|index| self.rings.get(usize::try_from(index).ok()?))
            .cloned();
        let Some(own) = own else {
            return self.failed(now, &question.member);
        };
        let ring = ring.map_or(own, |nodes| self.ring_of(seed, nodes));
        let Some(asked) = self.asked(&question.member) else {
            return;
        };
        let agrees = question.number == latest && LazyLock::force(&ring).digest() == present;
        asked.word = Some((ring, question.number));
        asked.agreed = agrees;
        if !agrees && asked.ask_at.is_none() {
            asked.ask_at = Some(now + ASK_AGAIN);
        }
        self.forget_rings();
        self.settle();
    }

    /// The ring of these nodes. One that is known already is not built again: whoever differs is
    /// asked every now and then, and mostly says the same.
    fn ring_of(&self, seed: Seed, nodes: Vec<RingNode>) -> Arc<LazyRing> {
        let digest = Ring::digest_of(seed, nodes.iter().cloned());
        let words = self.members.iter().filter_map(|asked| asked.word.as_ref());
        let mut known = self.rings.iter().chain(words.map(|(ring, _)| ring));
        let known = known.find(|ring| LazyLock::force(ring).digest() == digest);
        known.cloned().unwrap_or_else(|| {
            let build: Box<dyn FnOnce() -> Ring + Send> =
                Box::new(move || Ring::build(seed, nodes));
            Arc::new(LazyLock::new(build))
        })
    }

    /// A question was not answered.
    pub fn failed(&mut self, now: Duration, member: &Holder) {
        if let Some(asked) = self.asked(member)
            && asked.ask_at.is_none()
        {
            asked.ask_at = Some(now + ASK_AGAIN);
        }
    }

    /// Passes over those who have taken too long; says whom.
    pub fn lose_patience(&mut self, now: Duration) -> Vec<NodeId> {
        let mut lost = Vec::new();
        for index in 0..self.members.len() {
            let asked = &self.members[index];
            if !asked.passed_over && now >= asked.since + PATIENCE && !self.agrees(asked) {
                lost.push(asked.holder.node.clone());
                self.members[index].passed_over = true;
            }
        }
        self.settle();
        lost
    }

    fn asked(&mut self, member: &Holder) -> Option<&mut Asked> {
        self.members
            .iter_mut()
            .find(|asked| asked.holder == *member)
    }

    fn agrees(&self, asked: &Asked) -> bool {
        asked.word.as_ref().is_some_and(|(ring, number)| {
            *number == self.latest() && LazyLock::force(ring).digest() == self.digest()
        })
    }

    /// The node is the first of its cluster, as far as can be known.
    pub fn join(&mut self) {
        self.joined = true;
        self.settle();
    }

    fn settle(&mut self) {
        self.settled = self.joined
            && (self.members.iter()).all(|asked| asked.passed_over || self.agrees(asked));
    }

    /// Whether the node has found its cluster, or is the first of it.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        self.joined
    }

    /// Whether every live member agrees with this node about every key.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.settled
    }

    /// Whether every live member lets this node serve that key, which is its own in its present view.
    #[must_use]
    pub fn given(&self, key: KeyHash) -> bool {
        self.settled || self.joined && self.members.iter().all(|asked| self.given_by(asked, key))
    }

    fn given_by(&self, asked: &Asked, key: KeyHash) -> bool {
        let mine = |ring: &Ring| {
            let owner = ring.owner(key);
            owner.is_some_and(|index| ring.node(index).id == self.me)
        };
        asked.passed_over
            || asked.word.as_ref().is_some_and(|(ring, number)| {
                let since = usize::try_from(number - self.first).unwrap_or(usize::MAX);
                mine(ring) && self.rings.range(since..).all(|ring| mine(ring))
            })
    }
}

fn identity_of(view: &View) -> (Generation, u32) {
    view.me()
        .map_or_else(Default::default, |me| (me.generation, me.revision))
}

#[cfg(test)]
#[path = "consent_tests.rs"]
mod tests;
