//! Becoming the owner of what others have: copies are offered, pulled, and become one.

use std::time::Duration;

use super::configuration::Holder;
use super::context::{About, Context};
use super::copy::{Copy, Held, OfferState, Offered, Role, Stream, Taking};
use super::holder::holds;
use super::log::Log;
use super::streams::Streams;
use crate::core::peer::{Offer, Pulled, Request};
use crate::id::StreamKey;

/// Copies of a shard that are on their way here at a time: each may have a mebibyte or more, and all
/// have to come within a request's time. A guess.
const PULLS_MAX: usize = 8;
/// After a take-over every node that takes from a stream has registered within this time. Twice what it
/// takes until all know of a death, about.
const COMPLETE_AFTER: Duration = Duration::from_secs(3);

impl<T> Streams<T> {
    /// A member has said what it holds of the keys that should be this node's. To be called before
    /// its consent counts.
    pub fn offered(&mut self, ctx: &Context<'_>, from: &Holder, offers: &[Offer]) {
        for offer in offers {
            self.consider(ctx, from, offer);
        }
    }

    /// A member would be rid of copies. Says of each whether it may go.
    pub fn may_they_go(&mut self, ctx: &Context<'_>, from: &Holder, offers: &[Offer]) -> Vec<bool> {
        let answer = |offer| self.consider(ctx, from, offer);
        offers.iter().map(answer).collect()
    }

    /// Says whether the copy may go; if it has something that is not here, that is fetched.
    fn consider(&mut self, ctx: &Context<'_>, from: &Holder, offer: &Offer) -> bool {
        let key = &offer.key;
        self.refresh(ctx, key);
        if !ctx.is_mine(key) {
            return false;
        }
        let stream = self.by_key.entry(key.clone()).or_insert_with(|| {
            self.attention.insert(key.clone());
            Stream::new(None, Role::Taking(Taking::default()))
        });
        match &mut stream.role {
            Role::Held(_) => false,
            Role::Taking(taking) => {
                let same = |o: &&mut Offered| o.from == *from;
                let known = taking.offers.iter_mut().find(same);
                let news = Offered {
                    from: from.clone(),
                    config: offer.config.clone(),
                    seq: offer.seq,
                    state: OfferState::Wanted,
                };
                match known {
                    None => taking.offers.push(news),
                    Some(known) if (&known.config, known.seq) < (&offer.config, offer.seq) => {
                        *known = news;
                    }
                    Some(_) => {}
                }
                false
            }
            Role::Owner(owner) => {
                let Some(copy) = &stream.copy else {
                    return false;
                };
                if !copy.log.knows(offer.tip) {
                    self.pull_to_merge(key, from);
                    return false;
                }
                let mut preferred = ctx.view.preference(key.as_str()).take(ctx.config.replicas);
                if offer.config == copy.config && preferred.any(|member| from.is(member)) {
                    // Its holder has sealed it for somebody who was first for a moment, and follows
                    // no more. Another one, which stands in for a slow one, only asks.
                    self.reconfigure(ctx, key, 0);
                    return false;
                }
                let enough = ctx.config.replicas.min(ctx.view.ring.len().max(1));
                owner.committed >= owner.opened
                    && copy.holders.len() >= enough
                    && !holds(&copy.holders, &from.node)
            }
        }
    }

    /// Fetches the copy of a node, which has something that this owner has not.
    pub(super) fn pull_to_merge(&mut self, key: &StreamKey, from: &Holder) {
        let pulls = self.pulls;
        let Some(owner) = self.owner_mut(key) else {
            return;
        };
        if owner.pulling.is_some() || pulls >= PULLS_MAX {
            // It is offered, or refused, again.
            return;
        }
        owner.pulling = Some(from.clone());
        self.ask_for_copy(key, from);
    }

    fn ask_for_copy(&mut self, key: &StreamKey, from: &Holder) {
        self.pulls += 1;
        let about = About::Pull {
            key: key.clone(),
            from: from.clone(),
        };
        self.ask(from, Request::Pull { key: key.clone() }, about);
    }

    /// A copy has arrived; `None`: it could not be had, `Some(None)`: there is none.
    pub fn pulled(
        &mut self,
        ctx: &Context<'_>,
        key: &StreamKey,
        from: &Holder,
        pulled: Option<Option<Pulled>>,
    ) {
        self.pulls -= 1;
        let answer = match pulled {
            None => Arrived::Nothing,
            Some(pulled) => match pulled.and_then(|pulled| copy_of(ctx, pulled)) {
                None => Arrived::NoCopy,
                Some(copy) => Arrived::Copy(Box::new(copy)),
            },
        };
        self.arrived(ctx, key, from, answer);
        self.pull_next(ctx);
    }

    fn arrived(&mut self, ctx: &Context<'_>, key: &StreamKey, from: &Holder, answer: Arrived) {
        self.refresh(ctx, key);
        let Some(stream) = self.by_key.get_mut(key) else {
            return;
        };
        match &mut stream.role {
            Role::Held(_) => {}
            Role::Taking(taking) => {
                if taking.arrived(from, answer) {
                    self.take_over(ctx, key);
                }
            }
            Role::Owner(owner) => {
                if owner.pulling.as_ref() == Some(from) {
                    owner.pulling = None;
                    if let Arrived::Copy(copy) = answer {
                        self.merge(ctx, key, &copy);
                    }
                }
            }
        }
    }

