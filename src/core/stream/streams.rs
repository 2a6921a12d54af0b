//! The streams of one shard of the keys on one node: what it owns, what it holds for other owners,
//! and what it is taking over.
//!
//! A state machine: calls come in with a [`Context`], effects wait as [`Output`]s. Every call first
//! brings the stream it is about in line with the view ([`Streams::refresh`]), so it does not matter
//! whether a message or the news of a view comes first.
//!
//! *Invariants.* At most one copy of a key. Only an owner appends, and only while the view puts it
//! first. What is not committed is neither shown nor receipted. A copy that is not empty goes only
//! when the owner has said that it has all of it.
//!
//! Numbers that peers name only grow, and stop at the last one rather than begin anew. No honest
//! cluster gets there.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::configuration::Holder;
use super::context::{About, Context, History, Output, Subscription};
use super::copy::{Copy, Owner, Role, Stream, Waiter, copies};
use super::ids::MessageKey;
use super::log::{Full, Log};
use super::message::Message;
use super::position::{Epoch, Position};
use super::replay::Resumed;
use super::resume::Resume;
use super::snapshot::SnapshotEntry;
use crate::core::feed::Feed;
use crate::core::map::{Map, Set};
use crate::core::peer::{Answer, Operation, Outcome, Request};
use crate::core::view::Member;
use crate::id::{NodeId, StreamKey};

/// What became of a message that was not refused.
enum Taken {
    /// Its outcome is known once what is in the log now is committed.
    Waits { duplicate: bool },
    /// It is a repeat of a message that was accepted.
    Before { copies: u8 },
}

/// See the module's description. `T` is how whoever sent a message is found again.
#[derive(Debug)]
pub struct Streams<T> {
    pub(super) me: Holder,
    pub(super) by_key: Map<StreamKey, Stream<T>>,
    /// Streams that are not as they should be, looked at on every tick.
    pub(super) attention: BTreeSet<StreamKey>,
    /// Owned streams with acks that were not copied yet.
    pub(super) unsent: Set<StreamKey>,
    /// Holders that do not acknowledge, and until when they are passed over.
    pub(super) slow: Vec<(NodeId, Duration)>,
    /// What streams are in line with: the number of a view, and of changes of `slow`.
    pub(super) present: (u64, u64),
    pub(super) outputs: VecDeque<Output<T>>,
    /// Copies that are on their way here.
    pub(super) pulls: usize,
    /// Streams that are taken over and wait for their turn to be fetched: made anew by each
    /// [`Streams::advance`], and not more than need attention.
    pub(super) to_pull: VecDeque<StreamKey>,
    /// The highest number of a configuration that was opened here: none is used again, not even
    /// for a stream that was dropped in between.
    pub(super) numbers: u64,
    epochs: u64,
    pub(super) bytes: usize,
    /// Streams that became this node's because their owner changed, so far.
    pub(super) taken_over: u64,
    pub(super) expire_at: Duration,
    pub(super) ticked_at: Duration,
    /// This node's revision, which grows when others had taken it for dead.
    pub(super) revision: u32,
}

