//! What a node says of its cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// One node's answer to `GET /v1/cluster`.
#[derive(Debug, Clone)]
pub struct View(pub Value);

impl View {
    pub fn digest(&self) -> &str {
        self.0["digest"].as_str().expect("the digest is a string")
    }

    pub fn member(&self, id: &str) -> Option<&Value> {
        let members = self.0["members"].as_array().expect("members");
        members.iter().find(|member| member["id"] == id)
    }

    /// `alive`, `suspect` or `down`; also `down` for a node that is not listed.
    pub fn state(&self, id: &str) -> &str {
        self.member(id).map_or("down", |member| {
            member["state"].as_str().expect("a state is a string")
        })
    }

    pub fn generation(&self, id: &str) -> Option<u64> {
        self.member(id)?["generation"].as_u64()
    }

    /// Whether the node takes users: listed, not down, not draining, with a share.
    pub fn on_ring(&self, id: &str) -> bool {
        self.member(id).is_some_and(|member| {
            member["state"] != "down"
                && member["draining"] != true
                && member["share"].as_f64().is_some_and(|share| share > 0.0)
        })
    }

    /// The members that are alive, with their generations.
    fn alive(&self) -> BTreeMap<&str, u64> {
        let members = self.0["members"].as_array().expect("members");
        let alive = members.iter().filter(|member| member["state"] == "alive");
        alive
            .filter_map(|member| Some((member["id"].as_str()?, member["generation"].as_u64()?)))
            .collect()
    }
}

/// Whether all these views are of the same ring and see exactly these nodes alive.
pub fn agree(views: &[Option<View>], ids: &[&str]) -> bool {
    let Some(views) = views.iter().cloned().collect::<Option<Vec<View>>>() else {
        return false;
    };
    let Some(first) = views.first() else {
        return true;
    };
    let expected: BTreeSet<&str> = ids.iter().copied().collect();
    views.iter().all(|view| {
        view.digest() == first.digest()
            && view.alive() == first.alive()
            && view.alive().keys().copied().eq(expected.iter().copied())
    })
}
