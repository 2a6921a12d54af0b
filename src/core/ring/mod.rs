//! The consistent hash ring: which node owns a key, and which ones take over after it.
//!
//! A node has 512 points a weight on a circle of 2^64 positions. A key belongs to the first point at
//! or after its hash, past the end to the first of all. `hashring` decides that (`placement`); what
//! it decided is compiled into a flat table that answers with the whole preference list at once
//! (`table`). A ring never changes: another set of nodes is another ring.
//!
//! *Invariant:* the ring depends on the seed and on the set of (id, weight) alone, never on the order
//! in which nodes were named, on addresses or on generations. Two nodes with equal digests agree about
//! every key.

mod placement;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;

use sha1::{Digest as _, Sha1};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::id::NodeId;
use table::Table;

/// Points that a node of weight 1 has on the ring.
///
/// Measured peak load over the mean is then 1.04 with 3 nodes, 1.07 with 10, 1.11 with 100 and 1.14
/// with 1,000; with 128 points it is 1.07 to 1.33.
pub const POINTS_PER_WEIGHT: usize = 512;

/// Longest preference list: an owner and up to seven successors.
pub const PREFERENCE_MAX: usize = 8;

/// Most nodes on one ring, so that a [`NodeIndex`] has two bytes.
pub const NODES_MAX: usize = 1 << 16;

/// Most points on one ring, so that a place in the table has four bytes.
pub const POINTS_MAX: usize = (u32::MAX >> 1) as usize;

/// A node as the ring sees it: a name, which gives its points, and how many of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RingNode {
    /// Unique among the nodes of a ring.
    pub id: NodeId,
    /// Share of the ring relative to other nodes. 0: on the list, but owner of nothing.
    pub weight: u16,
}

/// A key's place on the circle, the same for all rings of one seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub u64);

/// A place in [`Ring::nodes`]; means nothing on another ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeIndex(pub u16);

impl NodeIndex {
    /// The place as a number to index with.
    #[must_use]
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// The 64-bit fingerprint of a ring; as text, 16 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub u64);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What all hashes of a cluster start from. Equal on all its nodes, or they disagree about owners.
///
/// It has no `Debug`: who knows the seed can choose user ids that all land on one node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The seed of a cluster without a secret: the xxh3-64 of its name. Anyone can compute it.
    #[must_use]
    pub fn of_cluster(name: &str) -> Self {
        Self(xxh3_64(name.as_bytes()))
    }

    /// The seed of a cluster with a secret, which outsiders cannot compute: the first 8 bytes,
    /// little-endian, of SHA-1 over the seed of the name and the secret.
    #[must_use]
    pub fn of_cluster_with_secret(name: &str, secret: &[u8]) -> Self {
        let mut hash = Sha1::new();
        hash.update(Self::of_cluster(name).0.to_le_bytes());
        hash.update(secret);
        Self(first_u64(hash))
    }

    /// The xxh3-64 of some bytes under this seed, in one shot (the streaming form is 14 times slower
    /// on short keys).
    fn hash(self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.0)
    }
}

/// The ring of one set of nodes.
pub struct Ring {
    seed: Seed,
    nodes: Vec<RingNode>,
    shares: Vec<f64>,
    digest: Digest,
    table: Table,
}

impl Ring {
    /// Builds the ring of these nodes, named in any order; of none, the empty ring.
    ///
    /// A node named twice counts once, with its larger weight. Costs about 0.1 µs a point: do it when
    /// the members change, not on the way of a message.
    ///
    /// # Panics
    /// With more than [`NODES_MAX`] nodes or [`POINTS_MAX`] points. Whoever admits members bounds both.
    pub fn build(seed: Seed, nodes: impl IntoIterator<Item = RingNode>) -> Self {
        let nodes = sorted(nodes);
        assert!(nodes.len() <= NODES_MAX, "a ring has at most 65,536 nodes");
        let points: usize = nodes.iter().map(placement::points_of).sum();
        assert!(points <= POINTS_MAX, "a ring has at most 2^31 points");
        let arcs = placement::place(seed, &nodes);
        Self {
            seed,
            shares: placement::shares(&arcs, nodes.len()),
            digest: digest_of_sorted(seed, &nodes),
            table: Table::compile(&arcs),
            nodes,
        }
    }