impl<T> Streams<T> {
    /// No streams.
    #[must_use]
    pub fn new(me: Holder) -> Self {
        Self {
            me,
            by_key: Map::default(),
            attention: BTreeSet::new(),
            unsent: Set::default(),
            slow: Vec::new(),
            present: (0, 0),
            outputs: VecDeque::new(),
            pulls: 0,
            to_pull: VecDeque::new(),
            numbers: 0,
            epochs: 0,
            bytes: 0,
            taken_over: 0,
            expire_at: Duration::ZERO,
            ticked_at: Duration::ZERO,
            revision: 0,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output<T>> {
        let output = self.outputs.pop_front()?;
        if let Output::Serving(key) = &output
            && let Some(owner) = self.owner_mut(key)
        {
            owner.announced = true;
        }
        Some(output)
    }

    /// Streams that have fewer copies than they should, are being taken over, or have a copy here
    /// of which nobody has said yet that all of it is elsewhere. A new one whose first copies are on
    /// their way does not count for a second: nothing in it is accepted before they are made, and where
    /// users come all the time there is always one.
    #[must_use]
    pub fn under_replicated(&self, now: Duration) -> usize {
        let waiting = |key: &&StreamKey| {
            let stream = self.by_key.get(*key);
            stream.is_some_and(|stream| stream.is_under_replicated(now) || stream.is_offered())
        };
        self.attention.iter().filter(waiting).count()
    }

    /// How many copies there are, and how many streams are owned.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        let owned = |stream: &&Stream<T>| matches!(stream.role, Role::Owner(_));
        (
            self.by_key.len(),
            self.by_key.values().filter(owned).count(),
        )
    }

    /// Streams that others had and that this node has taken over, so far.
    #[must_use]
    pub fn taken_over(&self) -> u64 {
        self.taken_over
    }

    /// Bytes of all logs, as of the last time they were added up.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// An epoch that this node has never used.
    pub(super) fn new_epoch(&mut self) -> Epoch {
        self.epochs += 1;
        Epoch::opened(self.epochs, &self.me.node, self.me.generation)
    }

    /// The same for logs that came from others, who may have named one that would have come next.
    pub(super) fn new_epoch_of(&mut self, logs: &[&Log]) -> Epoch {
        loop {
            let epoch = self.new_epoch();
            if !logs.iter().any(|log| log.was_in(epoch)) {
                return epoch;
            }
        }
    }

    /// The holders that a stream should have, this node first.
    pub(super) fn wanted(&self, ctx: &Context<'_>, key: &StreamKey) -> Vec<Holder> {
        let others = ctx.config.replicas - 1;
        let slow = |member: &&Member| self.slow.iter().any(|(slow, _)| *slow == member.id);
        let preferred = || {
            let preferred = ctx.view.preference(key.as_str());
            preferred.filter(|member| member.id != self.me.node)
        };
        let mut wanted = vec![self.me.clone()];
        if self.slow.is_empty() {
            wanted.extend(preferred().take(others).map(Holder::from));
        } else {
            // A slow holder is better than none.
            let quick = preferred().filter(|member| !slow(member));
            let all = quick.chain(preferred().filter(slow));
            wanted.extend(all.take(others).map(Holder::from));
        }
        wanted
    }

    // ---- what clients want ---------------------------------------------------------------------

    /// Appends a message, and tells `from` what became of it: at once, or when it is committed.
    pub fn append(
        &mut self,
        ctx: &Context<'_>,
        key: &StreamKey,
        message: Message,
        previous: Option<MessageKey>,
        from: T,
    ) {
        match self.try_append(ctx, key, message, previous) {
            Err(outcome) => self.outputs.push_back(Output::Answer {
                to: from,
                outcome,
                answer: Answer::None,
            }),
            Ok(Taken::Before { copies }) => self.outputs.push_back(Output::Answer {
                to: from,
                outcome: Outcome::Done,
                answer: Answer::Accepted {
                    copies,
                    duplicate: true,
                },
            }),
            Ok(Taken::Waits { duplicate }) => {
                let Some((copy, owner)) = self.owned_mut(key) else {
                    return;
                };
                owner.waiters.push_back(Waiter {
                    seq: copy.seq,
                    from,
                    duplicate,
                });
                // Mostly the others follow, and the answer comes with theirs.
                if owner.acked().is_none_or(|acked| acked >= copy.seq) || owner.is_lacked() {
                    self.mend(ctx, key);
                    self.commit(ctx, key);
                }
            }
        }
    }

    fn try_append(
        &mut self,
        ctx: &Context<'_>,
        key: &StreamKey,
        message: Message,
        previous: Option<MessageKey>,
    ) -> Result<Taken, Outcome> {
        self.serve(ctx, key)?;
        let bytes = message.size();
        let full = self.bytes + bytes > ctx.config.shard_bytes_max;
        let (copy, owner) = self.owned_mut(key).ok_or(Outcome::Busy)?;
        let id = message.key();
        if let Some(seen) = copy.log.seen(id) {
            // Of a repeat that is not committed the first one's outcome is not known yet, and what was
            // committed is not on new holders before the configuration is.
            let opened = owner.committed >= owner.opened;
            let enough = copy.holders.len() >= ctx.config.min_copies;
            return Ok(if opened && enough && seen.offset <= owner.visible {
                Taken::Before {
                    copies: copies(&copy.holders),
                }
            } else {
                Taken::Waits { duplicate: true }
            });
        }
        // Before its place in the order: of many that come together all hear at once that there is no
        // room, and not only the first. What is not accepted breaks no order.
        if copy.holders.len() < ctx.config.min_copies {
            return Err(Outcome::Unreachable);
        }
        if full {
            return Err(Outcome::InboxFull);
        }
        (copy.log.has_room(bytes, ctx.config.limits(key))).map_err(|full| refusal(key, full))?;
        if previous.is_some_and(|previous| copy.log.seen(previous).is_none()) {
            return Err(Outcome::OutOfOrder);
        }
        let offset = copy.log.append_new(ctx.now, (id, message));
        owner
            .appended
            .push_back((copy.seq.saturating_add(1), offset));
        let entry = copy.log.last().map(|e| SnapshotEntry::new(ctx.now, e));
        self.bytes += bytes;
        if let Some(entry) = entry {
            self.operate(key, Operation::Append(entry));
        }
        Ok(Taken::Waits { duplicate: false })
    }

    /// Makes sure that this node owns the stream and serves it; an absent one is made.
    fn serve(&mut self, ctx: &Context<'_>, key: &StreamKey) -> Result<(), Outcome> {
        self.refresh(ctx, key);
        if !ctx.is_mine(key) {
            return Err(Outcome::NotOwner);
        }
        match self.by_key.get(key).map(|stream| &stream.role) {
            Some(Role::Owner(_)) => Ok(()),
            Some(Role::Taking(_) | Role::Held(_)) => Err(Outcome::Busy),
            None if !ctx.may_serve(key) => Err(Outcome::Busy),
            None => {
                let log = Log::new(self.new_epoch());
                self.open(ctx, key, log, self.numbers.saturating_add(1));
                if let Some(owner) = self.owner_mut(key) {
                    owner.new_since = Some(ctx.now);
                }
                Ok(())
            }
        }
    }

    /// The user has everything up to a position.
    pub fn ack(&mut self, ctx: &Context<'_>, key: &StreamKey, position: Position) {
        self.refresh(ctx, key);
        let limits = ctx.config.limits(key);
        let Some((copy, owner)) = self.owned_mut(key) else {
            return;
        };
        let visible = owner.visible;
        let position = Position {
            // Nobody has what was not shown.
            offset: if position.epoch == copy.log.tip().epoch {
                position.offset.min(visible)
            } else {
                position.offset
            },
            ..position
        };
        let before = copy.log.acked();
        // Before they may be evicted.
        let noticed: Vec<_> = copy.log.noticed_by(position);
        let news = copy.log.ack(position, limits);
        if news.is_empty() && copy.log.acked() == before {
            return;
        }
        for (offset, sender, id) in noticed {
            if news.contains(&offset) {
                self.outputs.push_back(Output::Acked {
                    sender,
                    id,
                    by: key.clone(),
                });
            }
        }
        self.operate(key, Operation::Ack(position));
        self.commit(ctx, key);
    }

    /// Where a session of this key's user starts.
    pub fn subscribe(
        &mut self,
        ctx: &Context<'_>,
        key: &StreamKey,
        resume: Resume,
    ) -> Subscription {
        self.refresh(ctx, key);
        if !ctx.is_mine(key) {
            return Subscription::NotOwner;
        }
        match self.by_key.get(key) {
            None if ctx.may_serve(key) => Subscription::From(Box::new(Resumed::of_nothing(resume))),
            None => Subscription::Busy,
            Some(stream) => match (&stream.role, &stream.copy) {
                (Role::Owner(owner), Some(copy)) if owner.serving => {
                    let mut resumed = copy.log.resume(resume);
                    if resume == Resume::Now {
                        // What is not committed yet is still to come.
                        resumed.position.offset = owner.visible;
                    }
                    Subscription::From(Box::new(resumed))
                }
                _ => Subscription::Busy,
            },
        }
    }

    /// What stands behind a position: entries of about `bytes_max` bytes, one at least if there is
    /// one.
    ///
    /// # Errors
    /// [`Outcome::NotOwner`] and [`Outcome::Busy`].
    pub fn history(
        &mut self,
        ctx: &Context<'_>,
        key: &StreamKey,
        resume: Resume,
        bytes_max: usize,
    ) -> Result<History, Outcome> {
        let resumed = match self.subscribe(ctx, key, resume) {
            Subscription::From(resumed) => resumed,
            Subscription::Busy => return Err(Outcome::Busy),
            Subscription::NotOwner => return Err(Outcome::NotOwner),
        };
        let mut history = History {
            position: resumed.position,
            recovered: resumed.recovered.unwrap_or(true),
            upto: resumed.position,
            entries: Vec::new(),
        };
        if let Some((log, visible)) = self.shown(key) {
            let mut feed = Feed::new(&resumed, Some(log));
            for entry in feed.next(log, visible, bytes_max) {
                history.upto.offset = entry.offset;
                history.entries.push(SnapshotEntry::new(ctx.now, entry));
            }
            history.upto.offset = history.upto.offset.max(feed.cursor());
        }
        Ok(history)
    }

    /// Every node with members has everything of a room up to that offset: it is history from now on,
    /// and may go when there is too much of it. Says whether that could be done, or there was nothing
    /// to do.
    ///
    /// Just after a take-over it is not known yet which nodes have members.
    pub fn delivered(&mut self, ctx: &Context<'_>, key: &StreamKey, upto: u64) -> bool {
        let Some((copy, owner)) = self.owned_mut(key) else {
            return true;
        };
        if copy.log.acked() >= upto.min(owner.visible) {
            return true;
        }
        if ctx.now < owner.complete_at {
            return false;
        }
        let epoch = copy.log.tip().epoch;
        self.ack(
            ctx,
            key,
            Position {
                epoch,
                offset: upto,
            },
        );
        true
    }

    /// Whether [`Output::Serving`] of that stream waits to be done: its sessions know only where they were
    /// in another log.
    #[must_use]
    pub fn is_starting(&self, key: &StreamKey) -> bool {
        let role = self.by_key.get(key).map(|stream| &stream.role);
        matches!(role, Some(Role::Owner(owner)) if owner.serving && !owner.announced)
    }

    /// The log of a stream that is served here, and the last offset of it that may be shown.
    #[must_use]
    pub fn shown(&self, key: &StreamKey) -> Option<(&Log, u64)> {
        let stream = self.by_key.get(key)?;
        match (&stream.role, &stream.copy) {
            (Role::Owner(owner), Some(copy)) if owner.serving => Some((&copy.log, owner.visible)),
            _ => None,
        }
    }

    // ---- access --------------------------------------------------------------------------------

    pub(super) fn owned_mut(&mut self, key: &StreamKey) -> Option<(&mut Copy, &mut Owner<T>)> {
        let stream = self.by_key.get_mut(key)?;
        match (&mut stream.role, &mut stream.copy) {
            (Role::Owner(owner), Some(copy)) => Some((copy, owner)),
            _ => None,
        }
    }

    pub(super) fn owner_mut(&mut self, key: &StreamKey) -> Option<&mut Owner<T>> {
        self.owned_mut(key).map(|(_, owner)| owner)
    }

    pub(super) fn ask(&mut self, to: &Holder, request: Request, about: About) {
        self.outputs.push_back(Output::Ask {
            to: to.node.clone(),
            request,
            about,
        });
    }
}

/// What a sender is told if a log takes no more.
fn refusal(key: &StreamKey, full: Full) -> Outcome {
    match full {
        // Members of a room ack nothing, and only have to be reached.
        Full::Unacked if key.is_room() => Outcome::Busy,
        // That may take as long as repeats are recognised: nobody waits for it.
        Full::Seen if key.is_room() => Outcome::RateLimited,
        Full::Unacked | Full::Seen => Outcome::InboxFull,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{RoomName, UserId};

    #[test]
    fn who_sends_too_much_to_a_room_hears_so_at_once_and_else_waits_for_its_members() {
        let room = StreamKey::Room(RoomName::new("lobby").unwrap());
        let inbox = StreamKey::Inbox(UserId::new("bob").unwrap());
        assert_eq!(refusal(&room, Full::Seen), Outcome::RateLimited);
        assert_eq!(refusal(&room, Full::Unacked), Outcome::Busy);
        assert_eq!(refusal(&inbox, Full::Seen), Outcome::InboxFull);
        assert_eq!(refusal(&inbox, Full::Unacked), Outcome::InboxFull);
    }
}
