//! What happens to users, on its way to the operator's webhook.
//!
//! Whoever has something to tell leaves it in a lane and goes on; tasks of a shell bring it away.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64;

use super::shard::{Shard, Waiter};
use super::{Dispatch, Session};
use crate::config::WebhookEvent;
use crate::core::peer::{Answer, Outcome};
use crate::core::stream::{Context, Message};
use crate::core::webhook::{
    Event, LANES, Lane, LaneConfig, Next, Pushed, Settled, Verdict, What, body,
};
use crate::id::{Generation, NodeId, StreamKey, UserId};

/// What is wrong with the receiver is logged at most this often.
const COMPLAINT_EVERY: Duration = Duration::from_secs(10);

/// The events of a node that its receiver does not have yet.
#[derive(Debug)]
pub struct Webhooks {
    node: NodeId,
    generation: Generation,
    wanted: Vec<WebhookEvent>,
    numbers: AtomicU64,
    lanes: Vec<Slot>,
    failures: Complaint,
    drops: Complaint,
}

/// When something was last said in the log.
#[derive(Debug, Default)]
struct Complaint(Mutex<Option<Instant>>);

#[derive(Debug)]
struct Slot {
    lane: Mutex<Lane>,
    /// There is something new.
    wake: Notify,
}

/// A message on its way into a stream, of which something may have to be told.
#[derive(Debug)]
pub struct Watched {
    waiter: Waiter,
    to: StreamKey,
    message: Box<Message>,
}

impl Webhooks {
    /// Nothing waits. The events are those of this start of the node.
    #[must_use]
    pub fn new(
        (node, generation): (NodeId, Generation),
        wanted: Vec<WebhookEvent>,
        lane: LaneConfig,
    ) -> Self {
        let slot = || Slot {
            lane: Mutex::new(Lane::new(lane)),
            wake: Notify::new(),
        };
        Self {
            node,
            generation,
            wanted,
            numbers: AtomicU64::new(1),
            lanes: (0..LANES).map(|_| slot()).collect(),
            failures: Complaint::default(),
            drops: Complaint::default(),
        }
    }

    fn wants(&self, kind: WebhookEvent) -> bool {
        self.wanted.contains(&kind)
    }

    fn lane(&self, number: usize) -> MutexGuard<'_, Lane> {
        super::locked(&self.lanes[number].lane)
    }

    /// Never waits for more than a few steps of another thread.
    fn push(&self, now: Instant, ts_ms: u64, user: &UserId, what: What) -> Pushed {
        let number = xxh3_64(user.as_str().as_bytes()) % LANES as u64;
        let slot = &self.lanes[usize::try_from(number).unwrap_or_default()];
        let pushed = super::locked(&slot.lane).push(
            now,
            Event {
                number: self.numbers.fetch_add(1, Ordering::Relaxed),
                ts_ms,
                user: user.clone(),
                what,
            },
        );
        if pushed == Pushed::Queued {
            slot.wake.notify_one();
        }
        pushed
    }

    /// The body of the next request of a lane, as soon as there is one. What becomes of it goes to
    /// [`Dispatch::webhook_settled`] before the next one is asked for.
    pub async fn next_body(&self, lane: usize) -> Vec<u8> {
        let wake = &self.lanes[lane].wake;
        loop {
            // Not in the head of the match, which would keep the lock.
            let next = self.lane(lane).next(Instant::now());
            match next {
                Next::Send(events) => return body(&self.node, self.generation, &events),
                Next::Nothing => wake.notified().await,
                Next::Wait(until) => tokio::select! {
                    () = tokio::time::sleep_until(until.into()) => {}
                    () = wake.notified() => {}
                },
            }
        }
    }

    fn queued(&self) -> usize {
        (0..LANES).map(|lane| self.lane(lane).len()).sum()
    }
}

impl Complaint {
    /// Whether it is time to say it again.
    fn is_due(&self) -> bool {
        let now = Instant::now();
        let mut last = super::locked(&self.0);
        let due = last.is_none_or(|last| now >= last + COMPLAINT_EVERY);
        if due {
            *last = Some(now);
        }
        due
    }
}

impl Dispatch {
    /// This dispatcher, which tells what happens to users.
    #[must_use]
    pub fn with_webhooks(mut self, webhooks: Option<Arc<Webhooks>>) -> Self {
        self.webhooks = webhooks;
        self
    }

    /// Events that the receiver does not have yet.
    #[must_use]
    pub fn webhooks_queued(&self) -> usize {
        self.webhooks.as_ref().map_or(0, |hooks| hooks.queued())
    }

    // ---- what is told --------------------------------------------------------------------------