    /// Fetches what waits for its turn: whoever has to take over a great many streams would else need as
    /// many ticks as there are turns.
    fn pull_next(&mut self, ctx: &Context<'_>) {
        while self.pulls < PULLS_MAX
            && let Some(key) = self.to_pull.pop_front()
        {
            self.refresh(ctx, &key);
            self.take_over(ctx, &key);
        }
    }

    /// Takes another node's copy into a stream that this node owns.
    fn merge(&mut self, ctx: &Context<'_>, key: &StreamKey, other: &Copy) {
        let mut epoch = self.new_epoch_of(&[&other.log]);
        while (self.owned_mut(key)).is_some_and(|(copy, _)| copy.log.was_in(epoch)) {
            epoch = self.new_epoch_of(&[&other.log]);
        }
        let Some((copy, _)) = self.owned_mut(key) else {
            return;
        };
        if !copy.log.includes(&other.log) {
            copy.log.merge(&other.log, epoch);
            self.reconfigure(ctx, key, other.config.number);
        }
    }

    /// Becomes the owner, if everybody agrees and everything is here.
    pub(super) fn take_over(&mut self, ctx: &Context<'_>, key: &StreamKey) {
        if !ctx.may_serve(key) {
            return;
        }
        let mut wanted = Vec::new();
        let mut waits = false;
        let Some(Stream {
            copy,
            role: Role::Taking(taking),
            ..
        }) = self.by_key.get_mut(key)
        else {
            return;
        };
        for offered in &mut taking.offers {
            if offered.state != OfferState::Wanted {
                continue;
            }
            let here = (copy.iter().chain(&taking.pulled))
                .any(|copy| copy.config == offered.config && copy.seq >= offered.seq);
            if here {
                offered.state = OfferState::Here;
            } else if self.pulls + wanted.len() >= PULLS_MAX {
                waits = true;
            } else if ctx.has_room(&offered.from.node) {
                offered.state = OfferState::Pulling;
                wanted.push(offered.from.clone());
            }
        }
        let complete = (taking.offers.iter()).all(|offered| offered.state == OfferState::Here);
        if complete {
            let mut copies: Vec<Copy> = copy.take().into_iter().collect();
            copies.append(&mut taking.pulled);
            self.unite(ctx, key, copies);
        }
        for from in wanted {
            self.ask_for_copy(key, &from);
        }
        if waits {
            self.to_pull.push_back(key.clone());
        }
    }

    /// The latest of some copies goes on, with everything that only the others have behind it.
    fn unite(&mut self, ctx: &Context<'_>, key: &StreamKey, mut copies: Vec<Copy>) {
        copies.sort_by(|a, b| (&b.config, b.seq).cmp(&(&a.config, a.seq)));
        let mut copies = copies.into_iter();
        let number = copies.as_slice().first().map_or(0, |c| c.config.number);
        let number = number.max(self.numbers).saturating_add(1);
        let log = match copies.next() {
            None => Log::new(self.new_epoch()),
            Some(Copy { mut log, .. }) => {
                let tip = log.tip().epoch;
                for other in copies {
                    if !log.includes(&other.log) {
                        log.merge(&other.log, self.new_epoch_of(&[&log, &other.log]));
                    }
                }
                if log.tip().epoch == tip {
                    log.open_epoch(self.new_epoch_of(&[&log]));
                }
                log
            }
        };
        self.taken_over += 1;
        self.open(ctx, key, log, number);
        if let Some(owner) = self.owner_mut(key) {
            owner.complete_at = ctx.now + COMPLETE_AFTER;
        }
    }

    /// Another node is first again. What was pulled is still where it came from.
    pub(super) fn stop_taking(&mut self, ctx: &Context<'_>, key: &StreamKey) {
        let Some(stream) = self.by_key.get_mut(key) else {
            return;
        };
        if stream.copy.is_none() {
            self.by_key.swap_remove(key);
            return;
        }
        stream.role = Role::Held(Held::default());
        if self.is_left_over(ctx, key) {
            self.attention.insert(key.clone());
        }
    }
}

/// What came of fetching a copy.
enum Arrived {
    /// No answer: it is to be fetched again.
    Nothing,
    /// It had one, and was told that it may go: to another owner's.
    NoCopy,
    Copy(Box<Copy>),
}

impl Taking {
    /// Takes what came from a node; says whether that is all from there.
    fn arrived(&mut self, from: &Holder, answer: Arrived) -> bool {
        let Some(index) = self.offers.iter().position(|o| o.from == *from) else {
            return false;
        };
        match answer {
            Arrived::Nothing => {
                self.offers[index].state = OfferState::Wanted;
                false
            }
            Arrived::NoCopy => {
                self.offers.swap_remove(index);
                true
            }
            Arrived::Copy(copy) => {
                self.offers[index].state = OfferState::Here;
                self.pulled.push(*copy);
                true
            }
        }
    }
}

fn copy_of(ctx: &Context<'_>, pulled: Pulled) -> Option<Copy> {
    Some(Copy {
        config: pulled.config,
        holders: Vec::new(),
        seq: pulled.seq,
        log: Log::from_snapshot(ctx.now, pulled.snapshot)?,
        sealed: true,
    })
}
