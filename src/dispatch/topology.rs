//! The members, the ring and the links, as one immutable snapshot, and what changes with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Dispatch, PeerLink};
use crate::core::directory::Moved;
use crate::core::peer::{Outcome, Request};
use crate::core::view::{Member, MemberState, View};
use crate::id::NodeId;

/// A view with the link to each of its members.
#[derive(Debug)]
pub struct Topology {
    /// The members and the ring.
    pub view: Arc<View>,
    /// In the order of the view's members; `None` for this node and for those that are down.
    links: Vec<Option<Arc<PeerLink>>>,
}

impl Topology {
    pub(super) fn alone(view: Arc<View>) -> Self {
        let links = vec![None; view.members.len()];
        Self { view, links }
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
        let old = self.topology.load_full();
        let links = view
            .members
            .iter()
            .map(|m| self.link_for(&old, m))
            .collect();
        let new = Arc::new(Topology { view, links });
        self.topology.store(Arc::clone(&new));

        let gone = |node: &NodeId| new.link(node).is_none();
        for shard in &self.shards {
            super::locked(shard).retain_guests(|node| !gone(node));
            self.rehome(&new, shard);
        }
        for link in old.links() {
            let kept = new.link(link.node());
            if kept.is_none_or(|kept| !Arc::ptr_eq(kept, link)) {
                self.retire(link);
            }
        }
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
            ))
        }))
    }

    fn rehome(&self, topology: &Topology, shard: &super::Shard) {
        let owner_of = |user: &crate::id::UserId| {
            let owner = topology.owner_elsewhere(user.as_str());
            owner.map(|member| member.id.clone())
        };
        let (moved, registrations) = {
            let mut shard = super::locked(shard);
            (shard.rehome(owner_of), shard.take_unregistered())
        };
        for registration in registrations {
            self.ask_registration(registration);
        }
        let draining = self.draining.load(Ordering::Relaxed);
        for Moved { handle, home, left } in moved {
            if let Some(registration) = left {
                self.take_back(registration);
            }
            if home {
                handle.welcome();
            } else if handle.may_move() && !draining {
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
                Request::Presence { .. }
                | Request::Register { .. }
                | Request::Unregister { .. } => {
                    self.settle(origin, Outcome::Unreachable);
                }
            }
        }
    }
}
