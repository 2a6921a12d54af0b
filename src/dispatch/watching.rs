//! Changes of presence, from the owners to the sessions that want to hear of them.

use std::sync::Arc;

use super::shard::Shard;
use super::{Dispatch, Origin, Session, Topology};
use crate::core::peer::{Answer, Outcome, Request};
use crate::core::protocol::{Encoded, Reply};
use crate::core::stream::Context;
use crate::core::watch::News;
use crate::id::{Generation, NodeId, RoomName, StreamKey, UserId};

/// Users and rooms whose changes one session may want to hear of. A guess: as many as fit into a few
/// requests.
pub const WATCHED_MAX: usize = 1024;

impl Dispatch {
    /// A client wants to hear of changes from now on, or not any more. Says whether it may: at most
    /// [`WATCHED_MAX`] together.
    pub fn watch(&self, session: &Arc<Session>, keys: &[StreamKey], wanted: bool) -> bool {
        if !wanted {
            for key in keys {
                if session.unwatch(key) {
                    self.unwatch(session, key);
                }
            }
            return true;
        }
        let may = session.watch(keys, WATCHED_MAX);
        if may {
            for key in keys {
                self.with_shard(key, |shard, ctx, topology| {
                    if !session.is_gone() {
                        let handle = Arc::clone(session);
                        shard.watches.add(ctx.now, key, session.id(), handle);
                        shard.directory.remember_turned();
                        self.ask_watched(shard, ctx, topology);
                    }
                });
            }
        }
        may
    }

    /// The session does not want to hear of a key any more.
    pub(super) fn unwatch(&self, session: &Session, key: &StreamKey) {
        self.with_shard(key, |shard, _, topology| {
            let last = shard.watches.remove(key, session.id());
            if last && let Some(owner) = topology.owner_elsewhere(key.as_str()) {
                let request = Request::Unwatch { key: key.clone() };
                if let Some(link) = topology.link(&owner.id).filter(|l| l.is_connected()) {
                    // If it is lost the owner tells a node that does not care.
                    let _ = link.push(request, None, self.deadline());
                }
            }
        });
    }

    /// Asks the owners that are to be asked.
    pub(super) fn ask_watched(&self, shard: &mut Shard, ctx: &Context<'_>, topology: &Topology) {
        for key in shard.watches.due(ctx.now) {
            let owner = owner_of(topology, &key);
            let Some(number) = shard.watches.asking(&key, owner.clone()) else {
                continue;
            };
            let Some((owner, _)) = owner else {
                if !ctx.may_serve(&key) {
                    shard.watches.not_answered(&key);
                    continue;
                }
                let count = present(shard, &key);
                let news = shard.watches.answered(ctx.now, &key, (number, count));
                tell(&key, news);
                continue;
            };
            let origin = Origin::Watch {
                key: key.clone(),
                number,
            };
            let request = Request::Watch { key: key.clone() };
            let asked = topology.link(&owner).is_some_and(|link| {
                link.is_connected() && link.push(request, Some(origin), self.deadline()).is_ok()
            });
            if !asked {
                shard.watches.not_answered(&key);
            }
        }
    }

    /// An owner has answered, or did not.
    pub(super) fn watch_answered(&self, key: &StreamKey, number: u64, count: Option<u64>) {
        self.with_shard(key, |shard, ctx, _| match count {
            None => shard.watches.not_answered(key),
            Some(count) => {
                let news = shard.watches.answered(ctx.now, key, (number, count));
                tell(key, news);
            }
        });
    }

    /// A node wants to hear of a key that this one owns.
    pub(super) fn take_watch(&self, node: &NodeId, key: &StreamKey) -> (Outcome, Answer) {
        self.with_shard(key, |shard, ctx, _| {
            if !ctx.may_serve(key) {
                return (Outcome::NotOwner, Answer::None);
            }
            shard.watchers.add(key, node);
            shard.directory.remember_turned();
            (Outcome::Done, Answer::Count(present(shard, key)))
        })
    }

