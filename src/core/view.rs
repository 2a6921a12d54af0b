//! An immutable snapshot of the members, with the ring built from them.

use std::sync::{Arc, LazyLock};

use super::ring::{Digest, NodeIndex, Ring, RingNode, Seed};
use crate::id::{Generation, NodeId};

/// What this node thinks of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// It answers.
    Alive,
    /// It did not answer somebody, and has a moment to deny that. It stays on the ring.
    Suspect,
    /// It is gone, or has left.
    Down,
}

/// A node as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub id: NodeId,
    /// Its start.
    pub generation: Generation,
    /// Grows within a generation, whenever it changed or had to rejoin.
    pub revision: u32,
    /// `host:port` for other nodes.
    pub peer: Arc<str>,
    /// Where clients are sent.
    pub url: Arc<str>,
    /// Its share of the ring, relative to the others'.
    pub weight: u16,
    /// It is on its way out: alive, and not on the ring.
    pub draining: bool,
    /// What this node thinks of it.
    pub state: MemberState,
}

impl Member {
    /// Whether it owns users: alive or suspect, and not on its way out.
    #[must_use]
    pub fn is_on_ring(&self) -> bool {
        self.state != MemberState::Down && !self.draining
    }
}

/// A ring that is built when it is first asked for. Views come in bursts, and the ring is their
/// costly part: whoever publishes a view builds its ring beforehand ([`LazyLock::force`]).
pub type LazyRing = LazyLock<Ring, Box<dyn FnOnce() -> Ring + Send>>;

/// The members and the ring at one moment.
pub struct View {
    /// The node whose view it is.
    pub me: NodeId,
    /// All members, this node and those that are down included, sorted by id.
    pub members: Vec<Member>,
    /// Another node has told this one all that it knows: before that the members may be a few of
    /// those that there are. False in a new view.
    pub accepted: bool,
    /// What the ring's hashes start from.
    pub seed: Seed,
    /// The ring of those that own users.
    pub ring: Arc<LazyRing>,
    /// Those that own users.
    nodes: Vec<RingNode>,
    /// For each of `nodes` its place in `members`.
    places: Vec<usize>,
}

impl View {
    /// The view of these members. The ring of `before` is kept if it is still right: building one
    /// is the costly part.
    #[must_use]
    pub fn new(me: NodeId, seed: Seed, mut members: Vec<Member>, before: Option<&Self>) -> Self {
        members.sort_by(|a, b| a.id.cmp(&b.id));
        let (places, nodes): (Vec<usize>, Vec<RingNode>) = members
            .iter()
            .enumerate()
            .filter(|(_, member)| member.is_on_ring())
            .map(|(place, member)| {
                let node = RingNode {
                    id: member.id.clone(),
                    weight: member.weight,
                };
                (place, node)
            })
            .unzip();
        let distinct = nodes.windows(2).all(|pair| pair[0].id != pair[1].id);
        assert!(distinct, "every id is a member once");
        let kept = before.filter(|before| before.nodes == nodes);
        let ring = kept.map_or_else(
            || {
                let nodes = nodes.clone();
                let build: Box<dyn FnOnce() -> Ring + Send> =
                    Box::new(move || Ring::build(seed, nodes));
                Arc::new(LazyLock::new(build))
            },
            |before| Arc::clone(&before.ring),
        );
        Self {
            me,
            members,
            accepted: false,
            seed,
            ring,
            nodes,
            places,
        }
    }

    fn at(&self, index: NodeIndex) -> Option<&Member> {
        let place = self.places.get(usize::from(index.0))?;
        self.members.get(*place)
    }

    /// The owner of a user; `None` on an empty ring.
    #[inline]
    #[must_use]
    pub fn owner(&self, user: &str) -> Option<&Member> {
        let key = self.ring.hash(user.as_bytes());
        self.ring.owner(key).and_then(|index| self.at(index))
    }

    /// The owner of a user and its successors, in their order.
    pub fn preference(&self, user: &str) -> impl Iterator<Item = &Member> {
        let key = self.ring.hash(user.as_bytes());
        let indexes = self.ring.preference(key).iter();
        indexes.filter_map(|index| self.at(*index))
    }

    /// The member of that name.
    #[must_use]
    pub fn member(&self, id: &NodeId) -> Option<&Member> {
        let place = self.members.binary_search_by(|m| m.id.cmp(id)).ok()?;
        self.members.get(place)
    }

    /// This node; `None` once it has left.
    #[must_use]
    pub fn me(&self) -> Option<&Member> {
        self.member(&self.me)
    }

    /// Fingerprint of the ring.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.ring.digest()
    }

    /// A member's part of all users, 0 to 1; 0 for those that are not on the ring.
    #[must_use]
    pub fn share(&self, id: &NodeId) -> f64 {
        let place = self.nodes.binary_search_by(|node| node.id.cmp(id));
        let index = place.ok().and_then(|place| u16::try_from(place).ok());
        index.map_or(0.0, |index| self.ring.share(NodeIndex(index)))
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("View")
            .field("me", &self.me)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}
