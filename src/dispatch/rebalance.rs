//! Sending sessions where they belong, at a pace, and what has to be done every now and then.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::shard::{Shard, Subscriber};
use super::{Dispatch, Session, Topology};
use crate::core::directory::{Leaving, Local};
use crate::core::drain::Schedule;
use crate::core::peer::Outcome;
use crate::core::protocol::{Reason, Reply};
use crate::error::CloseCode;

/// How often [`Dispatch::tick`] wants to be called.
pub const TICK: Duration = Duration::from_millis(50);
/// A client that is told to move does so within this time, at a moment of its own.
const MOVE_SPREAD_MS: u64 = 1000;
/// A session that came as a guest stays one for so long at least: its node or the one that sent it may
/// not have heard yet who owns its user.
const GUEST_TIME: Duration = Duration::from_secs(2);

impl Dispatch {
    /// Gives up what has waited too long, tries again what failed, and tells the next few sessions
    /// to move.
    pub fn tick(&self) {
        let now = self.clock.now();
        let topology = self.topology.load_full();
        for link in topology.links() {
            let expired = link.lock().expire(now);
            for (origin, outcome) in expired {
                self.settle_by(Some(origin), outcome, link.node());
            }
        }
        self.ask_for_consent();
        self.with_each_shard(|shard, ctx, topology| {
            let Shard {
                directory, streams, ..
            } = &mut *shard;
            streams.tick(ctx, |user| directory.is_online(user));
            self.retry_sessions(shard, ctx, topology);
            self.retry_lanes(shard, ctx, topology, false);
            self.retry_registrations(&mut shard.directory, topology);
            self.tick_rooms(shard, ctx, topology);
            self.tick_watches(shard, ctx, topology);
        });
        self.report_waiting(&self.topology.load());
        self.move_some(now);
    }

    /// Somebody has come as a guest. If it still is one after a while, the nodes do not just disagree for a
    /// moment: it was sent here by one that did not know better, or its owner could not be reached.
    pub(super) fn guest_came(&self, session: &Arc<Session>) {
        if can_be_told(session) && !self.is_draining() {
            let guest = (self.clock.now(), Arc::downgrade(session));
            super::locked(&self.guests).push_back(guest);
        }
    }

    fn move_some(&self, now: Instant) {
        if self.is_draining() {
            return;
        }
        let mut due: Vec<_> = {
            let mut guests = super::locked(&self.guests);
            let due = guests.iter().take_while(|(at, _)| *at + GUEST_TIME <= now);
            let due = due.count();
            guests.drain(..due).map(|(_, session)| session).collect()
        };
        // The ring may have changed meanwhile, and that have told it.
        due.retain(|session| session.upgrade().is_some_and(|it| !self.is_leaving(&it)));
        super::locked(&self.moving).extend(due);
        let waiting = super::locked(&self.moving).len();
        for _ in 0..waiting {
            let next = super::locked(&self.moving).pop_front();
            let Some(session) = next.and_then(|next| next.upgrade()) else {
                continue;
            };
            let topology = self.topology.load();
            let Some(owner) = topology.owner_elsewhere(session.user().as_str()) else {
                continue;
            };
            if !topology.is_reachable(&owner.id) {
                // Its turn comes again, and holds up nobody.
                super::locked(&self.moving).push_back(Arc::downgrade(&session));
                continue;
            }
            if !super::locked(&self.move_bucket).take(now) {
                super::locked(&self.moving).push_front(Arc::downgrade(&session));
                return;
            }
            self.tell_to_move(&session, Reason::Moved, MOVE_SPREAD_MS);
        }
    }

    fn is_leaving(&self, session: &Session) -> bool {
        let shard = self.shard(session.inbox());
        let mut locals = shard.directory.all_of(session.inbox()).0.iter();
        locals.any(|local| local.id == session.id() && local.leaving.is_some())
    }

