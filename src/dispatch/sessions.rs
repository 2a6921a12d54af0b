//! Sessions that begin and end, and how many a user may have.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::shard::{Shard, Subscriber};
use super::{Dispatch, Protocol, Session, SessionConfig, Topology};
use crate::config::AtSessionLimit;
use crate::core::directory::{Guest, Home, Local};
use crate::core::peer::Request;
use crate::core::stream::Context;
use crate::error::{CloseCode, ErrorCode};
use crate::id::{SessionId, StreamKey, UserId};

impl Dispatch {
    /// Lets a session in: as soon as this node serves its user, or, as a guest, once the owner knows
    /// it.
    pub fn open(&self, config: SessionConfig) -> Arc<Session> {
        let resume = (config.protocol != Protocol::Raw).then_some(config.resume);
        let id = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed));
        let session = Arc::new(Session::new(id, config));
        self.counters.sessions_opened.add();
        let inbox = session.inbox();
        let since_ms = self.clock.unix_ms();
        let is_guest = self.with_shard(inbox, |shard, ctx, topology| {
            let owner = topology.owner_elsewhere(inbox.as_str());
            let owner = owner.map(|member| member.id.clone());
            let handle = Subscriber::Session(Arc::clone(&session));
            let registration = shard
                .directory
                .open(inbox, (id, since_ms), handle, owner, resume);
            let is_guest = registration.is_some();
            if let Some(registration) = registration {
                self.ask_registration(&mut shard.directory, topology, registration);
            } else {
                self.subscribe(shard, ctx, topology, inbox);
            }
            is_guest
        });
        if is_guest {
            self.guest_came(&session);
        }
        session
    }

    /// Gives sessions at home that nobody has let in yet a place among those of their user, or sends
    /// them away. A node that has just become the owner waits until the others have told it of theirs.
    /// Says whether all have an answer.
    pub(super) fn give_places(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        inbox: &StreamKey,
    ) -> bool {
        let locals = shard.directory.all_of(inbox).0.iter();
        let new = locals.filter(|local| local.new && local.home == Home::Here);
        let new: Vec<SessionId> = new.map(|local| local.id).collect();
        if new.is_empty() || inbox.is_room() {
            return true;
        }
        if !ctx.may_serve(inbox) {
            return false;
        }
        for id in new {
            let may = self.has_place(shard, ctx, topology, inbox);
            let mut locals = shard.directory.locals_mut(inbox).iter_mut();
            let Some(local) = locals.find(|local| local.id == id) else {
                continue;
            };
            let Some(session) = local.handle.session().cloned() else {
                continue;
            };
            if may {
                local.new = false;
                if session.is_raw() {
                    self.welcome_raw(&session);
                }
            } else {
                self.counters.sessions_over_limit.add();
                self.counters.handshakes_refused.add();
                too_many_sessions(&session);
                let _ = shard.directory.close(inbox, id);
            }
        }
        true
    }

    /// Whether a user of this node's may have one more session. If that takes the place of the oldest,
    /// it is closed.
    pub(super) fn has_place(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        inbox: &StreamKey,
    ) -> bool {
        let (max, past) = self.config.sessions_per_user;
        let (here, elsewhere) = shard.directory.all_of(inbox);
        let counts = |local: &&Local<Subscriber>| {
            let closing = |session: &Arc<Session>| session.outbox().is_closing();
            let waits = local.new && local.home == Home::Here;
            !waits && !local.handle.session().is_some_and(closing)
        };
        let here: Vec<_> = here.iter().filter(counts).collect();
        // Who was told to come here may well be the one who comes.
        let leaves = |guest: &&Guest| guest.leaving_until.is_some_and(|until| ctx.now < until);
        let elsewhere: Vec<_> = elsewhere.iter().filter(|guest| !leaves(guest)).collect();
        if here.len() + elsewhere.len() < max {
            return true;
        }
        if past == AtSessionLimit::RefuseNewest {
            return false;
        }
        let first_here = here.iter().min_by_key(|local| local.since_ms);
        let first_elsewhere = elsewhere.into_iter().min_by_key(|guest| guest.since_ms);
        let since = first_here.map_or(u64::MAX, |local| local.since_ms);
        self.counters.sessions_replaced.add();
        match first_elsewhere.filter(|guest| guest.since_ms < since) {
            None => {
                if let Some(session) = first_here.and_then(|local| local.handle.session()) {
                    session.replace();
                }
            }
            Some(guest) => {
                let (node, session) = (guest.node.clone(), guest.session);
                if let (StreamKey::Inbox(user), Some(link)) = (inbox, topology.link(&node)) {
                    let user = user.clone();
                    let request = Request::Replace { user, session };
                    // If it is lost there is one more than there should be, until that one ends.
                    let _ = link.push(request, None, self.deadline());
                }
                shard.directory.unregister(inbox, &node, session);
            }
        }
        true
    }

    /// A newer session elsewhere takes the place of one here.
    pub(super) fn replace_session(&self, user: &UserId, id: SessionId) {
        let inbox = StreamKey::from(user);
        let mut shard = self.shard(&inbox);
        let mut locals = shard.directory.locals_mut(&inbox).iter();
        if let Some(local) = locals.find(|local| local.id == id)
            && let Some(session) = local.handle.session()
        {
            session.replace();
        }
    }

    /// The session has ended. To say so again changes nothing.
    pub fn close(&self, session: &Session) {
        if !session.set_gone() {
            return;
        }
        self.counters.sessions_closed.add();
        self.leave_all(session);
        let inbox = session.inbox();
        self.with_shard(inbox, |shard, _, topology| {
            if let Some(registration) = shard.directory.close(inbox, session.id()) {
                self.take_back(topology, registration);
            }
        });
        self.tell_disconnected(session);
    }
}

/// The user has as many sessions as are allowed without this one.
pub(super) fn too_many_sessions(session: &Session) {
    let message = "the user has as many sessions as are allowed";
    session.refuse(ErrorCode::NotAllowed, message, CloseCode::TooManySessions);
}
