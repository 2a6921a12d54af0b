//! Who is in which room: what this node tells the holders, and, where it is one, what it tells the
//! members and whoever asks.

use std::sync::Arc;

use super::shard::Shard;
use super::{Dispatch, Origin, Session, Topology};
use crate::core::api::route::ROOM_USERS_MAX;
use crate::core::peer::{Answer, Outcome, Request};
use crate::core::protocol::{Encoded, Reply};
use crate::core::roster::{Change, RosterPage, Standing};
use crate::core::stream::Context;
use crate::core::telling::Update;
use crate::core::view::MemberState;
use crate::id::{NodeId, RoomName, StreamKey, UserId};

/// Users of a room that are named at a time, to clients.
const ROSTER_MAX: u32 = ROOM_USERS_MAX;

impl Dispatch {
    /// The holders of a room, as the view has them.
    pub(super) fn aim(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        room: &RoomName,
    ) {
        let preferred = ctx.view.preference(room.as_str());
        let holders: Vec<_> = preferred
            .take(ctx.config.replicas)
            .map(|member| (member.id != self.me).then(|| (member.id.clone(), member.generation)))
            .collect();
        let Some(known) = shard.rooms.get_mut(room) else {
            return;
        };
        let mut changes = Vec::new();
        let alive = |node: &NodeId, generation| {
            let member = ctx.view.members.iter().find(|member| member.id == *node);
            member.is_some_and(|m| m.generation == generation && m.state != MemberState::Down)
        };
        if known.aim(&holders, alive) && self.holds_room(ctx, room) {
            let users = known.users();
            changes = (shard.rosters).update(ctx.now, room, &self.me, (true, &users));
        }
        known.told_all_if_owner();
        self.announce(shard, ctx, topology, changes);
    }

    pub(super) fn holds_room(&self, ctx: &Context<'_>, room: &RoomName) -> bool {
        let mut holders = ctx.view.preference(room.as_str()).take(ctx.config.replicas);
        ctx.view.ring.is_empty() || holders.any(|member| member.id == self.me)
    }

    /// A user of this node has come or gone, which counts if it is a holder.
    pub(super) fn count_here(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        room: &RoomName,
        user: &UserId,
    ) {
        if !self.holds_room(ctx, room) {
            return;
        }
        let Some(known) = shard.rooms.get_mut(room) else {
            return;
        };
        let users = [(user.clone(), known.standing(user))];
        let came = (shard.rosters).update(ctx.now, room, &self.me, (false, &users));
        known.told_if_owner(user);
        self.announce(shard, ctx, topology, came);
    }

    pub(super) fn tell_holders(&self, shard: &mut Shard, topology: &Topology, room: &RoomName) {
        let Some(known) = shard.rooms.get_mut(room) else {
            return;
        };
        for update in known.updates() {
            let Update {
                to,
                number,
                whole,
                users,
            } = update;
            let standing = |user: UserId| {
                let standing = known.standing(&user);
                (user, standing)
            };
            let request = Request::Members {
                room: room.clone(),
                whole,
                users: users.into_iter().map(standing).collect(),
            };
            let origin = Origin::Members {
                room: room.clone(),
                number,
            };
            let link = topology.link(&to).filter(|link| link.is_connected());
            let deadline = self.clock.now() + self.config.copy_timeout;
            let told = link.is_some_and(|l| l.push(request, Some(origin), deadline).is_ok());
            if !told {
                known.update_answered(&to, number, Outcome::Unreachable);
            }
        }
    }

    /// A holder has been told who is here, or nobody knows.
    pub(super) fn members_answered(
        &self,
        by: &NodeId,
        room: &RoomName,
        number: u64,
        outcome: Outcome,
    ) {
        let key = StreamKey::Room(room.clone());
        self.with_shard(&key, |shard, ctx, topology| {
            if let Some(known) = shard.rooms.get_mut(room) {
                known.update_answered(by, number, outcome);
            }
            if outcome == Outcome::Done {
                self.settle_room(shard, ctx, topology, room);
            } else {
                shard.rooms.unsettled(room);
            }
        });
    }

