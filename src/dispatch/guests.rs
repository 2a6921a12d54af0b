//! Guests: making them known to the owner, and what comes out of a stream on its way to them.

use std::time::Duration;

use super::feeding::{DELIVERY_BYTES, FEED_BYTES, kept, members_moved};
use super::rooms::hand_entry;
use super::sessions::too_many_sessions;
use super::shard::Subscriber;
use super::{Dispatch, Origin, Topology};
use crate::core::directory::{Directory, Guest, Progress, Registration};
use crate::core::feed::Feed;
use crate::core::peer::{Answer, Delivery, Outcome, Request};
use crate::core::stream::{Log, Position, Resume, Resumed, SnapshotEntry, Subscription};
use crate::id::{NodeId, SessionId, StreamKey};

/// No session is on its way for longer, whatever its node says.
const LEAVING_MAX_MS: u64 = 24 * 3600 * 1000;

impl Dispatch {
    // ---- at the guest's node -------------------------------------------------------------------

    /// Under the lock of the user's shard, as [`Self::take_back`], so that the owner hears what is
    /// true last, last.
    pub(super) fn ask_registration(
        &self,
        directory: &mut Directory<Subscriber>,
        topology: &Topology,
        registration: Registration,
    ) {
        let Registration {
            owner,
            key,
            session,
            nonce,
            since_ms,
            resume,
            new,
            leaving_ms,
        } = registration;
        let request = Request::Register {
            key: key.clone(),
            session,
            nonce,
            since_ms,
            resume,
            new,
            leaving_ms,
        };
        let origin = Origin::Registration {
            key: key.clone(),
            session,
            nonce,
        };
        // Without a connection nothing is queued: a new one starts by telling every guest.
        let asked = topology.link(&owner).is_some_and(|link| {
            link.is_connected() && link.push(request, Some(origin), self.deadline()).is_ok()
        });
        if !asked {
            directory.registration_failed(&key, session);
        }
    }

    pub(super) fn take_back(&self, topology: &Topology, registration: Registration) {
        if let Some(link) = topology.link(&registration.owner)
            && link.is_connected()
        {
            let request = Request::Unregister {
                key: registration.key,
                session: registration.session,
            };
            // If the queue is full the guest is known too long: until the next connection.
            let _ = link.push(request, None, self.deadline());
        }
    }

    /// The owner has answered a registration.
    pub(super) fn registration_answered(
        &self,
        key: &StreamKey,
        (session, nonce): (SessionId, u64),
        by: Option<&NodeId>,
        outcome: Outcome,
        answer: &Answer,
    ) {
        self.with_shard(key, |shard, ctx, topology| {
            if outcome == Outcome::TooMany {
                let locals = shard.directory.locals_mut(key).iter();
                let mut refused = locals.filter(|local| local.id == session);
                if let Some(session) = refused.next().and_then(|l| l.handle.session()) {
                    self.counters.sessions_over_limit.add();
                    self.counters.handshakes_refused.add();
                    too_many_sessions(session);
                }
                let _ = shard.directory.close(key, session);
                return;
            }
            let (Outcome::Done, Some(by)) = (outcome, by) else {
                return shard.directory.registration_failed(key, session);
            };
            let Some(local) = shard.directory.registered(key, (session, nonce), by) else {
                return;
            };
            match (answer, &local.handle) {
                (
                    Answer::Registered {
                        position,
                        recovered,
                    },
                    _,
                ) => {
                    if let Some(before) = local.resume {
                        members_moved(&mut shard.rooms, key, before, *position);
                    }
                    if self.let_in(local, *position, *recovered) {
                        self.room_has_gap(&shard.rooms, key);
                    }
                }
                (_, Subscriber::Session(session)) => {
                    if session.welcome(None) {
                        self.tell_connected(session);
                    }
                }
                (_, Subscriber::Members) => {}
            }
            if let StreamKey::Room(room) = key {
                self.settle_room(shard, ctx, topology, room);
            } else {
                let mut locals = shard.directory.locals_mut(key).iter_mut();
                if let Some(local) = locals.find(|local| local.id == session) {
                    self.tell_to_leave(topology, local);
                }
            }
        });
    }

