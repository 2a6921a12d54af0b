//! What backends ask of a cluster: to send messages in a user's name, who is connected, and to end
//! that.
//!
//! A backend is a sender without a session. What all backends at a node send in one user's name to one
//! recipient is one lane, so it arrives in the order in which it came.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use xxhash_rust::xxh3::xxh3_64;

use super::session::key_hash;
use super::shard::{Sender, Subscriber};
use super::{Dispatch, Origin, Session};
use crate::core::peer::{Answer, InboxReport, Outcome, Request, UserReport, UserSession};
use crate::core::protocol::{Qos, Receipt, Recipient, Send};
use crate::core::roster::RosterPage;
use crate::core::stream::Position;
use crate::core::trace::TraceContext;
use crate::error::ErrorCode;
use crate::id::{NodeId, RoomName, SessionId, StreamKey, UserId};

/// Bytes of backends' messages without a receipt at one node; past it `rate_limited`. A guess: many
/// times what comes in within the time of a take-over.
pub(super) const ROOM_BYTES: usize = 64 * 1024 * 1024;
/// What a message takes beside its body, about.
const MESSAGE_BYTES: usize = 256;
/// Kept messages of all backends by which it is found out that an id is used for two recipients. A
/// guess.
const RECENT_MAX: usize = 4096;
/// Lanes of backends have this bit, and ids of sessions never do.
const BACKEND_LANE: u64 = 1 << 63;

/// How long to wait before a question is asked again, which the next view may answer.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A message of a backend that has no receipt yet.
#[derive(Debug)]
pub struct Pending {
    from: UserId,
    receipt: oneshot::Sender<Receipt>,
    /// Given back when this is dropped.
    _room: OwnedSemaphorePermit,
}

impl Pending {
    pub(super) fn from(&self) -> &UserId {
        &self.from
    }

    pub(super) fn settle(self, receipt: Receipt) {
        // The backend may have hung up.
        let _ = self.receipt.send(receipt);
    }
}

/// The recipients of the last kept messages of backends.
#[derive(Debug, Default)]
pub(super) struct RecentIds {
    /// Of hashes of sender and id, those of the recipients.
    recipients: HashMap<u64, u64>,
    /// The oldest first. One that was freed stays until its turn comes.
    order: VecDeque<u64>,
}

impl RecentIds {
    /// Whether an id is new, or was used for the same recipient before.
    fn may_use(&mut self, from: &UserId, id: &str, to: &StreamKey) -> bool {
        let (message, to) = (message_hash(from, id), key_hash(to));
        if let Some(before) = self.recipients.get(&message) {
            return *before == to;
        }
        if self.order.len() >= RECENT_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.recipients.remove(&oldest);
        }
        self.order.push_back(message);
        self.recipients.insert(message, to);
        true
    }

    /// The message was not taken: its id is free.
    pub(super) fn free(&mut self, from: &UserId, id: &str) {
        self.recipients.remove(&message_hash(from, id));
    }
}

fn message_hash(from: &UserId, id: &str) -> u64 {
    // User ids have no control characters, so this is not ambiguous.
    xxh3_64([from.as_str(), "\0", id].concat().as_bytes())
}

fn lane_of(from: &UserId) -> SessionId {
    // Two users whose hashes are equal wait for each other, and no more.
    SessionId(BACKEND_LANE | xxh3_64(from.as_str().as_bytes()))
}

impl Dispatch {
    /// A backend's message in the name of a user, and the trace that it belongs to, if any. Its
    /// receipt comes in any case, now or later; if it does not, because the node ends, nobody knows
    /// what became of the message.
    pub fn send_of_backend(
        &self,
        from: &UserId,
        send: &Send<'_>,
        trace: Option<TraceContext>,
    ) -> oneshot::Receiver<Receipt> {
        self.counters.messages_of_backends.add();
        self.counters
            .received_bytes
            .add_many(send.body.len() as u64);
        let (sender, receipt) = oneshot::channel();
        let pending = match self.pending(from, send, sender) {
            Ok(pending) => Box::new(pending),
            Err((sender, code)) => {
                // The other end is below.
                let _ = sender.send(code.into());
                return receipt;
            }
        };
        match (&send.to, send.qos) {
            (Recipient::Stream(to), Qos::AtLeastOnce) => {
                let sender = Sender::Backend(pending);
                self.send_in_lane(lane_of(from), sender, from, to, send, trace);
            }
            (Recipient::Stream(to), Qos::AtMostOnce) => {
                let taken = self.clock.now();
                let origin = Origin::Backend { pending, taken };
                self.send_unkept(origin, from, to, send, trace);
            }
            (Recipient::Everyone, _) => {
                self.broadcast(from, send);
                pending.settle(Receipt::Sent);
            }
        }
        receipt
    }

