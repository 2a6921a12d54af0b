use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};

use hashring::HashRing;
use proptest::prelude::*;

use super::*;

const CLUSTER: &str = "ringpost";

fn node(id: &str, weight: u16) -> RingNode {
    RingNode {
        id: NodeId::new(id).unwrap(),
        weight,
    }
}

fn named(count: usize) -> Vec<RingNode> {
    (1..=count).map(|i| node(&format!("n{i}"), 1)).collect()
}

fn ring_of(nodes: &[RingNode]) -> Ring {
    Ring::build(Seed::of_cluster(CLUSTER), nodes.to_vec())
}

fn ids(ring: &Ring, key: KeyHash) -> Vec<&str> {
    ring.preference(key)
        .iter()
        .map(|&place| ring.node(place).id.as_str())
        .collect()
}

fn owner(ring: &Ring, key: KeyHash) -> &str {
    ring.node(ring.owner(key).unwrap()).id.as_str()
}

/// Some user ids, hashed.
fn users(ring: &Ring, count: usize) -> impl Iterator<Item = KeyHash> {
    (0..count).map(|i| ring.hash(format!("user-{i}").as_bytes()))
}

/// Every point of these nodes, hashed anew, in ascending order.
fn points(seed: Seed, nodes: &[RingNode]) -> BTreeMap<u64, String> {
    let mut points = BTreeMap::new();
    let mut sorted = nodes.to_vec();
    sorted.sort();
    for node in sorted {
        for i in 0..u32::from(node.weight) * 512 {
            let name = [node.id.as_str().as_bytes(), &i.to_le_bytes()].concat();
            points
                .entry(xxh3_64_with_seed(&name, seed.0))
                .or_insert(node.id.to_string());
        }
    }
    points
}

/// The preference list by its definition: clockwise from the key, each node where it is first met.
fn walk(points: &BTreeMap<u64, String>, key: KeyHash) -> Vec<&str> {
    let mut met = Vec::new();
    for (_, id) in points.range(key.0..).chain(points.range(..key.0)) {
        if met.len() == 8 {
            break;
        }
        if !met.contains(&id.as_str()) {
            met.push(id.as_str());
        }
    }
    met
}

/// The keys where an off-by-one would show: each point, its neighbours, and both ends of the circle.
fn edges(points: &BTreeMap<u64, String>) -> impl Iterator<Item = KeyHash> {
    let around = |&point: &u64| [point.wrapping_sub(1), point, point.wrapping_add(1)];
    points
        .keys()
        .flat_map(around)
        .chain([0, 1, u64::MAX - 1, u64::MAX])
        .map(KeyHash)
}

/// Up to 12 nodes with different ids and weights of 1 to 3, in any order.
fn some_nodes() -> impl Strategy<Value = Vec<RingNode>> {
    prop::collection::btree_map("[a-z0-9._-]{1,12}", 1_u16..=3, 1..12)
        .prop_map(|nodes| {
            nodes
                .iter()
                .map(|(id, &weight)| node(id, weight))
                .collect::<Vec<_>>()
        })
        .prop_shuffle()
}

fn some_keys() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(any::<u64>(), 200)
}

// A change to any golden value splits a cluster while it is upgraded: old and new nodes would send
// the same user to different places. It needs a new protocol version, not new values here. The values
// come from another implementation of the same rules, over the reference xxHash in C.

