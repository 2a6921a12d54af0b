//! The ring as the page draws it.

use std::sync::{Arc, Mutex, PoisonError};

use ringpost::core::ring::{KeyHash, NodeIndex, Ring, RingNode, Seed};
use ringpost::id::NodeId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::CLUSTER;

/// Of so many equal parts of the circle the page learns the owner. A node has 512 points, so that more
/// parts would show more of them, but they would be narrower than what can be seen.
const PARTS: u16 = 720;
/// Keys whose places are told in one answer.
const KEYS_MAX: usize = 64;

/// What a node's `/v1/cluster` says of who is on the ring.
#[derive(Deserialize)]
struct Seen {
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    id: String,
    state: String,
    draining: bool,
    weight: u16,
}

/// The ring that was drawn last: it is asked for twice a second, and seldom another.
#[derive(Default)]
pub struct Drawn(Mutex<Option<Arc<Ring>>>);

impl Drawn {
    /// The ring of these members, and where the keys of a query (`key=alice&key=bob`) lie on it; `None`
    /// if it is not a node that said so.
    pub fn describe(&self, cluster: &[u8], query: &str) -> Option<Value> {
        let seen: Seen = serde_json::from_slice(cluster).ok()?;
        let nodes = (seen.members.iter())
            .filter(|member| member.state != "down" && !member.draining)
            .map(|member| {
                let id = NodeId::new(&member.id).ok()?;
                let weight = member.weight;
                Some(RingNode { id, weight })
            });
        let ring = self.ring(nodes.collect::<Option<Vec<_>>>()?);
        Some(describe(&ring, query))
    }

    fn ring(&self, mut nodes: Vec<RingNode>) -> Arc<Ring> {
        nodes.sort_unstable();
        let mut drawn = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*drawn {
            Some(ring) if ring.nodes() == nodes => Arc::clone(ring),
            _ => {
                let ring = Arc::new(Ring::build(Seed::of_cluster(CLUSTER), nodes));
                Arc::clone(drawn.insert(ring))
            }
        }
    }
}

fn describe(ring: &Ring, query: &str) -> Value {
    let name = |index: &NodeIndex| ring.node(*index).id.as_str();
    let parts = (0..PARTS).filter_map(|part| ring.owner(middle(part)));
    let keys = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("key="))
        .filter_map(|key| percent_encoding::percent_decode_str(key).decode_utf8().ok());
    let place = |key: &str| {
        let hash = ring.hash(key.as_bytes());
        let preference = ring.preference(hash);
        json!({
            "at": fraction(hash),
            "owner": preference.first().map(name),
            "successor": preference.get(1).map(name),
        })
    };
    let places = keys
        .take(KEYS_MAX)
        .map(|key| (key.to_string(), place(&key)));
    json!({
        "digest": ring.digest().to_string(),
        "nodes": ring.nodes().iter().map(|node| node.id.as_str()).collect::<Vec<_>>(),
        "parts": parts.map(NodeIndex::get).collect::<Vec<_>>(),
        "places": places.collect::<serde_json::Map<_, _>>(),
    })
}

/// The key in the middle of a part.
fn middle(part: u16) -> KeyHash {
    let width = u64::MAX / u64::from(PARTS);
    KeyHash(width * u64::from(part) + width / 2)
}

/// How far round the circle a key lies, 0 to 1.
#[expect(clippy::cast_precision_loss, reason = "to be drawn, 53 bits are many")]
fn fraction(key: KeyHash) -> f64 {
    key.0 as f64 / 2_f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(states: &[(&str, &str, bool)], query: &str) -> Value {
        let member = |(id, state, draining): &(&str, &str, bool)| json!({"id": id, "state": state, "draining": draining, "weight": 1});
        let members: Vec<_> = states.iter().map(member).collect();
        let cluster = json!({"node": "n1", "members": members}).to_string();
        let drawn = Drawn::default();
        drawn.describe(cluster.as_bytes(), query).unwrap()
    }

    #[test]
    fn only_nodes_that_own_users_are_drawn() {
        let members = [
            ("n2", "alive", false),
            ("n1", "suspect", false),
            ("n3", "alive", true),
            ("n4", "down", false),
        ];
        let ring = described(&members, "");
        assert_eq!(ring["nodes"], json!(["n1", "n2"]));
        let parts = ring["parts"].as_array().unwrap();
        assert_eq!(parts.len(), usize::from(PARTS));
        let firsts = parts.iter().filter(|owner| **owner == 0).count();
        assert!((250..470).contains(&firsts), "{firsts}");
    }

    #[test]
    fn a_key_lies_where_its_owner_is_drawn_or_at_a_border() {
        let members = ["n1", "n2", "n3"].map(|id| (id, "alive", false));
        let ring = described(&members, "key=alice&key=J%C3%BCrgen&other=1");
        assert_eq!(ring["places"].as_object().unwrap().len(), 2);
        assert!(ring["places"]["J\u{fc}rgen"]["at"].as_f64().unwrap() < 1.0);
        let alice = &ring["places"]["alice"];
        assert_ne!(alice["owner"], alice["successor"]);
        assert_eq!(
            described(&[], "key=alice")["places"]["alice"]["owner"],
            Value::Null
        );
    }
}
