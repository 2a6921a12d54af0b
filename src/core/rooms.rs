//! The sessions of this node that are in rooms, for one shard of the rooms.
//!
//! To its room's owner all members at a node are one subscriber: a message comes here once and is
//! handed to each of them. Where that subscriber stands in the stream is known by the directory, as
//! for any other; here is who wants what comes, who is not that far yet, and which of it the holders
//! have been told ([`super::telling`]).
//!
//! A member is *joining* until the node is subscribed and the owner knows that its user is there; it
//! *catches up*, if it wants what came before, page by page; then it is *live*. Nothing of a room comes
//! before its `join` is answered.
//!
//! `H` is the handle by which the shell reaches a session, `J` what answers its `join`.

mod advance;
mod fetch;

pub use self::fetch::{Fetch, Fetched, Joined};

use super::map::{Map, Set};
use super::peer::Outcome;
use super::roster::Standing;
use super::stream::{Position, Resume};
use super::telling::{Acknowledged, Telling, Update};
use crate::id::{Generation, NodeId, RoomName, SessionId, UserId};

/// One shard of the rooms.
#[derive(Debug)]
pub struct Rooms<H, J> {
    by_name: Map<RoomName, Room<H, J>>,
    /// Rooms with members that are not live, or of which something has to be told.
    restless: Set<RoomName>,
}

/// A room that has members here.
#[derive(Debug)]
pub struct Room<H, J> {
    members: Map<SessionId, Member<H, J>>,
    /// Those that are not live.
    waiting: Set<SessionId>,
    seats: Map<UserId, Seat>,
    /// Users who have left at will, until all holders know.
    left: Set<UserId>,
    /// What the holders have been told of [`Self::seats`].
    telling: Telling,
    /// How often something was fetched for a member.
    fetches: u64,
}

/// A user with sessions in a room.
#[derive(Debug, Default)]
struct Seat {
    sessions: u32,
    /// An owner knows of it.
    told: bool,
}

#[derive(Debug)]
struct Member<H, J> {
    handle: H,
    user: UserId,
    stage: Stage<J>,
}

#[derive(Debug)]
enum Stage<J> {
    Joining {
        since: Option<Resume>,
        join: J,
        /// For what it has missed.
        asked: Option<Asked>,
    },
    /// It could be let in there, but its `join`, of several rooms, is not answered yet: nothing comes
    /// before that.
    Answering { at: Position, join: J },
    CatchingUp {
        /// It has everything up to there.
        at: Position,
        asked: Option<Asked>,
    },
    Live {
        /// It has been given everything up to there already.
        after: Option<Position>,
    },
}

/// A page of what a member has missed is on its way.
#[derive(Debug, Clone, Copy)]
struct Asked {
    number: u64,
    /// Where the node was in the stream when it asked.
    live: Position,
}

/// What changed when somebody left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Nobody is in the room any more at this node.
    pub empty: bool,
    /// The user has no other session in it.
    pub last_of_user: bool,
}

impl<H, J> Default for Rooms<H, J> {
    fn default() -> Self {
        Self {
            by_name: Map::default(),
            restless: Set::default(),
        }
    }
}

impl<H: Clone, J> Rooms<H, J> {
    /// A session wants to be in a room, and, with `since`, to have what came behind there. One that
    /// is in it already joins anew. Says whether it is the first one here.
    pub fn join(
        &mut self,
        name: &RoomName,
        (id, handle, user): (SessionId, H, &UserId),
        since: Option<Resume>,
        join: J,
    ) -> bool {
        let room = (self.by_name.entry(name.clone())).or_insert_with(|| Room {
            members: Map::default(),
            waiting: Set::default(),
            seats: Map::default(),
            left: Set::default(),
            telling: Telling::default(),
            fetches: 0,
        });
        let first = room.members.is_empty();
        let stage = Stage::Joining {
            since,
            join,
            asked: None,
        };
        let member = Member {
            handle,
            user: user.clone(),
            stage,
        };
        if room.members.insert(id, member).is_none() {
            let seat = room.seats.entry(user.clone()).or_default();
            seat.sessions += 1;
            if seat.sessions == 1 {
                room.left.swap_remove(user);
                room.telling.changed(user);
            }
        }
        room.waiting.insert(id);
        self.restless.insert(name.clone());
        first
    }

    /// A session is no longer in a room, `at_will` or because its connection ended; `None` if it was
    /// not.
    pub fn leave(&mut self, name: &RoomName, id: SessionId, at_will: bool) -> Option<Left> {
        let room = self.by_name.get_mut(name)?;
        let member = room.members.swap_remove(&id)?;
        room.waiting.swap_remove(&id);
        if let Some(seat) = room.seats.get_mut(&member.user) {
            seat.sessions -= 1;
            if seat.sessions == 0 {
                room.seats.swap_remove(&member.user);
                if at_will {
                    room.left.insert(member.user.clone());
                }
                room.telling.changed(&member.user);
                self.restless.insert(name.clone());
            }
        }
        Some(Left {
            empty: room.members.is_empty(),
            last_of_user: !room.seats.contains_key(&member.user),
        })
    }

    /// A room that has, or just had, members here.
    pub fn get_mut(&mut self, name: &RoomName) -> Option<&mut Room<H, J>> {
        self.by_name.get_mut(name)
    }