#[test]
fn golden_owners_and_successors_never_change() {
    let ring = ring_of(&named(5));
    let longest = "x".repeat(256);
    let golden: [(&str, u64, &[&str]); 12] = [
        (
            "alice",
            0xfb73_8dde_a601_fbf1,
            &["n4", "n1", "n3", "n2", "n5"],
        ),
        (
            "bob",
            0x1c49_5db4_1953_ab5f,
            &["n5", "n1", "n4", "n2", "n3"],
        ),
        (
            "carol",
            0x9edd_23b2_5c7b_4e60,
            &["n2", "n4", "n5", "n1", "n3"],
        ),
        (
            "dave",
            0xbbb3_5420_8d2a_a215,
            &["n5", "n3", "n1", "n4", "n2"],
        ),
        (
            "Zoë",
            0x4920_039e_1a5f_b874,
            &["n3", "n5", "n4", "n2", "n1"],
        ),
        (
            "用户",
            0x7d4a_938b_29c5_362d,
            &["n5", "n2", "n3", "n1", "n4"],
        ),
        ("🦀", 0x333f_69bb_28d9_e6f7, &["n2", "n4", "n1", "n3", "n5"]),
        ("a", 0x794f_f6df_78a7_cc13, &["n4", "n2", "n3", "n1", "n5"]),
        (
            "user-0001",
            0xfb8f_a258_13a4_1fce,
            &["n1", "n3", "n2", "n4", "n5"],
        ),
        (
            "customer/4711",
            0x6469_f239_9dee_59b2,
            &["n1", "n5", "n4", "n3", "n2"],
        ),
        (
            "4f0c2d1e-9a57-4d43-8f3c-5b1f2d6c7e80",
            0x5855_b95d_ebf6_7ddf,
            &["n5", "n1", "n3", "n2", "n4"],
        ),
        (
            &longest,
            0xae8f_afa4_9cbb_f175,
            &["n3", "n2", "n1", "n5", "n4"],
        ),
    ];
    for (user, hash, preference) in golden {
        let key = ring.hash(user.as_bytes());
        assert_eq!((user, key), (user, KeyHash(hash)));
        assert_eq!((user, ids(&ring, key).as_slice()), (user, preference));
    }
}

#[test]
fn golden_owners_under_weights_and_a_secret_never_change() {
    let seed = Seed::of_cluster_with_secret(CLUSTER, b"correct horse battery staple");
    let nodes = [
        node("eu-1", 1),
        node("eu-2", 2),
        node("us.1", 3),
        node("us.2", 1),
    ];
    let ring = Ring::build(seed, nodes);
    let golden = [
        ("alice", "us.2"),
        ("bob", "eu-1"),
        ("Zoë", "us.1"),
        ("support-desk", "eu-2"),
    ];
    for (user, id) in golden {
        assert_eq!((user, owner(&ring, ring.hash(user.as_bytes()))), (user, id));
    }
}

#[test]
fn golden_digests_never_change() {
    let secret = Seed::of_cluster_with_secret(CLUSTER, b"correct horse battery staple");
    let golden = [
        (Seed::of_cluster(CLUSTER), vec![], "e3e064fa79e7ba1a"),
        (Seed::of_cluster(CLUSTER), named(1), "1b76f1f7f747bebe"),
        (Seed::of_cluster(CLUSTER), named(5), "4517bdf15831a29e"),
        (Seed::of_cluster("other"), named(5), "67f4b5b0a9ca1032"),
        (
            Seed::of_cluster(CLUSTER),
            vec![node("n1", 1), node("n2", 3)],
            "519ddf6b737bc893",
        ),
        (secret, named(5), "2d79167613ade164"),
    ];
    for (seed, nodes, digest) in golden {
        assert_eq!(Ring::digest_of(seed, nodes.clone()).to_string(), digest);
        assert_eq!(Ring::build(seed, nodes).digest().to_string(), digest);
    }
}

#[test]
fn an_empty_ring_owns_nothing() {
    let ring = ring_of(&[]);
    assert!(ring.is_empty());
    assert_eq!(ring.len(), 0);
    for key in [0, 1, u64::MAX].map(KeyHash) {
        assert_eq!(ring.owner(key), None);
        assert!(ring.preference(key).is_empty());
    }
}

#[test]
fn a_node_of_weight_0_is_on_the_list_but_owns_nothing() {
    let ring = ring_of(&[node("a", 1), node("idle", 0)]);
    let idle = ring.index_of(&NodeId::new("idle").unwrap()).unwrap();
    assert_eq!(ring.len(), 2);
    assert!(ring.share(idle).abs() < f64::EPSILON);
    assert!(users(&ring, 100).all(|key| ids(&ring, key) == ["a"]));
    assert!(ring_of(&[node("idle", 0)]).is_empty());
}