    /// Tells a guest to go to its user's owner, once that has heard of it: the client may be there
    /// before its old session ends, and is not to be one too many. Does nothing, and says so, for a session
    /// that cannot be told, that is at home, or whose owner cannot be reached.
    fn tell_to_move(&self, session: &Arc<Session>, reason: Reason, within_ms: u64) -> bool {
        let inbox = session.inbox();
        self.with_shard(inbox, |shard, _, topology| {
            let Some(owner) = topology.owner_elsewhere(inbox.as_str()) else {
                return false;
            };
            if !topology.is_reachable(&owner.id) || !can_be_told(session) {
                return false;
            }
            let leaving = Leaving {
                reason,
                after_ms: rand::random_range(0..=within_ms),
                within_ms,
                told: false,
            };
            let registration = shard.directory.leaves(inbox, session.id(), leaving);
            if let Some(registration) = registration {
                self.ask_registration(&mut shard.directory, topology, registration);
                return true;
            }
            false
        })
    }

    /// The owner knows a guest. If that is to go there, it is told now.
    pub(super) fn tell_to_leave(&self, topology: &Topology, local: &mut Local<Subscriber>) {
        let (Some(session), Some(leaving)) = (local.handle.session(), &mut local.leaving) else {
            return;
        };
        let owner = topology.owner_elsewhere(session.user().as_str());
        if let (Some(owner), false) = (owner, leaving.told) {
            let (principal, onward) = (session.principal(), session.onward());
            let url = self.onward_url(&principal, owner, onward, leaving.after_ms);
            let Some(url) = url else { return };
            self.counters.moves.add();
            leaving.told = session.tell(&Reply::Redirect {
                url: &url,
                reason: leaving.reason,
                after_ms: Some(leaving.after_ms),
            });
        }
    }

    /// The node is about to leave the ring: from now on sessions are told to move by
    /// [`Self::drain`] alone.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
        super::locked(&self.guests).clear();
        super::locked(&self.moving).clear();
    }

    /// Whether the node is on its way out, and takes no new sessions.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Sends every session away, spread over time so that no node sees a herd, and closes those
    /// that stay; returns when all are gone and every copy is held elsewhere, or when `deadline` has
    /// come. The node is off the ring by now.
    pub async fn drain(&self, deadline: Instant) {
        let start = Instant::now();
        let left = deadline.saturating_duration_since(start);
        let mut untold = self.sessions();
        let schedule = Schedule::new(untold.len(), self.config.rebalance_rate, left);
        let spread_ms = u64::try_from(schedule.spread.as_millis()).unwrap_or(u64::MAX);
        untold.retain(|session| !self.tell_to_move(session, Reason::Drain, spread_ms));
        // Those that go meanwhile are not to be kept in memory.
        let untold: Vec<_> = untold.iter().map(Arc::downgrade).collect();
        self.close_untold(&untold, start, schedule).await;
        self.wait_for_no_sessions(start + schedule.close_after)
            .await;
        for session in self.sessions() {
            let code = if can_be_told(&session) {
                CloseCode::Redirect
            } else {
                CloseCode::Restart
            };
            session.outbox().finish(code, "the node stops");
        }
        self.wait_for_no_sessions(deadline).await;
        self.wait_for_no_copies(deadline).await;
    }

    /// Closes those that do not know where to go, each at its moment, unless it can be told by then. Behind one
    /// address they would all come back at once to the nodes that are left. Where none is left, nothing is
    /// spared by waiting.
    async fn close_untold(&self, untold: &[Weak<Session>], start: Instant, schedule: Schedule) {
        for (session, moment) in untold.iter().zip(schedule.moments(untold.len())) {
            if self.others_stay() {
                self.wait_for_no_sessions(start + moment).await;
            }
            let Some(session) = session.upgrade() else {
                continue;
            };
            // It has had its time: it is to move now.
            if !self.tell_to_move(&session, Reason::Drain, 0) {
                session
                    .outbox()
                    .finish(CloseCode::Restart, "the node stops");
            }
        }
    }

    /// Whether there is another node that does not leave, too. One that is down for this one may still be
    /// there for clients.
    fn others_stay(&self) -> bool {
        let topology = self.topology.load();
        let mut members = topology.view.members.iter();
        members.any(|member| member.id != self.me && !member.draining)
    }

    /// The owners say of each copy when it may go.
    async fn wait_for_no_copies(&self, until: Instant) {
        let others = || !self.topology.load().view.ring.is_empty();
        while self.holds() > 0 && others() && Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let left = self.holds();
        if left > 0 {
            self.counters.left_behind.add_many(left as u64);
            tracing::warn!(node = %self.me, streams = left,
                "this node ends although nobody has said that its copies may go");
        }
    }

    async fn wait_for_no_sessions(&self, until: Instant) {
        while Instant::now() < until && self.counts().0 > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        let mut all = Vec::new();
        for shard in &self.shards {
            let shard = super::locked(shard);
            let sessions = shard.directory.sessions();
            all.extend(sessions.filter_map(Subscriber::session).cloned());
        }
        all
    }

    /// Fails what is still under way, so that whoever waits for it hears before the node ends.
    pub fn abandon(&self) {
        for link in self.topology.load().links() {
            self.link_disconnected(link);
            // Not in the head of the loop, which would keep the lock.
            let unsent = link.lock().take_unsent();
            for (_, origin) in unsent {
                self.settle_by(origin, Outcome::Unreachable, link.node());
            }
        }
    }
}

