//! What an owner does: it opens configurations, copies operations to the holders, and commits what
//! all of them have.

use std::time::Duration;

use super::configuration::{ConfigId, Holder};
use super::context::{About, Context, Output, Room};
use super::copy::{Copy, Owner, Replica, ReplicaState, Role, Stream, copies};
use super::log::Log;
use super::streams::Streams;
use crate::core::peer::{Answer, Install, Operation, Outcome, Request};
use crate::id::{NodeId, StreamKey};

/// A holder that does not take what it lacks is tried again after this, doubled each time …
const RETRY_MIN: Duration = Duration::from_millis(50);
/// … up to this.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// More doublings than from the least to the most.
const RETRIES_COUNTED: u32 = 8;
/// A holder that does not follow for this long is passed over …
const SLOW_AFTER: Duration = Duration::from_millis(1500);
/// … for this long.
const SLOW_FOR: Duration = Duration::from_secs(5);
/// Operations in one request, in bytes, about.
const BATCH_BYTES: usize = 64 * 1024;

impl<T> Streams<T> {
    /// Becomes the owner of a stream with this log, in a configuration of at least that number.
    pub(super) fn open(&mut self, ctx: &Context<'_>, key: &StreamKey, log: Log, number: u64) {
        let config = ConfigId {
            number,
            owner: self.me.clone(),
        };
        let copy = Copy {
            config,
            holders: Vec::new(),
            seq: 0,
            log,
            sealed: false,
        };
        let stream = Stream::new(Some(copy), Role::Owner(Owner::new()));
        self.by_key.insert(key.clone(), stream);
        self.configure(ctx, key);
    }

    /// Opens the next configuration of a stream that this node owns, above `number`.
    pub(super) fn reconfigure(&mut self, ctx: &Context<'_>, key: &StreamKey, number: u64) {
        if let Some((copy, owner)) = self.owned_mut(key) {
            copy.config.number = copy.config.number.max(number).saturating_add(1);
            owner.new_since = None;
            self.configure(ctx, key);
        }
    }

    /// Gives the present configuration its holders. Nothing is committed in it before all of them
    /// have all there is.
    fn configure(&mut self, ctx: &Context<'_>, key: &StreamKey) {
        let holders = self.wanted(ctx, key);
        let Some((copy, owner)) = self.owned_mut(key) else {
            return;
        };
        let number = copy.config.number;
        copy.seq = copy.seq.saturating_add(1);
        let before = std::mem::take(&mut owner.replicas);
        let since = |holder: &Holder| {
            let known = before.iter().find(|replica| replica.holder == *holder);
            known.and_then(|replica| replica.failing_since)
        };
        owner.replicas = (holders[1..].iter().cloned())
            .map(|holder| Replica {
                failing_since: since(&holder),
                ..Replica::new(holder)
            })
            .collect();
        owner.opened = copy.seq;
        owner.appended.push_back((copy.seq, copy.log.tip().offset));
        copy.holders = holders;
        self.numbers = self.numbers.max(number);
        self.attention.insert(key.clone());
        self.mend(ctx, key);
        self.commit(ctx, key);
    }

    /// Copies an operation, which is done in the log already, to all who follow: an entry at once,
    /// an ack, for which nobody waits, with the next entry or on the next tick.
    pub(super) fn operate(&mut self, key: &StreamKey, operation: Operation) {
        let waits = matches!(operation, Operation::Ack(_));
        let Some((copy, owner)) = self.owned_mut(key) else {
            return;
        };
        copy.seq = copy.seq.saturating_add(1);
        // Who lacks something gets the whole stream.
        let follows = |replica: &&mut Replica| replica.state != ReplicaState::Lacking;
        let mut followers = owner.replicas.iter_mut().filter(follows);
        if let Some(last) = followers.next_back() {
            for replica in followers {
                replica.queue.push_back(operation.clone());
            }
            last.queue.push_back(operation);
        }
        if waits {
            self.unsent.insert(key.clone());
        } else {
            self.send_queued(key);
        }
    }

