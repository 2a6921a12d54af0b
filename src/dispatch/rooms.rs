//! Rooms: the sessions of this node that are in them, and how they come to have what is in them.
//!
//! As everything by key it happens under the lock of the key's shard: that of the room.

use std::sync::Arc;

use super::feeding::{FEED_BYTES, kept};
use super::joining::Ticket;
use super::shard::{Shard, Subscriber};
use super::{Dispatch, Origin, Session, Topology};
use crate::core::peer::{Answer, Envelope, Outcome, Request};
use crate::core::protocol::{Encoded, Reply};
use crate::core::rooms::{Fetch, Fetched, Left, Room, Rooms};
use crate::core::stream::{Context, History, Message, Position, Resume};
use crate::id::{NodeId, RoomName, SessionId, Shown, StreamKey, UserId};

/// The subscriber that stands for all members at a node. Ids of sessions are below.
const MEMBERS: SessionId = SessionId(u64::MAX);
/// What is fetched at a time for a member that catches up, in bytes.
const HISTORY_BYTES: usize = 64 * 1024;

/// The members of rooms at this node.
pub(super) type LocalRooms = Rooms<Arc<Session>, Ticket>;

/// Gives members of a room a message; says how many took it.
fn hand_out<'a>(
    members: impl Iterator<Item = (&'a Arc<Session>, &'a UserId)>,
    (from, id): (&str, &str),
    message: impl Fn() -> Reply<'a>,
) -> u64 {
    let mut encoded = Encoded::default();
    let hand = |(session, _): (&Arc<Session>, &UserId)| {
        let muted = is_muted(session, from, id);
        u64::from(!muted && session.tell_as(&mut encoded, &message))
    };
    members.map(hand).sum()
}

/// Whether it is a session's own message that it does not want to receive.
fn is_muted(session: &Session, from: &str, id: &str) -> bool {
    session.user().as_str() == from && session.is_muted(id)
}

/// Gives the members of a room here a message that is not kept; says how many took it.
pub(super) fn hand_over(rooms: &LocalRooms, envelope: &Envelope) -> u64 {
    let StreamKey::Room(name) = &envelope.to else {
        return 0;
    };
    let Some(room) = rooms.get(name) else {
        return 0;
    };
    let message = (envelope.from.as_str(), &*envelope.id);
    hand_out(room.live(), message, || super::unkept(envelope))
}

/// Gives the members of a room here a message of its stream; says how many took it.
pub(super) fn hand_entry(
    rooms: &LocalRooms,
    key: &StreamKey,
    message: &Message,
    at: Position,
) -> u64 {
    let StreamKey::Room(name) = key else { return 0 };
    let Some(room) = rooms.get(name) else {
        return 0;
    };
    let named = (message.from(), message.id());
    hand_out(room.wanting(at), named, || kept(key, message, at))
}

impl Dispatch {
    // ---- who comes and goes --------------------------------------------------------------------

    pub(super) fn join_room(
        &self,
        session: &Arc<Session>,
        room: &RoomName,
        since: Option<Resume>,
        ticket: Ticket,
    ) {
        let key = StreamKey::Room(room.clone());
        self.with_shard(&key, |shard, ctx, topology| {
            // It may have left again: whoever comes last here goes by what the session says.
            if !session.is_in(room) {
                return;
            }
            let member = (session.id(), Arc::clone(session), session.user());
            let was_there = (shard.rooms.get(room)).is_some_and(|r| r.has(session.user()));
            if shard.rooms.join(room, member, since, ticket) {
                self.subscribe_members(shard, ctx, topology, &key);
                self.aim(shard, ctx, topology, room);
            }
            if !was_there {
                self.count_here(shard, ctx, topology, room, session.user());
            }
            // The others wait for something else, and there may be many.
            self.settle_members(shard, ctx, topology, (room, Some(session.id())));
        });
    }

    /// The first member is here: this node takes what comes.
    fn subscribe_members(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        key: &StreamKey,
    ) {
        let owner = topology.owner_elsewhere(key.as_str());
        let owner = owner.map(|member| member.id.clone());
        let began = (MEMBERS, self.clock.unix_ms());
        let resume = Some(Resume::Now);
        let registration = (shard.directory).open(key, began, Subscriber::Members, owner, resume);
        match registration {
            Some(registration) => {
                self.ask_registration(&mut shard.directory, topology, registration);
            }
            None => self.subscribe(shard, ctx, topology, key),
        }
    }

