//! Keeping streams as they should be: in line with the view, with all their copies, and without what
//! is too old.

use std::collections::VecDeque;
use std::time::Duration;

use super::configuration::Holder;
use super::context::{Context, Output};
use super::copy::{Held, Role, Stream, Taking};
use super::streams::Streams;
use crate::core::view::{Member, MemberState};
use crate::id::StreamKey;

/// How often old entries are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(5);

/// Ticks that are this far apart mean that this process did not run.
const PAUSE: Duration = Duration::from_millis(500);
/// A copy without entries and without news goes after this: its owner has none, either.
const EMPTY_AFTER: Duration = Duration::from_secs(3600);

impl<T> Streams<T> {
    /// Brings one stream in line with the view: who is no longer first stops, who has become first
    /// begins to take over, and an owner gets the holders that it should have.
    pub fn refresh(&mut self, ctx: &Context<'_>, key: &StreamKey) {
        if self.present.0 != ctx.number {
            self.present.0 = ctx.number;
            self.notice_rejoin(ctx);
        }
        let present = self.present;
        match self.by_key.get_mut(key) {
            Some(stream) if stream.in_line_with != present => stream.in_line_with = present,
            // As nearly always.
            _ => return,
        }
        let mine = ctx.is_mine(key);
        let wanted = self.wanted(ctx, key);
        let Some(stream) = self.by_key.get_mut(key) else {
            return;
        };
        match &mut stream.role {
            Role::Owner(_) if !mine => self.step_down(ctx, key),
            Role::Owner(_) => {
                let right = stream
                    .copy
                    .as_ref()
                    .is_some_and(|copy| copy.holders == wanted);
                if !right {
                    self.reconfigure(ctx, key, 0);
                }
            }
            Role::Taking(_) if !mine => self.stop_taking(ctx, key),
            Role::Taking(taking) => {
                let gone = |holder: &Holder| {
                    ctx.view
                        .member(&holder.node)
                        .is_none_or(|m| !is_live(holder, m))
                };
                taking.offers.retain(|offer| !gone(&offer.from));
            }
            Role::Held(_) if mine => {
                stream.role = Role::Taking(Taking::default());
                self.attention.insert(key.clone());
            }
            Role::Held(_) => {
                if self.is_left_over(ctx, key) {
                    self.attention.insert(key.clone());
                }
            }
        }
    }

    /// If others had taken this node for dead, or it has another generation, somebody else may have
    /// served what it owns: it takes everything over again.
    fn notice_rejoin(&mut self, ctx: &Context<'_>) {
        let Some(me) = ctx.view.me() else {
            return;
        };
        if (me.generation, me.revision) == (self.me.generation, self.revision) {
            return;
        }
        self.me.generation = me.generation;
        self.revision = me.revision;
        let owned = |stream: &&mut Stream<T>| matches!(stream.role, Role::Owner(_));
        for stream in self.by_key.values_mut().filter(owned) {
            let role = std::mem::replace(&mut stream.role, Role::Taking(Taking::default()));
            if let Role::Owner(owner) = role {
                self.outputs.extend(owner.give_up());
            }
        }
        self.attention.extend(self.by_key.keys().cloned());
    }

    /// There is another view.
    pub fn on_view(&mut self, ctx: &Context<'_>) {
        let keys: Vec<StreamKey> = self.by_key.keys().cloned().collect();
        for key in keys {
            self.refresh(ctx, &key);
        }
        self.advance(ctx);
    }

    /// Takes over what may be taken over now, mends what lacks a copy, offers what is left over.
    pub fn advance(&mut self, ctx: &Context<'_>) {
        let keys: Vec<StreamKey> = self.attention.iter().cloned().collect();
        self.to_pull = VecDeque::new();
        for key in &keys {
            self.refresh(ctx, key);
            let done = match self.by_key.get(key).map(|stream| &stream.role) {
                None => true,
                Some(Role::Taking(_)) => {
                    self.take_over(ctx, key);
                    false
                }
                Some(Role::Owner(_)) => {
                    self.pass_over_the_slow(ctx, key);
                    self.mend(ctx, key);
                    self.by_key
                        .get(key)
                        .is_none_or(|stream| !stream.is_incomplete())
                }
                Some(Role::Held(_)) => !self.is_left_over(ctx, key),
            };
            if done {
                self.attention.remove(key);
            }
        }
        self.offer_left_overs(ctx, &keys);
    }

    /// Time has passed. `subscribed` says whether a key's user has a session anywhere.
    pub fn tick(&mut self, ctx: &Context<'_>, subscribed: impl Fn(&StreamKey) -> bool) {
        if self.slow.iter().any(|(_, until)| *until <= ctx.now) {
            self.slow.retain(|(_, until)| *until > ctx.now);
            self.present.1 += 1;
            // Those that were passed over are wanted again.
            self.attention.extend(self.by_key.keys().cloned());
        }
        if ctx.now >= self.ticked_at + PAUSE {
            // It was this node that stood still.
            self.forgive();
        }
        self.advance(ctx);
        self.send_unsent();
        self.ticked_at = ctx.now;
        if ctx.now >= self.expire_at {
            self.expire_at = ctx.now + EXPIRE_EVERY;
            self.expire(ctx, subscribed);
        }
    }

    /// Drops what is too old, and streams in which nothing is left.
    fn expire(&mut self, ctx: &Context<'_>, subscribed: impl Fn(&StreamKey) -> bool) {
        let (mut lost, mut bytes) = (0, 0);
        self.by_key.retain(|key, stream| {
            let Some(copy) = &mut stream.copy else {
                return true;
            };
            let limits = ctx.config.limits(key);
            let expired = copy.log.expire(ctx.now, limits);
            bytes += copy.log.size().1;
            let log = &copy.log;
            let needed = !log.is_empty() || log.remembers_loss(ctx.now, limits);
            match &stream.role {
                Role::Owner(owner) => {
                    lost += expired;
                    needed || !owner.is_idle() || subscribed(key)
                }
                Role::Taking(_) => true,
                Role::Held(held) => needed || ctx.now < held.touched + EMPTY_AFTER,
            }
        });
        self.bytes = bytes;
        if lost > 0 {
            self.outputs.push_back(Output::Expired(lost));
        }
    }

    /// This node is no longer first.
    fn step_down(&mut self, ctx: &Context<'_>, key: &StreamKey) {
        let Some(stream) = self.by_key.get_mut(key) else {
            return;
        };
        let role = std::mem::replace(&mut stream.role, Role::Held(Held::default()));
        if let Role::Owner(owner) = role {
            self.outputs.extend(owner.give_up());
        }
        if self.is_left_over(ctx, key) {
            self.attention.insert(key.clone());
        }
    }
}
/// Whether the holder is that member, and not known to be dead.
fn is_live(holder: &Holder, member: &Member) -> bool {
    holder.is(member) && member.state != MemberState::Down
}
