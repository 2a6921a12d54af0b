//! What a holder does: it follows an owner, says what it has to whoever is first now, and keeps its
//! copy until it is told that all of it is elsewhere.

use std::time::Duration;

use super::configuration::{ConfigId, Holder};
use super::context::{About, Context};
use super::copy::{Copy, Held, Role, Stream};
use super::log::Log;
use super::streams::Streams;
use crate::core::peer::{Answer, Install, Offer, Operation, Outcome, Pulled, Request};
use crate::id::{NodeId, StreamKey};

/// A left-over copy is offered again after this.
const OFFER_AGAIN: Duration = Duration::from_millis(500);
/// Copies in one offer.
const OFFERS_MAX: usize = 256;

impl<T> Streams<T> {
    /// An owner opens a configuration here.
    pub fn install(
        &mut self,
        ctx: &Context<'_>,
        from: &Holder,
        install: Install,
    ) -> (Outcome, Answer) {
        let Install {
            key,
            number,
            holders,
            seq,
            snapshot,
        } = install;
        self.refresh(ctx, &key);
        if ctx.first(&key).is_none_or(|first| !from.is(first)) {
            return (Outcome::NotOwner, Answer::None);
        }
        let config = ConfigId {
            number,
            owner: from.clone(),
        };
        let Some(log) = Log::from_snapshot(ctx.now, snapshot) else {
            return (Outcome::Unreachable, Answer::None);
        };
        if let Some(copy) = self.by_key.get(&key).and_then(|s| s.copy.as_ref()) {
            if config < copy.config || (config == copy.config && copy.sealed) {
                return (Outcome::Outdated, Answer::Number(copy.config.number));
            }
            if config == copy.config && seq <= copy.seq {
                return (Outcome::Done, Answer::None);
            }
            if !copy.log.is_empty() && !log.includes(&copy.log) {
                return (Outcome::Diverged, Answer::None);
            }
        }
        let copy = Copy {
            config,
            holders,
            seq,
            log,
            sealed: false,
        };
        let role = Role::Held(Held {
            offer_at: ctx.now + OFFER_AGAIN,
            touched: ctx.now,
        });
        self.by_key
            .insert(key.clone(), Stream::new(Some(copy), role));
        if self.is_left_over(ctx, &key) {
            self.attention.insert(key);
        }
        (Outcome::Done, Answer::None)
    }

    /// An owner has done something: the operations from `seq` on.
    pub fn replicate(
        &mut self,
        ctx: &Context<'_>,
        from: &Holder,
        (key, number, seq): (&StreamKey, u64, u64),
        operations: Vec<Operation>,
    ) -> Outcome {
        self.refresh(ctx, key);
        let Some(Stream {
            copy: Some(copy),
            role: Role::Held(held),
            ..
        }) = self.by_key.get_mut(key)
        else {
            return Outcome::NotOwner;
        };
        let same = copy.config.number == number && copy.config.owner == *from;
        if !same || copy.sealed || seq > copy.seq.saturating_add(1) {
            return Outcome::NotOwner;
        }
        held.touched = ctx.now;
        for (place, operation) in (0..).zip(operations) {
            let Some(seq) = seq.checked_add(place) else {
                return Outcome::NotOwner;
            };
            if seq <= copy.seq {
                continue;
            }
            match operation {
                Operation::Append(entry) => {
                    if !copy.log.copy(entry.into_entry(ctx.now)) {
                        return Outcome::NotOwner;
                    }
                }
                Operation::Ack(position) => {
                    copy.log.ack(position, ctx.config.limits(key));
                }
            }
            copy.seq = seq;
        }
        Outcome::Done
    }

    /// A node that is first for some keys wants to serve them: what is here of them is sealed and
    /// offered.
    pub fn consent(&mut self, ctx: &Context<'_>, asker: &Holder) -> Vec<Offer> {
        let keys: Vec<StreamKey> = self.by_key.keys().cloned().collect();
        let mut offers = Vec::new();
        for key in keys {
            if ctx.first(&key).is_none_or(|first| !asker.is(first)) {
                continue;
            }
            self.refresh(ctx, &key);
            let stream = self.by_key.get_mut(&key);
            if let Some(copy) = stream.and_then(|stream| stream.copy.as_mut())
                && (copy.config.owner != *asker || copy.sealed)
            {
                copy.sealed = true;
                offers.push(offer(&key, copy));
                self.attention.insert(key);
            }
        }
        offers
    }

