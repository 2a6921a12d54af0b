//! Who is in which room, in the whole cluster, as the nodes with members tell the room's holders.
//!
//! A user has come when the first node says so, and has left when no node says any more that the user
//! is there: at once if that was the user's will, else after longer than a reconnect takes. The owner
//! announces both; the other holders only keep count, so that whoever is next knows who was there.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::map::{Map, Set};
use crate::id::{NodeId, RoomName, UserId};

/// Who comes back to a room within this time has never left it. A guess at what a reconnect takes,
/// with a redirect and some back-off.
pub const LEAVE_AFTER: Duration = Duration::from_secs(5);

/// What is known of a room that this node does not hold is kept for this time: longer than the views of
/// two nodes differ.
const FORGET_AFTER: Duration = Duration::from_secs(5);

/// The rosters of one shard of the rooms.
#[derive(Debug, Default)]
pub struct Rosters {
    by_room: Map<RoomName, Roster>,
    /// Those who may have left, and when that is certain.
    leaving: VecDeque<(Duration, RoomName, UserId)>,
    /// Rooms in which more or fewer are there than before, without a [`Change`] that says so.
    recounted: Set<RoomName>,
    /// Rooms with [`Roster::unheld_since`].
    unheld: Set<RoomName>,
}

#[derive(Debug, Default)]
struct Roster {
    users: BTreeMap<UserId, Seat>,
    /// Users that are there, without those who may have left.
    present: usize,
    /// Since when this node does not hold the room.
    unheld_since: Option<Duration>,
}

#[derive(Debug, Default)]
struct Seat {
    /// Where the user is; nowhere while it is not certain that the user has left.
    nodes: Vec<NodeId>,
    gone_at: Option<Duration>,
}

/// What a node says of a user and a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The user has just come.
    Came,
    /// The user is there, and has been told of before.
    There,
    /// The user is not there any more, and may come back.
    Gone,
    /// The user has left at will.
    Left,
}

/// A user has come to a room or left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The room.
    pub room: RoomName,
    /// The user.
    pub user: UserId,
    /// Whether the user has come.
    pub joined: bool,
}

/// A part of a roster, in the order of its users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RosterPage {
    /// All users that are there.
    pub count: u64,
    /// Some of them.
    pub users: Vec<UserId>,
    /// There are more behind the last one.
    pub more: bool,
}

impl Rosters {
    /// A node tells who of its sessions' users is in a room; if it tells the `whole`, whom it does not
    /// name is not there. Returns who has come and left by that.
    pub fn update(
        &mut self,
        now: Duration,
        room: &RoomName,
        node: &NodeId,
        (whole, users): (bool, &[(UserId, Standing)]),
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        if whole && let Some(roster) = self.by_room.get_mut(room) {
            let told: Set<&UserId> = users.iter().map(|(user, _)| user).collect();
            let missing = |(user, seat): (&UserId, &Seat)| {
                (seat.nodes.contains(node) && !told.contains(user)).then(|| user.clone())
            };
            let missing: Vec<_> = roster.users.iter().filter_map(missing).collect();
            for user in missing {
                self.remove(now, room, node, &user);
                self.recounted.insert(room.clone());
            }
        }
        for (user, standing) in users {
            let before = self.count(room);
            let news = match standing {
                Standing::Came => self.add(room, node, user),
                Standing::There => {
                    self.add(room, node, user);
                    false
                }
                Standing::Gone => {
                    self.remove(now, room, node, user);
                    false
                }
                Standing::Left => {
                    self.remove(now, room, node, user);
                    self.forget_if_gone(room, user)
                }
            };
            if !news && self.count(room) != before {
                self.recounted.insert(room.clone());
            }
            if news {
                changes.push(Change {
                    room: room.clone(),
                    user: user.clone(),
                    joined: *standing == Standing::Came,
                });
            }
        }
        changes
    }

    /// Says whether that user was nowhere.
    fn forget_if_gone(&mut self, room: &RoomName, user: &UserId) -> bool {
        let Some(roster) = self.by_room.get_mut(room) else {
            return false;
        };
        let gone = (roster.users.get(user)).is_some_and(|seat| seat.nodes.is_empty());
        if gone {
            roster.users.remove(user);
            if roster.users.is_empty() {
                self.by_room.swap_remove(room);
            }
        }
        gone
    }

    /// Says whether that user was not there before.
    fn add(&mut self, room: &RoomName, node: &NodeId, user: &UserId) -> bool {
        let roster = self.by_room.entry(room.clone()).or_default();
        let new = !roster.users.contains_key(user);
        let seat = roster.users.entry(user.clone()).or_default();
        if seat.nodes.is_empty() {
            roster.present += 1;
            seat.gone_at = None;
        }
        if !seat.nodes.contains(node) {
            seat.nodes.push(node.clone());
        }
        new
    }

