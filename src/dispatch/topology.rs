//! The members, the ring and the links, as one immutable snapshot, and what changes with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::shard::{Locked, Subscriber};
use super::{Dispatch, PeerLink};
use crate::core::consent::Consents;
use crate::core::directory::Moved;
use crate::core::peer::{Outcome, Request};
use crate::core::view::{Member, MemberState, View};
use crate::id::NodeId;

/// A view with the link to each of its members.
#[derive(Debug)]
pub struct Topology {
    /// The members and the ring.
    pub view: Arc<View>,
    /// Tells this view from the others of this node: it grows with each, from 1.
    pub number: u64,
    /// What the other members have agreed to.
    pub consents: Arc<Consents>,
    /// In the order of the view's members; `None` for this node and for those that are down.
    links: Vec<Option<Arc<PeerLink>>>,
}

impl Topology {
    pub(super) fn alone(view: Arc<View>) -> Self {
        let links = vec![None; view.members.len()];
        let consents = Arc::new(Consents::new(&view));
        Self {
            view,
            number: 1,
            consents,
            links,
        }
    }

    /// The same, but for the consents.
    pub(super) fn with_consents(&self, consents: Arc<Consents>) -> Self {
        Self {
            view: Arc::clone(&self.view),
            number: self.number,
            consents,
            links: self.links.clone(),
        }
    }

    /// The owner of a user, unless it is this node. Before a node is on any ring it serves whoever
    /// comes.
    #[must_use]
    pub fn owner_elsewhere(&self, user: &str) -> Option<&Member> {
        self.view.owner(user).filter(|o| o.id != self.view.me)
    }

    /// Whether this node owns the user.
    #[must_use]
    pub fn is_mine(&self, user: &str) -> bool {
        self.owner_elsewhere(user).is_none()
    }

    /// Whether this node owns the user, and has heard of all sessions that others have of theirs, as
    /// [`Context::may_serve`](crate::core::stream::Context::may_serve).
    pub(super) fn may_serve(&self, user: &str) -> bool {
        self.is_mine(user) && self.consents.given(self.view.ring.hash(user.as_bytes()))
    }

    /// The link to a live member.
    #[must_use]
    pub fn link(&self, node: &NodeId) -> Option<&Arc<PeerLink>> {
        let members = &self.view.members;
        let index = members.binary_search_by(|m| m.id.cmp(node)).ok()?;
        self.links.get(index)?.as_ref()
    }

    /// The links to all live members.
    pub fn links(&self) -> impl Iterator<Item = &Arc<PeerLink>> {
        self.links.iter().flatten()
    }

    /// Whether a client may be sent there.
    #[must_use]
    pub fn is_reachable(&self, node: &NodeId) -> bool {
        self.link(node).is_some_and(|link| link.is_reachable())
    }
}

impl Dispatch {
    /// Takes over a new view: makes and ends links, gives every session the owner it has now, and
    /// routes anew what waited for members that are gone. One caller at a time.
    pub fn publish(&self, view: Arc<View>) -> Arc<Topology> {
        // Where nobody has to be asked all is taken over in here.
        let before = (self.since_start(), self.taken_over());
        let (old, new) = {
            let mut consents = super::locked(&self.consents);
            consents.on_view(self.since_start(), &view);
            let old = self.topology.load_full();
            let links = view.members.iter();
            let new = Arc::new(Topology {
                links: links.map(|member| self.link_for(&old, member)).collect(),
                view,
                number: old.number + 1,
                consents: Arc::new(consents.clone()),
            });
            self.topology.store(Arc::clone(&new));
            (old, new)
        };
        self.counters
            .suspicions
            .add_many(suspicions(&old.view, &new.view));
        let gone = |node: &NodeId| new.link(node).is_none();
        for shard in &self.shards {
            {
                let shard = &mut *super::locked(shard);
                // What held up these rooms may be gone.
                let rooms = shard.directory.retain_guests(|node| !gone(node));
                shard.hungry.extend(rooms);
            }
            self.rehome(&new, shard);
        }
        self.with_each_shard(|shard, ctx, topology| {
            shard.streams.on_view(ctx);
            self.retry_sessions(shard, ctx, topology);
            self.retry_lanes(shard, ctx, topology, true);
            self.rooms_on_view(shard, ctx, topology);
            self.watches_on_view(shard, ctx, topology);
        });
        self.note_view(&old, &new, before);
        self.expect_reports(&old, &new);
        for link in old.links() {
            let kept = new.link(link.node());
            if kept.is_none_or(|kept| !Arc::ptr_eq(kept, link)) {
                self.retire(link);
            }
        }
        self.ask_for_consent();
        new
    }

    fn link_for(&self, old: &Topology, member: &Member) -> Option<Arc<PeerLink>> {
        if member.id == self.me || member.state == MemberState::Down {
            return None;
        }
        let known = old.link(&member.id);
        let same = known.filter(|l| l.is_for(&member.id, member.generation, &member.peer));
        Some(same.cloned().unwrap_or_else(|| {
            Arc::new(PeerLink::new(
                member.id.clone(),
                member.generation,
                Arc::clone(&member.peer),
                self.config.link,
                Arc::clone(&self.counters),
            ))
        }))
    }

    fn rehome(&self, topology: &Topology, shard: &Locked) {
        let owner_of = |key: &crate::id::StreamKey| {
            let owner = topology.owner_elsewhere(key.as_str());
            owner.map(|member| member.id.clone())
        };
        let moved = {
            let directory = &mut super::locked(shard).directory;
            let mut moved = directory.rehome(owner_of);
            for registration in moved.iter_mut().filter_map(|moved| moved.left.take()) {
                self.take_back(topology, registration);
            }
            self.retry_registrations(directory, topology);
            moved
        };
        let draining = self.draining.load(Ordering::Relaxed);
        for Moved { handle, home, .. } in moved {
            let Subscriber::Session(handle) = handle else {
                continue;
            };
            // One that came home is welcomed once it is subscribed.
            if !home && handle.may_move() && !draining {
                super::locked(&self.moving).push_back(Arc::downgrade(&handle));
            }
        }
    }

    /// A link whose peer is gone: what was sent has no known outcome, what was not is routed anew.
    fn retire(&self, link: &Arc<PeerLink>) {
        link.gone().cancel();
        self.link_disconnected(link);
        let unsent = link.lock().take_unsent();
        for (request, origin) in unsent {
            match request {
                Request::Envelope(envelope) if !envelope.to_guests => {
                    let hops = envelope.hops.saturating_sub(1);
                    self.route(crate::core::peer::Envelope { hops, ..envelope }, origin);
                }
                Request::Envelope(_) => self.settle(origin, Outcome::Offline),
                // Its lane sends it again.
                Request::Append(_) => self.settle(origin, Outcome::Busy),
                _ => self.settle_by(origin, Outcome::Unreachable, link.node()),
            }
        }
    }
}

/// Members that are suspect now and were not before.
fn suspicions(old: &View, new: &View) -> u64 {
    let is_suspect = |member: &Member| member.state == MemberState::Suspect;
    let suspect = new.members.iter().filter(|member| is_suspect(member));
    let is_new = |member: &&Member| !old.member(&member.id).is_some_and(is_suspect);
    suspect.filter(is_new).count() as u64
}