    /// Asks again for the registrations that did not work out.
    pub(super) fn retry_registrations(
        &self,
        directory: &mut Directory<Subscriber>,
        topology: &Topology,
    ) {
        for registration in directory.take_unregistered() {
            self.ask_registration(directory, topology, registration);
        }
    }

    /// Something for a guest of this node.
    pub(super) fn take_delivery(&self, delivery: &Delivery) -> Outcome {
        let key = &delivery.key;
        let mut shard = self.shard(key);
        let guest = (shard.directory).registered_as(key, delivery.session, delivery.nonce);
        let local = match guest {
            Ok(local) => local,
            Err(true) => return Outcome::Busy,
            Err(false) => return Outcome::NotOwner,
        };
        let Some(at) = local.resume.and_then(Resume::position) else {
            // The owner drops the guest for this answer: nobody else would ask again.
            shard.directory.register_anew(key, delivery.session);
            return Outcome::NotOwner;
        };
        let repeats = at.epoch == delivery.position.epoch && delivery.after.offset <= at.offset;
        if delivery.after != at && !repeats {
            // What is in between is not here: the session starts anew from where it is.
            shard.directory.register_anew(key, delivery.session);
            return Outcome::NotOwner;
        }
        let session = local.handle.session().cloned();
        if (session.as_ref()).is_some_and(|session| session.outbox().bytes() > FEED_BYTES) {
            return Outcome::Busy;
        }
        local.resume = Some(Resume::At(delivery.position));
        members_moved(&mut shard.rooms, key, Resume::At(at), delivery.position);
        let epoch = delivery.position.epoch;
        for entry in &delivery.entries {
            if at.epoch == epoch && entry.offset <= at.offset {
                continue;
            }
            let offset = entry.offset;
            let place = Position { epoch, offset };
            let taken = match &session {
                Some(session) => u64::from(session.tell(&kept(key, &entry.message, place))),
                None => hand_entry(&shard.rooms, key, &entry.message, place),
            };
            (self.counters).handed(taken, entry.message.body_len());
        }
        Outcome::Done
    }

    // ---- at the owner --------------------------------------------------------------------------

    /// A session of another node, whose user this node may own.
    pub(super) fn register_guest(
        &self,
        peer: &NodeId,
        key: &StreamKey,
        (session, nonce): (SessionId, u64),
        (since_ms, new, leaving_ms): (u64, bool, u64),
        resume: Option<Resume>,
    ) -> (Outcome, Answer) {
        self.with_shard(key, |shard, ctx, topology| {
            if !ctx.is_mine(key) {
                return (Outcome::NotOwner, Answer::None);
            }
            let same = |guest: &Guest| guest.session == session && guest.node == *peer;
            let counts = new && !key.is_room() && !shard.directory.all_of(key).1.iter().any(same);
            if counts && !ctx.may_serve(key) {
                return (Outcome::Busy, Answer::None);
            }
            if counts && !self.has_place(shard, ctx, topology, key) {
                return (Outcome::TooMany, Answer::None);
            }
            let guest = |progress| Guest {
                node: peer.clone(),
                session,
                nonce,
                since_ms,
                leaving_until: (leaving_ms > 0)
                    .then(|| ctx.now + Duration::from_millis(leaving_ms.min(LEAVING_MAX_MS))),
                progress,
            };
            let Some(resume) = resume else {
                shard.directory.register(key, guest(None));
                return (Outcome::Done, Answer::None);
            };
            let resumed: Box<Resumed> = match shard.streams.subscribe(ctx, key, resume) {
                Subscription::From(resumed) => resumed,
                Subscription::Busy => {
                    // It asks again. Until then it is nowhere in the stream, but its user is there.
                    if !counts && !key.is_room() {
                        shard.directory.register(key, guest(None));
                    }
                    return (Outcome::Busy, Answer::None);
                }
                Subscription::NotOwner => return (Outcome::NotOwner, Answer::None),
            };
            let log = shard.streams.shown(key).map(|(log, _)| log);
            let progress = Progress::new(Feed::new(&resumed, log), resumed.position);
            shard.directory.register(key, guest(Some(progress)));
            // On the next tick, when its node has this answer.
            shard.hungry.insert(key.clone());
            let answer = Answer::Registered {
                position: resumed.position,
                recovered: resumed.recovered,
            };
            (Outcome::Done, answer)
        })
    }