    /// The copy that is here, which goes on elsewhere.
    pub fn pull(&mut self, now: Duration, key: &StreamKey) -> Option<Pulled> {
        let stream = self.by_key.get_mut(key)?;
        let copy = stream.copy.as_mut()?;
        if matches!(stream.role, Role::Held(_)) {
            copy.sealed = true;
            self.attention.insert(key.clone());
        }
        Some(Pulled {
            config: copy.config.clone(),
            seq: copy.seq,
            snapshot: copy.log.snapshot(now),
        })
    }

    /// Whether a copy is held for nobody: its owner is not the one that should be, or others should
    /// hold it.
    pub(super) fn is_left_over(&self, ctx: &Context<'_>, key: &StreamKey) -> bool {
        let Some(Stream {
            copy: Some(copy),
            role: Role::Held(_),
            ..
        }) = self.by_key.get(key)
        else {
            return false;
        };
        let mut preferred = ctx.view.preference(key.as_str()).take(ctx.config.replicas);
        let Some(first) = preferred.next() else {
            return false;
        };
        let owned = copy.config.owner.is(first) && !copy.sealed;
        !(owned && preferred.any(|member| member.id == self.me.node))
    }

    /// Offers copies that are held for nobody to those who should own them.
    pub(super) fn offer_left_overs(&mut self, ctx: &Context<'_>, keys: &[StreamKey]) {
        let mut batches: Vec<(Holder, Vec<Offer>)> = Vec::new();
        for key in keys {
            if !self.is_left_over(ctx, key) {
                continue;
            }
            let Some(first) = ctx.first(key).map(Holder::from) else {
                continue;
            };
            let Some(Stream {
                copy: Some(copy),
                role: Role::Held(held),
                ..
            }) = self.by_key.get_mut(key)
            else {
                continue;
            };
            if copy.log.is_empty() {
                self.by_key.swap_remove(key);
                continue;
            }
            if held.offer_at > ctx.now || !ctx.has_room(&first.node) {
                continue;
            }
            held.offer_at = ctx.now + OFFER_AGAIN;
            copy.sealed |= copy.config.owner != first;
            let offer = offer(key, copy);
            match batches
                .iter_mut()
                .find(|(to, offers)| *to == first && offers.len() < OFFERS_MAX)
            {
                Some((_, offers)) => offers.push(offer),
                None => batches.push((first, vec![offer])),
            }
        }
        for (to, offers) in batches {
            let about = offers
                .iter()
                .map(|offer| (offer.key.clone(), offer.config.clone(), offer.seq))
                .collect();
            self.ask(&to, Request::Offer(offers), About::Offer(about));
        }
    }

    /// The owner has said which copies may go. Those that have changed since stay.
    pub fn may_go(
        &mut self,
        ctx: &Context<'_>,
        offered: &[(StreamKey, ConfigId, u64)],
        go: &[bool],
    ) {
        for ((key, config, seq), _) in offered.iter().zip(go).filter(|(_, go)| **go) {
            self.refresh(ctx, key);
            let unchanged = self.by_key.get(key).is_some_and(|stream| {
                let copy = stream.copy.as_ref();
                copy.is_some_and(|copy| copy.config == *config && copy.seq == *seq)
            });
            if unchanged && self.is_left_over(ctx, key) {
                self.by_key.swap_remove(key);
            }
        }
    }

    /// Copies with something in them, the owned ones included.
    #[must_use]
    pub fn held(&self) -> usize {
        let copies = self.by_key.values().filter_map(|s| s.copy.as_ref());
        copies.filter(|copy| !copy.log.is_empty()).count()
    }
}

pub(super) fn offer(key: &StreamKey, copy: &Copy) -> Offer {
    Offer {
        key: key.clone(),
        config: copy.config.clone(),
        seq: copy.seq,
        tip: copy.log.tip(),
    }
}

/// The holder of that name in a list.
pub(super) fn holds(holders: &[Holder], node: &NodeId) -> bool {
    holders.iter().any(|holder| holder.node == *node)
}