    /// The digest that a ring of these nodes would have, without building it.
    pub fn digest_of(seed: Seed, nodes: impl IntoIterator<Item = RingNode>) -> Digest {
        digest_of_sorted(seed, &sorted(nodes))
    }

    /// Where a key lies. Hash it once, and ask with the result as often as needed.
    #[inline]
    #[must_use]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.seed.hash(key))
    }

    /// The nodes that should serve a key: the owner, then its successors, all distinct, as many as
    /// there are up to [`PREFERENCE_MAX`]. Empty on an empty ring.
    #[inline]
    #[must_use]
    pub fn preference(&self, key: KeyHash) -> &[NodeIndex] {
        self.table.preference(key)
    }

    /// The node that owns a key; none on an empty ring.
    #[inline]
    #[must_use]
    pub fn owner(&self, key: KeyHash) -> Option<NodeIndex> {
        self.preference(key).first().copied()
    }

    /// All nodes, sorted by id.
    #[must_use]
    pub fn nodes(&self) -> &[RingNode] {
        &self.nodes
    }

    /// One node.
    ///
    /// # Panics
    /// When the index is of another, larger ring.
    #[must_use]
    pub fn node(&self, index: NodeIndex) -> &RingNode {
        &self.nodes[index.get()]
    }

    /// Where a node stands in [`Ring::nodes`]; none if it is not on this ring.
    #[must_use]
    pub fn index_of(&self, id: &NodeId) -> Option<NodeIndex> {
        let place = self.nodes.binary_search_by(|node| node.id.cmp(id)).ok()?;
        Some(index(place))
    }

    /// The part of the circle, 0 to 1, that a node owns: exact, not an estimate. All shares add up to
    /// 1 unless the ring is empty.
    ///
    /// # Panics
    /// When the index is of another, larger ring.
    #[must_use]
    pub fn share(&self, index: NodeIndex) -> f64 {
        self.shares[index.get()]
    }

    /// The owners of that many equally distant places on the circle, from the middle of the first part on.
    /// Empty on an empty ring.
    ///
    /// What can be drawn of a ring: its arcs are far more than a screen can show.
    #[must_use]
    pub fn sampled(&self, places: u32) -> Vec<NodeIndex> {
        let part = u64::MAX / u64::from(places.max(1));
        let place = |number| KeyHash(part * u64::from(number) + part / 2);
        (0..places)
            .filter_map(|number| self.owner(place(number)))
            .collect()
    }

    /// The fingerprint over the seed, the points a weight and the sorted (id, weight).
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether no node owns anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("digest", &self.digest)
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

/// Sorted by id, each id once and with its largest weight.
fn sorted(nodes: impl IntoIterator<Item = RingNode>) -> Vec<RingNode> {
    let mut nodes: Vec<_> = nodes.into_iter().collect();
    nodes.sort_unstable_by(|a, b| a.id.cmp(&b.id).then(b.weight.cmp(&a.weight)));
    nodes.dedup_by(|next, kept| next.id == kept.id);
    nodes
}

/// SHA-1, cut to 64 bits, of the seed, the points a weight, and of each node the length of its id,
/// the id and the weight; numbers little-endian. Not xxh3, because the digest is shown to clients and
/// must not give the seed away.
fn digest_of_sorted(seed: Seed, nodes: &[RingNode]) -> Digest {
    let mut hash = Sha1::new();
    hash.update(seed.0.to_le_bytes());
    hash.update((POINTS_PER_WEIGHT as u64).to_le_bytes());
    for node in nodes {
        let id = node.id.as_str().as_bytes();
        hash.update((id.len() as u64).to_le_bytes());
        hash.update(id);
        hash.update(node.weight.to_le_bytes());
    }
    Digest(first_u64(hash))
}

fn first_u64(hash: Sha1) -> u64 {
    let bytes: [u8; 20] = hash.finalize().into();
    u64::from_le_bytes(*bytes.first_chunk().expect("20 bytes begin with 8"))
}

/// The index of a place in a list of at most [`NODES_MAX`] nodes.
fn index(place: usize) -> NodeIndex {
    NodeIndex(u16::try_from(place).expect("a ring has at most 65,536 nodes"))
}