    /// A client does not want to be in a room any more.
    pub fn leave_room(&self, session: &Arc<Session>, id: &str, room: &RoomName) {
        if session.leave(room) {
            self.remove_member(session, room, true);
        }
        session.tell(&Reply::Left { id });
    }

    /// The session has ended: it is in no room, and wants to hear of nothing.
    pub(super) fn leave_all(&self, session: &Session) {
        let (rooms, watched) = session.take_rooms();
        for room in rooms {
            self.remove_member(session, &room, false);
        }
        for key in watched {
            self.unwatch(session, &key);
        }
    }

    pub(super) fn remove_member(&self, session: &Session, room: &RoomName, at_will: bool) {
        self.with_shard(&StreamKey::Room(room.clone()), |shard, ctx, topology| {
            // It may have joined again.
            if session.is_in(room) {
                return;
            }
            self.remove_member_in(shard, ctx, topology, (session, at_will), room);
            self.settle_room(shard, ctx, topology, room);
        });
    }

    fn remove_member_in(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        (session, at_will): (&Session, bool),
        room: &RoomName,
    ) {
        let Some(Left {
            empty,
            last_of_user,
        }) = shard.rooms.leave(room, session.id(), at_will)
        else {
            return;
        };
        if last_of_user {
            self.count_here(shard, ctx, topology, room, session.user());
        }
        let key = StreamKey::Room(room.clone());
        if empty && let Some(registration) = shard.directory.close(&key, MEMBERS) {
            self.take_back(topology, registration);
        }
    }

    // ---- those who are not live ----------------------------------------------------------------

    /// Does for a room what can be done: tells the holders, lets members in, fetches what they have
    /// missed.
    pub(super) fn settle_room(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        room: &RoomName,
    ) {
        self.settle_members(shard, ctx, topology, (room, None));
    }

    /// As [`Self::settle_room`], but of those that wait lets in all or one.
    fn settle_members(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        (room, one): (&RoomName, Option<SessionId>),
    ) {
        self.tell_holders(shard, topology, room);
        let key = StreamKey::Room(room.clone());
        let mut progress = true;
        // Before the node is subscribed nobody can be let in.
        while let (true, Some(live)) = (progress, shard.directory.live_position(&key)) {
            progress = false;
            let has_room = |session: &Arc<Session>| session.outbox().bytes() < FEED_BYTES;
            let Some(known) = shard.rooms.get_mut(room) else {
                return;
            };
            for fetch in known.advance((live, one), has_room, Ticket::let_in) {
                progress |= self.fetch(shard, ctx, topology, &key, fetch);
            }
        }
        if !shard.rooms.get(room).is_some_and(Room::is_settled) {
            shard.rooms.unsettled(room);
        }
        shard.rooms.forget_if_empty(room);
    }

    /// Fetches what a member has missed; says whether it has it already.
    fn fetch(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        key: &StreamKey,
        fetch: Fetch,
    ) -> bool {
        let Fetch {
            session,
            number,
            from,
        } = fetch;
        let Some(owner) = topology.owner_elsewhere(key.as_str()) else {
            let history = shard.streams.history(ctx, key, from, HISTORY_BYTES);
            let there = history.is_ok();
            self.take_history(shard, key, (session, number), history.ok());
            return there;
        };
        let request = Request::History {
            key: key.clone(),
            at: from.position(),
        };
        let origin = Origin::History {
            key: key.clone(),
            session,
            number,
        };
        let link = topology.link(&owner.id);
        let asked = link.is_some_and(|link| {
            link.is_connected() && link.push(request, Some(origin), self.deadline()).is_ok()
        });
        if !asked {
            self.take_history(shard, key, (session, number), None);
        }
        false
    }

    /// The owner has answered, or did not.
    pub(super) fn history_answered(
        &self,
        key: &StreamKey,
        fetch: (SessionId, u64),
        history: Option<History>,
    ) {
        self.with_shard(key, |shard, ctx, topology| {
            let there = history.is_some();
            self.take_history(shard, key, fetch, history);
            if let (StreamKey::Room(room), true) = (key, there) {
                // The others wait for pages of their own, and there may be many.
                self.settle_members(shard, ctx, topology, (room, Some(fetch.0)));
            }
        });
    }