    /// Copies the acks that were put off.
    pub(super) fn send_unsent(&mut self) {
        for key in std::mem::take(&mut self.unsent) {
            self.send_queued(&key);
        }
    }

    /// Sends each holder what has gathered while the last operations were on their way to it: a busy
    /// stream is copied in batches, an idle one at once.
    fn send_queued(&mut self, key: &StreamKey) {
        let mut requests = Vec::new();
        let Some((copy, owner)) = self.owned_mut(key) else {
            return;
        };
        let number = copy.config.number;
        for replica in &mut owner.replicas {
            let before = replica.queue.len() as u64;
            let operations = replica.next(BATCH_BYTES);
            if operations.is_empty() {
                continue;
            }
            replica.in_flight = true;
            let seq = copy.seq - before + 1;
            let about = About::Copy {
                key: key.clone(),
                number,
                seq: seq + (operations.len() as u64 - 1),
            };
            let request = Request::Replicate {
                key: key.clone(),
                number,
                seq,
                operations,
            };
            requests.push((replica.holder.clone(), request, about));
        }
        for (holder, request, about) in requests {
            self.ask(&holder, request, about);
        }
    }

    /// Sends the whole stream to those who lack something.
    pub(super) fn mend(&mut self, ctx: &Context<'_>, key: &StreamKey) {
        let mut installs = Vec::new();
        if let Some((copy, owner)) = self.owned_mut(key) {
            for replica in &mut owner.replicas {
                if replica.state != ReplicaState::Lacking || ctx.now < replica.retry_at {
                    continue;
                }
                match (ctx.room)(&replica.holder.node) {
                    Room::Free => {}
                    Room::Full => {
                        replica.is_not_asked(ctx.now);
                        continue;
                    }
                    Room::Unconnected => {
                        replica.failing_since.get_or_insert(ctx.now);
                        continue;
                    }
                }
                replica.state = ReplicaState::Installing;
                replica.in_flight = true;
                replica.queue.clear();
                let install = Install {
                    key: key.clone(),
                    number: copy.config.number,
                    holders: copy.holders.clone(),
                    seq: copy.seq,
                    snapshot: copy.log.snapshot(ctx.now),
                };
                installs.push((replica.holder.clone(), install));
            }
        }
        for (holder, install) in installs {
            let about = About::Copy {
                key: key.clone(),
                number: install.number,
                seq: install.seq,
            };
            self.ask(&holder, Request::Install(Box::new(install)), about);
        }
    }

    /// A holder has answered an installation or an operation, or nobody knows whether it has it.
    pub fn copy_answered(
        &mut self,
        ctx: &Context<'_>,
        from: &NodeId,
        (key, number, seq): (&StreamKey, u64, u64),
        outcome: Outcome,
        answer: &Answer,
    ) {
        let Some((copy, owner)) = self.owned_mut(key) else {
            return;
        };
        if copy.config.number != number {
            return;
        }
        let Some(replica) = owner.replica(from) else {
            return;
        };
        if outcome == Outcome::Done {
            replica.acked = replica.acked.max(seq);
            replica.retries = 0;
            replica.state = ReplicaState::Following;
            replica.in_flight = false;
            // Since it was silent it has got the whole stream. That more has come meanwhile, as in a
            // busy stream it always has, is not its doing.
            replica.failing_since = None;
            self.send_queued(key);
            self.commit(ctx, key);
            return;
        }
        replica.state = ReplicaState::Lacking;
        replica.in_flight = false;
        replica.queue.clear();
        replica.retry_at = ctx.now
            + RETRY_MIN
                .saturating_mul(1 << replica.retries)
                .min(RETRY_MAX);
        replica.retries = (replica.retries + 1).min(RETRIES_COUNTED);
        match outcome {
            Outcome::Unknown | Outcome::Unreachable => {
                replica.failing_since.get_or_insert(ctx.now);
            }
            Outcome::Busy => replica.is_not_asked(ctx.now),
            // Who answers is not slow, whatever the answer.
            _ => replica.failing_since = None,
        }
        let holder = replica.holder.clone();
        self.attention.insert(key.clone());
        match (outcome, answer) {
            (Outcome::Outdated, Answer::Number(theirs)) => self.reconfigure(ctx, key, *theirs),
            (Outcome::Diverged, _) => self.pull_to_merge(key, &holder),
            // Sent again by the next tick.
            _ => {}
        }
    }

