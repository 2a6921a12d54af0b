//! Who is a member: SWIM with suspicion, carried by whoever drives this state machine.
//!
//! foca is the failure detector (A. Das et al., "SWIM", DSN 2002). Around it stands what a cluster
//! needs besides:
//!
//! - **Exchange**, which is join, anti-entropy and the healing of partitions in one: a node sends
//!   another what it knows, and gets back what that one knows. SWIM tells news a bounded number of
//!   times; whoever missed it learns it from the next exchange.
//! - **Generations**: a node that restarts is a new member that replaces the old one at once.
//! - **Views**: every change of what is known becomes an immutable [`View`] with its ring.
//! - **Beliefs**: what cannot be, or must not be, of what others tell of members foca never hears.
//! - **Late timers**: a process that was stopped finds all its timers due and its packets unread. It
//!   must not suspect anybody before it has read them, so its timers are put off by what it missed.
//!
//! *Invariant:* it never reads a clock. Time is a [`Duration`] since the node's start, and never runs
//! backwards.

mod belief;
mod identity;
mod runtime;
mod settings;
mod targets;
#[cfg(test)]
mod tests;
mod trust;
mod watch;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foca::{Foca, NoCustomBroadcast, State, Timer};
use rand::SeedableRng;
use rand::rngs::StdRng;
use xxhash_rust::xxh3::Xxh3;

pub use self::belief::{Beliefs, Doubt, Doubted, is_in};
use self::identity::member_of;
pub use self::identity::{Identity, IdentityParts};
use self::runtime::Effects;
use self::settings::foca_config;
pub use self::targets::Target;
use self::targets::Targets;
use self::watch::{Own, Watched};

use super::ring::Seed;
use super::view::{Member, View};
use crate::config::GossipConfig;
use crate::id::{Generation, NodeId};

/// What one node knows of another, as foca keeps it.
pub type Record = foca::Member<Identity>;

/// Timers this late mean that this node did not run, or is so busy that answers have to wait as long as its timers:
/// what it suspects of others then takes as much longer. Under a probe's time-out, over what a busy machine's
/// scheduler does.
const LATE: Duration = Duration::from_millis(100);

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// A gossip packet came in.
    Packet(Bytes),
    /// A peer answered an exchange.
    ExchangeAnswered {
        /// Whom it was sent to.
        target: Target,
        /// The answer.
        answer: ExchangeReply,
    },
    /// Leave the ring, and stay a member.
    SetDraining,
    /// Leave the cluster. Nothing is taken in after this.
    Leave,
}

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send a gossip packet, and never mind whether it arrives.
    Send {
        /// `host:port`.
        to: Arc<str>,
        /// The packet.
        packet: Bytes,
    },
    /// Compare with another node; feed its answer back.
    Exchange {
        /// Whom to ask.
        target: Target,
        /// Our side.
        exchange: Exchange,
    },
    /// There is a new view.
    ViewChanged(Arc<View>),
    /// Another process runs under our id and was started later: this one has to end.
    Replaced {
        /// Its generation.
        by: Generation,
    },
}

/// One node's side of an exchange.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Who asks: it counts as alive.
    pub from: Record,
    /// Fingerprint of all it knows.
    pub digest: u64,
    /// All it knows; empty when it only compares.
    pub members: Vec<Record>,
}

/// The other node's side.
#[derive(Debug, Clone)]
pub struct ExchangeReply {
    /// Who answers: it counts as alive.
    pub from: Record,
    /// Fingerprint of all it knows.
    pub digest: u64,
    /// All it knows; empty when the fingerprints were equal.
    pub members: Vec<Record>,
}

/// What is made of a rumour that another process has our name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rivals {
    AreBelieved,
    /// They are asked, and have to say so themselves.
    ProveIt,
}

/// The membership of one node.
pub struct Membership<C: foca::Codec<Identity>> {
    foca: Foca<Identity, Watched<C>, StdRng, NoCustomBroadcast>,
    own: Own,
    effects: Effects,
    targets: Targets,
    seed: Seed,
    view: Arc<View>,
    /// What the view was made of.
    viewed: Vec<Record>,
    rivals: Rivals,
    ask_rival_at: Duration,
    /// Some other node has told us all that it knows.
    accepted: bool,
    draining: bool,
    /// It has left, or another has taken its place: it takes nothing in, and says nothing.
    left: bool,
}