    /// A node tells who of its sessions' users is in a room.
    pub(super) fn take_members(
        &self,
        node: &NodeId,
        room: &RoomName,
        whole: bool,
        users: &[(UserId, Standing)],
    ) -> Outcome {
        let key = StreamKey::Room(room.clone());
        self.with_shard(&key, |shard, ctx, topology| {
            if !self.holds_room(ctx, room) {
                // It would keep that for ever; and what it still has is told anew if it holds it again.
                shard.rosters.update(ctx.now, room, node, (true, &[]));
                return Outcome::NotOwner;
            }
            let came = shard.rosters.update(ctx.now, room, node, (whole, users));
            self.announce(shard, ctx, topology, came);
            Outcome::Done
        })
    }

    /// The owner tells the members of its rooms who has come and gone.
    pub(super) fn announce(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
        changes: Vec<Change>,
    ) {
        for Change { room, user, joined } in changes {
            let key = StreamKey::Room(room.clone());
            if !ctx.is_mine(&key) {
                continue;
            }
            let count = shard.rosters.count(&room);
            self.announce_here(shard, ctx, (&room, &user), (joined, count));
            let mut nodes = shard.watchers.of(&key).to_vec();
            if self.config.rooms.announces(room.as_str(), count) {
                nodes.extend(shard.directory.guest_nodes(&key));
                nodes.sort();
                nodes.dedup();
            }
            for node in nodes {
                let request = Request::Announce {
                    room: room.clone(),
                    user: user.clone(),
                    joined,
                    count,
                };
                let link = topology.link(&node).filter(|link| link.is_connected());
                if let Some(link) = link {
                    let _ = link.push(request, None, self.deadline());
                }
            }
        }
    }

    /// The owner of a room tells who has come or gone, and how many are there now.
    pub(super) fn take_announcement(
        &self,
        who: (&RoomName, &UserId),
        (joined, count): (bool, u64),
    ) {
        self.with_shard(&StreamKey::Room(who.0.clone()), |shard, ctx, _| {
            self.announce_here(shard, ctx, who, (joined, count));
        });
    }

    fn announce_here(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        (room, user): (&RoomName, &UserId),
        (joined, count): (bool, u64),
    ) {
        Self::tell_room_watchers(shard, ctx, (room, user), (joined, count));
        let announced = self.config.rooms.announces(room.as_str(), count);
        let Some(known) = shard.rooms.get(room).filter(|_| announced) else {
            return;
        };
        let change = Reply::Member { room, user, joined };
        let mut encoded = Encoded::default();
        for (session, _) in known.live().filter(|(_, member)| *member != user) {
            session.tell_as(&mut encoded, || change);
        }
        self.counters.announcements.add();
    }

    /// Who is in a room that this node owns; `None` if it does not.
    pub(super) fn roster_page(
        &self,
        room: &RoomName,
        after: Option<&UserId>,
        max: u32,
    ) -> Option<RosterPage> {
        let key = StreamKey::Room(room.clone());
        let max = usize::try_from(max.min(ROSTER_MAX)).unwrap_or(usize::MAX);
        self.with_shard(&key, |shard, ctx, _| {
            (ctx.may_serve(&key)).then(|| shard.rosters.page(room, after, max))
        })
    }

    /// A client asks who is in a room. The answer goes to its outbox, now or later.
    pub fn room_presence(
        &self,
        session: &Arc<Session>,
        id: &str,
        room: RoomName,
        after: Option<UserId>,
    ) {
        let max = ROSTER_MAX;
        let origin = Origin::Roster {
            session: Arc::clone(session),
            id: Box::from(id),
            room: room.clone(),
        };
        let topology = self.topology.load();
        let Some(owner) = topology.owner_elsewhere(room.as_str()) else {
            return match self.roster_page(&room, after.as_ref(), max) {
                Some(page) => {
                    self.settle_with(origin, Outcome::Done, Answer::Roster(page), None);
                }
                None => self.settle(Some(origin), Outcome::Busy),
            };
        };
        let refused = match topology.link(&owner.id) {
            None => Some(origin),
            Some(link) => {
                let request = Request::Roster { room, after, max };
                let pushed = link.push(request, Some(origin), self.deadline());
                pushed.err().and_then(|full| full.0.1)
            }
        };
        self.settle(refused, Outcome::Unreachable);
    }

    /// That node may have forgotten what this one has told it.
    pub(super) fn tell_members_anew(&self, shard: &mut Shard, topology: &Topology, node: &NodeId) {
        let rooms: Vec<RoomName> = shard.rooms.names().cloned().collect();
        for room in rooms {
            if let Some(known) = shard.rooms.get_mut(&room) {
                known.tell_anew(node);
                self.tell_holders(shard, topology, &room);
                shard.rooms.unsettled(&room);
            }
        }
    }
}