    fn pending(
        &self,
        from: &UserId,
        send: &Send<'_>,
        receipt: oneshot::Sender<Receipt>,
    ) -> Result<Pending, (oneshot::Sender<Receipt>, ErrorCode)> {
        let bytes = u32::try_from(MESSAGE_BYTES + send.body.len()).unwrap_or(u32::MAX);
        let Ok(room) = Arc::clone(&self.backend_room).try_acquire_many_owned(bytes) else {
            return Err((receipt, ErrorCode::RateLimited));
        };
        if let (Recipient::Stream(to), Qos::AtLeastOnce) = (&send.to, send.qos)
            && !super::locked(&self.backend_ids).may_use(from, &send.id, to)
        {
            return Err((receipt, ErrorCode::IdReused));
        }
        Ok(Pending {
            from: from.clone(),
            receipt,
            _room: room,
        })
    }

    /// The sessions of a user, wherever they live, as the user's owner knows them.
    ///
    /// # Errors
    /// [`ErrorCode::Unreachable`] when no owner has answered in time.
    pub async fn sessions_of(&self, user: &UserId) -> Result<Vec<UserSession>, ErrorCode> {
        self.user(user).await.map(|user| user.sessions)
    }

    /// What a user's owner knows of them.
    ///
    /// # Errors
    /// As [`Self::sessions_of`].
    pub async fn user(&self, user: &UserId) -> Result<UserReport, ErrorCode> {
        let deadline = self.deadline();
        loop {
            // The owner may be another one by now, or this node.
            if let Some(known) = self.known_user(user) {
                return Ok(known);
            }
            let owner = {
                let topology = self.topology.load();
                let owner = topology.owner_elsewhere(user.as_str());
                owner.map(|member| member.id.clone())
            };
            if let Some(owner) = owner {
                let request = Request::Sessions { user: user.clone() };
                let answer = self.ask(&owner, request, deadline).await;
                if let Ok((Outcome::Done, Answer::Sessions(known))) = answer {
                    return Ok(known);
                }
            }
            if !self.wait_to_ask_again(deadline).await {
                return Err(ErrorCode::Unreachable);
            }
        }
    }

    /// Who is in a room, as its owner knows: at most `max` users behind `after`.
    ///
    /// # Errors
    /// [`ErrorCode::Unreachable`] when no owner has answered in time.
    pub async fn room(
        &self,
        room: &RoomName,
        after: Option<&UserId>,
        max: u32,
    ) -> Result<RosterPage, ErrorCode> {
        let deadline = self.deadline();
        loop {
            if let Some(page) = self.roster_page(room, after, max) {
                return Ok(page);
            }
            let owner = {
                let topology = self.topology.load();
                let owner = topology.owner_elsewhere(room.as_str());
                owner.map(|member| member.id.clone())
            };
            if let Some(owner) = owner {
                let request = Request::Roster {
                    room: room.clone(),
                    after: after.cloned(),
                    max,
                };
                let answer = self.ask(&owner, request, deadline).await;
                if let Ok((Outcome::Done, Answer::Roster(page))) = answer {
                    return Ok(page);
                }
            }
            if !self.wait_to_ask_again(deadline).await {
                return Err(ErrorCode::Unreachable);
            }
        }
    }

    /// Closes every session of a user with 4510, and says how many there were.
    ///
    /// Every live member is asked, not the owner alone: each knows its own sessions, while the owner
    /// may not have heard of all of them when the ring has just changed.
    ///
    /// # Errors
    /// [`ErrorCode::Unknown`] when a member has not answered in time: what the others had is closed.
    pub async fn disconnect(&self, user: &UserId) -> Result<u64, ErrorCode> {
        let deadline = self.deadline();
        let mut closed = self.close_sessions_of(user);
        let mut members: Vec<NodeId> = {
            let topology = self.topology.load();
            topology.links().map(|link| link.node().clone()).collect()
        };
        loop {
            let ask = |node: NodeId| {
                let request = Request::Disconnect { user: user.clone() };
                let answer = self.ask(&node, request, deadline);
                (node, answer)
            };
            let asked: Vec<_> = members.drain(..).map(ask).collect();
            for (node, answer) in asked {
                match answer.await {
                    Ok((Outcome::Done, Answer::Closed(sessions))) => closed += sessions,
                    _ => members.push(node),
                }
            }
            // The sessions of a member that is down have ended with it.
            members.retain(|node| self.topology.load().link(node).is_some());
            if members.is_empty() {
                return Ok(closed);
            }
            if !self.wait_to_ask_again(deadline).await {
                return Err(ErrorCode::Unknown);
            }
        }
    }