/// Whether a session hears where to go: one of a handler or with `redirect=never` does not.
fn can_be_told(session: &Session) -> bool {
    session.may_move() && !session.is_raw()
}

#[cfg(test)]
mod tests {
    use super::super::tests::{doubtful, session, view};
    use super::*;
    use crate::core::ring::Seed;
    use crate::core::view::View;
    use crate::id::{NodeId, UserId};

    /// A node off the ring, with a hundred sessions that belong at another one.
    fn draining() -> (Dispatch, Vec<Arc<Session>>) {
        let (dispatch, _) = doubtful();
        let known = view(&["n1", "n2"]);
        let mut members = known.members.clone();
        members[0].draining = true;
        let leaving = View::new(known.me.clone(), Seed(7), members, None);
        dispatch.start_draining();
        dispatch.publish(Arc::new(leaving));
        let users = (0..100).map(|n| UserId::new(&format!("u{n}")).unwrap());
        let sessions = users.map(|user| session(&dispatch, &user)).collect();
        (dispatch, sessions)
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn whose_owner_cannot_be_reached_is_closed_at_a_moment_of_its_own_or_told_by_then() {
        let (dispatch, sessions) = draining();
        let topology = dispatch.topology();
        let n2 = topology.link(&NodeId::new("n2").unwrap()).unwrap();
        n2.set_reachable(false);
        let closed = || {
            let closed = sessions.iter().filter(|it| it.outbox().is_closing());
            closed.count()
        };
        let told = || sessions.iter().filter(|it| dispatch.is_leaving(it)).count();
        // They are sent away within a second.
        let drain = dispatch.drain(Instant::now() + Duration::from_secs(20));
        let back = async {
            until(|| closed() >= 10).await;
            n2.set_reachable(true);
            let before = closed();
            until(|| closed() + told() == sessions.len()).await;
            (before, closed())
        };
        tokio::select! {
            biased;
            (before, after) = back => {
                assert!(before < 50, "{before} were closed at once");
                assert_eq!(after, before, "closed although they could be told");
            }
            () = drain => panic!("{} are closed, {} told", closed(), told()),
        }
        let mut codes = sessions.iter().filter_map(|it| it.outbox().close_code());
        assert!(codes.all(|code| code == CloseCode::Restart.number()));
    }

    #[tokio::test]
    async fn who_can_go_nowhere_is_closed_at_once() {
        let (dispatch, sessions) = draining();
        let mut members = dispatch.topology().view.members.clone();
        members[1].draining = true;
        let me = dispatch.me().clone();
        dispatch.publish(Arc::new(View::new(me, Seed(7), members, None)));
        let drain = dispatch.drain(Instant::now() + Duration::from_secs(20));
        tokio::select! {
            biased;
            () = drain => panic!("the sessions are still there"),
            () = std::future::ready(()) => {}
        }
        assert!(sessions.iter().all(|it| it.outbox().is_closing()));
    }
}