#[test]
fn a_node_named_twice_counts_once_with_its_larger_weight() {
    let twice = ring_of(&[node("a", 1), node("b", 1), node("a", 2)]);
    let once = ring_of(&[node("a", 2), node("b", 1)]);
    assert_eq!(twice.nodes(), once.nodes());
    assert_eq!(twice.digest(), once.digest());
}

#[test]
fn a_digest_is_16_lower_case_hex_digits() {
    assert_eq!(Digest(0xAB).to_string(), "00000000000000ab");
}

#[test]
fn a_digest_tells_seeds_ids_and_weights_apart() {
    let seed = Seed::of_cluster(CLUSTER);
    let digests = [
        Ring::digest_of(seed, []),
        Ring::digest_of(seed, [node("ab", 1)]),
        Ring::digest_of(seed, [node("ab", 2)]),
        Ring::digest_of(seed, [node("a", 1), node("b", 1)]),
        Ring::digest_of(Seed::of_cluster("other"), [node("ab", 1)]),
        Ring::digest_of(Seed::of_cluster_with_secret(CLUSTER, b""), [node("ab", 1)]),
        Ring::digest_of(Seed::of_cluster_with_secret(CLUSTER, b"s"), [node("ab", 1)]),
    ];
    for (i, digest) in digests.iter().enumerate() {
        assert!(!digests[..i].contains(digest), "{i}");
    }
}

