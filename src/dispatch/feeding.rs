//! What comes out of a stream, on its way to the sessions of its user: here, or guests elsewhere.

use super::rooms::{LocalRooms, hand_entry};
use super::shard::{Shard, Subscriber};
use super::{Dispatch, Session, Topology};
use crate::core::directory::{Home, Local};
use crate::core::feed::Feed;
use crate::core::peer::Request;
use crate::core::protocol::{self, Encoded, Reply};
use crate::core::stream::{Context, Log, Message, Position, Resume, Subscription};
use crate::error::CloseCode;
use crate::id::StreamKey;

/// What is queued for a session at most before its stream waits for it to read.
pub const FEED_BYTES: usize = 64 * 1024;
/// Entries of one delivery to a guest, in bytes.
pub(super) const DELIVERY_BYTES: usize = 64 * 1024;

impl Dispatch {
    /// A session's client has everything up to a position.
    pub fn ack(&self, session: &Session, position: Position) {
        let user = session.user();
        let inbox = session.inbox();
        self.with_shard(inbox, |shard, ctx, topology| {
            match topology.owner_elsewhere(user.as_str()) {
                None => shard.streams.ack(ctx, inbox, position),
                Some(owner) => {
                    let request = Request::Ack {
                        user: user.clone(),
                        position,
                    };
                    // One that is lost is made good by the next.
                    if let Some(link) = topology.link(&owner.id).filter(|link| link.has_room()) {
                        let _ = link.push(request, None, self.deadline());
                    }
                }
            }
        });
    }

    /// The session has read what was queued for it.
    pub fn feed_session(&self, session: &Session) {
        let inbox = session.inbox();
        self.with_shard(inbox, |shard, ctx, topology| {
            self.feed(shard, ctx, topology, inbox);
        });
    }

    /// Gives all who take from a stream what they have not had.
    pub(super) fn feed(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        key: &StreamKey,
    ) {
        let Shard {
            directory,
            streams,
            rooms,
            ..
        } = &mut *shard;
        // They are told where they are in a new log before anything of it comes.
        if streams.is_starting(key) {
            return;
        }
        let Some((log, visible)) = streams.shown(key) else {
            return;
        };
        let locals = directory.locals_mut(key);
        let mut frames = Frames::new(locals.len());
        for local in locals {
            match local.handle.clone() {
                Subscriber::Session(session) => {
                    self.feed_local(local, &session, (log, visible), &mut frames, key);
                }
                Subscriber::Members => self.feed_members(local, rooms, (log, visible), key),
            }
        }
        let now = self.since_start();
        let mut failed = false;
        for guest in directory.guests_mut(key) {
            failed |= !self.feed_guest(guest, (log, visible), topology, key, now);
        }
        if failed {
            shard.hungry.insert(key.clone());
        }
        if key.is_room() {
            Self::settle_history(shard, ctx, key, visible);
        }
    }

    /// As much as a session of this node takes.
    fn feed_local(
        &self,
        local: &mut Local<Subscriber>,
        session: &Session,
        (log, visible): (&Log, u64),
        frames: &mut Frames,
        key: &StreamKey,
    ) {
        let epoch = log.tip().epoch;
        while let Some(feed) = &mut local.feed {
            let outbox = session.outbox();
            if outbox.bytes() >= FEED_BYTES {
                session.set_hungry();
                // All may have been written before that was set: then nobody looks at it.
                if outbox.bytes() > FEED_BYTES / 2 || !session.take_hungry() {
                    break;
                }
            }
            if feed.has_gap(log) {
                local.feed = None;
                lost(session);
                break;
            }
            let room = FEED_BYTES.saturating_sub(outbox.bytes()).max(1);
            let batch = feed.next(log, visible, room);
            let Some(last) = batch.last().map(|entry| entry.offset) else {
                break;
            };
            for entry in batch {
                let offset = entry.offset;
                let at = Position { epoch, offset };
                let taken = session.tell_as(frames.of(offset), || kept(key, &entry.message, at));
                (self.counters).handed(u64::from(taken), entry.message.body_len());
            }
            feed.advance(last);
            local.resume = Some(Resume::At(Position {
                epoch,
                offset: last,
            }));
        }
    }

    /// The members of a room at this node take all there is: one that reads too slowly is cut off by
    /// itself.
    fn feed_members(
        &self,
        local: &mut Local<Subscriber>,
        rooms: &LocalRooms,
        (log, visible): (&Log, u64),
        key: &StreamKey,
    ) {
        let Some(feed) = &mut local.feed else {
            return;
        };
        let epoch = log.tip().epoch;
        if feed.has_gap(log) {
            feed.advance(log.floor() - 1);
            self.room_has_gap(rooms, key);
        }
        loop {
            let batch = feed.next(log, visible, DELIVERY_BYTES);
            let Some(last) = batch.last().map(|entry| entry.offset) else {
                break;
            };
            for entry in batch {
                let offset = entry.offset;
                let taken = hand_entry(rooms, key, &entry.message, Position { epoch, offset });
                (self.counters).handed(taken, entry.message.body_len());
            }
            feed.advance(last);
            local.resume = Some(Resume::At(Position {
                epoch,
                offset: last,
            }));
        }
    }

