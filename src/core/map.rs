//! Maps of what is kept for each user, in the order of insertion.
//!
//! Every message is looked up in several of them by a short key, where the standard library's hash
//! function costs more than the rest. foldhash takes a random seed for each map, so that nobody can
//! choose keys that collide without knowing it.

use foldhash::fast::RandomState;

/// A map.
pub type Map<K, V> = indexmap::IndexMap<K, V, RandomState>;
/// A set.
pub type Set<K> = indexmap::IndexSet<K, RandomState>;
