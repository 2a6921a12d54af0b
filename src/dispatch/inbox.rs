//! Messages that are kept, on their way into a stream, and what the streams want done.
//!
//! Everything here happens under the lock of the key's shard, so that what goes to one holder or
//! one session leaves in the order in which it was decided.

use std::sync::Arc;
use std::time::Instant;

use super::shard::{Sender, Shard, Waiter};
use super::{Dispatch, Origin, Path, Session, Topology};
use crate::core::lane::{Attempt, Receipt, Settled, Ticket};
use crate::core::peer::{Answer, Append, Content, Envelope, Outcome, Reply, Request};
use crate::core::protocol::{self, Qos, Reply as Told, Send};
use crate::core::stream::{About, Context, Message, Output, Room, Streams};
use crate::core::trace::TraceContext;
use crate::error::ErrorCode;
use crate::id::{NodeId, SessionId, StreamKey, UserId};

impl Dispatch {
    /// Calls `f` with the shard of a key and all that it needs to know, then does what came of it.
    pub(super) fn with_shard<R>(
        &self,
        key: &StreamKey,
        f: impl FnOnce(&mut Shard, &Context<'_>, &Topology) -> R,
    ) -> R {
        let (result, notices) = {
            let mut shard = self.shard(key);
            // Under the shard's lock: whoever publishes a topology comes here after this.
            let topology = self.topology.load();
            self.in_shard(&mut shard, &topology, f)
        };
        self.send_notices(notices);
        result
    }

    /// Calls `f` with every shard in turn, as [`Self::with_shard`].
    pub(super) fn with_each_shard(&self, mut f: impl FnMut(&mut Shard, &Context<'_>, &Topology)) {
        for shard in &self.shards {
            let ((), notices) = {
                let mut shard = super::locked(shard);
                let topology = self.topology.load();
                self.in_shard(&mut shard, &topology, &mut f)
            };
            self.send_notices(notices);
        }
    }

    fn in_shard<R>(
        &self,
        shard: &mut Shard,
        topology: &Topology,
        f: impl FnOnce(&mut Shard, &Context<'_>, &Topology) -> R,
    ) -> (R, Vec<Envelope>) {
        let room = |node: &NodeId| match topology.link(node) {
            Some(link) if link.has_room() => Room::Free,
            Some(link) if link.is_connected() => Room::Full,
            _ => Room::Unconnected,
        };
        let ctx = Context {
            now: self.since_start(),
            view: &topology.view,
            number: topology.number,
            consents: &topology.consents,
            config: &self.config.streams,
            room: &room,
        };
        let result = f(shard, &ctx, topology);
        self.carry_out(shard, &ctx, topology);
        (result, std::mem::take(&mut shard.notices))
    }

    fn send_notices(&self, notices: Vec<Envelope>) {
        for notice in notices {
            self.route(notice, None);
        }
    }

    /// Does what the streams want done, until they want no more.
    fn carry_out(&self, shard: &mut Shard, ctx: &Context<'_>, topology: &Topology) {
        while let Some(output) = shard.streams.poll_output() {
            match output {
                Output::Ask { to, request, about } => {
                    self.ask_about(shard, ctx, topology, &to, request, about);
                }
                Output::Answer {
                    to,
                    outcome,
                    answer,
                } => self.answer_waiter(shard, ctx, to, outcome, answer),
                Output::Committed(key) => self.feed(shard, ctx, topology, &key),
                Output::Serving(key) => self.serve(shard, ctx, topology, &key),
                Output::Acked { sender, id, by } => {
                    if let StreamKey::Inbox(by) = by {
                        shard.notices.push(Envelope {
                            to: StreamKey::Inbox(sender),
                            from: by,
                            id,
                            content: Content::Delivered,
                            ts_ms: self.clock.unix_ms(),
                            hops: 0,
                            to_guests: false,
                            trace: None,
                        });
                    }
                }
                Output::Expired(count) => self.counters.expired.add_many(count as u64),
                Output::Slow(node) => {
                    self.counters.holders_passed_over.add();
                    tracing::warn!(node = %self.me, peer = %node,
                        "a holder does not acknowledge and is passed over");
                }
            }
        }
    }

    fn ask_about(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        to: &NodeId,
        request: Request,
        about: About,
    ) {
        let timeout = match about {
            About::Copy { .. } | About::Offer(_) => self.config.copy_timeout,
            // It may be large, and stand behind others.
            About::Pull { .. } => self.config.request_timeout,
        };
        let now = self.clock.now();
        let Some(link) = topology.link(to) else {
            return Self::stream_answered(
                shard,
                ctx,
                to,
                about,
                Outcome::Unreachable,
                Answer::None,
            );
        };
        let sent = matches!(request, Request::Replicate { .. }).then_some(now);
        let origin = Origin::Stream { about, sent };
        if let Err(full) = link.push(request, Some(origin), now + timeout)
            && let Some(Origin::Stream { about, .. }) = full.0.1
        {
            // It was not asked: nothing is known of it.
            Self::stream_answered(shard, ctx, to, about, Outcome::Busy, Answer::None);
        }
    }

    /// A node has answered a question of the streams, or did not.
    pub(super) fn stream_settled(
        &self,
        from: &NodeId,
        about: About,
        outcome: Outcome,
        answer: Answer,
    ) {
        match about {
            // Its copies may be of many shards.
            About::Offer(offered) => {
                if let (Outcome::Done, Answer::MayGo(go)) = (outcome, answer) {
                    for (offered, go) in offered.iter().zip(go).filter(|(_, go)| *go) {
                        self.with_shard(&offered.0, |shard, ctx, _| {
                            shard
                                .streams
                                .may_go(ctx, std::slice::from_ref(offered), &[go]);
                        });
                    }
                }
            }
            About::Copy { ref key, .. } | About::Pull { ref key, .. } => {
                let key = key.clone();
                self.with_shard(&key, |shard, ctx, _| {
                    Self::stream_answered(shard, ctx, from, about, outcome, answer);
                });
            }
        }
    }

    /// As [`Self::stream_settled`], under the lock of the shard.
    fn stream_answered(
        shard: &mut Shard,
        ctx: &Context<'_>,
        from: &NodeId,
        about: About,
        outcome: Outcome,
        answer: Answer,
    ) {
        match about {
            About::Copy { key, number, seq } => {
                let about = (&key, number, seq);
                shard
                    .streams
                    .copy_answered(ctx, from, about, outcome, &answer);
            }
            About::Pull { key, from } => {
                let pulled = match (outcome, answer) {
                    (Outcome::Done, Answer::Pulled(pulled)) => Some(pulled.map(|pulled| *pulled)),
                    _ => None,
                };
                shard.streams.pulled(ctx, &key, &from, pulled);
            }
            // Offered again later.
            About::Offer(_) => {}
        }
    }

    // ---- on the way in -------------------------------------------------------------------------

    /// A client's message that is to be kept. Its receipt goes to the client's outbox, now or later.
    pub(super) fn send_kept(&self, session: &Arc<Session>, to: &StreamKey, send: &Send<'_>) {
        if !session.may_use(&send.id, to) {
            let code = ErrorCode::IdReused;
            session.tell(&Told::Failed {
                id: &send.id,
                code,
                message: code.message(),
            });
            return;
        }
        session.add_pending(1);
        let sender = Sender::Session(Arc::clone(session));
        self.send_in_lane(session.id(), sender, session.user(), to, send, None);
    }

    /// A message that is to be kept, behind those before it in its lane.
    pub(super) fn send_in_lane(
        &self,
        lane: SessionId,
        sender: Sender,
        from: &UserId,
        to: &StreamKey,
        send: &Send<'_>,
        trace: Option<TraceContext>,
    ) {
        let (span, trace) = self.trace_new(trace, &send.id);
        let sender = match span {
            None => sender,
            Some(span) => Sender::Traced(Box::new(sender), span),
        };
        let now_ms = self.clock.unix_ms();
        let message = Message::new(from, &send.id, send.body, now_ms, send.notify);
        self.with_shard(to, |shard, ctx, topology| {
            let deadline = ctx.now + self.config.request_timeout;
            let sender = (lane, sender);
            let message = (message, trace);
            if let Some(attempt) = shard.lanes.push(to, sender, message, deadline)
                && let Err(ticket) = self.attempt(&mut shard.streams, ctx, topology, attempt)
            {
                // Not the end of it: the lane waits.
                (shard.lanes).outcome(ctx.now, &ticket, Outcome::Busy, &Answer::None);
            }
        });
    }

    /// Brings a message to the owner of its stream. The ticket comes back if there is no way there.
    fn attempt(
        &self,
        streams: &mut Streams<Waiter>,
        ctx: &Context<'_>,
        topology: &Topology,
        attempt: Attempt,
    ) -> Result<(), Ticket> {
        let Attempt { append, ticket } = attempt;
        let Some(owner) = topology.owner_elsewhere(append.to.as_str()) else {
            let Append {
                to,
                message,
                previous,
                trace,
            } = append;
            let waiter = self.watched(&to, &message, Waiter::Lane(ticket));
            let waiter = self.traced(trace.as_deref(), &message, waiter);
            streams.append(ctx, &to, message, previous, waiter);
            return Ok(());
        };
        let link = topology.link(&owner.id).filter(|link| link.is_connected());
        let Some(link) = link else {
            return Err(ticket);
        };
        let bytes = append.message.body_len();
        let request = Request::Append(append);
        let pushed = link.push(request, Some(Origin::Append(ticket)), self.deadline());
        if let Err(full) = pushed
            && let Some(Origin::Append(ticket)) = full.0.1
        {
            return Err(ticket);
        }
        self.counters.sent_on(bytes);
        Ok(())
    }

    pub(super) fn answer_waiter(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        waiter: Waiter,
        outcome: Outcome,
        answer: Answer,
    ) {
        match waiter {
            Waiter::Peer { replies, seq } => replies.push(Reply {
                seq,
                outcome,
                answer,
            }),
            Waiter::Lane(ticket) => {
                let settled = shard.lanes.outcome(ctx.now, &ticket, outcome, &answer);
                self.tell_sender(settled, Some(Path::Local));
            }
            Waiter::Traced(waiter, span) => {
                self.trace_end(Some(span), outcome);
                self.answer_waiter(shard, ctx, *waiter, outcome, answer);
            }
            Waiter::Watched(it) => self.answer_watched(shard, ctx, *it, outcome, answer),
        }
    }

    /// Gives a message that has an outcome its receipt. `path`: where it went, if it has arrived.
    pub(super) fn tell_sender(
        &self,
        settled: impl IntoIterator<Item = Settled<Sender>>,
        path: Option<Path>,
    ) {
        for Settled {
            sender,
            message,
            deadline,
            receipt,
        } in settled
        {
            let left = deadline.saturating_sub(self.since_start());
            let took = self.config.request_timeout.saturating_sub(left);
            self.timings.receipt(Qos::AtLeastOnce, took);
            let id = message.id();
            let sender = match (sender, receipt) {
                (Sender::Traced(sender, span), Receipt::Accepted { .. }) => {
                    self.trace_end(Some(span), Outcome::Done);
                    *sender
                }
                (Sender::Traced(sender, span), Receipt::Failed(outcome)) => {
                    self.trace_end(Some(span), outcome);
                    *sender
                }
                (sender, _) => sender,
            };
            let receipt = match receipt {
                Receipt::Accepted { copies, duplicate } => {
                    if duplicate {
                        self.counters.repeats.add();
                    } else {
                        self.counters.accepted.add();
                        if let Some(path) = path {
                            self.timings.delivered(path, took);
                        }
                    }
                    protocol::Receipt::Accepted { copies, duplicate }
                }
                Receipt::Failed(outcome) => {
                    let code = self.error_of(outcome).unwrap_or(ErrorCode::Unknown);
                    if code != ErrorCode::Unknown {
                        self.free(&sender, id);
                    }
                    code.into()
                }
            };
            match sender {
                Sender::Session(session) => {
                    session.take_pending(1);
                    session.tell(&Told::Receipt {
                        id,
                        receipt: &receipt,
                    });
                }
                Sender::Backend(pending) => pending.settle(receipt),
                // It has ended above, and none stands in another.
                Sender::Traced(..) => {}
            }
        }
    }

    /// The message of that id was not taken: the id is free.
    fn free(&self, sender: &Sender, id: &str) {
        match sender {
            Sender::Session(session) => session.free(id),
            Sender::Traced(sender, _) => self.free(sender, id),
            Sender::Backend(pending) => super::locked(&self.backend_ids).free(pending.from(), id),
        }
    }

    /// Sends again what waits, or gives it up. `news`: there is another view, or another consent.
    pub(super) fn retry_lanes(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        news: bool,
    ) {
        let streams = &mut shard.streams;
        let send = |it| self.attempt(streams, ctx, topology, it).is_ok();
        shard.lanes.retry(ctx.now, news, Sender::is_gone, send);
        let expired = shard.lanes.expire(ctx.now);
        self.tell_sender(expired, None);
    }

    /// The time of this node, for what is kept: it starts so late that no age is before it.
    pub(super) fn since_start(&self) -> std::time::Duration {
        const EPOCH: std::time::Duration = std::time::Duration::from_secs(100 * 24 * 3600);
        EPOCH + self.clock.now().saturating_duration_since(self.started)
    }

    pub(super) fn deadline(&self) -> Instant {
        self.clock.now() + self.config.request_timeout
    }
}
