//! Placement: where the points of the nodes lie, and what `hashring` makes of them.

use std::hash::{BuildHasher, Hash, Hasher};

use hashring::HashRing;

use super::{KeyHash, NodeIndex, POINTS_PER_WEIGHT, RingNode, Seed, index};
use crate::id::NODE_ID_BYTES_MAX;

/// The keys after the arc before, up to and with `end`, and who owns them.
///
/// A ring's arcs are in ascending order of `end`, no two ends equal. What lies after the last end
/// belongs to the first arc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arc {
    /// The position of a node's point.
    pub end: u64,
    /// The node that owns the arc.
    pub owner: NodeIndex,
}

/// One of the places of a node, as it is put into `hashring`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    hash: u64,
    node: NodeIndex,
}

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A hasher that hands back the one `u64` written to it: points and keys are hashed already, by raw
/// bytes and the cluster's seed. (What `Hash` of `str` writes is not promised to stay the same.)
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only points and key hashes are looked up, and both write one u64");
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

struct BuildIdentity;

impl BuildHasher for BuildIdentity {
    type Hasher = Identity;

    fn build_hasher(&self) -> Identity {
        Identity::default()
    }
}

/// The arcs of these nodes, which are sorted by id, as `hashring` gives them out.
///
/// `hashring::get` compares a key with the points and does nothing else, so its answer is the same for
/// all keys of an arc, and asking it at each end asks it about every key there is.
pub(super) fn place(seed: Seed, nodes: &[RingNode]) -> Vec<Arc> {
    let points = points(seed, nodes);
    let ends: Vec<u64> = points.iter().map(|point| point.hash).collect();
    let mut ring = HashRing::with_hasher(BuildIdentity);
    ring.batch_add(points);
    let owner_of = |key: u64| {
        let point: &Point = ring
            .get(&KeyHash(key))
            .expect("a ring with points has an owner for all");
        point.node
    };
    let arcs: Vec<Arc> = ends
        .iter()
        .map(|&end| Arc {
            end,
            owner: owner_of(end),
        })
        .collect();
    if let (Some(first), Some(last)) = (arcs.first(), arcs.last()) {
        let past_the_last = owner_of(last.end.saturating_add(1));
        let expected = if last.end == u64::MAX {
            last.owner
        } else {
            first.owner
        };
        assert!(
            past_the_last == expected,
            "the circle closes at the first point"
        );
    }
    arcs
}

/// All points of these nodes, settled.
fn points(seed: Seed, nodes: &[RingNode]) -> Vec<Point> {
    let count = nodes.iter().map(points_of).sum();
    let mut points = Vec::with_capacity(count);
    for (place, node) in nodes.iter().enumerate() {
        let id = node.id.as_str().as_bytes();
        let mut name = [0; NODE_ID_BYTES_MAX + size_of::<u32>()];
        name[..id.len()].copy_from_slice(id);
        for i in (0_u32..).take(points_of(node)) {
            name[id.len()..id.len() + size_of::<u32>()].copy_from_slice(&i.to_le_bytes());
            let hash = seed.hash(&name[..id.len() + size_of::<u32>()]);
            points.push(Point {
                hash,
                node: index(place),
            });
        }
    }
    settle(&mut points);
    points
}

/// Puts points in ascending order, no two at one position.
///
/// `hashring` returns any one of several points at one position, depending on where its search ends.
/// Of those, the one with the smallest node id stays, whoever was added first.
fn settle(points: &mut Vec<Point>) {
    points.sort_unstable();
    points.dedup_by_key(|point| point.hash);
}

/// How many points a node has.
pub(super) fn points_of(node: &RingNode) -> usize {
    usize::from(node.weight) * POINTS_PER_WEIGHT
}

/// The part of the circle that each of `nodes` nodes owns, 0 to 1.
pub(super) fn shares(arcs: &[Arc], nodes: usize) -> Vec<f64> {
    const CIRCLE: u128 = 1 << 64;
    let mut owned = vec![0_u128; nodes];
    // The first arc begins after the last one's end, one turn earlier.
    let mut begin = arcs.last().map_or(0, |last| u128::from(last.end));
    let mut turn = CIRCLE;
    for arc in arcs {
        let end = u128::from(arc.end) + turn;
        owned[arc.owner.get()] += end - begin;
        begin = u128::from(arc.end);
        turn = 0;
    }
    #[expect(clippy::cast_precision_loss, reason = "a share is good to 53 bits")]
    owned
        .into_iter()
        .map(|arc| arc as f64 / CIRCLE as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_points_at_one_position_the_smallest_id_stays() {
        let point = |hash, node| Point {
            hash,
            node: NodeIndex(node),
        };
        let orders = [
            [(5, 1), (5, 0), (3, 2), (5, 2)],
            [(5, 0), (5, 2), (5, 1), (3, 2)],
        ];
        for order in orders {
            let mut points: Vec<_> = order.map(|(hash, node)| point(hash, node)).into();
            settle(&mut points);
            assert!(points == [point(3, 2), point(5, 0)]);
        }
    }
}