    fn remove(&mut self, now: Duration, room: &RoomName, node: &NodeId, user: &UserId) {
        let Some(roster) = self.by_room.get_mut(room) else {
            return;
        };
        let Some(seat) = roster.users.get_mut(user) else {
            return;
        };
        let before = seat.nodes.len();
        seat.nodes.retain(|known| known != node);
        if seat.nodes.is_empty() && before > 0 {
            roster.present -= 1;
            let at = now + LEAVE_AFTER;
            seat.gone_at = Some(at);
            self.leaving.push_back((at, room.clone(), user.clone()));
        }
    }

    /// Only the users on nodes that `keep` names are still there.
    pub fn retain_nodes(&mut self, now: Duration, keep: impl Fn(&NodeId) -> bool) {
        let mut gone = Vec::new();
        for (room, roster) in &self.by_room {
            for (user, seat) in &roster.users {
                for node in seat.nodes.iter().filter(|node| !keep(node)) {
                    gone.push((room.clone(), node.clone(), user.clone()));
                }
            }
        }
        for (room, node, user) in gone {
            self.remove(now, &room, &node, &user);
            self.recounted.insert(room);
        }
    }

    /// Rooms in which more or fewer may be there than at the last call, without a [`Change`] that says
    /// so: somebody may have left, has come back in time, or was told of by a node that had told others
    /// before.
    pub fn take_recounted(&mut self) -> Set<RoomName> {
        std::mem::take(&mut self.recounted)
    }

    /// These rooms this node holds; others are forgotten if it does not hold them soon again: who has
    /// told it of them may never learn that it did not for a moment.
    pub fn hold(&mut self, now: Duration, holds: impl Fn(&RoomName) -> bool) {
        for (room, roster) in &mut self.by_room {
            if holds(room) {
                roster.unheld_since = None;
            } else {
                roster.unheld_since.get_or_insert(now);
                self.unheld.insert(room.clone());
            }
        }
    }

    /// Time has passed. Returns who has left, for certain.
    pub fn expire(&mut self, now: Duration) -> Vec<Change> {
        let Self { by_room, .. } = self;
        self.unheld.retain(|room| {
            let since = by_room.get(room).and_then(|roster| roster.unheld_since);
            let waits = since.is_some_and(|since| now < since + FORGET_AFTER);
            if since.is_some() && !waits {
                by_room.swap_remove(room);
            }
            waits
        });
        let mut left = Vec::new();
        while self.leaving.front().is_some_and(|(at, ..)| *at <= now)
            && let Some((at, room, user)) = self.leaving.pop_front()
        {
            let seat = self.by_room.get(&room).and_then(|r| r.users.get(&user));
            if seat.is_none_or(|seat| seat.gone_at != Some(at)) {
                continue;
            }
            self.forget_if_gone(&room, &user);
            left.push(Change {
                room,
                user,
                joined: false,
            });
        }
        left
    }

    /// Who is in a room: at most `max` users behind `after`.
    #[must_use]
    pub fn page(&self, room: &RoomName, after: Option<&UserId>, max: usize) -> RosterPage {
        use std::ops::Bound;
        let Some(roster) = self.by_room.get(room) else {
            return RosterPage {
                count: 0,
                users: Vec::new(),
                more: false,
            };
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let users = roster.users.range::<UserId, _>((from, Bound::Unbounded));
        let mut there = users.filter(|(_, seat)| !seat.nodes.is_empty());
        let users: Vec<_> = there
            .by_ref()
            .take(max)
            .map(|(user, _)| user.clone())
            .collect();
        RosterPage {
            count: roster.present as u64,
            users,
            more: there.next().is_some(),
        }
    }

    /// How many users are in a room.
    #[must_use]
    pub fn count(&self, room: &RoomName) -> u64 {
        self.by_room
            .get(room)
            .map_or(0, |roster| roster.present as u64)
    }

    /// Every room with its users, and the nodes where each is; nowhere is who may have left.
    pub fn all(&self) -> impl Iterator<Item = (&RoomName, Vec<(UserId, Vec<NodeId>)>)> {
        self.by_room.iter().map(|(room, roster)| {
            let users = roster.users.iter();
            let users = users.map(|(user, seat)| (user.clone(), seat.nodes.clone()));
            (room, users.collect())
        })
    }

    /// Rooms in which somebody is, or may still be.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_room.len()
    }

    /// Whether nobody is in any room.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_room.is_empty()
    }
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