    fn take_history(
        &self,
        shard: &mut Shard,
        key: &StreamKey,
        fetch: (SessionId, u64),
        history: Option<History>,
    ) {
        let StreamKey::Room(name) = key else { return };
        let live = shard.directory.live_position(key);
        let Some(room) = shard.rooms.get_mut(name) else {
            return;
        };
        let Some(history) = history else {
            room.not_fetched(fetch.0, fetch.1);
            return shard.rooms.unsettled(name);
        };
        let page = Fetched {
            position: history.position,
            recovered: history.recovered,
            upto: history.upto,
            empty: history.entries.is_empty(),
        };
        let Some((session, gap)) = room.fetched(fetch, &page, live, Ticket::let_in) else {
            return;
        };
        if gap {
            self.tell_gap(name, [&session]);
        }
        let epoch = history.upto.epoch;
        for entry in history.entries {
            let offset = entry.offset;
            if is_muted(&session, entry.message.from(), entry.message.id()) {
                continue;
            }
            let taken = session.tell(&kept(key, &entry.message, Position { epoch, offset }));
            (self.counters).handed(u64::from(taken), entry.message.body_len());
        }
    }

    /// What stands in a stream that this node owns behind a position.
    pub(super) fn give_history(&self, key: &StreamKey, at: Option<Position>) -> (Outcome, Answer) {
        let resume = at.map_or(Resume::Unknown, Resume::At);
        let history = self.with_shard(key, |shard, ctx, _| {
            shard.streams.history(ctx, key, resume, HISTORY_BYTES)
        });
        match history {
            Ok(history) => (Outcome::Done, Answer::History(Box::new(history))),
            Err(outcome) => (outcome, Answer::None),
        }
    }

    // ---- what comes out ------------------------------------------------------------------------

    /// Messages may be missing: the members have to hear of it.
    pub(super) fn room_has_gap(&self, rooms: &LocalRooms, key: &StreamKey) {
        let StreamKey::Room(name) = key else { return };
        let members = rooms.get(name).into_iter().flat_map(Room::live);
        self.tell_gap(name, members.map(|(session, _)| session));
    }

    fn tell_gap<'a>(&self, name: &RoomName, members: impl IntoIterator<Item = &'a Arc<Session>>) {
        let gap = Reply::RoomGap { room: name };
        let mut encoded = Encoded::default();
        for session in members {
            session.tell_as(&mut encoded, || gap);
        }
        self.counters.room_gaps.add();
        tracing::warn!(node = %self.me, room = %Shown::new(name.as_str()),
            "what comes next in a room is not there any more");
    }

    // ---- time and views ------------------------------------------------------------------------

    /// Tries again what could not be done, and announces who has left for certain.
    pub(super) fn tick_rooms(&self, shard: &mut Shard, ctx: &Context<'_>, topology: &Topology) {
        let now = self.clock.now();
        for room in shard.rooms.take_restless() {
            let known = shard.rooms.get_mut(&room);
            let late = known.map(|known| known.late(|ticket| ticket.give_up(now)));
            for session in late.into_iter().flatten() {
                self.remove_member_in(shard, ctx, topology, (&session, false), &room);
            }
            self.settle_room(shard, ctx, topology, &room);
        }
        let left = shard.rosters.expire(ctx.now);
        self.announce(shard, ctx, topology, left);
    }

    /// Brings the rooms of a shard in line with the view.
    pub(super) fn rooms_on_view(&self, shard: &mut Shard, ctx: &Context<'_>, topology: &Topology) {
        let alive = |node: &NodeId| *node == self.me || topology.link(node).is_some();
        shard.rosters.retain_nodes(ctx.now, alive);
        (shard.rosters).hold(ctx.now, |room| self.holds_room(ctx, room));
        let rooms: Vec<RoomName> = shard.rooms.names().cloned().collect();
        for room in rooms {
            self.aim(shard, ctx, topology, &room);
            self.settle_room(shard, ctx, topology, &room);
        }
    }
}
