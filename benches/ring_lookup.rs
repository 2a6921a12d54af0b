//! The cost of finding a user's node: ours beside what one would write otherwise, and the cost of a
//! new ring.
//!
//! Every lookup starts from the 16 bytes of a user id and includes hashing it. No id comes twice, so a
//! table is as cold as its size makes it and no branch can be learnt. Lookups do not wait for each
//! other, as on a node that routes many messages. The floor is the hash alone.

use std::hash::Hash;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use hashring::HashRing;
use ringpost::core::ring::{POINTS_PER_WEIGHT, Ring, RingNode, Seed};
use ringpost::id::NodeId;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const NODES: [u16; 4] = [3, 10, 100, 1000];
const SEED: u64 = 7;

type Key = [u8; 16];

/// User ids that never repeat: 8 fixed bytes and a counter.
#[derive(Default)]
struct Keys(u64);

impl Keys {
    fn next(&mut self) -> Key {
        self.0 += 1;
        let mut key = *b"user-id:--------";
        key[8..].copy_from_slice(&self.0.to_le_bytes());
        black_box(key)
    }
}

fn nodes(count: u16) -> Vec<RingNode> {
    let id = |i| NodeId::new(&format!("n{i}")).expect("a good name");
    (0..count)
        .map(|i| RingNode {
            id: id(i),
            weight: 1,
        })
        .collect()
}

/// A point as the user of `hashring` would write it.
#[derive(Clone, Copy, Hash)]
struct Point {
    node: u16,
    replica: u32,
}

fn points(count: u16) -> Vec<Point> {
    let per_node = u32::try_from(POINTS_PER_WEIGHT).expect("512");
    let of = |node| (0..per_node).map(move |replica| Point { node, replica });
    (0..count).flat_map(of).collect()
}

/// `hashring` with its own hasher, filled in the fastest way it has.
fn raw_hashring(count: u16) -> HashRing<Point> {
    let mut ring = HashRing::new();
    ring.batch_add(points(count));
    ring
}

fn sorted_array(count: u16) -> Vec<(u64, u16)> {
    let hash = |p: &Point| {
        let mut name = [0; 6];
        name[..2].copy_from_slice(&p.node.to_le_bytes());
        name[2..].copy_from_slice(&p.replica.to_le_bytes());
        xxh3_64_with_seed(&name, SEED)
    };
    let mut array: Vec<_> = points(count).iter().map(|p| (hash(p), p.node)).collect();
    array.sort_unstable();
    array
}

fn in_sorted_array(array: &[(u64, u16)], key: &Key) -> u16 {
    let hash = xxh3_64_with_seed(key, SEED);
    let at = array.partition_point(|&(point, _)| point < hash);
    array.get(at).unwrap_or(&array[0]).1
}

/// Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014. It can only take
/// away the last node.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
fn jump(key: &Key, nodes: u16) -> u16 {
    let mut hash = xxh3_64_with_seed(key, SEED);
    let (mut bucket, mut next) = (0_u64, 0_u64);
    while next < u64::from(nodes) {
        bucket = next;
        hash = hash.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((bucket + 1) as f64 * ((1_u64 << 31) as f64 / ((hash >> 33) + 1) as f64)) as u64;
    }
    bucket as u16
}

/// Highest random weight: the key's hash mixed with each node's, the largest wins.
fn rendezvous(key: &Key, nodes: &[u64]) -> Option<usize> {
    let hash = xxh3_64_with_seed(key, SEED);
    let mixed = |&node: &u64| {
        let x = (hash ^ node).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93)
    };
    (0..nodes.len()).max_by_key(|&i| mixed(&nodes[i]))
}

fn lookup(c: &mut Criterion) {
    let mut group = c.benchmark_group("lookup");
    let mut keys = Keys::default();

    group.bench_function("hash alone", |b| {
        b.iter(|| xxh3_64_with_seed(&keys.next(), SEED));
    });
    for count in NODES {
        let id = |name: &str| BenchmarkId::new(name, count);

        let ring = Ring::build(Seed(SEED), nodes(count));
        group.bench_function(id("ringpost"), |b| {
            b.iter(|| ring.owner(ring.hash(&keys.next())));
        });
        group.bench_function(id("ringpost, owner and successor"), |b| {
            b.iter(|| match ring.preference(ring.hash(&keys.next())) {
                [owner, successor, ..] => Some((*owner, *successor)),
                _ => None,
            });
        });
        drop(ring);

        let ring = raw_hashring(count);
        group.bench_function(id("hashring"), |b| {
            b.iter(|| ring.get(&keys.next()).map(|point| point.node));
        });
        drop(ring);

        let array = sorted_array(count);
        group.bench_function(id("sorted array"), |b| {
            b.iter(|| in_sorted_array(&array, &keys.next()));
        });
        drop(array);

        group.bench_function(id("jump"), |b| b.iter(|| jump(&keys.next(), count)));

        let hash = |i: u16| xxh3_64_with_seed(&i.to_le_bytes(), SEED);
        let hashes: Vec<u64> = (0..count).map(hash).collect();
        group.bench_function(id("rendezvous"), |b| {
            b.iter(|| rendezvous(&keys.next(), &hashes));
        });
    }
    group.finish();
}

fn rebuild(c: &mut Criterion) {
    let mut group = c.benchmark_group("rebuild");
    group.sample_size(10);
    for count in NODES {
        let nodes = nodes(count);
        group.bench_function(BenchmarkId::new("ringpost", count), |b| {
            b.iter(|| Ring::build(Seed(SEED), black_box(nodes.clone())));
        });
        group.bench_function(BenchmarkId::new("hashring", count), |b| {
            b.iter(|| raw_hashring(black_box(count)));
        });
    }
    group.finish();
}

criterion_group!(benches, lookup, rebuild);
criterion_main!(benches);