#[test]
fn the_circle_closes_wherever_the_points_lie() {
    let arcs = |list: &[(u64, u16)]| -> Vec<placement::Arc> {
        list.iter()
            .map(|&(end, node)| placement::Arc {
                end,
                owner: NodeIndex(node),
            })
            .collect()
    };
    for list in [
        &[(7, 0)][..],
        &[(0, 1), (u64::MAX, 0)],
        &[(0, 0)],
        &[(u64::MAX, 0)],
    ] {
        let arcs = arcs(list);
        let table = Table::compile(&arcs);
        let naive = |key| {
            arcs.iter()
                .find(|arc| arc.end >= key)
                .unwrap_or(&arcs[0])
                .owner
        };
        for key in [0, 1, 6, 7, 8, 1 << 63, u64::MAX - 1, u64::MAX] {
            assert_eq!(
                table.preference(KeyHash(key))[0],
                naive(key),
                "{list:?} {key}"
            );
        }
        assert!((placement::shares(&arcs, 2).iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }
}

#[test]
fn load_is_balanced_as_measured_for_512_points() {
    // Peak over mean, the mean of several clusters: 1.04, 1.07 and 1.11 were measured. One cluster may
    // be less lucky than the mean.
    for (count, peak_max) in [(3, 1.12), (10, 1.15), (100, 1.19)] {
        for cluster in ["ringpost", "eu", "staging", "a", "b"] {
            let ring = Ring::build(Seed::of_cluster(cluster), named(count));
            let shares = (0..count).map(|place| ring.share(index(place)));
            let peak = shares.fold(0.0, f64::max) * f64::from(u32::try_from(count).unwrap());
            assert!(peak < peak_max, "{cluster}, {count} nodes: {peak}");
        }
    }
}

#[test]
fn shares_are_what_users_see() {
    let ring = ring_of(&named(10));
    let mut owned = [0_u32; 10];
    users(&ring, 100_000).for_each(|key| owned[ring.owner(key).unwrap().get()] += 1);
    for (place, owned) in owned.into_iter().enumerate() {
        let seen = f64::from(owned) / 100_000.0;
        let share = ring.share(index(place));
        assert!((seen - share).abs() < 0.005, "{place}: {seen} {share}");
    }
}

#[test]
fn weights_give_proportional_shares() {
    let ring = ring_of(&[node("a", 1), node("b", 2), node("c", 4), node("d", 8)]);
    for (place, weight) in [1.0, 2.0, 4.0, 8.0].into_iter().enumerate() {
        let got = ring.share(index(place)) * 15.0 / weight;
        assert!((0.85..1.15).contains(&got), "{place}: {got}");
    }
}

#[test]
fn a_join_takes_about_1_of_n_users() {
    let (before, after) = (ring_of(&named(9)), ring_of(&named(10)));
    let moved = users(&before, 20_000).filter(|&key| owner(&before, key) != owner(&after, key));
    let moved = moved.count();
    assert!((1_600..2_400).contains(&moved), "{moved} of 20,000");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn insertion_order_never_changes_an_owner(
        nodes in some_nodes(),
        other in any::<prop::sample::Index>(),
        keys in some_keys(),
    ) {
        let ring = ring_of(&nodes);
        let mut turned = nodes.clone();
        turned.rotate_left(other.index(nodes.len()));
        turned.reverse();
        let turned = ring_of(&turned);
        prop_assert_eq!(ring.digest(), turned.digest());
        prop_assert_eq!(ring.nodes(), turned.nodes());
        for key in keys.into_iter().map(KeyHash) {
            prop_assert_eq!(ring.preference(key), turned.preference(key));
        }
    }

    #[test]
    fn a_join_only_takes_keys_and_moves_none_between_others(nodes in some_nodes(), keys in some_keys()) {
        let joined = ring_of(&nodes);
        let new = nodes[0].id.as_str();
        let before = ring_of(&nodes[1..]);
        for key in keys.into_iter().map(KeyHash).filter(|_| nodes.len() > 1) {
            let now = owner(&joined, key);
            prop_assert!(now == new || now == owner(&before, key));
        }
    }

    #[test]
    fn a_leave_gives_the_keys_of_the_leaver_to_their_first_successor(
        nodes in some_nodes(),
        keys in some_keys(),
    ) {
        let before = ring_of(&nodes);
        let leaver = nodes[0].id.as_str();
        let after = ring_of(&nodes[1..]);
        for key in keys.into_iter().map(KeyHash) {
            let heirs: Vec<_> = ids(&before, key).into_iter().filter(|&id| id != leaver).collect();
            let now = ids(&after, key);
            prop_assert_eq!(&heirs[..], &now[..heirs.len()]);
        }
    }

    #[test]
    fn preference_lists_are_the_first_8_distinct_nodes_clockwise(
        nodes in some_nodes(),
        keys in some_keys(),
    ) {
        let ring = ring_of(&nodes);
        let points = points(Seed::of_cluster(CLUSTER), &nodes);
        let edges = edges(&points).step_by(61);
        for key in keys.into_iter().map(KeyHash).chain(edges) {
            let list = ids(&ring, key);
            prop_assert_eq!(list.len(), nodes.len().min(8));
            prop_assert_eq!(list, walk(&points, key));
        }
    }

    #[test]
    fn owners_are_those_of_hashring(nodes in some_nodes(), keys in some_keys()) {
        let ring = ring_of(&nodes);
        let points = points(Seed::of_cluster(CLUSTER), &nodes);
        let mut theirs = HashRing::with_hasher(AsItIs);
        theirs.batch_add(points.clone().into_iter().map(TestPoint).collect());
        for key in keys.into_iter().map(KeyHash).chain(edges(&points)) {
            let TestPoint((_, id)) = theirs.get(&key).unwrap();
            prop_assert_eq!(owner(&ring, key), id);
        }
    }

    #[test]
    fn shares_sum_to_1(nodes in some_nodes()) {
        let ring = ring_of(&nodes);
        let sum: f64 = (0..ring.len()).map(|place| ring.share(index(place))).sum();
        prop_assert!((sum - 1.0).abs() < 1e-12, "{}", sum);
    }

    #[test]
    fn a_node_is_found_where_it_stands(nodes in some_nodes()) {
        let ring = ring_of(&nodes);
        for node in &nodes {
            prop_assert_eq!(ring.node(ring.index_of(&node.id).unwrap()), node);
        }
        prop_assert_eq!(ring.index_of(&NodeId::new("NOT-THERE").unwrap()), None);
    }
}

/// A point of `hashring` built apart from the code under test.
struct TestPoint((u64, String));

impl Hash for TestPoint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.0);
    }
}

struct AsItIs;

impl BuildHasher for AsItIs {
    type Hasher = Last;
    fn build_hasher(&self) -> Last {
        Last(0)
    }
}

struct Last(u64);

impl Hasher for Last {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = u64::from_ne_bytes(bytes.try_into().unwrap());
    }
    fn finish(&self) -> u64 {
        self.0
    }
}