    /// The same, to be looked at.
    #[must_use]
    pub fn get(&self, name: &RoomName) -> Option<&Room<H, J>> {
        self.by_name.get(name)
    }

    /// Every room with members here.
    pub fn names(&self) -> impl Iterator<Item = &RoomName> {
        self.by_name.keys()
    }

    /// Something of that room has to be tried again.
    pub fn unsettled(&mut self, name: &RoomName) {
        self.restless.insert(name.clone());
    }

    /// Rooms to be looked at again.
    pub fn take_restless(&mut self) -> Set<RoomName> {
        std::mem::take(&mut self.restless)
    }

    /// Forgets a room in which nobody is and of which nothing is left to be told.
    pub fn forget_if_empty(&mut self, name: &RoomName) {
        let done = |room: &Room<H, J>| room.members.is_empty() && room.telling.is_done();
        if self.by_name.get(name).is_some_and(done) {
            self.by_name.swap_remove(name);
        }
    }
}

impl<H: Clone, J> Room<H, J> {
    /// Whether the user has a session here.
    #[must_use]
    pub fn has(&self, user: &UserId) -> bool {
        self.seats.contains_key(user)
    }

    /// Users with a session here.
    #[must_use]
    pub fn users(&self) -> Vec<(UserId, Standing)> {
        let users = self.seats.keys();
        users
            .map(|user| (user.clone(), self.standing(user)))
            .collect()
    }

    /// What is to be said of a user.
    #[must_use]
    pub fn standing(&self, user: &UserId) -> Standing {
        match self.seats.get(user) {
            None if self.left.contains(user) => Standing::Left,
            None => Standing::Gone,
            Some(seat) if seat.told => Standing::There,
            Some(_) => Standing::Came,
        }
    }

    /// These hold the room: see [`Telling::aim`].
    pub fn aim(
        &mut self,
        holders: &[Option<(NodeId, Generation)>],
        alive: impl Fn(&NodeId, Generation) -> bool,
    ) -> bool {
        self.telling.aim(holders, alive)
    }

    /// What is to be told to the holders now.
    pub fn updates(&mut self) -> Vec<Update> {
        if self.telling.is_done() {
            self.left.clear();
        }
        let seats = &self.seats;
        self.telling.next(|| seats.keys())
    }

    /// See [`Telling::answered`].
    pub fn update_answered(&mut self, by: &NodeId, number: u64, outcome: Outcome) {
        if let Some(acknowledged) = self.telling.answered(by, number, outcome) {
            self.acknowledge(&acknowledged);
        }
    }

    /// That holder may have forgotten what it was told.
    pub fn tell_anew(&mut self, holder: &NodeId) {
        self.telling.lost(holder);
    }

    /// A user was counted at this node: if it is the owner, that is all there is to tell.
    pub fn told_if_owner(&mut self, user: &UserId) {
        if self.telling.is_owner()
            && let Some(seat) = self.seats.get_mut(user)
        {
            seat.told = true;
        }
    }

    /// As [`Self::told_if_owner`], of all users.
    pub fn told_all_if_owner(&mut self) {
        if self.telling.is_owner() {
            self.acknowledge(&Acknowledged::Whole);
        }
    }

    fn acknowledge(&mut self, what: &Acknowledged) {
        let Self { seats, telling, .. } = self;
        match what {
            Acknowledged::Whole => {
                for (user, seat) in seats {
                    seat.told |= telling.knows(user);
                }
            }
            Acknowledged::Part(users) => {
                for user in users {
                    if let Some(seat) = seats.get_mut(user) {
                        seat.told |= telling.knows(user);
                    }
                }
            }
        }
    }

    /// Members whose `join` is given up, because it has waited too long.
    pub fn late(&mut self, give_up: impl Fn(&J) -> bool) -> Vec<H> {
        let late = self.waiting.iter().filter_map(|id| {
            let member = self.members.get(id)?;
            match &member.stage {
                Stage::Joining { join, .. } if give_up(join) => Some(member.handle.clone()),
                _ => None,
            }
        });
        late.collect()
    }

    /// Whether nobody waits for anything, and the holders know who is here.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.waiting.is_empty() && self.telling.is_done()
    }

    /// All sessions that are in it, or are about to be.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.members.keys().copied()
    }

    /// Sessions that are in it, with their users.
    pub fn live(&self) -> impl Iterator<Item = (&H, &UserId)> {
        let members = self.members.values();
        let live = members.filter(|member| matches!(member.stage, Stage::Live { .. }));
        live.map(|member| (&member.handle, &member.user))
    }

    /// Those of them that have not been given what stands at that position.
    pub fn wanting(&self, at: Position) -> impl Iterator<Item = (&H, &UserId)> {
        let wants = move |member: &&Member<H, J>| match &member.stage {
            Stage::Live { after: None } => true,
            Stage::Live { after: Some(after) } => {
                after.epoch != at.epoch || after.offset < at.offset
            }
            Stage::Joining { .. } | Stage::Answering { .. } | Stage::CatchingUp { .. } => false,
        };
        let members = self.members.values().filter(wants);
        members.map(|member| (&member.handle, &member.user))
    }
}

#[cfg(test)]
#[path = "rooms_tests.rs"]
mod tests;