    /// A node does not want to hear of a key any more.
    pub(super) fn take_unwatch(&self, node: &NodeId, key: &StreamKey) {
        self.shard(key).watchers.remove(key, node);
    }

    /// The owner says how many are there now.
    pub(super) fn take_presence(&self, key: &StreamKey, count: u64) {
        self.with_shard(key, |shard, ctx, _| {
            let news = shard.watches.heard(ctx.now, key, count);
            tell(key, news);
        });
    }

    /// Somebody has come to a room or left it: tells the sessions here that want to hear of that.
    pub(super) fn tell_room_watchers(
        shard: &mut Shard,
        ctx: &Context<'_>,
        (room, user): (&RoomName, &UserId),
        (joined, count): (bool, u64),
    ) {
        let key = StreamKey::Room(room.clone());
        // They hear of it in any case, and with its name.
        let _ = shard.watches.heard(ctx.now, &key, count);
        let change = Reply::RoomChanged {
            room,
            count,
            who: Some((user, joined)),
        };
        let mut encoded = Encoded::default();
        for session in shard.watches.watchers(&key) {
            session.tell_as(&mut encoded, || change);
        }
    }

    /// Tells of users who have come or gone, and of rooms in which more or fewer are there although
    /// nobody has come or left for certain; and asks what is to be asked.
    pub(super) fn tick_watches(&self, shard: &mut Shard, ctx: &Context<'_>, topology: &Topology) {
        let wanted = !(shard.watches.is_empty() && shard.watchers.is_empty());
        let users = shard.directory.take_turned(wanted);
        let rooms = shard.rosters.take_recounted().into_iter();
        let rooms = rooms.filter(|_| wanted).map(StreamKey::Room);
        for key in users.into_iter().chain(rooms) {
            if !ctx.is_mine(&key) {
                continue;
            }
            let count = present(shard, &key);
            let news = shard.watches.heard(ctx.now, &key, count);
            tell(&key, news);
            for node in shard.watchers.of(&key) {
                let request = Request::Presence {
                    key: key.clone(),
                    count,
                };
                let link = topology.link(node).filter(|link| link.is_connected());
                if let Some(link) = link {
                    let _ = link.push(request, None, self.deadline());
                }
            }
        }
        self.ask_watched(shard, ctx, topology);
    }

    /// Brings what is watched in line with the view.
    pub(super) fn watches_on_view(
        &self,
        shard: &mut Shard,
        ctx: &Context<'_>,
        topology: &Topology,
    ) {
        shard.watches.on_view(|key| owner_of(topology, key));
        let alive = |node: &NodeId| topology.link(node).is_some();
        shard.watchers.retain(alive, |key| ctx.is_mine(key));
        self.ask_watched(shard, ctx, topology);
    }
}

fn owner_of(topology: &Topology, key: &StreamKey) -> Option<(NodeId, Generation)> {
    let owner = topology.owner_elsewhere(key.as_str());
    owner.map(|member| (member.id.clone(), member.generation))
}

/// How many are there, as this node knows as the owner.
fn present(shard: &Shard, key: &StreamKey) -> u64 {
    match key {
        StreamKey::Inbox(_) => u64::from(shard.directory.is_online(key)),
        StreamKey::Room(room) => shard.rosters.count(room),
    }
}

fn tell(key: &StreamKey, news: Option<News<Arc<Session>>>) {
    let Some(News { count, watchers }) = news else {
        return;
    };
    let change = match key {
        StreamKey::Inbox(user) => Reply::UserChanged {
            user,
            online: count > 0,
        },
        StreamKey::Room(room) => Reply::RoomChanged {
            room,
            count,
            who: None,
        },
    };
    let mut encoded = Encoded::default();
    for session in watchers {
        session.tell_as(&mut encoded, || change);
    }
}
