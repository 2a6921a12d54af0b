//! Client libraries that know nothing of Ringpost, pointed at any node, end up at the owner.
//!
//! `RINGPOST_PYTHON` names the interpreter that has them; `python3` if it is not set.

mod support;

use serde_json::Value;
use support::Cluster;
use support::python::Script;

/// Runs the script for every pair of a node to start from and an owner.
fn ends_up_at_the_owner(module: &str) {
    let Some(script) = Script::with(module) else {
        return;
    };
    let cluster = Cluster::of(3, &[]);
    for start in 0..3 {
        for owner in 0..3 {
            let (from, to) = (cluster.user_of(0, "from+"), cluster.user_of(owner, "to"));
            let node = &cluster.nodes[start];
            let result: Value = script.run(&[&node.url(&from), &node.url(&to), &to]);
            assert_eq!(result["nodes"][0], "n1", "{result}");
            assert_eq!(result["nodes"][1], cluster.nodes[owner].id.as_str());
            assert_eq!(result["message"]["type"], "message", "{result}");
            assert_eq!(result["message"]["from"], from.replace('+', " "));
            assert_eq!(result["message"]["body"], "hi", "{result}");
            assert_eq!(result["receipt"]["status"], "sent", "{result}");
        }
    }
}

#[test]
fn pythons_websockets_ends_up_at_the_owner() {
    ends_up_at_the_owner("websockets");
}

#[test]
fn aiohttp_ends_up_at_the_owner() {
    ends_up_at_the_owner("aiohttp");
}