    /// The sessions of a user whom this node owns, guests elsewhere included, and how far the inbox is;
    /// `None` if it does not, or has not heard of all of them yet.
    pub(super) fn known_user(&self, user: &UserId) -> Option<UserReport> {
        let inbox = StreamKey::from(user);
        self.with_shard(&inbox, |shard, ctx, _| {
            if !ctx.may_serve(&inbox) {
                return None;
            }
            let (here, elsewhere) = shard.directory.all_of(&inbox);
            // One that is being closed is as good as gone.
            let closing = |session: &Arc<Session>| session.outbox().is_closing();
            let here = (here.iter()).filter(|l| !l.handle.session().is_some_and(closing));
            let mut sessions: Vec<_> = here
                .map(|local| UserSession {
                    node: self.me.clone(),
                    session: local.id,
                    since_ms: local.since_ms,
                })
                .chain(elsewhere.iter().map(|guest| UserSession {
                    node: guest.node.clone(),
                    session: guest.session,
                    since_ms: guest.since_ms,
                }))
                .collect();
            sessions.sort();
            let inbox = shard.streams.shown(&inbox).map(|(log, visible)| {
                let epoch = log.tip().epoch;
                InboxReport {
                    position: Position {
                        epoch,
                        offset: visible,
                    },
                    acked: log.acked(),
                    waiting: log.waiting().0 as u64,
                }
            });
            Some(UserReport { sessions, inbox })
        })
    }

    /// Closes the sessions of a user that live here, and says how many were not closing already.
    pub(super) fn close_sessions_of(&self, user: &UserId) -> u64 {
        let inbox = StreamKey::from(user);
        let shard = self.shard(&inbox);
        let sessions = shard.directory.sessions_of(&inbox);
        let sessions = sessions.filter_map(Subscriber::session);
        let closed = sessions.filter(|session| session.disconnect()).count() as u64;
        self.counters.disconnected.add_many(closed);
        closed
    }

    /// Asks another node. The answer comes in any case: `Unreachable` or `Unknown` if there is none.
    fn ask(
        &self,
        node: &NodeId,
        request: Request,
        deadline: Instant,
    ) -> oneshot::Receiver<(Outcome, Answer)> {
        let (asker, answer) = oneshot::channel();
        let origin = Origin::Task(asker);
        let refused = match self.topology.load().link(node) {
            None => Some(origin),
            Some(link) => {
                let pushed = link.push(request, Some(origin), deadline);
                pushed.err().and_then(|full| full.0.1)
            }
        };
        self.settle(refused, Outcome::Unreachable);
        answer
    }

    /// Waits a moment; `false` if it is too late to ask again.
    async fn wait_to_ask_again(&self, deadline: Instant) -> bool {
        if self.clock.now() + ASK_AGAIN >= deadline {
            return false;
        }
        tokio::time::sleep(ASK_AGAIN).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn inbox(name: &str) -> StreamKey {
        StreamKey::Inbox(user(name))
    }

    #[test]
    fn an_id_is_for_one_recipient_until_it_is_freed() {
        let (shop, alice, bob) = (user("shop"), inbox("alice"), inbox("bob"));
        let mut recent = RecentIds::default();
        assert!(recent.may_use(&shop, "m1", &bob));
        assert!(recent.may_use(&shop, "m1", &bob), "a repeat");
        assert!(!recent.may_use(&shop, "m1", &alice));
        assert!(
            recent.may_use(&user("alice"), "m1", &alice),
            "another sender"
        );
        recent.free(&shop, "m1");
        assert!(recent.may_use(&shop, "m1", &alice));
    }

    #[test]
    fn the_oldest_ids_are_forgotten() {
        let (shop, alice, bob) = (user("shop"), inbox("alice"), inbox("bob"));
        let mut recent = RecentIds::default();
        for number in 0..RECENT_MAX + 10 {
            assert!(recent.may_use(&shop, &number.to_string(), &bob));
        }
        assert_eq!(recent.recipients.len(), RECENT_MAX);
        assert!(!recent.may_use(&shop, "10", &alice));
        assert!(recent.may_use(&shop, "9", &alice));
    }

    #[test]
    fn lanes_of_backends_are_none_of_sessions() {
        assert!(lane_of(&user("a")).0 >= 1 << 63);
        assert_ne!(lane_of(&user("a")), lane_of(&user("b")));
    }
}