    fn tell(&self, webhooks: &Webhooks, user: &UserId, what: What) {
        if !webhooks.wants(what.kind()) {
            return;
        }
        let (now, ts_ms) = (self.clock.now(), self.clock.unix_ms());
        match webhooks.push(now, ts_ms, user, what) {
            Pushed::Queued | Pushed::Like => {}
            Pushed::NoRoom => self.webhook_dropped(webhooks, 1, "too many wait"),
        }
    }

    /// The session has just been welcomed. Under the lock of its user's shard, so that its end is
    /// told behind it.
    pub(super) fn tell_connected(&self, session: &Session) {
        if let Some(webhooks) = &self.webhooks
            && !session.is_gone()
        {
            session.set_told();
            self.tell(webhooks, session.user(), What::Connected(session.id()));
        }
    }

    /// The session is gone from its shard.
    pub(super) fn tell_disconnected(&self, session: &Session) {
        if let Some(webhooks) = &self.webhooks
            && session.was_told()
        {
            self.tell(webhooks, session.user(), What::Disconnected(session.id()));
        }
    }

    /// Welcomes a session that takes nothing from streams. Under the lock of its shard.
    pub(super) fn welcome_raw(&self, session: &Session) {
        if session.welcome(None) {
            self.tell_connected(session);
        }
    }

    /// Whoever waits for what becomes of a message, and perhaps the webhooks.
    pub(super) fn watched(&self, to: &StreamKey, message: &Message, waiter: Waiter) -> Waiter {
        let wanted = self.webhooks.as_ref().is_some_and(|webhooks| {
            webhooks.wants(WebhookEvent::OfflineMessage) || webhooks.wants(WebhookEvent::InboxFull)
        });
        if !wanted || to.is_room() {
            return waiter;
        }
        Waiter::Watched(Box::new(Watched {
            waiter,
            to: to.clone(),
            message: Box::new(message.clone()),
        }))
    }

    /// What became of a message is known: tells it to the webhooks, if it is something to tell, and
    /// then to whoever waits.
    pub(super) fn answer_watched(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        watched: Watched,
        outcome: Outcome,
        answer: Answer,
    ) {
        let Watched {
            waiter,
            to,
            message,
        } = watched;
        let new = matches!(
            answer,
            Answer::Accepted {
                duplicate: false,
                ..
            }
        );
        if let (Some(webhooks), StreamKey::Inbox(user)) = (&self.webhooks, &to) {
            if outcome == Outcome::InboxFull {
                let message = message.without_body();
                self.tell(webhooks, user, What::InboxFull(Box::new(message)));
            } else if outcome == Outcome::Done && new && !shard.directory.is_online(&to) {
                self.tell(webhooks, user, What::OfflineMessage(message));
            }
        }
        self.answer_waiter(shard, ctx, waiter, outcome, answer);
    }

    // ---- what became of it ---------------------------------------------------------------------

    /// The request under way of a lane has this verdict; `why` says for the log what it is.
    pub fn webhook_settled(&self, webhooks: &Webhooks, lane: usize, verdict: Verdict, why: &str) {
        let settled = (webhooks.lane(lane)).settle(Instant::now(), verdict, rand::random());
        let Settled {
            sent,
            dropped,
            again,
        } = settled;
        self.counters.webhook_sent.add_many(sent as u64);
        self.counters
            .webhook_requests_retried
            .add_many(u64::from(again));
        if dropped > 0 {
            self.webhook_dropped(webhooks, dropped, why);
        } else if again && webhooks.failures.is_due() {
            tracing::warn!(node = %self.me, reason = why,
                "the webhook receiver has not taken a request, which is sent again");
        }
    }

    fn webhook_dropped(&self, webhooks: &Webhooks, count: usize, why: &str) {
        self.counters.webhook_dropped.add_many(count as u64);
        if webhooks.drops.is_due() {
            let dropped = self.counters.webhook_dropped.get();
            tracing::warn!(node = %self.me, reason = why, dropped, "webhook events are dropped");
        }
    }

    /// Waits until the receiver has what there is, and gives up the rest at `deadline`.
    pub async fn end_webhooks(&self, deadline: Instant) {
        let Some(webhooks) = &self.webhooks else {
            return;
        };
        for (number, slot) in webhooks.lanes.iter().enumerate() {
            webhooks.lane(number).hurry();
            slot.wake.notify_one();
        }
        while webhooks.queued() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let left: usize = (0..LANES).map(|lane| webhooks.lane(lane).give_up()).sum();
        if left > 0 {
            self.counters.webhook_dropped.add_many(left as u64);
            tracing::warn!(node = %self.me, events = left,
                "this node ends although the webhook receiver has not taken these events");
        }
    }
}