    /// Commits what all holders have. If they are too few it is shown, and its senders do not hear
    /// that it is accepted: they ask again until it is, or until their time is over.
    pub(super) fn commit(&mut self, ctx: &Context<'_>, key: &StreamKey) {
        let Some((copy, owner)) = self.owned_mut(key) else {
            return;
        };
        let committed = owner.acked().unwrap_or(copy.seq);
        owner.committed = owner.committed.max(committed);
        let enough = copy.holders.len() >= ctx.config.min_copies;
        let copies = copies(&copy.holders);
        let before = owner.visible;
        while let Some((seq, offset)) = owner.appended.front()
            && *seq <= committed
        {
            owner.visible = *offset;
            owner.appended.pop_front();
        }
        let shown = owner.visible > before;
        let serving = committed >= owner.opened && !owner.serving;
        owner.serving |= serving;
        let mut answers = Vec::new();
        while owner.waiters.front().is_some_and(|w| w.seq <= committed)
            && let Some(waiter) = owner.waiters.pop_front()
        {
            let (outcome, answer) = if enough {
                let duplicate = waiter.duplicate;
                (Outcome::Done, Answer::Accepted { copies, duplicate })
            } else {
                (Outcome::Unknown, Answer::None)
            };
            answers.push(Output::Answer {
                to: waiter.from,
                outcome,
                answer,
            });
        }
        if serving {
            self.outputs.push_back(Output::Serving(key.clone()));
        } else if shown {
            self.outputs.push_back(Output::Committed(key.clone()));
        }
        self.outputs.extend(answers);
    }

    /// Gives up, for a while, holders that have not followed for too long, so that one half-dead
    /// node does not hold up everybody's messages.
    pub(super) fn pass_over_the_slow(&mut self, ctx: &Context<'_>, key: &StreamKey) {
        let mut slow = Vec::new();
        if let Some(owner) = self.owner_mut(key) {
            for replica in &owner.replicas {
                let since = replica.failing_since;
                if since.is_some_and(|since| ctx.now >= since + SLOW_AFTER) {
                    slow.push(replica.holder.node.clone());
                }
            }
        }
        if slow.is_empty() {
            return;
        }
        for node in slow {
            if self.slow.iter().all(|(known, _)| *known != node) {
                self.slow.push((node.clone(), ctx.now + SLOW_FOR));
                self.present.1 += 1;
                self.outputs.push_back(Output::Slow(node));
            }
        }
        self.refresh(ctx, key);
    }

    /// Nobody has been slow so far.
    pub(super) fn forgive(&mut self) {
        for key in &self.attention {
            let role = self.by_key.get_mut(key).map(|stream| &mut stream.role);
            if let Some(Role::Owner(owner)) = role {
                for replica in &mut owner.replicas {
                    replica.failing_since = None;
                }
            }
        }
    }
}

impl<T> Owner<T> {
    /// It owns no more: whoever waits hears that nobody knows. What they sent is in the log, and
    /// may be committed by the next owner.
    pub(super) fn give_up(self) -> impl Iterator<Item = Output<T>> {
        self.waiters.into_iter().map(|waiter| Output::Answer {
            to: waiter.from,
            outcome: Outcome::Unknown,
            answer: Answer::None,
        })
    }
}