    /// What every node with members has is history.
    fn settle_history(shard: &mut Shard, ctx: &Context<'_>, key: &StreamKey, visible: u64) {
        if shard.awaited.contains_key(key) {
            // Again on the next tick.
            shard.hungry.insert(key.clone());
            return;
        }
        let (locals, guests) = shard.directory.all_of(key);
        let local = locals.iter().filter_map(|local| local.feed.as_ref());
        let guests = guests.iter().filter_map(|guest| guest.progress.as_ref());
        let cursors = (local.map(Feed::cursor))
            .chain(guests.map(|guest| guest.feed.as_ref().map_or(0, Feed::cursor)));
        let upto = cursors.min().unwrap_or(visible);
        if !shard.streams.delivered(ctx, key, upto) {
            // Again on the next tick.
            shard.hungry.insert(key.clone());
        }
    }

    /// The stream of a key is served here from now on.
    pub(super) fn serve(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        key: &StreamKey,
    ) {
        let Shard {
            directory, streams, ..
        } = &mut *shard;
        if let Some((log, _)) = streams.shown(key) {
            for local in directory.locals_mut(key) {
                local.feed = None;
            }
            for progress in
                (directory.guests_mut(key).iter_mut()).filter_map(|g| g.progress.as_mut())
            {
                // Its node thinks that it is registered here, and knows how far the guest is.
                let resumed = log.resume(Resume::At(progress.confirmed));
                if resumed.recovered == Some(false) {
                    // As after a gap.
                    progress.confirmed = resumed.position;
                }
                progress.feed = Some(Feed::new(&resumed, Some(log)));
            }
        }
        self.subscribe(shard, ctx, topology, key);
    }

    /// Lets in the sessions at home that are not, and subscribes them.
    pub(super) fn subscribe(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        key: &StreamKey,
    ) {
        let (mut failed, mut gap) = (!self.give_places(shard, ctx, topology, key), false);
        let Shard {
            directory,
            streams,
            rooms,
            ..
        } = &mut *shard;
        for local in directory.locals_mut(key) {
            let (Home::Here, None, Some(resume)) = (&local.home, &local.feed, local.resume) else {
                continue;
            };
            if local.new && !key.is_room() {
                continue;
            }
            match streams.subscribe(ctx, key, resume) {
                Subscription::From(resumed) => {
                    let log = streams.shown(key).map(|(log, _)| log);
                    local.feed = Some(Feed::new(&resumed, log));
                    members_moved(rooms, key, resume, resumed.position);
                    gap |= self.let_in(local, resumed.position, resumed.recovered);
                }
                Subscription::Busy | Subscription::NotOwner => failed = true,
            }
        }
        if failed {
            directory.subscription_failed(key);
        }
        if gap {
            self.room_has_gap(&shard.rooms, key);
        }
        self.feed(shard, ctx, topology, key);
        if let StreamKey::Room(room) = key {
            self.settle_room(shard, ctx, topology, room);
        }
    }

    /// Tries again what could not be delivered or subscribed.
    pub(super) fn retry_sessions(&self, shard: &mut Shard, ctx: &Context<'_>, topology: &Topology) {
        for key in shard.directory.take_unsubscribed() {
            self.subscribe(shard, ctx, topology, &key);
        }
        shard.awaited.retain(|_, until| ctx.now < *until);
        for key in std::mem::take(&mut shard.hungry) {
            self.feed(shard, ctx, topology, &key);
        }
    }

    /// Welcomes a session, or, if it is in already, lets it go on. Says whether the members of a room
    /// have to hear that something is missing.
    pub(super) fn let_in(
        &self,
        local: &mut Local<Subscriber>,
        position: Position,
        recovered: Option<bool>,
    ) -> bool {
        local.resume = Some(Resume::At(position));
        let gap = recovered == Some(false);
        match &local.handle {
            Subscriber::Members => gap,
            Subscriber::Session(session) => {
                if session.welcome(Some((position, recovered))) {
                    self.tell_connected(session);
                } else if gap {
                    lost(session);
                }
                false
            }
        }
    }
}

/// What comes next for the session is not there any more: it has to hear that, which it does when it
/// comes back with its position.
pub(super) fn lost(session: &Session) {
    session
        .outbox()
        .finish(CloseCode::Restart, "come back with your position");
}

/// The frames of one key's entries, each made once.
struct Frames {
    shared: bool,
    offset: u64,
    encoded: Encoded,
}

impl Frames {
    fn new(sessions: usize) -> Self {
        let shared = sessions > 1;
        Self {
            shared,
            offset: 0,
            encoded: Encoded::of_some(shared),
        }
    }

    /// Those of the entry at that offset, of which only the last one's are kept.
    fn of(&mut self, offset: u64) -> &mut Encoded {
        if self.offset != offset {
            self.encoded = Encoded::of_some(self.shared);
            self.offset = offset;
        }
        &mut self.encoded
    }
}

/// The members of a room at this node go on at another position than that where they were.
pub(super) fn members_moved(
    rooms: &mut LocalRooms,
    key: &StreamKey,
    before: Resume,
    now: Position,
) {
    if let (StreamKey::Room(name), Some(from)) = (key, before.position())
        && from.epoch != now.epoch
    {
        if let Some(room) = rooms.get_mut(name) {
            room.node_moved(from);
        }
        rooms.unsettled(name);
    }
}

/// What is told of a message in a stream.
pub(super) fn kept<'a>(key: &'a StreamKey, message: &'a Message, at: Position) -> Reply<'a> {
    Reply::Message(protocol::Message {
        position: Some(at),
        id: message.id(),
        from: message.from(),
        to: Some(key),
        body: message.body(),
        ts: message.ts_ms,
    })
}