    /// The next delivery to a guest, unless one is on its way. Says whether that worked out.
    pub(super) fn feed_guest(
        &self,
        guest: &mut Guest,
        (log, visible): (&Log, u64),
        topology: &Topology,
        key: &StreamKey,
        now: Duration,
    ) -> bool {
        let Some(progress) = &mut guest.progress else {
            return true;
        };
        if progress.is_waiting(now) {
            return false;
        }
        let (Some(feed), false) = (&mut progress.feed, progress.in_flight) else {
            return true;
        };
        let epoch = log.tip().epoch;
        if feed.has_gap(log) {
            // Its node sees that something is missing, and registers the session anew, which
            // then hears of it.
            feed.advance(log.floor() - 1);
            progress.confirmed = Position {
                epoch,
                offset: feed.cursor(),
            };
        }
        let batch = feed.next(log, visible, DELIVERY_BYTES);
        let Some(last) = batch.last().map(|entry| entry.offset) else {
            return true;
        };
        let position = Position {
            epoch,
            offset: last,
        };
        let delivery = Delivery {
            key: key.clone(),
            session: guest.session,
            nonce: guest.nonce,
            after: progress.confirmed,
            position,
            entries: (batch.into_iter())
                .map(|entry| SnapshotEntry::new(now, entry))
                .collect(),
        };
        let origin = Origin::Delivery {
            key: key.clone(),
            session: guest.session,
            nonce: guest.nonce,
            position,
            sent: self.clock.now(),
        };
        let link = topology
            .link(&guest.node)
            .filter(|link| link.is_connected());
        progress.in_flight = link.is_some_and(|link| {
            let deadline = self.clock.now() + self.config.copy_timeout;
            link.push(Request::Deliver(delivery), Some(origin), deadline)
                .is_ok()
        });
        self.counters.deliveries.add_many(progress.in_flight.into());
        progress.in_flight
    }

    /// A guest's node has answered a delivery.
    pub(super) fn delivery_answered(
        &self,
        node: &NodeId,
        key: &StreamKey,
        (session, nonce): (SessionId, u64),
        position: Position,
        outcome: Outcome,
    ) {
        self.with_shard(key, |shard, ctx, topology| {
            let same = |guest: &&mut Guest| {
                guest.session == session && guest.nonce == nonce && guest.node == *node
            };
            let guest = shard.directory.guests_mut(key).iter_mut().find(same);
            let Some(progress) = guest.and_then(|guest| guest.progress.as_mut()) else {
                return;
            };
            progress.in_flight = false;
            match outcome {
                Outcome::Done => {
                    progress.confirm(position);
                    match (&mut progress.feed, shard.streams.shown(key)) {
                        // The log may have been taken over by another one meanwhile.
                        (Some(feed), Some((log, _))) if log.tip().epoch != position.epoch => {
                            *feed = Feed::new(&log.resume(Resume::At(position)), Some(log));
                        }
                        (Some(feed), _) => feed.advance(position.offset),
                        (None, _) => {}
                    }
                    self.feed(shard, ctx, topology, key);
                }
                Outcome::NotOwner => {
                    shard.directory.unregister(key, node, session);
                    if key.is_room() {
                        shard.await_members(ctx.now, key.clone());
                    }
                }
                // Again on the next tick, or later.
                _ => {
                    if outcome == Outcome::Busy {
                        progress.wait(ctx.now);
                    }
                    shard.hungry.insert(key.clone());
                }
            }
        });
    }
}