impl<C> Membership<C>
where
    C: foca::Codec<Identity>,
    C::Error: std::error::Error,
{
    /// The membership of a node that knows nobody yet. `seeds` is how many seeds there are;
    /// `random` is the seed of all its choices.
    #[must_use]
    pub fn new(
        identity: Identity,
        cluster: &str,
        seeds: usize,
        config: GossipConfig,
        codec: C,
        random: u64,
    ) -> Self {
        let seed = Seed::of_cluster(cluster);
        let me = identity.id.clone();
        let members = vec![member_of(&Record::alive(identity.clone()))];
        let view = Arc::new(View::new(me, seed, members, None));
        let rng = StdRng::seed_from_u64(random);
        let own = Own::new(identity.clone());
        let codec = Watched {
            codec,
            own: own.clone(),
        };
        Self {
            foca: Foca::new(identity, foca_config(config), rng, codec),
            own,
            effects: Effects::default(),
            targets: Targets::new(seeds, config.exchange_interval, random),
            seed,
            view,
            viewed: Vec::new(),
            rivals: Rivals::AreBelieved,
            ask_rival_at: Duration::ZERO,
            accepted: false,
            draining: false,
            left: false,
        }
    }

    /// The view as it is now.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        Arc::clone(&self.view)
    }

    /// This node as it is now.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.foca.identity()
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.effects.poll()
    }

    /// When [`Self::on_timeout`] wants to be called; `None` once the node has left.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        if self.left {
            return None;
        }
        let timer = self.effects.next_deadline();
        let exchange = self.targets.next_deadline();
        Some(timer.map_or(exchange, |timer| timer.min(exchange)))
    }

    /// Takes in what happened.
    pub fn handle(&mut self, now: Duration, input: Input) {
        if self.left {
            return;
        }
        self.effects.set_now(now);
        match input {
            Input::Packet(packet) => {
                // A packet that is not understood, or not for us, changes nothing.
                let taken = self.foca.handle_data(&packet, &mut self.effects);
                if let Err(foca::Error::Decode(_)) = taken {
                    self.own.could_not_read();
                }
            }
            Input::ExchangeAnswered { target, answer } => self.answered(&target, answer),
            Input::SetDraining => self.set_draining(),
            Input::Leave => self.leave(),
        }
        self.settle();
    }

    /// Time has passed.
    pub fn on_timeout(&mut self, now: Duration) {
        if self.left {
            return;
        }
        self.effects.set_now(now);
        self.effects.put_off_late_timers(LATE);
        while let Some(timer) = self.effects.due_timer() {
            self.fire(timer);
        }
        self.exchange_if_due(now);
        self.settle();
    }

    /// After anything that happened.
    fn settle(&mut self) {
        if !self.left {
            self.face_rival();
        }
        if self.own.is_now(self.foca.identity()) && !self.left {
            // Foca waits for a sign of life after it has changed its identity, and probes nobody
            // until then; but we know the others.
            let _ = self
                .foca
                .apply_many(std::iter::empty(), false, &mut self.effects);
        }
        self.update_view();
    }

    fn fire(&mut self, timer: Timer<Identity>) {
        let suspect = match &timer {
            Timer::ChangeSuspectToDown { member_id, .. } => Some(member_id.clone()),
            Timer::ProbeRandomMember(_)
            | Timer::SendIndirectProbe { .. }
            | Timer::PeriodicAnnounce(_)
            | Timer::PeriodicAnnounceDown(_)
            | Timer::PeriodicGossip(_)
            | Timer::RemoveDown(_) => None,
        };
        let queued = self.effects.queued();
        // foca recovers from each of its errors by itself, and says so in its documentation.
        let _ = self.foca.handle_timer(timer, &mut self.effects);
        // foca 2.0 tells a suspect that it is down even if it has denied it in time, which makes a
        // healthy member rejoin.
        if let Some(suspect) = suspect
            && !self.is_down(&suspect)
        {
            self.effects.unsend(queued, &suspect.peer);
        }
    }

    fn is_down(&self, identity: &Identity) -> bool {
        let mut all = self.foca.iter_membership_state();
        all.any(|record| record.id() == identity && record.state() == State::Down)
    }

    // ---- exchange ------------------------------------------------------------------------------

    /// A peer wants to compare. Returns our side.
    pub fn exchange_asked(&mut self, now: Duration, asked: Exchange) -> ExchangeReply {
        if !self.left && self.own.believes(asked.from.id()) {
            self.effects.set_now(now);
            self.take_in(asked.from, asked.members);
            self.settle();
        }
        let digest = self.digest();
        let same = digest == asked.digest;
        ExchangeReply {
            from: self.own_record(),
            digest,
            members: if same { Vec::new() } else { self.records() },
        }
    }

    fn answered(&mut self, target: &Target, answer: ExchangeReply) {
        let from = answer.from.id().clone();
        if from == *self.foca.identity() {
            // One of the seeds is this node itself.
            return;
        }
        if !self.own.believes(&from) {
            return;
        }
        self.take_in(answer.from, answer.members);
        self.face_rival();
        if self.left || from.id == self.foca.identity().id {
            return;
        }
        self.accepted = true;
        // The other one lacks something: tell it, once.
        let pushed = matches!(target, Target::Push(_));
        if self.digest() != answer.digest && !pushed {
            let target = Target::Push(Arc::clone(&from.peer));
            self.ask(target, true);
        }
    }

    fn exchange_if_due(&mut self, now: Duration) {
        let members: Vec<&Record> = self.foca.iter_membership_state().collect();
        let alone = self.foca.num_members() == 0;
        for target in self.targets.due(now, alone, &members) {
            self.ask(target, alone);
        }
    }

    fn ask(&mut self, target: Target, tell_all: bool) {
        let exchange = Exchange {
            from: self.own_record(),
            digest: self.digest(),
            members: if tell_all { self.records() } else { Vec::new() },
        };
        self.effects.push(Output::Exchange { target, exchange });
    }

    fn take_in(&mut self, from: Record, members: Vec<Record>) {
        let known: BTreeSet<NodeId> = self.known_ids().collect();
        let is_news = |record: &Record| {
            // Each node forgets the dead in its own time, and must not be reminded by one that has
            // not yet: they would never be forgotten. Only a newcomer is told of them.
            record.state() != State::Down || !self.accepted || known.contains(&record.id().id)
        };
        let others = members
            .into_iter()
            .filter(|record| is_news(record) && self.own.admits(record, false));
        let mut records: Vec<Record> = others.collect();
        let author = Some(from).filter(|from| is_news(from) && self.own.admits(from, true));
        records.extend(author);
        // Applying can only fail to encode, which the packet size rules out.
        let _ = self
            .foca
            .apply_many(records.into_iter(), true, &mut self.effects);
    }

    /// The names of all nodes it has heard of, its own included.
    fn known_ids(&self) -> impl Iterator<Item = NodeId> {
        let others = self.foca.iter_membership_state().map(Record::id);
        let all = others.chain([self.foca.identity()]);
        all.map(|identity| identity.id.clone())
    }

    // ---- our own state -------------------------------------------------------------------------

    fn set_draining(&mut self) {
        if !self.draining {
            self.draining = true;
            let own = self.foca.identity().clone();
            self.change_identity(&own.revised(|parts| parts.draining = true));
            self.gossip_to_all();
        }
    }

    fn change_identity(&mut self, identity: &Identity) {
        // The new identity always differs, by its revision.
        let _ = self
            .foca
            .change_identity(identity.clone(), &mut self.effects);
    }

    fn leave(&mut self) {
        // From now on nobody is told anything else.
        let _ = self.foca.leave_cluster(&mut self.effects);
        self.left = true;
        // Foca tells a few; in a small cluster everybody hears it first hand.
        let own = self.own_record();
        for target in self.targets.farewells(self.foca.iter_members()) {
            let exchange = Exchange {
                from: own.clone(),
                digest: 0,
                members: vec![own.clone()],
            };
            self.effects.push(Output::Exchange { target, exchange });
        }
    }

    /// Tells everybody what is new, rather than the few that foca would pick.
    fn gossip_to_all(&mut self) {
        for target in self.targets.farewells(self.foca.iter_members()) {
            let exchange = Exchange {
                from: self.own_record(),
                digest: 0,
                members: Vec::new(),
            };
            self.effects.push(Output::Exchange { target, exchange });
        }
    }

    fn own_record(&self) -> Record {
        let state = if self.left { State::Down } else { State::Alive };
        let identity = self.foca.identity().clone();
        Record::new(identity, self.own.incarnation(), state)
    }

    /// All this node knows, itself included.
    fn records(&self) -> Vec<Record> {
        let known = self.foca.iter_membership_state().cloned();
        known.chain([self.own_record()]).collect()
    }

    /// Fingerprint of all live members, this node included. Suspicion does not count: it comes and
    /// goes faster than anybody compares. Nor do those that are down: every node forgets them in
    /// its own time.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let live = self.foca.iter_members().map(Record::id);
        let mut all: Vec<&Identity> = live.chain([self.foca.identity()]).collect();
        all.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let mut hash = Xxh3::new();
        for identity in all {
            hash.update(identity.id.as_str().as_bytes());
            // No id has a zero byte, so that nothing can run into what follows it.
            hash.update(&[0]);
            hash.update(identity.peer.as_bytes());
            hash.update(&[0]);
            hash.update(&identity.generation.0.to_le_bytes());
            hash.update(&identity.revision.to_le_bytes());
        }
        hash.digest()
    }

    // ---- views ---------------------------------------------------------------------------------

    fn update_view(&mut self) {
        let own = self.own_record();
        // Most packets bring nothing new, and to see that costs one comparison of pointers a member.
        let known = self.foca.iter_membership_state();
        let accepted = self.accepted;
        if accepted == self.view.accepted && [&own].into_iter().chain(known).eq(&self.viewed) {
            return;
        }
        self.viewed = [own]
            .into_iter()
            .chain(self.foca.iter_membership_state().cloned())
            .collect();
        let members = self.viewed.iter().map(member_of);
        let mut members: Vec<Member> = members.collect();
        members.sort_by(|a, b| a.id.cmp(&b.id));
        if accepted != self.view.accepted || members != self.view.members {
            let me = self.foca.identity().id.clone();
            let mut view = View::new(me, self.seed, members, Some(&self.view));
            view.accepted = accepted;
            self.view = Arc::new(view);
            self.effects.push(Output::ViewChanged(self.view()));
        }
    }
}
